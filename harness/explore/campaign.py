"""A campaign: many seeds in several tiers, findings kept as they come."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from harness.explore.boots import BootRun, Subject, boot_once
from harness.explore.certificate import Certificate
from harness.explore.findings import Book, Finding, Options
from harness.explore.plugin import find_steering
from harness.explore.scenarios import SCENARIOS, Scenario
from harness.explore.seed import Algorithm, Engine, Seed
from harness.explore.shrink import shrink, size
from harness.explore.unit import Bench
from harness.machine.plugin import PluginMissingError
from harness.toolchain.build import ROOT
from harness.toolchain.image import Image
from harness.workload import Workload
from harness.workload.document import dump

FOLDER = ROOT / "build" / "explore"
"""Where findings and their workloads are left."""
OF_THE_GUEST = ("--image", "--checked")
OF_THE_WORK = ("--workload", "--cpus", "--ticks")
"""Options that a smaller workload stands for."""
UNIT_SCHEDULES = 120
"""Random schedules of each scenario for each boot that a campaign may take."""
CONFIRMATIONS = 3
"""Repetitions of a seed of tier `stress`, which repeats only by luck."""
DEEPEST_CERTIFIED = 3
"""Beyond it no campaign has time for a number worth reading."""

PORTFOLIO: dict[Engine, tuple[tuple[Algorithm, int], ...]] = {
    Engine.UNICORN: (
        (Algorithm.PCT, 2), (Algorithm.YIELD, 5), (Algorithm.PCT, 3), (Algorithm.YIELD, 20),
        (Algorithm.PCT, 5),
    ),
    Engine.PLUGIN: (
        (Algorithm.YIELD, 50), (Algorithm.PCT, 2), (Algorithm.YIELD, 20), (Algorithm.PCT, 3),
        (Algorithm.YIELD, 200), (Algorithm.PCT, 5),
    ),
    Engine.POINTS: ((Algorithm.YIELD, 16), (Algorithm.DELAY, 16), (Algorithm.YIELD, 4)),
    Engine.STRESS: ((Algorithm.DELAY, 16), (Algorithm.PLAIN, 0), (Algorithm.DELAY, 128)),
}  # fmt: skip
"""What each tier takes in turn: random walks miss long stalls, PCT is slow at many switches."""

Progress = Callable[[str, int, int], None]
"""Told what goes on, how many runs of the tier are done, and out of how many."""


@dataclass
class Campaign:
    """One campaign. `run` may be interrupted at any time; what was found stays."""

    subject: Subject
    options: Options
    """Options of `harness explore` that stand for the subject."""
    runs: int
    seed: int = 1
    tiers: Sequence[Engine] = tuple(Engine)
    scenarios: Sequence[Scenario] = SCENARIOS
    folder: Path = Path("build/explore")
    shrink_budget: int = 40
    progress: Progress = lambda what, done, total: None
    book: Book = field(default_factory=Book)
    done: Counter[Engine] = field(default_factory=Counter)
    unavailable: dict[Engine, str] = field(default_factory=dict)
    certificates: list[Certificate] = field(default_factory=list)
    seconds: defaultdict[Engine, float] = field(default_factory=lambda: defaultdict(float))

    def run(self) -> None:
        """All tiers. Raises ExploreError where QEMU does not run."""
        tiers = list(self.tiers)
        if Engine.UNICORN in tiers:
            tiers.remove(Engine.UNICORN)
            self._units()
        if Engine.PLUGIN in tiers:
            try:
                find_steering()
            except PluginMissingError as error:
                self.unavailable[Engine.PLUGIN] = str(error)
                tiers.remove(Engine.PLUGIN)
        if tiers:
            self._boots(tiers)
        self._finish()

    def _units(self) -> None:
        total = len(self.scenarios)
        with Image(self.subject.image) as image:
            for number, scenario in enumerate(self.scenarios):
                self.progress(f"unicorn {scenario.name}", number, total)
                self._unit(Bench(image, scenario))
        self.progress("unicorn", total, total)

    def _unit(self, bench: Bench) -> None:
        started = time.monotonic()
        guest = (option for option in self.options if option[0] in OF_THE_GUEST)
        options = (("--scenario", bench.scenario.name), *guest)
        longest = 1
        clean: Counter[int] = Counter()
        for seed in self._unit_seeds(bench):
            if seed.algorithm is Algorithm.PCT:
                seed = replace(seed, length=longest)
            run = bench.replay(seed)
            longest = max(longest, run.steps)
            self.done[Engine.UNICORN] += 1
            for broken in run.broken:
                finding = self.book.add(broken, seed, options)
                if finding is not None:
                    again = bench.replay(seed)
                    finding.confirmed = broken in again.broken
                    finding.identical = again == run
                    finding.shrunk = self._fewest_preemptions(bench, finding)
            if not run.broken and seed.algorithm is Algorithm.PCT:
                clean[seed.depth] += 1
        self.seconds[Engine.UNICORN] += time.monotonic() - started
        if not any(options == finding.subject for finding in self.book):
            name, cpus = f"scenario {bench.scenario.name}", bench.scenario.cpus
            self._certify(name, cpus, longest, clean)

    def _unit_seeds(self, bench: Bench) -> Iterator[Seed]:
        """No preemption, every single one, then random ones."""
        for first in range(bench.scenario.cpus):
            yield Seed(Engine.UNICORN, Algorithm.PLAIN, 0, 0, first)
        yield from bench.every_preemption()
        portfolio = PORTFOLIO[Engine.UNICORN]
        for number in range(self.runs * UNIT_SCHEDULES):
            algorithm, depth = portfolio[number % len(portfolio)]
            yield Seed(Engine.UNICORN, algorithm, depth, 0, self.seed + number)

    def _fewest_preemptions(self, bench: Bench, finding: Finding) -> str:
        """The schedule with one preemption that breaks the same rule, if there is one."""
        if finding.seed.algorithm in (Algorithm.PLAIN, Algorithm.PREEMPT):
            return ""
        for seed in bench.every_preemption():
            if any(broken.rule == finding.rule for broken in bench.replay(seed).broken):
                finding.seed = seed
                return "shrunk to one preemption"
        return "needs more than one preemption"

    def _boots(self, tiers: Sequence[Engine]) -> None:
        rng = random.Random(self.seed)
        lengths = {}
        if Engine.PLUGIN in tiers:
            dry = self._boot(Seed(Engine.PLUGIN, Algorithm.PLAIN, 0, 0, self.seed))
            lengths[Engine.PLUGIN] = dry.steps
        clean: Counter[int] = Counter()
        for number in range(self.runs):
            engine = tiers[number % len(tiers)]
            portfolio = PORTFOLIO[engine]
            algorithm, depth = portfolio[number // len(tiers) % len(portfolio)]
            length = lengths.get(engine, 0) if algorithm is Algorithm.PCT else 0
            self.progress(f"{engine.value} {algorithm.value}", number, self.runs)
            run = self._boot(Seed(engine, algorithm, depth, length, rng.randrange(1 << 31)))
            if not run.broken and algorithm is Algorithm.PCT:
                clean[depth] += 1
        self.progress("boots", self.runs, self.runs)
        if not any(finding.subject == self.options for finding in self.book):
            name, cpus = f"workload {self.subject.workload.name}", self.subject.cpus
            steps = lengths.get(Engine.PLUGIN, 0)
            self._certify(name, cpus, steps, clean)

    def _certify(self, name: str, cpus: int, steps: int, clean: Counter[int]) -> None:
        for depth, runs in sorted(clean.items()):
            if depth <= DEEPEST_CERTIFIED:
                self.certificates.append(Certificate(name, runs, depth, cpus, steps))

    def _boot(self, seed: Seed) -> BootRun:
        started = time.monotonic()
        run = boot_once(self.subject, seed)
        self.done[seed.engine] += 1
        self.seconds[seed.engine] += time.monotonic() - started
        for broken in run.broken:
            finding = self.book.add(broken, seed, self.options)
            if finding is not None:
                self._confirm(finding, run)
                self._save()
        return run

    def _confirm(self, finding: Finding, first: BootRun) -> None:
        for _ in range(1 if finding.seed.engine.repeats else CONFIRMATIONS):
            again = boot_once(self.subject, finding.seed)
            if any((b.rule, b.place) == (finding.rule, finding.place) for b in again.broken):
                finding.confirmed = True
                finding.identical = again.digest == first.digest
                return

    def _finish(self) -> None:
        if not self.shrink_budget:
            return
        for number, finding in enumerate(self.book):
            if finding.subject == self.options and finding.confirmed:
                self.progress(f"shrinking {finding.name}", number, len(self.book))
                finding.shrunk = shrink_finding(
                    self.subject, finding, self.shrink_budget, self.folder
                )
        self._save()

    def _save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "findings.txt").write_text(self.book.report() + "\n", encoding="utf-8")


def shrink_finding(subject: Subject, finding: Finding, budget: int, folder: Path) -> str:
    """Makes a finding's schedule, CPUs and workload smaller, writes the workload to a file, and
    changes the finding's seed and options accordingly. Returns what came of it in words."""
    shrinker = _Shrinker(subject, finding)
    before = size(subject.workload)
    spent = shrinker.simpler_schedule()
    spent += shrinker.fewer_cpus()
    workload, runs = shrink(subject.workload, shrinker.fails, max(budget - spent, 0))
    path = folder / f"{finding.name}.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(dump(workload), encoding="utf-8")
    finding.seed = shrinker.seed
    kept = (option for option in finding.subject if option[0] not in OF_THE_WORK)
    finding.subject = (*kept, ("--workload", str(path)), ("--cpus", str(shrinker.cpus)))
    after = size(workload)
    return (
        f"shrunk in {spent + runs} runs to {path}: {after[0]} tasks and {after[1]} steps "
        f"(from {before[0]} and {before[1]}) on {shrinker.cpus} CPUs"
    )


class _Shrinker:
    """Asks whether smaller runs still break the rule, under the seed or one close to it: another
    workload moves the steps that a seed means."""

    NEIGHBOURS = 3

    def __init__(self, subject: Subject, finding: Finding) -> None:
        self._subject, self._rule = subject, finding.rule
        self.seed, self.cpus = finding.seed, subject.cpus

    def _breaks(self, workload: Workload, cpus: int, seed: Seed) -> bool:
        broken = boot_once(self._subject.smaller(workload, cpus), seed).broken
        return any(each.rule == self._rule for each in broken)

    def fails(self, workload: Workload) -> bool:
        """Whether it still breaks the rule; keeps the seed that shows it."""
        for offset in range(self.NEIGHBOURS):
            seed = replace(self.seed, seed=self.seed.seed + offset)
            if self._breaks(workload, self.cpus, seed):
                self.seed = seed
                return True
        return False

    def simpler_schedule(self) -> int:
        """Tries nothing at all, then fewer change points; returns the runs that took."""
        engine, depth = self.seed.engine, self.seed.depth
        simpler = [Seed(engine, Algorithm.PLAIN, 0, 0, self.seed.seed)]
        if self.seed.algorithm is Algorithm.PCT:
            simpler += [replace(self.seed, depth=fewer) for fewer in range(1, depth)]
        for number, seed in zip(count(1), simpler, strict=False):
            if self._breaks(self._subject.workload, self.cpus, seed):
                self.seed = seed
                return number
        return len(simpler)

    def fewer_cpus(self) -> int:
        """Tries the least number of CPUs, then more; returns the runs that took."""
        for number, cpus in enumerate(range(1, self.cpus), 1):
            if self._breaks(self._subject.workload, cpus, self.seed):
                self.cpus = cpus
                return number
        return self.cpus - 1
