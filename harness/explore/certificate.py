"""What a campaign without findings has earned, and under which assumptions.

PCT finds a bug of depth d in a program of n threads and k steps with probability at least
1 / (n * k^(d - 1)) in every run, whatever the bug (Burckhardt et al., ASPLOS 2010, theorem 9).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

CONFIDENCE = 0.95

ASSUMPTIONS = (
    "the run's tasks and inputs are these, and the bug needs no others",
    "CPUs take turns at the counted steps: no store buffers (those need tier stress)",
    "priorities also fall when a CPU waits for a lock, which the theorem does not know",
    "the oracle sees the bug once it has happened",
)


@dataclass(frozen=True)
class Certificate:
    """`runs` clean runs of PCT with `depth`, on `threads` CPUs, over at most `steps` steps."""

    subject: str
    runs: int
    depth: int
    threads: int
    steps: int

    @property
    def _interleavings(self) -> int:
        return self.threads * int(max(self.steps, 1) ** (self.depth - 1))

    @property
    def bound(self) -> float:
        """The least probability with which one run finds a bug of this depth."""
        return 1.0 / self._interleavings

    @property
    def confidence(self) -> float:
        """The least probability with which all the runs together would have found one."""
        return -math.expm1(self.runs * math.log1p(-self.bound)) if self.bound < 1 else 1.0

    @property
    def runs_for_confidence(self) -> int:
        """Runs that it takes for CONFIDENCE."""
        if self.bound >= 1:
            return 1
        return math.ceil(math.log1p(-CONFIDENCE) / math.log1p(-self.bound))

    def __str__(self) -> str:
        return (
            f"{self.subject}: no bug of depth {self.depth} with a probability of "
            f"{100 * self.confidence:.3g} % ({self.runs} runs, n={self.threads}, k={self.steps}: "
            f"1 in {self._interleavings} a run; "
            f"{self.runs_for_confidence} runs give {100 * CONFIDENCE:g} %)"
        )
