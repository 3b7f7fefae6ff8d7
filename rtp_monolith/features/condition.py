"""The filter language of a team's features: `event_type == 'like' and props.stars >= 4`, parsed once and checked.

    condition  = term ("or" term)*
    term       = factor ("and" factor)*
    factor     = "not" factor | "(" condition ")" | test
    test       = field comparison value | field ["not"] "in" "[" value, … "]" | field "exists" | flag
    comparison = "==" | "!=" | "<" | "<=" | ">" | ">=" | "contains" | "starts_with"
    value      = 'text' | "text" | number | true | false

Every field has a kind and a test must fit it. Invariant: what `parse` returns is known to mean something: event types
exist, fields exist, values are of the field's kind; the native core only runs it. It does not know who counts.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from rtp_monolith.config import EVENT_TYPES, Config

Kind = Literal["number", "text", "flag", "texts"]
Tree = dict[str, object]

CONDITION_CHARS_MAX = 2000
TESTS_MAX = 64
DEPTH_MAX = 16

FIELDS: dict[str, Kind] = {
    "event_type": "text",
    "item_id": "text",
    "position": "number",
    "hour": "number",
    "weekday": "number",
    "line.quantity": "number",
    "line.price": "number",
    "line.value": "number",
    "item.price": "number",
    "item.available": "flag",
    "item.brand": "text",
    "item.seller": "text",
    "item.currency": "text",
    "item.title": "text",
    "item.category": "text",
    "item.categories": "texts",
}
"""`hour` (0–23) and `weekday` (0 is Monday) are those of the event's time in UTC; a line is one item of an event."""

PROPS: dict[str, Kind] = {
    "dwell_ms": "number",
    "depth_pct": "number",
    "price": "number",
    "quantity": "number",
    "value": "number",
    "query": "text",
    "order_id": "text",
    "currency": "text",
    "surface": "text",
    "device": "text",
    "channel": "text",
    "country": "text",
    "app_version": "text",
    "referrer": "text",
    "campaign": "text",
}
"""The known props of the contract that a feature may read."""

_COMPARISONS = {"==": "in", "!=": "in", "<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_WORDS = ("and", "or", "not", "in", "exists", "contains", "starts_with", "true", "false")
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'[^']*'|"[^"]*")|(?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![A-Za-z0-9_.])
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_-]+)*)|(?P<sign>==|!=|<=|>=|<|>|\(|\)|\[|\]|,))""",
    re.VERBOSE,
)
_FITS: dict[Kind, tuple[str, ...]] = {
    "number": ("==", "!=", "<", "<=", ">", ">="),
    "text": ("==", "!=", "contains", "starts_with"),
    "flag": ("==", "!="),
    "texts": ("contains",),
}


class ConditionError(ValueError):
    """Why a condition means nothing; `at` is the place of the fault in the text, from 0."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


class Vocabulary(msgspec.Struct, frozen=True):
    """What a condition may speak of: event types, and fields with their kinds."""

    event_types: tuple[str, ...]
    fields: dict[str, Kind]

    @classmethod
    def of(cls, config: Config) -> Vocabulary:
        """The contract's words and those that the configuration declares."""
        fields = dict(FIELDS)
        fields |= {f"props.{name}": kind for name, kind in (config.events.props | PROPS).items()}
        fields |= {f"item.attributes.{name}": kind for name, kind in config.events.attributes.items()}
        return cls((*EVENT_TYPES, *config.events.custom), fields)

    def field(self, name: str, at: int = 0) -> Tree:
        """A field as the native core reads it. Raises ConditionError with the nearest known name."""
        kind = self.fields.get(name)
        if kind is None:
            how = ""
            for table in ("props", "attributes"):
                if name.startswith((f"{table}.", f"item.{table}.")):
                    how = f'; a prop of your own is declared as `[events.{table}] {name.rsplit(".", 1)[-1]} = "number"`'
            raise ConditionError(f"unknown field `{name}`{hint(name, self.fields)}{how}", at)
        return {"name": name, "kind": kind}


def hint(word: str, known: Iterable[str]) -> str:
    """`, did you mean …?` with the nearest of the known words, else all of them."""
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f", did you mean `{near[0]}`?"
    return f"; known are {', '.join(names)}" if len(names) <= 24 else ""


def parse(text: str, vocabulary: Vocabulary) -> Tree:
    """The tree of a condition as the native core reads it. Raises ConditionError."""
    if len(text) > CONDITION_CHARS_MAX:
        raise ConditionError(f"{len(text)} characters, at most {CONDITION_CHARS_MAX}", 0)
    return _Parser(_tokens(text), len(text), vocabulary).whole()


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    at: int


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            place = at + len(text[at:]) - len(text[at:].lstrip())
            what = "a text that does not end" if text[place] in "'\"" else f"`{text[place : place + 12]}`"
            raise ConditionError(f"{what} means nothing here", place)
        kind = str(match.lastgroup)
        found.append(_Token(kind, match[kind], match.start(kind)))
        at = match.end()
    return found


class _Parser:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: Sequence[_Token], end: int, vocabulary: Vocabulary) -> None:
        self._tokens = tokens
        self._end = _Token("end", "the end", end)
        self._vocabulary = vocabulary
        self._at = 0
        self._tests = 0
        self._depth = 0

    def whole(self) -> Tree:
        tree = self._condition()
        if self._next.kind != "end":
            raise ConditionError(f"`and` or `or` should stand before `{self._next.text}`", self._next.at)
        return tree

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else self._end

    def _take(self) -> _Token:
        token = self._next
        self._at += 1
        return token

    def _takes(self, text: str) -> bool:
        """Whether that is next, which is taken then."""
        found = self._next.kind in ("word", "sign") and self._next.text == text
        self._at += found
        return found

    def _expect(self, text: str) -> None:
        if not self._takes(text):
            raise ConditionError(f"`{text}` should stand before {self._shown(self._next)}", self._next.at)

    def _shown(self, token: _Token) -> str:
        return token.text if token.kind == "end" else f"`{token.text}`"

    def _condition(self) -> Tree:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise ConditionError(f"nested deeper than {DEPTH_MAX}", self._next.at)
        parts = [self._term()]
        while self._takes("or"):
            parts.append(self._term())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else {"any": parts}

    def _term(self) -> Tree:
        parts = [self._factor()]
        while self._takes("and"):
            parts.append(self._factor())
        return parts[0] if len(parts) == 1 else {"all": parts}

    def _factor(self) -> Tree:
        if self._takes("not"):
            self._depth += 1
            if self._depth > DEPTH_MAX:
                raise ConditionError(f"nested deeper than {DEPTH_MAX}", self._next.at)
            inner: Tree = {"not": self._factor()}
            self._depth -= 1
            return inner
        if self._takes("("):
            inner = self._condition()
            self._expect(")")
            return inner
        return self._test()

    def _test(self) -> Tree:
        self._tests += 1
        token = self._take()
        if self._tests > TESTS_MAX:
            raise ConditionError(f"more than {TESTS_MAX} tests", token.at)
        if token.kind != "word" or token.text in _WORDS:
            raise ConditionError(f"a field should stand before {self._shown(token)}", token.at)
        field = self._vocabulary.field(token.text, token.at)
        kind: Kind = self._vocabulary.fields[token.text]
        if self._takes("exists"):
            return _tree(field, "exists", [])
        if self._takes("not"):
            self._expect("in")
            return {"not": _tree(field, "in", self._list(token.text, kind))}
        if self._takes("in"):
            return _tree(field, "in", self._list(token.text, kind))
        comparison = self._next
        if comparison.text not in (*_COMPARISONS, "contains", "starts_with") or comparison.kind == "text":
            if kind == "flag":
                return _tree(field, "in", [True])
            raise ConditionError(
                f"`{token.text}` is compared with nothing{hint(comparison.text, _FITS[kind])}", comparison.at
            )
        self._take()
        if comparison.text not in _FITS[kind]:
            fitting = ", ".join((*_FITS[kind], "in", "exists"))
            raise ConditionError(
                f"`{comparison.text}` does not fit `{token.text}`, which is {_a(kind)}: {fitting} do", comparison.at
            )
        value = self._value(token.text, kind)
        # A list contains what is one of its elements; a text contains a part of itself.
        test = "in" if kind == "texts" else _COMPARISONS.get(comparison.text, comparison.text)
        tree = _tree(field, test, [value])
        return {"not": tree} if comparison.text == "!=" else tree

    def _list(self, name: str, kind: Kind) -> list[object]:
        self._expect("[")
        values = [self._value(name, kind)]
        while self._takes(","):
            values.append(self._value(name, kind))
        self._expect("]")
        return values

    def _value(self, name: str, kind: Kind) -> object:
        token = self._take()
        given = _literal(token)
        if given is None:
            raise ConditionError(f"a value should stand before {self._shown(token)}", token.at)
        wanted = {"number": float, "flag": bool}.get(kind, str)
        if not isinstance(given, wanted):
            raise ConditionError(f"`{name}` is {_a(kind)}, {token.text} is not", token.at)
        if isinstance(given, float) and not math.isfinite(given):
            raise ConditionError(f"{token.text} is not a finite number", token.at)
        if name == "event_type" and given not in self._vocabulary.event_types:
            types = self._vocabulary.event_types
            raise ConditionError(f"unknown event type {token.text}{hint(str(given), types)}", token.at)
        return given


def _tree(field: Tree, test: str, values: list[object]) -> Tree:
    return {"test": {"field": field, "op": {"test": test, "values": values}}}


def _literal(token: _Token) -> str | float | bool | None:
    if token.kind == "text":
        return token.text[1:-1]
    if token.kind == "number":
        return float(token.text)
    return {"true": True, "false": False}.get(token.text) if token.kind == "word" else None


def _a(kind: str) -> str:
    return {"texts": "a list of texts"}.get(kind, f"a {kind}")
