"""Times and CPU sets, as text and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.workload.model import Span, Unit
from harness.workload.units import format_cpus, format_span, parse_cpus, parse_span


@given(st.builds(Span, st.integers(0, 2**63 - 1), st.sampled_from(Unit)))
def test_spans_survive(span: Span) -> None:
    assert parse_span(format_span(span)) == span


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("1ns", Span(1)),
        ("0.25us", Span(250)),
        (" 10 ms ", Span(10_000_000)),
        ("9223372036.854775807s", Span(2**63 - 1)),
        ("1 tick", Span(1, Unit.TICKS)),
        ("3ticks", Span(3, Unit.TICKS)),
    ],
)
def test_spans_are_exact(text: str, span: Span) -> None:
    assert parse_span(text) == span


@pytest.mark.parametrize("text", ["", "10", "ms", "-1ms", "1e3ns", "1 hour", "1ms2", "\u0663ms"])
def test_other_words_are_not_times(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        parse_span(text)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (Span(0), "0s"),
        (Span(1_500_000), "1500us"),
        (Span(2_000_000_000), "2s"),
        (Span(1, Unit.TICKS), "1 tick"),
    ],
)
def test_spans_are_written_in_their_largest_unit(span: Span, text: str) -> None:
    assert format_span(span) == text


@given(st.none() | st.frozensets(st.integers(0, 300), min_size=1))
def test_cpu_sets_survive(cpus: frozenset[int] | None) -> None:
    assert parse_cpus(format_cpus(cpus)) == cpus


def test_neighbours_become_ranges() -> None:
    assert format_cpus(frozenset({0, 1, 2, 5, 7, 8})) == "0-2,5,7-8"


@pytest.mark.parametrize("text", ["", "1,", "-1", "1-", "a", "1 2", "99999"])
def test_other_words_are_not_cpus(text: str) -> None:
    with pytest.raises(ValueError, match="is not a set of CPUs"):
        parse_cpus(text)
