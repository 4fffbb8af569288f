"""The promises that linker.ld makes to the guest and to the loaders, held by the linked image."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from harness.toolchain.build import build_guest
from harness.toolchain.image import Image

PAGE = 4096
MIB = 1 << 20
MULTIBOOT_MAGIC, MULTIBOOT_ADDRESSES = 0x1BADB002, 1 << 16
PVH_ENTRY_NOTE = 18


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image(build_guest(output=tmp_path_factory.mktemp("guest") / "guest.elf"))


def test_no_segment_is_writable_and_executable(image: Image) -> None:
    assert {segment.permissions for segment in image.segments} == {"r", "rx", "rw"}


def test_segments_begin_at_pages_and_share_none(image: Image) -> None:
    taken: dict[int, str] = {}
    for segment in image.segments:
        assert segment.virtual % PAGE == segment.physical % PAGE == 0
        last = segment.physical + segment.memory_size - 1
        for page in range(segment.physical // PAGE, last // PAGE + 1):
            assert page not in taken, f"page {page:#x} is {taken[page]} and {segment.permissions}"
            taken[page] = segment.permissions


@pytest.mark.parametrize("name", ["text", "rodata", "data"])
def test_regions_are_page_aligned_and_in_order(image: Image, name: str) -> None:
    start, end = image.address(f"__{name}_start"), image.address(f"__{name}_end")
    assert start % PAGE == 0 and MIB <= start <= end
    assert image.sections[f".{name}"].address == start


def test_trampoline_runs_in_one_page_below_one_mebibyte(image: Image) -> None:
    trampoline = image.sections[".trampoline"]
    assert trampoline.address % PAGE == 0
    assert 0 < trampoline.address < MIB - PAGE
    assert trampoline.size == PAGE
    assert image.address("trampoline_start") == trampoline.address
    assert trampoline.address < image.address("trampoline_end") < trampoline.address + PAGE


def test_unused_code_space_is_int3(image: Image) -> None:
    text = image.sections[".text"]
    code = image.read(text.address, text.size)
    symbols = [s for s in image.symbols.values() if s.section == ".text"]
    used = bytearray(text.size)
    for symbol in symbols:
        at = symbol.address - text.address
        used[at : at + symbol.size] = b"\1" * symbol.size
    unsized = {symbol.name for symbol in symbols if not symbol.size}
    gaps = [at for at in range(text.size) if not used[at] and code[at] != 0xCC]
    wrong = {image.locate(text.address + at).symbol for at in gaps} - unsized
    assert used.count(1) > text.size // 2
    assert wrong == set()


def test_every_stack_of_the_boot_block_stands_on_a_guard_page(image: Image) -> None:
    block = image.layout("cpu_block")
    assert image.address("boot_block") % PAGE == 0
    stacks = [name for name in block if name.endswith("_stack")]
    assert len(stacks) >= 2
    for stack in stacks:
        guard = block["guard_" + stack.removesuffix("_stack")]
        assert block[stack] - guard == PAGE and guard % PAGE == 0


def test_guard_pages_are_in_no_segment(image: Image) -> None:
    start = image.address("boot_block")
    for name, offset in image.layout("cpu_block").items():
        if name.startswith("guard_"):
            page = start + offset
            for segment in image.segments:
                assert not segment.virtual <= page < segment.virtual + segment.memory_size


def test_pvh_note_names_an_entry_in_the_code(image: Image) -> None:
    (entry,) = struct.unpack("<I", image.notes["Xen", PVH_ENTRY_NOTE])
    assert image.locate(entry).offset == 0
    section = image.section_at(entry)
    assert section is not None and section.executable


def test_multiboot_header_is_early_aligned_and_sound(image: Image) -> None:
    data = image.path.read_bytes()[:8192]
    at = data.index(struct.pack("<I", MULTIBOOT_MAGIC))
    magic, flags, checksum = struct.unpack_from("<III", data, at)
    assert at % 4 == 0 and at + 12 <= 8192
    assert (magic + flags + checksum) % (1 << 32) == 0
    if flags & MULTIBOOT_ADDRESSES:
        header, load, load_end, bss_end, entry = struct.unpack_from("<IIIII", data, at + 12)
        assert header == image.sections[".multiboot"].address
        assert load <= header < load_end <= bss_end
        assert image.section_at(entry) is not None


def test_build_id_note_is_where_the_guest_prints_it_from(image: Image) -> None:
    note = image.sections[".note.gnu.build-id"]
    assert image.read(note.address, note.size)[-20:].hex() == image.build_id
    assert image.address("__build_id_note") == note.address


def test_every_function_has_a_source_line(image: Image) -> None:
    functions = [symbol for symbol in image.symbols.values() if symbol.kind == "func"]
    for function in functions:
        place = image.locate(function.address)
        assert place.line > 0 and Path(place.file).suffix in (".s", ".inc"), function.name
