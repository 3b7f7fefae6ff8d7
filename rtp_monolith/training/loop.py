"""The one training loop of all neural session models.

AdamW (SparseAdam for the rows of a sampled table), linear warm-up, cosine decay to zero, early stopping on a judge's
word, a checkpoint after every epoch from which a killed run goes on, and a budget of seconds that the plan is cut to
as soon as the speed is known. Invariant: without a binding budget, data, settings and seed determine the weights on
one machine, resumed or not. It does not know what the judge measures (larger is better).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rtp_monolith.clock import Clock
from rtp_monolith.errors import DataError
from rtp_monolith.training.batches import Batch, Windows
from rtp_monolith.training.device import best
from rtp_monolith.training.models.encoder import SessionModel
from rtp_monolith.training.objective import Objective, Soft
from rtp_monolith.training.settings import Settings

Judge = Callable[[SessionModel], float]
Tell = Callable[[str], None]

BETAS = (0.9, 0.98)
PROBE_STEPS = 12
REPLAN_STEPS = 50
TELL_EVERY_S = 15.0


class Epoch(msgspec.Struct, frozen=True):
    """What became of one epoch; `metric` is the judge's, or None."""

    epoch: int
    loss: float
    metric: float | None
    seconds: float


class History(msgspec.Struct):
    """`best_epoch` (from 1) is what the weights are of; `steps_planned` is what the decay of the rate was laid out for;
    `cut` says whether the budget shortened the plan."""

    epochs: list[Epoch] = []
    best_epoch: int = 0
    steps: int = 0
    steps_planned: int = 0
    steps_per_epoch: int = 0
    seconds_per_step: float = 0.0
    judge_s: float = 0.0
    cut: bool = False


class Pass(NamedTuple):
    """How far to go: `epochs` lays out the decay, `stop_after` ends earlier, as a run that was stopped early did."""

    epochs: float
    stop_after: float


def train(
    model: SessionModel,
    sessions: Sequence[Sequence[int]],
    settings: Settings,
    *,
    seed: int,
    clock: Clock,
    judge: Judge | None = None,
    budget_s: float = math.inf,
    judgings_after: float = 0.0,
    to_run: Pass | None = None,
    checkpoint: Path | None = None,
    soft: Soft | None = None,
    marks: Sequence[NDArray[np.int64]] | None = None,
    tell: Tell = lambda _: None,
) -> History:
    """Trains in place on sessions of item numbers, oldest first; with a judge the best epoch's weights are left in the
    model, else the last's. `judgings_after` is how many times a judging's work the caller does within the budget,
    `soft` what a teacher says of every click, `marks` int64 [clicks, 2] of every session for a model that reads them.

    Raises DataError `nothing_to_learn` when no session has two items and `loss_not_finite` when the loss is NaN or
    infinite; a checkpoint then holds the last epoch that was good. Computes where `device.best` says; the model comes
    back on the CPU.
    """
    windows = Windows(sessions, settings.length_max, settings.batch_tokens, marks if settings.marked else None)
    if not len(windows):
        raise DataError("no session has two items: there is no next item to learn", code="nothing_to_learn")
    model.to(best())
    try:
        run = _Run(model, windows, settings, seed, clock, judge, budget_s, to_run, checkpoint, soft, tell)
        run.judgings_after = judgings_after
        return run.go()
    finally:
        model.to("cpu")


class _Run:
    """The state of one training."""

    def __init__(
        self,
        model: SessionModel,
        windows: Windows,
        settings: Settings,
        seed: int,
        clock: Clock,
        judge: Judge | None,
        budget_s: float,
        to_run: Pass | None,
        checkpoint: Path | None,
        soft: Soft | None,
        tell: Tell,
    ) -> None:
        self.model, self.windows, self.settings, self.seed = model, windows, settings, seed
        self.clock, self.judge, self.tell, self.checkpoint = clock, judge, tell, checkpoint
        self.to_run = to_run or Pass(settings.epochs, settings.epochs)
        self.began_s = clock.monotonic_s()
        self.ends_s = self.began_s + budget_s
        self.objective = Objective(model, windows, settings, soft)
        self.optimizers = optimizers(model, settings)
        self.history = History()
        self.best: dict[str, Tensor] | None = None
        self.whole_plan = 0
        self.judgings_after = 0.0
        self.spent_steps = 0
        self.told_s = self.began_s

    def go(self) -> History:
        history, history_epoch = self.history, self._resume()
        torch.manual_seed(self.seed if history_epoch == 0 else torch.initial_seed())
        if history_epoch:
            set_rng_states(self.rng_states)
        # A checkpoint may be of a run that had come to its end, and another epoch would be one too many.
        while (not history_epoch or self._goes_on(history_epoch)) and self._epoch(history_epoch):
            history_epoch += 1
        if self.best is not None:
            self.model.load_state_dict(self.best)
        self.model.eval()
        return history

    def _epoch(self, epoch: int) -> bool:
        """Trains one epoch, judges it; whether another one follows."""
        history, model = self.history, self.model
        batches = self.windows.epoch(self.seed, epoch)
        history.steps_per_epoch = len(batches)
        if not history.steps_planned:
            history.steps_planned = max(1, math.ceil(self.to_run.epochs * len(batches)))
        self.whole_plan = max(self.whole_plan, history.steps_planned)
        last = math.ceil(self.to_run.stop_after * len(batches))
        rng = np.random.default_rng([self.seed, epoch, 1])
        total, count, began_s = 0.0, 0, self.clock.monotonic_s()
        model.train()
        for at, windows in enumerate(batches):
            if history.steps >= min(last, history.steps_planned):
                break
            batch = self.windows.batch(windows)
            started_s = self.clock.monotonic_s()
            loss = self._step(batch, rng)
            if not math.isfinite(loss):
                raise DataError(
                    f"the loss is {loss} in epoch {epoch + 1}, step {at + 1}: lower the learning rate",
                    code="loss_not_finite",
                )
            total, count = total + loss * int(batch.lengths.sum()), count + int(batch.lengths.sum())
            self._note(started_s, epoch, total / count)
        if not count:
            return False
        return self._finish(epoch, total / count, began_s)

    def _step(self, batch: Batch, rng: np.random.Generator) -> float:
        history = self.history
        rate = self.settings.learning_rate * schedule(history.steps, history.steps_planned, self.settings.warmup_steps)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
        loss = self.objective(batch, rng)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.body.parameters(), 5.0)
        for optimizer in self.optimizers:
            optimizer.step()
        history.steps += 1
        return float(loss.detach())

    def _note(self, started_s: float, epoch: int, loss: float) -> None:
        """Keeps the speed, cuts the plan when the budget asks for it, says how far it is."""
        now_s, history = self.clock.monotonic_s(), self.history
        self.spent_steps += 1
        if self.spent_steps > 2:  # the first steps warm caches and allocators
            weight = 1.0 / min(self.spent_steps - 2, REPLAN_STEPS)
            history.seconds_per_step += weight * (now_s - started_s - history.seconds_per_step)
        if self.spent_steps == PROBE_STEPS or self.spent_steps % REPLAN_STEPS == 0 or now_s > self.ends_s:
            self._replan(now_s)
        if now_s - self.told_s >= TELL_EVERY_S:
            self.told_s = now_s
            left_s = (history.steps_planned - history.steps) * history.seconds_per_step
            self.tell(
                f"step {history.steps} of {history.steps_planned}, epoch {epoch + 1}, loss {loss:.4f}: {left_s:.0f} s"
            )

    def _replan(self, now_s: float) -> None:
        """Cuts the plan to the time that is left, and takes a cut back when a busy machine has become faster."""
        if math.isinf(self.ends_s):
            return
        history = self.history
        # Every epoch is judged, the last one even if it is cut short; then come the judgings of the caller.
        per_step_s = history.seconds_per_step + history.judge_s / history.steps_per_epoch
        left_s = self.ends_s - now_s - history.judge_s * (1.0 + self.judgings_after)
        affordable = max(0, int(left_s / max(per_step_s, 1e-9)))
        history.steps_planned = min(self.whole_plan, history.steps + affordable)
        history.cut = history.steps_planned < self.whole_plan

    def _finish(self, epoch: int, loss: float, began_s: float) -> bool:
        history, metric = self.history, None
        if self.judge is not None:
            self.model.eval()
            judging_s = self.clock.monotonic_s()
            metric = self.judge(self.model)
            history.judge_s = self.clock.monotonic_s() - judging_s
        seconds = self.clock.monotonic_s() - began_s
        best = max((each.metric or 0.0 for each in history.epochs), default=-1.0)
        history.epochs.append(Epoch(epoch + 1, loss, metric, seconds))
        if metric is None:
            history.best_epoch = epoch + 1
        elif metric > best:
            history.best_epoch = epoch + 1
            self.best = {name: value.clone() for name, value in self.model.state_dict().items()}
        judged = "" if metric is None else f", validation {metric:.4f}"
        self.tell(f"epoch {epoch + 1} of {self.to_run.epochs:g}: loss {loss:.4f}{judged}, {seconds:.1f} s")
        self._save(epoch + 1)
        return self._goes_on(epoch + 1)

    def _goes_on(self, done: int) -> bool:
        """Whether there is another epoch after so many."""
        history = self.history
        last = math.ceil(self.to_run.stop_after * history.steps_per_epoch)
        if history.steps >= min(last, history.steps_planned) or done >= self.to_run.stop_after:
            return False
        return self.judge is None or done - history.best_epoch < self.settings.patience

    def _signature(self) -> dict[str, Any]:
        return {
            "settings": msgspec.to_builtins(self.settings),
            "seed": self.seed,
            "targets": self.windows.targets,
            "taught": self.objective.soft.weight if self.objective.soft is not None else 0.0,
            "run": list(self.to_run),
        }

    def _save(self, epoch: int) -> None:
        if self.checkpoint is None:
            return
        document = {
            "signature": self._signature(),
            "epoch": epoch,
            "history": msgspec.to_builtins(self.history),
            "model": self.model.state_dict(),
            "best": self.best,
            "optimizers": [each.state_dict() for each in self.optimizers],
            "rng": rng_states(),
        }
        write_whole(document, self.checkpoint)

    def _resume(self) -> int:
        """The epochs that a checkpoint of the same run has behind it."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return 0
        try:
            found = torch.load(self.checkpoint, weights_only=True, map_location="cpu")
        except Exception as error:
            raise DataError(f"{self.checkpoint.name} cannot be read: {error}", code="checkpoint_unreadable") from error
        if found["signature"] != self._signature():
            raise DataError(
                f"{self.checkpoint.name} belongs to another training: other settings, seed or data",
                code="checkpoint_of_another_run",
            )
        self.model.load_state_dict(found["model"])
        for optimizer, state in zip(self.optimizers, found["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.best = found["best"]
        loaded = msgspec.convert(found["history"], History)
        for name in History.__struct_fields__:
            setattr(self.history, name, getattr(loaded, name))
        self.rng_states = found["rng"]
        self.tell(f"going on after epoch {found['epoch']}")
        return int(found["epoch"])


def rng_states() -> list[Tensor]:
    """Of the CPU's generator, then of each GPU's."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])]


def set_rng_states(states: Sequence[Tensor]) -> None:
    """What `rng_states` gave, on a machine with as many GPUs."""
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state_all(list(states[1:]))


def optimizers(model: SessionModel, settings: Settings) -> list[torch.optim.Optimizer]:
    """AdamW for everything dense; SparseAdam for the table when the loss touches only some of its rows."""
    table = [model.table.ids] if model.table.sparse else []
    dense = [each for each in model.parameters() if all(each is not other for other in table)]
    made: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(dense, lr=settings.learning_rate, betas=BETAS, weight_decay=settings.weight_decay, fused=True)
    ]
    if table:
        made.append(torch.optim.SparseAdam(table, lr=settings.learning_rate, betas=BETAS))
    return made


def schedule(step: int, planned: int, warmup: int) -> float:
    """The share of the learning rate at a step (from 0): linear warm-up, then a half cosine to zero."""
    warm = min(warmup, max(1, planned // 10))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - warm) / max(1, planned - warm))))


def write_whole(document: object, path: Path) -> None:
    """torch.save that leaves the old file or the new one, never half of one. Raises DataError `disk_refused`."""
    beside = path.with_name(path.name + ".part")
    try:
        torch.save(copy.copy(document), beside)
        beside.replace(path)
    except (OSError, RuntimeError) as error:
        beside.unlink(missing_ok=True)
        raise DataError(
            f"{path.name} cannot be written, the last good one is kept: {error}", code="disk_refused"
        ) from error
