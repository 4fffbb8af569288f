"""Small guests for tests of the harness, built with GNU as: one writes any log a test makes up."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "guests"


class Then:
    """What the scripted guest does after its log: the first byte of its boot module."""

    PASS = b"\x10"
    FAIL = b"\x11"
    PANIC = b"\x12"
    REFUSE = b"\x13"
    HANG = b"h"
    SPIN = b"s"
    TALK = b"t"
    TRIPLE_FAULT = b"f"


def build(name: str, directory: Path, *, build_id: str) -> Path:
    """Assemble and link ``tests/guests/<name>.s``, with a build id in its note."""
    image = directory / f"{name}.elf"
    part = directory / f"{name}.o"
    source, layout = SOURCES / f"{name}.s", SOURCES / "guest.ld"
    subprocess.run(["as", "-I", str(SOURCES), "-o", str(part), str(source)], check=True)
    link = ["ld", "-T", str(layout), f"--build-id=0x{build_id}", "-o", str(image), str(part)]
    subprocess.run(link, check=True)
    return image


def script(directory: Path, log: bytes, then: bytes) -> Path:
    """The boot module that makes the scripted guest write ``log`` and end like ``then``."""
    module = directory / "script.bin"
    module.write_bytes(then + log)
    return module
