"""What it means for a function of the guest to agree with the model, and for whom it is checked.

A `Property` is a comparison of both sides for one case, the cases to try, and the functions of the
guest that it speaks about. The same properties hold the guest's functions against the model, and
prove on damaged copies that they would notice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from harness.model.constants import MAX_PRIO, NS_PER_SECOND
from harness.model.fixes import ALL_FIXES, NO_FIXES, Fix, Fixes
from tests.functions.guest import Guest

EXAMPLES = 400
HERTZ = (1000, 100, 250)
CPUS = (1, 2, 3, 4, 255)
CORNERS = (0, 1, 62, 63, 64, 65, 99, 100, 101, 119, 120, 127, 128, 129, 138, 139)
"""Priorities around the borders of words, of the real-time range and of nice levels."""

hertz = st.sampled_from(HERTZ)
cpus = st.sampled_from(CPUS)
prios = st.sampled_from(CORNERS) | st.integers(0, MAX_PRIO - 1)
static_prios = st.sampled_from([100, 101, 119, 120, 121, 138, 139]) | st.integers(100, 139)
sleep_avgs = (
    st.integers(0, 10).map(lambda bonus: bonus * NS_PER_SECOND // 10)
    | st.integers(1, 10).map(lambda bonus: bonus * NS_PER_SECOND // 10 - 1)
    | st.integers(0, NS_PER_SECOND)
)
times = st.integers(0, 3) | st.integers(0, 1 << 40)
"""Jiffies or nanoseconds: zero has a meaning of its own in places."""


def corrections(*fixes: Fix) -> st.SearchStrategy[Fixes]:
    """None, one of these, or all but these: for a function that has them."""
    alone = [frozenset({fix}) for fix in fixes]
    return st.sampled_from([NO_FIXES, *alone, ALL_FIXES - frozenset(fixes)])


@dataclass(frozen=True)
class Property:
    """`check(guest, *case)` raises AssertionError where guest and model differ."""

    functions: tuple[str, ...]
    cases: st.SearchStrategy[tuple[Any, ...]]
    check: Callable[..., None]
    examples: int = EXAMPLES
    """Cases that the suite tries, and a campaign of mutants, too."""

    @property
    def name(self) -> str:
        return self.check.__name__

    def hold(self, guest: Guest, *, examples: int | None = None, shrink: bool = True) -> None:
        """Tries its cases, or so many of them, the same ones in every run."""
        examples = examples or self.examples
        phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            phases=phases,
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(self.cases)
        def attempt(case: tuple[Any, ...]) -> None:
            self.check(guest, *case)

        attempt()


PROPERTIES: list[Property] = []


def agrees(
    *functions: str, given: st.SearchStrategy[tuple[Any, ...]]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a comparison as a property of these functions."""

    def register(check: Callable[..., None]) -> Callable[..., None]:
        PROPERTIES.append(Property(functions, given, check))
        return check

    return register
