"""Every function of policy veridian agrees with its model, in many scenes."""

from __future__ import annotations

import pytest

from tests.functions.agreement import Property
from tests.functions.guest import Guest
from tests.functions.veridian.properties import PROPERTIES


@pytest.mark.parametrize("held", PROPERTIES, ids=lambda held: held.name)
def test_the_guest_agrees_with_the_model(guest: Guest, held: Property) -> None:
    held.hold(guest)
