"""The rules of workloads: each one, broken, gives its own message and path."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from harness.workload import Workload, WorkloadError, fold_cpus, validate
from harness.workload.document import parse
from harness.workload.errors import format_path
from harness.workload.model import (
    CpuDown,
    CpuUp,
    Exit,
    Loop,
    Run,
    SetCpus,
    Span,
    Step,
    Task,
    Timer,
    Yield,
    walk,
)
from tests.workload.generate import workloads

TOP = """
name: w
duration: 1s
cpus: 2
mutexes: [m, n]
conditions: [c]
barriers: {b: 2}
tasks:
  pair: {count: 2, program: [block, barrier: b]}
  child: {template: true, program: [exit]}
"""


def reason(text: str) -> str:
    with pytest.raises(WorkloadError) as caught:
        parse(text, "f")
    return str(caught.value)


@pytest.mark.parametrize(
    ("replacement", "message"),
    [
        (("name: w", "name: 'a b'"), "f:2:1: name: a name is 1 to 63 printable characters without"),
        (("cpus: 2", "cpus: 0"), "f:4:1: cpus: the number of CPUs is 1 to 256, not 0"),
        (("cpus: 2", "cpus: 257"), "f:4:1: cpus: the number of CPUs is 1 to 256, not 257"),
        (("duration: 1s", "duration: 0s"), "f:3:1: duration: a time must be longer than 0"),
        (
            ("duration: 1s", "duration: 9223372036854775808 ticks"),
            "f:3:1: duration: a time in ticks is 1 to 9223372036854775807, not",
        ),
        (("[m, n]", "[m, m]"), "f:5:14: mutexes[1]: 'm' is declared twice"),
        (("[c]", "['']"), "f:6:14: conditions[0]: a name is 1 to 63 printable characters"),
        (
            ("{b: 2}", "{b: 1}"),
            "f:7:12: barriers.b: the number of parties of a barrier is 2 to 65535",
        ),
        (
            ("{b: 2}", "{b: 3}"),
            "f:7:12: barriers.b: the barrier waits for 3 tasks, but only 2 ever come to it",
        ),
        (
            ("  pair:", "  2nd:"),
            "tasks['2nd']: a task name is a letter followed by letters, digits",
        ),
        (
            ("  pair:", "  abcdefghijklmnop:"),
            "the name is too long: 13 characters at most with 2 inst",
        ),
        (
            ("count: 2", "count: 0"),
            "tasks.pair.count: the number of instances is 1 to 65535, not 0",
        ),
        (
            ("template: true", "template: true, count: 2"),
            "child.count: a template is not started, so",
        ),
        (
            ("template: true", "template: true, start_cpu: 1"),
            "child.start_cpu: a forked task starts on",
        ),
        (
            ("template: true", "template: true, kernel: true"),
            "child.kernel: a forked task is of its",
        ),
        (("template: true", "nice: 20"), "tasks.child.nice: nice is -20 to 19, not 20"),
        (
            ("template: true", "priority: 5"),
            "child.priority: a normal task has no real-time priority",
        ),
        (
            ("template: true", "policy: rr, priority: 100"),
            "tasks.child.priority: a real-time priority is 0 to 99, not 100",
        ),
        (("template: true", "cpus: []"), "tasks.child.cpus: the set of CPUs is empty"),
        (
            ("template: true", "cpus: 1-2"),
            "child.cpus: CPU 2 is not one of the workload's 2 (from 0; see 'cpus')",
        ),
        (
            ("template: true", "start_cpu: 2"),
            "tasks.child.start_cpu: CPU 2 is not one of the workload",
        ),
        (
            ("template: true", "start_cpu: 1, cpus: 0"),
            "tasks.child.start_cpu: CPU 1 is not in the task's own 'cpus'",
        ),
        (("[exit]", "[]"), "child.program: the program is empty; to end at once write [exit]"),
        (("[exit]", "[block]"), "child.program[0].block: no step can wake a forked task by name"),
        (
            ("[exit]", "[{fork: child}]"),
            "tasks.child.program[0].fork: endless forks: child -> child",
        ),
    ],
)
def test_rules_of_the_whole(replacement: tuple[str, str], message: str) -> None:
    assert replacement[0] in TOP
    found = reason(TOP.replace(*replacement, 1))
    assert message in found
    assert found.startswith("f:")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("{run: 0ms}", "[0].run: a time must be longer than 0"),
        ("{sleep: 0 ticks}", "[0].sleep: a time must be longer than 0"),
        ("{spin: 0ns}", "[0].spin: a time must be longer than 0"),
        ("{timer: 0s}", "[0].timer: a time must be longer than 0"),
        (
            "{loop: 0, do: [yield]}",
            "[0].loop: the repeat count of a loop is 1 to 4294967295, not 0",
        ),
        ("{wake: piar}", "[0].wake: no task named 'piar' (did you mean 'pair'?)"),
        (
            "{wake: child}",
            "[0].wake: 'child' is a template: its copies have no name to reach them by",
        ),
        ("{wake: pair/2}", "[0].wake: 'pair' has 2 instances, numbered from 0"),
        ("{wake: pair/same}", "[0].wake: /same needs as many instances of 't' as of 'pair' (2)"),
        ("{wake: t}", "[0].wake: a task cannot wake itself: it is awake"),
        ("{fork: pair}", "[0].fork: 'pair' is not a template: give it 'template: true' to fork it"),
        ("{fork: chil}", "[0].fork: no task named 'chil' (did you mean 'child'?)"),
        ("{nice: -21}", "[0].nice: nice is -20 to 19, not -21"),
        ("{nice: {to: 1, task: x}}", "[0].nice: no task named 'x'"),
        (
            "{policy: {to: normal, priority: 1}}",
            "[0].policy: a normal task has no real-time priority",
        ),
        ("{policy: {to: rr, priority: -1}}", "[0].policy: a real-time priority is 0 to 99, not -1"),
        ("{cpus: 7}", "[0].cpus: CPU 7 is not one of the workload's 2"),
        ("{lock: x}", "[0].lock: no mutex named 'x' (known: m, n)"),
        ("{unlock: x}", "[0].unlock: no mutex named 'x'"),
        ("{barrier: x}", "[0].barrier: no barrier named 'x' (known: b)"),
        ("{wait: x}", "[0].wait: no condition named 'x' (known: c)"),
        ("{wait: {on: c, mutex: x}}", "[0].wait.mutex: no mutex named 'x'"),
        ("{signal: x}", "[0].signal: no condition named 'x'"),
        ("{broadcast: x}", "[0].broadcast: no condition named 'x'"),
        ("exit, yield", "[1]: this step is never reached: it comes after exit"),
        (
            "{forever: [yield]}, exit",
            "[1]: this step is never reached: it comes after a loop without",
        ),
        (
            "{loop: 2, do: [exit, yield]}",
            "[0].do[1]: this step is never reached: it comes after exit",
        ),
        ("{loop: 2, do: []}", "[0].do: the loop is empty"),
        ("{forever: []}", "[0].forever: the loop is empty"),
        ("{forever: [{nice: 1}, {wake: pair}]}", "[0].forever: the loop would hang its CPU"),
        ("{forever: [{fork: child}]}", "[0].forever: the loop would hang its CPU"),
        ("{forever: [{loop: 9, do: [{nice: 1}]}]}", "[0].forever: the loop would hang its CPU"),
        ("{forever: [{lock: m}, {unlock: m}]}", "[0].forever: the loop would hang its CPU"),
        (
            "{lock: m}, {lock: m}",
            "[1].lock: the task holds mutex 'm' already and would wait for itself",
        ),
        ("{unlock: m}", "[0].unlock: the task does not hold mutex 'm' here"),
        ("{lock: m}, {unlock: n}", "[1].unlock: the task does not hold mutex 'n' here"),
        ("{lock: m}, exit", "[1].exit: the task ends while it holds mutex 'm'"),
        ("{lock: m}", ": the task ends while it holds mutex 'm'"),
        (
            "{wait: {on: c, mutex: m}}",
            "[0].wait: the task does not hold mutex 'm' here; lock it first",
        ),
        (
            "{loop: 2, do: [{lock: m}]}",
            "[0].do: a pass through the loop changes what is held: m",
        ),
        (
            "{lock: m}, {loop: 2, do: [{unlock: m}]}",
            "[1].do: a pass through the loop changes what is held: m",
        ),
        (
            "{forever: [{run: 1ms}, {lock: m}]}",
            "[0].forever: a pass through the loop changes what is held: m",
        ),
    ],
)
def test_rules_of_programs(steps: str, message: str) -> None:
    found = reason(TOP + f"  t: {{program: [{steps}]}}\n")
    assert f": tasks.t.program{message}" in found
    assert found.startswith("f:11:")


@pytest.mark.parametrize(
    "steps",
    [
        "{forever: [{sleep: 1ms}]}",
        "{forever: [{wait: c}]}",
        "{forever: [{loop: 9, do: [{spin: 1us}]}]}",
        "{lock: m}, {lock: n}, {unlock: m}, {unlock: n}",
        "{lock: m}, {loop: 2, do: [{wait: {on: c, mutex: m}}]}, {unlock: m}",
        "{forever: [{run: 1ms}, exit]}",
        "{loop: 2, do: [{loop: 2, do: [{loop: 2, do: [{loop: 2, do: [yield]}]}]}]}",
        "{wake: pair}, {wake: pair/1}, {fork: child}",
    ],
)
def test_what_only_looks_like_a_mistake_is_allowed(steps: str) -> None:
    assert parse(TOP + f"  t: {{program: [{steps}]}}\n").tasks[-1].name == "t"


class TestEnd:
    """Without a duration every task has to end."""

    @pytest.mark.parametrize(
        ("program", "path", "message"),
        [
            ("[{forever: [{sleep: 1ms}]}]", "[0].forever", "the workload never ends: give it a 'd"),
            (
                "[block]",
                "[0]",
                "the workload never ends: nobody wakes 't'; do, or give a 'duration'",
            ),
            (
                "[{wait: c}]",
                "[0]",
                "the workload never ends: nobody signals 'c'; do, or give a 'dur",
            ),
        ],
    )
    def test_a_workload_without_end_is_refused(self, program: str, path: str, message: str) -> None:
        text = f"{{name: w, conditions: [c], tasks: {{t: {{program: {program}}}}}}}"
        assert f"tasks.t.program{path}: {message}" in reason(text)

    def test_one_that_ends_is_not(self) -> None:
        text = """
name: w
conditions: [c]
tasks:
  t: {program: [block, wait: c, forever: [{run: 1ms}, exit]]}
  u: {program: [wake: t, sleep: 1ms, signal: c]}
"""
        assert parse(text).duration is None


class TestInPython:
    def test_no_started_task(self) -> None:
        with pytest.raises(WorkloadError, match="tasks: no task is started"):
            validate(Workload("w", (Task("t", (Exit(),), template=True),)))

    def test_two_tasks_of_one_name(self) -> None:
        task = Task("t", (Exit(),))
        with pytest.raises(WorkloadError, match=r"tasks\.t: two tasks are named 't'"):
            validate(Workload("w", (task, task)))

    def test_too_many_records(self) -> None:
        tasks = tuple(Task(f"t{i}", (Exit(),), count=65535) for i in range(2))
        with pytest.raises(WorkloadError, match="at most 65535 tasks and templates, not 131070"):
            validate(Workload("w", tasks))

    def test_as_many_records_as_there_can_be(self) -> None:
        validate(Workload("w", (Task("t", (Exit(),), count=65535),)))

    def test_too_many_mutexes(self) -> None:
        names = tuple(f"m{i}" for i in range(65535))
        with pytest.raises(WorkloadError, match="mutexes: at most 65534 mutexes, not 65535"):
            validate(Workload("w", (Task("t", (Exit(),)),), mutexes=names))

    def test_loops_nest_four_deep(self) -> None:
        step: Step = Yield()
        for _ in range(4):
            step = Loop(2, (step,))
        validate(Workload("w", (Task("t", (step,)),)))
        with pytest.raises(WorkloadError, match="counted loops nest deeper than 4"):
            validate(Workload("w", (Task("t", (Loop(2, (step,)),)),)))

    def test_a_task_has_four_timers(self) -> None:
        steps = tuple(Timer(1, f"t{i}") for i in range(5))
        validate(Workload("w", (Task("t", steps[:4]),)))
        with pytest.raises(
            WorkloadError, match=r"5 timers \(t0, t1, t2, t3, t4\); a task has at most 4"
        ):
            validate(Workload("w", (Task("t", steps),)))

    def test_paths_quote_odd_names(self) -> None:
        assert format_path(("tasks", "mp3.decoder", "program", 3, "wake")) == (
            "tasks['mp3.decoder'].program[3].wake"
        )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(workloads())
def test_folding_fits_a_workload_to_fewer_cpus(workload: Workload) -> None:
    folded = fold_cpus(workload, 1)
    validate(folded)
    assert folded.cpus == 1
    for task in folded.tasks:
        assert task.cpus in (None, {0}) and task.start_cpu in (None, 0)
        for _, step in walk(task.program, ()):
            if isinstance(step, SetCpus):
                assert step.cpus in (None, {0})
    assert fold_cpus(workload, 4) == workload


def test_folding_wraps_around() -> None:
    task = Task("t", (Run(Span(1)),), cpus=frozenset({1, 5}), start_cpu=5)
    workload = Workload("w", (task,), cpus=6)
    assert fold_cpus(workload, 4) == replace(
        workload, tasks=(replace(task, cpus=frozenset({1}), start_cpu=1),), cpus=4
    )


def test_folding_wraps_the_cpus_that_come_and_go() -> None:
    steps = (CpuDown(5), CpuUp(4))
    folded = fold_cpus(Workload("w", (Task("t", steps),), cpus=6), 4)
    assert folded.tasks[0].program == (CpuDown(1), CpuUp(0))


@pytest.mark.parametrize("step", ["cpu_down", "cpu_up"])
def test_cpus_that_come_and_go_exist(step: str) -> None:
    with pytest.raises(WorkloadError, match=f"{step}: CPU 2 is not one of the workload's 2"):
        parse(f"{{name: w, cpus: 2, tasks: {{t: {{program: [{step}: 2]}}}}}}")


def test_folding_onto_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="onto 0 CPUs"):
        fold_cpus(Workload("w", ()), 0)
