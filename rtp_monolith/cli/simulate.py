"""`rtp simulate`: people of the generated shop, whom no log has seen, in front of a shard's lists.

It is no part of `rtp bench`, which measures this machine beside its floor: what is judged here are the lists, and a
slower machine gives the same figures, but for shared values that reach the lists up to a second late.
Invariant: each arm starts from the same folder, copied, so no arm learns from another's visitors; with `--url` all
arms share the shard, and only ids keep them apart. It does not know how shoppers behave.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from rtp_monolith.cli.output import emit_json, json_option, progress, table
from rtp_monolith.cli.target import url_options

if TYPE_CHECKING:
    from rtp_monolith.cli.simulate_arms import ArmSpec, Town
    from rtp_monolith.demo.experiment import Shows
    from rtp_monolith.demo.shoppers import Setting

ARMS = ("popularity=popular", "covisitation=covis", "recall=recall")


@click.group()
def simulate() -> None:
    """Play shoppers of the generated shop against a shard."""


@simulate.command("shop")
@click.option("--arm", "arms", multiple=True, default=ARMS, show_default=True,
              help="NAME=SURFACE[,PAGE=SURFACE…][@BUNDLES]; may be repeated, compared in this order.")  # fmt: skip
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Has the arms' surfaces.")
@click.option("--setting", type=click.Choice(["intent", "markov"]), default="intent", show_default=True)
@click.option("--items", type=click.IntRange(58, 1_000_000), default=3000, show_default=True)
@click.option("--events", type=click.IntRange(1), default=1_000_000, show_default=True, help="The log before.")
@click.option("--shoppers", type=click.IntRange(2, 100_000), default=300, show_default=True, help="People not in it.")
@click.option("--visits", type=click.IntRange(1, 100), default=3, show_default=True, help="Of each of them.")
@click.option("--shown", type=click.Choice(["arm", "shop"]), default="arm", show_default=True,
              help="Whose lists people see: the arm's, or the shop's: arms are asked at the same moments.")  # fmt: skip
@click.option("--k", type=click.IntRange(1, 50), default=10, show_default=True)
@click.option("--probes", type=click.IntRange(0, 1000), default=20, show_default=True,
              help="Sessions with three clicks of one intent against sessions without.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True, help="Of the shop and its log.")
@click.option("--luck", type=click.IntRange(0), default=1, show_default=True, help="Seed of the visits.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path),
              help="A stopped shard that has the log already; filled when it is not there.")  # fmt: skip
@url_options
@json_option
def shop_command(
    arms: tuple[str, ...], config: Path | None, setting: Setting, items: int, events: int, shoppers: int, visits: int,
    shown: Shows, k: int, probes: int, seed: int, luck: int, data: Path | None, url: str | None, key: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """True preference, NDCG, click rate and revenue of each arm, with intervals, and what each adds to the last."""
    # Imported here: `rtp --help` and a wrong option must not wait for numpy.
    from rtp_monolith.cli import simulate_arms as playing

    if url is not None and data is not None:
        raise click.UsageError("give --url (a running shard) or --data (a stopped one), not both")
    specs = [playing.parse_arm(text) for text in arms]
    pages = playing.judged_pages(specs)
    town = playing.make_town(setting, items, events, shoppers, visits, k, probes, seed, luck, pages, shown)
    with _places(town, specs, config, data, url, key) as places:
        report = playing.run(town, places, progress)
    size = {"setting": setting, "items": items, "events": events, "shoppers": shoppers, "visits": visits}
    asked = {"shown": shown, "k": k, "seed": seed, "luck": luck}
    document = {"command": "simulate shop", **size, **asked, **msgspec.to_builtins(report)}
    if as_json:
        emit_json(document)
    else:
        _show(document)


@contextlib.contextmanager
def _places(
    town: Town, specs: list[ArmSpec], config: Path | None, data: Path | None, url: str | None, key: str | None
) -> Iterator[Iterator[tuple[ArmSpec, str, str | None]]]:
    """Where each arm is played, one after the other: its address and the key there."""
    from rtp_monolith.cli import simulate_arms as playing

    if url is not None:
        if any(spec.bundles for spec in specs):
            raise click.UsageError("an arm's @BUNDLES needs a shard of our own: leave --url out")
        yield iter([(spec, url, key) for spec in specs])
        return
    with tempfile.TemporaryDirectory(prefix="rtp-simulate-") as folder:
        filled = data or Path(folder) / "filled"
        if not filled.is_dir():
            progress(f"filling {filled}")
            playing.fill(town, filled, config)
        yield _own_places(specs, filled, Path(folder) / "played", config)


def _own_places(
    specs: list[ArmSpec], filled: Path, copy: Path, config: Path | None
) -> Iterator[tuple[ArmSpec, str, str | None]]:
    """A shard on a fresh copy of the filled folder for each arm, stopped when the next one is asked for."""
    from rtp_monolith.cli.bench_shard import Cores, own_shard

    for spec in specs:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(filled, copy)
        with own_shard(Cores(None, None), copy, config, spec.bundles, ("--clock", "events")) as running:
            yield spec, running.address.url, None


def _show(document: dict[str, Any]) -> None:
    names = list(document["arms"][0]["figures"])
    rows = [(arm["name"], *(_words(arm["figures"][name]) for name in names)) for arm in document["arms"]]
    click.echo(table(("arm", *names), rows))
    steps = [(f"{step['after']} - {step['before']}", *(_words(step["figures"][n]) for n in names))
             for step in document["steps"]]  # fmt: skip
    if steps:
        click.echo("\n" + table(("step", *names), steps))
    probes = [(arm["name"], f"{p['raised']} of {p['seeds']}", p["control"], p["clicked"], _words(p["difference"]))
              for arm in document["arms"] if (p := arm["probe"])]  # fmt: skip
    if probes:
        click.echo("\n" + table(("after three clicks", "raised", "without", "with", "difference"), probes))


def _words(figure: dict[str, float]) -> str:
    return f"{figure['mean']:.4f} [{figure['low']:.4f}, {figure['high']:.4f}]"
