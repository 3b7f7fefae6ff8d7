"""A batch → its loss: which vectors are looked up, which negatives compete, what a teacher adds.

Invariant: with a sampled loss only the rows of the table that the batch touches are read and get a gradient. It does
not know optimizers or epochs.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rtp_monolith.training import losses
from rtp_monolith.training.batches import Batch, Windows
from rtp_monolith.training.models.encoder import SessionModel, TargetedBody
from rtp_monolith.training.negatives import Negatives
from rtp_monolith.training.settings import Settings


class Soft:
    """What a teacher expects at every click of the training sessions laid end to end: `items` int32 [clicks, n] and
    their `shares` float32 [clicks, n], which sum to one; `weight` of it in the target (Hinton et al., "Distilling the
    Knowledge in a Neural Network", 2015)."""

    def __init__(self, items: NDArray[np.int32], shares: NDArray[np.float32], weight: float) -> None:
        if not 0.0 <= weight <= 1.0:
            raise ValueError(f"a weight of {weight} is not within 0 and 1")
        self.items, self.shares, self.weight = items, shares, weight

    def of(self, batch: Batch, inside: Tensor) -> tuple[Tensor, Tensor]:
        """int64 [targets, n] and float32 [targets, n] for the targets of a batch, in their order."""
        places = (batch.starts[:, None] + 1 + np.arange(batch.items.shape[1] - 1))[inside.numpy()]
        return torch.from_numpy(self.items[places].astype(np.int64)), torch.from_numpy(self.shares[places])


class Objective:
    """A batch → its loss, by the settings' name of it."""

    def __init__(self, model: SessionModel, windows: Windows, settings: Settings, soft: Soft | None = None) -> None:
        self.model, self.settings, self.soft = model, settings, soft
        self.items = model.table.ids.shape[0]
        counts = windows.target_counts(self.items)
        self.log_share = torch.from_numpy(np.log(np.maximum(counts, 0.5) / max(1, counts.sum())).astype(np.float32))
        self.negatives: Negatives | None = None
        if settings.loss not in ("full", "in-batch"):
            self.negatives = Negatives(counts, settings.negatives, settings.negatives_power)

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Tensor:
        inputs, lengths = torch.from_numpy(batch.items[:, :-1]), torch.from_numpy(batch.lengths)
        inside = torch.arange(inputs.shape[1]) < lengths.unsqueeze(1)
        targets = torch.from_numpy(batch.items[:, 1:])[inside]
        marks = None if batch.marks is None else torch.from_numpy(batch.marks)
        if self.settings.loss == "full":
            table = self.model.item_vectors()
            states = self.model.body.states(F.embedding(inputs, table), lengths, marks)[inside]
            loss = losses.full_cross_entropy(states, table, targets)
            if self.soft is None:
                return loss
            items, shares = self.soft.of(batch, inside)
            return loss + self._taught(states, F.embedding(items, table), shares, F.embedding(targets, table))
        drawn = torch.empty(0, dtype=torch.long)
        if self.negatives is not None:
            drawn = torch.from_numpy(self.negatives.draw(rng))
        # Only the rows that this batch touches are looked up, scaled and updated.
        named, shares = torch.empty(0, 0, dtype=torch.long), torch.empty(0)
        if self.soft is not None:
            named, shares = self.soft.of(batch, inside)
        every = [inputs.flatten(), targets, drawn, named.flatten()]
        used, place = torch.unique(torch.cat(every), return_inverse=True)
        rows = self.model.rows(used)
        own_inputs, own_targets, own_drawn, own_named = place.split([len(each) for each in every])
        vectors, positives = F.embedding(own_inputs.view_as(inputs), rows), F.embedding(own_targets, rows)
        if isinstance(self.model.body, TargetedBody):
            counts = targets.unsqueeze(1) != drawn
            columns = F.embedding(own_drawn, rows)
            return self._targeted(self.model.body, vectors, inside, columns, positives, counts, marks)
        states = self.model.body.states(vectors, lengths, marks)[inside]
        taught = states.new_zeros(())
        if self.soft is not None:
            taught = self._taught(states, F.embedding(own_named.view_as(named), rows), shares, positives)
        if self.negatives is None:
            return losses.in_batch(states, positives, targets, self.log_share) + taught
        column = torch.searchsorted(drawn, targets).clamp(max=len(drawn) - 1)
        own = torch.where(drawn[column] == targets, column, -1)
        return self._sampled(states, F.embedding(own_drawn, rows), positives, own, drawn) + taught

    def _taught(self, states: Tensor, named: Tensor, shares: Tensor, positives: Tensor) -> Tensor:
        """Moves `weight` of the target from the item that came to the items that the teacher expected.

        A softmax loss is log-sum-exp minus the target's logit, which is linear in the target's vector.
        """
        assert self.soft is not None
        expected = (named * shares.unsqueeze(2)).sum(1)
        return self.soft.weight * (states * (positives - expected)).sum(1).mean()

    def _targeted(
        self, body: TargetedBody, vectors: Tensor, inside: Tensor, columns: Tensor, positives: Tensor, counts: Tensor,
        marks: Tensor | None,
    ) -> Tensor:  # fmt: skip
        """The loss of a body that reads each candidate with the session, after every position."""
        row, place = inside.nonzero(as_tuple=True)
        negative = body.against(vectors, row, place + 1, columns.unsqueeze(0), marks)
        positive = body.against(vectors, row, place + 1, positives.unsqueeze(1), marks)
        settings = self.settings
        return losses.of_logits(positive, negative, counts, settings.loss, self.items, settings.calibration)

    def _sampled(self, states: Tensor, columns: Tensor, positives: Tensor, own: Tensor, drawn: Tensor) -> Tensor:
        assert self.negatives is not None
        if self.settings.loss == "bpr":
            return losses.bpr(states, columns, positives, own)
        if self.settings.loss == "bpr-max":
            return losses.bpr_max(states, columns, positives, own)
        if self.settings.loss == "gbce":
            return losses.gbce(states, columns, positives, own, self.items, self.settings.calibration)
        log_inclusion = torch.from_numpy(self.negatives.log_inclusion)[drawn]
        return losses.sampled_softmax(states, columns, positives, own, log_inclusion)
