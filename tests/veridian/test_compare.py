"""The same workload under both policies: definitions on logs made by hand, figures of boots."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.compare import compare
from harness.report.comparison import Figures, comparison_table, fairness, figures, jain
from harness.trace.grammar import Event, Value
from harness.trace.trace import Trace
from harness.workload import load
from harness.workload.units import parse_span
from tests.trace.logs import event

Step = tuple[str, int, int, dict[str, Value]]


def trace(*steps: Step) -> Trace:
    """A log of a policy on two CPUs from (event, CPU, ns, fields)."""
    made: list[Event] = [event("hello", 0, 0, 0, policy="o1", cpus=2)]
    for seq, (name, cpu, ns, fields) in enumerate(steps, start=1):
        made.append(event(name, seq, cpu, ns, **fields))
    return Trace(tuple(made))


def new(task: int, name: str) -> Step:
    return "task_new", 0, 0, {"task": task, "name": name}


def test_waits_last_from_queue_to_cpu_also_across_a_move() -> None:
    found = figures(
        trace(
            new(2, "a/0"),
            ("enqueue", 0, 100, {"task": 2}),
            ("dequeue", 0, 150, {"task": 2}),
            ("enqueue", 1, 150, {"task": 2, "rq": 1}),
            ("switch", 1, 400, {"prev": 1, "next": 2}),
            ("switch", 1, 900, {"prev": 2, "next": 1, "voluntary": 0}),
            ("switch", 0, 1000, {"prev": 0, "next": 2}),
            ("switch", 0, 1200, {"prev": 2, "next": 0, "voluntary": 1}),
            ("enqueue", 0, 2000, {"task": 2}),
            ("switch", 0, 2050, {"prev": 0, "next": 2}),
        )
    )
    assert (found.waits, found.wait_total, found.wait_max) == (3, 300 + 100 + 50, 300)
    assert (found.runs, found.switches, found.migrations) == (3, 5, 2)
    assert found.wait_mean == 150
    assert found.operations == 3e9 / 2050


def test_who_never_runs_waits_to_the_last_tick_and_counts_for_fairness() -> None:
    queued: list[Step] = [("enqueue", 0, 100, {"task": task}) for task in (2, 3)]
    ran: list[Step] = [("tick", 0, 110 + n, {"n": n}) for n in range(1, 41)]
    run: Step = ("switch", 0, 105, {"prev": 0, "next": 2})
    found = figures(trace(new(2, "a/0"), new(3, "a/1"), *queued, run, *ran))
    assert found.fairness == 0.5
    assert (found.waits, found.wait_total, found.wait_max) == (2, 5 + 50, 50)


def test_ticks_are_work_or_idle_and_idle_over_waiting_tasks_counts() -> None:
    found = figures(
        trace(
            new(2, "a"),
            ("tick", 0, 10, {"n": 1}),
            ("enqueue", 0, 20, {"task": 2}),
            ("tick", 1, 30, {"n": 1}),
            ("tick", 0, 35, {"n": 2}),
            ("switch", 0, 40, {"prev": 0, "next": 2}),
            ("tick", 0, 50, {"n": 3}),
            ("tick", 1, 60, {"n": 2}),
        )
    )
    assert (found.ticks, found.work_ticks, found.idle_while_waiting) == (5, 1, 2)
    assert found.work_percent == 20
    assert found.idle_percent == 40


def test_jains_index() -> None:
    assert jain([5, 5, 5]) == 1
    assert jain([9, 0, 0]) == pytest.approx(1 / 3)
    assert jain([]) == jain([0, 0]) == 1
    assert jain([1, 2, 3]) == pytest.approx(36 / 42)


def test_fairness_is_the_least_of_groups_that_ran_enough() -> None:
    even, odd, few = {1: 20, 2: 20}, {3: 30, 4: 10}, {5: 9, 6: 1}
    assert fairness([even, odd, few]) == pytest.approx(1600 / 2000)
    assert fairness([few, {7: 100}]) is None


def test_a_number_that_is_used_again_is_another_task() -> None:
    ticks: list[Step] = [("tick", 0, 10 * n, {"n": n}) for n in range(1, 41)]
    run: Step = ("switch", 0, 5, {"prev": 0, "next": 2})
    steps = [new(2, "a/0"), run, *ticks[:20], new(2, "a/1"), *ticks[20:]]
    found = figures(trace(*steps))
    assert found.fairness == 1


def test_a_log_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="who wrote it"):
        figures(Trace())


@pytest.fixture(scope="module")
def both() -> list[Figures]:
    workload = load("W4", duration=parse_span("200 ticks"))
    return compare(workload, cpus=2)


def test_both_policies_run_the_same_workload(both: list[Figures]) -> None:
    assert [run.policy for run in both] == ["o1", "veridian"]
    assert [run.outcome for run in both] == ["pass", "pass"]
    for run in both:
        assert run.ticks >= 390
        assert run.work_percent > 80
        assert run.wait_mean > 0
        assert run.fairness is not None
        assert 0.1 < run.fairness <= 1
    o1, veridian = both
    # Slices of 100 and of 10 ticks.
    assert veridian.switches > o1.switches
    assert veridian.wait_max < o1.wait_max


def test_the_table_has_a_column_for_each(both: list[Figures]) -> None:
    table = comparison_table(both)
    assert [column.header for column in table.columns] == ["", "o1", "veridian"]
    assert table.row_count == 9


def test_the_command_prints_json() -> None:
    result = CliRunner().invoke(app, ["compare", "W1", "--cpus", "1", "--policy", "o1", "--json"])
    assert result.exit_code == 0, result.output
    (run,) = json.loads(result.output)
    assert run["policy"] == "o1"
    assert run["work_percent"] > 90
    assert run["migrations"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["nothing"], "nothing"), (["W1", "--cpus", "0"], "cpus")],
)
def test_the_command_says_what_is_wrong(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["compare", *arguments])
    assert result.exit_code == 2
    assert words in result.output
