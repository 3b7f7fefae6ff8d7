"""`rtp generate`: the generated shop as files that `rtp import` and `rtp evaluate` read.

Invariant: the same options give the same bytes, and the log is written while it is made. It does not know how the shop
is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtp_monolith.cli.output import emit_json, json_option, progress

if TYPE_CHECKING:
    from rtp_monolith.demo import clicked
    from rtp_monolith.demo.shoppers import Setting


@click.group()
def generate() -> None:
    """Write the generated shop."""


@generate.command("shop")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for the two files."
)
@click.option("--items", type=click.IntRange(58, 1_000_000), default=3000, show_default=True)
@click.option("--events", type=click.IntRange(1, 1_000_000_000), default=60_000, show_default=True)
@click.option("--shoppers", type=click.IntRange(1, 100_000_000), help="One for 150 events, at least 900, unless given.")
@click.option("--days", type=click.IntRange(1, 3650), default=21, show_default=True, help="Length of the log.")
@click.option("--setting", type=click.Choice(["intent", "markov"]), default="intent", show_default=True,
              help="What leads shoppers: taste and hidden intent, or a chain over categories.")  # fmt: skip
@click.option("--blind-home", is_flag=True, help="The home page knows what was opened, not what is wanted.")
@click.option("--bare-share", type=click.FloatRange(0, 1), default=0.0, help="Share of items without text or price.")
@click.option("--sessions-out", type=click.Path(dir_okay=False, path_type=Path),
              help="NAME.txt: opened items by visit, in NAME.train.txt and NAME.test.txt (held out); NAME.tsv: all "
              "wishes with times and actions.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True)
@click.option("--end-ms", type=click.IntRange(1), help="Time of the last event; a constant unless given.")
@json_option
def generate_shop(
    out: Path, items: int, events: int, shoppers: int | None, days: int, setting: Setting, blind_home: bool,
    bare_share: float, sessions_out: Path | None, seed: int, end_ms: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Write items.jsonl and events.jsonl."""
    # Imported here: `rtp --help` and a wrong option must not wait for numpy.
    from rtp_monolith.demo import clicked, shop, traffic

    end = shop.END_MS_DEFAULT if end_ms is None else end_ms
    catalogue = shop.generate_items(items, seed=seed, end_ms=end)
    log = traffic.traffic_of(
        catalogue, events, seed=seed, end_ms=end, days=days, shoppers=shoppers, setting=setting, blind_home=blind_home
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "items.jsonl").write_bytes(shop.to_ndjson(catalogue, bare_share=bare_share))
    sessions = clicked.ClickedSessions(wishes=sessions_out is not None and sessions_out.suffix == ".tsv")
    with (out / "events.jsonl").open("wb", buffering=1 << 20) as file:
        for part in log.parts():
            file.writelines(log.pen.lines(part))
            if sessions_out is not None:
                sessions.add(part)
    progress(f"wrote {len(catalogue)} items and {events} events to {out}")
    written: dict[str, object] = {"items": len(catalogue), "events": events, "shoppers": len(log.population)}
    written |= {"setting": setting, "seed": seed, "end_ms": end, "out": str(out)}
    if sessions_out is not None:
        written["sessions"] = _write_sessions(sessions_out, sessions, log.population.market.ids)
    if as_json:
        emit_json(written)


def _write_sessions(path: Path, sessions: clicked.ClickedSessions, ids: list[str]) -> dict[str, int]:
    """Both files beside each other; how many sessions each has."""
    from rtp_monolith.demo import clicked

    path.parent.mkdir(parents=True, exist_ok=True)
    counts = {}
    for part, visits in zip(("train", "test"), sessions.visits(), strict=True):
        written = (
            clicked.rows(visits, ids) if path.suffix == ".tsv" else clicked.lines([v["item"] for v in visits], ids)
        )
        path.with_name(f"{path.stem}.{part}{path.suffix}").write_bytes(written)
        counts[part] = len(visits)
    progress(f"wrote {counts['train']} training and {counts['test']} test sessions beside {path}")
    return counts
