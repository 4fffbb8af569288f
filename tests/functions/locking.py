"""runqueue.s: run queues, the order in which their locks are taken, and what is read again then.

What another CPU does in between is done here, at the moment when that matters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from harness.model import runqueue as model
from harness.model.runqueue import LockOp, LockStep
from harness.model.task import Task
from tests.functions.agreement import agrees
from tests.functions.cpus import EXPIRED, HERE, LOCK_FREE, PLACES, RUNS, SLEEPS, WAITS, Cpus
from tests.functions.guest import PERCPU, Guest, Logged
from tests.functions.machine import Layout

CPUS = 4
TASK, OTHER = 6, 7
LOCKS = 2
"""The loglevel from which on the log has locks."""

cpu_numbers = st.integers(0, CPUS - 1)


def steps(found: list[Logged]) -> list[LockStep]:
    """The log's locks in the model's words."""
    kinds = {("lock", 0): LockOp.LOCK, ("lock", 1): LockOp.TRYLOCK}
    return [
        (kinds[event.name, event.arguments[1]] if event.name == "lock" else LockOp.UNLOCK,
         event.arguments[0])
        for event in found
        if event.name in ("lock", "unlock")
    ]  # fmt: skip


@agrees("double_rq_lock", "double_rq_unlock", "rq_lock", "rq_unlock",
        given=st.tuples(cpu_numbers, cpu_numbers))  # fmt: skip
def both(guest: Guest, one: int, other: int) -> None:
    """The lower one first, each once; and every one is given back."""
    cpus = Cpus(guest, CPUS)
    cpus.copy()
    queues = cpus.queue(one), cpus.queue(other)
    with guest.logging(on=LOCKS):
        guest.call("double_rq_lock", *queues)
        assert steps(guest.events) == model.double_rq_lock(one, other)
        held = [cpu for cpu in range(CPUS) if cpus.owner(cpus.queue(cpu)) == HERE]
        assert held == sorted({one, other})
        guest.events.clear()
        guest.call("double_rq_unlock", *queues)
    released = [(LockOp.UNLOCK, one), *([(LockOp.UNLOCK, other)] if other != one else [])]
    assert steps(guest.events) == released
    cpus.compare()
    with guest.logging():
        guest.events.clear()
        guest.call("rq_lock", queues[0])
        assert guest.register("rdi") == queues[0]
        guest.call("rq_unlock", queues[0])
    assert not guest.events
    cpus.compare()


@agrees("rq_trylock", given=st.tuples(cpu_numbers, st.booleans()))
def tried(guest: Guest, cpu: int, busy: bool) -> None:
    cpus = Cpus(guest, CPUS)
    cpus.copy()
    at = cpus.queue(cpu)
    if busy:
        cpus.lock(at, 1)
    with guest.logging(on=LOCKS):
        assert guest.call("rq_trylock", at) == int(not busy)
    assert guest.register("rdi") == at
    assert steps(guest.events) == ([] if busy else [(LockOp.TRYLOCK, cpu)])
    assert cpus.owner(at) == (1 if busy else HERE)


@dataclass
class Busy:
    """Another CPU that holds a lock until somebody waits for it."""

    cpus: Cpus
    at: int
    waits: int = field(default=0)

    def released(self) -> None:
        self.waits += 1
        if self.waits == 3:
            self.cpus.lock(self.at, LOCK_FREE)


@agrees("double_lock_balance",
        given=st.tuples(cpu_numbers, cpu_numbers, st.booleans(), st.booleans())
        .filter(lambda case: case[0] != case[1]))  # fmt: skip
def second(guest: Guest, this: int, busiest: int, busy: bool, logging: bool) -> None:
    """Only a busy lock of a lower CPU makes us let go of our own."""
    cpus = Cpus(guest, CPUS)
    cpus.copy()
    guest.enter(cpus.queue(this), cpus.mirror.task(cpus.rqs[this].curr), this)
    at = cpus.queue(busiest)
    cpus.lock(cpus.queue(this), this)
    holder = Busy(cpus, at)
    if busy:
        cpus.lock(at, CPUS)
    with guest.logging(on=LOCKS if logging else 0), guest.watching(relax_spin=holder.released):
        found = guest.call("double_lock_balance", cpus.queue(this), at)
    assert found == int(busy and busiest < this)
    wanted = model.double_lock_balance(this, busiest, not busy)
    if busy:
        wanted = wanted[1:]  # a lock that was tried in vain is not in the log
    assert steps(guest.events) == (wanted if logging else [])
    ends = [event for event in guest.events if event.name == "double_lock"]
    assert ends == ([Logged("double_lock", (busiest, found))] if logging else [])
    held = {cpu for cpu in range(CPUS) if cpus.owner(cpus.queue(cpu)) == this}
    assert held == {this, busiest}
    for cpu in held:
        cpus.lock(cpus.queue(cpu), LOCK_FREE)
    cpus.compare()


@agrees("task_rq_lock", "lock_with_ours",
        given=st.tuples(st.lists(cpu_numbers, min_size=1, max_size=4), st.booleans(),
                        cpu_numbers))  # fmt: skip
def followed(guest: Guest, homes: list[int], ours: bool, own: int) -> None:
    """A task that moves while its run queue's lock is waited for is followed."""
    cpus = Cpus(guest, CPUS)
    p = cpus.place(Task(TASK, cpu=homes[0]), SLEEPS)
    cpus.copy()
    guest.enter(cpus.queue(own), cpus.mirror.task(cpus.rqs[own].curr), own)
    later = list(homes[1:])

    def moves() -> None:
        """Once somebody takes the lock of the queue that it was on."""
        home = guest.load(guest.task, cpus.at[TASK], "cpu")["cpu"]
        if later and guest.register("rdi") == cpus.queue(home):
            guest.store(guest.task, cpus.at[TASK], "cpu", later.pop(0))

    function = "lock_with_ours" if ours else "task_rq_lock"
    with guest.logging(on=LOCKS), guest.watching(spin_lock=moves):
        found = guest.call(function, cpus.at[TASK])
    home = guest.load(guest.task, cpus.at[TASK], "cpu")["cpu"]
    assert found == cpus.queue(home)
    if not ours:
        assert guest.register("rdi") == cpus.at[TASK]
    held = {cpu for cpu in range(CPUS) if cpus.owner(cpus.queue(cpu)) == own}
    assert held == ({home, own} if ours else {home})
    taken = steps(guest.events)
    assert all((LockOp.UNLOCK, cpu) in taken for kind, cpu in taken if cpu not in held)
    for cpu in held:
        cpus.lock(cpus.queue(cpu), LOCK_FREE)
    p.cpu = home
    cpus.compare()


@agrees("queue_active_task", "deactivate_task",
        given=st.tuples(st.sampled_from(PLACES), cpu_numbers, st.sampled_from([0, 100, 120, 139]),
                        st.integers(0, 1 << 40)))  # fmt: skip
def on_and_off(guest: Guest, place: str, cpu: int, prio: int, jiffies: int) -> None:
    cpus = Cpus(guest, CPUS)
    p = cpus.place(Task(TASK, cpu=cpu, prio=prio), place)
    cpus.place(Task(OTHER, cpu=cpu, prio=prio), EXPIRED if place == EXPIRED else WAITS)
    cpus.copy()
    here = cpus.rqs[HERE]
    guest.enter(cpus.queue(HERE), cpus.mirror.task(here.curr), HERE, jiffies)
    rq = cpus.rqs[cpu]
    if place == SLEEPS:
        guest.call("queue_active_task", cpus.at[TASK], cpus.queue(cpu))
        model.__activate_task(p, rq, jiffies)
    else:
        guest.call("deactivate_task", cpus.at[TASK], cpus.queue(cpu))
        model.deactivate_task(p, rq)
    cpus.compare()
    assert place != RUNS or rq.curr is p


@agrees("runqueue_init", "runqueue_table_init", "cpu_rq", given=st.tuples(cpu_numbers))
def set_up(guest: Guest, cpu: int) -> None:
    """Empty, unlocked, with the idle task running, and nothing left of what was in memory."""
    cpus = Cpus(guest, CPUS)
    cpus.copy()
    for number in range(CPUS):
        guest.write(cpus.queue(number), b"\xa5" * guest.runqueue.size)
    table = cpus.queue(0)
    guest.set_word("runqueues", 0)
    guest.write(guest.addresses["apic_count"], CPUS.to_bytes(4, "little"))
    asked: list[tuple[int, int]] = []

    def allocate() -> int:
        asked.append((guest.register("rdi"), guest.register("rsi")))
        return table

    with guest.replacing(memory_alloc=allocate):
        guest.call("runqueue_table_init")
    assert asked == [(guest.runqueue.size * CPUS, 64)]
    assert guest.call("cpu_rq", cpu) == cpus.queue(cpu)
    rq = cpus.rqs[cpu]
    idle = cpus.mirror.task(rq.idle)
    percpu = Layout.of(guest.image, "percpu")
    guest.enter(0, idle, cpu)
    guest.store(percpu, PERCPU, "idle", idle)
    guest.store(guest.task, idle, "prio", 0)
    guest.store(guest.task, idle, "static_prio", 0)
    guest.call("runqueue_init")
    for number in set(range(CPUS)) - {cpu}:
        untouched = guest.read(cpus.queue(number), guest.runqueue.size)
        assert untouched == b"\xa5" * guest.runqueue.size
    assert guest.own("runqueue") == cpus.queue(cpu)
    rq.timestamp_last_tick = 0
    cpus.mirror.compare_runqueue(rq)
    cpus.mirror.compare_task(rq.idle)
    found = guest.load(guest.runqueue, cpus.queue(cpu))
    wanted = {"curr": idle, "idle": idle, "active": cpus.mirror.array(rq, 0)}
    wanted |= {"expired": cpus.mirror.array(rq, 1), "migration_thread": 0, "migration_queue": 0}
    wanted |= {"sd": 0, "active_balance": 0, "push_cpu": 0}
    assert {name: found[name] for name in wanted} == wanted
    assert cpus.owner(cpus.queue(cpu)) == LOCK_FREE
    for number in (0, 1):
        cpus.mirror.compare_array(cpus.mirror.array(rq, number), rq.arrays[number])
