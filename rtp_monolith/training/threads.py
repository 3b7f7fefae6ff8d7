"""How many threads torch computes with, and that it computes the same every time.

Invariant: set once per process, before anything is computed. It does not know the machine.
"""

from __future__ import annotations

import torch


def use_threads(threads: int) -> None:
    """Threads of every operation; sums are then split the same way in every run."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Nothing here reads memory that it did not write, so filling it first is time lost.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
