"""The vocabulary and the assembler include made from it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.trace.event_kind import EventType, Kind
from harness.trace.vocabulary import (
    MAX_FIELDS,
    VOCABULARY,
    assembler_include,
    check,
)


def assemble(source: str, directory: Path) -> dict[str, int]:
    """Assemble with GNU as; gives its symbols."""
    path = directory / "events.o"
    subprocess.run(["as", "-o", path, "-"], input=source.encode("ascii"), check=True)
    listing = subprocess.run(["nm", path], check=True, capture_output=True, text=True).stdout
    return {
        name: int(value, 16)
        for value, _, name in (row.split() for row in listing.splitlines() if len(row.split()) == 3)
    }


def rodata(path: Path) -> bytes:
    raw = path.with_suffix(".bin")
    subprocess.run(["objcopy", "-O", "binary", "-j", ".rodata", path, raw], check=True)
    return raw.read_bytes()


def test_every_event_has_a_number_and_a_described_table_entry(tmp_path: Path) -> None:
    source = assembler_include() + '.section .rodata, "a"\nEVENT_TABLE\n'
    symbols = assemble(source, tmp_path)
    data = rodata(tmp_path / "events.o")
    assert symbols["EV_COUNT"] == len(VOCABULARY)
    assert symbols["event_table"] == 0
    for number, event in enumerate(VOCABULARY):
        assert symbols[f"EV_{event.name}"] == number
        name = data[symbols[f"ev_{number}_name"] :]
        assert name.startswith(event.name.encode() + b"\0")
        expected = b"".join(
            bytes([symbols[f"FMT_{field.kind.value}"]]) + f" {field.name}=".encode() + b"\0"
            for field in event.fields
        )
        fields = data[symbols[f"ev_{number}_fields"] :]
        assert fields.startswith(expected + bytes([symbols["FMT_end"]]))


def test_the_format_codes_are_those_the_guest_counts_on() -> None:
    found = dict(re.findall(r"\.equ (FMT_\w+), (\d+)", assembler_include()))
    assert found == {
        "FMT_end": "0",
        "FMT_u": "1",
        "FMT_d": "2",
        "FMT_x": "3",
        "FMT_s": "4",
        "FMT_b": "5",
    }
    assert len(found) == len(Kind) + 1


def test_the_command_writes_the_include(tmp_path: Path) -> None:
    output = tmp_path / "new" / "events.inc"
    command = [sys.executable, "-W", "error", "-m", "harness.trace.vocabulary", "-o", str(output)]
    subprocess.run(command, check=True)
    assert output.read_text(encoding="ascii") == assembler_include()


@pytest.mark.parametrize(
    ("vocabulary", "complaint"),
    [
        ([EventType("tick", ""), EventType("tick", "")], "event tick: defined twice"),
        ([EventType("Tick", "")], "not a lower-case word"),
        ([EventType("tick", "", "n")], "field 'n' is not name:kind"),
        ([EventType("tick", "", "n:u n:x")], "two fields of one name"),
        ([EventType("tick", "", "n:q")], "'q' is not a valid Kind"),
        (
            [EventType("tick", "", " ".join(f"f{n}:u" for n in range(MAX_FIELDS + 1)))],
            "25 fields, at most 24",
        ),
    ],
)
def test_an_ambiguous_vocabulary_is_refused(vocabulary: list[EventType], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        check(vocabulary)
