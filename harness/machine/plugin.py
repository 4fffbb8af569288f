"""Plugins of QEMU's TCG: built on first use, and why one cannot serve."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from harness.machine.probe import QemuMissingError, find_qemu
from harness.toolchain.shared import NoCompilerError, shared_library

HEADER = Path(__file__).with_name("plugin.h")
"""What every plugin includes."""
FIRST_OTHER_INTERFACE = 9
"""QEMU from this version on refuses plugins of interface version 1."""


class PluginMissingError(Exception):
    """A plugin cannot serve here; the message says what is missing."""


def find_plugin(source: Path, needed: Iterable[str], qemu: str = "qemu-system-x86_64") -> Path:
    """The plugin of a C source, built if that is due; ``needed`` are functions and variables that
    it uses of QEMU's. Raises PluginMissingError.
    """
    try:
        found = find_qemu(qemu)
    except QemuMissingError as error:
        raise PluginMissingError(str(error)) from None
    if found.version[0] >= FIRST_OTHER_INTERFACE:
        version = ".".join(map(str, found.version))
        raise PluginMissingError(f"QEMU {version} takes no plugin of interface version 1")
    missing = set(needed) - _symbols(Path(shutil.which(qemu) or qemu))
    if missing:
        raise PluginMissingError(f"{qemu} was built without {', '.join(sorted(missing))}")
    try:
        return shared_library(source, [HEADER])
    except NoCompilerError as error:
        raise PluginMissingError(str(error)) from None


@lru_cache(maxsize=4)
def _symbols(executable: Path) -> frozenset[str]:
    """Names that an executable offers to what it loads."""
    try:
        with executable.open("rb") as stream:
            table: Any = ELFFile(stream).get_section_by_name(".dynsym")
            if table is None:
                return frozenset()
            return frozenset(entry.name for entry in table.iter_symbols())
    except (ELFError, OSError) as error:
        raise PluginMissingError(f"cannot read {executable}: {error}") from None
