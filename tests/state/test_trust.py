"""Who may say what: refused events are kept, purchases may need a server key, one user moves shared counts so far."""

from __future__ import annotations

from pathlib import Path

from rtp_monolith.config import ApiKey, Bots, Config, Events

from .conftest import HOUR, NOON, Book, event

KEY = ApiKey(key="k" * 16, scopes=["events"], server=True)


def feature(book: Book, name: str, item: str = "a") -> float:
    from .test_identity import ask

    row = book.shard.core.vectors_of(ask(book, None, "nobody"), [item], book.shard.plan)[0]
    return float(row[book.shard.plan.names.index(name)])


def test_refused_events_become_dead_letters_and_the_rest_is_kept(book: Book) -> None:
    reply = book.send(event("e1", session="s"), event("e2", session="s", item=None), {"event_id": "e3"})
    assert reply.accepted == 1
    assert [(r.index, r.event_id, r.code) for r in reply.rejected] == [
        (1, "e2", "item_id_required"),
        (2, "e3", "missing_field"),
    ]
    letters = book.shard.dead_letters.list()
    assert [letter.code for letter in letters] == ["item_id_required", "missing_field"]
    assert b'"e2"' in letters[0].payload if isinstance(letters[0].payload, bytes) else '"e2"' in letters[0].payload


def test_purchases_can_be_restricted_to_server_keys(tmp_path: Path) -> None:
    book = Book(tmp_path, Config(events=Events(purchase_requires_server_key=True), keys=[KEY]))
    for kind in ("purchase", "refund"):
        refused = book.send(event(f"{kind}1", session="s", event_type=kind)).rejected
        assert len(refused) == 1, kind
        assert book.send(event(f"{kind}2", session="s", event_type=kind), trusted=True).accepted == 1
    assert book.send(event("click", session="s")).accepted == 1
    book.shard.close()


def test_one_user_moves_an_item_so_far_an_hour(tmp_path: Path) -> None:
    book = Book(tmp_path, Config(bots=Bots(contributions_per_item_per_hour_max=3)))
    book.items({"id": "a"})
    book.send(*[event(f"e{n}", session="bot") for n in range(10)])
    assert feature(book, "item_clicks_1h") == 3
    assert book.state("bot")["counts"] == {"click": 10}, "his own state sees everything"
    book.click("other", session="somebody else")
    assert feature(book, "item_clicks_1h") == 4
    book.clock.advance(HOUR)  # type: ignore[attr-defined]
    book.click("next hour", session="bot", ts=NOON + HOUR)
    assert feature(book, "item_clicks_1d") == 5
    book.shard.close()


def test_one_user_moves_all_counts_so_far_an_hour(tmp_path: Path) -> None:
    book = Book(tmp_path, Config(bots=Bots(contributions_per_hour_max=4)))
    book.items(*[{"id": f"i{n}"} for n in range(9)])
    book.send(*[event(f"e{n}", session="bot", item=f"i{n}") for n in range(9)])
    assert [feature(book, "item_clicks_1h", f"i{n}") for n in range(9)] == [1.0] * 4 + [0.0] * 5
    book.shard.close()


def test_a_cap_survives_a_restart(tmp_path: Path) -> None:
    book = Book(tmp_path, Config(bots=Bots(contributions_per_item_per_hour_max=2)))
    book.items({"id": "a"})
    book.send(*[event(f"e{n}", session="bot") for n in range(2)])
    book.reopen()
    book.click("again", session="bot")
    assert feature(book, "item_clicks_1h") == 2
    book.shard.close()
