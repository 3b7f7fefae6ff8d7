"""The command `rtp`: names, exit codes, and nothing that is slow to import.

Invariant: a command's module is imported only when that command is run or asked for its help, so `rtp --help` needs
neither the native library nor the server. It does not know what the commands do.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from rtp_monolith.cli.output import FAILED, INTERRUPTED, WRONG_USE, emit_json, error_document

COMMANDS: dict[str, tuple[str, str, str]] = {
    "serve": ("rtp_monolith.cli.serve", "serve", "Run a shard."),
    "init": ("rtp_monolith.cli.init", "init", "Write a configuration to start from: shop, streaming or news."),
    "import": ("rtp_monolith.cli.import_", "import_", "Read events, items, users or sessions from a file."),
    "replay": ("rtp_monolith.cli.replay", "replay", "Play recorded traffic again."),
    "deadletters": ("rtp_monolith.cli.deadletters", "deadletters", "Look at refused events and try them again."),
    "state": ("rtp_monolith.cli.state", "state", "Show, rebuild and verify the state of a shard."),
    "lake": ("rtp_monolith.cli.lake", "lake", "The log as Parquet files, and SQL over them."),
    "train": ("rtp_monolith.cli.train", "train", "Train models: a bundle from a log, or one of sessions."),
    "evaluate": ("rtp_monolith.cli.evaluate", "evaluate", "Train a session model and judge it on held-out sessions."),
    "users": ("rtp_monolith.cli.users", "users", "Vectors of what users wanted in the past, to be published nightly."),
    "features": ("rtp_monolith.cli.features", "features", "List, check and compare features, a team's own too."),
    "tune": ("rtp_monolith.cli.tune", "tune", "Try settings of a session model on validation."),
    "models": ("rtp_monolith.cli.models_trial", "models", "List, verify, try and activate model bundles."),
    "bench": ("rtp_monolith.cli.bench", "bench", "Measure ranking, ingest and visibility."),
    "demo": ("rtp_monolith.cli.demo", "demo", "Serve the generated shop."),
    "simulate": ("rtp_monolith.cli.simulate", "simulate", "Play shoppers of the generated shop against a shard."),
    "generate": ("rtp_monolith.cli.generate", "generate", "Write the generated shop."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported by name; the list and its help lines are data."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rtp-monolith", prog_name="rtp")
def rtp() -> None:
    """Real-time personalization: a click goes in, the very next list is ranked with it."""


def run(args: Sequence[str]) -> int:
    """Runs one command and returns its exit code: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    as_json = "--json" in args
    try:
        code = rtp.main(args=list(args), prog_name="rtp", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.UsageError as error:
        error.show()
        return WRONG_USE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        return _failed(getattr(error, "code", "failed"), error.message, as_json)
    except Exception as error:
        # A stable code means that the message was written for the user; anything else is ours and shows where it is.
        code_name = getattr(error, "code", None)
        if isinstance(code_name, str):
            return _failed(code_name, str(error), as_json)
        if isinstance(error, OSError):
            return _failed("io_error", str(error), as_json)
        import traceback

        traceback.print_exc()
        return _failed("internal_error", f"{type(error).__name__}: {error}", as_json)


def _failed(code: str, message: str, as_json: bool) -> int:
    click.echo(f"error: {code}: {message}", err=True)
    if as_json:
        emit_json(error_document(code, message))
    return FAILED


def main() -> None:
    """The entry point of the installed script."""
    sys.exit(run(sys.argv[1:]))
