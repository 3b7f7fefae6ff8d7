"""`rtp simulate shop` at a small size, against shards of its own and one that runs already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from rtp_monolith.cli.simulate_arms import judged_pages, parse_arm

Rtp = Callable[..., tuple[int, Any]]

CONFIG = Path(__file__).parents[2] / "bench" / "shop.toml"
SMALL = ["simulate", "shop", "--items", "500", "--events", "6000", "--shoppers", "8", "--visits", "2", "--json"]


def mean(arm: dict[str, Any], name: str) -> float:
    return float(arm["figures"][name]["mean"])


def test_an_arm_names_its_surfaces_pages_and_bundles(tmp_path: Path) -> None:
    plain = parse_arm("full=home")
    assert (plain.name, plain.surfaces, plain.bundles) == ("full", {"home": "home", "product": "home"}, None)
    rich = parse_arm(f"full=home,product=about,search=find@{tmp_path}")
    assert rich.surfaces == {"home": "home", "product": "about", "search": "find"}
    assert rich.bundles == tmp_path
    assert judged_pages([rich]) == {"home", "product", "search"}


@pytest.mark.parametrize("text", ["full", "=home", "full=", "full=home,nowhere=x", "full=home,search", "a=b@no such"])
def test_a_wrong_arm_is_wrong_use(text: str) -> None:
    with pytest.raises(click.UsageError):
        parse_arm(text)


def test_arms_of_different_pages_or_of_one_name_are_not_compared() -> None:
    with pytest.raises(click.UsageError, match="same kinds of pages"):
        judged_pages([parse_arm("a=home"), parse_arm("b=home,search=find")])
    with pytest.raises(click.UsageError, match="one name"):
        judged_pages([parse_arm("a=home"), parse_arm("a=covis")])


def test_arms_on_shards_of_their_own(rtp: Rtp, tmp_path: Path) -> None:
    command = [*SMALL, "--config", CONFIG, "--data", tmp_path / "filled", "--probes", "6", "--arm", "first=popular"]
    code, report = rtp(*command, "--arm", "recall=recall")
    assert code == 0, report
    first, recall = report["arms"]
    assert (first["name"], first["surfaces"]) == ("first", {"home": "popular", "product": "popular"})
    assert first["degraded"] == {"no_model": first["lists"]}
    assert 0 < mean(first, "preference") < 0.5 and 0 < mean(first, "ndcg") < 1
    step = report["steps"][0]
    assert (step["before"], step["after"]) == ("first", "recall")
    assert step["figures"]["preference"]["mean"] == pytest.approx(
        mean(recall, "preference") - mean(first, "preference"), abs=2e-5
    )
    assert recall["probe"]["seeds"] == 6 and recall["probe"]["difference"]["mean"] > 0.02
    # The folder is as it was: another run starts from the same. Shared values reach the lists up to a second late,
    # so two runs of a shard differ a little.
    code, other = rtp(*command)
    for name in ("preference", "ndcg", "pages_per_visit"):
        assert mean(other["arms"][0], name) == pytest.approx(mean(first, name), rel=0.1, abs=0.005)


def test_wrong_use(rtp: Rtp, tmp_path: Path) -> None:
    assert rtp(*SMALL, "--url", "http://127.0.0.1:1", "--data", tmp_path)[0] == 2
    assert rtp(*SMALL, "--url", "http://127.0.0.1:1", "--arm", f"a=home@{tmp_path}")[0] == 2
    assert rtp(*SMALL, "--url", "http://127.0.0.1:1", "--arm", "a=home")[0] == 1


def test_a_shop_without_room_for_a_probe_says_so(rtp: Rtp) -> None:
    tiny = ["simulate", "shop", "--items", "58", "--url", "http://127.0.0.1:1", "--json"]
    code, report = rtp(*tiny)
    assert (code, report["error"]["code"]) == (1, "too_small")
