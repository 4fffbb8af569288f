"""From the lines of a serial log to a :class:`Trace`.

A line is exactly one of: an *event*, a *note* (``[SCHED] `` and words), *text*, or damage.  Lines
of different CPUs may arrive out of ``seq`` order; everything else that deviates from what a guest
may write is recorded as damage, never repaired and never fatal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from harness.trace.damage import DamageKind, DamageLog, printable
from harness.trace.framing import LINE_LIMIT, read_lines, split_lines
from harness.trace.grammar import (
    PREFIX,
    BadChecksumError,
    BadShapeError,
    Event,
    GrammarError,
    UnknownEventError,
    WrongFieldsError,
    event_type,
    parse_event,
)
from harness.trace.trace import Line, Trace
from harness.trace.vocabulary import PROTOCOL

PROMPT = b"sched> "
"""The monitor's prompt, the one thing a guest prints without a newline."""

TEXT_LIMIT = 1 << 24
"""Bytes of notes and text that are kept."""

_MARK = PREFIX.rstrip()
_HELLO = event_type("hello")
_END = event_type("end")
_CLAIMS_EVENT = re.compile(rb"\d+ \d+|\d[\d ]*$|.* \*[0-9a-f]{2}$")
_UNPRINTABLE = re.compile(rb"[^\t\b -~]")

_KIND_OF_ERROR: dict[type[GrammarError], DamageKind] = {
    BadShapeError: DamageKind.TORN_LINE,
    BadChecksumError: DamageKind.BAD_CHECKSUM,
    UnknownEventError: DamageKind.UNKNOWN_EVENT,
    WrongFieldsError: DamageKind.WRONG_FIELDS,
}


def parse_lines(lines: Iterable[bytes]) -> Trace:
    """Parse lines as :func:`split_lines` gives them; whatever they hold, it does not raise."""
    parser = LogParser()
    for line in lines:
        parser.feed(line)
    return parser.finish()


def parse_log(log: bytes) -> Trace:
    """Parse a whole log."""
    return parse_lines(split_lines([log]))


def parse_file(path: Path) -> Trace:
    """Parse a saved log; raises ``OSError``."""
    return parse_lines(read_lines(path))


class LogParser:
    """Takes lines as they come; :meth:`finish` gives the trace."""

    def __init__(self) -> None:
        self._lines = 0
        self._events: list[Event] = []
        self._arrived: list[int] = []
        self._notes: list[Line] = []
        self._text: list[Line] = []
        self._text_bytes = 0
        self._damage = DamageLog()

    def feed(self, line: bytes) -> Event | None:
        """Take the next line; gives the event where the line is one."""
        self._lines += 1
        body = line.removesuffix(b"\n")
        if len(body) >= LINE_LIMIT:
            self._harm(DamageKind.OVERLONG_LINE, f"no newline in {LINE_LIMIT} bytes", body)
            return None
        if len(body) == len(line) and (not body.startswith(PROMPT) or _MARK in body):
            self._harm(DamageKind.CUT_LINE, "the log stops inside this line", body)
            return None
        if body.endswith(b"\r"):
            body = body[:-1]
        if body.startswith(PREFIX):
            return self._log_line(body)
        self._other_line(body)
        return None

    def finish(self) -> Trace:
        """Check what only the whole log can show and give the trace."""
        self._check_frame()
        events = self._ordered()
        return Trace(
            events=tuple(events),
            notes=tuple(self._notes),
            text=tuple(self._text),
            damages=tuple(self._damage.kept),
            damage_counts=self._damage.counts,
            lines=self._lines,
        )

    def _harm(self, kind: DamageKind, detail: str, raw: bytes = b"") -> None:
        self._damage.add(kind, self._lines, detail, raw)

    def _log_line(self, body: bytes) -> Event | None:
        try:
            event = parse_event(body)
        except GrammarError as error:
            rest = body[len(PREFIX) :]
            if _MARK in rest:
                self._harm(DamageKind.TORN_LINE, "a second log line starts inside this one", body)
            elif _CLAIMS_EVENT.match(rest):
                self._harm(_KIND_OF_ERROR[type(error)], str(error), body)
            else:
                self._keep(self._notes, rest)
            return None
        self._events.append(event)
        self._arrived.append(self._lines)
        return event

    def _other_line(self, body: bytes) -> None:
        position = body.find(_MARK)
        if position < 0:
            self._keep(self._text, body)
        elif body.startswith(PROMPT):
            # The monitor waits for input in the middle of a line; the log goes on after it.
            self._keep(self._text, body[:position])
            self._log_line(body[position:])
        else:
            self._harm(DamageKind.TORN_LINE, "a log line starts inside this line", body)

    def _keep(self, where: list[Line], body: bytes) -> None:
        # The monitor echoes what its user types, and takes back by a backspace what he takes back.
        if _UNPRINTABLE.search(body):
            self._harm(DamageKind.NOT_PRINTABLE, "bytes that are not printable ASCII", body)
        self._text_bytes += len(body)
        if self._text_bytes > TEXT_LIMIT:
            self._harm(DamageKind.TOO_MUCH_TEXT, f"more than {TEXT_LIMIT} bytes of text", body)
            return
        where.append(Line(self._lines, printable(body.replace(b"\t", b"        "))))

    def _check_frame(self) -> None:
        """The first event is ``hello``, the last is ``end``; both agree with what is between."""
        hellos = [index for index, event in enumerate(self._events) if event.type is _HELLO]
        ends = [index for index, event in enumerate(self._events) if event.type is _END]
        add = self._damage.add
        if not hellos:
            add(DamageKind.MISSING_HELLO, None, "the log does not say who wrote it")
        else:
            self._check_hello(hellos[0])
        if not ends:
            add(DamageKind.MISSING_END, None, "the guest did not finish its log")
        else:
            self._check_end(ends[-1])
        for index in [*hellos[1:], *ends[:-1]]:
            detail = f"a second {self._events[index].name}: the guest started again"
            add(DamageKind.MISPLACED, self._arrived[index], detail)

    def _check_hello(self, index: int) -> None:
        hello, line = self._events[index], self._arrived[index]
        if index != 0 or hello.seq != 0:
            detail = f"hello is event {index} of the log with seq {hello.seq}, not the first"
            self._damage.add(DamageKind.MISPLACED, line, detail)
        if hello.number("proto") != PROTOCOL:
            detail = f"the guest speaks protocol {hello.number('proto')}, this is {PROTOCOL}"
            self._damage.add(DamageKind.WRONG_PROTOCOL, line, detail)
        cpus = hello.number("cpus")
        for position, event in enumerate(self._events):
            if event.cpu >= cpus:
                detail = f"CPU {event.cpu} speaks, hello announces {cpus} CPUs"
                self._damage.add(DamageKind.WRONG_CPU, self._arrived[position], detail)

    def _check_end(self, index: int) -> None:
        end, line = self._events[index], self._arrived[index]
        if index != len(self._events) - 1:
            later = len(self._events) - 1 - index
            self._damage.add(DamageKind.MISPLACED, line, f"{later} events follow the end")
        if end.number("events") != end.seq + 1:
            detail = f"end has seq {end.seq} and counts {end.number('events')} events"
            self._damage.add(DamageKind.WRONG_COUNT, line, detail)
        if end.number("dropped"):
            detail = f"the guest dropped {end.number('dropped')} events"
            self._damage.add(DamageKind.DROPPED, line, detail)

    def _ordered(self) -> list[Event]:
        """The events by ``seq``, without duplicates; records gaps and duplicates."""
        if all(event.seq == index for index, event in enumerate(self._events)):
            return self._events
        ordered: list[Event] = []
        due = 0
        pairs = zip(self._events, self._arrived, strict=True)
        for event, line in sorted(pairs, key=lambda pair: pair[0].seq):
            if event.seq < due:
                self._damage.add(DamageKind.DUPLICATE, line, f"seq {event.seq} was there before")
                continue
            if event.seq > due:
                missing = f"{due}" if event.seq == due + 1 else f"{due} to {event.seq - 1}"
                self._damage.add(DamageKind.GAP, line, f"seq {missing} missing before this line")
            ordered.append(event)
            due = event.seq + 1
        return ordered
