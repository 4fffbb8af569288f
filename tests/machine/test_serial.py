"""The line reader: framing, routing to log and console, bounds."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.machine.serial import CUT_MARK, LOG_PREFIX, PROMPT, LineReader

MAX_LINE = 300


def read(*chunks: bytes, max_line: int = MAX_LINE) -> tuple[list[bytes], bytes]:
    """The lines and the console's text that the chunks give."""
    reader = LineReader(max_line)
    console = b"".join(reader.feed(chunk) for chunk in chunks)
    return reader.lines, console + reader.close()


def test_log_lines_do_not_reach_the_console() -> None:
    lines, console = read(b"one\n[SCHED] two\nthree\n")
    assert lines == [b"one", b"[SCHED] two", b"three"]
    assert console == b"one\nthree\n"


def test_prompt_reaches_the_console_at_once() -> None:
    assert LineReader().feed(PROMPT) == PROMPT


@pytest.mark.parametrize("length", range(1, len(LOG_PREFIX)))
def test_what_may_become_a_log_line_is_held_back(length: int) -> None:
    reader = LineReader()
    assert reader.feed(LOG_PREFIX[:length]) == b""
    assert reader.feed(b"!") == LOG_PREFIX[:length] + b"!"


def test_log_line_after_the_prompt_is_a_line_of_its_own() -> None:
    lines, console = read(b"sched> [SCHED] 1 0 5 tick n=1 *00\nps\n")
    assert lines == [b"sched> ", b"[SCHED] 1 0 5 tick n=1 *00", b"ps"]
    assert console == b"sched> ps\n"


def test_log_prefix_in_the_middle_of_text_stays_text() -> None:
    assert read(b"see [SCHED] there\n") == ([b"see [SCHED] there"], b"see [SCHED] there\n")


def test_two_log_lines_torn_into_one_stay_one_line() -> None:
    """Judging damage is not the reader's: it must not repair what was written torn."""
    torn = b"[SCHED] 1 0 5 ti[SCHED] 2 1 5 tick *00"
    assert read(torn + b"\n") == ([torn], b"")


def test_carriage_return_before_newline_belongs_to_the_line_end() -> None:
    lines, console = read(b"[SCHED] a\r\nb\rc\r\n")
    assert lines == [b"[SCHED] a", b"b\rc"]
    assert console == b"b\rc\r\n"


def test_log_line_without_its_newline_is_marked() -> None:
    assert read(b"[SCHED] end")[0] == [b"[SCHED] end" + CUT_MARK + b"no newline>"]


def test_text_without_its_newline_is_not_damage() -> None:
    assert read(b"sched> ") == ([b"sched> "], b"sched> ")


@pytest.mark.parametrize("excess", [0, 1, 7, 5000])
def test_long_line_is_cut_with_a_mark(excess: int) -> None:
    line = LOG_PREFIX + b"x" * (MAX_LINE - len(LOG_PREFIX) + excess)
    expected = line[:MAX_LINE]
    if excess:
        expected += CUT_MARK + b"%d bytes left out>" % excess
    assert read(line + b"\nnext\n")[0] == [expected, b"next"]


def test_console_gets_all_of_a_long_line_of_text() -> None:
    text = b"y" * (3 * MAX_LINE)
    lines, console = read(text + b"\n")
    assert console == text + b"\n"
    assert lines == [text[:MAX_LINE] + CUT_MARK + b"%d bytes left out>" % (2 * MAX_LINE)]


PIECES = st.sampled_from(
    [
        b"[SCHED] ",
        b"[SCHED",
        b"[",
        b"sched> ",
        b"sched",
        b"\n",
        b"\r",
        b" ",
        b"x" * 90,
        b"\xff",
        b"7",
    ]
)


@given(pieces=st.lists(PIECES, max_size=25), cuts=st.lists(st.integers(0, 1500), max_size=12))
@example(pieces=[b"sched> ", b"[SCHED] ", b"\n"], cuts=[7, 9])
@example(pieces=[b"x" * 90] * 3 + [b"x" * 27, b"sched> ", b"[SCHED] "], cuts=[300])
def test_result_does_not_depend_on_how_reads_split_the_bytes(
    pieces: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(pieces)
    bounds = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[a:b] for a, b in itertools.pairwise(bounds)]
    whole = read(stream)
    assert read(*chunks) == whole
    assert read(*(bytes([byte]) for byte in stream)) == whole


def specified(stream: bytes) -> tuple[list[bytes], bytes]:
    """What the reader must make of a whole stream, said in the plainest way."""
    lines, console = [], b""
    *ended, last = stream.split(b"\n")
    for line, end in [(line, b"\n") for line in ended] + [(last, b"")] * bool(last):
        at = -1 if line.startswith(LOG_PREFIX) else line[:MAX_LINE].find(PROMPT + LOG_PREFIX)
        if at >= 0:
            prompt, line = line[: at + len(PROMPT)], line[at + len(PROMPT) :]
            lines.append(prompt)
            console += prompt
        is_log = line.startswith(LOG_PREFIX)
        console += b"" if is_log else line + end
        if len(line) > MAX_LINE:
            line = line[:MAX_LINE] + CUT_MARK + b"%d bytes left out>" % (len(line) - MAX_LINE)
        elif is_log and not end:
            line += CUT_MARK + b"no newline>"
        lines.append(line.removesuffix(b"\r"))
    return lines, console


@given(stream=st.lists(PIECES | st.binary(max_size=9), max_size=25).map(b"".join))
def test_any_bytes_are_framed_as_specified(stream: bytes) -> None:
    assert read(stream) == specified(stream)


def test_memory_stays_bounded_on_a_line_that_never_ends() -> None:
    reader = LineReader()
    chunk = b"[SCHED] " + b"z" * (1 << 16)
    tracemalloc.start()
    try:
        for _ in range(160):  # 10 MiB
            reader.feed(chunk)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
    reader.close()
    kept, mark = reader.lines[0].split(CUT_MARK)
    assert len(kept) == 64 << 10
    assert mark == b"%d bytes left out>" % (160 * len(chunk) - len(kept))
