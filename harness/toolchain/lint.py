"""Keeps the assembly tidy: ``python -m harness.toolchain.lint DIRECTORY...``.

What is checked, per ``.s`` and ``.inc`` file:

* layout: no tabs, no trailing blanks, lines of at most 100 columns;
* every function has a header that states its contract: ``# name(...)`` followed by ``clobbers:``,
  ``locks:`` and ``irq:``, and is closed by ``END name``;
* every ``.extern`` is used;
* every wait loop contains ``pause`` or ``hlt``. Under QEMU's instruction-counting clock a vCPU
  that waits without either keeps all others from running; so does, less badly, real hardware.

A *wait loop* is a backward jump over a body in which nothing makes progress: no arithmetic on a
register or on memory, no string instruction, no call but to functions that merely read a clock.

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
_PROGRESS = frozenset({
    "adc", "add", "bsf", "btr", "bts", "dec", "div", "idiv", "imul", "inc", "lea", "lodsb", "loop",
    "movsb", "movsd", "movsq", "movsw", "mul", "neg", "out", "pop", "push", "rol", "ror", "sar",
    "sbb", "scasb", "shl", "shr", "stosb", "stosd", "stosq", "stosw", "sub", "xadd",
})
# fmt: on
_PAUSES = frozenset({"relax", "relax_spin", "idle_turn", "clock_delay"})
_READS_ONLY = frozenset({"clock_ns", "clock_ticks", "lapic_id"})
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
    for code in loop:
        words = [word for word in re.split(r"[\s,]+", code) if word not in ("lock", "rep", "repe")]
        if words[0] in ("pause", "hlt") or words[0] in _PROGRESS or words[0].isupper():
            return False
        if words[0] == "call" and (words[1] in _PAUSES or words[1] not in _READS_ONLY):
            return False
    return True


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
