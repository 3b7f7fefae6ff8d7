"""When and by which action every click of recorded sessions came, and the marks that models read of that.

Invariant: marks are made of the clicks that are read, so a click that is dropped leaves the gap to the one before it.
It does not know how a gap becomes a number (`features/marks.py` does) nor what is asked of whom.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rtp_monolith.errors import DataError
from rtp_monolith.features.marks import GAP_EDGES_S, UNKNOWN_ACTION, Marking, Marks, vocabulary
from rtp_monolith.training.sessions import Recorded

Wanted = Literal["auto", "on", "off"]
"""Marks by validation's word where the data has them, always, never."""
Ints = NDArray[np.int64]


class Stamped:
    """int64 [clicks, 2], time in ms and action, of each session, and the rule that makes marks of them."""

    def __init__(self, marking: Marking, stamps: Sequence[Ints]) -> None:
        self.marking, self.stamps = marking, list(stamps)

    @classmethod
    def of(cls, recorded: Recorded, marking: Marking) -> Stamped:
        """Those of a file with times."""
        assert recorded.times_s is not None
        made = []
        for place, own_s in enumerate(recorded.times_s):
            stamps = np.full((len(own_s), 2), UNKNOWN_ACTION, np.int64)
            stamps[:, 0] = np.rint(np.array(own_s) * 1000.0)
            if recorded.actions is not None:
                stamps[:, 1] = marking.numbers(recorded.actions[place])
            made.append(stamps)
        return cls(marking, made)

    def part(self, start: int, stop: int | None = None) -> Stamped:
        """Those of the sessions `start` … `stop` - 1."""
        return Stamped(self.marking, self.stamps[start:stop])

    def but_last(self, clicks: int) -> Stamped:
        """Those of every session without its last clicks."""
        return Stamped(self.marking, [each[: len(each) - clicks] for each in self.stamps])

    def chosen(self, places: Sequence[int]) -> Stamped:
        """Those of some of the sessions."""
        return Stamped(self.marking, [self.stamps[place] for place in places])

    def of_clicks(self, session: int, kept: Sequence[int]) -> Ints:
        """The marks [n, 2] of some clicks of a session, read by themselves."""
        return self.marks(self.stamps[session][np.array(kept, np.int64)])

    def marks(self, stamps: Ints) -> Ints:
        """The marks [n, 2] of clicks that are read one after the other."""
        return self.marking.of(stamps[:, 0], stamps[:, 1])

    def all(self) -> list[Ints]:
        """The marks of every session as it is."""
        return [self.marks(each) for each in self.stamps]


def found_marks(train: Recorded, test: Recorded, wanted: Wanted, tell: Callable[[str], None]) -> Marks | None:
    """What both files say of clicks beside their items; None if it is not to be read, or nothing is said.

    Raises DataError `marks_missing` when it is to be read and a file says nothing.
    """
    if wanted == "off":
        return None
    held = {"times": (train.times_s, test.times_s), "actions": (train.actions, test.actions)}
    for name, given in held.items():
        without = [file for file, values in zip(("--train", "--test"), given, strict=True) if values is None]
        said = f"{' and '.join(without)} {'has' if len(without) == 1 else 'have'} no {name}"
        if wanted == "on" and name == "times" and without:
            raise DataError(f"{said}: marks need TSV with the header SessionId ItemId Time", code="marks_missing")
        if len(without) == 1:
            if wanted == "on":
                raise DataError(f"{said}, the other file does", code="marks_missing")
            tell(f"{said}, the other file does: they are not read")
        if name == "times" and without:
            return None
    if train.actions is None or test.actions is None:
        return Marks(GAP_EDGES_S, ())
    marks = Marks(GAP_EDGES_S, vocabulary(train.actions))
    unknown = [name for own in test.actions for name in own if name and name not in marks.actions]
    if unknown:
        tell(f"{len(unknown)} clicks of --test have an action that training does not know, as {unknown[0]!r}")
    return marks
