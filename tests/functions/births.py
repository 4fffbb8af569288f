"""fork.s, exit.s: how slices and sleep averages are shared out, here and on other CPUs."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from hypothesis import strategies as st

from harness.model.constants import Now, Policy
from harness.model.exit import sched_exit
from harness.model.fork import sched_fork, wake_up_new_task
from harness.model.prio import task_timeslice
from harness.model.resched import preempt_curr
from harness.model.runqueue import __activate_task
from harness.model.task import Task
from tests.functions.agreement import agrees, sleep_avgs
from tests.functions.cpus import EXPIRED, HERE, LOCK_FREE, PLACES, RUNS, SLEEPS, WAITS, Cpus
from tests.functions.guest import Guest, Logged, PanicError
from tests.functions.machine import EnoughError

CPUS = 3
PARENT, CHILD, OTHER = 6, 7, 8
DEAD = 32
NOW = 71_234_567

slices = st.sampled_from([1, 2, 3, 4, 99, 100, 101])
nices = st.sampled_from([100, 101, 119, 120, 121, 139])
jiffies = st.integers(1, 1 << 40)


@dataclass(frozen=True)
class Family:
    """A parent that runs here, and its child, which may have been moved."""

    prio: int
    static_prio: int
    slice: int
    sleep_avg: int
    queued: str
    """Where the parent is queued: in either array, or nowhere."""
    child_cpu: int
    child_prio: int
    there: int
    """Priority of what runs where the child is."""
    shares: bool
    jiffies: int


families = st.builds(
    Family,
    st.sampled_from([64, 100, 115, 120, 125, 139]),
    nices,
    slices,
    sleep_avgs,
    st.sampled_from([WAITS, WAITS, EXPIRED, SLEEPS]),
    st.sampled_from([HERE, HERE, 1, 2]),
    st.sampled_from([64, 120]),
    st.sampled_from([63, 100, 115, 120, 139, 140]),
    st.booleans(),
    jiffies,
)


class Bench:
    def __init__(self, guest: Guest, scene: Family) -> None:
        self.guest, self.cpus = guest, Cpus(guest, CPUS)
        self.parent = Task(PARENT, cpu=HERE, prio=scene.prio, static_prio=scene.static_prio,
                           time_slice=scene.slice, sleep_avg=scene.sleep_avg)  # fmt: skip
        self.cpus.place(self.parent, scene.queued)
        self.parent.state = self.parent.state.__class__(0)
        self.cpus.rqs[HERE].curr = self.parent
        if scene.child_cpu != HERE and scene.there < 140:
            self.cpus.place(Task(OTHER, cpu=scene.child_cpu, prio=scene.there), RUNS)
        elif scene.queued != SLEEPS:
            self.cpus.place(Task(OTHER, cpu=HERE, prio=scene.prio), scene.queued)
        self.child = Task(CHILD, cpu=scene.child_cpu, prio=scene.child_prio)
        self.child.static_prio, self.child.timestamp = scene.static_prio, 69_000_000
        self.child.sleep_avg = scene.sleep_avg // 3 * 2
        for rq in self.cpus.rqs:
            rq.curr.need_resched = False
        self.cpus.tasks.append(self.child)
        self.cpus.copy(scene.jiffies)
        self.shared = {"rbx": self.cpus.at[CHILD], "r12": self.cpus.at[PARENT]}


@agrees("sched_fork", given=st.tuples(families, st.booleans()))
def shared_out(guest: Guest, scene: Family, logging: bool) -> None:
    """The odd jiffy is the child's; a parent without another is accounted a tick at once."""
    bench = Bench(guest, scene)
    ticks: list[None] = []

    def tick() -> None:
        bench.cpus.check_unlocked()
        ticks.append(None)

    def read_average() -> None:
        # The end of another child has just changed it, under the lock that is taken now.
        at = guest.register("rdi")
        assert at == bench.cpus.queue(HERE)
        guest.store(guest.task, bench.cpus.at[PARENT], "sleep_avg", bench.parent.sleep_avg)

    bench.parent.sleep_avg = scene.sleep_avg // 2
    with (
        guest.logging(on=logging),
        guest.watching(rq_lock=read_average),
        guest.replacing(clock_ns=lambda: NOW, scheduler_tick=tick),
    ):
        guest.call("sched_fork", **bench.shared)
    alone = sched_fork(bench.child, bench.parent, NOW)
    assert len(ticks) == int(alone)
    assert guest.events == ([Logged("fork", (PARENT, CHILD, NOW))] if logging else [])
    bench.cpus.compare()


@agrees("wake_up_new_task", "queue_child", "sleep_avg_penalty", "lock_with_ours",
        given=st.tuples(families, st.booleans()))  # fmt: skip
def begun(guest: Guest, scene: Family, logging: bool) -> None:
    """Before its parent, or last, or on another CPU and by the clock of that."""
    bench = Bench(guest, scene)
    here, there = bench.cpus.rqs[HERE], bench.cpus.rqs[scene.child_cpu]
    ticks = here.timestamp_last_tick, there.timestamp_last_tick
    with guest.logging(on=logging):
        guest.call("wake_up_new_task", **bench.shared, r13=int(scene.shares))
    now = Now(NOW, scene.jiffies)
    wake_up_new_task(bench.child, bench.parent, there, here, now, clone_vm=scene.shares)
    arguments = CHILD, PARENT, scene.child_cpu, scene.jiffies, int(scene.shares), *ticks
    bench.cpus.check_logged([Logged("wake_new", arguments)], on=logging)
    bench.cpus.compare()


@dataclass(frozen=True)
class Start:
    """A task that nobody forked."""

    cpu: int
    policy: Policy
    rt_priority: int
    static_prio: int
    there: int
    jiffies: int


starts = st.builds(
    Start,
    st.integers(0, CPUS - 1),
    st.sampled_from(Policy),
    st.integers(0, 99),
    nices,
    st.sampled_from([0, 63, 100, 119, 120, 121, 140]),
    jiffies,
)


@agrees("task_start", given=st.tuples(starts, st.booleans(), st.integers(0, 1)))
def made_runnable(guest: Guest, scene: Start, logging: bool, interrupts: int) -> None:
    """With a full slice, and in place of what runs there if that is worse."""
    cpus = Cpus(guest, CPUS)
    p = Task(
        CHILD, cpu=scene.cpu, policy=scene.policy, static_prio=scene.static_prio, time_slice=77
    )
    p.rt_priority = 0 if scene.policy == Policy.NORMAL else scene.rt_priority
    cpus.tasks.append(p)
    if scene.there < 140:
        cpus.place(Task(OTHER, cpu=scene.cpu, prio=scene.there), RUNS)
    for rq in cpus.rqs:
        rq.curr.need_resched = False
    cpus.copy(scene.jiffies)
    announced: list[int] = []

    def announce() -> None:
        assert not guest.interruptible
        announced.append(guest.register("rdi"))

    with guest.logging(on=logging), guest.replacing(clock_ns=lambda: NOW, task_log_new=announce):
        guest.call("task_start", cpus.at[CHILD], interrupts=interrupts)
    rq = cpus.rqs[scene.cpu]
    p.prio = p.static_prio if p.policy == Policy.NORMAL else 99 - p.rt_priority
    p.time_slice, p.timestamp = task_timeslice(p, cpus.k), NOW
    __activate_task(p, rq, scene.jiffies)
    preempt_curr(p, rq, HERE)
    assert announced == [cpus.at[CHILD]]
    assert guest.interruptible == interrupts
    cpus.check_logged([Logged("start", (CHILD, scene.cpu, scene.jiffies))], on=logging)
    cpus.compare()


@agrees("do_fork", given=st.tuples(st.booleans(), st.integers(0, 1), st.booleans()))
def forked(guest: Guest, room: bool, shares: int, asked: bool) -> None:
    """The order of the steps, between which the parent may lose its CPU, and no further ones."""
    cpus = Cpus(guest, CPUS)
    cpus.place(Task(PARENT, cpu=HERE), RUNS)
    cpus.tasks.append(Task(CHILD, cpu=2))
    cpus.rqs[HERE].curr.need_resched = False
    cpus.copy()
    child, parent = cpus.at[CHILD], cpus.at[PARENT]
    calls: list[str] = []

    def note(name: str, *registers: str) -> tuple[int, ...]:
        calls.append(name)
        assert not guest.interruptible
        return tuple(guest.register(one) for one in registers)

    def allocate() -> int:
        assert note("allocate", "rdi", "rsi", "rdx") == (11, 12, 13)
        return child if room else 0

    def inherit() -> None:
        assert note("inherit", "rdi", "rsi") == (child, parent)

    def announce() -> None:
        assert note("announce", "rdi") == (child,)
        assert guest.load(guest.task, child, "cpu")["cpu"] == HERE

    def share() -> None:
        assert note("share", "rbx", "r12") == (child, parent)

    def wake() -> None:
        assert note("wake", "rbx", "r12", "r13") == (child, parent, shares)
        guest.store(guest.task, parent, "need_resched", int(asked))

    def schedule() -> None:
        calls.append("schedule")
        assert guest.interruptible

    with guest.replacing(task_allocate=allocate, task_inherit=inherit, task_log_new=announce,
                         sched_fork=share, wake_up_new_task=wake, schedule=schedule):  # fmt: skip
        found = guest.call("do_fork", 11, 12, 13, shares | 0x5A5A << 32, interrupts=1)
    assert found == (child if room else 0)
    assert guest.interruptible
    steps = ["allocate", "inherit", "announce", "share", "wake"] if room else ["allocate"]
    assert calls == [*steps, *(["schedule"] if asked and room else [])]


@agrees("sched_exit", "return_slice", "weigh_on_parent",
        given=st.tuples(st.sampled_from(PLACES), st.integers(0, CPUS - 1), nices, slices, slices,
                        sleep_avgs, sleep_avgs, st.booleans(),
                        st.sampled_from(["lives", "lives", "lives", "gone", "none"]),
                        st.booleans()))  # fmt: skip
def ended(
    guest: Guest, place: str, cpu: int, nice: int, left: int, parents: int, slept: int,
    parent_slept: int, first: bool, parent: str, logging: bool,
) -> None:  # fmt: skip
    """The parent, wherever it is, gets what is left of a first slice; unless it has gone."""
    cpus = Cpus(guest, CPUS)
    q = Task(PARENT, cpu=cpu, time_slice=parents, sleep_avg=parent_slept)
    cpus.place(q, place if cpu else WAITS)
    p = cpus.place(Task(CHILD, cpu=HERE, static_prio=nice, time_slice=left, sleep_avg=slept), RUNS)
    p.first_time_slice = first
    cpus.copy()
    at = cpus.at[CHILD]
    guest.store(guest.task, at, "parent", 0 if parent == "none" else cpus.at[PARENT])
    guest.store(guest.task, at, "parent_generation", 5)
    guest.store(guest.task, cpus.at[PARENT], "generation", 6 if parent == "gone" else 5)
    lock = guest.addresses["task_lock"]

    def held() -> None:
        assert cpus.owner(lock) == HERE, "the parent may not be freed meanwhile"

    with guest.logging(on=logging), guest.watching(task_rq_lock=held, rq_unlock=held):
        guest.call("sched_exit", rbx=at)
    if parent == "lives":
        sched_exit(p, q, cpus.k)
    event = Logged("exit", (CHILD, PARENT, cpu) if parent == "lives" else (CHILD, (1 << 64) - 1, 0))
    assert guest.events == ([event] if logging else [])
    assert cpus.owner(lock) == LOCK_FREE
    cpus.compare()


@agrees("do_exit", given=st.tuples(st.booleans()))
def gone(guest: Guest, again: bool) -> None:
    """Settled first, then off the CPU for good."""
    cpus = Cpus(guest, CPUS)
    cpus.place(Task(CHILD, cpu=HERE), RUNS)
    cpus.copy()
    at = cpus.at[CHILD]
    calls: list[str] = []

    def settle() -> None:
        assert (guest.register("rbx"), guest.interruptible) == (at, False)
        assert guest.load(guest.task, at, "state")["state"] == 0
        calls.append("settle")

    def schedule() -> None:
        assert guest.load(guest.task, at, "state")["state"] == DEAD
        calls.append("schedule")
        if not again:
            raise EnoughError

    with (
        guest.replacing(sched_exit=settle, schedule=schedule),
        contextlib.suppress(EnoughError, PanicError),
    ):
        guest.call("do_exit", interrupts=1)
        raise AssertionError("it returned")
    assert calls == ["settle", "schedule"]
