"""`rtp state show|rebuild|verify|audit|stats`: the state of a shard, and the proof that it is a view of its log.

Invariant: `rebuild` and `verify` work on a stopped shard only. It does not know how state is laid out.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from rtp_monolith.cli.client import Client, refused
from rtp_monolith.cli.output import FAILED, Failure, Finished, emit_json, json_option
from rtp_monolith.cli.target import data_options, load_config, one_target, open_shard, url_options

METRIC_PREFIX = "rtp_"
_PARTS_OF_ONE = ("_bucket", "_created")


@click.group()
def state() -> None:
    """Show, rebuild and verify the state of a shard."""


@state.command()
@click.argument("user_key", metavar="KEY")
@json_option
@data_options
@url_options
def show(
    user_key: str, as_json: bool, url: str | None, data: Path | None, key: str | None, config: Path | None
) -> None:
    """Show what the shard knows of a user or session."""
    target = one_target(url, data, key, config)
    if target.url is not None:
        with target.client() as client:
            document = client.call("GET", f"/v1/users/{urllib.parse.quote(user_key, safe='')}/state")
    else:
        assert target.data is not None
        with open_shard(target.data, config) as shard:
            body = shard.user_state(user_key)
        if body is None:
            raise Failure("unknown_user", f"nothing is known of {user_key!r}")
        document = msgspec.json.decode(body)
    if as_json:
        emit_json(document)
    else:
        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


@state.command()
@click.option("--partial", is_flag=True, help="From what the log still holds, where retention removed its beginning.")
@json_option
@data_options
def rebuild(as_json: bool, data: Path | None, config: Path | None, partial: bool) -> None:
    """Build the views again from the log of a stopped shard.

    With --partial, items, users and counts that only the removed part of the log knew are gone: import them again.
    """
    folder = _folder(data)
    from rtp_monolith.state import rebuild as module

    _emit(msgspec.to_builtins(module.rebuild(folder, load_config(config), partial=partial)), as_json)


@state.command()
@json_option
@data_options
def verify(as_json: bool, data: Path | None, config: Path | None) -> None:
    """Compare the views with fresh ones built from the log; exit code 1 when a byte differs."""
    folder = _folder(data)
    from rtp_monolith.state import rebuild as module

    report = module.verify(folder, load_config(config))
    _emit(msgspec.to_builtins(report), as_json)
    if not report.equal:
        raise Finished(FAILED)


@state.command()
@click.option("--share", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="Share of the decisions.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which decisions are drawn.")
@json_option
@data_options
def audit(as_json: bool, data: Path | None, config: Path | None, share: float, seed: int) -> None:
    """Make the features of logged decisions again from the log; exit code 1 when a value differs.

    The log is only read: the shard of the folder may run. --config is the shard's.
    """
    folder = _folder(data)
    from rtp_monolith.monitoring import skew

    report = skew.audit(folder, load_config(config), share, seed)
    _emit(msgspec.to_builtins(report), as_json)
    if report.different:
        raise Finished(FAILED)


@state.command()
@json_option
@data_options
@url_options
def stats(as_json: bool, url: str | None, data: Path | None, key: str | None, config: Path | None) -> None:
    """Sizes and counts; of a running shard, its metrics."""
    target = one_target(url, data, key, config)
    if target.url is not None:
        with target.client() as client:
            figures: Mapping[str, float] = _metrics(client)
    else:
        assert target.data is not None
        with open_shard(target.data, config) as shard:
            figures = {**shard.stats(), **shard.footprint()}
    _emit(dict(figures), as_json)


def _folder(data: Path | None) -> Path:
    if data is None:
        raise click.UsageError("--data is missing")
    if not data.is_dir():
        raise Failure("no_data", f"{data} is not a folder")
    return data


def _metrics(client: Client) -> dict[str, float]:
    """Our own metrics of the Prometheus text, without the parts of histograms."""
    reply = client.send("GET", "/metrics")
    if reply.status != 200:
        raise refused(reply)
    figures = {}
    for line in reply.body.decode().splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith(METRIC_PREFIX) and not name.partition("{")[0].endswith(_PARTS_OF_ONE):
            figures[name] = float(value)
    return figures


def _emit(document: Any, as_json: bool) -> None:
    if as_json:
        emit_json(document)
        return
    for name, value in document.items():
        click.echo(f"{name}: {value}")
