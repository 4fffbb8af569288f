"""What a replay's first difference looks like to somebody who has to find the bug."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.model.runqueue import Runqueue
from harness.model.task import Task
from harness.oracle.divergence import Divergence, tell
from harness.oracle.o1.world import BEFORE_PARENT, HEAD, World
from harness.trace.grammar import Event
from harness.trace.trace import Trace

_ARRAYS = ("active", "expired")

_Lists = dict[int, list[int]]
"""The tasks of each priority of an array, by number."""


class Shadow:
    """A run queue as the log's own events describe it, right or wrong."""

    def __init__(self, cpu: int) -> None:
        self.cpu = cpu
        self.current = cpu
        self.arrays: list[_Lists] = [{}, {}]
        """The active array and the expired one."""

    def see(self, event: Event) -> None:
        """Apply an event, if it concerns this run queue."""
        name = event.type.name
        if name == "switch" and event.cpu == self.cpu:
            self.current = event.number("next")
        elif name == "swap" and event.number("rq") == self.cpu:
            self.arrays.reverse()
        elif name in ("dequeue", "enqueue", "requeue") and event.number("rq") == self.cpu:
            self._move(event)

    def _move(self, event: Event) -> None:
        task, name = event.number("task"), event.type.name
        array = self.arrays[event.number("array") != 0]
        tasks = array.setdefault(event.number("prio"), [])
        if name != "enqueue" and task in tasks:
            tasks.remove(task)
        place = event.number("at") if name == "enqueue" else None
        if place == HEAD:
            tasks.insert(0, task)
        elif place == BEFORE_PARENT and self.current in tasks:
            tasks.insert(tasks.index(self.current), task)
        elif name != "dequeue":
            tasks.append(task)


def story(trace: Trace, found: Divergence[World]) -> str:
    """The rule, what was due and what came, both states side by side, and what led there."""
    return "\n".join(tell(trace, found, _machine(trace, found)))


def _machine(trace: Trace, found: Divergence[World]) -> Iterator[str]:
    if found.world is not None:
        yield from _queues(trace, found.event, found.world)
        yield ""
        yield from _tasks(found, found.world)


def _queues(trace: Trace, event: Event, world: World) -> Iterator[str]:
    """The run queue that the event is about: after the operation, and after the event."""
    rq = event.fields.get("rq", event.cpu)
    cpu = rq if isinstance(rq, int) and rq < world.nr_cpus else event.cpu
    shadow = Shadow(cpu)
    for earlier in trace.events:
        if earlier.seq <= event.seq:
            shadow.see(earlier)
    model, log = _model_side(world.rqs[cpu]), _log_side(shadow)
    yield from _side_by_side(f"run queue of CPU {cpu}", model, log)
    runqueue = world.rqs[cpu]
    yield (
        f"nr_running {runqueue.nr_running}, cpu_load {runqueue.cpu_load}, expired_timestamp"
        f" {runqueue.expired_timestamp}, best_expired_prio {runqueue.best_expired_prio}"
    )


_Side = Mapping[tuple[int, int], str]
"""Lines of a state by array (-1: neither) and priority."""


def _model_side(rq: Runqueue) -> _Side:
    arrays = [
        {prio: [p.pid for p in tasks] for prio, tasks in enumerate(array.queue)}
        for array in (rq.active, rq.expired)
    ]
    return _side(rq.curr.pid, arrays)


def _log_side(shadow: Shadow) -> _Side:
    return _side(shadow.current, shadow.arrays)


def _side(current: int, arrays: list[_Lists]) -> _Side:
    lines = {(-1, 0): str(current)}
    for number, array in enumerate(arrays):
        for prio, tasks in array.items():
            if tasks:
                lines[number, prio] = " ".join(map(str, tasks))
    return lines


def _side_by_side(title: str, model: _Side, log: _Side) -> Iterator[str]:
    rows = [(title, "model, after the operation", "log, so far")]
    for array, prio in sorted({*model, *log}):
        key = "running" if array < 0 else f"{_ARRAYS[array]}, prio {prio}"
        mine, theirs = model.get((array, prio), "-"), log.get((array, prio), "-")
        # The log's switch comes last, so until then another task runs there by rights.
        differs = array >= 0 and theirs != mine
        rows.append((key, mine, f"{theirs}   <- differs" if differs else theirs))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for key, mine, theirs in rows:
        yield f"{key:{widths[0]}}  {mine:{widths[1]}}  {theirs}"


def _tasks(found: Divergence[World], world: World) -> Iterator[str]:
    """The model's view of every task that the event or what was due names."""
    numbers = [found.event.fields.get(field) for field in ("task", "prev", "next", "child")]
    if found.predicted:
        due = found.predicted[0]
        named = zip(due.type.fields, due.values, strict=True)
        numbers += [value for field, value in named if field.name in ("task", "prev", "next")]
    tasks = {number: world.tasks.get(number) for number in numbers if isinstance(number, int)}
    yield "in the model:"
    for _, p in sorted(tasks.items()):
        if p is not None:
            yield f"  {_task(p)}"


def _task(p: Task) -> str:
    return (
        f"task {p.pid} {p.name}: CPU {p.cpu}, state {int(p.state)}, {p.policy.name}, prio {p.prio}"
        f" (static {p.static_prio}), slice {p.time_slice}, sleep_avg {p.sleep_avg} ns,"
        f" timestamp {p.timestamp}, activated {p.activated}, need_resched {int(p.need_resched)}"
    )
