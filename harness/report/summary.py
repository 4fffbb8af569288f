"""A run at a glance: one row for each CPU."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.box import SIMPLE_HEAD
from rich.table import Table

from harness.trace.trace import Trace


@dataclass
class CpuRow:
    """What one CPU did, by its own summary where the log has one, else by its events."""

    cpu: int
    apic: int | None = None
    ticks: int = 0
    interrupts: int = 0
    switches: int = 0
    events: int = 0
    latency_running: list[int] = field(default_factory=list)
    """One-way times in ns of the interrupts that found this CPU running."""
    latency_halted: list[int] = field(default_factory=list)
    """... and halted."""


def cpu_rows(trace: Trace) -> list[CpuRow]:
    """One row for each CPU that logged anything, by number."""
    found = {cpu: CpuRow(cpu) for cpu in sorted(trace.cpus)}
    for event in trace.events:
        row = found[event.cpu]
        row.events += 1
        match event.name:
            case "cpu_online":
                row.apic = event.number("apic")
            case "tick":
                row.ticks += 1
            case "ipi_recv":
                row.interrupts += 1
            case "switch":
                row.switches += 1
            case "ipi_latency" if event.number("to") in found:
                target = found[event.number("to")]
                kind = target.latency_halted if event.number("halted") else target.latency_running
                kind.append(event.number("ns"))
    for event in trace.of("cpu_summary"):
        row = found[event.cpu]
        row.ticks = event.number("ticks")
        row.interrupts = event.number("ipis")
        row.switches = event.number("switches")
    return list(found.values())


def cpu_table(rows: Sequence[CpuRow]) -> Table:
    """The rows as a table for the terminal; latencies as median and maximum in microseconds."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("CPU", "APIC", "ticks", "IPIs", "switches", "events"):
        table.add_column(heading, justify="right")
    table.add_column("IPI to it, us", justify="right")
    table.add_column("... halted, us", justify="right")
    for row in rows:
        counts = (row.ticks, row.interrupts, row.switches, row.events)
        table.add_row(
            str(row.cpu),
            "-" if row.apic is None else str(row.apic),
            *map(str, counts),
            _latency(row.latency_running),
            _latency(row.latency_halted),
        )
    return table


def _latency(samples: Sequence[int]) -> str:
    if not samples:
        return "-"
    return f"{statistics.median(samples) / 1000:.1f} max {max(samples) / 1000:.1f}"
