"""Just enough of Rust's grammar to measure functions: comments, strings and braces.

Invariant: `code_only` keeps every line where it was. It does not know types, macros or configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""
      (?P<line>//[^\n]*)
    | (?P<block>/\*)
    | (?P<raw>\bb?r(?P<hashes>\#*)")
    | (?P<string>b?"(?:[^"\\]|\\.)*")
    | (?P<char>b?'(?:[^'\\\n]|\\(?:u\{[0-9a-fA-F_]+\}|x[0-9a-fA-F]{2}|.))')
    """,
    re.VERBOSE | re.DOTALL,
)
_FUNCTION = re.compile(r"\bfn\s+(\w+)")


def code_only(source: str) -> str:
    """The source with comments, strings and characters blanked out."""
    kept: list[str] = []
    at = 0
    while found := _TOKEN.search(source, at):
        kept.append(source[at : found.start()])
        end = found.end()
        if found["block"]:
            end = _block_end(source, found.start())
        elif found["raw"]:
            close = source.find('"' + found["hashes"], end)
            end = len(source) if close < 0 else close + 1 + len(found["hashes"])
        kept.append(re.sub(r"[^\n]", " ", source[found.start() : end]))
        at = end
    kept.append(source[at:])
    return "".join(kept)


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Name and length in lines of every function with a body, nested ones too."""
    code = code_only(source)
    for found in _FUNCTION.finditer(code):
        body = _body_start(code, found.end())
        if body is None:
            continue
        depth, at = 0, body
        while at < len(code):
            depth += (code[at] == "{") - (code[at] == "}")
            if depth == 0:
                break
            at += 1
        yield found[1], code.count("\n", found.start(), at) + 1


def _body_start(code: str, at: int) -> int | None:
    """Where the body opens; None for a declaration. A `;` within brackets is the length of an array."""
    brackets = 0
    for place in range(at, len(code)):
        if code[place] in "([":
            brackets += 1
        elif code[place] in ")]":
            brackets -= 1
        elif not brackets and code[place] == "{":
            return place
        elif not brackets and code[place] == ";":
            return None
    return None


def _block_end(source: str, at: int) -> int:
    """The end of a block comment; Rust's may nest."""
    depth = 0
    for found in re.finditer(r"/\*|\*/", source[at:]):
        depth += 1 if found.group() == "/*" else -1
        if depth == 0:
            return at + found.end()
    return len(source)
