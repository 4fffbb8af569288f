"""`/proc/schedstat`, version 10: the counters of run queues and their domains, as text.

The order of the numbers is that of the kernel's code (fact sheet A18), which is not the order its
documentation gives; the events ``schedstat``, ``schedstat_moves`` and ``schedstat_domain`` have the
same. A guest asked for it prints the text between two lines, ``schedstat begin`` and ``schedstat
end``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.trace.grammar import Event, event_type
from harness.trace.trace import Trace

VERSION = 10
MASK_CHUNK_BITS = 32

BEGIN, END = "schedstat begin", "schedstat end"

_PLAIN = tuple(field.name for field in event_type("schedstat").fields)
_MOVES = tuple(field.name for field in event_type("schedstat_moves").fields)

CPU_COUNTERS = _PLAIN + _MOVES
"""Numbers of a `cpuN` line."""
DOMAIN_COUNTERS = tuple(field.name for field in event_type("schedstat_domain").fields[1:])
"""Numbers of a `domainN` line after its mask."""


@dataclass(frozen=True)
class DomainLine:
    span: int
    counters: tuple[int, ...]
    """In the order of `DOMAIN_COUNTERS`."""


@dataclass(frozen=True)
class CpuLine:
    cpu: int
    counters: tuple[int, ...]
    """In the order of `CPU_COUNTERS`."""
    domains: tuple[DomainLine, ...] = ()


@dataclass(frozen=True)
class Schedstat:
    """One reading of `/proc/schedstat`."""

    timestamp: int
    """Jiffies."""
    cpus: tuple[CpuLine, ...]


def format_schedstat(stat: Schedstat, nr_cpus: int) -> str:
    """The text. `nr_cpus` sets the width of masks."""
    lines = [f"version {VERSION}", f"timestamp {stat.timestamp}"]
    for line in stat.cpus:
        lines.append(_join(f"cpu{line.cpu}", line.counters))
        for level, domain in enumerate(line.domains):
            head = f"domain{level} {format_mask(domain.span, nr_cpus)}"
            lines.append(_join(head, domain.counters))
    return "\n".join(lines) + "\n"


def _join(head: str, numbers: Iterable[int]) -> str:
    return " ".join([head, *map(str, numbers)])


def format_mask(mask: int, nr_cpus: int) -> str:
    """CPU mask as the kernel prints it: hexadecimal, zero-filled, a comma every 32 CPUs."""
    chunks = []
    for low in reversed(range(0, nr_cpus, MASK_CHUNK_BITS)):
        bits = min(nr_cpus - low, MASK_CHUNK_BITS)
        chunks.append(f"{mask >> low & (1 << bits) - 1:0{-(-bits // 4)}x}")
    return ",".join(chunks)


def parse_schedstat(text: str) -> Schedstat:
    """Read the text. Raises ValueError with the line number for any other format."""
    timestamp: int | None = None
    cpus: list[tuple[int, tuple[int, ...], list[DomainLine]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        head, *words = line.split() or [""]
        try:
            if number == 1:
                if [head, *words] != ["version", str(VERSION)]:
                    raise ValueError(f"expected 'version {VERSION}'")
            elif number == 2:
                timestamp = _timestamp(head, words)
            elif head.startswith("cpu"):
                cpus.append((int(head[3:]), _numbers(words, CPU_COUNTERS), []))
            elif head.startswith("domain") and cpus:
                cpus[-1][2].append(_domain(head, words, len(cpus[-1][2])))
            else:
                raise ValueError("neither a cpu line nor a domain line after one")
        except ValueError as error:
            raise ValueError(f"schedstat line {number}: {error}: {line!r}") from None
    if timestamp is None:
        raise ValueError("schedstat: no timestamp line")
    return Schedstat(timestamp, tuple(CpuLine(c, s, tuple(d)) for c, s, d in cpus))


def _timestamp(head: str, words: list[str]) -> int:
    if head != "timestamp" or len(words) != 1:
        raise ValueError("expected 'timestamp <jiffies>'")
    return int(words[0])


def _domain(head: str, words: list[str], level: int) -> DomainLine:
    span = int("".join(words[:1]).replace(",", ""), 16)
    if int(head[len("domain") :]) != level:
        raise ValueError("domains of a CPU are numbered from 0")
    return DomainLine(span, _numbers(words[1:], DOMAIN_COUNTERS))


def _numbers(words: list[str], names: Sequence[str]) -> tuple[int, ...]:
    if len(words) != len(names):
        raise ValueError(f"{len(words)} numbers where {len(names)} belong")
    return tuple(int(word) for word in words)


def schedstat_text(trace: Trace) -> str | None:
    """What the guest printed between the two marks; None where it did not."""
    lines = [line.text for line in trace.text]
    if BEGIN not in lines:
        return None
    first = lines.index(BEGIN) + 1
    rest = lines[first:]
    return "".join(f"{line}\n" for line in rest[: rest.index(END) if END in rest else None])


def schedstat_of(trace: Trace) -> Schedstat:
    """The counters as a complete log of policy ``o1`` has them in its events."""
    spans = {(e.number("of"), e.number("level")): e.number("span") for e in trace.of("domain")}
    plain = {event.cpu: event for event in trace.of("schedstat")}
    moves = {event.cpu: event for event in trace.of("schedstat_moves")}
    domains: dict[int, list[DomainLine]] = {cpu: [] for cpu in plain}
    for event in trace.of("schedstat_domain"):
        level, *counters = _integers(event)
        line = DomainLine(spans.get((event.cpu, level), 0), tuple(counters))
        domains.setdefault(event.cpu, []).append(line)
    lines = [
        CpuLine(cpu, _integers(plain[cpu]) + _integers(moves[cpu]), tuple(domains[cpu]))
        for cpu in sorted(plain.keys() & moves.keys())
    ]
    ticks = [event.number("n") for event in trace.of("tick") if event.cpu == 0]
    return Schedstat(max(ticks, default=0), tuple(lines))


def _integers(event: Event) -> tuple[int, ...]:
    return tuple(value for value in event.values if isinstance(value, int))
