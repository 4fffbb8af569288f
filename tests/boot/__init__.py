"""Boots of the project's own guest."""

from __future__ import annotations

from typing import Any

PATIENT: dict[str, Any] = {"timeout": 600.0, "quiet": 200.0}
"""Limits for runs with more CPUs than a small and busy host has."""
