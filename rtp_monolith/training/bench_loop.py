"""How much of a bare PyTorch loop's speed the training loop keeps: SASRec, both in one run, by turns.

The bare loop is what one would write in an afternoon: `nn.TransformerEncoder` with the same widths, heads, layers,
GELU ×4 and dropout, a tied table, cross-entropy over all items, AdamW, batches made beforehand, no judging, no plan, no
checkpoint. Invariant: both walk the same sessions in batches of the same shape. It does not know how to show it.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtp_monolith.clock import Clock
from rtp_monolith.training import loop
from rtp_monolith.training.device import best
from rtp_monolith.training.models.build import build
from rtp_monolith.training.settings import Settings


class Speed(msgspec.Struct, frozen=True):
    """Positions per second of both and their ratio: medians over rounds."""

    positions_per_s: float
    bare_positions_per_s: float
    ratio: float
    rounds: int
    items: int
    positions_per_round: int


class Bare(nn.Module):
    """The afternoon's SASRec."""

    def __init__(self, items: int, settings: Settings) -> None:
        super().__init__()
        width = settings.width
        self.table, self.position = nn.Embedding(items, width), nn.Embedding(settings.length_max, width)
        layer = nn.TransformerEncoderLayer(
            width, settings.heads, 4 * width, settings.dropout, "gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, settings.layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.dropout = nn.Dropout(settings.embedding_dropout)
        nn.init.normal_(self.table.weight, std=0.02)

    def forward(self, items: Tensor) -> Tensor:
        x = self.table(items) * self.table.embedding_dim**0.5 + self.position.weight[: items.shape[1]]
        mask = nn.Transformer.generate_square_subsequent_mask(items.shape[1], device=x.device)
        states: Tensor = self.blocks(self.dropout(x), mask=mask, is_causal=True)
        return states @ self.table.weight.T


def compare(
    clock: Clock, *, items: int, sessions: int, rounds: int, seed: int, tell: Callable[[str], None] = lambda _: None
) -> Speed:
    """SASRec with 64 units, two layers, 50 items, full cross-entropy, `rounds` passes over `sessions` of 51 clicks."""
    settings = Settings(
        width=64, layers=2, heads=2, length_max=50, scoring="dot", loss="full", epochs=1, batch_tokens=50 * 32
    )
    rng = np.random.default_rng(seed)
    made = rng.integers(items, size=(sessions, settings.length_max + 1))
    lists, batches = made.tolist(), [torch.from_numpy(made[at : at + 32]) for at in range(0, sessions, 32)]
    torch.manual_seed(seed)
    bare = Bare(items, settings).to(best()).train()
    optimizer = torch.optim.AdamW(bare.parameters(), lr=1e-3, fused=True)
    ours_s: list[float] = []
    bare_s: list[float] = []
    for number in range(rounds + 1):
        model = build(items, settings, seed)
        began_s = clock.monotonic_s()
        loop.train(model, lists, settings, seed=seed, clock=clock)
        middle_s = clock.monotonic_s()
        for batch in batches:
            optimizer.zero_grad(set_to_none=True)
            batch = batch.to(best())
            logits = bare(batch[:, :-1])
            F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten()).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        if best().type == "cuda":  # a GPU is handed its work, which may not be done yet
            torch.cuda.synchronize()
        ended_s = clock.monotonic_s()
        if number:  # the first round warms both
            ours_s.append(middle_s - began_s)
            bare_s.append(ended_s - middle_s)
            tell(f"round {number} of {rounds}: ours {ours_s[-1]:.2f} s, bare {bare_s[-1]:.2f} s")
    positions = sessions * settings.length_max
    ratio = median(theirs / own for own, theirs in zip(ours_s, bare_s, strict=True))
    return Speed(positions / median(ours_s), positions / median(bare_s), ratio, rounds, items, positions)
