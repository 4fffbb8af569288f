"""Functions that have branches for the original's defects, called in Unicorn with those asked for.

What they do without is held against the model by tests/functions/veridian.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.boot import default_image
from harness.model.veridian.bugs import Bug
from harness.model.veridian.pick import Algorithm
from harness.model.veridian.priority import Priority
from harness.toolchain.image import Image
from tests.functions.guest import Guest
from tests.functions.veridian.kernel import Kernel
from tests.functions.veridian.scenes import EVERYWHERE, NORMALS, SLEEPS, WAITS, Actor, Scene

NICE_0 = next(standing for standing in NORMALS if standing[2] == 0)
FULL = 256


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    with Image(default_image()) as image:
        yield Guest(image)


def machine(guest: Guest, place: str, *, crowd: int = 0) -> Kernel:
    """One with a task of the first CPU, and a crowd there in the ring of its priority."""
    actor = Actor(NICE_0, 0, place, int(place == SLEEPS), EVERYWHERE, 0, 10, False, False)
    return Kernel(guest, Scene([actor], 1, 0, 5000, 1, Algorithm.PRIORITY, 0, crowd))


def test_v10_refuses_what_a_full_ring_has_no_room_for(guest: Guest) -> None:
    kernel = machine(guest, SLEEPS, crowd=FULL)
    guest.set_word("param_bug", Bug.V10.bit)
    assert kernel.quietly("queue_enqueue", kernel.memory.at(kernel.tasks[0]), kernel.here) == 0
    kernel.compare()


def test_v24_looks_in_the_ring_of_the_priority_of_today(guest: Guest) -> None:
    kernel = machine(guest, WAITS)
    at = kernel.memory.at(kernel.tasks[0])
    guest.store(guest.task, at, "prio", int(Priority.SYSTEM_HIGH))
    guest.set_word("param_bug", Bug.V24.bit)
    assert kernel.quietly("queue_remove", at, kernel.here) == 0
    guest.set_word("param_bug", 0)
    assert kernel.quietly("queue_remove", at, kernel.here) == 1
