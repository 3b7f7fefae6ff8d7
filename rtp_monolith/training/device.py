"""Where a model trains and how precisely: on a GPU if there is one, products in bfloat16 if the hardware has them.

Weights, sums and losses stay in float32 (Micikevicius et al., "Mixed Precision Training", ICLR 2018; bfloat16 has the
range of float32, so nothing is scaled). Invariant: what is decided here depends on the machine alone, and a machine
without a GPU and without bfloat16 computes in float32 throughout.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def best() -> torch.device:
    """The first GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies in bfloat16; emulated it would be slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def products(device: torch.device, in_bfloat16: bool | None = None) -> AbstractContextManager[object]:
    """Matrix products in bfloat16 while it lasts, where the device has it or `in_bfloat16` says so."""
    if has_bfloat16(device) if in_bfloat16 is None else in_bfloat16:
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
