"""What can be wrong with a log, and a bounded collection of what was."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_KEPT = 100
"""Damages described one by one; further ones are only counted, so that a log of nothing but
damage cannot fill the memory."""

EXCERPT = 120
"""Bytes of the damaged line that are shown."""


class DamageKind(enum.Enum):
    """One way in which a log differs from what a guest may write."""

    BAD_CHECKSUM = "bad checksum"
    TORN_LINE = "torn line"
    CUT_LINE = "cut line"
    OVERLONG_LINE = "overlong line"
    NOT_PRINTABLE = "not printable"
    UNKNOWN_EVENT = "unknown event"
    WRONG_FIELDS = "wrong fields"
    WRONG_CPU = "wrong cpu"
    GAP = "gap"
    DUPLICATE = "duplicate seq"
    MISPLACED = "misplaced line"
    MISSING_HELLO = "missing hello"
    MISSING_END = "missing end"
    WRONG_PROTOCOL = "wrong protocol"
    WRONG_COUNT = "wrong count"
    DROPPED = "dropped events"
    TOO_MUCH_TEXT = "too much text"


@dataclass(frozen=True)
class Damage:
    """One damage: what, on which line (from 1; ``None`` where no line is to blame), and details."""

    kind: DamageKind
    line: int | None
    detail: str
    excerpt: str = ""

    def __str__(self) -> str:
        where = "" if self.line is None else f"line {self.line}: "
        shown = f": {self.excerpt}" if self.excerpt else ""
        return f"{where}{self.kind.value}: {self.detail}{shown}"


@dataclass
class DamageLog:
    """Collects damages: all are counted, the first :data:`MAX_KEPT` are kept."""

    kept: list[Damage] = field(default_factory=list)
    _counts: Counter[DamageKind] = field(default_factory=Counter)

    def add(self, kind: DamageKind, line: int | None, detail: str, raw: bytes = b"") -> None:
        self._counts[kind] += 1
        if len(self.kept) < MAX_KEPT:
            self.kept.append(Damage(kind, line, detail, excerpt(raw)))

    @property
    def counts(self) -> Mapping[DamageKind, int]:
        return dict(self._counts)


def excerpt(raw: bytes) -> str:
    """The beginning of a line in printable ASCII, whatever its bytes are."""
    shown = printable(raw[:EXCERPT])
    return shown + "..." if len(raw) > EXCERPT else shown


def printable(raw: bytes) -> str:
    """The bytes as printable ASCII; every other byte as ``\\xNN``."""
    return "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in raw)
