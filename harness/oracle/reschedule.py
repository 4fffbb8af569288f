"""How long a CPU that was asked to reschedule takes to do so (P8), whatever the policy."""

from __future__ import annotations

from dataclasses import dataclass

TICKS_TO_RESCHEDULE = 2
TICKS_ON_A_BUSY_HOST = 50
"""The same for an idle CPU under the real clock. Only its loop reschedules, no interrupt's exit
does; where the host lets a CPU take a tick no faster than they come, that loop does not get on."""


@dataclass
class Reschedule:
    """What a CPU has been asked."""

    asked: bool = False
    """Whether it is to reschedule: the log said so, or it was its own doing."""
    ticks: int = 0
    """Ticks taken since then."""
    called: bool = False
    """It has a function to run for another CPU first, however long that takes: at the end of
    the run it logs its totals."""

    def ask(self) -> None:
        """It is to reschedule, and nothing but a call may keep it from that for long."""
        if not self.asked and not self.called:
            self.asked, self.ticks = True, 0

    def call(self) -> None:
        """Another CPU calls: that one is served first."""
        self.asked, self.called = False, True

    def done(self) -> None:
        """It does reschedule."""
        self.asked = self.called = False

    def overdue(self, *, patient: bool) -> bool:
        """One more tick has come; whether that is one too many. ``patient``: on a busy host."""
        self.ticks += 1
        allowed = TICKS_ON_A_BUSY_HOST if patient else TICKS_TO_RESCHEDULE
        return self.asked and self.ticks > allowed
