"""All properties there are."""

from __future__ import annotations

# Each of these registers its own.
from tests.functions import arrays, busiest, loads, moves, places, priorities, searches  # noqa: F401
from tests.functions.agreement import PROPERTIES

__all__ = ["PROPERTIES"]
