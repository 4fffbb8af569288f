"""``python -m tests.functions IMAGE FUNCTION``: does a function of some image agree with the model?

Exit status: 0 it does, or nothing speaks about it; 9 it does not, and the output says where.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis.errors import Flaky

from harness.toolchain.image import Image
from tests.functions.guest import Guest
from tests.functions.machine import CallError
from tests.functions.properties import PROPERTIES
from tests.functions.veridian import properties as veridian

DISAGREES = 9


def disagreement(path: Path, function: str) -> str | None:
    """The first property that fails for a function of an image, and how."""
    with Image(path) as image:
        for held in (*PROPERTIES, *veridian.PROPERTIES):
            if function not in held.functions:
                continue
            try:
                held.hold(Guest(image), shrink=False)
            # Flaky: a function that spoils memory fails once and then otherwise.
            except (AssertionError, CallError, Flaky) as error:
                return f"{held.name}: {type(error).__name__} {error}".split("\n", 1)[0]
    return None


if __name__ == "__main__":
    found = disagreement(Path(sys.argv[1]), sys.argv[2])
    if found is not None:
        print(found)
        sys.exit(DISAGREES)
