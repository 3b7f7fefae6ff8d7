"""The token that says how far a reply's writer had come: `rtp:<end offset of the log, hexadecimal>`."""

from __future__ import annotations

import re

from rtp_monolith.errors import InvalidField

_PREFIX = "rtp:"
_TOKEN = re.compile("rtp:([0-9a-f]{1,16})")


def encode(offset: int) -> str:
    return f"{_PREFIX}{offset:x}"


def decode(token: str) -> int:
    """The offset of a token. Raises InvalidField `wrong_type` for what is not one."""
    if found := _TOKEN.fullmatch(token):
        return int(found[1], 16)
    raise InvalidField("wrong_type", f"{token[:40]!r} is not a position of a reply", "min_position")
