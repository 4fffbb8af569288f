"""Results of the guest's self-tests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.trace.ktap import Status, parse_ktap

GOOD = """\
KTAP version 1
1..4
# testing bits
ok 1 find_first_bit
not ok 2 enqueue # list is empty
ok 3 - numa # SKIP one node
not ok 4 later # TODO not written
"""

NESTED = """\
KTAP version 1
1..2
  KTAP version 1
  1..2
  # low bits
  ok 1 low
  not ok 2 high
not ok 1 bits
ok 2 locks
"""


def test_results_have_names_states_and_reasons() -> None:
    report = parse_ktap(GOOD.splitlines())
    assert [(result.path, result.status, result.reason) for result in report.results] == [
        ("find_first_bit", Status.OK, ""),
        ("enqueue", Status.NOT_OK, "list is empty"),
        ("numa", Status.SKIPPED, "one node"),
        ("later", Status.EXPECTED_FAILURE, "not written"),
    ]
    assert report.results[0].diagnostics == ("testing bits",)
    assert report.problems == ()
    assert [result.path for result in report.failures] == ["enqueue"]
    assert not report.passed


def test_nested_tests_are_named_after_their_suite() -> None:
    report = parse_ktap(NESTED.splitlines())
    assert [result.path for result in report.results] == ["bits/low", "bits/high", "bits", "locks"]
    assert report.results[0].diagnostics == ("low bits",)
    assert report.problems == ()


def test_a_console_without_results_has_no_report() -> None:
    report = parse_ktap(["booting", "ok then", "# comment", ""])
    assert not report.present
    assert report.passed


def test_several_reports_in_one_log_add_up() -> None:
    report = parse_ktap((GOOD + "some text\n" + GOOD).splitlines())
    assert len(report.results) == 8
    assert report.problems == ()


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["KTAP version 1", "1..3", "ok 1 a", "ok 2 b"], "plan is 1..3, 2 results"),
        (["KTAP version 1", "1..1", "ok 1 a", "ok 2 b"], "plan is 1..1, 2 results"),
        (["KTAP version 1", "1..0"], None),
        (["KTAP version 1"], "no plan (1..N), 0 results"),
        (["KTAP version 1", "ok 1 a"], "no plan (1..N), 1 results"),
        (["1..1", "ok 1 a"], "plan 1..1 before a version line"),
        (["ok 1 a"], "result before a version line: ok 1 a"),
        (["KTAP version 1", "1..2", "1..2", "ok 1 a", "ok 2 b"], "second plan 1..2"),
        (["KTAP version 1", "1..2", "ok 2 b", "ok 1 a"], "result 2 where 1 is due"),
        (["KTAP version 1", "1..1", "ok a"], "result without a number where 1 is due"),
        (["KTAP version 1", "1..1", "ok 1 a", "Bail out! no memory"], "bailed out: no memory"),
        (["Bail out!"], "bailed out: no reason given"),
        (
            ["KTAP version 1", "1..1", "  KTAP version 1", "  1..2", "  ok 1 x", "ok 1 a"],
            "plan of a nested test is 1..2, 1 results",
        ),
    ],
)
def test_a_report_that_does_not_add_up_never_passes(lines: list[str], problem: str | None) -> None:
    report = parse_ktap(lines)
    assert report.passed is (problem is None)
    assert problem is None or problem in report.problems


@pytest.mark.parametrize("directive", ["TIMEOUT", "ERROR"])
def test_a_test_that_could_not_finish_failed(directive: str) -> None:
    report = parse_ktap(["KTAP version 1", "1..1", f"ok 1 a # {directive} late"])
    assert report.results[0].status is Status.NOT_OK
    assert report.results[0].reason == f"{directive.lower()} late"


@given(st.integers(0, 6))
def test_no_line_of_a_passing_report_can_be_lost(lost: int) -> None:
    lines = ["KTAP version 1", "1..5", *(f"ok {number} test" for number in range(1, 6))]
    assert parse_ktap(lines).passed
    assert not parse_ktap(lines[:lost] + lines[lost + 1 :]).passed


@given(st.lists(st.one_of(st.sampled_from((GOOD + NESTED).splitlines()), st.text(max_size=30))))
def test_any_lines_are_read_without_an_error(lines: list[str]) -> None:
    report = parse_ktap(lines)
    assert report.passed <= (not report.failures)
