"""Speed of the replay, in events per second: python -m tests.bench.replay [LOG ...]

Without a log it replays runs of the model's own machine.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from harness.oracle.o1.replay import replay
from harness.trace.grammar import format_event
from harness.trace.parser import parse_log
from tests.oracle.runs import busy_run

_JIFFIES = 5000


def main() -> None:
    """Measure parsing and replay of each log, and print a line for it."""
    for name, log in _logs():
        start = time.perf_counter()
        trace = parse_log(log)
        parsed = time.perf_counter()
        found = replay(trace)
        done = time.perf_counter()
        count = len(trace.events)
        rates = f"parse {count / (parsed - start):,.0f}/s, replay {count / (done - parsed):,.0f}/s"
        print(f"{name}: {count} events, {rates}, {'agrees' if found is None else found.rule}")


def _logs() -> Iterator[tuple[str, bytes]]:
    if sys.argv[1:]:
        for name in sys.argv[1:]:
            yield name, Path(name).read_bytes()
        return
    for cpus in (1, 4):
        events = busy_run(cpus, _JIFFIES).finish().events
        lines = b"".join(format_event(event) + b"\n" for event in events)
        yield f"model's machine, {cpus} CPUs", lines


if __name__ == "__main__":
    main()
