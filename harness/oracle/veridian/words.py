"""Whether the scheduler's messages and its metrics say what its events say (fact sheet B11).

The original's words are for people, and prove nothing; but where both are in one log they have to
agree. Times in the metrics are in no event: of these only the order is known.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from harness.oracle.veridian_log import BALANCING, CLEANED, METRICS, METRICS_LINES, MIGRATED
from harness.trace.event_kind import Field
from harness.trace.grammar import Event, event_type
from harness.trace.trace import Trace

START = (
    "Initializing scheduler with bootstrap task...",
    "Scheduler initialized with bootstrap task",
    "x86_64 timer configured for preemptive scheduling",
    "Starting scheduler execution",
    "Entering idle loop",
)
_DISPATCH = re.compile(r"DISPATCH_FIRST pid=0x([0-9a-f]+)")
_WARNING = re.compile(r"Warning: Task (\d+) has no valid CPU affinity!")
_LATENCY = re.compile(r"Switch latency ns: (\d+) on average, (\d+) to (\d+)")
_OVERHEAD = re.compile(r"Scheduler overhead: (\d+) percent")


POLICY = "veridian"


def contradictions(trace: Trace) -> Iterator[tuple[Event, str]]:
    """What in a complete log of this policy contradicts its events, in words. A log of which only
    the events were kept says nothing."""
    if trace.hello is None or trace.hello.word("policy") != POLICY or not trace.sound:
        return
    if not trace.notes:
        return
    yield from ((trace.events[-1], words) for words in _contradictions(trace))


def _contradictions(trace: Trace) -> Iterator[str]:
    notes = [line.text for line in trace.notes]
    if tuple(notes[: len(START)]) != START:
        yield f"its first words are {notes[: len(START)]}"
    if not trace.quiet:
        yield from _said_of_events(trace, Counter(notes))
        yield from _dispatched(trace, notes)
        yield from _warned(trace, notes)
    sums = _sums(trace)
    said = {text: notes.count(text) for text in (BALANCING, MIGRATED)}
    for text, count in said.items():
        if count != sums["balances"]:
            yield f"it says {text!r} {count} times and balanced {sums['balances']} times"
    yield from _metrics(notes, sums)


def _said_of_events(trace: Trace, said: Counter[str]) -> Iterator[str]:
    freed = sum(1 for _ in trace.of("task_free"))
    if said[CLEANED] != freed:
        yield f"it says {CLEANED!r} {said[CLEANED]} times, and has freed {freed} tasks"


def _dispatched(trace: Trace, notes: list[str]) -> Iterator[str]:
    """Which of the CPUs says so is left to chance, but each can only name its first task."""
    first: dict[int, Event] = {}
    for event in trace.of("switch"):
        first.setdefault(event.cpu, event)
    said = [int(found[1], 16) for text in notes if (found := _DISPATCH.fullmatch(text))]
    if len(said) != bool(first):
        yield f"it says {len(said)} times who was dispatched first"
    elif said and said[0] not in [event.number("next") for event in first.values()]:
        yield f"task {said[0]} is said to be dispatched first, and was not"


def _warned(trace: Trace, notes: list[str]) -> Iterator[str]:
    """One warning for each affinity that was given up, which is the case at once, and logged when
    the task has found its place."""
    warned = Counter(int(found[1]) for text in notes if (found := _WARNING.fullmatch(text)))
    places = trace.of("v_place")
    given_up = Counter(event.number("task") for event in places if event.number("reset"))
    for task in warned.keys() | given_up.keys():
        if not given_up[task] <= warned[task] <= given_up[task] + 1:
            times = f"{warned[task]} times that task {task} has no valid affinity"
            yield f"it says {times}, and gave it up {given_up[task]} times"


def _sums(trace: Trace) -> Counter[str]:
    """The counters of all CPUs."""
    sums: Counter[str] = Counter()
    fields: tuple[Field, ...] = event_type("v_cpu").fields
    for event in trace.of("v_cpu"):
        for field, value in zip(fields, event.values, strict=True):
            sums[field.name] += int(value)
    return sums


def _metrics(notes: list[str], sums: Counter[str]) -> Iterator[str]:
    if notes.count(METRICS) != 1:
        yield f"it has {notes.count(METRICS)} blocks of metrics"
        return
    start = notes.index(METRICS) + 1
    block = [text.strip() for text in notes[start : start + METRICS_LINES]]
    idle = sums["idle"] * 100 // max(sums["calls"], 1)
    kept = sums["switches"] - sums["voluntary"]
    due = {
        0: f"Context switches: {sums['switches']},"
        f" {sums['voluntary']} of them voluntary, {kept} not",
        3: f"Schedule calls: {sums['calls']}, {idle} percent of them to the idle task",
        4: f"Load balances: {sums['balances']}, task migrations: {sums['migrations']}",
        5: f"IPC blocks: {sums['blocks']}, wakeups: {sums['wakeups']}",
    }
    if len(block) != METRICS_LINES:
        yield f"its metrics have {len(block)} lines"
        return
    yield from (f"{block[n]!r} in its metrics, {text!r} is due" for n, text in due.items()
                if block[n] != text)  # fmt: skip
    yield from _times(block[1], block[2], bool(sums["switches"]))


def _times(latency: str, overhead: str, switched: bool) -> Iterator[str]:
    found, share = _LATENCY.fullmatch(latency), _OVERHEAD.fullmatch(overhead)
    if found is None or share is None:
        yield f"{latency!r} and {overhead!r} in its metrics are no times"
        return
    average, least, most = map(int, found.groups())
    if not least <= average <= most or bool(most) != switched:
        yield f"no switches take what it says: {latency!r}"
    if int(share[1]) > 100:
        yield f"nothing is such a share: {overhead!r}"
