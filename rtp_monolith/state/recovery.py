"""From a directory to a state: the views as they were flushed, then the tail of the log.

Invariant: recovery changes nothing that was acknowledged; views that cannot be trusted are dropped and made again from
the log, which is refused when retention has taken the log's beginning. Views that count other features of a team than
the configuration declares are made again too; when the log's beginning is gone they stay, and what is new is counted
from their end on.
"""

from __future__ import annotations

from pathlib import Path

from rtp_monolith._native import Core, Log
from rtp_monolith.config import Config
from rtp_monolith.errors import DataError, FeatureError
from rtp_monolith.features.declared import declared
from rtp_monolith.manifest import Manifest
from rtp_monolith.state.flusher import Flusher
from rtp_monolith.state.loading import load_missing
from rtp_monolith.state.store import META, ViewStore, discard

CHUNK_BYTES = 1 << 20
VIEWS = "views"
LOG = "log"
FLUSH_EVERY_BYTES = 64 << 20


def open_log(data: Path, config: Config, *, read_only: bool = False) -> Log:
    """The log of a directory, its torn tail cut. Raises DataError for damage that is not a torn tail."""
    return Log(str(data / LOG), segment_bytes=config.log.segment_bytes, read_only=read_only)


def make_core(manifest: Manifest, config: Config) -> Core:
    known = declared(config)
    return Core(
        partitions=manifest.partitions,
        custom_types=list(config.events.custom),
        purchase_requires_trusted=config.events.purchase_requires_server_key,
        events_max=config.limits.batch_events_max,
        props_max=config.limits.props_max,
        per_item_hour_max=min(config.bots.contributions_per_item_per_hour_max, 255),
        per_hour_max=min(config.bots.contributions_per_hour_max, 65_535),
        embedding_length=config.embedding_length,
        aggregates=known.aggregates,
        published=known.published.definitions,
    )


def recover(data: Path, manifest: Manifest, log: Log, config: Config) -> tuple[Core, ViewStore]:
    """The state as of the end of the log, and the store it came from."""
    core = make_core(manifest, config)
    store = _trusted(data / VIEWS, log, core)
    for key, value in store.shared():
        core.restore(key, value)
    fold_tail(core, store, log, config.state.users_cached_max)
    return core, store


def _trusted(path: Path, log: Log, core: Core) -> ViewStore:
    """The view store, empty when what is there cannot be read, was torn by a crash or is of another log, and when a
    whole log can say what it lacks of a team's features."""
    try:
        store = ViewStore(path)
    except DataError as error:
        if error.code == "data_locked":
            raise
        discard(path)
        return ViewStore(path)
    try:
        trusted = not (store.torn() or _ahead(store, log) or _otherwise_defined(store, log, core))
    except FeatureError:
        store.close()
        raise
    if not trusted:
        store.close()
        discard(path)
        store = ViewStore(path)
    return store


def _ahead(store: ViewStore, log: Log) -> bool:
    """Views of a log that is not this one, or that lost its end."""
    meta = store.get(META)
    return meta is not None and Core.peek_meta(meta)[0] > log.end()


def _otherwise_defined(store: ViewStore, log: Log, core: Core) -> bool:
    """Views that count other features of a team than the configuration says, and a whole log to count them from.

    Raises FeatureError `feature_removed` rather than forget all of them because a command was given no configuration.
    """
    meta = store.get(META)
    if meta is None or core.fits(meta):
        return False
    if log.start() > 0 and not core.aggregates():
        raise FeatureError(
            "the views count features of a team, the configuration declares none (is --config missing?), and the log's "
            "beginning, from which they could be counted again, is gone",
            code="feature_removed",
        )
    return log.start() == 0


def fold_tail(core: Core, store: ViewStore, log: Log, users_max: int) -> None:
    """Folds the log from where the views stand. Raises DataError `log_truncated` when its beginning is gone."""
    offset = core.applied
    if offset < log.start():
        raise DataError(
            f"the views end at {offset}, the log begins at {log.start()}: retention removed what lies between",
            code="log_truncated",
        )
    flusher = Flusher(core, store)
    flushed = offset
    while offset < log.durable():
        frames, end = log.read(offset, CHUNK_BYTES)
        load_missing(core, store, core.missing_for_frames(frames, offset))
        core.replay(frames, offset)
        offset = end
        if offset - flushed >= FLUSH_EVERY_BYTES:
            flusher.flush()
            core.evict(users_max)
            flushed = offset
