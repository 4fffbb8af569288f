"""The rules that a replay of policy `veridian` can find broken, and which a difference breaks.

The names are those of the fact sheet's part C, where that has the rule; B rules are the design's
own, by the section of part B.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from harness.oracle.prediction import Prediction
from harness.trace.grammar import Event


class Law(enum.Enum):
    """A rule of VeridianOS's scheduler that a log can break."""

    V2 = "V2 nr counts the waiting tasks, load is min(10 * runnable, 100)"
    V3 = "V3 a dequeued task is run, queued again or handed over"
    V5 = "V5 an idle CPU is asked to reschedule when a task arrives, a busy one is not"
    V6 = "V6 a wake-up interrupt has a vector with a handler"
    V7 = "V7 migrations are counted on every path"
    B5 = "B5 a task is placed on the CPU it ran on, or else on the least loaded it may use"
    B7 = "B7 the boot CPU stays, the others come and go in turn"
    C1 = "C1 every task exists exactly once"
    C2 = "C2 a runnable task waits or runs, and a sleeping one does neither"
    C7 = "C7 an ended task is freed once, in time, when nobody has it"
    K6 = "K6 over a switch exactly the lock of the CPU's own queue is held"
    P1 = "P1 next is the first task of the best ring"
    P3 = "P3 a task waits and runs only where its affinity allows"
    P4 = "P4 effective priorities, and who preempts whom, are the specified ones"
    P5 = "P5 a running or switching-out task is never moved"
    P8 = "P8 a CPU asked to reschedule is told so, and does before its third tick"
    P11 = "P11 a CPU goes idle only with nothing to run, or to steal"
    P12 = "P12 balancing happens in time, and moves what the loads say"
    P14 = "P14 switches are counted as what they are, by the task that leaves"
    P16 = "P16 the time that an operation reads is the present"
    P17 = "P17 a slice is ten ticks, and schedule() alone renews it"
    S6 = "S6 a waiting task is in the ring of its priority, on the CPU it names"
    S8 = "S8 nobody looks at two queues while tasks move between them"
    S9 = "S9 a CPU runs one task, and a task runs on one CPU"
    S10 = "S10 every value is in its range"
    T0 = "T0 totals are the sums of what happened"


_BY_NAME: Mapping[str, Law] = {
    "v_enqueue": Law.V3,
    "v_dequeue": Law.V3,
    "v_compare": Law.P4,
    "v_pick": Law.P1,
    "switch": Law.S9,
    "v_kick": Law.V5,
    "v_find": Law.V3,
    "v_place": Law.V3,
    "v_balanced": Law.P12,
    "v_victim": Law.P12,
    "v_migrate": Law.P12,
    "v_migrated": Law.P12,
}
"""What is broken when such an event is missing, or comes uncalled for: all that can be foreseen."""

_BY_FIELD: Mapping[tuple[str, str], Law] = {
    ("v_enqueue", "ring"): Law.S6,
    ("v_enqueue", "rq"): Law.S6,
    ("v_enqueue", "nr"): Law.V2,
    ("v_enqueue", "load"): Law.V2,
    ("v_dequeue", "task"): Law.P1,
    ("v_dequeue", "ring"): Law.S6,
    ("v_dequeue", "rq"): Law.S6,
    ("v_dequeue", "nr"): Law.V2,
    ("v_dequeue", "load"): Law.V2,
    ("v_pick", "nr"): Law.V2,
    ("v_pick", "load"): Law.V2,
    ("v_compare", "next"): Law.P1,
    ("v_kick", "was"): Law.P8,
    ("v_kick", "ipi"): Law.P8,
    ("v_kick", "task"): Law.S9,
    ("switch", "voluntary"): Law.P14,
    ("switch", "next"): Law.P1,
}
"""What is broken when it comes, with another value in that field."""


def law_of(operation: str, due: Prediction | None, seen: Event | None) -> Law:
    """The rule broken where ``seen`` comes, in or after an operation, instead of ``due``."""
    if due is not None and seen is not None and due.name == seen.name:
        (field, *_) = due.differing(seen)
        return _BY_FIELD.get((seen.name, field), _BY_NAME[seen.name])
    names = [item.name for item in (due, seen) if item is not None]
    if operation in ("set_nice", "set_policy") and due is not None:
        return Law.S6
    if operation == "v_schedule" and "v_dequeue" in names:
        return Law.V3
    if due is None and operation == "v_schedule" and "v_compare" in names:
        return Law.P1
    if "v_migrated" in names:
        return Law.P12
    return _BY_NAME[names[0]]
