"""Boots an image and says which of its lines ran. Kept by content.

By QEMU's translation log, or counted for each CPU by a plugin.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.boot import Run, build_id_of
from harness.coverage.codemap import CodeMap, LineCounts, code_map
from harness.coverage.counter import arguments, find_counter, read_counts
from harness.coverage.pool import Crash, Pool
from harness.coverage.scenario import Scenario
from harness.coverage.store import Store, key_of
from harness.toolchain.build import ROOT
from harness.toolchain.image import Image

STORE = ROOT / "build" / "coverage" / "runs"
TIMEOUT, QUIET = 240.0, 60.0
"""Wall seconds; a machine that others use as well may be slow."""

_HANDLER = "harness.coverage.collect:handle"


class CoverageError(Exception):
    """A boot gave no coverage; the message says which and why."""


@dataclass(frozen=True)
class BootLines:
    """One boot: the verdict, the CPU time that QEMU took, the lines that ran."""

    scenario: Scenario
    outcome: str
    reason: str
    cpu_seconds: float
    lines: dict[str, list[int]]
    counts: list[LineCounts] = field(default_factory=list)
    """Of each CPU, where they were counted."""

    @property
    def passed(self) -> bool:
        return self.outcome == "pass"


@lru_cache(maxsize=4)
def map_of(image: Path, root: Path) -> CodeMap:
    """The lines of an image; ``root`` holds the sources that it was built from."""
    with Image(image) as opened:
        return code_map(opened, root)


def boot_lines(image: Path, root: Path, scenario: Scenario) -> BootLines:
    """Boots and judges. Raises ConfigError and WorkloadError; a verdict is no error."""
    code = map_of(image, root)
    config = scenario.config(image, timeout=TIMEOUT, quiet=QUIET, code=code.text)
    with Run(config, build_id=build_id_of(image)) as run:
        return _judged(code, scenario, run, run.result.executed)


def boot_counts(image: Path, root: Path, scenario: Scenario) -> BootLines:
    """The same with the exact counts of each CPU. Raises PluginMissingError and, where QEMU had to
    be ended, so that nobody was told the counts, CoverageError."""
    code = map_of(image, root)
    with TemporaryDirectory() as folder:
        out = Path(folder) / "counts"
        plugin = arguments(find_counter(), code.text, out)
        config = scenario.config(image, timeout=TIMEOUT, quiet=QUIET, extra_args=plugin)
        with Run(config, build_id=build_id_of(image)) as run:
            verdict = run.verdict
            if not out.exists():
                raise CoverageError(f"no counts: {verdict.outcome.value}: {verdict.reason}")
            counts = read_counts(out)
            found = _judged(code, scenario, run, {a for each in counts.values() for a in each})
    by_cpu = [code.counted(counts.get(cpu, {})) for cpu in range(scenario.cpus)]
    return replace(found, counts=by_cpu)


def _judged(code: CodeMap, scenario: Scenario, run: Run, executed: Iterable[int]) -> BootLines:
    lines = {file: sorted(found) for file, found in code.executed(executed).items()}
    verdict, seconds = run.verdict, round(run.result.cpu_seconds, 3)
    return BootLines(scenario, verdict.outcome.value, verdict.reason, seconds, lines)


def handle(job: dict[str, Any]) -> dict[str, Any]:
    """A worker's job: see `collect`."""
    observe = boot_counts if job["exact"] else boot_lines
    scenario = scenario_from_json(job["scenario"])
    return asdict(observe(Path(job["image"]), Path(job["root"]), scenario))


def scenario_from_json(value: dict[str, Any]) -> Scenario:
    """A scenario as `dataclasses.asdict` wrote it."""
    params = tuple((key, word) for key, word in value["params"])
    return Scenario(**{**value, "params": params})


def _boot_lines(value: dict[str, Any]) -> BootLines:
    return BootLines(**{**value, "scenario": scenario_from_json(value["scenario"])})


def collect(
    image: Path,
    root: Path,
    scenarios: Sequence[Scenario],
    *,
    workers: int = 1,
    folder: Path = STORE,
    exact: bool = False,
) -> Iterator[BootLines]:
    """The lines that each boot executed, in the order in which they end, known ones first;
    ``exact`` ones with the counts of each CPU.

    Raises CoverageError where a boot cannot be observed.
    """
    store = Store(folder)
    keys = {scenario: _key(image, scenario, exact) for scenario in scenarios}
    jobs = []
    for scenario in scenarios:
        known = store.get(keys[scenario])
        if known is None:
            paths = {"image": str(image), "root": str(root)}
            jobs.append({**paths, "scenario": asdict(scenario), "exact": exact})
        else:
            yield _boot_lines(known)
    with Pool(_HANDLER, min(workers, len(jobs))) as pool:
        for job, answer in pool.run(jobs):
            scenario = scenario_from_json(job["scenario"])
            if isinstance(answer, Crash):
                raise CoverageError(f"{scenario.name} of {image.name}: {answer.words}")
            found = _boot_lines(answer)
            if found.passed:
                store.put(keys[scenario], answer)
            yield found


def _key(image: Path, scenario: Scenario, exact: bool) -> str:
    modules = [path.read_bytes() for path in scenario.module()]
    return key_of(build_id_of(image), scenario, exact, *modules)
