"""Corrections of 2.6.11's known defects (fact sheet D1), each of which can be turned on alone.

Without any, which is the default, the model decides as 2.6.11 does. Where a correction takes part,
the function names it.
"""

from __future__ import annotations

import enum


class Fix(enum.IntEnum):
    """A defect's number in fact sheet D1, and what is done about it."""

    L01 = 1
    """A move that found none but pinned tasks is no failure: nobody is asked to push, and the
    domain waits twice as long, up to 512 ms."""
    L02 = 2
    """A domain that is found balanced forgets its failures."""
    L03 = 3
    """An interval is never longer than its maximum."""
    L04 = 4
    """The next attempt is counted from this one, not from when this one was due."""
    L05 = 5
    """A CPU about to idle locks no other that has a single task."""
    L06 = 6
    """A time that lies behind the one it is compared with counts as no time."""
    L07 = 7
    """Groups of unequal power: the minimum of the products, not the product of the minima, and a
    task brings along the load that it was on the CPU it leaves."""
    L08 = 8
    """A task pulled into the expired array counts for the record of what expired."""
    L09 = 9
    """A CPU that goes idle forgets the best priority that expired."""
    L10 = 10
    """A task pulled into the expired array preempts nobody but the idle task."""
    L11 = 11
    """A push goes only to the CPU that asked, and needs two tasks beside the migration thread."""
    L16 = 16
    """An attempt that finds its own CPU the busiest counts as one that found none."""


Fixes = frozenset[Fix]

NO_FIXES: Fixes = frozenset()
ALL_FIXES: Fixes = frozenset(Fix)


def fixes_of_mask(mask: int) -> Fixes:
    """The corrections of a mask in which bit n is Ln; raises ValueError for other bits."""
    fixes = frozenset(fix for fix in Fix if mask >> fix & 1)
    if unknown := mask & ~sum(1 << fix for fix in fixes):
        raise ValueError(f"no correction has bit {unknown.bit_length() - 1}")
    return fixes
