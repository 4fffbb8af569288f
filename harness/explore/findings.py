"""What a campaign has found: each bug once, with the seed that shows it again."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.explore.seed import Engine, Seed
from harness.explore.unit import Broken

Options = tuple[tuple[str, ...], ...]
"""Options of `harness explore`, each with its value if it takes one."""


@dataclass
class Finding:
    """A rule broken at a place, and how to see it."""

    rule: str
    place: str
    words: str
    seed: Seed
    subject: Options
    """What was run: a scenario, or a workload and more, and of which guest."""
    times: int = 1
    """Runs that have shown it, repetitions not counted."""
    confirmed: bool = False
    """A second run of the same seed has shown it again."""
    identical: bool = False
    """... and gave the same log, byte for byte."""
    shrunk: str = ""
    """What came of making it smaller."""

    @property
    def command(self) -> str:
        """A line for a shell that shows it."""
        script = Path(sys.executable).with_name("harness")
        program = [str(script)] if script.exists() else [sys.executable, "-m", "harness.cli"]
        words = [word for option in self.subject for word in option]
        return shlex.join([*program, "explore", "--replay", str(self.seed), *words])

    @property
    def name(self) -> str:
        """A name for files."""
        return re.sub(r"[^A-Za-z0-9]+", "-", f"{self.rule}-{self.place}").strip("-")

    def __str__(self) -> str:
        sure = "confirmed" if self.confirmed else "not seen again with its seed"
        if self.identical:
            same = "end" if self.seed.engine is Engine.UNICORN else "log byte for byte"
            sure = f"confirmed, the same {same}"
        lines = [
            f"{self.rule} in {self.place}: {self.words}",
            f"  seed {self.seed} ({sure}; {self.times} runs show it)",
            f"  again: {self.command}",
        ]
        return "\n".join([*lines, *([f"  {self.shrunk}"] if self.shrunk else [])])


@dataclass
class Book:
    """The findings so far, told apart by rule and place."""

    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)

    def add(self, broken: Broken, seed: Seed, subject: Options) -> Finding | None:
        """Notes what a run has shown; the finding if it is a new one."""
        key = broken.rule, broken.place
        known = self.findings.get(key)
        if known is not None:
            known.times += 1
            return None
        self.findings[key] = Finding(broken.rule, broken.place, broken.words, seed, subject)
        return self.findings[key]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings.values())

    def __len__(self) -> int:
        return len(self.findings)

    def report(self) -> str:
        """All findings in words, the most frequent first."""
        ordered = sorted(self.findings.values(), key=lambda finding: -finding.times)
        return "\n".join(str(finding) for finding in ordered)
