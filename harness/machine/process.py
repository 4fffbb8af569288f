"""A run of a machine, as its user sees it.

    with Machine.start(config) as machine:      or      result = run(config)
        machine.console.expect("sched> ")
        machine.console.sendline("quit")
        result = machine.wait()

No QEMU outlives its `with` block, this interpreter, or (killed by the kernel, see `guard`) this
process.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING

from harness.machine.config import MachineConfig
from harness.machine.pump import Pump
from harness.machine.result import MachineResult
from harness.machine.stream import ByteStream

if TYPE_CHECKING:
    from harness.machine.console import Console
    from harness.machine.qmp import Qmp


class Machine:
    """A QEMU that was started. What goes wrong with it shows in the result, not as exceptions."""

    def __init__(self, config: MachineConfig) -> None:
        """Use `start`."""
        self.config = config
        self._stream = ByteStream()
        self._pump = Pump(config, self._stream)
        self._result: MachineResult | None = None
        self._failure: BaseException | None = None
        # Threads are not joined: a Ctrl-C in Thread.join may make a running one count as ended.
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._attend, name="qemu", daemon=True)

    @classmethod
    def start(cls, config: MachineConfig) -> Machine:
        """Starts QEMU and returns at once."""
        machine = cls(config)
        _running.add(machine)
        machine._thread.start()
        return machine

    @cached_property
    def console(self) -> Console:
        """The guest's text on the serial port, as a pexpect object: `expect`, `sendline`, ..."""
        # Costs 40 ms to import, which a run without console need not pay.
        from harness.machine.console import Console

        return Console(self._stream, self._pump.send)

    @property
    def qmp(self) -> Qmp:
        """QMP, connected at the first use. Raises QmpError, also when QEMU has ended."""
        self._pump.launched.wait()
        if self._pump.child is None:
            from harness.machine.qmp import QmpError

            raise QmpError("QMP: QEMU did not start")
        return self._pump.child.qmp()

    @property
    def pid(self) -> int | None:
        """QEMU's process, or None where none could be started."""
        self._pump.launched.wait()
        return self._pump.child.pid if self._pump.child is not None else None

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    def send(self, data: bytes) -> None:
        """Queues bytes for the guest's serial port."""
        self._pump.send(data)

    def wait(self, timeout: float | None = None) -> MachineResult:
        """The result, once QEMU has ended, which it does within the configuration's limits.

        Raises TimeoutError when it still runs after `timeout` seconds; it runs on.
        """
        if not self._ended.wait(timeout):
            raise TimeoutError(f"QEMU still runs after {timeout:g} s of waiting")
        if self._failure is not None:
            raise self._failure
        assert self._result is not None
        return self._result

    def kill(self) -> None:
        """Ends QEMU; `wait` then returns a result. Harmless when it has ended already."""
        self._pump.stop()

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._ended.wait()
        if kind is None and self._failure is not None:
            raise self._failure

    def _attend(self) -> None:
        try:
            self._result = self._pump.run()
        except BaseException as failure:  # a defect of ours, raised again where somebody waits
            self._failure = failure
        finally:
            self._ended.set()


def run(config: MachineConfig) -> MachineResult:
    """One run from start to end."""
    with Machine.start(config) as machine:
        return machine.wait()


_running: weakref.WeakSet[Machine] = weakref.WeakSet()


def _end_all() -> None:
    for machine in list(_running):
        machine.kill()
    for machine in list(_running):
        machine._ended.wait()


atexit.register(_end_all)
# A forked child has copies of these objects and of their locks as they were, not of the threads.
os.register_at_fork(after_in_child=_running.clear)
