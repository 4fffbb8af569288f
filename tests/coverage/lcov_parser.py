"""A strict reader of lcov's format: whatever geninfo(1) does not describe is an error."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass
class Record:
    """One source of a trace file, in one test."""

    test: str
    source: str = ""
    lines: dict[int, int] = field(default_factory=dict)
    functions: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)


_ORDER = ("TN", "SF", "FN", "FNDA", "FNF", "FNH", "DA", "LF", "LH", "end_of_record")


def parse(text: str) -> list[Record]:
    """Raises ValueError for what is not as described, totals that do not add up included."""
    records: list[Record] = []
    place = 0
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        key, _, value = line.partition(":")
        if key not in _ORDER:
            raise ValueError(f"line {number}: {line!r}")
        position = _ORDER.index(key)
        if position < place and not (key == "TN" and place == len(_ORDER) - 1):
            raise ValueError(f"line {number}: {key} after {_ORDER[place]}")
        place = position
        _take(records, key, value, number)
    if not text.endswith("end_of_record\n"):
        raise ValueError("the last record is open")
    for record in records:
        _check(record)
    return records


def _take(records: list[Record], key: str, value: str, number: int) -> None:
    if key == "TN":
        records.append(Record(value))
    elif key == "SF":
        records[-1].source = value
    elif key in ("FN", "FNDA", "DA"):
        match = re.fullmatch(r"(\d+),(\w+)", value)
        if match is None:
            raise ValueError(f"line {number}: {value!r}")
        first, second = int(match[1]), match[2]
        if key == "DA":
            if first in records[-1].lines:
                raise ValueError(f"line {number}: line {first} twice")
            records[-1].lines[first] = int(second)
        else:
            table = records[-1].functions if key == "FN" else records[-1].calls
            table[second] = first
    elif key in ("FNF", "FNH", "LF", "LH"):
        records[-1].totals[key] = int(value)


def _check(record: Record) -> None:
    due = {
        "FNF": len(record.functions),
        "FNH": sum(1 for count in record.calls.values() if count),
        "LF": len(record.lines),
        "LH": sum(1 for count in record.lines.values() if count),
    }
    if record.totals != due or set(record.functions) != set(record.calls):
        raise ValueError(f"{record.source}: totals {record.totals}, the lines give {due}")
    if not set(record.functions.values()) <= set(record.lines):
        raise ValueError(f"{record.source}: a function begins at a line without code")
