"""The rules of the house, each one a test: who may import whom, where time, chance and the heavy libraries may be
touched, how long files and functions may be, what is public.

Invariant: an exception to a length is written down with its size and may only shrink. It does not know what the code
does; it reads it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.rust_source import code_only, functions

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "rtp_monolith"
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 80

# Ratchets: what is longer than the limits allow, with its present length. Lower a number when the code shrinks,
# remove the entry when it fits, add none.
LONG_FILES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}

PUBLIC_NAMES: set[str] = set()
NATIVE_NAMES_MAX = 15

LEAVES = {"records", "errors", "config", "config_heads", "config_surfaces", "clock", "metrics", "manifest", "breaker"}
# What each room may import besides itself. `leaves` stands for every leaf, `native` for the compiled core.
MAY_IMPORT: dict[str, set[str]] = {
    "leaves": set(),
    "features": {"leaves", "native"},
    "ingest": {"leaves", "native"},
    "state": {"leaves", "native", "features", "ingest"},
    "experiments": {"leaves", "native", "features", "state"},
    "ranking": {"leaves", "native", "features", "state", "experiments"},
    "training": {"leaves", "native", "features", "state", "ingest"},
    "monitoring": {"leaves", "native", "features", "state", "ingest"},
    "privacy": {"leaves", "native", "features", "state", "ingest"},
    "lake": {"leaves", "native"},
    "console": {"leaves"},
    "demo": {"leaves"},
    "serving": {
        *("leaves", "native", "features", "ingest", "state", "experiments", "ranking"),
        *("monitoring", "privacy", "console", "demo"),
    },
}
MAY_IMPORT["cli"] = {*MAY_IMPORT, *MAY_IMPORT["serving"]}

# Libraries that have one home (prefixes of paths below the package).
HOMES: dict[str, tuple[str, ...]] = {
    "torch": ("training/",),
    "starlette": ("serving/",),
    "onnxruntime": ("ranking/", "training/export"),
    "rocksdict": ("state/",),
    "click": ("cli/",),
    "matplotlib": ("cli/figure.py",),
    "pyarrow": ("ingest/", "training/", "lake/"),
    "duckdb": ("lake/",),
    "pyiceberg": ("lake/",),
    "redis": ("state/",),
}

CLOCKS = {
    *("time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns"),
    *("time.localtime", "time.gmtime", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
}
STOPWATCHES = {"time.perf_counter", "time.perf_counter_ns"}
ENTROPY = {"os.urandom", "uuid.uuid1", "uuid.uuid4"}
ENTROPY_HOMES = ("serving/", "cli/")
SEEDED = {"Random", "default_rng", "SeedSequence", "PCG64", "Generator"}

VAGUE = re.compile(r"(?:^|_)(helpers?|utils?|common|misc|managers?)(?:_|$|\.)", re.IGNORECASE)
# Written in two parts so that this file does not hold what it forbids.
LEFT_OVER = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|NotImplemented" r"Error)\b|\b(to" r"do|unimple" r"mented)!\(")
REGISTRY = re.compile(
    "pypi" r"\.org|python" r"hosted|static\.crates" r"\.io|index\.crates" r"\.io|registry\.npm" r"js|repo1?\.maven"
    r"|proxy\.gol" r"ang|deb\.deb" r"ian|archive\.ubu" r"ntu|--index" r"-url|--extra-ind" r"ex"
)  # fmt: skip
MACHINE_PATH = re.compile(r"""(?:^|[\s"'`=(:])(/(?:work|root|home/[a-z]\w*)/[\w.-]+)""")


@cache
def tracked() -> tuple[str, ...]:
    """The files of the repository, new ones that git does not ignore included."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no git checkout here, so nobody can say which files belong to the house: {error}")
    return tuple(sorted(name for name in set(listed) if (ROOT / name).is_file()))


@cache
def text_of(name: str) -> str:
    """A file's text, empty for a picture and the like."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(text_of(name), filename=name)


def modules() -> list[str]:
    """The package's Python files, as paths below the repository."""
    return [name for name in tracked() if name.startswith(f"{PACKAGE}/") and name.endswith(".py")]


def rust_files() -> list[str]:
    return [name for name in tracked() if name.startswith("native/") and name.endswith(".rs")]


def inside(name: str) -> str:
    """A module's path below the package."""
    return name.removeprefix(f"{PACKAGE}/")


def room_of(dotted: str) -> str:
    """The room of a dotted name within the package: `state.users` → `state`, `errors` → `leaves`."""
    head = dotted.split(".", 1)[0]
    if head == "_native":
        return "native"
    return "leaves" if head in LEAVES or head == "__init__" else head


def imports_of(name: str) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything a module imports, wherever the statement stands."""
    package = name.removesuffix(".py").replace("/", ".").split(".")[:-1]
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{source}.{each.name}") for each in node.names)


def dotted(node: ast.expr) -> str:
    """`np.random.default_rng` of such an expression, empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""


def aliases_of(name: str) -> dict[str, str]:
    """Local name → what was imported under it."""
    found: dict[str, str] = {}
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            for each in node.names:
                head = each.name.split(".")[0]
                found[each.asname or head] = each.name if each.asname else head
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update({each.asname or each.name: f"{node.module}.{each.name}" for each in node.names})
    return found


def references(name: str) -> Iterator[tuple[int, str, ast.expr]]:
    """Every use of an imported name, spelled out: line, full dotted name, the expression."""
    aliases = aliases_of(name)
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Attribute | ast.Name) and (spelled := dotted(node)):
            head, _, rest = spelled.partition(".")
            if head in aliases:
                yield node.lineno, aliases[head] + (f".{rest}" if rest else ""), node


def faults(found: list[str], rule: str) -> None:
    assert not found, f"{rule}\n  " + "\n  ".join(found)


def test_imports_point_down_the_house() -> None:
    found = []
    for name in modules():
        own = room_of(inside(name).removesuffix(".py").replace("/", "."))
        if own not in MAY_IMPORT:
            found.append(f"{name}: {own}/ has no place in MAY_IMPORT of this test; say whom it may import")
            continue
        for line, target in imports_of(name):
            if not target.startswith(f"{PACKAGE}."):
                continue
            room = room_of(target.removeprefix(f"{PACKAGE}."))
            if room != own and room not in MAY_IMPORT[own]:
                found.append(f"{name}:{line}: {own} imports {target}; it may import {sorted(MAY_IMPORT[own])}")
    faults(found, "leaves ← features ← state ← ranking ← serving ← cli; an import went the other way:")


def test_heavy_libraries_stay_in_their_rooms() -> None:
    found = []
    for name in modules():
        for line, target in imports_of(name):
            homes = HOMES.get(target.split(".", 1)[0])
            if homes and not inside(name).startswith(homes):
                found.append(f"{name}:{line}: {target} belongs to {', '.join(homes)}")
    faults(found, "a library was imported outside its room:")


def test_time_is_an_argument() -> None:
    found = []
    for name in modules():
        below = inside(name)
        if below == "clock.py":
            continue
        for line, target, _ in references(name):
            short = target.removeprefix("datetime.") if target.startswith("datetime.d") else target
            if short in CLOCKS and not (short in STOPWATCHES and below.startswith("cli/")):
                found.append(f"{name}:{line}: {target}; take a Clock (clock.py) instead")
    for name in rust_files():
        for line, text in enumerate(code_only(text_of(name)).splitlines(), start=1):
            if "SystemTime::now" in text:
                found.append(f"{name}:{line}: SystemTime::now; take the time as an argument")
    faults(found, "only clock.py reads a clock (a stopwatch is allowed in cli/, which measures):")


def test_chance_is_an_argument() -> None:
    found = []
    for name in modules():
        calls = {id(node.func): node for node in ast.walk(tree_of(name)) if isinstance(node, ast.Call)}
        for line, target, node in references(name):
            call = calls.get(id(node))
            if target.startswith(("random.", "numpy.random.")):
                last = target.rsplit(".", 1)[-1]
                if last not in SEEDED or (call is not None and not call.args and not call.keywords):
                    found.append(f"{name}:{line}: {target} without a seed")
            elif (target in ENTROPY or target.startswith("secrets.")) and not inside(name).startswith(ENTROPY_HOMES):
                found.append(f"{name}:{line}: {target}; names and keys are drawn in {' and '.join(ENTROPY_HOMES)} only")
    faults(found, "no chance without a seed:")


def test_modules_say_what_they_are() -> None:
    found = []
    for name in modules():
        tree = tree_of(name)
        if not tree.body:
            continue
        if not ast.get_docstring(tree):
            found.append(f"{name}: no docstring: purpose, one invariant, what it does not know")
        if len(tree.body) > 1 and "from __future__ import annotations" not in text_of(name):
            found.append(f"{name}: no `from __future__ import annotations`")
    found += [
        f"{name}: does not begin with //! and its purpose"
        for name in rust_files()
        if text_of(name)[:3] != "//!" and not name.endswith("/tests.rs")
    ]
    faults(found, "a file does not introduce itself:")


def test_files_are_short() -> None:
    lengths = {name: text_of(name).count("\n") for name in tracked() if name.endswith((".py", ".rs")) and text_of(name)}
    check_ratchet(lengths, FILE_LINES_MAX, LONG_FILES, "LONG_FILES")


def test_functions_are_short() -> None:
    lengths: dict[str, int] = {}
    for name in tracked():
        if name.endswith(".py"):
            for node in ast.walk(tree_of(name)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    put_longest(lengths, f"{name}::{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1)
        elif name.endswith(".rs"):
            for function, length in functions(text_of(name)):
                put_longest(lengths, f"{name}::{function}", length)
    check_ratchet(lengths, FUNCTION_LINES_MAX, LONG_FUNCTIONS, "LONG_FUNCTIONS")


def test_functions_of_rust_are_measured() -> None:
    source = """fn one() { "}"; '}'; } // }
struct S<'a> { at: &'a str }
impl<'a> S<'a> {
    fn two(&self, buffer: [u8; 4])
    where
        Self: Sized,
    {
        /* } /* } */ } */
        let _ = r#"}"{"#;
        fn three() {
        }
    }
}
trait T { fn four(&self) -> [u8; 2]; }
"""
    assert list(functions(source)) == [("one", 1), ("two", 9), ("three", 2)]


def put_longest(lengths: dict[str, int], key: str, length: int) -> None:
    lengths[key] = max(length, lengths.get(key, 0))


def check_ratchet(lengths: dict[str, int], limit: int, allowed: dict[str, int], ratchet: str) -> None:
    found = [f"{key}: {n} lines, at most {allowed.get(key, limit)}" for key, n in sorted(lengths.items())
             if n > allowed.get(key, limit)]  # fmt: skip
    for key, written in allowed.items():
        n = lengths.get(key, 0)
        if n <= limit:
            found.append(f"{key}: has {n} lines now, remove it from {ratchet}")
        elif n < written:
            found.append(f"{key}: has {n} lines now, lower its number in {ratchet} from {written}")
    faults(found, f"lengths have a limit of {limit} lines:")


def test_public_names_are_counted() -> None:
    import rtp_monolith

    assert set(getattr(rtp_monolith, "__all__", ())) == PUBLIC_NAMES, "a public name came or went: is that meant?"


def test_the_native_face_is_small() -> None:
    stub = f"{PACKAGE}/_native.pyi"
    if stub not in tracked():
        pytest.fail(f"{stub} is missing: the compiled core has a typed face")
    names = [
        node.name
        for node in tree_of(stub).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    assert len(names) <= NATIVE_NAMES_MAX, f"{len(names)} names cross the border, at most {NATIVE_NAMES_MAX}: {names}"


def test_names_are_of_the_field() -> None:
    found = [name for name in tracked() if VAGUE.search(Path(name).stem + ".")]
    for name in modules():
        classes = [node for node in ast.walk(tree_of(name)) if isinstance(node, ast.ClassDef)]
        vague = [node for node in classes if re.search(r"(Manager|Helper|Utils?)$", node.name)]
        found += [f"{name}:{node.lineno}: class {node.name}" for node in vague]
    faults(found, "no manager, helper, utils, common: say what it is:")


def test_nothing_is_left_for_later() -> None:
    found = []
    for name in tracked():
        if name.endswith((".py", ".pyi", ".rs", ".js", ".html", ".css", ".toml", ".lua", "Makefile", "Dockerfile")):
            for line, text in enumerate(text_of(name).splitlines(), start=1):
                if hit := LEFT_OVER.search(text):
                    found.append(f"{name}:{line}: {hit.group()}")
    faults(found, "something was left for later:")


def test_no_registry_and_no_path_of_a_machine() -> None:
    found = []
    for name in tracked():
        for line, text in enumerate(text_of(name).splitlines(), start=1):
            if (hit := REGISTRY.search(text)) and name != "native/Cargo.lock":
                found.append(f"{name}:{line}: {hit.group()}: a package is named, not where it is fetched from")
            if hit := MACHINE_PATH.search(text):
                found.append(f"{name}:{line}: {hit.group(1)}: a path of one machine")
    faults(found, "the repository works anywhere:")


def requirements(name: str) -> set[str]:
    """The pins `package==version` of a lock file."""
    lines = text_of(f"requirements/{name}.txt").splitlines()
    return {re.split(r"[ ;\\]", line, maxsplit=1)[0] for line in lines if line and line[0] not in "# "}


def test_every_locked_package_has_hashes() -> None:
    for name in ("build", "runtime", "dev"):
        entries = re.split(r"\n(?=\S)", text_of(f"requirements/{name}.txt"))
        pins = [entry for entry in entries if entry.strip() and not entry.startswith("#")]
        assert pins, f"requirements/{name}.txt is empty: make lock"
        faults([pin.splitlines()[0] for pin in pins if "--hash=sha256:" not in pin], f"{name}: a pin without a hash:")


def test_locks_agree_with_each_other_and_with_the_project() -> None:
    runtime, dev = requirements("runtime"), requirements("dev")
    assert runtime <= dev, f"pinned otherwise for development, make lock: {sorted(runtime - dev)}"
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    wanted = {re.split(r"[<>=!~\[; ]", each, maxsplit=1)[0].lower() for each in project["dependencies"]}
    locked = {pin.split("==", 1)[0] for pin in runtime}
    assert wanted <= locked, f"declared and not locked, make lock: {sorted(wanted - locked)}"
    assert not locked & {"torch", "playwright", "pytest", "mypy"}, "a serving install carries a tool or torch"
