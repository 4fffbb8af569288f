"""The outcome of a run: exactly one of these."""

from __future__ import annotations

import enum


class Outcome(enum.StrEnum):
    """How a run ended, worst first.

    The order is the precedence: of all that is wrong with a run, the outcome is what comes first
    here, because it explains, or makes worthless, what comes after it.
    """

    HARNESS_ERROR = "harness-error"
    """The run was not observed to its end, and that is not the guest's doing."""
    QEMU_ERROR = "qemu-error"
    """QEMU did not start, gave up, or was ended from outside."""
    WRONG_IMAGE = "wrong-image"
    """Another image ran than the one that was asked for."""
    PANIC = "panic"
    """The guest reported an exception, or a broken invariant of its own."""
    TRIPLE_FAULT = "triple-fault"
    """A fault that the guest could not report."""
    RESET = "reset"
    """The guest reset the machine or switched it off."""
    HANG = "hang"
    """The guest makes no progress."""
    TIMEOUT = "timeout"
    """The guest still ran when its time was over."""
    VIOLATION = "violation"
    """An oracle rule is broken: the scheduler decided wrongly."""
    FAIL = "fail"
    """An expectation is not met, or the guest says itself that it failed."""
    LOST_LOG = "lost-log"
    """The log is incomplete or damaged, so nothing can be concluded from it."""
    PASS = "pass"
    """Nothing of the above; see :func:`harness.oracle.verdict.judge` for what that takes."""

    @property
    def rank(self) -> int:
        """Position in the order of precedence; 0 is worst."""
        return list(Outcome).index(self)
