"""The properties of this policy's functions, apart from those of the other one's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.functions.agreement import Property

EXAMPLES = 150
"""Fewer than for the other policy: each of them is a whole machine."""

PROPERTIES: list[Property] = []


def agrees(
    *functions: str, given: st.SearchStrategy[tuple[Any, ...]]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a comparison as a property of these functions."""

    def register(check: Callable[..., None]) -> Callable[..., None]:
        PROPERTIES.append(Property(functions, given, check, EXAMPLES))
        return check

    return register
