"""balance_load and what it moves (fact sheet B6, B7)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from harness.model.veridian.cpu import Cpu
from harness.model.veridian.load import MAX_LOAD, NOTHING, Reads, cpus_of
from harness.model.veridian.priority import SchedClass
from harness.model.veridian.task import Task

THRESHOLD = 20
MAX_MOVES = 3

IDLE_INTERVAL, BUSY_INTERVAL = 10, 100
"""Ticks of a CPU between two attempts, while it idles and while it does not."""


@dataclass(frozen=True, slots=True)
class Balance:
    """The decision: take `count` tasks, 0 for none, from `busiest` to `idlest`."""

    busiest: int
    idlest: int
    max_load: int
    min_load: int
    count: int


def balance_load(online: int, reads: Reads) -> Balance:
    """Busiest and idlest CPU, the lowest first among equals, and how many tasks to move.

    A difference of more than 20 moves one task for each 20, at most three.
    """
    max_load, min_load, busiest, idlest = 0, MAX_LOAD, 0, 0
    for cpu in cpus_of(online):
        load = reads.get(cpu, NOTHING).load
        if load > max_load:
            max_load, busiest = load, cpu
        if load < min_load:
            min_load, idlest = load, cpu
    imbalance = max(max_load - min_load, 0)
    count = min(imbalance // THRESHOLD, MAX_MOVES) if imbalance > THRESHOLD else 0
    return Balance(busiest, idlest, max_load, min_load, count)


def due(ticks: int, *, idle: bool) -> bool:
    """Whether a CPU balances at its tick of that number, from 1."""
    return ticks % (IDLE_INTERVAL if idle else BUSY_INTERVAL) == 0


def migrate_tasks(src: Cpu, dst: Cpu, count: int) -> list[Task]:
    """Move up to `count` waiting tasks, best ring first, each ring in order; gives them.

    `count` bounds the moves, not the attempts (D2, V07). Those that may not run there keep their
    places (V08). Both queues are locked, so a task is always in one of them (V09).
    """
    moved = [p for p in src.queue.tasks() if dst.serves(p)][:count]
    for p in moved:
        move(p, src, dst)
    return moved


def move(p: Task, src: Cpu, dst: Cpu) -> None:
    """Move one waiting task."""
    src.dequeue(p)
    note_migration(p, dst.number)
    dst.enqueue(p)


def note_migration(p: Task, to: int) -> None:
    """On every path by which a runnable task changes its CPU (V7)."""
    p.last_cpu, p.cpu = p.cpu, to
    p.migrations += 1


class MigrateError(enum.Enum):
    """Why migrate_task refuses."""

    AFFINITY = "the task may not run there"
    RUNNING = "the task runs"
    IDLE_CLASS = "idle tasks stay where they are"
    NOT_FOUND = "the task does not wait there"


def migrate_task(p: Task, src: Cpu, dst: Cpu) -> MigrateError | None:
    """Move one named task; gives why not, if not, and then nothing has changed."""
    if not dst.serves(p):
        return MigrateError.AFFINITY
    if src.curr is p:
        return MigrateError.RUNNING
    if p.sched_class is SchedClass.IDLE:
        return MigrateError.IDLE_CLASS
    if p.ring is None or p not in src.queue.rings[p.ring]:
        return MigrateError.NOT_FOUND
    move(p, src, dst)
    return None
