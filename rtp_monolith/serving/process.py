"""One server process: sockets, signals, recovery at the start, an orderly end.

Invariant: the shard is closed exactly once, after the last answer, also when it was told to stop while recovering.
It does not know what a shard is made of: it is given a function that opens one.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Callable, Generator
from typing import Protocol

import uvicorn
from starlette.routing import Route
from uvicorn.server import HANDLED_SIGNALS

from rtp_monolith.clock import Clock
from rtp_monolith.config import Config
from rtp_monolith.errors import ConfigError, RtpError
from rtp_monolith.metrics import Metrics
from rtp_monolith.serving.access import Access, check_address
from rtp_monolith.serving.app import App
from rtp_monolith.serving.bodies import InFlight
from rtp_monolith.serving.ports import Place, Shard
from rtp_monolith.serving.replies import Services
from rtp_monolith.serving.turns import Turns

DONE, FAILED, INTERRUPTED = 0, 1, 130
BACKLOG = 2048

# Young objects die by reference counts, so collections find little; what matters is that none of them is long. With
# the recovered state frozen out of sight, a pass over 2,000 young objects takes 0.1 ms, one over ten such
# generations 1 ms (a threshold of 50,000 took 2.5 ms), and full passes are rare.
GC_THRESHOLDS = (2_000, 10, 200)

log = logging.getLogger(__name__)


class OpenShard(Protocol):
    """Opens and recovers the shard of this process; runs in a thread, so that `/livez` answers meanwhile."""

    def __call__(self, config: Config, clock: Clock, metrics: Metrics) -> Shard: ...


def make_services(config: Config, clock: Clock) -> Services:
    """The composition of everything but the shard itself."""
    limits = config.limits
    metrics = Metrics()
    turns = Turns(
        clock.monotonic_s,
        lambda call: asyncio.get_running_loop().call_soon(call),
        ingest_share=limits.ingest_share,
        queue_max=limits.queue_max,
        budget_ms=limits.turn_budget_ms,
    )
    place = Place()
    in_flight = InFlight(limits.body_bytes_in_flight_max)
    metrics.add_stats(
        lambda: {
            "ready": int(place.ready),
            "waiting_ingest": turns.waiting("ingest"),
            "waiting_lists": turns.waiting("lists"),
            "body_bytes_in_flight": in_flight.bytes,
        }
    )
    access = Access.of(config, clock.monotonic_s)
    return Services(config, clock, metrics, access, turns, place, in_flight)


class Server(uvicorn.Server):
    """uvicorn, but a signal asks for the orderly end only; the exit code is ours to give."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.signalled: int | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        for each in HANDLED_SIGNALS:
            loop.add_signal_handler(each, self._on_signal, each)
        try:
            yield
        finally:
            for each in HANDLED_SIGNALS:
                loop.remove_signal_handler(each)

    def _on_signal(self, number: int) -> None:
        if self.should_exit and number == signal.SIGINT:
            self.force_exit = True
        if self.signalled is None:
            self.signalled = number
        self.should_exit = True


class Recovery:
    """Opens the shard beside the running server and closes it at the end."""

    def __init__(self, services: Services, open_shard: OpenShard, stop_server: Callable[[], None]) -> None:
        self._services = services
        self._open_shard = open_shard
        self._stop_server = stop_server
        self._task: asyncio.Task[None] | None = None
        self.failure: Exception | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._recover())

    async def _recover(self) -> None:
        services = self._services
        shard: Shard | None = None
        try:
            shard = await asyncio.to_thread(self._open_shard, services.config, services.clock, services.metrics)
            shard.state.attach(asyncio.get_running_loop())
            shard.models.attach(asyncio.get_running_loop())
            if shard.watch is not None:
                shard.watch.attach(asyncio.get_running_loop())
            if shard.online is not None:
                await shard.online.start()
                shard.online.attach(asyncio.get_running_loop())
        except Exception as error:
            self.failure = error
            if shard is not None:
                if shard.offline is not None:
                    shard.offline.close()
                if shard.online is not None:
                    await shard.online.close()
                shard.state.close()
            self._stop_server()
            return
        services.metrics.add_stats(shard.state.stats)
        services.metrics.add_stats(shard.models.stats)
        if shard.watch is not None:
            services.metrics.add_stats(shard.watch.stats)
        if shard.offline is not None:
            services.metrics.add_stats(shard.offline.stats)
        services.metrics.add_features(shard.state.feature_counts, None if shard.online is None else shard.online.ages_s)
        if shard.online is not None:
            services.metrics.add_stats(shard.online.stats)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        services.place.put(shard)

    async def stop(self) -> None:
        if self._task is not None:
            await self._task
        shard = self._services.place.clear()
        if shard is not None:
            if shard.watch is not None:
                await shard.watch.close()
            shard.models.close()
            if shard.offline is not None:
                await asyncio.to_thread(shard.offline.close)
            if shard.online is not None:
                await shard.online.close()
            shard.state.close()


def page_routes(services: Services) -> list[Route]:
    """The demo shop, which reads items from the shard as soon as there is one."""
    from rtp_monolith.serving import pages  # draws and reads files: only a process that shows them pays

    return pages.routes(lambda item_id: services.place.shard().state.item(item_id))


def listen(host: str, port: int, config: Config) -> socket.socket:
    """The bound socket. Raises ConfigError for an address that is refused, OSError for one that cannot be had."""
    check_address(host, config)
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise ConfigError(f"{host} is not an address: {error}") from None
    bound = socket.socket(family, kind, number)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


def serve(config: Config, clock: Clock, open_shard: OpenShard, bound: socket.socket, *, pages: bool = False) -> int:
    """Serves until told to stop and returns the exit code. SIGTERM ends in order with 0, SIGINT with 130.

    With `pages` the demo shop is served beside the API.
    """
    services = make_services(config, clock)
    server: Server

    def stop_server() -> None:
        server.should_exit = True

    recovery = Recovery(services, open_shard, stop_server)
    app = App(services, recovery.start, recovery.stop, page_routes(services) if pages else ())
    server = Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=config.http.keep_alive_s,
            timeout_graceful_shutdown=config.http.shutdown_s,
        )
    )
    server.run(sockets=[bound])
    if recovery.failure is not None:
        if isinstance(recovery.failure, RtpError):
            log.error("the shard could not be opened: %s", recovery.failure.message)
        else:
            log.error("the shard could not be opened", exc_info=recovery.failure)
        return FAILED
    return INTERRUPTED if server.signalled == signal.SIGINT else DONE
