"""The rules about interrupts that ask CPUs to reschedule, each broken once."""

from __future__ import annotations

import pytest

from harness.oracle.interrupts import RESCHEDULE, arrives_in_time, sent_as_decided
from harness.trace.parser import parse_log
from harness.trace.trace import Trace
from tests.trace.logs import end, hello, line


def log(*events: tuple[str, int, dict[str, int]], clock: str = "virtual") -> Trace:
    lines = [line(name, seq, cpu, **fields) for seq, (name, cpu, fields) in enumerate(events, 1)]
    trace = parse_log(b"".join([hello(clock=clock), *lines, end(len(lines) + 1)]))
    assert trace.sound, trace.damages
    return trace


def resched(cpu: int, rq: int, ipi: int) -> tuple[str, int, dict[str, int]]:
    return "resched", cpu, {"task": 9, "rq": rq, "was": 0, "polling": 0, "ipi": ipi}


def send(cpu: int, to: int, vector: int = RESCHEDULE) -> tuple[str, int, dict[str, int]]:
    return "ipi_send", cpu, {"to": to, "vector": vector}


def tick(cpu: int, n: int) -> tuple[str, int, dict[str, int]]:
    return "tick", cpu, {"n": n}


RECEIVED = ("ipi_recv", 1, {"vector": RESCHEDULE})


def test_a_decision_followed_by_its_interrupt_is_kept() -> None:
    trace = log(resched(0, 1, 1), tick(1, 1), send(0, 1), resched(0, 0, 0), tick(0, 1))
    assert list(sent_as_decided(trace)) == []


@pytest.mark.parametrize(
    "after", [tick(0, 1), send(0, 2), send(0, 1, vector=0xFB)], ids=["none", "whom", "what"]
)
def test_a_decision_without_its_interrupt_breaks_p7(after: tuple[str, int, dict[str, int]]) -> None:
    [(event, words)] = sent_as_decided(log(resched(0, 1, 1), after))
    assert event.name == "resched"
    assert words == "CPU 0 sends no interrupt to CPU 1 next"


def test_an_interrupt_may_come_after_a_tick_that_was_pending() -> None:
    trace = log(send(0, 1), send(2, 1), tick(1, 1), RECEIVED, tick(1, 2), tick(1, 3))
    assert list(arrives_in_time(trace)) == []


def test_an_interrupt_that_stays_away_breaks_p8() -> None:
    [(event, words)] = arrives_in_time(log(send(0, 1), tick(0, 1), tick(1, 1), tick(1, 2)))
    assert (event.name, event.cpu) == ("ipi_send", 0)
    assert words == "CPU 1 has ticked 2 times without taking it"


def test_a_host_may_stop_the_sender_and_not_for_ever() -> None:
    ticks = [tick(1, n) for n in range(1, 52)]
    assert list(arrives_in_time(log(send(0, 1), *ticks[:-1], clock="real"))) == []
    [(_, words)] = arrives_in_time(log(send(0, 1), *ticks, clock="real"))
    assert words == "CPU 1 has ticked 51 times without taking it"
