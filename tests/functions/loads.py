"""load.s and info.s: load figures and times of tasks."""

from __future__ import annotations

from hypothesis import strategies as st

from harness.model.constants import Constants
from harness.model.load import LoadRead, decayed_load
from harness.model.runqueue import Runqueue
from harness.model.stats import SchedInfo, sched_info_queued, sched_info_switch
from harness.model.task import Task, idle_task
from tests.functions.agreement import agrees, times
from tests.functions.guest import Guest
from tests.functions.mirror import Mirror

counts = st.integers(0, 4) | st.integers(0, 100_000)
cpu_loads = st.integers(0, 600) | st.integers(0, 1 << 30)
PREV, NEXT, IDLE = 1, 2, 3


@agrees("decayed_load", given=st.tuples(cpu_loads, counts))
def load_after_a_tick(guest: Guest, cpu_load: int, nr_running: int) -> None:
    assert guest.call("decayed_load", cpu_load, nr_running) == decayed_load(cpu_load, nr_running)


@agrees("source_load", "target_load", given=st.tuples(cpu_loads, counts))
def guesses(guest: Guest, cpu_load: int, nr_running: int) -> None:
    read = LoadRead(cpu_load, nr_running)
    assert guest.call("source_load", cpu_load, nr_running) == read.source
    assert guest.call("target_load", cpu_load, nr_running) == read.target


@agrees("sched_info_queued", given=st.tuples(times, times))
def queued(guest: Guest, before: int, jiffies: int) -> None:
    p = Task(PREV, sched_info=SchedInfo(last_queued=before))
    mirror = Mirror(guest)
    guest.call("sched_info_queued", mirror.put_task(p), jiffies)
    sched_info_queued(p.sched_info, jiffies)
    mirror.compare_task(p)


infos = st.builds(SchedInfo, times, times, times, times, times)


@agrees("sched_info_switch",
        given=st.tuples(infos, infos, times, times, st.sampled_from([PREV, IDLE]),
                        st.sampled_from([PREV, NEXT, IDLE])))  # fmt: skip
def switched(
    guest: Guest, first: SchedInfo, second: SchedInfo, total: int, jiffies: int, a: int, b: int
) -> None:
    """From a task or idle to another task, idle, or the same."""
    rq = Runqueue(0, Constants(), idle_task(0, pid=IDLE))
    rq.stats.cpu_time = rq.stats.run_delay = rq.stats.pcnt = total
    tasks = {PREV: Task(PREV, sched_info=first), NEXT: Task(NEXT, sched_info=second), IDLE: rq.idle}
    mirror = Mirror(guest)
    queue = mirror.put_runqueue(rq)
    at = {pid: mirror.put_task(p) for pid, p in tasks.items()}
    guest.call("sched_info_switch", queue, at[a], at[b], jiffies)
    sched_info_switch(rq, tasks[a], tasks[b], jiffies)
    for p in tasks.values():
        mirror.compare_task(p)
    mirror.compare_runqueue(rq)
