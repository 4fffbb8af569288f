"""The ready queue of a CPU: rings, and bitmaps that tell which have tasks (fact sheet B3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from harness.model.veridian.priority import Priority, SchedClass
from harness.model.veridian.task import Task

RING_SIZE = 256
NUM_RT_RINGS, NUM_NORMAL_RINGS = 30, 4
IDLE_RING = NUM_RT_RINGS + NUM_NORMAL_RINGS
RINGS = IDLE_RING + 1


def ring_of(p: Task) -> int:
    """The ring that a task's class and priority ask for; UserNormal and UserLow share one."""
    match p.sched_class:
        case SchedClass.REAL_TIME:
            return min(p.priority, NUM_RT_RINGS - 1)
        case SchedClass.NORMAL:
            step = (p.priority - Priority.SYSTEM_HIGH) // 10
            return NUM_RT_RINGS + min(step, NUM_NORMAL_RINGS - 1)
        case SchedClass.IDLE:
            return IDLE_RING


class Ring:
    """256 places, first in, first out, and a list for those who came when all were taken."""

    def __init__(self) -> None:
        self.slots: list[Task | None] = [None] * RING_SIZE
        self.head = 0
        self.count = 0
        self.overflow: deque[Task] = deque()

    @property
    def tail(self) -> int:
        """The next place to be taken."""
        return (self.head + self.count) % RING_SIZE

    def push(self, p: Task) -> None:
        """To the end of the queue."""
        if self.count == RING_SIZE:
            self.overflow.append(p)
            return
        self.slots[self.tail] = p
        self.count += 1

    def pop(self) -> Task:
        """The first task; raises IndexError if there is none."""
        p = self.slots[self.head]
        if p is None:
            raise IndexError("an empty ring has no first task")
        self.slots[self.head] = None
        self.head = (self.head + 1) % RING_SIZE
        self.count -= 1
        if self.overflow:
            self.push(self.overflow.popleft())
        return p

    def remove(self, p: Task) -> bool:
        """Take a task out wherever it stands; the others keep their order."""
        tasks = list(self)
        if p not in tasks:
            return False
        tasks.remove(p)
        self.slots = [None] * RING_SIZE
        self.head = self.count = 0
        self.overflow.clear()
        for other in tasks:
            self.push(other)
        return True

    def __iter__(self) -> Iterator[Task]:
        """The tasks, first to last."""
        for step in range(self.count):
            p = self.slots[(self.head + step) % RING_SIZE]
            if p is not None:
                yield p
        yield from self.overflow

    def __len__(self) -> int:
        return self.count + len(self.overflow)


class ReadyQueue:
    """The tasks that wait for a CPU."""

    def __init__(self) -> None:
        self.rings = [Ring() for _ in range(RINGS)]
        self.rt_bitmap = 0
        self.normal_bitmap = 0
        self.idle_flag = False

    def enqueue(self, p: Task) -> int:
        """Put a task behind the others of its ring; gives the ring."""
        if p.ring is not None:
            raise ValueError(f"task {p.pid} waits in ring {p.ring}")
        p.ring = ring_of(p)
        self.rings[p.ring].push(p)
        self._mark(p.ring)
        return p.ring

    def remove(self, p: Task) -> int:
        """Take a task out of the ring that it was put into; gives the ring.

        Raises ValueError if it is in none of this queue.
        """
        ring = p.ring
        if ring is None or not self.rings[ring].remove(p):
            raise ValueError(f"task {p.pid} does not wait here")
        p.ring = None
        self._mark(ring)
        return ring

    def first(self) -> Task | None:
        """The task that runs next: the first of the best ring; it stays where it is."""
        ring = self.best_ring()
        return None if ring is None else next(iter(self.rings[ring]))

    def best_ring(self) -> int | None:
        """The lowest bit of the real-time bitmap, then of the normal one, then the idle flag."""
        if self.rt_bitmap:
            return _lowest_bit(self.rt_bitmap)
        if self.normal_bitmap:
            return NUM_RT_RINGS + _lowest_bit(self.normal_bitmap)
        return IDLE_RING if self.idle_flag else None

    def tasks(self) -> Iterator[Task]:
        """All tasks, best ring first, each ring in order."""
        for ring in self.rings:
            yield from ring

    def __len__(self) -> int:
        return sum(map(len, self.rings))

    def _mark(self, ring: int) -> None:
        occupied = len(self.rings[ring]) > 0
        if ring == IDLE_RING:
            self.idle_flag = occupied
        elif ring < NUM_RT_RINGS:
            self.rt_bitmap = _with_bit(self.rt_bitmap, ring, occupied)
        else:
            self.normal_bitmap = _with_bit(self.normal_bitmap, ring - NUM_RT_RINGS, occupied)


def check_queue(queue: ReadyQueue) -> Iterator[str]:
    """V1: a bit is set exactly where the ring has tasks, and head, tail and count say where."""
    for number, ring in enumerate(queue.rings):
        if number == IDLE_RING:
            marked = queue.idle_flag
        elif number < NUM_RT_RINGS:
            marked = bool(queue.rt_bitmap >> number & 1)
        else:
            marked = bool(queue.normal_bitmap >> number - NUM_RT_RINGS & 1)
        if marked != (len(ring) > 0):
            yield f"ring {number} has {len(ring)} tasks, its bit is {int(marked)}"
        taken = {place for place, p in enumerate(ring.slots) if p is not None}
        due = {(ring.head + step) % RING_SIZE for step in range(ring.count)}
        if taken != due:
            yield f"ring {number}: head {ring.head} and count {ring.count} do not tell its places"
        if ring.overflow and ring.count < RING_SIZE:
            yield f"ring {number}: tasks wait behind it, and it is not full"
        for p in ring:
            if p.ring != number:
                yield f"task {p.pid} is in ring {number} and says {p.ring}"


def _lowest_bit(bitmap: int) -> int:
    return (bitmap & -bitmap).bit_length() - 1


def _with_bit(bitmap: int, bit: int, value: bool) -> int:
    return bitmap | 1 << bit if value else bitmap & ~(1 << bit)
