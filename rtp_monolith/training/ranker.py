"""The ranker's training: losses, early stopping on a later slice, checkpoints, calibration on a slice of its own.

Invariant: settings, seed and data determine the model, whether or not the run was interrupted: an epoch's order of
lists is drawn from (seed, epoch) alone. It does not know where rows come from, nor what serves the model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from rtp_monolith.training.calibration import Calibration, Method, calibrate
from rtp_monolith.training.measures import auc, log_loss
from rtp_monolith.training.models.mmoe import Columns, Mmoe, MmoeSettings, fit_columns

Loss = Literal["pointwise", "pairwise", "listwise"]
SCORED_ROWS = 16_384
BATCH_ROWS_MIN = 128
STEPS_MIN = 32
"""A short log still gets so many steps an epoch, of smaller batches."""


class RankerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`loss` pairwise or listwise is added, `order_weight` times, to the pointwise one, on clicks within a list;
    `pool_weight` times the softmax of the click logit over a pool of candidates, about `pool_rows` rows a step."""

    model: MmoeSettings = MmoeSettings()
    loss: Loss = "listwise"
    order_weight: float = 0.3
    pool_weight: float = 0.3
    pool_rows: int = 1024
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    batch_rows: int = 2048
    epochs: int = 8
    patience: int = 6
    calibration: Method = "platt"


class Rows(msgspec.Struct, frozen=True):
    """Training rows in time order, those of a list together: `features` f32 [n, F] under `names`, `labels` u8
    [n, heads], `position` i64 [n], `lists` i32 [n] ascending."""

    features: NDArray[np.float32]
    names: list[str]
    labels: NDArray[np.uint8]
    position: NDArray[np.int64]
    lists: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, where: slice) -> Rows:
        return Rows(self.features[where], self.names, self.labels[where], self.position[where], self.lists[where])


class WantedRows(msgspec.Struct, frozen=True):
    """Rows of pools of candidates and what was wanted of each: `features` f32 [n, F], `gain` f32 [n] with a sum of 1 in
    a pool, `stands_for` f32 [n] (how many candidates a row stands for), `pools` i32 [n] ascending from 0."""

    features: NDArray[np.float32]
    gain: NDArray[np.float32]
    stands_for: NDArray[np.float32]
    pools: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.gain)


class Epoch(msgspec.Struct, frozen=True):
    """One pass: mean training loss; on the stopping slice the loss that stops (log-loss summed over heads and
    `pool_weight` times the pools'), the pools' log-loss (0 without any), AUC of clicks."""

    epoch: int
    loss: float
    validation: float
    pools: float
    click_auc: float


class TrainedRanker(msgspec.Struct, frozen=True):
    """The best model of a run, in evaluation mode. `used` says which columns of the rows are its inputs, `neutral` is
    the mean position bias of the training rows per head, `calibration` one entry a head."""

    model: Mmoe
    used: list[int]
    neutral: list[float]
    calibration: list[Calibration]
    epochs: list[Epoch]

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw rows [n, F of the rows] → logits at the neutral position [n, heads]."""
        parts = [np.zeros((0, self.model.heads), np.float32)]
        neutral = torch.tensor(self.neutral)
        with torch.no_grad():
            for start in range(0, len(features), SCORED_ROWS):
                rows = torch.from_numpy(np.ascontiguousarray(features[start : start + SCORED_ROWS][:, self.used]))
                parts.append((self.model(rows) + neutral).numpy())
        return np.concatenate(parts)

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated probabilities at the neutral position [n, heads]."""
        logits = self.logits(features)
        curves = [each.curve for each in self.calibration]
        made = [curve.probabilities(logits[:, head]) for head, curve in enumerate(curves)]
        return np.stack(made, axis=1).astype(np.float32)


Report = Callable[[Epoch, int], None]
"""(epoch done, epochs at most)."""
Step = Callable[[int, int, float], None]
"""(batches done of the epoch, batches, running loss)."""


def train_ranker(
    train: Rows,
    validation: Rows,
    calibration: Rows,
    settings: RankerSettings,
    *,
    seed: int,
    request_names: frozenset[str],
    pools: tuple[WantedRows, WantedRows] | None = None,
    checkpoint: Path | None = None,
    report: Report | None = None,
    step: Step | None = None,
) -> TrainedRanker:
    """Trains on `train`, stops by `validation`, calibrates on `calibration`; `pools` to train on and to stop by have
    the same columns. With `checkpoint` every epoch is kept there and an interrupted run goes on. Raises ValueError when
    there is nothing to learn from.

    A softmax over a pool is blind to the level of the logits, and the rows that were shown pin it: one logit orders
    pools and is calibrated where people looked."""
    seen = train.features if pools is None else np.concatenate([train.features, pools[0].features])
    columns, used = fit_columns(seen, train.names, request_names)
    del seen
    model = _fresh(columns, train.labels, settings, seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    run = _Run.resumed(checkpoint, model, optimizer)
    data = _Tensors(train, used)
    learned, judged = (None, None) if pools is None else (_PoolTensors(each, used) for each in pools)
    while len(run.epochs) < settings.epochs and not run.exhausted(settings.patience):
        number = len(run.epochs)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * 0.5 * (1.0 + float(np.cos(np.pi * number / settings.epochs)))
        loss = _pass(model, optimizer, data, learned, settings, seed, number, step)
        epoch = _validate(model, validation, judged, settings, used, number, loss)
        run.add(epoch, model)
        run.save(checkpoint, model, optimizer)
        if report is not None:
            report(epoch, settings.epochs)
    model.load_state_dict(run.best)
    model.eval()
    with torch.no_grad():
        neutral = model.shown_at(data.position).mean(dim=0).tolist()
    raw = TrainedRanker(model, used, neutral, [], run.epochs)
    logits, labels = raw.logits(calibration.features), calibration.labels
    heads = range(labels.shape[1])
    curves = [calibrate(logits[:, head], labels[:, head], settings.calibration) for head in heads]
    return msgspec.structs.replace(raw, calibration=curves)


def _fresh(columns: Columns, labels: NDArray[np.uint8], settings: RankerSettings, seed: int) -> Mmoe:
    """A model that starts at the heads' base rates."""
    model = Mmoe(columns, labels.shape[1], settings.model, torch.Generator().manual_seed(seed))
    rate = np.clip(labels.mean(axis=0), 1e-4, 0.5)
    with torch.no_grad():
        model.tower_out_bias.copy_(torch.from_numpy(np.log(rate / (1 - rate)).astype(np.float32)))
    return model


class _Batches:
    """Where each list begins and ends, and batches of whole ones."""

    def __init__(self, lists: NDArray[np.int32]) -> None:
        first = np.r_[True, lists[1:] != lists[:-1]] if len(lists) else np.zeros(0, bool)
        self.starts = np.flatnonzero(first)
        self.sizes = np.diff(np.r_[self.starts, len(lists)])

    def batches(self, generator: np.random.Generator, rows: int) -> list[tuple[Tensor, Tensor]]:
        """(row numbers, list number within the batch) of batches of whole lists, about `rows` each."""
        order = generator.permutation(len(self.starts))
        sizes = self.sizes[order]
        ends = np.cumsum(sizes)
        number = (ends - 1) // rows
        made = []
        for part in np.split(np.arange(len(order)), np.flatnonzero(np.diff(number)) + 1):
            n = sizes[part]
            within = np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n)
            at = np.repeat(self.starts[order[part]], n) + within
            made.append((torch.from_numpy(at), torch.from_numpy(np.repeat(np.arange(len(part)), n))))
        return made


class _Tensors(_Batches):
    """The training rows as tensors."""

    def __init__(self, rows: Rows, used: list[int]) -> None:
        super().__init__(rows.lists)
        self.features = torch.from_numpy(np.ascontiguousarray(rows.features[:, used]))
        self.labels = torch.from_numpy(rows.labels.astype(np.float32))
        self.position = torch.from_numpy(rows.position)


class _PoolTensors(_Batches):
    """Rows of pools as tensors; `bias` is the logarithm of how many candidates a row stands for, which makes the sum
    over the rows that of the whole pool (log-q; Bengio and Senécal, 2008)."""

    def __init__(self, wanted: WantedRows, used: list[int]) -> None:
        super().__init__(wanted.pools)
        self.features = torch.from_numpy(np.ascontiguousarray(wanted.features[:, used]))
        self.gain = torch.from_numpy(wanted.gain)
        self.bias = torch.from_numpy(np.log(wanted.stands_for))

    def loss(self, model: Mmoe, at: Tensor, pools: Tensor) -> Tensor:
        """Cross-entropy of what was wanted, under the softmax of the click logit over whole pools."""
        return listwise(model(self.features[at])[:, 0] + self.bias[at], self.gain[at], pools)


def _pass(
    model: Mmoe,
    optimizer: torch.optim.Optimizer,
    data: _Tensors,
    pools: _PoolTensors | None,
    settings: RankerSettings,
    seed: int,
    epoch: int,
    step: Step | None,
) -> float:
    """One epoch; the mean loss of its batches."""
    model.train()
    torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))
    rows = min(settings.batch_rows, max(BATCH_ROWS_MIN, len(data.features) // STEPS_MIN))
    batches = data.batches(np.random.default_rng([seed, epoch]), rows)
    wanted = [] if pools is None else pools.batches(np.random.default_rng([seed, epoch, 1]), settings.pool_rows)
    total = 0.0
    for number, (at, lists) in enumerate(batches, start=1):
        logits = model(data.features[at]) + model.shown_at(data.position[at])
        loss = functional.binary_cross_entropy_with_logits(logits, data.labels[at], reduction="none").mean(0).sum()
        if settings.loss != "pointwise":
            order_loss = listwise if settings.loss == "listwise" else pairwise
            loss = loss + settings.order_weight * order_loss(logits[:, 0], data.labels[at][:, 0], lists)
        if pools is not None and wanted:
            loss = loss + settings.pool_weight * pools.loss(model, *wanted[(number - 1) % len(wanted)])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        total += float(loss.detach())
        if step is not None:
            step(number, len(batches), total / number)
    return total / max(1, len(batches))


def listwise(scores: Tensor, labels: Tensor, lists: Tensor) -> Tensor:
    """Softmax cross-entropy of the positive rows among the rows of their list (ListNet top one); `lists` ascending
    from 0. 0 when no list has a positive row."""
    n = int(lists.max()) + 1 if len(lists) else 0
    top = torch.full((n,), -torch.inf).scatter_reduce(0, lists, scores.detach(), "amax")
    total = torch.zeros(n).index_add(0, lists, torch.exp(scores - top[lists]))
    log_share = scores - top[lists] - torch.log(total)[lists]
    return -(log_share * labels).sum() / labels.sum().clamp_min(1.0)


def pairwise(scores: Tensor, labels: Tensor, lists: Tensor) -> Tensor:
    """Logistic loss of every (positive, negative) pair of a list (RankNet), averaged over pairs; 0 without one."""
    positive = torch.nonzero(labels > 0).squeeze(1)
    # A list's rows stand together, so pairing each positive with all rows of the batch is masked to its own list.
    own = lists[positive][:, None] == lists[None, :]
    pairs = own & (labels <= 0)[None, :]
    gaps = scores[positive][:, None] - scores[None, :]
    return (functional.softplus(-gaps) * pairs).sum() / pairs.sum().clamp_min(1)


def _validate(
    model: Mmoe, rows: Rows, pools: _PoolTensors | None, settings: RankerSettings, used: list[int], number: int,
    loss: float,
) -> Epoch:  # fmt: skip
    model.eval()
    neutral = TrainedRanker(model, used, [0.0] * model.heads, [], [])
    # Judged with the positions the rows were shown at: that is what the labels were made under.
    with torch.no_grad():
        bias = model.shown_at(torch.from_numpy(rows.position)).numpy()
    logits = neutral.logits(rows.features) + bias
    probabilities = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
    heads = range(rows.labels.shape[1])
    total = sum(log_loss(probabilities[:, head], rows.labels[:, head]) for head in heads)
    of_pools = 0.0
    if pools is not None and len(pools.starts):
        parts = pools.batches(np.random.default_rng(0), SCORED_ROWS)
        with torch.no_grad():
            of_pools = sum(float(pools.loss(model, *part)) * (int(part[1][-1]) + 1) for part in parts)
        of_pools /= len(pools.starts)
    return Epoch(number, loss, total + settings.pool_weight * of_pools, of_pools, auc(logits[:, 0], rows.labels[:, 0]))


class _Run:
    """Epochs so far and the best weights, as a checkpoint keeps them."""

    def __init__(self, epochs: list[Epoch], best: dict[str, Tensor]) -> None:
        self.epochs = epochs
        self.best = best

    @classmethod
    def resumed(cls, path: Path | None, model: Mmoe, optimizer: torch.optim.Optimizer) -> _Run:
        if path is None or not path.exists():
            return cls([], {name: value.clone() for name, value in model.state_dict().items()})
        kept: dict[str, Any] = torch.load(path, weights_only=True)
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        return cls([msgspec.convert(each, Epoch) for each in kept["epochs"]], kept["best"])

    def add(self, epoch: Epoch, model: Mmoe) -> None:
        if all(epoch.validation < each.validation for each in self.epochs):
            self.best = {name: value.clone() for name, value in model.state_dict().items()}
        self.epochs.append(epoch)

    def exhausted(self, patience: int) -> bool:
        """No epoch of the last `patience` was the best."""
        losses = [each.validation for each in self.epochs]
        return len(losses) > patience and min(losses[:-patience]) <= min(losses[-patience:])

    def save(self, path: Path | None, model: Mmoe, optimizer: torch.optim.Optimizer) -> None:
        if path is None:
            return
        kept = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epochs": [msgspec.structs.asdict(each) for each in self.epochs],
            "best": self.best,
        }
        draft = path.with_suffix(".draft")
        torch.save(kept, draft)
        draft.replace(path)
