"""Our objects against those of GNU as, for the whole guest and for samples of every construct."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.toolchain.assemble import assemble
from harness.toolchain.encoding import Encoder
from tests.toolchain.gnu import differences, facts, gnu_object

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = Path(__file__).parent / "samples"
GUEST = sorted((ROOT / "guest").rglob("*.s"))
INCLUDE = (ROOT / "guest" / "include", ROOT / "build" / "include", SAMPLES)


def compare(source: Path, encoder: Encoder, folder: Path) -> list[str]:
    ours = assemble(source, encoder, INCLUDE).data
    gnu = gnu_object(source.read_text(), folder, INCLUDE)
    return differences(facts(ours), facts(gnu))


@pytest.mark.parametrize("source", GUEST, ids=lambda path: str(path.relative_to(ROOT)))
def test_guest_file_is_what_gnu_as_makes_of_it(
    source: Path, encoder: Encoder, guest_includes: None, tmp_path: Path
) -> None:
    assert compare(source, encoder, tmp_path) == []


def test_there_is_a_guest_to_compare() -> None:
    assert len(GUEST) > 10


@pytest.mark.parametrize("name", ["data", "macros", "modes", "branches"])
def test_sample_is_what_gnu_as_makes_of_it(name: str, encoder: Encoder, tmp_path: Path) -> None:
    assert compare(SAMPLES / f"{name}.s", encoder, tmp_path) == []


def test_the_comparison_notices_a_wrong_byte(encoder: Encoder, tmp_path: Path) -> None:
    source = tmp_path / "x.s"
    source.write_text(".intel_syntax noprefix\nf: mov eax, 10\n ret\n")
    ours = assemble(source, encoder).data
    gnu = gnu_object(source.read_text().replace("10", "0x10"), tmp_path)
    assert any("contents of .text" in words for words in differences(facts(ours), facts(gnu)))


def test_the_comparison_notices_a_missing_symbol_and_relocation(
    encoder: Encoder, tmp_path: Path
) -> None:
    source = tmp_path / "x.s"
    source.write_text(".intel_syntax noprefix\n.extern g\nf: call g\n")
    ours = assemble(source, encoder).data
    gnu = gnu_object(".intel_syntax noprefix\nh: .byte 0xe8,0,0,0,0\n", tmp_path)
    found = "\n".join(differences(facts(ours), facts(gnu)))
    assert "symbol f" in found and "symbol g" in found and ".rela.text" in found
