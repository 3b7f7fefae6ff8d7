"""`rtp tune` without the command: settings of a neural model by trial, on validation only.

Tree-structured Parzen estimation (Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011) by
Optuna, seeded; the first trial is the recipe of the data's profile, so the result is at least that. Invariant: no test
case exists here: the split's test is never asked for. It does not know how settings are shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import optuna

from rtp_monolith.clock import Clock
from rtp_monolith.errors import DataError
from rtp_monolith.training import auto
from rtp_monolith.training.evaluate import Request, fit_data, prepare
from rtp_monolith.training.learners import Encoder
from rtp_monolith.training.settings import Settings


class Trial(msgspec.Struct, frozen=True):
    """What was changed, the NDCG on validation (None if the loss ran away), epochs and seconds."""

    changes: dict[str, Any]
    ndcg: float | None
    epochs: float
    seconds: float


class Tuned(msgspec.Struct, frozen=True):
    """The best settings and the way to them; `recipe_ndcg` is the first trial's."""

    model: str
    settings: Settings
    ndcg: float
    recipe_ndcg: float
    trials: list[Trial]


def tune(request: Request, trials: int, clock: Clock, tell: Callable[[str], None]) -> Tuned:
    """At most `trials` trainings within the time. Raises DataError."""
    prepared = prepare(request, tell)
    data = fit_data(prepared, request.k)
    validation = prepared.parts.validation(data.known)
    if not len(validation):
        raise DataError("the validation slice asks for nothing: no session in it has two items", code="no_cases")
    seen = auto.profile(data.sessions, int(data.trained.sum()), validation.removes_seen)
    base = auto.settings_of(request.model, seen, request.changes)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=request.seed))
    study.enqueue_trial(_start(base))
    done: list[Trial] = []
    for number in range(trials):
        began_s = clock.monotonic_s()
        asked = study.ask()
        changes = _suggest(asked, base)
        share_s = (request.until_s - began_s) / (trials - number)
        if number and share_s < 0.2 * max(each.seconds for each in done):
            tell(f"the time is up after {number} of {trials} trials")
            break
        learner = Encoder(request.model, auto.settings_of(request.model, seen, changes), request.seed, clock)
        try:
            learner.learn(data, validation, began_s + share_s, again=False)
            ndcg: float | None = learner.ndcg
        except DataError as error:
            if error.code not in ("loss_not_finite", "scores_not_finite"):
                raise
            ndcg = None
        study.tell(asked, 0.0 if ndcg is None else ndcg)
        done.append(Trial(changes, ndcg, learner.epochs, round(clock.monotonic_s() - began_s, 3)))
        best = max(each.ndcg or 0.0 for each in done)
        said = "diverged" if ndcg is None else f"NDCG {ndcg:.4f}"
        tell(f"trial {number + 1} of {trials}: {said} in {done[-1].seconds:.0f} s, best {best:.4f}: {changes}")
    first = max(done, key=lambda each: -math.inf if each.ndcg is None else each.ndcg)
    if first.ndcg is None:
        raise DataError("every trial's loss ran away", code="loss_not_finite")
    settings = auto.settings_of(request.model, seen, first.changes)
    return Tuned(request.model, settings, first.ndcg, done[0].ndcg or 0.0, done)


def _start(base: Settings) -> dict[str, Any]:
    """The recipe as the first trial, inside the bounds of `_suggest`."""
    names = ["learning_rate", "dropout", "embedding_dropout", "weight_decay", "layers", "width"]
    names += ["temperature"] if base.scoring == "cosine" else []
    names += ["negatives"] if base.loss not in ("full", "in-batch") else []
    return {name: getattr(base, name) for name in names}


def _suggest(trial: optuna.Trial, base: Settings) -> dict[str, Any]:
    """Around the recipe: what a recipe cannot know of the data."""
    rate, width = base.learning_rate, base.width
    changes: dict[str, Any] = {
        "learning_rate": trial.suggest_float("learning_rate", rate / 4, rate * 4, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.6),
        "embedding_dropout": trial.suggest_float("embedding_dropout", 0.0, 0.6),
        "weight_decay": trial.suggest_float("weight_decay", 1e-4, 0.3, log=True),
        "layers": trial.suggest_int("layers", 1, max(3, base.layers)),
        "width": trial.suggest_categorical("width", sorted({width // 2, width, width * 2} - {0})),
    }
    if base.scoring == "cosine":
        changes["temperature"] = trial.suggest_float("temperature", 0.03, 0.3, log=True)
    if base.loss not in ("full", "in-batch"):
        low = max(1, base.negatives // 8)
        changes["negatives"] = trial.suggest_int("negatives", low, base.negatives * 2, log=True)
    return changes
