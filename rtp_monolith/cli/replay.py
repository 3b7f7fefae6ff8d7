"""`rtp replay http FILE --url URL`: a file of sessions or events as live traffic, asking for a list before each step.

Invariant: events carry the file's own times, so the shard should run with `--clock events`. It does not know how the
steps are scored.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from rtp_monolith.cli.import_ import Counts, end_option, item_records, run_import, session_records
from rtp_monolith.cli.output import FAILED, Failure, Finished, emit_json, json_option, progress, table
from rtp_monolith.cli.replay_dataset import dataset
from rtp_monolith.cli.replay_steps import (
    ReplayReport,
    Step,
    event_steps,
    first_sessions,
    play_all,
    report_of,
    session_steps,
)
from rtp_monolith.cli.sinks import http_sink
from rtp_monolith.cli.target import Target, url_options
from rtp_monolith.ingest.files import bare_suffix, detect_format
from rtp_monolith.ingest.sessions import MADE_STEP_MS, count_clicks, is_timed

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_TABLES = (".csv", ".jsonl", ".ndjson", ".json", ".parquet", ".pq")


class TrainReport(msgspec.Struct, frozen=True):
    """The import before the replay."""

    file: str
    accepted: int
    duplicates: int
    rejected: dict[str, int]
    took_s: float
    events_per_s: float


@click.group()
def replay() -> None:
    """Play recorded traffic again."""


@replay.command()
@click.argument("file", type=_FILE)
@click.option("--surface", "surfaces", multiple=True, default=("home",), show_default=True, help="May be repeated.")
@click.option("--k", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--train", "--warm", "train", type=_FILE, help="Sessions to import at full speed first.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first sessions.")
@click.option("--impressions", is_flag=True, help="Send the first surface's lists as seen, so that a model can learn.")
@click.option("--connections", type=click.IntRange(1, 64), default=1, show_default=True)
@end_option
@json_option
@url_options
def http(
    file: Path, surfaces: tuple[str, ...], k: int, train: Path | None, limit: int | None, impressions: bool,
    connections: int, end_ms: int, as_json: bool, url: str | None, key: str | None,
) -> None:  # fmt: skip
    """Play FILE against a running shard and measure HR and MRR of the next item."""
    if url is None:
        raise click.UsageError("--url is missing")
    target = Target(url, None, key, None)
    position = ""
    trained: TrainReport | None = None
    if train is not None:
        trained, position = _train(target, train, file, end_ms)
    if impressions and bare_suffix(file) not in _TABLES:
        # A list can show only what the shard knows.
        with target.client() as client:
            run_import(http_sink(client), "new_items", item_records(file), Counts(), ahead=True, tell=progress)
    steps = first_sessions(_steps(file, end_ms), limit)
    started = time.perf_counter()
    asked = tuple(dict.fromkeys(surfaces))
    players = play_all(target, steps, asked, k, position=position, connections=connections, impressions=impressions)
    report = report_of(file.name, players, time.perf_counter() - started)
    if as_json:
        emit_json(msgspec.structs.asdict(report) | {"k": k, "train": trained})
    else:
        _show(report)
    if report.stale:
        raise Finished(FAILED)


replay.add_command(dataset)


def _steps(file: Path, end_ms: int) -> Iterator[Step]:
    if bare_suffix(file) in _TABLES:
        return event_steps(file, detect_format(file))
    return session_steps(file, end_ms)


def _train(target: Target, train: Path, file: Path, end_ms: int) -> tuple[TrainReport, str]:
    """Imports the training sessions; made times end right before those of the file that is played."""
    if not is_timed(train) and bare_suffix(file) not in _TABLES and not is_timed(file):
        end_ms -= count_clicks(file) * MADE_STEP_MS
    counts = Counts()
    with target.client() as client:
        run_import(http_sink(client), "new_items", item_records(train), Counts(), ahead=True, tell=progress)
        records = session_records(train, end_ms, 0, counts)
        took_s = run_import(http_sink(client), "events", records, counts, ahead=True, tell=progress)
    if not counts.accepted and not counts.duplicates:
        raise Failure("nothing_imported", f"{train.name}: {counts.rejected}")
    speed = round(counts.accepted / max(took_s, 1e-9), 1)
    progress(f"{train.name}: {counts.accepted} events accepted in {took_s:.1f} s, {speed:.0f} events/s")
    report = TrainReport(
        train.name, counts.accepted, counts.duplicates, counts.rejected, round(took_s, 3), speed
    )  # fmt: skip
    return report, counts.position


def _show(report: ReplayReport) -> None:
    click.echo(
        f"{report.file}: {report.sessions} sessions, {report.steps} steps, {report.evaluations} evaluations, "
        f"{report.lists} lists in {report.took_s:.1f} s, acknowledged in {report.ack_ms_mean} ms (mean)"
    )
    rows = []
    for one in report.surfaces:
        for name, score in (("protocol", one.protocol), ("all steps", one.all_steps)):
            rows.append((one.surface, name, score.n, score.hr, score.mrr, one.list_ms_mean, one.list_ms_p99))
    k = report.surfaces[0].k
    click.echo(table(("surface", "over", "n", f"HR@{k}", f"MRR@{k}", "list ms", "p99 ms"), rows))
    if report.rejected:
        click.echo("rejected: " + " ".join(f"{code}={n}" for code, n in sorted(report.rejected.items())))
    click.echo(f"lists that missed an earlier acknowledged event: {report.stale}")
