"""What has to come next in a log, and what it means that it does not."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from harness.trace.event_kind import EventType
from harness.trace.grammar import Event, Value


class LawBrokenError(Exception):
    """A rule does not hold: a member of one of the policies' ``Law``."""

    def __init__(self, law: enum.Enum, detail: str) -> None:
        super().__init__(detail)
        self.law = law
        self.detail = detail


def expect(law: enum.Enum, what: str, seen: object, due: object) -> None:
    """Hold a value of the log against the model's; raises :class:`LawBrokenError`."""
    if seen != due:
        raise LawBrokenError(law, f"{what} is {seen} in the log, {due} in the model")


class Prediction:
    """An event that has to come next on a CPU. A value of ``None`` is not foretold."""

    __slots__ = ("name", "type", "values")

    def __init__(self, kind: EventType, values: tuple[Value | None, ...]) -> None:
        self.type = kind
        self.name = kind.name
        self.values = values

    def matches(self, event: Event) -> bool:
        return self.name == event.type.name and not self.differing(event)

    def differing(self, event: Event) -> list[str]:
        """The fields in which an event of the same name differs."""
        if self.values == event.values:
            return []
        return [
            field.name
            for field, due, seen in zip(self.type.fields, self.values, event.values, strict=True)
            if due is not None and due != seen
        ]

    def toward(self, event: Event | None) -> Prediction:
        """What was due, given what came."""
        return self

    def __str__(self) -> str:
        pairs = zip(self.type.fields, self.values, strict=True)
        fields = [f"{field.name}={'?' if due is None else due}" for field, due in pairs]
        return " ".join([self.name, *fields])


class Either(Prediction):
    """One of several events has to come next."""

    __slots__ = ("alternatives",)

    def __init__(self, alternatives: Sequence[Prediction]) -> None:
        first, *_ = alternatives
        super().__init__(first.type, first.values)
        self.alternatives = alternatives

    def matches(self, event: Event) -> bool:
        return any(one.matches(event) for one in self.alternatives)

    def toward(self, event: Event | None) -> Prediction:
        same = [one for one in self.alternatives if event and one.name == event.name]
        return same[0] if same else self

    def __str__(self) -> str:
        return " or ".join(map(str, self.alternatives))


def describe(predicted: Sequence[Prediction]) -> str:
    """Predictions in words."""
    return ", then ".join(map(str, predicted)) or "nothing more of this operation"
