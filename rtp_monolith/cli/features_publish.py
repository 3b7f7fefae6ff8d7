"""`rtp features publish|tables`: what a batch job computed into the tables that lists read, and what lies there.

Invariant: a file is published whole or not at all; whoever is interrupted leaves a draft that nobody reads. It does not
know stores nor what fits: the shard, or the same code on its stopped folder, says that.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from rtp_monolith.cli.client import Client
from rtp_monolith.cli.output import Failure, emit_json, json_option, progress, table
from rtp_monolith.cli.target import Target, data_options, load_config, url_options
from rtp_monolith.ingest.files import FileError, Format, RowRefused, detect_format, read_rows

if TYPE_CHECKING:
    from rtp_monolith.config import Config
    from rtp_monolith.features.published import Scope
    from rtp_monolith.state.online.store import TableStore, Version

DIRECT_ROWS = 10_000
BODY_ROWS = 2_000
BODY_BYTES = 900_000
PROGRESS_EVERY_S = 5.0
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_scope_option = click.option(
    "--scope", type=click.Choice(["user", "item"]), required=True, help="Whom the rows are of."
)


class Wanted(msgspec.Struct, frozen=True):
    """What is to be published."""

    file: Path
    form: Format
    scope: Scope
    version: str
    ttl_ms: int
    as_of_ms: int | None

    @property
    def text(self) -> bool:
        """Cells are texts, whatever they mean."""
        return self.form in ("csv", "tsv")


@click.command()
@click.argument("file", type=_FILE)
@_scope_option
@click.option("--version", required=True, help="What this publication is called, as 2026-11-26.")
@click.option("--ttl", help="Values older than that are not read, as 36h or 2d.")
@click.option("--as-of", help="When the values were true: RFC 3339 or ms. Now unless it is given.")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv", "tsv", "parquet"]), help="Else by the name.")
@url_options
@data_options
@json_option
def publish(
    file: Path,
    scope: Scope,
    version: str,
    ttl: str | None,
    as_of: str | None,
    form: Format | None,
    url: str | None,
    key: str | None,
    data: Path | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Publish FILE (Parquet, NDJSON, CSV or TSV, plain, .gz or .zst), one row per user or item: a column `id` and one
    for each feature. Lists read it from the answer on."""
    try:
        wanted = Wanted(file, form or detect_format(file), scope, version, _ttl_ms(ttl), _as_of_ms(as_of))
        began_s = time.perf_counter()
        if url is not None and data is None:
            done = over_http(Target(url, data, key, config), wanted)
        else:
            done = _direct(_settings(url, data, config), data, wanted)
    except FileError as error:
        raise Failure(error.code, str(error)) from None
    took_s = time.perf_counter() - began_s
    report = {**done, "scope": scope, "file": str(file), "took_s": round(took_s, 3)}
    if as_json:
        emit_json(report)
    else:
        click.echo(f"published {done['rows']} rows of {', '.join(done['features'])} as {version} in {took_s:.1f} s")


@click.command()
@url_options
@data_options
@json_option
def tables(url: str | None, key: str | None, data: Path | None, config: Path | None, as_json: bool) -> None:
    """Which versions lists read: rows, age, TTL and features."""
    if url is not None and data is None:
        with Client(url, key=key) as client:
            found = client.call("GET", "/v1/features/tables")["tables"]
    else:
        found = asyncio.run(_listed(_settings(url, data, config), data))
    if as_json:
        emit_json({"tables": found})
        return
    header = ["scope", "version", "rows", "age", "ttl", "features"]
    click.echo(
        table(
            header,
            [
                [
                    each["scope"],
                    each["version"],
                    each["rows"],
                    _span(each["age_s"]),
                    _span(each["ttl_ms"] / 1000) if each["ttl_ms"] else "-",
                    ", ".join(each["features"]),
                ]
                for each in found
            ],
        )
    )


def _settings(url: str | None, data: Path | None, config: Path | None) -> Config:
    """The configuration, when it and the options name one place. The Redis of a configuration needs no other."""
    settings = load_config(config)
    redis = settings.online.store == "redis"
    if (url is not None) + (data is not None) + redis != 1:
        raise click.UsageError(
            "give --url (a running shard), --data (a stopped one) or the --config of a shard whose store is Redis"
        )
    if data is not None and not data.is_dir():
        raise Failure("no_data", f"{data} is not a folder")
    return settings


def _ttl_ms(text: str | None) -> int:
    if text is None:
        return 0
    from rtp_monolith.features.declared import duration_ms

    try:
        return duration_ms(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--ttl") from None


def _as_of_ms(text: str | None) -> int | None:
    from rtp_monolith.ingest.coerce import CellRefused, moment

    try:
        return None if text is None else moment(text)
    except CellRefused as error:
        raise click.BadParameter(str(error), param_hint="--as-of") from None


def _records(wanted: Wanted) -> Iterator[Mapping[str, Any]]:
    """The rows of the file. Raises Failure for one that cannot be read."""
    for row in read_rows(wanted.file, wanted.form):
        if isinstance(row.cells, RowRefused):
            raise Failure(row.cells.code, f"row {row.number}: {row.cells.message}; nothing is published")
        yield row.cells


class _Said:
    """How far it is, every few seconds."""

    def __init__(self) -> None:
        self._said_s = time.perf_counter()

    def __call__(self, rows: int) -> None:
        now_s = time.perf_counter()
        if now_s - self._said_s >= PROGRESS_EVERY_S:
            self._said_s = now_s
            progress(f"{rows} rows")


def over_http(target: Target, wanted: Wanted) -> dict[str, Any]:
    """Publishes to a running shard; what it answers. Raises Failure, and nothing is published then."""
    base, said = f"/v1/features/tables/{wanted.scope}", _Said()
    cells = "&cells=text" if wanted.text else ""
    with target.client() as client:
        draft = client.call("POST", base)["draft"]
        rows = 0
        try:
            for body in _bodies(_records(wanted)):
                path = f"{base}/{draft}?from={rows}{cells}"
                rows = client.call("POST", path, body, "application/x-ndjson")["rows"]
                said(rows)
            asked = {"version": wanted.version, "ttl_ms": wanted.ttl_ms or None, "as_of_ms": wanted.as_of_ms}
            done: dict[str, Any] = client.call("PUT", f"{base}/{draft}", msgspec.json.encode(asked))
        except BaseException:
            client.send("DELETE", f"{base}/{draft}")
            raise
    return done


def _bodies(records: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """NDJSON of a size that a shard takes."""
    lines: list[bytes] = []
    size = 0
    for number, record in enumerate(records, start=1):
        for name, value in record.items():
            # JSON has no word for these, and would say null.
            if any(isinstance(each, float) and not math.isfinite(each) for each in _parts(value)):
                raise Failure("bad_value", f"row {number}: `{name}` is not a finite number; nothing is published")
        line = msgspec.json.encode(record)
        if lines and (len(lines) == BODY_ROWS or size + len(line) > BODY_BYTES):
            yield b"\n".join(lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line) + 1
    if lines:
        yield b"\n".join(lines)


def _parts(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else (value,)


def _direct(settings: Config, data: Path | None, wanted: Wanted) -> dict[str, Any]:
    version = asyncio.run(_written(settings, data, wanted))
    return {"version": version.name, "rows": version.rows, "features": version.live}


def _store(settings: Config, data: Path | None) -> TableStore:
    from rtp_monolith.errors import DataError
    from rtp_monolith.state.online.tables import open_store

    try:
        return open_store(data or Path(), settings.online)
    except DataError as error:
        if error.code != "data_locked":
            raise
        text = f"{data} is held by a running shard; give --url instead of --data"
        raise Failure("data_locked", text) from None


async def _written(settings: Config, data: Path | None, wanted: Wanted) -> Version:
    from rtp_monolith.clock import WallClock
    from rtp_monolith.features.declared import declared
    from rtp_monolith.state.online.publish import Draft

    now_ms, said = WallClock().wall_ms, _Said()
    published = declared(settings).published
    store = _store(settings, data)
    try:
        rows_max = settings.online.item_rows_max
        draft = await Draft.begin(store, published, wanted.scope, now_ms=now_ms(), item_rows_max=rows_max)
        try:
            batch: list[Mapping[str, Any]] = []
            for record in _records(wanted):
                batch.append(record)
                if len(batch) == DIRECT_ROWS:
                    await draft.add(batch, text=wanted.text)
                    said(draft.rows)
                    batch = []
            await draft.add(batch, text=wanted.text)
            version = await draft.commit(
                wanted.version, now_ms=now_ms(), as_of_ms=wanted.as_of_ms, ttl_ms=wanted.ttl_ms
            )
        except BaseException:
            await draft.abort()
            raise
        if data is not None:
            # Nobody reads the tables of a stopped shard: what was retired can go at once.
            await store.sweep(wanted.scope, now_ms(), retired_for_ms=0)
        return version
    finally:
        await store.close()


async def _listed(settings: Config, data: Path | None) -> list[dict[str, Any]]:
    from rtp_monolith.clock import WallClock
    from rtp_monolith.features.published import SCOPES

    store = _store(settings, data)
    try:
        now_ms = WallClock().wall_ms()
        return [each.described(scope, now_ms) for scope in SCOPES for each in await store.versions(scope)]
    finally:
        await store.close()


def _span(seconds: float) -> str:
    """The largest unit that gives at least one, two digits at most."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.1f}".rstrip("0").rstrip(".") + unit
    return f"{seconds:.0f}s"
