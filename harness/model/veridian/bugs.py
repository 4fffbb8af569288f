"""The original's defects (fact sheet D2), and what became of each.

The model is the repaired design. A run with ``bug=V07`` re-creates a defect in the guest and is
replayed against the same model: the rule that it breaks is the proof that the rule is worth having.
"""

from __future__ import annotations

import enum


class Decision(enum.Enum):
    """What became of a defect."""

    FIXED = "fixed"
    KEPT = "kept: it is the design"
    ABSENT = "absent: what has it is not built, or is not the scheduler's here"


class Bug(enum.Enum):
    """A defect: its number, whether the guest re-creates it on request, and what it is."""

    V01 = 1, Decision.FIXED, True, "the next task is dropped when it does not preempt"
    V02 = 2, Decision.FIXED, True, "the tick renews a slice before schedule() has seen its end"
    V03 = 3, Decision.FIXED, True, "a task that runs for the first time does not release the lock"
    V04 = 4, Decision.ABSENT, False, "the timer handler switches tasks before it ends its interrupt"
    V05 = 5, Decision.FIXED, True, "a wake-up interrupt has vector 0, which is never delivered"
    V06 = 6, Decision.FIXED, True, "a task can be taken before its registers are saved"
    V07 = 7, Decision.FIXED, True, "balancing counts attempts where it should count moves"
    V08 = 8, Decision.FIXED, True, "a task that may not move loses its place in its ring"
    V09 = 9, Decision.FIXED, True, "tasks that move are for a while in no queue"
    V10 = 10, Decision.FIXED, True, "a full ring refuses tasks, and nobody notices"
    V11 = 11, Decision.FIXED, True, "nr_running changes outside the lock"
    V12 = 12, Decision.KEPT, False, "the CPU that tasks go to is chosen by load alone"
    V13 = 13, Decision.FIXED, True, "load leaves out the running task; idle tasks wait and count"
    V14 = 14, Decision.KEPT, False, "load saturates at ten tasks; differences of two are left alone"
    V15 = 15, Decision.FIXED, True, "unplugging a CPU loses the tasks that wait there"
    V16 = 16, Decision.FIXED, True, "a CPU counts as online before it schedules"
    V17 = 17, Decision.FIXED, True, "dead tasks go to a queue that nobody empties"
    V18 = 18, Decision.FIXED, True, "a CPU seems idle for ever, and a task's last CPU is forgotten"
    V19 = 19, Decision.FIXED, True, "placement looks at eight CPUs and falls back to CPU 0"
    V20 = (
        20,
        Decision.FIXED,
        True,
        "tasks wait where they may not run, and the pick trips over them",
    )
    V21 = 21, Decision.FIXED, True, "a queue is locked with interrupts enabled"
    V22 = (
        22,
        Decision.FIXED,
        True,
        "waiters are removed before they are looked up: wake-ups are lost",
    )
    V23 = 23, Decision.ABSENT, False, "the algorithms cfs and hybrid lose tasks"
    V24 = 24, Decision.FIXED, True, "a priority changes while the task waits in the ring of the old"
    V25 = 25, Decision.FIXED, False, "an inherited priority hides the waiting boost"
    V26 = 26, Decision.ABSENT, False, "the switch restores flags and registers in a wrong order"
    V27 = 27, Decision.ABSENT, False, "the unused per-CPU deque halves the longest queue"
    V28 = (
        28,
        Decision.FIXED,
        True,
        "switches count for the incoming task, and attempts as balancing",
    )
    V29 = 29, Decision.KEPT, False, "strict priorities starve the lower rings"

    def __init__(self, number: int, decision: Decision, on_request: bool, words: str) -> None:
        self.number = number
        self.decision = decision
        self.on_request = on_request
        self.words = words

    @property
    def bit(self) -> int:
        """In the mask of event ``bugs``."""
        return 1 << self.number


def bugs_of(mask: int) -> tuple[Bug, ...]:
    """The defects that the mask of event ``bugs`` names."""
    return tuple(bug for bug in Bug if bug.bit & mask)
