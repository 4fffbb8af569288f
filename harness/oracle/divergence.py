"""Where a log first disagrees with a policy's model, and how that is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from harness.oracle.prediction import Prediction, describe
from harness.oracle.rules import Violation
from harness.trace.trace import Trace

W = TypeVar("W")
"""A policy's ``World``."""

HISTORY = 20
"""Events before the difference that are shown."""


@dataclass(frozen=True)
class Divergence(Violation, Generic[W]):
    """The first event that the model does not agree with."""

    operation: str = ""
    """The operation that it follows from, or is."""
    predicted: tuple[Prediction, ...] = ()
    """What was due on that CPU instead; empty where nothing was."""
    world: W | None = field(default=None, repr=False, compare=False)
    """The model's machine, after the operation."""


def tell(trace: Trace, found: Divergence[W], machine: Iterable[str]) -> Iterator[str]:
    """Lines: the rule, what was due and what came, the model's machine as described, and what led
    there.
    """
    yield found.rule
    yield f"  {found.detail}"
    yield f"  during: {found.operation or 'nothing'}"
    yield f"  due:    {describe(found.predicted)}"
    yield f"  seen:   {found.event}"
    if found.world is not None:
        yield ""
        yield from machine
    cpu = found.event.cpu
    earlier = [e for e in trace.events if e.cpu == cpu and e.seq < found.event.seq][-HISTORY:]
    yield ""
    yield f"the {len(earlier)} events before it on CPU {cpu}:"
    yield from (f"  {event}" for event in earlier)
