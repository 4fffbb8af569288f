"""The project's guest, ready to have its functions called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from unicorn import UC_HOOK_CODE
from unicorn import x86_const as x86

from harness.model.constants import Constants
from harness.model.fixes import NO_FIXES, Fixes
from harness.toolchain.image import Image
from harness.trace.vocabulary import VOCABULARY
from tests.functions.machine import PAGE, PROTECTION, RET, CallError, Layout, Machine

PERCPU = 0x4000_0000
SCRATCH, SCRATCH_BYTES = 0x4100_0000, 4 * PAGE
HALT = b"\xf4"
INVARIANTS = frozenset(
    f"invariant_{name}"
    for name in (
        "task_locked",
        "both_locked",
        "before_lock",
        "locked",
        "before_unlock",
        "waiting",
        "unlocked",
        "switching",
    )
)
"""What a checked guest asks of whoever calls these functions: a single call has no locks."""


class PanicError(CallError):
    """The function ended the run with a report; the message is its words."""


@dataclass(frozen=True)
class Logged:
    """One event that the guest logged."""

    name: str
    arguments: tuple[int, ...]


class Guest(Machine):
    """One CPU of the guest. It logs nothing (loglevel 0) except within `logging`."""

    def __init__(self, image: Image) -> None:
        super().__init__(image)
        self.task = Layout.of(image, "task")
        self.array = Layout.of(image, "prio_array")
        self.runqueue = Layout.of(image, "runqueue")
        self._constants = Layout.of(image, "sched_constants")
        self._percpu = Layout.of(image, "percpu")
        self.events: list[Logged] = []
        """What was logged, until a test clears it."""
        self._uc.mem_map(PERCPU, PAGE, PROTECTION["r"] | PROTECTION["w"])
        self._uc.mem_map(SCRATCH, SCRATCH_BYTES, PROTECTION["r"] | PROTECTION["w"])
        self._uc.reg_write(x86.UC_X86_REG_GS_BASE, PERCPU)
        self.write(PERCPU, PERCPU.to_bytes(8, "little"))
        self._start = self._uc.context_save()
        self._panic = self.addresses["panic"]
        self.patch(self._panic, HALT)
        self._catch_events(self.addresses["trace_emit"])
        self.patch(self.addresses["ipi_send"], RET)
        for name in ("spin_lock", "spin_trylock"):
            at = self.addresses[name]
            self._uc.hook_add(UC_HOOK_CODE, self._take_lock, begin=at, end=at)
        for name in sorted(INVARIANTS & self.addresses.keys()):
            self.patch(self.addresses[name], RET)
        self.set_word("param_loglevel", 0)
        self._configured = (0, 0)

    def _catch_events(self, emit: int) -> None:
        """The ring is another subject: what would go there is kept here."""
        self.patch(emit, RET)
        self._uc.hook_add(UC_HOOK_CODE, self._emit, begin=emit, end=emit)

    def _take_lock(self, *_: object) -> None:
        """Interrupt handlers take the same locks."""
        if self.interruptible:
            raise CallError("a lock is taken with interrupts on")

    def _emit(self, *_: object) -> None:
        stack = self._uc.reg_read(x86.UC_X86_REG_RSP)
        header = int.from_bytes(self.read(stack + 8, 8), "little")
        data = self.read(stack + 16, 8 * (header >> 16))
        words = (int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8))
        self.events.append(Logged(VOCABULARY[header & 0xFFFF].name, tuple(words)))

    @contextmanager
    def logging(self, *, on: int = 1) -> Iterator[None]:
        """Within it, that is the loglevel."""
        self.set_word("param_loglevel", on)
        try:
            yield
        finally:
            self.set_word("param_loglevel", 0)

    def configure(self, hz: int, cpus: int, fixes: Fixes = NO_FIXES) -> Constants:
        """Makes it a machine of that clock and size and with those corrections; returns the model's
        constants for it.
        """
        self.set_word("param_fix", sum(1 << fix for fix in fixes))
        if self._configured != (hz, cpus):
            self.set_word("param_hz", hz)
            self.set_word("cpu_count", cpus)
            self.call("sched_constants_init")
            self._configured = (hz, cpus)
        return Constants(hz, fixes)

    def enter(self, runqueue: int, current: int, cpu: int = 0, jiffies: int = 0) -> None:
        """Makes this CPU the one of that run queue, with a task running on it and in an operation
        that has read the jiffies.
        """
        values = {"self": PERCPU, "runqueue": runqueue, "curr": current}
        values |= {"cpu": cpu, "op_jiffies": jiffies}
        self.write(PERCPU, self._percpu.pack(values))

    def own(self, field: str) -> int:
        """A field of this CPU's area."""
        return self.load(self._percpu, PERCPU, field)[field]

    def read_constants(self) -> dict[str, int]:
        """struct sched_constants as it stands."""
        return self.load(self._constants, self.addresses["sched_constants"])

    def scratch(self, size: int) -> int:
        """Address of the same memory every time, for what needs no more than one call."""
        if size > SCRATCH_BYTES:
            raise ValueError(f"no room for {size} bytes")
        return SCRATCH

    def _no_return(self, function: str) -> CallError:
        if self._uc.reg_read(x86.UC_X86_REG_RIP) != self._panic + len(HALT):
            return super()._no_return(function)
        words = self.read(self._uc.reg_read(x86.UC_X86_REG_RDI), 200)
        return PanicError(words.partition(b"\0")[0].decode(errors="replace"))
