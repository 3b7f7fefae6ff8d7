"""Pieces that slow references are written with: one row at a time, float64, NumPy."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

Rows = np.ndarray
Weights = dict[str, np.ndarray]


def weights_of(module: nn.Module) -> Weights:
    return {name: value.double().numpy() for name, value in module.state_dict().items()}


def shaken(module: nn.Module, by: float = 0.3, seed: int = 7) -> None:
    """Moves every weight, as a fresh model has zeros that hide mistakes."""
    made = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each in module.parameters():
            each.add_(by * torch.randn(each.shape, generator=made))


def linear(w: Weights, name: str, rows: Rows) -> Rows:
    return rows @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def norm(rows: Rows, weight: Rows | float = 1.0, bias: Rows | float = 0.0) -> Rows:
    rows = np.atleast_2d(rows)
    spread = np.sqrt(rows.var(1, keepdims=True) + 1e-5)
    return (rows - rows.mean(1, keepdims=True)) / spread * weight + bias


def layer_norm(w: Weights, name: str, rows: Rows) -> Rows:
    return norm(rows, w[f"{name}.weight"], w[f"{name}.bias"])


def gelu(rows: Rows) -> Rows:
    return rows * 0.5 * (1 + torch.erf(torch.from_numpy(rows) / 2**0.5).numpy())


def sigmoid(x: Rows) -> Rows:
    return 1 / (1 + np.exp(-x))


def gru_cell(w: Weights, x: Rows, h: Rows, suffix: str = "", name: str = "") -> Rows:
    """torch's: reset, update and new gate, in this order."""
    gates_x = w[f"{name}weight_ih{suffix}"] @ x + w[f"{name}bias_ih{suffix}"]
    gates_h = w[f"{name}weight_hh{suffix}"] @ h + w[f"{name}bias_hh{suffix}"]
    (rx, zx, nx), (rh, zh, nh) = np.split(gates_x, 3), np.split(gates_h, 3)
    update = sigmoid(zx + zh)
    return (1 - update) * np.tanh(nx + sigmoid(rx + rh) * nh) + update * h
