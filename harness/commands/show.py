"""``harness show``: who ran when, from a saved log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.terminal import BAD_INPUT, out, stop
from harness.report.lanes import Selection, event_list, lanes
from harness.report.timeline import timeline
from harness.trace.parser import parse_file
from harness.trace.vocabulary import VOCABULARY


def show(
    log: Annotated[
        Path,
        typer.Argument(
            metavar="LOG",
            help="A serial log, as --keep-log saves it.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ],
    cpu: Annotated[
        list[int] | None, typer.Option("--cpu", metavar="N", help="Only this CPU; repeat.")
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", metavar="NAME", help="Only this task or group of tasks; repeat."),
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option("--event", metavar="NAME", help="Mark or list only this event; repeat."),
    ] = None,
    start: Annotated[
        int | None, typer.Option("--from", metavar="NS", help="Begin at this guest time.")
    ] = None,
    end: Annotated[
        int | None, typer.Option("--to", metavar="NS", help="End at this guest time.")
    ] = None,
    as_list: Annotated[
        bool, typer.Option("--list", help="The events one by one instead of lanes.")
    ] = False,
) -> None:
    """Show who ran when: a lane for each CPU, a letter for each task.

    Below a lane: w where a task was woken onto the CPU, i where an interrupt came, x where a
    slice ended.
    """
    trace = parse_file(log)
    for name in event or []:
        if not any(name == known.name for known in VOCABULARY):
            stop(f"there is no event {name!r}; `harness events` lists them", BAD_INPUT)
    for name in task or []:
        if not any(known.called(name) for known in timeline(trace).tasks()):
            stop(f"the log has no task {name!r}", BAD_INPUT)
    wanted = Selection(
        frozenset(cpu or ()), frozenset(task or ()), frozenset(event or ()), start, end
    )
    if as_list:
        for line in event_list(trace, wanted):
            out.print(line, markup=False, soft_wrap=True)
    else:
        out.print(lanes(trace, wanted))
