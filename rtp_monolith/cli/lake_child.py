"""The process that writes a shard's lake with training rows: where the lake meets what makes rows.

It is told the shard's configuration in the first line of its standard input, because the arguments of a process are
there for everybody to read and a configuration holds keys. It does not know what a pass or a row is.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from rtp_monolith.config import Config

PROGRAM = "import sys; from rtp_monolith.cli.lake_child import child; sys.exit(child(sys.argv[1]))"


class Said(msgspec.Struct, frozen=True):
    """What decides the rows; `bundles` is the folder of those that made the log's decisions."""

    config: Config
    bundles: str | None


def said(config: Config, bundles: Path | None) -> bytes:
    """The line that the process reads."""
    return msgspec.json.encode(Said(config, None if bundles is None else str(bundles.absolute()))) + b"\n"


def child(order: str) -> int:
    """The process's life, with training rows."""
    from rtp_monolith.lake import background
    from rtp_monolith.training.arriving import ArrivingRows

    told = msgspec.json.decode(sys.stdin.buffer.readline(), type=Said)
    data = Path(msgspec.json.decode(order, type=background.Order).data)
    bundles = None if told.bundles is None else Path(told.bundles)
    return background.child(order, ArrivingRows(data, told.config, bundles=bundles))
