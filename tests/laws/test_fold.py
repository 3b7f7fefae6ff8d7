"""The laws of the fold: views are a function of the log, and shared counts of the set of its events."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from tests.laws.fold import Frame, Views, fold, fold_whole, read_frames, select, write_log
from tests.simulation.traffic import Body, Client
from tests.simulation.views import item_counts, item_entries

SEED = 5
USER_RECORD = b"u"
LINK = 6
ITEMS_EVERYONE_SEES = range(60)


def catalogue() -> Body:
    """The items that traffic touches, half of them with categories and prices."""
    records = [
        {"id": f"i{n}", "title": f"item {n}", "price": 1.5 * n, "categories": [f"c{n % 4} > d{n % 9}"]}
        for n in ITEMS_EVERYONE_SEES
    ]
    return Body("items", records, 0, json.dumps(records).encode())


def traffic(bodies: int = 30, *, relinks: bool = True) -> list[Body]:
    clients = [Client(SEED, name, relinks=relinks) for name in ("a", "b")]
    return [catalogue(), *(clients[n % 2].body(60) for n in range(bodies))]


def pieces(body: Body, n: int) -> list[Body]:
    """The same records in bodies of n."""
    if body.kind != "events":
        return [body]
    parts = [body.records[at : at + n] for at in range(0, len(body), n)]
    return [Body("events", part, 0, json.dumps(part).encode()) for part in parts]


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[Frame]:
    data = tmp_path_factory.mktemp("log") / "data"
    write_log(data, traffic())
    found = read_frames(data)
    assert len(found) > 1_500 and sum(frame.kind == LINK for frame in found) > 10
    return found


@pytest.fixture(scope="module")
def views(frames: list[Frame]) -> Views:
    return fold(frames)


@pytest.mark.parametrize("n", [2, 7, 1_000])
def test_how_many_frames_are_folded_at_once_does_not_matter(frames: list[Frame], views: Views, n: int) -> None:
    assert fold_whole(frames, n) == views


@pytest.mark.parametrize("every", [1, 13, 400])
def test_when_views_are_flushed_does_not_matter(frames: list[Frame], views: Views, every: int) -> None:
    assert fold(frames, flush_every=every) == views


@pytest.mark.parametrize(("every", "users"), [(1, 0), (5, 3), (50, 20)])
def test_which_users_are_in_memory_does_not_matter(frames: list[Frame], views: Views, every: int, users: int) -> None:
    assert fold(frames, flush_every=every, users_max=users) == views


@pytest.mark.parametrize("every", [97, 600])
def test_a_fold_goes_on_from_its_views(frames: list[Frame], views: Views, every: int) -> None:
    assert fold(frames, restart_every=every) == views


@pytest.mark.parametrize("n", [1, 9, 25])
def test_the_size_of_bodies_does_not_matter(tmp_path: Path, n: int) -> None:
    whole = write_log(tmp_path / "whole", traffic(10))
    parts = write_log(tmp_path / "parts", [part for body in traffic(10) for part in pieces(body, n)])
    assert len(whole) > 40
    assert {key: json.loads(state) for key, state in parts.items()} == {k: json.loads(s) for k, s in whole.items()}


def test_a_partition_folds_alone(tmp_path: Path) -> None:
    """User records by partition are those of the whole; counts of items are sums. Items go to every partition."""
    write_log(tmp_path / "data", traffic(relinks=False))
    frames = read_frames(tmp_path / "data")
    whole = fold(frames)
    halves = [fold(frame for frame in frames if frame.kind in (2, 3, 4) or (frame.partition < 128) is low)
              for low in (True, False)]  # fmt: skip

    def of_users(views: Views, low: bool) -> Views:
        return select(views, lambda key, value: is_user(key, value) and (key[1] == 0 and key[2] < 128) is low)

    for half, low in zip(halves, (True, False), strict=True):
        assert of_users(half, low) == of_users(whole, low)
        assert len(of_users(half, low)) > 3
    counts, (left, right) = item_counts(whole.items()), [item_counts(half.items()) for half in halves]
    assert len(counts) > 50
    for item, both in counts.items():
        parts = [side[item] for side in (left, right) if item in side]
        for event_type, total in both.totals.items():
            assert total == sum(part.totals.get(event_type, 0) for part in parts)
            assert both.newest_ms[event_type] == max(part.newest_ms.get(event_type, 0) for part in parts)
        assert both.moments == [sum(column) for column in zip(*(part.moments for part in parts), strict=True)]


def is_user(key: bytes, value: bytes) -> bool:
    """A record of the users' namespace; the other one is that of sessions."""
    return key[:1] == USER_RECORD and value[0] == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_users_does_not_matter_for_shared_counts(tmp_path: Path, seed: int) -> None:
    """Two interleavings of the same users, each in its own order: items and categories have the same counts."""
    clients = {name: [Client(SEED, name) for _ in range(2)] for name in "abcd"}
    rounds = [name for name in clients for _ in range(6)]
    shuffled = rounds.copy()
    Random(seed).shuffle(shuffled)
    assert rounds != shuffled
    found = []
    for at, order in enumerate((rounds, shuffled)):
        data = tmp_path / f"{at}"
        write_log(data, [catalogue(), *(clients[name][at].body(60) for name in order)])
        found.append(fold(read_frames(data)))
    one, other = found
    assert item_entries(one.items()) == item_entries(other.items())
    for space in (b"c", b"x"):
        chosen = select(one, lambda key, _, space=space: key[:1] == space)  # type: ignore[misc]
        assert chosen and chosen == select(other, lambda key, _, space=space: key[:1] == space)  # type: ignore[misc]
    assert {k: v for k, v in one.items() if k[:1] == USER_RECORD}.keys() == {k for k in other if k[:1] == USER_RECORD}


def test_a_log_is_folded_in_its_order(frames: list[Frame]) -> None:
    """Frames that were folded are not folded again, so reading a part of the log twice changes nothing."""
    assert all(left.offset < right.offset for left, right in pairwise(frames))
    again = [*frames[:300], *frames[100:300], *frames[300:]]
    assert fold(again) == fold(frames)
