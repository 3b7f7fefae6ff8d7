from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from rtp_monolith.cli.serve import serve
from rtp_monolith.config import Config
from rtp_monolith.errors import ConfigError
from rtp_monolith.serving import process

PATIENCE_S = 30


class Running:
    def __init__(self, what: str) -> None:
        root = str(Path(__file__).parents[2])
        env = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "tests.serving.one_process", what]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def until_ready(self) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while self.ask("GET", "/readyz")[0] != 200:
            assert time.monotonic() < give_up, "never ready"
            time.sleep(0.01)

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err


@contextmanager
def running(what: str) -> Iterator[Running]:
    one = Running(what)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_in_order_and_closes_the_shard_once(number: signal.Signals, code: int) -> None:
    with running("plain") as one:
        one.until_ready()
        one.process.send_signal(number)
        ended, out, err = one.end()
    assert (ended, out, err) == (code, "attached=True closed=1\n", "")


def test_it_answers_while_it_recovers_and_is_ready_after() -> None:
    with running("slow") as one:
        assert one.ask("GET", "/livez")[0] == 200
        status, headers, body = one.ask("GET", "/readyz")
        assert (status, headers["retry-after"], json.loads(body)["error"]["code"]) == (503, "1", "overloaded")
        assert one.process.stdin is not None
        one.process.stdin.write("\n")
        one.process.stdin.flush()
        one.until_ready()
        one.process.terminate()
        assert one.end()[0] == 0


def test_a_shard_that_cannot_be_opened_ends_the_process_with_its_reason() -> None:
    with running("broken") as one:
        code, _, err = one.end()
    assert code == 1
    assert "the shard could not be opened: log_corrupt: at offset 17: checksum" in err


def test_answers_carry_no_server_and_no_date_and_connections_are_kept() -> None:
    with running("plain") as one:
        one.until_ready()
        connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=PATIENCE_S)
        for _ in range(3):
            connection.request("POST", "/v1/recommend", json.dumps({"surface": "home", "session_id": "s"}))
            answer = connection.getresponse()
            assert answer.read() == b'{"items":[]}'
            assert {name.lower() for name, _ in answer.getheaders()} == {"content-type", "content-length"}
        connection.close()


def test_a_body_far_over_the_limit_is_answered_on_a_real_socket_and_the_connection_goes_on() -> None:
    with running("plain") as one:
        one.until_ready()
        connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=PATIENCE_S)
        for _ in range(2):
            connection.request("POST", "/v1/events", b" " * (5 << 20), {"content-type": "application/json"})
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["error"]["code"]) == (413, "body_too_large")
        connection.request("POST", "/v1/events", b"{}", {"content-type": "application/json"})
        assert connection.getresponse().status == 200
        connection.close()


def test_an_item_id_with_an_encoded_slash_survives_the_server() -> None:
    with running("plain") as one:
        one.until_ready()
        status, _, body = one.ask("GET", "/v1/items/a%2Fb%3F")
    assert (status, json.loads(body)["error"]["message"]) == (404, "there is no item 'a/b?'")


def test_an_address_beyond_loopback_needs_a_key() -> None:
    with pytest.raises(ConfigError, match="without a key"):
        process.listen("0.0.0.0", 0, Config())


def test_the_command_ends_with_2_on_wrong_use(tmp_path: Path) -> None:
    data = ["--data", str(tmp_path), "--port", "0"]
    bad = tmp_path / "rtp.toml"
    bad.write_text("[limits]\nk_maxx = 3")
    for more, said in [
        (["--host", "0.0.0.0"], "refusing to listen on 0.0.0.0 without a key"),
        (["--config", str(bad)], "did you mean `k_max`?"),
        (["--config", str(tmp_path / "absent")], "cannot be read"),
        (["--clock", "sun"], "'sun' is not one of"),
        (["--models", str(tmp_path / "absent")], "does not exist"),
        (["--host", "no such host"], "refusing to listen on no such host without a key"),
    ]:
        result = CliRunner().invoke(serve, data + more)
        assert (result.exit_code, said in result.output) == (2, True), result.output
    assert CliRunner().invoke(serve, ["--data", str(tmp_path)]).exit_code == 2


def test_a_value_that_is_no_expression_is_wrong_use(tmp_path: Path) -> None:
    config = tmp_path / "shard.toml"
    config.write_text("[surfaces.home]\nvalue = 'sqt(click)'\n[surfaces.home.sources.popular]")
    result = CliRunner().invoke(serve, ["--data", str(tmp_path / "d"), "--port", "0", "--config", str(config)])
    assert result.exit_code == 2
    assert "surfaces.home.value: `sqt(click)` calls 'sqt'" in result.output and "`sqrt`" in result.output


def test_the_command_ends_with_1_when_the_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(serve, ["--data", str(tmp_path), "--port", port])
    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.output


@pytest.mark.parametrize("code", [0, 1, 130])
def test_the_command_hands_on_the_exit_code_and_says_where_it_listens(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretend(config: Config, clock: object, open_shard: object, bound: socket.socket) -> int:
        bound.close()
        return code

    monkeypatch.setattr(process, "serve", pretend)
    result = CliRunner().invoke(serve, ["--data", str(tmp_path), "--port", "0"])
    assert result.exit_code == code
    assert "listening on http://127.0.0.1:" in result.output
    assert result.stdout == ""
