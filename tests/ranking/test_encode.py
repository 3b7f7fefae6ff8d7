"""What a served encoder is given is what training gave it: the same items with the same marks, for the same log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtp_monolith.config import Config
from rtp_monolith.features.marks import FIRST, GAP_EDGES_S, Marking, Marks, latest
from rtp_monolith.ranking.encoder import Encoder
from rtp_monolith.training.session_vectors import numbered
from rtp_monolith.training.survey import survey
from tests.ranking.bundles import LENGTH, make_bundle
from tests.ranking.conftest import Shop

MARKS = Marks(GAP_EDGES_S, ("click", "add_to_cart", "view", "purchase", "like"))
Given = tuple[bytes, list[list[int]] | None]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Given]:
    """What the encoder was given from then on."""
    found: list[Given] = []
    encode = Encoder.encode

    def watched(self: Encoder, sequence: np.ndarray, marks: np.ndarray | None = None) -> np.ndarray:
        found.append((sequence.tobytes(), None if marks is None else marks.tolist()))
        return encode(self, sequence, marks)

    monkeypatch.setattr(Encoder, "encode", watched)
    return found


def shop(folder: Path, **recipe: Any) -> Shop:
    make_bundle(folder / "models", **recipe)
    return Shop(folder / "data", Config(), models=folder / "models")


def test_an_encoder_is_given_the_gaps_and_the_actions(tmp_path: Path, given: list[Given]) -> None:
    made = shop(tmp_path, marks=MARKS)
    given.clear()
    made.did("click", "i1", "i2")
    made.clock.advance(9_000)
    made.did("like", "i2")
    made.home()
    assert [marks for _, marks in given] == [[[FIRST, 1], [2, 1], [5, 5]]]
    made.home()
    assert len(given) == 1, "the session is as it was"
    made.did("skip", "i4")
    made.home()
    assert len(given) == 1, "nothing that is read has changed"
    made.state.close()


def test_the_same_items_after_another_time_are_another_session(tmp_path: Path, given: list[Given]) -> None:
    made = shop(tmp_path, marks=MARKS)
    given.clear()
    for session, pause_ms in (("a", 0), ("b", 60_000), ("c", 60_000)):
        made.did("click", "i1", session=session)
        made.clock.advance(pause_ms)
        made.did("click", "i2", session=session)
        made.home(session_id=session)
    assert [marks for _, marks in given] == [[[FIRST, 1], [2, 1]], [[FIRST, 1], [7, 1]]]
    made.state.close()


def test_an_encoder_without_marks_is_given_none(tmp_path: Path, given: list[Given]) -> None:
    made = shop(tmp_path)
    given.clear()
    made.did("click", "i1", "i2")
    made.home()
    assert [marks for _, marks in given] == [None]
    made.state.close()


def test_what_is_served_is_what_training_learned_from(tmp_path: Path, given: list[Given]) -> None:
    made, rng = shop(tmp_path, marks=MARKS), np.random.default_rng(8)
    given.clear()
    for number in range(200):
        session = f"s{rng.integers(5)}"
        kind = str(rng.choice(["click", "view", "like", "skip", "impression", "add_to_cart", "dwell"]))
        more: dict[str, Any] = {"props": {"dwell_ms": 5}} if kind == "dwell" else {}
        made.clock.advance(int(rng.integers(0, 50_000)))
        made.did(kind, f"i{rng.integers(60)}", session=session, **more)
        if number == 100:  # one that comes late, and one of many items
            late = {"ts_ms": made.clock.now_ms() - 200_000}
            made.did("click", "i7", session=session, **late)
            bought = '[{"item_id":"i1"},{"item_id":"i2"}]'
            made.did("purchase", "i1", session=session, item_id=None, props={"items": bought})
    given.clear()
    for session in range(5):
        made.home(session_id=f"s{session}")
    assert made.models.active is not None
    bundle = made.models.active.bundle
    made.state.close()
    found = survey(tmp_path / "data", Config()).sessions_between(0, 2**62)
    trained = numbered(found, {item: row for row, item in enumerate(bundle.items)}, Marking(MARKS))
    assert max(map(len, trained.items)) > LENGTH, "one was cut"
    want = [
        (bundle.vectors[items[-LENGTH:]].tobytes(), latest(marks, LENGTH).tolist())
        for items, marks in zip(trained.items, trained.marks, strict=True)
    ]
    assert sorted(given) == sorted(want) and len(want) == 5
