"""The store of refused events: what was sent, when, and why it was refused, kept for a second try.

Invariant: a letter whose id was returned is found again after the process is killed, and no id is ever given twice;
the oldest letters go first once the store is full. This module does not know what an event is: a payload is text.

On disk: segments `dead_letters/<first id>.jsonl`, one letter or one mark `{"replayed": [ids]}` a line. One process,
one thread writes; every line is a single append, so a torn line can only be the last of the newest segment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

SEGMENTS_PER_STORE = 8
SEGMENT_BYTES_MIN = 4 << 10
PAYLOAD_BYTES_MAX = 1 << 20
LIST_LIMIT_MAX = 1_000
MARK_IDS_MAX = 1_000


class DeadLetter(msgspec.Struct, frozen=True):
    """One refused event; `payload` is its JSON text as received, `cut` says that the text was too long to be kept."""

    id: int
    received_ms: int
    code: str
    message: str
    payload: str
    cut: bool = False
    replayed: bool = False


class _Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    replayed: list[int]


class _Segment:
    """One file: its first id is in its name, its size is what has been written whole."""

    def __init__(self, path: Path, first_id: int, size: int) -> None:
        self.path = path
        self.first_id = first_id
        self.size = size


_LETTER = msgspec.json.Decoder(DeadLetter)
_MARK = msgspec.json.Decoder(_Mark)
_MARK_START = b'{"replayed":['


class DeadLetters:
    """An embedded, append-only store of at most `bytes_max` bytes.

    `unreadable` counts lines that were skipped because they could not be read. Raises OSError when the disk refuses.
    """

    def __init__(self, path: Path, *, bytes_max: int = 64 << 20) -> None:
        if bytes_max < 2 * SEGMENT_BYTES_MIN:
            raise ValueError(f"bytes_max is at least {2 * SEGMENT_BYTES_MIN}, got {bytes_max}")
        self._path = path
        self._bytes_max = bytes_max
        self._segment_bytes = max(bytes_max // SEGMENTS_PER_STORE, SEGMENT_BYTES_MIN)
        self._payload_bytes = min(PAYLOAD_BYTES_MAX, self._segment_bytes // 2)
        self._file: int | None = None
        self._segments: list[_Segment] = []
        self._replayed: set[int] = set()
        self._next_id = 1
        self.unreadable = 0
        self._load()

    def put(self, received_ms: int, code: str, message: str, payload: bytes) -> int:
        """Keeps one refused event and returns its id; a payload too long to keep is cut and can not be replayed."""
        cut = len(payload) > self._payload_bytes
        text = payload[: self._payload_bytes].decode("utf-8", errors="replace")
        letter = DeadLetter(self._next_id, received_ms, code, message, text, cut)
        self._append(msgspec.json.encode(letter) + b"\n")
        self._next_id += 1
        return letter.id

    def list(self, *, after: int = 0, limit: int = 100, code: str | None = None) -> list[DeadLetter]:
        """The letters with an id above `after`, oldest first, at most `limit` (bounded by LIST_LIMIT_MAX)."""
        found: list[DeadLetter] = []
        wanted = min(limit, LIST_LIMIT_MAX)
        if wanted <= 0:
            return found
        for letter in self._letters(after + 1):
            if letter.id <= after or (code is not None and letter.code != code):
                continue
            found.append(letter)
            if len(found) == wanted:
                break
        return found

    def get(self, id: int) -> DeadLetter | None:
        """One letter, or None when it never was or has been dropped."""
        for letter in self._letters(id):
            if letter.id >= id:
                return letter if letter.id == id else None
        return None

    @property
    def last_id(self) -> int:
        """The newest id given so far, 0 before the first."""
        return self._next_id - 1

    def mark_replayed(self, ids: Sequence[int]) -> None:
        """Remembers that these letters were accepted on a later try; marking twice changes nothing."""
        oldest = self._segments[0].first_id if self._segments else self._next_id
        fresh = sorted({i for i in ids if oldest <= i < self._next_id} - self._replayed)
        for start in range(0, len(fresh), MARK_IDS_MAX):
            part = fresh[start : start + MARK_IDS_MAX]
            self._append(msgspec.json.encode(_Mark(part)) + b"\n")
            self._replayed.update(part)

    def close(self) -> None:
        """Closes the open segment; the store may be used again afterwards."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _load(self) -> None:
        for path in sorted(self._path.glob("*.jsonl")):
            if not path.stem.isdigit():
                continue
            segment = _Segment(path, int(path.stem), 0)
            last_id = segment.first_id - 1
            with path.open("rb") as stream:
                for line in stream:
                    if not line.endswith(b"\n"):
                        break  # torn: cut off before the next append
                    segment.size += len(line)
                    last_id = self._load_line(line, last_id)
            self._segments.append(segment)
            self._next_id = max(self._next_id, last_id + 1)

    def _load_line(self, line: bytes, last_id: int) -> int:
        try:
            if line.startswith(_MARK_START):
                self._replayed.update(_MARK.decode(line).replayed)
                return last_id
            return max(last_id, _LETTER.decode(line).id)
        except msgspec.DecodeError:
            self.unreadable += 1
            # The line may have been a letter whose id was given out: never give that id again.
            return last_id + 1

    def _letters(self, first_id: int) -> Iterator[DeadLetter]:
        """Letters in the order of their ids, starting at the segment that would hold `first_id`."""
        for n, segment in enumerate(self._segments):
            if n + 1 < len(self._segments) and self._segments[n + 1].first_id <= first_id:
                continue
            left = segment.size
            with segment.path.open("rb") as stream:
                for line in stream:
                    left -= len(line)
                    if left < 0:
                        break
                    if line.startswith(_MARK_START):
                        continue
                    try:
                        letter = _LETTER.decode(line)
                    except msgspec.DecodeError:
                        continue
                    yield msgspec.structs.replace(letter, replayed=letter.id in self._replayed)

    def _append(self, line: bytes) -> None:
        segment, file = self._writable(len(line))
        try:
            written = os.write(file, line)
        except OSError:
            os.ftruncate(file, segment.size)
            raise
        if written != len(line):
            os.ftruncate(file, segment.size)
            raise OSError(28, "no space left for a dead letter", str(segment.path))
        segment.size += len(line)
        self._drop_oldest()

    def _writable(self, length: int) -> tuple[_Segment, int]:
        """The newest segment, opened and free of torn bytes; a new one when the line would overfill it."""
        newest = self._segments[-1] if self._segments else None
        if newest is None or (newest.size and newest.size + length > self._segment_bytes):
            self.close()
            self._path.mkdir(parents=True, exist_ok=True)
            newest = _Segment(self._path / f"{self._next_id:020d}.jsonl", self._next_id, 0)
            if self._segments and self._segments[-1].first_id == self._next_id:
                newest = self._segments[-1]  # full of marks only; its name is taken
            else:
                self._segments.append(newest)
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(newest.path, flags, 0o644)
            os.ftruncate(self._file, newest.size)
        return newest, self._file

    def _drop_oldest(self) -> None:
        total = sum(segment.size for segment in self._segments)
        while total > self._bytes_max and len(self._segments) > 1:
            oldest = self._segments.pop(0)
            oldest.path.unlink(missing_ok=True)
            total -= oldest.size
            first_kept = self._segments[0].first_id
            self._replayed = {i for i in self._replayed if i >= first_kept}
