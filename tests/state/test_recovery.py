"""Views that cannot serve are made again from a whole log and say so; without its beginning they are left alone."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import pytest

from rtp_monolith.config import Config, Log
from rtp_monolith.errors import DataError
from rtp_monolith.state.rebuild import rebuild, verify
from rtp_monolith.state.recovery import VIEWS
from rtp_monolith.state.store import META, ViewStore
from tests.ranking.conftest import Shop

from .conftest import NOON, Book, event

LAYOUT = 4
KEPT = "c941"
"""Digest of what the layout keeps of the deeds below. Another one means another layout: raise both together."""
SMALL = Config(log=Log(segment_bytes=1 << 16))


def deeds(shop: Shop) -> None:
    """Something of everything that views keep."""
    lines = [{"item_id": item, "quantity": 1, "price": 2} for item in ("i1", "i8")]
    shop.did("click", "i1", "i2", "i3", props={"device": "phone", "country": "DE"})
    shop.did("view", "i4", "i1", session="t")
    shop.did("add_to_cart", "i5", "i8", session="t")
    shop.did("purchase", "i1", session="t", props={"items": json.dumps(lines), "order_id": "o"})
    shop.did("click", "i2", "i3", session="t", user="u")
    shop.did("dislike", "i9", user="v", session="w")
    shop.rank(["i1", "i2"], request_id="r1", user_id="u", session_id="t")
    shop.decisions()


def entries(data: Path) -> dict[bytes, bytes]:
    store = ViewStore(data / VIEWS)
    found = dict(store.everything())
    store.close()
    return found


def made_before(data: Path, *, losing: bytes = b"") -> None:
    """The views as the layout before this one left them, without the spaces of `losing`."""
    store = ViewStore(data / VIEWS)
    meta = store.get(META)
    assert meta is not None and meta[0] == LAYOUT
    older = bytes([LAYOUT - 1]) + meta[1:]
    gone = [(key, None) for key, _ in store.everything() if key[:1] in losing]
    assert bool(gone) == bool(losing)
    store.begin(older, 0)
    store.write([*gone, (META, older)])
    store.persist()
    store.close()


def truncated(data: Path) -> Book:
    """A stopped shard whose log lost its beginning: 400 clicks on `a` by 400 sessions."""
    book = Book(data, SMALL)
    book.items({"id": "a"})
    for start in range(0, 400, 20):
        book.send(*[event(f"e{n}", session=f"s{n}", props={"filler": "x" * 400}) for n in range(start, start + 20)])
    book.shard._flusher.flush()
    book.shard.store.persist()
    assert book.shard.log.retain(max_bytes=1 << 16, older_than_ms=None, keep_from=book.shard.core.applied) > 0
    book.shard.close()
    return book


def test_what_views_keep_has_a_layout(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    deeds(shop)
    shop.state.close()
    kept = entries(tmp_path)
    assert kept[META][0] == LAYOUT
    assert {key[:1] for key in kept} >= {b"m", b"i", b"s", b"c", b"x", b"y", b"v", b"w", b"k", b"u"}
    digest = hashlib.sha256(repr(sorted(kept.items())).encode()).hexdigest()
    assert digest[: len(KEPT)] == KEPT, "the fold keeps something else: raise LAYOUT in persist.rs, and this digest"


def test_views_of_another_version_are_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop(tmp_path)
    deeds(shop)
    list_before = shop.home(session_id="t", user_id="u", k=20)["items"]
    shop.decisions()
    shop.state.close()
    before = entries(tmp_path)
    made_before(tmp_path, losing=b"vwy")
    with caplog.at_level(logging.WARNING):
        shop = Shop(tmp_path, stocked=False)
    said = [record.getMessage() for record in caplog.records if "views" in record.getMessage()]
    assert len(said) == 1 and "made by another version of rtp" in said[0] and "made again from the log" in said[0]
    shop.clock.advance(100_000)
    assert {item["id"] for item in shop.home(session_id="t", user_id="u", k=20)["items"]} == {
        item["id"] for item in list_before
    }
    shop.state.close()
    after = entries(tmp_path)
    assert {key: value for key, value in after.items() if key != META}.keys() == before.keys() - {META}
    assert verify(tmp_path, Config()).equal
    caplog.clear()
    Book(tmp_path).shard.close()
    assert caplog.records == [], "once"


@pytest.mark.parametrize("why", ["layout", "torn", "unreadable", "gone"])
def test_without_the_beginning_of_the_log_views_are_left_alone(tmp_path: Path, why: str) -> None:
    book = truncated(tmp_path)
    code = {"layout": "views_layout", "unreadable": "data_unreadable"}.get(why, "log_truncated")
    if why == "layout":
        made_before(tmp_path)
    elif why == "torn":
        store = ViewStore(tmp_path / VIEWS)
        store.begin(b"another flush", 0)
        store.persist()
        store.close()
    else:
        for path in (tmp_path / VIEWS).iterdir():
            if why == "gone" or path.name == "CURRENT":
                path.unlink() if why == "gone" else path.write_text("nonsense\n")
    before = None if why in ("unreadable", "gone") else entries(tmp_path)
    for _ in range(2):
        with pytest.raises(DataError) as refused:
            Book(tmp_path, SMALL)
        assert refused.value.code == code
        assert why == "unreadable" or "rtp state rebuild --partial" in refused.value.message
    assert before is None or entries(tmp_path) == before, "nothing was changed"

    with pytest.raises(DataError) as refused:
        rebuild(tmp_path, SMALL)
    assert refused.value.code == "log_truncated"
    report = rebuild(tmp_path, SMALL, partial=True)
    assert 0 < report.events < 400 and report.start > 0
    for _ in range(2):
        book = Book(tmp_path, SMALL)
        assert dict(book.shard.core.stats())["events"] == report.events
        assert book.state("s399")["counts"] == {"click": 1}
        assert book.shard.user_state("s0") is None, "what only the removed part said is gone"
        assert book.shard.core.item_json("a") is None
        book.shard.close()


def test_a_partial_rebuild_of_a_whole_log_is_a_rebuild(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.items({"id": "a"})
    book.click("e1", session="s", ts=NOON)
    book.shard.close()
    before = entries(tmp_path)
    report = rebuild(tmp_path, book.config, partial=True)
    assert (report.events, report.start) == (1, 0)
    assert entries(tmp_path) == before
