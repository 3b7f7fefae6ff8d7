"""Where in a file a feature's fault stands, and all faults of a file at once.

Invariant: `load` returns a configuration whose features fit; a refusal names file and line. It does not know what fits.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec

from rtp_monolith import config as configuration
from rtp_monolith.config import Config
from rtp_monolith.errors import ConfigError, FeatureError, RtpError
from rtp_monolith.features.declared import declared

_PLACE = re.compile(r"`?(features(?:\.[A-Za-z0-9_-]+)+)")
_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?")


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong; `place` is a dotted key, `line` counts from 1."""

    file: str
    line: int
    place: str
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class Linted(msgspec.Struct, frozen=True):
    """What a file holds: the configuration with its features, when there are no faults."""

    config: Config | None
    faults: list[Fault]


def load(path: Path | None) -> Config:
    """The configuration of a file with its features checked, or the default without one. Raises ConfigError for what is
    wrong with the file and FeatureError for a feature, both with file and line."""
    config = configuration.load(path)
    if path is None or not config.features:
        return config
    source = _features_source(path)
    try:
        declared(config)
    except FeatureError as error:
        fault = _fault(source, source.read_text(encoding="utf-8"), error)
        raise FeatureError(str(fault), code=error.code, field=error.field) from None
    return config


def lint(path: Path, base: Config | None = None) -> Linted:
    """Every fault of a configuration or of a file of features; `base` says what else is declared for the latter.

    Raises ConfigError when the file cannot be read at all.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    try:
        config = _config_of(text, path, base or Config())
    except (ConfigError, FeatureError) as error:
        return Linted(None, [_fault(path, text, error)])
    source = _features_source(path)
    text = source.read_text(encoding="utf-8")
    faults: list[Fault] = []
    for scope, tables in config.features.items():
        for name, table in tables.items():
            alone = msgspec.structs.replace(config, features={scope: {name: table}})
            try:
                declared(alone)
            except FeatureError as error:
                faults.append(_fault(source, text, error))
    if not faults:
        try:
            declared(config)
        except FeatureError as error:
            faults.append(_fault(source, text, error))
    return Linted(None if faults else config, sorted(faults, key=lambda fault: (fault.line, fault.message)))


def line_of(text: str, place: str) -> int:
    """The line at which a dotted key stands, or the nearest table above it; 1 when nothing of it does."""
    lines = text.splitlines()
    headers = {_key(found[1]): number for number, line in enumerate(lines) if (found := _HEADER.fullmatch(line))}
    parts = place.split(".")
    within = [number for header, number in headers.items() if header.startswith(f"{place}.")]
    if within and place not in headers:
        return min(within) + 1
    for n in range(len(parts), -1, -1):
        start = headers.get(".".join(parts[:n]), -1 if n == 0 else None)
        if start is None:
            continue
        at = _assignment(lines, start + 1, parts[n:])
        if at is not None:
            return at + 1
        if n > 0:
            return start + 1
    return 1


def _assignment(lines: list[str], start: int, rest: list[str]) -> int | None:
    """The line within a table that sets the key, or as much of it as one line sets."""
    for n in range(len(rest), 0, -1):
        wanted = ".".join(rest[:n])
        for number in range(start, len(lines)):
            if _HEADER.fullmatch(lines[number]):
                break
            if "=" in lines[number] and _key(lines[number].split("=", 1)[0]) == wanted:
                return number
    return None


def _key(text: str) -> str:
    return ".".join(part.strip().strip("'\"") for part in text.split("."))


def _config_of(text: str, path: Path, base: Config) -> Config:
    try:
        keys = set(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    if keys <= {"features", "events"} and "features" in keys:
        return configuration.merged(base, configuration.parse_features(text, str(path)))
    return configuration.load(path)


def _features_source(path: Path) -> Path:
    """The file that the features stand in."""
    named = tomllib.loads(path.read_text(encoding="utf-8")).get("features_file")
    return path.parent / named if isinstance(named, str) else path


def _fault(path: Path, text: str, error: RtpError) -> Fault:
    message = error.message.removeprefix(f"{path}: ")
    found = _PLACE.search(message)
    place = error.field or (found[1] if found else "")
    at = re.search(r"at line (\d+)", message)
    line = int(at[1]) if at and not place else line_of(text, place)
    shown = f"{place}: {message}" if place and place not in message else message
    return Fault(str(path), line, place, error.code, shown)
