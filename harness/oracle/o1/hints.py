"""What a CPU may have read of another run queue without its lock.

Such a read is a hint: it happened at some moment since the reader's last own event. The values that
the run queue had meanwhile are known, up to the time that an operation takes to be carried out: the
model does it all at once when its event comes, the guest stores a little later, but before the next
operation of the same CPU. A value that was never there is a finding.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from harness.model.load import decayed_load
from harness.model.runqueue import Runqueue

_REMEMBERED = 64
"""Former values of a figure that are kept. Who read longer ago is believed."""

T = TypeVar("T")


@dataclass(slots=True)
class _Former(Generic[T]):
    """A value that was, and the ``seq`` from which on it certainly was no more."""

    value: T
    gone: int | None = None


@dataclass(slots=True)
class _Figure(Generic[T]):
    """Something of a run queue that others read, now and before."""

    now: T
    before: deque[_Former[T]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def set(self, value: T, gone: int | None) -> _Former[T]:
        former = _Former(self.now, gone)
        self.before.append(former)
        self.now = value
        return former

    def had(self, value: T) -> _Former[T]:
        """A value that it takes on its way to the next one."""
        former = _Former(value)
        self.before.append(former)
        return former

    def since(self, seq: int) -> list[T] | None:
        """The values that it had since then; None where that is not remembered."""
        found = [self.now]
        for former in reversed(self.before):
            if former.gone is not None and former.gone < seq:
                return found
            found.append(former.value)
        return found if len(self.before) < _REMEMBERED else None


_Changing = _Former[int] | _Former[bool] | _Former[tuple[int, ...]]

COUNTED_BY_OTHERS = (
    *("ttwu_cnt", "ttwu_moved", "ttwu_attempts", "wunt_cnt", "wunt_moved", "alb_gained"),
)
"""What other CPUs may still count when the run queue's own CPU has stopped and logs its totals."""


def _counters(rq: Runqueue) -> tuple[int, ...]:
    return tuple(getattr(rq.stats, name) for name in COUNTED_BY_OTHERS)


class Hints:
    """The unlocked figures of all run queues, and when each CPU was heard of last."""

    def __init__(self, rqs: Sequence[Runqueue]) -> None:
        self._rqs = rqs
        self._running = [_Figure(0) for _ in rqs]
        self._loads = [_Figure(0) for _ in rqs]
        self._idle = [_Figure(True) for _ in rqs]
        self._ticks = [_Figure(0) for _ in rqs]
        self._counted = [_Figure(_counters(rq)) for rq in rqs]
        self._changing: list[list[_Changing]] = [[] for _ in rqs]
        self.now = -1
        """The ``seq`` of the present event."""
        self.heard = [-1 for _ in rqs]
        """The ``seq`` of each CPU's last event before this one."""
        self.touched: set[int] = set()
        """Run queues whose tasks the present operation has changed."""

    def operation_begins(self, cpu: int) -> None:
        """What a CPU's operation before this one was to store is stored."""
        changing = self._changing[cpu]
        if changing:
            for former in changing:
                former.gone = self.now
            changing.clear()

    def operation_done(self, cpu: int) -> None:
        """The model has carried out an operation of this CPU; the guest is about to."""
        self.touched.add(cpu)
        changing = self._changing[cpu]
        for number in self.touched:
            rq = self._rqs[number]
            if self._running[number].now != rq.nr_running:
                changing.append(self._running[number].set(rq.nr_running, None))
            if self._idle[number].now != rq.is_idle:
                changing.append(self._idle[number].set(rq.is_idle, None))
        self.touched.clear()

    def shortened(self, cpu: int, rq: int) -> None:
        """A CPU takes a task out of a run queue to put it back at once, in one operation."""
        self._changing[cpu].append(self._running[rq].had(self._rqs[rq].nr_running - 1))

    def counted(self, cpu: int, rq: int) -> None:
        """A CPU counts something for a run queue, which may be another's."""
        self._changing[cpu].append(self._counted[rq].set(_counters(self._rqs[rq]), None))

    def ticked(self, cpu: int, ns: int) -> None:
        """A CPU logs a tick at that time, and is about to store the time of it."""
        self.operation_begins(cpu)
        self._changing[cpu].append(self._ticks[cpu].set(ns, None))

    def load_stored(self, cpu: int) -> None:
        """A CPU logs its new decayed load, which it has stored before."""
        self._loads[cpu].set(self._rqs[cpu].cpu_load, self.now)

    def running(self, rq: int, since: int) -> tuple[int, int] | None:
        """Least and greatest length of a run queue since then; None where that is not known.

        It changes by one at a time, so it had every value between.
        """
        values = self._running[rq].since(since)
        return None if values is None else (min(values), max(values))

    def counters(self, rq: int, since: int) -> list[tuple[int, ...]] | None:
        """What others count for a run queue, as it was since then, in the order of
        `COUNTED_BY_OTHERS`; None where that is not known."""
        return self._counted[rq].since(since)

    def last_tick(self, rq: int, since: int) -> int:
        """The time in ns before which the last tick of a CPU, read since then, cannot be."""
        return min(self._ticks[rq].since(since) or (0,))

    def idle(self, rq: int, since: int) -> set[bool]:
        """Whether a CPU ran its idle task since then: yes, no, or both."""
        return set(self._idle[rq].since(since) or (False, True))

    def loads(self, rq: int, since: int) -> set[int] | None:
        """The decayed loads of a run queue since then; None where that is not known.

        One more may have been stored and not been logged yet.
        """
        values, lengths = self._loads[rq].since(since), self.running(rq, self.heard[rq])
        if values is None or lengths is None:
            return None
        low, high = lengths
        now = self._loads[rq].now
        return {*values, *(decayed_load(now, nr) for nr in range(low, high + 1))}
