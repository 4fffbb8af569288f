"""The guest's leaf functions of policy veridian, called in Unicorn and held against the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.boot import default_image
from harness.model.constants import Policy
from harness.model.veridian import balance, load
from harness.model.veridian.load import LoadRead
from harness.model.veridian.priority import (
    Priority,
    SchedClass,
    class_of,
    effective_priority,
    priority_of,
    should_preempt,
)
from harness.model.veridian.queue import RING_SIZE, RINGS, ring_of
from harness.model.veridian.task import Task
from harness.toolchain.image import Image
from tests.functions.guest import Guest
from tests.functions.machine import Layout

TASKS = 6
CROWD = RING_SIZE + 40
SLOT_BYTES = 8
NO_RING = (1 << 32) - 1
STANDINGS = [(Policy.FIFO, 99, 0), (Policy.RR, 40, 0), (Policy.FIFO, 1, 0)] + [
    (Policy.NORMAL, 0, nice) for nice in (-20, -12, -3, 0, 19)
]


class Queue:
    """One CPU's ready queue in the guest, and what it should hold."""

    def __init__(self, guest: Guest, tasks: int) -> None:
        self.guest = guest
        self.info, self.ring = (Layout.of(guest.image, name) for name in ("cpu_info", "ring"))
        self.vtask = Layout.of(guest.image, "vtask")
        guest.release_all()
        self.cpu = guest.allocate(self.info.size)
        guest.write(self.cpu, bytes(self.info.size))
        self.vtasks = guest.allocate(tasks * self.vtask.size)
        guest.set_word("vtasks", self.vtasks)
        guest.set_word("param_bug", 0)
        self.models = [Task(number) for number in range(tasks)]
        self.at = [guest.allocate(guest.task.size) for _ in range(tasks)]
        for p in self.models:
            self.put(p)
        self.rings: list[deque[int]] = [deque() for _ in range(RINGS)]

    def put(self, p: Task) -> None:
        """Writes a task that is in no ring."""
        values = {"id": p.pid, "prio": int(p.priority), "time_slice": p.slice}
        self.guest.write(self.at[p.pid], self.guest.task.pack(values))
        more = {"class": int(p.sched_class), "ring": -1, "last_cpu": -1, "since": p.since}
        where = self.vtasks + p.pid * self.vtask.size
        self.guest.write(where, self.vtask.pack(more))

    def enqueue(self, number: int) -> None:
        assert self.guest.call("queue_enqueue", self.at[number], self.cpu) == 1
        self.rings[ring_of(self.models[number])].append(number)

    def enqueue_head(self, number: int) -> None:
        self.guest.call("queue_enqueue_head", self.at[number], self.cpu)
        self.rings[ring_of(self.models[number])].appendleft(number)

    def dequeue(self) -> int | None:
        found = self.guest.call("queue_dequeue", 0, self.cpu)
        best = next((ring for ring in self.rings if ring), None)
        due = best.popleft() if best else None
        assert found == (0 if due is None else self.at[due])
        return due

    def remove(self, number: int) -> None:
        ring = self.rings[ring_of(self.models[number])]
        found = self.guest.call("queue_remove", self.at[number], self.cpu)
        assert found == int(number in ring)
        if number in ring:
            ring.remove(number)

    def waits(self, number: int) -> bool:
        return number in self.rings[ring_of(self.models[number])]

    def check(self) -> None:
        """Rings, bitmaps (V1) and what the tasks know of it."""
        info = self.guest.load(self.info, self.cpu, "rt_bitmap", "normal_bitmap", "idle_flag")
        bits = info["rt_bitmap"] | info["normal_bitmap"] << 30 | info["idle_flag"] << 34
        assert bits == sum(1 << number for number, ring in enumerate(self.rings) if ring)
        for number, ring in enumerate(self.rings):
            if ring or number % 10 == 0:
                self.check_ring(number, [self.at[task] for task in ring])
        for p in self.models:
            known = self.guest.load(self.vtask, self.vtasks + p.pid * self.vtask.size, "ring")
            assert known["ring"] == (ring_of(p) if self.waits(p.pid) else NO_RING)

    def check_ring(self, number: int, due: list[int]) -> None:
        start = self.cpu + self.info.fields["rings"][0] + number * self.ring.size
        names = ("head", "tail", "count", "overflowed", "overflow_first")
        ring = self.guest.load(self.ring, start, *names)
        assert ring["count"] == min(len(due), RING_SIZE)
        assert ring["overflowed"] == len(due) - ring["count"]
        assert ring["tail"] == (ring["head"] + ring["count"]) % RING_SIZE
        data = self.guest.read(start + self.ring.fields["slots"][0], SLOT_BYTES * RING_SIZE)
        slots = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
        assert sum(map(bool, slots)) == ring["count"]
        found = [slots[(ring["head"] + step) % RING_SIZE] for step in range(ring["count"])]
        assert found + list(self.overflow(ring["overflow_first"])) == due

    def overflow(self, task: int) -> Iterator[int]:
        while task:
            yield task
            link = self.guest.task.fields["run_list"][0]
            task = int.from_bytes(self.guest.read(task + link, 8), "little")


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    with Image(default_image()) as image:
        yield Guest(image)


operations = st.lists(
    st.tuples(st.sampled_from(["enqueue", "enqueue_head", "dequeue", "remove"]),
              st.integers(0, TASKS - 1)), max_size=40)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(STANDINGS), min_size=TASKS, max_size=TASKS), operations)
def test_a_queue_is_first_in_first_out_by_ring(
    guest: Guest, standings: list[tuple[Policy, int, int]], steps: list[tuple[str, int]]
) -> None:
    queue = Queue(guest, TASKS)
    for p, standing in zip(queue.models, standings, strict=True):
        p.policy, p.rt_priority, p.nice = standing
        queue.put(p)
    for name, number in steps:
        if name == "dequeue":
            queue.dequeue()
        elif name == "remove":
            queue.remove(number)
        elif not queue.waits(number):
            getattr(queue, name)(number)
    queue.check()


def test_a_full_ring_keeps_its_order(guest: Guest) -> None:
    """More tasks than places: in, from the middle out, at the head in, and all out."""
    queue = Queue(guest, CROWD)
    for number in range(CROWD):
        queue.enqueue(number)
    queue.check()
    for number in (0, 100, RING_SIZE, CROWD - 1, RING_SIZE - 1):
        queue.remove(number)
    queue.check()
    for number in (100, 0):
        queue.enqueue_head(number)
    queue.check()
    drained = [queue.dequeue() for _ in range(CROWD - 3)]
    assert drained[:2] == [0, 100]
    assert queue.dequeue() is None
    queue.check()


def test_bug_v10_refuses_what_a_full_ring_has_no_room_for(guest: Guest) -> None:
    queue = Queue(guest, CROWD)
    for number in range(RING_SIZE):
        queue.enqueue(number)
    guest.set_word("param_bug", 1 << 10)
    assert guest.call("queue_enqueue", queue.at[RING_SIZE], queue.cpu) & 1 == 0
    queue.check()


def test_bug_v24_looks_in_the_ring_of_the_priority_of_today(guest: Guest) -> None:
    queue = Queue(guest, TASKS)
    queue.enqueue(1)
    guest.store(guest.task, queue.at[1], "prio", int(Priority.SYSTEM_HIGH))
    guest.set_word("param_bug", 1 << 24)
    assert guest.call("queue_remove", queue.at[1], queue.cpu) == 0
    guest.set_word("param_bug", 0)
    assert guest.call("queue_remove", queue.at[1], queue.cpu) == 1


@pytest.mark.parametrize("policy", Policy)
def test_priorities_of_all_standings(guest: Guest, policy: Policy) -> None:
    for rt_priority, nice in product(range(100), range(-20, 20)):
        due = priority_of(policy, rt_priority, nice)
        assert guest.call("priority_of", int(policy), nice, rt_priority) == int(due)
        assert guest.register("rdx") == int(class_of(due))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(STANDINGS), st.integers(0, 5000), st.integers(0, 5000))
def test_waiting_betters_normal_tasks(
    guest: Guest, standing: tuple[Policy, int, int], since: int, waited: int
) -> None:
    queue = Queue(guest, 1)
    (p,) = queue.models
    p.policy, p.rt_priority, p.nice = standing
    p.since = since
    queue.put(p)
    found = guest.call("effective_priority", queue.at[0], since + waited)
    assert found == effective_priority(p, waited)


def test_who_preempts_whom(guest: Guest) -> None:
    queue = Queue(guest, 2)
    current, next = queue.models
    for mine, theirs, left in product(STANDINGS, STANDINGS, (0, 1)):
        current.policy, current.rt_priority, current.nice = mine
        next.policy, next.rt_priority, next.nice = theirs
        current.slice = left
        queue.put(current)
        queue.put(next)
        prios = effective_priority(current, 0), effective_priority(next, 700)
        due = should_preempt(current.sched_class, prios[0], left, next.sched_class, prios[1])
        assert guest.call("should_preempt", *queue.at, *prios) == int(due)
    assert SchedClass.IDLE > SchedClass.NORMAL > SchedClass.REAL_TIME


def test_loads(guest: Guest) -> None:
    queue = Queue(guest, 1)
    for waiting, idle in product(range(14), (0, 1)):
        guest.store(queue.info, queue.cpu, "nr_running", waiting)
        guest.store(queue.info, queue.cpu, "idle", idle)
        guest.call("update_load", 0, queue.cpu)
        found = guest.load(queue.info, queue.cpu, "load")["load"]
        assert found == load.load_of(waiting + 1 - idle)


def test_how_many_move(guest: Guest) -> None:
    for most, least in product(range(0, 101, 10), range(0, 101, 10)):
        reads = {0: LoadRead(0, most), 1: LoadRead(0, least)}
        due = balance.balance_load(0b11, reads)
        found = guest.call("balance_count", due.max_load, due.min_load)
        assert found == due.count
