"""``harness check``: judges a log that was saved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.boot import build_id_of, model_shape
from harness.commands.terminal import BAD_INPUT, NOT_PASSED, out, show_cpus, show_verdict, stop
from harness.machine import ConfigError, Topology
from harness.oracle import veridian_log
from harness.oracle.verdict import judge
from harness.trace.parser import parse_file


def check(
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
    smp: Annotated[
        int | None,
        typer.Option("--smp", metavar="N", help="CPUs that must have run (default: as it says)."),
    ] = None,
    topology: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            help="How its CPUs shared sockets and cores, as for `run` (default: as it says).",
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The kernel that must have written it.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
) -> None:
    """Judge a saved log, without booting anything.

    A log alone cannot prove everything that a pass takes: QEMU's exit status is not in it.
    What remains unproven is listed. A plain VeridianOS log is read, too: what it says is told, and
    what it cannot prove; the exit status is 1 for it, whatever it says.
    """
    try:
        shape = None if topology is None else model_shape(Topology.parse(topology))
    except ConfigError as error:
        stop(str(error), BAD_INPUT)
    trace = parse_file(log)
    plain = veridian_log.read_plain(trace)
    if plain is not None:
        out.print(veridian_log.story(plain), markup=False, soft_wrap=True)
        raise typer.Exit(NOT_PASSED)
    build_id = None if image is None else build_id_of(image)
    verdict = judge(trace, build_id=build_id, cpus=smp, topology=shape)
    show_verdict(verdict)
    for story in verdict.stories:
        out.print(f"\n{story}", markup=False, soft_wrap=True)
    show_cpus(trace)
    raise typer.Exit(0 if verdict.passed else NOT_PASSED)
