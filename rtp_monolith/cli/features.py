"""`rtp features …`: what the numbers of a row are, and whether a file of a team's features fits.

Invariant: nothing here opens a shard, so all of it works beside a running one, which `diff` may ask; what is
published is next door. It does not know how values are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from rtp_monolith.cli.client import Client
from rtp_monolith.cli.features_publish import publish, tables
from rtp_monolith.cli.output import FAILED, Failure, Finished, emit_json, json_option, table
from rtp_monolith.cli.target import config_option, load_config, url_options

if TYPE_CHECKING:
    from rtp_monolith.features.declared import Declared
    from rtp_monolith.features.spec import Feature

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def features() -> None:
    """List, check and compare features, a team's own too."""


features.add_command(publish)
features.add_command(tables)


@features.command("list")
@click.option("--own", is_flag=True, help="Only those that the configuration declares.")
@json_option
@config_option
def list_(own: bool, as_json: bool, config: Path | None) -> None:
    """Every feature: scope, version, owner and what it means."""
    known = _declared(config)
    found = known.custom if own else known.features
    if as_json:
        emit_json({"features": [_described(each) for each in found], "accumulators": len(known.accumulators)})
        return
    rows = [[f.name, f.scope, f.version, f.owner, f.fingerprint(), f.meaning] for f in found]
    click.echo(table(["feature", "scope", "version", "owner", "fingerprint", "meaning"], rows))


@features.command()
@click.argument("name")
@json_option
@config_option
def show(name: str, as_json: bool, config: Path | None) -> None:
    """One feature with its definition and fingerprint."""
    from rtp_monolith.features.condition import hint

    known = _declared(config)
    feature = known.by_name().get(name)
    if feature is None:
        raise Failure("unknown_feature", f"there is no feature `{name}`{hint(name, known.by_name())}")
    document = _described(feature)
    document["definition"] = feature.plan_entry()
    keys = (feature.key, feature.trials_key)
    if feature.read is not None:
        document["accumulators"] = [msgspec.to_builtins(each) for each in known.accumulators if each.key in keys]
    if as_json:
        emit_json(document)
    else:
        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


@features.command()
@click.argument("file", type=_FILE)
@json_option
@config_option
def lint(file: Path, as_json: bool, config: Path | None) -> None:
    """Check a configuration or a file of features; every fault with its line, exit code 1 when there is one."""
    from rtp_monolith.features.lint import lint as check

    found = check(file, load_config(config))
    if as_json:
        emit_json({"file": str(file), "fits": not found.faults, "faults": found.faults})
    else:
        for fault in found.faults:
            click.echo(str(fault))
        if found.config is not None:
            click.echo(f"{file}: {sum(map(len, found.config.features.values()))} features fit")
    if found.faults:
        raise Finished(FAILED)


@features.command()
@click.argument("files", metavar="[OLD] NEW", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--models", type=_FOLDER, help="Bundles that may read what is removed.")
@url_options
@json_option
@config_option
def diff(
    files: tuple[Path, ...], models: Path | None, url: str | None, key: str | None, as_json: bool, config: Path | None
) -> None:
    """What changes from OLD to NEW. OLD is a file of features, a bundle's folder or the data folder of a shard, which
    may run; with --url it is the running shard and is left out. NEW is a file. Exit code 1 for a meaning that changed
    under its version and for a removed feature that a bundle reads."""
    if len(files) != (1 if url is not None else 2):
        raise click.UsageError("give OLD and NEW, or --url and NEW")
    new = files[-1]
    if not new.is_file():
        raise click.UsageError(f"{new} is no file of features")
    base = _declared_in(new, config)
    before = _known_of(files[0], config) if url is None else _known_by(url, key)
    changes = _changes(before, base)
    bundle = url is None and (files[0] / "manifest.json").is_file() and not (files[0] / "log").is_dir()
    readers = _readers(files[0].parent.parent if bundle else models)
    refusals = [
        *(_refusal("feature_changed", each) for each in changes["changed"]),
        *(
            {**_refusal("feature_removed", name), "bundles": sorted(readers[name])}
            for name in changes["removed"]
            if name in readers
        ),
    ]
    if as_json:
        emit_json({**changes, "refused": refusals})
    else:
        for kind, names in changes.items():
            for name in names:
                click.echo(f"{kind}: {name}")
        for each in refusals:
            readers_said = f" (read by {', '.join(each['bundles'])})" if "bundles" in each else ""
            click.echo(f"refused: {each['code']}: {each['feature']}{readers_said}", err=True)
    if refusals:
        raise Finished(FAILED)


def _refusal(code: str, feature: str) -> dict[str, Any]:
    return {"code": code, "feature": feature}


def _changes(before: Mapping[str, Mapping[str, str]], after: Declared) -> dict[str, list[str]]:
    """Names by what became of them; `renewed` are changed under a version that was not there before."""
    current = after.by_name()
    changes: dict[str, list[str]] = {"added": [], "removed": [], "renewed": [], "changed": []}
    changes["added"] = [each.name for each in after.custom if each.name not in before]
    changes["removed"] = [name for name in before if name not in current]
    for name, versions in before.items():
        feature = current.get(name)
        if feature is None or feature.fingerprint() in versions.values():
            continue
        same = versions.get(str(feature.version)) is not None or "" in versions
        changes["changed" if same else "renewed"].append(name)
    return changes


def _known_of(old: Path, config: Path | None) -> Mapping[str, Mapping[str, str]]:
    """Fingerprints by version of the features of a file, a bundle or a data folder; a bundle says no versions."""
    if old.is_file():
        return {each.name: {str(each.version): each.fingerprint()} for each in _declared_in(old, config).custom}
    if (old / "log").is_dir():
        from rtp_monolith.state.introduced import read

        return {name: versions for name, versions in read(old).items() if versions}
    from rtp_monolith.ranking.bundle_files import read_manifest

    return {name: {"": fingerprint} for name, fingerprint in read_manifest(old).features.items()}


def _known_by(url: str, key: str | None) -> Mapping[str, Mapping[str, str]]:
    """What a running shard has known."""
    with Client(url, key=key) as client:
        document = client.call("GET", "/v1/features")
    return msgspec.convert(document["known"], dict[str, dict[str, str]])


def _readers(models: Path | None) -> dict[str, list[str]]:
    """The bundles that read each feature."""
    from rtp_monolith.ranking import bundle_files

    readers: dict[str, list[str]] = {}
    if models is None:
        return readers
    for name, version in bundle_files.list_bundles(models):
        manifest = bundle_files.read_manifest(bundle_files.folder_of(models, name, version))
        for feature in manifest.features:
            readers.setdefault(feature, []).append(f"{name}/{version}")
    return readers


def _declared(config: Path | None) -> Declared:
    from rtp_monolith.features.declared import declared

    return declared(load_config(config))


def _declared_in(file: Path, config: Path | None) -> Declared:
    """The features of a configuration or a file of features; the first fault refuses it."""
    from rtp_monolith.features.declared import declared
    from rtp_monolith.features.lint import lint as check

    found = check(file, load_config(config))
    if found.config is None:
        raise Failure(found.faults[0].code, str(found.faults[0]))
    return declared(found.config)


def _described(feature: Feature) -> dict[str, Any]:
    names: Sequence[str] = ("name", "scope", "version", "owner", "meaning", "default", "ttl_ms")
    return {**{name: getattr(feature, name) for name in names}, "fingerprint": feature.fingerprint()}
