"""All properties of this policy's functions."""

from __future__ import annotations

# Each of these registers its own.
from tests.functions.veridian import changes, figures, placing, rings, scheduling  # noqa: F401
from tests.functions.veridian.agreement import PROPERTIES

__all__ = ["PROPERTIES"]
