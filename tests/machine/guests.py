"""The small guests of `tests/guests`, as images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.toolchain.build import build_image

SOURCES = Path(__file__).parents[1] / "guests"
Guest = Callable[[str], Path]


def build(name: str, folder: Path) -> Path:
    """The image of `tests/guests/<name>.s`; building it again does nothing."""
    return build_image(
        [SOURCES / f"{name}.s"],
        folder / f"{name}.elf",
        linker_script=SOURCES / "guest.ld",
        include=[SOURCES],
    )
