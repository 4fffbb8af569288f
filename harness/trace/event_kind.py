"""What a kind of event is: a name, what it means, and its fields."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import cached_property

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""How events and their fields are named."""


class Kind(enum.Enum):
    """How one 64-bit argument of an event is printed."""

    UNSIGNED = "u"
    """Unsigned decimal."""
    SIGNED = "d"
    """Signed decimal."""
    HEX = "x"
    """``0x`` and lower-case hexadecimal digits without leading zeros."""
    WORD = "s"
    """The argument is the address of a NUL-terminated printable word without blanks."""
    BUILD_ID = "b"
    """The argument is the address of a 20-byte build id, printed as 40 hexadecimal digits."""


@dataclass(frozen=True)
class Field:
    """One ``key=value`` of an event line."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class EventType:
    """One kind of event.

    ``signature`` lists the fields in the order of the line as ``name:kind``, separated by blanks,
    ``kind`` being the letter of a :class:`Kind`.
    """

    name: str
    doc: str
    signature: str = ""

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The fields in the order of the line; raises ``ValueError`` on a bad signature."""
        fields = []
        for item in self.signature.split():
            name, colon, kind = item.partition(":")
            if not colon or not NAME.fullmatch(name):
                raise ValueError(f"event {self.name}: field {item!r} is not name:kind")
            fields.append(Field(name, Kind(kind)))
        return tuple(fields)
