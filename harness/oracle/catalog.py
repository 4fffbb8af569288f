"""Every rule that this project holds a run against: its name, what it says, what it is read from.

The letters: S structure, K locks, C conservation, P policy, A and B the arithmetic of a part of the
fact sheet, U unplugged CPUs, T totals and statistics, V the second policy, H the hardware below.

Two things only the checked guest can decide, because no log shows them: whether the second policy's
bitmaps and rings agree (V1), and whether a full ring has refused a task (V4; a log shows later that
another one runs than is due, P1).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.oracle.o1.laws import Law
from harness.oracle.rules import RULES
from harness.oracle.veridian import laws as veridian

LETTERS = "SKCPABUTVH"
"""The kinds of rules, in the order in which they are listed."""


class Source(enum.Enum):
    """Where a rule looks."""

    LOG = "any log"
    LOCK_LOG = "log, loglevel=2"
    """Lock and unlock are logged from that level on."""
    REPLAY_O1 = "replay, o1"
    """Every event is held against the model, which decides with the same inputs."""
    REPLAY_VERIDIAN = "replay, veridian"
    """The same for the second policy."""
    CHECKED_GUEST = "checked guest"
    """The guest looks at its own memory, at each unlock and switch (``--checked``)."""


LOCK_RULES = frozenset({"K1", "K3"})
"""The rules about events that need the locks in the log."""

CHECKED_GUEST: tuple[str, ...] = (
    *(law.value for law in Law if law.name.startswith("S") and law is not Law.S8),
    "S12 a CPU is on the stack of the task it runs, and every stack keeps its canary",
    "K1 two run-queue locks are taken in ascending order",
    "K2 a task is queued and taken off under its run queue's lock",
    "K3 a lock is released by its holder, and none is held at a halt or by a task",
    "K4 interrupts are off while a run queue is locked, and on where a task goes on",
    "K5 a task moves between run queues that are both locked",
    "K6 over a switch exactly the local run queue is locked",
    "K7 a lock is not waited for for ever",
    "P15 no interrupt is in service while a CPU changes tasks",
    "V1 a bit is set iff its ring has tasks, which are those from head to tail, and count of them",
    "V2 nr counts the waiting tasks, load is min(10 * runnable, 100)",
    "V4 a full ring refuses no task",
)
"""The rules of guest/invariant. S8, which is about all run queues at once, is for the replay."""


@dataclass(frozen=True)
class Reading:
    """What a rule says, and where that is looked at."""

    statement: str
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Entry:
    """A rule by its name, such as ``P3``; parts that look at different sides of it say so."""

    name: str
    readings: tuple[Reading, ...]

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(source for reading in self.readings for source in reading.sources)


def entries() -> list[Entry]:
    """All rules by name; one that several parts look at is listed once, with all its sources."""
    rules: dict[str, dict[str, list[Source]]] = {}
    for text, source in _texts():
        name, _, statement = text.partition(" ")
        rules.setdefault(name, {}).setdefault(statement, []).append(source)
    return sorted((_entry(name, said) for name, said in rules.items()), key=_order)


def _entry(name: str, said: Mapping[str, Sequence[Source]]) -> Entry:
    return Entry(name, tuple(Reading(words, tuple(sources)) for words, sources in said.items()))


def _texts() -> Iterator[tuple[str, Source]]:
    yield from _all((law.value for law in Law), Source.REPLAY_O1)
    for rule in RULES:
        locks = rule.name.partition(" ")[0] in LOCK_RULES
        yield rule.name, Source.LOCK_LOG if locks else Source.LOG
    yield from _all(CHECKED_GUEST, Source.CHECKED_GUEST)
    yield from _all((law.value for law in veridian.Law), Source.REPLAY_VERIDIAN)


def _all(texts: Iterable[str], source: Source) -> Iterator[tuple[str, Source]]:
    return ((text, source) for text in texts)


def _order(entry: Entry) -> tuple[int, int]:
    return LETTERS.index(entry.name[0]), int(entry.name[1:])
