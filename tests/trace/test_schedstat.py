"""schedstat text: the order of the numbers, there and back, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.trace.schedstat import (
    CPU_COUNTERS,
    DOMAIN_COUNTERS,
    CpuLine,
    DomainLine,
    Schedstat,
    format_mask,
    format_schedstat,
    parse_schedstat,
    schedstat_of,
    schedstat_text,
)
from harness.trace.trace import Line, Trace
from tests.trace.logs import event

TEXT = """\
version 10
timestamp 4294937296
cpu0 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27
domain0 3 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18
domain1 f 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18
cpu2 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
"""


def test_numbers_are_in_the_order_of_the_code() -> None:
    stat = parse_schedstat(TEXT)
    cpu = dict(zip(CPU_COUNTERS, stat.cpus[0].counters, strict=True))
    assert stat.timestamp == 4294937296
    assert (cpu["yld_both_empty"], cpu["yld_cnt"], cpu["sched_noswitch"]) == (0, 3, 4)
    assert (cpu["alb_cnt"], cpu["ttwu_cnt"], cpu["ttwu_moved"]) == (8, 12, 13)
    assert (cpu["ttwu_attempts"], cpu["sbe_cnt"], cpu["cpu_time"]) == (14, 18, 19)
    assert (cpu["run_delay"], cpu["pcnt"]) == (20, 21)
    assert (cpu["i_gained"], cpu["i_lost"], cpu["b_gained"], cpu["n_lost"]) == (22, 23, 24, 27)
    assert [domain.span for domain in stat.cpus[0].domains] == [3, 15]
    domain = dict(zip(DOMAIN_COUNTERS, stat.cpus[0].domains[0].counters, strict=True))
    assert (domain["i_cnt"], domain["b_cnt"], domain["b_nobusyg"], domain["n_cnt"]) == (0, 5, 9, 10)
    assert (domain["sbe_pushed"], domain["sbe_attempts"]) == (15, 16)
    assert (domain["ttwu_wake_affine"], domain["ttwu_wake_balance"]) == (17, 18)


def test_text_survives_the_round_trip() -> None:
    assert format_schedstat(parse_schedstat(TEXT), nr_cpus=4) == TEXT


NUMBER = st.integers(0, 2**64 - 1)
DOMAINS = st.builds(DomainLine, st.integers(1, 2**70 - 1), st.tuples(*[NUMBER] * 19))
CHAINS = st.lists(DOMAINS, max_size=3).map(tuple)
CPUS = st.builds(CpuLine, st.integers(0, 254), st.tuples(*[NUMBER] * 28), CHAINS)


@given(st.builds(Schedstat, NUMBER, st.lists(CPUS, max_size=4).map(tuple)))
def test_any_reading_survives_the_round_trip(stat: Schedstat) -> None:
    assert parse_schedstat(format_schedstat(stat, nr_cpus=70)) == stat


@pytest.mark.parametrize(
    ("mask", "nr_cpus", "text"),
    [
        (0b11, 2, "3"),
        (0b11, 8, "03"),
        (1, 32, "00000001"),
        (1 << 32, 33, "1,00000000"),
        (1 << 40 | 1, 64, "00000100,00000001"),
    ],
)
def test_masks(mask: int, nr_cpus: int, text: str) -> None:
    assert format_mask(mask, nr_cpus) == text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version 10", "version 11", "line 1: expected 'version 10'"),
        ("timestamp 4294937296", "timestamp", "line 2: expected 'timestamp"),
        ("26 27", "26", "line 3: 27 numbers where 28 belong"),
        ("16 17 18\ndomain1", "16 17\ndomain1", "line 4: 18 numbers where 19 belong"),
        ("domain1", "domain2", "line 5: domains of a CPU are numbered from 0"),
        ("cpu0", "core0", "line 3: neither a cpu line"),
        ("cpu2 0", "cpu2 x", "line 6: invalid literal"),
    ],
)
def test_other_formats_are_refused_with_the_line(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(ValueError, match=message):
        parse_schedstat(TEXT.replace(old, new, 1))


def test_an_empty_file_has_no_timestamp() -> None:
    with pytest.raises(ValueError, match="no timestamp"):
        parse_schedstat("")


def test_the_text_is_between_its_marks() -> None:
    lines = ["schedstat begin", *TEXT.splitlines(), "schedstat end", "something else"]
    trace = Trace(text=tuple(Line(n, line) for n, line in enumerate(lines, 1)))
    assert schedstat_text(trace) == TEXT
    assert schedstat_text(Trace(text=trace.text[1:])) is None


def test_counters_of_a_log() -> None:
    events = (
        event("domain", 0, of=1, level=0, span=3),
        event("schedstat", 1, 1, sched_cnt=5),
        event("schedstat_domain", 2, 1, level=0, n_cnt=7),
        event("schedstat_moves", 3, 1, n_lost=2),
    )
    (line,) = schedstat_of(Trace(events)).cpus
    assert (line.cpu, line.counters[6], line.counters[27]) == (1, 5, 2)
    assert (line.domains[0].span, line.domains[0].counters[10]) == (3, 7)
