"""A batch → its loss: which vectors are looked up, which negatives compete, what a teacher adds.

Invariant: with a sampled loss only the rows of the table that the batch touches are read and get a gradient. It does
not know optimizers or epochs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rtp_monolith.training import losses
from rtp_monolith.training.batches import Batch, Windows
from rtp_monolith.training.device import products
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

    def of(self, batch: Batch, inside: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """[targets, n] each for the targets of a batch, in their order."""
        places = (batch.starts[:, None] + 1 + np.arange(batch.items.shape[1] - 1))[inside]
        return self.items[places].astype(np.int64), self.shares[places]


class Objective:
    """A batch → its loss, by the settings' name of it."""

    def __init__(self, model: SessionModel, windows: Windows, settings: Settings, soft: Soft | None = None) -> None:
        self.model, self.settings, self.soft = model, settings, soft
        self.device = model.table.ids.device
        self.items = model.table.ids.shape[0]
        counts = windows.target_counts(self.items)
        self.log_share = torch.from_numpy(np.log(np.maximum(counts, 0.5) / max(1, counts.sum())).astype(np.float32))
        self.log_share = self.log_share.to(self.device)
        self.negatives: Negatives | None = None
        if settings.loss not in ("full", "in-batch"):
            self.negatives = Negatives(counts, settings.negatives, settings.negatives_power)

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Tensor:
        with products(self.device, self.settings.bfloat16):
            return self._loss(batch, rng)

    def _loss(self, batch: Batch, rng: np.random.Generator) -> Tensor:
        # Which rows are read is worked out where the batch is, so that no step waits for a GPU to say it.
        items, wanted = batch.items[:, :-1], batch.items[:, 1:]
        inside = np.arange(items.shape[1]) < batch.lengths[:, None]
        targets, lengths = wanted[inside], self._here(batch.lengths)
        marks = None if batch.marks is None else self._here(batch.marks)
        named, shares = np.empty((0, 0), np.int64), np.empty((0, 0), np.float32)
        if self.soft is not None:
            named, shares = self.soft.of(batch, inside)
        if self.settings.loss == "full":
            table = self.model.item_vectors()
            states = self._states(F.embedding(self._here(items), table), lengths, inside, marks)
            loss = losses.full_cross_entropy(states, table, self._here(targets))
            if self.soft is None:
                return loss
            named_rows, positives = F.embedding(self._here(named), table), F.embedding(self._here(targets), table)
            return loss + self._taught(states, named_rows, self._here(shares), positives)
        drawn = self.negatives.draw(rng) if self.negatives is not None else np.empty(0, np.int64)
        # Only the rows that this batch touches are looked up, scaled and updated.
        every = [items.ravel(), targets, drawn, named.ravel()]
        used, place = np.unique(np.concatenate(every), return_inverse=True)
        rows = self.model.rows(self._here(used))
        parts = np.split(place, np.cumsum([len(each) for each in every])[:-1])
        inputs, positives, columns, expected = (F.embedding(self._here(each), rows) for each in parts)
        vectors = inputs.view(*items.shape, -1)
        if isinstance(self.model.body, TargetedBody):
            counts = self._here(targets[:, None] != drawn)
            return self._targeted(self.model.body, vectors, inside, columns, positives, counts, marks)
        states = self._states(vectors, lengths, inside, marks)
        taught = states.new_zeros(())
        if self.soft is not None:
            taught = self._taught(states, expected.view(*named.shape, -1), self._here(shares), positives)
        if self.negatives is None:
            return losses.in_batch(states, positives, self._here(targets), self.log_share) + taught
        column = np.minimum(np.searchsorted(drawn, targets), len(drawn) - 1)
        own = self._here(np.where(drawn[column] == targets, column, -1))
        return self._sampled(states, columns, positives, own, drawn) + taught

    def _states(self, vectors: Tensor, lengths: Tensor, inside: NDArray[np.bool_], marks: Tensor | None) -> Tensor:
        """float32 [targets, d] of [batch, length, d]."""
        states = self.model.body.states(vectors, lengths, marks)
        return states.flatten(0, 1).index_select(0, self._here(np.flatnonzero(inside))).float()

    def _here(self, numbers: NDArray[Any]) -> Tensor:
        """On the device of the model."""
        return torch.from_numpy(np.ascontiguousarray(numbers)).to(self.device)

    def _taught(self, states: Tensor, named: Tensor, shares: Tensor, positives: Tensor) -> Tensor:
        """Moves `weight` of the target from the item that came to the items that the teacher expected.

        A softmax loss is log-sum-exp minus the target's logit, which is linear in the target's vector.
        """
        assert self.soft is not None
        expected = (named * shares.unsqueeze(2)).sum(1)
        return self.soft.weight * (states * (positives - expected)).sum(1).mean()

    def _targeted(
        self, body: TargetedBody, vectors: Tensor, inside: NDArray[np.bool_], columns: Tensor, positives: Tensor,
        counts: Tensor, marks: Tensor | None,
    ) -> Tensor:  # fmt: skip
        """The loss of a body that reads each candidate with the session, after every position."""
        row, place = (self._here(each) for each in np.nonzero(inside))
        negative = body.against(vectors, row, place + 1, columns.unsqueeze(0), marks)
        positive = body.against(vectors, row, place + 1, positives.unsqueeze(1), marks)
        settings, logits = self.settings, (positive.float(), negative.float())
        return losses.of_logits(*logits, counts, settings.loss, self.items, settings.calibration)

    def _sampled(
        self, states: Tensor, columns: Tensor, positives: Tensor, own: Tensor, drawn: NDArray[np.int64]
    ) -> Tensor:
        assert self.negatives is not None
        if self.settings.loss == "bpr":
            return losses.bpr(states, columns, positives, own)
        if self.settings.loss == "bpr-max":
            return losses.bpr_max(states, columns, positives, own)
        if self.settings.loss == "gbce":
            return losses.gbce(states, columns, positives, own, self.items, self.settings.calibration)
        log_inclusion = self._here(self.negatives.log_inclusion[drawn])
        return losses.sampled_softmax(states, columns, positives, own, log_inclusion)
