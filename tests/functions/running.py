"""tick.s, yield.s, core.s: what becomes of the running task, and who runs next."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from harness.model import core as model
from harness.model.constants import Now, Policy, State
from harness.model.fixes import Fix, Fixes
from harness.model.prio import expired_starving, task_interactive
from harness.model.task import Task
from harness.model.tick import TickAction, scheduler_tick
from tests.functions.agreement import agrees, corrections, sleep_avgs, static_prios
from tests.functions.cpus import EXPIRED, HERE, RUNS, WAITS, Cpus
from tests.functions.guest import Guest, Logged

CPUS = 3
CURRENT, FIRST = 6, 7
NOW = 71_234_567
DEAD = State.EXIT_DEAD

prios = st.sampled_from([0, 63, 64, 99, 100, 115, 119, 120, 121, 128, 139])


@dataclass(frozen=True)
class Other:
    """A task that waits."""

    prio: int
    expired: bool
    activated: int
    static_prio: int
    waited: int
    """Nanoseconds, negative where clocks disagree."""


others = st.builds(
    Other,
    prios,
    st.booleans(),
    st.sampled_from([-1, 0, 1, 1, 2]),
    st.sampled_from([100, 120, 139]),
    st.sampled_from([0, 3_000_000, 400_000_000, -5]),
)


@dataclass(frozen=True)
class Scene:
    """A CPU in the middle of its work."""

    prio: int
    """140: the idle task runs."""
    static_prio: int
    policy: Policy
    slice: int
    sleep_avg: int
    expired: bool
    """The running task's slice has ended before."""
    ran: int
    """Nanoseconds, negative where clocks disagree."""
    waiting: list[Other]
    expired_since: int
    best_expired: int
    jiffies: int


scenes = st.builds(
    Scene,
    st.sampled_from([50, 100, 110, 115, 120, 120, 125, 139, 140]),
    static_prios,
    st.sampled_from(Policy),
    st.sampled_from([1, 1, 1, 2, 3, 11, 41, 100]),
    sleep_avgs,
    st.sampled_from([False, False, False, True]),
    st.sampled_from([0, 1_000_000, 900_000_000, 1_500_000_000, -5]),
    st.lists(others, max_size=4),
    st.sampled_from([0, 0, 5, 3000]),
    st.sampled_from([140, 100, 120, 139]),
    st.sampled_from([3000, 5000, 1 << 33]),
)


class Bench:
    def __init__(self, guest: Guest, scene: Scene, fixes: Fixes = frozenset()) -> None:
        self.guest, self.cpus = guest, Cpus(guest, CPUS, fixes)
        self.rq = rq = self.cpus.rqs[HERE]
        self.p = rq.idle
        if scene.prio < 140:
            self.p = Task(CURRENT, prio=scene.prio, static_prio=scene.static_prio)
            self.p.policy = scene.policy if scene.prio < 100 else Policy.NORMAL
            self.p.time_slice, self.p.sleep_avg = scene.slice, scene.sleep_avg
            self.p.first_time_slice = True
            self.cpus.place(self.p, EXPIRED if scene.expired else RUNS)
            rq.curr = self.p
        self.p.timestamp = NOW - scene.ran
        self.p.sched_info.last_arrival = 3
        for number, one in enumerate(scene.waiting):
            other = Task(FIRST + number, prio=one.prio, static_prio=one.static_prio)
            other.activated, other.timestamp = one.activated, NOW - one.waited
            self.cpus.place(other, EXPIRED if one.expired else WAITS)
        rq.expired_timestamp, rq.best_expired_prio = scene.expired_since, scene.best_expired
        for each in self.cpus.rqs:
            each.idle.need_resched = False
        self.now = Now(NOW, scene.jiffies)

    def copy(self) -> None:
        self.cpus.copy(self.now.jiffies)


@agrees("scheduler_tick", "tick_log", "tick_account", "tick_refill", "tick_slice_end",
        given=st.tuples(scenes, st.booleans()))  # fmt: skip
def ticked(guest: Guest, scene: Scene, logging: bool) -> None:
    """Slices that end, and where the task goes then; balancing comes last, with no lock."""
    bench = Bench(guest, scene)
    bench.copy()
    before = bench.p.time_slice
    calls: list[tuple[int, int, int]] = []

    def balance() -> None:
        bench.cpus.check_unlocked()
        kind = guest.register("rsi") & 0xFFFF_FFFF
        calls.append((guest.register("rdi"), kind, guest.register("rdx")))

    with guest.logging(on=logging), guest.replacing(clock_ns=lambda: NOW, rebalance_tick=balance):
        guest.call("scheduler_tick")
    tick = scheduler_tick(bench.rq, bench.now, CPUS)
    assert calls == [(bench.cpus.queue(HERE), int(tick.idle), scene.jiffies)]
    account = Logged("account", (CURRENT, NOW, scene.jiffies, before))
    events = [account] if scene.prio < 140 else []
    if tick.action in (TickAction.TO_EXPIRED, TickAction.TO_ACTIVE):
        events.append(expiry(bench, scene, tick.action))
    bench.cpus.check_logged(events, on=logging)
    bench.cpus.compare()


def expiry(bench: Bench, scene: Scene, action: TickAction) -> Logged:
    """What the log has of the end of a slice: where the task goes, and why."""
    p, rq = bench.p, bench.rq
    why = task_interactive(p), expired_starving(rq, scene.jiffies)
    after = int(action is TickAction.TO_EXPIRED), p.prio, p.time_slice
    times = rq.expired_timestamp, scene.best_expired
    return Logged("expire", (p.pid, *after, *map(int, why), *times))


@agrees("sched_yield", "yield_count", given=st.tuples(scenes, st.booleans(), st.integers(0, 1)))
def gave_way(guest: Guest, scene: Scene, logging: bool, interrupts: int) -> None:
    bench = Bench(guest, scene)
    if scene.prio == 140:
        return
    bench.copy()
    calls: list[bool] = []

    def schedule() -> None:
        bench.cpus.check_unlocked()
        calls.append(guest.interruptible)

    with guest.logging(on=logging), guest.replacing(schedule=schedule):
        guest.call("sched_yield", interrupts=interrupts)
    model.sched_yield(bench.rq, scene.jiffies)
    assert calls == [False]
    assert guest.own("op_jiffies") == scene.jiffies
    assert guest.interruptible == interrupts
    bench.cpus.check_logged([Logged("yield", (CURRENT, scene.jiffies))], on=logging)
    bench.cpus.compare()


SCHEDULE = ("schedule", "preempt_schedule", "schedule_once", "schedule_run_time", "schedule_leave",
            "schedule_pick", "schedule_credit", "schedule_account", "schedule_switch",
            "finish_task_switch")  # fmt: skip
states = st.sampled_from(
    [State.RUNNING, State.RUNNING, State.INTERRUPTIBLE, State.UNINTERRUPTIBLE, DEAD]
)


@agrees(*SCHEDULE,
        given=st.tuples(scenes, states, st.booleans(),
                        corrections(Fix.L06, Fix.L09), st.booleans(),
                        st.integers(0, 1)))  # fmt: skip
def next_one(
    guest: Guest, scene: Scene, state: State, preempt: bool, fixes: Fixes, logging: bool,
    interrupts: int,
) -> None:  # fmt: skip
    """Whoever sleeps leaves, the best one comes, arrays change places, work is looked for."""
    bench = Bench(guest, scene, fixes)
    prev = bench.p
    if scene.prio < 140:
        prev.state = state
    elif preempt or interrupts:
        return
    bench.copy()
    cpus = bench.cpus
    calls: list[str] = []

    def balance() -> None:
        assert guest.register("rdi") == cpus.queue(HERE)
        assert cpus.owner(cpus.queue(HERE)) == HERE
        calls.append("balance")

    def switch() -> int:
        assert cpus.owner(cpus.queue(HERE)) == HERE, "who comes releases it"
        calls.append("switch")
        assert guest.own("curr") == guest.register("rsi")
        return guest.register("rdi")

    def bury() -> None:
        cpus.check_unlocked()
        calls.append(f"bury {guest.register('rdi'):#x}")

    function = "preempt_schedule" if preempt else "schedule"
    with (
        guest.logging(on=logging),
        guest.replacing(
            clock_ns=lambda: NOW, idle_balance=balance, switch_to=switch, task_bury=bury
        ),
    ):
        guest.call(function, interrupts=0 if preempt else interrupts)
    alone = bench.rq.nr_running == 0 or (
        bench.rq.nr_running == 1 and prev is not bench.rq.idle and bool(prev.state) and not preempt
    )
    events = decided(bench, scene, preempt)
    assert [event for event in guest.events if event.name in DECISIONS] == (
        events if logging else []
    )
    assert logging or not guest.events
    after = bench.rq.curr
    if preempt:
        after.preempt_active = False
    wanted = (["balance"] if alone else []) + (["switch"] if after is not prev else [])
    if after is not prev and prev.state == DEAD:
        wanted.append(f"bury {cpus.mirror.task(prev):#x}")
    assert calls == wanted
    assert guest.own("curr") == cpus.mirror.task(after)
    assert guest.own("switches") == calls.count("switch")
    if not preempt:
        assert guest.interruptible == interrupts
    cpus.compare()


DECISIONS = ("schedule", "swap", "pick", "switch")


def decided(bench: Bench, scene: Scene, preempt: bool) -> list[Logged]:
    """schedule() on the model's side, and what the log has of its decisions."""
    rq, prev = bench.rq, bench.p
    entry = prev.pid, NOW, scene.jiffies, int(prev.state), int(preempt), prev.sleep_avg
    events = [Logged("schedule", entry)]
    departure = model.put_prev(rq, NOW, preempt=preempt)
    decision = model.decide(rq, NOW)
    chosen = decision.next
    if decision.swap:
        events.append(Logged("swap", (HERE,)))
    events.append(Logged("pick", (chosen.pid, chosen.prio, rq.nr_running)))
    if model.commit(rq, departure, decision, bench.now):
        events.append(Logged("switch", (prev.pid, chosen.pid, int(departure.voluntary))))
    return events


@agrees("schedule", "schedule_once", "schedule_pick", "schedule_credit", "schedule_run_time",
        given=st.tuples(scenes, others, st.sampled_from([frozenset(), frozenset({Fix.L06})]),
                        st.booleans()))  # fmt: skip
def credited(guest: Guest, scene: Scene, woken: Other, fixes: Fixes, logging: bool) -> None:
    """The one that waits has been woken, perhaps by a clock that is ahead."""
    woken = replace(woken, prio=max(woken.prio, 100), activated=max(woken.activated, 1))
    scene = replace(scene, waiting=[woken], expired=False)
    next_one(guest, scene, State.INTERRUPTIBLE, False, fixes, logging, 0)
