"""Boots a guest and judges the run: the front door to build, machine, trace and oracle.

::

    run = boot(cpus=4, clock="virtual", seed=1)
    assert run.outcome == "pass", run.verdict

    with boot(monitor=1) as run:            # a live guest
        run.console.expect("sched> ")
        run.console.sendline("quit")
        assert run.passed                   # waits for the end; leaving the block ends the guest

    run = boot(workload="W1", cpus=1)       # tasks to schedule, by name, file or value
    run = boot(workload="W4", topology="2x2")    # two sockets of two cores
"""

from __future__ import annotations

import functools
import hashlib
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from harness.machine import Clock, ConfigError, Machine, MachineConfig, MachineResult, Topology
from harness.model import domain
from harness.oracle.outcome import Outcome
from harness.oracle.verdict import Expectation, Verdict, judge
from harness.toolchain.image import Image, ImageError
from harness.trace.ktap import KtapReport
from harness.trace.parser import parse_lines
from harness.trace.trace import Trace
from harness.workload import Workload, encode, load

if TYPE_CHECKING:
    from harness.machine.console import Console

BLOBS = Path(__file__).resolve().parents[1] / "build" / "workloads"
"""Where encoded workloads are kept for the guest to load."""


class Run:
    """One boot, live or ended.

    What needs the end of the run (everything but ``config``, ``command`` and ``console``) waits for
    it, which the configuration's limits bound.  As a context manager it ends the guest when the
    block is left.
    """

    def __init__(
        self,
        config: MachineConfig,
        *,
        build_id: str | None = None,
        expectations: Sequence[Expectation] = (),
        default_image: bool = False,
        workload: str | None = None,
    ) -> None:
        """Start the guest; ``build_id`` is what its ``hello`` has to carry, if not ``None``.

        ``workload`` is the name or path by which ``harness run`` finds the workload again.
        """
        self.config = config
        self.build_id = build_id
        self._expectations = tuple(expectations)
        self._default_image = default_image
        self._workload = workload
        self._machine = Machine.start(config)

    @property
    def console(self) -> Console:
        """The guest's console as a pexpect object: ``expect``, ``sendline``, ..."""
        return self._machine.console

    @property
    def machine(self) -> Machine:
        """The process: ``qmp``, ``pid``, ``kill()``."""
        return self._machine

    @cached_property
    def result(self) -> MachineResult:
        """How QEMU ended."""
        return self._machine.wait()

    @cached_property
    def log(self) -> bytes:
        """Everything the guest wrote to its serial port, in order of arrival."""
        return b"".join(line + b"\n" for line in self.result.lines)

    @cached_property
    def trace(self) -> Trace:
        """The parsed log."""
        return parse_lines(line + b"\n" for line in self.result.lines)

    @cached_property
    def text(self) -> str:
        """What the guest wrote besides its log: self-test results, panic report, monitor."""
        return "\n".join(line.text for line in self.trace.text)

    @property
    def ktap(self) -> KtapReport:
        """The results of the guest's self-tests."""
        return self.trace.ktap

    @cached_property
    def verdict(self) -> Verdict:
        """Outcome, reason, and whatever else is wrong."""
        return judge(
            self.trace,
            machine=self.result,
            build_id=self.build_id,
            cpus=self.config.cpus,
            topology=model_topology(self.config),
            expectations=self._expectations,
        )

    @property
    def outcome(self) -> Outcome:
        return self.verdict.outcome

    @property
    def passed(self) -> bool:
        return self.verdict.passed

    @cached_property
    def command(self) -> str:
        """A line for a shell that repeats this run."""
        image = None if self._default_image else self.config.image
        return reproducer(self.config, image, self._workload)

    def close(self) -> None:
        """End the guest if it still runs, and wait for its end."""
        self._machine.kill()
        self._machine.wait()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._machine.running:
            return f"<Run of {self.config.image.name}, running>"
        return f"<Run of {self.config.image.name}, {self.outcome}: {self.verdict.reason}>"


def boot(
    image: Path | str | None = None,
    cpus: int | None = None,
    clock: Clock | str = Clock.VIRTUAL,
    seed: int = 1,
    *,
    topology: Topology | str | None = None,
    hz: int = 1000,
    machine: str = "microvm",
    accel: str = "tcg",
    memory_mib: int = 64,
    modules: Sequence[Path] = (),
    timeout: float = 60.0,
    quiet: float | None = 10.0,
    qemu: str = "qemu-system-x86_64",
    extra_args: Sequence[str] = (),
    expectations: Sequence[Expectation] = (),
    workload: str | Path | Workload | None = None,
    checked: bool = False,
    **params: str | int,
) -> Run:
    """Boot a guest; returns at once, the run waits for the end when it is asked.

    Without ``image`` this project's guest is built, where that is due, and booted; ``checked``, it
    verifies its own run queues at every unlock (rules S and K).  ``params`` are
    boot parameters of the guest beside ``seed``, ``hz``, ``clock`` and ``cpus``.  ``timeout`` and
    ``quiet`` (longest silence) are wall seconds.  With a ``workload`` the guest schedules its tasks
    by policy ``o1`` and skips its self-tests, unless ``params`` say otherwise.

    ``topology`` says how the CPUs share sockets and cores (``2x2``: two sockets of two cores, see
    ``Topology.parse``); without ``cpus`` it says how many there are, without either there are 4.

    Raises ``ConfigError`` for what cannot work, ``FileNotFoundError`` for a missing image, and what
    the toolchain raises when the guest does not build.  What goes wrong with QEMU is an outcome.
    """
    path = default_image(checked=checked) if image is None else Path(image)
    if workload is not None:
        modules = (workload_module(workload), *modules)
        params = {**WORKLOAD_PARAMS, **params}
    shape = Topology.parse(topology) if isinstance(topology, str) else topology
    config = MachineConfig(
        image=path,
        cpus=count_cpus(cpus, shape),
        topology=shape,
        clock=parse_clock(clock),
        hz=hz,
        machine=machine,
        accel=accel,
        memory_mib=memory_mib,
        modules=tuple(modules),
        timeout=timeout,
        quiet=quiet,
        qemu=qemu,
        extra_args=tuple(extra_args),
        params={"seed": seed, **params},
    )
    return Run(
        config,
        build_id=build_id_of(path),
        expectations=expectations,
        default_image=image is None and not checked,
        workload=None if isinstance(workload, Workload) or workload is None else str(workload),
    )


WORKLOAD_PARAMS: Mapping[str, str] = {"policy": "o1", "selftest": "none"}
"""Boot parameters of a run with a workload, unless it is given others."""


def workload_module(workload: str | Path | Workload) -> Path:
    """The workload as a boot module, in a file named by its content.

    Raises ``WorkloadError``.
    """
    value = workload if isinstance(workload, Workload) else load(workload)
    blob = encode(value)
    digest = hashlib.sha1(blob, usedforsecurity=False).hexdigest()[:12]
    path = BLOBS / f"{value.name}-{digest}.swl"
    if not path.exists():
        BLOBS.mkdir(parents=True, exist_ok=True)
        # Complete or not there at all, whoever else does the same.
        with tempfile.NamedTemporaryFile(dir=BLOBS, delete=False) as file:
            file.write(blob)
        Path(file.name).replace(path)
    return path


DEFAULT_CPUS = 4


def count_cpus(cpus: int | None, topology: Topology | None) -> int:
    """How many CPUs a machine gets: as many as were asked for, else as its topology has."""
    if cpus is not None:
        return cpus
    return DEFAULT_CPUS if topology is None else topology.cpus


def model_topology(config: MachineConfig) -> domain.Topology:
    """The machine's shape as the model knows it."""
    if config.topology is None:
        return domain.Topology(cores=config.cpus)
    return model_shape(config.topology)


def model_shape(topology: Topology) -> domain.Topology:
    """A shape as the model knows it."""
    return domain.Topology(topology.nodes, topology.sockets, topology.cores, topology.threads)


def parse_clock(clock: Clock | str) -> Clock:
    """The clock of that name; raises ``ConfigError``."""
    try:
        return Clock(clock)
    except ValueError:
        known = ", ".join(item.value for item in Clock)
        raise ConfigError(f"clock={clock!r} is not one of {known}") from None


@functools.cache
def default_image(*, checked: bool = False) -> Path:
    """This project's guest, built once per process where its sources are newer.

    ``checked``: with its own checks of every run queue at every unlock.
    """
    # Keystone and Capstone take long to load, and only a build needs them.
    from harness.toolchain.build import ROOT, build_guest

    if checked:
        return build_guest(output=ROOT / "build" / "checked.elf", defines={"CHECK": 1})
    return build_guest()


def build_id_of(image: Path) -> str | None:
    """The build id in an image's note, 40 hexadecimal digits, or ``None`` where it has none.

    Raises ``OSError``.
    """
    return _build_id(image, image.stat().st_mtime_ns)


@functools.cache
def _build_id(image: Path, _modified: int) -> str | None:
    try:
        with Image(image) as opened:
            return opened.build_id
    except ImageError:
        return None


_OPTIONS: Mapping[str, str] = {
    "cpus": "--smp",
    "topology": "--topology",
    "clock": "--clock",
    "hz": "--hz",
    "machine": "--machine",
    "memory_mib": "--memory",
    "timeout": "--timeout",
    "quiet": "--quiet",
    "qemu": "--qemu",
}
"""Fields of a configuration and the options of ``harness run`` that set them."""

_ALWAYS = ("cpus", "clock")


def reproducer(config: MachineConfig, image: Path | None, workload: str | None = None) -> str:
    """The ``harness run`` command of a configuration; ``image`` is ``None`` for the default one.

    ``workload`` names what the first module was made from.

    What ``harness run`` has no option for is repeated by QEMU's own command line instead.
    """
    options: list[str] = []
    params = dict(config.params)
    for item in fields(MachineConfig):
        value = getattr(config, item.name)
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        if item.name in ("image", "params", "modules", "accel"):
            continue
        if value == default and item.name not in _ALWAYS:
            continue
        option = _OPTIONS.get(item.name)
        if option is None or value is None:
            return config.by_hand()
        options += [option, str(value.value if isinstance(value, Clock) else value)]
    options += ["--seed", str(params.pop("seed", 1))]
    if config.accel == "kvm":
        options += ["--accel", "kvm"]
    if image is not None:
        options += ["--image", str(image)]
    for module in config.modules[1 if workload else 0 :]:
        options += ["--module", str(module)]
    for key, value in params.items():
        if not (workload and WORKLOAD_PARAMS.get(key) == value):
            options += ["--param", f"{key}={value}"]
    return shlex.join([*_program(), "run", *([workload] if workload else []), *options])


def _program() -> list[str]:
    script = Path(sys.executable).with_name("harness")
    return [str(script)] if script.exists() else [sys.executable, "-m", "harness.cli"]
