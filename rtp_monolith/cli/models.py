"""`rtp models list|show|verify|activate|rollback`: the bundles of a folder, and which one a shard serves.

Invariant: `verify` and, on a stopped shard, `activate` do what a shard does when it loads a bundle, so what they accept
it accepts. It does not know what a bundle is made of.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from rtp_monolith.cli.output import emit_json, json_option, table
from rtp_monolith.cli.target import (
    Target,
    config_option,
    data_options,
    load_config,
    one_target,
    open_shard,
    url_options,
)

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
def models() -> None:
    """List, verify, try and activate model bundles."""


def folder_option(command: Command) -> Command:
    """Adds `--models`."""
    kind = click.Path(exists=True, file_okay=False, path_type=Path)
    return click.option("--models", "folder", type=kind, help="Folder of bundles; a running shard knows its own.")(
        command
    )


def named(command: Command) -> Command:
    """Adds the arguments NAME and VERSION."""
    return click.argument("name")(click.argument("version")(command))


def options(command: Command) -> Command:
    return json_option(folder_option(data_options(url_options(command))))


@models.command("list")
@options
def list_(
    as_json: bool, folder: Path | None, url: str | None, key: str | None, data: Path | None, config: Path | None
) -> None:
    """The bundles of the folder, the newest last, and which one is served."""
    if url is None and data is None:
        document: Any = _listing(needed(folder), None)
    elif (target := one_target(url, data, key, config)).url is not None:
        with target.client() as client:
            document = client.call("GET", "/v1/models")
    else:
        document = _listing(needed(folder), target)
    if as_json:
        emit_json(document)
        return
    rows = [
        ("*" if each["active"] else "", each["name"], each["version"], _short(each["metrics"]))
        for each in document["bundles"]
    ]
    click.echo(table(("", "name", "version", "metrics"), rows))


@models.command()
@named
@options
def show(
    name: str,
    version: str,
    as_json: bool,
    folder: Path | None,
    url: str | None,
    key: str | None,
    data: Path | None,
    config: Path | None,
) -> None:
    """What the manifest of a bundle says."""
    if url is not None:
        with one_target(url, data, key, config).client() as client:
            path = "/".join(urllib.parse.quote(each, safe="") for each in (name, version))
            document = client.call("GET", f"/v1/models/{path}")
    else:
        from rtp_monolith.ranking import bundle_files

        manifest = bundle_files.read_manifest(bundle_files.folder_of(needed(folder), name, version))
        served = None if data is None else _active(one_target(url, data, key, config))
        document = {"active": served == (name, version), "manifest": msgspec.to_builtins(manifest)}
    if as_json:
        emit_json(document)
    else:
        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


@models.command()
@named
@json_option
@folder_option
@config_option
def verify(name: str, version: str, as_json: bool, folder: Path | None, config: Path | None) -> None:
    """Read, check and run a bundle as a shard would; exit code 1, with the reason's code, when it does not fit."""
    from rtp_monolith.features.declared import declared
    from rtp_monolith.ranking import bundle, bundle_files

    features = declared(load_config(config)).features
    found = bundle.load(bundle_files.folder_of(needed(folder), name, version), features)
    document = {
        "name": name,
        "version": version,
        "fits": True,
        "items": len(found.items),
        "columns": len(found.plan),
        "heads": list(found.ranker.heads),
        "bytes": sum(entry.bytes for entry in found.manifest.files.values()),
    }
    if as_json:
        emit_json(document)
    else:
        click.echo(f"{name}/{version} fits: {document['items']} items, {document['columns']} columns")


@models.command()
@named
@options
def activate(
    name: str,
    version: str,
    as_json: bool,
    folder: Path | None,
    url: str | None,
    key: str | None,
    data: Path | None,
    config: Path | None,
) -> None:
    """Serve this bundle from the next request on; a stopped shard serves it when it starts."""
    target = one_target(url, data, key, config)
    if target.url is not None:
        with target.client() as client:
            body = msgspec.json.encode({"name": name, "version": version})
            _say(client.call("POST", "/v1/models/activate", body), as_json)
        return
    _say(_record(target, needed(folder), name, version), as_json)


@models.command()
@options
def rollback(
    as_json: bool, folder: Path | None, url: str | None, key: str | None, data: Path | None, config: Path | None
) -> None:
    """Serve the bundle that was served before this one."""
    target = one_target(url, data, key, config)
    if target.url is not None:
        with target.client() as client:
            _say(client.call("POST", "/v1/models/rollback"), as_json)
        return
    from rtp_monolith.errors import BundleError

    assert target.data is not None
    with open_shard(target.data, config) as shard:
        before = shard.core.previous_bundle
    if before is None:
        raise BundleError("bundle_no_previous", "no other bundle was active before")
    _say(_record(target, needed(folder), *before), as_json)


def needed(folder: Path | None) -> Path:
    """The folder of bundles, where a command cannot do without."""
    if folder is None:
        raise click.UsageError("--models is missing")
    return folder


def _active(target: Target) -> tuple[str, str] | None:
    assert target.data is not None
    with open_shard(target.data, target.config) as shard:
        return shard.core.active_bundle


def _listing(folder: Path, target: Target | None) -> Any:
    """As the shard lists them."""
    from rtp_monolith.ranking import bundle_files
    from rtp_monolith.ranking.models import Listed, Listing, metrics_of, version_of

    served = before = None
    if target is not None:
        assert target.data is not None
        with open_shard(target.data, target.config) as shard:
            served, before = shard.core.active_bundle, shard.core.previous_bundle
    found = [
        Listed(name, version, (name, version) == served, metrics_of(folder, name, version))
        for name, version in bundle_files.list_bundles(folder)
    ]
    return msgspec.to_builtins(Listing(version_of(served), version_of(before), found))


def fitting(target: Target, folder: Path, name: str, version: str) -> None:
    """Verifies a bundle against the shard's configuration. Raises BundleError."""
    from rtp_monolith.features.declared import declared
    from rtp_monolith.ranking import bundle, bundle_files
    from rtp_monolith.ranking.active import fit
    from rtp_monolith.ranking.surfaces import compile_surfaces

    config = load_config(target.config)
    found = bundle.load(bundle_files.folder_of(folder, name, version), declared(config).features)
    fit(found, compile_surfaces(config), 1)


def _record(target: Target, folder: Path, name: str, version: str) -> Any:
    """Verifies a bundle against the shard's configuration and writes the activation into the log of a stopped shard."""
    from rtp_monolith.ranking.models import Status, Version, version_of

    fitting(target, folder, name, version)
    assert target.data is not None
    with open_shard(target.data, target.config) as shard:
        shard.record_activation_sync(name, version)
        return msgspec.to_builtins(Status(Version(name, version), version_of(shard.core.previous_bundle)))


def _say(status: Any, as_json: bool) -> None:
    if as_json:
        emit_json(status)
        return
    for word in ("active", "previous"):
        one = status[word]
        click.echo(f"{word}: {'none' if one is None else one['name'] + '/' + one['version']}")


def _short(metrics: dict[str, Any]) -> str:
    plain = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    return " ".join(f"{name} {value:.4g}" for name, value in list(plain.items())[:6])
