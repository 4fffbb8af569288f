"""hotplug.s: what a CPU that leaves does with its tasks, and who comes in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hypothesis import strategies as st

from harness.model.bitmap import has_cpu
from harness.model.constants import Now, State
from harness.model.hotplug import (
    evades,
    leave,
    migrate_nr_uninterruptible,
    move_task_off_dead_cpu,
    refuge,
    residents,
)
from harness.model.task import ALL_CPUS, Task
from tests.functions.agreement import agrees
from tests.functions.cpus import EXPIRED, HERE, LOCK_FREE, RUNS, SLEEPS, WAITS, Cpus
from tests.functions.guest import Guest, Logged, PanicError
from tests.functions.machine import U64, Layout

CPUS, LEAVING = 4, 2
THREAD, FIRST, ROOM = 5, 6, 12
DOWN, UP = 0, 1
EINVAL, EBUSY = -22 & 0xFFFF_FFFF, -16 & 0xFFFF_FFFF
NOW = 72_345_678
FREE, USED, DEAD = 0, 1, 2

masks = st.sampled_from([0b0011, 0b1011, 0b1011, 0b1001, 0b1010, 0b1000])
"""CPUs that are online when one has left."""
allowed_masks = st.sampled_from([ALL_CPUS, ALL_CPUS, 0b0110, 0b0100, 0b1100, 0b1110, 1 << 40])


@agrees("cpu_down", "cpu_up", "hotplug_request",
        given=st.tuples(st.integers(0, CPUS + 1), st.booleans(),
                        st.sampled_from([0, EINVAL])))  # fmt: skip
def asked(guest: Guest, cpu: int, up: bool, answer: int) -> None:
    """Of the CPU's own thread, if there is such a CPU; the first one stays."""
    cpus = Cpus(guest, CPUS)
    cpus.copy()
    calls: list[int] = []

    def request() -> int:
        queue = guest.register("r12")
        calls.append(queue)
        assert cpus.owner(queue) == HERE
        assert not guest.interruptible
        assert (guest.register("rbx"), guest.register("r14") & 0xFFFF_FFFF) == (
            0,
            UP if up else DOWN,
        )
        room = guest.register("rdi"), Layout.of(guest.image, "migration").size
        guest.write(room[0], bytes(byte ^ 0xFF for byte in guest.read(*room)))
        cpus.lock(queue, LOCK_FREE)
        guest.enable_interrupts()
        return answer

    with guest.replacing(migration_request=request):
        found = guest.call("cpu_up" if up else "cpu_down", cpu | 0x5A5A << 32, interrupts=1)
    wanted: tuple[int, list[int]]
    if cpu == 0 and not up:
        wanted = EBUSY, []
    elif cpu >= CPUS:
        wanted = EINVAL, []
    else:
        wanted = answer, [cpus.queue(cpu)]
    assert (found, calls) == wanted
    assert guest.interruptible
    cpus.compare()


@dataclass(frozen=True)
class Resident:
    """A task when a CPU leaves."""

    cpu: int
    place: str
    prio: int
    allowed: int
    slot: int
    taken: bool
    """Another CPU moves it away just before its turn."""


residents_of = st.lists(
    st.builds(
        Resident,
        st.sampled_from([LEAVING, LEAVING, LEAVING, 0, 3]),
        st.sampled_from([WAITS, WAITS, EXPIRED, SLEEPS]),
        st.sampled_from([50, 100, 120, 139]),
        allowed_masks,
        st.sampled_from([USED, USED, USED, USED, DEAD, FREE]),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=5,
)


class Bench:
    """The CPU that leaves or returns is ours; its migration thread runs."""

    def __init__(self, guest: Guest, scenes: list[Resident]) -> None:
        self.guest, self.cpus, self.scenes = guest, Cpus(guest, CPUS), scenes
        self.src = self.cpus.rqs[LEAVING]
        self.thread = self.cpus.place(Task(THREAD, cpu=LEAVING, prio=0), RUNS)
        self.src.migration_thread = self.thread
        self.tasks = [self._task(FIRST + n, one) for n, one in enumerate(scenes)]
        for rq in self.cpus.rqs:
            rq.nr_uninterruptible = 10 + rq.cpu
            rq.curr.need_resched = False
        self.cpus.copy(jiffies=4711)
        self._put_table()
        self.cpus.store(LEAVING, "migration_thread", self.cpus.at[THREAD])
        current = self.cpus.mirror.task(self.thread)
        guest.enter(self.cpus.queue(LEAVING), current, LEAVING)
        guest.events.clear()

    def _task(self, pid: int, scene: Resident) -> Task:
        p = Task(
            pid, cpu=scene.cpu, prio=scene.prio, cpus_allowed=scene.allowed, timestamp=65_000_000
        )
        if scene.slot == USED:
            return self.cpus.place(p, scene.place)
        p.state = State.EXIT_DEAD
        self.cpus.tasks.append(p)
        return p

    def _put_table(self) -> None:
        guest, mirror = self.guest, self.cpus.mirror
        guest.set_word("task_table", mirror.task(Task(0)))
        for name, count in (("task_count", ROOM), ("task_idle_count", CPUS)):
            guest.write(guest.addresses[name], count.to_bytes(4, "little"))
        for pid in range(ROOM + CPUS):
            used = pid < CPUS or pid == THREAD
            slot = USED if used or pid >= ROOM else FREE  # what is behind the table is none
            if 0 <= pid - FIRST < len(self.scenes):
                slot = self.scenes[pid - FIRST].slot
            elif not used:
                guest.write(mirror.task(Task(pid)), guest.task.pack({"cpu": LEAVING}))
            guest.store(guest.task, mirror.task(Task(pid)), "slot", slot)


@agrees("hotplug_serve", "hotplug_unlock", "hotplug_drain", "hotplug_move", "hotplug_close",
        "hotplug_log", "fallback_cpu",
        given=st.tuples(residents_of, masks, masks, st.booleans(), st.booleans()))  # fmt: skip
def left(
    guest: Guest, scenes: list[Resident], online: int, later: int, again: bool, logging: bool
) -> None:
    """Every task goes where it may, by what is online at its turn; the sum of sleepers, too."""
    bench = Bench(guest, scenes)
    cpus, src = bench.cpus, bench.src
    guest.set_word("cpu_online_mask", online if again else online | 1 << LEAVING)
    taken = [p for p, scene in zip(bench.tasks, scenes, strict=True)
             if scene.taken and scene.place == SLEEPS and scene.slot == USED]  # fmt: skip

    def locked() -> None:
        """Before both run queues are locked for a task: what others may do until then."""
        at = guest.register("rbx")
        for p in taken:
            if at == cpus.at[p.pid]:
                guest.store(guest.task, at, "cpu", 3)
        guest.set_word("cpu_online_mask", later)

    request = guest.allocate(Layout.of(guest.image, "migration").size)
    guest.write(request, Layout.of(guest.image, "migration").pack({"dest": DOWN}))
    with (
        guest.logging(on=logging),
        guest.watching(double_rq_lock=locked),
        guest.replacing(clock_ns=lambda: NOW),
    ):
        found = guest.call("hotplug_serve", r12=request)
    if again:
        wanted = [Logged("plug_refused", (LEAVING, DOWN, online))]
        assert found == EINVAL
    else:
        wanted = [Logged("cpu_down", (LEAVING, online)), *drained(bench, taken, later)]
        assert found == 0
        assert guest.word("cpu_online_mask") == later
    cpus.check_logged(wanted, on=logging)
    assert again or src.nr_running == 1
    cpus.compare()


def drained(bench: Bench, taken: list[Task], online: int) -> Iterator[Logged]:
    """The same on the model's side, with its events."""
    cpus, src = bench.cpus, bench.src
    for p in [*residents(bench.tasks, src)]:
        if p in taken:
            p.cpu = 3
            continue
        to, queued = refuge(p, online), int(p.array is not None)
        dst = cpus.rqs[to.cpu]
        ticks = src.timestamp_last_tick, dst.timestamp_last_tick
        yield Logged("drain", (p.pid, LEAVING, to.cpu, int(to.reset), queued, *ticks))
        move_task_off_dead_cpu(p, src, cpus.rqs, Now(NOW, 4711), online)
    migrate_nr_uninterruptible(src, cpus.rqs[0])
    yield Logged("cpu_dead", (LEAVING,))
    yield Logged("uninterruptible", (0, cpus.rqs[0].nr_uninterruptible & U64))


@agrees("hotplug_serve", "hotplug_unlock",
        given=st.tuples(masks, st.booleans(), st.booleans()))  # fmt: skip
def returned(guest: Guest, online: int, again: bool, logging: bool) -> None:
    bench = Bench(guest, [])
    before = online | 1 << LEAVING if again else online
    guest.set_word("cpu_online_mask", before)
    request = guest.allocate(Layout.of(guest.image, "migration").size)
    guest.write(request, Layout.of(guest.image, "migration").pack({"dest": UP}))
    with guest.logging(on=logging):
        found = guest.call("hotplug_serve", r12=request)
    after = online | 1 << LEAVING
    assert guest.word("cpu_online_mask") == after
    assert found == (EINVAL if again else 0)
    event = (
        Logged("plug_refused", (LEAVING, UP, after))
        if again
        else Logged("cpu_up", (LEAVING, after))
    )
    assert guest.events == ([event] if logging else [])
    bench.cpus.compare()


@agrees("hotplug_evade", "hotplug_log", "fallback_cpu",
        given=st.tuples(allowed_masks, masks, st.sampled_from([0, LEAVING, LEAVING, 3]),
                        st.booleans(), st.booleans()))  # fmt: skip
def evaded(guest: Guest, allowed: int, online: int, home: int, bound: bool, logging: bool) -> None:
    """A task that is to be queued where no task may be is pointed elsewhere."""
    cpus = Cpus(guest, CPUS)
    p = cpus.place(Task(FIRST, cpu=home, cpus_allowed=allowed), SLEEPS)
    rq = cpus.rqs[home]
    rq.migration_thread = p if bound else None
    cpus.copy()
    cpus.store(home, "migration_thread", cpus.at[FIRST] if bound else 0)
    cpus.lock(cpus.queue(home), HERE)
    guest.set_word("cpu_online_mask", online)
    with guest.logging(on=logging):
        guest.call("hotplug_evade", rbx=cpus.at[FIRST], r12=cpus.queue(home))
    assert guest.zero != evades(p, rq, online)
    cpus.lock(cpus.queue(home), LOCK_FREE)
    events = []
    if evades(p, rq, online):
        to = refuge(p, online)
        dst = cpus.rqs[to.cpu]
        ticks = rq.timestamp_last_tick, dst.timestamp_last_tick
        events = [Logged("drain", (FIRST, home, to.cpu, int(to.reset), 0, *ticks))]
        leave(p, rq, dst, reset=to.reset)
        assert has_cpu(online, p.cpu)
    assert guest.events == (events if logging else [])
    cpus.compare()


@agrees("cpu_online_init", given=st.tuples(st.integers(1, 64)))
def all_online(guest: Guest, count: int) -> None:
    guest.write(guest.addresses["apic_count"], count.to_bytes(4, "little"))
    guest.call("cpu_online_init")
    assert guest.word("cpu_online_mask") == (1 << count) - 1


@agrees("hotplug_close", given=st.tuples(st.integers(1, 3)))
def left_behind(guest: Guest, queued: int) -> None:
    """That must not be: the run ends."""
    bench = Bench(guest, [])
    bench.cpus.store(LEAVING, "nr_running", queued)
    try:
        guest.call("hotplug_close", rbx=bench.cpus.queue(LEAVING))
    except PanicError as panic:
        assert queued > 1 and "tasks are queued there" in str(panic)
    else:
        assert queued == 1
