"""That no wake-up is lost, read from logs of policy `o1`.

Whoever is to be woken says that it sleeps before it lets go of the lock under which the waker looks
for it. So a wake-up that finds a task awake, which next goes to sleep all the same, came too early:
if nobody wakes the task again, it sleeps for ever.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.trace.grammar import Event
from harness.trace.trace import Trace

LOOKS_AGAIN = "migration/"
"""How the names of those tasks begin that look again, under their lock, before they sleep."""


def no_wake_up_lost(trace: Trace) -> Iterator[tuple[Event, str]]:
    """C8: who sleeps at the end was not woken just before it fell asleep."""
    looks_again = {
        event.number("task")
        for event in trace.of("task_new")
        if event.word("name").startswith(LOOKS_AGAIN)
    }
    early: dict[int, Event] = {}
    """By task: the last wake-up, if it found the task awake."""
    asleep: dict[int, Event] = {}
    """By task that sleeps: the wake-up that came before, instead of now."""
    for event in trace.of("wake", "schedule", "task_new"):
        task = event.number("task")
        if event.name == "wake":
            asleep.pop(task, None)
            early.pop(task, None)
            if event.number("state") == 0 and task not in looks_again:
                early[task] = event
        elif event.name == "task_new":
            early.pop(task, None)
            asleep.pop(task, None)
        elif task in early and not event.number("preempt"):
            wake_up = early.pop(task)
            if event.number("state") & wake_up.number("mask"):
                asleep[task] = wake_up
    for task, wake_up in asleep.items():
        yield wake_up, f"task {task} sleeps from then on, and nobody wakes it again"
