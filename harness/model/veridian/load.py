"""Load figures, and where a task is placed (fact sheet B5, B6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.model.veridian.task import ALL_CPUS, Task

LOAD_PER_TASK = 10
MAX_LOAD = 100


def load_of(tasks: int) -> int:
    """The load that so many runnable tasks make; it saturates at ten (D2, V14)."""
    return min(LOAD_PER_TASK * tasks, MAX_LOAD)


@dataclass(frozen=True, slots=True)
class LoadRead:
    """What was read of a CPU, without its lock."""

    nr: int = 0
    """Tasks that wait."""
    load: int = 0


NOTHING = LoadRead()
"""A CPU of which nothing was logged."""

Reads = Mapping[int, LoadRead]
"""By CPU; one that is missing was idle and had nothing waiting."""


def cpus_of(mask: int) -> Iterator[int]:
    """The CPUs of a mask, ascending."""
    while mask:
        yield (mask & -mask).bit_length() - 1
        mask &= mask - 1


def find_least_loaded_cpu(mask: int, reads: Reads) -> int | None:
    """The first CPU of least load in a mask; ``None`` in an empty one."""
    return min(cpus_of(mask), key=lambda cpu: reads.get(cpu, NOTHING).load, default=None)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a task goes, and whether that took giving up its affinity."""

    cpu: int
    reset: bool = False


def find_cpu(p: Task, online: int, reads: Reads) -> Placement:
    """The least loaded CPU that a task may use; any, if all those are offline.

    Raises ValueError if no CPU is online.
    """
    cpu = find_least_loaded_cpu(p.allowed & online, reads)
    if cpu is not None:
        return Placement(cpu)
    cpu = find_least_loaded_cpu(ALL_CPUS & online, reads)
    if cpu is None:
        raise ValueError("no CPU is online")
    return Placement(cpu, reset=True)
