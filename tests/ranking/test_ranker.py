from __future__ import annotations

import numpy as np
import pytest

from rtp_monolith.errors import BundleError
from rtp_monolith.ranking.ranker import Ranker
from tests.ranking.bundles import ranker_graph

WEIGHTS = {"a": (1.0, -1.0), "b": (0.5, 2.0), "c": (0.0, 0.0)}


def test_rows_become_probabilities_of_every_head() -> None:
    ranker = Ranker(ranker_graph(WEIGHTS, (0.1, -0.2)), list(WEIGHTS), ("click", "cart"))
    rows = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    logits = rows @ np.array(list(WEIGHTS.values()), np.float32) + np.array([0.1, -0.2], np.float32)
    made = ranker.score(rows)
    assert made.shape == (7, 2)
    assert np.allclose(made, 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert np.allclose(ranker.score(rows[3:4])[0], made[3], atol=1e-6), "a row does not depend on the others"


@pytest.mark.parametrize(("inputs", "heads"), [(["a", "b"], ["click", "cart"]), (["a", "b", "c"], ["click"])])
def test_a_graph_of_other_columns_or_heads_is_refused(inputs: list[str], heads: list[str]) -> None:
    with pytest.raises(BundleError) as refused:
        Ranker(ranker_graph(WEIGHTS, (0, 0)), inputs, heads)
    assert refused.value.code == "bundle_shape"
