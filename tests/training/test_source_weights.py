"""Weights of sources: found again where they are known, none for what says nothing."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from rtp_monolith.config import Config, parse
from rtp_monolith.training.pools import PER_ROW, PoolCard, Pools
from rtp_monolith.training.source_weights import Proposal, fit_weights, propose

SOURCES = ["covis", "popular", "new"]
TRUE = np.array([8.0, 4.0, 0.0])
CONFIG = parse("""
[surfaces.home.sources]
covis = { quota = 10, weight = 0.1 }
popular = { quota = 10, weight = 1.0 }
new = { quota = 10, weight = 1.0 }
[surfaces.cart.sources]
covis = { quota = 10, weight = 1.0 }
""")


def pools(folder, count: int = 1_500, size: int = 20) -> Pools:  # type: ignore[no-untyped-def]
    """Pools of which one candidate is wanted with the chance that TRUE gives it."""
    rng = np.random.default_rng(1)
    said = (rng.random((count, size, 3)) * (rng.random((count, size, 3)) < 0.5)).astype(np.float32)
    score = said @ TRUE + rng.gumbel(size=(count, size))
    gain = (score == score.max(axis=1, keepdims=True)).astype(np.float32)
    values = (np.zeros((count * size, 1)), gain.ravel(), said.reshape(-1, 3), np.ones(count * size))
    for name, column in zip(PER_ROW, values, strict=True):
        np.asarray(column, np.float32).tofile(folder / f"pool-{name}.bin")
    card = PoolCard([size] * count, list(range(count)), ["home"] * count, ["nothing"], SOURCES)
    (folder / "pools.json").write_bytes(msgspec.json.encode(card))
    return Pools(folder)


def test_weights_that_made_the_choices_are_found(tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = pools(tmp_path)
    found = fit_weights(made.wanted(np.ones(len(made), bool), made.said, [0, 1, 2]))
    assert found == pytest.approx(TRUE, abs=0.35) and (found >= 0).all()


def test_a_surface_is_told_weights_and_what_they_gain(tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = propose(pools(tmp_path), CONFIG, 0, 1_000, 1_400)
    assert set(made) == {"home"}, "of the cart there is nothing to learn from"
    one: Proposal = made["home"]
    assert (one.pools, one.judged) == (1_000, 400)
    assert one.weights["covis"] == 1.0 and one.weights["popular"] == pytest.approx(0.5, abs=0.06)
    assert one.weights["new"] < 0.05
    # The best that can be known is the entropy of the choices; the declared weights put the wrong source first.
    assert one.log_loss < one.declared_log_loss - 0.2 and one.log_loss < np.log(20)
    assert propose(pools(tmp_path), Config(), 0, 10, 20) == {}
