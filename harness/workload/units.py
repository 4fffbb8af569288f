"""Times and CPU sets as people write them."""

from __future__ import annotations

import re
from fractions import Fraction

from harness.workload.model import CpuSet, Span, Unit

MAX_TIME = 2**63 - 1  # ns or ticks: fits a signed 64-bit register

_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\Z")
_RANGE = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?\Z")
_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_TICKS = ("tick", "ticks")


def parse_span(text: str) -> Span:
    """`10ms`, `1.5 us`, `3 ticks` as a Span. Raises ValueError with what to write instead."""
    match = _SPAN.match(text.strip())
    if match is None or match[2] not in (*_NS, *_TICKS):
        raise ValueError(f"{text!r} is not a time; write 250ns, 10us, 1.5ms, 2s or '3 ticks'")
    value = Fraction(match[1]) * _NS.get(match[2], 1)
    unit = Unit.TICKS if match[2] in _TICKS else Unit.NS
    if value.denominator != 1:
        whole = "ticks" if unit is Unit.TICKS else "nanoseconds"
        raise ValueError(f"{text!r} is not a whole number of {whole}")
    return Span(int(value), unit)


def format_span(span: Span) -> str:
    """The shortest text that `parse_span` reads back as `span`."""
    if span.unit is Unit.TICKS:
        return f"{span.value} tick{'' if span.value == 1 else 's'}"
    return format_ns(span.value)


def format_ns(ns: int) -> str:
    """Nanoseconds in the largest unit that divides them."""
    unit = max((u for u in _NS if ns % _NS[u] == 0), key=_NS.__getitem__)
    return f"{ns // _NS[unit]}{unit}"


def parse_cpus(text: str) -> CpuSet | None:
    """`0-3,8` as a set of CPU numbers, `all` as None. Raises ValueError for anything else."""
    if text.strip() == "all":
        return None
    numbers: set[int] = set()
    for part in text.split(","):
        match = _RANGE.match(part.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a set of CPUs; write 2, [0, 2], '0-3,8' or all")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"the range {part.strip()!r} runs backwards")
        numbers.update(range(first, last + 1))
    return frozenset(numbers)


def format_cpus(cpus: CpuSet | None) -> str:
    """A set of CPU numbers as ranges, None as `all`."""
    if cpus is None:
        return "all"
    parts: list[str] = []
    ordered = sorted(cpus)
    start = 0
    for index, number in enumerate(ordered):
        if index + 1 == len(ordered) or ordered[index + 1] != number + 1:
            first = ordered[start]
            parts.append(str(first) if first == number else f"{first}-{number}")
            start = index + 1
    return ",".join(parts)
