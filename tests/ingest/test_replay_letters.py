"""A second try for refused events."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtp_monolith.ingest.dead_letters import DeadLetters
from rtp_monolith.ingest.replay_letters import RefusedAgain, ReplayReport, replay_letters
from rtp_monolith.records import IngestReply, Rejected


class Malformed(Exception):
    code = "malformed_body"


def test_only_what_is_accepted_or_known_is_marked(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    for payload in (b'"new"', b'"known"', b'"refused"', b"{torn"):
        letters.put(1, "bad_ts", "m", payload)
    sent: list[bytes] = []

    def ingest(body: bytes) -> IngestReply:
        sent.append(body)
        if body == b'"new"':
            return IngestReply(1, 0, [], "p1")
        if body == b'"known"':
            return IngestReply(0, 1, [], "p1")
        if body == b"{torn":
            raise Malformed("not JSON")
        return IngestReply(0, 0, [Rejected(0, None, "bad_ts", "still")], "p1")

    report = replay_letters(letters, letters.list(), ingest)
    again = [RefusedAgain(3, "bad_ts", "still"), RefusedAgain(4, "malformed_body", "not JSON")]
    assert report == ReplayReport(tried=4, accepted=1, duplicates=1, rejected=again)
    assert [one.replayed for one in letters.list()] == [True, True, False, False]
    sent.clear()
    assert replay_letters(letters, letters.list(), ingest).tried == 2
    assert sent == [b'"refused"', b"{torn"]


def test_a_cut_payload_is_never_sent(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, bytes_max=8 << 10)
    letters.put(1, "too_long", "m", b"x" * 5_000)
    report = replay_letters(letters, letters.list(), lambda body: pytest.fail("sent"))
    assert (report.tried, report.rejected[0].code) == (0, "payload_cut")


def test_a_failing_shard_stops_the_replay(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    letters.put(1, "bad_ts", "m", b"{}")

    def broken(body: bytes) -> IngestReply:
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        replay_letters(letters, letters.list(), broken)
    assert not letters.list()[0].replayed
