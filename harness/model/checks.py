"""What must hold of the scheduler's data at every unlock: rules S1 to S11, C6 (fact sheet part C).

Each rule is a function that yields violations in words; `check_runqueue` and `check_system` apply
them all. They trust nothing: a run queue damaged in any way is described, not tripped over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.model.array import PrioArray
from harness.model.bitmap import DELIMITER, set_bits
from harness.model.constants import MAX_BONUS, MAX_PRIO, MAX_RT_PRIO, Policy, State
from harness.model.runqueue import Runqueue
from harness.model.task import Task, rt_task


@dataclass(frozen=True)
class Violation:
    """A rule that does not hold, and how."""

    rule: str
    words: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.words}"


def check_runqueue(rq: Runqueue, nr_tasks: int | None = None) -> list[Violation]:
    """All rules that concern one run queue. `nr_tasks` bounds the length of a list."""
    found: list[Violation] = []
    for number, array in enumerate(rq.arrays):
        where = f"cpu{rq.cpu} array {number}"
        found += bitmap_tells_lists(array, where)
        found += delimiter_only(array, where)
        found += nr_active_is_sum(array, where)
        found += lists_well_formed(array, where, nr_tasks)
        found += queued_tasks_agree(rq, array, where)
    found += nr_running_is_sum(rq)
    found += two_arrays(rq)
    found += current_queued(rq)
    found += values_in_range(rq)
    found += expiry_record(rq)
    return found


def check_system(rqs: Sequence[Runqueue], tasks: Sequence[Task]) -> list[Violation]:
    """All rules for all CPUs. `tasks` are all tasks there are, without the idle tasks."""
    found = [v for rq in rqs for v in check_runqueue(rq, len(tasks))]
    found += in_one_list(rqs, tasks)
    found += current_once(rqs)
    found += sleepers_counted(rqs, tasks)
    return found


def bitmap_tells_lists(array: PrioArray, where: str) -> Iterator[Violation]:
    """S1: a bit is set exactly where the list has tasks."""
    marked = {bit for bit in set_bits(array.bitmap) if bit < DELIMITER}
    occupied = {prio for prio, tasks in enumerate(array.queue) if tasks}
    for prio in sorted(marked ^ occupied):
        bit, length = int(prio in marked), len(array.queue[prio])
        yield Violation("S1", f"{where}: bit {prio} is {bit}, its list has {length} tasks")


def delimiter_only(array: PrioArray, where: str) -> Iterator[Violation]:
    """S2: bit 140 is set, those after it are not."""
    beyond = [bit for bit in set_bits(array.bitmap) if bit >= DELIMITER]
    if DELIMITER not in beyond:
        yield Violation("S2", f"{where}: the delimiter, bit {DELIMITER}, is clear")
    for bit in beyond:
        if bit != DELIMITER:
            yield Violation("S2", f"{where}: bit {bit}, after the delimiter, is set")


def nr_active_is_sum(array: PrioArray, where: str) -> Iterator[Violation]:
    """S3: nr_active counts the tasks in the lists."""
    queued = len(array.tasks())
    if array.nr_active != queued:
        yield Violation("S3", f"{where}: nr_active is {array.nr_active}, the lists have {queued}")


def nr_running_is_sum(rq: Runqueue) -> Iterator[Violation]:
    """S4: nr_running counts both arrays, and never the idle task."""
    queued = rq.active.nr_active + rq.expired.nr_active
    if rq.nr_running != queued:
        yield Violation("S4", f"cpu{rq.cpu}: nr_running is {rq.nr_running}, queued are {queued}")


def two_arrays(rq: Runqueue) -> Iterator[Violation]:
    """S5: active and expired are the queue's two arrays, one each."""
    if {id(rq.active), id(rq.expired)} != {id(array) for array in rq.arrays}:
        yield Violation("S5", f"cpu{rq.cpu}: active and expired are not its two arrays")


def queued_tasks_agree(rq: Runqueue, array: PrioArray, where: str) -> Iterator[Violation]:
    """S6: a queued task names its array, its list and its CPU, and is runnable.

    Not yet asleep, and still queued, is the running task between setting its state and schedule(),
    also after it was preempted there.
    """
    for prio, tasks in enumerate(array.queue):
        for p in tasks:
            if p.array is not array:
                yield Violation("S6", f"{where}: {p!r} is in it but names another array, or none")
            if p.prio != prio:
                yield Violation("S6", f"{where}: {p!r} is in list {prio}")
            if p.cpu != rq.cpu:
                yield Violation("S6", f"{where}: {p!r} belongs to another CPU")
            if p.state != State.RUNNING and p is not rq.curr and not p.preempt_active:
                yield Violation("S6", f"{where}: {p!r} is queued in state {p.state!r}")


def lists_well_formed(
    array: PrioArray, where: str, nr_tasks: int | None = None
) -> Iterator[Violation]:
    """S7: no list holds a task twice or more tasks than there are."""
    for prio, tasks in enumerate(array.queue):
        twice = [p for p, times in Counter(tasks).items() if times > 1] if len(tasks) > 1 else []
        for p in twice:
            yield Violation("S7", f"{where}: list {prio} holds {p!r} {tasks.count(p)} times")
        if nr_tasks is not None and len(tasks) > nr_tasks:
            yield Violation("S7", f"{where}: list {prio} is longer than the {nr_tasks} tasks")


def in_one_list(rqs: Sequence[Runqueue], tasks: Sequence[Task]) -> Iterator[Violation]:
    """S8: a task is in one list if it names an array, in none if it does not."""
    times = Counter(p for rq in rqs for array in rq.arrays for p in array.tasks())
    for p in tasks:
        expected = 0 if p.array is None else 1
        if times[p] != expected:
            yield Violation("S8", f"{p!r} is in {times[p]} lists, {expected} expected")


def current_queued(rq: Runqueue) -> Iterator[Violation]:
    """S9: a running task is queued where it runs; the idle task never is, and is worse than all."""
    p, idle = rq.curr, rq.idle
    queued_here = any(p.array is array for array in rq.arrays)
    if p is not idle and p.state == State.RUNNING and not queued_here:
        yield Violation("S9", f"cpu{rq.cpu}: {p!r} runs but is not queued there")
    if idle.array is not None:
        yield Violation("S9", f"cpu{rq.cpu}: its idle task is queued")
    if idle.prio != MAX_PRIO:
        yield Violation("S9", f"cpu{rq.cpu}: its idle task has priority {idle.prio}")


def current_once(rqs: Sequence[Runqueue]) -> Iterator[Violation]:
    """S9: no task is current on two CPUs."""
    where: dict[Task, int] = {}
    for rq in rqs:
        first = where.setdefault(rq.curr, rq.cpu)
        if first != rq.cpu:
            yield Violation("S9", f"{rq.curr!r} is current on cpu{first} and on cpu{rq.cpu}")


def values_in_range(rq: Runqueue) -> Iterator[Violation]:
    """S10: priorities, slice and sleep average of every queued task are possible ones."""
    longest = 8 * rq.k.def_timeslice
    for p in [p for array in rq.arrays for p in array.tasks()]:
        if not 0 <= p.prio < MAX_PRIO:
            yield Violation("S10", f"{p!r}: prio {p.prio}")
        if not MAX_RT_PRIO <= p.static_prio < MAX_PRIO:
            yield Violation("S10", f"{p!r}: static_prio {p.static_prio}")
        if rt_task(p) != (p.policy != Policy.NORMAL):
            yield Violation("S10", f"{p!r}: prio {p.prio} with policy {p.policy.name}")
        elif not rt_task(p) and abs(p.prio - p.static_prio) > MAX_BONUS // 2:
            yield Violation("S10", f"{p!r}: prio {p.prio} far from static_prio {p.static_prio}")
        if p.policy != Policy.FIFO and not 1 <= p.time_slice <= longest:
            yield Violation("S10", f"{p!r}: time_slice {p.time_slice} not in 1..{longest}")
        if not 0 <= p.sleep_avg <= rq.k.ns_max_sleep_avg:
            yield Violation("S10", f"{p!r}: sleep_avg {p.sleep_avg}")


def expiry_record(rq: Runqueue) -> Iterator[Violation]:
    """S11: an idle queue remembers no expiry; the best expired priority is a static one or none."""
    if rq.nr_running == 0 and rq.is_idle and rq.expired_timestamp:
        yield Violation("S11", f"cpu{rq.cpu}: idle, yet expired_timestamp {rq.expired_timestamp}")
    if not MAX_RT_PRIO <= rq.best_expired_prio <= MAX_PRIO:
        yield Violation("S11", f"cpu{rq.cpu}: best_expired_prio {rq.best_expired_prio}")


def sleepers_counted(rqs: Sequence[Runqueue], tasks: Sequence[Task]) -> Iterator[Violation]:
    """C6: the sum of what the run queues count is how many tasks sleep uninterruptibly."""
    counted = sum(rq.nr_uninterruptible for rq in rqs)
    asleep = sum(p.array is None and p.state == State.UNINTERRUPTIBLE for p in tasks)
    if counted != asleep:
        yield Violation("C6", f"{asleep} tasks sleep uninterruptibly, {counted} are counted")
