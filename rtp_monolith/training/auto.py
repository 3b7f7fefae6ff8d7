"""Which model for which data: looks at size, lengths, repeats and density, and says why.

Nothing here sees test data. Sizes and epochs follow from the profile; which of the candidates wins, and with which
weights they are blended, is decided on validation by `learners.Mixture`. Invariant: the same profile gives the same
plan. It does not know how long anything takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from rtp_monolith.clock import Clock
from rtp_monolith.errors import DataError
from rtp_monolith.features.marks import Marks
from rtp_monolith.training.counting import NearItems, NearSessions, Popular, PopularInContext
from rtp_monolith.training.learner import Learner
from rtp_monolith.training.learners import BestOf, Encoder, Mixture
from rtp_monolith.training.settings import (
    BST,
    CORE,
    GRU4REC,
    SASREC_COSINE,
    SASREC_DOT,
    SESSION_GRAPH,
    TWO_TOWER,
    Loss,
    Settings,
)

TARGETS_MIN = 300
"""Below this many next items a neural model learns nothing that counting does not know."""
REFERENCE_TARGETS, REFERENCE_EPOCHS = 131_000, 18.0
"""Beauty's, from which the number of epochs goes with the square root of the size."""
FULL_ITEMS_MAX = 16_000
"""Up to here a softmax over all items costs little more than one over a sample."""


NOTHING: Mapping[str, Any] = MappingProxyType({})


class Profile(msgspec.Struct, frozen=True):
    """What is looked at. `repeats`: share of targets that the session already holds; `density`: clicks per item;
    `gaps` and `actions`: what is known of clicks beside their items."""

    sessions: int
    items: int
    targets: int
    length_mean: float
    length_p90: int
    repeats: float
    density: float
    removes_seen: bool
    gaps: bool = False
    actions: int = 0


def profile(sessions: Sequence[Sequence[int]], items: int, removes_seen: bool, marks: Marks | None = None) -> Profile:
    """Of training sessions as item numbers."""
    lengths = np.array([len(each) for each in sessions if each], dtype=np.int64)
    targets = repeated = 0
    for session in sessions:
        before: set[int] = set()
        for place, item in enumerate(session):
            targets += place > 0
            repeated += place > 0 and item in before
            before.add(item)
    clicks = int(lengths.sum())
    return Profile(
        sessions=len(sessions),
        items=items,
        targets=targets,
        length_mean=float(lengths.mean()) if len(lengths) else 0.0,
        length_p90=int(np.quantile(lengths, 0.9, method="higher")) if len(lengths) else 0,
        repeats=repeated / max(1, targets),
        density=clicks / max(1, items),
        removes_seen=removes_seen,
        gaps=marks is not None,
        actions=0 if marks is None else len(marks.actions),
    )


def recipe(name: str, seen: Profile) -> Settings:
    """The settings of a neural model for such data."""
    base = {
        "sasrec": SASREC_DOT if seen.removes_seen else SASREC_COSINE,
        "sasrec-dot": SASREC_DOT,
        "sasrec-cosine": SASREC_COSINE,
        "core": CORE,
        "gru4rec": GRU4REC,
        "session-graph": SESSION_GRAPH,
        "two-tower": TWO_TOWER,
        "bst": BST,
    }[name]
    epochs = round(REFERENCE_EPOCHS * (REFERENCE_TARGETS / max(1, seen.targets)) ** 0.5)
    small = seen.targets < 20_000
    length_max = 50 if seen.length_p90 <= 50 else min(200, -(-seen.length_p90 // 50) * 50)
    return msgspec.structs.replace(
        base,
        epochs=min(60, max(3, epochs)),
        patience=max(3, min(60, epochs) // 6),
        width=min(64, base.width) if small else base.width,
        length_max=length_max,
        batch_tokens=int(min(base.batch_tokens, max(128, 2 ** round(np.log2(max(1, seen.targets) / 64))))),
        loss=_softmax(base, seen) if base.loss in ("full", "sampled") else base.loss,
        gaps=seen.gaps,
        actions=seen.actions,
    )


def _softmax(base: Settings, seen: Profile) -> Loss:
    return "full" if seen.items <= FULL_ITEMS_MAX and base.scoring == "dot" else "sampled"


def settings_of(name: str, seen: Profile, changes: Mapping[str, Any]) -> Settings:
    """The recipe with changes. Raises DataError `bad_settings` for a name or a value that is none."""
    base = recipe(name, seen)
    try:
        made = msgspec.convert({**msgspec.to_builtins(base), **changes}, Settings)
    except msgspec.ValidationError as error:
        raise DataError(f"settings of {name}: {error}", code="bad_settings") from error
    if (made.gaps and not seen.gaps) or made.actions not in (0, seen.actions):
        asked = f"gaps {made.gaps} and {made.actions} actions"
        raise DataError(
            f"settings of {name}: {asked}, the data have gaps {seen.gaps} and {seen.actions}", code="bad_settings"
        )
    return made


def encoder(
    name: str,
    seen: Profile,
    seed: int,
    clock: Clock,
    tell: Callable[[str], None],
    checkpoints: Path | None,
    changes: Mapping[str, Any],
    weigh: bool,
) -> Encoder:
    """A neural model, which asks validation whether it reads marks if that is to be weighed and no setting says so."""
    settings = settings_of(name, seen, changes)
    made = Encoder(name, settings, seed, clock, tell, checkpoints)
    made.weighs_marks = weigh and settings.marked and not {"gaps", "actions"} & set(changes)
    return made


def choose(
    seen: Profile,
    seed: int,
    clock: Clock,
    tell: Callable[[str], None],
    changes: Mapping[str, Any] = NOTHING,
    weigh: bool = False,
) -> Learner:
    """`--model auto`."""
    tell(
        f"auto: {seen.sessions} sessions of {seen.length_mean:.1f} clicks, {seen.items} items with {seen.density:.1f} "
        f"clicks each, {seen.repeats:.0%} of the next items seen before in the session"
    )
    if seen.targets < TARGETS_MIN:
        tell(f"auto: {seen.targets} next items are too few for a neural model; the best of the counting ones")
        return BestOf([counting(name, clock, tell) for name in COUNTING], tell)
    if seen.removes_seen or (seen.repeats < 0.02 and seen.length_mean > 15):
        tell("auto: nothing comes back, so what follows what counts: SASRec with dot products first, then CORE")
        names = ["sasrec-dot", "core"]
    else:
        tell("auto: short sessions that may come back to an item: CORE with cosine scores first, then SASRec")
        names = ["core", "sasrec-cosine"]
    tell("auto: session-kNN is blended in, and the second model, as far as validation says so and the time allows")
    weigh = weigh and seen.gaps and not {"gaps", "actions"} & set(changes)
    own = {**changes, "gaps": False, "actions": 0} if weigh else changes
    encoders = [encoder(name, seen, seed + at, clock, tell, None, own, False) for at, name in enumerate(names)]
    if weigh:
        said = f" and {seen.actions} actions" if seen.actions else ""
        tell(f"auto: clicks have times{said}: a third model is the first one with them, if the time allows")
        marked = encoder(names[0], seen, seed, clock, tell, None, changes, False)
        marked.name = f"{names[0]}-marked"
        encoders.append(marked)
    return Mixture(encoders, NearSessions(clock, tell), clock, tell, optional=True)


COUNTING = ("popularity", "popularity-recent", "popularity-context", "item-knn", "session-knn")
NEURAL = (
    *("sasrec", "sasrec-dot", "sasrec-cosine", "core", "gru4rec", "session-graph", "two-tower", "bst"),
)  # fmt: skip
NAMES = ("auto", *COUNTING, *NEURAL)
NEURAL_MAX = 4


def is_name(name: str) -> bool:
    """A model, or up to `NEURAL_MAX` neural models and at most one `session-knn` joined by `+`: a blend."""
    if name in NAMES:
        return True
    parts = name.split("+")
    neural = [each for each in parts if each in NEURAL]
    others = [each for each in parts if each not in NEURAL]
    return 1 <= len(neural) <= NEURAL_MAX and len(set(parts)) == len(parts) and others in ([], ["session-knn"])


def is_teacher(name: str) -> bool:
    """A model whose scores are logits: a neural one that scores the whole catalogue, or a blend of such."""
    return is_name(name) and name not in (*COUNTING, "auto", "bst")


def counting(name: str, clock: Clock, tell: Callable[[str], None]) -> Learner:
    """The learner of a counting model."""
    if name == "item-knn":
        return NearItems()
    if name == "session-knn":
        return NearSessions(clock, tell)
    return PopularInContext() if name == "popularity-context" else Popular(name == "popularity-recent", tell)


def make(
    name: str,
    seen: Profile,
    seed: int,
    clock: Clock,
    tell: Callable[[str], None],
    checkpoints: Path | None = None,
    changes: Mapping[str, Any] = NOTHING,
    weigh: bool = False,
) -> Learner:
    """The learner of a name that `is_name` takes. Checkpoints are of one neural model alone, changes of every one;
    with `weigh` validation says whether marks are read."""
    if name == "auto":
        return choose(seen, seed, clock, tell, changes, weigh)
    if name in COUNTING:
        return counting(name, clock, tell)
    parts = [each for each in name.split("+") if each != "session-knn"]
    if name in NEURAL:
        return encoder(name, seen, seed, clock, tell, checkpoints, changes, weigh)
    knn = NearSessions(clock, tell) if "session-knn" in name.split("+") else None
    # Models that begin alike end alike: with seeds of their own they err apart, which is what a blend lives on.
    encoders = [encoder(each, seen, seed + at, clock, tell, None, changes, weigh) for at, each in enumerate(parts)]
    return Mixture(encoders, knn, clock, tell)
