"""Load figures (fact sheet A11): 128 for each runnable task, averaged over ticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.model.constants import SCHED_LOAD_SCALE
from harness.model.runqueue import Runqueue


@dataclass(frozen=True, slots=True)
class LoadRead:
    """What one CPU read, without a lock, of a run queue. The two reads need not fit together."""

    cpu_load: int
    nr_running: int

    @property
    def source(self) -> int:
        """source_load: a low guess, for a CPU that tasks may be taken from (fact sheet A11)."""
        return min(self.cpu_load, self.nr_running * SCHED_LOAD_SCALE)

    @property
    def target(self) -> int:
        """target_load: a high guess, for a CPU that tasks may be given to (fact sheet A11)."""
        return max(self.cpu_load, self.nr_running * SCHED_LOAD_SCALE)


ReadLoad = Callable[[int], LoadRead]
"""How a function reads the load of a CPU: a replay answers with what the guest read."""


def read_live(rqs: Sequence[Runqueue]) -> ReadLoad:
    """Reads the model's own run queues, indexed by CPU."""
    return lambda cpu: LoadRead(rqs[cpu].cpu_load, rqs[cpu].nr_running)


def decayed_load(cpu_load: int, nr_running: int) -> int:
    """cpu_load after a tick (fact sheet A11): halfway to the present, rounded up when it rises.

    Without the rounding a single task would leave it at 127 for ever.
    """
    present = nr_running * SCHED_LOAD_SCALE
    return (cpu_load + (present > cpu_load) + present) // 2
