"""pytest plugin: the ``boot`` fixture, its options, and failure reports that tell the run's story.

::

    def test_four_cpus(boot):
        run = boot(cpus=4, clock="virtual", seed=1)
        assert run.outcome == "pass", run.verdict

    def test_the_guests_own_tests(boot, selftests):
        selftests(boot(selftest="all"))     # one sub-result for each
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.boot import Run
from harness.boot import boot as start_run
from harness.machine import Clock
from harness.report.failure import failure_report
from harness.toolchain.build import BuildError
from harness.trace.ktap import KtapResult, Status

SHOWN_RUNS = 3
"""Runs of one failing test that are shown in full."""

_BOOTER = pytest.StashKey["Booter"]()


class Booter:
    """The ``boot`` fixture: :func:`harness.boot.boot` with the defaults of the command line."""

    def __init__(self, config: pytest.Config, test: str) -> None:
        self.runs: list[Run] = []
        self._config = config
        self._test = test

    def __call__(
        self,
        image: Path | str | None = None,
        cpus: int | None = None,
        clock: Clock | str | None = None,
        seed: int = 1,
        **options: Any,
    ) -> Run:
        """Boot a guest; the arguments are those of :func:`harness.boot.boot`."""
        accel = options.setdefault("accel", self._config.getoption("harness_accel"))
        options.setdefault("qemu", self._config.getoption("harness_qemu"))
        if cpus is None and options.get("topology") is None:
            cpus = self._config.getoption("harness_smp")
        if clock is None:
            clock = self._config.getoption("harness_clock")
        if clock is None:
            clock = Clock.VIRTUAL if accel == "tcg" else Clock.REAL
        try:
            run = start_run(image, cpus, clock, seed, **options)
        except BuildError as error:
            pytest.fail(f"the guest does not build:\n{error}", pytrace=False)
        self.runs.append(run)
        return run

    def close(self) -> None:
        """End what still runs, and keep the logs where that was asked for."""
        directory: Path | None = self._config.getoption("harness_keep_logs")
        for number, run in enumerate(self.runs, start=1):
            run.close()
            if directory is not None:
                directory.mkdir(parents=True, exist_ok=True)
                (directory / f"{_file_name(self._test)}-{number}.log").write_bytes(run.log)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of ``boot``; a test that names a value itself keeps it."""
    group = parser.getgroup("harness", "scheduler guests in QEMU")
    group.addoption(
        "--smp", dest="harness_smp", type=int, default=4, metavar="N", help="CPUs (default: 4)"
    )
    group.addoption(
        "--accel",
        dest="harness_accel",
        choices=("tcg", "kvm"),
        default="tcg",
        help="what executes the guest (default: tcg); kvm implies --clock real",
    )
    group.addoption(
        "--clock",
        dest="harness_clock",
        choices=tuple(clock.value for clock in Clock),
        help="virtual: reproducible, byte for byte (default); real: concurrent CPUs",
    )
    group.addoption(
        "--qemu",
        dest="harness_qemu",
        default="qemu-system-x86_64",
        metavar="PATH",
        help="QEMU to run (default: qemu-system-x86_64)",
    )
    group.addoption(
        "--keep-logs",
        dest="harness_keep_logs",
        type=Path,
        metavar="DIR",
        help="save the serial log of every boot in DIR, one file a boot named after its test",
    )


@pytest.fixture
def boot(request: pytest.FixtureRequest) -> Iterator[Booter]:
    """Boots guests; ends every one of them with the test."""
    booter = Booter(request.config, request.node.nodeid)
    request.node.stash[_BOOTER] = booter
    yield booter
    booter.close()


@pytest.fixture
def selftests(subtests: pytest.Subtests) -> Callable[[Run], None]:
    """Reports each self-test of a run's guest as a sub-result of the test."""

    def report(run: Run) -> None:
        ktap = run.ktap
        if not ktap.present:
            pytest.fail(f"the guest reported no self-test; {run.verdict}", pytrace=False)
        for result in ktap.results:
            with subtests.test(msg=result.path):
                _report(result)
        for problem in ktap.problems:
            with subtests.test(msg="report of the self-tests"):
                pytest.fail(problem, pytrace=False)

    return report


def _report(result: KtapResult) -> None:
    match result.status:
        case Status.SKIPPED:
            pytest.skip(result.reason or "skipped by the guest")
        case Status.EXPECTED_FAILURE:
            pytest.xfail(result.reason or "expected by the guest")
        case Status.NOT_OK:
            said = [result.reason or "failed", *result.diagnostics]
            pytest.fail("\n".join(said), pytrace=False)
        case Status.OK:
            pass


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the story of its runs to a test that failed."""
    report = yield
    booter = item.stash.get(_BOOTER, None)
    if booter is not None and report.failed and report.when == "call":
        for title, text in _sections(booter.runs):
            report.sections.append((title, text))
    return report


def _sections(runs: list[Run]) -> Iterator[tuple[str, str]]:
    """The runs that did not pass; where all did, the last, since the test found fault with it."""
    for run in runs:
        run.close()
    failed = [number for number, run in enumerate(runs, start=1) if not run.passed]
    shown = failed or [len(runs)][: len(runs)]
    for number in shown[:SHOWN_RUNS]:
        run = runs[number - 1]
        yield f"boot {number} of {len(runs)}: {run.outcome}", failure_report(run)
    if len(shown) > SHOWN_RUNS:
        rest = ", ".join(str(number) for number in shown[SHOWN_RUNS:])
        yield "boots not shown", f"these did not pass either: {rest}"


def _file_name(test: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.=-]+", "-", test).strip("-")
