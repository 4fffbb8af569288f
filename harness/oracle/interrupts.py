"""Rules about the interrupts by which CPUs ask each other to reschedule, read from logs."""

from __future__ import annotations

from collections.abc import Iterator

from harness.trace.grammar import Event
from harness.trace.trace import Trace

RESCHEDULE = 0xFC
"""Vector of the interrupt, `VECTOR_RESCHEDULE` of the guest."""
CALL = 0xFA
"""Vector of the interrupt that has a CPU run a function, `VECTOR_CALL` of the guest."""
TICKS_TO_ARRIVE = 1
"""Ticks that the target may begin first: one that was pending already when the interrupt came."""
TICKS_ON_A_BUSY_HOST = 50
"""The same under the real clock: the host may stop the sender when it has logged what it is about
to do."""


def sent_as_decided(trace: Trace) -> Iterator[tuple[Event, str]]:
    """P7: where a decision says that a CPU is interrupted, the interrupt is what comes next."""
    due: dict[int, Event] = {}
    for event in trace.events:
        decision = due.pop(event.cpu, None)
        if decision is not None:
            target = decision.number("rq")
            sent = event.name == "ipi_send" and event.number("vector") == RESCHEDULE
            if not sent or event.number("to") != target:
                yield decision, f"CPU {event.cpu} sends no interrupt to CPU {target} next"
        if event.name == "resched" and event.number("ipi"):
            due[event.cpu] = event


def arrives_in_time(trace: Trace) -> Iterator[tuple[Event, str]]:
    """P8: the interrupt arrives before the target's second tick. Several that were sent before
    the target took one are one."""
    real = trace.hello is not None and trace.hello.word("clock") == "real"
    allowed = TICKS_ON_A_BUSY_HOST if real else TICKS_TO_ARRIVE
    sent: dict[int, Event] = {}
    ticks: dict[int, int] = {}
    for event in trace.of("ipi_send", "ipi_recv", "tick"):
        cpu = event.cpu
        if event.name == "tick":
            ticks[cpu] = ticks.get(cpu, 0) + 1
            if cpu in sent and ticks[cpu] > allowed:
                origin = sent.pop(cpu)
                yield origin, f"CPU {cpu} has ticked {ticks[cpu]} times without taking it"
        elif event.number("vector") == RESCHEDULE:
            if event.name == "ipi_recv":
                sent.pop(cpu, None)
            else:
                to = event.number("to")
                if sent.setdefault(to, event) is event:
                    ticks[to] = 0
