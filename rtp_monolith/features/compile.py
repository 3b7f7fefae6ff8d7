"""From declarations to the native plan. A declaration that does not fit is refused here, never at request time."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rtp_monolith._native import Plan
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.spec import Feature


def compile_plan(features: Sequence[Feature] = FEATURES) -> Plan:
    """The plan of these features, in their order. Raises NativeError with the reason `bad_feature`."""
    return Plan(msgspec.json.encode([f.plan_entry() for f in features]))
