"""sched_info: time on the CPU and time waiting; the order of the counters."""

from __future__ import annotations

from harness.model.constants import Now
from harness.model.core import sched_yield, schedule
from harness.model.stats import DomainStats, RunqueueStats, numbers
from harness.trace.schedstat import CPU_COUNTERS, DOMAIN_COUNTERS
from tests.model.build import normal, one_cpu


def test_counters_are_in_the_order_of_the_text() -> None:
    stats, domain = RunqueueStats(), DomainStats()
    for number, name in enumerate(CPU_COUNTERS[:22]):
        setattr(stats, name, number)
    stats.pt[1].pt_lost, domain.lb[2].lb_failed, domain.ttwu_wake_balance = 25, 7, 9
    counted = list(numbers(stats))
    assert counted[:22] == list(range(22))
    assert dict(zip(CPU_COUNTERS, counted, strict=True))["b_lost"] == 25
    by_name = dict(zip(DOMAIN_COUNTERS, numbers(domain), strict=True))
    assert (by_name["n_failed"], by_name["ttwu_wake_balance"]) == (7, 9)


def test_time_on_the_cpu_and_time_waiting() -> None:
    a, b = normal(1), normal(2)
    rq = one_cpu(a, b)
    a.sched_info.last_queued = b.sched_info.last_queued = 10
    rq.curr = rq.idle
    schedule(rq, Now(0, 15))
    assert (a.sched_info.run_delay, a.sched_info.pcnt, a.sched_info.last_queued) == (5, 1, 0)
    sched_yield(rq, 20)
    schedule(rq, Now(0, 40))
    assert (a.sched_info.cpu_time, b.sched_info.run_delay) == (25, 30)
    assert a.sched_info.last_queued == 20
    schedule(rq, Now(0, 41))
    assert b.sched_info.pcnt == 2, "an arrival even when the CPU keeps its task"
    assert (rq.stats.cpu_time, rq.stats.run_delay, rq.stats.pcnt) == (26, 35, 3)
