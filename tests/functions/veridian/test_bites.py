"""The comparisons would notice: each function is left out, in a copy, and every time some property
must fail. Small changes are for ``harness mutate --policy veridian``, which uses the same ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis.errors import Flaky

from harness.toolchain.image import Image
from tests.functions.guest import Guest
from tests.functions.machine import RET, CallError
from tests.functions.veridian.properties import PROPERTIES

SOURCES = Path(__file__).parents[3] / "guest" / "veridian"
_FUNCTION = re.compile(r"^(?:PUBLIC|PRIVATE) (\w+)$", re.MULTILINE)
_PARTS_OF_DEFECTS = {"migrate_unlocked", "pick_runnable"}
"""What only a guest with a defect of the original executes."""
_ONLY_BOOTED = {"veridian_exec"}
"""It does nothing."""


def functions() -> list[str]:
    """Every function of the policy that is not left to boots."""
    texts = (path.read_text(encoding="ascii") for path in sorted(SOURCES.glob("*.s")))
    names = [name for text in texts for name in _FUNCTION.findall(text)]
    return [name for name in names if name not in _PARTS_OF_DEFECTS | _ONLY_BOOTED]


def noticed(guest: Guest, function: str) -> bool:
    """Whether a property that speaks about the function fails."""
    for held in PROPERTIES:
        if function in held.functions:
            try:
                held.hold(guest, shrink=False)
            # Flaky: damage that spoils memory fails once and then otherwise.
            except (AssertionError, CallError, Flaky):
                return True
    return False


def test_every_function_is_spoken_about() -> None:
    spoken = {name for held in PROPERTIES for name in held.functions}
    assert spoken >= set(functions())


@pytest.mark.parametrize("function", functions())
def test_a_function_that_does_nothing_is_noticed(image: Image, function: str) -> None:
    guest = Guest(image)
    guest.patch(image.address(function), RET)
    assert noticed(guest, function)
