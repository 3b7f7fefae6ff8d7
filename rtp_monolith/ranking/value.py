"""What an item is worth on a surface: an expression over the ranker's heads and the item's numbers.

    0.2*click + 1.0*cart + 3.0*purchase*price

Names are the heads of the bundle, `price`, `attributes.NAME` (or `attributes["NAME"]`); there are numbers, a sign,
`+ - * / **` and `min max log log1p sqrt exp`. A field that an item does not have counts as 0. A value that is no finite
number (the logarithm of 0, a division by 0) puts the item level with the lowest of its list.

Invariant: an expression that compiled can be computed for any list; nothing of the text is ever run as Python. It does
not know where heads and fields come from.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Sequence

from rtp_monolith._native import Worth
from rtp_monolith.errors import BundleError, ConfigError

PRICE = "price"
ATTRIBUTES = "attributes"
DEPTH_MAX = 50

_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.Pow: "power",
}
_OF_ONE = ("log", "log1p", "sqrt", "exp")
_OF_MANY = ("min", "max")
FUNCTIONS = (*_OF_MANY, *_OF_ONE)


class Value:
    """A compiled expression; `heads` and `fields` are the names it uses, in the order in which it wants the columns."""

    def __init__(self, text: str, where: str) -> None:
        """Raises ConfigError naming `where`, and the likeliest word for one that is not known."""
        self.text = text
        self.where = where
        self.heads: list[str] = []
        self.fields: list[str] = []
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            raise ConfigError(f"{where}: {text!r} is not an expression: {error}") from None
        self._steps: list[tuple[str, float]] = []
        self._node(tree.body, 0)
        self.worth = Worth(self._steps, len(self.heads), self.fields)

    def check(self, heads: Sequence[str]) -> None:
        """Raises BundleError `bundle_head_missing` for a name that is none of these heads, with the likeliest word."""
        for name in self.heads:
            if name not in heads:
                hint = nearest(name, [*heads, PRICE, ATTRIBUTES])
                raise BundleError("bundle_head_missing", f"{self.where}: {name!r} is not a head{hint}", field="value")

    def columns(self, heads: Sequence[str]) -> list[int]:
        """Where the expression's heads stand among those of a ranker that passed `check`."""
        return [heads.index(name) for name in self.heads]

    def _node(self, node: ast.expr, depth: int) -> None:
        """Writes the steps that leave the value of a node, those of its parts before its own."""
        if depth > DEPTH_MAX:
            raise ConfigError(f"{self.where}: the expression is nested too deeply")
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                try:
                    self._steps.append(("constant", float(number)))
                except OverflowError:
                    raise self._refuse(node, "is too large") from None
            case ast.Name(id=name):
                self._name(name)
            case ast.Attribute(value=ast.Name(id="attributes"), attr=name):
                self._field(f"{ATTRIBUTES}.{name}")
            case ast.Subscript(value=ast.Name(id="attributes"), slice=ast.Constant(value=str() as name)):
                self._field(f"{ATTRIBUTES}.{name}")
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                self._node(left, depth + 1)
                self._node(right, depth + 1)
                self._steps.append((_OPERATORS[type(op)], 0.0))
            case ast.UnaryOp(op=ast.UAdd() | ast.USub() as sign, operand=inner):
                self._node(inner, depth + 1)
                if isinstance(sign, ast.USub):
                    self._steps.append(("negative", 0.0))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                self._call(node, name, args, depth)
            case _:
                raise self._refuse(node, f"is not allowed; there are + - * / ** and {', '.join(FUNCTIONS)}")

    def _call(self, node: ast.expr, name: str, args: Sequence[ast.expr], depth: int) -> None:
        if name not in FUNCTIONS:
            raise self._refuse(node, f"calls {name!r}, which is not a function{nearest(name, FUNCTIONS)}")
        if any(isinstance(each, ast.Starred) for each in args):
            raise self._refuse(node, "is not allowed; arguments are named one by one")
        if name in _OF_ONE and len(args) != 1:
            raise self._refuse(node, f"has {len(args)} arguments; {name} takes 1")
        if name in _OF_MANY and len(args) < 2:
            raise self._refuse(node, f"has {len(args)} arguments; {name} takes 2 or more")
        self._node(args[0], depth + 1)
        for each in args[1:]:
            self._node(each, depth + 1)
            self._steps.append((name, 0.0))
        if name in _OF_ONE:
            self._steps.append((name, 0.0))

    def _name(self, name: str) -> None:
        if name == PRICE:
            self._field(PRICE)
        elif name in FUNCTIONS or name == ATTRIBUTES:
            raise ConfigError(f"{self.where}: {name!r} stands alone in {self.text!r}")
        else:
            self._steps.append(("head", _place(self.heads, name)))

    def _field(self, name: str) -> None:
        self._steps.append(("field", _place(self.fields, name)))

    def _refuse(self, node: ast.expr, why: str) -> ConfigError:
        return ConfigError(f"{self.where}: `{ast.unparse(node)}` {why}")


def nearest(name: str, known: Sequence[str]) -> str:
    """`, did you mean …?` with the likeliest word, else the words there are."""
    near = difflib.get_close_matches(name, known, n=1)
    return f", did you mean `{near[0]}`?" if near else f"; there are {', '.join(known)}"


def _place(names: list[str], name: str) -> int:
    if name not in names:
        names.append(name)
    return names.index(name)
