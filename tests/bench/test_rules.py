"""What rules cost is measured for every rule there is."""

from __future__ import annotations

import msgspec

from rtp_monolith.cli.bench_rules import CANDIDATES, EVERYTHING, VARIANTS, rules
from rtp_monolith.config import parse
from rtp_monolith.config_surfaces import Rules


def test_every_rule_is_timed_and_the_list_without_rules_is_the_floor() -> None:
    said: list[str] = []
    report = rules(3, said.append)
    lists, floor = report["lists"], report["floor"]["list_us"]
    assert (report["candidates"], set(lists)) == (CANDIDATES, {*VARIANTS, EVERYTHING})
    assert lists["none"] == {"list_us": floor, "added_us": 0.0}
    for timed in lists.values():
        assert timed["list_us"] > 0
        assert abs(timed["list_us"] - floor - timed["added_us"]) < 0.11
    assert len(said) == 1


def test_no_rule_is_forgotten() -> None:
    declared = [msgspec.to_builtins(parse(f"[surfaces.x.sources.new]\n{text}").surfaces["x"].rules)
                for text in VARIANTS.values() if "attributes" not in text]  # fmt: skip
    timed = {name for each in declared for name, value in each.items() if value} | {"boost"}
    assert timed == set(Rules.__struct_fields__)
