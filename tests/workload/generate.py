"""Hypothesis strategies: workloads that obey every rule, by construction."""

from __future__ import annotations

from hypothesis import strategies as st

from harness.workload.model import (
    Barrier,
    Block,
    Broadcast,
    CpuDown,
    CpuSet,
    CpuUp,
    Exec,
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
    Workload,
    Yield,
)

CPUS = 4
MUTEXES = ("m0", "m1")
CONDITIONS = ("c0", "c1")

Steps = tuple[Step, ...]

spans = st.builds(Span, st.integers(1, 2**63 - 1), st.sampled_from(Unit))
times = st.integers(1, 2**63 - 1)
cpu_sets: st.SearchStrategy[CpuSet | None] = st.none() | st.frozensets(
    st.integers(0, CPUS - 1), min_size=1
)
rt_policies = st.sampled_from([Policy.FIFO, Policy.RR])
scheds = st.builds(Sched, st.just(Policy.NORMAL), st.integers(-20, 19)) | st.builds(
    Sched, rt_policies, st.integers(-20, 19), st.integers(0, 99)
)


@st.composite
def refs(draw: st.DrawFn, others: tuple[Task, ...]) -> TaskRef:
    """A started task that is not the one that uses the reference."""
    target = draw(st.sampled_from(others))
    which = draw(st.just(Select.ALL) | st.integers(0, target.count - 1))
    return TaskRef(target.name, which)


def simple_steps(others: tuple[Task, ...], templates: tuple[str, ...]) -> st.SearchStrategy[Step]:
    choices: list[st.SearchStrategy[Step]] = [
        st.builds(Run, spans),
        st.builds(Sleep, spans),
        st.builds(Spin, times),
        st.builds(Timer, times, st.sampled_from(["t0", "t1"]), st.booleans()),
        st.just(Yield()),
        st.just(Exec()),
        st.builds(SetNice, st.integers(-20, 19)),
        st.builds(SetPolicy, rt_policies, st.integers(0, 99)),
        st.builds(SetPolicy, st.just(Policy.NORMAL)),
        st.builds(SetCpus, cpu_sets),
        st.builds(Wait, st.sampled_from(CONDITIONS)),
        st.builds(Signal, st.sampled_from(CONDITIONS)),
        st.builds(Broadcast, st.sampled_from(CONDITIONS)),
        st.builds(CpuDown, st.integers(0, CPUS - 1)),
        st.builds(CpuUp, st.integers(0, CPUS - 1)),
    ]
    if others:
        target = refs(others)
        choices += [
            st.builds(Wake, target, st.booleans()),
            st.builds(SetNice, st.integers(-20, 19), target),
            st.builds(SetPolicy, rt_policies, st.integers(0, 99), target),
            st.builds(SetCpus, cpu_sets, target),
        ]
    if templates:
        choices.append(st.builds(Fork, st.sampled_from(templates), st.booleans()))
    return st.one_of(choices)


@st.composite
def programs(draw: st.DrawFn, simple: st.SearchStrategy[Step], depth: int = 0) -> Steps:
    steps: list[Step] = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.integers(0, 9))
        if kind == 0 and depth < 4:
            body = draw(programs(simple, depth + 1))
            steps.append(Loop(draw(st.integers(1, 2**32 - 1)), body))
        elif kind == 1:
            mutex = draw(st.sampled_from(MUTEXES))
            wait = Wait(draw(st.sampled_from(CONDITIONS)), mutex)
            inside: Steps = (wait,) if draw(st.booleans()) else (draw(simple),)
            steps += [Lock(mutex), *inside, Unlock(mutex)]
        else:
            steps.append(draw(simple))
    return tuple(steps)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    """Started tasks `s0..`, templates `t0..` that fork only later templates, a barrier for s0."""
    kernel = st.booleans()
    shapes = tuple(
        Task(f"s{i}", (), count=draw(st.integers(1, 4)), kernel=draw(kernel))
        for i in range(draw(st.integers(1, 3)))
    )
    names = tuple(f"t{i}" for i in range(draw(st.integers(0, 2))))
    tasks: list[Task] = []
    for shape in shapes:
        others = tuple(other for other in shapes if other.name != shape.name)
        tasks.append(draw(_started(shape, others, names)))
    for index, name in enumerate(names):
        program = draw(programs(simple_steps(shapes, names[index + 1 :])))
        sched = draw(st.none() | scheds)
        cpus = draw(cpu_sets)
        delay = draw(st.integers(0, 2**63 - 1))
        tasks.append(Task(name, program, sched, cpus, delay_ns=delay, template=True))
    barriers = (("b", shapes[0].count),) if shapes[0].count > 1 else ()
    return Workload(
        "w",
        tuple(tasks),
        draw(spans),
        CPUS,
        MUTEXES,
        CONDITIONS,
        barriers,
        draw(st.text(max_size=9)),
    )


@st.composite
def _started(
    draw: st.DrawFn, shape: Task, others: tuple[Task, ...], names: tuple[str, ...]
) -> Task:
    steps = list(draw(programs(simple_steps(others, names))))
    steps.insert(0, Block(draw(st.booleans())))
    if shape.count > 1:
        which = draw(st.sampled_from([Select.ALL, Select.NEXT]))
        steps.append(Wake(TaskRef(shape.name, which)))
        if shape.name == "s0":
            steps.append(Barrier("b"))
    if draw(st.booleans()):
        steps.append(Loop(None, (Yield(), *draw(programs(simple_steps(others, names))))))
    cpus = draw(cpu_sets)
    start = draw(st.none() | st.sampled_from(sorted(cpus or range(CPUS))))
    return Task(
        shape.name,
        tuple(steps),
        draw(st.none() | scheds),
        cpus,
        start,
        shape.count,
        draw(st.integers(0, 2**63 - 1)),
        kernel=shape.kernel,
    )
