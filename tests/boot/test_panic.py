"""Crashes of the real guest: what it says of each, and what the report makes of that."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.boot import Run
from harness.oracle.outcome import Outcome
from harness.pytest_plugin import Booter
from harness.report.failure import failure_report
from harness.toolchain.image import Image
from harness.trace.damage import DamageKind
from harness.trace.panic import PanicReport
from tests.boot import PATIENT

CRASHES = re.findall(r"^    CRASH (\w+)$", Path(__file__).with_name("crash.s").read_text(), re.M)
PAGE_FAULT, DOUBLE_FAULT, SOFTWARE = (14, "#PF"), (8, "#DF"), (None, "")
BAD_OPCODE, GENERAL_PROTECTION, DIVISION = (6, "#UD"), (13, "#GP"), (0, "#DE")


def crash(boot: Booter, image: Path, how: str, cpu: int = 1, **options: Any) -> Run:
    """A run in which a task on `cpu` comes to grief."""
    run = boot(image, monitor=1, selftest="none", **{**PATIENT, **options})
    run.console.expect_exact("sched> ")
    run.console.sendline(f"spawn {how} {cpu} {CRASHES.index(how)}")
    return run


def report_of(run: Run) -> PanicReport:
    """The one report of a run that panicked."""
    assert run.outcome is Outcome.PANIC, run.verdict
    assert run.result.status == 37
    (report,) = run.trace.panics
    assert report.complete
    assert report.registers is not None
    assert len(report.registers) == 17
    return report


def places(run: Run, report: PanicReport) -> list[str]:
    """The functions that the report leads through, innermost first."""
    assert report.rip is not None
    with Image(run.config.image) as image:
        calls = [image.locate(address - 1) for address in report.backtrace]
        return [place.symbol for place in [image.locate(report.rip), *calls]]


@pytest.mark.parametrize(
    ("how", "exception", "error", "reason"),
    [
        ("null_pointer", PAGE_FAULT, 0x0, "page fault (null pointer)"),
        ("wild_pointer", GENERAL_PROTECTION, 0x0, "general protection fault"),
        ("write_to_code", PAGE_FAULT, 0x3, "page fault"),
        ("invalid_opcode", BAD_OPCODE, 0x0, "invalid opcode"),
        ("division", DIVISION, 0x0, "divide error"),
    ],
)
@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_an_exception_is_reported_where_it_happened(
    boot: Booter,
    crashing_guest: Path,
    clock: str,
    how: str,
    exception: tuple[int, str],
    error: int,
    reason: str,
) -> None:
    run = crash(boot, crashing_guest, how, cpu=2, clock=clock)
    report = report_of(run)
    assert (report.cpu, report.error, report.reason) == (2, error, reason)
    assert (report.vector, report.name) == exception
    assert places(run, report) == [f"crash_{how}", "crash", "task_begin"]


def test_a_stack_overflow_is_named(boot: Booter, crashing_guest: Path) -> None:
    """The page fault in the guard page finds no stack either; another one is kept for that."""
    run = crash(boot, crashing_guest, "stack_overflow")
    report = report_of(run)
    assert (report.vector, report.name) == DOUBLE_FAULT
    assert report.reason == "stack overflow (guard page)"
    assert set(places(run, report)) == {"crash_stack_overflow"}
    assert report.cr2 is not None
    assert report.registers is not None
    assert 0 < report.registers["rsp"] - report.cr2 <= 8


def test_a_call_of_nothing_is_reported_with_its_caller(boot: Booter, crashing_guest: Path) -> None:
    run = crash(boot, crashing_guest, "null_call")
    report = report_of(run)
    assert (report.rip, report.cr2, report.reason) == (0, 0, "page fault (null pointer)")
    assert places(run, report) == ["", "crash", "task_begin"]


def test_data_is_not_executed(boot: Booter, crashing_guest: Path) -> None:
    run = crash(boot, crashing_guest, "jump_to_data")
    report = report_of(run)
    assert ((report.vector, report.name), report.error) == (PAGE_FAULT, 0x11)
    assert places(run, report)[0] == "boot_gdt"


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("lock_twice", "spin_lock: this CPU holds the lock already"),
        ("lock_of_another", "spin_unlock: this CPU does not hold the lock"),
    ],
)
def test_a_broken_invariant_is_a_panic(
    boot: Booter, crashing_guest: Path, how: str, reason: str
) -> None:
    run = crash(boot, crashing_guest, how)
    report = report_of(run)
    assert ((report.vector, report.name), report.reason) == (SOFTWARE, reason)
    assert f"crash_{how}" in places(run, report)


def test_a_stack_that_was_overrun_is_found_at_the_next_switch(
    boot: Booter, crashing_guest: Path
) -> None:
    report = report_of(crash(boot, crashing_guest, "canary"))
    assert report.reason.startswith("stack overflow: the canary of the task")


def test_an_interrupt_that_nobody_expects_is_a_panic(boot: Booter, crashing_guest: Path) -> None:
    report = report_of(crash(boot, crashing_guest, "surprise"))
    assert (report.vector, report.name) == (0x55, "interrupt")
    assert report.reason == "interrupt on a vector that nothing was set up to raise"


def test_a_fault_without_handler_is_a_triple_fault(boot: Booter, crashing_guest: Path) -> None:
    run = crash(boot, crashing_guest, "no_idt")
    assert run.outcome is Outcome.TRIPLE_FAULT, run.verdict
    assert run.result.status == 0


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_a_cpu_that_stops_is_a_hang_with_its_place(
    boot: Booter, crashing_guest: Path, clock: str
) -> None:
    run = crash(boot, crashing_guest, "silence", cpu=0, clock=clock, quiet=1.0, cpus=1)
    assert run.outcome is Outcome.HANG, run.verdict
    assert re.search(r"in crash_silence\+0x\w+ \(.*crash\.s:\d+\)", failure_report(run))


def test_the_log_until_the_panic_is_saved(boot: Booter, crashing_guest: Path) -> None:
    run = crash(boot, crashing_guest, "null_pointer", clock="virtual")
    report_of(run)
    # A CPU may be stopped between drawing a number and writing its event: a gap.
    assert set(run.trace.damage_counts) - {DamageKind.GAP} == {DamageKind.MISSING_END}
    (task,) = run.trace.of("task_new")
    # A tick may come before it crashes.
    last = [event for event in run.trace.events if event.cpu == 1 and event.name != "tick"][-1]
    assert (last.name, last.number("next")) == ("switch", task.number("task"))


def test_the_report_of_a_failure_names_places_in_the_source(
    boot: Booter, crashing_guest: Path
) -> None:
    run = crash(boot, crashing_guest, "division")
    text = failure_report(run)
    assert text.startswith("panic: CPU 1: #DE divide error at 0x")
    assert re.search(r"\n  at crash_division\+0x\w+ \(.*crash\.s:\d+\)\n", text)
    assert re.search(r"\n  called from 0x\w+ crash\+0x\w+ \(.*crash\.s:\d+\)\n", text)
    assert re.search(r"\n  called from 0x\w+ task_begin\+0x\w+ \(.*task\.s:\d+\)\n", text)
