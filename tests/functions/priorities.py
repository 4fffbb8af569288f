"""prio.s: constants, slices, dynamic priorities, interactivity."""

from __future__ import annotations

from hypothesis import strategies as st

from harness.model import prio
from harness.model.arith import s64, u64
from harness.model.constants import NS_PER_SECOND, Constants
from harness.model.fixes import Fix, Fixes
from harness.model.runqueue import Runqueue
from harness.model.task import Task, idle_task
from tests.functions.agreement import (
    HERTZ,
    agrees,
    corrections,
    cpus,
    hertz,
    prios,
    sleep_avgs,
    static_prios,
    times,
)
from tests.functions.guest import Guest
from tests.functions.mirror import Mirror

tasks = st.builds(
    Task,
    pid=st.just(1),
    prio=prios,
    static_prio=static_prios,
    sleep_avg=sleep_avgs,
    time_slice=st.integers(0, 12) | st.integers(0, 6000),
    timestamp=times,
    activated=st.sampled_from([-1, 0, 1, 2]),
    mm=st.booleans(),
)
SLEEPS = st.integers(0, 12).map(lambda tenths: tenths * NS_PER_SECOND // 10)
"""Time slept, around what fills or almost fills the average, and time gone backwards."""
sleeps = SLEEPS | st.integers(-1000, 2 * NS_PER_SECOND) | st.integers(0, 1 << 42)


def constants_of(k: Constants, online_cpus: int) -> dict[str, int]:
    """struct sched_constants as the model has it."""
    return {
        "min_timeslice": k.min_timeslice,
        "def_timeslice": k.def_timeslice,
        "max_sleep_avg": k.max_sleep_avg,
        "starvation_limit": k.starvation_limit,
        "granularity": k.granularity,
        "jiffy_ns": k.ns_per_jiffy,
        "ns_max_sleep_avg": k.ns_max_sleep_avg,
        "online_cpus": online_cpus,
    }


divisors = st.sampled_from([11, 13, 77, 91])
"""Of 10**9 + 1, by which alone a second that is a nanosecond too long shows."""


@agrees("sched_constants_init", "ms_to_jiffies",
        given=st.tuples(hertz | divisors | st.integers(10, 10_000),
                        cpus | st.integers(1, 255)))  # fmt: skip
def constants(guest: Guest, hz: int, online_cpus: int) -> None:
    k = guest.configure(hz, online_cpus)
    assert guest.read_constants() == constants_of(k, online_cpus)


@agrees("task_timeslice", given=st.tuples(tasks))
def timeslice(guest: Guest, p: Task) -> None:
    for hz in HERTZ:
        k = guest.configure(hz, 1)
        assert _call(guest, "task_timeslice", p) == prio.task_timeslice(p, k)


@agrees("current_bonus", given=st.tuples(tasks, hertz))
def bonus(guest: Guest, p: Task, hz: int) -> None:
    k = guest.configure(hz, 1)
    assert _call(guest, "current_bonus", p) == prio.current_bonus(p, k)


@agrees("effective_prio", "current_bonus", given=st.tuples(tasks, hertz))
def dynamic_priority(guest: Guest, p: Task, hz: int) -> None:
    k = guest.configure(hz, 1)
    assert _call(guest, "effective_prio", p) == prio.effective_prio(p, k)


@agrees("task_delta", given=st.tuples(tasks))
def delta(guest: Guest, p: Task) -> None:
    assert _signed(_call(guest, "task_delta", p)) == prio.delta(p)


@agrees("task_interactive", "task_delta", given=st.tuples(tasks, st.integers(-7, 7)))
def interactive(guest: Guest, p: Task, distance: int) -> None:
    p.prio = p.static_prio + distance
    assert _call(guest, "task_interactive", p) == int(prio.task_interactive(p))


@agrees("interactive_sleep", "task_delta", given=st.tuples(tasks, hertz))
def sleep_that_makes_interactive(guest: Guest, p: Task, hz: int) -> None:
    k = guest.configure(hz, 1)
    assert _call(guest, "interactive_sleep", p) == prio.interactive_sleep(p, k)


@agrees("timeslice_granularity", "bonus_left", given=st.tuples(tasks, hertz, cpus))
def granularity(guest: Guest, p: Task, hz: int, online_cpus: int) -> None:
    k = guest.configure(hz, online_cpus)
    wanted = prio.timeslice_granularity(p, k, online_cpus)
    assert _call(guest, "timeslice_granularity", p) == wanted


@agrees("round_robin_due", "task_interactive", "timeslice_granularity", "task_timeslice",
        given=st.tuples(tasks, st.integers(-3, 9), st.sampled_from([0, 0, 0, 1, -1]),
                        st.integers(-1, 1), st.booleans(), hertz, cpus))  # fmt: skip
def turn_of_an_equal(
    guest: Guest,
    p: Task,
    granules: int,
    off: int,
    distance: int,
    active: bool,
    hz: int,
    online_cpus: int,
) -> None:
    """Around whole granules used (after a change of nice even less than none), where an interactive
    task ends, in either array."""
    k = guest.configure(hz, online_cpus)
    granularity = prio.timeslice_granularity(p, k, online_cpus)
    p.time_slice = abs(prio.task_timeslice(p, k) - granules * granularity + off)
    p.prio = p.static_prio - prio.delta(p) + distance
    rq = Runqueue(0, k, idle_task(0))
    mirror = Mirror(guest)
    queue = mirror.put_runqueue(rq)
    task = mirror.put_task(p)
    guest.store(guest.task, task, "array", mirror.array(rq, 0 if active else 1))
    wanted = active and prio.round_robin_due(p, k, online_cpus)
    assert guest.call("round_robin_due", task, queue) == int(wanted)
    mirror.compare_task(p)
    mirror.compare_runqueue(rq)


@agrees("expired_starving",
        given=st.tuples(times, st.integers(0, 4), st.integers(-2, 2), times, prios, prios,
                        hertz))  # fmt: skip
def starving(
    guest: Guest, since: int, running: int, off: int, waited: int, own: int, best: int, hz: int
) -> None:
    """Around the limit, and anywhere."""
    k = guest.configure(hz, 1)
    rq = Runqueue(0, k, idle_task(0), nr_running=running)
    rq.curr = Task(1, static_prio=own)
    rq.expired_timestamp = since
    rq.best_expired_prio = best
    mirror = Mirror(guest)
    queue = mirror.put_runqueue(rq)
    for jiffies in (since + waited, since + running * k.starvation_limit + off, since - off):
        wanted = prio.expired_starving(rq, u64(jiffies))
        assert guest.call("expired_starving", queue, jiffies) == int(wanted)
    mirror.compare_runqueue(rq)


@agrees("recalc_task_prio", "credit_sleep", "effective_prio", "interactive_sleep", "bonus_left",
        given=st.tuples(tasks, sleeps, hertz, corrections(Fix.L06)))  # fmt: skip
def credited_sleep(guest: Guest, p: Task, slept: int, hz: int, fixes: Fixes) -> None:
    k = guest.configure(hz, 1, fixes)
    for exactly in (slept, prio.interactive_sleep(p, k) + slept % 3 - 1):
        mirror = Mirror(guest)
        now = u64(p.timestamp + exactly)
        guest.call("recalc_task_prio", mirror.put_task(p), now)
        prio.recalc_task_prio(p, now, k)
        mirror.compare_task(p)


def _call(guest: Guest, function: str, p: Task) -> int:
    """Calls a function of one task that changes nothing of it."""
    mirror = Mirror(guest)
    result = guest.call(function, mirror.put_task(p))
    mirror.compare_task(p)
    return result


def _signed(eax: int) -> int:
    return s64(eax << 32) >> 32
