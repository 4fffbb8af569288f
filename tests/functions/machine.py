"""Runs single functions of a linked image in Unicorn: thousands of calls a second and no boot.

`Machine` takes any image; guest.py makes one for this project's guest.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from unicorn import UC_ARCH_X86, UC_HOOK_CODE, UC_MODE_64
from unicorn import x86_const as x86
from unicorn.unicorn_py3.unicorn import Uc, UcError

from harness.explore.structure import Layout as Layout
from harness.toolchain.image import Image

_ENGINE: Any = Uc  # has no types

PAGE = 4096
U64 = (1 << 64) - 1
STACK, STACK_BYTES = 0x2000_0000, 4 * PAGE
HEAP, HEAP_BYTES = 0x3000_0000, 1024 * PAGE
RETURN = 0x5000_0000
"""Where functions return to; nothing is there."""

MAX_INSTRUCTIONS = 1_000_000
"""A function that takes more is taken to hang."""

PROTECTION = {"r": 1, "w": 2, "x": 4}
ARGUMENTS = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")
PRESERVED = ("rbx", "rbp", "r12", "r13", "r14", "r15")
REGISTERS: dict[str, int] = {
    name: getattr(x86, f"UC_X86_REG_{name.upper()}")
    for name in (*ARGUMENTS, "rax", "r10", "r11", *PRESERVED)
}
GARBAGE = {name: 0xDEAD_0000_0000_0000 + number for number, name in enumerate(REGISTERS)}
"""What every register holds at the start of a call, unless it carries an argument."""


class CallError(Exception):
    """A call did not come back as it should: a fault, an endless loop, a broken register."""


class Machine:
    """One CPU in long mode with a stack, a heap and an image, in a copy of its own."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self._uc = _ENGINE(UC_ARCH_X86, UC_MODE_64)
        self._load()
        self._uc.mem_map(STACK, STACK_BYTES, PROTECTION["r"] | PROTECTION["w"])
        self._uc.mem_map(HEAP, HEAP_BYTES, PROTECTION["r"] | PROTECTION["w"])
        self._heap_used = 0
        self._stack_pointer = STACK + STACK_BYTES - 8
        for name, value in GARBAGE.items():
            self._uc.reg_write(REGISTERS[name], value)
        self._uc.reg_write(x86.UC_X86_REG_RSP, self._stack_pointer)
        self._start = self._uc.context_save()

    def _load(self) -> None:
        for segment in self.image.segments:
            first = segment.virtual // PAGE * PAGE
            end = -(-(segment.virtual + segment.memory_size) // PAGE) * PAGE
            if first < end:
                self._uc.mem_map(
                    first, end - first, sum(PROTECTION[p] for p in segment.permissions)
                )
                data = self.image.read(segment.virtual, segment.memory_size)
                self._uc.mem_write(segment.virtual, data)

    @cached_property
    def addresses(self) -> dict[str, int]:
        """Of every symbol; the value, if it is a constant."""
        return {symbol.name: symbol.address for symbol in self.image.symbols.values()}

    def allocate(self, size: int) -> int:
        """Address of memory with anything in it, on a cache line of its own."""
        address = HEAP + self._heap_used
        self._heap_used += -(-size // 64) * 64
        if self._heap_used > HEAP_BYTES:
            raise ValueError(f"no room on the heap for another {size} bytes")
        return address

    def release_all(self) -> None:
        """Whatever was allocated may be handed out again."""
        self._heap_used = 0

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._uc.mem_read(address, size))

    def write(self, address: int, data: bytes) -> None:
        self._uc.mem_write(address, data)

    def load(self, layout: Layout, address: int, *names: str) -> dict[str, int]:
        """Fields of a structure, unsigned; every one if none is named."""
        return layout.unpack(self.read(address, layout.size), names or layout.fields)

    def store(self, layout: Layout, address: int, field: str, value: int) -> None:
        """Writes one field of a structure."""
        at, width = layout.fields[field]
        self.write(address + at, value.to_bytes(width, "little"))

    def word(self, symbol: str) -> int:
        """The quadword at a symbol."""
        return int.from_bytes(self.read(self.addresses[symbol], 8), "little")

    def set_word(self, symbol: str, value: int) -> None:
        self.write(self.addresses[symbol], value.to_bytes(8, "little"))

    def patch(self, address: int, code: bytes) -> None:
        """Overwrites code, in this machine's copy."""
        self.write(address, code)
        self._uc.ctl_flush_tb()

    def call(self, function: str, *arguments: int, **registers: int) -> int:
        """Calls a function by the System V convention and returns rax, unsigned. ``registers`` are
        what a function finds in others that its callers share with it.

        Raises CallError if it faults, hangs, or comes back with a register or the stack changed
        that it has to preserve.
        """
        uc = self._uc
        uc.context_restore(self._start)
        uc.mem_write(self._stack_pointer, RETURN.to_bytes(8, "little"))
        given = dict(zip(ARGUMENTS, arguments, strict=False)) | registers
        for name, value in given.items():
            uc.reg_write(REGISTERS[name], value & U64)
        try:
            uc.emu_start(self.addresses[function], RETURN, count=MAX_INSTRUCTIONS)
        except UcError as error:
            raise CallError(f"{function}: {error} at {self._where()}") from None
        if uc.reg_read(x86.UC_X86_REG_RIP) != RETURN:
            raise self._no_return(function)
        kept = {name: registers.get(name, GARBAGE[name]) for name in PRESERVED}
        changed = [name for name in kept if uc.reg_read(REGISTERS[name]) != kept[name]]
        if uc.reg_read(x86.UC_X86_REG_RSP) != self._stack_pointer + 8:
            changed.append("rsp")
        if changed:
            raise CallError(f"{function} does not preserve {', '.join(changed)}")
        return int(uc.reg_read(x86.UC_X86_REG_RAX))

    def _no_return(self, function: str) -> CallError:
        words = f"{function} does not end: after {MAX_INSTRUCTIONS} instructions at {self._where()}"
        return CallError(words)

    def _where(self) -> str:
        return str(self.image.locate(self._uc.reg_read(x86.UC_X86_REG_RIP)))

    def register(self, name: str) -> int:
        """What the last call left in a register."""
        return int(self._uc.reg_read(REGISTERS[name]))

    def clobbered(self, *arguments: int, **registers: int) -> set[str]:
        """Registers that the last call, which had these arguments, left with another value."""
        given = zip(ARGUMENTS, arguments, strict=False)
        before = GARBAGE | {name: value & U64 for name, value in given} | registers
        return {name for name, at in REGISTERS.items() if self._uc.reg_read(at) != before[name]}

    def count(self, function: str, *arguments: int) -> int:
        """Instructions that a call executes, from its first to its `ret`."""
        count = 0

        def step(*_: object) -> None:
            nonlocal count
            count += 1

        handle = self._uc.hook_add(UC_HOOK_CODE, step)
        # Code that has been translated without the hook would not call it.
        self._uc.ctl_flush_tb()
        try:
            self.call(function, *arguments)
        finally:
            self._uc.hook_del(handle)
            self._uc.ctl_flush_tb()
        return count
