"""Replay of the totals that the guest logs before the end: the model has counted, too."""

from __future__ import annotations

from harness.oracle.prediction import expect
from harness.oracle.veridian.laws import Law
from harness.oracle.veridian.world import World
from harness.trace.grammar import event_type

NONE = -1

_COUNTERS = tuple(field.name for field in event_type("v_cpu").fields)


def v_cpu(world: World, *counters: int) -> None:
    """What a CPU counted of its own doings."""
    metrics = world.cpus[world.acting].metrics
    for name, seen in zip(_COUNTERS, counters, strict=True):
        law = Law.P14 if name in ("switches", "voluntary", "balances") else Law.T0
        expect(law, f"{name} of CPU {world.acting}", seen, getattr(metrics, name))


def v_task(world: World, task: int, migrations: int, last_cpu: int) -> None:
    """A task's migrations."""
    p = world.task(task)
    due = NONE if p.last_cpu is None else p.last_cpu
    expect(Law.V7, f"migrations of task {task}", migrations, p.migrations)
    expect(Law.V7, f"the last CPU of task {task}", last_cpu, due)


def task_summary(
    world: World, task: int, cpu_time: int, run_delay: int, pcnt: int, nvcsw: int, nivcsw: int
) -> None:
    """A task's times in jiffies, and its switches."""
    p = world.task(task)
    seen = {"cpu_time": cpu_time, "run_delay": run_delay, "pcnt": pcnt}
    for name, value in seen.items():
        expect(Law.T0, f"{name} of task {task}", value, getattr(p, name))
    expect(Law.P14, f"nvcsw of task {task}", nvcsw, p.voluntary)
    expect(Law.P14, f"nivcsw of task {task}", nivcsw, p.involuntary)
    if task in world.ended.ended:
        world.context.buries = task
