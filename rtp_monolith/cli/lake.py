"""`rtp lake write|rows|status|compact|query|register`: the log as Parquet files, and SQL over them.

Invariant: the log is only read, so its shard may run; one process at a time writes a lake. It does not know how rows
are made.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from rtp_monolith.cli.output import Failure, emit_json, json_option, table
from rtp_monolith.cli.target import load_config

if TYPE_CHECKING:
    from rtp_monolith.config import Config
    from rtp_monolith.lake.training_rows import RowSource

Command = TypeVar("Command", bound=Callable[..., Any])
FOLDER = "lake"
_DIR = click.Path(file_okay=False, path_type=Path)


@click.group()
def lake() -> None:
    """The log as Parquet files, and SQL over them."""


def place_options(command: Command) -> Command:
    """Adds `--data`, `--lake` and `--config`."""
    config = click.option(
        "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The shard's TOML."
    )
    folder = click.option(
        "--lake", "--to", "folder", type=_DIR, help="The lake's folder; else [lake] path, else DATA/lake."
    )
    return click.option("--data", type=_DIR, help="The folder of a shard, running or not.")(folder(config(command)))


def _settled(data: Path | None, folder: Path | None, config: Path | None) -> tuple[Path, Config]:
    """The lake's folder and the configuration."""
    from rtp_monolith.lake.background import check_installed

    check_installed()
    settings = load_config(config)
    if folder is not None:
        return folder, settings
    if settings.lake.path is not None:
        return Path(settings.lake.path), settings
    if data is None:
        raise click.UsageError("give --lake (the lake's folder) or --data (the shard's)")
    return data / FOLDER, settings


@lake.command()
@place_options
@click.option("--unfinished", is_flag=True, help="Rewards also of hours whose windows are open; they are made again.")
@click.option("--skip-lost", is_flag=True, help="Go on behind what retention took from the log before it was read.")
@click.option("--models", type=_DIR, help="With [lake] rows: bundles that made the log's decisions.")
@json_option
def write(
    data: Path | None, folder: Path | None, config: Path | None, unfinished: bool, skip_lost: bool,
    models: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Write what the log has and the lake has not, settle rewards, merge small files."""
    if data is None:
        raise click.UsageError("--data is missing")
    where, settings = _settled(data, folder, config)
    from rtp_monolith.clock import WallClock
    from rtp_monolith.lake.passes import LakePasses

    source: RowSource | None = None
    if settings.lake.rows:
        from rtp_monolith.training.arriving import ArrivingRows

        source = ArrivingRows(data, settings, bundles=models)
    with LakePasses(data, where, settings.lake, WallClock(), source) as passes:
        report = passes.once(unfinished=unfinished, skip_lost=skip_lost)
    if as_json:
        emit_json(report)
        return
    done = report.written
    if settings.lake.rows:
        click.echo(f"{report.training_rows} training rows written")
    click.echo(f"{done.events} events and {done.impressions} shown items written, the lake is at {done.position}")
    click.echo(f"{report.files} files: " + ", ".join(f"{rows} {name}" for name, rows in report.rows.items()))


@lake.command()
@click.argument("rows", type=click.Path(exists=True, file_okay=False, path_type=Path))
@place_options
@json_option
def rows(rows: Path, data: Path | None, folder: Path | None, config: Path | None, as_json: bool) -> None:
    """Put training rows of `rtp replay dataset` into the lake, in place of those that are there."""
    where, _ = _settled(data, folder, config)
    from rtp_monolith.clock import WallClock
    from rtp_monolith.lake.journal import Lake, load
    from rtp_monolith.lake.training_rows import shelve

    with Lake(where, load(where).windows) as opened:
        shelved = shelve(opened, rows, WallClock().wall_ms())
    if as_json:
        emit_json(shelved)
    elif shelved.changed:
        click.echo(
            f"{shelved.rows} training rows in {shelved.files} files; {shelved.replaced} files of others are gone"
        )
    else:
        click.echo(f"the lake has these {shelved.rows} rows")


@lake.command()
@place_options
@json_option
def status(data: Path | None, folder: Path | None, config: Path | None, as_json: bool) -> None:
    """What the lake has and how far it is."""
    where, _ = _settled(data, folder, config)
    from rtp_monolith.lake.journal import load
    from rtp_monolith.lake.report import report_of

    report = report_of(load(where), data)
    if as_json:
        emit_json(report)
        return
    for name, value in msgspec.to_builtins(report).items():
        if name != "tables":
            click.echo(f"{name}: {value}")
    rows = [(name, one.files, one.rows, one.bytes, one.first, one.last) for name, one in report.tables.items()]
    click.echo(table(("table", "files", "rows", "bytes", "first", "last"), rows))


@lake.command()
@place_options
@click.option("--all", "everything", is_flag=True, help="Also the hours that are still being written.")
@click.option("--retain-days", type=click.IntRange(min=1), help="Drop hours so long before the newest event.")
@json_option
def compact(
    data: Path | None,
    folder: Path | None,
    config: Path | None,
    everything: bool,
    retain_days: int | None,
    as_json: bool,
) -> None:
    """Make small files of an hour one, and drop old days."""
    where, settings = _settled(data, folder, config)
    from rtp_monolith.clock import WallClock
    from rtp_monolith.lake import upkeep
    from rtp_monolith.lake.journal import Lake, load

    now_ms = WallClock().wall_ms()
    with Lake(where, load(where).windows) as opened:
        made = upkeep.compact(opened, settings.lake.file_rows_max, now_ms, everything=everything)
        retained = upkeep.retain(opened, retain_days or settings.lake.retain_days, now_ms)
        removed = opened.forget_retired(now_ms)
        files = len(opened.journal.files)
    document = {"merged": made.merged, "into": made.into, "retained": retained, "removed": removed, "files": files}
    if as_json:
        emit_json(document)
    else:
        click.echo(f"{made.merged} files became {made.into}, {retained} were too old; {files} are left")


@lake.command()
@click.argument("sql")
@place_options
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values with a header.")
@json_option
def query(sql: str, data: Path | None, folder: Path | None, config: Path | None, as_csv: bool, as_json: bool) -> None:
    """Answer one SELECT over the tables events, impressions, rewards and training."""
    if as_csv and as_json:
        raise click.UsageError("give either --csv or --json")
    where, _ = _settled(data, folder, config)
    from rtp_monolith.lake.query import query as ask

    answer = ask(where, sql)
    if as_json:
        rows = [dict(zip(answer.columns, map(_plain, row), strict=True)) for row in answer.rows]
        emit_json({"columns": dict(zip(answer.columns, answer.types, strict=True)), "rows": rows})
    elif as_csv:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows([_cell(value) for value in row] for row in answer.rows)
        click.echo(text.getvalue(), nl=False)
    else:
        click.echo(table(answer.columns, [[_shown(value) for value in row] for row in answer.rows]))


@lake.command()
@place_options
@click.option("--catalog", help="sqlite:///FILE; else [lake] catalog.")
@click.option("--forget", is_flag=True, help="Stop keeping replaced files for this catalog.")
@json_option
def register(
    data: Path | None, folder: Path | None, config: Path | None, catalog: str | None, forget: bool, as_json: bool
) -> None:
    """Bring the Iceberg tables of a catalog to what the lake has."""
    where, settings = _settled(data, folder, config)
    uri = catalog or settings.lake.catalog
    if uri is None:
        raise click.UsageError("--catalog is missing")
    from rtp_monolith.clock import WallClock
    from rtp_monolith.lake import iceberg
    from rtp_monolith.lake.journal import Lake, load

    now_ms = WallClock().wall_ms()
    with Lake(where, load(where).windows) as opened:
        if forget:
            if uri not in opened.journal.catalogs:
                raise Failure("bad_catalog", f"{uri} is not a catalog of this lake")
            iceberg.forget(opened, uri, now_ms)
            document: object = {"forgotten": uri}
        else:
            document = iceberg.register(opened, uri, now_ms)
    if as_json:
        emit_json(document)
    else:
        click.echo(", ".join(f"{name}: {value}" for name, value in msgspec.to_builtins(document).items()))


def _plain(value: Any) -> Any:
    """A value of DuckDB as JSON has it: times in ISO 8601, bytes in base64, what JSON lacks as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value)


def _cell(value: Any) -> Any:
    plain = _plain(value)
    return msgspec.json.encode(plain).decode() if isinstance(plain, dict | list) else plain


def _shown(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else _cell(value)
