"""Why a line of the guest needs no run that executes it.

A reason belongs to what the line does or to the function it stands in. It takes no line out of the
figures: those count every line. It only tells the lines that still need a test from those that do
not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_PANIC = re.compile(r"\s*PANIC\b")
_REFUSAL = re.compile(r"\s*(?:PRINT\s+\"REFUSED|call\s+refuse\b)")

FUNCTIONS: Mapping[str, str] = {
    "domain_panic": "a panic: the guest has built a domain wrongly",
    "domain_check": "a panic: the guest has built a domain wrongly",
    "domain_append": "a panic: the guest has built a domain wrongly",
    "domain_fault": "a check of what the guest has built: its message is for a panic",
    "find_next_bit": "a map without a bit: the delimiter is always there; tests/functions has it",
    "wake_up_new_task": "only if the parent is moved in the one instruction before",
    "lock_with_ours": "only if the task is moved while the two locks are waited for",
    "sched_exit": "only if the parent's slot is freed meanwhile",
    "do_fork": "only if the task table is full, which tests/boot has",
    "balance_search": "only if loads change between two reads, so that the busiest is the asker",
    "hotplug_move": "only if another CPU is unplugged between two locks",
    "hotplug_evade": "only if a CPU is unplugged while a task of it is woken",
    "set_cpus_allowed": "only if the last CPU of the mask is unplugged meanwhile",
    "veridian_set_cpus": "a mask without any CPU, which no workload has; a wait for a moment",
    "schedule_pass": "only if the CPU is plugged in again between two looks at whether it is",
    "task_info_lock": "only if the task is moved while the lock is waited for",
    "metrics_print": "only if no CPU has ever switched",
    "ratio": "only if nothing was counted at all",
    "pick_runnable": "defect V20 together with algorithm rr: the pick never ends",
    "queue_remove": "a task that is in no ring: callers have asked before; tests/veridian has it",
    "overflow_remove": "a task that waits in front or nowhere; tests/veridian has it",
    "veridian_switch": "defect V06 faults before it comes back",
    "veridian_finish": "defect V06 faults before it comes back",
    "schedstat_mask": "only with more than 32 CPUs",
}
"""Functions that no boot calls, or of which no boot executes a part that needs a rare moment."""


def reason(function: str, lines: Sequence[str], line: int) -> str | None:
    """The reason for a line (from 1) of a file, or ``None``: somebody has to test it."""
    text = lines[line - 1]
    if _PANIC.match(text):
        return "a panic: an invariant is broken"
    if _REFUSAL.match(text) or any(_REFUSAL.match(near) for near in lines[line : line + 2]):
        return "a refusal to start"
    return FUNCTIONS.get(function)
