"""When a run has to be given up."""

from __future__ import annotations

import time

from harness.machine.config import MachineConfig
from harness.machine.host import starvation_seconds
from harness.machine.result import Ending
from harness.machine.serial import LineReader

_LINE_COST = 32  # what a line counts for at least against max_log_bytes
# Silence that the host caused is given back to the guest when it is more than this share of
# `quiet`.
_STARVED_SHARE = 0.1


class Limits:
    """The limits of one run, from the moment its QEMU started. Times are monotonic seconds."""

    def __init__(self, config: MachineConfig, pid: int, started_at: float) -> None:
        self._quiet = config.quiet
        self._max_bytes = config.max_log_bytes
        self._pid = pid
        self._deadline = started_at + config.timeout
        self._last_sign = started_at
        self._starved = 0.0

    def sign_of_life(self) -> None:
        """The guest has spoken, or somebody spoke to it."""
        self._last_sign = time.monotonic()

    def due(self) -> float:
        """Seconds until a limit may have passed."""
        due = self._deadline
        if self._quiet is not None:
            due = min(due, self._last_sign + self._quiet)
        return max(due - time.monotonic(), 0.0)

    def passed(self, reader: LineReader) -> Ending | None:
        """The limit that has passed, or None."""
        if max(reader.bytes_seen, len(reader.lines) * _LINE_COST) > self._max_bytes:
            return Ending.LOG_LIMIT
        now = time.monotonic()
        if self._quiet is not None and now >= self._last_sign + self._quiet:
            starved = starvation_seconds(self._pid)
            if starved - self._starved <= self._quiet * _STARVED_SHARE:
                return Ending.QUIET
            self._last_sign += starved - self._starved
            self._starved = starved
        return Ending.DEADLINE if now >= self._deadline else None
