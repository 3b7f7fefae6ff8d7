"""What each source's word is worth: weights of the merge under which what was wanted next stands first.

A conditional logit (McFadden 1974) over pools: the score of a candidate is the weighted sum of what the sources say of
it, as the merge adds it up, and its chance to be wanted is the softmax over its pool. Weights are never negative,
because the merge knows none; the log-loss is convex in them, so the answer does not depend on the start. Invariant: a
merge only orders, so weights are told as shares of the largest. It does not know rankers.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rtp_monolith.config import Config
from rtp_monolith.training.pools import Pools
from rtp_monolith.training.ranker import WantedRows, listwise

STEPS_MAX = 200
POOLS_MIN = 50
"""A surface with fewer pools to learn from is told nothing."""
ROUNDED = 3


class Proposal(msgspec.Struct, frozen=True):
    """Weights fitted on `pools` of a surface, and the log-loss of `judged` later ones under them and under those that
    the surface declares, each at its best scale. NaN without later ones."""

    weights: dict[str, float]
    log_loss: float
    declared_log_loss: float
    pools: int
    judged: int


def propose(pools: Pools, config: Config, after_ms: int, until_ms: int, judged_until_ms: int) -> dict[str, Proposal]:
    """By surface: fitted on the pools from `after_ms` up to `until_ms`, judged on those up to `judged_until_ms`."""
    surfaces = np.array(pools.card.surfaces)
    made = {}
    for surface, declared in config.surfaces.items():
        weights: dict[str, float] = {source: wanted.weight for source, wanted in declared.sources.items()}
        own = surfaces == surface
        learned, judged = own & pools.between(after_ms, until_ms), own & pools.between(until_ms, judged_until_ms)
        if learned.sum() < POOLS_MIN:
            continue
        columns = [n for n, source in enumerate(pools.card.sources) if source in weights]
        names = [pools.card.sources[n] for n in columns]
        fitted = fit_weights(pools.wanted(learned, pools.said, columns))
        present = np.array([weights[name] for name in names], np.float32)
        later = pools.wanted(judged, pools.said, columns)
        shares = fitted / max(float(fitted.max()), 1e-9)
        made[surface] = Proposal(
            {name: round(float(share), ROUNDED) for name, share in zip(names, shares, strict=True)},
            _log_loss(later, fitted),
            _log_loss(later, present),
            int(learned.sum()),
            int(judged.sum()),
        )
    return made


def fit_weights(wanted: WantedRows) -> NDArray[np.float32]:
    """Weights f32 [sources] of the features of `wanted`, which are what the sources say, with the least log-loss."""
    raw = torch.full((wanted.features.shape[1],), -1.0, requires_grad=True)
    _minimise(wanted, raw, lambda: torch.nn.functional.softplus(raw))
    made: NDArray[np.float32] = torch.nn.functional.softplus(raw).detach().numpy()
    return made


def _log_loss(wanted: WantedRows, weights: NDArray[np.float32]) -> float:
    """Under these weights times the scale that suits them best."""
    if not len(wanted):
        return float("nan")
    scale, at = torch.zeros(1, requires_grad=True), torch.from_numpy(weights)
    return _minimise(wanted, scale, lambda: at * torch.exp(scale))


def _minimise(wanted: WantedRows, parameter: Tensor, weights: Callable[[], Tensor]) -> float:
    """The least mean log-loss over the pools; `parameter`, which `weights` are made of, is left there."""
    said, gain, lists = (
        torch.from_numpy(each) for each in (wanted.features, wanted.gain, wanted.pools.astype(np.int64))
    )
    bias = torch.from_numpy(np.log(wanted.stands_for))
    optimizer = torch.optim.LBFGS([parameter], max_iter=STEPS_MAX, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = listwise(said @ weights() + bias, gain, lists)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return float(loss().detach())
