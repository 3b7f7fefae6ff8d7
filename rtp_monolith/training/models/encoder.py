"""What neural session models share: an item table, a body that makes item vectors a session vector, and a score.

Invariant: score(session, item) is the dot product of the session vector and the item's exported vector, for both ways
of scoring: with `cosine` the exported vectors are unit vectors divided by the temperature and session vectors are unit
vectors (CORE, Hou et al., SIGIR 2022; the temperature of NISER, Gupta et al., 2019). The input of a body is those same
exported vectors, so that a server keeps one table. It does not know how a model is trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from rtp_monolith.features.marks import GAP_EDGES_S, latest
from rtp_monolith.training.settings import Settings

TABLE_STD = 0.02
GAPS = len(GAP_EDGES_S) + 2
"""Numbers that a gap can have."""
GROUP_TOKENS = 1024
"""Padded positions that are encoded at once: what is between two layers then stays in a core's cache."""
FAR = -1e9
"""A finite mask: minus infinity turns a row without anything to attend to into NaN."""


class Body(nn.Module):
    """The form that serves. `forward` gives the session, `states` what it would be after every position."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.unit = settings.scoring == "cosine"
        # Inputs of every body have about unit variance per element under cosine, and √d · table under dot.
        self.input_scale = (settings.temperature if self.unit else 1.0) * settings.width**0.5
        # From nothing, so that training starts as the same model without marks does.
        self.gap = nn.Parameter(torch.zeros(GAPS, settings.width)) if settings.gaps else None
        self.action = nn.Parameter(torch.zeros(settings.actions + 1, settings.width)) if settings.actions else None

    def states(self, vectors: Tensor, lengths: Tensor, marks: Tensor | None = None) -> Tensor:
        """float32 [batch, length, d] → [batch, length, d]; what stands at a position knows nothing of later ones."""
        return self.finish(self.hidden(vectors, lengths, marks))

    def forward(self, vectors: Tensor, lengths: Tensor, marks: Tensor | None = None) -> Tensor:
        """float32 [batch, length, d] right-padded with zeros, int64 [batch], and int64 [batch, length, 2] if the
        settings say so → [batch, d]; zeros for an empty one."""
        return self.finish(self.last(vectors, lengths, marks)) * (lengths > 0).to(vectors.dtype).unsqueeze(1)

    def marked(self, items: Tensor, marks: Tensor | None) -> Tensor:
        """Scaled items [.., d] with what their marks int64 [.., 2], gap bucket and action, add; as they are without."""
        if self.gap is None and self.action is None:
            return items
        if marks is None:
            raise ValueError("this model reads marks beside the items")
        if self.gap is not None:
            items = items + F.embedding(marks[..., 0], self.gap)
        return items if self.action is None else items + F.embedding(marks[..., 1], self.action)

    def items(self, rows: Tensor) -> Tensor:
        """Rows of the table, [n, d], as this body's item vectors: as they are, but for a body with an item tower."""
        return rows

    def finish(self, hidden: Tensor) -> Tensor:
        return F.normalize(hidden, dim=-1, eps=1e-6) if self.unit else hidden

    def hidden(self, vectors: Tensor, lengths: Tensor, marks: Tensor | None) -> Tensor:
        """Before scoring's normalization, at every position."""
        raise AssertionError("a body says what its states are")

    def last(self, vectors: Tensor, lengths: Tensor, marks: Tensor | None) -> Tensor:
        """Before scoring's normalization, at position length - 1 only."""
        return at_last(self.hidden(vectors, lengths, marks), lengths)


class TargetedBody(Body):
    """A body that reads the candidate together with the session, and so has no vector for the session alone."""

    def against(
        self, vectors: Tensor, row: Tensor, upto: Tensor, candidates: Tensor, marks: Tensor | None = None
    ) -> Tensor:
        """Logits [n, c] of the candidates [n | 1, c, d] after the first `upto` int64 [n] items of the sessions `row`
        int64 [n] among `vectors` [batch, length, d] and their `marks` [batch, length, 2]."""
        raise AssertionError("a body says what its logits are")


def at_last(states: Tensor, lengths: Tensor) -> Tensor:
    """[batch, length, d] → [batch, d] at length - 1, at 0 for an empty session."""
    place = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, states.shape[2])
    return states.gather(1, place).squeeze(1)


class ItemTable(nn.Module):
    """item → id embedding + gain · Σ attribute embeddings / √count (side features as in the S3-Rec data sets)."""

    # Attributes of item i are flat[starts[i] : starts[i] + sizes[i]].
    flat: Tensor
    starts: Tensor
    sizes: Tensor
    shrink: Tensor

    def __init__(self, items: int, width: int, attributes: Sequence[Sequence[int]] | None, sparse: bool) -> None:
        super().__init__()
        self.sparse = sparse
        self.ids = nn.Parameter(torch.empty(items, width).normal_(std=TABLE_STD))
        self.attributes: nn.Parameter | None = None
        if attributes is not None and any(attributes):
            count = 1 + max(max(own, default=-1) for own in attributes)
            self.attributes = nn.Parameter(torch.empty(count, width).normal_(std=TABLE_STD))
            self.gain = nn.Parameter(torch.ones(()))
            sizes = torch.tensor([len(own) for own in attributes])
            flat = torch.tensor([each for own in attributes for each in own], dtype=torch.long)
            self.register_buffer("flat", flat, persistent=False)
            self.register_buffer("starts", sizes.cumsum(0) - sizes, persistent=False)
            self.register_buffer("shrink", sizes.clamp(min=1).float().rsqrt().unsqueeze(1), persistent=False)
            self.register_buffer("sizes", sizes, persistent=False)

    def rows(self, items: Tensor) -> Tensor:
        """int64 [n] → [n, d]."""
        own = F.embedding(items, self.ids, sparse=self.sparse)
        return own if self.attributes is None else own + self._described(items)

    def all(self) -> Tensor:
        """[items, d]."""
        if self.attributes is None:
            return self.ids
        sums = F.embedding_bag(self.flat, self.attributes, self.starts, mode="sum")
        return self.ids + self.gain * self.shrink * sums

    def _described(self, items: Tensor) -> Tensor:
        assert self.attributes is not None
        sizes = self.sizes[items]
        ends = sizes.cumsum(0)
        count = int(ends[-1]) if len(ends) else 0
        places = torch.arange(count, device=items.device) - torch.repeat_interleave(ends - sizes, sizes)
        flat = self.flat[places + torch.repeat_interleave(self.starts[items], sizes)]
        sums = F.embedding_bag(flat, self.attributes, ends - sizes, mode="sum")
        return self.gain * self.shrink[items] * sums


def alike(sessions: Sequence[Sequence[int]], length_max: int) -> Iterator[list[int]]:
    """The places of the sessions in groups of like length, of at most GROUP_TOKENS padded items or one session each."""
    group: list[int] = []
    for place in sorted(range(len(sessions)), key=lambda place: len(sessions[place])):
        if group and (len(group) + 1) * min(length_max, len(sessions[place])) > GROUP_TOKENS:
            yield group
            group = []
        group.append(place)
    if group:
        yield group


class SessionModel(nn.Module):
    """An item table and a body; `attributes` lists the attribute numbers of every item, or is None."""

    def __init__(
        self, body: Body, items: int, settings: Settings, attributes: Sequence[Sequence[int]] | None = None
    ) -> None:
        super().__init__()
        self.settings = settings
        # A sampled loss touches few rows of a table, which a sparse optimizer then updates alone.
        self.table = ItemTable(items, settings.width, attributes, sparse=settings.loss != "full")
        self.body = body

    def scaled(self, rows: Tensor) -> Tensor:
        """Rows of the table in the form that is exported and scored."""
        rows = self.body.items(rows)
        if self.settings.scoring == "dot":
            return rows
        return F.normalize(rows, dim=-1, eps=1e-6) / self.settings.temperature

    def rows(self, items: Tensor) -> Tensor:
        """int64 [n] → exported vectors [n, d]."""
        return self.scaled(self.table.rows(items))

    def item_vectors(self) -> Tensor:
        """Exported vectors of all items, [items, d]."""
        return self.scaled(self.table.all())

    def sessions(
        self, vectors: Tensor, sessions: Sequence[Sequence[int]], marks: Sequence[NDArray[np.int64]] | None = None
    ) -> Tensor:
        """The session vectors [n, d] of sessions given as item numbers, oldest first, with the marks [clicks, 2] of
        each if the settings say so; `vectors` from `item_vectors`."""
        found = vectors.new_empty(len(sessions), vectors.shape[1])
        for group in alike(sessions, self.settings.length_max):
            padded, lengths = self.padded([sessions[place] for place in group])
            padded, lengths = padded.to(vectors.device), lengths.to(vectors.device)
            inside = torch.arange(padded.shape[1], device=vectors.device) < lengths.unsqueeze(1)
            inputs = vectors[padded] * inside.unsqueeze(2)
            own = self.padded_marks(None if marks is None else [marks[place] for place in group], padded.shape[1])
            told = None if own is None else own.to(vectors.device)
            found[torch.tensor(group)] = self.body(inputs, lengths, told)
        return found

    def padded(self, sessions: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """The latest items of each session, int64 [n, longest ≥ 1] right-padded with 0, and how many they are."""
        cut = [list(each[-self.settings.length_max :]) for each in sessions]
        lengths = torch.tensor([len(each) for each in cut], dtype=torch.long)
        longest = max([1, *(len(each) for each in cut)])
        return torch.tensor([each + [0] * (longest - len(each)) for each in cut], dtype=torch.long), lengths

    def padded_marks(self, marks: Sequence[NDArray[np.int64]] | None, longest: int) -> Tensor | None:
        """The marks of what `padded` keeps, int64 [n, longest, 2]; None if the settings want none. Raises ValueError
        when there are none and they are wanted."""
        if not self.settings.marked:
            return None
        if marks is None:
            raise ValueError("this model reads marks beside the items")
        padded = np.zeros((len(marks), longest, 2), np.int64)
        for row, own in enumerate(marks):
            kept = latest(own, self.settings.length_max)
            padded[row, : len(kept)] = kept
        return torch.from_numpy(padded)
