"""What a replay's first difference looks like to somebody who has to find the bug."""

from __future__ import annotations

from collections.abc import Iterator

from harness.model.veridian.cpu import Cpu
from harness.model.veridian.task import Task
from harness.oracle.divergence import Divergence, tell
from harness.oracle.veridian.world import World
from harness.trace.trace import Trace


def story(trace: Trace, found: Divergence[World]) -> str:
    """The rule, what was due and what came, the model's machine, and what led there."""
    return "\n".join(tell(trace, found, _machine(found)))


def _machine(found: Divergence[World]) -> Iterator[str]:
    if found.world is not None:
        yield "in the model, after the operation:"
        yield from (f"  {line}" for cpu in found.world.cpus for line in _cpu(cpu))
        yield from (f"  {_task(p)}" for p in _named(found, found.world))


def _cpu(cpu: Cpu) -> Iterator[str]:
    offline = "" if cpu.online else ", offline"
    yield f"CPU {cpu.number}: task {cpu.curr.pid} runs, load {cpu.load}{offline}"
    for number, ring in enumerate(cpu.queue.rings):
        if len(ring):
            yield f"  ring {number}: {' '.join(str(p.pid) for p in ring)}"


def _named(found: Divergence[World], world: World) -> Iterator[Task]:
    """Every task that the event, or what was due, names."""
    fields = dict(found.event.fields)
    numbers = [fields.get(name) for name in ("task", "prev", "next", "parent")]
    if found.predicted:
        due = found.predicted[0]
        named = zip(due.type.fields, due.values, strict=True)
        numbers += [value for field, value in named if field.name in ("task", "prev", "next")]
    for number in sorted({n for n in numbers if isinstance(n, int)}):
        if number in world.tasks:
            yield world.tasks[number]


def _task(p: Task) -> str:
    where = "no ring" if p.ring is None else f"ring {p.ring}"
    return (
        f"task {p.pid} {p.name}: CPU {p.cpu}, {where}, state {int(p.state)}, priority"
        f" {int(p.priority)}, slice {p.slice}, waits since {p.since}, may use {p.allowed:#x},"
        f" migrations {p.migrations}"
    )
