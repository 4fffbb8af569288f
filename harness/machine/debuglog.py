"""QEMU's own log of resets and run states, kept in memory so that no file is left behind.

Exit statuses do not tell a triple fault, a reset and a power-off apart (all are 0 under
`-no-reboot`), and 1 is both a refused option and a guest that wrote 0 to the exit device. This log
does, at no measurable cost.
"""

from __future__ import annotations

import mmap
import os
import re
from dataclasses import dataclass

_RAN = re.compile(rb"^runstate_set .*new_state \d+ \(running\)", re.MULTILINE)
_ENDED = re.compile(rb"^runstate_set .*new_state \d+ \(shutdown\)", re.MULTILINE)
_TRIPLE_FAULT = re.compile(rb"^Triple fault$", re.MULTILINE)
# A reset under -no-reboot ends the run without such a request; QEMU's ShutdownCause 6 is
# "guest-shutdown".
_SHUTDOWN_REQUEST = re.compile(rb"^qemu_system_shutdown_request reason=(\d+)", re.MULTILINE)
_GUEST_SHUTDOWN = b"6"
# A block of code is translated, and then listed, the first time that it is about to be executed.
_INSTRUCTION = re.compile(rb"^0x([0-9a-f]{8,16}):  ", re.MULTILINE)


@dataclass(frozen=True)
class DebugFacts:
    """What the log says about the run's end."""

    ran: bool = False  # the guest's first instruction was reached
    triple_fault: bool = False
    reset: bool = False  # asked for by the guest; a triple fault is not counted
    powered_off: bool = False
    executed: frozenset[int] = frozenset()  # addresses of instructions, where they were asked for


class DebugLog:
    """An anonymous file that QEMU opens by `path` in the process that inherits `fd`."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("qemu-debug-log")

    @property
    def path(self) -> str:
        return f"/dev/fd/{self.fd}"

    def facts(self) -> DebugFacts:
        """Reads the log, once QEMU has ended."""
        if os.fstat(self.fd).st_size == 0:
            return DebugFacts()
        with mmap.mmap(self.fd, 0, access=mmap.ACCESS_READ) as text:
            request = _SHUTDOWN_REQUEST.search(text)
            triple_fault = _TRIPLE_FAULT.search(text) is not None
            ended = _ENDED.search(text) is not None
            return DebugFacts(
                ran=_RAN.search(text) is not None,
                triple_fault=triple_fault,
                reset=ended and request is None and not triple_fault,
                powered_off=request is not None and request[1] == _GUEST_SHUTDOWN,
                executed=frozenset(int(word, 16) for word in set(_INSTRUCTION.findall(text))),
            )

    def close(self) -> None:
        os.close(self.fd)
