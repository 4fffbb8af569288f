"""A workload as the blob that the guest gets as a boot module, and back to what the guest sees of
it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.workload import layout
from harness.workload.flow import timer_names
from harness.workload.image import Image, Instruction, Record, pack, unpack
from harness.workload.layout import Op
from harness.workload.model import (
    Barrier,
    Block,
    Broadcast,
    CpuDown,
    CpuSet,
    CpuUp,
    Exec,
    Exit,
    Fork,
    Lock,
    Loop,
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
    Workload,
    Yield,
)
from harness.workload.validate import instance_name, validate


def encode(workload: Workload) -> bytes:
    """The blob of `workload`. Raises WorkloadError when it breaks a rule."""
    return pack(compile_workload(workload))


def decode(blob: bytes) -> Image:
    """What the guest sees of a blob. Raises BlobError for one that is damaged."""
    return unpack(blob)


def compile_workload(workload: Workload) -> Image:
    """Instances expanded, names resolved, loops turned into counters and jumps. Raises
    WorkloadError.
    """
    validate(workload)
    tables = _Tables(workload)
    records = [
        tables.record(task, instance) for task in workload.tasks for instance in range(task.count)
    ]
    return Image(
        cpus=workload.cpus,
        duration=workload.duration,
        tasks=tuple(records),
        masks=tuple(tables.masks),
        code=tuple(tables.code),
        barriers=tuple(parties for _, parties in workload.barriers),
        mutex_count=len(workload.mutexes),
        condition_count=len(workload.conditions),
    )


def mask_of(cpus: CpuSet | None) -> int:
    """A set of CPUs as a bit set; None is every CPU there can be."""
    return (1 << layout.MAX_CPUS) - 1 if cpus is None else sum(1 << number for number in cpus)


@dataclass(slots=True)
class _Tables:
    """What the tasks of one workload share: indices by name, CPU sets and code."""

    workload: Workload
    tasks: dict[str, Task] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)  # record of a task's first instance
    masks: dict[int, int] = field(default_factory=dict)  # mask -> index
    code: list[Instruction] = field(default_factory=list)
    programs: dict[tuple[Instruction, ...], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        index = 0
        for task in self.workload.tasks:
            self.tasks[task.name] = task
            self.first[task.name] = index
            index += task.count

    def mask(self, cpus: CpuSet | None) -> int:
        return self.masks.setdefault(mask_of(cpus), len(self.masks))

    def place(self, program: tuple[Instruction, ...]) -> int:
        """Where `program` stands in the code table; equal programs stand there once."""
        if program not in self.programs:
            self.programs[program] = len(self.code)
            self.code.extend(program)
        return self.programs[program]

    def record(self, task: Task, instance: int) -> Record:
        sched = task.sched or Sched()
        program = _Program(self, task, instance).build()
        flags = layout.TASK_TEMPLATE * task.template | layout.TASK_KERNEL * task.kernel
        return Record(
            name=instance_name(task, instance),
            policy=sched.policy,
            nice=sched.nice,
            rt_priority=sched.priority,
            flags=flags,
            start_cpu=layout.CPU_ANY if task.start_cpu is None else task.start_cpu,
            instance=instance,
            program=self.place(program),
            length=len(program),
            affinity=mask_of(task.cpus),
        )


class _Program:
    """The instructions of one instance of one task."""

    def __init__(self, tables: _Tables, task: Task, instance: int) -> None:
        self.tables = tables
        self.task = task
        self.instance = instance
        self.timers = timer_names(task)
        self.mutexes = tables.workload.mutexes
        self.conditions = tables.workload.conditions
        self.barriers = [name for name, _ in tables.workload.barriers]
        self.code: list[Instruction] = []

    def emit(self, op: Op, a: int = 0, b: int = 0, c: int = 0, d: int = 0) -> None:
        self.code.append(Instruction(op, a, b, c, d))

    def build(self) -> tuple[Instruction, ...]:
        if self.task.template:
            self.inherit_less()
        if self.task.delay_ns:
            self.emit(Op.SLEEP_NS, d=self.task.delay_ns)
        for register in range(len(self.timers)):
            self.emit(Op.TIMER_START, a=register)
        self.steps(self.task.program, 0)
        if self.code[-1].op not in (Op.EXIT, Op.JUMP):
            self.emit(Op.EXIT)
        return tuple(self.code)

    def inherit_less(self) -> None:
        """A child begins with everything its parent has, as in Linux, and changes what its template
        names.
        """
        if self.task.sched is not None:
            sched = self.task.sched
            self.target(Op.SET_POLICY, None, a=sched.policy, d=sched.priority)
            self.target(Op.SET_NICE, None, d=sched.nice % 2**64)
        if self.task.cpus is not None:
            self.target(Op.SET_CPUS, None, d=self.tables.mask(self.task.cpus))

    def steps(self, steps: tuple[Step, ...], depth: int) -> None:
        for step in steps:
            if isinstance(step, Loop):
                self.loop(step, depth)
            else:
                self.step(step)

    def loop(self, loop: Loop, depth: int) -> None:
        counted = loop.times is not None and loop.times > 1
        if counted and loop.times is not None:
            self.emit(Op.LOAD, a=depth, d=loop.times)
        start = len(self.code)
        self.steps(loop.body, depth + counted)
        if counted:
            self.emit(Op.LOOP, a=depth, c=start)
        elif loop.times is None:
            self.emit(Op.JUMP, c=start)

    def step(self, step: Step) -> None:
        match step:
            case Run(span=span):
                self.timed(Op.RUN_NS, Op.RUN_TICKS, span)
            case Sleep(span=span):
                self.timed(Op.SLEEP_NS, Op.SLEEP_TICKS, span)
            case Spin(ns=ns):
                self.emit(Op.SPIN_NS, d=ns)
            case Timer(period_ns=ns, name=name, absolute=absolute):
                op = Op.TIMER_ABSOLUTE if absolute else Op.TIMER_RELATIVE
                self.emit(op, a=self.timers.index(name), d=ns)
            case Block(uninterruptible=uninterruptible):
                self.emit(Op.BLOCK, a=int(uninterruptible))
            case Wake(task=ref, sync=sync):
                self.target(Op.WAKE, ref, a=layout.WAKE_SYNC * sync)
            case Yield():
                self.emit(Op.YIELD)
            case Exec():
                self.emit(Op.EXEC)
            case Fork(template=name, thread=thread):
                self.emit(Op.FORK, a=layout.FORK_THREAD * thread, c=self.tables.first[name])
            case Exit():
                self.emit(Op.EXIT)
            case _:
                self.attribute_or_resource(step)

    def attribute_or_resource(self, step: Step) -> None:
        match step:
            case SetNice(nice=nice, task=ref):
                self.target(Op.SET_NICE, ref, d=nice % 2**64)
            case SetPolicy(policy=policy, priority=priority, task=ref):
                self.target(Op.SET_POLICY, ref, a=policy, d=priority)
            case SetCpus(cpus=cpus, task=ref):
                self.target(Op.SET_CPUS, ref, d=self.tables.mask(cpus))
            case Lock(mutex=name):
                self.emit(Op.LOCK, c=self.mutexes.index(name))
            case Unlock(mutex=name):
                self.emit(Op.UNLOCK, c=self.mutexes.index(name))
            case Barrier(barrier=name):
                self.emit(Op.BARRIER, c=self.barriers.index(name))
            case Wait(condition=name, mutex=mutex):
                held = layout.NO_MUTEX if mutex is None else self.mutexes.index(mutex)
                self.emit(Op.WAIT, b=held, c=self.conditions.index(name))
            case Signal(condition=name):
                self.emit(Op.SIGNAL, c=self.conditions.index(name))
            case Broadcast(condition=name):
                self.emit(Op.BROADCAST, c=self.conditions.index(name))
            case CpuDown(cpu=cpu):
                self.emit(Op.CPU_DOWN, c=cpu)
            case CpuUp(cpu=cpu):
                self.emit(Op.CPU_UP, c=cpu)
            case _:
                raise AssertionError(f"no encoding for {step!r}")

    def timed(self, ns: Op, ticks: Op, span: Span) -> None:
        self.emit(ns if span.unit is Unit.NS else ticks, d=span.value)

    def target(self, op: Op, ref: TaskRef | None, a: int = 0, d: int = 0) -> None:
        first, count = layout.SELF, 1
        if ref is not None:
            first, count = self.resolve(ref)
        self.emit(op, a=a, b=count, c=first, d=d)

    def resolve(self, ref: TaskRef) -> tuple[int, int]:
        """The records that a reference means: the first and how many."""
        first, count = self.tables.first[ref.name], self.tables.tasks[ref.name].count
        match ref.which:
            case Select.ALL:
                return first, count
            case Select.SAME:
                return first + self.instance, 1
            case Select.NEXT:
                return first + (self.instance + 1) % count, 1
            case number:
                return first + number, 1
