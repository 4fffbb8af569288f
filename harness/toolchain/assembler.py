"""One source to one object, up to layout: statements, symbols, sections."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.toolchain import branches, select
from harness.toolchain.directives import DIRECTIVES, SECTION_DEFAULTS
from harness.toolchain.encoding import Encoder
from harness.toolchain.errors import AsmError, Line, render
from harness.toolchain.expression import Node, Parser
from harness.toolchain.layout import distance, encode_pending
from harness.toolchain.lexer import Token, tokenize
from harness.toolchain.mnemonics import PREFIXES
from harness.toolchain.objects import ALLOC, EXEC, Branch, Code, Fixup, Item, Section, Symbol
from harness.toolchain.operands import Immediate, Memory, Operand, contains_register, parse_operands
from harness.toolchain.registers import REGISTERS
from harness.toolchain.source import PREPROCESSOR, Source

_LABEL = re.compile(r"\s*([A-Za-z_.$][\w.$]*)\s*:(?!:)")
_MNEMONIC = re.compile(r"\s*([A-Za-z_][\w.]*)")
_ASSIGNMENT = re.compile(r"\s*([A-Za-z_.$][\w.$]*)\s*=(?!=)")
_DIRECTIVE = re.compile(r"\s*(\.[A-Za-z_]\w*)(?=\s|$)")


class Assembler:
    """State of one assembly. `encoder` may be shared by several, one after the other."""

    def __init__(
        self,
        encoder: Encoder,
        include: Sequence[Path] = (),
        defines: Mapping[str, int] | None = None,
    ) -> None:
        self.encoder = encoder
        self.symbols: dict[str, Symbol] = {}
        self.sections: dict[str, Section] = {}
        self.fixups: dict[Item, list[Fixup]] = {}
        self.pending: list[Code | Branch] = []
        self.bits = 64
        self.intel = False
        self.function = ""
        self.main = ""
        self.stack: list[tuple[Section, Section]] = []
        self.source = Source(
            include,
            self.evaluate_line,
            self.is_defined,
            frozenset(DIRECTIVES) | PREPROCESSOR,
            self.warn,
        )
        for name, value in (defines or {}).items():
            self.symbols[name] = Symbol(name, node=value, line=Line("", "<command line>", 0))
        for name in (".text", ".data", ".bss"):
            self.sections[name] = Section(name, *SECTION_DEFAULTS[name], 0, None)
        self.section = self.previous = self.sections[".text"]

    def run(self, path: Path) -> None:
        """Reads the whole source. Raises AsmError at the first mistake, OSError without source."""
        self.main = str(path)
        self.source.open(path)
        try:
            while (line := self.source.next()) is not None:
                self.statement(line)
        except RecursionError:
            raise AsmError("this expression is nested too deeply", self.source.last) from None
        if self.stack:
            raise AsmError(".pushsection without .popsection", self.source.last)
        encode_pending(self)

    def warn(self, message: str, line: Line) -> None:
        """Prints a warning; the object is written all the same."""
        print(render("warning", message, line, 0), file=sys.stderr)

    def statement(self, line: Line) -> None:
        """One line: labels, then a directive, macro, assignment or instruction."""
        text = line.text
        position = 0
        while (match := _LABEL.match(text, position)) is not None:
            if match[1].lower() in REGISTERS:
                break
            self.define_label(match[1], line, match.start(1))
            position = match.end()
        rest = text[position:]
        if not rest or rest.isspace():
            return
        if (match := _ASSIGNMENT.match(text, position)) is not None:
            self.assign(match[1], line, match.start(1), match.end())
            return
        if (match := _DIRECTIVE.match(text, position)) is not None:
            handler = DIRECTIVES.get(match[1].lower())
            if handler is not None:
                handler(self, line, match.end())
                return
        match = match or _MNEMONIC.match(text, position)
        if match is not None:
            word = match[1]
            if self.source.try_macro(word, line, match.end(1)):
                return
            if word[0] == ".":
                raise AsmError(
                    f"unknown directive '{word}'", line, match.start(1),
                    f"a label is written {word}: with a colon",
                )  # fmt: skip
            self.instruction(line, match.start(1))
            return
        tokens = tokenize(line, position)
        hint = "numeric labels do not exist: write .name:" if tokens[0].kind == "number" else ""
        raise AsmError("this is no statement", line, tokens[0].column, hint)

    # Symbols

    def lookup(self, name: str, line: Line, column: int) -> Symbol:
        """The symbol of that name, made if it is new."""
        private = name[0] == "." and len(name) > 1
        if private:
            if not self.function:
                raise AsmError(
                    f"'{name}' is a local label outside any function", line, column,
                    "write the label of the function first",
                )  # fmt: skip
            key = f"{self.function} {name}"
        else:
            key = name
        symbol = self.symbols.get(key)
        if symbol is None:
            symbol = self.symbols[key] = Symbol(name, private=private)
        return symbol

    def define_label(self, name: str, line: Line, column: int) -> None:
        """`name:` at the current place."""
        local = name[0] == "."
        if not local and self.section.flags & EXEC and not line.macro:
            self.function = name
        symbol = self.lookup(name, line, column)
        if symbol.defined:
            raise self.duplicate(symbol, line, column)
        symbol.anchor = self.section.here()
        symbol.line = line

    def duplicate(self, symbol: Symbol, line: Line, column: int) -> AsmError:
        """The error for a second definition."""
        first = symbol.line
        where = f"first defined at {first.file}:{first.number}" if first else ""
        return AsmError(f"'{symbol.name}' is defined twice", line, column, where)

    def assign(self, name: str, line: Line, column: int, start: int, once: bool = False) -> None:
        """`.equ name, expression` and its kin; only labels cannot be assigned again."""
        if name == ".":
            raise AsmError("the location counter is moved by .org", line, column)
        parser = self.parser(line, start)
        node = self.fold(parser.expression())
        parser.expect_end()
        symbol = self.lookup(name, line, column)
        if symbol.anchor is not None or (once and symbol.defined):
            raise self.duplicate(symbol, line, column)
        if node is symbol:
            raise AsmError(f"'{name}' is defined by itself", line, column)
        symbol.node = node
        symbol.line = line

    def is_defined(self, name: str) -> bool:
        """What .ifdef asks."""
        symbol = self.symbols.get(name)
        return symbol is not None and symbol.defined

    # Expressions

    def parser(self, line: Line, start: int, registers: bool = False) -> Parser:
        """A parser for the rest of `line`; register names count only in operands."""

        def resolve(token: Token) -> Node:
            name = str(token.value)
            if (register := REGISTERS.get(name.lower())) is not None:
                if registers:
                    return register
                raise AsmError(f"'{name}' is a register", line, token.column)
            if name == ".":
                return self.section.here()
            symbol = self.lookup(name, line, token.column)
            if symbol.used is None:
                symbol.used, symbol.used_column = line, token.column
            return symbol if symbol.node is None else symbol.node

        return Parser(tokenize(line, start), line, resolve)

    def fold(self, node: Node) -> Node:
        """`node` as a number if its labels are already at fixed distances."""
        if isinstance(node, int) or contains_register(node):
            return node
        value = distance(self, node)
        return node if value is None else value

    def constant(self, parser: Parser, what: str) -> int:
        """One expression that must be a number now. Raises AsmError if it is not."""
        column = parser.column()
        value = self.fold(parser.expression())
        if not isinstance(value, int):
            raise AsmError(
                f"{what} must be a constant that is known here", parser.line, column,
                "define the symbols before this line; distances over jumps are not known yet",
            )  # fmt: skip
        return value

    def evaluate_line(self, line: Line, start: int) -> int:
        """The constant after .if or .rept."""
        parser = self.parser(line, start)
        value = self.constant(parser, "this")
        parser.expect_end()
        return value

    # Instructions

    def instruction(self, line: Line, start: int) -> None:
        """Encodes later; what matters now is which symbols are known at this point."""
        if not self.intel:
            hint = "begin the source with .intel_syntax noprefix"
            raise AsmError("GNU as would read this as AT&T syntax", line, start, hint)
        if not self.section.flags & ALLOC or self.section.kind == "nobits":
            raise AsmError(f"section {self.section.name} cannot hold instructions", line, start)
        mnemonic, prefixes, end, column = self._words(line, start)
        prefix = select.take_prefixes(prefixes, line, start)
        parser = self.parser(line, end, registers=True)
        operands = parse_operands(parser)
        if mnemonic in branches.BRANCHES and len(operands) == 1:
            target = operands[0]
            if isinstance(target, Immediate):
                if prefix:
                    raise AsmError(f"'{prefixes[0]}' does not go with a jump", line, start)
                branch = branches.branch(mnemonic, target, self.bits, prefix, line)
                self._append(branch)
                return
        operands = [self._folded(operand) for operand in operands]
        self._append(select.Selection(mnemonic, operands, self.bits, prefix, line, column).code())

    def _folded(self, operand: Operand) -> Operand:
        if isinstance(operand, Immediate) and not isinstance(operand.node, int):
            return replace(operand, node=self.fold(operand.node))
        if isinstance(operand, Memory) and not isinstance(operand.disp, int):
            return replace(operand, disp=self.fold(operand.disp))
        return operand

    def _words(self, line: Line, start: int) -> tuple[str, list[str], int, int]:
        prefixes: list[str] = []
        position = start
        while (match := _MNEMONIC.match(line.text, position)) is not None:
            word = match[1].lower()
            position = match.end()
            if word not in PREFIXES:
                return word, prefixes, position, match.start(1)
            prefixes.append(word)
        raise AsmError("a prefix needs its instruction on the same line", line, start)

    def _append(self, item: Code | Branch) -> None:
        self.section.items.append(item)
        self.pending.append(item)
