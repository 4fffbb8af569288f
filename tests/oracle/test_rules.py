"""The rules that every sound log obeys, each broken once."""

from __future__ import annotations

import pytest

from harness.oracle.rules import RULES
from harness.trace.parser import parse_log
from tests.trace.logs import end, hello, line, short_log


def broken(*lines: bytes) -> list[str]:
    trace = parse_log(b"".join([hello(), *lines, end(len(lines) + 1)]))
    assert trace.sound, trace.damages
    return [str(violation) for rule in RULES for violation in rule.violations(trace)]


def test_a_good_log_breaks_no_rule() -> None:
    trace = parse_log(short_log())
    assert [violation for rule in RULES for violation in rule.violations(trace)] == []


@pytest.mark.parametrize(
    ("lines", "name", "detail"),
    [
        (
            [
                line("lock", 1, 0, rq=1, how=0),
                line("lock", 2, 0, rq=0, how=0),
                line("unlock", 3, 0, rq=0),
                line("unlock", 4, 0, rq=1),
            ],
            "K1",
            "CPU 0 waits for lock 0 while it holds 1",
        ),
        (
            [
                line("lock", 1, 0, rq=1, how=0),
                line("lock", 2, 1, rq=1, how=0),
                line("unlock", 3, 1, rq=1),
            ],
            "K3",
            "CPU 1 has lock 1, which CPU 0 holds",
        ),
        (
            [line("lock", 1, 0, rq=1, how=0), line("unlock", 2, 1, rq=1)],
            "K3",
            "CPU 1 releases lock 1, which it does not hold",
        ),
        ([line("lock", 1, 0, rq=1, how=0)], "K3", "CPU 0 still holds lock 1 at the end"),
        ([line("tick", 1, 0, n=2)], "H1", "tick 2 of CPU 0 where 1 is due"),
        (
            [line("tick", 1, 0, n=1), line("tick", 2, 1, n=1), line("tick", 3, 0, n=1)],
            "H1",
            "tick 1 of CPU 0 where 2 is due",
        ),
        (
            [line("mark", 1, 0, n=1), line("mark", 2, 1, n=1), line("mark", 3, 0, n=3)],
            "H2",
            "mark 3 of CPU 0 where 2 is due",
        ),
        (
            [line("ipi_recv", 1, 2, vector=64)],
            "H3",
            "nobody has sent interrupt 0x40 to CPU 2",
        ),
        (
            [
                line("ipi_send", 1, 1, to=2, vector=64),
                line("ipi_recv", 2, 2, vector=64),
                line("ipi_recv", 3, 2, vector=64),
            ],
            "H3",
            "nobody has sent interrupt 0x40 to CPU 2",
        ),
        (
            [line("cpu_online", 1, 0, apic=0), line("cpu_online", 2, 0, apic=0)],
            "H4",
            "CPU 0 comes up a second time",
        ),
        (
            [line("cpu_online", 1, 0, apic=0), line("cpu_online", 2, 1, apic=0)],
            "H4",
            "CPU 1 has the APIC id 0 of CPU 0",
        ),
        (
            [line("tick", 1, 0, n=1), line("cpu_summary", 2, 0, ticks=2, ipis=0, switches=0)],
            "H5",
            "CPU 0 counts 2 ticks, the log has 1",
        ),
    ],
)
def test_each_rule_bites(lines: list[bytes], name: str, detail: str) -> None:
    (violation,) = broken(*lines)
    assert violation.startswith(f"{name} ")
    assert detail in violation


def test_two_interrupts_may_arrive_as_one() -> None:
    send = [line("ipi_send", seq, 1, to=2, vector=64) for seq in (1, 2)]
    assert broken(*send, line("ipi_recv", 3, 2, vector=64)) == []
