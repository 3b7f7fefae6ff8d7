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
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rtp_monolith.errors import BundleError, ConfigError

Floats = NDArray[np.float64]
Node = Callable[[Floats, Floats], Floats]
"""Of the heads' columns [heads, n] and the fields' columns [fields, n] to a value [n] or a scalar."""

PRICE = "price"
ATTRIBUTES = "attributes"
DEPTH_MAX = 50

_OPERATORS: dict[type[ast.operator], Callable[[Floats, Floats], Floats]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
    ast.Pow: np.power,
}
_SIGNS: dict[type[ast.unaryop], Callable[[Floats], Floats]] = {ast.UAdd: np.positive, ast.USub: np.negative}
_OF_ONE: dict[str, Callable[[Floats], Floats]] = {"log": np.log, "log1p": np.log1p, "sqrt": np.sqrt, "exp": np.exp}
_OF_MANY: dict[str, Callable[[Floats, Floats], Floats]] = {"min": np.minimum, "max": np.maximum}
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
        self._compute = self._node(tree.body, 0)
        weights = _weighted_heads(tree.body)
        # Most expressions are sums of weighted heads, and those are one product of a matrix and a vector.
        self._weights = None if weights is None else np.array([weights[name] for name in self.heads], np.float32)

    def check(self, heads: Sequence[str]) -> None:
        """Raises BundleError `bundle_head_missing` for a name that is none of these heads, with the likeliest word."""
        for name in self.heads:
            if name not in heads:
                hint = nearest(name, [*heads, PRICE, ATTRIBUTES])
                raise BundleError("bundle_head_missing", f"{self.where}: {name!r} is not a head{hint}", field="value")

    def columns(self, heads: Sequence[str]) -> list[int]:
        """Where the expression's heads stand among those of a ranker that passed `check`."""
        return [heads.index(name) for name in self.heads]

    def __call__(self, heads: NDArray[np.float32], fields: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values [n] of heads [n, len(self.heads)] and fields [n, len(self.fields)], NaN where a field is absent."""
        if self._weights is not None:
            sums: NDArray[np.float32] = heads @ self._weights
            if math.isfinite(sums.sum()):
                return sums
        given = fields.T.astype(np.float64)
        if self.fields:
            given[np.isnan(given)] = 0.0
        worth = np.empty(len(heads), np.float32)
        with np.errstate(all="ignore"):
            worth[:] = self._compute(heads.T.astype(np.float64), given)
            # A sum is finite only if every part of it is; where it is not, one look more says why.
            if not np.isfinite(worth.sum()):
                finite = np.isfinite(worth)
                worth[~finite] = worth[finite].min() if finite.any() else 0.0
        return worth

    def _node(self, node: ast.expr, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise ConfigError(f"{self.where}: the expression is nested too deeply")
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                try:
                    constant = np.asarray(float(number))
                except OverflowError:
                    raise self._refuse(node, "is too large") from None
                return lambda heads, fields: constant
            case ast.Name(id=name):
                return self._name(name)
            case ast.Attribute(value=ast.Name(id="attributes"), attr=name):
                return self._field(f"{ATTRIBUTES}.{name}")
            case ast.Subscript(value=ast.Name(id="attributes"), slice=ast.Constant(value=str() as name)):
                return self._field(f"{ATTRIBUTES}.{name}")
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return _two(_OPERATORS[type(op)], self._node(left, depth + 1), self._node(right, depth + 1))
            case ast.UnaryOp(op=sign, operand=inner) if type(sign) in _SIGNS:
                return _one(_SIGNS[type(sign)], self._node(inner, depth + 1))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self._call(node, name, args, depth)
        raise self._refuse(node, f"is not allowed; there are + - * / ** and {', '.join(FUNCTIONS)}")

    def _call(self, node: ast.expr, name: str, args: Sequence[ast.expr], depth: int) -> Node:
        if name not in FUNCTIONS:
            raise self._refuse(node, f"calls {name!r}, which is not a function{nearest(name, FUNCTIONS)}")
        inner = [self._node(each, depth + 1) for each in args]
        if name in _OF_ONE:
            if len(inner) != 1:
                raise self._refuse(node, f"has {len(inner)} arguments; {name} takes 1")
            return _one(_OF_ONE[name], inner[0])
        if len(inner) < 2:
            raise self._refuse(node, f"has {len(inner)} arguments; {name} takes 2 or more")
        made = inner[0]
        for each in inner[1:]:
            made = _two(_OF_MANY[name], made, each)
        return made

    def _name(self, name: str) -> Node:
        if name == PRICE:
            return self._field(PRICE)
        if name in FUNCTIONS or name == ATTRIBUTES:
            raise ConfigError(f"{self.where}: {name!r} stands alone in {self.text!r}")
        at = _place(self.heads, name)
        return lambda heads, fields: heads[at]

    def _field(self, name: str) -> Node:
        at = _place(self.fields, name)
        return lambda heads, fields: fields[at]

    def _refuse(self, node: ast.expr, why: str) -> ConfigError:
        return ConfigError(f"{self.where}: `{ast.unparse(node)}` {why}")


def _weighted_heads(node: ast.expr) -> dict[str, float] | None:
    """The weight of each head of `a*x + y - z/b`; None for any other expression and for weights that are not finite."""
    weights: dict[str, float] = {}
    if not _collect(node, 1.0, weights) or not weights or not all(map(math.isfinite, weights.values())):
        return None
    return weights


def _collect(node: ast.expr, factor: float, weights: dict[str, float]) -> bool:
    """Adds `factor` times the node to the weights; False when it is no sum of weighted heads."""
    match node:
        case ast.Name(id=name) if name != PRICE:
            weights[name] = weights.get(name, 0.0) + factor
            return True
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _collect(left, factor, weights) and _collect(right, factor, weights)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _collect(left, factor, weights) and _collect(right, -factor, weights)
        case ast.BinOp(left=ast.Constant(value=int() | float() as by), op=ast.Mult(), right=inner):
            return _collect(inner, factor * by, weights)
        case ast.BinOp(left=inner, op=ast.Mult(), right=ast.Constant(value=int() | float() as by)):
            return _collect(inner, factor * by, weights)
        case ast.BinOp(left=inner, op=ast.Div(), right=ast.Constant(value=int() | float() as by)) if by != 0:
            return _collect(inner, factor / by, weights)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return _collect(inner, -factor, weights)
        case ast.UnaryOp(op=ast.UAdd(), operand=inner):
            return _collect(inner, factor, weights)
    return False


def nearest(name: str, known: Sequence[str]) -> str:
    """`, did you mean …?` with the likeliest word, else the words there are."""
    near = difflib.get_close_matches(name, known, n=1)
    return f", did you mean `{near[0]}`?" if near else f"; there are {', '.join(known)}"


def _place(names: list[str], name: str) -> int:
    if name not in names:
        names.append(name)
    return names.index(name)


def _one(function: Callable[[Floats], Floats], inner: Node) -> Node:
    return lambda heads, fields: function(inner(heads, fields))


def _two(function: Callable[[Floats, Floats], Floats], left: Node, right: Node) -> Node:
    return lambda heads, fields: function(left(heads, fields), right(heads, fields))
