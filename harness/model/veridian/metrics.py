"""What a CPU counts of its own doings (fact sheet B11)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class CpuMetrics:
    """Counters of one CPU; the scheduler's totals are the sums over all CPUs."""

    calls: int = 0
    """Passes of schedule()."""
    idle: int = 0
    """Those that ended with the idle task."""
    switches: int = 0
    voluntary: int = 0
    """Switches that the task that left had asked for."""
    balances: int = 0
    """Balancing attempts that moved a task (D2, V28)."""
    migrations: int = 0
    blocks: int = 0
    """Tasks that went to sleep."""
    wakeups: int = 0
    """Sleeping tasks that were placed."""
    ipis: int = 0
    """Interrupts sent to make another CPU reschedule."""
