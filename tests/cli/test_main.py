"""The command as a whole: names, exit codes, fast start."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import click
import pytest

from rtp_monolith.cli import main as module
from rtp_monolith.cli.output import Failure, Finished

Rtp = Callable[..., tuple[int, Any]]


def test_help_imports_neither_server_nor_native_code() -> None:
    heavy = "('numpy', 'uvicorn', 'starlette', 'rocksdict', 'pyarrow', 'rtp_monolith._native', 'asyncio')"
    code = (
        "import sys; from rtp_monolith.cli.main import run; code = run(['--help']);"
        f"print([name for name in {heavy} if name in sys.modules]); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "[]"
    for name in ("serve", "import", "replay", "deadletters", "state", "bench", "simulate", "generate"):
        assert any(line.split()[:1] == [name] for line in lines), name


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["impotr"],
        ["import"],
        ["import", "events"],
        ["import", "events", "no such file", "--url", "http://127.0.0.1:1"],
        ["replay", "http"],
        ["deadletters", "show", "none"],
        ["state", "show"],
        ["state", "rebuild", "--nonsense"],
    ],
)
def test_wrong_use_is_two(rtp: Rtp, args: list[str]) -> None:
    assert rtp(*args)[0] == 2


class Coded(Exception):
    code = "stable"


@pytest.mark.parametrize(
    ("raised", "exit_code", "code"),
    [
        (Failure("no_way", "words"), 1, "no_way"),
        (Coded("words"), 1, "stable"),
        (FileNotFoundError("words"), 1, "io_error"),
        (RuntimeError("words"), 1, "internal_error"),
        (click.ClickException("words"), 1, "failed"),
        (KeyboardInterrupt(), 130, None),
        (click.Abort(), 130, None),
        (Finished(1), 1, None),
        (Finished(0), 0, None),
    ],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: BaseException,
    exit_code: int,
    code: str | None,
) -> None:
    @click.command()
    @click.option("--json", is_flag=True)
    def failing(json: bool) -> None:
        raise raised

    monkeypatch.setattr(module.LazyGroup, "get_command", lambda *_: failing)
    assert module.run(["state", "--json"]) == exit_code
    said = capsys.readouterr()
    if code is None:
        assert said.out == ""
    else:
        error = json.loads(said.out)["error"]
        assert error["code"] == code
        assert "words" in error["message"]
        assert code in said.err


def test_version_names_the_program(rtp: Rtp) -> None:
    code, out = rtp("--version")
    assert code == 0
    assert out.startswith("rtp, version ")
