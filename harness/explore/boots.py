"""Tiers `plugin`, `points` and `stress`: one boot of the guest under one seed, judged."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.boot import Run, boot
from harness.explore.places import function_at
from harness.explore.plugin import arguments, find_steering, scheduler_ranges, steps_of
from harness.explore.seed import Algorithm, Engine, Seed
from harness.explore.unit import Broken
from harness.oracle.outcome import Outcome
from harness.oracle.verdict import Finding
from harness.toolchain.image import Image
from harness.workload import Workload, fold_cpus

TIMEOUT, QUIET = 30.0, 15.0
"""Wall seconds of one boot, and of silence in it."""
POLL = 0.01
"""Seconds between two looks whether it has ended."""

UNFAIR = ("P11 ", "P15 ")
"""Rules that say how soon a CPU gets time. PCT keeps CPUs away for as long as it likes."""

_RULE = re.compile(r"[A-Z]{1,2}\d+\b|[a-z_]+(?=:)")
_EVENT = re.compile(r" at (?:\[SCHED\] )?\d+ \d+ \d+ (\w+)")
_UNSURE = (Outcome.HARNESS_ERROR, Outcome.QEMU_ERROR)


class ExploreError(Exception):
    """Exploration cannot go on; the message is for the user."""


@dataclass(frozen=True)
class Subject:
    """What is booted again and again, whatever the seed."""

    image: Path
    workload: Workload
    cpus: int = 2
    policy: str = "o1"
    accel: str = "tcg"
    """Of tier `stress`; the others need TCG."""
    params: Mapping[str, str | int] = field(default_factory=dict)

    def smaller(self, workload: Workload, cpus: int) -> Subject:
        """The same with another workload, folded onto so many CPUs."""
        return replace(self, workload=fold_cpus(workload, cpus), cpus=cpus)


@dataclass(frozen=True)
class BootRun:
    """One boot's outcome. `digest` stands for its log, byte for byte; `steps` is 0 where nobody
    counts."""

    broken: tuple[Broken, ...]
    digest: str
    steps: int
    seconds: float


def boot_once(subject: Subject, seed: Seed) -> BootRun:
    """Boots and judges. Raises ExploreError where QEMU does not run, PluginMissingError."""
    with start(subject, seed) as run:
        # An interrupted Thread.join takes the thread for ended (CPython 3.11, bpo-45274), and the
        # machine could not be waited for any more: so Ctrl-C shall find us asleep.
        while run.machine.running:
            time.sleep(POLL)
        verdict = run.verdict
        if verdict.outcome in _UNSURE:
            raise ExploreError(f"{verdict.outcome.value}: {verdict.reason}")
        broken = tuple(_broken(run, the_guests(seed, verdict.findings)))
        digest = hashlib.sha1(run.log, usedforsecurity=False).hexdigest()[:16]
        return BootRun(broken, digest, steps_of(run.result.stderr), run.result.seconds)


def start(subject: Subject, seed: Seed) -> Run:
    """The boot that a seed stands for, running."""
    params: dict[str, Any] = dict(subject.params)
    extra: tuple[str, ...] = ()
    real = seed.engine is Engine.STRESS
    if seed.engine is Engine.PLUGIN:
        ranges = scheduler_ranges(subject.image, subject.image.stat().st_mtime_ns)
        extra = arguments(find_steering(), seed, ranges)
    elif seed.algorithm is not Algorithm.PLAIN:
        params |= {"race": seed.algorithm.value, "race_one_in": seed.depth, "race_seed": seed.seed}
    return boot(
        subject.image,
        subject.cpus,
        "real" if real else "virtual",
        accel=subject.accel if real else "tcg",
        workload=subject.workload,
        timeout=TIMEOUT,
        quiet=QUIET,
        extra_args=extra,
        policy=subject.policy,
        **params,
    )


def the_guests(seed: Seed, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Those that are not the schedule's own doing."""
    if seed.algorithm is not Algorithm.PCT:
        return findings
    return tuple(each for each in findings if not each.reason.startswith(UNFAIR))


def _broken(run: Run, findings: tuple[Finding, ...]) -> Iterator[Broken]:
    """The findings that say what happened; those that only say that the run ended badly count
    where there is nothing else."""
    reports = run.trace.panics
    with Image(run.config.image) as image:
        for report in reports[:1]:
            rule = report.broken_rule or report.name or "panic"
            at = report.rip
            if at is None and report.backtrace:
                at = report.backtrace[0]
            if at is not None and report.vector is None:
                at -= 1  # it is where the call of `panic` would return to
            place = function_at(image, at) if at is not None else "?"
            yield Broken(rule.partition(":")[0], place, str(report))
    if reports:
        return
    for finding in findings[:1]:
        if finding.outcome is Outcome.VIOLATION:
            rule_match, event = _RULE.match(finding.reason), _EVENT.search(finding.reason)
            rule = rule_match[0] if rule_match else finding.reason.partition(":")[0]
            yield Broken(rule, event[1] if event else "?", finding.reason)
        else:
            yield Broken(finding.outcome.value, "run", finding.reason)
