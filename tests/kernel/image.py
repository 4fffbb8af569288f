"""Which image is called: the project's own, or the one that somebody tries these tests with."""

from __future__ import annotations

import os
from pathlib import Path

from harness.boot import default_image

VARIABLES = {False: "KERNEL_TEST_IMAGE", True: "KERNEL_TEST_CHECKED_IMAGE"}
"""Environment variables that name another image, by whether it is a checked one."""


def image_path(*, checked: bool = False) -> Path:
    given = os.environ.get(VARIABLES[checked])
    return Path(given) if given else default_image(checked=checked)
