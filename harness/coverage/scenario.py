"""Boots worth repeating: what runs, on how many CPUs, under which clock; and the standard sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.boot import WORKLOAD_PARAMS, workload_module
from harness.machine import Clock, MachineConfig
from harness.workload import fold_cpus, library_names, load

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
    params: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """Short and unique: ``W8@4``, ``selftest@2/real``, ``W1@1/hz=100``."""
        extra = [] if self.clock == "virtual" else [self.clock]
        extra += [] if self.policy == "o1" else [self.policy]
        extra += [] if self.hz == 1000 else [f"hz={self.hz}"]
        extra += [f"{key}={value}" for key, value in self.params]
        stem = "selftest" if self.workload is None else Path(self.workload).stem
        return "/".join([f"{stem}@{self.cpus}", *extra])

    def module(self) -> tuple[Path, ...]:
        """The encoded workload, in a file. Raises ``WorkloadError``."""
        if self.workload is None:
            return ()
        return (workload_module(fold_cpus(load(self.workload), self.cpus)),)

    def config(
        self, image: Path, *, timeout: float, quiet: float, code: range | None = None
    ) -> MachineConfig:
        """The machine for it; ``timeout`` and ``quiet`` are wall seconds.

        Raises ``ConfigError`` and ``WorkloadError``.
        """
        params = {} if self.workload is None else dict(WORKLOAD_PARAMS)
        return MachineConfig(
            image=image,
            cpus=self.cpus,
            clock=Clock(self.clock),
            hz=self.hz,
            modules=self.module(),
            timeout=timeout,
            quiet=quiet,
            params={"seed": 1, **params, "policy": self.policy, **dict(self.params)},
            code=code,
        )


def standard(policy: str = "o1") -> tuple[Scenario, ...]:
    """Every workload of the library and the self-tests, on machines of each size."""
    names: list[str | None] = [None, *library_names()]
    return tuple(Scenario(name, cpus, policy) for name in names for cpus in CPUS)


def of_workloads(names: list[str], policy: str = "o1") -> tuple[Scenario, ...]:
    """The same of some workloads; ``selftest`` is one of the names."""
    return tuple(
        Scenario(None if name == "selftest" else name, cpus, policy)
        for name in names
        for cpus in CPUS
    )
