"""The documentation is run: every `sh` block of README.md and docs/, in order, against a real shard.

Invariant: a block that is not run says why, in a comment right above it. The comments are
`<!-- doc: skip (reason) -->`, `<!-- doc: replace "A" with "B" -->` (a smaller size for the test),
`<!-- doc: exit N -->` for what must fail, and `<!-- doc: answer -->` above a `json` block: the last line of what the
block before printed has these keys. It does not know what the words around the blocks claim.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RTP, Shard, StartShard

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/**/*.md")])
URL = "http://127.0.0.1:8000"
BLOCK_TIMEOUT_S = 120
# Values that an answer must have exactly; for all others the key and the kind of value are enough.
EXACT = {"accepted", "duplicates", "code", "equal", "rows", "surface", "degraded", "state_version", "available"}

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- doc: (\w+) ?(.*?) -->")


@dataclass
class Block:
    """One fenced block that is run; `answer` is what its output must look like."""

    line: int
    text: str
    skip: str = ""
    exit_code: int = 0
    answer: Any = None
    replaced: list[tuple[str, str]] = field(default_factory=list)


def fences(page: Path) -> Iterator[tuple[int, str, str, list[tuple[str, str]]]]:
    """Line, language, text and marks of each fenced block; marks stand on the lines right above."""
    source = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(source):
        above = source[: found.start()].rstrip("\n").splitlines()
        marks: list[tuple[str, str]] = []
        while above and (mark := MARK.fullmatch(above.pop().strip())):
            marks.append((mark[1], mark[2]))
        yield source.count("\n", 0, found.start()) + 1, found[1], found[2], marks


def blocks_of(page: Path) -> list[Block]:
    """The `sh` blocks of a page, with the answers that follow them."""
    blocks: list[Block] = []
    for line, language, text, marks in fences(page):
        if language == "sh":
            blocks.append(Block(line, text))
            for word, rest in marks:
                if word == "skip":
                    blocks[-1].skip = rest or "no reason given"
                elif word == "exit":
                    blocks[-1].exit_code = int(rest)
                elif word == "replace" and (pair := re.fullmatch(r'"(.+)" with "(.*)"', rest)):
                    blocks[-1].replaced.append((pair[1], pair[2]))
                else:
                    pytest.fail(f"{page.name}:{line}: a mark that nobody reads: {word} {rest}")
        elif ("answer", "") in marks:
            assert blocks, f"{page.name}:{line}: an answer without a block above"
            blocks[-1].answer = json.loads(text)
    return blocks


RUNNABLE = [page for page in PAGES if any(not block.skip for block in blocks_of(page))]


def missing(expected: Any, actual: Any, at: str = "$", key: str = "") -> Iterator[str]:
    """In what `actual` is less than `expected`: keys, kinds, and the values of EXACT keys."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            yield f"{at} is {actual!r}, not an object"
            return
        for name, value in expected.items():
            if name in actual:
                yield from missing(value, actual[name], f"{at}.{name}", name)
            else:
                yield f"{at}.{name} is missing"
    elif isinstance(expected, list) and key not in EXACT:
        if not isinstance(actual, list):
            yield f"{at} is {actual!r}, not an array"
        elif expected and not actual:
            yield f"{at} is empty"
        elif expected:
            yield from missing(expected[0], actual[0], f"{at}[0]")
    elif key in EXACT:
        if expected != actual:
            yield f"{at} is {actual!r}, not {expected!r}"
    elif kind(expected) != kind(actual):
        yield f"{at} is {actual!r}, a {kind(actual)}, not a {kind(expected)}"


def kind(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(type(value).__name__)
    return "number" if isinstance(value, int | float) else type(value).__name__


def workplace(folder: Path) -> dict[str, str]:
    """A folder as the reader has it, with `rtp` on the PATH."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    script = programs / "rtp"
    script.write_text(f"#!/bin/sh\nexec '{RTP[0]}' {RTP[1]} '{RTP[2]}' \"$@\"\n")
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def run(page: Path, block: Block, shard: Shard, folder: Path, environment: dict[str, str]) -> None:
    text = block.text.replace(URL, shard.url)
    for old, new in block.replaced:
        assert old in text, f"{page.name}:{block.line}: nothing to replace: {old}"
        text = text.replace(old, new)
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BLOCK_TIMEOUT_S,
    )
    said = f"{page.name}:{block.line}\n{text}\n--- status {ran.returncode}\n{ran.stdout[-4000:]}\n{ran.stderr[-4000:]}"
    assert ran.returncode == block.exit_code, said
    if block.answer is not None:
        assert ran.stdout.strip(), f"no answer\n{said}"
        document = json.loads(ran.stdout.strip().splitlines()[-1])
        found = list(missing(block.answer, document))
        assert not found, "\n".join(found) + "\n" + said


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_does_what_the_page_says(page: Path, start_shard: StartShard, tmp_path: Path) -> None:
    for program in ("bash", "curl", "python3"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed, the page cannot be followed")
    folder = tmp_path / "reader"
    folder.mkdir()
    environment = workplace(folder)
    shard = start_shard()
    for block in blocks_of(page):
        if not block.skip:
            run(page, block, shard, folder, environment)


def test_what_is_not_run_says_why() -> None:
    found = [
        f"{page.name}:{block.line}" for page in PAGES for block in blocks_of(page) if block.skip == "no reason given"
    ]
    assert not found, f"skipped without a reason: {found}"


def test_every_configuration_shown_is_valid() -> None:
    from rtp_monolith import config
    from rtp_monolith.errors import ConfigError

    shown = [(page, line, text) for page in PAGES for line, language, text, _ in fences(page) if language == "toml"]
    assert shown, "no page shows a configuration"
    for page, line, text in shown:
        try:
            config.parse(text, f"{page.name}:{line}")
        except ConfigError as error:
            pytest.fail(str(error))


def test_every_key_of_the_configuration_is_described() -> None:
    import msgspec

    from rtp_monolith.config import Config

    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")

    def names(kind: msgspec.inspect.Type) -> Iterator[str]:
        if isinstance(kind, msgspec.inspect.StructType):
            for each in kind.fields:
                yield each.encode_name
                yield from names(each.type)
        elif isinstance(kind, msgspec.inspect.DictType):
            yield from names(kind.value_type)
        elif isinstance(kind, msgspec.inspect.ListType):
            yield from names(kind.item_type)

    absent = sorted({name for name in names(msgspec.inspect.type_info(Config)) if f"`{name}`" not in page})
    assert not absent, f"docs/configuration.md does not name {absent}"


def test_every_code_is_described() -> None:
    from rtp_monolith.errors import CODES

    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    absent = sorted(code for code in CODES if f"`{code}`" not in page)
    assert not absent, f"docs/api.md does not name {absent}"


def test_every_command_is_described() -> None:
    from rtp_monolith.cli.main import COMMANDS

    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    absent = sorted(name for name in COMMANDS if f"rtp {name}" not in text)
    assert not absent, f"no page mentions rtp {absent}"


def test_links_between_pages_lead_somewhere() -> None:
    found = []
    for page in PAGES:
        targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        broken = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
        found += [f"{page.relative_to(ROOT)} → {target}" for target in broken]
    assert not found, f"links into nothing: {found}"


def test_the_map_of_the_house_is_complete() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = next(text for _, _, text, _ in fences(ROOT / "README.md") if "rtp_monolith/" in text)
    rooms = [each.name + "/" for each in (ROOT / "rtp_monolith").iterdir() if (each / "__init__.py").exists()]
    leaves = [each.name for each in (ROOT / "rtp_monolith").glob("*.py") if each.name != "__init__.py"]
    crate = [each.name for each in (ROOT / "native" / "src").iterdir() if each.is_dir()]
    absent = [name for name in (*rooms, *leaves, *crate) if name not in shown]
    assert "## The house" in page
    assert not absent, f"README's map does not show {absent}"


def test_the_targets_of_make_that_the_readme_names_exist() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"make ([a-z]+)", page)) & {"demo", "test", "setup", "lint", "fmt", "bench", "clean", "lock"}
    assert {"demo", "test"} <= named
    absent = [name for name in sorted(named) if not re.search(rf"^{name}:", makefile, re.MULTILINE)]
    assert not absent, f"Makefile has no {absent}"
