"""The binary form: compiled programs do what the steps say."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from harness.workload import Image, Workload, decode, encode, layout, load
from harness.workload.encode import compile_workload, mask_of
from harness.workload.image import Instruction, pack, unpack
from harness.workload.layout import HEADER, INSTRUCTION, OPERATIONS, TASK, Op
from harness.workload.model import (
    Barrier,
    Block,
    Broadcast,
    CpuDown,
    CpuUp,
    Exec,
    Exit,
    Fork,
    Lock,
    Loop,
    Policy,
    Run,
    Sched,
    Select,
    SetCpus,
    SetNice,
    SetPolicy,
    Signal,
    Sleep,
    Span,
    Spin,
    Step,
    Task,
    TaskRef,
    Timer,
    Unit,
    Unlock,
    Wait,
    Wake,
    Yield,
)
from tests.workload.generate import workloads

slow = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def one_task(*steps: Step, **more: object) -> Workload:
    return Workload("w", (Task("t", steps),), Span(10), **more)  # type: ignore[arg-type]


def code_of(*steps: Step) -> tuple[Instruction, ...]:
    return compile_workload(one_task(*steps)).code


class TestLayout:
    def test_sizes_are_what_the_guest_reads_by_shifts(self) -> None:
        assert (HEADER.size, TASK.size, INSTRUCTION.size) == (64, 64, 16)

    @pytest.mark.parametrize("table", layout.LAYOUTS, ids=lambda table: table.prefix)
    def test_fields_lie_at_multiples_of_their_size(self, table: layout.Layout) -> None:
        for field in table.fields:
            assert table.offset(field.name) % min(field.size, 8) == 0, field.name

    def test_every_opcode_is_described_once_and_in_order(self) -> None:
        assert [spec.op for spec in OPERATIONS] == list(Op)
        assert [op.value for op in Op] == list(range(len(Op)))

    def test_an_unknown_field_has_no_offset(self) -> None:
        with pytest.raises(KeyError):
            HEADER.offset("colour")


class TestBytes:
    def test_header_and_record_lie_where_the_layout_says(self) -> None:
        task = Task("hog", (Run(Span(7)),), Sched(nice=-5), frozenset({1, 3}), 3, kernel=True)
        blob = encode(Workload("w", (task,), Span(9, Unit.TICKS), 4))
        assert blob[:4] == b"SWL1"
        assert struct.unpack_from("<HHI", blob, 4) == (1, 64, len(blob))
        assert struct.unpack_from("<QQ", blob, HEADER.offset("duration_ns")) == (0, 9)
        assert blob[64:80] == b"hog" + bytes(13)
        assert struct.unpack_from("<BbBBHHII", blob, 80) == (0, -5, 0, 2, 3, 0, 0, 2)
        assert blob[96:128] == bytes([0b1010]) + bytes(31)
        assert blob[128:160] == struct.pack("<BBHIQ", 1, 0, 0, 0, 7) + bytes(16)

    def test_tables_follow_each_other(self) -> None:
        workload = Workload(
            "w",
            (Task("t", (SetCpus(frozenset({1})), Barrier("b")), count=2),),
            Span(1),
            2,
            barriers=(("b", 2),),
        )
        blob = encode(workload)
        assert blob[64 + 128 : 64 + 128 + 32] == bytes([2]) + bytes(31)
        assert blob[-4:] == struct.pack("<I", 2)
        assert len(blob) == 64 + 2 * 64 + 32 + 3 * 16 + 4


class TestPrograms:
    def test_a_counted_loop_is_a_counter_and_a_jump_back(self) -> None:
        assert code_of(Loop(3, (Run(Span(5)),)), Yield()) == (
            Instruction(Op.LOAD, a=0, d=3),
            Instruction(Op.RUN_NS, d=5),
            Instruction(Op.LOOP, a=0, c=1),
            Instruction(Op.YIELD),
            Instruction(Op.EXIT),
        )

    def test_an_endless_loop_ends_the_program(self) -> None:
        assert code_of(Yield(), Loop(None, (Sleep(Span(2, Unit.TICKS)),))) == (
            Instruction(Op.YIELD),
            Instruction(Op.SLEEP_TICKS, d=2),
            Instruction(Op.JUMP, c=1),
        )

    def test_nested_loops_use_different_counters(self) -> None:
        inner = Loop(2, (Yield(),))
        counters = [i.a for i in code_of(Loop(2, (inner,))) if i.op is Op.LOAD]
        assert counters == [0, 1]

    def test_a_loop_of_one_pass_needs_no_counter(self) -> None:
        assert code_of(Loop(1, (Yield(),))) == (Instruction(Op.YIELD), Instruction(Op.EXIT))

    def test_timers_start_after_the_delay(self) -> None:
        task = Task("t", (Timer(5, "a"), Timer(6, "b", absolute=True)), delay_ns=9)
        assert compile_workload(Workload("w", (task,))).code == (
            Instruction(Op.SLEEP_NS, d=9),
            Instruction(Op.TIMER_START, a=0),
            Instruction(Op.TIMER_START, a=1),
            Instruction(Op.TIMER_RELATIVE, a=0, d=5),
            Instruction(Op.TIMER_ABSOLUTE, a=1, d=6),
            Instruction(Op.EXIT),
        )

    def test_a_template_changes_only_what_it_names(self) -> None:
        plain = Task("plain", (Exit(),), template=True)
        named = Task("named", (Exit(),), Sched(Policy.RR, 3, 9), frozenset({0}), template=True)
        forker = Task("t", (Fork("plain"), Fork("named", thread=True)))
        image = compile_workload(Workload("w", (forker, plain, named)))
        assert image.program(image.tasks[0])[:2] == (
            Instruction(Op.FORK, c=1),
            Instruction(Op.FORK, a=1, c=2),
        )
        assert image.program(image.tasks[1]) == (Instruction(Op.EXIT),)
        assert image.program(image.tasks[2]) == (
            Instruction(Op.SET_POLICY, a=2, b=1, c=layout.SELF, d=9),
            Instruction(Op.SET_NICE, b=1, c=layout.SELF, d=3),
            Instruction(Op.SET_CPUS, b=1, c=layout.SELF, d=0),
            Instruction(Op.EXIT),
        )

    def test_references_become_record_numbers(self) -> None:
        refs = [
            TaskRef("b"),
            TaskRef("b", 2),
            TaskRef("b", Select.SAME),
            TaskRef("b", Select.NEXT),
        ]
        first = Task("a", tuple(Wake(ref) for ref in refs), count=3)
        second = Task("b", (Block(),), count=3)
        image = compile_workload(Workload("w", (first, second)))
        targets = [[(i.c, i.b) for i in image.program(r)][:4] for r in image.tasks[:3]]
        assert targets == [
            [(3, 3), (5, 1), (3, 1), (4, 1)],
            [(3, 3), (5, 1), (4, 1), (5, 1)],
            [(3, 3), (5, 1), (5, 1), (3, 1)],
        ]

    def test_equal_programs_are_stored_once(self) -> None:
        image = decode(encode(load("W1")))
        assert len(image.code) == 2
        assert {record.program for record in image.tasks} == {0}
        assert [record.name for record in image.tasks] == ["hog/0", "hog/1", "hog/2"]


def flat(steps: tuple[Step, ...]) -> Iterator[Step]:
    """The steps a task takes, one by one, with loops unrolled."""
    for step in steps:
        if isinstance(step, Loop):
            for _ in itertools.count() if step.times is None else range(step.times):
                yield from flat(step.body)
        else:
            yield step


def execute(program: tuple[Instruction, ...]) -> Iterator[Instruction]:
    """The instructions that a guest would carry out, loops resolved as it resolves them."""
    counters = [0] * layout.COUNTERS
    at = 0
    while True:
        now = program[at]
        at += 1
        match now.op:
            case Op.EXIT:
                return
            case Op.LOAD:
                counters[now.a] = now.d
            case Op.LOOP:
                counters[now.a] -= 1
                at = now.c if counters[now.a] else at
            case Op.JUMP:
                at = now.c
            case Op.TIMER_START:
                continue
            case _:
                yield now


def signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


class Meaning:
    """What an instruction says, as a step, read off by rules of its own."""

    def __init__(self, workload: Workload, image: Image) -> None:
        self.workload = workload
        self.image = image

    def task(self, record: int) -> Task:
        at = 0
        for task in self.workload.tasks:
            at += task.count
            if record < at:
                return task
        raise AssertionError(record)

    def targets(self, i: Instruction) -> set[str] | None:
        if i.c == layout.SELF:
            return None
        return {record.name for record in self.image.tasks[i.c : i.c + i.b]}

    def of_step(self, step: Step, task: Task, instance: int) -> object:
        ref = getattr(step, "task", None)
        if ref is None:
            return (step, None)
        target = next(t for t in self.workload.tasks if t.name == ref.name)
        numbers = {
            Select.ALL: range(target.count),
            Select.SAME: [instance],
            Select.NEXT: [(instance + 1) % target.count],
        }.get(ref.which, [ref.which])
        names = {t if target.count == 1 else f"{t}/{n}" for t in [target.name] for n in numbers}
        fields = {name: getattr(step, name) for name in step.__slots__ if name != "task"}
        return (type(step), fields, names)

    def of_instruction(self, i: Instruction, timers: list[str]) -> object:
        mutexes, conditions = self.workload.mutexes, self.workload.conditions
        simple: dict[Op, Callable[[], Step]] = {
            Op.RUN_NS: lambda: Run(Span(i.d)),
            Op.RUN_TICKS: lambda: Run(Span(i.d, Unit.TICKS)),
            Op.SLEEP_NS: lambda: Sleep(Span(i.d)),
            Op.SLEEP_TICKS: lambda: Sleep(Span(i.d, Unit.TICKS)),
            Op.SPIN_NS: lambda: Spin(i.d),
            Op.TIMER_RELATIVE: lambda: Timer(i.d, timers[i.a]),
            Op.TIMER_ABSOLUTE: lambda: Timer(i.d, timers[i.a], True),
            Op.BLOCK: lambda: Block(i.a == 1),
            Op.YIELD: Yield,
            Op.EXEC: Exec,
            Op.FORK: lambda: Fork(self.image.tasks[i.c].name, i.a == 1),
            Op.LOCK: lambda: Lock(mutexes[i.c]),
            Op.UNLOCK: lambda: Unlock(mutexes[i.c]),
            Op.BARRIER: lambda: Barrier(self.workload.barriers[i.c][0]),
            Op.WAIT: lambda: Wait(conditions[i.c], None if i.b == 0xFFFF else mutexes[i.b]),
            Op.SIGNAL: lambda: Signal(conditions[i.c]),
            Op.BROADCAST: lambda: Broadcast(conditions[i.c]),
            Op.CPU_DOWN: lambda: CpuDown(i.c),
            Op.CPU_UP: lambda: CpuUp(i.c),
        }
        if i.op in simple:
            return (simple[i.op](), None)
        mask = self.image.masks[i.d] if i.op is Op.SET_CPUS else 0
        cpus = None if mask == 2**256 - 1 else frozenset(n for n in range(256) if mask >> n & 1)
        changes: dict[Op, tuple[type, dict[str, object]]] = {
            Op.WAKE: (Wake, {"sync": i.a == 1}),
            Op.SET_NICE: (SetNice, {"nice": signed(i.d)}),
            Op.SET_POLICY: (SetPolicy, {"policy": i.a, "priority": i.d}),
            Op.SET_CPUS: (SetCpus, {"cpus": cpus}),
        }
        kind, fields = changes[i.op]
        names = self.targets(i)
        if names is None:
            return (kind(**fields), None)
        return (kind, fields, names)


def prologue(task: Task) -> int:
    """Instructions that come before the program's own."""
    named = 2 * (task.sched is not None) + (task.cpus is not None) if task.template else 0
    return named + (task.delay_ns > 0)


@slow
@given(workloads())
def test_compiled_programs_take_the_steps_of_the_workload(workload: Workload) -> None:
    image = decode(encode(workload))
    meaning = Meaning(workload, image)
    for number, record in enumerate(image.tasks):
        task = meaning.task(number)
        timers = list(
            dict.fromkeys(s.name for s in all_steps(task.program) if isinstance(s, Timer))
        )
        done = itertools.islice(execute(image.program(record)), prologue(task), 40 + prologue(task))
        wanted = itertools.islice(flat(task.program), 40)
        assert [meaning.of_instruction(i, timers) for i in done] == [
            meaning.of_step(step, task, record.instance) for step in wanted
        ]


def all_steps(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        if isinstance(step, Loop):
            yield from all_steps(step.body)


@slow
@given(workloads())
def test_records_carry_the_attributes_of_the_tasks(workload: Workload) -> None:
    image = decode(encode(workload))
    assert (image.duration, image.cpus) == (workload.duration, workload.cpus)
    assert image.barriers == tuple(parties for _, parties in workload.barriers)
    assert (image.mutex_count, image.condition_count) == (2, 2)
    expected = [(task, instance) for task in workload.tasks for instance in range(task.count)]
    for (task, instance), record in zip(expected, image.tasks, strict=True):
        sched = task.sched or Sched()
        assert (record.policy, record.nice, record.rt_priority) == (
            sched.policy,
            sched.nice,
            sched.priority,
        )
        assert record.instance == instance
        assert record.template == task.template
        assert record.flags & layout.TASK_KERNEL == 2 * task.kernel
        assert record.affinity == mask_of(task.cpus)
        assert record.start_cpu == (0xFFFF if task.start_cpu is None else task.start_cpu)


@slow
@given(workloads())
def test_decode_is_the_inverse_of_encode(workload: Workload) -> None:
    image = compile_workload(workload)
    assert unpack(pack(image)) == image
    assert pack(unpack(pack(image))) == pack(image)
