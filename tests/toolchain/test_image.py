"""Reading an image, and the debuggers' view of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.toolchain.build import build_image
from harness.toolchain.image import Image, ImageError

INCLUDE = """\
.macro STORE value
    mov eax, \\value
    mov [rdi], eax
.endm
.equ task.id, 0
.equ task.name, 8
.equ task.size, 24
"""
SOURCE = """\
.intel_syntax noprefix
.include "macros.inc"
.globl task.id, task.name, task.size, start, helper, table, PLAIN
.equ PLAIN, 77
.type start, @function
start:
    push rbp
    STORE 5
    call helper
    ret
.size start, . - start
.type helper, @function
helper:
    nop
    .rept 2
    cli
    .endr
    ret
.size helper, . - helper
.section .text.cold, "ax", @progbits
cold:
    STORE 6
    jmp start
.data
.type table, @object
table:
    .quad 1, 2
.size table, 16
.bss
    .balign 16
buffer:
    .zero 64
"""
SCRIPT = """\
ENTRY(start)
SECTIONS {
  . = 0x100000; .text : { *(.text) }
  . = 0x102000; .cold : { *(.text.cold) }
  . = 0x103000; .data : { *(.data) } .bss : { *(.bss) }
  . = 0x105000; .note.gnu.build-id : { *(.note.gnu.build-id) }
}
"""
COLD = 0x102000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    (folder / "macros.inc").write_text(INCLUDE)
    (folder / "main.s").write_text(SOURCE)
    (folder / "link.ld").write_text(SCRIPT)
    return build_image(
        [folder / "main.s"],
        folder / "image.elf",
        linker_script=folder / "link.ld",
        include=[folder],
    )


@pytest.fixture(scope="module")
def image(path: Path) -> Image:
    return Image(path)


def line_of(words: str) -> int:
    return next(n for n, line in enumerate(SOURCE.split("\n"), 1) if words in line)


def test_symbols(image: Image) -> None:
    start = image.symbol("start")
    assert (start.address, start.kind, start.binding, start.section) == (
        0x100000, "func", "global", ".text")  # fmt: skip
    assert start.size == image.address("helper") - start.address
    assert image.symbol("table").size == 16
    assert image.symbol("PLAIN").is_absolute and image.address("PLAIN") == 77
    with pytest.raises(ImageError, match="no symbol 'nothing'"):
        image.symbol("nothing")


def test_layouts(image: Image) -> None:
    assert image.layout("task") == {"id": 0, "name": 8, "size": 24}
    assert list(image.layouts) == ["task"]
    with pytest.raises(ImageError, match="exports no structure 'runqueue'"):
        image.layout("runqueue")


def test_sections_and_segments(image: Image) -> None:
    text, bss = image.sections[".text"], image.sections[".bss"]
    assert text.executable and not text.writable and text.occupies_file
    assert bss.writable and not bss.executable and not bss.occupies_file
    assert {segment.permissions for segment in image.segments} == {"rx", "rw", "r"}
    assert image.section_at(0x100001) == text
    assert image.section_at(1) is None


def test_bytes(image: Image) -> None:
    table, buffer = image.address("table"), image.address("buffer")
    assert image.read(table, 16) == (1).to_bytes(8, "little") + (2).to_bytes(8, "little")
    assert image.read(buffer, 64) == bytes(64)
    with pytest.raises(ImageError, match="0x1"):
        image.read(1, 4)
    with pytest.raises(ImageError):
        image.read(buffer, 1 << 20)


def test_locate_gives_symbol_offset_and_line(image: Image) -> None:
    start = image.address("start")
    place = image.locate(start)
    assert (place.symbol, place.offset, place.line) == ("start", 0, line_of("push rbp"))
    assert Path(place.file).name == "main.s"
    # Both instructions of the macro belong to the line of its invocation.
    assert image.locate(start + 1).line == image.locate(start + 6).line == line_of("STORE 5")
    assert image.locate(start + 6).offset == 6
    assert str(place).startswith("start+0x0 (") and str(place).endswith("main.s:7)")
    cold = image.locate(COLD + 5)
    assert (cold.symbol, cold.offset, cold.line) == ("cold", 5, line_of("STORE 6"))
    nowhere = image.locate(0x50)
    assert (nowhere.symbol, nowhere.line) == ("", 0) and str(nowhere) == "0x50"


def test_every_instruction_has_its_line(image: Image) -> None:
    helper = image.symbol("helper")
    lines = [image.locate(address).line for address in range(helper.address, helper.address + 4)]
    assert lines == [line_of("    nop"), line_of("    cli"), line_of("    cli"), line_of("cli") + 2]


def test_not_an_image(tmp_path: Path) -> None:
    other = tmp_path / "text"
    other.write_text("hello")
    with pytest.raises(ImageError, match="no ELF file"):
        Image(other)


def test_image_without_build_id(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.elf"
    command = ["objcopy", "--remove-section=.note.gnu.build-id", str(path), str(copy)]
    subprocess.run(command, check=True)
    with Image(copy) as image, pytest.raises(ImageError, match="no build id"):
        _ = image.build_id


def test_build_id_is_that_of_readelf(image: Image, path: Path) -> None:
    shown = tool("readelf", "-n", path)
    assert f"Build ID: {image.build_id}" in shown


def tool(*command: object) -> str:
    result = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    complaints = [line for line in result.stderr.split("\n") if "arning" in line]
    assert not [line for line in complaints if "index cache" not in line]  # gdb without a HOME
    assert "DWARF" not in result.stderr
    return result.stdout


def test_addr2line_agrees_with_us(image: Image, path: Path) -> None:
    addresses = [image.address("start"), image.address("start") + 3, image.address("helper"), COLD]
    shown = tool("addr2line", "-fe", path, *[hex(address) for address in addresses]).split("\n")
    for number, address in enumerate(addresses):
        place = image.locate(address)
        assert shown[2 * number] == place.symbol
        assert shown[2 * number + 1].split(" ")[0] == f"{place.file}:{place.line}"


def test_objdump_shows_source_lines(path: Path) -> None:
    shown = tool("objdump", "-dl", "-Mintel", path)
    start = shown.index("<start>:")
    assert "main.s:7\n" in shown[start : start + 200]
    assert f"main.s:{line_of('STORE 6')}\n" in shown[shown.index("<cold>:") :]


def test_gdb_knows_lines_and_sources(path: Path) -> None:
    shown = tool("gdb", "-nx", "-batch", "-ex", "info line helper", "-ex", "list start,start",
                 "-ex", "info line *0x102005", path)  # fmt: skip
    assert f"Line {line_of('    nop')} of" in shown and "<helper>" in shown
    assert "push rbp" in shown
    assert f"Line {line_of('STORE 6')} of" in shown


def test_readelf_finds_nothing_wrong_with_the_debug_information(path: Path) -> None:
    shown = tool("readelf", "--debug-dump=info,decodedline,aranges,Ranges", path)
    assert "DW_AT_producer" in shown and "main.s" in shown
