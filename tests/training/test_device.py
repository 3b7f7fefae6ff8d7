"""Where and how precisely a model trains: all of a step on one device, bfloat16 near float32, and float32 where the
hardware has nothing else.

The GPU is a fake one: torch works out what each operation gives, and where, without computing it, and refuses operands
of two devices as a GPU would.
"""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from rtp_monolith.training import device
from rtp_monolith.training.batches import Windows
from rtp_monolith.training.models.build import BODIES, ENCODERS, build
from rtp_monolith.training.models.encoder import SessionModel
from rtp_monolith.training.objective import Objective
from rtp_monolith.training.settings import Settings

ITEMS = 40
SMALL = Settings(width=16, heads=2, layers=1, negatives=16, batch_tokens=256, dropout=0.0, embedding_dropout=0.0)
LOSSES = ("full", "sampled", "in-batch", "bpr", "bpr-max", "gbce")


def sessions() -> list[list[int]]:
    rng = np.random.default_rng(5)
    return [rng.integers(ITEMS, size=rng.integers(2, 9)).tolist() for _ in range(30)]


def loss_and_gradient(settings: Settings, attributes: list[list[int]] | None = None) -> tuple[float, torch.Tensor]:
    """Of one batch and one fresh model."""
    model = build(ITEMS, settings, 1, attributes)
    windows = Windows(sessions(), settings.length_max, settings.batch_tokens)
    loss = Objective(model, windows, settings)(windows.batch(windows.epoch(0, 0)[0]), np.random.default_rng(2))
    loss.backward()  # type: ignore[no-untyped-call]
    grads = [each.grad for each in model.parameters() if each.grad is not None]
    return float(loss.detach()), torch.cat([(g.to_dense() if g.is_sparse else g).flatten() for g in grads])


def on_a_gpu(settings: Settings) -> SessionModel:
    """Under the fake mode, a model whose weights are said to lie on a GPU."""
    # Which attributes the rows of a sample have is read from the numbers themselves, which a fake tensor has not.
    model = build(ITEMS, settings, 1, [[at % 5, 5] for at in range(ITEMS)] if settings.loss == "full" else None)
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                module._parameters[name] = torch.nn.Parameter(weight.detach().to("cuda"))
        for name, value in module._buffers.items():
            if value is not None:
                module._buffers[name] = value.to("cuda")
    return model


# A GRU on a GPU is cuDNN's, which cannot be asked where there is no driver; in-batch counts its targets on the device.
@pytest.mark.parametrize("body", sorted({*BODIES} - {"gru4rec"}))
@pytest.mark.parametrize("loss", sorted({*LOSSES} - {"in-batch"}))
def test_all_of_a_step_is_on_the_device_of_the_model(body: str, loss: str) -> None:
    if body == "bst" and loss == "full":
        pytest.skip("a body that reads the candidates has no such loss")
    settings = msgspec.structs.replace(SMALL, body=body, loss=loss, bfloat16=False)
    windows = Windows(sessions(), settings.length_max, settings.batch_tokens)
    batch = windows.batch(windows.epoch(0, 0)[0])
    with FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=False):
        model = on_a_gpu(settings)
        objective = Objective(model, windows, settings)
        table = model.item_vectors()
        assert objective.device.type == table.device.type == "cuda"
        if body in ENCODERS:
            assert model.sessions(table, sessions()).device.type == "cuda"
        assert objective(batch, np.random.default_rng(2)).device.type == "cuda"


@pytest.mark.parametrize("body", sorted(BODIES))
@pytest.mark.parametrize("loss", LOSSES)
def test_bfloat16_is_near_float32(body: str, loss: str) -> None:
    if body == "bst" and loss in ("full", "in-batch"):
        pytest.skip("a body that reads the candidates has no such loss")
    settings = msgspec.structs.replace(SMALL, body=body, loss=loss, scoring="dot")
    whole, slope = loss_and_gradient(msgspec.structs.replace(settings, bfloat16=False))
    half, other = loss_and_gradient(msgspec.structs.replace(settings, bfloat16=True))
    assert half == pytest.approx(whole, rel=0.01) and not torch.equal(slope, other)
    assert float(torch.cosine_similarity(slope, other, dim=0)) > 0.98


def test_the_hardware_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for has in (False, True):
        monkeypatch.setattr(device, "has_bfloat16", lambda _, has=has: has)
        with device.products(cpu):
            assert torch.is_autocast_enabled("cpu") is has
        with device.products(cpu, in_bfloat16=not has):
            assert torch.is_autocast_enabled("cpu") is not has
    assert not torch.is_autocast_enabled("cpu")
