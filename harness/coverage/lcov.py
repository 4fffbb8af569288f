"""lcov's trace format (``coverage.info``): what genhtml and most CI front ends read.

The count of a line is the number of runs that executed it or, where each CPU is a test of its own,
how often that CPU did. Reference: geninfo(1), "FILES".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePath

from harness.coverage.record import FileCoverage


def lcov(files: Iterable[FileCoverage], root: PurePath) -> str:
    """The whole file; ``root`` makes the names of sources absolute, as genhtml wants them."""
    return "".join(f"{line}\n" for file in files for line in _records(file, root))


def _records(file: FileCoverage, root: PurePath) -> Iterator[str]:
    if not file.cpus:
        yield from _record(file, root, "boots")
    for number, part in enumerate(file.of_cpus):
        yield from _record(part, root, f"cpu{number}")


def _record(file: FileCoverage, root: PurePath, test: str) -> Iterator[str]:
    yield f"TN:{test}"
    yield f"SF:{root / file.file}"
    for name, line in file.functions:
        yield f"FN:{line},{name}"
    for name, line in file.functions:
        yield f"FNDA:{file.runs[line]},{name}"
    yield f"FNF:{len(file.functions)}"
    yield f"FNH:{sum(1 for _, line in file.functions if file.runs[line])}"
    for line, count in sorted(file.runs.items()):
        yield f"DA:{line},{count}"
    yield f"LF:{file.total}"
    yield f"LH:{file.covered}"
    yield "end_of_record"
