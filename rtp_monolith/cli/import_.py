"""`rtp import events|items|users|sessions FILE`: a file into a shard, with a report of what was taken.

Invariant: rows reach the shard in the order of the file (sessions: in time order), and every row is accounted for as
accepted, duplicate or rejected with a code. It does not know how the shard validates: a dry run asks a shard on a
temporary folder.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

import click
import msgspec

from rtp_monolith.cli.output import FAILED, Finished, emit_json, json_option, progress, table
from rtp_monolith.cli.sinks import (
    Answer,
    Remove,
    Send,
    Wire,
    folder_remove,
    folder_sink,
    http_remove,
    http_sink,
    send_ahead,
    send_in_turn,
)
from rtp_monolith.cli.target import Target, data_options, one_target, open_shard, url_options
from rtp_monolith.ingest.batches import Batch, Encoded, pack
from rtp_monolith.ingest.coerce import CellRefused, moment
from rtp_monolith.ingest.columns import ColumnReport, Columns, Kind
from rtp_monolith.ingest.compacted import Superseded, Unread, latest_records
from rtp_monolith.ingest.files import FileError, Format, Record, RowRefused, detect_format, read_rows
from rtp_monolith.ingest.sessions import MADE_END_MS, RefusedLine, click_event, is_timed, read_clicks

EXAMPLES_MAX = 10
PROGRESS_EVERY_S = 2.0
Source = Literal["events", "items", "users", "sessions"]
Command = TypeVar("Command", bound=Callable[..., Any])


class Example(msgspec.Struct, frozen=True):
    """One rejected row."""

    row: int
    code: str
    message: str


class ImportReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a file. Rows are counted from 1; `made` says how many fields were filled in by us. Of a compacted
    stream, `superseded` rows have a later record of their key and `removed` ones took an item away."""

    kind: Source
    file: str
    format: str
    dry_run: bool
    rows: int
    accepted: int
    duplicates: int
    rejected: dict[str, int]
    examples: list[Example]
    columns: list[ColumnReport]
    ignored: list[str]
    made: dict[str, int]
    next_row: int
    position: str
    took_s: float
    rows_per_s: float
    superseded: int = 0
    removed: int = 0


class Counts:
    """Counts while an import runs; `next_row` is where an interrupted one goes on."""

    def __init__(self) -> None:
        self.rows = 0
        self.accepted = 0
        self.duplicates = 0
        self.rejected: dict[str, int] = {}
        self.examples: list[Example] = []
        self.next_row = 1
        self.position = ""
        self.superseded = 0
        self.removed = 0

    def refuse(self, row: int, code: str, message: str) -> None:
        self.rejected[code] = self.rejected.get(code, 0) + 1
        if len(self.examples) < EXAMPLES_MAX and sum(e.code == code for e in self.examples) < 3:
            self.examples.append(Example(row, code, message))

    def answered(self, batch: Batch, answer: Answer) -> None:
        self.accepted += answer.accepted
        self.duplicates += answer.duplicates
        for refused in answer.rejected:
            self.refuse(batch.numbers[refused.index], refused.code, refused.message)
        self.next_row = batch.numbers[-1] + 1
        self.position = answer.position or self.position


def session_records(path: Path, end_ms: int, skip: int, counts: Counts) -> Iterator[Encoded]:
    """The clicks of a file of sessions as events; a row is a click in time order, not a line."""
    for number, one in enumerate(read_clicks(path, end_ms), start=1):
        if number <= skip:
            continue
        counts.rows += 1
        if isinstance(one, RefusedLine):
            counts.refuse(number, one.why.code, f"line {one.number}: {one.why.message}")
        else:
            yield Encoded(number, msgspec.json.encode(click_event(one)), one.session_id)


def item_records(*files: Path) -> Iterator[Encoded]:
    """A bare item for every id in files of sessions, so that lists can hold what has no data of its own yet."""
    seen: set[str] = set()
    for path in files:
        for one in read_clicks(path):
            if isinstance(one, RefusedLine) or one.item_id in seen:
                continue
            seen.add(one.item_id)
            yield Encoded(len(seen), msgspec.json.encode({"id": one.item_id}), "")


def stream_records(path: Path, kind: Kind, columns: Columns, counts: Counts, remove: Remove) -> Iterator[Encoded]:
    """The last record of each key of a compacted stream. Items that it takes away are taken away on the way: no other
    record of the stream that counts has their key."""
    for one in latest_records(path):
        counts.rows += 1
        if isinstance(one, Superseded):
            counts.superseded += 1
            continue
        if isinstance(one, Unread):
            counts.refuse(one.number, one.why.code, one.why.message)
            continue
        if one.value is None and kind == "items":
            remove(one.key)
            counts.removed += 1
            continue
        gone = {"id": one.key, "attributes": {}, "features": {}}
        yield from _encoded(
            one.number, gone if one.value is None else columns.record(one.number, one.value), "", counts
        )


def _encoded(number: int, made: Record | RowRefused, key: str, counts: Counts) -> Iterator[Encoded]:
    """The record as JSON, or nothing but a refusal."""
    if isinstance(made, RowRefused):
        counts.refuse(number, made.code, made.message)
        return
    try:
        yield Encoded(number, msgspec.json.encode(made), key)
    except (UnicodeEncodeError, ValueError, TypeError) as error:
        counts.refuse(number, "malformed_row", str(error))


def table_records(
    path: Path, form: Format, kind: Kind, columns: Columns, skip: int, counts: Counts
) -> Iterator[Encoded]:
    """The rows of a table as records of the contract."""
    for row in read_rows(path, form):
        if row.number <= skip:
            continue
        counts.rows += 1
        made = row.cells if isinstance(row.cells, RowRefused) else columns.record(row.number, row.cells)
        key = ""
        if kind == "events" and not isinstance(made, RowRefused):
            key = str(made.get("user_id") or made.get("session_id") or "")
        yield from _encoded(row.number, made, key, counts)


def run_import(
    send: Send, kind: Wire, records: Iterator[Encoded], counts: Counts, *, ahead: bool, tell: Callable[[str], None]
) -> float:
    """Sends all records; returns the seconds it took. An interruption says at which row to go on."""
    started = told = time.perf_counter()
    run = send_ahead if ahead else send_in_turn
    try:
        for batch, answer in run(send, kind, pack(records)):
            counts.answered(batch, answer)
            now = time.perf_counter()
            if now - told >= PROGRESS_EVERY_S:
                told = now
                tell(f"{counts.rows} rows, {counts.accepted} accepted, {counts.rows / (now - started):.0f} rows/s")
    except BaseException:
        again = "run it again" if kind.startswith("changed") else f"go on with --skip-rows {counts.next_row - 1}"
        tell(f"stopped; all rows before {counts.next_row} are answered, {again}")
        raise
    return time.perf_counter() - started


def _pairs(values: tuple[str, ...], option: str) -> dict[str, str]:
    pairs = {}
    for value in values:
        left, equals, right = value.partition("=")
        if not equals or not left:
            raise click.UsageError(f"{option} {value!r} is not of the form NAME=VALUE")
        pairs[left] = right
    return pairs


def _end_ms(ctx: click.Context, option: click.Parameter, text: str | None) -> int:
    if text is None:
        return MADE_END_MS
    try:
        return moment(text)
    except CellRefused as refused:
        raise click.BadParameter(refused.message) from None


def end_option(command: Command) -> Command:
    """Adds `--end`, passed on as `end_ms`."""
    words = "Time of the last click of a file without times (ISO 8601, s or ms since 1970)."
    return click.option("--end", "end_ms", callback=_end_ms, help=words)(command)


def _columns(kind: Kind, form: Format, options: Mapping[str, Any]) -> Columns:
    try:
        return Columns(
            kind,
            typed=form in ("jsonl", "parquet"),
            mapping=_pairs(options["mapping"], "--map"),
            constants=_pairs(options["constants"], "--set"),
            event_types=_pairs(options["event_types"], "--event-type"),
            empty=options["empty"],
        )
    except FileError as error:
        raise click.UsageError(str(error)) from None


def _sink(stack: ExitStack, target: Target | None, config: Path | None) -> tuple[Send, Remove]:
    """The place to send to; without a target a shard on a temporary folder, for a dry run."""
    if target is not None and target.url is not None:
        client = stack.enter_context(target.client())
        return http_sink(client), http_remove(client)
    if target is not None and target.data is not None:
        folder = target.data
    else:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rtp-dry-run-")))
    state = stack.enter_context(open_shard(folder, config, create=True))
    return folder_sink(state), folder_remove(state)


def _spooled(stack: ExitStack, file: Path) -> Path:
    """The file; standard input, which can be walked once only, goes to a temporary one first."""
    if str(file) != "-":
        return file
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rtp-stream-"))
    spooled = Path(folder) / "stdin.jsonl"
    with spooled.open("wb") as out:
        shutil.copyfileobj(sys.stdin.buffer, out)
    return spooled


def _show(report: ImportReport) -> None:
    head = "would be " if report.dry_run else ""
    click.echo(
        f"{report.file}: {report.rows} rows, {report.accepted} {head}accepted, {report.duplicates} duplicates, "
        f"{sum(report.rejected.values())} rejected, {report.rows_per_s:.0f} rows/s"
    )
    if report.format == "compacted":
        click.echo(f"superseded by a later row: {report.superseded}, taken away: {report.removed}")
    if report.columns:
        header = ("column", "field", "type", "taken", "empty", "refused", "example")
        rows = [
            (c.column, c.field or "(ignored)", "|".join(c.types), c.taken, c.empty, _codes(c.refused), c.example)
            for c in report.columns
        ]
        click.echo(table(header, rows))
    for field, count in report.made.items():
        click.echo(f"made by us: {field} of {count} rows")
    if report.rejected:
        click.echo(f"rejected: {_codes(report.rejected)}")
        click.echo(table(("row", "code", "message"), [(e.row, e.code, e.message) for e in report.examples]))


def _codes(counts: Mapping[str, int]) -> str:
    return " ".join(f"{code}={n}" for code, n in sorted(counts.items()))


def _import(source: Source, file: Path, options: Mapping[str, Any]) -> None:
    dry_run: bool = options["dry_run"]
    url, data = options["url"], options["data"]
    target = None if dry_run else one_target(url, data, options["key"], options["config"])
    counts = Counts()
    kind: Kind = "events" if source == "sessions" else source
    wire: Wire = kind
    columns: Columns | None = None
    skip: int = options["skip_rows"]
    ahead = target is not None and target.url is not None
    form: str
    made: tuple[str, ...]
    with ExitStack() as stack:
        if source == "sessions":
            form = "tsv" if is_timed(file) else "lines"
            records = session_records(file, options["end_ms"], skip, counts)
            made = ("event_id",) if form == "tsv" else ("event_id", "session_id", "ts_ms")
            send, _ = _sink(stack, target, options["config"])
            if options["bare_items"]:
                run_import(send, "new_items", item_records(file), Counts(), ahead=ahead, tell=progress)
        elif options.get("compacted"):
            form, made, wire = "compacted", (), "changed_items" if kind == "items" else "changed_users"
            stream = _spooled(stack, file)
            columns = _columns(kind, "jsonl", options)
            send, remove = _sink(stack, target, options["config"])
            # What is taken away and what is put go over one connection, in turn.
            ahead, records = False, stream_records(stream, kind, columns, counts, remove)
        else:
            chosen = cast(Format, options["form"] or detect_format(file))
            form, made = chosen, ()
            columns = _columns(kind, chosen, options)
            records = table_records(file, chosen, kind, columns, skip, counts)
            send, _ = _sink(stack, target, options["config"])
        took_s = run_import(send, wire, records, counts, ahead=ahead, tell=progress)
    reports = columns.reports() if columns is not None else []
    filled = columns.made if columns is not None else dict.fromkeys(made, counts.rows)
    report = ImportReport(
        source, file.name, form, dry_run, counts.rows, counts.accepted, counts.duplicates, counts.rejected,
        counts.examples, reports, [c.column for c in reports if not c.field], filled, counts.next_row,
        "" if dry_run else counts.position, round(took_s, 3), round(counts.rows / max(took_s, 1e-9), 1),
        counts.superseded, counts.removed,
    )  # fmt: skip
    _show_or_emit(report, options["as_json"])
    if counts.rows and not counts.accepted and not counts.duplicates and not counts.removed:
        raise Finished(FAILED)


def _show_or_emit(report: ImportReport, as_json: bool) -> None:
    if as_json:
        emit_json(report)
    else:
        _show(report)


def _common_options(command: Command) -> Command:
    made = click.option("--skip-rows", type=click.IntRange(min=0), default=0, help="Rows already imported.")(command)
    made = click.option("--dry-run", is_flag=True, help="Say what would happen, write nothing.")(made)
    made = json_option(url_options(data_options(made)))
    path = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
    return click.argument("file", type=path, callback=_stream_or_file)(made)


def _stream_or_file(ctx: click.Context, option: click.Parameter, file: Path) -> Path:
    """A table is read from a file: its format is told from its first bytes, and a broken one goes on at a row."""
    if str(file) == "-" and not ctx.params.get("compacted"):
        raise click.BadParameter("standard input is read with --compacted only")
    if ctx.params.get("compacted") and ctx.params.get("skip_rows"):
        raise click.UsageError("--compacted needs no --skip-rows: what is there already is not written again")
    return file


def _compacted_option(command: Command) -> Command:
    words = "The file, or - for standard input, is a stream of {key, value, ts}: the last of each key counts."
    return click.option("--compacted", is_flag=True, is_eager=True, help=words)(command)


def _table_options(command: Command) -> Command:
    formats = click.Choice([name for name in get_args(Format) if name != "sessions"])
    made = click.option("--format", "form", type=formats, help="Else by the file's name or first bytes.")(command)
    made = click.option("--map", "mapping", multiple=True, metavar="COLUMN=FIELD", help="FIELD empty: ignore.")(made)
    made = click.option("--set", "constants", multiple=True, metavar="FIELD=VALUE", help="For rows without one.")(made)
    return click.option("--empty", multiple=True, metavar="TEXT", help="A text that means: no value.")(made)


@click.group("import")
def import_() -> None:
    """Read events, items, users or sessions from a file (JSONL, CSV, TSV, Parquet; .gz and .zst)."""


@import_.command()
@_table_options
@click.option("--event-type", "event_types", multiple=True, metavar="THEIRS=OURS", help="Name an event type.")
@_common_options
def events(file: Path, **options: Any) -> None:
    """Events; unknown columns become props."""
    _import("events", file, options)


@import_.command()
@_table_options
@_compacted_option
@_common_options
def items(file: Path, **options: Any) -> None:
    """Items; unknown columns become attributes."""
    _import("items", file, {"event_types": (), **options})


@import_.command()
@_table_options
@_compacted_option
@_common_options
def users(file: Path, **options: Any) -> None:
    """Users; unknown columns become attributes."""
    _import("users", file, {"event_types": (), **options})


@import_.command()
@end_option
@click.option(
    "--bare-items/--no-items", default=True, show_default=True, help="Put ids that are no items yet as items."
)
@_common_options
def sessions(file: Path, **options: Any) -> None:
    """Sessions as clicks of anonymous visitors: ids separated by spaces, or TSV SessionId ItemId Time."""
    _import("sessions", file, options)
