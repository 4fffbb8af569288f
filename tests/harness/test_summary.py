"""The table of CPUs."""

from __future__ import annotations

from rich.console import Console

from harness.report.summary import CpuRow, cpu_rows, cpu_table
from harness.trace.parser import parse_log
from tests.trace.logs import end, hello, line, short_log

LOG = b"".join(
    [
        hello(cpus=2),
        line("cpu_online", 1, 0, apic=0),
        line("cpu_online", 2, 1, apic=4),
        line("ipi_send", 3, 0, to=1, vector=64),
        line("ipi_recv", 4, 1, vector=64),
        line("ipi_latency", 5, 0, to=1, ns=1500, halted=0),
        line("ipi_latency", 6, 0, to=1, ns=2500, halted=0),
        line("ipi_latency", 7, 0, to=1, ns=9000, halted=1),
        line("tick", 8, 1, n=1),
        line("switch", 9, 1, prev=0, next=1),
        line("cpu_summary", 10, 0, ticks=70, ipis=80, switches=90),
        end(11),
    ]
)


def test_rows_count_events_unless_the_cpu_sums_up_itself() -> None:
    first, second = cpu_rows(parse_log(LOG))
    assert first == CpuRow(cpu=0, apic=0, ticks=70, interrupts=80, switches=90, events=8)
    assert (second.apic, second.ticks, second.interrupts, second.switches) == (4, 1, 1, 1)
    assert (second.latency_running, second.latency_halted) == ([1500, 2500], [9000])


def test_the_table_shows_one_cpu_a_line() -> None:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(cpu_table(cpu_rows(parse_log(LOG))))
    rows = [row.split() for row in capture.get().splitlines() if row.strip()[:1].isdigit()]
    assert rows == [
        ["0", "0", "70", "80", "90", "8", "-", "-"],
        ["1", "4", "1", "1", "1", "4", "2.0", "max", "2.5", "9.0", "max", "9.0"],
    ]


def test_a_damaged_log_still_gives_a_table() -> None:
    log = short_log()
    for length in range(0, len(log), 97):
        assert len(cpu_rows(parse_log(log[:length]))) <= 4
