"""Keeps the assembly tidy: ``python -m harness.toolchain.lint DIRECTORY...``.

What is checked, per ``.s`` and ``.inc`` file:

* layout: no tabs, no trailing blanks, lines of at most 100 columns;
* every function has a header that states its contract: ``# name(...)`` followed by ``clobbers:``,
  ``locks:`` and ``irq:``, and is closed by ``END name``;
* every ``.extern`` is used;
* every wait loop contains ``pause`` or ``hlt``. Under QEMU's instruction-counting clock a vCPU
  that waits without either keeps all others from running; so does, less badly, real hardware.

A *wait loop* is a backward jump over a body in which nothing makes progress: no string instruction,
no arithmetic on memory, no call but to functions that merely read a clock, and no register that one
turn hands on to the next. Where the clock is read, registers do not count: the loop waits for time
to pass. The functions that wait loops call for their pause (`relax` and its like) must contain one.

Exit status: 0 clean, 1 with one line per finding, 2 for a directory that does not exist.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_COLUMNS = 100
CONTRACT = ("clobbers:", "locks:", "irq:")

# fmt: off
_COMPARES = frozenset({"bt", "cmp", "test"})
_LOADS = frozenset({"in", "lea", "mov", "movabs", "movsx", "movsxd", "movzx", "xchg"})
_PROGRESS = frozenset({
    "bsf", "div", "idiv", "lodsb", "loop", "movsb", "movsd", "movsq", "movsw", "mul", "out", "pop",
    "push", "scasb", "stosb", "stosd", "stosq", "stosw", "xadd",
})
# fmt: on
_PAUSES = frozenset({"relax", "relax_spin", "idle_turn", "clock_delay"})
_CLOCKS = frozenset({"clock_ns", "clock_ticks"})
_READS_ONLY = _CLOCKS | {"lapic_id"}
_INERT = frozenset({"RACE_POINT", "INVARIANT"})
"""Macros that are mostly nothing."""
_REGISTER = re.compile(r"\b(?:[re]?([abcd])x|([abcd])[lh]|[re]?([sd]i|[sb]p)l?|(r\d+)[dwb]?)\b")
_LABEL = re.compile(r"([.\w]+):")
_FUNCTION = re.compile(r"(?:PUBLIC|PRIVATE)\s+(\w+)")
_JUMP = re.compile(r"j\w+\s+(\.?[A-Za-z_][\w.]*)$")


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is not tidy."""

    path: Path
    line: int
    words: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.words}"


@dataclass(frozen=True)
class Function:
    """A function's lines, numbered as in the file, without comments and blanks."""

    name: str
    line: int
    header: str
    body: tuple[tuple[int, str], ...]
    closed: bool


def lint_text(path: Path, text: str) -> list[Finding]:
    """All findings in one file, in line order."""
    lines = text.splitlines()
    findings = list(_layout(path, lines))
    findings += _unused_externs(path, lines)
    for function in _functions(lines):
        findings += _contract(path, function)
        findings += _wait_loops(path, function)
    return sorted(findings)


def _layout(path: Path, lines: Sequence[str]) -> Iterator[Finding]:
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            yield Finding(path, number, "tab; indent with four blanks")
        if line != line.rstrip():
            yield Finding(path, number, "blanks at the end of the line")
        if len(line) > MAX_COLUMNS:
            yield Finding(path, number, f"{len(line)} columns; at most {MAX_COLUMNS}")


def _unused_externs(path: Path, lines: Sequence[str]) -> Iterator[Finding]:
    if path.suffix == ".inc":
        return
    code = "\n".join(_code(line) for line in lines if not line.lstrip().startswith(".extern"))
    used = frozenset(re.findall(r"[A-Za-z_][\w.]*", code))
    made_by_macros = tuple(re.findall(r"(\w+_)\\\w", code)) or ("\0",)
    for number, line in enumerate(lines, 1):
        match = re.match(r"\s*\.extern\s+([\w.]+)", line)
        if match and match[1] not in used and not match[1].startswith(made_by_macros):
            yield Finding(path, number, f".extern {match[1]} is not used")


def _functions(lines: Sequence[str]) -> Iterator[Function]:
    for index, line in enumerate(lines):
        match = _FUNCTION.fullmatch(_code(line))
        if match:
            yield _function(lines, index, match[1])


def _function(lines: Sequence[str], index: int, name: str) -> Function:
    header: list[str] = []
    for line in reversed(lines[:index]):
        if not line.startswith("#"):
            break
        header.insert(0, line)
    body: list[tuple[int, str]] = []
    closed = False
    for number, line in enumerate(lines[index + 1 :], index + 2):
        code = _code(line)
        if code == f"END {name}":
            closed = True
            break
        if _FUNCTION.fullmatch(code):
            break
        if code:
            body.append((number, code))
    return Function(name, index + 1, "\n".join(header), tuple(body), closed)


def _contract(path: Path, function: Function) -> Iterator[Finding]:
    if not re.search(rf"^# {re.escape(function.name)}\(", function.header, re.MULTILINE):
        yield Finding(path, function.line, f"no header '# {function.name}(...): ...' above")
        return
    for part in CONTRACT:
        if part not in function.header:
            yield Finding(path, function.line, f"header of {function.name} lacks '{part}'")
    if not function.closed:
        yield Finding(path, function.line, f"no 'END {function.name}' closes it")


def _wait_loops(path: Path, function: Function) -> Iterator[Finding]:
    if function.name in _PAUSES and not any(_pauses(code) for _, code in function.body):
        words = f"{function.name} is what wait loops call for their pause, and has none"
        yield Finding(path, function.line, words)
    labels: dict[str, int] = {}
    for position, (number, code) in enumerate(function.body):
        label = _LABEL.match(code)
        if label:
            labels[label[1]] = position
        jump = _JUMP.match(code)
        if jump and jump[1] in labels:
            loop = [text for _, text in function.body[labels[jump[1]] : position]]
            if _waits(loop):
                yield Finding(path, number, f"wait loop without pause or hlt in {function.name}")


def _waits(loop: Sequence[str]) -> bool:
    if any(map(_pauses, loop)):
        return False
    reads_clock = False
    needed: set[str] = set()  # registers whose value comes from before this turn
    written: set[str] = set()
    for code in loop:
        operation, *operands = _words(code)
        if operation in _INERT:
            continue
        if operation == "call" and operands[0] in _READS_ONLY:
            reads_clock |= operands[0] in _CLOCKS
            written |= {"a", "d"}
            continue
        if operation == "call" or operation in _PROGRESS or operation.isupper():
            return False
        target, _, source = code.partition(operation)[2].partition(",")
        if "[" in target and operation not in _LOADS | _COMPARES:
            return False
        reads, writes = _effect(operation, target, source)
        needed |= reads - written
        written |= writes
    return reads_clock or not needed & written


def _effect(operation: str, target: str, source: str) -> tuple[set[str], set[str]]:
    """The registers that an instruction reads and writes."""
    first, second = _registers(target), _registers(source)
    if "[" in target or operation in _COMPARES or operation.startswith("j"):
        return first | second, set()
    if operation in _LOADS or operation.startswith("set"):
        return second, first
    if operation == "xor" and first == second:
        return set(), first
    return first | second, first


def _registers(operand: str) -> set[str]:
    """The registers of an operand; the parts of one register have one name."""
    return {next(filter(None, match.groups())) for match in _REGISTER.finditer(operand)}


def _pauses(code: str) -> bool:
    operation, *operands = _words(code)
    return operation in ("pause", "hlt") or (operation == "call" and operands[0] in _PAUSES)


def _words(code: str) -> list[str]:
    return [
        word for word in re.split(r"[\s,]+", code) if word not in ("lock", "rep", "repe", "repne")
    ]


def _code(line: str) -> str:
    """The line without its comment; a # within a string stays."""
    return re.sub(r"""#(?=(?:[^"]*"[^"]*")*[^"]*$).*""", "", line).strip()


def main(arguments: Sequence[str]) -> int:
    """Lint every source below the given directories; returns the exit status."""
    findings: list[Finding] = []
    for directory in map(Path, arguments):
        if not directory.is_dir():
            print(f"lint: {directory}: no such directory", file=sys.stderr)
            return 2
        for path in sorted([*directory.rglob("*.s"), *directory.rglob("*.inc")]):
            findings += lint_text(path, path.read_text())
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
