"""Directives that make data, sections and symbol attributes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.toolchain.errors import AsmError, Line
from harness.toolchain.expression import Parser
from harness.toolchain.lexer import string_bytes, tokenize
from harness.toolchain.objects import (
    ALLOC,
    EXEC,
    MERGE,
    STRINGS,
    WRITE,
    Align,
    Fixup,
    Section,
    Space,
    Symbol,
)

if TYPE_CHECKING:
    from harness.toolchain.assembler import Assembler

Handler = Callable[["Assembler", Line, int], None]

# Flags and kind of sections that are named without them, as GNU as assumes.
SECTION_DEFAULTS: dict[str, tuple[int, str]] = {
    ".text": (ALLOC | EXEC, "progbits"),
    ".rodata": (ALLOC, "progbits"),
    ".data": (ALLOC | WRITE, "progbits"),
    ".bss": (ALLOC | WRITE, "nobits"),
    ".note": (0, "note"),
}
_FLAGS = {"a": ALLOC, "w": WRITE, "x": EXEC, "M": MERGE, "S": STRINGS}
_KINDS = {"progbits", "nobits", "note"}
_SYMBOL_TYPES = {"function", "object", "notype", "common", "tls_object"}
MAX_FILL = 1 << 30
_ASSIGNED = re.compile(r"\s*([A-Za-z_.$][\w.$]*)\s*,")


def _names(assembler: Assembler, line: Line, start: int) -> list[Symbol]:
    parser = assembler.parser(line, start)
    symbols = []
    while True:
        symbols.append(_name(assembler, parser))
        if not parser.take_op(","):
            parser.expect_end()
            return symbols


def _name(assembler: Assembler, parser: Parser) -> Symbol:
    if parser.at_end() or parser.tokens[parser.position].kind != "name":
        raise parser.fail("a symbol name is missing here")
    token = parser.tokens[parser.position]
    parser.position += 1
    symbol = assembler.lookup(str(token.value), parser.line, token.column)
    if symbol.private:
        raise AsmError(f"'{token.value}' is local to its function", parser.line, token.column)
    if symbol.declaration is None:
        symbol.declaration = parser.line
    return symbol


def _binding(binding: str) -> Handler:
    def handler(assembler: Assembler, line: Line, start: int) -> None:
        for symbol in _names(assembler, line, start):
            if symbol.binding not in ("", binding) and "local" in (symbol.binding, binding):
                raise AsmError(f"'{symbol.name}' cannot be local and visible", line)
            if symbol.binding != "weak":
                symbol.binding = binding

    return handler


def _extern(assembler: Assembler, line: Line, start: int) -> None:
    for symbol in _names(assembler, line, start):
        symbol.declared_extern = True


def _hidden(assembler: Assembler, line: Line, start: int) -> None:
    for symbol in _names(assembler, line, start):
        symbol.hidden = True


def _type(assembler: Assembler, line: Line, start: int) -> None:
    parser = assembler.parser(line, start)
    symbol = _name(assembler, parser)
    if not parser.take_op(","):
        raise parser.fail("',' is missing here", ".type name, @function")
    parser.take_op("@")
    kind = str(parser.peek() or "")
    if kind not in _SYMBOL_TYPES:
        raise parser.fail("unknown symbol type", "write @function or @object")
    parser.position += 1
    parser.expect_end()
    symbol.kind = kind


def _size(assembler: Assembler, line: Line, start: int) -> None:
    parser = assembler.parser(line, start)
    symbol = _name(assembler, parser)
    if not parser.take_op(","):
        raise parser.fail("',' is missing here", ".size name, . - name")
    symbol.size = parser.expression()
    parser.expect_end()


def _assign(once: bool) -> Handler:
    def handler(assembler: Assembler, line: Line, start: int) -> None:
        match = _ASSIGNED.match(line.text, start)
        if match is None:
            raise AsmError("write .equ name, expression", line, start)
        assembler.assign(match[1], line, match.start(1), match.end(), once)

    return handler


def _integers(size: int) -> Handler:
    def handler(assembler: Assembler, line: Line, start: int) -> None:
        parser = assembler.parser(line, start)
        section = _writable(assembler, line)
        while True:
            column = parser.column()
            node = parser.expression()
            item = section.data()
            if isinstance(node, int):
                _check_range(node, size, line, column)
                item.data += (node & ((1 << size * 8) - 1)).to_bytes(size, "little")
            else:
                fixup = Fixup(len(item.data), size, node, "data", line, column)
                assembler.fixups.setdefault(item, []).append(fixup)
                item.data += bytes(size)
            if not parser.take_op(","):
                break
        parser.expect_end()

    return handler


def _check_range(value: int, size: int, line: Line, column: int) -> None:
    bits = size * 8
    if not -(1 << (bits - 1)) <= value < 1 << bits:
        raise AsmError(f"{value:#x} does not fit in {size} bytes", line, column)


def _writable(assembler: Assembler, line: Line) -> Section:
    section = assembler.section
    if section.kind == "nobits":
        hint = "use .zero here, or another section"
        raise AsmError(f"section {section.name} holds no data", line, -1, hint)
    return section


def _strings(terminator: bytes) -> Handler:
    def handler(assembler: Assembler, line: Line, start: int) -> None:
        tokens = tokenize(line, start)
        data = _writable(assembler, line).data().data
        for number, token in enumerate(tokens):
            if number % 2:
                if token.value != "," or number == len(tokens) - 1:
                    raise AsmError("strings are separated by commas", line, token.column)
            elif token.kind != "string":
                raise AsmError("a string in quotes is expected here", line, token.column)
            else:
                data += string_bytes(str(token.value)) + terminator

    return handler


def _space(assembler: Assembler, line: Line, start: int) -> None:
    parser = assembler.parser(line, start)
    column = parser.column()
    extent = assembler.fold(parser.expression())
    fill = assembler.constant(parser, "the fill value") if parser.take_op(",") else 0
    parser.expect_end()
    section = assembler.section
    if fill and section.kind == "nobits":
        _writable(assembler, line)
    if not isinstance(extent, int):
        section.items.append(Space(line, column, extent, fill & 255, False))
        return
    if not 0 <= extent <= MAX_FILL:
        raise AsmError(f"cannot reserve {extent} bytes", line, column)
    if section.kind == "nobits":
        section.items.append(Space(line, column, extent, 0, False))
    else:
        section.data().data.extend(bytes([fill & 255]) * extent)


def _fill(assembler: Assembler, line: Line, start: int) -> None:
    parser = assembler.parser(line, start)
    column = parser.column()
    repeat = assembler.constant(parser, "the repeat count")
    size = assembler.constant(parser, "the size") if parser.take_op(",") else 1
    value = assembler.constant(parser, "the value") if parser.take_op(",") else 0
    parser.expect_end()
    if not 0 <= size <= 8 or not 0 <= repeat * size <= MAX_FILL:
        raise AsmError(f"cannot fill {repeat} times {size} bytes", line, column)
    # GNU as takes at most four bytes of the value, zero-extended to `size`.
    unit = (value & 0xFFFFFFFF).to_bytes(8, "little")[:size]
    _writable(assembler, line).data().data.extend(unit * repeat)


def _align(power: bool) -> Handler:
    def handler(assembler: Assembler, line: Line, start: int) -> None:
        parser = assembler.parser(line, start)
        column = parser.column()
        boundary = assembler.constant(parser, "the alignment")
        if power:
            boundary = 1 << boundary if 0 <= boundary <= 30 else -1
        fill = None
        limit = 0
        if parser.take_op(",") and not parser.at_op(",") and not parser.at_end():
            fill = assembler.constant(parser, "the fill value") & 255
        if parser.take_op(","):
            limit = assembler.constant(parser, "the limit")
        parser.expect_end()
        boundary = boundary or 1
        if boundary < 0 or boundary & (boundary - 1) or boundary > 1 << 30:
            raise AsmError("an alignment is a power of two", line, column)
        section = assembler.section
        bits = assembler.bits if section.flags & EXEC and fill is None else 0
        if bits and boundary > 1 and (bits == 16 or boundary > 64):
            hint = (
                "GNU as would put jumps over the gap here: name the fill, as in .balign 4096, 0xcc"
            )
            raise AsmError("which bytes shall fill the gap?", line, column, hint)
        section.alignment = max(section.alignment, boundary)
        section.items.append(Align(boundary, fill, limit, bits))

    return handler


def _org(assembler: Assembler, line: Line, start: int) -> None:
    parser = assembler.parser(line, start)
    column = parser.column()
    extent = parser.expression()
    fill = assembler.constant(parser, "the fill value") if parser.take_op(",") else 0
    parser.expect_end()
    assembler.section.items.append(Space(line, column, extent, fill & 255, True))


def _bits(bits: int) -> Handler:
    def handler(assembler: Assembler, line: Line, start: int) -> None:
        assembler.parser(line, start).expect_end()
        assembler.bits = bits

    return handler


def _syntax(assembler: Assembler, line: Line, start: int) -> None:
    if line.text[start:].strip() != "noprefix":
        raise AsmError("only .intel_syntax noprefix is supported", line, start)
    assembler.intel = True


def _plain(name: str) -> Handler:
    def handler(assembler: Assembler, line: Line, start: int) -> None:
        assembler.parser(line, start).expect_end()
        _enter(assembler, assembler.sections[name])

    return handler


def _enter(assembler: Assembler, section: Section) -> None:
    assembler.previous, assembler.section = assembler.section, section


def _section(assembler: Assembler, line: Line, start: int) -> None:
    _enter(assembler, _parse_section(assembler, line, start))


def _push(assembler: Assembler, line: Line, start: int) -> None:
    section = _parse_section(assembler, line, start)
    assembler.stack.append((assembler.section, assembler.previous))
    _enter(assembler, section)


def _pop(assembler: Assembler, line: Line, start: int) -> None:
    assembler.parser(line, start).expect_end()
    if not assembler.stack:
        raise AsmError(".popsection without .pushsection", line)
    assembler.section, assembler.previous = assembler.stack.pop()


def _previous(assembler: Assembler, line: Line, start: int) -> None:
    assembler.parser(line, start).expect_end()
    _enter(assembler, assembler.previous)


def _parse_section(assembler: Assembler, line: Line, start: int) -> Section:
    text = line.text[start:].lstrip()
    column = len(line.text) - len(text)
    name = text.split(",")[0].strip().strip('"')
    if not name or any(char.isspace() for char in name):
        raise AsmError("a section name is missing here", line, column)
    flags, kind = _defaults(name)
    entry_size = 0
    after = line.text.find(",", column)
    written = after >= 0
    if written:
        flags, kind, entry_size = _attributes(assembler, line, after + 1, kind)
    section = assembler.sections.get(name)
    if section is None:
        section = Section(name, flags, kind, entry_size, line)
        assembler.sections[name] = section
    elif written and (section.flags, section.kind, section.entry_size) != (flags, kind, entry_size):
        first = section.line
        where = f"first at {first.file}:{first.number}" if first else "it is a standard section"
        raise AsmError(f"section {name} has other attributes already", line, column, where)
    return section


def _defaults(name: str) -> tuple[int, str]:
    for prefix, defaults in SECTION_DEFAULTS.items():
        if name == prefix or name.startswith(prefix + "."):
            return defaults
    return 0, "progbits"


def _attributes(assembler: Assembler, line: Line, start: int, kind: str) -> tuple[int, str, int]:
    parser = assembler.parser(line, start)
    token = parser.tokens[0] if parser.tokens else None
    if token is None or token.kind != "string":
        raise AsmError('section flags in quotes are expected here, as "ax"', line, start)
    parser.position = 1
    flags = 0
    for letter in str(token.value)[1:-1]:
        if letter not in _FLAGS:
            hint = "known: a (allocated) w (writable) x (executable) M S (mergeable strings)"
            raise AsmError(f"unknown section flag '{letter}'", line, token.column, hint)
        flags |= _FLAGS[letter]
    entry_size = 0
    if parser.take_op(","):
        parser.take_op("@")
        kind = str(parser.peek() or "")
        if kind not in _KINDS:
            raise parser.fail("unknown section type", "known: @progbits, @nobits, @note")
        parser.position += 1
        if parser.take_op(","):
            entry_size = assembler.constant(parser, "the entry size")
    parser.expect_end()
    if bool(flags & MERGE) != (entry_size > 0):
        raise AsmError('flag M needs an entry size, as "aMS",@progbits,1', line, start)
    return flags, kind, entry_size


DIRECTIVES: dict[str, Handler] = {
    ".intel_syntax": _syntax,
    ".text": _plain(".text"), ".data": _plain(".data"), ".bss": _plain(".bss"),
    ".section": _section, ".pushsection": _push, ".popsection": _pop, ".previous": _previous,
    ".globl": _binding("global"), ".global": _binding("global"), ".weak": _binding("weak"),
    ".local": _binding("local"), ".extern": _extern, ".hidden": _hidden,
    ".type": _type, ".size": _size,
    ".equ": _assign(False), ".set": _assign(False), ".equiv": _assign(True),
    ".byte": _integers(1), ".word": _integers(2), ".short": _integers(2), ".value": _integers(2),
    ".hword": _integers(2), ".2byte": _integers(2), ".long": _integers(4), ".int": _integers(4),
    ".4byte": _integers(4), ".quad": _integers(8), ".8byte": _integers(8),
    ".ascii": _strings(b""), ".asciz": _strings(b"\0"), ".string": _strings(b"\0"),
    ".zero": _space, ".skip": _space, ".space": _space, ".fill": _fill,
    ".align": _align(False), ".balign": _align(False), ".p2align": _align(True), ".org": _org,
    ".code16": _bits(16), ".code32": _bits(32), ".code64": _bits(64),
}  # fmt: skip
