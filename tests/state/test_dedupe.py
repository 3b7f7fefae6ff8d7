"""Duplicate = same user key and event_id among that user's last 256 events, or within the batch."""

from __future__ import annotations

from .conftest import Book, event


def test_the_same_event_again_is_a_duplicate(book: Book) -> None:
    assert book.click("e", session="s") == (1, 0)
    assert book.click("e", session="s") == (0, 1)
    assert book.state("s")["counts"] == {"click": 1}


def test_within_the_batch(book: Book) -> None:
    reply = book.send(*[event("e", session="s")] * 3)
    assert (reply.accepted, reply.duplicates) == (1, 2)


def test_another_user_key_is_no_duplicate(book: Book) -> None:
    assert book.click("e", session="s") == (1, 0)
    assert book.click("e", session="t") == (1, 0)
    assert book.click("e", session="v", user="u") == (1, 0)


def test_the_ring_holds_256(book: Book) -> None:
    book.send(*[event(f"e{n}", session="s") for n in range(256)])
    assert book.click("e0", session="s") == (0, 1)
    assert book.click("one more", session="s") == (1, 0)
    assert book.click("e1", session="s") == (0, 1)
    assert book.click("e0", session="s") == (1, 0), "256 others came since"
    assert book.state("s")["state_version"] == 258


def test_a_restart_forgets_nothing(book: Book) -> None:
    book.click("e", session="s")
    book.reopen()
    assert book.click("e", session="s") == (0, 1)


def test_what_an_anonymous_visitor_sent_is_a_duplicate_for_the_user(book: Book) -> None:
    book.click("e", session="s")
    book.click("login", session="s", user="u")
    assert book.click("e", session="s") == (0, 1)
    assert book.click("e", session="s", user="u") == (0, 1)
