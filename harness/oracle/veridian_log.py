"""Reads the serial log of a VeridianOS kernel: what it says, and what it can prove.

Such a log has messages for people, and none of this project's events: no CPU numbers, no counts of
tasks, no times, no order between CPUs, no last line. It can therefore never pass; what it says
against the kernel counts all the same (fact sheet B11, B13, D3).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.trace.trace import Line, Trace

BALANCING = "Load balancing: migrating tasks"
MIGRATED = "Successfully migrated tasks"
CLEANED = "Cleaned up dead task"
METRICS = "Scheduler Metrics:"
METRICS_LINES = 6

MESSAGES: tuple[str, ...] = (
    "Initializing scheduler with bootstrap task...",
    "About to initialize SMP...",
    "SMP initialization complete",
    "About to get scheduler lock...",
    "Scheduler init complete",
    "About to setup preemption timer...",
    "Preemption timer setup complete",
    "Scheduler initialized with bootstrap task",
    "Initializing scheduler...",
    "Scheduler initialized (minimal)",
    "x86_64 timer configured for preemptive scheduling",
    "Starting scheduler execution",
    "Entering idle loop",
    "Entering scheduler main loop",
    "DISPATCH_FIRST",
    BALANCING,
    MIGRATED,
    CLEANED,
    "Blocked process and all its threads",
    "Warning: no valid CPU affinity",
    "Warning: affinity excludes the CPU",
    METRICS,
)
"""What the scheduler says, in the order in which it says it; the last warnings shortened."""

_DISPATCH = re.compile(r"DISPATCH_FIRST pid=(0x[0-9a-fA-F]+|\d+)")
_WARNINGS = (
    (re.compile(r"Warning: Task \S+ has no valid CPU affinity!"), "Warning: no valid CPU affinity"),
    (
        re.compile(r"Warning: Task \S+ cannot run on CPU \d+ due to affinity mask"),
        "Warning: affinity excludes the CPU",
    ),
)
_RESULTS = re.compile(r"Test Results: (\d+) passed, (\d+) failed")
_SMP = "[SMP]"
_MARKERS = ("BOOTOK", "BOOTFAIL", "[ok]", "[failed]")


@dataclass(frozen=True)
class PlainLog:
    """What a log of VeridianOS says."""

    counts: Mapping[str, int]
    """How often it says each of :data:`MESSAGES`."""
    dispatched: tuple[int, ...]
    """Processes that were the first to run on their CPU, in order."""
    metrics: tuple[str, ...]
    """The lines of its last metrics block."""
    smp: tuple[str, ...]
    """What it says about CPUs that come and go."""
    markers: tuple[tuple[int, str], ...]
    """Markers of boot and tests with their line numbers, in order."""
    results: tuple[int, int] | None
    """Tests passed and failed, by its own summary."""
    unknown: tuple[str, ...]
    """Further lines of the scheduler."""

    def marked(self, marker: str) -> int:
        return sum(found == marker for _, found in self.markers)


def read_plain(trace: Trace) -> PlainLog | None:
    """What a log without events says; ``None`` for any log that VeridianOS has not written."""
    if trace.events:
        return None
    counts: Counter[str] = Counter()
    unknown: list[str] = []
    metrics: tuple[str, ...] = ()
    for line in trace.notes:
        name = _message(line.text)
        if name is not None:
            counts[name] += 1
            metrics = _block(trace, line) if name == METRICS else metrics
        elif not line.text.startswith(" "):
            unknown.append(line.text)
    texts = [line.text for line in trace.text]
    smp = tuple(text for text in texts if text.startswith(_SMP))
    markers = tuple(_markers(trace.text))
    if not (counts or smp or markers):
        return None
    dispatched = [_DISPATCH.search(line.text) for line in trace.notes]
    results = [found for text in texts if (found := _RESULTS.search(text))]
    return PlainLog(
        counts={name: counts[name] for name in MESSAGES if counts[name]},
        dispatched=tuple(int(found[1], 0) for found in dispatched if found),
        metrics=metrics,
        smp=smp,
        markers=markers,
        results=(int(results[-1][1]), int(results[-1][2])) if results else None,
        unknown=tuple(unknown),
    )


def _message(text: str) -> str | None:
    if _DISPATCH.match(text):
        return "DISPATCH_FIRST"
    for pattern, name in _WARNINGS:
        if pattern.match(text):
            return name
    return text if text in MESSAGES else None


def _block(trace: Trace, head: Line) -> tuple[str, ...]:
    """The indented lines behind a heading, be they marked as the scheduler's or not."""
    following = {line.number: line.text for line in (*trace.notes, *trace.text)}
    found: list[str] = []
    for number in range(head.number + 1, head.number + 1 + METRICS_LINES):
        text = following.get(number, "")
        if not text.startswith((" ", "\t")):
            break
        found.append(text.strip())
    return tuple(found)


def _markers(lines: tuple[Line, ...]) -> Iterator[tuple[int, str]]:
    for line in lines:
        for marker in _MARKERS:
            if marker in line.text:
                yield line.number, marker


def contradictions(log: PlainLog) -> Iterator[str]:
    """What in the log speaks against the kernel, or against the log itself."""
    for marker in ("BOOTFAIL", "[failed]"):
        if log.marked(marker):
            yield f"it says {marker} {_times(log.marked(marker))}: that is a failure"
    fails = [number for number, marker in log.markers if marker == "BOOTFAIL"]
    oks = [number for number, marker in log.markers if marker == "BOOTOK"]
    if fails and oks and oks[-1] > fails[0]:
        yield (
            f"BOOTOK in line {oks[-1]} comes after BOOTFAIL in line {fails[0]}:"
            " it is printed whatever happened before, and means nothing"
        )
    if log.results is not None:
        yield from _against_results(log, log.results)
    balanced, migrated = log.counts.get(BALANCING, 0), log.counts.get(MIGRATED, 0)
    if migrated > balanced:
        yield f"it migrated {_times(migrated)}, and balanced only {_times(balanced)}"


def _against_results(log: PlainLog, results: tuple[int, int]) -> Iterator[str]:
    said = dict(zip(("[ok]", "[failed]"), results, strict=True))
    if results[1] and not log.marked("[failed]"):
        yield f"its summary has {results[1]} failed tests"
    for marker, count in said.items():
        if log.marked(marker) != count:
            yield f"its summary counts {count} tests as {marker}, the log has {log.marked(marker)}"


def limits(log: PlainLog) -> Iterator[str]:
    """What the log cannot prove, whatever it says."""
    yield "that any decision was right: it names no CPU, no task, no count and no time"
    if balanced := log.counts.get(BALANCING):
        yield (
            f"a migration by {BALANCING!r} ({_times(balanced)}): it is said before the attempt, and"
            " also when nothing moves"
        )
    if migrated := log.counts.get(MIGRATED):
        yield (
            f"which tasks moved, how many, or where to, by {MIGRATED!r} ({_times(migrated)}):"
            " at most that the code that prints it was reached"
        )
    if not log.counts.get(CLEANED):
        yield "that dead tasks are freed: it never says so"
    if not log.smp:
        yield "that more than one CPU ran: nothing in it is about a second one"
    else:
        yield "that a CPU of its [SMP] lines ever scheduled: they tell of commands, not of tasks"
    if log.marked("BOOTOK"):
        yield "success by BOOTOK: the kernel prints it unconditionally"
    if log.marked("[ok]"):
        yield "success by [ok]: a later test may have failed, or not run"
    yield "that it is complete: it has no last line, and a hang looks like an end"
    yield "how the run ended: QEMU's exit status is not in it (33 pass, 35 fail, 0 never a pass)"


def story(log: PlainLog) -> str:
    """What the log says, what speaks against the kernel, and what it cannot prove."""
    return "\n".join(_lines(log))


def _lines(log: PlainLog) -> Iterator[str]:
    yield "a plain VeridianOS log, without events: it cannot pass"
    yield "it says:"
    yield from (f"  {count} x {name}" for name, count in log.counts.items())
    yield from (f"  {log.marked(name)} x {name}" for name in _MARKERS if log.marked(name))
    if log.results is not None:
        yield f"  test results: {log.results[0]} passed, {log.results[1]} failed"
    if log.dispatched:
        yield f"  first to run: process {', '.join(map(str, log.dispatched))}"
    yield from (f"  {line}" for line in log.smp)
    yield from (f"  metrics: {line}" for line in log.metrics)
    yield from (f"  not known: {line}" for line in log.unknown)
    found = list(contradictions(log))
    if found:
        yield "against the kernel:"
        yield from (f"  {item}" for item in found)
    yield "it cannot prove:"
    yield from (f"  {item}" for item in limits(log))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
