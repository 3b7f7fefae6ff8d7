"""`rtp init`: a configuration to start from, for a shop, a streaming site or a news site.

Invariant: what is written is a file of the package as it is, comments included, and a file that exists is not touched
without `--force`. It does not know what a configuration means.
"""

from __future__ import annotations

from pathlib import Path

import click

from rtp_monolith.cli.output import Failure

PRESETS = Path(__file__).resolve().parent.parent / "presets"
NAMES = ("shop", "streaming", "news")


@click.command()
@click.option("--preset", type=click.Choice(NAMES), required=True, help="For what kind of site.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("rtp.toml"), show_default=True)
@click.option("--force", is_flag=True, help="Replace a file that exists.")
def init(preset: str, out: Path, force: bool) -> None:
    """Write a configuration to start from."""
    try:
        with out.open("wb" if force else "xb") as file:
            file.write(preset_text(preset).encode())
    except FileExistsError:
        raise Failure("file_exists", f"{out} exists; --force replaces it") from None
    click.echo(f"wrote {out}: rtp serve --data DIR --port 8000 --config {out}", err=True)


def preset_text(name: str) -> str:
    """The TOML of a preset."""
    return (PRESETS / f"{name}.toml").read_text(encoding="utf-8")
