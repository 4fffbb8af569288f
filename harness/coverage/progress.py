"""How far long work is: a bar with rate and time left on a terminal, otherwise plain lines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_PLAIN_SECONDS = 10.0


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.2f}/s" if task.speed else "")


class Meter:
    """What work reports to: `step` for each piece done, `say` for what the user should read."""

    def __init__(self, console: Console, what: str, total: int, bar: Progress | None) -> None:
        self._console, self._what, self._total, self._bar = console, what, total, bar
        self._task = None if bar is None else bar.add_task(what, total=total)
        self._done = 0
        self._began = self._told = time.monotonic()

    def step(self, note: str = "") -> None:
        self._done += 1
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=1, description=f"{self._what} {note}".strip())
            return
        now = time.monotonic()
        if now - self._told >= _PLAIN_SECONDS or self._done == self._total:
            self._told = now
            rate = self._done / max(now - self._began, 1e-3)
            left = (self._total - self._done) / rate
            words = f"{self._what}: {self._done} of {self._total}, {rate:.2f}/s, {left:.0f} s left"
            self._console.print(words, markup=False, highlight=False, soft_wrap=True)

    def say(self, words: str) -> None:
        console = self._console if self._bar is None else self._bar.console
        console.print(words, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def meter(console: Console, what: str, total: int) -> Iterator[Meter]:
    """A `Meter` on ``console`` for ``total`` pieces of work."""
    if not console.is_terminal:
        yield Meter(console, what, total, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, _Rate(), TimeRemainingColumn(), console=console) as bar:
        yield Meter(console, what, total, bar)
