"""Exact counts of what each CPU executes in a boot: what counter.c is told and what it says."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from harness.machine.plugin import find_plugin

SOURCE = Path(__file__).with_name("counter.c")
NEEDED = ("qemu_plugin_register_vcpu_insn_exec_cb",)
"""What the plugin finds in QEMU's executable."""

Counts = dict[int, dict[int, int]]
"""By CPU and address, how often the instruction was executed."""


def find_counter(qemu: str = "qemu-system-x86_64") -> Path:
    """The plugin. Raises PluginMissingError."""
    return find_plugin(SOURCE, NEEDED, qemu)


def arguments(plugin: Path, code: range, out: Path) -> tuple[str, ...]:
    """QEMU's arguments that have it count at these addresses, and write to a file at the end."""
    options = [str(plugin), f"range={code.start:#x}-{code.stop:#x}", f"out={out}"]
    # A comma within an option is written twice.
    return ("-plugin", ",".join(option.replace(",", ",,") for option in options))


def read_counts(out: Path) -> Counts:
    """What the plugin wrote. Raises OSError where QEMU did not come to its own end."""
    counts: Counts = defaultdict(dict)
    for line in out.read_text().splitlines():
        address, cpu, count = line.split()
        counts[int(cpu)][int(address, 16)] = int(count)
    return dict(counts)
