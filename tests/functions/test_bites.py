"""The comparisons would notice: every instruction of the leaf functions is damaged in turn, in a
copy, and every time some property must fail."""

from __future__ import annotations

import pytest
from hypothesis.errors import Flaky

from harness.toolchain.image import Image
from tests.functions.guest import Guest
from tests.functions.machine import CallError
from tests.functions.mutants import Mutant, leaf_functions, mutants
from tests.functions.properties import PROPERTIES

EXAMPLES = 300


def noticed(image: Image, mutant: Mutant) -> bool:
    """Whether a property that speaks about the function fails on the damaged copy."""
    guest = Guest(image)
    guest.patch(mutant.address, mutant.code)
    for held in PROPERTIES:
        if mutant.function in held.functions:
            try:
                held.hold(guest, EXAMPLES, shrink=False)
            # Flaky: damage that spoils memory fails once and then otherwise.
            except (AssertionError, CallError, Flaky):
                return True
    return False


def test_every_leaf_function_is_spoken_about(image: Image) -> None:
    spoken = {name for held in PROPERTIES for name in held.functions}
    assert spoken >= set(leaf_functions())
    assert all(list(mutants(image, function)) for function in spoken)


@pytest.mark.parametrize("function", leaf_functions())
def test_damage_is_noticed(image: Image, function: str) -> None:
    missed = [str(mutant) for mutant in mutants(image, function) if not noticed(image, mutant)]
    assert not missed
