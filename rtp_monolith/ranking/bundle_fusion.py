"""The fusion of a bundle: its weights as they were written, and the proof that they give here what they gave there.

Invariant: a `Fusion` from here is of the bundle's dimension, finite, and gives its probe's answers. It does not know
who is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtp_monolith.features.context_words import FIELDS, NONE
from rtp_monolith.features.fusion import Fusion, shapes
from rtp_monolith.ranking.bundle_files import Manifest, read_arrays, refuse

PROBE = ("probe_static", "probe_session", "probe_clicks", "probe_fused")
"""[n, d], [n, d], [n] and [n, d]; a row of zeros is a vector that is missing, as in training."""
CONTEXT_PROBE = "probe_context"
"""Numbers of contexts, [n, fields], negative for unknown values; where the fusion reads contexts."""
TOLERANCE = 1e-4


def read_fusion(files: Mapping[str, bytes], manifest: Manifest) -> Fusion | None:
    """None when the bundle has none. Raises BundleError `bundle_format`, `bundle_shape`, `bundle_not_finite` or
    `bundle_probe`."""
    entry = manifest.fusion
    if entry is None:
        return None
    d, said = manifest.embedding.dimension, entry.context
    words = None if said is None else said.values
    weights = shapes(entry.form, d, 0 if words is None else len(words))
    arrays = read_arrays(files[entry.file], (*weights, *PROBE, *(() if words is None else (CONTEXT_PROBE,))))
    try:
        fusion = Fusion(
            entry.form,
            {name: arrays[name] for name in weights},
            words,
            alone=said is not None and said.alone,
            clicks_max=entry.clicks_max,
        )
    except ValueError as error:
        code = "bundle_not_finite" if "finite" in str(error) else "bundle_shape"
        raise refuse(code, f"the fusion: {error}", "fusion") from None
    _prove(fusion, arrays, d)
    return fusion


def _prove(fusion: Fusion, arrays: Mapping[str, NDArray[Any]], d: int) -> None:
    statics, sessions, clicks, wanted = (arrays[name] for name in PROBE)
    if fusion.dimension != d or statics.shape != wanted.shape or sessions.shape != wanted.shape or statics.ndim != 2:
        raise refuse("bundle_shape", f"the fusion is of {fusion.dimension} numbers, item vectors have {d}", "fusion")
    if statics.shape[1] != d or clicks.shape != wanted.shape[:1]:
        raise refuse("bundle_shape", f"the fusion's probe is not of {d} numbers", "fusion")
    values = 0 if fusion.words is None else len(fusion.words)
    contexts = arrays.get(CONTEXT_PROBE, np.full((len(clicks), len(FIELDS)), NONE))
    if contexts.shape != (len(clicks), len(FIELDS)) or contexts.dtype.kind != "i" or (contexts >= values).any():
        raise refuse("bundle_shape", f"the fusion's probe is not of {values} values of contexts", "fusion")
    for static, session, n, numbers, expected in zip(statics, sessions, clicks, contexts, wanted, strict=True):
        past, dynamic = (each if each.any() else None for each in (static, session))
        given = fusion.fuse(past, dynamic, int(n), fusion.summed(numbers.tolist()))
        off = float(np.abs((np.zeros(d) if given is None else given) - expected).max())
        if not off <= TOLERANCE:
            raise refuse("bundle_probe", f"the fusion is off by {off:.2g}, at most {TOLERANCE:g} is allowed", "fusion")
