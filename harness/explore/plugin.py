"""Tier `plugin`: builds plugin.c where that is due, and says why where it cannot serve."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from harness.explore.accesses import ROOMS, functions
from harness.explore.seed import Seed
from harness.machine.probe import QemuMissingError, find_qemu
from harness.toolchain.build import ROOT
from harness.toolchain.image import Image

SOURCE = Path(__file__).with_name("plugin.c")
FOLDER = ROOT / "build" / "explore"
COMPILERS = ("cc", "gcc", "clang")
NEEDED = (
    "qemu_plugin_register_vcpu_tb_trans_cb",
    "cpu_exit",
    "cpu_loop_exit_restore",
    "current_cpu",
)
"""What the plugin finds in QEMU's executable."""
FIRST_OTHER_INTERFACE = 9
"""QEMU from this version on refuses plugins of interface version 1."""

_GAP = 64
"""Bytes of padding and small functions between two ranges that become one."""
_STEPS = re.compile(r"explore: (\d+) steps")


class PluginMissingError(Exception):
    """The tier cannot serve here; the message says what is missing."""


@dataclass(frozen=True)
class Plugin:
    """The built plugin."""

    path: Path

    def arguments(self, seed: Seed, ranges: tuple[tuple[int, int], ...]) -> tuple[str, ...]:
        """QEMU's arguments that steer a run by a seed, within these addresses."""
        options = [f"mode={seed.algorithm.value}", f"depth={seed.depth}"]
        options += [f"length={seed.length}", f"seed={seed.seed}"]
        options += [f"range={low:#x}-{high:#x}" for low, high in ranges]
        return ("-singlestep", "-plugin", ",".join([str(self.path), *options]))


def steps_of(stderr: str) -> int:
    """Steps that a run with the plugin has counted; 0 if it did not come to its end."""
    match = _STEPS.search(stderr)
    return int(match[1]) if match else 0


@lru_cache(maxsize=32)
def scheduler_ranges(path: Path, _modified: int) -> tuple[tuple[int, int], ...]:
    """The addresses of an image that are steered: the scheduler, the locks, the wait for one."""
    with Image(path) as image:
        spin = image.symbol("relax_spin")
        found: list[tuple[int, int]] = []
        for address, size in sorted([*functions(image, ROOMS), (spin.address, spin.size)]):
            if found and address - found[-1][1] < _GAP:
                found[-1] = (found[-1][0], address + size)
            else:
                found.append((address, address + size))
    return tuple(found)


def find_plugin(qemu: str = "qemu-system-x86_64") -> Plugin:
    """The plugin, built if that is due. Raises PluginMissingError."""
    try:
        found = find_qemu(qemu)
    except QemuMissingError as error:
        raise PluginMissingError(str(error)) from None
    if found.version[0] >= FIRST_OTHER_INTERFACE:
        version = ".".join(map(str, found.version))
        raise PluginMissingError(f"QEMU {version} takes no plugin of interface version 1")
    missing = set(NEEDED) - _symbols(Path(shutil.which(qemu) or qemu))
    if missing:
        raise PluginMissingError(f"{qemu} was built without {', '.join(sorted(missing))}")
    return Plugin(_build())


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


def _build() -> Path:
    source = SOURCE.read_bytes()
    name = hashlib.sha1(source, usedforsecurity=False).hexdigest()[:12]
    output = FOLDER / f"plugin-{name}.so"
    if output.exists():
        return output
    compiler = next((path for path in map(shutil.which, COMPILERS) if path), None)
    if compiler is None:
        raise PluginMissingError(
            f"there is no C compiler ({', '.join(COMPILERS)}): apt-get install gcc"
        )
    FOLDER.mkdir(parents=True, exist_ok=True)
    temporary = output.with_suffix(".tmp")
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(temporary), str(SOURCE)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        first = result.stderr.strip().partition("\n")[0]
        raise PluginMissingError(f"{compiler} cannot build the plugin: {first}")
    temporary.replace(output)
    return output
