"""The kill matrix: mutants, the rules that noticed them, and the rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from harness.mutate.campaign import Outcome
from harness.mutate.trial import Status

_STYLES = {Status.KILLED: "green", Status.SURVIVED: "bold red", Status.UNDECIDED: "yellow"}
_KILL, _NONE = "x", "."


def kill_rate(outcomes: Sequence[Outcome]) -> float:
    """Killed of 100 that ran and are not equivalent; 100 where there are none."""
    counts = Counter(outcome.status for outcome in outcomes)
    ran = counts[Status.KILLED] + counts[Status.SURVIVED]
    return 100 * counts[Status.KILLED] / ran if ran else 100.0


def rules_seen(outcomes: Sequence[Outcome]) -> list[str]:
    """The columns: rules that noticed something, by letter and number, then other ends."""
    names = {rule for outcome in outcomes for rule in outcome.rules}
    return sorted(names, key=lambda name: (not name[-1].isdigit(), _natural(name)))


def _natural(name: str) -> tuple[str, int]:
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0)


def table(outcomes: Sequence[Outcome]) -> Table:
    """Mutant x rule; what did not come to a kill is said in words."""
    rules = rules_seen(outcomes)
    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    made.add_column("mutant", no_wrap=True)
    made.add_column("result", no_wrap=True)
    for rule in rules:
        made.add_column(rule, justify="center", no_wrap=True)
    made.add_column("in", no_wrap=True)
    for outcome in sorted(outcomes, key=lambda outcome: _place(outcome)):
        marks = [_KILL if rule in outcome.rules else _NONE for rule in rules]
        where = outcome.killer.scenario if outcome.killer else ""
        status = Text(outcome.status.value, style=_STYLES.get(outcome.status, "dim"))
        made.add_row(outcome.mutant.id, status, *marks, where)
    return made


def _place(outcome: Outcome) -> tuple[str, str, int, str]:
    file, _, rest = outcome.mutant.id.partition(":")
    function, _, rest = rest.partition(":")
    number, _, operator = rest.partition(":")
    return file, function, int(number) if number.isdigit() else 0, operator


def explanations(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for each mutant that was not killed, and for what is worth a second look."""
    lines = []
    for outcome in sorted(outcomes, key=_place):
        if outcome.status is not Status.KILLED:
            why = f" ({outcome.reason})" if outcome.reason else ""
            lines.append(f"{outcome.status}: {outcome.mutant.id}: {outcome.mutant.words}{why}")
        elif outcome.mutant.expected and not set(outcome.mutant.expected) & set(outcome.rules):
            due, came = ", ".join(outcome.mutant.expected), ", ".join(outcome.rules)
            lines.append(f"noticed by another rule: {outcome.mutant.id}: {came}, not {due}")
    return lines


def summary(outcomes: Sequence[Outcome]) -> str:
    """Counts and the rate, in a line."""
    counts = Counter(outcome.status for outcome in outcomes)
    parts = [f"{counts[status]} {status}" for status in Status if counts[status]]
    return f"{len(outcomes)} mutants: {', '.join(parts)}; {kill_rate(outcomes):.1f} % killed"


def as_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "kill_rate": round(kill_rate(outcomes), 2),
        "counts": Counter(outcome.status.value for outcome in outcomes),
        "mutants": [
            {
                "id": outcome.mutant.id,
                "change": outcome.mutant.words,
                "label": outcome.mutant.label,
                "status": outcome.status.value,
                "rules": list(outcome.rules),
                "expected": list(outcome.mutant.expected),
                "boots": [
                    {"boot": boot.scenario, "rules": list(boot.rules), "reason": boot.reason}
                    for boot in outcome.boots
                ],
                "reason": outcome.reason,
            }
            for outcome in sorted(outcomes, key=_place)
        ],
    }
