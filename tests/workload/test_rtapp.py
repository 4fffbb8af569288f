"""rt-app files: what they mean here, and what is refused."""

from __future__ import annotations

import pytest

from harness.workload import Workload, WorkloadError, encode
from harness.workload.model import (
    Barrier,
    Broadcast,
    Fork,
    Lock,
    Loop,
    Policy,
    Run,
    Sched,
    SetCpus,
    SetNice,
    SetPolicy,
    Signal,
    Sleep,
    Span,
    Spin,
    Step,
    Task,
    Timer,
    Unlock,
    Wait,
    Yield,
)
from harness.workload.rtapp import is_rtapp, parse

US = 1_000
MS = 1_000_000
TEN_S = Span(10_000 * MS)


def read(tasks: str, more: str = '"global": {"duration": 10}') -> Workload:
    workload = parse(f'{{"tasks": {{{tasks}}}, {more}}}', "f.json")
    assert encode(workload)
    return workload


def program(body: str) -> tuple[Step, ...]:
    """The program of one task that runs once."""
    (task,) = read(f'"t": {{"loop": 1, {body}}}').tasks
    return task.program


class TestEvents:
    def test_times_are_microseconds_and_runtime_is_not_run(self) -> None:
        assert program('"run": 5, "runtime": 6, "sleep": 7') == (
            Run(Span(5 * US)),
            Spin(6 * US),
            Sleep(Span(7 * US)),
        )

    def test_keys_repeat_and_end_as_they_like(self) -> None:
        assert program('"run": 1, "sleep": 2, "run": 3, "run-a": 4, "sleep1": 5') == (
            Run(Span(1 * US)),
            Sleep(Span(2 * US)),
            Run(Span(3 * US)),
            Run(Span(4 * US)),
            Sleep(Span(5 * US)),
        )

    def test_times_of_nothing_do_nothing(self) -> None:
        assert program('"run": 0, "sleep": 0, "yield": ""') == (Yield(),)

    def test_mutexes_and_conditions(self) -> None:
        found = program(
            '"lock": "m", "wait": {"ref": "q", "mutex": "m"}, "sync": {"ref": "r", "mutex": "m"},'
            '"unlock": "m", "signal": "q", "broad": "q"'
        )
        assert found == (
            Lock("m"),
            Wait("q", "m"),
            Signal("r"),
            Wait("r", "m"),
            Unlock("m"),
            Signal("q"),
            Broadcast("q"),
        )

    def test_suspend_and_resume_meet_at_a_name(self) -> None:
        workload = read(
            '"a": {"suspend": "meet", "run": 1}, "b": {"suspend": "", "run": 1},'
            '"c": {"resume": "meet", "sleep": 1, "resume": "b"}'
        )
        assert workload.conditions == ("meet", "b")
        assert [task.program[0] for task in workload.tasks] == [
            Loop(None, (Wait("meet"), Run(Span(US)))),
            Loop(None, (Wait("b"), Run(Span(US)))),
            Loop(None, (Broadcast("meet"), Sleep(Span(US)), Broadcast("b"))),
        ]

    def test_resources_are_declared_once_by_being_named(self) -> None:
        workload = read('"a": {"lock": "m", "run": 1, "unlock": "m", "lock": "n", "unlock": "n"}')
        assert workload.mutexes == ("m", "n")

    def test_a_barrier_counts_its_references_in_all_instances(self) -> None:
        workload = read('"a": {"instance": 3, "barrier": "x"}, "b": {"barrier": "x"}')
        assert workload.barriers == (("x", 4),)
        assert workload.tasks[0].program == (Loop(None, (Barrier("x"),)),)

    def test_nobody_waits_at_a_barrier_of_one(self) -> None:
        workload = read('"a": {"barrier": "x", "run": 1}')
        assert workload.barriers == ()
        assert workload.tasks[0].program == (Loop(None, (Run(Span(US)),)),)

    def test_timers(self) -> None:
        assert program(
            '"timer": {"ref": "unique", "period": 5}, "timer": {"ref": "u", "period": 6, "mode":'
            '"absolute"}, "timer": {"ref": "u", "period": 7}, "timer": {"period": 8}'
        ) == (
            Timer(5 * US, "unique"),
            Timer(6 * US, "u", absolute=True),
            Timer(7 * US, "u", absolute=True),  # the mode is the timer's, not the event's
            Timer(8 * US, "unknown"),
        )


class TestTasks:
    def test_defaults(self) -> None:
        workload = read('"t": {"run": 1}')
        assert workload.tasks == (Task("t", (Loop(None, (Run(Span(US)),)),), Sched()),)
        assert (workload.name, workload.duration, workload.cpus) == ("rt-app", TEN_S, 1)

    def test_attributes(self) -> None:
        (task,) = read(
            '"t": {"instance": 2, "delay": 9, "policy": "SCHED_FIFO", "priority": 30,'
            '"cpus": [0, 2], "loop": 1, "run": 1}'
        ).tasks
        assert task == Task(
            "t",
            (Run(Span(US)),),
            Sched(Policy.FIFO, priority=30),
            frozenset({0, 2}),
            count=2,
            delay_ns=9 * US,
        )

    @pytest.mark.parametrize(
        ("properties", "sched"),
        [
            ('"priority": -19', Sched(nice=-19)),
            ('"policy": "SCHED_OTHER"', Sched()),
            ('"policy": "SCHED_RR"', Sched(Policy.RR, priority=10)),
            ('"policy": "SCHED_FIFO", "priority": 99', Sched(Policy.FIFO, priority=99)),
        ],
    )
    def test_priority_is_nice_or_real_time(self, properties: str, sched: Sched) -> None:
        assert read(f'"t": {{{properties}, "run": 1}}').tasks[0].sched == sched

    def test_the_default_policy_is_global(self) -> None:
        more = '"global": {"duration": 1, "default_policy": "SCHED_RR"}'
        assert read('"t": {"run": 1}', more).tasks[0].sched == Sched(Policy.RR, priority=10)

    def test_phases_are_loops_inside_the_tasks_loop(self) -> None:
        body = '"phases": {"p": {"loop": 4, "run": 1}, "q": {"run": 2}}'
        inner = (Loop(4, (Run(Span(US)),)), Run(Span(2 * US)))
        assert read(f'"t": {{"loop": 3, {body}}}').tasks[0].program == (Loop(3, inner),)
        assert read(f'"t": {{{body}}}').tasks[0].program == (Loop(None, inner),)
        assert read(f'"t": {{"loop": 1, {body}}}').tasks[0].program == inner

    def test_a_phase_without_cpus_has_the_tasks(self) -> None:
        (task,) = read(
            '"t": {"cpus": [2], "loop": 1, "phases": {"p": {"cpus": [0], "run": 1},'
            '"q": {"run": 2}}}'
        ).tasks
        assert task.cpus == frozenset({0})
        assert task.program == (
            SetCpus(frozenset({0})),
            Run(Span(US)),
            SetCpus(frozenset({2})),
            Run(Span(2 * US)),
        )

    def test_a_phase_changes_the_priority_only_when_it_names_one(self) -> None:
        phases = '"p": {"run": 1}, "q": {"priority": 5, "run": 1}'
        run = Run(Span(US))
        assert program(f'"phases": {{{phases}}}') == (run, SetNice(5), run)
        found = program(f'"policy": "SCHED_RR", "phases": {{{phases}}}')
        assert found == (run, SetPolicy(Policy.RR, 5), run)

    def test_a_phase_changes_the_policy(self) -> None:
        found = program(
            '"phases": {"p": {"policy": "SCHED_FIFO", "run": 1},'
            '"q": {"policy": "SCHED_OTHER", "priority": 3, "run": 1}}'
        )
        run = Run(Span(US))
        back = (SetPolicy(Policy.NORMAL), SetNice(3))
        assert found == (SetPolicy(Policy.FIFO, 10), run, *back, run)

    def test_forked_tasks_become_templates(self) -> None:
        workload = read(
            '"boss": {"fork": "both", "fork": "only", "sleep": 1},'
            '"both": {"loop": 1, "run": 1}, "only": {"instance": 0, "loop": 1, "run": 1}'
        )
        boss, both, template, only = workload.tasks
        assert boss.program[0] == Loop(
            None, (Fork("both+", thread=True), Fork("only", thread=True), Sleep(Span(US)))
        )
        assert (both.name, both.template, both.count) == ("both", False, 1)
        assert (template.name, template.template) == ("both+", True)
        assert (only.name, only.template) == ("only", True)
        assert both.program == template.program == only.program

    def test_a_task_without_instances_that_nobody_forks_is_gone(self) -> None:
        workload = read('"t": {"run": 1}, "u": {"instance": 0, "run": 1}')
        assert [task.name for task in workload.tasks] == ["t"]

    def test_long_names_are_cut(self) -> None:
        workload = read('"mp3.decoder-with-a-long-name": {"instance": 12, "run": 1}')
        assert workload.tasks[0].name == "mp3.decoder-"


class TestFile:
    def test_comments_and_trailing_commas(self) -> None:
        text = """
        {
            /* a use case */
            "tasks" : { "t" : { "run" : 10, }, },   // one task
            "global" : { "duration" : 2, "ftrace" : "none", "gnuplot" : false, },
        }
        """
        assert parse(text).duration == Span(2_000 * MS)

    def test_a_duration_from_outside(self) -> None:
        text = '{"tasks": {"t": {"run": 1}}, "global": {"duration": -1}}'
        assert parse(text, duration=Span(5)).duration == Span(5)
        assert parse(text.replace("-1", "3"), duration=Span(5)).duration == Span(5)

    def test_one_that_ends_by_itself_needs_none(self) -> None:
        assert parse('{"tasks": {"t": {"loop": 2, "run": 1}}}').duration is None

    @pytest.mark.parametrize(
        ("text", "answer"),
        [
            ('{"tasks": {"t": {"run": 1}}}', True),
            ('{"name": "w", "tasks": {"t": {"run": 1}}}', False),
            ('{"tasks": {"t": {"program": []}}}', False),
            ('{"tasks": []}', False),
            ("[]", False),
        ],
    )
    def test_it_is_recognised(self, text: str, answer: bool) -> None:
        assert is_rtapp(text, "f") is answer


def refusal(text: str) -> str:
    with pytest.raises(WorkloadError) as caught:
        parse(text, "f")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "f:1:1: 'tasks' is missing"),
        ("[]", "f:1:1: expected rt-app's object with 'tasks', found a list"),
        ('{"tsks": {}}', "f:1:2: tsks: unknown key 'tsks' (did you mean 'tasks'?)"),
        ('{"tasks": {}}', "f:1:1: no task is started"),
        ('{"tasks": {"t": {"run": 1}}}', "f:1:12: tasks.t: the workload never ends: give it a"),
        ('{"tasks": {"t": 5}}', "tasks.t: expected an object that describes a task, found the nu"),
        ('{"tasks": {"t": {}}}', "f:1:12: tasks.t: there is no event in it"),
        ('{"tasks": {"t": {"run": 1}, "t": {"run": 1}}}', "tasks.t: key 't' is given twice"),
        ('{"tasks": {"t": {"phases": {}}}}', "tasks.t.phases: the task has no phase"),
        (
            '{"tasks": {"t": {"phases": {"p": {"loop": 2}}}}}',
            "tasks.t.phases.p: there is no event in it",
        ),
        (
            '{"tasks": {"t": {"phases": {"p": {"run": 2}}, "run": 1}}}',
            "tasks.t.run: events stand in the task or in its 'phases', not in both",
        ),
        (
            '{"tasks": {"sixteen letters-": {"run": 1}, "sixteen letters+": {"run": 1}}}',
            "its first 15 characters are those of 'sixteen letters-'; rename one of them",
        ),
    ],
)
def test_files_that_are_not_rtapps(text: str, message: str) -> None:
    assert message in refusal(text)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('"rum": 5', "rum: 'rum' is no event and no property (did you mean 'run'?)"),
        ('"run": "5"', "run: expected microseconds, found the text '5'"),
        ('"run": -5', "run: a time cannot be -5"),
        ('"mem": 5', "mem: not supported: event 'mem' (memory and device load)"),
        ('"iorun1": 5', "iorun1: not supported: event 'iorun' (memory and device load)"),
        ('"run": 1, "taskgroup": "/a"', "taskgroup: not supported: task groups"),
        ('"run": 1, "util_min": 5', "util_min: not supported: utilisation clamping"),
        ('"run": 1, "membind_nodes": [0]', "membind_nodes: not supported: NUMA binding"),
        ('"run": 1, "dl-runtime": 5', "dl-runtime: not supported: deadline scheduling"),
        ('"run": 1, "policy": "SCHED_DEADLINE"', "policy: not supported: policy SCHED_DEADLINE"),
        (
            '"run": 1, "policy": "SCHED_FIF"',
            "policy: no policy named 'SCHED_FIF' (did you mean 'SC",
        ),
        ('"run": 1, "priority": 20', "priority: the priority of SCHED_OTHER is a nice value of"),
        (
            '"run": 1, "policy": "SCHED_RR", "priority": 0',
            "priority: a real-time priority is 1 to 99, not 0",
        ),
        ('"run": 1, "loop": 1, "loop": 2', "loop: 'loop' is given twice"),
        ('"run": 1, "loop": 0', "loop: a loop is -1 (endless) or at least 1, not 0"),
        ('"run": 1, "instance": -1', "instance: expected 0 or more, found -1"),
        ('"run": 1, "delay": -1', "delay: expected 0 or more, found -1"),
        ('"run": 1, "cpus": 2', "cpus: expected a list of CPU numbers, found the number 2"),
        ('"run": 1, "cpus": [256]', "t: CPU 256 is not one of the workload's 256"),
        ('"run": 1, "cpus": []', "t: the set of CPUs is empty"),
        ('"lock": "a b"', "lock: 'a b' is not a name of 1 to 63 printable characters without blan"),
        ('"run": 1, "unlock": "m"', "unlock: the task does not hold mutex 'm' here"),
        ('"run": 1, "lock": "m"', "t: a pass through the loop changes what is held: m"),
        ('"wait": "q"', "wait: expected an object with 'ref' and 'mutex', found the text 'q'"),
        ('"wait": {"ref": "q"}', "wait: 'mutex' is missing"),
        ('"wait": {"ref": "q", "mutex": "m"}', "wait: the task does not hold mutex 'm' here; lock"),
        ('"resume": ""', "resume: '' is not a name of 1 to 63 printable"),
        ('"resume": "x"', "t: the loop would hang its CPU"),
        ('"run": 0', "t: the loop is empty"),
        ('"timer": {"ref": "unique"}', "timer: 'period' is missing"),
        ('"timer": {"ref": "u", "period": 0}', "timer.period: a period must be longer than 0"),
        ('"timer": {"period": 1, "mode": "x"}', "timer.mode: a mode is relative or absolute, not"),
        (
            '"instance": 2, "timer": {"ref": "tick", "period": 5}',
            "timer: not supported: several tasks share timer 'tick'; name it 'unique...'",
        ),
        ('"fork": "nobody"', "fork: no task named 'nobody' (known: t)"),
        ('"fork": "t", "run": 1', "fork: endless forks: t -> t+ -> t+"),
        (
            '"phases": {"p": {"policy": "SCHED_RR", "run": 1}, "q": {"priority": 1, "run": 1}}',
            "phases.q: not supported: 'priority' without 'policy' where other phases change the",
        ),
    ],
)
def test_tasks_that_are_refused(body: str, message: str) -> None:
    found = refusal(f'{{"global": {{"duration": 1}},\n"tasks":\n{{"t": {{{body}}}}}}}')
    assert found.startswith("f:3:")
    assert f"tasks.t.{message}" in found or f"tasks.{message}" in found


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ('"duration": 0', "global.duration: a duration is -1 or at least 1 second, not 0"),
        ('"duration": "2"', "global.duration: expected seconds, found the text '2'"),
        ('"pi_enabled": true', "global.pi_enabled: not supported: priority inheritance"),
        ('"default_policy": "SCHED_IDLE"', "global.default_policy: not supported: policy SCHED_ID"),
        ('"duratoin": 2', "global.duratoin: unknown key 'duratoin' (did you mean 'duration'?)"),
    ],
)
def test_settings_that_are_refused(settings: str, message: str) -> None:
    found = refusal(f'{{"tasks": {{"t": {{"run": 1}}}}, "global": {{{settings}}}}}')
    assert message in found


def test_a_forked_task_cannot_use_a_barrier() -> None:
    text = """{"global": {"duration": 1}, "tasks": {
        "a": {"fork": "b", "sleep": 1},
        "b": {"barrier": "x", "run": 1},
        "c": {"barrier": "x", "run": 1}}}"""
    assert refusal(text).startswith("f:3:15: tasks.b.barrier: a task that is forked cannot use")


def test_a_forked_task_with_phases_on_cpus_names_them_all() -> None:
    text = """{"global": {"duration": 1}, "tasks": {
        "a": {"fork": "b", "sleep": 1},
        "b": {"instance": 0, "phases": {"p": {"cpus": [0], "run": 1}, "q": {"run": 1}}}}}"""
    assert "tasks.b.phases.q: not supported: a phase without 'cpus'" in refusal(text)
