"""Boots worth repeating: what runs, on how many CPUs, under which clock; and the standard sets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.boot import WORKLOAD_PARAMS, workload_module
from harness.machine import Clock, MachineConfig, Topology
from harness.workload import fold_cpus, library_names, load

SELFTEST = "selftest"
OWN = Path(__file__).with_name("workloads")
CPUS = (1, 2, 4)
"""Sizes of machine on which each workload of the library is run."""


@dataclass(frozen=True)
class Scenario:
    """One boot, but for the image; two equal scenarios do the same to it.

    ``workload`` is a name of the library or a file, ``None`` for the guest's self-tests.
    """

    workload: str | None
    cpus: int
    policy: str = "o1"
    clock: str = "virtual"
    hz: int = 1000
    topology: str | None = None
    """How the CPUs share sockets and cores, as ``Topology.parse`` reads it; one socket without."""
    machine: str = "microvm"
    cpu_model: str | None = None
    """As QEMU's ``-cpu`` takes it, where it is not to be QEMU's default."""
    params: tuple[tuple[str, str], ...] = ()

    @property
    def defective(self) -> bool:
        """Whether the guest is asked to re-create a defect: then no run of it need pass."""
        return any(key == "bug" for key, _ in self.params)

    @property
    def name(self) -> str:
        """Short and unique: ``W8@4``, ``selftest@2/real``, ``W1@1/hz=100``."""
        extra = [] if self.clock == "virtual" else [self.clock]
        extra += [] if self.policy == "o1" else [self.policy]
        extra += [] if self.hz == 1000 else [f"hz={self.hz}"]
        extra += [] if self.topology is None else [self.topology]
        extra += [] if self.machine == "microvm" else [self.machine]
        extra += [] if self.cpu_model is None else [self.cpu_model]
        extra += [f"{key}={value}" for key, value in self.params]
        stem = SELFTEST if self.workload is None else Path(self.workload).stem
        return "/".join([f"{stem}@{self.cpus}", *extra])

    def module(self) -> tuple[Path, ...]:
        """The encoded workload, in a file. Raises ``WorkloadError``."""
        if self.workload is None:
            return ()
        return (workload_module(fold_cpus(load(self.workload), self.cpus)),)

    def config(
        self,
        image: Path,
        *,
        timeout: float,
        quiet: float,
        code: range | None = None,
        log_mib: int = 64,
        extra_args: tuple[str, ...] = (),
    ) -> MachineConfig:
        """The machine for it; ``timeout`` and ``quiet`` are wall seconds, ``log_mib`` bounds what
        the guest may write.

        Raises ``ConfigError`` and ``WorkloadError``.
        """
        model = () if self.cpu_model is None else ("-cpu", self.cpu_model)
        params = {} if self.workload is None else dict(WORKLOAD_PARAMS)
        return MachineConfig(
            image=image,
            cpus=self.cpus,
            machine=self.machine,
            topology=None if self.topology is None else Topology.parse(self.topology),
            clock=Clock(self.clock),
            hz=self.hz,
            modules=self.module(),
            timeout=timeout,
            quiet=quiet,
            params={"seed": 1, **params, "policy": self.policy, **dict(self.params)},
            code=code,
            max_log_bytes=log_mib << 20,
            extra_args=(*model, *extra_args),
        )


def of_workloads(names: Iterable[str], policy: str = "o1") -> tuple[Scenario, ...]:
    """Some workloads on machines of each size; ``selftest`` is one of the names."""
    return tuple(
        Scenario(None if name == SELFTEST else name, cpus, policy)
        for name in names
        for cpus in CPUS
    )


def standard(policy: str = "o1") -> tuple[Scenario, ...]:
    """Every workload of the library and the self-tests, and what they leave out."""
    usual = of_workloads([SELFTEST, *library_names()], policy) + extra(policy)
    return usual + (_DEFECTS if policy == "veridian" else ())


def extra(policy: str) -> tuple[Scenario, ...]:
    """Boots that reach what the library's workloads do not."""
    paths = [*sorted(OWN.glob("*.yaml")), *sorted((OWN / policy).glob("*.yaml"))]
    own = tuple(Scenario(str(path), load(path).cpus, policy) for path in paths)
    return own + (_O1 if policy == "o1" else _VERIDIAN)


_FIXED = (("fix", "all"), ("schedstat", "1"))
_NO_LEVELS = "qemu64,vendor=GenuineIntel,cpuid-0xb=off"
_O1 = (
    Scenario("W4", 4, topology="2x2"),
    Scenario("W3", 8, hz=500, topology="2x2x2"),
    Scenario("W8", 4, topology="2x1x2"),
    Scenario("W4", 4, topology="1x2x2", cpu_model=_NO_LEVELS),
    Scenario("W4", 4, topology="nodes=2,sockets=1,cores=2", machine="q35"),
    Scenario(str(OWN / "uneven.yaml"), 4, params=_FIXED),
    Scenario("W5-all", 4, params=_FIXED),
    Scenario("W7", 4, params=_FIXED),
    Scenario("W9", 1, params=_FIXED),
)
"""Machines of several shapes, with and without CPUID's list of levels; corrected defects."""

_STEALING = (("algorithm", "rr"),)
_VERIDIAN = (
    Scenario("W4", 4, "veridian", params=_STEALING),
    Scenario("W7", 4, "veridian", params=_STEALING),
    Scenario(str(OWN / "uneven.yaml"), 4, "veridian", params=_STEALING),
)
"""Idle CPUs that steal."""

_REACHED = (
    ("W1", 1, "V02 V03 V13 V28"), ("W2", 1, "V01"), ("W3", 2, "V11 V21 V22"), ("W9", 1, "V17"),
    ("W10", 2, "V05 V18"), ("lopsided", 2, "V07 V08 V09 V28"), ("crowd", 1, "V10"),
    ("plugging", 2, "V15 V16"), ("full", 2, "V19"), ("standing", 2, "V20 V24"),
    ("snatching", 3, "V06"),
)  # fmt: skip


def _defect(workload: str, cpus: int, bug: str) -> Scenario:
    own = OWN / "veridian" / f"{workload}.yaml"
    name = str(own) if own.exists() else workload
    return Scenario(name, cpus, "veridian", params=(("bug", bug),))


_DEFECTS = tuple(_defect(name, cpus, bug) for name, cpus, bugs in _REACHED for bug in bugs.split())
"""The branches that re-create VeridianOS's defects."""
