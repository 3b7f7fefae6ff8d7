"""Small sessions with a pattern that can be learned, and one torch thread for every test of this room."""

from __future__ import annotations

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="package")
def chains() -> list[list[int]]:
    """600 sessions over 40 items: each item is followed by its successor on a ring, nine times in ten."""
    rng = np.random.default_rng(3)
    sessions = []
    for _ in range(600):
        item, session = int(rng.integers(40)), []
        for _ in range(int(rng.integers(2, 9))):
            session.append(item)
            item = (item + 1) % 40 if rng.random() < 0.9 else int(rng.integers(40))
        sessions.append(session)
    return sessions
