"""A list of a user with a past asked for again has what was served: the fused vector, what is near it, its affinity."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rtp_monolith.config import parse
from rtp_monolith.features.cascade import CASCADE
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.context_words import HOURS, NOTHING_SAID, ContextWords
from rtp_monolith.features.fusion import Fusion
from rtp_monolith.records import read_recommend
from rtp_monolith.state.online.reader import Gathered
from rtp_monolith.training.export_asking import Encoded, UserVectors
from rtp_monolith.training.replay import RowCounts, RowSettings, replay_lists
from rtp_monolith.training.survey import survey
from tests.ranking.bundles import DIMENSION, LENGTH, Recipe, clustered, encoder_graph, halves, item_ids, placed
from tests.ranking.conftest import Shop, ids

COLUMNS = ("cascade_affinity_user", "cascade_affinity", "cascade_recall", "cascade_source_ann_user")
NAMES = [feature.name for feature in (*FEATURES, *CASCADE)]
CONFIG = parse("""
[users]
static = 8
[audit]
share = 0.0
[surfaces.home]
value = "click"
[surfaces.home.sources]
ann = { quota = 20, weight = 0.8 }
ann_user = { quota = 15, weight = 0.7 }
""")


class Published:
    """The past of `ada`, and nobody else's."""

    def __init__(self) -> None:
        self.vector = clustered()[4]

    def of(self, user: str | None, as_of_ms: int) -> NDArray[np.float32] | None:
        return self.vector if user == "ada" else None


WORDS = ContextWords(device=("tv",), country=("DE", "FR"), hours=HOURS)


def rows_of_context() -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(size=(len(WORDS), DIMENSION)).astype(np.float32)


@pytest.mark.parametrize("words", [None, WORDS])
def test_rows_are_those_that_were_served(tmp_path: Path, words: ContextWords | None) -> None:
    weights = {name: (0.1, 0.0, 0.0) for name in COLUMNS}
    fusing = halves() if words is None else placed(rows_of_context())
    Recipe(fusion=fusing, words=words, weights=weights).write(tmp_path / "models")
    shop = Shop(tmp_path / "data", CONFIG, models=tmp_path / "models")
    assert shop.models.active is not None
    known = np.append(Published().vector, np.float32(shop.models.active.bundle.space))
    stranger = np.full(DIMENSION + 1, np.nan, np.float32)
    for number in range(8):
        user, session = ("ada", "bob")[number % 2], f"s{number % 4}"
        if number > 3:
            shop.did("click", f"i{7 * number % 60}", session=session, user=user)
        asked = {"surface": "home", "session_id": session, "user_id": user, "request_id": f"r{number}", "k": 6,
                 "context": ({"country": "DE"}, {"device": "tv", "country": "US"}, {})[number % 3]}  # fmt: skip
        row = Gathered(known if user == "ada" else stranger)
        work = shop.pipeline.recommend(read_recommend(json.dumps(asked).encode()), deadline_ms=1e4, gathered=row)
        for position, item in enumerate(ids(json.loads(asyncio.run(work)))):
            shop.did("impression", item, session=session, user=user, request_id=f"r{number}", position=position)
    decisions = shop.decisions()
    shop.clock.advance(3 * 3_600_000)
    shop.did("click", "i0", session="last")
    shop.state.close()
    users = UserVectors(Published(), Fusion("gated", fusing, words, alone=True))
    encoded = Encoded(encoder_graph(), item_ids(), clustered(), LENGTH, users=users)
    made = list(replay_lists(tmp_path / "data", CONFIG, RowSettings(), RowCounts(), encoded=encoded))
    assert len(made) == len(decisions) == 8
    places = [NAMES.index(name) for name in weights]
    found = []
    for one, decision in zip(made, decisions, strict=True):
        served = {item["id"]: row for item, row in zip(decision["items"], decision["features"], strict=True)}
        for item, at in one.seen.where.items():
            np.testing.assert_array_equal(one.features[at, places], np.array(served[item], np.float32))
            found.append((one.seen.user_id, *one.features[at, places]))
    ada, bob = ([row[1:] for row in found if row[0] == user] for user in ("ada", "bob"))
    assert any(own != session for own, session, *_ in ada)
    assert any(row[3] == 1.0 for row in ada), "the source found some of ada's"
    if words is None:
        assert all(own == session and by_user == 0.0 for own, session, _, by_user in bob), "bob is a stranger"
    else:
        assert any(row[3] == 1.0 for row in bob), "of whom the context is known"
    sessions = survey(tmp_path / "data", CONFIG, contexts=True).contexts
    assert {s: sessions.get(s, NOTHING_SAID) for s in ("s0", "s2", "s3")} == {
        "s0": ("tv", "DE", None),  # asked first as r0, then as r4
        "s2": (None, "DE", None),  # r2 says nothing, r6 says where
        "s3": ("tv", "DE", None),  # r3 says where, r7 on what
    }  # fmt: skip
    assert survey(tmp_path / "data", CONFIG).contexts == {}
