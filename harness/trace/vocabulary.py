"""The events that a guest can log, and the assembler include made from them.

Events are defined in :mod:`harness.trace.events` and nowhere else.  The parser reads
:data:`VOCABULARY`; the guest's assembler reads what
``python -m harness.trace.vocabulary -o events.inc`` writes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.trace.event_kind import NAME, EventType, Kind
from harness.trace.events import balance, machine, o1, veridian

PROTOCOL = 1
"""Version of the log format, the ``proto`` field of ``hello``."""

MAX_FIELDS = 24
"""Most fields one event may have: the guest's binary record is that long."""

VOCABULARY: tuple[EventType, ...] = (
    *machine.OPENING,
    *o1.EVENTS,
    *balance.EVENTS,
    *veridian.EVENTS,
    *machine.CLOSING,
)
"""Every event; the position is the event's number in the guest."""


def check(vocabulary: Sequence[EventType]) -> None:
    """Raise ``ValueError`` where a vocabulary cannot be printed or parsed without ambiguity."""
    seen: set[str] = set()
    for event in vocabulary:
        if not NAME.fullmatch(event.name):
            raise ValueError(f"event {event.name!r}: not a lower-case word")
        if event.name in seen:
            raise ValueError(f"event {event.name}: defined twice")
        seen.add(event.name)
        names = [field.name for field in event.fields]
        if len(names) > MAX_FIELDS:
            raise ValueError(f"event {event.name}: {len(names)} fields, at most {MAX_FIELDS}")
        if len(set(names)) != len(names):
            raise ValueError(f"event {event.name}: two fields of one name")


def assembler_include(vocabulary: Sequence[EventType] = VOCABULARY) -> str:
    """The GNU as include for the guest: one number per event, and the table to print them by.

    ``EVENT_TABLE`` expands, once, to ``event_table``: EV_COUNT pairs of addresses (name, fields).
    A field is a format byte and the text before its value; FMT_end ends the list.
    """
    check(vocabulary)
    return "\n".join(_include_lines(vocabulary)) + "\n"


def _include_lines(vocabulary: Sequence[EventType]) -> Iterator[str]:
    yield "# Made by python -m harness.trace.vocabulary; edit harness/trace/vocabulary.py instead."
    yield ""
    yield ".equ FMT_end, 0"
    for number, kind in enumerate(Kind, start=1):
        yield f".equ FMT_{kind.value}, {number}"
    yield ""
    yield f".equ LOG_PROTOCOL, {PROTOCOL}"
    yield f".equ EV_MAX_FIELDS, {MAX_FIELDS}"
    for number, event in enumerate(vocabulary):
        yield f".equ EV_{event.name}, {number}"
    yield f".equ EV_COUNT, {len(vocabulary)}"
    yield ""
    yield ".macro EVENT_TABLE"
    yield "    .globl event_table"
    yield "    .balign 8"
    yield "event_table:"
    for number in range(len(vocabulary)):
        yield f"    .quad ev_{number}_name, ev_{number}_fields"
    for number, event in enumerate(vocabulary):
        yield f"ev_{number}_name:"
        yield f'    .asciz "{event.name}"'
        yield f"ev_{number}_fields:"
        for field in event.fields:
            yield f"    .byte FMT_{field.kind.value}"
            yield f'    .asciz " {field.name}="'
        yield "    .byte FMT_end"
    yield ".endm"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the include; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.trace.vocabulary",
        description="Write the guest's event numbers and format table as an assembler include.",
    )
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: print)")
    output: Path | None = parser.parse_args(arguments).output
    text = assembler_include()
    if output is None:
        sys.stdout.write(text)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
