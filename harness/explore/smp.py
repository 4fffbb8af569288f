"""Several CPUs of the guest in one process: a Unicorn instance each, over the same memory.

The CPUs take turns, an access to shared memory of one at a time, so what they show is sequentially
consistent: no store buffer. An instruction that changes memory without `lock` is two accesses, and
others may come between. The image's machine code is what runs. Replaced are the four places that
need the rest of a machine, by code that hands control back (`Stop`) or by a constant: waiting for a
lock, sending an interrupt, ending in a panic; the time stands still.
"""

from __future__ import annotations

import ctypes
import enum
import functools
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from unicorn import UC_ARCH_X86, UC_MODE_64
from unicorn import x86_const as x86
from unicorn.unicorn_py3.unicorn import Uc, UcError

from harness.explore.accesses import shared_accesses
from harness.explore.places import function_at
from harness.explore.steps import CODE_HOOK, Hook, Stand, Standing, Steps, call_before
from harness.explore.structure import Layout
from harness.toolchain.image import Image

_ENGINE: Any = Uc  # has no types

PAGE = 4096
WORLD, WORLD_BYTES = 0x4000_0000, 64 * PAGE
STUBS = 0x5000_0000
OP_END = STUBS
"""Where operations return to."""
FIRST_RUN = STUBS + 16
"""Where a task begins that never ran: it finishes the switch to it."""

MOST_STEPS = 20_000
"""A run that takes more is taken to hang."""
MOST_SILENCE = 5.0
"""Seconds in which a CPU that comes to no step at all is taken to hang."""
NOW = 1_000_000_000
"""What the clock says, in ns."""
HALT, RETURN = b"\xf4", b"\xc3"
_PROTECTION = {"r": 1, "w": 2, "x": 4}


class Stop(enum.Enum):
    """Why a CPU has come back."""

    STEP = "stands before the step it was to stop at"
    WAITS = "waits for a lock"
    SENDS = "sends an interrupt"
    ENDS = "has ended an operation"


class GuestFailure(Exception):  # noqa: N818 - the guest's failure, which is what we look for
    """The guest's code panicked, faulted or hangs: rule in short, place, words."""

    def __init__(self, rule: str, place: str, words: str) -> None:
        super().__init__(f"{rule} in {place}: {words}")
        self.rule, self.place, self.words = rule, place, words


class Region:
    """Some memory that all CPUs see at the same address."""

    def __init__(self, address: int, size: int, protection: int) -> None:
        self.address, self.size, self.protection = address, size, protection
        self._raw = ctypes.create_string_buffer(size + PAGE)
        self.host = -(-ctypes.addressof(self._raw) // PAGE) * PAGE
        self._saved = b""

    def save(self) -> None:
        """Remembers the contents for `restore`."""
        self._saved = ctypes.string_at(self.host, self.size)

    def restore(self) -> None:
        ctypes.memmove(self.host, self._saved, self.size)


@dataclass
class Cpu:
    """One CPU."""

    number: int
    uc: Any
    stand: Stand
    torn: tuple[int, bytes] | None = None
    """The address and contents that it has read and is to write, if it stands in between."""
    hooks: list[Any] = field(default_factory=list)
    """What Unicorn calls, kept alive."""

    def register(self, name: str) -> int:
        """A register's contents, by its name."""
        return int(self.uc.reg_read(getattr(x86, f"UC_X86_REG_{name.upper()}")))


class _Watch:
    """Stops a CPU that loops without ever coming to a step. Counting all instructions instead
    would take four times as long."""

    def __init__(self) -> None:
        self._uc: Any = None
        self._since = 0.0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def begin(self, uc: Any) -> None:
        self._since, self._uc = time.monotonic(), uc

    def end(self) -> None:
        self._uc = None

    def _look(self) -> None:
        while True:
            time.sleep(MOST_SILENCE / 2)
            uc = self._uc
            if uc is not None and time.monotonic() - self._since > MOST_SILENCE:
                uc.emu_stop()


class Smp:
    """The image, and a world of data for it, on some CPUs. Steps are counted over all CPUs."""

    def __init__(self, image: Image, cpus: int) -> None:
        self.image = image
        self.percpu = Layout.of(image, "percpu")
        self._watch = _watch()
        self._panic = image.address("panic")
        self._spin = image.address("relax_spin")
        self._send = image.address("ipi_send")
        self.regions = [*self._image_regions(), Region(WORLD, WORLD_BYTES, 3)]
        self.regions.append(Region(STUBS, PAGE, 7))
        self._patch()
        accesses = shared_accesses(image)
        text = image.sections[".text"]
        self._steps = Steps(range(text.address, text.address + text.size), accesses)
        self._updates = {each.address: each.update for each in accesses if each.update}
        self.cpus = [self._cpu(number) for number in range(cpus)]

    def _image_regions(self) -> list[Region]:
        regions = []
        for segment in self.image.segments:
            first = segment.virtual // PAGE * PAGE
            end = -(-(segment.virtual + segment.memory_size) // PAGE) * PAGE
            if first < end:
                allowed = sum(_PROTECTION[letter] for letter in segment.permissions)
                region = Region(first, end - first, allowed)
                data = self.image.read(segment.virtual, segment.memory_size)
                ctypes.memmove(region.host + segment.virtual - first, data, len(data))
                regions.append(region)
        return regions

    def _patch(self) -> None:
        """Code that ends a turn, and code in place of what a machine would do."""
        for address, code in (
            (self._panic, HALT),
            (self._spin, HALT + RETURN),
            (self._send, HALT + RETURN),
            (self.image.address("trace_emit"), RETURN),
            (self.image.address("clock_ns"), b"\xb8" + NOW.to_bytes(4, "little") + RETURN),
            (OP_END, HALT),
            (FIRST_RUN, self._first_run()),
        ):
            self.write(address, code)

    def _first_run(self) -> bytes:
        """mov rdi, rax; movabs rax, finish_task_switch; call rax; hlt"""
        finish = self.image.address("finish_task_switch").to_bytes(8, "little")
        return bytes.fromhex("4889c7 48b8") + finish + bytes.fromhex("ffd0") + HALT

    def _cpu(self, number: int) -> Cpu:
        uc = _ENGINE(UC_ARCH_X86, UC_MODE_64)
        for region in self.regions:
            uc.mem_map_ptr(region.address, region.size, region.protection, region.host)
        uc.reg_write(x86.UC_X86_REG_GS_BASE, self.area(number))
        return Cpu(number, uc, self._steps.watch(uc))

    @property
    def steps(self) -> int:
        """Steps taken since the last `reset`."""
        return self._steps.taken

    def stop_at(self, step: int) -> None:
        """The next step before which the CPU stops that is to take it."""
        self._steps.stop_at(min(step, MOST_STEPS + 1))

    def count(self, code: range) -> list[Counter[int]]:
        """From now on counts, for each CPU, how often it executes the instruction at each of these
        addresses. Makes all that follows several times slower."""
        counts = []
        for cpu in self.cpus:
            counts.append(Counter[int]())
            cpu.hooks.append(CODE_HOOK(_executed(cpu.stand, counts[-1])))
            call_before(cpu.uc, code, cpu.hooks[-1])
            # Code that was translated before does not know of it.
            cpu.uc.ctl_flush_tb()
        return counts

    def area(self, cpu: int) -> int:
        """Address of a CPU's own area, which its GS base points to."""
        return WORLD + PAGE * cpu

    def reset(self) -> None:
        """Memory as it was saved; no CPU is in anything."""
        for region in self.regions:
            if region.protection & _PROTECTION["w"]:
                region.restore()
        for cpu in self.cpus:
            cpu.stand.standing, cpu.torn = Standing.RUNS, None
        self._steps.reset()

    def _host(self, address: int, size: int) -> int:
        for region in self.regions:
            if region.address <= address and address + size <= region.address + region.size:
                return region.host + address - region.address
        raise ValueError(f"no {size} bytes of memory at {address:#x}")

    def read(self, address: int, size: int) -> bytes:
        return ctypes.string_at(self._host(address, size), size)

    def write(self, address: int, data: bytes) -> None:
        ctypes.memmove(self._host(address, len(data)), data, len(data))

    def word(self, address: int, size: int = 8) -> int:
        """An unsigned number in memory."""
        return int.from_bytes(self.read(address, size), "little")

    def set_word(self, address: int, value: int, size: int = 8) -> None:
        self.write(address, value.to_bytes(size, "little"))

    def field(self, cpu: int, name: str) -> int:
        """A field of a CPU's own area."""
        at, width = self.percpu.fields[name]
        return self.word(self.area(cpu) + at, width)

    def enter(self, number: int, stack: int, function: int, *arguments: int) -> None:
        """Has a CPU call a function next, on a stack that ends at `stack`."""
        uc = self.cpus[number].uc
        self.set_word(stack - 8, OP_END)
        uc.reg_write(x86.UC_X86_REG_RSP, stack - 8)
        uc.reg_write(x86.UC_X86_REG_RBP, 0)
        uc.reg_write(x86.UC_X86_REG_RIP, function)
        for register, value in zip(_ARGUMENTS, arguments, strict=False):
            uc.reg_write(register, value)

    def result(self, number: int) -> int:
        """What the operation that a CPU has ended gave back, in eax."""
        return int(self.cpus[number].uc.reg_read(x86.UC_X86_REG_EAX))

    def target(self, number: int) -> int:
        """The CPU to which one that `SENDS` does."""
        return int(self.cpus[number].uc.reg_read(x86.UC_X86_REG_EDI))

    def go_on(self, number: int) -> Stop:
        """Runs a CPU until it stops. Raises GuestFailure."""
        cpu = self.cpus[number]
        uc, torn, cpu.torn = cpu.uc, cpu.torn, None
        if torn is not None:
            self.write(*torn)
        start = uc.reg_read(x86.UC_X86_REG_RIP)
        self._watch.begin(uc)
        try:
            uc.emu_start(start, 0)
        except UcError as error:
            where = uc.reg_read(x86.UC_X86_REG_RIP)
            raise GuestFailure("fault", self.place(where), str(error)) from None
        finally:
            self._watch.end()
        if self.steps > MOST_STEPS:
            where = uc.reg_read(x86.UC_X86_REG_RIP)
            raise GuestFailure("K7", self.place(where), f"no end after {MOST_STEPS} steps")
        if cpu.stand.standing:
            self._remember(cpu)
            return Stop.STEP
        at = uc.reg_read(x86.UC_X86_REG_RIP) - len(HALT)
        if at == self._spin:
            return Stop.WAITS
        if at == self._send:
            return Stop.SENDS
        if STUBS <= at < STUBS + PAGE:
            return Stop.ENDS
        if at == self._panic:
            words = self.read(uc.reg_read(x86.UC_X86_REG_RDI), 200).partition(b"\0")[0].decode()
            caller = self.word(uc.reg_read(x86.UC_X86_REG_RSP))
            raise GuestFailure("panic", self.place(caller - 1), words)  # behind the call
        words = f"{MOST_SILENCE:g} s without an access to shared memory"
        raise GuestFailure("K7", self.place(at), words)

    def _remember(self, cpu: Cpu) -> None:
        """What a CPU has read that stands before it writes: it goes on with that, whatever others
        write meanwhile."""
        if cpu.stand.standing == Standing.BETWEEN:
            update = self._updates[cpu.uc.reg_read(x86.UC_X86_REG_RIP)]
            at = update.address(cpu.register)
            cpu.torn = (at, self.read(at, update.size))

    def place(self, address: int) -> str:
        """The function at an address."""
        return function_at(self.image, address)

    def waiting_place(self, number: int) -> str:
        """The function that wants the lock for which a CPU waits, behind the locks' own."""
        frame = self.cpus[number].uc.reg_read(x86.UC_X86_REG_RBP)
        while frame:
            place = self.place(self.word(frame + 8))
            if place not in ("rq_lock", "spin_lock"):
                return place
            frame = self.word(frame)
        return "spin_lock"


def _executed(stand: Stand, counts: Counter[int]) -> Hook:
    def executed(_uc: object, address: int, _size: int, _data: object) -> None:
        # Who is to stop before an instruction comes here, too, and again when going on.
        if not stand.standing:
            counts[address] += 1

    return executed


@functools.cache
def _watch() -> _Watch:
    return _Watch()


_ARGUMENTS = (x86.UC_X86_REG_RDI, x86.UC_X86_REG_RSI, x86.UC_X86_REG_RDX, x86.UC_X86_REG_RCX)
