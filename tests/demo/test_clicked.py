from __future__ import annotations

import numpy as np
import pytest

from rtp_monolith.demo.clicked import HELD_OUT_EVERY, LENGTH_MIN, WISHES, ClickedSessions, lines, rows
from rtp_monolith.demo.shop import generate_items
from rtp_monolith.demo.shoppers import Setting
from rtp_monolith.demo.traffic import traffic_of
from rtp_monolith.demo.visits import CLICK, KINDS, PURCHASE
from tests.demo.conftest import Log


def collected(log: Log) -> ClickedSessions:
    clicked = ClickedSessions()
    for part in np.array_split(log.rows, 7):
        clicked.add(part)
    return clicked


def test_visits_are_split_by_people_and_by_time(log: Log) -> None:
    train, test = collected(log).split()
    clicks = log.rows[log.rows["kind"] == CLICK]
    begun, trained, tested = {}, [], []
    for session in dict.fromkeys(clicks["session"].tolist()):
        own = clicks[clicks["session"] == session]
        begun[session] = (int(own["ts_ms"][0]), int(own["shopper"][0]), own["item"].tolist())
    moments = [moment for moment, _, _ in begun.values()]
    cut = moments[-1] - 0.2 * (moments[-1] - moments[0])
    for moment, shopper, own in begun.values():
        held_out = shopper % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        if len(own) >= LENGTH_MIN and held_out == (moment >= cut):
            (tested if held_out else trained).append(own)
    assert [visit.tolist() for visit in train] == trained
    assert [visit.tolist() for visit in test] == tested
    assert len(test) > 50


def test_lines_are_ids_oldest_first() -> None:
    assert lines([np.array([1, 0, 1]), np.array([2])], ["a", "b", "c"]) == b"b a b\nc\n"


def test_wishes_have_their_times_and_actions_and_a_purchase_is_one_for_each_item(log: Log) -> None:
    clicked = ClickedSessions(wishes=True)
    for part in np.array_split(log.rows, 7):
        clicked.add(part)
    train, test = clicked.visits()
    wanted = log.rows[np.isin(log.rows["kind"], WISHES)]
    bought = wanted["kind"] == PURCHASE
    for visit in (*train[:200], *test[:50]):
        session = int(visit["session"][0])
        own = wanted[wanted["session"] == session]
        told = [
            (int(event["ts_ms"]), int(event["kind"]), item)
            for event in own
            for item in (
                event["cart"][event["cart"] >= 0].tolist() if event["kind"] == PURCHASE else [int(event["item"])]
            )
        ]
        assert list(zip(visit["ts_ms"].tolist(), visit["kind"].tolist(), visit["item"].tolist(), strict=True)) == told
    assert bought.any() and any((visit["kind"] == PURCHASE).sum() > 1 for visit in train)
    ids = [f"i{n}" for n in range(int(wanted["item"].max()) + 1)]
    first, *others = rows(train[:1], ids).decode().splitlines()
    assert first == "SessionId\tItemId\tTime\tAction" and len(others) == len(train[0])
    one = train[0][0]
    assert others[0].split("\t") == [
        str(one["session"]), f"i{one['item']}", f"{one['ts_ms'] / 1000:.3f}", KINDS[one["kind"]],
    ]  # fmt: skip


def test_nothing_gives_nothing() -> None:
    assert ClickedSessions().split() == ([], [])


@pytest.mark.parametrize("setting", ["intent", "markov"])
def test_item_knn_beats_popularity_on_held_out_shoppers(setting: Setting) -> None:
    items = generate_items(400)
    traffic, clicked = traffic_of(items, 90_000, setting=setting), ClickedSessions()
    for part in traffic.parts():
        clicked.add(part)
    train, test = clicked.split()
    popular = np.bincount(np.concatenate(train), minlength=len(items)).astype(float)
    together = np.zeros((len(items), len(items)))
    for visit in train:
        own = np.unique(visit)
        together[np.ix_(own, own)] += 1
    np.fill_diagonal(together, 0)
    near = together / np.sqrt(np.outer(popular + 10, popular + 10))

    def hit_rate(scores: np.ndarray, target: int) -> bool:
        return bool((scores >= scores[target]).sum() <= 20)

    steps = [(visit[n - 1], visit[n]) for visit in test for n in range(1, len(visit))]
    by_popularity = np.mean([hit_rate(popular, target) for _, target in steps])
    by_neighbours = np.mean([hit_rate(near[last] + 1e-9 * popular, target) for last, target in steps])
    assert len(steps) > 150
    assert by_neighbours > 1.3 * by_popularity
