"""Shared libraries of the harness's own C sources, built on first use."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from harness.toolchain.build import ROOT

FOLDER = ROOT / "build" / "shared"
COMPILERS = ("cc", "gcc", "clang")


class NoCompilerError(Exception):
    """The library cannot be built here; the message says why."""


def shared_library(source: Path, headers: Sequence[Path] = ()) -> Path:
    """The library of one C source, which may include these headers; built if that is due. Raises
    NoCompilerError.
    """
    text = b"\0".join(path.read_bytes() for path in (source, *headers))
    digest = hashlib.sha1(text, usedforsecurity=False).hexdigest()
    output = FOLDER / f"{source.stem}-{digest[:12]}.so"
    if output.exists():
        return output
    compiler = next((path for path in map(shutil.which, COMPILERS) if path), None)
    if compiler is None:
        names = ", ".join(COMPILERS)
        raise NoCompilerError(f"there is no C compiler ({names}): apt-get install gcc")
    FOLDER.mkdir(parents=True, exist_ok=True)
    # Whole or not at all: several processes may build it at once.
    temporary = output.with_suffix(f".{os.getpid()}")
    flags = ["-O2", "-Wall", "-shared", "-fPIC", *(f"-I{path.parent}" for path in headers)]
    command = [compiler, *flags, "-o", str(temporary), str(source)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        first = result.stderr.strip().partition("\n")[0]
        raise NoCompilerError(f"{compiler} cannot build {source.name}: {first}")
    temporary.replace(output)
    return output
