"""Who ran when: the turns of tasks on CPUs, read off a log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.trace.grammar import Event
from harness.trace.trace import Trace

TASK_FIELDS = ("task", "prev", "next", "child", "parent")
"""Fields of events whose value is the number of a task."""


@dataclass(eq=False)
class TaskName:
    """A task. Numbers are used again once a task has ended; each use is a task of its own."""

    number: int
    name: str
    idle: bool = False

    def called(self, wanted: str) -> bool:
        """Whether somebody who says ``wanted`` means this: number, name, or name of its group."""
        return wanted in (str(self.number), self.name) or self.name.startswith(f"{wanted}/")


@dataclass
class Turn:
    """A stretch of time, in ns, for which a task has a CPU."""

    cpu: int
    task: TaskName
    start: int
    end: int


@dataclass
class Timeline:
    """All turns of a log, those of one CPU in order, and who each event is about."""

    turns: dict[int, list[Turn]] = field(default_factory=dict)
    """By CPU."""
    about: dict[int, dict[str, TaskName]] = field(default_factory=dict)
    """The tasks that an event names, by its ``seq`` and the field."""
    start: int = 0
    end: int = 0

    def tasks(self) -> Iterator[TaskName]:
        """Every task that ran or that an event is about, some of them several times."""
        for turns in self.turns.values():
            yield from (turn.task for turn in turns)
        for named in self.about.values():
            yield from named.values()


def timeline(trace: Trace) -> Timeline:
    """Read a log. Before its first switch a CPU runs its idle task, whose number is the CPU's."""
    if not trace.events:
        return Timeline()
    first, last = (choose(event.ns for event in trace.events) for choose in (min, max))
    found = Timeline(start=first, end=last)
    tasks = {cpu: TaskName(cpu, "idle", idle=True) for cpu in trace.cpus}
    for cpu in sorted(trace.cpus):
        found.turns[cpu] = [Turn(cpu, tasks[cpu], first, last)]
    for event in trace.events:
        if event.name == "task_new":
            tasks[event.number("task")] = TaskName(event.number("task"), event.word("name"))
        named = dict(_named(event, tasks))
        if named:
            found.about[event.seq] = named
        if event.name == "switch":
            turns = found.turns[event.cpu]
            turns[-1].end = event.ns
            turns.append(Turn(event.cpu, named["next"], event.ns, last))
    return found


def _named(event: Event, tasks: dict[int, TaskName]) -> Iterator[tuple[str, TaskName]]:
    for known, value in zip(event.type.fields, event.values, strict=True):
        if known.name in TASK_FIELDS and isinstance(value, int) and value >= 0:
            yield known.name, tasks.setdefault(value, TaskName(value, f"task {value}"))
