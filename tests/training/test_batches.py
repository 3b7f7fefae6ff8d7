"""Windows and batches: every click but the first is a target exactly once, in every epoch."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from rtp_monolith.training.batches import Windows


def sessions() -> list[list[int]]:
    """Items name their place, so that targets can be counted."""
    rng, made, item = np.random.default_rng(1), [], 0
    for length in [0, 1, 2, 3, 50, 51, 52, 103, *rng.integers(1, 40, size=200).tolist()]:
        made.append(list(range(item, item + length)))
        item += length
    return made


@pytest.mark.parametrize("length_max", [1, 3, 50])
@pytest.mark.parametrize("batch_tokens", [1, 64, 100_000])
def test_every_click_but_the_first_is_a_target_once(length_max: int, batch_tokens: int) -> None:
    given = sessions()
    windows = Windows(given, length_max, batch_tokens)
    for epoch in (0, 1):
        found: Counter[int] = Counter()
        for numbers in windows.epoch(7, epoch):
            items, lengths, _, marks = windows.batch(numbers)
            assert marks is None
            assert items.shape[1] == lengths.max() + 1 <= length_max + 1
            assert len(lengths) == 1 or items[:, 1:].size <= batch_tokens
            for row, length in zip(items.tolist(), lengths.tolist(), strict=True):
                assert row[: length + 1] == list(range(row[0], row[0] + length + 1))
                assert set(row[length + 1 :]) <= {0}
                found.update(row[1 : length + 1])
        assert found == Counter(item for session in given for item in session[1:])
    counts = windows.target_counts(sum(map(len, given)))
    assert counts.tolist() == [found[item] for item in range(len(counts))]
    assert windows.targets == counts.sum()


def test_the_order_is_of_the_seed_and_the_epoch() -> None:
    windows = Windows(sessions(), 50, 256)
    orders = [[batch.tolist() for batch in windows.epoch(*which)] for which in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2] != orders[3] != orders[0]


def test_batches_hold_sessions_of_like_length() -> None:
    windows = Windows(sessions(), 50, 256)
    padded = sum(windows.batch(numbers).items[:, 1:].size for numbers in windows.epoch(0, 0))
    assert padded < 1.2 * windows.targets


def test_nothing_to_learn_has_no_batches() -> None:
    windows = Windows([[], [4]], 50, 256)
    assert len(windows) == 0 and windows.epoch(0, 0) == []


def test_marks_are_of_the_inputs_and_the_first_of_a_window_has_none_before() -> None:
    given = sessions()
    marks = [np.array([[place + 1, item % 7] for place, item in enumerate(own)]).reshape(-1, 2) for own in given]
    windows, plain = Windows(given, 3, 64, marks), Windows(given, 3, 64)
    starts = {session[0]: n for n, session in enumerate(given) if session}
    for numbers in windows.epoch(7, 0):
        batch = windows.batch(numbers)
        assert batch.marks is not None and batch.marks.shape == (len(numbers), batch.items.shape[1] - 1, 2)
        assert (batch.items == plain.batch(numbers).items).all()
        for row, length in enumerate(batch.lengths.tolist()):
            begin = int(batch.items[row, 0])
            session = given[starts[max(start for start in starts if start <= begin)]]
            want = [[begin - session[0] + n + 1, (begin + n) % 7] for n in range(length)]
            want[0][0] = 0
            assert batch.marks[row, :length].tolist() == want
            assert not batch.marks[row, length:].any()
