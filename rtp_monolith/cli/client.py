"""A small HTTP client of a shard: one kept connection, one request at a time, patience when the shard is busy.

Invariant: requests reach the shard in the order they were made, and a request is sent again only when repeating it
can not count twice (event ids make a repeated batch a duplicate). It does not know what is in the bodies.
"""

from __future__ import annotations

import http.client
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

import msgspec

from rtp_monolith.cli.output import Failure

BUSY = (429, 503)
WAIT_S_MAX = 30.0
WAIT_S_FIRST = 0.1


class Reply(msgspec.Struct, frozen=True):
    """Status, the time to wait that the shard asked for, and the body as received."""

    status: int
    retry_after_s: float | None
    body: bytes

    def document(self) -> Any:
        """The body as JSON; raises Failure `bad_reply` when it is not."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError as error:
            raise Failure("bad_reply", f"the shard's answer ({self.status}) is not JSON: {error}") from error


class Refused(Failure):
    """The shard answered with an error; `status` and `field` are its own."""

    def __init__(self, status: int, code: str, message: str, field: str | None) -> None:
        super().__init__(code, message if field is None else f"{field}: {message}")
        self.status = status
        self.field = field


class Client:
    """Blocking, keep-alive, HTTP/1.1; `url` may carry a path that is put before every request's.

    `attempts_max` bounds how often one request is sent; `sleep` is the wait between attempts.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_s: float = 60.0,
        attempts_max: int = 12,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._make, self._prefix = _connection(url, timeout_s)
        self._url = url
        self._headers = {"Accept": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._attempts_max = attempts_max
        self._sleep = sleep
        self._open: http.client.HTTPConnection | None = None
        self._reached = False
        self.waits = 0

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; the next request opens a new one."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def call(self, method: str, path: str, body: bytes | None = None, media: str = "application/json") -> Any:
        """Sends a request and returns the JSON of a 2xx answer, else raises Refused with the shard's code."""
        reply = self.send(method, path, body, media)
        if 200 <= reply.status < 300:
            return reply.document() if reply.body else None
        raise refused(reply)

    def send(self, method: str, path: str, body: bytes | None = None, media: str = "application/json") -> Reply:
        """Sends a request until it is answered by something other than 429 or 503; returns the last answer."""
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = media
        wait_s = WAIT_S_FIRST
        for attempt in range(1, self._attempts_max + 1):
            last = attempt == self._attempts_max
            try:
                reply = self._once(method, self._prefix + path, body, headers)
            except TimeoutError as error:
                self.close()
                raise Failure("timeout", f"no answer from {self._url} in time") from error
            except (http.client.HTTPException, OSError) as error:
                self.close()
                if last or not self._reached:  # a wrong address is told at once, a restarting shard is waited for
                    raise Failure("unreachable", f"{self._url}: {error or type(error).__name__}") from error
                asked_s = None
            else:
                if reply.status not in BUSY or last:
                    return reply
                asked_s = reply.retry_after_s
            self.waits += 1
            self._sleep(min(WAIT_S_MAX, wait_s if asked_s is None else asked_s))
            wait_s = min(WAIT_S_MAX, wait_s * 2)
        raise AssertionError("attempts_max is at least 1")

    def _once(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        if self._open is None:
            self._open = self._make()
        self._open.request(method, path, body=body, headers=headers)
        answer = self._open.getresponse()
        payload = answer.read()
        self._reached = True
        if answer.will_close:
            self.close()
        return Reply(answer.status, _seconds(answer.headers.get("Retry-After")), payload)


def refused(reply: Reply) -> Refused:
    """The error of an answer outside 2xx; an answer that is not ours keeps its status as the code."""
    try:
        error = msgspec.json.decode(reply.body)["error"]
        return Refused(reply.status, str(error["code"]), str(error["message"]), error.get("field"))
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return Refused(reply.status, f"http_{reply.status}", reply.body[:200].decode(errors="replace"), None)


def _seconds(text: str | None) -> float | None:
    """The seconds of a Retry-After; a date (the other legal form) is treated as absent."""
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:
        return None


def _connection(url: str, timeout_s: float) -> tuple[Callable[[], http.client.HTTPConnection], str]:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Failure("bad_url", f"not an http(s) address: {url!r}")
    host, port = parts.hostname, parts.port
    prefix = parts.path.rstrip("/")
    if parts.scheme == "https":
        return lambda: http.client.HTTPSConnection(host, port, timeout=timeout_s), prefix
    return lambda: http.client.HTTPConnection(host, port, timeout=timeout_s), prefix
