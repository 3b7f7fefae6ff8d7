"""`rtp generate`: the generated shop as files that `rtp import` reads.

Invariant: the same options give the same bytes. It does not know how the shop is made.
"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec


@click.group()
def generate() -> None:
    """Write the generated shop."""


@generate.command("shop")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for the two files."
)
@click.option("--items", type=click.IntRange(58, 20_000), default=3000, show_default=True)
@click.option("--events", type=click.IntRange(1, 5_000_000), default=60_000, show_default=True)
@click.option("--seed", type=int, default=7, show_default=True)
@click.option("--end-ms", type=click.IntRange(1), help="Time of the last event; a constant unless given.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document as the last line of stdout.")
def generate_shop(out: Path, items: int, events: int, seed: int, end_ms: int | None, as_json: bool) -> None:
    """Write items.jsonl and events.jsonl."""
    from rtp_monolith.demo import shop, traffic

    end = shop.END_MS_DEFAULT if end_ms is None else end_ms
    catalogue = shop.generate_items(items, seed=seed, end_ms=end)
    log = traffic.generate_events(catalogue, events, seed=seed, end_ms=end)
    out.mkdir(parents=True, exist_ok=True)
    (out / "items.jsonl").write_bytes(shop.to_ndjson(catalogue))
    (out / "events.jsonl").write_bytes(traffic.to_ndjson(log))
    click.echo(f"wrote {len(catalogue)} items and {len(log)} events to {out}", err=True)
    if as_json:
        written = {"items": len(catalogue), "events": len(log), "seed": seed, "end_ms": end, "out": str(out)}
        click.echo(msgspec.json.encode(written).decode())
