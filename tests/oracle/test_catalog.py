"""The list of rules is complete, and each of them is seen broken by some test."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from harness.oracle.catalog import CHECKED_GUEST, Entry, Source, entries
from harness.oracle.o1.laws import Law
from harness.oracle.rules import RULES
from harness.oracle.veridian.laws import Law as VeridianLaw

ROOT = Path(__file__).parents[2]
BROKEN = re.compile(r"^\s+BROKEN (\w+),", re.MULTILINE)


def test_every_rule_is_listed_once() -> None:
    names = [entry.name for entry in entries()]
    assert len(names) == len(set(names))
    assert {law.name for law in Law} | {law.name for law in VeridianLaw} <= set(names)
    assert {rule.name.split()[0] for rule in RULES} <= set(names)


def test_the_letters_are_in_order_and_the_numbers_ascend() -> None:
    names = [entry.name for entry in entries()]
    assert names[0] == "S1"
    assert names.index("S9") < names.index("S10") < names.index("K1") < names.index("P1")


def test_the_checked_guest_has_exactly_its_rules() -> None:
    sources = (ROOT / "guest" / "invariant").glob("*.s")
    named = {name for path in sources for name in BROKEN.findall(path.read_text())}
    assert named == {text.split()[0] for text in CHECKED_GUEST}


VERIDIAN = ROOT / "tests" / "veridian"


def _text(paths: Iterable[Path]) -> str:
    return "\n".join(path.read_text() for path in paths)


FILES = set((ROOT / "tests").rglob("test_*.py"))
THERE = set(VERIDIAN.rglob("*.py"))
TESTS_OF_VERIDIAN, TESTS = _text(THERE), _text(FILES - THERE)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_each_rule_is_seen_broken_by_a_test(entry: Entry) -> None:
    # By its name, as the verdict or the violation gives it, and not only in this file; what both
    # policies have, in the tests of both.
    name = re.escape(entry.name)
    named = re.compile(rf"Law\.{name}\b|[\"']{name}[\"' :]")
    if Source.REPLAY_VERIDIAN in entry.sources:
        assert named.search(TESTS_OF_VERIDIAN), entry
    if set(entry.sources) - {Source.REPLAY_VERIDIAN}:
        assert named.search(TESTS), entry


def test_a_rule_that_several_look_at_names_them_all() -> None:
    by_name = {entry.name: entry for entry in entries()}
    assert by_name["S1"].sources == (Source.REPLAY_O1, Source.CHECKED_GUEST)
    sources = (Source.REPLAY_O1, Source.LOCK_LOG, Source.CHECKED_GUEST)
    assert by_name["K1"].sources == sources
    first, second = by_name["P4"].readings
    assert (first.sources, second.sources) == ((Source.REPLAY_O1,), (Source.REPLAY_VERIDIAN,))


PART_C = (
    *(f"S{n}" for n in range(1, 13)),
    *(f"K{n}" for n in range(1, 8)),
    *(f"C{n}" for n in range(1, 8)),
    *(f"P{n}" for n in range(1, 18)),
    *(f"T{n}" for n in range(1, 8)),
    *(f"V{n}" for n in range(1, 8)),
)
"""The invariants of the fact sheet's part C."""


def test_no_invariant_of_the_fact_sheet_is_left_out() -> None:
    assert set(PART_C) - {entry.name for entry in entries()} == set()
