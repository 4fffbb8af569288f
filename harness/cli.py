"""The command ``harness``: boot a guest and judge it, or judge a log that was saved.

Exit status: 0 the verdict is pass; 1 it is not; 2 the command line or an input file is wrong;
3 the environment is: the guest does not build, or QEMU does not start.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.boot import (
    WORKLOAD_PARAMS,
    Run,
    build_id_of,
    count_cpus,
    default_image,
    model_shape,
    workload_module,
)
from harness.compare import compare_command
from harness.coverage.command import coverage
from harness.explore.command import explore_command
from harness.machine import Clock, ConfigError, Ending, MachineConfig, Topology
from harness.mutate.command import mutate
from harness.oracle import veridian_log
from harness.oracle.catalog import entries
from harness.oracle.verdict import Verdict, judge
from harness.report.failure import failure_report
from harness.report.lanes import Selection, event_list, lanes
from harness.report.summary import cpu_rows, cpu_table
from harness.report.timeline import timeline
from harness.toolchain.build import BuildError
from harness.trace.parser import parse_file
from harness.trace.trace import Trace
from harness.trace.vocabulary import VOCABULARY
from harness.workload import WorkloadError, library_names, load

NOT_PASSED, BAD_INPUT, BAD_ENVIRONMENT, INTERRUPTED = 1, 2, 3, 130

app = typer.Typer(
    name="harness",
    help="Boots scheduler guests in QEMU and judges every decision they take.",
    epilog="Exit status: 0 pass, 1 not a pass, 2 bad usage or input, 3 QEMU or the build failed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


def main() -> NoReturn:
    """Entry point of the ``harness`` script."""
    try:
        app()
    except KeyboardInterrupt:
        _err.print("harness: interrupted", markup=False)
        sys.exit(INTERRUPTED)
    sys.exit(0)


app.command("compare")(compare_command)
app.command()(coverage)
app.command()(mutate)


@app.callback()
def _commands() -> None:
    """Keeps `run` a command of its own, however few commands there are."""


@app.command("run")
def run_command(
    workload: Annotated[
        str | None,
        typer.Argument(
            metavar="[WORKLOAD]",
            help="Tasks to schedule by policy o1: a name (`harness workloads` lists them), or a "
            ".yaml or .json file. Without one the guest tests itself.",
            show_default=False,
        ),
    ] = None,
    smp: Annotated[
        int | None,
        typer.Option(
            "--smp",
            metavar="N",
            help="CPUs, 1 to 255 (default: as many as the topology has, 4 without one).",
        ),
    ] = None,
    topology: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            help="How CPUs share sockets and cores: 2x2 (sockets x cores), 2x2x2 (x threads), or "
            "sockets=2,cores=2,threads=1,nodes=2 (sockets per node; nodes take q35 or pc). "
            "Without it they are cores of one socket.",
            show_default=False,
        ),
    ] = None,
    clock: Annotated[
        Clock,
        typer.Option(
            help="virtual: instructions are the clock, the same seed gives the same log byte for "
            "byte. real: CPUs run at the same time, with real races."
        ),
    ] = Clock.VIRTUAL,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the guest's choices.")] = 1,
    hz: Annotated[int, typer.Option(metavar="N", help="Timer ticks per second.")] = 1000,
    machine: Annotated[
        str, typer.Option(metavar="M", help="Machine type: microvm, q35 or pc.")
    ] = "microvm",
    accel: Annotated[
        str, typer.Option(metavar="A", help="tcg, or kvm (with --clock real).")
    ] = "tcg",
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="K=V", help="Boot parameter of the guest; repeat."),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Kernel to boot instead of this project's, which is built when due.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    module: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Boot module for the guest.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    memory: Annotated[int, typer.Option(metavar="MIB", help="Memory of the machine.")] = 64,
    timeout: Annotated[
        float, typer.Option(metavar="S", help="End the run after S seconds.")
    ] = 60.0,
    quiet: Annotated[
        float, typer.Option(metavar="S", help="End the run after S seconds of silence.")
    ] = 10.0,
    qemu: Annotated[str, typer.Option(metavar="PATH", help="QEMU to run.")] = "qemu-system-x86_64",
    keep_log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the serial log; `check` reads it.")
    ] = None,
    checked: Annotated[
        bool,
        typer.Option(
            "--checked",
            help="Boot the guest that verifies its run queues at every unlock; slower.",
        ),
    ] = False,
) -> None:
    """Boot a guest, judge the run, and show what each CPU did.

    Without options it boots this project's guest with four CPUs under the virtual clock.
    """
    params = dict(_parse_param(item) for item in param or [])
    modules = tuple(module or ())
    if checked and image is not None:
        _stop("--checked is a build of this project's guest: leave out --image", BAD_INPUT)
    try:
        if workload is not None:
            modules = (workload_module(workload), *modules)
            params = {**WORKLOAD_PARAMS, **params}
        with _working("building the guest"):
            path = default_image(checked=checked) if image is None else image
        shape = None if topology is None else Topology.parse(topology)
        config = MachineConfig(
            image=path,
            cpus=count_cpus(smp, shape),
            topology=shape,
            clock=clock,
            hz=hz,
            machine=machine,
            accel=accel,
            memory_mib=memory,
            modules=modules,
            timeout=timeout,
            quiet=quiet,
            qemu=qemu,
            params={"seed": seed, **params},
        )
        run = Run(
            config,
            build_id=build_id_of(path),
            default_image=image is None and not checked,
            workload=workload,
        )
    except BuildError as error:
        _stop(f"the guest does not build:\n{error}", BAD_ENVIRONMENT)
    except (ConfigError, WorkloadError) as error:
        _stop(str(error), BAD_INPUT)
    with run, _working(f"running on {config.cpus} CPUs, at most {timeout:g} s"):
        run.verdict  # noqa: B018 - waits for the end while the spinner turns
    if keep_log is not None:
        _save(run, keep_log)
    _show_run(run)
    if run.result.ending is Ending.START_FAILED:
        raise typer.Exit(BAD_ENVIRONMENT)
    raise typer.Exit(0 if run.passed else NOT_PASSED)


@app.command()
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
        _stop(str(error), BAD_INPUT)
    trace = parse_file(log)
    plain = veridian_log.read_plain(trace)
    if plain is not None:
        _out.print(veridian_log.story(plain), markup=False, soft_wrap=True)
        raise typer.Exit(NOT_PASSED)
    build_id = None if image is None else build_id_of(image)
    verdict = judge(trace, build_id=build_id, cpus=smp, topology=shape)
    _show_verdict(verdict)
    for story in verdict.stories:
        _out.print(f"\n{story}", markup=False, soft_wrap=True)
    _show_cpus(trace)
    raise typer.Exit(0 if verdict.passed else NOT_PASSED)


@app.command()
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
            _stop(f"there is no event {name!r}; `harness events` lists them", BAD_INPUT)
    for name in task or []:
        if not any(known.called(name) for known in timeline(trace).tasks()):
            _stop(f"the log has no task {name!r}", BAD_INPUT)
    wanted = Selection(
        frozenset(cpu or ()), frozenset(task or ()), frozenset(event or ()), start, end
    )
    if as_list:
        for line in event_list(trace, wanted):
            _out.print(line, markup=False, soft_wrap=True)
    else:
        _out.print(lanes(trace, wanted))


@app.command()
def workloads() -> None:
    """List the workloads that `run` knows by name."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("workload", "CPUs", "meaning"):
        table.add_column(heading, overflow="fold")
    for name in library_names():
        value = load(name)
        table.add_row(name, str(value.cpus), value.description)
    _out.print(table)


@app.command()
def events() -> None:
    """List the events of the log with their fields.

    The letter behind a field says how its value is written: u unsigned, d signed, x hexadecimal,
    s a word, b a build id.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("event", "fields", "meaning"):
        table.add_column(heading, overflow="fold")
    for event in VOCABULARY:
        table.add_row(event.name, Text(event.signature), event.doc)
    _out.print(table)


@app.command()
def rules() -> None:
    """List the rules that runs are held against, and what each is read from.

    A verdict of violation names one of them.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("rule", "says", "read from"):
        table.add_column(heading, overflow="fold")
    for entry in entries():
        table.add_row(entry.name, entry.statement, "; ".join(s.value for s in entry.sources))
    _out.print(table)


app.command("explore")(explore_command)


def _parse_param(item: str) -> tuple[str, str]:
    key, equals, value = item.partition("=")
    if not equals or not key.isidentifier():
        raise typer.BadParameter(f"{item!r} is not KEY=VALUE", param_hint="--param")
    if key in ("hz", "clock", "cpus", "seed"):
        option = "--smp" if key == "cpus" else f"--{key}"
        raise typer.BadParameter(f"set {key} by {option}", param_hint="--param")
    return key, value


def _stop(message: str, status: int) -> NoReturn:
    _err.print(f"harness: {message}", markup=False, soft_wrap=True)
    raise typer.Exit(status)


@contextmanager
def _working(what: str) -> Iterator[None]:
    """Say on a terminal what takes its time."""
    if not _err.is_terminal:
        yield
        return
    with _err.status(what):
        yield


def _save(run: Run, path: Path) -> None:
    try:
        path.write_bytes(run.log)
    except OSError as error:
        _stop(f"cannot save the log: {error}", BAD_INPUT)


def _show_run(run: Run) -> None:
    if run.passed:
        _show_verdict(run.verdict)
    else:
        _out.print(failure_report(run), markup=False, soft_wrap=True)
    _show_cpus(run.trace)
    if run.passed:
        _out.print(f"again: {run.command}", markup=False, soft_wrap=True)


def _show_verdict(verdict: Verdict) -> None:
    head, _, rest = str(verdict).partition("\n")
    _out.print(Text(head, style="bold green" if verdict.passed else "bold red"), soft_wrap=True)
    if rest:
        _out.print(rest, markup=False, soft_wrap=True)


def _show_cpus(trace: Trace) -> None:
    rows = cpu_rows(trace)
    if rows:
        _out.print(cpu_table(rows))


if __name__ == "__main__":
    main()
