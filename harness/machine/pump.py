"""The thread of one run: it starts QEMU, reads it, keeps the limits, collects it.

    serial port ──► LineReader ──► lines, console     Each turn of the loop handles what is there,
    stderr      ──► bounded text                      then looks at the limits; a limit that has
    wake-up     ──► stop, input for the guest         passed ends QEMU, whose end then comes in
    pidfd       ──► the end                           by the pidfd like any other. What the serial
                                                      port writes wakes nobody: it is looked at.

The thread lives exactly as long as QEMU, because the kernel kills QEMU when the thread that started
it ends.
"""

from __future__ import annotations

import os
import selectors
import threading
import time

from harness.machine.child import Child, Collected
from harness.machine.config import MachineConfig
from harness.machine.host import missing_command
from harness.machine.limits import Limits
from harness.machine.record import Record
from harness.machine.result import Ending, MachineResult
from harness.machine.stream import ByteStream
from harness.machine.wakeup import Wakeup

# Between looks at the serial port: while the guest speaks, and at most, where it is silent. That is
# also how soon input is offered again to a guest that does not read, and whose pipe is full.
_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 0.001, 0.01
# A killed process ends when the kernel gets to it; the loop has nothing else to wait for.
_KILL_SECONDS = 1.0
# For a QEMU that has closed its QMP connection to say why, and end.
_LAST_WORDS_SECONDS = 2.0


class Pump:
    """All moving parts of one run. `run` belongs to the run's thread; `stop` and `send` to any."""

    def __init__(self, config: MachineConfig, console: ByteStream) -> None:
        self.launched = threading.Event()  # `child` is set, or never will be
        self.child: Child | None = None
        self._config = config
        self._console = console
        self._record = Record(config)
        self._wakeup = Wakeup()
        self._stop_asked = False
        self._input_lock = threading.Lock()
        self._input = bytearray()
        self._look = _LOOK_SECONDS

    def stop(self) -> None:
        """Asks for the end of the run."""
        self._stop_asked = True
        self._wakeup.set()

    def send(self, data: bytes) -> None:
        """Queues bytes for the guest's serial port."""
        with self._input_lock:
            self._input += data
        self._wakeup.set()

    def run(self) -> MachineResult:
        """Starts QEMU and returns when it has ended and all its output is read."""
        try:
            error = missing_command(self._config.qemu)
            if error is not None:
                return self._record.not_started(error)
            try:
                child = Child(self._config)
            except OSError as problem:
                return self._record.not_started(f"the host cannot start QEMU: {problem}")
            self.child = child
            return self._attend(child)
        finally:
            self.launched.set()
            self._console.end()
            self._wakeup.close()

    def _attend(self, child: Child) -> MachineResult:
        self.launched.set()
        self._record.start(child.started_at)
        end: Collected | None = None
        try:
            if self._config.qmp_events:
                self._release(child)
            self._loop(child)
            while self._read_serial(child) or self._read_stderr(child):
                pass
            end = child.collect()
            seconds = time.monotonic() - child.started_at
            self._console.write(self._record.reader.close())
            facts = child.debug_log.facts()
        finally:
            if end is None:
                child.kill()
                child.collect()
            events = child.close()
        return self._record.result(child.command, end, facts, seconds, events)

    def _release(self, child: Child) -> None:
        """Lets a guest go that was held back until QMP was connected."""
        from harness.machine.qmp import QmpError  # imported late: see Child.qmp

        try:
            child.qmp().execute("cont")
        except QmpError as problem:
            child.has_ended_within(_LAST_WORDS_SECONDS)  # then its own words explain it better
            self._give_up(child, Ending.START_FAILED, f"QEMU did not start: {problem}")

    def _loop(self, child: Child) -> None:
        limits = Limits(self._config, child.pid, child.started_at)
        with selectors.DefaultSelector() as selector:
            for fd in (child.pidfd, self._wakeup.fd, child.stderr):
                selector.register(fd, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select(self._patience(limits))}
                if child.pidfd in ready:
                    return
                self._wakeup.clear()
                if child.stderr in ready and not self._read_stderr(child):
                    selector.unregister(child.stderr)
                if self._read_serial(child):
                    limits.sign_of_life()
                if self._write_input(child):
                    limits.sign_of_life()
                self._keep(limits, child)

    def _read_serial(self, child: Child) -> bool:
        """Reads what is there; False when there is nothing more to come now."""
        data = child.read_serial()
        self._look = _LOOK_SECONDS if data else min(2 * self._look, _LONGEST_LOOK_SECONDS)
        if data:
            shown = self._record.serial(data)
            if shown:
                self._console.write(shown)
        return bool(data)

    def _read_stderr(self, child: Child) -> bool:
        data = child.read_stderr()
        self._record.stderr(data)
        return bool(data)

    def _write_input(self, child: Child) -> bool:
        """Hands on what was sent; False when nothing moved."""
        with self._input_lock:
            if not self._input:
                return False
            try:
                written = os.write(child.stdin, self._input)
            except BlockingIOError:
                return False
            except BrokenPipeError:
                written = len(self._input)  # QEMU has just ended, and nobody is left to read it
            del self._input[:written]
            return True

    def _patience(self, limits: Limits) -> float:
        """How long the loop may sleep."""
        if self._record.given_up is not None:
            return _KILL_SECONDS
        return min(limits.due(), self._look)

    def _keep(self, limits: Limits, child: Child) -> None:
        """Ends QEMU where a limit has passed or somebody asked for it."""
        if self._record.given_up is not None:
            return
        ending = Ending.STOPPED if self._stop_asked else limits.passed(self._record.reader)
        if ending in (Ending.DEADLINE, Ending.QUIET):
            self._examine(child)
        if ending is not None:
            self._give_up(child, ending)

    def _examine(self, child: Child) -> None:
        """Asks QEMU what the CPUs are doing, for the report."""
        from harness.machine.qmp import QmpError  # imported late: see Child.qmp

        try:
            self._record.registers = child.qmp().registers()
        except QmpError as problem:
            self._record.error = f"no registers: {problem}"

    def _give_up(self, child: Child, ending: Ending, error: str | None = None) -> None:
        self._record.given_up = ending
        self._record.error = error or self._record.error
        child.kill()
