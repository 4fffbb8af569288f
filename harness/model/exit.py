"""Death of a task (fact sheet A8): what is left of its slice is given back."""

from __future__ import annotations

from harness.model.constants import EXIT_WEIGHT, Constants
from harness.model.prio import task_timeslice
from harness.model.task import Task


def sched_exit(child: Task, parent: Task, k: Constants) -> None:
    """Return what is left of a first slice and let a hog weigh on its parent (fact sheet A8).

    The caller holds the lock of the parent's run queue.
    """
    if child.first_time_slice:
        parent.time_slice = min(parent.time_slice + child.time_slice, task_timeslice(child, k))
    if child.sleep_avg < parent.sleep_avg:
        parts = EXIT_WEIGHT + 1
        parent.sleep_avg = parent.sleep_avg // parts * EXIT_WEIGHT + child.sleep_avg // parts
