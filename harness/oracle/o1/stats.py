"""Replay of the totals that the guest logs before the end: the model has counted, too."""

from __future__ import annotations

from harness.model.stats import numbers
from harness.model.task import Task
from harness.oracle.o1.hints import COUNTED_BY_OTHERS
from harness.oracle.o1.laws import Law
from harness.oracle.o1.world import World
from harness.oracle.prediction import LawBrokenError, expect
from harness.trace.grammar import event_type

_COUNTERS = tuple(field.name for field in event_type("schedstat").fields)


def schedstat(world: World, cpu: int, *counters: int) -> None:
    """The counters of the calling CPU's run queue."""
    stats = world.rqs[cpu].stats
    before = world.hints.counters(cpu, world.hints.heard[cpu])
    least = [0] * len(COUNTED_BY_OTHERS) if before is None else map(min, zip(*before, strict=True))
    least_of = dict(zip(COUNTED_BY_OTHERS, least, strict=True))
    for name, seen in zip(_COUNTERS, counters, strict=True):
        expected = getattr(stats, name)
        if not least_of.get(name, expected) <= seen <= expected:
            expect(Law.T0, f"{name} of CPU {cpu}", seen, expected)


def schedstat_domain(world: World, cpu: int, *counters: int) -> None:
    """The counters of one of its domains, in the order of the kernel's."""
    level, *seen = counters
    domains = world.rqs[cpu].domains
    if level >= len(domains):
        raise LawBrokenError(Law.T0, f"CPU {cpu} counts for a domain of level {level}")
    _, *names = (field.name for field in event_type("schedstat_domain").fields)
    for name, value, due in zip(names, seen, numbers(domains[level].stats), strict=True):
        expect(Law.T0, f"{name} of domain {level} of CPU {cpu}", value, due)


def schedstat_moves(world: World, cpu: int, *counters: int) -> None:
    """Tasks gained and lost; other CPUs may still take and bring some."""
    pulls = world.rqs[cpu].stats.pt
    due = [number for pull in pulls for number in (pull.pt_gained, pull.pt_lost)]
    names = (field.name for field in event_type("schedstat_moves").fields)
    for name, seen, most in zip(names, counters, due, strict=True):
        if seen > most:
            expect(Law.T0, f"{name} of CPU {cpu}", seen, most)


def uninterruptible(world: World, cpu: int, rq: int, nr: int) -> None:
    """A run queue's part of the sum of those asleep, which may be negative; it is locked."""
    expect(Law.C6, f"nr_uninterruptible of CPU {rq}", nr, world.rq(rq).nr_uninterruptible)


def task_summary(
    world: World,
    cpu: int,
    task: int,
    cpu_time: int,
    run_delay: int,
    pcnt: int,
    nvcsw: int,
    nivcsw: int,
) -> None:
    """A task's totals; nothing runs any more."""
    p: Task = world.task(task)
    seen = {"cpu_time": cpu_time, "run_delay": run_delay, "pcnt": pcnt}
    for name, value in seen.items():
        expect(Law.T0, f"{name} of task {task}", value, getattr(p.sched_info, name))
    expect(Law.P14, f"nvcsw of task {task}", nvcsw, p.nvcsw)
    expect(Law.P14, f"nivcsw of task {task}", nivcsw, p.nivcsw)
