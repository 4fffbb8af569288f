"""One event line of the log and the :class:`Event` it stands for: formatting and parsing.

::

    [SCHED] <seq> <cpu> <ns> <event> [key=value ...] *<hh>

:func:`format_event` and :func:`parse_event` are inverse: a line has exactly one meaning, an event
exactly one line, so a line that differs in one byte from what the guest wrote is never accepted
unless its checksum, eight bits wide, happens to agree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from harness.trace.event_kind import EventType, Kind
from harness.trace.vocabulary import VOCABULARY, check

PREFIX = b"[SCHED] "
"""What every line of the log starts with."""

U64_MAX = 2**64 - 1

Value = int | str
"""A field's value: words and build ids are strings."""


class GrammarError(ValueError):
    """A line that claims to be an event and is not one, or an event that no line can express."""


class BadShapeError(GrammarError):
    """The line is not ``seq cpu ns event ... *hh``."""


class BadChecksumError(GrammarError):
    """The checksum does not belong to the bytes before it."""


class UnknownEventError(GrammarError):
    """The vocabulary has no event of that name."""


class WrongFieldsError(GrammarError):
    """The fields are not those of the event, or a value is out of range or oddly spelled."""


class Event(NamedTuple):
    """One event: where it comes in the order of all events, where and when, and what it says.

    A tuple rather than a dataclass because one is made for every line of a log.
    """

    seq: int
    """Position in the order of all events, from 0."""
    cpu: int
    ns: int
    """Guest clock, nanoseconds."""
    type: EventType
    values: tuple[Value, ...]
    """In the order of ``type.fields``."""

    @property
    def name(self) -> str:
        return self.type.name

    @property
    def fields(self) -> dict[str, Value]:
        """The fields by name."""
        return {
            field.name: value for field, value in zip(self.type.fields, self.values, strict=True)
        }

    def number(self, field: str) -> int:
        """The value of a numeric field; raises ``KeyError`` or ``TypeError`` when it is none."""
        value = self._value(field)
        if not isinstance(value, int):
            raise TypeError(f"field {field} of event {self.name} is a word, not a number")
        return value

    def word(self, field: str) -> str:
        """The value of a word or build-id field; raises ``KeyError`` or ``TypeError``."""
        value = self._value(field)
        if not isinstance(value, str):
            raise TypeError(f"field {field} of event {self.name} is a number, not a word")
        return value

    def _value(self, field: str) -> Value:
        for known, value in zip(self.type.fields, self.values, strict=True):
            if known.name == field:
                return value
        raise KeyError(f"event {self.name} has no field {field}")

    def __str__(self) -> str:
        return format_event(self).decode("ascii")


@dataclass(frozen=True)
class _Codec:
    """How the fields of one event type are written and read."""

    type: EventType

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        fields = "".join(f" {field.name}=({_PATTERNS[field.kind]})" for field in self.type.fields)
        return re.compile(f"({_DECIMAL}) ({_DECIMAL}) ({_DECIMAL}) {self.type.name}{fields}")

    @cached_property
    def readers(self) -> tuple[Callable[[str], Value], ...]:
        return tuple(_READERS[field.kind] for field in self.type.fields)

    @cached_property
    def numeric(self) -> bool:
        return not {field.kind for field in self.type.fields} & {Kind.WORD, Kind.BUILD_ID}


def _decimal_up_to(limit: int) -> str:
    """A pattern for the decimal numbers from 1 to ``limit``, without leading zeros.

    Deciding the range here costs nothing for the short numbers of every real log.
    """
    digits = str(limit)
    choices = [f"[1-9][0-9]{{0,{len(digits) - 2}}}"]
    for place, digit in enumerate(digits):
        lowest = 1 if place == 0 else 0
        if int(digit) > lowest:
            rest = len(digits) - place - 1
            choices.append(f"{digits[:place]}[{lowest}-{int(digit) - 1}][0-9]{{{rest}}}")
    return "|".join([*choices, digits])


_DECIMAL = "0|" + _decimal_up_to(U64_MAX)
_PATTERNS: Mapping[Kind, str] = {
    Kind.UNSIGNED: _DECIMAL,
    Kind.SIGNED: f"0|{_decimal_up_to(2**63 - 1)}|-(?:{_decimal_up_to(2**63)})",
    Kind.HEX: r"0x(?:0|[1-9a-f][0-9a-f]{0,15})",
    Kind.WORD: r"[!-~]+",
    Kind.BUILD_ID: r"[0-9a-f]{40}",
}


def _read_number(text: str) -> int:
    return int(text, 0)


_READERS: Mapping[Kind, Callable[[str], Value]] = {
    Kind.UNSIGNED: _read_number,
    Kind.SIGNED: _read_number,
    Kind.HEX: _read_number,
    Kind.WORD: str,
    Kind.BUILD_ID: str,
}

check(VOCABULARY)
_CODECS: Mapping[str, _Codec] = {event.name: _Codec(event) for event in VOCABULARY}


def checksum(payload: bytes) -> int:
    """Exclusive-or of all bytes, 0..255, as in NMEA 0183."""
    # Halving an integer does in seven steps what a loop over bytes does in sixty.
    folded = int.from_bytes(payload, "little")
    bits = 512
    while bits < folded.bit_length():
        bits *= 2
    while bits > 512:
        bits //= 2
        folded ^= folded >> bits
    folded ^= folded >> 256
    folded ^= folded >> 128
    folded ^= folded >> 64
    folded ^= folded >> 32
    folded ^= folded >> 16
    return (folded ^ folded >> 8) & 0xFF


def event_type(name: str) -> EventType:
    """The vocabulary's entry of that name; raises :class:`UnknownEventError`."""
    codec = _CODECS.get(name)
    if codec is None:
        raise UnknownEventError(f"unknown event {name!r}")
    return codec.type


def make_event(name: str, /, *, seq: int, cpu: int, ns: int, fields: Mapping[str, Value]) -> Event:
    """An event of the vocabulary; raises :class:`GrammarError` when no line can express it."""
    kind = event_type(name)
    expected = [field.name for field in kind.fields]
    if sorted(expected) != sorted(fields):
        raise WrongFieldsError(f"event {name} has fields {expected}, not {sorted(fields)}")
    event = Event(seq, cpu, ns, kind, tuple(fields[field] for field in expected))
    format_event(event)
    return event


def format_event(event: Event) -> bytes:
    """The line of an event, without the newline; raises :class:`GrammarError`."""
    fields = "".join(
        f" {field.name}={_write(value, field.kind)}"
        for field, value in zip(event.type.fields, event.values, strict=True)
    )
    text = f"{event.seq} {event.cpu} {event.ns} {event.name}{fields}"
    payload = text.encode("ascii", "replace")
    try:
        expressed = _parse_payload(payload) == event
    except GrammarError:
        expressed = False
    if not expressed:
        raise WrongFieldsError(f"no line can express {text!r}")
    return b"%s%s *%02x" % (PREFIX, payload, checksum(payload))


def _write(value: Value, kind: Kind) -> str:
    if kind is Kind.HEX and isinstance(value, int):
        return f"{value:#x}"
    return str(value)


def parse_event(line: bytes) -> Event:
    """The event of a line (without its newline); raises a :class:`GrammarError` that says why."""
    if not line.startswith(PREFIX):
        raise BadShapeError(f"does not start with {PREFIX.decode()!r}")
    payload, star, found = line[len(PREFIX) :].rpartition(b" *")
    if not star or len(found) != 2:
        raise BadShapeError("has no checksum at its end")
    expected = b"%02x" % checksum(payload)
    if found != expected:
        raise BadChecksumError(f"checksum is {_show(found)}, the bytes give {_show(expected)}")
    return _parse_payload(payload)


def _parse_payload(payload: bytes) -> Event:
    try:
        text = payload.decode("ascii")
    except UnicodeDecodeError as error:
        raise BadShapeError(f"byte {payload[error.start]:#04x} is not ASCII") from None
    head = text.split(" ", 4)
    if len(head) < 4:
        raise BadShapeError("is not 'seq cpu ns event'")
    codec = _CODECS.get(head[3])
    if codec is None:
        raise UnknownEventError(f"unknown event {head[3]!r}")
    match = codec.pattern.fullmatch(text)
    if match is None:
        raise WrongFieldsError(f"is not '{_usage(codec.type)}'")
    seq, cpu, ns, *rest = match.groups()
    values: tuple[Value, ...]
    if codec.numeric:
        values = tuple([int(item, 0) for item in rest])
    else:
        values = tuple([read(item) for read, item in zip(codec.readers, rest, strict=True)])
    return Event(int(seq), int(cpu), int(ns), codec.type, values)


def _usage(event: EventType) -> str:
    fields = "".join(f" {field.name}=<{field.kind.name.lower()}>" for field in event.fields)
    return f"<seq> <cpu> <ns> {event.name}{fields}"


def _show(raw: bytes) -> str:
    return raw.decode("ascii", "backslashreplace")
