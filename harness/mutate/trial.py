"""One mutant against its boots: build, boot, judge, until a rule notices it. Kept by content."""

from __future__ import annotations

import enum
import fcntl
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import harness
from harness.boot import Run, build_id_of
from harness.coverage.collect import scenario_from_json
from harness.coverage.scenario import Scenario
from harness.coverage.store import Store, digest_of, key_of
from harness.mutate.mutant import Mutant
from harness.mutate.tree import FOLDER, Tree
from harness.oracle.outcome import Outcome
from harness.oracle.verdict import Verdict
from harness.toolchain.build import ROOT, BuildError

HANDLER = "harness.mutate.trial:handle"
QUIET = 4.0
"""Wall seconds of silence after which a mutant is taken to hang; the unchanged guest is never
silent for longer (a campaign checks that first)."""
_OWN_SHARE = 0.6
"""Of its wall time, what a boot must have had of a CPU to be held against its limit."""
_PATIENCE = 5
"""How much longer it gets the second time otherwise."""
_LOG_MIB = 16
CALLS = "tests.functions"
"""The module that calls single functions of an image."""
_CALLS_SECONDS = 300
_DISAGREES = 9
_JUDGES = ("oracle", "model", "trace", "workload", "machine")


class Status(enum.StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    EQUIVALENT = "equivalent"
    NOT_REACHED = "not reached"
    UNBUILDABLE = "unbuildable"
    """It does not assemble, so it is no mutant."""
    UNDECIDED = "undecided"
    """The campaign's time was over, or the harness failed at it."""


@dataclass(frozen=True)
class Boot:
    """The verdict on one boot: the rules that it breaks (none: it passed), and why."""

    scenario: str
    rules: tuple[str, ...]
    reason: str

    @property
    def killed(self) -> bool:
        return bool(self.rules)


def rules_of(verdict: Verdict) -> tuple[str, ...]:
    """The names of the rules that a verdict found broken, worst first; where no rule was, the
    outcome: ``panic``, ``hang``, ..."""
    names = [
        finding.reason.split()[0].rstrip(":")
        for finding in verdict.findings
        if finding.outcome is Outcome.VIOLATION
    ]
    if not names and not verdict.passed:
        names = [verdict.outcome.value]
    return tuple(dict.fromkeys(names))


@lru_cache(maxsize=1)
def judge_digest() -> str:
    """Stands for the code that decides what is a kill."""
    root = Path(harness.__file__).parent
    files = [path for name in _JUDGES for path in sorted((root / name).rglob("*.py"))]
    return digest_of([*files, root / "boot.py"])


@lru_cache(maxsize=1)
def calls_digest() -> str:
    """Stands for the code that calls single functions and knows what they have to do."""
    own = (Path(harness.__file__).parent / name for name in ("model", "oracle", "trace"))
    folders = (ROOT / "tests" / "functions", *own)
    return digest_of(path for folder in folders for path in sorted(folder.rglob("*.py")))


def key(tree: Tree, mutant: Mutant, scenario: Scenario, checked: bool) -> str:
    """Stands for everything that the verdict depends on."""
    modules = [path.read_bytes() for path in scenario.module()]
    return key_of(tree.name, mutant.edits, scenario, checked, judge_digest(), QUIET, *modules)


def limit(cpu_seconds: float) -> float:
    """Wall seconds that a boot may take which takes so much CPU time unchanged."""
    return 6.0 + 6 * cpu_seconds


def boot_once(image: Path, scenario: Scenario, timeout: float) -> Boot:
    """Boots and judges. A boot that was ended for its time, but got little of it from the host,
    is made again with more."""
    for factor in (1, _PATIENCE):
        config = scenario.config(image, timeout=factor * timeout, quiet=QUIET, log_mib=_LOG_MIB)
        with Run(config, build_id=build_id_of(image)) as run:
            verdict, cpu_seconds = run.verdict, run.result.cpu_seconds
        if verdict.outcome is not Outcome.TIMEOUT or cpu_seconds > _OWN_SHARE * timeout:
            break
    return Boot(scenario.name, rules_of(verdict), verdict.reason[:300])


@dataclass(frozen=True)
class Job:
    """A mutant with the boots that reach it, in order, each with its time limit. Where there are
    none its function is called all the same.
    """

    tree: Path
    mutant: Mutant
    boots: tuple[tuple[Scenario, float], ...]
    checked: bool = True
    to_the_end: bool = False
    """Boot all of them, whatever kills it."""
    until: float = float("inf")
    """No boot starts after this moment of the monotonic clock, which processes share."""
    folder: Path = FOLDER

    def as_json(self) -> dict[str, Any]:
        boots = [[asdict(scenario), seconds] for scenario, seconds in self.boots]
        rest = {"checked": self.checked, "to_the_end": self.to_the_end, "until": self.until}
        paths = {"tree": str(self.tree), "folder": str(self.folder)}
        return {"mutant": self.mutant.as_json(), "boots": boots, **rest, **paths}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Job:
        return cls(
            Path(value["tree"]),
            Mutant.from_json(value["mutant"]),
            tuple((scenario_from_json(s), seconds) for s, seconds in value["boots"]),
            value["checked"],
            value["to_the_end"],
            value["until"],
            Path(value["folder"]),
        )


def handle(value: dict[str, Any]) -> dict[str, Any]:
    """A worker's job: status, boots made or remembered, reason."""
    status, boots, reason = attempt(Job.from_json(value))
    return {"status": status.value, "boots": [asdict(boot) for boot in boots], "reason": reason}


def attempt(job: Job) -> tuple[Status, list[Boot], str]:
    """Calls what a mutant changes, which costs little, then boots it, until it is killed. What is
    known from earlier counts first, whatever comes first in this campaign."""
    store, bench = Store(job.folder / "results"), _Bench(job)
    boots: list[Boot] = []
    trials = [(store.get(name), name, *rest) for name, *rest in _trials(job)]
    for known, name, scenario, timeout in sorted(trials, key=lambda trial: trial[0] is None):
        if known is not None:
            boot = boot_from_json(known)
        elif time.monotonic() > job.until:
            return Status.UNDECIDED, boots, "the time was over"
        else:
            try:
                boot = bench.boot(scenario, timeout) if scenario else bench.call()
            except BuildError as error:
                return Status.UNBUILDABLE, [], str(error).split("\n", 1)[0]
            store.put(name, asdict(boot))
        if scenario or boot.killed:
            boots.append(boot)
        if boot.killed and not job.to_the_end:
            break
    if any(boot.killed for boot in boots):
        return Status.KILLED, boots, ""
    return (Status.SURVIVED if job.boots else Status.NOT_REACHED), boots, ""


def _trials(job: Job) -> Iterator[tuple[str, Scenario | None, float]]:
    """What a mutant has to go through, each under the name of its result; None: the calls."""
    tree = Tree(job.tree)
    if function_of(job.mutant) is not None:
        yield key_of(tree.name, job.mutant.edits, CALLS, job.checked, calls_digest()), None, 0.0
    for scenario, timeout in job.boots:
        yield key(tree, job.mutant, scenario, job.checked), scenario, timeout


class _Bench:
    """A mutant's image, built when it is first needed."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @cached_property
    def _image(self) -> Path:
        job = self._job
        return Tree(job.tree).build(own_folder(job.folder), job.mutant, checked=job.checked)

    def boot(self, scenario: Scenario, timeout: float) -> Boot:
        """Raises BuildError, as `call` does."""
        return boot_once(self._image, scenario, timeout)

    def call(self) -> Boot:
        return call_functions(self._image, function_of(self._job.mutant) or "")


def function_of(mutant: Mutant) -> str | None:
    """The function that a generic mutant changes; None where the tests are not installed."""
    parts = mutant.id.split(":")
    return parts[1] if len(parts) > 1 and (ROOT / "tests" / "functions").is_dir() else None


def call_functions(image: Path, function: str) -> Boot:
    """Holds the function against the model, called by itself, where tests/functions can: what no
    boot's numbers tell apart may differ for others."""
    found = subprocess.run(
        [sys.executable, "-m", CALLS, str(image), function],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_CALLS_SECONDS,
        check=False,
    )
    if found.returncode not in (0, _DISAGREES):
        raise RuntimeError(f"{CALLS}: {found.stderr.strip()[-300:]}")
    return Boot(CALLS, ("agreement",) if found.returncode else (), found.stdout.strip()[:300])


@lru_cache(maxsize=1)
def own_folder(folder: Path) -> Path:
    """A folder for builds that no other process uses while this one lives. Its objects stay for
    the next one."""
    for number in itertools.count():
        own = folder / f"worker-{number}"
        own.mkdir(parents=True, exist_ok=True)
        owner = os.open(own / ".owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(owner)
            continue
        return own
    raise AssertionError("numbers do not end")


def boot_from_json(value: dict[str, Any]) -> Boot:
    return Boot(value["scenario"], tuple(value["rules"]), value["reason"])
