"""migrate.s: moves on request. Who asks, the thread that serves, and what either may find."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from harness.model.constants import Now, State
from harness.model.migrate import Migration, __migrate_task, set_cpus_allowed
from harness.model.task import ALL_CPUS, Task
from tests.functions.agreement import agrees
from tests.functions.cpus import EXPIRED, HERE, LOCK_FREE, PLACES, RUNS, SLEEPS, WAITS, Cpus
from tests.functions.guest import Guest, Logged
from tests.functions.machine import U64, Layout

CPUS = 3
MOVED, TASK, OTHER, THREAD = 5, 6, 7, 8
EINVAL = -22
RESULTS = {Migration.MOVED: 0, Migration.GONE: 1, Migration.NOT_ALLOWED: 2, Migration.OFFLINE: 3}
OFFLINE = RESULTS[Migration.OFFLINE]
BITS = (0, 1, 2, 31, 32, 63)
BOTH_SLEEPS = State.INTERRUPTIBLE | State.UNINTERRUPTIBLE
GARBAGE = 0xBAD0_BAD0_BAD0_BAD0

masks = st.sets(st.sampled_from(BITS)).map(lambda chosen: sum(1 << bit for bit in chosen))
onlines = masks.map(lambda mask: mask | 1)
results = st.sampled_from(sorted(RESULTS.values()))
jiffies = st.integers(1, 1 << 40)


@dataclass(frozen=True)
class Affinity:
    """A task that is to run on certain CPUs only, and what becomes of each request for that."""

    cpu: int
    place: str
    allowed: int
    online: int
    answers: list[tuple[int, int]]
    """Results, with the CPUs that are online by then."""
    logging: bool


affinities = st.builds(
    Affinity,
    st.integers(0, CPUS - 1),
    st.sampled_from(PLACES),
    masks,
    onlines,
    st.lists(
        st.tuples(st.sampled_from([OFFLINE, OFFLINE, *RESULTS.values()]), onlines), max_size=3
    ),
    st.booleans(),
)


stranded = st.builds(
    lambda cpu, only, rest: Affinity(cpu, RUNS, 1 << only, 1 | 1 << only, [(OFFLINE, 1)], rest),
    st.integers(0, 1),
    st.sampled_from([2, 32, 63]),
    st.booleans(),
)
"""The one CPU that is left goes before the task has come there."""


@dataclass
class Asked:
    """What stands in for migration_request: notes what it is asked for and answers by script."""

    cpus: Cpus
    answers: list[tuple[int, int]]
    calls: list[tuple[int, int, int]] = field(default_factory=list)

    def __call__(self) -> int:
        cpus, guest = self.cpus, self.cpus.guest
        queue = guest.register("r12")
        self.calls.append((guest.register("rbx"), queue, guest.register("r14")))
        assert cpus.owner(queue) == HERE, "the run queue's lock is held"
        assert cpus.owner(guest.addresses["cpu_online_lock"]) == LOCK_FREE
        assert not guest.interruptible
        room = guest.register("rdi"), Layout.of(guest.image, "migration").size
        guest.write(room[0], bytes(byte ^ 0xFF for byte in guest.read(*room)))
        cpus.lock(queue, LOCK_FREE)
        result, online = self.answers.pop(0) if self.answers else (0, 1)
        guest.set_word("cpu_online_mask", online)
        guest.enable_interrupts()
        return result


def settled(scene: Affinity, cpus: Cpus, p: Task) -> tuple[int, list[int], list[Logged]]:
    """The same on the model's side: result, CPUs that were asked for, events."""
    mask, online, answers = scene.allowed, scene.online, list(scene.answers)
    events: list[Logged] = []
    asked: list[int] = []
    while True:
        if not mask & online:
            if not events:
                return EINVAL, asked, events
            mask = ALL_CPUS
        rq = cpus.rqs[p.cpu]
        events.append(Logged("set_cpus", (p.pid, rq.cpu, mask & U64)))
        if not set_cpus_allowed(p, rq, mask, online):
            return 0, asked, events
        asked.append(rq.migration_queue.pop().dest_cpu)
        result, online = answers.pop(0) if answers else (0, 1)
        if result != OFFLINE:
            return 0, asked, events


@agrees("set_cpus_allowed", given=st.tuples(affinities | stranded))
def affinity(guest: Guest, scene: Affinity) -> None:
    """Asks again where the CPU has gone meanwhile, and for any CPU where all of them have."""
    cpus = Cpus(guest, CPUS)
    p = cpus.place(Task(TASK, cpu=scene.cpu, cpus_allowed=0b111), scene.place)
    cpus.copy()
    guest.set_word("cpu_online_mask", scene.online)
    asked = Asked(cpus, list(scene.answers))
    queue = cpus.queue(scene.cpu)
    with guest.logging(on=scene.logging), guest.replacing(migration_request=asked):
        found = guest.call("set_cpus_allowed", cpus.at[TASK], scene.allowed, interrupts=1)
    result, targets, events = settled(scene, cpus, p)
    assert found == result & 0xFFFF_FFFF
    assert asked.calls == [(cpus.at[TASK], queue, cpu) for cpu in targets]
    assert guest.events == (events if scene.logging else [])
    assert guest.interruptible
    online = [scene.online, *(online for _, online in scene.answers), 1]
    assert guest.word("cpu_online_mask") == online[len(targets)]
    cpus.compare()


@dataclass
class Server:
    """A migration thread elsewhere that serves a request as soon as it can at one of the moments
    when the one who asks lets go of something, or sleeps."""

    cpus: Cpus
    request: int
    when: int
    """How many such moments it lets pass."""
    result: int
    before: int
    """The request that was the newest."""
    woken: bool = False
    done: bool = False

    def __post_init__(self) -> None:
        self.layout = Layout.of(self.cpus.guest.image, "migration")

    def read(self, name: str) -> int:
        return self.cpus.guest.load(self.layout, self.request, name)[name]

    def released(self) -> None:
        """A lock is about to be released: from then on others may go on."""
        lock = self.cpus.guest.register("rdi")
        if lock == self.cpus.queue(1):
            assert self.cpus.load(1, "migration_queue") == self.request
            assert (self.read("next"), self.read("waiter")) == (self.before, 0)
            self.come_in()
        elif lock == self.request + self.layout.fields["lock"][0] and not self.done:
            self.check_waits()
            self.come_in()

    def wake(self) -> int:
        guest = self.cpus.guest
        assert guest.register("rdi") == self.cpus.mirror.task(Task(THREAD))
        assert guest.register("rsi") == int(BOTH_SLEEPS)
        assert guest.register("rdx") & 0xFFFF_FFFF == 0
        self.cpus.check_unlocked()
        self.woken = True
        self.come_in()
        return 1

    def sleep(self) -> None:
        assert self.woken, "it sleeps before it has woken the thread"
        self.check_waits()
        self.come_in()
        self.cpus.guest.store(self.cpus.guest.task, self.cpus.at[OTHER], "state", 0)

    def check_waits(self) -> None:
        current = self.cpus.at[OTHER]
        assert self.read("waiter") == current
        state = self.cpus.guest.load(self.cpus.guest.task, current, "state")["state"]
        assert state == State.UNINTERRUPTIBLE or self.done

    def come_in(self) -> None:
        self.when -= 1
        if self.when < 0 and not self.done:
            self.done = True
            guest = self.cpus.guest
            guest.store(self.layout, self.request, "result", self.result)
            guest.store(self.layout, self.request, "done", 1)


@agrees("migration_request",
        given=st.tuples(st.booleans(), st.integers(0, 63), results, st.integers(0, 5),
                        st.booleans()))  # fmt: skip
def request(guest: Guest, of_task: bool, dest: int, result: int, when: int, others: bool) -> None:
    """It is complete when others may see it, and whoever asks waits until it is served, however
    early that is."""
    cpus = Cpus(guest, CPUS)
    cpus.place(Task(TASK, cpu=1), WAITS)
    cpus.place(Task(OTHER, cpu=HERE), RUNS)
    cpus.copy()
    layout = Layout.of(guest.image, "migration")
    at = guest.allocate(layout.size)
    guest.write(at, bytes([0xA5]) * layout.size)
    before = guest.allocate(layout.size) if others else 0
    cpus.store(1, "migration_queue", before)
    cpus.store(1, "migration_thread", cpus.mirror.task(Task(THREAD)))
    cpus.lock(cpus.queue(1), HERE)
    server = Server(cpus, at, when, result, before)
    task = cpus.at[TASK] if of_task else 0
    with (
        guest.watching(spin_unlock=server.released),
        guest.replacing(try_to_wake_up=server.wake, schedule=server.sleep),
    ):
        shared = {"rbx": task, "r12": cpus.queue(1), "r14": dest}
        found = guest.call("migration_request", at, **shared)
    assert found == result
    assert server.woken
    assert guest.interruptible
    assert (server.read("task"), server.read("dest")) == (task, dest)
    assert cpus.owner(at + layout.fields["lock"][0]) == LOCK_FREE
    cpus.compare()


@agrees("migration_complete", given=st.tuples(results, st.booleans()))
def complete(guest: Guest, result: int, waits: bool) -> None:
    """Whoever waits is woken, and the request is not touched once its lock is free."""
    cpus = Cpus(guest, CPUS)
    cpus.place(Task(OTHER, cpu=1), SLEEPS)
    cpus.copy()
    layout = Layout.of(guest.image, "migration")
    at = guest.allocate(layout.size)
    waiter = cpus.at[OTHER] if waits else 0
    free = Layout.of(guest.image, "lock").pack({"owner": -1})
    values = {"waiter": waiter, "lock": int.from_bytes(free, "little"), "result": -1}
    guest.write(at, layout.pack(values))
    gone = bytes([0xA5]) * layout.size
    woken: list[tuple[int, ...]] = []

    def locked() -> None:
        assert guest.load(layout, at, "done")["done"] == 0
        # Whoever asks may have come to wait only now.
        assert guest.load(layout, at, "result")["result"] & 0xFFFF_FFFF == result

    def released() -> None:
        found = guest.load(layout, at, "done", "result")
        assert (found["done"], found["result"] & 0xFFFF_FFFF) == (1, result)
        guest.write(at, gone)
        cpus.lock(at + layout.fields["lock"][0], HERE)

    def wake() -> int:
        woken.append(tuple(guest.register(name) & U64 for name in ("rdi", "rsi", "rdx")))
        return 1

    with (
        guest.watching(spin_lock=locked, spin_unlock=released),
        guest.replacing(try_to_wake_up=wake),
    ):
        guest.call("migration_complete", at, rax=result)
    cpus.lock(at + layout.fields["lock"][0], 0xA5A5_A5A5)
    assert guest.read(at, layout.size) == gone, "nothing is written behind the release"
    assert woken == ([(waiter, int(State.UNINTERRUPTIBLE), 0)] if waits else [])
    cpus.compare()


@dataclass(frozen=True)
class Serving:
    """A request to move a task from this CPU."""

    home: int
    place: str
    prio: int
    allowed: int
    dest: int
    online: int
    there: int
    """Priority of the task that runs at the destination."""
    asked: bool
    slept: int
    jiffies: int


servings = st.builds(
    Serving,
    st.sampled_from([HERE, HERE, HERE, 2]),
    st.sampled_from([WAITS, EXPIRED, SLEEPS]),
    st.sampled_from([50, 100, 119, 120, 139]),
    st.sampled_from([0b111, 0b111, 0b010, 0b101, 0b001]),
    st.sampled_from([1, 1, 1, 2]),
    st.sampled_from([0b111, 0b111, 0b111, 0b101, 0b011, 0b001]),
    st.sampled_from([64, 110, 118, 119, 120, 121, 140]),
    st.booleans(),
    st.integers(0, 1 << 30),
    jiffies,
)


@agrees("migrate_to", "migrate_locked", given=st.tuples(servings, st.booleans()))
def carried_out(guest: Guest, scene: Serving, logging: bool) -> None:
    """Unless the task has left, or may not go there, or the CPU is offline."""
    cpus = Cpus(guest, CPUS)
    thread = cpus.place(Task(THREAD, cpu=HERE, prio=0), RUNS)
    p = Task(
        TASK, cpu=scene.home, prio=scene.prio, cpus_allowed=scene.allowed, sleep_avg=scene.slept
    )
    p.timestamp = 60_000_000
    cpus.place(p, scene.place)
    if scene.there < 140:
        cpus.place(Task(OTHER, cpu=scene.dest, prio=scene.there), RUNS)
    for rq in cpus.rqs[1:]:
        rq.curr.need_resched = scene.asked
    cpus.copy(scene.jiffies)
    guest.set_word("cpu_online_mask", scene.online)
    now = 70_900_000
    with guest.logging(on=logging), guest.replacing(clock_ns=lambda: now):
        found = guest.call("migrate_to", cpus.at[TASK], scene.dest)
    src, dst = cpus.rqs[HERE], cpus.rqs[scene.dest]
    queued = p.array is not None
    result = __migrate_task(p, src, dst, Now(now, scene.jiffies), scene.online)
    assert found == RESULTS[result]
    assert thread.array is not None
    ticks = src.timestamp_last_tick, dst.timestamp_last_tick
    events = [Logged("migrate", (TASK, HERE, scene.dest, RESULTS[result], int(queued), *ticks))]
    if queued and result is Migration.MOVED:
        events.append(Logged("activate", (TASK, scene.dest, now, scene.jiffies, 0, *ticks)))
    cpus.check_logged(events, on=logging)
    cpus.compare()
