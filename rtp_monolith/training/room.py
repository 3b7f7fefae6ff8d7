"""Room for a matrix that is made block after block.

A block of scores is tens of MB, and taken anew for every block it leaves holes that glibc's aligned allocation does not
use again: an evaluation of 60,000 lists came to hold 22 GB. Invariant: what was given is overwritten by the next call.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Room:
    """One matrix, as large as the largest that was asked for."""

    def __init__(self) -> None:
        self._kept = torch.empty(0)

    def of(self, rows: int, columns: int) -> Tensor:
        """float32 [rows, columns], contiguous, holding anything."""
        if len(self._kept) < rows * columns:
            self._kept = torch.empty(rows * columns)
        return self._kept[: rows * columns].view(rows, columns)

    def like(self, matrix: Tensor) -> Tensor:
        """As large as another matrix."""
        return self.of(*matrix.shape)
