"""The stream of statements: includes, macros, repetition, conditions.

Conditions depend on symbols that earlier statements define, so lines are handed out one by one
while the assembler works, not expanded ahead of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.toolchain.errors import AsmError, Line
from harness.toolchain.lexer import strip_comments
from harness.toolchain.macros import (
    Macro,
    bind,
    check_body,
    parse_parameters,
    split_arguments,
    substitute,
)

MAX_DEPTH = 200
MAX_LINES = 2_000_000
_FIRST_WORD = re.compile(r"\s*(?:[A-Za-z_.$][\w.$\\@()]*\s*:\s*)*(\.?[A-Za-z_]\w*)?")
_STRING = re.compile(r'\s*"((?:\\.|[^"\\])*)"\s*$')
_OPENING = {".if", ".ifdef", ".ifndef", ".ifb", ".ifnb", ".ifc", ".ifnc", ".ifeq", ".ifne", ".ifge",
            ".ifgt", ".ifle", ".iflt"}  # fmt: skip
CONDITIONS = _OPENING | {".elseif", ".else", ".endif"}
_REPEATS = {".rept", ".irp", ".irpc"}
PREPROCESSOR = CONDITIONS | _REPEATS | {
    ".include", ".macro", ".endm", ".endr", ".exitm", ".purgem", ".error", ".warning", ".incbin",
}  # fmt: skip


@dataclass(slots=True)
class _Frame:
    lines: Sequence[Line]
    kind: str  # file, macro or repeat
    conditions: int
    position: int = 0
    path: str = ""


@dataclass(slots=True)
class _Condition:
    line: Line
    active: bool  # this branch is assembled
    taken: bool  # some branch was
    outer: bool  # what surrounds it is assembled
    else_seen: bool = False


@dataclass(slots=True)
class Source:
    """`evaluate` and `is_defined` ask the assembler; files read are kept in `files`.

    `missing` are paths where an include was looked for in vain: they belong to the dependencies.
    """

    include: Sequence[Path]
    evaluate: Callable[[Line, int], int]
    is_defined: Callable[[str], bool]
    code_words: frozenset[str]
    warn: Callable[[str, Line], None]
    files: dict[str, bytes] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    macros: dict[str, Macro] = field(default_factory=dict)
    _frames: list[_Frame] = field(default_factory=list)
    _conditions: list[_Condition] = field(default_factory=list)
    _counter: int = 0
    _served: int = 0
    last: Line = field(default_factory=lambda: Line("", "", 0))

    def open(self, path: Path, origin: Line | None = None) -> None:
        """Puts the lines of a file in front of everything else."""
        name = str(path)
        data = path.read_bytes()
        self.files[name] = data
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            number = data[: error.start].count(b"\n") + 1
            raise AsmError("this byte is not UTF-8", Line("", name, number), 0) from None
        text = strip_comments(text.replace("\r\n", "\n"))
        lines = [Line(t, name, n, origin) for n, t in enumerate(text.split("\n"), 1)]
        self._frames.append(_Frame(lines, "file", len(self._conditions), path=name))

    def next(self) -> Line | None:
        """The next line to assemble, conditions and preprocessor statements dealt with."""
        while True:
            line = self._raw()
            if line is None:
                return None
            text = line.text
            if not text or text.isspace():
                continue
            word, column = _word(text)
            if self._conditions and not self._conditions[-1].active:
                if word in CONDITIONS:
                    self._condition(word, line, column)
                continue
            if word in PREPROCESSOR:
                if text[: column - len(word)].strip():
                    raise AsmError(f"a label cannot stand before {word}", line)
                self._statement(word, line, column)
                continue
            return line

    def try_macro(self, word: str, line: Line, column: int) -> bool:
        """Expands a macro invocation whose arguments begin at `column`; False if it is none."""
        macro = self.macros.get(word.lower())
        if macro is None:
            return False
        values = bind(macro, line.text[column:], line, column)
        counter = self._counter
        self._counter += 1
        name = macro.name
        body = [
            Line(substitute(b.text, values, counter), b.file, b.number, line, name)
            for b in macro.body
        ]
        self._push(_Frame(body, "macro", len(self._conditions)), line)
        return True

    def _push(self, frame: _Frame, line: Line) -> None:
        if len(self._frames) >= MAX_DEPTH:
            raise AsmError(
                "macros or includes are nested too deeply (recursion without end?)", line
            )
        self._frames.append(frame)

    def _raw(self) -> Line | None:
        frames = self._frames
        while frames:
            frame = frames[-1]
            if frame.position < len(frame.lines):
                line = frame.lines[frame.position]
                frame.position += 1
                self._served += 1
                if self._served > MAX_LINES:
                    raise AsmError("the source expands to too many lines", line)
                self.last = line
                return line
            if len(self._conditions) > frame.conditions:
                raise AsmError("this condition has no .endif", self._conditions[-1].line)
            frames.pop()
        return None

    def _statement(self, word: str, line: Line, column: int) -> None:
        rest = line.text[column:]
        if word in CONDITIONS:
            self._condition(word, line, column)
        elif word == ".include":
            self._include(line, column)
        elif word == ".macro":
            self._define(line, column)
        elif word in _REPEATS:
            self._repeat(word, line, column)
        elif word == ".exitm":
            self._exit_macro(line)
        elif word == ".purgem":
            if self.macros.pop(rest.strip().lower(), None) is None:
                raise AsmError(f"no macro '{rest.strip()}'", line, column)
        elif word in (".error", ".warning"):
            match = _STRING.match(rest)
            message = match[1] if match else rest.strip() or f"{word} reached"
            if word == ".error":
                raise AsmError(message, line)
            self.warn(message, line)
        elif word == ".incbin":
            raise AsmError(".incbin is not supported", line, -1, "link the data as an object")
        else:
            opener = ".macro" if word == ".endm" else ".rept, .irp or .irpc"
            raise AsmError(f"{word} without {opener}", line)

    def _include(self, line: Line, column: int) -> None:
        match = _STRING.match(line.text[column:])
        if match is None:
            raise AsmError('.include takes a name in quotes: .include "x.inc"', line, column)
        name = match[1]
        for folder in self.include:
            path = folder / name
            if path.is_file():
                break
            self.missing.append(str(path))
        else:
            places = ", ".join(str(folder) for folder in self.include) or "nowhere: no -I given"
            raise AsmError(f"cannot find '{name}'", line, column, f"searched: {places}")
        chain = [frame.path for frame in self._frames if frame.kind == "file"]
        if str(path) in chain:
            way = " -> ".join([*chain[chain.index(str(path)) :], str(path)])
            raise AsmError(f"circular include of '{name}'", line, column, way)
        if len(self._frames) >= MAX_DEPTH:
            raise AsmError("includes are nested too deeply", line)
        self.open(path, line)

    def _block(self, opening: set[str], closing: str, line: Line) -> list[Line]:
        """The lines up to the matching end; they stay unexpanded."""
        body: list[Line] = []
        depth = 1
        frame = self._frames[-1]
        while frame.position < len(frame.lines):
            inner = frame.lines[frame.position]
            frame.position += 1
            word = _word(inner.text)[0]
            if word in opening:
                depth += 1
            elif word == closing:
                depth -= 1
                if depth == 0:
                    return body
            body.append(inner)
        raise AsmError(f"{closing} is missing for this", line)

    def _define(self, line: Line, column: int) -> None:
        text = line.text[column:].strip()
        match = re.match(r"([A-Za-z_.$][\w.$]*)", text)
        if match is None:
            raise AsmError(".macro needs a name", line, column)
        name = match[1]
        if name.lower() in self.macros:
            first = self.macros[name.lower()].line
            where = f"first defined at {first.file}:{first.number}; names ignore case"
            raise AsmError(f"macro '{name}' is defined twice", line, column, where)
        body = tuple(self._block({".macro"}, ".endm", line))
        macro = Macro(name, parse_parameters(text[match.end() :], line), body, line)
        check_body(macro, self.code_words)
        self.macros[name.lower()] = macro

    def _repeat(self, word: str, line: Line, column: int) -> None:
        body = self._block(_REPEATS, ".endr", line)
        rounds: list[dict[str, str]]
        if word == ".rept":
            count = self.evaluate(line, column)
            if count < 0 or count * len(body) > MAX_LINES:
                raise AsmError(f"cannot repeat this {count} times", line, column)
            rounds = [{}] * count
        else:
            pieces = split_arguments(line.text[column:])
            if not pieces:
                raise AsmError(f"{word} needs a name and values", line, column)
            values: Sequence[str] = pieces[1:] or [""]
            if word == ".irpc":
                values = ",".join(pieces[1:]).strip('"')
            rounds = [{pieces[0]: value.strip('"')} for value in values]
        lines = []
        for values_of in rounds:
            counter = self._counter
            for b in body:
                text = substitute(b.text, values_of, counter) if values_of else b.text
                lines.append(Line(text, b.file, b.number, b.origin, b.macro))
        self._push(_Frame(lines, "repeat", len(self._conditions)), line)

    def _exit_macro(self, line: Line) -> None:
        while self._frames and self._frames[-1].kind == "repeat":
            del self._conditions[self._frames.pop().conditions :]
        if self._frames[-1].kind != "macro":
            raise AsmError(".exitm outside a macro", line)
        del self._conditions[self._frames.pop().conditions :]

    def _condition(self, word: str, line: Line, column: int) -> None:
        stack = self._conditions
        if word in _OPENING:
            outer = not stack or stack[-1].active
            result = outer and self._test(word, line, column)
            stack.append(_Condition(line, result, result, outer))
            return
        floor = self._frames[-1].conditions if self._frames else 0
        if len(stack) <= floor:
            raise AsmError(f"{word} without .if", line)
        top = stack[-1]
        if word == ".endif":
            stack.pop()
        elif top.else_seen:
            raise AsmError(f"{word} after .else", line)
        elif word == ".else":
            top.else_seen = True
            top.active = top.outer and not top.taken
        else:
            wanted = top.outer and not top.taken
            top.active = wanted and self.evaluate(line, column) != 0
            top.taken = top.taken or top.active

    def _test(self, word: str, line: Line, column: int) -> bool:
        rest = line.text[column:].strip()
        if word in (".ifdef", ".ifndef"):
            return self.is_defined(rest) == (word == ".ifdef")
        if word in (".ifb", ".ifnb"):
            return (rest in ("", '""')) == (word == ".ifb")
        if word in (".ifc", ".ifnc"):
            pieces = [piece.strip('"') for piece in split_arguments(rest)] + ["", ""]
            return (pieces[0] == pieces[1]) == (word == ".ifc")
        value = self.evaluate(line, column)
        return {
            ".if": value != 0, ".ifne": value != 0, ".ifeq": value == 0, ".ifge": value >= 0,
            ".ifgt": value > 0, ".ifle": value <= 0, ".iflt": value < 0,
        }[word]  # fmt: skip


def _word(text: str) -> tuple[str, int]:
    """First word of a statement (labels skipped, directives lower-cased) and where it ends."""
    match = _FIRST_WORD.match(text)
    if match is None or match[1] is None:
        return "", 0
    word = match[1]
    return (word.lower() if word[0] == "." else word), match.end(1)
