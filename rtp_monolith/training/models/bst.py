"""BST: a transformer over the session with the candidate as its last item (Chen et al., "Behavior Sequence Transformer
for E-commerce Recommendation in Alibaba", DLP-KDD 2019).

The candidate is there while the session is read, so there is no session vector to search with: BST orders a shortlist,
as in the paper. Departures: the candidate is read by the last block alone (the paper found one block best), distances
stand in for times, the layers on top read the candidate's state and the latest item's, and the candidate's likeness to
what it attends to joins the logit (the product of DIN, Zhou et al., KDD 2018). Invariant: a click after the moment
asked for changes nothing. It does not know where a shortlist comes from but that somebody scored it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtp_monolith.training.models.encoder import FAR, TABLE_STD, SessionModel, TargetedBody
from rtp_monolith.training.models.sasrec import Block
from rtp_monolith.training.protocols import Cases
from rtp_monolith.training.scoring import Scorer
from rtp_monolith.training.settings import Settings

SHORTLIST = 200


class Bst(TargetedBody):
    """Blocks, the last of which the candidate asks, and layers that make a logit."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        width = settings.width
        self.position = nn.Parameter(torch.empty(settings.length_max, width).normal_(std=TABLE_STD))
        self.asking = nn.Parameter(torch.empty(width).normal_(std=TABLE_STD))
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers - 1))
        self.final = Block(settings)
        self.by_distance = nn.Parameter(torch.zeros(settings.heads, settings.length_max + 1))
        self.norm = nn.LayerNorm(2 * width)
        self.likeness = nn.LayerNorm(width, elementwise_affine=False)
        self.gain = nn.Parameter(torch.tensor(4.0 / width))
        self.top = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.LeakyReLU(), nn.Linear(2 * width, 1))

    def against(
        self, vectors: Tensor, row: Tensor, upto: Tensor, candidates: Tensor, marks: Tensor | None = None
    ) -> Tensor:
        settings, final = self.settings, self.final
        items = F.dropout(vectors * self.input_scale, settings.embedding_dropout, self.training)
        x = self.marked(items, marks) + self.position[: vectors.shape[1]]
        for block in self.blocks:
            x = block(x)
        asking = candidates * self.input_scale + self.asking
        read, normed = final.before_attention(x), final.before_attention(asking)
        key, value = (self._heads(half)[row] for half in final.key_value(read).chunk(2, dim=-1))
        own_key, own_value = (self._heads(half) for half in final.key_value(normed).chunk(2, dim=-1))
        query = self._heads(final.query(normed)) * final.head_width**-0.5
        distance = upto.unsqueeze(1) - torch.arange(vectors.shape[1], device=vectors.device)
        bias = self.by_distance[:, distance.clamp(min=0)].masked_fill(distance < 1, FAR)
        # [n, heads, candidates, length], then the candidate's look at itself beside it.
        seen = query @ key.transpose(2, 3) + bias.transpose(0, 1).unsqueeze(2)
        itself = (query * own_key).sum(3, keepdim=True) + self.by_distance[:, :1].unsqueeze(2)
        weights = torch.cat([seen, itself.expand(*seen.shape[:3], 1)], dim=-1).softmax(dim=-1)
        weights = F.dropout(weights, settings.dropout, self.training)
        attended = weights[..., :-1] @ value + weights[..., -1:] * own_value
        made = final.joined(asking, final.out(attended.transpose(1, 2).flatten(2)))
        # Their product as well: without it layers on top would have to learn what "alike" means from clicks alone.
        mean = (weights[..., :-1].mean(1) @ items[row]) / (1.0 - weights[..., -1:].mean(1)).clamp(min=1e-6)
        alike = (self.likeness(mean) * self.likeness(candidates)).sum(2) * self.gain
        latest = x[row, (upto - 1).clamp(min=0)].unsqueeze(1).expand(-1, made.shape[1], -1)
        logits: Tensor = alike + self.top(self.norm(torch.cat([made, latest], dim=-1))).squeeze(2)
        return logits

    def _heads(self, x: Tensor) -> Tensor:
        """[rows, places, d] → [rows, heads, places, d / heads]."""
        return x.view(*x.shape[:2], self.settings.heads, -1).transpose(1, 2)


class Shortlisted:
    """BST over the best of another scorer; the rest stays behind them in that scorer's order."""

    def __init__(self, model: SessionModel, base: Scorer, shortlist: int = SHORTLIST) -> None:
        self.model, self.base, self.shortlist = model, base, shortlist
        model.eval()
        with torch.inference_mode():
            self.vectors = model.item_vectors().clone()

    def scores(self, cases: Cases, start: int, stop: int) -> Tensor:
        body = self.model.body
        assert isinstance(body, TargetedBody)
        with torch.inference_mode():
            scores = self.base.scores(cases, start, stop)
            found = scores.topk(min(self.shortlist, scores.shape[1]), dim=1).indices
            here = self.vectors.device
            padded, lengths = self.model.padded([cases.history(case) for case in range(start, stop)])
            rows, columns = torch.arange(stop - start, device=here), self.vectors[found.to(here)]
            marks = self.model.padded_marks(cases.marks_of(start, stop), padded.shape[1])
            told = None if marks is None else marks.to(here)
            logits = body.against(self.vectors[padded.to(here)], rows, lengths.to(here), columns, told).cpu()
            # Everything else in (-1, 0], so that the shortlist, from 1 up, stands before it.
            scores = -(1.0 - scores / scores.amax(1, keepdim=True).clamp(min=1e-12)).clamp(0.0, 1.0)
            return scores.scatter_(1, found, 1.0 + logits - logits.amin(1, keepdim=True))
