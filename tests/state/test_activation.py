"""Which bundle is in use is a record of the log: folded, kept in the views, and there again after a restart."""

from __future__ import annotations

from pathlib import Path

from rtp_monolith.state.rebuild import rebuild, verify
from rtp_monolith.state.recovery import VIEWS
from rtp_monolith.state.shard_state import ShardState
from rtp_monolith.state.store import discard

from .conftest import NOON, Book


def activate(shard: ShardState, name: str, version: str) -> None:
    core, log = shard.core, shard.log
    ticket = core.submit_activation(log, name, version, NOON)
    assert log.wait_durable(log.end(), 10_000)
    assert [settled[:3] for settled in core.advance(log, NOON)] == [(ticket, 1, 0)]


def bundles(shard: ShardState) -> list[tuple[str, str] | None]:
    return [shard.core.active_bundle, shard.core.previous_bundle]


def test_the_latest_activation_counts_and_the_one_before_is_known(tmp_path: Path) -> None:
    book = Book(tmp_path)
    assert bundles(book.shard) == [None, None]
    book.shard.core.submit_activation(book.shard.log, "shop", "1", NOON)
    assert bundles(book.shard) == [None, None], "not before it is on disk"
    assert book.shard.log.wait_durable(book.shard.log.end(), 10_000)
    book.shard.core.advance(book.shard.log, NOON)
    assert bundles(book.shard) == [("shop", "1"), None]
    activate(book.shard, "shop", "2")
    activate(book.shard, "shop", "2")
    assert bundles(book.shard) == [("shop", "2"), ("shop", "1")], "the same one again changes nothing"
    activate(book.shard, "shop", "1")
    assert bundles(book.shard) == [("shop", "1"), ("shop", "2")]
    book.shard.close()


def test_it_survives_a_restart_a_lost_view_and_a_rebuild(tmp_path: Path) -> None:
    book = Book(tmp_path)
    activate(book.shard, "shop", "1")
    book.items({"id": "a"})
    activate(book.shard, "grünes Modell", "2026-11")
    expected: list[tuple[str, str] | None] = [("grünes Modell", "2026-11"), ("shop", "1")]
    book.reopen()
    assert bundles(book.shard) == expected
    book.shard.close()
    assert verify(tmp_path, book.config).equal
    discard(tmp_path / VIEWS)
    book = Book(tmp_path)
    assert bundles(book.shard) == expected, "from the log alone"
    book.shard.close()
    rebuild(tmp_path, book.config)
    assert verify(tmp_path, book.config).equal
    book = Book(tmp_path)
    assert bundles(book.shard) == expected
    book.shard.close()


def test_what_is_tried_is_kept_like_the_activations(tmp_path: Path) -> None:
    book = Book(tmp_path)
    assert bytes(book.shard.core.trial) == b""
    for body in (b'{"trial": 1}', b'{"trial": 2}'):
        book.shard.record_trial_sync(body)
    activate(book.shard, "shop", "1")
    assert bytes(book.shard.core.trial) == b'{"trial": 2}'
    book.reopen()
    assert (bytes(book.shard.core.trial), bundles(book.shard)) == (b'{"trial": 2}', [("shop", "1"), None])
    book.shard.close()
    assert verify(tmp_path, book.config).equal
    discard(tmp_path / VIEWS)
    book = Book(tmp_path)
    assert bytes(book.shard.core.trial) == b'{"trial": 2}', "from the log alone"
    book.shard.close()
