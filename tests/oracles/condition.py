"""The filter language in plain Python: random conditions as nested tuples, their text, and what they say of an event.

It shares no code with the parser nor with the native core: a condition is drawn as a tree, written down, and judged by
the tree.
"""

from __future__ import annotations

import re
from typing import Any

Tree = tuple[Any, ...]

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def number_of(text: str | None) -> float | None:
    """The number that a prop holds."""
    return float(text.strip()) if text is not None and NUMBER.fullmatch(text.strip()) else None


def write(tree: Tree) -> str:
    """The tree in the language, every part in brackets."""
    match tree:
        case ("and" | "or" as word, *parts):
            return f" {word} ".join(f"({write(part)})" for part in parts)
        case ("not", inner):
            return f"not ({write(inner)})"
        case ("exists", field):
            return f"{field} exists"
        case (("in" | "not in") as word, field, values):
            return f"{field} {word} [{', '.join(map(literal, values))}]"
        case (sign, field, value):
            return f"{field} {sign} {literal(value)}"
    raise AssertionError(tree)


def literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, int | float) else f"'{value}'"


def holds(tree: Tree, event: dict[str, Any]) -> bool:
    """`event` maps fields to a number, a text, a bool, a list of texts, or has no such key."""
    match tree:
        case ("and", *parts):
            return all(holds(part, event) for part in parts)
        case ("or", *parts):
            return any(holds(part, event) for part in parts)
        case ("not", inner):
            return not holds(inner, event)
        case ("exists", field):
            return event.get(field) not in (None, "", [])
        case ("not in", field, values):
            return not holds(("in", field, values), event)
        case ("!=", field, value):
            return not holds(("in", field, [value]), event)
        case (sign, field, value):
            return compared(sign, event.get(field), value)
    raise AssertionError(tree)


def compared(sign: str, given: Any, value: Any) -> bool:
    if given in (None, "", []):
        return False
    if isinstance(given, list):
        return any(each == value if sign == "contains" else each in value for each in given)
    if isinstance(given, str):
        low, wanted = ascii_lower(given), ascii_lower(value) if isinstance(value, str) else ""
        tests = {"==": given == value, "contains": wanted in low, "starts_with": low.startswith(wanted)}
        return given in value if sign == "in" else tests[sign]
    if sign == "in":
        return given in value
    return bool({"==": given == value, "<": given < value, "<=": given <= value}.get(sign)
                or {">": given > value, ">=": given >= value}.get(sign))  # fmt: skip


def ascii_lower(text: str) -> str:
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)
