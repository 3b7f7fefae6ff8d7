"""`rtp users vectors`: the nightly job that turns the log into a file of static vectors, for `rtp features publish`.

Invariant: the file is there whole or not at all. It does not know how a vector is made.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec

from rtp_monolith.cli.output import Failure, emit_json, json_option
from rtp_monolith.cli.target import load_config


@click.group()
def users() -> None:
    """Vectors of what users wanted in the past, to be published nightly."""


@users.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True,
              help="A shard's folder, which may be served meanwhile: its log is read.")  # fmt: skip
@click.option("--bundle", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True,
              help="The folder of the bundle that is served, as models/shop/1.")  # fmt: skip
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True,
              help="NDJSON to write, for `rtp features publish --scope user`.")  # fmt: skip
@click.option("--until", help="Only what was wanted before: RFC 3339 or ms. All unless it is given.")
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The shard's TOML.")
@json_option
def vectors(data: Path, bundle: Path, out: Path, until: str | None, config: Path | None, as_json: bool) -> None:
    """Write the static vector of every user with a past, for one bundle."""
    from rtp_monolith.cli.evaluate import load_torch
    from rtp_monolith.ingest.coerce import CellRefused, moment

    try:
        until_ms = None if until is None else moment(until)
    except CellRefused as error:
        raise click.BadParameter(str(error), param_hint="--until") from None
    load_torch(1)
    from rtp_monolith.training.users import nightly_table

    began_s = time.perf_counter()
    found, table, space = nightly_table(data, load_config(config), bundle, until_ms)
    if not found:
        raise Failure("no_users", "nobody with a user_id wanted an item of this bundle yet: nothing is written")
    draft = out.with_name(f".{out.name}.draft")
    try:
        with draft.open("wb") as file:
            for user, vector in zip(found, table, strict=True):
                row = {"user_id": user, "static": vector.tolist(), "static_space": space}
                file.write(msgspec.json.encode(row) + b"\n")
        draft.replace(out)
    except OSError as error:
        raise Failure("disk_refused", f"{out} cannot be written: {error.strerror}") from None
    report = {"users": len(found), "dimension": table.shape[1], "space": space, "out": str(out)}
    report["took_s"] = round(time.perf_counter() - began_s, 3)
    if as_json:
        emit_json(report)
    else:
        click.echo(f"wrote {out}: {len(found)} users, {table.shape[1]} numbers each")
