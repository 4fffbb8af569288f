"""Panic reports and refusals."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.trace.panic import parse_panics, parse_refusals

REPORT = [
    "PANIC cpu=2 vector=14 name=#PF error=0x2 rip=0x101234 cr2=0x0 cr3=0x1000"
    " reason=page fault (null pointer)",
    "PANIC rax=0x1 rbx=0x2 rcx=0x3 rdx=0x4 rsi=0x5 rdi=0x6 rbp=0x7 rsp=0x8",
    "PANIC r8=0x9 r15=0xf rflags=0x202",
    "PANIC backtrace 0x101234 0x100100",
    "PANIC end",
]


def test_a_report_is_read_whole() -> None:
    (report,) = parse_panics(["booting", *REPORT, "text"])
    assert (report.cpu, report.vector, report.name, report.error) == (2, 14, "#PF", 2)
    assert (report.rip, report.cr2, report.cr3) == (0x101234, 0, 0x1000)
    assert report.reason == "page fault (null pointer)"
    assert report.registers is not None
    assert report.registers["rsp"] == 8
    assert report.registers["rflags"] == 0x202
    assert report.backtrace == (0x101234, 0x100100)
    assert report.complete
    assert str(report) == "CPU 2: #PF page fault (null pointer) at 0x101234"


def test_a_panic_that_software_raised_has_no_vector() -> None:
    (report,) = parse_panics(["PANIC cpu=0 vector=- name=- reason=runqueue lock held by CPU 3"])
    assert (report.vector, report.name) == (None, "")
    assert not report.complete
    assert str(report) == "CPU 0: runqueue lock held by CPU 3 (report incomplete)"


def test_two_cpus_that_panic_give_two_reports() -> None:
    first, second = parse_panics([*REPORT, *(row.replace("cpu=2", "cpu=3") for row in REPORT)])
    assert (first.cpu, second.cpu) == (2, 3)


def test_a_report_without_its_first_line_is_still_a_report() -> None:
    (report,) = parse_panics(REPORT[1:])
    assert report.cpu is None
    assert report.complete


@given(st.lists(st.one_of(st.sampled_from(REPORT), st.text(max_size=40).map("PANIC ".__add__))))
def test_any_report_is_read_without_an_error(lines: list[str]) -> None:
    reports = parse_panics(lines)
    assert bool(reports) == bool(lines)
    assert all(str(report) for report in reports)


def test_refusals_are_collected() -> None:
    lines = ["REFUSED unknown parameter colour=red", "REFUSEDx", "text"]
    assert parse_refusals(lines) == ("unknown parameter colour=red",)
