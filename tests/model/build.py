"""Small pieces of a machine for the model's tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.model.array import PrioArray, enqueue_task
from harness.model.constants import Constants, Policy, nice_to_prio
from harness.model.domain import Topology, build_domains, flat
from harness.model.prio import effective_prio, task_timeslice
from harness.model.runqueue import Runqueue
from harness.model.task import Task, idle_task

K = Constants(hz=1000)
MS = 1_000_000
VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("vectors.json").read_text())


def with_bonus(bonus: int) -> int:
    """A sleep average, in nanoseconds, that is read as this bonus."""
    return K.jiffies_to_ns(bonus * K.max_sleep_avg // 10)


def normal(pid: int, nice: int = 0, *, bonus: int = 5, cpu: int = 0) -> Task:
    """An ordinary task with a full slice; bonus 5 leaves prio at static_prio."""
    static = nice_to_prio(nice)
    p = Task(pid, cpu=cpu, static_prio=static, prio=static, sleep_avg=with_bonus(bonus))
    p.prio = effective_prio(p, K)
    p.time_slice = task_timeslice(p, K)
    return p


def realtime(pid: int, prio: int, policy: Policy = Policy.FIFO, *, cpu: int = 0) -> Task:
    p = Task(pid, cpu=cpu, policy=policy, prio=prio, rt_priority=99 - prio)
    p.time_slice = task_timeslice(p, K)
    return p


def runqueues(topology: Topology) -> list[Runqueue]:
    levels = topology.levels()
    return [
        Runqueue(cpu, K, idle_task(cpu), build_domains(levels, cpu))
        for cpu in range(topology.nr_cpus)
    ]


def one_cpu(*tasks: Task) -> Runqueue:
    """A lone run queue with tasks in its active array; the first of them runs."""
    (rq,) = runqueues(flat(1))
    for p in tasks:
        put(p, rq)
    if tasks:
        rq.curr = tasks[0]
    return rq


def put(p: Task, rq: Runqueue, array: PrioArray | None = None) -> None:
    """Queue a task as if it had always been there."""
    p.cpu = rq.cpu
    enqueue_task(p, array or rq.active, 0)
    rq.nr_running += 1


def pids(tasks: list[Task]) -> list[int]:
    return [p.pid for p in tasks]
