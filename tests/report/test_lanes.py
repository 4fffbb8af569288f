"""The lanes of a small run, character by character."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness.report.lanes import LETTERS, Selection, duration, event_list, lanes
from harness.trace.grammar import Event
from harness.trace.trace import Trace
from tests.trace.logs import event

MS = 1_000_000


def run(*events: Event) -> Trace:
    return Trace(tuple(e._replace(seq=seq) for seq, e in enumerate(events)))


def new(number: int, name: str) -> Event:
    return event("task_new", 0, 0, 0, task=number, name=name, parent=-1)


def switch(cpu: int, ms: int, prev: int, next: int) -> Event:
    return event("switch", 0, cpu, ms * MS, prev=prev, next=next)


SMALL = run(
    event("hello", 0, cpus=2),
    event("cpu_online", 0, 1, 0, apic=1),
    new(2, "hog/0"),
    new(3, "hog/1"),
    new(4, "sleeper"),
    switch(0, 10, 0, 2),
    switch(1, 20, 1, 4),
    switch(1, 22, 4, 1),
    event("expire", 0, 0, 20 * MS, task=2),
    switch(0, 20, 2, 3),
    event("activate", 0, 0, 30 * MS, task=4, rq=1),
    event("ipi_recv", 0, 1, 30 * MS, vector=0xFC),
    switch(1, 31, 1, 4),
    switch(1, 35, 4, 1),
    event("end", 0, 0, 40 * MS, result="pass"),
)

SMALL_LANES = """\
      0 ns       each column 1 ms        40 ms
CPU 0 ..........BBBBBBBBBBAAAAAAAAAAAAAAAAAAAA
                          x
CPU 1 ....................CC.........CCCC.....
                                    *

A hog/1 (3) 20 ms   B hog/0 (2) 10 ms
C sleeper (4) 6 ms   . idle
w wake-up   x slice ended
i interrupt from another CPU
* several of them
"""


def printed(trace: Trace, selection: Selection | None = None, *, width: int = 46) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(lanes(trace, selection))
    return capture.get()


def test_a_small_run() -> None:
    assert printed(SMALL) == SMALL_LANES


def test_one_task_of_a_group_and_a_window_of_time() -> None:
    selection = Selection(
        cpus=frozenset({1}), tasks=frozenset({"sleeper"}), start=18 * MS, end=36 * MS
    )
    assert (
        printed(SMALL, selection)
        == """\
      18 ms      each column 450 us      36 ms
CPU 1 ....AAAAA....................AAAAAAAAA..
                                w

A sleeper (4) 6 ms   . idle
w wake-up
"""
    )


def test_a_group_of_tasks_and_other_events() -> None:
    selection = Selection(tasks=frozenset({"hog"}), events=frozenset({"switch", "expire"}))
    assert (
        printed(SMALL, selection)
        == """\
      0 ns       each column 1 ms        40 ms
CPU 0 ..........BBBBBBBBBBAAAAAAAAAAAAAAAAAAAA
                s         *
CPU 1 ....................++.........++++.....

A hog/1 (3) 20 ms   B hog/0 (2) 10 ms
+ other tasks   . idle
x slice ended   s switch   * several of them
"""
    )


def test_more_tasks_than_letters() -> None:
    count = len(LETTERS) + 1
    tasks = [new(1 + n, f"t/{n}") for n in range(count)]
    turns = [switch(0, 10 * n + (n > 0), max(n, 0), n + 1) for n in range(count)]
    text = printed(run(*tasks, *turns, event("end", 0, 0, 10 * count * MS)), width=140)
    lane = text.splitlines()[1].removeprefix("CPU 0 ")
    assert set(LETTERS) <= set(lane)
    assert lane.endswith("++")
    assert "+ other tasks" in text


def test_a_number_that_is_used_again_is_another_task() -> None:
    again = event("task_new", 0, 0, 20 * MS, task=2, name="second", parent=-1)
    trace = run(
        event("hello", 0),
        new(2, "first"),
        switch(0, 0, 0, 2),
        switch(0, 20, 2, 0),
        again,
        switch(0, 30, 0, 2),
        event("end", 0, 0, 40 * MS),
    )
    text = printed(trace)
    assert "A first (2) 20 ms   B second (2) 10 ms" in text
    assert printed(trace, Selection(tasks=frozenset({"2"}))) == text


def test_the_list_names_the_tasks() -> None:
    selection = Selection(tasks=frozenset({"sleeper"}), events=frozenset({"activate", "switch"}))
    assert list(event_list(SMALL, selection)) == [
        "       6      20000.000 us  CPU 1  switch prev=1(idle) next=4(sleeper) voluntary=0",
        "       7      22000.000 us  CPU 1  switch prev=4(sleeper) next=1(idle) voluntary=0",
        "      10      30000.000 us  CPU 0  activate task=4(sleeper) rq=1 now=0 jiffies=0 irq=0"
        " this_tick=0 rq_tick=0",
        "      12      31000.000 us  CPU 1  switch prev=1(idle) next=4(sleeper) voluntary=0",
        "      13      35000.000 us  CPU 1  switch prev=4(sleeper) next=1(idle) voluntary=0",
    ]


@pytest.mark.parametrize(
    ("selection", "seqs"),
    [
        (Selection(start=31 * MS), [12, 13, 14]),
        (Selection(end=0), [0, 1, 2, 3, 4]),
        (Selection(cpus=frozenset({1}), events=frozenset({"activate"})), [10]),
        (Selection(cpus=frozenset({0}), events=frozenset({"activate"})), []),
        (Selection(tasks=frozenset({"hog/1"})), [3, 9]),
        (Selection(tasks=frozenset({"3"})), [3, 9]),
    ],
)
def test_filters(selection: Selection, seqs: list[int]) -> None:
    assert [int(line.split()[0]) for line in event_list(SMALL, selection)] == seqs


@pytest.mark.parametrize("selection", [Selection(start=50 * MS), Selection(cpus=frozenset({7}))])
def test_nothing_to_show(selection: Selection) -> None:
    assert printed(SMALL, selection) == "nothing happened there\n"


def test_an_empty_log() -> None:
    assert printed(Trace()) == "nothing happened there\n"


@given(st.integers(20, 200), st.integers(0, 39 * MS), st.integers(1, 40 * MS))
def test_lanes_fill_their_columns_whatever_the_window(width: int, start: int, length: int) -> None:
    text = printed(SMALL, Selection(start=start, end=start + length), width=width)
    lane = next(line for line in text.splitlines() if line.startswith("CPU 0 "))[6:]
    assert len(lane) == min(width - 6, length, 40 * MS - start)
    assert set(lane) <= set("ABC.")


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0 ns"), (999, "999 ns"), (1500, "1.5 us"), (10**6, "1 ms"), (12_345_678_901, "12.35 s")],
)
def test_durations(ns: int, text: str) -> None:
    assert duration(ns) == text
