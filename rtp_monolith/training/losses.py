"""Losses of a session state and its next item: softmax over all items or a sample, in-batch, BPR, BPR-max, gBCE.

All losses are means over n states and take the same words: `states` [n, d], `positives` [n, d] the vectors of the
next items, `columns` [c, d] the vectors they compete with, `own` int64 [n] the place of the next item among the
columns or -1. A column that is the state's own target never counts as its negative. Invariant: the softmax losses
compute their gradient with the value, in blocks that stay in the cache, so no [n, c] matrix is kept. They do not know
how columns were chosen; `negatives.py` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK_ELEMENTS = 1 << 21
"""Of logits at a time: 8 MB, below the size from which the allocator returns memory to the system after every use."""


class _Softmax(torch.autograd.Function):
    """Σ over rows of log Σ_c exp(logit + bias) - positive logit, its gradients made in `forward`."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, columns: Tensor, positives: Tensor, own: Tensor, bias: Tensor | None
    ) -> Tensor:
        half = torch.is_autocast_enabled(states.device.type)
        with torch.autocast(states.device.type, enabled=False):
            return _Softmax.within(ctx, states, columns, positives, own, bias, half)

    @staticmethod
    def within(
        ctx: Any, states: Tensor, columns: Tensor, positives: Tensor, own: Tensor, bias: Tensor | None, half: bool
    ) -> Tensor:
        """`forward`, with products in bfloat16 if `half`; sums and exponentials stay in float32."""
        to_states, to_positives = torch.empty_like(states), torch.empty_like(positives)
        to_columns = torch.zeros_like(columns)
        total = states.new_zeros(())
        rows = max(1, BLOCK_ELEMENTS // max(1, columns.shape[0]))
        multiplied = columns.bfloat16() if half else columns
        for at in range(0, states.shape[0], rows):
            h, p, mine = states[at : at + rows], positives[at : at + rows], own[at : at + rows]
            logits = _logits(h, multiplied, bias)
            place = mine.clamp(min=0).unsqueeze(1)
            logits.scatter_(1, place, logits.gather(1, place).masked_fill_(mine.ge(0).unsqueeze(1), -torch.inf))
            positive = (h * p).sum(1)
            peak = torch.maximum(logits.amax(1), positive)
            logits.sub_(peak.unsqueeze(1)).exp_()
            share = (positive - peak).exp_()
            mass = logits.sum(1) + share
            total += (mass.log() + peak - positive).sum()
            pull = (share / mass - 1.0).unsqueeze(1)
            inverse = mass.reciprocal().unsqueeze(1)
            to_positives[at : at + rows] = pull * h
            if half:
                weights = logits.bfloat16()
                to_states[at : at + rows] = (weights @ multiplied).float() * inverse + pull * p
                to_columns.add_((weights.T @ (h * inverse).bfloat16()).float())
            else:
                to_states[at : at + rows] = (logits @ columns) * inverse + pull * p
                to_columns.addmm_(logits.T, h * inverse)
        ctx.save_for_backward(to_states, to_columns, to_positives)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        to_states, to_columns, to_positives = ctx.saved_tensors
        (grad,) = grads
        return to_states * grad, to_columns * grad, to_positives * grad, None, None


def _logits(states: Tensor, columns: Tensor, bias: Tensor | None) -> Tensor:
    """float32 [n, c], made in the precision of the columns."""
    if columns.dtype == states.dtype:
        return states @ columns.T if bias is None else torch.addmm(bias, states, columns.T)
    logits = (states.to(columns.dtype) @ columns.T).to(states.dtype)
    return logits if bias is None else logits.add_(bias)


def softmax(states: Tensor, columns: Tensor, positives: Tensor, own: Tensor, bias: Tensor | None = None) -> Tensor:
    """Cross-entropy of the positive against the columns, `bias` [c] added to their logits. Mean, a scalar."""
    total: Tensor = _Softmax.apply(states, columns, positives, own, bias)
    return total / max(1, states.shape[0])


def full_cross_entropy(states: Tensor, table: Tensor, targets: Tensor) -> Tensor:
    """Softmax over every item: `table` [items, d], `targets` int64 [n]."""
    return softmax(states, table, F.embedding(targets, table), targets)


def sampled_softmax(states: Tensor, columns: Tensor, positives: Tensor, own: Tensor, log_inclusion: Tensor) -> Tensor:
    """Softmax over a sample; -log of each column's probability to be in it makes the sum of exponentials unbiased
    (log-q; Bengio and Senécal, 2008; Yi et al., RecSys 2019). The target is neither sampled nor corrected.
    """
    return softmax(states, columns, positives, own, -log_inclusion)


def in_batch(states: Tensor, positives: Tensor, targets: Tensor, log_share: Tensor) -> Tensor:
    """Sampled softmax whose sample is the other targets of the batch; `log_share` [items]: log of an item's share of
    all targets, from which its probability to be in a batch of n follows."""
    found, place = torch.unique(targets, return_inverse=True)
    first = torch.full_like(found, len(targets)).scatter_reduce(
        0, place, torch.arange(len(targets), device=targets.device), "amin"
    )
    absent = torch.log1p(-log_share[found].exp().clamp(max=1 - 1e-6)) * len(targets)
    log_inclusion = torch.log(-torch.expm1(absent).clamp(max=-1e-9))
    return sampled_softmax(states, positives[first], positives, place, log_inclusion)


def _pairs(states: Tensor, columns: Tensor, positives: Tensor, own: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Blocks of positive logits [rows, 1], negative logits [rows, c], and which of those count [rows, c]."""
    rows = max(1, BLOCK_ELEMENTS // max(1, columns.shape[0]))
    places = torch.arange(columns.shape[0], device=columns.device)
    for at in range(0, states.shape[0], rows):
        h = states[at : at + rows]
        counts = own[at : at + rows].unsqueeze(1) != places
        yield (h * positives[at : at + rows]).sum(1, keepdim=True), (h @ columns.T).float(), counts


def bpr(states: Tensor, columns: Tensor, positives: Tensor, own: Tensor) -> Tensor:
    """-log σ(positive - negative), mean over the negatives (Rendle et al., UAI 2009)."""
    return _sum(_bpr(*each) for each in _pairs(states, columns, positives, own)) / max(1, states.shape[0])


def _bpr(positive: Tensor, negative: Tensor, counts: Tensor) -> Tensor:
    each = F.softplus(negative - positive).masked_fill(~counts, 0.0)
    return (each.sum(1) / counts.sum(1).clamp(min=1)).sum()


def bpr_max(states: Tensor, columns: Tensor, positives: Tensor, own: Tensor, regularization: float = 1.0) -> Tensor:
    """-log Σ w·σ(positive - negative) + λ Σ w·negative², w the negatives' softmax (Hidasi and Karatzoglou, 2018)."""
    pairs = _pairs(states, columns, positives, own)
    return _sum(_bpr_max(*each, regularization) for each in pairs) / max(1, states.shape[0])


def _bpr_max(positive: Tensor, negative: Tensor, counts: Tensor, regularization: float = 1.0) -> Tensor:
    log_weight = negative.masked_fill(~counts, -1e9).log_softmax(1)
    won = torch.logsumexp(log_weight + F.logsigmoid(positive - negative), 1)
    size = (log_weight.exp() * negative.square()).sum(1)
    return (regularization * size - won).sum()


def gbce(
    states: Tensor, columns: Tensor, positives: Tensor, own: Tensor, items: int, calibration: float = 0.75
) -> Tensor:
    """Binary cross-entropy with the positive's probability raised to β, which undoes the overconfidence of sampling
    (gSASRec, Petrov and Macdonald, RecSys 2023): α = c / (items - 1), β = α (t (1 - 1/α) + 1/α), t = `calibration`."""
    beta = _beta(columns.shape[0], items, calibration)
    return _sum(_gbce(*each, beta) for each in _pairs(states, columns, positives, own)) / max(1, states.shape[0])


def _beta(columns: int, items: int, calibration: float) -> float:
    alpha = min(1.0, columns / max(1, items - 1))
    return alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)


def _gbce(positive: Tensor, negative: Tensor, counts: Tensor, beta: float) -> Tensor:
    each = F.softplus(negative).masked_fill(~counts, 0.0).sum(1)
    return (beta * F.softplus(-positive).squeeze(1) + each).sum()


def of_logits(
    positive: Tensor, negative: Tensor, counts: Tensor, loss: str, items: int, calibration: float = 0.75
) -> Tensor:
    """The sampled losses for logits that are no dot products: [n, 1], [n, c], and which negatives count, bool [n, c].

    A softmax has no correction here: the negatives are drawn, but what they stand for is not.
    """
    if loss == "bpr":
        total = _bpr(positive, negative, counts)
    elif loss == "bpr-max":
        total = _bpr_max(positive, negative, counts)
    elif loss == "gbce":
        total = _gbce(positive, negative, counts, _beta(negative.shape[1], items, calibration))
    else:
        every = torch.cat([positive, negative.masked_fill(~counts, -torch.inf)], dim=1)
        total = (every.logsumexp(1) - positive.squeeze(1)).sum()
    return total / max(1, positive.shape[0])


def _sum(blocks: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(blocks)).sum()
