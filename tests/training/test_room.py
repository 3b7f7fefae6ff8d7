"""Rooms for blocks of scores: one matrix used again, so that an evaluation needs no more memory the longer it lasts."""

from __future__ import annotations

import subprocess
import sys

import torch

from rtp_monolith.training.room import Room

LONG = """
import resource
import numpy as np, torch
from rtp_monolith.training.blend import Blend, Mix
from rtp_monolith.training.models.popularity import Popularity
from rtp_monolith.training.models.session_knn import KnnSettings, SessionKnn
from rtp_monolith.training.protocols import prefix_cases
from rtp_monolith.training.room import Room
from rtp_monolith.training.scoring import tallied

torch.set_num_threads(1)
ITEMS = 40_000
rng = np.random.default_rng(0)
sessions = [rng.integers(ITEMS, size=9).tolist() for _ in range(900)]
known = np.ones(ITEMS, bool)

class Drawn:
    def __init__(self):
        self.room = Room()
    def scores(self, cases, start, stop):
        return self.room.of(stop - start, ITEMS).normal_()

blend = Blend([Drawn(), Drawn()], SessionKnn(sessions, ITEMS, KnnSettings()), Mix((0.5, 0.5), 1.0))
def held(n):
    tallied(blend, prefix_cases(sessions[:n], known), Popularity.of(sessions, ITEMS), known, 20, known)
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
first = held(200)
print(held(900) - first)
"""


def test_what_was_given_is_given_again() -> None:
    room = Room()
    first = room.of(3, 4).fill_(1.0)
    smaller = room.of(2, 4)
    assert smaller.shape == (2, 4) and smaller.is_contiguous() and smaller.data_ptr() == first.data_ptr()
    assert room.like(torch.empty(5, 6)).shape == (5, 6)


def test_a_long_evaluation_holds_no_more_than_a_short_one() -> None:
    """7,200 lists of 40,000 items against 1,600: one block of scores is 20 MB, so 44 blocks more would show."""
    made = subprocess.run([sys.executable, "-c", LONG], capture_output=True, text=True, check=True)
    assert int(made.stdout) < 60e6
