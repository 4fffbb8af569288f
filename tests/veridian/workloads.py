"""Workloads that reach what the standard ones do not: those of ``harness coverage``."""

from __future__ import annotations

from harness.coverage.scenario import OWN as COVERAGE
from harness.workload import Workload, load


def _own(name: str) -> Workload:
    return load(str(COVERAGE / "veridian" / f"{name}.yaml"))


CROWD = _own("crowd")
PLUGGING = _own("plugging")
STANDING = _own("standing")
LOPSIDED = _own("lopsided")
FULL = _own("full")
SNATCHING = _own("snatching")

OWN: dict[str, Workload] = {
    w.name: w for w in (CROWD, PLUGGING, STANDING, LOPSIDED, FULL, SNATCHING)
}
