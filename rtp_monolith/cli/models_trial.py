"""`rtp models canary|shadow|trial|end`: a bundle that is tried beside the one in use.

Invariant: on a stopped shard the command checks what a running one would, and the shard goes on with it when it starts.
It does not know how a trial is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from rtp_monolith.cli.models import fitting, models, named, needed, options
from rtp_monolith.cli.output import emit_json, json_option, table
from rtp_monolith.cli.target import Target, data_options, one_target, open_shard, url_options

if TYPE_CHECKING:
    from rtp_monolith.ranking.trials import Role

Command = TypeVar("Command", bound=Callable[..., Any])


def _share(default: float, text: str) -> Callable[[Command], Command]:
    kind = click.FloatRange(0.0, 1.0, min_open=True)
    return click.option("--share", type=kind, default=default, show_default=True, help=text)


@models.command()
@named
@_share(0.05, "Of the people; the same ones see it throughout.")
@options
def canary(
    name: str, version: str, share: float, as_json: bool, folder: Path | None, url: str | None, key: str | None,
    data: Path | None, config: Path | None,
) -> None:  # fmt: skip
    """Show this bundle to a share of the people; it is taken back by itself when it does worse."""
    _say(_begin("canary", name, version, share, one_target(url, data, key, config), folder), as_json)


@models.command()
@named
@_share(0.05, "Of the lists.")
@options
def shadow(
    name: str, version: str, share: float, as_json: bool, folder: Path | None, url: str | None, key: str | None,
    data: Path | None, config: Path | None,
) -> None:  # fmt: skip
    """Make a share of the lists again with this bundle, unseen, and say how much of them is the same."""
    _say(_begin("shadow", name, version, share, one_target(url, data, key, config), folder), as_json)


@models.command()
@json_option
@data_options
@url_options
def trial(as_json: bool, url: str | None, key: str | None, data: Path | None, config: Path | None) -> None:
    """What is tried, how it does, and why the last trial ended."""
    target = one_target(url, data, key, config)
    if target.url is not None:
        with target.client() as client:
            _say(client.call("GET", "/v1/models/trial"), as_json)
        return
    from rtp_monolith.ranking.trials import Report, recorded

    with open_shard(_folder(target), config) as shard:
        said = recorded(shard.core.trial)
    _say(msgspec.to_builtins(Report(said.trial, ended=said.ended)), as_json)


@models.command()
@json_option
@data_options
@url_options
def end(as_json: bool, url: str | None, key: str | None, data: Path | None, config: Path | None) -> None:
    """End the trial: everybody sees the bundle in use again."""
    target = one_target(url, data, key, config)
    if target.url is not None:
        with target.client() as client:
            _say(client.call("DELETE", "/v1/models/trial"), as_json)
        return
    from rtp_monolith.errors import BundleError
    from rtp_monolith.ranking.trials import BY_HAND, Ended, Record, Report, recorded

    with open_shard(_folder(target), config) as shard:
        tried = recorded(shard.core.trial).trial
        if tried is None:
            raise BundleError("bundle_not_tried", "no bundle is tried")
        ended = Ended(tried, BY_HAND, shard.wall_ms())
        shard.record_trial_sync(msgspec.json.encode(Record(None, ended)))
    _say(msgspec.to_builtins(Report(None, ended=ended)), as_json)


def _folder(target: Target) -> Path:
    assert target.data is not None
    return target.data


def _begin(role: Role, name: str, version: str, share: float, target: Target, folder: Path | None) -> Any:
    if target.url is not None:
        body = msgspec.json.encode({"role": role, "name": name, "version": version, "share": share})
        with target.client() as client:
            return client.call("POST", "/v1/models/trial", body)
    from rtp_monolith.errors import BundleError
    from rtp_monolith.ranking.trials import NEEDS_ANOTHER, Record, Report, Trial, recorded

    fitting(target, needed(folder), name, version)
    with open_shard(_folder(target), target.config) as shard:
        if shard.core.active_bundle in (None, (name, version)):
            raise BundleError("bundle_in_use", NEEDS_ANOTHER)
        made = Trial(role, name, version, share, shard.wall_ms())
        record = Record(made, recorded(shard.core.trial).ended)
        shard.record_trial_sync(msgspec.json.encode(record))
    return msgspec.to_builtins(Report(made, ended=record.ended))


def _say(report: Any, as_json: bool) -> None:
    if as_json:
        emit_json(report)
        return
    tried, ended = report["trial"], report["ended"]
    if tried is None:
        click.echo("nothing is tried")
    else:
        click.echo(f"{tried['role']}: {tried['name']}/{tried['version']}, a share of {tried['share']:g}")
    sides = [(word, report[word]) for word in ("stays", "tried", "overlap") if report[word] is not None]
    if sides:
        names = list(sides[-1][1])
        click.echo(table(("", *names), [(word, *(f"{side[each]:.4g}" for each in names)) for word, side in sides]))
    if ended is not None:
        last = ended["trial"]
        click.echo(f"ended last: {last['role']} {last['name']}/{last['version']}: {ended['reason']}")
