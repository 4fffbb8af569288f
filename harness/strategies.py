"""Hypothesis strategies: workloads and machines for tests of schedulers.

::

    from hypothesis import given, settings
    from harness.boot import boot
    from harness.strategies import workloads

    @settings(deadline=None, max_examples=20)
    @given(workloads(cpus=2))
    def test_any_workload(workload):
        with boot(workload=workload, cpus=2) as run:
            assert run.passed, run.verdict

Every workload ends by its duration, whatever its tasks wait for, and leaves time to everybody:
tasks of real-time policies sleep more than they run. A run that does not pass is the scheduler's
fault.
Needs the package hypothesis (extra `dev`).
"""

from __future__ import annotations

from hypothesis import strategies as st

from harness.machine import Topology
from harness.workload import Workload
from harness.workload.model import (
    Block,
    Broadcast,
    CpuSet,
    Fork,
    Lock,
    Loop,
    Policy,
    Run,
    Sched,
    SetCpus,
    SetNice,
    Signal,
    Sleep,
    Span,
    Spin,
    Step,
    Task,
    TaskRef,
    Unit,
    Unlock,
    Wait,
    Wake,
    Yield,
)

US = 1_000
MOST_TASKS, MOST_STEPS = 4, 5
DURATION = 25
"""Ticks: enough for slices to end and arrays to be swapped when tasks are nice."""

MUTEX, CONDITION, CHILD = "m", "c", "child"

Steps = tuple[Step, ...]

_times = st.integers(1, 400).map(lambda us: us * US)
_work = st.builds(Run, st.builds(Span, _times)) | st.builds(Spin, _times)
_sleeps = st.builds(Sleep, st.builds(Span, _times)) | st.builds(
    Sleep, st.builds(Span, st.integers(1, 3), st.just(Unit.TICKS))
)
_nice = st.integers(-20, 19)


def cpu_sets(cpus: int) -> st.SearchStrategy[CpuSet]:
    """Affinities on a machine with so many CPUs."""
    return st.frozensets(st.integers(0, cpus - 1), min_size=1)


def topologies(most_cpus: int = 8) -> st.SearchStrategy[Topology]:
    """Machines of at most so many CPUs, however these share sockets and cores."""
    counts = st.integers(1, most_cpus)
    return (
        st.tuples(counts, counts, st.integers(1, 2))
        .filter(lambda shape: shape[0] * shape[1] * shape[2] <= most_cpus)
        .map(lambda shape: Topology(*shape))
    )


def _simple(cpus: int, others: tuple[str, ...], forks: bool) -> st.SearchStrategy[Step]:
    target = st.sampled_from(others).map(TaskRef)
    choices: list[st.SearchStrategy[Step]] = [
        _work,
        _sleeps,
        st.just(Yield()),
        st.just(Block()),
        st.builds(SetNice, _nice),
        st.builds(SetCpus, cpu_sets(cpus)),
        st.sampled_from([Signal(CONDITION), Broadcast(CONDITION)]),
        st.builds(Wake, target, st.booleans()),
        st.builds(SetNice, _nice, target),
        st.builds(SetCpus, cpu_sets(cpus), target),
    ]
    if forks:
        choices.append(st.builds(Fork, st.just(CHILD), st.booleans()))
    return st.one_of(choices)


@st.composite
def _programs(draw: st.DrawFn, cpus: int, others: tuple[str, ...], forks: bool) -> Steps:
    """A few steps, then for ever a few more that begin with a sleep."""
    steps: list[Step] = draw(st.lists(_simple(cpus, others, forks), max_size=MOST_STEPS))
    steps += draw(st.sampled_from(_CRITICAL))
    if draw(st.booleans()):
        body = draw(st.lists(_simple(cpus, others, False), max_size=MOST_STEPS))
        steps.append(Loop(None, (draw(_sleeps), *body)))
    return tuple(steps) or (Yield(),)


_HELD = Run(Span(20 * US))
_CRITICAL: tuple[Steps, ...] = (
    (),
    (Lock(MUTEX), _HELD, Unlock(MUTEX)),
    (Lock(MUTEX), Wait(CONDITION, MUTEX), Unlock(MUTEX)),
)


@st.composite
def _scheds(draw: st.DrawFn) -> Sched:
    """Ordinary tasks of any nice level; now and then a real-time one."""
    if draw(st.integers(0, 5)):
        return Sched(Policy.NORMAL, draw(_nice))
    return Sched(draw(st.sampled_from([Policy.FIFO, Policy.RR])), 0, draw(st.integers(0, 90)))


@st.composite
def workloads(draw: st.DrawFn, cpus: int = 2) -> Workload:
    """Up to MOST_TASKS tasks for so many CPUs, which wake, move and renice each other."""
    names = tuple(f"t{number}" for number in range(draw(st.integers(2, MOST_TASKS))))
    tasks = [draw(_tasks(name, names, cpus)) for name in names]
    child = draw(st.lists(_work | _sleeps, min_size=1, max_size=3))
    tasks.append(Task(CHILD, tuple(child), template=True))
    return Workload(
        "generated",
        tuple(tasks),
        Span(DURATION, Unit.TICKS),
        cpus,
        mutexes=(MUTEX,),
        conditions=(CONDITION,),
    )


@st.composite
def _tasks(draw: st.DrawFn, name: str, names: tuple[str, ...], cpus: int) -> Task:
    others = tuple(other for other in names if other != name)
    sched = draw(_scheds())
    program = draw(_programs(cpus, others, forks=True))
    if sched.policy is not Policy.NORMAL:
        program = (Loop(None, (Sleep(Span(2, Unit.TICKS)), Run(Span(draw(_times))))),)
    allowed = draw(st.none() | cpu_sets(cpus))
    start = draw(st.none() | st.sampled_from(sorted(allowed or range(cpus))))
    count = draw(st.integers(1, 2))
    return Task(name, program, sched, allowed, start, count)
