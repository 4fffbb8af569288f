"""When a run has to be given up."""

from __future__ import annotations

import time

from harness.machine.config import MachineConfig
from harness.machine.host import CpuUse, cpu_use, starvation
from harness.machine.result import Ending
from harness.machine.serial import LineReader

_LINE_COST = 32  # what a line counts for at least against max_log_bytes
# Silence is first looked at after this share of `quiet`, so that its cause is known when all is
# over.
_FIRST_LOOK = 0.25
# Silence that the host caused is given back to the guest when it is more than this share of
# `quiet`.
_STARVED_SHARE = 0.1


class Limits:
    """The limits of one run, from the moment its QEMU started. Times are monotonic seconds.

    A guest is quiet when it has printed nothing for `quiet` seconds in which its QEMU could have
    run. What the host's other work took away does not count: a loaded host is slow, not hung.
    """

    def __init__(self, config: MachineConfig, pid: int, started_at: float) -> None:
        self._quiet = config.quiet
        self._max_bytes = config.max_log_bytes
        self._pid = pid
        self._deadline = started_at + config.timeout
        self._last_sign = started_at
        self._looked: tuple[float, dict[int, CpuUse]] | None = None

    def sign_of_life(self) -> None:
        """The guest has spoken, or somebody spoke to it."""
        self._last_sign = time.monotonic()
        self._looked = None

    def due(self) -> float:
        """Seconds until a limit may have passed."""
        due = self._deadline
        if self._quiet is not None:
            share = _FIRST_LOOK if self._looked is None else 1.0
            due = min(due, self._last_sign + self._quiet * share)
        return max(due - time.monotonic(), 0.0)

    def passed(self, reader: LineReader) -> Ending | None:
        """The limit that has passed, or None."""
        if max(reader.bytes_seen, len(reader.lines) * _LINE_COST) > self._max_bytes:
            return Ending.LOG_LIMIT
        now = time.monotonic()
        if self._quiet is not None and self._is_quiet(now, self._quiet):
            return Ending.QUIET
        return Ending.DEADLINE if now >= self._deadline else None

    def _is_quiet(self, now: float, quiet: float) -> bool:
        silence = now - self._last_sign
        if self._looked is None:
            if silence >= quiet * _FIRST_LOOK:
                self._looked = (now, cpu_use(self._pid))
            return False
        if silence < quiet:
            return False
        looked_at, before = self._looked
        after = cpu_use(self._pid)
        starved = starvation(before, after, now - looked_at)
        self._looked = (now, after)
        if starved <= quiet * _STARVED_SHARE:
            return True
        self._last_sign += starved
        return False
