"""Memory at boot: what is handed out, and how pages are protected."""

from __future__ import annotations

import pytest

from tests.functions.guest import PanicError
from tests.functions.machine import Layout
from tests.kernel.kernel import Kernel

PAGE, LARGE = 4096, 1 << 21
NX, PRESENT, WRITE, LARGE_FLAG = 1 << 63, 1, 2, 0x80


@pytest.mark.parametrize(
    ("next_free", "size", "alignment", "result"),
    [(0x100001, 24, 64, 0x100040), (0x100040, 1, 64, 0x100040), (0x100041, 8, 4096, 0x101000),
     (0x100000, 0x1000, 8, 0x100000), (0x100040, 0xFC1, 64, None), (0x100040, 0xFC0, 64, 0x100040),
     (0x100FFF, 1, 4096, None)],
)  # fmt: skip
def test_memory_is_handed_out_upwards_to_its_end(
    kernel: Kernel, next_free: int, size: int, alignment: int, result: int | None
) -> None:
    kernel.set_word("memory_next", next_free)
    kernel.set_word("memory_top", 0x102001 if result == 0x101000 else 0x101000)
    if result is None:
        with pytest.raises(PanicError, match="out of memory"):
            kernel.call("memory_alloc", size, alignment)
        assert kernel.word("memory_next") == next_free
        return
    assert kernel.call("memory_alloc", size, alignment) == result
    assert kernel.word("memory_next") == result + size


@pytest.fixture
def mapped(kernel: Kernel) -> Kernel:
    """With 4 GiB of large pages, as boot/entry.s leaves them, and memory for tables."""
    directories = kernel.addresses["boot_page_directories"]
    data = b"".join((n * LARGE | 0x83).to_bytes(8, "little") for n in range(2048))
    kernel.write(directories, data)
    kernel.set_word("memory_next", kernel.allocate(64 * PAGE + PAGE))
    kernel.set_word("memory_top", kernel.word("memory_next") + 65 * PAGE)
    return kernel


def entry(kernel: Kernel, address: int) -> int:
    """What the tables say of an address."""
    directory = kernel.addresses["boot_page_directories"] + address // LARGE * 8
    (large,) = kernel.words(directory, 1)
    if large & LARGE_FLAG:
        return large
    assert large & 0xFFF == PRESENT | WRITE
    (small,) = kernel.words((large & -PAGE) + address % LARGE // PAGE * 8, 1)
    return small


def test_a_large_page_is_split_where_a_part_of_it_differs(mapped: Kernel) -> None:
    start, end = 3 * LARGE + 5 * PAGE, 4 * LARGE + 2 * PAGE
    mapped.call("memory_protect", start, end, NX | PRESENT)
    for page in range(3 * LARGE, 5 * LARGE, PAGE):
        expected = NX | PRESENT if start <= page < end else PRESENT | WRITE
        assert entry(mapped, page) == page | expected, hex(page)
    for page in (2 * LARGE, 5 * LARGE):
        assert entry(mapped, page) == page | 0x83
    used = mapped.word("memory_next")
    mapped.call("memory_protect", start, start + PAGE, 0)
    assert mapped.word("memory_next") == used, "it is split already"
    assert entry(mapped, start) == start


def test_the_image_is_protected(mapped: Kernel) -> None:
    at = mapped.addresses
    behind = at["boot_page_directories"] + 2048 * 8
    mapped.write(behind, LARGE_FLAG.to_bytes(8, "little"))
    mapped.fake_control_registers("memory_protect_image")
    mapped.call("memory_protect_image")
    assert mapped.words(behind, 1) == [LARGE_FLAG], "not one of the pages"
    image_end = -(-at["__image_end"] // LARGE) * LARGE
    text, text_end = at["__text_start"], at["__text_end"]
    guards = {at["boot_block"] + offset for offset in guard_pages(mapped)}
    for page in range(0, image_end, PAGE):
        if page == 0 or page in guards:
            expected = 0
        elif page == 0x8000 or text <= page < text_end:
            expected = PRESENT
        elif page < at["__image_start"] or page >= at["__rodata_end"]:
            expected = NX | PRESENT | WRITE
        else:
            expected = NX | PRESENT
        assert entry(mapped, page) == page | expected, hex(page)
    apic = 0xFEE00000
    for large in range(image_end, 1 << 32, LARGE):
        uncached = 0x18 if large == apic else 0
        assert entry(mapped, large) == large | 0x83 | NX | uncached, hex(large)


def guard_pages(kernel: Kernel) -> list[int]:
    fields = Layout.of(kernel.image, "cpu_block").fields
    return [at for name, (at, _) in fields.items() if name.startswith("guard_")]


def test_below_each_stack_of_a_cpu_nothing_is_mapped(mapped: Kernel) -> None:
    block = 8 * LARGE + 16 * PAGE
    mapped.call("memory_guard_block", block)
    offsets = guard_pages(mapped)
    assert len(offsets) == 4
    for page in range(8 * LARGE, 9 * LARGE, PAGE):
        expected = 0 if page - block in offsets else PRESENT | WRITE
        assert entry(mapped, page) == page | expected
