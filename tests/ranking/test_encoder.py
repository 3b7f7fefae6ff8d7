from __future__ import annotations

import numpy as np
import pytest

from rtp_monolith.errors import BundleError
from rtp_monolith.ranking.encoder import Encoder, Encodings
from rtp_monolith.state.session import SessionRead
from tests.ranking.bundles import DIMENSION, LENGTH, encoder_graph


@pytest.mark.parametrize("n", [1, 2, LENGTH])
def test_a_session_is_encoded_whatever_its_length(n: int) -> None:
    sequence = np.random.default_rng(n).normal(size=(n, DIMENSION)).astype(np.float32)
    made = Encoder(encoder_graph(), LENGTH, DIMENSION).encode(sequence)
    assert made.shape == (DIMENSION,)
    assert made.tolist() == pytest.approx(sequence.mean(0).tolist(), abs=1e-6)


def test_a_graph_of_another_dimension_is_refused() -> None:
    with pytest.raises(BundleError) as refused:
        Encoder(encoder_graph(DIMENSION + 1), LENGTH, DIMENSION)
    assert refused.value.code == "bundle_shape"


def items(*numbers: int) -> bytes:
    return SessionRead(np.array(numbers, np.uint32), None).key()


def test_an_encoding_is_kept_by_the_items_in_their_order() -> None:
    kept = Encodings(10)
    assert kept.get(items(1, 2)) is None
    vector = np.ones(3, np.float32)
    kept.put(items(1, 2), vector)
    assert kept.get(items(1, 2)) is vector
    for other in (items(2, 1), items(1), items(1, 2, 2), items()):
        assert kept.get(other) is None
    assert (kept.hits, kept.misses) == (1, 5)


def test_the_encoding_that_was_not_asked_for_longest_goes_first() -> None:
    kept = Encodings(2)
    for n in (1, 2):
        kept.put(items(n), np.full(1, n, np.float32))
    kept.get(items(1))
    kept.put(items(3), np.full(1, 3, np.float32))
    assert len(kept) == 2
    assert kept.get(items(2)) is None
    assert kept.get(items(1)) is not None and kept.get(items(3)) is not None
