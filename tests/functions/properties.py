"""All properties there are."""

from __future__ import annotations

# Each of these registers its own.
from tests.functions import (  # noqa: F401
    arrays,
    attempts,
    births,
    busiest,
    loads,
    locking,
    migration,
    moves,
    outcomes,
    places,
    plugging,
    policies,
    priorities,
    pushes,
    running,
    searches,
    shape,
    standing,
    threads,
    wakeups,
)
from tests.functions.agreement import PROPERTIES

__all__ = ["PROPERTIES"]
