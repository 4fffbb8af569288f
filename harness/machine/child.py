"""The QEMU process itself: its pipes, its QMP socket, its debug log, its end.

QEMU's serial port reads a pipe on stdin and writes a file in memory on stdout. Both exist before
QEMU does, so no byte can be too early, and what QEMU wrote before its end is there afterwards.

Not a pipe on stdout: where nobody reads it in time it fills up, and then the guest waits for its
serial port. Under the virtual clock that would be guest time, and the log would depend on the host.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.machine.config import MachineConfig
from harness.machine.debuglog import DebugLog
from harness.machine.guard import ENVIRONMENT, guarded

if TYPE_CHECKING:
    from harness.machine.qmp import Qmp

_READ_BYTES = 1 << 18


@dataclass(frozen=True)
class Collected:
    """How the process ended: `status` or `signal` is set, none where there was no process."""

    status: int | None = None
    signal: int | None = None
    cpu_seconds: float = 0.0


class Child:
    """A started QEMU. The thread that makes it must outlive it (see `guard`)."""

    def __init__(self, config: MachineConfig) -> None:
        """Starts QEMU. Raises OSError where the host cannot."""
        self._cleanup = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            undo.push(self._cleanup)
            self._start(config)
            undo.pop_all()

    def _start(self, config: MachineConfig) -> None:
        self.debug_log = DebugLog()
        self._cleanup.callback(self.debug_log.close)
        self._qmp_socket, theirs = socket.socketpair()
        self._cleanup.callback(self._qmp_socket.close)
        self._serial, self._serial_read = os.memfd_create("serial"), 0
        self._cleanup.callback(os.close, self._serial)
        with theirs:
            command = config.command(qmp_fd=theirs.fileno(), debug_log=self.debug_log.path)
            self.command = tuple(guarded(command, config))
            self.started_at = time.monotonic()
            process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=self._serial,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=(theirs.fileno(), self.debug_log.fd),
                env={**os.environ, **ENVIRONMENT},
                start_new_session=True,  # Ctrl-C in the terminal is the harness's to handle
            )
        assert process.stdin and process.stderr
        self._process = process
        self.pid = process.pid
        self.pidfd = os.pidfd_open(process.pid)
        self._cleanup.callback(os.close, self.pidfd)
        self._cleanup.enter_context(process.stdin)
        self._cleanup.enter_context(process.stderr)
        self.stdin, self.stderr = process.stdin.fileno(), process.stderr.fileno()
        for pipe in (self.stdin, self.stderr):
            os.set_blocking(pipe, False)
        self._qmp: Qmp | None = None
        self._qmp_lock = threading.Lock()

    def read_serial(self) -> bytes:
        """What the guest has written since the last call; nothing where that is nothing."""
        data = os.pread(self._serial, _READ_BYTES, self._serial_read)
        self._serial_read += len(data)
        return data

    def read_stderr(self) -> bytes:
        """What QEMU has said since the last call; nothing where that is nothing, or all."""
        try:
            return os.read(self.stderr, _READ_BYTES)
        except BlockingIOError:
            return b""

    def qmp(self) -> Qmp:
        """The QMP connection, made at the first call. Raises QmpError."""
        # Costs 80 ms to import, which a run that never asks need not pay.
        from harness.machine.qmp import Qmp

        with self._qmp_lock:
            if self._qmp is None:
                self._qmp = Qmp(self._qmp_socket)
            return self._qmp

    def has_ended_within(self, seconds: float) -> bool:
        """Waits for the end for so long at most."""
        return bool(select.select([self.pidfd], [], [], seconds)[0])

    def kill(self) -> None:
        """Ends QEMU at once; harmless when it has ended already and was not collected yet."""
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def collect(self) -> Collected:
        """Waits for the end. To be called once."""
        _, wait_status, usage = os.wait4(self.pid, 0)
        code = os.waitstatus_to_exitcode(wait_status)
        self._process.returncode = code  # so that Popen does not wait for somebody else's process
        return Collected(
            status=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
        )

    def close(self) -> tuple[dict[str, object], ...]:
        """Gives all descriptors back; returns the QMP events of the run."""
        with self._qmp_lock:
            events: tuple[dict[str, object], ...] = ()
            if self._qmp is not None:
                self._qmp.close()
                events = tuple(dict(event) for event in self._qmp.events)
        self._cleanup.close()
        return events
