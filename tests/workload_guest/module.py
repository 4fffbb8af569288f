"""The guest's reading of a workload, run alone: a module is put into memory and `workload_load`
called, thousands of times a minute.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

from unicorn import UC_HOOK_CODE
from unicorn import x86_const as x86

from harness.toolchain.image import Image
from harness.workload.layout import HEADER, Layout
from tests.functions.machine import PAGE, PROTECTION, CallError, Machine

MODULE, MODULE_PAGES = 0x6000_0000, 64
CRC_START = HEADER.offset("crc") + 4
HALT, RET = b"\xf4", b"\xc3"
POLICY_O1 = 1


class RefusedError(CallError):
    """The guest refused the module; the message is what it printed."""


class Reader(Machine):
    """A guest that has just been handed a boot module."""

    def __init__(self, image: Image) -> None:
        super().__init__(image)
        self._uc.mem_map(MODULE, MODULE_PAGES * PAGE, PROTECTION["r"])
        self._printed = b""
        self._refuse = self.addresses["refuse"]
        self.patch(self._refuse, HALT)
        write = self.addresses["console_write"]
        self.patch(write, RET)
        self._uc.hook_add(UC_HOOK_CODE, self._print, begin=write, end=write)

    def _print(self, *_: Any) -> None:
        registers = (x86.UC_X86_REG_RDI, x86.UC_X86_REG_RSI)
        text, length = (self._uc.reg_read(register) for register in registers)
        self._printed += self.read(text, length)

    def read_module(self, blob: bytes) -> int:
        """Has the guest look at a module, which ends where memory does; returns the number of task
        slots that it asks for. Raises RefusedError.
        """
        address = MODULE + MODULE_PAGES * PAGE - len(blob)
        self.write(address, blob)
        self.set_word("boot_module", address)
        self.set_word("boot_module_bytes", len(blob))
        self.set_word("param_policy", POLICY_O1)
        self._printed = b""
        self.call("workload_load")
        assert not self._printed
        return self.word("workload_task_count")

    def _no_return(self, function: str) -> CallError:
        if self._uc.reg_read(x86.UC_X86_REG_RIP) != self._refuse + len(HALT):
            return super()._no_return(function)
        return RefusedError(self._printed.decode())


def sealed(blob: bytes) -> bytes:
    """The blob with the checksum that its contents have."""
    return change(blob, HEADER, 0, "crc", zlib.crc32(blob[CRC_START:]), seal=False)


def change(
    blob: bytes, layout: Layout, at: int, name: str, value: int, *, seal: bool = True
) -> bytes:
    """The blob with another number in a field of the structure at an offset."""
    (field,) = (field for field in layout.fields if field.name == name)
    start = at + layout.offset(name)
    data = struct.pack(f"<{field.format}", value)
    changed = blob[:start] + data + blob[start + len(data) :]
    return sealed(changed) if seal else changed
