"""Operands in Intel syntax: registers, immediates, memory, far pointers."""

from __future__ import annotations

from dataclasses import dataclass

from harness.toolchain.errors import AsmError, Line
from harness.toolchain.expression import Node, Op, Parser, combine
from harness.toolchain.registers import REGISTERS, SEGMENTS, Register

# Operand sizes in bits; far pointers (fword, far) are told apart by name.
SIZES = {
    "byte": 8, "word": 16, "dword": 32, "fword": 48, "qword": 64, "tbyte": 80,
    "oword": 128, "xmmword": 128, "ymmword": 256, "far": 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Immediate:
    """A number; `address` where the source says `offset`."""

    node: Node
    column: int
    address: bool


@dataclass(frozen=True, slots=True)
class Far:
    """`selector:offset`."""

    selector: Node
    offset: Node
    column: int


@dataclass(frozen=True, slots=True)
class Memory:
    """`size ptr segment:[base + index*scale + disp]`; empty names where a part is absent."""

    size: str
    segment: str
    base: Register | None
    index: Register | None
    scale: int
    disp: Node
    column: int

    @property
    def address_bits(self) -> int:
        """Width of the registers that make the address, 0 if there are none."""
        register = self.base or self.index
        return register.bits if register else 0


Operand = Register | Immediate | Memory | Far


def parse_operands(parser: Parser) -> list[Operand]:
    """All operands up to the end of the line."""
    if parser.at_end():
        return []
    operands = [_operand(parser)]
    while parser.take_op(","):
        operands.append(_operand(parser))
    parser.expect_end()
    return operands


def contains_register(node: Node) -> bool:
    """Whether a register is a leaf of `node`."""
    if isinstance(node, Op):
        return contains_register(node.left) or contains_register(node.right)
    return isinstance(node, Register)


def _operand(parser: Parser) -> Operand:
    column = parser.column()
    size = _size_prefix(parser)
    segment = _segment_prefix(parser)
    if not size and not segment:
        if _take_word(parser, "offset"):
            address = parser.expression()
            _no_register(address, parser.line, column)
            return Immediate(address, column, True)
        if (register := _plain_register(parser)) is not None:
            return register
    node: Node = 0
    brackets = False
    first = True
    while first or parser.at_op("["):
        if parser.take_op("["):
            brackets = True
            node = combine("+", node, parser.expression())
            if not parser.take_op("]"):
                raise parser.fail("']' is missing here")
        else:
            node = combine("+", node, parser.expression())
        first = False
    if brackets or size or segment:
        return _memory(node, size, segment, parser.line, column)
    if contains_register(node):
        raise AsmError("a register expression needs brackets", parser.line, column, "write [...]")
    if parser.take_op(":"):
        return Far(node, parser.expression(), column)
    return Immediate(node, column, False)


def _take_word(parser: Parser, word: str) -> bool:
    value = parser.peek()
    if isinstance(value, str) and value.lower() == word:
        parser.position += 1
        return True
    return False


def _size_prefix(parser: Parser) -> str:
    value = parser.peek()
    if not isinstance(value, str) or value.lower() not in SIZES:
        return ""
    following = parser.position + 1
    if following < len(parser.tokens) and str(parser.tokens[following].value).lower() == "ptr":
        parser.position += 2
        return value.lower()
    raise parser.fail(f"'{value}' without 'ptr'", f"write {value} ptr [...]")


def _segment_prefix(parser: Parser) -> str:
    value = parser.peek()
    if not isinstance(value, str) or value.lower() not in SEGMENTS:
        return ""
    following = parser.position + 1
    if following < len(parser.tokens) and parser.tokens[following].value == ":":
        parser.position += 2
        return value.lower()
    return ""


def _plain_register(parser: Parser) -> Register | None:
    value = parser.peek()
    register = REGISTERS.get(value.lower()) if isinstance(value, str) else None
    if register is None:
        return None
    following = parser.position + 1
    if register.name == "st" and following < len(parser.tokens):
        return _stack_register(parser)
    if following == len(parser.tokens) or parser.tokens[following].value == ",":
        parser.position += 1
        return register
    return None


def _stack_register(parser: Parser) -> Register | None:
    parser.position += 1
    if not parser.take_op("("):
        return REGISTERS["st"]
    number = parser.expression()
    if not parser.take_op(")") or not isinstance(number, int) or not 0 <= number < 8:
        raise parser.fail("the floating-point stack is st(0) to st(7)")
    return Register(f"st({number})", "other", 0)


def _no_register(node: Node, line: Line, column: int) -> None:
    if contains_register(node):
        raise AsmError("a register has no offset", line, column)


@dataclass(slots=True)
class _Terms:
    """The sum inside brackets, taken apart."""

    line: Line
    column: int
    registers: list[tuple[Register, int, bool]]  # register, scale, scale written out
    rest: Node = 0

    def add(self, node: Node, negative: bool) -> None:
        """Adds (or subtracts) one node to the sum."""
        if isinstance(node, Op) and node.name in ("+", "-"):
            if (
                node.name == "-"
                and contains_register(node.left)
                and not isinstance(node.right, int)
            ):
                hint = "GNU as gets [register + a - b] wrong: write [register + (a - b)]"
                raise self.fail("put the difference of labels in parentheses", hint)
            self.add(node.left, negative)
            self.add(node.right, negative ^ (node.name == "-"))
        elif isinstance(node, Register):
            self._register(node, 1, False, negative)
        elif isinstance(node, Op) and node.name == "*" and contains_register(node):
            register, scale = node.left, node.right
            if isinstance(scale, Register):
                register, scale = scale, register
            if not isinstance(register, Register) or not isinstance(scale, int):
                raise self.fail("a scale must be a constant", "scales are 1, 2, 4 and 8")
            self._register(register, scale, True, negative)
        elif contains_register(node):
            raise self.fail("a register can only be added or scaled in an address")
        else:
            self.rest = combine("-" if negative else "+", self.rest, node)

    def _register(self, register: Register, scale: int, explicit: bool, negative: bool) -> None:
        if negative:
            raise self.fail(f"'{register.name}' cannot be subtracted in an address")
        if scale not in (1, 2, 4, 8):
            raise self.fail(f"scale {scale} does not exist", "scales are 1, 2, 4 and 8")
        if register.kind not in ("gpr", "ip") or register.bits == 8:
            raise self.fail(f"'{register.name}' cannot be part of an address")
        if register.name == "eip":
            raise self.fail("addresses relative to eip are not supported", "use rip")
        self.registers.append((register, scale, explicit))

    def fail(self, message: str, hint: str = "") -> AsmError:
        """An error at this operand."""
        return AsmError(message, self.line, self.column, hint)

    def base_and_index(self) -> tuple[Register | None, Register | None, int]:
        """Which register is which, as GNU as decides it."""
        found = self.registers
        if not found:
            return None, None, 1
        if len(found) > 2:
            raise self.fail("an address has at most two registers")
        if len(found) == 1:
            register, scale, explicit = found[0]
            if explicit and register.bits != 16:
                self._check_index(register)
                return None, register, scale
            return register, None, 1
        (base, base_scale, base_explicit), (index, scale, explicit) = found
        swap = base_scale != 1 or (base_explicit and not explicit)
        swap = swap or (not explicit and index.is_stack_pointer)
        swap = swap or (index.name in ("bx", "bp") and base.name in ("si", "di"))
        if swap:
            (base, base_scale, _), (index, scale, _) = found[1], found[0]
        if base_scale != 1:
            raise self.fail("only one register of an address can be scaled")
        if base.bits != index.bits or base.kind != index.kind or base.kind == "ip":
            raise self.fail(f"'{base.name}' and '{index.name}' do not go together")
        self._check_index(index)
        return base, index, scale

    def _check_index(self, index: Register) -> None:
        if index.is_stack_pointer or index.kind == "ip":
            raise self.fail(f"'{index.name}' cannot be an index")


def _memory(node: Node, size: str, segment: str, line: Line, column: int) -> Memory:
    terms = _Terms(line, column, [])
    terms.add(node, False)
    base, index, scale = terms.base_and_index()
    return Memory(size, segment, base, index, scale, terms.rest, column)
