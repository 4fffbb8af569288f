"""``harness workloads``, ``events`` and ``rules``: what there is."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from harness.commands.terminal import out
from harness.oracle.catalog import entries
from harness.trace.vocabulary import VOCABULARY
from harness.workload import library_names, load


def workloads() -> None:
    """List the workloads that `run` knows by name."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("workload", "CPUs", "meaning"):
        table.add_column(heading, overflow="fold")
    for name in library_names():
        value = load(name)
        table.add_row(name, str(value.cpus), value.description)
    out.print(table)


def events() -> None:
    """List the events of the log with their fields.

    The letter behind a field says how its value is written: u unsigned, d signed, x hexadecimal,
    s a word, b a build id.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("event", "fields", "meaning"):
        table.add_column(heading, overflow="fold")
    for event in VOCABULARY:
        table.add_row(event.name, Text(event.signature), event.doc)
    out.print(table)


def rules() -> None:
    """List the rules that runs are held against, and what each is read from.

    A verdict of violation names one of them.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("rule", "says", "read from"):
        table.add_column(heading, overflow="fold")
    for entry in entries():
        name = entry.name
        for reading in entry.readings:
            sources = "; ".join(source.value for source in reading.sources)
            table.add_row(name, reading.statement, sources)
            name = ""
    out.print(table)
