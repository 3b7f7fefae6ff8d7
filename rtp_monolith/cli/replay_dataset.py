"""`rtp replay dataset`: the lists of a log as point-in-time training rows, in Parquet.

Invariant: figures go to stdout, progress to stderr. It does not know how a row is made.
"""

from __future__ import annotations

import datetime
from pathlib import Path

import click
import msgspec

from rtp_monolith.cli.output import emit_json, json_option, progress
from rtp_monolith.cli.target import config_option, load_config

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
EVERY_BYTES = 1 << 26
FOREVER_MS = 2**62


class Moment(click.ParamType[int]):
    """Milliseconds since 1970, or a date or time of RFC 3339; UTC where it says no offset."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value)
        if text.isascii() and text.isdigit() and len(text) <= 15:
            return int(text)
        try:
            moment = datetime.datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is no time such as 2026-11-25, 2026-11-25T12:00:00Z or 1764072000000", param, ctx)
        utc = moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)
        return round(utc.timestamp() * 1000)


class Span(click.ParamType[int]):
    """A length of time, `30m`, as milliseconds; `0` is none."""

    name = "LENGTH"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from rtp_monolith.features.declared import duration_ms

        if isinstance(value, int):
            return value
        try:
            return 0 if value == "0" else duration_ms(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option("--data", type=_FOLDER, required=True, help="A shard's folder; the shard may run.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the rows.")
@click.option("--from", "from_ms", type=Moment(), default=0, help="First moment of a list; the log's beginning.")
@click.option("--to", "to_ms", type=Moment(), default=FOREVER_MS, help="The moment before which lists end.")
@click.option("--click-window", type=Span(), default="30m", show_default=True, help="For clicks and dwell.")
@click.option("--conversion-window", type=Span(), default="1h", show_default=True, help="For carts and purchases.")
@click.option("--refund-window", type=Span(), default="14d", show_default=True, help="From a purchase on.")
@click.option("--late", type=Span(), default="0", show_default=True, help="How late an event may come in.")
@click.option("--dwell", type=Span(), default="10s", show_default=True, help="Looking so long is a label.")
@click.option(
    "--share", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True, help="Of the lists."
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Draws the share.")
@click.option("--models", type=_FOLDER, help="Bundles that made the log's decisions, to read their vectors.")
@json_option
@config_option
def dataset(
    data: Path, out: Path, from_ms: int, to_ms: int, click_window: int, conversion_window: int, refund_window: int,
    late: int, dwell: int, share: float, seed: int, models: Path | None, as_json: bool, config: Path | None,
) -> None:  # fmt: skip
    """Write what was known of every shown item when it was shown, and what came of it; again after an interruption."""
    if from_ms >= to_ms:
        raise click.UsageError("--from must be before --to")
    from rtp_monolith.training.lists import Windows
    from rtp_monolith.training.point_in_time import DatasetSettings, write_dataset

    windows = Windows(click_window, conversion_window, refund_window, late)
    settings = DatasetSettings(from_ms, to_ms, windows, dwell, share, seed)
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        if done - told >= EVERY_BYTES:
            told = done
            progress(f"{done / total:.0%} of the log")

    written = write_dataset(data, load_config(config), out, settings, bundles=models, progress=tell)
    if as_json:
        emit_json(msgspec.to_builtins(written))
        return
    counts = written.counts
    click.echo(f"{written.rows} rows of {counts['lists']} lists in {written.parts} files: {written.out}")
    click.echo(
        f"left out: {counts['outside']} lists outside the range, {counts['unfinished']} whose outcome is not known "
        f"yet, {counts['late']} that came in behind the state"
    )
