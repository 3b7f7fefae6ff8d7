"""`POST /v1/events`, and the refused events: list, show, try again.

Invariant: an answer to a batch is sent after the shard has it on disk and folded. What an event may contain is not
known here: the body goes to the state as it came.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rtp_monolith.errors import InvalidField, MalformedBody, UnknownDeadLetter
from rtp_monolith.records import ID_CHARS_MAX, IngestReply, refusal
from rtp_monolith.serving.bodies import EVENT_MEDIA, JSON_MEDIA, Media, media_of
from rtp_monolith.serving.ports import Kind, Letter, LetterStore, State
from rtp_monolith.serving.replies import Ask, Reply, Services

LETTERS_PER_PAGE_MAX = 1000

_encode_reply = msgspec.json.Encoder().encode


class ReplayRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which letters to try again: these ids, or all of one code."""

    ids: list[int] | None = None
    code: str | None = None


class RefusedAgain(msgspec.Struct, frozen=True):
    id: int
    code: str
    message: str


class ReplayReply(msgspec.Struct):
    """`tried` letters were sent; those accepted or known already are marked as replayed."""

    tried: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: list[RefusedAgain] = []


_read_replay = msgspec.json.Decoder(ReplayRequest).decode


async def ingest(services: Services, kind: Kind, body: bytes, media: Media, *, trusted: bool) -> IngestReply:
    """Hands a body to the state in a turn of the ingest share and counts what became of it."""
    state = services.place.shard().state
    services.in_flight.take(len(body))
    try:
        reply = await services.turns.run(
            "ingest", ingest_deadline_s(services), lambda: state.ingest(kind, body, media, trusted=trusted)
        )
    finally:
        services.in_flight.give(len(body))
    count(services, reply)
    return reply


def ingest_deadline_s(services: Services) -> float:
    """Until when a batch whose body is here has to have its turn; the time of the upload is the client's own."""
    return services.clock.monotonic_s() + services.config.limits.ingest_timeout_ms / 1000


def count(services: Services, reply: IngestReply) -> None:
    """Counts the outcomes of one batch."""
    services.metrics.ingested(reply.accepted, reply.duplicates)
    for each in reply.rejected:
        services.metrics.rejected(each.code)


async def post_events(services: Services, ask: Ask) -> Reply:
    """The hot route of the write path."""
    caller = ask.caller("events")
    media = media_of(ask.headers.get(b"content-type"), EVENT_MEDIA)
    body = await ask.body()
    reply = await ingest(services, "events", body, media, trusted=caller.trusted)
    return Reply(200, _encode_reply(reply))


def routes(services: Services) -> list[Route]:
    """The routes of dead letters, scope `admin`."""

    def store() -> LetterStore:
        return services.place.shard().state.dead_letters

    async def list_letters(request: Request) -> Response:
        Ask(services, request.scope, request.receive).caller("admin")
        after = _whole_number(request, "after", 0, 0, 1 << 62)
        limit = _whole_number(request, "limit", 100, 1, LETTERS_PER_PAGE_MAX)
        found = store().list(after=after, limit=limit, code=request.query_params.get("code") or None)
        return Response(_encode_reply({"dead_letters": list(found)}), media_type="application/json")

    async def one_letter(request: Request) -> Response:
        Ask(services, request.scope, request.receive).caller("admin")
        letter = _letter(store(), request.path_params["id"])
        return Response(_encode_reply(letter), media_type="application/json")

    async def replay(request: Request) -> Response:
        ask = Ask(services, request.scope, request.receive)
        caller = ask.caller("admin")
        media_of(ask.headers.get(b"content-type"), JSON_MEDIA)
        wanted = _wanted(await ask.body())
        reply = await _replay(services, wanted, trusted=caller.trusted)
        return Response(_encode_reply(reply), media_type="application/json")

    return [
        Route("/v1/deadletters", list_letters, methods=["GET"]),
        Route("/v1/deadletters/replay", replay, methods=["POST"]),
        Route("/v1/deadletters/{id:int}", one_letter, methods=["GET"]),
    ]


def _letter(store: LetterStore, letter_id: int) -> Letter:
    letter = store.get(letter_id)
    if letter is None:
        raise UnknownDeadLetter(f"there is no letter {letter_id}")
    return letter


def _wanted(body: bytes) -> ReplayRequest:
    try:
        wanted = _read_replay(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(error, body) from None
    if (wanted.ids is None) == (not wanted.code):
        raise InvalidField("missing_field", "give either ids or code", "ids")
    if wanted.ids is not None and len(wanted.ids) > LETTERS_PER_PAGE_MAX:
        raise InvalidField("out_of_range", f"ids: at most {LETTERS_PER_PAGE_MAX}", "ids")
    if wanted.code and len(wanted.code) > ID_CHARS_MAX:
        raise InvalidField("too_long", f"code has more than {ID_CHARS_MAX} characters", "code")
    return wanted


async def _chosen(store: LetterStore, wanted: ReplayRequest) -> AsyncIterator[Letter]:
    if wanted.ids is not None:
        for letter in [_letter(store, each) for each in wanted.ids]:
            yield letter
        return
    after, last = 0, store.last_id  # what is refused again becomes a new letter: not this time
    while page := store.list(after=after, limit=LETTERS_PER_PAGE_MAX, code=wanted.code):
        for letter in page:
            if letter.id > last:
                return
            yield letter
        after = page[-1].id


async def _replay(services: Services, wanted: ReplayRequest, *, trusted: bool) -> ReplayReply:
    state: State = services.place.shard().state
    store = state.dead_letters
    out = ReplayReply()
    async for letter in _chosen(store, wanted):
        if letter.replayed:
            continue
        if letter.cut:
            out.rejected.append(RefusedAgain(letter.id, "payload_cut", "the payload was too long to be kept whole"))
            continue
        out.tried += 1
        try:
            reply = await state.ingest("events", letter.payload.encode(), "json", trusted=trusted, bury=False)
        except MalformedBody as error:
            out.rejected.append(RefusedAgain(letter.id, error.code, error.message))
            continue
        count(services, reply)
        if reply.rejected:
            first = reply.rejected[0]
            out.rejected.append(RefusedAgain(letter.id, first.code, first.message))
            continue
        out.accepted += reply.accepted
        out.duplicates += reply.duplicates
        store.mark_replayed([letter.id])
    return out


def _whole_number(request: Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query_params.get(name)
    if text is None or text == "":
        return default
    try:
        value = int(text)
    except ValueError:
        raise InvalidField("wrong_type", f"{name} is not a whole number", name) from None
    if not least <= value <= most:
        raise InvalidField("out_of_range", f"{name} is not between {least} and {most}", name)
    return value
