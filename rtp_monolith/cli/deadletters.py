"""`rtp deadletters list|show|replay`: refused events, looked at and tried again.

Invariant: replaying sends the payload as it was received, and marks only what was accepted (or had been before). It
does not know why an event was refused: the letter says it.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from rtp_monolith.cli.output import FAILED, Failure, Finished, emit_json, json_option, table
from rtp_monolith.cli.target import Target, data_options, one_target, open_shard, url_options
from rtp_monolith.ingest.dead_letters import LIST_LIMIT_MAX, DeadLetter, DeadLetters
from rtp_monolith.ingest.replay_letters import ReplayReport, replay_letters

SHOWN_CHARACTERS_MAX = 60


@click.group()
def deadletters() -> None:
    """Look at refused events and try them again."""


@deadletters.command("list")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only ids above this one.")
@click.option("--limit", type=click.IntRange(1, LIST_LIMIT_MAX), default=100)
@click.option("--code", help="Only letters refused with this code.")
@json_option
@data_options
@url_options
def list_(
    after: int, limit: int, code: str | None, as_json: bool,
    url: str | None, data: Path | None, key: str | None, config: Path | None,
) -> None:  # fmt: skip
    """List refused events, oldest first."""
    target = one_target(url, data, key, config)
    if target.url is not None:
        query = {"after": after, "limit": limit} | ({"code": code} if code else {})
        with target.client() as client:
            document = client.call("GET", f"/v1/deadletters?{urllib.parse.urlencode(query)}")
        letters = _letters(document)
    else:
        assert target.data is not None
        with open_shard(target.data, config) as state:
            letters = state.dead_letters.list(after=after, limit=limit, code=code)
    if as_json:
        emit_json({"dead_letters": letters})
        return
    rows = [
        (one.id, one.received_ms, one.code, "yes" if one.replayed else "", one.message[:SHOWN_CHARACTERS_MAX])
        for one in letters
    ]
    click.echo(table(("id", "received_ms", "code", "replayed", "message"), rows))


@deadletters.command()
@click.argument("letter_id", metavar="ID", type=click.IntRange(min=1))
@json_option
@data_options
@url_options
def show(
    letter_id: int, as_json: bool, url: str | None, data: Path | None, key: str | None, config: Path | None
) -> None:
    """Show one refused event whole."""
    target = one_target(url, data, key, config)
    letter: DeadLetter | None
    if target.url is not None:
        with target.client() as client:
            letter = msgspec.convert(client.call("GET", f"/v1/deadletters/{letter_id}"), DeadLetter)
    else:
        assert target.data is not None
        with open_shard(target.data, config) as state:
            letter = state.dead_letters.get(letter_id)
    if letter is None:
        raise Failure("unknown_dead_letter", f"there is no letter {letter_id}")
    if as_json:
        emit_json(letter)
        return
    click.echo(f"{letter.id}  {letter.code}: {letter.message}\nreceived_ms {letter.received_ms}")
    click.echo(letter.payload)


@deadletters.command()
@click.argument("ids", nargs=-1, type=click.IntRange(min=1))
@click.option("--code", help="All letters refused with this code.")
@json_option
@data_options
@url_options
def replay(
    ids: tuple[int, ...], code: str | None, as_json: bool,
    url: str | None, data: Path | None, key: str | None, config: Path | None,
) -> None:  # fmt: skip
    """Send refused events again, by their IDS or all of one --code."""
    if bool(ids) == bool(code):
        raise click.UsageError("give either ids or --code")
    target = one_target(url, data, key, config)
    report = _replay_http(target, ids, code) if target.url is not None else _replay_folder(target, ids, code)
    if as_json:
        emit_json(report)
    else:
        click.echo(
            f"{report.tried} tried, {report.accepted} accepted, {report.duplicates} duplicates, "
            f"{len(report.rejected)} rejected again"
        )
        if report.rejected:
            click.echo(table(("id", "code", "message"), [(r.id, r.code, r.message) for r in report.rejected]))
    if report.rejected:
        raise Finished(FAILED)


def _replay_http(target: Target, ids: Sequence[int], code: str | None) -> ReplayReport:
    body: dict[str, Any] = {"ids": list(ids)} if ids else {"code": code}
    with target.client() as client:
        document = client.call("POST", "/v1/deadletters/replay", msgspec.json.encode(body))
    return msgspec.convert(document, ReplayReport)


def _replay_folder(target: Target, ids: Sequence[int], code: str | None) -> ReplayReport:
    assert target.data is not None
    with open_shard(target.data, target.config) as state:
        letters = state.dead_letters
        chosen = _by_id(letters, ids) if ids else _of_code(letters, code)
        return replay_letters(
            letters, chosen, lambda body: state.ingest_sync("events", body, "json", trusted=True, bury=False)
        )


def _by_id(letters: DeadLetters, ids: Sequence[int]) -> Iterator[DeadLetter]:
    for letter_id in ids:
        letter = letters.get(letter_id)
        if letter is None:
            raise Failure("unknown_dead_letter", f"there is no letter {letter_id}")
        yield letter


def _of_code(letters: DeadLetters, code: str | None) -> Iterator[DeadLetter]:
    """Pages through the store up to the last letter it has now, so that what is refused again is not tried again."""
    after = 0
    last = letters.last_id
    while page := letters.list(after=after, limit=LIST_LIMIT_MAX, code=code):
        for letter in page:
            if letter.id > last:
                return
            if not letter.replayed:
                yield letter
        after = page[-1].id


def _letters(document: Any) -> list[DeadLetter]:
    """The letters of an HTTP answer: an array, or an object with one."""
    if isinstance(document, dict):
        document = next((value for value in document.values() if isinstance(value, list)), [])
    return msgspec.convert(document, list[DeadLetter])
