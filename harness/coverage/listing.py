"""Coverage for people: a summary, the lines that nothing executed, sources with counts beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from harness.coverage.reasons import reason
from harness.coverage.record import FileCoverage, percentage

NOT_EXECUTED = "#####"
_WIDTH = 6


@dataclass(frozen=True)
class Missed:
    """Lines in a row that no run executed; ``reason`` is empty where one should have."""

    file: str
    first: int
    last: int
    function: str
    text: str
    """The first of them."""
    reason: str

    def __str__(self) -> str:
        where = f"{self.first}-{self.last}" if self.last > self.first else f"{self.first}"
        more = " ..." if self.last > self.first else ""
        why = f"   [{self.reason}]" if self.reason else ""
        return f"{self.file}:{where}: {self.function}: {self.text}{more}{why}"


def missed(file: FileCoverage, source: str) -> list[Missed]:
    """The lines of a file that no run executed, in stretches of one function and reason."""
    lines = source.split("\n")
    with_code = sorted(file.runs)
    found: list[Missed] = []
    for line in file.missed:
        function = _function(file, line)
        why = reason(function, lines, line) or ""
        last = found[-1] if found else None
        if (
            last is not None
            and (last.function, last.reason) == (function, why)
            and with_code.index(line) == with_code.index(last.last) + 1
        ):
            found[-1] = replace(last, last=line)
        else:
            found.append(Missed(file.file, line, line, function, lines[line - 1].strip(), why))
    return found


def _function(file: FileCoverage, line: int) -> str:
    before = [(start, name) for name, start in file.functions if start <= line]
    return max(before)[1] if before else ""


def annotated(file: FileCoverage, source: str) -> str:
    """The source with, left of each line that has code, the number of runs that executed it; where
    executions were counted, those of all CPUs, then of each."""
    lines = source.rstrip("\n").split("\n")
    head = f"{file.file}: {file.covered} of {file.total} lines, {percentage([file]):.1f} %"
    columns = (file.runs, *file.cpus)
    widths = [max(_WIDTH, len(str(max(column.values(), default=0)))) for column in columns]
    titles = ["all", *(f"cpu{number}" for number in range(len(file.cpus)))] if file.cpus else []
    out = [head, " ".join(f"{t:>{w}}" for t, w in zip(titles, widths, strict=False))]
    for number, text in enumerate(lines, start=1):
        marks = [_mark(column.get(number)) for column in columns]
        left = " ".join(f"{mark:>{width}}" for mark, width in zip(marks, widths, strict=True))
        out.append(f"{left} {number:4} {text}".rstrip())
    return "\n".join(out) + "\n"


def _mark(count: int | None) -> str:
    return "" if count is None else str(count) if count else NOT_EXECUTED


def summary(groups: Sequence[tuple[str, Sequence[FileCoverage]]]) -> Table:
    """A row for each file and a total for each group."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("file")
    for heading in ("lines", "executed", "%"):
        table.add_column(heading, justify="right")
    for name, files in groups:
        for file in files:
            _row(table, file.file, [file])
        _row(table, f"{name} in all", files, style="bold", end_section=True)
    return table


def _row(
    table: Table,
    name: str,
    files: Sequence[FileCoverage],
    style: str = "",
    end_section: bool = False,
) -> None:
    total, covered = sum(f.total for f in files), sum(f.covered for f in files)
    figures = (str(total), str(covered), f"{percentage(files):.1f}")
    table.add_row(name, *figures, style=style, end_section=end_section)


def write_listings(files: Sequence[FileCoverage], root: Path, folder: Path) -> None:
    """One annotated source each, as ``folder/guest/sched/core.s.txt``. Raises OSError."""
    for file in files:
        path = folder / f"{file.file}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(annotated(file, (root / file.file).read_text()))
