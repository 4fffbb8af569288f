"""The assembler as a command, used like GNU as."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def assemble(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.toolchain.assemble", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("source", ["guest/cpu/lock.s", "guest/trace/format.s"])
def test_a_source_of_the_guest_needs_no_options(tmp_path: Path, source: str) -> None:
    output = tmp_path / "x.o"
    done = assemble(source, "-o", output)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    shown = subprocess.run(
        ["objdump", "-dl", output], capture_output=True, text=True, check=True
    ).stdout
    assert f"{source}:" in shown


def test_other_sources_find_includes_where_they_are_told(tmp_path: Path) -> None:
    source = tmp_path / "x.s"
    source.write_text('.intel_syntax noprefix\n.include "cpu.inc"\n.text\nmov eax, PAGE_SIZE\n')
    output = tmp_path / "x.o"
    done = assemble(source, "-o", output)
    assert done.returncode == 1
    assert "cannot find 'cpu.inc'" in done.stderr
    assert not output.exists()
    done = assemble(source, "-o", output, "-I", "guest/include", "-MD", tmp_path / "x.d")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    rule = (tmp_path / "x.d").read_text()
    assert rule.startswith(f"{output}: {source} ")
    assert "guest/include/cpu.inc" in rule
