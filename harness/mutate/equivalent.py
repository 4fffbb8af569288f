"""Mutants that nothing can notice, because they change nothing that matters, each with the reason.

An id stands for a change at a numbered instruction of a function: whoever edits the function looks
here, too (a campaign says when an entry fits no mutant).
"""

from __future__ import annotations

from collections.abc import Mapping

EQUIVALENT: Mapping[str, str] = {
    "E1": "with one task the loop finds only the running one, which stays anyway",
    "E2": "both searches give the same from bit 0 on",
    "E8": "nobody reads a counter between the two",
}
