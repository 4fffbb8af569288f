"""What commands share: the terminal, exit statuses, how a verdict is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

from harness.oracle.verdict import Verdict
from harness.report.summary import cpu_rows, cpu_table
from harness.trace.trace import Trace

NOT_PASSED, BAD_INPUT, BAD_ENVIRONMENT, INTERRUPTED = 1, 2, 3, 130

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def stop(message: str, status: int) -> NoReturn:
    """End the command with one line that says why."""
    err.print(f"harness: {message}", markup=False, soft_wrap=True)
    raise typer.Exit(status)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say on a terminal what takes its time."""
    if not err.is_terminal:
        yield
        return
    with err.status(what):
        yield


def show_verdict(verdict: Verdict) -> None:
    """The outcome and everything that speaks for it."""
    head, _, rest = str(verdict).partition("\n")
    out.print(Text(head, style="bold green" if verdict.passed else "bold red"), soft_wrap=True)
    if rest:
        out.print(rest, markup=False, soft_wrap=True)


def show_cpus(trace: Trace) -> None:
    """What each CPU did, one row a CPU."""
    rows = cpu_rows(trace)
    if rows:
        out.print(cpu_table(rows))
