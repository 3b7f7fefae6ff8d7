"""The ranker: from rows of features to calibrated probabilities, one column per head.

Invariant: a row's probabilities do not depend on the other rows. It does not know what a head is worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtp_monolith.ranking.graph import open_graph


class Ranker:
    """`inputs` are the names of the columns, `heads` those of the answers, both in their order."""

    def __init__(self, data: bytes, inputs: Sequence[str], heads: Sequence[str]) -> None:
        """Raises BundleError when the graph is none, or not of these sizes."""
        shapes = {"rows": (None, len(inputs))}
        self._session = open_graph(data, "the ranker", shapes, {"probabilities": (None, len(heads))})
        self.heads = tuple(heads)

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities [n, heads] of rows [n, columns]. Raises ArithmeticError when one is not a finite number."""
        made: NDArray[np.float32] = self._session.run(["probabilities"], {"rows": rows})[0]
        if not math.isfinite(made.sum()):
            raise ArithmeticError("the ranker gave something that is no number")
        return made
