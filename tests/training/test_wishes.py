"""Cases of users: what a moment knows, whose past it is, what the graph said of the session."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import pytest

from rtp_monolith.features.context_words import ContextWords
from rtp_monolith.features.spec import DAY_MS
from rtp_monolith.features.taste import TasteSettings
from rtp_monolith.training.export_asking import Encoded
from rtp_monolith.training.survey import Session, Survey
from rtp_monolith.training.wishes import VALUE_VISITS_MIN, Wishes, nightly, pasts, visits, wishes
from tests.ranking.bundles import LENGTH, clustered, encoder_graph, item_ids

T = 20_000 * DAY_MS
ENCODED = Encoded(encoder_graph(), item_ids(12), clustered(12, 3), LENGTH)


def session(at_ms: int, items: str) -> Session:
    """One letter an item, a minute apart, `a` is i0."""
    ids = [f"i{ord(letter) - ord('a')}" for letter in items]
    return Session(ids, [at_ms + 60_000 * n for n in range(len(ids))], ["click"] * len(ids))


@pytest.fixture(scope="module")
def log() -> Survey:
    sessions = {
        "s1": session(T + DAY_MS // 2, "ab"),
        "s2": session(T + DAY_MS // 2 + 3_600_000, "cz"),
        "s3": session(T + 2 * DAY_MS, "dade"),
        "anonymous": session(T + DAY_MS, "abc"),
    }
    return Survey(Counter({0: 1}), sessions, [], False, {"s1": "u", "s2": "u", "s3": "u"})


def test_sessions_of_known_users_oldest_first(log: Survey) -> None:
    found = visits(log, ENCODED.items)
    assert [(v.user, v.items.tolist()) for v in found] == [("u", [0, 1]), ("u", [2]), ("u", [3, 0, 3, 4])]


def test_the_past_ends_at_the_midnight_before(log: Survey) -> None:
    found = visits(log, ENCODED.items)
    made = pasts(found, ENCODED.vectors, TasteSettings(0.0))
    assert not made[:2].any(), "what was wanted earlier that day no nightly job has read"
    mean = ENCODED.vectors[[0, 1, 2]].sum(axis=0)
    np.testing.assert_allclose(made[2], mean / np.linalg.norm(mean), atol=1e-6)


def test_the_nightly_vector_is_the_one_that_a_case_reads(log: Survey) -> None:
    found, taste = visits(log, ENCODED.items), TasteSettings(2.0, {"click": 2.0})
    users, vectors = nightly(found, ENCODED.vectors, taste, T + 2 * DAY_MS)
    assert users == ["u"]
    np.testing.assert_allclose(vectors[0], pasts(found, ENCODED.vectors, taste)[2], atol=1e-6)
    assert nightly(found, ENCODED.vectors, taste, T)[0] == []


def test_cases_are_first_wishes_with_the_session_before_them(log: Survey) -> None:
    found = visits(log, ENCODED.items)
    made = wishes(found, ENCODED, pasts(found, ENCODED.vectors, TasteSettings(0.0)))
    assert made.target.tolist() == [0, 1, 2, 3, 0, 4]
    assert made.clicks.tolist() == [0, 1, 0, 0, 1, 3] and made.visit.tolist() == [0, 0, 1, 2, 2, 2]
    assert made.has_past.tolist() == [False] * 3 + [True] * 3
    np.testing.assert_allclose(made.session[5], ENCODED.vectors[[3, 0, 3]].mean(axis=0), atol=1e-6)
    assert not made.session[made.clicks == 0].any()
    assert made.before[5, -3:].tolist() == [3, 0, 3] and (made.before[5, :-3] == -1).all()


def test_strangers_and_contexts_are_there_for_who_asks(log: Survey) -> None:
    said = {"s1": ("phone", "DE", None), "anonymous": ("tv", None, None)}
    told = msgspec.structs.replace(log, contexts=said)
    found = visits(told, ENCODED.items, strangers=True)
    assert [(v.user, v.said[0]) for v in found] == [("u", "phone"), ("u", None), (None, "tv"), ("u", None)]
    static = pasts(found, ENCODED.vectors, TasteSettings(0.0))
    assert static.any(axis=1).tolist() == [False, False, False, True], "a stranger has no past, and is in nobody's"
    made = wishes(found, ENCODED, static)
    assert (made.numbers == -1).all() and made.words(found).hours == (), "two or three visits teach nothing"
    words = ContextWords(device=("tv",), country=("DE",), hours=("0-3", "12-15"))
    numbers = made.said_with(words, found).numbers
    day, night = 3, 2
    assert numbers[made.visit == 0].tolist() == [[-1, 1, -1, day]] * 2
    assert numbers[made.visit == 2].tolist() == [[0, -1, -1, night]] * 3
    assert len(wishes(found, ENCODED, static, T + DAY_MS)) == 3 + 3, "of visits from a moment on"


def test_a_value_of_enough_visits_has_a_number() -> None:
    sessions = {f"s{n}": session(T + n * DAY_MS, "ab") for n in range(VALUE_VISITS_MIN)}
    said = {f"s{n}": ("phone" if n else "tv", "DE", None) for n in range(VALUE_VISITS_MIN)}
    found = visits(Survey(Counter({0: 1}), sessions, [], False, {}, said), ENCODED.items, strangers=True)
    made = wishes(found, ENCODED, np.zeros((len(found), ENCODED.vectors.shape[1]), np.float32))
    assert made.words(found) == ContextWords(country=("DE",), hours=("0-3",)), "each visit counts once"


def test_slices_take_whole_visits(log: Survey) -> None:
    found = visits(log, ENCODED.items)
    made = wishes(found, ENCODED, np.zeros((3, ENCODED.vectors.shape[1]), np.float32))
    day2 = T + 2 * DAY_MS

    def targets(part: Wishes) -> list[int]:
        return part.target.tolist()

    assert targets(made.between(0, day2)) == [0, 1, 2]
    assert targets(made.between(day2, day2 + 90_000)) == [3, 0], "not what comes after the end"
    assert targets(made.between(day2 + 1, 2**62)) == [], "the visit began before"
