"""schedstat text: the order of the numbers, there and back, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.constants import Now
from harness.model.core import sched_yield, schedule
from harness.model.domain import Topology
from harness.model.stats import (
    BalanceStats,
    CpuLine,
    DomainLine,
    DomainStats,
    PullStats,
    RunqueueStats,
    Schedstat,
    format_mask,
    format_schedstat,
    parse_schedstat,
    snapshot,
)
from tests.model.build import normal, one_cpu, runqueues

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
    cpu = stat.cpus[0]
    stats = cpu.stats
    assert stat.timestamp == 4294937296
    assert (stats.yld_both_empty, stats.yld_cnt, stats.sched_noswitch, stats.alb_cnt) == (
        0,
        3,
        4,
        8,
    )
    assert (stats.ttwu_cnt, stats.ttwu_moved, stats.ttwu_attempts) == (12, 13, 14)
    assert (stats.sbe_cnt, stats.cpu_time, stats.run_delay, stats.pcnt) == (18, 19, 20, 21)
    assert stats.pt == [PullStats(22, 23), PullStats(24, 25), PullStats(26, 27)]
    assert [domain.span for domain in cpu.domains] == [3, 15]
    domain = cpu.domains[0].stats
    assert domain.lb[1] == BalanceStats(
        lb_cnt=5, lb_failed=6, lb_imbalance=7, lb_nobusyq=8, lb_nobusyg=9
    )
    assert (domain.sbe_pushed, domain.sbe_attempts) == (15, 16)
    assert (domain.ttwu_wake_affine, domain.ttwu_wake_balance) == (17, 18)


def test_text_survives_the_round_trip() -> None:
    assert format_schedstat(parse_schedstat(TEXT), nr_cpus=4) == TEXT


NUMBER = st.integers(0, 2**64 - 1)
PULLS = st.lists(st.builds(PullStats, NUMBER, NUMBER), min_size=3, max_size=3)
BALANCES = st.lists(st.builds(BalanceStats, *[NUMBER] * 5), min_size=3, max_size=3)
DOMAINS = st.builds(
    DomainLine, st.integers(1, 2**70 - 1), st.builds(DomainStats, BALANCES, *[NUMBER] * 4)
)
CPUS = st.builds(
    CpuLine,
    st.integers(0, 254),
    st.builds(RunqueueStats, *[NUMBER] * 22, pt=PULLS),
    st.lists(DOMAINS, max_size=3).map(tuple),
)


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


def test_snapshot_of_a_machine() -> None:
    rqs = runqueues(Topology(sockets=2, cores=2))
    rqs[3].stats.sched_cnt = 5
    lines = format_schedstat(snapshot(rqs, 77), nr_cpus=4).splitlines()
    assert lines[1] == "timestamp 77"
    assert [line.split()[:2] for line in lines[3:5]] == [["domain0", "3"], ["domain1", "f"]]
    assert lines[11].split()[7] == "5"


def test_time_on_the_cpu_and_time_waiting() -> None:
    a, b = normal(1), normal(2)
    rq = one_cpu(a, b)
    a.sched_info.last_queued = b.sched_info.last_queued = 10
    rq.curr = rq.idle
    schedule(rq, Now(0, 15))
    assert (a.sched_info.run_delay, a.sched_info.pcnt, a.sched_info.last_queued) == (5, 1, 0)
    sched_yield(rq, 20)
    schedule(rq, Now(0, 40))
    assert (a.sched_info.cpu_time, b.sched_info.run_delay) == (25, 30)
    assert a.sched_info.last_queued == 20
    schedule(rq, Now(0, 41))
    assert b.sched_info.pcnt == 2, "an arrival even when the CPU keeps its task"
    assert (rq.stats.cpu_time, rq.stats.run_delay, rq.stats.pcnt) == (26, 35, 3)
