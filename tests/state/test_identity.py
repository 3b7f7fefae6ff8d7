"""CONTRACT section 1, Identity: one test per sentence."""

from __future__ import annotations

from pathlib import Path

from rtp_monolith.config import Config, State

from .conftest import NOON, Book, event


def seen(book: Book, key: str) -> list[tuple[str, list[str]]]:
    return [(s["session_id"], [entry["item_id"] for entry in s["items"]]) for s in book.state(key)["sessions"]]


def test_the_user_key_is_the_user_else_the_session(book: Book) -> None:
    book.click("e1", session="s1")
    book.click("e2", session="s2", user="u")
    assert book.state("s1")["counts"] == {"click": 1}
    assert book.state("u")["counts"] == {"click": 1}


def test_users_and_sessions_of_one_name_are_separate(book: Book) -> None:
    book.click("e1", session="x")
    book.click("e1", session="y", user="x")
    assert book.shard.core.state_version(ask(book, None, "x")) == 1
    assert book.shard.core.state_version(ask(book, "x", "z")) == 1
    assert seen(book, "x") == [("y", ["a"])], "of two with one name the user answers"


def ask(book: Book, user: str | None, session: str):  # type: ignore[no-untyped-def]
    from rtp_monolith.ranking.surfaces import compile_surfaces

    book.shard.load_request(user, session)
    return book.shard.core.ask(compile_surfaces(Config())["home"].plan, user, session, NOON)


def test_an_event_counts_for_the_user_it_carries(book: Book) -> None:
    book.click("e1", session="s", user="u1")
    book.click("e2", session="s", user="u2")
    assert book.state("u1")["state_version"] == 1
    assert book.state("u2")["state_version"] == 1


def test_the_first_event_with_both_brings_what_the_session_did(book: Book) -> None:
    book.click("e1", session="s", item="a")
    book.click("e2", session="s", item="b")
    book.click("e3", session="s", user="u", item="c")
    assert book.state("u")["state_version"] == 3
    assert seen(book, "u") == [("s", ["a", "b", "c"])]
    assert book.state("u")["counts"] == {"click": 3}


def test_the_session_stays_one_session_and_its_items_are_oldest_first(book: Book) -> None:
    book.click("e1", session="s", item="a", ts=NOON - 3)
    book.click("e2", session="s", item="b", ts=NOON - 2)
    book.click("e3", session="s", user="u", item="c", ts=NOON - 1)
    book.click("e4", session="s", item="d", ts=NOON)
    assert seen(book, "u") == [("s", ["a", "b", "c", "d"])]


def test_it_joins_once(book: Book) -> None:
    book.click("e1", session="s", item="a")
    for n in range(3):
        book.click(f"login{n}", session="s", user="u", item="b")
    assert book.state("u")["counts"] == {"click": 4}


def test_later_calls_with_the_session_alone_are_the_users(book: Book) -> None:
    book.click("e1", session="s", user="u")
    book.click("e2", session="s")
    assert book.state("s") == book.state("u")
    assert book.state("u")["state_version"] == 2
    assert book.shard.core.state_version(ask(book, None, "s")) == 2


def test_another_user_relinks_the_session_and_moves_nothing_twice(book: Book) -> None:
    book.click("e1", session="s")
    book.click("e2", session="s", user="u1")
    book.click("e3", session="s", user="u2")
    book.click("e4", session="s")
    assert book.state("u1")["counts"] == {"click": 2}
    assert book.state("u2")["counts"] == {"click": 2}
    assert book.state("s")["user_id"] == "u2"


def test_contributions_are_not_counted_again(book: Book) -> None:
    book.items({"id": "a"}, {"id": "b"})
    book.click("e1", session="s", item="a")
    book.click("e2", session="s", user="u", item="b")
    surface_ask = ask(book, "u", "s")
    names = book.shard.plan.names
    row = book.shard.core.vectors_of(surface_ask, ["a", "b"], book.shard.plan)
    assert row[:, names.index("item_clicks_1h")].tolist() == [1.0, 1.0]


def test_a_new_session_is_a_new_visitor(book: Book) -> None:
    book.click("e1", session="s", user="u")
    book.click("e2", session="t")
    assert book.state("t")["anonymous"] is True
    assert book.state("t")["state_version"] == 1
    assert book.state("u")["state_version"] == 1


def test_links_within_one_batch(book: Book) -> None:
    reply = book.send(event("e1", session="s"), event("e2", session="s", user="u"), event("e3", session="s"))
    assert (reply.accepted, reply.duplicates) == (3, 0)
    assert book.state("u")["counts"] == {"click": 3}


def test_a_linked_user_who_is_not_in_memory_keeps_what_was_known(tmp_path: Path) -> None:
    """The bare session's event arrives when neither record is in memory: after a restart, and after an eviction."""
    book = Book(tmp_path, Config(state=State(users_cached_max=1)))
    book.click("e1", session="s", user="u")
    book.reopen()
    book.click("e2", session="s")
    assert book.state("u")["counts"] == {"click": 2}
    book.shard._flusher.flush()
    for n in range(5):
        book.click(f"x{n}", session=f"other{n}")
        book.shard._flusher.flush()
        book.shard.core.evict(1)
    assert not book.shard.core.knows("u", False)
    book.click("e3", session="s")
    assert book.state("u")["counts"] == {"click": 3}
    book.shard.close()


def test_a_link_survives_a_restart(book: Book) -> None:
    book.click("e1", session="s")
    book.click("e2", session="s", user="u")
    before = book.state("u")
    book.reopen()
    assert book.state("u") == before
    assert book.state("s") == before
