"""The guest beside its schedulers, one function at a time: with devices, other CPUs, and stand-ins
for what a function calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import capstone
from unicorn import UC_HOOK_CODE, UC_HOOK_INSN, UC_HOOK_MEM_WRITE
from unicorn import x86_const as x86

from harness.toolchain.image import Image
from tests.functions.guest import PERCPU, Guest
from tests.functions.machine import (
    ARGUMENTS,
    PAGE,
    PROTECTION,
    REGISTERS,
    RETURN,
    U64,
    CallError,
    Layout,
)

CPUS = 4
APIC_IDS = (0, 5, 2, 201)
"""Of the CPUs here: not their numbers, and up to eight bits."""
LAPIC = 0xFEE0_0000
POLICY = 0x6000_0000
HALT, RET = b"\xf4", b"\xc3"
BIOS, BIOS_END = 0xE0000, 0x100000
NOPS = {2: b"\x66\x90", 3: b"\x0f\x1f\x00", 4: b"\x0f\x1f\x40\x00"}
TRASH = 0xBAD0_BAD0_BAD0_0000
CALLER_SAVED = ("rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11")
INTERRUPTS_ON = 0x200
ARITHMETIC_FLAGS = 0x8D5

Action = Callable[..., int | None]


class RefusedError(CallError):
    """The function refused to start the run; the message is what it printed."""


@dataclass(frozen=True)
class Made:
    """A call of a stand-in: by whom it goes, its arguments, and whether interrupts were on."""

    name: str
    arguments: tuple[int, ...]
    interrupts: bool


class Kernel(Guest):
    """CPU 0 of a machine with `CPUS` CPUs. What is written to ports and to the local APIC is kept;
    so are the calls of functions that have a stand-in."""

    def __init__(self, image: Image) -> None:
        super().__init__(image)
        self.percpu = Layout.of(image, "percpu")
        self.calls: list[Made] = []
        self.ports: list[tuple[int, int]] = []
        """What was written: port, value."""
        self.answers: dict[int, list[int]] = {}
        """What ports read as, the last of it for ever."""
        self.apic: list[tuple[int, int]] = []
        """What was written to the local APIC: offset, value."""
        self.printed = ""
        self._stand_ins: dict[str, tuple[Action | None, tuple[str, ...]]] = {}
        read_write = PROTECTION["r"] | PROTECTION["w"]
        self._uc.mem_map(PERCPU + PAGE, (CPUS - 1) * PAGE, read_write)
        self._uc.mem_map(LAPIC, PAGE, read_write)
        self._uc.mem_map(POLICY, 2 * PAGE, read_write | PROTECTION["x"])
        self._uc.mem_map(BIOS, BIOS_END - BIOS, read_write)
        self._uc.hook_add(UC_HOOK_MEM_WRITE, self._apic_write, begin=LAPIC, end=LAPIC + PAGE - 1)
        self._uc.hook_add(UC_HOOK_INSN, self._in, aux1=x86.UC_X86_INS_IN)
        self._uc.hook_add(UC_HOOK_INSN, self._out, aux1=x86.UC_X86_INS_OUT)
        table = self.addresses["cpu_table"]
        for cpu, apic in enumerate(APIC_IDS):
            self.write(table + 8 * cpu, self.area(cpu).to_bytes(8, "little"))
            self.set_percpu(cpu, self=self.area(cpu), cpu=cpu, apic_id=apic)
        self.set_word("cpu_count", CPUS)
        self.set_word("policy", POLICY)
        self._stopped = False
        self._refuse = self.addresses["refuse"]
        self.patch(self._refuse, HALT)

    def area(self, cpu: int) -> int:
        """A CPU's per-CPU area."""
        return PERCPU + cpu * PAGE

    def set_percpu(self, cpu: int = 0, /, **values: int) -> None:
        for name, value in values.items():
            at, width = self.percpu.fields[name]
            data = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
            self.write(self.area(cpu) + at, data)

    def get_percpu(self, name: str, cpu: int = 0) -> int:
        return self.load(self.percpu, self.area(cpu), name)[name]

    def become(self, cpu: int) -> None:
        """Further calls are made by that CPU."""
        self._uc.context_restore(self._start)
        self._uc.reg_write(x86.UC_X86_REG_GS_BASE, self.area(cpu))
        self._start = self._uc.context_save()

    def interrupts(self, on: bool) -> None:
        """Further calls are made with interrupts on, or off, and with carry set."""
        self._uc.context_restore(self._start)
        self._uc.reg_write(x86.UC_X86_REG_EFLAGS, 3 | (INTERRUPTS_ON if on else 0))
        self._start = self._uc.context_save()

    @property
    def interrupts_on(self) -> bool:
        return bool(self._uc.reg_read(x86.UC_X86_REG_EFLAGS) & INTERRUPTS_ON)

    @property
    def carry(self) -> bool:
        """The flag as the last call left it."""
        return bool(self._uc.reg_read(x86.UC_X86_REG_EFLAGS) & 1)

    def genuine(self, name: str) -> None:
        """Takes the patch off the first byte of a function."""
        self.patch(self.addresses[name], self.image.read(self.addresses[name], 1))

    def run(self, function: str, *arguments: int, **registers: int) -> None:
        """As `call`, of a function that need not come back, nor keep registers: it goes on
        elsewhere (at RETURN), or an action stops it."""
        self._stopped = False
        try:
            self.call(function, *arguments, **registers)
        except CallError:
            if not self._stopped and self._uc.reg_read(x86.UC_X86_REG_RIP) != RETURN:
                raise

    def stop(self, *_: int) -> None:
        """An action that ends the call: for stand-ins of what never returns."""
        self._stopped = True
        self._uc.emu_stop()

    def stop_when_halted(self, function: str, times: int = 3) -> None:
        """Ends the call when it has halted that often: whatever wakes it, it halts again."""
        halt = self.find(function, "hlt")
        self.patch(halt, b"\x90")
        left = iter(range(times - 1))
        self.watch_at(halt, lambda *_: self.stop() if next(left, None) is None else None)

    def run_to(self, start: int, end: int) -> list[int]:
        """What the code from one address to another leaves on the stack, lowest first."""
        self.execute(start, end)
        pointer = self.pointer
        return self.words(pointer, (self._stack_pointer - pointer) // 8)

    def execute(self, start: int, end: int) -> None:
        """Runs the code from one address to another, which has to get there."""
        self._uc.context_restore(self._start)
        self._uc.emu_start(start, end, count=100)
        assert self._uc.reg_read(x86.UC_X86_REG_RIP) == end

    def interrupt(self, vector: int, error: int) -> tuple[dict[str, int], dict[str, int]]:
        """Has `interrupt_entry` run up to its ``iretq``; all registers before and after, the stack
        pointer as `rsp`."""
        self._uc.context_restore(self._start)
        self.write(self._stack_pointer - 16, b"".join(
            word.to_bytes(8, "little") for word in (vector, error)))  # fmt: skip
        before = {name: self.register(name) for name in REGISTERS}
        self._uc.reg_write(x86.UC_X86_REG_RSP, self._stack_pointer - 16)
        end = self.find("interrupt_entry", "iretq")
        self._uc.emu_start(self.addresses["interrupt_entry"], end, count=1000)
        assert self._uc.reg_read(x86.UC_X86_REG_RIP) == end
        after = {name: self.register(name) for name in REGISTERS}
        return before | {"rsp": self._stack_pointer}, after | {"rsp": self.pointer}

    @property
    def pointer(self) -> int:
        """The stack pointer as the last call left it."""
        return int(self._uc.reg_read(x86.UC_X86_REG_RSP))

    @property
    def gs(self) -> int:
        """Where the per-CPU area is, as the last call left it."""
        return int(self._uc.reg_read(x86.UC_X86_REG_GS_BASE))

    def descriptor_table(self, register: str) -> tuple[int, int]:
        """Base and limit in GDTR or IDTR, as the last call left it."""
        _, base, limit, _ = self._uc.reg_read(getattr(x86, f"UC_X86_REG_{register}"))
        return base, limit

    def fake(self, mnemonic: str, action: Action, *functions: str) -> None:
        """Has ``action()`` called instead of every such instruction, of two bytes, in functions:
        what it returns is edx:eax."""

        def executed(*_: object) -> None:
            value = action() or 0
            self._uc.reg_write(REGISTERS["rax"], value & 0xFFFFFFFF)
            self._uc.reg_write(REGISTERS["rdx"], value >> 32 & 0xFFFFFFFF)

        for function in functions:
            for at, found in self.instructions(function):
                if found == mnemonic:
                    self.patch(at, NOPS[2])
                    self._uc.hook_add(UC_HOOK_CODE, executed, begin=at, end=at)

    def fake_register_read(
        self, function: str, instruction: str, register: str, value: int
    ) -> None:
        """Has a register hold that value after an instruction of three or four bytes, which reads
        what this machine does not have."""
        at = self.find(function, instruction)
        size = (
            next(following for following, _ in self.instructions(function) if following > at) - at
        )
        self.patch(at, NOPS[size])
        self.watch_at(at, lambda *_: self._uc.reg_write(REGISTERS[register], value))

    def fake_control_registers(self, function: str) -> None:
        """Has a function not touch the page tables of this machine, which has none."""
        for at, found in self.instructions(function):
            if "cr3" in found:
                self.patch(at, NOPS[3])

    def make_writable(self, page: int) -> None:
        self._uc.mem_protect(page, PAGE, PROTECTION["r"] | PROTECTION["w"])

    def map_pages(self, first: int, count: int) -> None:
        """Memory where this machine has none."""
        self._uc.mem_map(first, count * PAGE, PROTECTION["r"] | PROTECTION["w"])

    def result(self, rax: int = 0, /, **registers: int) -> int:
        """For actions of stand-ins that leave more than rax."""
        for name, value in registers.items():
            self._uc.reg_write(REGISTERS[name], value & U64)
        return rax

    def stand_policy(self, *operations: str) -> None:
        """Stand-ins for operations of the policy, under the names policy_*."""
        for operation in operations:
            name, field = f"policy_{operation}", self.addresses[f"policy_ops.{operation}"]
            self.addresses[name] = POLICY + PAGE + 2 * field
            self.write(POLICY + field, self.addresses[name].to_bytes(8, "little"))
            self.stand_in(name)

    def call_with_stack(self, function: str, above: bytes) -> None:
        """Calls a function that finds this above its return address."""
        self.write(self._stack_pointer - len(above) + 8, above)
        self._stack_pointer -= len(above)
        self._uc.context_restore(self._start)
        self._uc.reg_write(x86.UC_X86_REG_RSP, self._stack_pointer)
        old, self._start = self._start, self._uc.context_save()
        try:
            self.call(function)
        finally:
            self._stack_pointer += len(above)
            self._start = old

    def stand_in(
        self, name: str, action: Action | None = None, clobbers: tuple[str, ...] = CALLER_SAVED
    ) -> None:
        """Has ``action(arguments...)`` called instead of a function. Its result is rax; what the
        function may change is spoilt, flags included."""
        known = name in self._stand_ins
        self._stand_ins[name] = action, clobbers
        if not known:
            address = self.addresses[name]
            self.patch(address, RET)
            self._uc.hook_add(UC_HOOK_CODE, self._stand, name, begin=address, end=address)

    def _stand(self, _uc: object, _at: int, _size: int, name: str) -> None:
        action, clobbers = self._stand_ins[name]
        found = tuple(self.register(register) for register in ARGUMENTS)
        self.calls.append(Made(name, found, self.interrupts_on))
        result = None if action is None else action(*found)
        for register in clobbers:
            self._uc.reg_write(REGISTERS[register], TRASH)
        flags = self._uc.reg_read(x86.UC_X86_REG_EFLAGS)
        self._uc.reg_write(x86.UC_X86_REG_EFLAGS, flags ^ ARITHMETIC_FLAGS)
        if result is not None or clobbers == CALLER_SAVED:
            self._uc.reg_write(REGISTERS["rax"], (TRASH if result is None else result) & U64)

    def watch(self, name: str, action: Action) -> None:
        """Has ``action(arguments...)`` called before a function."""
        address = self.addresses[name]

        def called(*_: object) -> None:
            action(*(self.register(register) for register in ARGUMENTS))

        self._uc.hook_add(UC_HOOK_CODE, called, begin=address, end=address)

    def find(self, function: str, instruction: str) -> int:
        """Address of the first instruction of a function that begins like this."""
        for at, found in self.instructions(function):
            if found.startswith(instruction):
                return at
        raise ValueError(f"{function} has no {instruction}")

    def instructions(self, function: str) -> list[tuple[int, str]]:
        """Address and text of each instruction of a function."""
        symbol = self.image.symbols[function]
        decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        code = self.image.read(symbol.address, symbol.size)
        found = decoder.disasm_lite(code, symbol.address)
        return [(at, f"{name} {operands}".strip()) for at, _, name, operands in found]

    def watch_at(self, address: int, action: Action) -> None:
        """Has ``action()`` called before an instruction."""
        self._uc.hook_add(UC_HOOK_CODE, lambda *_: action(), begin=address, end=address)

    def watch_store(self, address: int, action: Action) -> None:
        """Has ``action(value)`` called when something is written there."""

        def stored(_uc: object, _how: int, _at: int, _size: int, value: int, _: object) -> None:
            action(value & U64)

        self._uc.hook_add(UC_HOOK_MEM_WRITE, stored, begin=address, end=address + 7)

    def stand_ins(self, *names: str) -> None:
        for name in names:
            self.stand_in(name)

    def called(self, name: str) -> list[tuple[int, ...]]:
        """The arguments of the calls of a stand-in."""
        return [made.arguments for made in self.calls if made.name == name]

    @property
    def order(self) -> list[str]:
        """The names of the stand-ins that were called."""
        return [made.name for made in self.calls]

    def capture_print(self) -> None:
        """What is printed is kept in `printed` and not sent."""
        self.stand_in("console_write", self._kept)

    def _kept(self, text: int, size: int, *_: int) -> None:
        self.printed += self.read(text, size).decode("latin-1")

    def text(self, words: str) -> int:
        """Address of a NUL-terminated text."""
        data = words.encode("latin-1") + b"\0"
        address = self.allocate(len(data))
        self.write(address, data)
        return address

    def words(self, address: int, count: int) -> list[int]:
        """Quadwords in memory."""
        data = self.read(address, 8 * count)
        return [int.from_bytes(data[at : at + 8], "little") for at in range(0, 8 * count, 8)]

    def string(self, address: int) -> str:
        return self.read(address, 200).partition(b"\0")[0].decode("latin-1")

    def number(self, symbol: str, width: int = 4) -> int:
        return int.from_bytes(self.read(self.addresses[symbol], width), "little")

    def record(self, layout: Layout, values: Mapping[str, int]) -> int:
        """Address of a structure with these fields, the rest 0."""
        address = self.allocate(layout.size)
        self.write(address, layout.pack(values))
        return address

    def _apic_write(
        self, _uc: object, _how: int, at: int, _size: int, value: int, _: object
    ) -> None:
        self.apic.append((at - LAPIC, value & 0xFFFFFFFF))

    def _in(self, _uc: object, port: int, _size: int, _: object) -> int:
        left = self.answers.get(port, [0xFF])
        return left.pop(0) if len(left) > 1 else left[0]

    def _out(self, _uc: object, port: int, _size: int, value: int, _: object) -> None:
        self.ports.append((port, value))

    def _no_return(self, function: str) -> CallError:
        if self._uc.reg_read(x86.UC_X86_REG_RIP) == self._refuse + len(HALT):
            return RefusedError(self.printed)
        return super()._no_return(function)
