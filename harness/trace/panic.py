"""The guest's last words: panic reports and refusals to start."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

PANIC_PREFIX = "PANIC "
REFUSED_PREFIX = "REFUSED "

_PAIR = re.compile(r"([a-z][a-z0-9]*)=(\S+)")
_BROKEN_RULE = re.compile(r"rule ([A-Z]+[0-9]+: .*)")
_NUMBER = re.compile(r"0x[0-9a-f]{1,16}|0|[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class PanicReport:
    """What one CPU said when it gave up.  What a damaged report does not say is ``None``."""

    reason: str
    cpu: int | None = None
    vector: int | None = None
    """Exception vector; ``None`` for a panic that software raised."""
    name: str = ""
    """The exception's mnemonic, such as ``#PF``."""
    error: int | None = None
    rip: int | None = None
    cr2: int | None = None
    cr3: int | None = None
    registers: Mapping[str, int] | None = None
    backtrace: tuple[int, ...] = ()
    """Return addresses, innermost first."""
    complete: bool = False
    """Whether the report has its last line."""

    @property
    def broken_rule(self) -> str | None:
        """What a checked guest (``CHECK=1``) found broken, the rule's name first."""
        match = _BROKEN_RULE.fullmatch(self.reason)
        return match[1] if match else None

    def __str__(self) -> str:
        who = "?" if self.cpu is None else str(self.cpu)
        what = f"{self.name} " if self.name else ""
        where = "" if self.rip is None else f" at {self.rip:#x}"
        cut = "" if self.complete else " (report incomplete)"
        return f"CPU {who}: {what}{self.reason}{where}{cut}"


def parse_panics(lines: Iterable[str]) -> tuple[PanicReport, ...]:
    """The panic reports among the lines of a console, in order; never raises."""
    reports: list[PanicReport] = []
    for line in lines:
        if not line.startswith(PANIC_PREFIX):
            continue
        body = line.removeprefix(PANIC_PREFIX).strip()
        if body.startswith("cpu=") or not reports:
            reports.append(_header(body))
        else:
            reports[-1] = _extend(reports[-1], body)
    return tuple(reports)


def parse_refusals(lines: Iterable[str]) -> tuple[str, ...]:
    """Why the guest refused to start, where it did."""
    return tuple(
        line.removeprefix(REFUSED_PREFIX).strip()
        for line in lines
        if line.startswith(REFUSED_PREFIX)
    )


def _header(body: str) -> PanicReport:
    facts, _, reason = body.partition("reason=")
    pairs = dict(_PAIR.findall(facts))
    name = pairs.get("name", "-")
    return PanicReport(
        reason=reason or "no reason given",
        cpu=_number(pairs.get("cpu")),
        vector=_number(pairs.get("vector")),
        name="" if name == "-" else name,
        error=_number(pairs.get("error")),
        rip=_number(pairs.get("rip")),
        cr2=_number(pairs.get("cr2")),
        cr3=_number(pairs.get("cr3")),
    )


def _extend(report: PanicReport, body: str) -> PanicReport:
    if body == "end":
        return replace(report, complete=True)
    if body.startswith("backtrace"):
        frames = tuple(
            int(word, 16) for word in body.split()[1:] if re.fullmatch(r"0x[0-9a-f]{1,16}", word)
        )
        return replace(report, backtrace=report.backtrace + frames)
    registers = dict(report.registers or {})
    for name, text in _PAIR.findall(body):
        value = _number(text)
        if value is not None:
            registers[name] = value
    return replace(report, registers=registers)


def _number(text: str | None) -> int | None:
    return int(text, 0) if text is not None and _NUMBER.fullmatch(text) else None
