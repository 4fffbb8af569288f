"""The counters that the guest prints at the end of a run, read as tools read /proc/schedstat."""

from __future__ import annotations

import re

import pytest

from harness.boot import Run, boot
from harness.machine import Topology
from harness.trace.schedstat import (
    CPU_COUNTERS,
    Schedstat,
    format_schedstat,
    parse_schedstat,
    schedstat_of,
    schedstat_text,
)
from harness.workload import fold_cpus, load
from harness.workload.document import parse

NUMBERS = r"(?: (?:0|[1-9]\d*)){%d}\n"
DOMAIN = r"domain%d (?:[0-9a-f]{8},)*[0-9a-f]{1,8}" + NUMBERS % 19
"""A line of a scheduling domain, its level to be filled in."""

COUNTED_BY_OTHERS = {"ttwu_cnt", "ttwu_moved", "ttwu_attempts", "wunt_cnt", "alb_gained"}
"""By CPUs that may still be at work when a CPU has logged its own totals, as are tasks lost."""

UNPLUGGED = """
name: unplugged
duration: 30 ticks
cpus: 2
tasks:
  plugger: {cpus: 0, program: [sleep: 5 ticks, cpu_down: 1, forever: [sleep: 5 ticks]]}
  hog: {program: [forever: [run: 1 tick]]}
"""


def grammar(levels: int) -> str:
    """What Linux 2.6.11 writes: no line, blank or leading zero more."""
    domains = "".join(DOMAIN % level for level in range(levels))
    return rf"version 10\ntimestamp [1-9]\d*\n(?:cpu\d+{NUMBERS % 28}{domains})+"


def text_of(run: Run) -> str:
    assert run.outcome == "pass", run.verdict
    text = schedstat_text(run.trace)
    assert text is not None
    return text


def agree(printed: Schedstat, logged: Schedstat) -> bool:
    """Whether both are about the same counters, up to what was counted between the two."""
    for line, due in zip(printed.cpus, logged.cpus, strict=True):
        assert (line.cpu, line.domains) == (due.cpu, due.domains)
        for name, seen, least in zip(CPU_COUNTERS, line.counters, due.counters, strict=True):
            later = name in COUNTED_BY_OTHERS or name.endswith("_lost")
            assert seen >= least if later else seen == least, (line.cpu, name)
    return True


@pytest.mark.parametrize(
    ("cpus", "topology", "levels", "clock"),
    [
        (1, None, 1, "virtual"),
        (2, None, 1, "real"),
        (4, Topology(sockets=2, cores=2), 2, "virtual"),
    ],
)
def test_the_text_is_what_tools_read_and_what_the_events_say(
    cpus: int, topology: Topology | None, levels: int, clock: str
) -> None:
    workload = fold_cpus(load("W7"), cpus)
    run = boot(
        workload=workload,
        cpus=cpus,
        topology=topology,
        clock=clock,
        schedstat=1,
        timeout=300,
        quiet=60,
    )
    text = text_of(run)
    assert re.fullmatch(grammar(levels), text)
    printed = parse_schedstat(text)
    assert [line.cpu for line in printed.cpus] == [*range(cpus)]
    assert agree(printed, schedstat_of(run.trace))
    assert format_schedstat(printed, cpus) == text


def test_an_unplugged_cpu_has_no_line() -> None:
    run = boot(workload=parse(UNPLUGGED), cpus=2, schedstat=1, timeout=300, quiet=60)
    assert re.fullmatch(grammar(1), text_of(run))
    assert [line.cpu for line in parse_schedstat(text_of(run)).cpus] == [0]


def test_nothing_is_printed_unasked() -> None:
    run = boot(workload=parse(UNPLUGGED), cpus=2, timeout=300, quiet=60)
    assert run.outcome == "pass", run.verdict
    assert schedstat_text(run.trace) is None


@pytest.mark.parametrize("bad", ["cpu0 1\n", "version 11\n", "domain0 1" + " 0" * 19 + "\n"])
def test_the_grammar_is_strict(bad: str) -> None:
    good = f"version 10\ntimestamp 1\ncpu0{' 0' * 28}\ndomain0 1{' 0' * 19}\n"
    assert re.fullmatch(grammar(1), good)
    assert not re.fullmatch(grammar(1), good + bad)
    assert not re.fullmatch(grammar(2), good)
    assert not re.fullmatch(grammar(1), good.replace(" 0", " 00", 1))
