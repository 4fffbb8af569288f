"""Steps are the same whether compiled code counts them or Python does."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.explore import steps
from harness.explore.scenarios import SCENARIOS, scenario
from harness.explore.seed import Seed
from harness.explore.unit import Bench, UnitRun
from harness.toolchain import shared
from harness.toolchain.image import Image
from harness.toolchain.shared import NoCompilerError, shared_library

SEEDS = [
    "unicorn:plain:0:0:1",
    *(f"unicorn:pct:3:200:{number}" for number in range(6)),
    *(f"unicorn:yield:5:0:{number}" for number in range(4)),
    *(f"unicorn:yield:1:0:{number}" for number in range(4)),
]


def outcomes(image: Image, name: str) -> list[tuple[UnitRun, bytes]]:
    bench = Bench(image, scenario(name))
    return [(bench.replay(Seed.parse(text)), bench.world.state_bytes()) for text in SEEDS]


@pytest.fixture
def by_python(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(steps, "_native", lambda: None)
    return monkeypatch


@pytest.mark.parametrize("name", [each.name for each in SCENARIOS])
def test_compiled_code_and_python_count_alike(
    image: Image, by_python: pytest.MonkeyPatch, name: str
) -> None:
    found = outcomes(image, name)
    by_python.undo()
    try:
        shared_library(steps.SOURCE)
    except NoCompilerError as error:
        pytest.skip(str(error))
    assert outcomes(image, name) == found


def test_without_a_compiler_python_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(shared, "FOLDER", tmp_path / "build")
    assert steps._native.__wrapped__() is None


def test_a_source_that_does_not_compile_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shared, "FOLDER", tmp_path / "build")
    (tmp_path / "wrong.c").write_text("int f(void) { return nothing; }\n")
    try:
        shared_library(steps.SOURCE)
    except NoCompilerError as error:
        pytest.skip(str(error))
    with pytest.raises(NoCompilerError, match=r"cannot build wrong\.c: .*wrong\.c: In function"):
        shared_library(tmp_path / "wrong.c")
