"""``harness run``: boots a guest, judges the run, shows what each CPU did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.boot import (
    WORKLOAD_PARAMS,
    Run,
    build_id_of,
    count_cpus,
    default_image,
    workload_module,
)
from harness.commands.terminal import (
    BAD_ENVIRONMENT,
    BAD_INPUT,
    NOT_PASSED,
    out,
    show_cpus,
    show_verdict,
    stop,
    working,
)
from harness.machine import Clock, ConfigError, Ending, MachineConfig, Topology
from harness.report.failure import failure_report
from harness.toolchain.build import BuildError
from harness.workload import WorkloadError


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
        stop("--checked is a build of this project's guest: leave out --image", BAD_INPUT)
    try:
        if workload is not None:
            modules = (workload_module(workload), *modules)
            params = {**WORKLOAD_PARAMS, **params}
        with working("building the guest"):
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
        stop(f"the guest does not build:\n{error}", BAD_ENVIRONMENT)
    except (ConfigError, WorkloadError) as error:
        stop(str(error), BAD_INPUT)
    with run, working(f"running on {config.cpus} CPUs, at most {timeout:g} s"):
        run.verdict  # noqa: B018 - waits for the end while the spinner turns
    if keep_log is not None:
        _save(run, keep_log)
    _show_run(run)
    if run.result.ending is Ending.START_FAILED:
        raise typer.Exit(BAD_ENVIRONMENT)
    raise typer.Exit(0 if run.passed else NOT_PASSED)


def _parse_param(item: str) -> tuple[str, str]:
    key, equals, value = item.partition("=")
    if not equals or not key.isidentifier():
        raise typer.BadParameter(f"{item!r} is not KEY=VALUE", param_hint="--param")
    if key in ("hz", "clock", "cpus", "seed"):
        option = "--smp" if key == "cpus" else f"--{key}"
        raise typer.BadParameter(f"set {key} by {option}", param_hint="--param")
    return key, value


def _save(run: Run, path: Path) -> None:
    try:
        path.write_bytes(run.log)
    except OSError as error:
        stop(f"cannot save the log: {error}", BAD_INPUT)


def _show_run(run: Run) -> None:
    if run.passed:
        show_verdict(run.verdict)
    else:
        out.print(failure_report(run), markup=False, soft_wrap=True)
    show_cpus(run.trace)
    if run.passed:
        out.print(f"again: {run.command}", markup=False, soft_wrap=True)
