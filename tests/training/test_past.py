"""The session that rows are encoded from is the one that a running shard would read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtp_monolith.config import Config
from rtp_monolith.errors import DataError
from rtp_monolith.state.recovery import open_log
from rtp_monolith.training.lists import ListReader, Windows
from rtp_monolith.training.past import Past
from tests.training.shards import MINUTE_MS, event, folder, seen
from tests.training.test_lists import END


def test_the_session_before_a_list_is_the_shards(tmp_path: Path) -> None:
    events = [
        event("click", "c", 0, user_id=None),
        *seen("r1", "ab", 1000, user_id=None),
        event("click", "a", MINUTE_MS, user_id=None, request_id="r1"),
        event("skip", "b", MINUTE_MS + 1, user_id=None),
        event("identify", None, 2 * MINUTE_MS),
        event("add_to_cart", "a", 3 * MINUTE_MS),
        *seen("r2", "bc", 4 * MINUTE_MS),
        event("purchase", None, 5 * MINUTE_MS, props={"items": '[{"item_id":"a"},{"item_id":"b"}]'}),
        event("like", "b", 6 * MINUTE_MS, session_id="s2"),
        *seen("r3", "a", 7 * MINUTE_MS),
        *END,
    ]
    data = folder(tmp_path, events)
    log = open_log(data, Config(), read_only=True)
    found = {}
    with Past(data, log, Config()) as past:
        for one in ListReader(log, Windows()):
            past.advance(one.offset)
            past.core.set_vectors(["a", "b", "c"], np.array([[1.0], [2.0], [3.0]], np.float32))
            ask = past.ask(one.user_id, one.session_id, one.as_of_ms, one.context)
            numbers = past.core.gather(past.core.session_items(ask, 50))[:, 0]
            found[one.request_id] = ["?abc"[int(number)] for number in numbers], one.prefix
    log.close()
    assert {request: prefix for request, (_, prefix) in found.items()} == {
        "r1": ["c"],
        "r2": ["c", "a", "a"],
        "r3": ["c", "a", "a", "a", "b"],
    }
    assert all(shard == prefix for shard, prefix in found.values())


def test_the_past_does_not_run_past_the_end(tmp_path: Path) -> None:
    data = folder(tmp_path, [event("click", "a", 0)])
    log = open_log(data, Config(), read_only=True)
    with Past(data, log, Config()) as past, pytest.raises(DataError) as refused:
        past.advance(log.end() + 1)
    assert refused.value.code == "log_truncated"
    log.close()
