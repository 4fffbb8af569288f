"""The comparisons would notice: instructions of the functions that they speak about are damaged in
turn, in a copy, and every time some property must fail.

Of the leaf functions that is every instruction, of the others every 24th; with HARNESS_BITES set,
every one, which takes a quarter of an hour.
"""

from __future__ import annotations

import os

import pytest
from hypothesis.errors import Flaky

from harness.toolchain.image import Image
from tests.functions.guest import Guest
from tests.functions.machine import CallError
from tests.functions.mutants import Mutant, leaf_functions, mutants
from tests.functions.properties import PROPERTIES

EVERY = 1 if os.environ.get("HARNESS_BITES") else 24

SPOKEN = {name for held in PROPERTIES for name in held.functions}


def noticed(image: Image, mutant: Mutant) -> bool:
    """Whether a property that speaks about the function fails on the damaged copy."""
    guest = Guest(image)
    guest.patch(mutant.address, mutant.code)
    for held in PROPERTIES:
        if mutant.function in held.functions:
            try:
                held.hold(guest, shrink=False)
            # Flaky: damage that spoils memory fails once and then otherwise.
            except (AssertionError, CallError, Flaky):
                return True
    return False


def test_every_leaf_function_is_spoken_about(image: Image) -> None:
    assert set(leaf_functions()) <= SPOKEN
    assert all(list(mutants(image, function)) for function in SPOKEN)


@pytest.mark.parametrize("function", leaf_functions())
def test_damage_is_noticed(image: Image, function: str) -> None:
    missed = [str(mutant) for mutant in mutants(image, function) if not noticed(image, mutant)]
    assert not missed


@pytest.mark.parametrize("function", sorted(SPOKEN - set(leaf_functions())))
def test_damage_of_what_calls_others_is_noticed(image: Image, function: str) -> None:
    chosen = list(mutants(image, function))[::EVERY]
    missed = [str(mutant) for mutant in chosen if not noticed(image, mutant)]
    assert not missed
