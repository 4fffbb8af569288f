"""The rules that a replay can find broken, and which of them a difference breaks.

The names are those of the fact sheet's part C, where that has the rule.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from harness.oracle.prediction import Prediction
from harness.trace.grammar import Event, Value


class Law(enum.Enum):
    """A rule of the O(1) scheduler that a log can break."""

    P1 = "P1 next is the head of the best non-empty active list"
    P2 = "P2 the arrays change places iff active is empty and a task is runnable"
    P3 = "P3 a task is queued and runs only where its affinity allows"
    P4 = "P4 tasks are moved in the one order: expired first, best first, from the tail"
    P5 = "P5 a running or switching-out task is never moved"
    P6 = "P6 cache-hot tasks stay until failures are too many, and these are counted as they are"
    P7 = "P7 a better task makes its CPU reschedule, by interrupt iff nothing else does"
    P8 = "P8 a CPU asked to reschedule does so before its third tick"
    P10 = "P10 slices, expiry and dynamic priorities are the specified ones"
    P11 = "P11 a CPU goes idle only with nothing runnable"
    P12 = "P12 balancing takes from the CPU and as much as the loads that were read say"
    P14 = "P14 switches are counted as what they are"
    P16 = "P16 the time that an operation reads is the present"
    A8 = "A8 a woken task is placed as loads, caches and affinity say"
    A10 = "A10 what is read without a lock was there since the reader was heard of last"
    A11 = "A11 the decayed load moves halfway to the present one"
    A12 = "A12 every CPU has the domains that the shape of the machine gives it"
    A15 = "A15 a domain is balanced when it is due and only then, and backs off as specified"
    A16 = "A16 a task is pushed away by who was asked to, to idle CPUs in turn"
    C1 = "C1 every task exists exactly once"
    C2 = "C2 a runnable task is queued and a sleeping one is not"
    C3 = "C3 a pull changes a task's CPU and nothing else: array, priority and slice stay"
    C4 = "C4 no more is moved than was asked for, and one task always remains"
    C6 = "C6 uninterruptible sleepers are counted where they fall asleep and where they are woken"
    C7 = "C7 an ended task is freed once, in time, when nobody has it"
    K1 = "K1 two run-queue locks are taken in ascending order"
    K2 = "K2 an event of the scheduler follows from an operation"
    S1 = "S1 a bit is set iff its list has tasks"
    S2 = "S2 the delimiter is set and nothing beyond it"
    S3 = "S3 nr_active is the number of tasks in the lists"
    S4 = "S4 nr_running is the number of tasks in both arrays"
    S5 = "S5 active and expired are the two arrays"
    S6 = "S6 a queued task is runnable and names its list, array and CPU"
    S7 = "S7 lists are well formed"
    S8 = "S8 a task is in one list at most"
    S9 = "S9 a running task is queued where it runs, and runs once"
    S10 = "S10 every value is in its range"
    S11 = "S11 an idle queue remembers no expiry"
    T0 = "T0 totals are the sums of what happened"
    U1 = "U1 an unplugged CPU gets no task"
    U2 = "U2 a CPU comes and goes by its own migration thread, and CPU 0 stays"
    U3 = "U3 a task of an unplugged CPU goes where its affinity says, anywhere if that is nowhere"


_BY_NAME: Mapping[str, Law] = {
    "swap": Law.P2,
    "pick": Law.P1,
    "switch": Law.P14,
    "resched": Law.P7,
    "expire": Law.P10,
    "requeue": Law.P1,
    "enqueue": Law.C2,
    "dequeue": Law.C2,
    "place": Law.C2,
    "wake_idle": Law.A8,
    "wake_moved": Law.C2,
    "activate": Law.C2,
    "account": Law.P10,
    "drain": Law.U1,
    "balance": Law.P11,
    "busiest_group": Law.P12,
    "busiest_queue": Law.P12,
    "double_lock": Law.P12,
    "move": Law.P12,
    "skip": Law.P4,
    "pull": Law.P4,
    "moved": Law.C4,
    "push_request": Law.P6,
    "balanced": Law.A15,
    "pushed": Law.A16,
    "exec_to": Law.A16,
    "wake": Law.A16,
}
"""What is broken when such an event is missing, or comes uncalled for."""

_BY_FIELD: Mapping[tuple[str, str], Law] = {
    ("pick", "running"): Law.S4,
    ("switch", "prev"): Law.S9,
    ("switch", "next"): Law.P1,
    ("enqueue", "prio"): Law.P10,
    ("enqueue", "array"): Law.P10,
    ("enqueue", "at"): Law.P1,
    ("enqueue", "rq"): Law.S6,
    ("dequeue", "prio"): Law.S6,
    ("dequeue", "array"): Law.S6,
    ("dequeue", "rq"): Law.S6,
    ("activate", "rq"): Law.S6,
    ("wake_moved", "rq"): Law.S6,
    ("balance", "type"): Law.A15,
    ("balance", "level"): Law.A15,
    ("balance", "jiffies"): Law.P16,
    ("move", "max"): Law.C4,
    ("move", "level"): Law.A15,
    ("move", "type"): Law.A15,
    ("move", "failed"): Law.P6,
    ("skip", "why"): Law.P6,
    ("pull", "expired"): Law.C3,
    ("balanced", "failed"): Law.P6,
    ("balanced", "moved"): Law.C4,
}
"""What is broken when it comes, with another value in that field."""


_LAW_OF_SKIP: Mapping[Value | None, Law] = {1: Law.P5, 2: Law.P3, 3: Law.P6}
"""What is broken when a task is pulled that was to stay, by the reason."""


def law_of(operation: str, predicted: Prediction | None, seen: Event | None) -> Law:
    """The rule broken where ``seen`` comes, in or after an operation, instead of ``predicted``."""
    predicted = predicted.toward(seen) if predicted else None
    if predicted is not None and predicted.name == "skip" and seen and seen.name == "pull":
        return _LAW_OF_SKIP[predicted.values[1]]
    if predicted is not None and seen is not None and predicted.name == seen.name:
        (field, *_) = predicted.differing(seen)
        return _BY_FIELD.get((seen.name, field), _by_name(operation, seen.name))
    names = [item.name for item in (predicted, seen) if item is not None]
    if "swap" in names:
        return Law.P2
    if predicted is not None and predicted.name == "activate" and seen and seen.name == "place":
        return Law.P5
    return _by_name(operation, names[0])


def _by_name(operation: str, name: str) -> Law:
    if operation == "account" and name != "resched":
        return Law.P10
    if operation == "move" and name in ("dequeue", "enqueue"):
        return Law.C3
    return _BY_NAME.get(name, Law.K2)
