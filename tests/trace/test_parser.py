"""Whole logs: what is sound, what is damaged, and how each damage is called."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.trace.damage import MAX_KEPT, DamageKind
from harness.trace.framing import LINE_LIMIT, split_lines
from harness.trace.parser import TEXT_LIMIT, parse_file, parse_lines, parse_log
from harness.trace.trace import Trace
from tests.trace.logs import end, hello, line, numbered, short_log, sound_logs

TICK = line("tick", 1, 0, 5, n=1)
SHORT = [hello(), TICK, line("tick", 2, 1, 6, n=1), end(3)]


def kinds(trace: Trace) -> set[DamageKind]:
    return set(trace.damage_counts)


def test_a_sound_log_gives_its_events_notes_and_text() -> None:
    lines = [hello(), b"KTAP version 1\r\n", b"[SCHED] two words\n", TICK, end(2)]
    trace = parse_lines(lines)
    assert trace.sound, trace.damages
    assert [event.name for event in trace.events] == ["hello", "tick", "end"]
    assert [(note.number, note.text) for note in trace.notes] == [(3, "two words")]
    assert [(text.number, text.text) for text in trace.text] == [(2, "KTAP version 1")]
    assert trace.hello is not None
    assert trace.end is not None
    assert trace.cpus == {0}
    assert trace.lines == 5


@given(sound_logs())
def test_lines_may_arrive_out_of_order_and_are_sorted(lines: list[bytes]) -> None:
    trace = parse_lines(lines)
    assert trace.sound, (numbered(lines), trace.damages)
    assert [event.seq for event in trace.events] == list(range(len(trace.events)))


def test_the_log_of_a_kernel_that_writes_no_events_is_notes() -> None:
    log = (
        b"[SCHED] Initializing scheduler\n"
        b"[SCHED] Created idle task with TID: 1\n"
        b"[SCHED] 2 tasks ready\n"
        b"VeridianOS booted\n"
    )
    trace = parse_log(log)
    assert [note.text for note in trace.notes] == [
        "Initializing scheduler",
        "Created idle task with TID: 1",
        "2 tasks ready",
    ]
    assert kinds(trace) == {DamageKind.MISSING_HELLO, DamageKind.MISSING_END}


def test_the_monitor_prompt_may_stand_before_a_log_line_and_at_the_end() -> None:
    trace = parse_log(b"".join([hello(), b"sched> " + TICK, b"sched> p\x08\x08ps\n", end(2)]))
    assert trace.sound, trace.damages
    assert [event.seq for event in trace.events] == [0, 1, 2]
    assert parse_log(b"".join([*SHORT, b"sched> "])).sound
    assert not parse_log(b"".join([*SHORT, b"sched> [SCHED] 7 "])).sound


DAMAGED: list[tuple[str, list[bytes], DamageKind]] = [
    ("nothing at all", [], DamageKind.MISSING_HELLO),
    ("no end", SHORT[:-1], DamageKind.MISSING_END),
    ("no hello", SHORT[1:], DamageKind.MISSING_HELLO),
    ("an event before hello", [TICK, hello(), end(2)], DamageKind.MISPLACED),
    ("an event after the end", [hello(), end(2), TICK], DamageKind.MISPLACED),
    ("hello with another seq", [hello(1), end(2)], DamageKind.MISPLACED),
    ("a second hello", [hello(), hello(1), end(2)], DamageKind.MISPLACED),
    ("a second end", [hello(), end(1), end(2)], DamageKind.MISPLACED),
    ("another protocol", [hello(proto=2), end(1)], DamageKind.WRONG_PROTOCOL),
    ("a CPU too many", [hello(cpus=1), line("tick", 1, 1, n=1), end(2)], DamageKind.WRONG_CPU),
    ("a line lost", [*SHORT[:2], *SHORT[3:]], DamageKind.GAP),
    ("a line twice", [*SHORT[:2], TICK, *SHORT[2:]], DamageKind.DUPLICATE),
    ("one seq twice", [hello(), TICK, line("tick", 1, 1, n=7), end(2)], DamageKind.DUPLICATE),
    ("a count too high", [hello(), end(1, events=3)], DamageKind.WRONG_COUNT),
    ("events dropped", [hello(), end(1, dropped=1)], DamageKind.DROPPED),
    ("the last newline lost", [*SHORT[:-1], SHORT[-1][:-1]], DamageKind.CUT_LINE),
    ("half a prefix", [*SHORT[:-1], b"[SCH"], DamageKind.CUT_LINE),
    ("wrong checksum", [hello(), TICK.replace(b"n=1", b"n=3"), end(2)], DamageKind.BAD_CHECKSUM),
    ("no checksum", [hello(), TICK.partition(b" *")[0] + b"\n", end(2)], DamageKind.TORN_LINE),
    ("cut before the event", [hello(), b"[SCHED] 1 0\n", end(2)], DamageKind.TORN_LINE),
    ("cut in seq", [hello(), b"[SCHED] 1\n", end(2)], DamageKind.TORN_LINE),
    ("a newline lost", [hello(), TICK[:-1], end(2)], DamageKind.TORN_LINE),
    ("text before a line", [hello(), b"ok 1" + TICK, end(2)], DamageKind.TORN_LINE),
    ("a note torn", [hello(), b"[SCHED] some [SCHED] words\n", end(1)], DamageKind.TORN_LINE),
    ("an escape sequence", [hello(), b"\x1b[31mred\x1b[0m\n", end(1)], DamageKind.NOT_PRINTABLE),
    ("invalid UTF-8", [hello(), b"caf\xe9 \xff\xfe\n", end(1)], DamageKind.NOT_PRINTABLE),
    ("UTF-8", [hello(), "[SCHED] caf\u00e9\n".encode(), end(1)], DamageKind.NOT_PRINTABLE),
    ("zeros", [hello(), b"\0\0\0\0\n", end(1)], DamageKind.NOT_PRINTABLE),
    ("an overlong line", [hello(), b"x" * 5000 + b"\n", end(1)], DamageKind.OVERLONG_LINE),
    (
        "an unknown event",
        [hello(), b"[SCHED] 1 0 0 tock n=1 *40\n", end(2)],
        DamageKind.UNKNOWN_EVENT,
    ),
    (
        "a field too few",
        [hello(), b"[SCHED] 1 0 0 tick *04\n", end(2)],
        DamageKind.WRONG_FIELDS,
    ),
]


@pytest.mark.parametrize(
    ("lines", "kind"), [case[1:] for case in DAMAGED], ids=[case[0] for case in DAMAGED]
)
def test_each_damage_has_its_name(lines: list[bytes], kind: DamageKind) -> None:
    trace = parse_log(b"".join(lines))
    assert not trace.sound
    assert kind in kinds(trace), trace.damages


def test_every_kind_of_damage_is_shown_above_or_below() -> None:
    shown = {kind for _, _, kind in DAMAGED}
    assert set(DamageKind) - shown == {DamageKind.TOO_MUCH_TEXT}


def test_a_damage_says_where_and_what() -> None:
    log = b"".join([*SHORT[:2], b"[SCHED] 2 1 6 tick n=1 *ff\n", SHORT[3]])
    assert [str(damage) for damage in parse_log(log).damages] == [
        "line 3: bad checksum: checksum is ff, the bytes give 42: [SCHED] 2 1 6 tick n=1 *ff",
        "line 4: gap: seq 2 missing before this line",
    ]


Damager = Callable[[st.DataObject, list[bytes]], list[bytes]]


def pick_event(data: st.DataObject, lines: list[bytes]) -> int:
    found = [index for index, text in enumerate(lines) if b" *" in text]
    return data.draw(st.sampled_from(found))


def cut(data: st.DataObject, lines: list[bytes]) -> list[bytes]:
    whole = b"".join(lines)
    return [whole[: data.draw(st.integers(0, len(whole) - 1))]]


def tear(data: st.DataObject, lines: list[bytes]) -> list[bytes]:
    index = pick_event(data, lines)
    position = data.draw(st.integers(1, len(lines[index]) - 2))
    torn = lines[index][:position], lines[index][position:]
    return [*lines[:index], torn[0] + b"\n", torn[1], *lines[index + 1 :]]


def interleave(data: st.DataObject, lines: list[bytes]) -> list[bytes]:
    first = data.draw(st.integers(0, len(lines) - 2))
    second = data.draw(st.integers(first + 1, len(lines) - 1))
    chosen = [lines[first], lines[second]]
    rest = [text for index, text in enumerate(lines) if index not in (first, second)]
    order = random.Random(data.draw(st.integers(0, 1000)))
    mixed = bytearray()
    sources = [list(chosen[0]), list(chosen[1])]
    while any(sources):
        mixed.append(order.choice([source for source in sources if source]).pop(0))
    return [*rest[:first], bytes(mixed), *rest[first:]]


def duplicate(data: st.DataObject, lines: list[bytes]) -> list[bytes]:
    index = pick_event(data, lines)
    return [*lines[: index + 1], *lines[index:]]


def lose(data: st.DataObject, lines: list[bytes]) -> list[bytes]:
    index = pick_event(data, lines)
    return [*lines[:index], *lines[index + 1 :]]


def flip(data: st.DataObject, lines: list[bytes]) -> list[bytes]:
    index = pick_event(data, lines)
    damaged = bytearray(lines[index])
    position = data.draw(st.integers(0, len(damaged) - 1))
    damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    return [*lines[:index], bytes(damaged), *lines[index + 1 :]]


def insert(data: st.DataObject, lines: list[bytes]) -> list[bytes]:
    junk = data.draw(
        st.sampled_from([b"\x1b[2J", b"\xff\xfe", b"\x00", b"\xc3\x28", b"\x80" * 50, b"\x7f"])
    )
    whole = b"".join(lines)
    position = data.draw(st.integers(0, len(whole)))
    return [whole[:position] + junk + whole[position:]]


def flood(data: st.DataObject, lines: list[bytes]) -> list[bytes]:
    index = data.draw(st.integers(0, len(lines)))
    return [*lines[:index], b"A" * data.draw(st.integers(LINE_LIMIT, 20_000)), *lines[index:]]


@pytest.mark.parametrize("damager", [cut, tear, duplicate, lose, flip, insert, flood])
@given(lines=sound_logs(), data=st.data())
def test_damage_is_never_sound(damager: Damager, lines: list[bytes], data: st.DataObject) -> None:
    console = [text for text in lines if not text.startswith(b"sched> ")]
    damaged = damager(data, console)
    trace = parse_log(b"".join(damaged))
    assert not trace.sound, numbered(damaged)


@given(lines=sound_logs(), data=st.data())
def test_mixed_lines_are_sound_only_when_nothing_changed(
    lines: list[bytes], data: st.DataObject
) -> None:
    events = [text for text in lines if b" *" in text]
    damaged = interleave(data, events)
    unchanged = sorted(b"".join(damaged).splitlines()) == sorted(b"".join(events).splitlines())
    assert parse_log(b"".join(damaged)).sound <= unchanged, numbered(damaged)


@given(st.lists(st.binary(max_size=200), max_size=20), st.binary(max_size=50))
def test_any_bytes_parse_alike_however_they_are_cut_into_chunks(
    chunks: list[bytes], tail: bytes
) -> None:
    whole = b"\n[SCHED] ".join([*chunks, tail])
    step = max(1, len(tail))
    pieces = [whole[start : start + step] for start in range(0, len(whole), step)]
    assert parse_lines(split_lines(pieces)) == parse_log(whole)


@pytest.mark.parametrize(
    "body",
    [
        b"ok " + b" " * 4000,
        b"ok 1 " + b" # " * 1300,
        b"[SCHED] " + b"1 " * 2000,
        b"[SCHED] " + b"1" * 4000,
        b"[SCHED] 0 0 0 tick n=" + b"9" * 4000 + b" *00",
        b"[SCHED] " * 500,
        b"PANIC " + b"a=" * 2000,
        b" " * 4090,
    ],
)
def test_no_line_takes_the_reader_long(body: bytes) -> None:
    # A reader that is quadratic in the line's length needs minutes for this.
    trace = parse_lines((body + b"\n") for _ in range(500))
    assert not trace.sound
    assert trace.ktap is not None
    assert trace.panics is not None


def peak_memory(chunks: Iterator[bytes]) -> tuple[int, Trace]:
    tracemalloc.start()
    try:
        trace = parse_lines(split_lines(chunks))
        return tracemalloc.get_traced_memory()[1], trace
    finally:
        tracemalloc.stop()


def test_ten_megabytes_without_a_newline_take_no_memory() -> None:
    peak, trace = peak_memory(b"x" * 10_000 for _ in range(1000))
    assert peak < 200_000
    assert kinds(trace) >= {DamageKind.OVERLONG_LINE}


@pytest.mark.parametrize("body", [b"\xff\x00\n", b"[SCHED] 1 2\n", b"[SCHED] 0 0 0 tick n=1 *00\n"])
def test_damage_without_end_takes_bounded_memory(body: bytes) -> None:
    count = 50_000
    peak, trace = peak_memory(body * 100 for _ in range(count // 100))
    assert trace.damage_total >= count
    assert len(trace.damages) == MAX_KEPT
    kept = sum(len(text.text) for text in trace.text)
    assert peak < 1_000_000 + 100 * kept


def test_text_without_end_is_cut_and_said_so() -> None:
    body = b"y" * 4000 + b"\n"
    trace = parse_lines(body for _ in range(TEXT_LIMIT // 4000 + 5))
    assert sum(len(text.text) for text in trace.text) <= TEXT_LIMIT
    assert DamageKind.TOO_MUCH_TEXT in kinds(trace)


def test_a_saved_log_parses_like_the_bytes(tmp_path: Path) -> None:
    saved = tmp_path / "run.log"
    saved.write_bytes(short_log())
    assert parse_file(saved) == parse_log(short_log())
    assert parse_file(saved).sound
