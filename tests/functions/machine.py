"""Runs single functions of a linked image in Unicorn: thousands of calls a second and no boot.

`Machine` takes any image; guest.py makes one for this project's guest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

from unicorn import UC_ARCH_X86, UC_HOOK_CODE, UC_HOOK_INSN, UC_MODE_64
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


RET = b"\xc3"
INTERRUPT_FLAG, ZERO_FLAG = 1 << 9, 1 << 6


StandIn = Callable[[], int | tuple[int, int] | None]
"""Executed in place of a function."""


class EnoughError(Exception):
    """Raised in place of a function, ends the call that has come there."""


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
        """Raises CallError where there is no memory, as `write` does."""
        try:
            return bytes(self._uc.mem_read(address, size))
        except UcError as error:
            raise CallError(f"{error} of {size} bytes at {address:#x}") from None

    def write(self, address: int, data: bytes) -> None:
        try:
            self._uc.mem_write(address, data)
        except UcError as error:
            raise CallError(f"{error} of {len(data)} bytes at {address:#x}") from None

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

    @contextmanager
    def watching(self, **watchers: Callable[[], None]) -> Iterator[None]:
        """Within it, a watcher is called whenever the function of its name is about to start."""
        handles = [
            self._uc.hook_add(UC_HOOK_CODE, lambda *_, watcher=watcher: watcher(), begin=at, end=at)
            for name, watcher in watchers.items()
            for at in [self.addresses[name]]
        ]
        # Code that has been translated without the hook would not call it.
        self._uc.ctl_flush_tb()
        try:
            yield
        finally:
            for handle in handles:
                self._uc.hook_del(handle)
            self._uc.ctl_flush_tb()

    @contextmanager
    def executing(self, instruction: int, stand_in: Callable[[], None]) -> Iterator[None]:
        """Within it, instead of that instruction, by Unicorn's number, ``stand_in`` is called."""

        def instead(*_: object) -> int:
            stand_in()
            return 1

        handle = self._uc.hook_add(UC_HOOK_INSN, instead, None, 1, 0, instruction)
        self._uc.ctl_flush_tb()
        try:
            yield
        finally:
            self._uc.hook_del(handle)
            self._uc.ctl_flush_tb()

    def answer(self, registers: Mapping[str, int]) -> None:
        """Sets registers, for who stands in for code that does."""
        for name, value in registers.items():
            self._uc.reg_write(REGISTERS[name], value & U64)

    @contextmanager
    def replacing(self, **stand_ins: StandIn) -> Iterator[None]:
        """Within it these functions are not executed: who stands in for one finds its arguments in
        the registers. What it returns is in rax, or rax and rdx; the others that a function may
        use are lost.
        """
        was = {name: self.read(self.addresses[name], len(RET)) for name in stand_ins}
        for name in stand_ins:
            self.write(self.addresses[name], RET)
        watchers = {name: partial(self._stand_in, own) for name, own in stand_ins.items()}
        try:
            with self.watching(**watchers):
                yield
        finally:
            for name, code in was.items():
                self.patch(self.addresses[name], code)

    def _stand_in(self, stand_in: StandIn) -> None:
        result = stand_in()
        results = result if isinstance(result, tuple) else () if result is None else (result,)
        lost = {name: GARBAGE[name] for name in REGISTERS.keys() - set(PRESERVED)}
        self.answer(lost | dict(zip(("rax", "rdx"), results, strict=False)))

    @property
    def interruptible(self) -> bool:
        """Whether interrupts are on, at this moment or at the end of the last call."""
        return bool(self._uc.reg_read(x86.UC_X86_REG_EFLAGS) & INTERRUPT_FLAG)

    @property
    def zero(self) -> bool:
        """Whether ZF is set."""
        return bool(self._uc.reg_read(x86.UC_X86_REG_EFLAGS) & ZERO_FLAG)

    def enable_interrupts(self) -> None:
        """What `sti` does; none ever comes."""
        flags = self._uc.reg_read(x86.UC_X86_REG_EFLAGS)
        self._uc.reg_write(x86.UC_X86_REG_EFLAGS, flags | INTERRUPT_FLAG)

    def call(self, function: str, *arguments: int, interrupts: int = 0, **registers: int) -> int:
        """Calls a function by the System V convention and returns rax, unsigned. ``registers`` are
        what a function finds in others that its callers share with it; ``interrupts`` are on (1)
        or off at the start.

        Raises CallError if it faults, hangs, or comes back with a register or the stack changed
        that it has to preserve.
        """
        uc = self._uc
        uc.context_restore(self._start)
        uc.mem_write(self._stack_pointer, RETURN.to_bytes(8, "little"))
        given = dict(zip(ARGUMENTS, arguments, strict=False)) | registers
        for name, value in given.items():
            uc.reg_write(REGISTERS[name], value & U64)
        if interrupts:
            self.enable_interrupts()
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
