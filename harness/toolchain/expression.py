"""Integer expressions over numbers, symbols and (in memory operands) registers.

A node is an int, a Symbol, a Register, an Anchor (a place in a section) or an Op. Operators and
their grouping are those of GNU as. Where C would group differently, parentheses are demanded: no
reader has to know both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Union

from harness.toolchain.errors import AsmError, Line
from harness.toolchain.lexer import MASK64, Token, signed64
from harness.toolchain.registers import Register

if TYPE_CHECKING:
    from harness.toolchain.objects import Anchor, Symbol


class Op(NamedTuple):
    """An operator over nodes that are not all numbers; a unary one has left = 0."""

    name: str
    left: Node
    right: Node


Node = Union[int, "Symbol", "Anchor", Register, Op]

# Rank by GNU as (expr.c, op_rank) and by C; higher binds tighter.
_GAS = {
    "||": 1, "&&": 2,
    "==": 3, "!=": 3, "<>": 3, "<": 3, ">": 3, "<=": 3, ">=": 3,
    "+": 4, "-": 4,
    "&": 5, "|": 5, "^": 5,
    "*": 6, "/": 6, "%": 6, "<<": 6, ">>": 6,
}  # fmt: skip
_C = {
    "||": 1, "&&": 2, "|": 3, "^": 4, "&": 5,
    "==": 6, "!=": 6, "<>": 6, "<": 7, ">": 7, "<=": 7, ">=": 7,
    "<<": 8, ">>": 8, "+": 9, "-": 9, "*": 10, "/": 10, "%": 10,
}  # fmt: skip


def _divide(a: int, b: int) -> int:
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _shift(a: int, b: int, left: bool) -> int:
    if not 0 <= b < 64:
        return 0
    return a << b if left else (a & MASK64) >> b


# Comparisons give -1 for true, as GNU as does; right shifts are logical.
_APPLY: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divide,
    "%": lambda a, b: a - b * _divide(a, b),
    "<<": lambda a, b: _shift(a, b, True),
    ">>": lambda a, b: _shift(a, b, False),
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "==": lambda a, b: -(a == b),
    "!=": lambda a, b: -(a != b),
    "<>": lambda a, b: -(a != b),
    "<": lambda a, b: -(a < b),
    ">": lambda a, b: -(a > b),
    "<=": lambda a, b: -(a <= b),
    ">=": lambda a, b: -(a >= b),
    "&&": lambda a, b: int(bool(a and b)),
    "||": lambda a, b: int(bool(a or b)),
    "neg": lambda _, b: -b,
    "~": lambda _, b: ~b,
    "not": lambda _, b: int(not b),
}


def combine(name: str, left: Node, right: Node) -> Node:
    """`left name right`, folded where both are numbers. Raises ZeroDivisionError."""
    if isinstance(left, int) and isinstance(right, int):
        return signed64(_APPLY[name](left, right))
    if name in ("+", "-") and right == 0 and isinstance(right, int):
        return left
    if name == "+" and left == 0 and isinstance(left, int):
        return right
    return Op(name, left, right)


@dataclass(slots=True)
class Parser:
    """Recursive descent over the tokens of one line; `resolve` gives the node of a name."""

    tokens: list[Token]
    line: Line
    resolve: Callable[[Token], Node]
    position: int = 0

    def peek(self) -> str | int | None:
        """Value of the next operator or name, None at the end."""
        if self.position < len(self.tokens):
            return self.tokens[self.position].value
        return None

    def at_op(self, op: str) -> bool:
        """Whether the next token is the sign `op`."""
        if self.position >= len(self.tokens):
            return False
        token = self.tokens[self.position]
        return token.kind == "op" and token.value == op

    def take_op(self, op: str) -> bool:
        """Steps over the sign `op` if it comes next."""
        if self.at_op(op):
            self.position += 1
            return True
        return False

    def column(self) -> int:
        """Column of the next token, or just after the last one."""
        if self.position < len(self.tokens):
            return self.tokens[self.position].column
        return len(self.line.text.rstrip())

    def fail(self, message: str, hint: str = "") -> AsmError:
        """An error at the next token."""
        return AsmError(message, self.line, self.column(), hint)

    def at_end(self) -> bool:
        """Whether every token was used."""
        return self.position >= len(self.tokens)

    def expect_end(self) -> None:
        """Raises AsmError if anything is left over."""
        if not self.at_end():
            raise self.fail(f"unexpected '{self.peek()}' after the statement")

    def expression(self) -> Node:
        """One whole expression. Raises AsmError if there is none."""
        return self._binary(1)[0]

    def _binary(self, lowest: int) -> tuple[Node, str]:
        left, left_op = self._unary()
        while self.position < len(self.tokens):
            token = self.tokens[self.position]
            if token.kind != "op":
                break
            op = str(token.value)
            rank = _GAS.get(op, 0)
            if rank < lowest:
                break
            self.position += 1
            right, right_op = self._binary(rank + 1)
            if (left_op and _C[left_op] < _C[op]) or (right_op and _C[right_op] <= _C[op]):
                other = left_op if left_op and _C[left_op] < _C[op] else right_op
                raise AsmError(
                    f"'{other}' beside '{op}': GNU as and C group this differently",
                    self.line, token.column, "put parentheses around one of them",
                )  # fmt: skip
            try:
                left, left_op = combine(op, left, right), op
            except ZeroDivisionError:
                raise AsmError("division by zero", self.line, token.column) from None
        return left, left_op

    def _unary(self) -> tuple[Node, str]:
        if self.position >= len(self.tokens):
            raise self.fail("an expression is missing here")
        token = self.tokens[self.position]
        self.position += 1
        if token.kind == "number":
            return int(token.value), ""
        if token.kind == "name":
            return self.resolve(token), ""
        if token.kind == "op":
            op = str(token.value)
            if op == "(":
                node = self.expression()
                if not self.take_op(")"):
                    raise self.fail("')' is missing here")
                return node, ""
            if op in "-~!+":
                operand, _ = self._unary()
                if op == "+":
                    return operand, ""
                name = {"-": "neg", "!": "not"}.get(op, op)
                return combine(name, 0, operand), ""
        self.position -= 1
        raise self.fail(f"an expression is missing before '{token.value}'")
