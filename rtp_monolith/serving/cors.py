"""Pages of other origins: which may read what a shard answers to a browser.

Invariant: without configured origins no answer carries a CORS header, so browsers keep other pages out.
It does not know routes or keys.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtp_monolith.serving.replies import AsgiScope, Reply

METHODS = b"GET, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS = b"authorization, content-type, content-encoding"
MAX_AGE_S = b"600"
_VARY = (b"vary", b"origin")


class Cors:
    """The configured origins; `*` stands for every page."""

    def __init__(self, allowed_origins: Sequence[str]) -> None:
        self._every = "*" in allowed_origins
        self._allowed = frozenset(each.rstrip("/").encode() for each in allowed_origins)

    @property
    def active(self) -> bool:
        return bool(self._allowed)

    def headers(self, scope: AsgiScope) -> tuple[tuple[bytes, bytes], ...]:
        """What an answer to this request carries."""
        if not self._allowed:
            return ()
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        if origin is None:
            return (_VARY,)
        if self._every or origin in self._allowed:
            exposed = (b"access-control-expose-headers", b"retry-after")
            return ((b"access-control-allow-origin", origin), exposed, _VARY)
        return (_VARY,)

    def preflight(self, scope: AsgiScope) -> Reply | None:
        """The answer to a browser that asks before it sends, or None when the request is not such a question."""
        names = {name for name, _ in scope["headers"]}
        if scope["method"] != "OPTIONS" or not {b"origin", b"access-control-request-method"} <= names:
            return None
        extra = self.headers(scope)
        if len(extra) > 1:
            allow = (
                (b"access-control-allow-methods", METHODS),
                (b"access-control-allow-headers", REQUEST_HEADERS),
                (b"access-control-max-age", MAX_AGE_S),
            )
            extra = (*extra, *allow)
        return Reply(204, b"", extra=extra)
