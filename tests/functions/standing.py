"""setprio.s: other nice levels and policies of tasks that run, wait or sleep."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from harness.model.array import enqueue_task
from harness.model.constants import MAX_RT_PRIO, Policy, State, nice_to_prio
from harness.model.core import sched_setscheduler, set_user_nice
from harness.model.runqueue import Runqueue
from harness.model.task import Task, idle_task
from tests.functions.agreement import agrees
from tests.functions.guest import Guest, Logged
from tests.functions.machine import U64
from tests.functions.mirror import Mirror

HERE, THERE = 0, 1
CHANGED, OTHER = 3, 4

prios = st.sampled_from([0, 50, 99, 100, 115, 119, 120, 121, 125, 139])
nices = st.sampled_from([-21, -20, -5, -1, 0, 1, 5, 19, 20])


@dataclass(frozen=True)
class Scene:
    """A task and another one of the same CPU, which is ours or not."""

    prio: int
    static_prio: int
    place: str
    """Where the task is: it runs, waits, has expired, or sleeps."""
    other: int
    """Priority of the other one, which runs where the task does not."""
    ours: bool
    asked: bool
    jiffies: int


scenes = st.builds(
    Scene,
    prios,
    st.sampled_from([100, 119, 120, 121, 139]),
    st.sampled_from(["runs", "runs", "waits", "waits", "expired", "sleeps"]),
    prios,
    st.booleans(),
    st.sampled_from([False, False, False, False, True]),
    st.integers(0, 1 << 40),
)


class Bench:
    """Both tasks on both sides."""

    def __init__(self, guest: Guest, scene: Scene) -> None:
        self.guest, self.scene = guest, scene
        self.k = guest.configure(1000, 2)
        self.cpu = HERE if scene.ours else THERE
        self.rqs = [Runqueue(cpu, self.k, idle_task(cpu, pid=cpu)) for cpu in (HERE, THERE)]
        self.rq = self.rqs[self.cpu]
        self.p = self._task(CHANGED, scene.prio, scene.static_prio)
        self.other = self._task(OTHER, scene.other, max(scene.other, 100))
        queued = [self.other, *([] if scene.place == "sleeps" else [self.p])]
        if scene.place == "sleeps":
            self.p.state = State.INTERRUPTIBLE
        self.rq.nr_running = len(queued)
        self.rq.curr = self.p if scene.place == "runs" else self.other
        self.rq.curr.need_resched = scene.asked
        self._copy(queued)

    def _task(self, pid: int, prio: int, static_prio: int) -> Task:
        real_time = prio < MAX_RT_PRIO
        p = Task(pid, prio=prio, static_prio=static_prio, cpu=self.cpu, time_slice=77)
        p.policy = Policy.FIFO if real_time else Policy.NORMAL
        p.rt_priority = MAX_RT_PRIO - 1 - prio if real_time else 0
        return p

    def _copy(self, queued: list[Task]) -> None:
        guest = self.guest
        self.mirror = mirror = Mirror(guest)
        for rq in self.rqs:
            mirror.put_runqueue(rq)
        self.at = {p.pid: mirror.put_task(p) for p in (self.p, self.other)}
        for p in queued:
            expired = p is self.p and self.scene.place == "expired"
            array = self.rq.arrays[int(expired)]
            guest.call("enqueue_task_at", self.at[p.pid], mirror.array(self.rq, int(expired)), 0)
            enqueue_task(p, array, 0)
        guest.set_word("jiffies", self.scene.jiffies)
        here = self.rqs[HERE]
        guest.enter(mirror.runqueue(here), mirror.task(here.curr), HERE)
        guest.events.clear()

    def check_logged(self, events: list[Logged]) -> None:
        """The operation itself; what follows from it is not its own."""
        operations = "set_nice", "set_policy"
        assert [event for event in self.guest.events if event.name in operations] == events
        assert events or not any(event.name == "enqueue" for event in self.guest.events)

    def compare(self) -> None:
        for rq in self.rqs:
            self.mirror.compare_runqueue(rq)
            found = self.guest.load(self.guest.runqueue, self.mirror.runqueue(rq), "curr")["curr"]
            assert found == self.mirror.task(rq.curr), f"who runs on CPU {rq.cpu}"
            for number, array in enumerate(rq.arrays):
                self.mirror.compare_array(self.mirror.array(rq, number), array)
        for p in (self.p, self.other):
            self.mirror.compare_task(p)


@agrees("set_user_nice", given=st.tuples(scenes, nices, st.booleans()))
def other_nice_level(guest: Guest, scene: Scene, nice: int, logging: bool) -> None:
    bench = Bench(guest, scene)
    with guest.logging(on=logging):
        guest.call("set_user_nice", bench.at[CHANGED], nice, interrupts=1)
    assert guest.interruptible
    event = Logged("set_nice", (CHANGED, bench.cpu, nice & U64, scene.jiffies))
    ignored = not -20 <= nice <= 19 or nice_to_prio(nice) == scene.static_prio
    bench.check_logged([] if ignored or not logging else [event])
    set_user_nice(bench.p, bench.rq, nice, HERE, scene.jiffies)
    bench.compare()


@agrees("sched_setscheduler", "policy_prio",
        given=st.tuples(scenes, st.sampled_from(Policy), st.integers(0, 99),
                        st.booleans()))  # fmt: skip
def other_policy(guest: Guest, scene: Scene, policy: Policy, priority: int, logging: bool) -> None:
    bench = Bench(guest, scene)
    rt_priority = 0 if policy == Policy.NORMAL else priority
    with guest.logging(on=logging):
        guest.call("sched_setscheduler", bench.at[CHANGED], int(policy), rt_priority, interrupts=1)
    assert guest.interruptible
    arguments = CHANGED, bench.cpu, int(policy), rt_priority, scene.jiffies
    bench.check_logged([Logged("set_policy", arguments)] if logging else [])
    sched_setscheduler(bench.p, bench.rq, policy, rt_priority, HERE, scene.jiffies)
    bench.compare()
