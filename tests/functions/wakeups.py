"""wake.s, resched.s: a wake-up from its first look to the interrupt that it sends."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from harness.model.bitmap import has_cpu
from harness.model.constants import Now, SDFlag, State
from harness.model.domain import CPU, Domain
from harness.model.load import read_live
from harness.model.resched import Resched, preempt_curr, resched_task
from harness.model.task import ALL_CPUS, Task
from harness.model.wake import begin_wakeup, commit_placement, place, try_to_wake_up
from tests.functions.agreement import agrees, sleep_avgs
from tests.functions.cpus import HERE, PLACES, RUNS, SLEEPS, WAITS, Cpus
from tests.functions.guest import PERCPU, Guest, Logged
from tests.functions.machine import Layout

CPUS = 4
TASK, OTHER, MINE = 8, 9, 10
NOW = 71_234_567
VECTOR_RESCHEDULE = 0xFC

states = st.sampled_from([State.INTERRUPTIBLE, State.UNINTERRUPTIBLE])
masks = st.sampled_from([State.INTERRUPTIBLE, State.INTERRUPTIBLE | State.UNINTERRUPTIBLE,
                         State.UNINTERRUPTIBLE])  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """A task, what runs on its CPU, and who wakes it."""

    cpu: int
    place: str
    """Where it is: asleep, still queued, still running, or already off the queue but on its CPU."""
    state: State
    mask: State
    sync: bool
    prio: int
    static_prio: int
    sleep_avg: int
    slept: int
    there: int
    """Priority of what runs on its CPU, 140: nothing."""
    mine: int
    """The same of ours."""
    taken: bool
    """A domain of ours takes every task that is cold."""
    allowed: int
    asked: bool
    irq: bool
    jiffies: int


scenes = st.builds(
    Scene,
    st.integers(0, CPUS - 1),
    st.sampled_from([SLEEPS, SLEEPS, SLEEPS, WAITS, RUNS, "leaving"]),
    states,
    masks,
    st.booleans(),
    st.sampled_from([50, 100, 118, 120, 125, 139]),
    st.sampled_from([100, 120, 139]),
    sleep_avgs,
    st.sampled_from([0, 1_000_000, 800_000_000, -7]),
    st.sampled_from([49, 50, 51, 115, 120, 140]),
    st.sampled_from([50, 115, 120, 140]),
    st.sampled_from([True, True, False]),
    st.sampled_from([ALL_CPUS, ALL_CPUS, 0b1110]),
    st.booleans(),
    st.booleans(),
    st.integers(1, 1 << 40),
)


class Bench:
    def __init__(self, guest: Guest, scene: Scene) -> None:
        self.guest, self.scene, self.cpus = guest, scene, Cpus(guest, CPUS)
        self.p = p = Task(TASK, cpu=scene.cpu, prio=scene.prio, static_prio=scene.static_prio)
        p.sleep_avg, p.timestamp = scene.sleep_avg, NOW - scene.slept
        p.cpus_allowed = scene.allowed
        if scene.place == "leaving":
            self.cpus.place(p, SLEEPS)
            self.cpus.rqs[scene.cpu].curr = p
        else:
            self.cpus.place(p, scene.place)
        p.state = scene.state
        self._others()
        flags = SDFlag.WAKE_AFFINE if scene.taken else SDFlag.BALANCE_EXEC
        self.sd = Domain(replace(CPU, flags=flags, cache_hot_time=0), (1 << CPUS) - 1, ())
        self.cpus.rqs[HERE].domains = (self.sd,)
        self.cpus.copy(scene.jiffies)
        layout = Layout.of(guest.image, "sched_domain")
        self.domain = guest.allocate(layout.size)
        guest.write(self.domain, layout.pack({"span": self.sd.span, "flags": int(flags)}))
        self.cpus.store(HERE, "sd", self.domain)
        guest.set_word("cpu_online_mask", (1 << CPUS) - 1)
        percpu = Layout.of(guest.image, "percpu")
        guest.store(percpu, PERCPU, "irq_depth", int(scene.irq))

    def _others(self) -> None:
        scene = self.scene
        for pid, cpu, prio in ((OTHER, scene.cpu, scene.there), (MINE, HERE, scene.mine)):
            rq = self.cpus.rqs[cpu]
            if prio < 140 and rq.curr is rq.idle:
                self.cpus.place(Task(pid, cpu=cpu, prio=prio), RUNS)
        for rq in self.cpus.rqs:
            rq.curr.need_resched = scene.asked

    def compare(self) -> None:
        self.cpus.compare()
        layout, names = Layout.of(self.guest.image, "sched_domain"), ("ttwu_wake_affine",)
        found = self.guest.load(layout, self.domain, *names)
        assert found == {name: getattr(self.sd.stats, name) for name in names}


WAKE = ("try_to_wake_up", "wake_log", "wake_log_moved", "wake_settle", "wake_finish",
        "activate_task", "resched_task", "preempt_curr")  # fmt: skip


@agrees(*WAKE, given=st.tuples(scenes, st.booleans(), st.integers(0, 1)))
def woken(guest: Guest, scene: Scene, logging: bool, interrupts: int) -> None:
    """It is queued where it was, or here, and in place of what is worse; or it was not asleep."""
    bench = Bench(guest, scene)
    cpus, p = bench.cpus, bench.p
    sent: list[tuple[int, int]] = []

    def send() -> None:
        assert not guest.interruptible
        sent.append((guest.register("rdi"), guest.register("rsi")))

    rq = cpus.rqs[p.cpu]
    was = int(scene.state), int(p.array is not None), int(rq.curr is p), int(scene.sync)
    with (
        guest.logging(on=logging),
        guest.watching(ipi_send=send),
        guest.replacing(clock_ns=lambda: NOW),
    ):
        arguments = cpus.at[TASK], int(scene.mask), int(scene.sync)
        found = guest.call("try_to_wake_up", *arguments, interrupts=interrupts)
    wakeup = try_to_wake_up(p, cpus.rqs, HERE, Now(NOW, scene.jiffies), mask=scene.mask,
                            sync=scene.sync, in_interrupt=scene.irq)  # fmt: skip
    assert found == int(wakeup.woken)
    assert guest.interruptible == interrupts
    events = [Logged("wake", (TASK, scene.cpu, int(scene.mask), *was))]
    ticks = cpus.rqs[HERE].timestamp_last_tick, cpus.rqs[p.cpu].timestamp_last_tick
    if p.cpu != scene.cpu:
        events.append(Logged("wake_moved", (TASK, p.cpu, int(scene.state), 0)))
    if wakeup.woken:
        activate = TASK, p.cpu, NOW, scene.jiffies, int(scene.irq), *ticks
        events.append(Logged("activate", activate))
    if wakeup.resched is not None:
        events.append(asked(cpus, cpus.rqs[p.cpu].curr, scene.asked, wakeup.resched))
    cpus.check_logged(events, on=logging)
    assert sent == ([(p.cpu, VECTOR_RESCHEDULE)] if wakeup.resched is Resched.IPI else [])
    bench.compare()


def asked(cpus: Cpus, p: Task, was: bool, how: Resched) -> Logged:
    return Logged("resched", (p.pid, p.cpu, int(was), 0, int(how is Resched.IPI)))


@agrees("try_to_wake_up", "wake_settle", "wake_log_moved",
        given=st.tuples(scenes, st.booleans(), st.booleans()))  # fmt: skip
def woken_by_two(guest: Guest, scene: Scene, queued: bool, logging: bool) -> None:
    """While the locks change hands another one wakes it: then there is nothing left to do."""
    scene = replace(scene, cpu=2, place=SLEEPS, taken=True, allowed=ALL_CPUS, sync=False, mine=140)
    bench = Bench(guest, scene)
    cpus, p = bench.cpus, bench.p
    moves: list[int] = []

    def other_comes() -> None:
        """Its run queue is let go; it is a task of ours by then."""
        if guest.register("rdi") != cpus.queue(scene.cpu) or moves:
            return
        moves.append(guest.load(guest.task, cpus.at[TASK], "cpu")["cpu"])
        if moves[0] == HERE:
            field, value = ("array", 1) if queued else ("state", 0)
            guest.store(guest.task, cpus.at[TASK], field, value)

    rq = cpus.rqs[scene.cpu]
    loads = read_live(cpus.rqs)
    begin_wakeup(p, rq, scene.mask)
    with (
        guest.logging(on=logging),
        guest.watching(rq_unlock=other_comes),
        guest.replacing(clock_ns=lambda: NOW),
    ):
        found = guest.call("try_to_wake_up", cpus.at[TASK], int(scene.mask), 0)
    if not scene.state & scene.mask:
        assert (found, moves) == (0, [scene.cpu])
        bench.compare()
        return
    placement = place(p, HERE, (bench.sd,), rq.timestamp_last_tick, loads(2), loads(HERE))
    moved = commit_placement(p, rq, placement, placement.cpu)
    assert moves == [p.cpu]
    if not moved:
        return
    assert found == 0
    p.state = State.RUNNING
    guest.store(guest.task, cpus.at[TASK], "array", 0)
    kinds = {event.name for event in guest.events}
    assert ("activate" in kinds, "wake_moved" in kinds) == (False, logging)
    bench.compare()


@agrees("try_to_wake_up", "hotplug_evade",
        given=st.tuples(scenes, st.sampled_from([0b0011, 0b0001, 0b1001]),
                        st.booleans()))  # fmt: skip
def woken_elsewhere(guest: Guest, scene: Scene, online: int, logging: bool) -> None:
    """A task whose CPU has gone is woken on one that is there, and is not placed again."""
    scene = replace(scene, cpu=2, place=SLEEPS, mask=State.INTERRUPTIBLE | State.UNINTERRUPTIBLE,
                    allowed=ALL_CPUS)  # fmt: skip
    bench = Bench(guest, scene)
    guest.set_word("cpu_online_mask", online)
    with guest.logging(on=logging), guest.replacing(clock_ns=lambda: NOW):
        arguments = bench.cpus.at[TASK], int(scene.mask), int(scene.sync)
        assert guest.call("try_to_wake_up", *arguments) == 1
    bench.cpus.check_unlocked()
    found = guest.load(guest.task, bench.cpus.at[TASK], "cpu", "state", "array")
    assert has_cpu(online, found["cpu"])
    assert found["array"] == bench.cpus.load(found["cpu"], "active")
    assert found["state"] == 0
    counts = [bench.cpus.load(2, name) for name in ("ttwu_cnt", "ttwu_attempts", "ttwu_moved")]
    assert counts == [1, 0, 0]
    assert {event.name for event in guest.events} >= ({"drain", "wake_moved"} if logging else set())


@agrees("resched_task", "preempt_curr",
        given=st.tuples(st.integers(0, CPUS - 1), st.sampled_from([50, 119, 120, 121]),
                        st.booleans(), st.booleans(), st.sampled_from(PLACES)))  # fmt: skip
def asked_to_leave(guest: Guest, cpu: int, prio: int, before: bool, logging: bool, at: str) -> None:
    """Once, and by an interrupt only where another CPU is concerned."""
    cpus = Cpus(guest, CPUS)
    current = cpus.place(Task(OTHER, cpu=cpu, prio=120), RUNS)
    p = cpus.place(Task(TASK, cpu=cpu, prio=prio), WAITS if at == RUNS else at)
    current.need_resched = before
    cpus.copy()
    with guest.logging(on=logging):
        guest.call("preempt_curr", cpus.at[TASK], cpus.queue(cpu))
        how = preempt_curr(p, cpus.rqs[cpu], HERE)
        events = [] if how is None else [asked(cpus, current, before, how)]
        assert guest.events == (events if logging else [])
        cpus.compare()
        guest.events.clear()
        was = current.need_resched
        guest.call("resched_task", cpus.at[OTHER])
    how = resched_task(current, HERE)
    assert guest.events == ([asked(cpus, current, was, how)] if logging else [])
    cpus.compare()
