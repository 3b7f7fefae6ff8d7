from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from rtp_monolith.demo.serve import AGE_MAX_MS, Recipe, ShopFolder
from rtp_monolith.errors import ConfigError
from rtp_monolith.records import IngestReply, Rejected

NOW_MS = 1_800_000_000_000
SMALL = Recipe(seed=7, items=60, events=1500)


class Recorder:
    """Takes everything; keeps what it took."""

    def __init__(self, rejected: list[Rejected] | None = None) -> None:
        self.taken: list[tuple[str, list[dict[str, object]]]] = []
        self.rejected = rejected or []

    def ingest_sync(self, kind: str, body: bytes, media: str, *, trusted: bool) -> IngestReply:
        assert media == "ndjson" and trusted
        lines = [orjson.loads(line) for line in body.splitlines()]
        self.taken.append((kind, lines))
        return IngestReply(accepted=len(lines), duplicates=0, rejected=self.rejected, position="p")


def fill(folder: Path, now_ms: int = NOW_MS, recipe: Recipe = SMALL) -> Recorder:
    shop, recorder = ShopFolder(folder, recipe, now_ms), Recorder()
    shop.fill(recorder, now_ms)
    shop.close()
    return recorder


def test_items_come_before_events_in_batches_the_shard_takes(tmp_path: Path) -> None:
    taken = fill(tmp_path / "demo").taken
    assert [(kind, len(lines)) for kind, lines in taken] == [("items", 60), ("events", 1000), ("events", 500)]
    assert taken[-1][1][-1]["ts_ms"] == NOW_MS


def test_the_second_start_uses_the_folder_again(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "shard").mkdir()
    (tmp_path / "shard" / "log").write_text("kept")
    again = ShopFolder(tmp_path, SMALL, NOW_MS + AGE_MAX_MS - 1)
    assert again.usable
    assert (tmp_path / "shard" / "log").read_text() == "kept"
    again.close()


@pytest.mark.parametrize(
    ("recipe", "later_ms"), [(SMALL, AGE_MAX_MS), (Recipe(seed=8, items=60, events=1500), 0), (Recipe(), 0)]
)
def test_an_old_shop_and_another_recipe_start_empty(tmp_path: Path, recipe: Recipe, later_ms: int) -> None:
    fill(tmp_path)
    (tmp_path / "shard").mkdir()
    again = ShopFolder(tmp_path, recipe, NOW_MS + later_ms)
    assert not again.usable
    assert not (tmp_path / "shard").exists()
    again.close()


def test_a_shop_that_was_only_half_filled_starts_empty(tmp_path: Path) -> None:
    ShopFolder(tmp_path, SMALL, NOW_MS).close()
    (tmp_path / "shard").mkdir()
    again = ShopFolder(tmp_path, SMALL, NOW_MS)
    assert not again.usable
    assert not (tmp_path / "shard").exists()
    again.close()


def test_a_folder_of_something_else_is_refused_and_not_touched(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds no demo shop"):
        ShopFolder(tmp_path, SMALL, NOW_MS)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    first = ShopFolder(tmp_path, SMALL, NOW_MS)
    with pytest.raises(ConfigError, match="another process"):
        ShopFolder(tmp_path, SMALL, NOW_MS)
    first.close()
    ShopFolder(tmp_path, SMALL, NOW_MS).close()


def test_a_refused_record_stops_the_filling(tmp_path: Path) -> None:
    shop = ShopFolder(tmp_path, SMALL, NOW_MS)
    refusing = Recorder([Rejected(index=0, event_id="tents-0001", code="wrong_type", message="no")])
    with pytest.raises(ConfigError, match="tents-0001 of the generated shop: wrong_type"):
        shop.fill(refusing, NOW_MS)
    shop.close()
    assert not shop.usable
