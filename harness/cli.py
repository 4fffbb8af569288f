"""The command ``harness``: boots a guest and judges it, judges a saved log, runs campaigns.

Exit status: 0 the verdict is pass; 1 it is not; 2 the command line or an input file is wrong;
3 the environment is: the guest does not build, or QEMU does not start.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from harness.commands import check, lists, run, show
from harness.commands.terminal import INTERRUPTED, err
from harness.compare import compare_command
from harness.coverage.command import coverage
from harness.explore.command import explore_command
from harness.mutate.command import mutate

app = typer.Typer(
    name="harness",
    help="Boots scheduler guests in QEMU and judges every decision they take.",
    epilog="Exit status: 0 pass, 1 not a pass, 2 bad usage or input, 3 QEMU or the build failed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run.run_command)
app.command()(check.check)
app.command()(show.show)
app.command("compare")(compare_command)
app.command("explore")(explore_command)
app.command()(mutate)
app.command()(coverage)
app.command()(lists.workloads)
app.command()(lists.events)
app.command()(lists.rules)


def main() -> NoReturn:
    """Entry point of the ``harness`` script."""
    try:
        app()
    except KeyboardInterrupt:
        err.print("harness: interrupted", markup=False)
        sys.exit(INTERRUPTED)
    sys.exit(0)


if __name__ == "__main__":
    main()
