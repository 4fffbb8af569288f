"""All properties there are."""

from __future__ import annotations

# Each of these registers its own.
from tests.functions import (  # noqa: F401
    arrays,
    busiest,
    loads,
    moves,
    places,
    priorities,
    searches,
    standing,
)
from tests.functions.agreement import PROPERTIES

__all__ = ["PROPERTIES"]
