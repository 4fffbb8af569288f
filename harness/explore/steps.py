"""Counts the accesses of Unicorn's CPUs to shared memory, and stops a CPU before one of them.

An instruction that accesses memory twice takes two steps. The counting is steps.c's, built on first
use, where there is a compiler; otherwise it is done here, at a third of the speed.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from unicorn import UC_ERR_OK, UC_HOOK_CODE
from unicorn.unicorn_py3.unicorn import UcError, uclib

from harness.explore.accesses import Access
from harness.explore.schedules import NEVER
from harness.toolchain.shared import NoCompilerError, shared_library

SOURCE = Path(__file__).with_name("steps.c")

Hook = Callable[[object, int, int, object], None]
CODE_HOOK = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p
)


class Standing(enum.IntEnum):
    """Where a CPU stands that has been stopped."""

    RUNS = 0
    BEFORE = 1
    """Before an instruction."""
    BETWEEN = 2
    """It has read, and is to write."""


class _Kind(enum.IntEnum):
    ONCE = 1
    TWICE = 2


class _Steps(ctypes.Structure):
    _fields_ = (
        ("taken", ctypes.c_uint64),
        ("stop_at", ctypes.c_uint64),
        ("start", ctypes.c_uint64),
        ("kinds", ctypes.c_char_p),
        ("stop", ctypes.c_void_p),
    )


class Stand(ctypes.Structure):
    """One CPU's."""

    _fields_ = (("steps", ctypes.c_void_p), ("standing", ctypes.c_uint64))

    standing: int
    """A `Standing`."""


class Steps:
    """The steps of all CPUs together."""

    def __init__(self, text: range, accesses: Sequence[Access]) -> None:
        """`text` holds all instructions, of which these count."""
        self._text, self._accesses = text, accesses
        self._kinds = bytearray(len(text))
        for each in accesses:
            self._kinds[each.address - text.start] = _kind(each)
        stop = ctypes.cast(uclib.uc_emu_stop, ctypes.c_void_p)
        self._state = _Steps(0, NEVER, text.start, bytes(self._kinds), stop)
        self._hooks: list[Any] = []

    @property
    def taken(self) -> int:
        return int(self._state.taken)

    def reset(self) -> None:
        self._state.taken = 0

    def stop_at(self, step: int) -> None:
        """Before this step, counted from 1, a CPU stops; before each that follows, too."""
        self._state.stop_at = step

    def watch(self, uc: Any) -> Stand:
        """Counts an instance's steps from now on."""
        stand = Stand(ctypes.addressof(self._state), Standing.RUNS)
        native = _native()
        if native is not None:
            self._call(uc, self._text, native.before_instruction, ctypes.byref(stand))
            return stand
        for each in self._accesses:
            hook = CODE_HOOK(self._counter(uc._uch, stand, _kind(each)))
            self._call(uc, range(each.address, each.address + 1), hook, None)
        return stand

    def _counter(self, handle: Any, stand: Stand, kind: _Kind) -> Hook:
        def before_instruction(_uc: object, _address: int, _size: int, _data: object) -> None:
            was, stand.standing = stand.standing, Standing.RUNS
            if was == Standing.BETWEEN or (was == Standing.BEFORE and kind == _Kind.ONCE):
                return
            if was == Standing.RUNS and self._step(handle, stand, Standing.BEFORE):
                return
            if kind == _Kind.TWICE:
                self._step(handle, stand, Standing.BETWEEN)

        return before_instruction

    def _step(self, handle: Any, stand: Stand, standing: Standing) -> bool:
        self._state.taken += 1
        if self._state.taken < self._state.stop_at:
            return False
        stand.standing = standing
        uclib.uc_emu_stop(handle)
        return True

    def _call(self, uc: Any, code: range, hook: Any, data: Any) -> None:
        self._hooks.append((hook, data))
        call_before(uc, code, hook, data)


def call_before(uc: Any, code: range, hook: Any, data: Any = None) -> None:
    """Has a C function called before each of these instructions; the caller keeps both alive.
    Unicorn's own wrapper around a hook costs more than all else in a run. Raises UcError."""
    status = uclib.uc_hook_add(
        uc._uch, ctypes.byref(ctypes.c_size_t()), UC_HOOK_CODE,
        ctypes.cast(hook, ctypes.c_void_p), data,
        ctypes.c_uint64(code.start), ctypes.c_uint64(code.stop - 1),
    )  # fmt: skip
    if status != UC_ERR_OK:
        raise UcError(status)


def _kind(access: Access) -> _Kind:
    return _Kind.ONCE if access.update is None else _Kind.TWICE


@cache
def _native() -> Any:
    """steps.c, or None where there is no compiler."""
    try:
        return ctypes.CDLL(str(shared_library(SOURCE)))
    except NoCompilerError:
        return None
