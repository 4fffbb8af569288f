"""What a log shows of the tasks of a workload."""

from __future__ import annotations

from collections.abc import Iterator

from harness.trace.grammar import Event
from harness.trace.trace import Trace

KERNEL = ("migration", "starter")
"""Tasks of the guest's own, by the beginning of their names."""
MS = 1_000_000
"""Nanoseconds; and, at the HZ of 1000 of these tests, a tick."""
INTERRUPTIBLE, UNINTERRUPTIBLE = 1, 2


class Seen:
    """The events of one trace, by task name."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.names = {
            event.number("task"): event.word("name")
            for event in trace.of("task_new")
            if not event.word("name").startswith(KERNEL)
        }

    def every(self, event: str) -> list[Event]:
        """The events of that kind that concern any task of the workload."""
        return [found for found in self.trace.of(event) if found.number("task") in self.names]

    def ids(self, name: str) -> list[int]:
        """The task of that name, or all its instances, in order of creation."""
        return [task for task, known in self.names.items() if known.partition("/")[0] == name]

    def id(self, name: str) -> int:
        """The one task of that name."""
        (task,) = self.ids(name)
        return task

    def of(self, event: str, name: str) -> list[Event]:
        """The events of that kind that concern a task of that name."""
        tasks = self.ids(name)
        return [found for found in self.trace.of(event) if found.number("task") in tasks]

    def numbers(self, event: str, name: str, field: str) -> list[int]:
        """One field of these events."""
        return [found.number(field) for found in self.of(event, name)]

    def marks(self, *names: str) -> list[tuple[str, int]]:
        """Name and new nice value of each change, by which programs say where they are."""
        tasks = {task: self.names[task] for name in names for task in self.ids(name)}
        return [
            (tasks[event.number("task")], event.number("nice"))
            for event in self.trace.of("set_nice")
            if event.number("task") in tasks
        ]

    def sleeps(self, name: str) -> list[int]:
        """The states in which the task went to sleep."""
        states = self.numbers("schedule", name, "state")
        return [state for state in states if state in (INTERRUPTIBLE, UNINTERRUPTIBLE)]

    def turns(self, name: str) -> Iterator[tuple[int, int]]:
        """From when to when, in ns, the task had a CPU."""
        task = self.id(name)
        since: int | None = None
        for event in self.trace.of("switch"):
            if event.number("next") == task:
                since = event.ns
            elif event.number("prev") == task and since is not None:
                yield since, event.ns
                since = None

    def begin(self, name: str) -> int:
        """When, in ns, the task first got a CPU."""
        task = self.id(name)
        return next(e.ns for e in self.trace.of("switch") if e.number("next") == task)

    def on_cpu(self, name: str) -> int:
        """How long, in ns, the task had a CPU."""
        return sum(end - start for start, end in self.turns(name))

    def life(self, name: str) -> int:
        """From its first turn to its last, in ns."""
        turns = list(self.turns(name))
        return turns[-1][1] - turns[0][0]
