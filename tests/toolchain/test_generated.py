"""Generated instructions and branches, encoded by us and by GNU as: byte for byte the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.toolchain.assemble import assemble
from harness.toolchain.encoding import Encoder
from harness.toolchain.errors import AsmError
from tests.toolchain.gnu import differences, facts, gnu_errors, gnu_object
from tests.toolchain.statements import branches, numbers, registers, statements

MODES = [64, 32, 16]
SLOW = settings(
    max_examples=20,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large,
                           HealthCheck.function_scoped_fixture],
)  # fmt: skip


def compare(lines: list[str], mode: int, encoder: Encoder, folder: Path) -> list[str]:
    """Differences between the objects of both assemblers."""
    head = [".intel_syntax noprefix", ".extern imported", ".equ CONSTANT, 0x28", f".code{mode}"]
    text = "\n".join([*head, "known:", "    nop", *lines, "forward:", "    nop", ""])
    source = folder / "generated.s"
    source.write_text(text)
    ours = assemble(source, encoder).data
    return differences(facts(ours), facts(gnu_object(text, folder)), mode)


@pytest.mark.parametrize("mode", MODES)
def test_instructions(mode: int, encoder: Encoder, tmp_path: Path) -> None:
    @SLOW
    @given(st.lists(statements(mode), min_size=20, max_size=60))
    def check(lines: list[str]) -> None:
        assert compare(lines, mode, encoder, tmp_path) == []

    check()


@pytest.mark.parametrize("mode", MODES)
def test_branches_at_their_limits(mode: int, encoder: Encoder, tmp_path: Path) -> None:
    @SLOW
    @given(branches(mode))
    def check(lines: list[str]) -> None:
        assert compare(lines, mode, encoder, tmp_path) == []

    check()


@pytest.mark.parametrize("distance", range(119, 135))
@pytest.mark.parametrize("name", ["jmp", "jne"])
def test_every_distance_around_the_limit(
    name: str, distance: int, encoder: Encoder, tmp_path: Path
) -> None:
    lines = [f"    {name} ahead", f"    .zero {distance}, 0x90", "ahead:",
             f"    .zero {distance}, 0x90", f"    {name} ahead"]  # fmt: skip
    assert compare(lines, 64, encoder, tmp_path) == []


@SLOW
@given(line=st.one_of(
    st.builds("add {}, {}".format, registers(32, 64), numbers(64)),
    st.builds("mov {}, {}".format, registers(16, 64), numbers(64)),
    st.builds("and {}, {}".format, registers(64, 64), numbers(64)),
    st.builds("mov {}, {}".format, registers(8, 64), numbers(64)),
    st.builds("push {}".format, numbers(64)),
    st.builds("mov rax, [rdi + {}]".format, numbers(64)),
))  # fmt: skip
@example(line="push 0xffff")
@example(line="and rax, 0xffffffff")
@example(line="mov al, 0x100")
@example(line="add eax, 0x1ffffffff")
def test_what_we_accept_gnu_as_accepts_and_encodes_alike(
    line: str, encoder: Encoder, tmp_path: Path
) -> None:
    """Too big a number is an error here even where GNU as only warns and cuts it off."""
    try:
        found = compare([line], 64, encoder, tmp_path)
    except AsmError:
        return
    assert gnu_errors([".intel_syntax noprefix", line], tmp_path) == {}
    assert found == []


OVERSIZED = [
    "mov al, 256",
    "mov al, -129",
    "add cx, 65536",
    "mov eax, 1 << 32",
    "and rax, 0xffffffff",
    "shl eax, 256",
    "int 256",
    "out 256, al",
    "push 1 << 31",
    "cmp byte ptr [rdi], 0x1ff",
]


@pytest.mark.parametrize("line", OVERSIZED)
def test_oversized_numbers_are_refused(line: str, failure: Callable[..., str]) -> None:
    assert "does not fit" in failure(line)


@pytest.mark.parametrize(
    ("text", "value"),
    [("10", 10), ("0x10", 16), ("010", 8), ("0b10", 2), ("'1'", 49), ("99", 99), ("16", 16),
     ("-10", -10), ("1 + 10", 11), ("20 * 10", 200)],
)  # fmt: skip
def test_numbers_mean_what_they_say(
    text: str, value: int, encoder: Encoder, tmp_path: Path
) -> None:
    source = tmp_path / "x.s"
    source.write_text(f".intel_syntax noprefix\nmov eax, {text}\nmov ecx, [rdi + ({text})*1000]\n")
    code = facts(assemble(source, encoder).data).contents[".text"]
    assert code[:5] == b"\xb8" + (value & 0xFFFFFFFF).to_bytes(4, "little")
    assert code[5:] == b"\x8b\x8f" + (value * 1000 & 0xFFFFFFFF).to_bytes(4, "little")
