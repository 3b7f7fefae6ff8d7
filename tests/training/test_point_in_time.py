"""Training rows of a log: the checklist of point-in-time correctness, labels that come late or are taken back, and a
run that is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as parquet
import pytest

from rtp_monolith.cli.main import run
from rtp_monolith.config import Config, parse
from rtp_monolith.errors import DataError
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.training import point_in_time
from rtp_monolith.training.lists import Windows
from rtp_monolith.training.parts import NAME, Card
from rtp_monolith.training.point_in_time import DatasetSettings, Written, write_dataset
from tests.training.shards import HOUR_MS, MINUTE_MS, Event, T, event, folder, seen
from tests.training.test_lists import END
from tests.training.test_replay import SERVING, serve

ALWAYS = DatasetSettings(0, 2**62)
DAY_MS = 24 * HOUR_MS


def rows(out: Path) -> list[dict[str, Any]]:
    return list(parquet.read_table(out).to_pylist())


def made(path: Path, events: list[Event], settings: DatasetSettings = ALWAYS) -> list[dict[str, Any]]:
    data = folder(path / "data", [*events, *END])
    write_dataset(data, Config(), path / "out", settings)
    return rows(path / "out")


def labels(found: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """By request and item: the first letters of its labels."""
    names = {"label_click": "c", "label_cart": "a", "label_purchase": "p", "label_dwell": "d"}
    return {
        (row["request_id"], row["item_id"]): "".join(letter for name, letter in names.items() if row[name])
        for row in found
    }


def test_declared_heads_have_columns_beside_the_usual_ones(tmp_path: Path) -> None:
    config = parse('[heads.finish]\ndwell = "5s"\n[heads.click]\nevents = ["like"]\n')
    events = [
        *seen("r1", "ab", 0),
        event("like", "a", MINUTE_MS),
        event("add_to_cart", "b", MINUTE_MS),
        event("click", "b", MINUTE_MS),
        event("dwell", "b", 2 * MINUTE_MS, props={"dwell_ms": "5000"}),
    ]
    write_dataset(folder(tmp_path / "data", [*events, *END]), config, tmp_path / "out", ALWAYS)
    names = ("label_click", "label_cart", "label_purchase", "label_dwell", "label_finish", "dwell_ms")
    assert [[row[name] for name in names] for row in rows(tmp_path / "out")] == [
        [1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 1, 5000],
    ]
    assert "label_finish" not in made(tmp_path / "usual", events)[0]


def test_a_row_says_list_item_place_outcome_and_features(tmp_path: Path) -> None:
    events = [
        event("click", "c", 0),
        *seen("r1", "ab", MINUTE_MS, props={"surface": "home"}),
        event("click", "b", 2 * MINUTE_MS, request_id="r1"),
        event("dwell", "b", 3 * MINUTE_MS, props={"dwell_ms": "9000"}),
        event("dwell", "b", 4 * MINUTE_MS, props={"dwell_ms": "1500"}),
        event("dwell", "a", 4 * MINUTE_MS, props={"dwell_ms": "9999"}),
    ]
    first, second = made(tmp_path, events)
    assert (first["list"], second["list"], first["item_id"], second["item_id"]) == (0, 0, "a", "b")
    assert (second["as_of_ms"], second["request_id"], second["user_id"]) == (T + MINUTE_MS, "r1", "u")
    assert (second["session_id"], second["surface"], second["position"]) == ("s", "home", 1)
    assert (second["propensity"], second["bundle"]) == (None, None), "no decision put it there"
    assert [first[f"label_{name}"] for name in ("click", "cart", "purchase", "dwell")] == [0, 0, 0, 0]
    assert [second[f"label_{name}"] for name in ("click", "cart", "purchase", "dwell")] == [1, 0, 0, 1]
    assert (first["dwell_ms"], second["dwell_ms"]) == (9999, 10_500)
    assert (first["item_price"], second["item_price"], second["session_clicks"]) == (2.0, 20.0, 1.0)
    schema = parquet.read_schema(tmp_path / "out" / "part-00000.parquet")
    for feature in FEATURES:
        assert schema.field(feature.name).metadata == {b"fingerprint": feature.fingerprint().encode()}


def test_what_a_decision_says_is_taken(tmp_path: Path) -> None:
    data = serve(tmp_path / "data")
    written = write_dataset(data, SERVING, tmp_path / "out", ALWAYS)
    assert (written.counts["lists"], written.counts["served_rows"]) == (2, 4)
    found = rows(tmp_path / "out")
    assert [row["propensity"] for row in found] == [1.0] * 4 and {row["bundle"] for row in found} == {""}
    assert [row["as_of_ms"] - T for row in found] == [0, 0, HOUR_MS, HOUR_MS]


def test_nothing_later_changes_a_feature(tmp_path: Path) -> None:
    """Labels are of what came after the moment, features of what came before it."""
    before = [event("click", "c", 0), *seen("r1", "ab", MINUTE_MS)]
    later = [
        event("click", "a", 2 * MINUTE_MS),
        event("purchase", "b", 3 * MINUTE_MS),
        *(event("click", "a", 4 * MINUTE_MS, session_id=f"x{n}", user_id=None) for n in range(5)),
    ]
    quiet, busy = made(tmp_path / "quiet", before), made(tmp_path / "busy", [*before, *later])
    names = [feature.name for feature in FEATURES]
    assert [[row[name] for name in names] for row in quiet] == [[row[name] for name in names] for row in busy]
    assert (labels(quiet), labels(busy)) == (
        {("r1", "a"): "", ("r1", "b"): ""},
        {("r1", "a"): "c", ("r1", "b"): "p"},
    )


def test_a_purchase_that_is_reported_later_is_not_known_earlier(tmp_path: Path) -> None:
    """An order of before the list that comes in after it: the shard could not know it."""
    events = [
        *seen("r1", "a", 10 * MINUTE_MS),
        event("purchase", "a", 5 * MINUTE_MS, session_id="x", user_id="v"),
        *seen("r2", "a", 20 * MINUTE_MS),
    ]
    first, second = made(tmp_path, events)
    assert (first["item_purchases_7d"], second["item_purchases_7d"]) == (0.0, 1.0)
    assert labels([first, second]) == {("r1", "a"): "", ("r2", "a"): ""}


def test_an_outcome_that_comes_in_late_still_counts(tmp_path: Path) -> None:
    """A phone without a network sends its purchase three hours after it was made."""
    events = [
        *seen("r1", "ab", 0),
        event("click", "c", 3 * HOUR_MS, session_id="x", user_id="v"),
        event("purchase", "a", 30 * MINUTE_MS),
    ]
    strict = made(tmp_path / "strict", events)
    late = msgspec.structs.replace(ALWAYS, windows=Windows(late_ms=4 * HOUR_MS))
    patient = made(tmp_path / "patient", events, late)
    assert labels(strict)["r1", "a"] == "" and labels(patient)["r1", "a"] == "p"


@pytest.mark.parametrize(("at_ms", "kept"), [(DAY_MS, ""), (20 * DAY_MS, "p")])
def test_a_refund_takes_the_purchase_back(at_ms: int, kept: str, tmp_path: Path) -> None:
    order = {"order_id": "o", "items": '[{"item_id":"a"},{"item_id":"b"}]'}
    events = [
        *seen("r1", "ab", 0),
        event("purchase", None, MINUTE_MS, props=order),
        event("refund", "a", at_ms, props={"order_id": "o"}),
    ]
    assert labels(made(tmp_path, events)) == {("r1", "a"): kept, ("r1", "b"): "p"}


def test_only_lists_of_the_range_become_rows(tmp_path: Path) -> None:
    events = [one for n in range(4) for one in seen(f"r{n}", "a", n * HOUR_MS)]
    data = folder(tmp_path / "data", [*events, *END])
    settings = msgspec.structs.replace(ALWAYS, from_ms=T + HOUR_MS, to_ms=T + 3 * HOUR_MS)
    written = write_dataset(data, Config(), tmp_path / "out", settings)
    found = rows(tmp_path / "out")
    assert [row["request_id"] for row in found] == ["r1", "r2"] and written.counts["outside"] == 2
    write_dataset(data, Config(), tmp_path / "whole", ALWAYS)
    names = [feature.name for feature in FEATURES]
    whole = {row["request_id"]: [row[name] for name in names] for row in rows(tmp_path / "whole")}
    assert [[row[name] for name in names] for row in found] == [whole["r1"], whole["r2"]], "the state is the log's"


def test_lists_whose_outcome_is_not_known_yet_are_left_out(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", [*seen("r1", "a", 0), *seen("r2", "a", HOUR_MS + MINUTE_MS)])
    written = write_dataset(data, Config(), tmp_path / "out", ALWAYS)
    assert [row["request_id"] for row in rows(tmp_path / "out")] == ["r1"] and written.counts["unfinished"] == 1


def many(path: Path) -> Path:
    events = [
        one
        for n in range(60)
        for one in (
            *seen(f"r{n}", "abc", n * MINUTE_MS, session_id=f"s{n % 7}", user_id=f"u{n % 7}"),
            event("click", "abc"[n % 3], n * MINUTE_MS + 5_000, session_id=f"s{n % 7}", user_id=f"u{n % 7}"),
        )
    ]
    return folder(path, [*events, *END])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of about twenty rows in groups of about seven."""
    monkeypatch.setattr(point_in_time, "PART_ROWS", 20)
    monkeypatch.setattr(point_in_time, "GROUP_ROWS", 7)


def contents(out: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in sorted(out.iterdir())}


@pytest.mark.usefixtures("small")
def test_interrupted_anywhere_it_ends_with_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = many(tmp_path / "data")
    whole = write_dataset(data, Config(), tmp_path / "whole", ALWAYS)
    assert (whole.rows, whole.parts) == (180, 9)
    plain = point_in_time.list_rows

    class Interrupted(Exception):
        pass

    for stop in (0, 3, 17, 18, 40):
        calls = 0

        def failing(*arguments: Any, stop: int = stop) -> Any:
            nonlocal calls
            calls += 1
            if calls > stop:
                raise Interrupted
            return plain(*arguments)

        out = tmp_path / f"out{stop}"
        monkeypatch.setattr(point_in_time, "list_rows", failing)
        with pytest.raises(Interrupted):
            write_dataset(data, Config(), out, ALWAYS)
        monkeypatch.setattr(point_in_time, "list_rows", plain)
        again = write_dataset(data, Config(), out, ALWAYS)
        assert msgspec.structs.replace(again, out=whole.out) == whole
        assert contents(out) == contents(tmp_path / "whole"), stop
        assert write_dataset(data, Config(), out, ALWAYS) == again, "what is complete is left as it is"


def test_killed_it_goes_on(tmp_path: Path) -> None:
    """A process that is killed while it writes; the parts and the card are those of a run that was not."""
    data = many(tmp_path / "data")
    script = (
        "import sys; from pathlib import Path\n"
        "from rtp_monolith.training import point_in_time as p\n"
        "p.PART_ROWS, p.GROUP_ROWS = 20, 7\n"
        "plain = p.list_rows\n"
        "def slow(*a):\n"
        "    import time; time.sleep(float(sys.argv[3])); return plain(*a)\n"
        "p.list_rows = slow\n"
        "p.write_dataset(Path(sys.argv[1]), p.Config(), Path(sys.argv[2]), p.DatasetSettings(0, 2**62))\n"
    )

    def start(out: Path, pause_s: float) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", script, str(data), str(out), str(pause_s)], env=os.environ)

    assert start(tmp_path / "whole", 0).wait() == 0
    killed = start(tmp_path / "killed", 0.05)
    while killed.poll() is None and not list((tmp_path / "killed").glob("part-00002*")):
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    card = msgspec.json.decode((tmp_path / "killed" / NAME).read_bytes(), type=Card)
    assert 0 < len(card.parts) < 9 and not card.complete
    assert start(tmp_path / "killed", 0).wait() == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@pytest.mark.usefixtures("small")
def test_the_log_may_grow_between_two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = many(tmp_path / "data")
    whole = write_dataset(data, Config(), tmp_path / "whole", ALWAYS)
    card = whole_card = msgspec.json.decode((tmp_path / "whole" / NAME).read_bytes(), type=Card)
    out = tmp_path / "out"
    out.mkdir()
    for part in whole_card.parts[:4]:
        shutil.copy(tmp_path / "whole" / part.file, out / part.file)
    card = Card(card.format, card.run, card.parts[:4])
    (out / NAME).write_bytes(msgspec.json.encode(card))
    with (tmp_path / "more.jsonl").open("w") as file:
        file.writelines(json.dumps({"event_id": f"m{n}", **one}) + "\n" for n, one in enumerate(seen("new", "a", 0)))
    assert run(["import", "events", str(tmp_path / "more.jsonl"), "--data", str(data)]) == 0
    assert msgspec.structs.replace(write_dataset(data, Config(), out, ALWAYS), out=whole.out) == whole
    assert contents(out) == contents(tmp_path / "whole")


def test_neither_torch_nor_a_runtime_of_graphs_is_imported() -> None:
    script = "import sys, rtp_monolith.training.point_in_time; print(sorted({'torch', 'onnxruntime'} & {*sys.modules}))"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "[]\n"


def refused(data: Path, out: Path, settings: DatasetSettings = ALWAYS, config: Config | None = None) -> str:
    with pytest.raises(DataError) as error:
        write_dataset(data, config or Config(), out, settings)
    return error.value.code


def test_what_does_not_fit_is_refused_with_its_code(tmp_path: Path) -> None:
    data, out = many(tmp_path / "data"), tmp_path / "out"
    write_dataset(data, Config(), out, ALWAYS)
    before = contents(out)
    assert refused(data, out, msgspec.structs.replace(ALWAYS, to_ms=T)) == "dataset_differs"
    assert refused(data, out, config=SERVING) == "dataset_differs"
    assert refused(folder(tmp_path / "other", [*seen("r1", "ab", 0), *END]), out) == "dataset_differs"
    assert contents(out) == before
    for name, span, code in (
        ("early", (1, T), "outside_log"),
        ("after", (T + 200 * DAY_MS, T + 201 * DAY_MS), "outside_log"),
        ("between", (T + 10 * MINUTE_MS + 1, T + 10 * MINUTE_MS + 2), "no_lists"),
    ):
        settings = msgspec.structs.replace(ALWAYS, from_ms=span[0], to_ms=span[1])
        assert refused(data, tmp_path / name, settings) == code
        assert not (tmp_path / name).exists(), "nothing is left of a run without rows"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert refused(data, tmp_path / "mine") == "dataset_exists"
    (out / NAME).write_text("{")
    assert refused(data, out) == "data_unreadable"
    assert refused(tmp_path / "nowhere", tmp_path / "new") == "data_missing"
    assert not (tmp_path / "new").exists()


def test_a_log_without_its_beginning_is_refused(tmp_path: Path) -> None:
    from rtp_monolith.clock import ManualClock
    from rtp_monolith.config import Log
    from rtp_monolith.state.shard_state import ShardState

    config = Config(log=Log(segment_bytes=1 << 16))
    data = folder(tmp_path / "data", [*seen("r1", "ab", 0), *END])
    shard = ShardState.open(data, config, ManualClock(T + 101 * DAY_MS))
    for n in range(400):
        one = event("click", "a", 0, event_id=f"x{n}", props={"filler": "x" * 400})
        shard.ingest_sync("events", json.dumps([one]).encode(), "json", trusted=True)
    shard._flusher.flush()
    assert shard.log.retain(max_bytes=1 << 16, older_than_ms=None, keep_from=shard.core.applied) > 0
    shard.close()
    assert refused(data, tmp_path / "out", config=config) == "log_truncated"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--from", "2026-01-02", "--to", "2026-01-01"], 2),
        (["--from", "5", "--to", "5"], 2),
        (["--from", "yesterday"], 2),
        (["--click-window", "30x"], 2),
        (["--share", "0"], 2),
        (["--to", "1970-01-01T00:00:01+00:00"], 1),
    ],
)
def test_wrong_use_of_the_command(options: list[str], code: int, tmp_path: Path) -> None:
    data = folder(tmp_path / "data", [*seen("r1", "a", 0), *END])
    assert run(["replay", "dataset", "--data", str(data), "--out", str(tmp_path / "out"), *options]) == code
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = folder(tmp_path / "data", [*seen("r1", "ab", 0), event("click", "a", 1), *END])
    command = ["replay", "dataset", "--data", str(data), "--out", str(tmp_path / "out")]
    assert run([*command, "--from", "2024-01-01", "--to", "2030-01-01T12:00:00Z", "--json"]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    written = msgspec.convert(document, Written)
    assert (written.rows, written.parts, written.counts["lists"]) == (2, 1, 1)
    assert run([*command, "--from", "2024-01-01", "--to", "2030-01-01T12:00:00Z"]) == 0
    assert "2 rows of 1 lists in 1 files" in capsys.readouterr().out
