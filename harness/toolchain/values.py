"""The value of an expression: a number plus whole sections and symbols."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.toolchain.expression import Node, Op, combine
from harness.toolchain.lexer import signed64
from harness.toolchain.objects import Anchor, Symbol

# What an address counts from (a section or a stretch of one, or an imported symbol), and how far.
Place = tuple[object, int]


class NotLinearError(Exception):
    """The expression does more with an address than add and subtract."""


@dataclass(slots=True)
class Value:
    """`number` + sum of `origins` (each with its coefficient); `leaf` if exactly one was named."""

    number: int
    origins: dict[object, int] = field(default_factory=dict)
    leaf: Symbol | Anchor | None = None

    @property
    def is_number(self) -> bool:
        """Whether nothing but the number is left."""
        return not self.origins


def evaluate(node: Node, place: Callable[[Anchor], Place], depth: int = 0) -> Value:
    """The value of `node` where `place` tells the position of an anchor.

    Raises NotLinearError, ZeroDivisionError, or RecursionError for a symbol defined by itself.
    """
    if isinstance(node, int):
        return Value(node)
    if isinstance(node, Anchor):
        origin, offset = place(node)
        return Value(offset, {origin: 1}, node)
    if isinstance(node, Symbol):
        return _symbol(node, place, depth)
    if not isinstance(node, Op):
        raise NotLinearError
    left = evaluate(node.left, place, depth)
    right = evaluate(node.right, place, depth)
    if left.is_number and right.is_number:
        number = combine(node.name, left.number, right.number)
        assert isinstance(number, int)
        return Value(number)
    sign = {"+": 1, "-": -1, "neg": -1}.get(node.name)
    if sign is None:
        raise NotLinearError
    origins = dict(left.origins)
    for origin, count in right.origins.items():
        total = origins.pop(origin, 0) + sign * count
        if total:
            origins[origin] = total
    leaf = left.leaf if right.is_number else right.leaf if left.is_number and sign == 1 else None
    return Value(signed64(left.number + sign * right.number), origins, leaf)


def _symbol(symbol: Symbol, place: Callable[[Anchor], Place], depth: int) -> Value:
    if symbol.anchor is not None:
        origin, offset = place(symbol.anchor)
        return Value(offset, {origin: 1}, symbol)
    if symbol.node is not None:
        if depth > 100:
            raise RecursionError
        return evaluate(symbol.node, place, depth + 1)
    return Value(0, {symbol: 1}, symbol)
