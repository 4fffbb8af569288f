"""Named rules about events that hold for every sound log, whatever the scheduler.

H rules are about the hardware below it; K and P rules, by the names of the fact sheet's part C,
about its locks and about what must happen in time; C and T rules about its totals. What a scheduler
decides is judged by replay (`harness.oracle.o1.replay`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from harness.oracle import statistics
from harness.oracle.fairness import balancing_settles, hogs_share_alike
from harness.oracle.idling import nobody_idles_beside_work
from harness.oracle.interrupts import arrives_in_time, sent_as_decided
from harness.oracle.liveness import nobody_starves, ticks_keep_coming
from harness.oracle.locks import ascending_order, released_by_holder
from harness.oracle.veridian import words
from harness.oracle.wakeups import no_wake_up_lost
from harness.trace.grammar import Event
from harness.trace.trace import Trace


@dataclass(frozen=True)
class Violation:
    """A rule, the event that breaks it, and why."""

    rule: str
    event: Event
    detail: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail} at {self.event}"


@dataclass(frozen=True)
class Rule:
    """A rule's name, as reports give it, and the check that finds what breaks it."""

    name: str
    check: Callable[[Trace], Iterator[tuple[Event, str]]]

    def violations(self, trace: Trace) -> Iterator[Violation]:
        return (Violation(self.name, event, detail) for event, detail in self.check(trace))


def _consecutive(trace: Trace, name: str) -> Iterator[tuple[Event, str]]:
    seen: Counter[int] = Counter()
    for event in trace.of(name):
        due = seen[event.cpu] + 1
        seen[event.cpu] = event.number("n")
        if seen[event.cpu] != due:
            yield event, f"{name} {seen[event.cpu]} of CPU {event.cpu} where {due} is due"


def _cause_before_effect(trace: Trace) -> Iterator[tuple[Event, str]]:
    # Sending twice before the target takes the first is legal: the second coalesces with it.
    pending: Counter[tuple[int, int]] = Counter()
    for event in trace.of("ipi_send", "ipi_recv"):
        vector = event.number("vector")
        if event.name == "ipi_send":
            pending[event.number("to"), vector] += 1
        elif pending[event.cpu, vector] == 0:
            yield event, f"nobody has sent interrupt {vector:#x} to CPU {event.cpu}"
        else:
            pending[event.cpu, vector] -= 1


def _online_once(trace: Trace) -> Iterator[tuple[Event, str]]:
    owner: dict[int, int] = {}
    seen: set[int] = set()
    for event in trace.of("cpu_online"):
        apic = event.number("apic")
        if event.cpu in seen:
            yield event, f"CPU {event.cpu} comes up a second time"
        elif apic in owner:
            yield event, f"CPU {event.cpu} has the APIC id {apic} of CPU {owner[apic]}"
        seen.add(event.cpu)
        owner.setdefault(apic, event.cpu)


def _truthful_summary(trace: Trace) -> Iterator[tuple[Event, str]]:
    # Not the interrupts: those whose latency is being measured are counted, but not logged.
    counted = {
        field: Counter(event.cpu for event in trace.of(name))
        for field, name in (("ticks", "tick"), ("switches", "switch"))
    }
    for event in trace.of("cpu_summary"):
        for field, found in counted.items():
            said, logged = event.number(field), found[event.cpu]
            if logged and said != logged:
                yield event, f"CPU {event.cpu} counts {said} {field}, the log has {logged}"


RULES: tuple[Rule, ...] = (
    Rule("H1 ticks of a CPU count from 1 without a gap", partial(_consecutive, name="tick")),
    Rule("H2 marks of a CPU count from 1 without a gap", partial(_consecutive, name="mark")),
    Rule("H3 an interrupt arrives after it was sent", _cause_before_effect),
    Rule("H4 a CPU comes up once, under an APIC id of its own", _online_once),
    Rule("H5 the summary of a CPU counts what it logged", _truthful_summary),
    Rule("K1 two run-queue locks are taken in ascending order", ascending_order),
    Rule("K3 a lock is released by its holder, and in the end", released_by_holder),
    Rule("P7 who decides to interrupt a CPU so that it reschedules does so", sent_as_decided),
    Rule("P8 an interrupt to reschedule arrives before the second tick", arrives_in_time),
    Rule("P9 a normal task waits no longer than a turn of the arrays", nobody_starves),
    Rule("P11 no CPU idles for long while another has a task for it", nobody_idles_beside_work),
    Rule("P13 balancing leads to no distribution of tasks that it came from", balancing_settles),
    Rule("P15 every CPU's ticks keep coming", ticks_keep_coming),
    Rule("P17 equal hogs get equal time in whole turns of the arrays", hogs_share_alike),
    Rule("B11 the original's words and metrics say what the events say", words.contradictions),
    Rule("C5 what balancing moves, one CPU gains and another loses", statistics.moves_conserved),
    Rule("C8 no wake-up comes before the sleep that it is to end", no_wake_up_lost),
    Rule("T0 totals are the sums of what happened", statistics.totals),
    Rule("T1 a pass of schedule() swaps, does not, or idles", statistics.passes_of_schedule),
    Rule("T2 an attempt at balancing ends in one way", statistics.attempts_at_balancing),
    Rule("T3 a yield finds arrays empty at most once", statistics.yields),
    Rule("T4 wake-ups that move are placed, those placed are tried", statistics.wake_ups),
    Rule("T5 a tick is a task's or the idle task's", statistics.ticks_accounted),
    Rule("T6 no more comes by balancing than was asked for", statistics.tasks_gained),
    Rule("T7 balancing is attempted no more often than due", statistics.attempts_bounded),
)
