"""Where the scheduler's code touches memory that another CPU may touch: the places that matter.

Between two such accesses nothing that a CPU does is visible to another, so preempting elsewhere
shows nothing new (Snowboard, SOSP 2021, preempts at potential communication for that reason).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from capstone import CS_AC_READ, CS_AC_WRITE, CS_ARCH_X86, CS_MODE_64, CS_OP_MEM, CS_OP_REG, Cs
from capstone.x86 import (
    X86_INS_BTC,
    X86_INS_BTR,
    X86_INS_BTS,
    X86_INS_CMPXCHG,
    X86_INS_XCHG,
    X86_PREFIX_LOCK,
    X86_REG_GS,
    X86_REG_RBP,
    X86_REG_RIP,
    X86_REG_RSP,
)

from harness.toolchain.image import Image

ROOMS = ("guest/sched/", "guest/cpu/lock.s", "guest/task/switch.s")
"""Sources whose functions are looked at."""

_UNCHANGING = (
    "param_", "clock_", "relax_", "runqueues", "cpu_count", "cpu_table", "sched_constants",
)  # fmt: skip
"""Beginnings of the names of variables that nobody writes once the CPUs are up."""
_BIT_INSTRUCTIONS = (X86_INS_BTS, X86_INS_BTR, X86_INS_BTC)
_BOTH = CS_AC_READ | CS_AC_WRITE


@dataclass(frozen=True)
class Update:
    """What an instruction reads, changes and writes back: in two accesses, as nothing locks the
    bus (Intel SDM, volume 3, 8.1). Registers are by name, the empty name for none.
    """

    size: int
    """Bytes."""
    base: str
    index: str
    scale: int
    displacement: int
    bit: str = ""
    """Holds the number of the bit that is meant; it may lie beyond ``size``."""

    def address(self, register: Callable[[str], int]) -> int:
        """Where that is now, given what registers hold."""
        at = self.displacement
        at += register(self.base) if self.base else 0
        at += register(self.index) * self.scale if self.index else 0
        at += register(self.bit) // (8 * self.size) * self.size if self.bit else 0
        return at % (1 << 64)


@dataclass(frozen=True)
class Access:
    """An instruction that accesses memory that others may."""

    address: int
    update: Update | None = None
    """What it accesses twice."""


def functions(image: Image, rooms: tuple[str, ...] = ROOMS) -> list[tuple[int, int]]:
    """Address and size in bytes of each function of these sources, ascending."""
    found = []
    for symbol in image.symbols.values():
        if symbol.kind == "func" and symbol.size and not symbol.is_absolute:
            file = image.locate(symbol.address).file
            if any(room in file for room in rooms):
                found.append((symbol.address, symbol.size))
    return sorted(found)


def shared_accesses(image: Image, rooms: tuple[str, ...] = ROOMS) -> list[Access]:
    """Instructions that access neither their stack, nor their CPU's own area, nor what never
    changes: a superset of those that can communicate."""
    disassembler = Cs(CS_ARCH_X86, CS_MODE_64)
    disassembler.detail = True
    return [
        Access(instruction.address, _update(instruction))
        for address, size in functions(image, rooms)
        for instruction in disassembler.disasm(image.read(address, size), address)
        if any(_shared(instruction, operand, image) for operand in _memory(instruction))
    ]


def _memory(instruction: Any) -> Iterator[Any]:
    """What it accesses in memory that is not its CPU's own."""
    if instruction.mnemonic not in ("lea", "nop"):
        for operand in instruction.operands:
            if operand.type == CS_OP_MEM and operand.mem.segment != X86_REG_GS:
                yield operand


def _shared(instruction: Any, operand: Any, image: Image) -> bool:
    if operand.mem.base in (X86_REG_RSP, X86_REG_RBP):
        return False
    if operand.mem.base == X86_REG_RIP:
        at = instruction.address + instruction.size + operand.mem.disp
        return not image.locate(at).symbol.startswith(_UNCHANGING)
    return True


def _update(instruction: Any) -> Update | None:
    # An exchange with memory locks the bus with no prefix, too.
    if instruction.prefix[0] == X86_PREFIX_LOCK or instruction.id == X86_INS_XCHG:
        return None
    for operand in _memory(instruction):
        # Capstone says of cmpxchg that it reads.
        if operand.access == _BOTH or instruction.id == X86_INS_CMPXCHG:
            return _operand(instruction, operand)
    return None


def _operand(instruction: Any, operand: Any) -> Update:
    memory, source = operand.mem, instruction.operands[-1]
    bit = instruction.id in _BIT_INSTRUCTIONS and source.type == CS_OP_REG
    relative = memory.base == X86_REG_RIP
    return Update(
        size=operand.size,
        base="" if relative else instruction.reg_name(memory.base) or "",
        index=instruction.reg_name(memory.index) or "",
        scale=memory.scale,
        displacement=memory.disp + (instruction.address + instruction.size if relative else 0),
        bit=instruction.reg_name(source.reg) if bit else "",
    )
