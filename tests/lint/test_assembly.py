"""The lint of the assembly: the sources of the guest are clean, and no longer when damaged."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.toolchain.lint import CONTRACT, MAX_COLUMNS, lint_text

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "guest").rglob("*.s"))
PAUSE = re.compile(r"\s+(pause|hlt|call (relax|relax_spin|idle_turn|clock_delay))\b")


def findings(path: Path, lines: list[str]) -> str:
    return "\n".join(map(str, lint_text(path, "\n".join(lines))))


def without(lines: list[str], number: int) -> list[str]:
    return lines[:number] + lines[number + 1 :]


def each_source(pattern: str) -> Iterator[tuple[Path, list[str], int]]:
    """Every line of the guest that starts like that, with its file and number (from 0)."""
    for path in SOURCES:
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if re.match(pattern, line):
                yield path, lines, number


def test_the_guest_and_the_test_guests_are_clean() -> None:
    for folder in ("guest", "tests"):
        for path in [*(ROOT / folder).rglob("*.s"), *(ROOT / folder).rglob("*.inc")]:
            assert lint_text(path, path.read_text()) == []


def test_pauses_that_are_taken_out_of_wait_loops_are_missed() -> None:
    """All but those of loops that would come to an end, and one of two in the same loop."""
    missed = {
        f"{path.name}:{number + 1}"
        for path, lines, number in each_source(PAUSE.pattern)
        if "pause" in findings(path, without(lines, number))
    }
    files = {place.partition(":")[0] for place in missed}
    assert {"console.s", "ipi.s", "lapic.s", "lock.s", "relax.s", "smp.s", "main.s"} <= files
    assert len(missed) >= 20


def test_a_lock_that_spins_without_pause_is_named() -> None:
    path = ROOT / "guest" / "cpu" / "lock.s"
    lines = path.read_text().replace("    call relax_spin\n", "").splitlines()
    assert re.search(
        r"lock\.s:\d+: wait loop without pause or hlt in spin_lock$", findings(path, lines)
    )


def test_every_line_of_a_contract_is_missed() -> None:
    functions = 0
    for path, lines, number in each_source("(PUBLIC|PRIVATE) "):
        functions += 1
        name = lines[number].split()[1]
        start = number
        while lines[start - 1].startswith("#"):
            start -= 1
        header = lines[start:number]
        for at, line in enumerate(header, start):
            part = next((part for part in CONTRACT if part in line), None)
            if part is not None:
                assert f"header of {name} lacks '{part}'" in findings(path, without(lines, at))
            elif line.startswith(f"# {name}("):
                assert f"no header '# {name}(" in findings(path, without(lines, at))
    assert functions > 150


def test_a_function_that_is_not_closed_is_named() -> None:
    ends = 0
    for path, lines, number in each_source(r"END \w+$"):
        name = lines[number].split()[1]
        if re.search(rf"^(PUBLIC|PRIVATE) {name}$", "\n".join(lines), re.MULTILINE):
            ends += 1
            assert f"no 'END {name}' closes it" in findings(path, without(lines, number))
    assert ends > 150


def test_an_extern_that_nobody_needs_is_named() -> None:
    for path in SOURCES:
        lines = path.read_text().splitlines()
        assert f"{path}:2: .extern no_such_name is not used" in findings(
            path, [lines[0], ".extern no_such_name", *lines[1:]]
        )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("\tnop", "tab; indent with four blanks"),
        ("    nop ", "blanks at the end of the line"),
        ("# " + "x" * (MAX_COLUMNS - 1), f"{MAX_COLUMNS + 1} columns; at most {MAX_COLUMNS}"),
    ],
)
def test_untidy_lines_are_named(line: str, words: str) -> None:
    assert findings(Path("x.inc"), ["nop", line]) == f"x.inc:2: {words}"


HEADER = """\
# f(): waits.
#   clobbers: rax
#   locks: none
#   irq: on
PRIVATE f
f:
"""


@pytest.mark.parametrize(
    "loop",
    [
        ["cmp dword ptr [rdi], 0", "jne .again"],
        ["mov eax, dword ptr [rdi]", "test eax, eax", "jz .again"],
        ["in al, dx", "test al, 0x20", "jz .again"],
        ["mov eax, 1", "xchg dword ptr [rdi], eax", "test eax, eax", "jnz .again"],
        ["mov eax, r8d", "sub eax, dword ptr [rdi]", "cmp eax, ebx", "jb .again"],
        ["lea rax, [rip + table]", "mov rax, qword ptr [rax + 8]", "test rax, rax", "jz .again"],
        ["call clock_ns", "cmp rax, rbx", "jb .again"],
        ["mov rcx, rax", "call clock_ns", "sub rcx, rax", "add rbx, rcx", "js .again"],
        ["jmp .again"],
    ],
)
def test_what_only_looks_waits(loop: list[str]) -> None:
    text = [*HEADER.splitlines(), ".again:", *(f"    {line}" for line in loop), "    ret", "END f"]
    assert "wait loop without pause or hlt in f" in findings(Path("x.s"), text)
    for pause in ("pause", "hlt", "call relax"):
        assert findings(Path("x.s"), [*text[:7], f"    {pause}", *text[7:]]) == ""


@pytest.mark.parametrize(
    "loop",
    [
        ["inc ecx", "cmp ecx, 4", "jb .again"],
        ["mov rax, qword ptr [rax]", "test rax, rax", "jnz .again"],
        ["mov al, byte ptr [rsi]", "inc rsi", "test al, al", "jnz .again"],
        [
            "mov rax, qword ptr [rdi]",
            "cmp rax, rbx",
            "je .done",
            "lea rdi, [rax + 8]",
            "jmp .again",
        ],
        ["shr edx, 1", "jnz .again"],
        ["dec dword ptr [rdi]", "jnz .again"],
        ["stosb", "cmp rdi, rsi", "jb .again"],
        ["call work", "test eax, eax", "jnz .again"],
    ],
)
def test_what_gets_on_does_not_wait(loop: list[str]) -> None:
    text = [*HEADER.splitlines(), ".again:", *(f"    {line}" for line in loop)]
    assert findings(Path("x.s"), [*text, ".done:", "    ret", "END f"]) == ""


def test_exit_status_and_output(tmp_path: Path) -> None:
    def lint(*folders: Path) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "harness.toolchain.lint", *map(str, folders)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    clean, untidy = tmp_path / "clean", tmp_path / "untidy"
    for folder, text in ((clean, "nop\n"), (untidy, "nop \n")):
        folder.mkdir()
        (folder / "x.s").write_text(text)
    assert lint(clean) == (0, "", "")
    assert lint(clean, untidy) == (1, f"{untidy / 'x.s'}:1: blanks at the end of the line\n", "")
    assert lint(tmp_path / "nowhere") == (
        2,
        "",
        f"lint: {tmp_path / 'nowhere'}: no such directory\n",
    )
