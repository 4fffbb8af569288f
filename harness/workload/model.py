"""What the guest's tasks do, as values.

A `Workload` is a set of tasks, each with scheduling attributes and a *program*: a tuple of steps
that the guest interprets in the task's own context. Everything here is frozen and compares by
value; the rules that a workload has to obey are in `validate`, its text form in `document`, its
binary form in `encode`.

Times are nanoseconds of guest time or ticks of the local timer; CPU numbers count from 0.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

CpuSet: TypeAlias = frozenset[int]
Path: TypeAlias = tuple[str | int, ...]


class Unit(enum.Enum):
    NS = "ns"
    TICKS = "ticks"


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time: `value` nanoseconds, or `value` ticks of the local timer."""

    value: int
    unit: Unit = Unit.NS


class Policy(enum.IntEnum):
    """Scheduling policies, numbered as Linux numbers them."""

    NORMAL = 0
    FIFO = 1
    RR = 2


class Select(enum.Enum):
    """Which instances of a task a step means: all, or one relative to the running instance."""

    ALL = "all"
    SAME = "same"
    NEXT = "next"


@dataclass(frozen=True, slots=True)
class TaskRef:
    """Tasks by name: all instances, one by number, or one relative to the running instance."""

    name: str
    which: int | Select = Select.ALL


@dataclass(frozen=True, slots=True)
class Sched:
    """Policy and both priorities. `priority` is for FIFO and RR: kernel level 99 - priority.

    A real-time task keeps its `nice` for the day it becomes normal again.
    """

    policy: Policy = Policy.NORMAL
    nice: int = 0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """Consume CPU: only the time, or the ticks, in which this task is the running one count."""

    span: Span


@dataclass(frozen=True, slots=True)
class Spin:
    """Be busy until the clock has advanced by `ns`, on the CPU or not."""

    ns: int


@dataclass(frozen=True, slots=True)
class Sleep:
    """Sleep, interruptibly, for `span`."""

    span: Span


@dataclass(frozen=True, slots=True)
class Timer:
    """Sleep until a timer's next period, so that a late task does not shift its later periods.

    The timer starts with the task. When the moment has already passed there is no sleep; a relative
    timer then restarts from now, an absolute one keeps its schedule and catches up.
    """

    period_ns: int
    name: str = "timer"
    absolute: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """Stop until woken. A wake-up that came first is remembered (once): no race loses it."""

    uninterruptible: bool = False


@dataclass(frozen=True, slots=True)
class Wake:
    """End the `Block` of each task named; `sync` announces that the waker is about to sleep."""

    task: TaskRef
    sync: bool = False


@dataclass(frozen=True, slots=True)
class Yield:
    pass


@dataclass(frozen=True, slots=True)
class Exec:
    """Start a new program: a moment to go on elsewhere, as the caches hold nothing of it yet."""


@dataclass(frozen=True, slots=True)
class Fork:
    """Create a task from a template; a `thread` shares the parent's address space (CLONE_VM)."""

    template: str
    thread: bool = False


@dataclass(frozen=True, slots=True)
class Exit:
    pass


@dataclass(frozen=True, slots=True)
class SetNice:
    nice: int
    task: TaskRef | None = None  # None: the task itself, here and below


@dataclass(frozen=True, slots=True)
class SetPolicy:
    policy: Policy
    priority: int = 0
    task: TaskRef | None = None


@dataclass(frozen=True, slots=True)
class SetCpus:
    """Change the affinity; `cpus` None means every CPU."""

    cpus: CpuSet | None
    task: TaskRef | None = None


@dataclass(frozen=True, slots=True)
class Lock:
    mutex: str


@dataclass(frozen=True, slots=True)
class Unlock:
    mutex: str


@dataclass(frozen=True, slots=True)
class Barrier:
    """Wait until as many tasks have come as the barrier has parties; the last releases all."""

    barrier: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait on a condition. A `mutex`, if given, is released for the wait and held again after it.

    Unlike `Block` nothing is remembered: a signal that finds nobody waiting is lost, as with POSIX
    conditions.
    """

    condition: str
    mutex: str | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """Wake the task that has waited longest on the condition."""

    condition: str


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Wake every task that waits on the condition."""

    condition: str


@dataclass(frozen=True, slots=True)
class CpuDown:
    """Unplug a CPU: its tasks go elsewhere, and those that may run nowhere else then may anywhere.

    CPU 0 stays, whoever asks; a CPU that is unplugged stays unplugged.
    """

    cpu: int


@dataclass(frozen=True, slots=True)
class CpuUp:
    """Plug a CPU in again."""

    cpu: int


@dataclass(frozen=True, slots=True)
class Loop:
    """Repeat `body` `times` times, or for ever when `times` is None. A phase of a task is a loop in
    its program.
    """

    times: int | None
    body: tuple[Step, ...]


Step: TypeAlias = (
    Run
    | Spin
    | Sleep
    | Timer
    | Block
    | Wake
    | Yield
    | Exec
    | Fork
    | Exit
    | SetNice
    | SetPolicy
    | SetCpus
    | Lock
    | Unlock
    | Barrier
    | Wait
    | Signal
    | Broadcast
    | CpuDown
    | CpuUp
    | Loop
)


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of task; `count` instances of it are started, or none when it is a `template` for
    `Fork`.

    `sched` and `cpus` None mean the default (normal, nice 0; every CPU) for a started task, and "as
    the forking task has it" for a template. `start_cpu` None leaves the first CPU to the guest.
    `delay_ns` is slept before the program, as in rt-app. A `kernel` task has no address space of
    its own, which changes how sleep counts.
    """

    name: str
    program: tuple[Step, ...]
    sched: Sched | None = None
    cpus: CpuSet | None = None
    start_cpu: int | None = None
    count: int = 1
    delay_ns: int = 0
    template: bool = False
    kernel: bool = False


@dataclass(frozen=True, slots=True)
class Workload:
    """A whole run. It ends after `duration`, or, if that is None, when every task has exited.

    `cpus` is the number of CPUs it needs at least; `barriers` maps a name to its number of parties.
    """

    name: str
    tasks: tuple[Task, ...]
    duration: Span | None = None
    cpus: int = 1
    mutexes: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    barriers: tuple[tuple[str, int], ...] = field(default=())
    description: str = ""


def walk(steps: tuple[Step, ...], path: Path) -> Iterator[tuple[Path, Step]]:
    """Every step of a program, loops before their bodies, each with its path in the document."""
    for index, step in enumerate(steps):
        here = (*path, index)
        yield here, step
        if isinstance(step, Loop):
            yield from walk(step.body, (*here, body_key(step)))


def body_key(loop: Loop) -> str:
    """The key under which a document keeps the loop's body."""
    return "forever" if loop.times is None else "do"


def fold_cpus(workload: Workload, cpus: int) -> Workload:
    """The same workload for a machine with only `cpus` CPUs: CPU n becomes n modulo `cpus`.

    Raises ValueError when `cpus` is not positive.
    """
    if cpus < 1:
        raise ValueError(f"cannot fold a workload onto {cpus} CPUs: at least 1 is needed")
    tasks = tuple(
        replace(
            task,
            cpus=_fold_set(task.cpus, cpus),
            start_cpu=None if task.start_cpu is None else task.start_cpu % cpus,
            program=_fold_program(task.program, cpus),
        )
        for task in workload.tasks
    )
    return replace(workload, tasks=tasks, cpus=min(workload.cpus, cpus))


def _fold_set(numbers: CpuSet | None, cpus: int) -> CpuSet | None:
    return None if numbers is None else frozenset(number % cpus for number in numbers)


def _fold_program(steps: tuple[Step, ...], cpus: int) -> tuple[Step, ...]:
    folded: list[Step] = []
    for step in steps:
        match step:
            case SetCpus():
                folded.append(replace(step, cpus=_fold_set(step.cpus, cpus)))
            case CpuDown() | CpuUp():
                folded.append(replace(step, cpu=step.cpu % cpus))
            case Loop():
                folded.append(replace(step, body=_fold_program(step.body, cpus)))
            case _:
                folded.append(step)
    return tuple(folded)
