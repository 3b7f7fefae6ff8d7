"""Weights of one byte: smaller, nearly as good, and refused where they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rtp_monolith.clock import ManualClock
from rtp_monolith.errors import DataError
from rtp_monolith.training import loop
from rtp_monolith.training.export import export_encoder
from rtp_monolith.training.export_int8 import Exported, quantize
from rtp_monolith.training.learner import Data
from rtp_monolith.training.models.build import build
from rtp_monolith.training.models.neural import Neural
from rtp_monolith.training.protocols import prefix_cases
from rtp_monolith.training.settings import Settings

ALL = np.ones(40, dtype=bool)
SETTINGS = Settings(
    width=32, heads=2, layers=1, epochs=4, negatives=16, batch_tokens=256, warmup_steps=10, learning_rate=0.01
)


def test_int8_is_judged_and_refused_above_the_bound(chains: list[list[int]], tmp_path: Path) -> None:
    model = build(40, SETTINGS, seed=0)
    loop.train(model, chains[:500], SETTINGS, seed=0, clock=ManualClock())
    data, cases = Data(chains[:500], 40, ALL, ALL, None, 5), prefix_cases(chains[500:], ALL)
    path, small = tmp_path / "encoder.onnx", tmp_path / "encoder.int8.onnx"
    export_encoder(model, path)
    exact = Neural(model).scores(cases, 0, 9)
    torch.testing.assert_close(Exported(model, path).scores(cases, 0, 9), exact, atol=1e-3, rtol=1e-4)
    found = quantize(model, path, small, cases, data)
    assert found.loss <= 0.01 and found.ndcg > 0.5
    assert found.ndcg_int8 == pytest.approx(found.ndcg * (1 - found.loss))
    assert found.bytes_int8 == small.stat().st_size < found.bytes == path.stat().st_size
    assert not torch.equal(Exported(model, small).scores(cases, 0, 9), Exported(model, path).scores(cases, 0, 9))
    small.unlink()
    with pytest.raises(DataError) as error:
        quantize(model, path, small, cases, data, loss_max=-1.0)
    assert error.value.code == "int8_loses_too_much"
    assert [each.name for each in tmp_path.iterdir()] == ["encoder.onnx"]
