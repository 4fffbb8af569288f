"""YAML and JSON text: round trips, and one clear message for every kind of mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.workload import Workload, WorkloadError, load
from harness.workload.document import dump, parse
from harness.workload.model import (
    Block,
    Exit,
    Loop,
    Policy,
    Run,
    Sched,
    Select,
    SetCpus,
    SetPolicy,
    Sleep,
    Span,
    Task,
    TaskRef,
    Unit,
    Wake,
)
from tests.workload.generate import workloads

slow = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@slow
@given(workloads())
def test_dump_and_parse_are_inverse(workload: Workload) -> None:
    assert parse(dump(workload)) == workload


@given(st.text(max_size=20))
@example("\x85 \u2028")
def test_any_description_survives(words: str) -> None:
    workload = Workload("w", (Task("t", (Exit(),)),), description=words)
    assert parse(dump(workload)) == workload


@slow
@given(workloads())
def test_json_says_the_same_as_yaml(workload: Workload) -> None:
    text = json.dumps(yaml.safe_load(dump(workload)), indent="\t")
    assert parse(text, json=True) == workload


def test_a_document_means_what_it_says() -> None:
    text = """
name: pair
duration: 1.5s
mutexes: [m]
tasks:
  ping:
    policy: rr
    priority: 7
    nice: -3
    cpus: 0-1,3
    start_cpu: 3
    delay: 10us
    program:
      - run: 3 ticks
      - loop: 2
        do:
          - wake: pong/1
          - wake: {task: pong/same, sync: true}
  pong:
    kernel: true
    program:
      - forever:
          - block
          - policy: {to: fifo, priority: 9, task: ping}
          - cpus: {to: [1, 2], task: ping}
"""
    # pong/1 and pong/same need a second instance; the shape is what counts here
    workload = parse(
        text.replace("kernel: true", "kernel: true\n    count: 2").replace("/same", "/0")
    )
    ping, pong = workload.tasks
    assert workload.duration == Span(1_500_000_000)
    assert workload.cpus == 4
    assert ping.sched == Sched(Policy.RR, -3, 7)
    assert (ping.cpus, ping.start_cpu, ping.delay_ns) == (frozenset({0, 1, 3}), 3, 10_000)
    assert ping.program == (
        Run(Span(3, Unit.TICKS)),
        Loop(2, (Wake(TaskRef("pong", 1)), Wake(TaskRef("pong", 0), sync=True))),
    )
    assert pong.kernel and pong.count == 2
    assert pong.program == (
        Loop(
            None,
            (
                Block(),
                SetPolicy(Policy.FIFO, 9, TaskRef("ping")),
                SetCpus(frozenset({1, 2}), TaskRef("ping")),
            ),
        ),
    )


def test_a_task_that_names_no_attribute_has_none() -> None:
    (task,) = parse("{name: w, tasks: {t: {program: [exit]}}}").tasks
    assert (task.sched, task.cpus, task.start_cpu, task.count) == (None, None, None, 1)


def test_relative_references_are_read() -> None:
    text = "{name: w, duration: 1s, tasks: {t: {count: 2, program: [{wake: t/next}, block]}}}"
    assert parse(text).tasks[0].program[0] == Wake(TaskRef("t", Select.NEXT))


def test_aliases_share_programs() -> None:
    text = "{name: w, tasks: {a: {program: &p [{run: 1ms}]}, b: {program: *p}}}"
    assert [task.program for task in parse(text).tasks] == [(Run(Span(1_000_000)),)] * 2


def test_a_duration_from_outside_replaces_the_files() -> None:
    text = "{name: w, tasks: {a: {program: [{forever: [{sleep: 1ms}]}]}}}"
    workload = parse(text, duration=Span(5))
    assert workload.duration == Span(5)
    assert workload.tasks == (Task("a", (Loop(None, (Sleep(Span(1_000_000)),)),)),)


HEAD = "name: w\nduration: 1s\n"


def message_of(text: str) -> str:
    with pytest.raises(WorkloadError) as caught:
        parse(text, "f.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml: the file is empty"),
        ("a: [", "f.yaml:1:5: not YAML: expected the node content, but found '<stream end>'"),
        ("a: \t- b", "f.yaml:1:4: not YAML: found character '\\t' that cannot start any token"),
        ("a: \x01", "f.yaml: not YAML: unacceptable character #x0001"),
        ("- a", "f.yaml:1:1: expected a workload: a mapping with 'name' and 'tasks', found a list"),
        ("{}", "f.yaml:1:1: 'name' is missing"),
        ("name: w", "f.yaml:1:1: 'tasks' is missing"),
        ("[a]: b", "f.yaml:1:1: a key must be a word"),
        ("name: w\nname: v", "f.yaml:2:1: name: key 'name' is given twice"),
        (
            "name: w\ntaks: {}",
            "f.yaml:2:1: taks: unknown key 'taks' (did you mean 'tasks'?)",
        ),
        ("a: &a [*a]", "f.yaml: the values nest too deep, or contain themselves"),
        (
            "name: 5\ntasks: {}",
            "f.yaml:1:1: name: expected the workload's name, found the number 5",
        ),
        (
            "name: on\ntasks: {t: {program: [exit]}}",
            "f.yaml:1:1: name: expected the workload's name, found the boolean true"
            " (quote it if it is a name)",
        ),
        ("name: w\ntasks:", "f.yaml:2:1: tasks: expected tasks by name, found nothing"),
    ],
)
def test_documents_that_are_not_workloads(text: str, message: str) -> None:
    assert message_of(text).startswith(message)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("5", "4:3: tasks.t: expected a task: a mapping with 'program', found the number 5"),
        ("{}", "4:3: tasks.t: 'program' is missing"),
        (
            "{nise: 5, program: [exit]}",
            "4:7: tasks.t.nise: unknown key 'nise' (did you mean 'nice'?)",
        ),
        (
            "{nice: fast, program: [exit]}",
            "4:7: tasks.t.nice: expected a nice value, found the text 'fast'",
        ),
        (
            "{nice: 1.5, program: [exit]}",
            "4:7: tasks.t.nice: expected a nice value, found the number 1.5",
        ),
        (
            "{nice: true, program: [exit]}",
            "4:7: tasks.t.nice: expected a nice value, found the boolean true",
        ),
        (
            "{policy: fifi, program: [exit]}",
            "4:7: tasks.t.policy: no policy named 'fifi' (did you mean 'fifo'?)",
        ),
        (
            "{policy: rr, program: [exit]}",
            "4:7: tasks.t.policy: policy rr needs a 'priority' of 0 to 99",
        ),
        (
            "{cpus: 3-1, program: [exit]}",
            "4:7: tasks.t.cpus: the range '3-1' runs backwards",
        ),
        (
            "{cpus: some, program: [exit]}",
            "4:7: tasks.t.cpus: 'some' is not a set of CPUs; write 2, [0, 2], '0-3,8' or all",
        ),
        (
            "{cpus: [a], program: [exit]}",
            "4:14: tasks.t.cpus[0]: expected a CPU number, found the text 'a'",
        ),
        (
            "{cpus: {}, program: [exit]}",
            "4:7: tasks.t.cpus: expected 2, [0, 2], '0-3,8' or all, found",
        ),
        (
            "{delay: 3 ticks, program: [exit]}",
            "4:7: tasks.t.delay: ticks cannot be used here; write ns, us, ms or s",
        ),
        (
            "{template: 1, program: [exit]}",
            "4:7: tasks.t.template: expected true or false, found the number 1",
        ),
        (
            "{program: exit}",
            "4:7: tasks.t.program: expected a list of steps, found the text 'exit'",
        ),
    ],
)
def test_tasks_that_cannot_be_read(task: str, message: str) -> None:
    assert message_of(f"{HEAD}tasks:\n  t: {task}").startswith(f"f.yaml:{message}")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("5", ": expected a step, found the number 5"),
        ("{}", ": the step is empty"),
        ("blok", ": no step named 'blok' (did you mean 'block'?)"),
        ("run", ": step 'run' needs a value, as in 'run: ...'"),
        ("loop", ": step 'loop' needs a value, as in 'loop: ...'"),
        ("{runn: 5ms}", ".runn: no step named 'runn' (did you mean 'run'?)"),
        (
            "{run: 5ms, sleep: 5ms}",
            ".sleep: a step has one key, not 'run' and 'sleep'; begin each step with its own '-'",
        ),
        ("{run: 5}", ".run: expected a time such as 10ms or '3 ticks', found the number 5"),
        ("{run: 5m}", ".run: '5m' is not a time; write 250ns, 10us, 1.5ms, 2s or '3 ticks'"),
        ("{run: 0.5ns}", ".run: '0.5ns' is not a whole number of nanoseconds"),
        ("{run: 1.5 ticks}", ".run: '1.5 ticks' is not a whole number of ticks"),
        ("{spin: 3 ticks}", ".spin: ticks cannot be used here; write ns, us, ms or s"),
        ("{timer: {mode: absolute}}", ".timer: 'period' is missing"),
        (
            "{timer: {period: 1ms, mode: fast}}",
            ".timer.mode: expected relative or absolute, found 'fast'",
        ),
        (
            "{timer: {period: 1ms, ref: t}}",
            ".timer.ref: unknown key 'ref' (known: period, name, mode)",
        ),
        ("{block: soundly}", ".block: expected interruptible or uninterruptible, found 'soundly'"),
        (
            "{wake: 't/first'}",
            ".wake: 't/first' is not a task; write worker, worker/2, worker/same or worker/next",
        ),
        ("{wake: {sync: true}}", ".wake: 'task' is missing"),
        (
            "{wake: {task: t, sync: maybe}}",
            ".wake.sync: expected true or false, found the text 'maybe'",
        ),
        ("{fork: [t]}", ".fork: expected the name of a template, found a list"),
        ("{nice: {task: t}}", ".nice: 'to' is missing"),
        ("{policy: rr}", ".policy: policy rr needs a priority, as in {to: rr, priority: 50}"),
        ("{policy: {to: best}}", ".policy.to: no policy named 'best' (known: normal, fifo, rr)"),
        ("{cpus: {to: x}}", ".cpus.to: 'x' is not a set of CPUs"),
        ("{wait: {mutex: m}}", ".wait: 'on' is missing"),
        (
            "{do: [yield]}",
            ".do: 'do' needs 'loop' with the number of repeats beside it",
        ),
        (
            "{loop: 3}",
            ".loop: 'loop' needs 'do' with the steps to repeat beside it; an endless loop is",
        ),
        ("{loop: all, do: [yield]}", ".loop: expected the number of repeats, found the text 'all'"),
        ("{loop: 3, do: [yield], run: 5ms}", ".run: unknown key 'run' (known: loop, do)"),
        ("{loop: 3, do: [yeld]}", ".do[0]: no step named 'yeld' (did you mean 'yield'?)"),
    ],
)
def test_steps_that_cannot_be_read(step: str, message: str) -> None:
    text = f"{HEAD}tasks:\n  t:\n    program:\n      - yield\n      - {step}\n"
    found = message_of(text)
    assert found.startswith("f.yaml:7:")
    assert f": tasks.t.program[1]{message}" in found


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "more than 500000 values" in message_of("\n".join(lines))


class TestLoad:
    def test_an_unknown_name_is_helped(self) -> None:
        with pytest.raises(
            WorkloadError, match=r"no workload named 'W33' \(did you mean 'W3'\?\); a"
        ):
            load("W33")

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(WorkloadError, match=r"gone\.yaml: cannot read it: No such file"):
            load(tmp_path / "gone.yaml")

    def test_a_file_that_is_not_text(self, tmp_path: Path) -> None:
        path = tmp_path / "noise.yaml"
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(WorkloadError, match=r"noise\.yaml: cannot read it: not UTF-8 text"):
            load(path)

    def test_json_of_our_own_and_of_rtapp_are_told_apart(self, tmp_path: Path) -> None:
        ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.json"
        ours.write_text('{"name": "w", "tasks": {"t": {"program": [{"run": "5us"}]}}}')
        theirs.write_text('{"tasks": {"t": {"loop": 1, "run": 5}}}')
        assert load(ours).tasks == (Task("t", (Run(Span(5_000)),)),)
        assert load(theirs).name == "theirs"
        assert load(theirs).tasks == (Task("t", (Run(Span(5_000)),), Sched()),)

    def test_json_that_is_neither_gets_our_own_message(self, tmp_path: Path) -> None:
        path = tmp_path / "list.json"
        path.write_text("[1]")
        with pytest.raises(WorkloadError, match=r"list\.json:1:1: expected a workload: a mapping"):
            load(path)


@given(st.text(max_size=60))
def test_no_text_at_all_breaks_the_reader(text: str) -> None:
    for as_json in (False, True):
        try:
            parse(text, json=as_json)
        except WorkloadError:
            continue
