"""Runs jobs in processes of their own, so that Ctrl-C ends them at once and leaves nothing behind.

A worker is ``python -m harness.coverage.pool MODULE:FUNCTION``: it calls the function with each job
it reads (a line of JSON) and answers with what that returns. Workers are killed, not asked: the
kernel then ends what they have started (see ``harness.machine.guard``). They die with their parent.
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

_LAST_LINES = 3


@dataclass(frozen=True)
class Crash:
    """A job whose worker ended or had to be ended; ``words`` are the last of its errors."""

    words: str


class _Worker:
    def __init__(self, handler: str) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        command = [sys.executable, "-m", "harness.coverage.pool", handler]
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            start_new_session=True,  # Ctrl-C in the terminal is the parent's to handle
        )
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.job: Any = None
        self.deadline = 0.0
        self._answer = b""

    def give(self, job: Any, seconds: float) -> None:
        self.job, self.deadline = job, time.monotonic() + seconds
        self.stdin.write(json.dumps(job).encode() + b"\n")

    def answer(self) -> Any:
        """The answer, ``None`` while it is not complete, a `Crash` where there will be none."""
        data = os.read(self.stdout.fileno(), 1 << 20)
        self._answer += data
        if not data:
            return Crash(self.close())
        if not self._answer.endswith(b"\n"):
            return None
        answer, self._answer = json.loads(self._answer), b""
        return answer

    def close(self) -> str:
        """Ends it; returns the last it said."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        status = self.process.wait()
        self.stdin.close()
        self.stdout.close()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        self._errors.close()
        return " | ".join(lines[-_LAST_LINES:]) or f"a worker ended with status {status}"


class Pool:
    """Some workers for one function; leaving the ``with`` block ends them."""

    def __init__(self, handler: str, workers: int, job_seconds: float = 900.0) -> None:
        """``handler`` is ``module:function``; a job may take ``job_seconds`` of wall time."""
        self._handler = handler
        self._count = max(1, workers)
        self._job_seconds = job_seconds
        self._workers: list[_Worker] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.close()
        self._workers.clear()

    def run(self, jobs: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Yields each job with its answer, or a `Crash`, in the order in which they end.

        Jobs are drawn only when a worker is free, so a generator may end early.
        """
        waiting = iter(jobs)
        with selectors.DefaultSelector() as selector:
            for _ in range(self._count):
                self._next(waiting, selector, None)
            while selector.get_map():
                yield from self._ready(waiting, selector)

    def _next(
        self, jobs: Iterator[Any], selector: selectors.BaseSelector, worker: _Worker | None
    ) -> None:
        job = next(jobs, None)
        if job is None:
            return
        if worker is None:
            worker = _Worker(self._handler)
            self._workers.append(worker)
        worker.give(job, self._job_seconds)
        selector.register(worker.stdout, selectors.EVENT_READ, worker)

    def _ready(
        self, jobs: Iterator[Any], selector: selectors.BaseSelector
    ) -> Iterator[tuple[Any, Any]]:
        busy = [key.data for key in selector.get_map().values()]
        patience = min(worker.deadline for worker in busy) - time.monotonic()
        selected = [key.data for key, _ in selector.select(max(0.0, patience))]
        overdue = [w for w in busy if w not in selected and w.deadline <= time.monotonic()]
        for worker in (*selected, *overdue):
            late = worker in overdue
            answer = Crash(f"no end within {self._job_seconds:g} s") if late else worker.answer()
            if answer is None:
                continue
            selector.unregister(worker.stdout)
            job, crashed = worker.job, isinstance(answer, Crash)
            if crashed:
                worker.close() if late else None
                self._workers.remove(worker)
            yield job, answer
            self._next(jobs, selector, None if crashed else worker)


def serve(handler: str) -> None:
    """What a worker does until its input ends."""
    module, _, function = handler.partition(":")
    handle = getattr(importlib.import_module(module), function)
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        answers.write(json.dumps(handle(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
