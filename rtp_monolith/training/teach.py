"""A small encoder that learns from a large one, or from a blend, what it cannot learn from single clicks.

The teacher's list for every training click (its best NAMED items with their softmax) joins the target of the student
(Hinton et al., 2015; for sequential recommenders, Tang and Wang, "Ranking Distillation", KDD 2018). Invariant: teacher
and student learn from the same sessions, and the share of the quality that is kept is measured on validation. It does
not know what the teacher is made of.
"""

from __future__ import annotations

import numpy as np
import torch

from rtp_monolith.clock import Clock
from rtp_monolith.training import loop
from rtp_monolith.training.learner import Data, Learner, judged
from rtp_monolith.training.learners import Encoder
from rtp_monolith.training.objective import Soft
from rtp_monolith.training.protocols import Cases
from rtp_monolith.training.scoring import BLOCK_ROWS, Scorer, hide

NAMED = 20
WEIGHT = 0.5
TEACHER_SHARE = 0.6
"""Of the time, what the teacher may take."""


class Taught:
    """A teacher, then its student."""

    def __init__(self, teacher: Learner, student: Encoder, clock: Clock, tell: loop.Tell) -> None:
        self.teacher, self.student, self.clock, self.tell = teacher, student, clock, tell
        self.teacher_ndcg = self.student_ndcg = 0.0

    @property
    def name(self) -> str:
        return f"{self.student.name} taught by {self.teacher.name}"

    @property
    def epochs(self) -> float:
        return self.student.epochs

    @property
    def kept(self) -> float:
        """The student's share of the teacher's NDCG on validation."""
        return self.student_ndcg / self.teacher_ndcg if self.teacher_ndcg else 0.0

    def learn(self, data: Data, validation: Cases | None, until_s: float, again: bool) -> Scorer:
        now_s = self.clock.monotonic_s()
        teacher = self.teacher.learn(data, validation, now_s + TEACHER_SHARE * (until_s - now_s), again)
        self.tell(f"{self.teacher.name} says what it expects at {sum(map(len, data.sessions))} clicks")
        self.student.soft = expectations(teacher, data)
        student = self.student.learn(data, validation, until_s, again)
        if validation is not None and len(validation):
            self.teacher_ndcg = judged(teacher, validation, data)
            self.student_ndcg = judged(student, validation, data)
            self.tell(f"{self.name}: NDCG {self.student_ndcg:.4f} of {self.teacher_ndcg:.4f}, {self.kept:.1%} is kept")
        return student

    def document(self) -> dict[str, object]:
        return {
            "name": self.name,
            "teacher": self.teacher.document(),
            "student": self.student.document(),
            "teacher_ndcg": self.teacher_ndcg,
            "student_ndcg": self.student_ndcg,
            "kept": self.kept,
        }


def expectations(teacher: Scorer, data: Data, weight: float = WEIGHT, named: int = NAMED) -> Soft:
    """The teacher's lists before every click but the first of each session; no session is its own neighbour."""
    lengths = np.array([len(each) for each in data.sessions], dtype=np.int64)
    clicks, named = int(lengths.sum()), min(named, data.items)
    items = np.zeros((clicks, named), dtype=np.int32)
    shares = np.zeros((clicks, named), dtype=np.float32)
    of = np.repeat(np.arange(len(lengths)), lengths)
    upto = np.arange(clicks) - np.repeat(lengths.cumsum() - lengths, lengths)
    places = np.flatnonzero(upto > 0)
    flat = np.fromiter((item for each in data.sessions for item in each), dtype=np.int64)
    keys = list(range(len(lengths)))
    cases = Cases(data.sessions, of[places], upto[places], flat[places], keys=keys, marks=data.marks)
    with torch.inference_mode():
        for start in range(0, len(cases), BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, len(cases))
            scores = teacher.scores(cases, start, stop)
            hide(scores, cases, start, stop, data.known)
            best = scores.topk(named, dim=1)
            items[places[start:stop]] = best.indices.numpy()
            shares[places[start:stop]] = best.values.softmax(1).numpy()
    return Soft(items, shares, weight)
