"""What stands in for the parts below the scheduler while one of its functions is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from unicorn import UC_HOOK_CODE
from unicorn import x86_const as x86

from tests.functions.guest import INVARIANTS, Guest, Logged
from tests.functions.machine import CallError

CLOCK_BEGINS, CLOCK_STEP = 1 << 33, 1000
PATIENCE = 5
"""Turns of a loop that waits for another CPU, which has acted after the first."""

Handler = Callable[[], int | None]
"""What a function does instead of its own work; gives what it returns."""


class RefusedError(CallError):
    """The guest does not start."""


class Stubs:
    """Time, the change of stacks, the console, interrupts and other CPUs, for one guest.

    Everything is as it was outside of `active`, so that others can use the guest, too.
    """

    _made: ClassVar[WeakKeyDictionary[Guest, Stubs]] = WeakKeyDictionary()

    @classmethod
    def of(cls, guest: Guest) -> Stubs:
        """Those of a guest, which are made once."""
        if guest not in cls._made:
            cls._made[guest] = cls(guest)
        return cls._made[guest]

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._uc: Any = guest._uc
        self._active = False
        self._reset()
        here = {
            "clock_ns": self._clock,
            "switch_to": self._switch,
            "console_write": self._write,
            "console_write_line": self._write,
            "relax": self._relax,
            "relax_spin": self._relax,
            "task_bury": self._bury,
            "memory_alloc": self._allocate,
            "refuse": self._refuse,
            "task_allocate": lambda: self.allocated,
        }
        for name in guest.addresses:
            if name.startswith("invariant_") and name not in INVARIANTS:
                here[name] = lambda: None
        for name, handler in here.items():
            self._replace(name, handler)
        at = guest.addresses["ipi_send"]  # which does nothing here anyway
        self._uc.hook_add(UC_HOOK_CODE, self._interrupt, begin=at, end=at)
        at = guest.addresses["spin_lock"]
        self._uc.hook_add(UC_HOOK_CODE, self._lock, begin=at, end=at)
        self._uc.ctl_flush_tb()

    def _reset(self) -> None:
        self.clock: list[int] = []
        """Every time that was read."""
        self.switches: list[tuple[int, int]] = []
        """Tasks that left and those that came, by address."""
        self.lines: list[str] = []
        """What was written to the console, without ends of lines."""
        self.buried: list[int] = []
        self.waited = 0
        self.others: Callable[[], None] = lambda: None
        """What another CPU does when this one waits for it."""
        self.at_lock: Callable[[int], None] = lambda at: None
        """What happens when the lock at an address is about to be taken."""
        self.requests: list[tuple[int, int]] = []
        """Bytes and alignment of memory that was asked for."""
        self.free: list[int] = []
        """What is handed out."""
        self.allocated = 0
        """The next task slot, 0 if there is none."""
        self.open = False
        """Whether interrupts are on where this CPU waits for another."""

    @contextmanager
    def active(self) -> Iterator[None]:
        """Within it the stubs stand in; what they saw stays until the next time."""
        self._reset()
        self._active = True
        try:
            yield
        finally:
            self._active = False

    @property
    def now(self) -> int:
        """The time as it was read first; 0 if nobody has."""
        return self.clock[0] if self.clock else 0

    def _replace(self, name: str, handler: Handler) -> None:
        def entered(*_: object) -> None:
            if self._active:
                self._give_back(handler())

        at = self._guest.addresses[name]
        self._uc.hook_add(UC_HOOK_CODE, entered, begin=at, end=at)

    def _give_back(self, result: int | None) -> None:
        """Returns to the caller."""
        stack = self._register("RSP")
        back = int.from_bytes(self._guest.read(stack, 8), "little")
        if result is not None:
            self._uc.reg_write(x86.UC_X86_REG_RAX, result)
        self._uc.reg_write(x86.UC_X86_REG_RSP, stack + 8)
        self._uc.reg_write(x86.UC_X86_REG_RIP, back)

    def _register(self, name: str) -> int:
        return int(self._uc.reg_read(getattr(x86, f"UC_X86_REG_{name}")))

    def _clock(self) -> int:
        """No two differences between any of these are alike."""
        number = len(self.clock)
        self.clock.append(CLOCK_BEGINS + CLOCK_STEP * number * number + number)
        return self.clock[-1]

    def _switch(self) -> int:
        """The task that comes was switched away from at the same place."""
        self.switches.append((self._register("RDI"), self._register("RSI")))
        return self._register("RDI")

    def _write(self) -> None:
        text = self._guest.read(self._register("RDI"), self._register("RSI"))
        self.lines.append(text.decode("ascii").removesuffix("\n"))

    def _relax(self) -> None:
        self.waited += 1
        self.open |= self._guest.interruptible
        if self.waited > PATIENCE:
            raise CallError("it waits for what has happened")
        self.others()

    def _lock(self, *_: object) -> None:
        if self._active:
            self.at_lock(self._register("RDI"))

    def _refuse(self) -> None:
        raise RefusedError("refused")

    def _allocate(self) -> int:
        self.requests.append((self._register("RDI"), self._register("RSI")))
        if not self.free:
            raise CallError("it asks for memory")
        return self.free.pop(0)

    def _bury(self) -> None:
        self.buried.append(self._register("RDI"))

    def _interrupt(self, *_: object) -> None:
        if self._active:
            sent = self._register("RDI") & 0xFFFF_FFFF, self._register("RSI") & 0xFFFF_FFFF
            self._guest.events.append(Logged("ipi_send", sent))
