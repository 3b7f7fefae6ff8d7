"""From a directory to a state: the views as they were flushed, then the tail of the log.

Invariant: recovery changes nothing that was acknowledged; views that cannot be trusted are dropped and made again from
the log. When retention has taken the log's beginning that is refused, and they are left alone. Views that count other
features of a team than the configuration declares are made again too; when the log's beginning is gone they stay, and
what is new is counted from their end on.
"""

from __future__ import annotations

import logging
from pathlib import Path

from rtp_monolith._native import Core, Log
from rtp_monolith.config import Config
from rtp_monolith.errors import DataError, FeatureError, RtpError
from rtp_monolith.features.declared import declared
from rtp_monolith.manifest import Manifest
from rtp_monolith.state.flusher import Flusher
from rtp_monolith.state.loading import load_missing
from rtp_monolith.state.store import META, ViewStore, discard

CHUNK_BYTES = 1 << 20
VIEWS = "views"
LOG = "log"
FLUSH_EVERY_BYTES = 64 << 20
OLDER_VERSION = "go on with the version that made them, or "
PARTIAL = (
    "`rtp state rebuild --partial` makes views of what the log still holds; import the items and users again after it"
)

logger = logging.getLogger(__name__)


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
    """The state as of the end of the log, and the store it came from. Raises DataError, `views_layout` and
    `log_truncated` when the views cannot serve and the log no longer says what they said; they stay as they are."""
    core = make_core(manifest, config)
    store = _trusted(data / VIEWS, log, core)
    for key, value in store.shared():
        core.restore(key, value)
    fold_tail(core, store, log, config.state.users_cached_max)
    return core, store


def _trusted(path: Path, log: Log, core: Core) -> ViewStore:
    """The view store; empty, to be made again from a whole log, when what is there cannot be read, was torn by a crash,
    was made by another version, is of another log or counts other features of a team."""
    try:
        store = ViewStore(path)
    except DataError as error:
        if error.code == "data_locked" or log.start() > 0:
            raise
        return _anew(path, "cannot be read")
    try:
        why = _distrusted(store, log) or _otherwise_defined(store, log, core)
    except RtpError:
        store.close()
        raise
    if why is None:
        return store
    store.close()
    return _anew(path, why)


def _anew(path: Path, why: str) -> ViewStore:
    logger.warning("the views in %s %s: they are made again from the log, which takes its time", path, why)
    discard(path)
    return ViewStore(path)


def _distrusted(store: ViewStore, log: Log) -> str | None:
    """Why views cannot serve whatever the configuration; raises DataError when they cannot be made again either."""
    why, code = None, "log_truncated"
    meta = store.get(META)
    if store.torn():
        why = "were torn by a crash"
    elif meta is not None and (seen := Core.peek_meta(meta)) is None:
        why, code = "were made by another version of rtp", "views_layout"
    elif meta is not None and seen is not None and seen[0] > log.end():
        why = "know more than the log, which is another one or lost its end"
    if why is not None and log.start() > 0:
        raise DataError(
            f"the views in {store.path} {why}, and retention removed the log's beginning, which would make them again. "
            "Nothing was changed: " + (OLDER_VERSION if code == "views_layout" else "") + PARTIAL,
            code=code,
        )
    return why


def _otherwise_defined(store: ViewStore, log: Log, core: Core) -> str | None:
    """Views that count other features of a team than the configuration says, and a whole log to count them from.

    Raises FeatureError `feature_removed` rather than forget all of them because a command was given no configuration.
    """
    meta = store.get(META)
    if meta is None or core.fits(meta):
        return None
    if log.start() > 0 and not core.aggregates():
        raise FeatureError(
            "the views count features of a team, the configuration declares none (is --config missing?), and the log's "
            "beginning, from which they could be counted again, is gone",
            code="feature_removed",
        )
    return "count other features than the configuration declares" if log.start() == 0 else None


def fold_tail(core: Core, store: ViewStore, log: Log, users_max: int) -> None:
    """Folds the log from where the views stand. Raises DataError `log_truncated` when its beginning is gone."""
    if core.applied < log.start():
        raise DataError(
            f"the views end at {core.applied}, the log begins at {log.start()}: retention removed what lies between; "
            + PARTIAL,
            code="log_truncated",
        )
    fold_from(core.applied, core, store, log, users_max)


def fold_from(offset: int, core: Core, store: ViewStore, log: Log, users_max: int) -> None:
    """Folds the log from an offset that it still holds."""
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
