"""KTAP, the kernel's test protocol: results of the guest's self-tests.

The grammar is that of Linux' Documentation/dev-tools/ktap.rst: a version line, a plan, results,
diagnostics, nested tests indented beneath the result that sums them up.  Lines that are none of
these are passed over, as the format asks for; what does not add up is a *problem*.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_VERSION = re.compile(r"(?:K?TAP) version (\d+)")
_PLAN = re.compile(r"1\.\.(\d{1,9})(?:\s*#.*)?")
_RESULT = re.compile(r"(not )?ok\b(?:\s+(\d{1,9})\b)?\s*(?:- )?([^#]*?)\s*(?:#\s*(.*))?")
_DIRECTIVE = re.compile(r"(SKIP|TODO|XFAIL|TIMEOUT|ERROR)\b:?\s*(.*)", re.IGNORECASE)
_BAIL = re.compile(r"Bail out!\s*(.*)")


class Status(enum.Enum):
    """How one test ended."""

    OK = "ok"
    NOT_OK = "not ok"
    SKIPPED = "skipped"
    """Not run; the reason says why."""
    EXPECTED_FAILURE = "expected failure"
    """``not ok`` with the directive TODO or XFAIL."""

    @property
    def failed(self) -> bool:
        return self is Status.NOT_OK


@dataclass(frozen=True)
class KtapResult:
    """One result line."""

    path: str
    """Name; nested tests are ``suite/test``."""
    status: Status
    reason: str
    """What follows ``#``, without a directive."""
    diagnostics: tuple[str, ...]
    """``#`` lines since the result before."""


@dataclass(frozen=True)
class KtapReport:
    """All results of a log."""

    results: tuple[KtapResult, ...] = ()
    """In order; a nested test before the result that sums it up."""
    problems: tuple[str, ...] = ()
    """Where the report contradicts itself: plan, numbering, bail-out, no plan."""

    @property
    def present(self) -> bool:
        """Whether the log has any KTAP at all."""
        return bool(self.results or self.problems)

    @property
    def failures(self) -> tuple[KtapResult, ...]:
        return tuple(result for result in self.results if result.status.failed)

    @property
    def passed(self) -> bool:
        """No test failed and nothing is missing; true of a log without KTAP."""
        return not self.failures and not self.problems


@dataclass
class _Level:
    """The tests of one indentation."""

    indent: int
    planned: int | None = None
    seen: int = 0
    diagnostics: list[str] = field(default_factory=list)
    results: list[KtapResult] = field(default_factory=list)


def parse_ktap(lines: Iterable[str]) -> KtapReport:
    """The KTAP among the lines of a console."""
    reader = _Reader()
    for line in lines:
        reader.feed(line)
    return reader.finish()


class _Reader:
    def __init__(self) -> None:
        self._levels: list[_Level] = []
        self._done: list[KtapResult] = []
        self._problems: list[str] = []

    def feed(self, line: str) -> None:
        body = line.lstrip(" ")
        indent = len(line) - len(body)
        if _VERSION.fullmatch(body):
            self._open(indent)
        elif bail := _BAIL.match(body):
            self._problems.append(f"bailed out: {bail[1] or 'no reason given'}")
        elif plan := _PLAN.fullmatch(body):
            self._plan(indent, int(plan[1]))
        elif body.startswith("# "):
            self._diagnose(indent, body[2:])
        elif result := _RESULT.fullmatch(body):
            self._result(indent, line, result)

    def finish(self) -> KtapReport:
        while self._levels:
            self._done += self._close()
        return KtapReport(tuple(self._done), tuple(self._problems))

    def _open(self, indent: int) -> None:
        """A version line: a deeper one nests, one at the same depth starts another report."""
        while self._levels and self._levels[-1].indent >= indent:
            finished = self._close()
            (self._levels[-1].results if self._levels else self._done).extend(finished)
        self._levels.append(_Level(indent))

    def _close(self) -> list[KtapResult]:
        level = self._levels.pop()
        where = "" if level.indent == 0 else " of a nested test"
        if level.planned is None:
            self._problems.append(f"no plan (1..N){where}, {level.seen} results")
        elif level.planned != level.seen:
            self._problems.append(f"plan{where} is 1..{level.planned}, {level.seen} results")
        return level.results

    def _at(self, indent: int) -> _Level | None:
        return next((level for level in self._levels if level.indent == indent), None)

    def _plan(self, indent: int, count: int) -> None:
        level = self._at(indent)
        if level is None:
            self._problems.append(f"plan 1..{count} before a version line")
        elif level.planned is not None:
            self._problems.append(f"second plan 1..{count}")
        else:
            level.planned = count

    def _diagnose(self, indent: int, text: str) -> None:
        level = self._at(indent)
        if level is not None:
            level.diagnostics.append(text)

    def _result(self, indent: int, line: str, match: re.Match[str]) -> None:
        failed, number, name, comment = match.groups(default="")
        level = self._at(indent)
        if level is None:
            if not number:
                return  # the word "ok" at the start of some other text
            self._problems.append(f"result before a version line: {line.strip()}")
            self._levels.append(level := _Level(indent))
        nested: list[KtapResult] = []
        while self._levels[-1].indent > indent:
            nested = self._close() + nested
        level.seen += 1
        if number != str(level.seen):
            self._problems.append(
                f"result {number or 'without a number'} where {level.seen} is due"
            )
        status, reason = _judge(bool(failed), comment)
        name = name or f"test {level.seen}"
        level.results += [_beneath(name, result) for result in nested]
        level.results.append(KtapResult(name, status, reason, tuple(level.diagnostics)))
        level.diagnostics.clear()


def _judge(failed: bool, comment: str) -> tuple[Status, str]:
    directive = _DIRECTIVE.fullmatch(comment)
    if directive is None:
        return (Status.NOT_OK if failed else Status.OK), comment
    word, reason = directive[1].upper(), directive[2]
    if word == "SKIP":
        return Status.SKIPPED, reason
    if word in ("TODO", "XFAIL"):
        return (Status.EXPECTED_FAILURE if failed else Status.OK), reason
    return Status.NOT_OK, f"{word.lower()} {reason}".strip()


def _beneath(suite: str, result: KtapResult) -> KtapResult:
    return KtapResult(f"{suite}/{result.path}", result.status, result.reason, result.diagnostics)
