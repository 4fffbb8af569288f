"""What is known of a run while it goes on, and the result it becomes."""

from __future__ import annotations

import signal
import time

from harness.machine.child import Collected
from harness.machine.config import MachineConfig
from harness.machine.debuglog import DebugFacts
from harness.machine.result import CpuState, Ending, MachineResult
from harness.machine.serial import LineReader

_STDERR_BYTES = 64 << 10
# The signals by which the kernel enforces the bounds that `guard` sets.
_BOUNDS = {
    signal.SIGXCPU: "it used more CPU time than the timeout allows",
    signal.SIGXFSZ: "its debug log grew beyond the bound",
}


class Record:
    """Filled by the run's thread alone."""

    def __init__(self, config: MachineConfig) -> None:
        self.config = config
        self.reader = LineReader(config.max_line_bytes)
        self.given_up: Ending | None = None  # why the harness ended QEMU
        self.error: str | None = None
        self.registers: tuple[CpuState, ...] = ()
        self._started_at = 0.0
        self._first_output: float | None = None
        self._last_output: float | None = None
        self._stderr = bytearray()
        self._stderr_left_out = 0

    def start(self, at: float) -> None:
        self._started_at = at

    def serial(self, data: bytes) -> bytes:
        """Takes output of the guest; returns the console's share."""
        self._last_output = time.monotonic() - self._started_at
        if self._first_output is None:
            self._first_output = self._last_output
        return self.reader.feed(data)

    def stderr(self, data: bytes) -> None:
        room = _STDERR_BYTES - len(self._stderr)
        self._stderr += data[:room]
        self._stderr_left_out += len(data[room:])

    def not_started(self, error: str) -> MachineResult:
        """The result where there never was a process."""
        self.given_up = Ending.START_FAILED
        self.error = error
        return self.result(tuple(self.config.command()), Collected(), DebugFacts(), 0.0, ())

    def result(
        self,
        command: tuple[str, ...],
        end: Collected,
        facts: DebugFacts,
        seconds: float,
        events: tuple[dict[str, object], ...],
    ) -> MachineResult:
        ending = self._ending(end, facts)
        stderr = self._stderr_text()
        return MachineResult(
            config=self.config,
            command=command,
            ending=ending,
            status=end.status,
            signal=end.signal,
            error=_explanation(ending, end, stderr) or self.error,
            lines=tuple(self.reader.lines),
            stderr=stderr,
            triple_fault=facts.triple_fault,
            reset=facts.reset,
            powered_off=facts.powered_off,
            executed=facts.executed,
            events=events,
            registers=self.registers,
            seconds=seconds,
            first_output_seconds=self._first_output,
            last_output_seconds=self._last_output,
            cpu_seconds=end.cpu_seconds,
        )

    def _ending(self, end: Collected, facts: DebugFacts) -> Ending:
        if end.status is not None:
            # QEMU ended by itself, be it a moment before it was going to be killed.
            return Ending.EXITED if facts.ran else Ending.START_FAILED
        if self.given_up is not None and end.signal in (signal.SIGKILL, None):
            return self.given_up
        return Ending.KILLED

    def _stderr_text(self) -> str:
        text = self._stderr.decode(errors="replace")
        if self._stderr_left_out:
            text += f"\n[{self._stderr_left_out} more bytes left out]\n"
        return text


def _explanation(ending: Ending, end: Collected, stderr: str) -> str | None:
    """One sentence for the user where QEMU did not run as asked."""
    if ending is Ending.START_FAILED and end.status is not None:
        reason = stderr.strip() or "it said nothing"
        return f"QEMU refused to start (status {end.status}): {reason}"
    if ending is Ending.KILLED and end.signal is not None:
        number = signal.Signals(end.signal)
        reason = _BOUNDS.get(number) or stderr.strip() or "sent by somebody else"
        return f"QEMU was ended by {number.name}: {reason}"
    return None
