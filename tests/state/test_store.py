"""The view store: slices of a flush, the mark that tells a torn one, and recovery from it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtp_monolith.errors import DataError
from rtp_monolith.state.recovery import VIEWS
from rtp_monolith.state.store import BACKGROUND_NICENESS, META, ViewStore, discard

from .conftest import Book, event


def reopened(store: ViewStore) -> ViewStore:
    store.persist()
    store.close()
    return ViewStore(store.path)


def test_a_whole_flush_is_whole(tmp_path: Path) -> None:
    store = ViewStore(tmp_path / "views")
    assert not store.torn()
    store.begin(b"offset 1", 100)
    store.write([(b"ia", b"1"), (b"ub", b"2")])
    assert store.torn(), "until its last slice"
    store.write([(b"zc", b"3"), (META, b"offset 1")])
    store = reopened(store)
    assert not store.torn()
    assert list(store.everything()) == [(b"ia", b"1"), (META, b"offset 1"), (b"ub", b"2"), (b"zc", b"3")]
    assert [key for key, _ in store.shared()] == [b"ia", META, b"zc"], "users are loaded when needed"
    store.close()


def test_a_torn_flush_is_detected(tmp_path: Path) -> None:
    store = ViewStore(tmp_path / "views")
    store.begin(b"offset 1", 100)
    store.write([(b"ia", b"1"), (META, b"offset 1")])
    store.begin(b"offset 2", 100)
    store.write([(b"ia", b"2")])
    store = reopened(store)
    assert store.torn()
    store.close()


def test_a_value_can_be_taken_away(tmp_path: Path) -> None:
    store = ViewStore(tmp_path / "views")
    store.write([(b"ia", b"1"), (b"ib", b"2")])
    store.write([(b"ia", None)])
    assert store.get_many([b"ia", b"ib"]) == [None, b"2"]
    assert store.get_many([b"ib"]) == [b"2"]
    store.close()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are named by /proc only")
def test_the_threads_that_write_to_disk_give_way(tmp_path: Path) -> None:
    store = ViewStore(tmp_path / "views")
    store.write([(b"ia", b"1")])
    store.persist()
    tasks = list(Path("/proc/self/task").iterdir())
    tasks = [task for task in tasks if (task / "comm").read_text().startswith("rocksdb:")]
    assert tasks
    assert all(os.getpriority(os.PRIO_PROCESS, int(task.name)) >= BACKGROUND_NICENESS for task in tasks)
    store.close()


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    store = ViewStore(tmp_path / "views")
    with pytest.raises(DataError) as refused:
        ViewStore(tmp_path / "views")
    assert refused.value.code == "data_locked"
    store.close()
    discard(tmp_path / "views")
    assert not (tmp_path / "views").exists()


def test_a_shard_with_torn_views_makes_them_again(book: Book) -> None:
    book.items({"id": "a", "price": 3})
    book.send(*[event(f"e{n}", session=f"s{n % 7}") for n in range(50)])
    before = [book.state(f"s{n}") for n in range(7)]
    book.shard.close()
    store = ViewStore(book.data / VIEWS)
    store.begin(b"an offset that never came", 10)
    store.write([(b"u" + bytes(10), b"half a flush")])
    store.persist()
    store.close()
    book.shard = type(book.shard).open(book.data, book.config, book.clock)
    assert [book.state(f"s{n}") for n in range(7)] == before
    assert not book.shard.store.torn()


def test_views_of_another_log_are_made_again(book: Book) -> None:
    """The log lost its end: the views know more than it does, and are dropped."""
    book.click("e1", session="s")
    book.shard.close()
    for segment in (book.data / "log").iterdir():
        segment.unlink()
    book.shard = type(book.shard).open(book.data, book.config, book.clock)
    assert book.shard.user_state("s") is None
