"""The ranker's training: what it learns, that position does not leak into it, that an interrupted run ends the same."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from rtp_monolith.training.export_mmoe import parity, ranker_graph, run_ranker
from rtp_monolith.training.gains import permutation_gains
from rtp_monolith.training.measures import auc
from rtp_monolith.training.ranker import (
    Epoch,
    RankerSettings,
    Rows,
    TrainedRanker,
    WantedRows,
    listwise,
    pairwise,
    train_ranker,
)
from tests.training.rankers import REQUEST, SMALL, made_rows

SLICES = (made_rows(1200, 1), made_rows(300, 2, 1200), made_rows(300, 3, 1500))
JUDGED = made_rows(1000, 4, 1800)


def trained(settings: RankerSettings = SMALL, **more: object) -> TrainedRanker:
    return train_ranker(*SLICES, settings, seed=7, request_names=REQUEST, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def ranker() -> TrainedRanker:
    return trained()


@pytest.mark.parametrize("loss", ["pointwise", "pairwise", "listwise"])
def test_it_learns_what_decides(loss: str) -> None:
    made = trained(msgspec.structs.replace(SMALL, loss=loss))
    truth = 15.0 * JUDGED.features[:, 2] + 1.5 * JUDGED.features[:, 3]
    scores = made.probabilities(JUDGED.features)[:, 0]
    first = JUDGED.position == 0
    # At one position, no order can do better than the rule that made the clicks.
    assert auc(scores[first], JUDGED.labels[first, 0]) > auc(truth[first], JUDGED.labels[first, 0]) - 0.02
    bias = made.model.shown_at(torch.arange(4))[:, 0].tolist()
    assert bias == sorted(bias, reverse=True) and bias[0] - bias[3] > 0.8, "position is learned apart"


def test_calibrated_probabilities_are_right_on_average(ranker: TrainedRanker) -> None:
    made = ranker.probabilities(JUDGED.features)
    for head in range(3):
        rate = JUDGED.labels[:, head].mean()
        # Within four deviations of what 1,500 rows can tell.
        assert made[:, head].mean() == pytest.approx(rate, abs=4 * np.sqrt(rate / 1500))
    assert [one.rows for one in ranker.calibration] == [1500, 1500, 1500]


def test_an_interrupted_run_ends_the_same(tmp_path: Path, ranker: TrainedRanker) -> None:
    class Killed(Exception):
        pass

    def kill(epoch: Epoch, _: int) -> None:
        if epoch.epoch == 1:
            raise Killed

    checkpoint = tmp_path / "ranker.pt"
    with pytest.raises(Killed):
        trained(checkpoint=checkpoint, report=kill)
    numbers: list[int] = []
    again = trained(checkpoint=checkpoint, report=lambda epoch, _: numbers.append(epoch.epoch))
    assert numbers == [2, 3]
    assert again.epochs == ranker.epochs and again.calibration == ranker.calibration
    for name, value in ranker.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


def test_training_stops_when_nothing_improves(tmp_path: Path) -> None:
    broken = np.zeros_like(SLICES[1].labels)
    stopping = Rows(SLICES[1].features, SLICES[1].names, broken, SLICES[1].position, SLICES[1].lists)
    settings = msgspec.structs.replace(SMALL, epochs=40, patience=2, learning_rate=0.05)
    made = train_ranker(SLICES[0], stopping, SLICES[2], settings, seed=1, request_names=REQUEST)
    losses = [one.validation for one in made.epochs]
    assert len(losses) < 40 and min(losses[:-2]) <= min(losses[-2:])


def test_the_graph_says_what_the_model_says(ranker: TrainedRanker) -> None:
    graph = ranker_graph(ranker)
    assert graph == ranker_graph(ranker), "the same bytes every time"
    rows = JUDGED.features[:, ranker.used]
    for start, size in ((0, 5), (5, 1), (10, 0)):
        assert parity(graph, ranker, rows[start : start + size]) < 1e-5
    assert run_ranker(graph, rows[:0]).shape == (0, 3)


def test_a_bent_calibration_is_in_the_graph_too() -> None:
    made = trained(msgspec.structs.replace(SMALL, calibration="isotonic"))
    assert any(each.curve.bends for each in made.calibration), "there is something to bend"
    graph, rows = ranker_graph(made), JUDGED.features[:, made.used]
    for start, size in ((0, 5), (5, 1), (10, 0)):
        assert parity(graph, made, rows[start : start + size]) < 1e-5
    expected, own = made.probabilities(JUDGED.features).mean(axis=0), JUDGED.labels.mean(axis=0)
    assert expected == pytest.approx(own, abs=0.02)


def test_the_graph_reads_the_requests_columns_from_the_first_row(ranker: TrainedRanker) -> None:
    graph = ranker_graph(ranker)
    rows = JUDGED.features[:10][:, ranker.used].copy()
    same = rows.copy()
    same[:, 0] = rows[0, 0]
    assert np.array_equal(run_ranker(graph, rows), run_ranker(graph, same))
    assert run_ranker(graph, same) == pytest.approx(run_ranker(graph, same[::-1].copy())[::-1], abs=1e-6)


def test_noise_is_named_as_without_gain(ranker: TrainedRanker) -> None:
    gains = permutation_gains(ranker.probabilities, JUDGED, ranker.model.columns.names, 0)
    found = {one.feature: one for one in gains}
    assert not found["noise"].useful
    assert found["item_ctr_7d"].useful and found["cross_clicked"].useful
    assert [one.feature for one in gains[:2]] == ["item_ctr_7d", "cross_clicked"]
    assert found["item_ctr_7d"].click_auc > 0.05


def test_losses_of_order_on_two_lists() -> None:
    scores = torch.tensor([1.0, 0.0, 2.0, 2.0])
    labels, lists = torch.tensor([1.0, 0.0, 0.0, 1.0]), torch.tensor([0, 0, 1, 1])
    share = np.exp(1) / (np.exp(1) + 1)
    assert float(listwise(scores, labels, lists)) == pytest.approx(-(np.log(share) + np.log(0.5)) / 2)
    assert float(pairwise(scores, labels, lists)) == pytest.approx((np.log1p(np.exp(-1)) + np.log(2)) / 2)
    nothing = torch.zeros(4)
    assert float(listwise(scores, nothing, lists)) == 0.0 and float(pairwise(scores, nothing, lists)) == 0.0


def wanted(count: int, seed: int) -> WantedRows:
    """Pools of 30 of which one is wanted, by item_ctr_7d; of the last 20 of each only every fourth row is kept, unless
    it is wanted."""
    rng = np.random.default_rng(seed)
    rows = made_rows(6 * count, seed).features
    score = (40.0 * rows[:, 2] + rng.gumbel(size=len(rows))).reshape(count, 30)
    gain = (score == score.max(axis=1, keepdims=True)).ravel()
    place = np.tile(np.arange(30), count)
    rows[:, 4] = place
    kept = (place < 10) | gain | (place % 4 == 0)
    stands_for = np.where(gain | (place < 10), 1.0, 4.0).astype(np.float32)
    pools = np.repeat(np.arange(count), 30).astype(np.int32)
    return WantedRows(rows[kept], gain[kept].astype(np.float32), stands_for[kept], pools[kept])


POOLS = (wanted(600, 5), wanted(150, 6))


def test_a_pool_teaches_the_order_and_shown_rows_the_level() -> None:
    settings = msgspec.structs.replace(SMALL, pool_weight=1.0)
    made, alone = trained(settings, pools=POOLS), trained(settings)
    assert made.epochs[-1].pools < np.log(30) - 0.5 and alone.epochs[-1].pools == 0.0
    assert made.epochs[-1].validation > made.epochs[-1].pools
    # What a pool asks for is steeper than what was clicked; calibration takes that back.
    rate = JUDGED.labels[:, 0].mean()
    assert made.probabilities(JUDGED.features)[:, 0].mean() == pytest.approx(rate, abs=4 * np.sqrt(rate / 1500))


def test_what_is_kept_because_it_is_wanted_teaches_nothing_of_its_place() -> None:
    """Below the tenth place what is wanted is always kept and the rest seldom; a row that stands for four says so."""
    settings = msgspec.structs.replace(SMALL, pool_weight=1.0)
    low, high = (np.repeat(JUDGED.features[:300], 2, axis=0) for _ in range(2))
    low[:, 4], high[:, 4] = 25.0, 5.0
    rises = []
    for honest in (True, False):
        pools = (
            POOLS
            if honest
            else tuple(WantedRows(each.features, each.gain, np.ones_like(each.gain), each.pools) for each in POOLS)
        )
        made = trained(settings, pools=pools)
        rises.append(float((made.logits(low) - made.logits(high))[:, 0].mean()))
    # A row that is one of four and does not say so is thought four times as seldom passed over: log 4 is 1.39.
    assert 0.7 < rises[1] - rises[0] < 2.2


def test_an_interrupted_run_with_pools_ends_the_same(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(SMALL, epochs=2)
    whole = trained(settings, pools=POOLS)
    trained(msgspec.structs.replace(settings, epochs=2), pools=POOLS, checkpoint=tmp_path / "ranker.pt")
    again = trained(settings, pools=POOLS, checkpoint=tmp_path / "ranker.pt")
    assert again.epochs == whole.epochs and again.calibration == whole.calibration
