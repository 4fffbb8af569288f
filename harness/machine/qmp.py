"""QMP, QEMU's machine protocol, for callers that are not asynchronous.

The client of the `qemu.qmp` package runs in an event loop of its own, in a thread of its own. It is
connected to one end of a socket pair whose other end QEMU inherited, so there is no path, no wait
for a listener and nothing to clean up; as long as nobody connects, QMP costs a run nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, TypeVar

from qemu.qmp import QMPClient, QMPError

from harness.machine.result import CpuState, parse_registers

_T = TypeVar("_T")


class QmpError(Exception):
    """QEMU did not answer, refused the command, or is gone; the message says which."""


class Qmp:
    """A connection to one QEMU. Every call waits for at most `timeout` seconds."""

    def __init__(self, peer: socket.socket, timeout: float = 5.0) -> None:
        """Connects over `peer`, which it owns from here on. Raises QmpError."""
        self.timeout = timeout
        self._client = QMPClient("harness")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="qmp", daemon=True)
        self._thread.start()
        try:
            self._call(self._client.connect(peer))
        except QmpError:
            self._stop()
            raise

    @property
    def events(self) -> tuple[Mapping[str, object], ...]:
        """What QEMU reported since the connection was made, oldest first."""
        return self._client.events.history

    def execute(self, command: str, **arguments: object) -> Any:
        """One command and its answer, as QEMU's QMP reference describes it. Raises QmpError."""
        return self._call(self._client.execute(command, arguments or None))

    def registers(self) -> tuple[CpuState, ...]:
        """The state of every vCPU; the guest may be running or not. Raises QmpError."""
        text = self.execute("human-monitor-command", **{"command-line": "info registers -a"})
        return parse_registers(str(text))

    def close(self) -> None:
        """Ends the connection; QEMU runs on. May be called again."""
        if not self._loop.is_closed():
            with contextlib.suppress(QmpError):  # QEMU may have ended first: nothing left to close
                self._call(self._client.disconnect())
            self._stop()

    def __enter__(self) -> Qmp:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        async def bounded() -> _T:
            async with asyncio.timeout(self.timeout):
                return await work

        future = asyncio.run_coroutine_threadsafe(bounded(), self._loop)
        try:
            return future.result()
        except TimeoutError as error:
            raise QmpError(f"QMP: no answer within {self.timeout:g} s") from error
        except (QMPError, OSError, EOFError) as error:
            raise QmpError(f"QMP: {error or type(error).__name__}") from error

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
