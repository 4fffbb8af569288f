"""Coverage of source lines: how many runs executed each of them, or how often each CPU did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.coverage.codemap import CodeMap, LineCounts


@dataclass(frozen=True)
class FileCoverage:
    """``runs`` has every line with code and the number of runs that executed it, maybe 0; where
    executions were counted, their number, and ``cpus`` those of each CPU."""

    file: str
    runs: Mapping[int, int]
    functions: tuple[tuple[str, int], ...] = ()
    cpus: tuple[Mapping[int, int], ...] = ()

    @property
    def of_cpus(self) -> list[FileCoverage]:
        """What each CPU executed, by itself."""
        return [replace(self, runs=lines, cpus=()) for lines in self.cpus]

    @property
    def covered(self) -> int:
        return sum(1 for count in self.runs.values() if count)

    @property
    def total(self) -> int:
        return len(self.runs)

    @property
    def missed(self) -> list[int]:
        """The lines that no run executed, ascending."""
        return sorted(line for line, count in self.runs.items() if not count)


def merged(code: CodeMap, runs: Iterable[Mapping[str, Iterable[int]]]) -> list[FileCoverage]:
    """Coverage of every file of an image by some runs, each given by the lines it executed."""
    counts = {file: dict.fromkeys(sorted(lines), 0) for file, lines in code.lines.items()}
    for run in runs:
        for file, lines in run.items():
            for line in lines:
                counts[file][line] += 1
    return [
        FileCoverage(file, lines, code.functions.get(file, ()))
        for file, lines in sorted(counts.items())
    ]


def counted(code: CodeMap, runs: Iterable[Sequence[LineCounts]]) -> list[FileCoverage]:
    """The same by executions. A run is given by what each CPU executed."""
    sums: list[Counter[tuple[str, int]]] = []
    for run in runs:
        sums += [Counter() for _ in run[len(sums) :]]
        for total, cpu in zip(sums, run, strict=False):
            for file, pairs in cpu.items():
                for line, count in pairs:
                    total[file, line] += count
    found = []
    for file, lines in sorted(code.lines.items()):
        cpus = tuple({line: total[file, line] for line in sorted(lines)} for total in sums)
        runs_of = {line: sum(cpu[line] for cpu in cpus) for line in sorted(lines)}
        found.append(FileCoverage(file, runs_of, code.functions.get(file, ()), cpus))
    return found


def below(files: Iterable[FileCoverage], folder: str) -> Iterator[FileCoverage]:
    """Those in a folder, such as ``guest/sched``."""
    return (file for file in files if file.file.startswith(f"{folder}/"))


def percentage(files: Iterable[FileCoverage]) -> float:
    """Lines executed per 100 with code; 100 where there are none."""
    parts = [(file.covered, file.total) for file in files]
    total = sum(part[1] for part in parts)
    return 100 * sum(part[0] for part in parts) / total if total else 100.0
