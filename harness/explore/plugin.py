"""Tier `plugin`: what plugin.c is told, what it says, and whether it can serve."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from harness.explore.accesses import ROOMS, functions
from harness.explore.seed import Seed
from harness.machine.plugin import find_plugin
from harness.toolchain.image import Image

SOURCE = Path(__file__).with_name("plugin.c")
NEEDED = (
    "qemu_plugin_register_vcpu_tb_trans_cb",
    "cpu_exit",
    "cpu_loop_exit_restore",
    "current_cpu",
)
"""What the plugin finds in QEMU's executable."""

STEERED = (*ROOMS, "guest/veridian/")
"""Sources that are steered: the schedulers, of which one runs, and what they lock and switch by."""

_GAP = 64
"""Bytes of padding and small functions between two ranges that become one."""
_STEPS = re.compile(r"explore: (\d+) steps")


def find_steering(qemu: str = "qemu-system-x86_64") -> Path:
    """The plugin. Raises PluginMissingError."""
    return find_plugin(SOURCE, NEEDED, qemu)


def arguments(plugin: Path, seed: Seed, ranges: tuple[tuple[int, int], ...]) -> tuple[str, ...]:
    """QEMU's arguments that steer a run by a seed, within these addresses."""
    options = [f"mode={seed.algorithm.value}", f"depth={seed.depth}"]
    options += [f"length={seed.length}", f"seed={seed.seed}"]
    options += [f"range={low:#x}-{high:#x}" for low, high in ranges]
    return ("-singlestep", "-plugin", ",".join([str(plugin), *options]))


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
        for address, size in sorted([*functions(image, STEERED), (spin.address, spin.size)]):
            if found and address - found[-1][1] < _GAP:
                found[-1] = (found[-1][0], address + size)
            else:
                found.append((address, address + size))
    return tuple(found)
