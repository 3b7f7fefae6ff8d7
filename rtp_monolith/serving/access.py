"""Who may call what: keys with scopes, the address a shard may listen on, the limit of requests.

Invariant: a shard without a key is reachable from its own machine only; comparing keys takes the same time wherever
they differ. It does not know routes: each names the scope it needs.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Callable, Sequence

import msgspec

from rtp_monolith.config import ApiKey, Config, Scope
from rtp_monolith.errors import ConfigError, Forbidden, Unauthorized
from rtp_monolith.serving.rate_limit import RateLimit


class Caller(msgspec.Struct, frozen=True):
    """Who is calling; `trusted` callers may send what a browser may not, such as purchases under a server-only rule."""

    name: str
    trusted: bool


ANYBODY = Caller("", trusted=False)


class Access:
    """Checks `Authorization: Bearer KEY`. Without keys everybody on this machine may do everything."""

    def __init__(self, keys: Sequence[ApiKey], rate: RateLimit | None = None) -> None:
        self._rate = rate
        self._known = [
            (_digest(each.key.encode()), frozenset(each.scopes), Caller(each.name or f"key {n + 1}", each.server))
            for n, each in enumerate(keys)
        ]

    @classmethod
    def of(cls, config: Config, monotonic_s: Callable[[], float]) -> Access:
        limits = config.limits
        if limits.requests_per_s is None:
            return cls(config.keys)
        return cls(config.keys, RateLimit(limits.requests_per_s, monotonic_s, burst=limits.request_burst))

    def check(self, authorization: bytes | None, address: str, scope: Scope) -> Caller:
        """The caller of a request. Raises Unauthorized, Forbidden or RateLimited."""
        caller = self._caller(authorization, scope) if self._known else ANYBODY
        if self._rate is not None:
            self._rate.take(caller.name or address)
        return caller

    def _caller(self, authorization: bytes | None, scope: Scope) -> Caller:
        if authorization is None:
            raise Unauthorized("send the header Authorization: Bearer KEY")
        kind, _, key = authorization.partition(b" ")
        given = _digest(key.strip())
        found: tuple[frozenset[Scope], Caller] | None = None
        for digest, scopes, caller in self._known:
            if hmac.compare_digest(digest, given):
                found = (scopes, caller)
        if found is None or kind.lower() != b"bearer":
            raise Unauthorized("the key is not known")
        scopes, caller = found
        if scope not in scopes:
            raise Forbidden(f"the key does not have the scope {scope}")
        return caller


def check_address(host: str, config: Config) -> None:
    """Raises ConfigError when a shard without a key is told to listen beyond its own machine."""
    if not config.keys and not is_loopback(host):
        raise ConfigError(f"refusing to listen on {host} without a key: anybody could call. Add [[keys]] to --config")


def is_loopback(host: str) -> bool:
    """Whether the address can be reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
