"""The token that says how far a reply's writer had come: `rtp:<end offset of the log, hexadecimal>`."""

from __future__ import annotations

from rtp_monolith.errors import InvalidField

_PREFIX = "rtp:"


def encode(offset: int) -> str:
    return f"{_PREFIX}{offset:x}"


def decode(token: str) -> int:
    """The offset of a token. Raises InvalidField `wrong_type` for what is not one."""
    try:
        if token.startswith(_PREFIX):
            return int(token[len(_PREFIX) :], 16)
    except ValueError:
        pass
    raise InvalidField("wrong_type", f"{token[:40]!r} is not a position of a reply", "min_position")
