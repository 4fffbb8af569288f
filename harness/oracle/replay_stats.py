"""Replay of the totals that the guest logs before the end: the model has counted, too."""

from __future__ import annotations

from harness.model.task import Task
from harness.oracle.replay_laws import Law
from harness.oracle.replay_world import World, expect
from harness.trace.grammar import event_type

_COUNTED_BY_OTHERS = frozenset({"ttwu_cnt", "ttwu_moved", "ttwu_attempts", "wunt_cnt"})
"""What other CPUs may still count when the run queue's own CPU has stopped and logs its totals."""

_COUNTERS = tuple(field.name for field in event_type("schedstat").fields)


def schedstat(world: World, cpu: int, *counters: int) -> None:
    """The counters of the calling CPU's run queue."""
    stats = world.rqs[cpu].stats
    for name, seen in zip(_COUNTERS, counters, strict=True):
        if name not in _COUNTED_BY_OTHERS:
            expect(Law.T0, f"{name} of CPU {cpu}", seen, getattr(stats, name))


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
