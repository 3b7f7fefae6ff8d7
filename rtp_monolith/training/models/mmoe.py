"""The ranker: multi-gate mixture of experts (Ma et al., KDD 2018) over click, cart and purchase, normalisation inside.

Position is an additive tower in the manner of PAL (Guo et al., RecSys 2019): trained with the position a row was shown
at, left out of what is exported. Columns stand in three groups: those of the request (the same in every row of a list),
plain ones and heavy-tailed ones, so that the exported graph treats the first group once a list. Invariant: `forward` is
a function of a row alone. It does not know how it is trained, nor files.
"""

from __future__ import annotations

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

GATE_LOGIT_MAX = 30.0
CLIP_DEVIATIONS = 6.0
HEAVY_TAIL = 20.0
POSITIONS_MAX = 64


class MmoeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Widths of the layers; `positions` are told apart, later ones count as the last."""

    experts: int = 4
    hidden: int = 48
    expert_out: int = 32
    tower: int = 16
    positions: int = 32
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if min(self.experts, self.hidden, self.expert_out, self.tower) < 1:
            raise ValueError("sizes are at least 1")
        if not 1 <= self.positions <= POSITIONS_MAX:
            raise ValueError(f"positions is 1 to {POSITIONS_MAX}")


class Columns(msgspec.Struct, frozen=True):
    """The inputs in their order: first `request` of them, then `plain`, then the rest, which are heavy-tailed.

    Request and heavy-tailed columns go through log(1 + max(x, 0)); all are clipped to `low`..`high` and standardised
    with `mean` and `deviation` of the training rows (all after the logarithm).
    """

    names: list[str]
    request: int
    plain: int
    mean: list[float]
    deviation: list[float]
    low: list[float]
    high: list[float]

    @property
    def logs(self) -> NDArray[np.bool_]:
        """Which columns go through the logarithm."""
        at = np.arange(len(self.names))
        return (at < self.request) | (at >= self.request + self.plain)


def fit_columns(
    rows: NDArray[np.float32], names: list[str], request_names: frozenset[str]
) -> tuple[Columns, list[int]]:
    """Columns of training rows, and which column of `rows` each of them is; those that never vary are left out: what
    a model makes of a value it never saw is chance. Raises ValueError when nothing varies."""
    varies = [at for at in range(len(names)) if float(rows[:, at].max()) > float(rows[:, at].min())]
    if not varies:
        raise ValueError("no column varies: there is nothing to learn from")

    def group(at: int) -> int:
        if names[at] in request_names:
            return 0
        heavy = float(rows[:, at].max()) > HEAVY_TAIL and float(rows[:, at].min()) >= 0
        return 2 if heavy else 1

    order = sorted(varies, key=lambda at: (group(at), at))
    groups = [group(at) for at in order]
    mean, deviation, low, high = [], [], [], []
    for at, kind in zip(order, groups, strict=True):
        column = rows[:, at].astype(np.float64)
        if kind != 1:
            column = np.log1p(np.maximum(column, 0.0))
        m, s = float(column.mean()), max(float(column.std()), 1e-6)
        mean.append(m)
        deviation.append(s)
        low.append(max(float(column.min()), m - CLIP_DEVIATIONS * s))
        high.append(min(float(column.max()), m + CLIP_DEVIATIONS * s))
    columns = Columns([names[at] for at in order], groups.count(0), groups.count(1), mean, deviation, low, high)
    return columns, order


class Mmoe(nn.Module):
    """Rows f32 [n, F] → logits f32 [n, heads], position left out."""

    mean: Tensor
    deviation: Tensor
    low: Tensor
    high: Tensor
    logs: Tensor

    def __init__(self, columns: Columns, heads: int, settings: MmoeSettings, generator: torch.Generator) -> None:
        super().__init__()
        self.columns = columns
        self.heads = heads
        self.settings = settings
        f, e, a, b, c = len(columns.names), settings.experts, settings.hidden, settings.expert_out, settings.tower
        for name in ("mean", "deviation", "low", "high"):
            self.register_buffer(name, torch.tensor(getattr(columns, name), dtype=torch.float32))
        self.register_buffer("logs", torch.from_numpy(columns.logs))

        def weight(*shape: int, fan_in: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) * (2.0 / fan_in) ** 0.5)

        self.expert_in = weight(f, e * a, fan_in=f)
        self.expert_in_bias = nn.Parameter(torch.zeros(e * a))
        self.expert_out = weight(e, a, b, fan_in=a)
        self.gate = nn.Parameter(torch.zeros(f, heads * e))
        self.gate_bias = nn.Parameter(torch.zeros(heads * e))
        self.tower_in = weight(heads, b, c, fan_in=b)
        self.tower_in_bias = nn.Parameter(torch.zeros(heads, c))
        self.tower_out = weight(heads, c, fan_in=2 * c)
        self.tower_out_bias = nn.Parameter(torch.zeros(heads))
        self.position_bias = nn.Parameter(torch.zeros(settings.positions, heads))
        self.dropout = nn.Dropout(settings.dropout)

    def normalise(self, rows: Tensor) -> Tensor:
        """Logarithm, clip, standardise: [n, F] → [n, F]."""
        tamed = torch.where(self.logs, torch.log1p(rows.clamp_min(0.0)), rows)
        clipped = torch.minimum(torch.maximum(tamed, self.low), self.high)
        return (clipped - self.mean) / self.deviation

    def forward(self, rows: Tensor) -> Tensor:
        e, heads = self.settings.experts, self.heads
        x = self.normalise(rows)
        hidden = torch.relu(x @ self.expert_in + self.expert_in_bias)
        hidden = self.dropout(hidden).view(len(rows), e, -1).transpose(0, 1)
        experts = torch.relu(hidden @ self.expert_out).transpose(0, 1)  # [n, experts, out]
        gates = (x @ self.gate + self.gate_bias).clamp(-GATE_LOGIT_MAX, GATE_LOGIT_MAX)
        mixed = torch.softmax(gates.view(len(rows), heads, e), dim=-1) @ experts  # [n, heads, out]
        towers = torch.relu(torch.einsum("nhb,hbc->nhc", mixed, self.tower_in) + self.tower_in_bias)
        return (towers * self.tower_out).sum(dim=-1) + self.tower_out_bias

    def shown_at(self, position: Tensor) -> Tensor:
        """What a position adds to the logits: i64 [n] → f32 [n, heads]."""
        bias: Tensor = self.position_bias[position.clamp_max(self.settings.positions - 1)]
        return bias
