"""Rules about what has to happen in time, read from the log alone.

P9 and P15 of the fact sheet's part C. Under the real clock a busy host may stop a CPU for as long
as it likes: P9 therefore counts the CPU's own ticks, and P15 is for the virtual clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.trace.grammar import Event
from harness.trace.trace import Trace

SILENT_PERIODS = 100
"""Tick periods that a CPU may be without a tick: interrupts are off while a ring is drained,
and a checked guest has every queue to look at besides."""
CLOSING_PERIODS = 500
"""The same between its last tick and its totals: the end of a run drains every ring."""

MAX_RT_PRIO = 100
SECONDS_A_TASK = 1.8
"""Longest turn of the arrays for each runnable task: a slice of 800 ms, and 1 s (STARVATION_LIMIT)
during which interactive tasks may put the turn off."""


def ticks_keep_coming(trace: Trace) -> Iterator[tuple[Event, str]]:
    """P15: no CPU is without a tick for long, from its first tick to the end of the run."""
    hello, end = trace.hello, trace.end
    if hello is None or end is None or hello.word("clock") != "virtual":
        return
    period = 1_000_000_000 // hello.number("hz")
    bound = SILENT_PERIODS * period
    last: dict[int, Event] = {}
    for event in trace.of("tick"):
        before = last.get(event.cpu)
        if before is not None and event.ns - before.ns > bound:
            yield event, _silence(event.cpu, before.ns, event.ns, bound)
        last[event.cpu] = event
    closed = {event.cpu: event for event in trace.of("cpu_summary")}
    for cpu, event in last.items():
        until = closed.get(cpu, end)
        if until.ns - event.ns > CLOSING_PERIODS * period:
            yield until, _silence(cpu, event.ns, until.ns, CLOSING_PERIODS * period)


def _silence(cpu: int, since: int, until: int, bound: int) -> str:
    waited = (until - since) / 1e6
    return f"CPU {cpu} has no tick for {waited:.1f} ms, {bound / 1e6:.1f} ms are allowed"


@dataclass
class _Queue:
    """A run queue as the events tell it."""

    priorities: dict[int, int] = field(default_factory=dict)
    """The queued tasks, the running one included, and their priorities."""
    waiting: dict[int, int] = field(default_factory=dict)
    """Since which tick of this CPU those that do not run are waiting, in order."""
    most: int = 0
    """Most tasks that were queued at once since somebody waits."""
    running: int = -1
    ticks: int = 0

    def follow(self, event: Event) -> None:
        match event.type.name:
            case "tick":
                self.ticks = event.number("n")
            case "switch":
                before, self.running = event.number("prev"), event.number("next")
                if before in self.priorities:
                    self.waiting[before] = self.ticks
                self.waiting.pop(self.running, None)
            case "dequeue":
                self.priorities.pop(event.number("task"), None)
                self.waiting.pop(event.number("task"), None)
            case "enqueue":
                task = event.number("task")
                self.priorities[task] = event.number("prio")
                if task != self.running:
                    self.waiting[task] = self.ticks
        self.most = max(self.most if self.waiting else 0, len(self.priorities))
        if any(prio < MAX_RT_PRIO for prio in self.priorities.values()):
            self.restart()

    def restart(self) -> None:
        """Whatever was waited for until now does not count."""
        self.waiting = dict.fromkeys(self.waiting, self.ticks)
        self.most = len(self.priorities)


def nobody_starves(trace: Trace) -> Iterator[tuple[Event, str]]:
    """P9: a normal task waits no longer than one turn of the arrays, real-time load aside.

    A task whose standing changes or that moves begins to wait anew.
    """
    hello = trace.hello
    if hello is None or hello.word("policy") != "o1":
        return
    a_task = SECONDS_A_TASK * hello.number("hz")
    queues: defaultdict[int, _Queue] = defaultdict(_Queue)
    for event in trace.of("enqueue", "dequeue", "switch", "tick"):
        rq = event.number("rq") if event.type.name.endswith("queue") else event.cpu
        queue = queues[rq]
        queue.follow(event)
        task, since = next(iter(queue.waiting.items()), (-1, queue.ticks))
        if queue.ticks - since > queue.most * a_task:
            allowed = f"{queue.most * a_task:.0f} are allowed for {queue.most} tasks"
            waited = f"task {task} waits for CPU {rq} for {queue.ticks - since} ticks"
            yield event, f"{waited}, {allowed}"
            queue.restart()
