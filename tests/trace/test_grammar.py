"""One event line and the event it stands for."""

from __future__ import annotations

import functools
import operator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.trace.grammar import (
    U64_MAX,
    BadChecksumError,
    BadShapeError,
    Event,
    GrammarError,
    UnknownEventError,
    WrongFieldsError,
    checksum,
    format_event,
    make_event,
    parse_event,
)
from tests.trace.logs import event, events


def sealed(payload: str) -> bytes:
    """A line with the right checksum, whatever it says."""
    raw = payload.encode("latin-1")
    return b"[SCHED] %s *%02x" % (raw, checksum(raw))


def test_a_line_as_the_contract_writes_it() -> None:
    event = make_event("ipi_send", seq=12, cpu=3, ns=4567, fields={"to": 1, "vector": 0x40})
    assert format_event(event) == b"[SCHED] 12 3 4567 ipi_send to=1 vector=0x40 *5c"
    assert event.fields == {"to": 1, "vector": 64}
    assert (event.name, event.number("to"), str(event)[-3:]) == ("ipi_send", 1, "*5c")


def test_fields_are_asked_for_by_name_and_type() -> None:
    found = event("cpus_found", 0, source="madt", count=4)
    assert (found.word("source"), found.number("count")) == ("madt", 4)
    with pytest.raises(TypeError, match="field source of event cpus_found is a word"):
        found.number("source")
    with pytest.raises(TypeError, match="field count of event cpus_found is a number"):
        found.word("count")
    with pytest.raises(KeyError, match="cpus_found has no field prio"):
        found.number("prio")


@given(events)
def test_formatting_and_parsing_are_inverse(any_event: Event) -> None:
    assert parse_event(format_event(any_event)) == any_event


@given(events, st.data())
def test_a_flipped_bit_is_always_noticed(any_event: Event, data: st.DataObject) -> None:
    line = bytearray(format_event(any_event))
    line[data.draw(st.integers(0, len(line) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(GrammarError):
        parse_event(bytes(line))


@given(events, st.data())
def test_a_line_that_lost_bytes_is_noticed(any_event: Event, data: st.DataObject) -> None:
    line = format_event(any_event)
    start = data.draw(st.integers(0, len(line) - 1))
    stop = data.draw(st.integers(start + 1, len(line)))
    # Eight bits of exclusive-or cannot see the loss of bytes that cancel each other, as in NMEA.
    assume(checksum(line[start:stop]) != 0)
    with pytest.raises(GrammarError):
        parse_event(line[:start] + line[stop:])


@given(st.binary(max_size=300))
def test_any_bytes_are_an_event_or_a_grammar_error(raw: bytes) -> None:
    for line in (raw, b"[SCHED] " + raw, sealed(raw.decode("latin-1"))):
        try:
            event = parse_event(line)
        except GrammarError:
            continue
        assert format_event(event) == line


@given(st.binary(max_size=5000))
def test_the_checksum_is_the_exclusive_or_of_all_bytes(raw: bytes) -> None:
    assert checksum(raw) == functools.reduce(operator.xor, raw, 0)


@pytest.mark.parametrize(
    ("line", "error", "complaint"),
    [
        (b"SCHED] 0 0 0 tick n=1 *00", BadShapeError, "does not start with"),
        (b"[SCHED] 0 0 0 tick n=1", BadShapeError, "no checksum at its end"),
        (b"[SCHED] 0 0 0 tick n=1 *5", BadShapeError, "no checksum at its end"),
        (b"[SCHED] 0 0 0 tick n=1 *00", BadChecksumError, "checksum is 00, the bytes give"),
        (sealed("0 0 0 tick n=1").upper(), BadChecksumError, "checksum is"),
        (sealed("0 0 0"), BadShapeError, "is not 'seq cpu ns event'"),
        (sealed("0 0 0 tick n=\xe9"), BadShapeError, "0xe9 is not ASCII"),
        (sealed("0 0 0 tock n=1"), UnknownEventError, "unknown event 'tock'"),
        (sealed("0 0 0 tick"), WrongFieldsError, "is not '<seq> <cpu> <ns> tick n=<unsigned>'"),
        (sealed("0 0 0 tick n=1 m=1"), WrongFieldsError, "is not"),
        (sealed("0 0 0 tick m=1"), WrongFieldsError, "is not"),
        (sealed("0 0 0 tick n=01"), WrongFieldsError, "is not"),
        (sealed("0 0 0 tick n=-1"), WrongFieldsError, "is not"),
        (sealed("0 0 0 tick n=+1"), WrongFieldsError, "is not"),
        (sealed("0 0 0 tick n=1_0"), WrongFieldsError, "is not"),
        (sealed("0  0 0 tick n=1"), GrammarError, "event"),
        (sealed("00 0 0 tick n=1"), WrongFieldsError, "is not"),
        (sealed("0 0 0 tick n=1 "), WrongFieldsError, "is not"),
        (sealed("0 0 0 ipi_send to=1 vector=0X40"), WrongFieldsError, "is not"),
        (sealed("0 0 0 ipi_send to=1 vector=0x040"), WrongFieldsError, "is not"),
        (sealed("0 0 0 ipi_send vector=0x40 to=1"), WrongFieldsError, "is not"),
        (sealed(f"0 0 0 tick n={U64_MAX + 1}"), WrongFieldsError, "is not"),
        (sealed("0 0 0 tick n=\n1"), WrongFieldsError, "is not"),
    ],
)
def test_each_deviation_has_its_name(
    line: bytes, error: type[GrammarError], complaint: str
) -> None:
    with pytest.raises(error, match=complaint.replace("[", r"\[").replace("<", "<")):
        parse_event(line)


@pytest.mark.parametrize("value", [0, 1, 2**63, U64_MAX - 1, U64_MAX])
def test_numbers_reach_to_the_end_of_64_bits(value: int) -> None:
    event = make_event("tick", seq=value, cpu=value, ns=value, fields={"n": value})
    assert parse_event(format_event(event)) == event


@pytest.mark.parametrize("value", [-1, U64_MAX + 1, 10**20])
def test_a_number_that_no_register_holds_cannot_be_written(value: int) -> None:
    with pytest.raises(WrongFieldsError, match="no line can express"):
        make_event("tick", seq=0, cpu=0, ns=0, fields={"n": value})


def test_an_event_outside_the_vocabulary_cannot_be_made() -> None:
    with pytest.raises(UnknownEventError, match="unknown event 'tock'"):
        make_event("tock", seq=0, cpu=0, ns=0, fields={})
    with pytest.raises(WrongFieldsError, match="event tick has fields"):
        make_event("tick", seq=0, cpu=0, ns=0, fields={"m": 1})
    with pytest.raises(WrongFieldsError, match="no line can express"):
        event("cpus_found", 0, source="a b")
