"""migrate.s: the migration threads. What each calls, in which order, and how they are started."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from hypothesis import strategies as st

from harness.model.constants import State
from harness.model.task import Task
from tests.functions.agreement import agrees
from tests.functions.cpus import HERE, RUNS, WAITS, Cpus
from tests.functions.guest import Guest, PanicError
from tests.functions.machine import EnoughError, Layout, StandIn

CPUS = 3
TASK, OTHER, THREAD = 6, 7, 8


@dataclass
class Thread:
    """What a migration thread calls, one after the other, and what comes in meanwhile."""

    cpus: Cpus
    queue: list[tuple[int, int]]
    """Tasks, 0 for unplugging, and destinations; the newest first."""
    arriving: list[tuple[int, int]]
    """One comes in whenever it sleeps."""
    pushes: list[bool]
    """Whether a push is asked for when it sleeps; the first from the start."""
    calls: list[tuple[object, ...]] = field(default_factory=list)
    at: dict[int, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.layout = Layout.of(self.cpus.guest.image, "migration")
        for task, dest in reversed(self.queue):
            self.add(task, dest)
        self.cpus.store(HERE, "active_balance", int(self.pushes.pop(0)))

    def add(self, task: int, dest: int) -> None:
        at = self.cpus.guest.allocate(self.layout.size)
        following = self.cpus.load(HERE, "migration_queue")
        values = {"next": following, "task": task, "dest": dest}
        self.cpus.guest.write(at, self.layout.pack(values))
        self.cpus.store(HERE, "migration_queue", at)
        self.at[at] = task, dest

    def note(self, *call: object) -> None:
        self.calls.append(call)
        assert not self.cpus.guest.interruptible

    def register(self, name: str) -> int:
        return self.cpus.guest.register(name)

    def push(self) -> None:
        self.note("push", self.register("rdi"))
        assert self.cpus.owner(self.cpus.queue(HERE)) == HERE

    def move(self) -> int:
        self.note("move", self.register("rdi"), self.register("rsi"))
        self.cpus.check_unlocked()
        return len(self.calls)

    def plug(self) -> int:
        assert self.register("r12") in self.at
        self.note("plug", self.at[self.register("r12")])
        self.cpus.check_unlocked()
        return len(self.calls)

    def complete(self) -> None:
        at = self.register("rdi")
        assert at in self.at
        self.note("complete", self.at[at], self.register("rax"))
        # Whoever waited goes on, and the request was on his stack.
        self.cpus.guest.write(at, bytes([0xA5]) * self.layout.size)

    def sleep(self) -> None:
        self.note("sleep")
        self.cpus.check_unlocked()
        guest = self.cpus.guest
        assert self.cpus.load(HERE, "active_balance") == 0
        assert self.cpus.load(HERE, "migration_queue") == 0
        current = self.cpus.at[THREAD]
        state = guest.load(guest.task, current, "state")["state"]
        assert state == State.INTERRUPTIBLE
        guest.store(guest.task, current, "state", 0)
        if not self.pushes:
            raise EnoughError
        self.cpus.store(HERE, "active_balance", int(self.pushes.pop(0)))
        if self.arriving:
            self.add(*self.arriving.pop(0))


def served(
    cpus: Cpus, queue: list[tuple[int, int]], arriving: list[tuple[int, int]], pushes: list[bool]
) -> list[tuple[object, ...]]:
    """The calls that are due, requests by their task and destination."""
    calls: list[tuple[object, ...]] = []
    for number, push in enumerate(pushes):
        calls += [("push", cpus.queue(HERE))] if push else []
        for task, dest in queue if number == 0 else arriving[number - 1 : number]:
            calls.append(("move", task, dest) if task else ("plug", (task, dest)))
            calls.append(("complete", (task, dest), len(calls)))
        calls.append(("sleep",))
    return calls


moves = st.lists(st.tuples(st.sampled_from([TASK, OTHER, 0]), st.integers(0, 3)), max_size=3)


@agrees("migration_thread",
        given=st.tuples(moves, moves, st.lists(st.booleans(), min_size=1, max_size=4)))  # fmt: skip
def thread(
    guest: Guest, waiting: list[tuple[int, int]], later: list[tuple[int, int]], pushes: list[bool]
) -> None:
    """It pushes first, serves every request, tells each who asked, and sleeps without work."""
    cpus = Cpus(guest, CPUS)
    cpus.place(Task(THREAD, cpu=HERE), RUNS)
    for pid in (TASK, OTHER):
        cpus.place(Task(pid, cpu=HERE), WAITS)
    cpus.copy()
    queue, arriving = (
        [(cpus.at.get(pid, 0), dest) for pid, dest in some] for some in (waiting, later)
    )
    wanted = served(cpus, queue, arriving, pushes)
    body = Thread(cpus, queue, list(arriving), list(pushes))
    stand_ins: dict[str, StandIn] = {
        "active_load_balance": body.push,
        "migrate_to": body.move,
        "hotplug_serve": body.plug,
        "migration_complete": body.complete,
        "schedule": body.sleep,
    }
    with guest.replacing(**stand_ins), contextlib.suppress(EnoughError):
        guest.call("migration_thread", interrupts=1)
    assert body.calls == wanted
    cpus.compare()


@agrees("migration_start_threads", given=st.tuples(st.integers(1, 6), st.integers(0, 8)))
def started(guest: Guest, cpus: int, room: int) -> None:
    """One for each CPU, bound to it, of the best priority there is; or the run ends."""
    bench = Cpus(guest, cpus)
    bench.copy()
    layout = guest.task
    table = guest.allocate(layout.size * 8)
    guest.write(table, bytes([0xA5]) * layout.size * 8)
    names: list[bytes] = []
    starts: list[int] = []

    def allocate() -> int:
        body = guest.addresses["migration_thread"], 0
        assert (guest.register("rsi"), guest.register("rdx") & 0xFFFF_FFFF) == body
        names.append(guest.read(guest.register("rdi"), 16).partition(b"\0")[0])
        return table + layout.size * (len(names) - 1) if len(names) <= room else 0

    def start() -> None:
        starts.append(guest.register("rdi"))

    with guest.replacing(task_allocate=allocate, task_start=start):
        try:
            guest.call("migration_start_threads")
        except PanicError:
            assert room < cpus
            return
    assert room >= cpus
    assert names == [f"migration/{cpu}".encode() for cpu in range(cpus)]
    assert starts == [table + layout.size * cpu for cpu in range(cpus)]
    for cpu, at in enumerate(starts):
        assert bench.load(cpu, "migration_thread") == at
        wanted = {"cpu": cpu, "policy": 1, "rt_priority": 99, "mm": 0, "cpus_allowed": 1 << cpu}
        assert guest.load(layout, at, *wanted) == wanted
