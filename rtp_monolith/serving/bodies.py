"""From the bytes of a request to its plain body: size limits, content encodings, media types.

Invariant: no request makes the process hold more than its limit of plain bytes plus as many compressed ones, and all
of them together no more than the shard's bound. It does not know what a body means.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Literal

import zstandard

from rtp_monolith.errors import BodyTooLarge, MalformedBody, Overloaded, UnsupportedMediaType

Headers = Iterable[tuple[bytes, bytes]]
Receive = Callable[[], Any]
Media = Literal["json", "ndjson", "msgpack"]

EVENT_MEDIA: dict[bytes, Media] = {
    b"application/json": "json",
    b"application/x-ndjson": "ndjson",
    b"text/plain": "json",
    b"application/msgpack": "msgpack",
}
BATCH_MEDIA: dict[bytes, Media] = {b"application/json": "json", b"application/x-ndjson": "ndjson"}
JSON_MEDIA: dict[bytes, Media] = {b"application/json": "json"}
PATCH_MEDIA: dict[bytes, Media] = {b"application/json": "json", b"application/merge-patch+json": "json"}

ZSTD_WINDOW_BYTES_MAX = 8 << 20

# Of a body that is refused for its size, this many bytes are still read: a client that is cut off while it sends sees a
# broken connection and never the refusal.
DISCARD_BYTES_MAX = 16 << 20


class Disconnected(Exception):
    """The client went away before its body was whole: nobody is there to answer."""


class InFlight:
    """The bytes of bodies held at this moment by all requests together."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.bytes = 0

    def take(self, count: int) -> None:
        """Raises Overloaded when the bound would be passed."""
        if self.bytes + count > self._bytes_max:
            raise Overloaded("the bodies of the requests in flight fill their memory")
        self.bytes += count

    def give(self, count: int) -> None:
        self.bytes -= count


def media_of(content_type: bytes | None, known: MutableMapping[bytes, Media]) -> Media:
    """The form of a body; parameters such as a charset are ignored and an absent type means JSON."""
    if content_type is None:
        return "json"
    media = known.get(content_type)
    if media is None:
        media = known.get(content_type.split(b";", 1)[0].strip().lower())
    if media is None:
        accepted = ", ".join(each.decode() for each in known)
        text = content_type.decode("latin-1")
        raise UnsupportedMediaType(f"{text!r} is not understood here; send {accepted}", field="content-type")
    return media


async def read_body(headers: dict[bytes, bytes], receive: Receive, bytes_max: int, in_flight: InFlight) -> bytes:
    """The plain body. Raises BodyTooLarge, UnsupportedMediaType, MalformedBody, Overloaded or Disconnected."""
    encoding = headers.get(b"content-encoding")
    decode = None if encoding is None else _decoder(encoding)
    declared = headers.get(b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > bytes_max:
        if int(declared) <= DISCARD_BYTES_MAX and b"expect" not in headers:
            await _discard(receive)
        raise BodyTooLarge(f"the body has {int(declared)} bytes of at most {bytes_max}")
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        body = await _read_rest(body, receive, bytes_max, in_flight)
    elif len(body) > bytes_max:
        raise _too_large(bytes_max)
    return body if decode is None else decode(body, bytes_max)


async def _read_rest(first: bytes, receive: Receive, bytes_max: int, in_flight: InFlight) -> bytes:
    chunks = [first]
    size = len(first)
    held = size
    in_flight.take(held)
    try:
        while True:
            if size > bytes_max:
                chunks.clear()
                await _discard(receive)
                raise _too_large(bytes_max)
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            chunk = message.get("body", b"")
            in_flight.take(len(chunk))
            held += len(chunk)
            size += len(chunk)
            chunks.append(chunk)
            if not message.get("more_body", False):
                break
        if size > bytes_max:
            raise _too_large(bytes_max)
        return b"".join(chunks)
    finally:
        in_flight.give(held)


async def _discard(receive: Receive) -> None:
    left = DISCARD_BYTES_MAX
    more = True
    while more and left > 0:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        left -= len(message.get("body", b""))
        more = message.get("more_body", False)


def _too_large(bytes_max: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body has more than {bytes_max} bytes")


def _decoder(encoding: bytes) -> Callable[[bytes, int], bytes] | None:
    name = encoding.strip().lower()
    if name in (b"gzip", b"x-gzip"):
        return gunzip
    if name == b"zstd":
        return unzstd
    if name in (b"", b"identity"):
        return None
    text = encoding.decode("latin-1")
    raise UnsupportedMediaType(
        f"content encoding {text!r} is not understood; send gzip or zstd", field="content-encoding"
    )


def gunzip(body: bytes, bytes_max: int) -> bytes:
    """All members of a gzip file, at most `bytes_max` bytes. Raises BodyTooLarge or MalformedBody."""
    parts: list[bytes] = []
    left = bytes_max
    rest = body
    while rest or not parts:
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(rest, left + 1)
        except zlib.error as error:
            raise MalformedBody(f"the body is not gzip: {error}") from None
        if len(part) > left:
            raise BodyTooLarge(f"the body has more than {bytes_max} bytes after decompression")
        if not member.eof:
            raise MalformedBody("the gzip body ends too early")
        left -= len(part)
        parts.append(part)
        rest = member.unused_data
    return b"".join(parts)


def unzstd(body: bytes, bytes_max: int) -> bytes:
    """The frame of a zstd body, at most `bytes_max` bytes. Raises BodyTooLarge or MalformedBody."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)
    try:
        declared = zstandard.frame_content_size(body)
        if declared > bytes_max:
            raise BodyTooLarge(f"the body has {declared} bytes after decompression, at most {bytes_max} are taken")
        if declared >= 0:
            return decompressor.decompress(body, allow_extra_data=False)
        # The size is unknown: read what the limit allows, and one byte more to see that it was passed.
        part = _read_zstd(decompressor, body, bytes_max + 1)
        if len(part) > bytes_max:
            raise BodyTooLarge(f"the body has more than {bytes_max} bytes after decompression")
        return decompressor.decompress(body, max_output_size=len(part) + 1, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise MalformedBody(f"the body is not zstd: {error}") from None


def _read_zstd(decompressor: zstandard.ZstdDecompressor, body: bytes, count: int) -> bytes:
    with decompressor.stream_reader(body) as reader:
        parts: list[bytes] = []
        while count > 0:
            part = reader.read(count)
            if not part:
                break
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
