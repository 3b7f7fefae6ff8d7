"""The exported encoder says what torch says, on every shape of batch; anything else is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from rtp_monolith.errors import DataError
from rtp_monolith.training import export
from rtp_monolith.training.models.build import build
from rtp_monolith.training.models.encoder import GAPS, SessionModel
from rtp_monolith.training.settings import CORE, GRU4REC, SASREC_COSINE, SASREC_DOT, SESSION_GRAPH, TWO_TOWER, Settings


def made(base: Settings) -> SessionModel:
    model = build(30, msgspec.structs.replace(base, width=8, length_max=6), seed=1)
    with torch.no_grad():
        for each in model.parameters():
            each.add_(0.2 * torch.randn_like(each))
    return model


@pytest.mark.parametrize("base", [SASREC_DOT, SASREC_COSINE, CORE], ids=["sasrec-dot", "sasrec-cosine", "core"])
def test_the_exported_encoder_is_the_model(base: Settings, tmp_path: Path) -> None:
    model, path = made(base), tmp_path / "encoder.onnx"
    export.export_encoder(model, path)
    assert [each.name for each in tmp_path.iterdir()] == ["encoder.onnx"]
    assert export.check_parity(model, path) <= 1e-5
    onnx.checker.check_model(str(path))
    runtime = onnxruntime.InferenceSession(str(path), export.session_options(), providers=["CPUExecutionProvider"])
    assert [(each.name, each.type) for each in runtime.get_inputs()] == [
        ("vectors", "tensor(float)"),
        ("lengths", "tensor(int64)"),
    ]
    table = export.item_vectors(model)
    vectors = np.zeros((2, 3, 8), dtype=np.float32)
    vectors[0, :2] = table[[3, 4]]
    session = runtime.run(["session"], {"vectors": vectors, "lengths": np.array([2, 0])})[0]
    with torch.no_grad():
        want = model.sessions(model.item_vectors(), [[3, 4], []]) @ model.item_vectors().T
    assert session @ table.T == pytest.approx(want.numpy(), abs=1e-4)
    assert session[1].tolist() == [0.0] * 8
    if base is SASREC_DOT:
        with torch.no_grad():
            model.body.position[0, 0] += 0.1
        with pytest.raises(DataError) as error:
            export.check_parity(model, path)
        assert error.value.code == "parity"


def test_a_graph_of_the_session_is_exported_too(tmp_path: Path) -> None:
    model, path = made(SESSION_GRAPH), tmp_path / "encoder.onnx"
    export.export_encoder(model, path)
    assert export.check_parity(model, path) <= 1e-5


def test_a_step_of_the_graph_is_a_step_of_the_model(tmp_path: Path) -> None:
    model, path = made(msgspec.structs.replace(GRU4REC, layers=2)), tmp_path / "step.onnx"
    export.export_step(model, path)
    runtime = onnxruntime.InferenceSession(str(path), export.session_options(), providers=["CPUExecutionProvider"])
    table, sessions = export.item_vectors(model), [[5, 1, 9], [0, 3, 3], [7, 7, 2]]
    state = np.zeros((2, 3, 8), dtype=np.float32)
    for upto in range(1, 4):
        clicked = table[[each[upto - 1] for each in sessions]]
        session, state = runtime.run(["session", "state_after"], {"vectors": clicked, "state": state})
        with torch.no_grad():
            want = model.sessions(model.item_vectors(), [each[:upto] for each in sessions]).numpy()
        assert session == pytest.approx(want, abs=1e-5)
    with pytest.raises(DataError) as error:
        export.export_step(made(CORE), path)
    assert error.value.code == "no_incremental_form"


def with_marks(base: Settings, gaps: bool = True, actions: int = 3) -> Settings:
    return msgspec.structs.replace(base, gaps=gaps, actions=actions)


FORMS = {
    "sasrec-dot": SASREC_DOT, "sasrec-cosine": SASREC_COSINE, "core": CORE, "gru4rec": GRU4REC, "two-tower": TWO_TOWER,
    "session-graph": SESSION_GRAPH,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FORMS))
def test_an_encoder_that_reads_marks_takes_them(name: str, tmp_path: Path) -> None:
    model, path = made(with_marks(FORMS[name])), tmp_path / "encoder.onnx"
    export.export_encoder(model, path)
    assert export.check_parity(model, path) <= 1e-5
    runtime = onnxruntime.InferenceSession(str(path), export.session_options(), providers=["CPUExecutionProvider"])
    assert {each.name: each.type for each in runtime.get_inputs()} == {
        "vectors": "tensor(float)", "lengths": "tensor(int64)", "marks": "tensor(int64)",
    }  # fmt: skip
    table = export.item_vectors(model)
    given = {"vectors": table[None, [3, 4]], "lengths": np.array([2])}
    one, other = (
        runtime.run(["session"], {**given, "marks": np.array([[[0, 1], [gap, 2]]])})[0] for gap in (3, GAPS - 1)
    )
    assert np.abs(one - other).max() > 1e-3
    with pytest.raises(Exception, match=r"(?i)indices|bounds|range"):
        runtime.run(["session"], {**given, "marks": np.array([[[0, 1], [GAPS, 3]]])})


@pytest.mark.parametrize("base", [SASREC_DOT, SASREC_COSINE], ids=["dot", "cosine"])
@pytest.mark.parametrize(("gaps", "actions"), [(True, 0), (False, 3)])
def test_one_kind_of_mark_is_read_alone(base: Settings, gaps: bool, actions: int, tmp_path: Path) -> None:
    model, path = made(with_marks(base, gaps, actions)), tmp_path / "encoder.onnx"
    export.export_encoder(model, path)
    assert export.check_parity(model, path) <= 1e-5


def test_a_step_takes_the_marks_of_its_click(tmp_path: Path) -> None:
    model, path = made(with_marks(GRU4REC)), tmp_path / "step.onnx"
    export.export_step(model, path)
    runtime = onnxruntime.InferenceSession(str(path), export.session_options(), providers=["CPUExecutionProvider"])
    table, sessions = export.item_vectors(model), [[5, 1, 9], [0, 3, 3]]
    marks = export.any_marks(model.settings, np.random.default_rng(3), (2, 3))
    state = np.zeros((1, 2, 8), dtype=np.float32)
    for upto in range(1, 4):
        given = {"vectors": table[[each[upto - 1] for each in sessions]], "state": state, "marks": marks[:, upto - 1]}
        session, state = runtime.run(["session", "state_after"], given)
        with torch.no_grad():
            want = model.sessions(model.item_vectors(), [each[:upto] for each in sessions], list(marks[:, :upto]))
        assert session == pytest.approx(want.numpy(), abs=1e-5)
