"""Hypothesis strategies: events, and whole sound logs as a guest may write them."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from harness.trace.event_kind import EventType, Kind
from harness.trace.grammar import U64_MAX, Event, Value, event_type, format_event, make_event
from harness.trace.vocabulary import PROTOCOL, VOCABULARY

BUILD = "0123456789abcdef0123456789abcdef01234567"

words = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=12)
u64 = st.integers(0, U64_MAX)

VALUES: dict[Kind, st.SearchStrategy[Value]] = {
    Kind.UNSIGNED: u64,
    Kind.SIGNED: st.integers(-(2**63), 2**63 - 1),
    Kind.HEX: u64,
    Kind.WORD: words,
    Kind.BUILD_ID: st.text("0123456789abcdef", min_size=40, max_size=40),
}


PLAIN: dict[Kind, Value] = {
    Kind.UNSIGNED: 0,
    Kind.SIGNED: 0,
    Kind.HEX: 0,
    Kind.WORD: "word",
    Kind.BUILD_ID: BUILD,
}


def event(name: str, seq: int, cpu: int = 0, ns: int = 0, /, **fields: Value) -> Event:
    """An event; the fields that the test does not care for are 0, or a word."""
    filled = {field.name: PLAIN[field.kind] for field in event_type(name).fields}
    return make_event(name, seq=seq, cpu=cpu, ns=ns, fields={**filled, **fields})


def line(name: str, seq: int, cpu: int = 0, ns: int = 0, /, **fields: Value) -> bytes:
    """The line of such an event, with its newline."""
    return format_event(event(name, seq, cpu, ns, **fields)) + b"\n"


def hello(
    seq: int = 0,
    *,
    cpus: int = 4,
    build: str = BUILD,
    proto: int = PROTOCOL,
    seed: int = 1,
    clock: str = "virtual",
) -> bytes:
    """The first line of a log."""
    fields: dict[str, Value] = {"policy": "none", "hz": 1000, "clock": clock, "seed": seed}
    return line("hello", seq, **fields, proto=proto, build=build, cpus=cpus)


def end(seq: int, *, events: int | None = None, dropped: int = 0, result: str = "pass") -> bytes:
    """The last line of a log."""
    counted = seq + 1 if events is None else events
    return line("end", seq, events=counted, dropped=dropped, result=result)


def short_log(*, cpus: int = 4, ticks: int = 3, build: str = BUILD, result: str = "pass") -> bytes:
    """A sound log: every CPU comes up and ticks."""
    lines = [hello(cpus=cpus, build=build)]
    for cpu in range(cpus):
        lines.append(line("cpu_online", len(lines), cpu, 100, apic=cpu))
    for tick in range(1, ticks + 1):
        for cpu in range(cpus):
            lines.append(line("tick", len(lines), cpu, tick * 1_000_000, n=tick))
    lines.append(end(len(lines), result=result))
    return b"".join(lines)


@st.composite
def events_of(draw: st.DrawFn, kind: EventType) -> Event:
    """Any event of one type."""
    fields = {field.name: draw(VALUES[field.kind]) for field in kind.fields}
    return make_event(kind.name, seq=draw(u64), cpu=draw(u64), ns=draw(u64), fields=fields)


events = st.sampled_from(VOCABULARY).flatmap(events_of)


@st.composite
def sound_logs(draw: st.DrawFn) -> list[bytes]:
    """The lines of a sound log: events in nearly their order, notes and text between them."""
    cpus = draw(st.integers(1, 8))
    count = draw(st.integers(0, 12))
    tick = event_type("tick").name
    middle = [
        line(tick, seq, draw(st.integers(0, cpus - 1)), draw(u64), n=draw(u64))
        for seq in range(1, count + 1)
    ]
    mixed = draw(st.permutations(middle))
    others = draw(st.lists(_other_lines, max_size=4))
    body = draw(st.permutations([*mixed, *others]))
    return [hello(cpus=cpus), *body, end(count + 1)]


_other_lines = st.sampled_from(
    [
        b"[SCHED] Load balancing: migrating tasks\n",
        b"[SCHED] Warning: Task 7 has no valid CPU affinity!\n",
        b"[SCHED] 3 tasks moved\n",
        b"[SCHED] \n",
        b"KTAP version 1\n",
        b"ok 1 bits\n",
        b"tab\tseparated\n",
        b"carriage return\r\n",
        b"sched> ps\n",
        b"\n",
    ]
)


def numbered(lines: Sequence[bytes]) -> str:
    """Lines as a failing example shows them."""
    return "\n".join(f"{number:3} {text!r}" for number, text in enumerate(lines, start=1))
