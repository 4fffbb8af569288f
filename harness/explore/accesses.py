"""Where the scheduler's code touches memory that another CPU may touch: the places that matter.

Between two such accesses nothing that a CPU does is visible to another, so preempting elsewhere
shows nothing new (Snowboard, SOSP 2021, preempts at potential communication for that reason).
"""

from __future__ import annotations

from typing import Any

from capstone import CS_ARCH_X86, CS_MODE_64, CS_OP_MEM, Cs
from capstone.x86 import X86_REG_GS, X86_REG_RBP, X86_REG_RIP, X86_REG_RSP

from harness.toolchain.image import Image

ROOMS = ("guest/sched/", "guest/cpu/lock.s", "guest/task/switch.s")
"""Sources whose functions are looked at."""

_UNCHANGING = ("param_", "clock_", "relax_", "runqueues", "cpu_", "sched_constants")
"""Beginnings of the names of variables that nobody writes once the CPUs are up."""


def functions(image: Image, rooms: tuple[str, ...] = ROOMS) -> list[tuple[int, int]]:
    """Address and size in bytes of each function of these sources, ascending."""
    found = []
    for symbol in image.symbols.values():
        if symbol.kind == "func" and symbol.size and not symbol.is_absolute:
            file = image.locate(symbol.address).file
            if any(room in file for room in rooms):
                found.append((symbol.address, symbol.size))
    return sorted(found)


def shared_accesses(image: Image, rooms: tuple[str, ...] = ROOMS) -> list[int]:
    """Addresses of instructions that access neither their stack, nor their CPU's own area, nor
    what never changes: a superset of those that can communicate."""
    disassembler = Cs(CS_ARCH_X86, CS_MODE_64)
    disassembler.detail = True
    return [
        instruction.address
        for address, size in functions(image, rooms)
        for instruction in disassembler.disasm(image.read(address, size), address)
        if _shared(instruction, image)
    ]


def _shared(instruction: Any, image: Image) -> bool:
    if instruction.mnemonic in ("lea", "nop"):
        return False
    for operand in instruction.operands:
        if operand.type != CS_OP_MEM or operand.mem.segment == X86_REG_GS:
            continue
        if operand.mem.base in (X86_REG_RSP, X86_REG_RBP):
            continue
        if operand.mem.base == X86_REG_RIP:
            at = instruction.address + instruction.size + operand.mem.disp
            if image.locate(at).symbol.startswith(_UNCHANGING):
                continue
        return True
    return False
