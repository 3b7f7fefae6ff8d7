"""What the simulations share: the parent of forked shards and a place for its socket."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.shards import Nursery


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def socket() -> Iterator[Path]:
    """A short path: those of local sockets have at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="rtp-") as folder:
        yield Path(folder) / "s"
