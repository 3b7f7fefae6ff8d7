"""Where a command works: a running shard (`--url`) or the folder of a stopped one (`--data`).

Invariant: exactly one of the two, else wrong use. The state is imported only when a folder is opened. It does not
know what is asked of the shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from rtp_monolith.cli.client import Client
from rtp_monolith.cli.output import Failure

if TYPE_CHECKING:
    from rtp_monolith.config import Config
    from rtp_monolith.state.shard_state import ShardState

Command = TypeVar("Command", bound=Callable[..., Any])

LOCKED = {"data_locked", "log_locked"}


class Target(msgspec.Struct, frozen=True):
    """What the options said."""

    url: str | None
    data: Path | None
    key: str | None
    config: Path | None

    def client(self) -> Client:
        """A client of the running shard."""
        assert self.url is not None
        return Client(self.url, key=self.key)


def url_options(command: Command) -> Command:
    """Adds `--url` and `--key`."""
    key = click.option("--key", envvar="RTP_KEY", help="API key of the shard (or the environment's RTP_KEY).")
    return click.option("--url", help="A running shard, as http://127.0.0.1:8000.")(key(command))


def config_option(command: Command) -> Command:
    """Adds `--config`."""
    kind = click.Path(exists=True, dir_okay=False, path_type=Path)
    return click.option("--config", type=kind, help="The shard's TOML.")(command)


def data_options(command: Command) -> Command:
    """Adds `--data` and `--config`."""
    folder = click.Path(file_okay=False, path_type=Path)
    return click.option("--data", type=folder, help="The folder of a stopped shard.")(config_option(command))


def one_target(url: str | None, data: Path | None, key: str | None, config: Path | None) -> Target:
    """Exactly one of --url and --data."""
    if (url is None) == (data is None):
        raise click.UsageError("give either --url (a running shard) or --data (a stopped one)")
    return Target(url, data, key, config)


def load_config(path: Path | None) -> Config:
    """The config of the file, its features checked, or the defaults."""
    from rtp_monolith.features.lint import load

    return load(path)


@contextmanager
def open_shard(data: Path, config: Path | None, *, create: bool = False) -> Iterator[ShardState]:
    """The state of a stopped shard, recovered; raises Failure `data_locked` when a running shard holds the folder."""
    if not create and not data.is_dir():
        raise Failure("no_data", f"{data} is not a folder")
    from rtp_monolith.clock import WallClock
    from rtp_monolith.state.shard_state import ShardState

    try:
        state = ShardState.open(data, load_config(config), WallClock())
    except Exception as error:
        # The log and the views are locked each; a failure of the native log keeps its own code in `reason`.
        if LOCKED & {getattr(error, "code", None), getattr(error, "reason", None)}:
            message = f"{data} is held by a running shard; stop it, or give --url instead of --data"
            raise Failure("data_locked", message) from error
        raise
    try:
        yield state
    finally:
        state.close()
