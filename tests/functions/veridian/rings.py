"""queue.s, ready.s: the ready queue of a CPU, also of one that is full."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from harness.model.constants import Policy
from harness.model.veridian.cpu import Cpu
from harness.model.veridian.queue import ring_of
from harness.model.veridian.task import Task
from tests.functions.guest import Guest
from tests.functions.veridian.agreement import agrees
from tests.functions.veridian.kernel import Kernel
from tests.functions.veridian.scenes import CPUS, SLEEPS, Scene, crowds, scenes, sound

QUEUE = ("ring_of", "ring_mark", "queue_enqueue", "queue_enqueue_head", "queue_note", "queue_first",
         "queue_dequeue", "ring_refill", "queue_forget", "queue_remove", "queue_take",
         "queue_take_from", "ring_remove", "overflow_remove")  # fmt: skip
STEPS = ("dequeue", "remove", "remove", "take", "enqueue", "enqueue", "head", "head", "absent")
steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 400)), min_size=1, max_size=8)
full_or_not = scenes(6, crowds)


class Desk:
    """Does the same to a queue on both sides; tasks that are in no ring can be put into one."""

    def __init__(self, kernel: Kernel, number: int) -> None:
        self.kernel, self.cpu = kernel, kernel.world.cpus[number]
        self.at = kernel.memory.cpu(number)
        own = [p for p in kernel.tasks if p.cpu == number and p.ring is None]
        self.out = [p for p in own if self.cpu.curr is not p]

    def do(self, step: str, choice: int) -> None:
        inside = list(self.cpu.queue.tasks())
        if step == "dequeue":
            first = inside[0] if inside else None
            self.same(self.call("queue_first"), first)
            self.same(self.call("queue_dequeue"), first)
            if first is not None:
                self.leave(first)
        elif step in ("remove", "take") and inside:
            # Mostly one around the end of a full ring, or the first.
            end = len(inside) - 1 - choice // 2 % 6
            p = inside[max(end, 0) if choice % 2 else choice % len(inside)]
            assert self.call(f"queue_{step}", p) == 1
            self.leave(p)
        elif step in ("enqueue", "head") and self.out:
            p = self.out.pop(choice % len(self.out))
            self.enter(p, at_head=step == "head")
        elif step == "absent" and self.out:
            assert self.call("queue_remove", self.out[0]) == 0

    def call(self, function: str, p: Task | None = None) -> int:
        at = 0 if p is None else self.kernel.memory.at(p)
        return self.kernel.quietly(function, at, self.at)

    def same(self, found: int, p: Task | None) -> None:
        assert found == (0 if p is None else self.kernel.memory.at(p))

    def leave(self, p: Task) -> None:
        self.cpu.queue.remove(p)
        self.out.append(p)

    def enter(self, p: Task, *, at_head: bool) -> None:
        if not at_head:
            assert self.call("queue_enqueue", p) == 1
            self.cpu.queue.enqueue(p)
            return
        self.call("queue_enqueue_head", p)
        behind = list(self.cpu.queue.rings[ring_of(p)])
        for other in behind:
            self.cpu.queue.remove(other)
        for other in (p, *behind):
            self.cpu.queue.enqueue(other)


@agrees(*QUEUE, given=st.tuples(full_or_not, st.sampled_from([0, 0, *CPUS]), steps))
def queues(guest: Guest, scene: Scene, number: int, steps: list[tuple[str, int]]) -> None:
    kernel = Kernel(guest, scene)
    desk = Desk(kernel, number)
    for step, choice in steps:
        desk.do(step, choice)
    kernel.compare()


def beside(scene: Scene, sleepers: int) -> Scene:
    """A scene with more tasks on the first CPU that are in no ring, and are for the crowd's."""
    actors = [
        replace(a, cpu=0, place=SLEEPS, standing=(Policy.NORMAL, 0, 5 * n)) if n < sleepers else a
        for n, a in enumerate(scene.actors)
    ]
    return sound(replace(scene, actors=actors))


full = st.builds(beside, scenes(6, st.sampled_from([255, 256, 257, 258, 260])), st.integers(0, 4))
near_the_end = st.lists(
    st.tuples(st.sampled_from(STEPS), st.integers(0, 5).map(lambda n: 2 * n + 1)),
    min_size=2,
    max_size=8,
)


@agrees(*QUEUE, given=st.tuples(full, near_the_end))
def full_rings(guest: Guest, scene: Scene, steps: list[tuple[str, int]]) -> None:
    """The crowd's ring, and the list behind it."""
    queues(guest, scene, 0, steps)


@agrees(*QUEUE, given=st.tuples(scenes(4), st.sampled_from(CPUS)))
def idle_tasks(guest: Guest, scene: Scene, number: int) -> None:
    """The last ring, which is for what only a defect of the original queues."""
    kernel = Kernel(guest, scene)
    desk = Desk(kernel, number)
    desk.enter(desk.cpu.idle, at_head=False)
    kernel.compare()
    while len(desk.cpu.queue):
        desk.do("dequeue", 0)
    kernel.compare()
    desk.same(desk.call("queue_first"), None)


def waiting(cpu: Cpu) -> list[Task]:
    return list(cpu.queue.tasks())


@agrees("ready_enqueue", "ready_dequeue", "ready_take", "ready_remove", "ready_left", "ready_log",
        "ready_count", "update_load", *QUEUE,
        given=st.tuples(full_or_not, st.sampled_from([0, 0, *CPUS]), st.integers(0, 400),
                        st.sampled_from(["enqueue", "dequeue", "take", "remove"])))  # fmt: skip
def ready(guest: Guest, scene: Scene, number: int, choice: int, how: str) -> None:
    """The same, counted and logged."""
    kernel = Kernel(guest, scene)
    cpu, memory = kernel.world.cpus[number], kernel.memory
    out, inside = Desk(kernel, number).out, waiting(cpu)
    kernel.enter(number)
    pool = out if how == "enqueue" else inside
    p = pool[choice % len(pool)] if pool and how != "dequeue" else next(iter(inside), None)
    if how == "remove" and not inside and out:
        assert kernel.call("ready_remove", memory.at(out[0]), memory.cpu(number)) == 0
    elif p is not None and (pool or how == "dequeue"):
        (cpu.enqueue if how == "enqueue" else cpu.dequeue)(p)
        found = kernel.call(f"ready_{how}", memory.at(p), memory.cpu(number))
        if how in ("dequeue", "remove"):
            assert found == (memory.at(p) if how == "dequeue" else 1)
    elif how == "dequeue":
        assert kernel.call("ready_dequeue", 0, memory.cpu(number)) == 0
    kernel.done()
