"""What the firmware and the boot loader hand over: CPUs, nodes, memory, module, command line."""

from __future__ import annotations

import struct

import pytest

from tests.functions.guest import PanicError
from tests.functions.machine import HEAP
from tests.kernel.kernel import BIOS, Kernel

BOOT_APIC = 6
RAM, OTHER = 1, 2


def table(signature: bytes, body: bytes, revision: int = 1) -> bytes:
    """A system description table; nobody looks at its checksum."""
    size = 36 + len(body)
    head = struct.pack("<4sIBB6s8sIII", signature, size, revision, 0, b"", b"", 0, 0, 0)
    return head + body


def place(kernel: Kernel, data: bytes) -> int:
    address = kernel.allocate(len(data))
    kernel.write(address, data)
    return address


def root(kernel: Kernel, tables: list[bytes], revision: int, *, bios: int | None = None) -> None:
    """The root pointer and the tables, as of ACPI 1 (RSDT) or 2 (XSDT)."""
    places = [place(kernel, data) for data in tables]
    decoy = place(kernel, table(b"RSDT" if revision >= 2 else b"XSDT", b""))
    kind = "<Q" if revision >= 2 else "<I"
    entries = b"".join(struct.pack(kind, at) for at in places)
    sdt = place(kernel, table(b"XSDT" if revision >= 2 else b"RSDT", entries))
    rsdt, xsdt = (decoy, sdt) if revision >= 2 else (sdt, decoy)
    pointer = struct.pack("<8sB6sBIIQ", b"RSD PTR ", 0, b"", revision, rsdt, 36, xsdt)
    if bios is None:
        kernel.set_word("boot_rsdp", place(kernel, pointer))
    else:
        kernel.write(bios, pointer)


def local_apic(identifier: int, flags: int = 1) -> bytes:
    return struct.pack("<BBBBI", 0, 8, 99, identifier, flags)


IO_APIC = struct.pack("<BBBBII", 1, 12, 1, 0, 0xFEC00000, 0)
MADT = [local_apic(3), local_apic(BOOT_APIC), IO_APIC, local_apic(200, flags=0),
        local_apic(7, flags=2), local_apic(254), local_apic(0, flags=3)]  # fmt: skip
OTHERS = [table(b"FACP", bytes(80)), table(b"APIX", bytes(4))]


def find(kernel: Kernel) -> list[int]:
    kernel.set_percpu(0, apic_id=BOOT_APIC)
    kernel.call("acpi_find_cpus")
    count = kernel.number("apic_count")
    return list(kernel.read(kernel.addresses["apic_ids"], count))


@pytest.mark.parametrize("revision", [0, 1, 2, 3])
@pytest.mark.parametrize("bios", [None, BIOS, BIOS + 0x10, 0x100000 - 48, 0x100000 - 16 * 4])
def test_cpus_are_the_enabled_ones_of_the_madt(
    kernel: Kernel, revision: int, bios: int | None
) -> None:
    """The boot CPU first, the others in the table's order."""
    madt = table(b"APIC", bytes(8) + b"".join(MADT))
    root(kernel, [*OTHERS, madt, OTHERS[0]], revision, bios=bios)
    assert find(kernel) == [BOOT_APIC, 3, 254, 0]
    assert kernel.string(kernel.word("apic_source")) == "madt"


def test_a_root_pointer_is_where_both_halves_of_its_signature_are(kernel: Kernel) -> None:
    kernel.write(BIOS + 0x20, b"RSD PTX " + bytes(40))
    root(kernel, [table(b"APIC", bytes(8) + MADT[0])], 0, bios=BIOS + 0x80)
    assert find(kernel) == [BOOT_APIC, 3]


def test_no_table_is_found_where_there_is_none(kernel: Kernel) -> None:
    signature = int.from_bytes(b"SRAT", "little")
    assert kernel.call("acpi_find_table", signature) == 0
    root(kernel, [*OTHERS, table(b"APIC", bytes(8))], 0)
    assert kernel.call("acpi_find_table", signature) == 0
    found = kernel.call("acpi_find_table", int.from_bytes(b"APIC", "little"))
    assert kernel.read(found, 4) == b"APIC"


def test_no_more_than_255_cpus_are_taken(kernel: Kernel) -> None:
    entries = [local_apic(number) for number in range(256)] + [local_apic(1)] * 5
    root(kernel, [table(b"APIC", bytes(8) + b"".join(entries))], 0)
    found = find(kernel)
    assert len(found) == 255
    assert found == [BOOT_APIC, *(number for number in range(256) if number != BOOT_APIC)][:255]


def test_an_entry_of_no_length_ends_the_table(kernel: Kernel) -> None:
    broken = table(b"APIC", bytes(8) + MADT[0] + bytes([1, 0]) + MADT[0])
    root(kernel, [broken], 0)
    assert find(kernel) == [BOOT_APIC, 3]


@pytest.mark.parametrize("count", [1, 2, 9])
def test_without_a_table_cpus_are_counted_by_cpuid(kernel: Kernel, count: int) -> None:
    kernel.set_percpu(0, apic_id=0)
    kernel.fake(
        "cpuid", lambda: kernel.result(rbx=0x0800 | count << 16 | 7 << 24), "acpi_find_cpus"
    )
    kernel.call("acpi_find_cpus")
    assert kernel.number("apic_count") == count
    assert list(kernel.read(kernel.addresses["apic_ids"], count)) == list(range(count))
    assert kernel.string(kernel.word("apic_source")) == "cpuid"


def affinity(identifier: int, node: int, flags: int = 1) -> bytes:
    high = node >> 8
    return struct.pack("<BBBBIB3sI", 0, 16, node & 0xFF, identifier, flags, 77,
                       high.to_bytes(3, "little"), 0)  # fmt: skip


def test_nodes_are_those_of_the_srat(kernel: Kernel) -> None:
    memory = struct.pack("<BB", 1, 40) + bytes([5] * 38)
    entries = [affinity(3, 1), memory, affinity(4, 2, flags=0), affinity(255, 0x01020304),
               affinity(0, 300, flags=3), affinity(3, 2)]  # fmt: skip
    root(kernel, [*OTHERS, table(b"SRAT", bytes(12) + b"".join(entries))], 2)
    kernel.call("srat_read")
    found = kernel.read(kernel.addresses["apic_nodes"], 4 * 256)
    nodes = {n: at for n, (at,) in enumerate(struct.iter_unpack("<I", found)) if at}
    assert nodes == {3: 2, 255: 0x01020304, 0: 300}


def test_without_an_srat_all_are_in_one_node(kernel: Kernel) -> None:
    kernel.call("srat_read")
    assert not any(kernel.read(kernel.addresses["apic_nodes"], 4 * 256))


def test_an_srat_with_an_entry_of_no_length_ends_there(kernel: Kernel) -> None:
    root(kernel, [table(b"SRAT", bytes(12) + affinity(3, 1) + bytes(16) + affinity(4, 1))], 0)
    kernel.call("srat_read")
    assert kernel.read(kernel.addresses["apic_nodes"] + 12, 8) == bytes([1, 0, 0, 0] + [0] * 4)


MEGABYTE = 1 << 20
IMAGE_END = "__image_end"


def handed_over(kernel: Kernel) -> dict[str, int]:
    names = ("boot_cmdline", "boot_module", "boot_module_bytes", "boot_rsdp", "memory_next",
             "memory_top")  # fmt: skip
    return {name: kernel.word(name) for name in names}


def pvh(kernel: Kernel, **given: int) -> None:
    """A start-info structure with these fields, and a memory map unless it names one."""
    if "memmap" not in given:
        ranges = [(0, 0x9FC00, RAM), (0x100000, 63 * MEGABYTE, RAM), (0xFFFC0000, 0x40000, OTHER)]
        given |= memory_map(kernel, ranges)
    values = {"magic": 0x336EC578, "version": 1, "flags": 0, "nr_modules": 0, "modlist": 0,
              "cmdline": 0, "rsdp": 0} | given  # fmt: skip
    order = ("magic", "version", "flags", "nr_modules", "modlist", "cmdline", "rsdp", "memmap",
             "memmap_entries")  # fmt: skip
    data = struct.pack("<IIIIQQQQI", *(values[name] for name in order))
    kernel.set_word("boot_info", place(kernel, data + bytes(4)))
    kernel.set_word("boot_protocol", 0x2BADB002)  # QEMU's firmware leaves that even here
    kernel.call("boot_info_read")


def memory_map(kernel: Kernel, ranges: list[tuple[int, int, int]]) -> dict[str, int]:
    data = b"".join(struct.pack("<QQII", *part, 0) for part in ranges)
    return {"memmap": place(kernel, data), "memmap_entries": len(ranges)}


def test_what_pvh_hands_over(kernel: Kernel) -> None:
    words = kernel.text("ticks=3")
    module = place(kernel, struct.pack("<QQQQ", 60 * MEGABYTE, 4711, 0, 0))
    pvh(kernel, cmdline=words, rsdp=0x1234, nr_modules=1, modlist=module)
    assert handed_over(kernel) == {
        "boot_cmdline": words, "boot_module": 60 * MEGABYTE, "boot_module_bytes": 4711,
        "boot_rsdp": 0x1234, "memory_next": kernel.addresses[IMAGE_END],
        "memory_top": 60 * MEGABYTE,
    }  # fmt: skip


def test_pvh_without_module_and_command_line(kernel: Kernel) -> None:
    pvh(kernel, modlist=0xBAD)
    found = handed_over(kernel)
    assert kernel.string(found["boot_cmdline"]) == ""
    assert (found["boot_module"], found["boot_module_bytes"]) == (0, 0)
    assert found["memory_top"] == 64 * MEGABYTE


@pytest.mark.parametrize("at", [4096, 65 * MEGABYTE])
def test_a_module_elsewhere_takes_no_memory_away(kernel: Kernel, at: int) -> None:
    module = place(kernel, struct.pack("<QQQQ", at, 16, 0, 0))
    pvh(kernel, nr_modules=1, modlist=module)
    assert handed_over(kernel)["memory_top"] == 64 * MEGABYTE


def test_memory_ends_where_the_range_with_the_image_does(kernel: Kernel) -> None:
    end = kernel.addresses[IMAGE_END]
    ranges = [(end + 1, MEGABYTE, RAM), (end & -MEGABYTE, 9 * MEGABYTE, OTHER),
              (end - 100, 100, RAM), (end, 50, RAM), (0, 1 << 40, RAM)]  # fmt: skip
    pvh(kernel, **memory_map(kernel, ranges))
    assert handed_over(kernel)["memory_top"] == end + 50


def test_a_map_without_the_image_is_a_panic(kernel: Kernel) -> None:
    end = kernel.addresses[IMAGE_END]
    with pytest.raises(PanicError, match="no range of RAM that holds the image"):
        pvh(kernel, **memory_map(kernel, [(0, end, RAM), (0, 1 << 40, OTHER)]))


def multiboot(kernel: Kernel, flags: int, upper: int = 63 * 1024, cmdline: int = 0,
              modules: tuple[int, int] = (0, 0)) -> int:  # fmt: skip
    info = place(kernel, struct.pack("<IIIIIII", flags, 640, upper, 0, cmdline, *modules))
    kernel.set_word("boot_info", info)
    kernel.set_word("boot_protocol", 0x2BADB002)
    kernel.call("boot_info_read")
    return info


def reserved(address: int) -> int:
    """The first page that is a whole one behind an address."""
    return (address + 2 * 4096 - 1) & -4096


def test_what_multiboot_hands_over(kernel: Kernel) -> None:
    words = kernel.text("path/guest.elf ticks=3 hz=10")
    end = kernel.addresses[IMAGE_END]
    module = (end + 0x3000, end + 0x9123)
    listed = place(kernel, struct.pack("<IIII", *module, 0, 0))
    multiboot(kernel, 0x0D, cmdline=words, modules=(1, listed))
    found = handed_over(kernel)
    assert kernel.string(found["boot_cmdline"]) == " ticks=3 hz=10"
    assert (found["boot_module"], found["boot_module_bytes"]) == (module[0], 0x6123)
    assert found["memory_top"] == 64 * MEGABYTE
    assert found["memory_next"] == reserved(module[1])
    assert found["boot_rsdp"] == 0


@pytest.mark.parametrize("flags", [0x01, 0x05, 0x09, 0x0D])
def test_multiboot_says_which_of_its_fields_there_are(kernel: Kernel, flags: int) -> None:
    end = kernel.addresses[IMAGE_END]
    words = kernel.text("name x=1")
    listed = place(kernel, struct.pack("<IIII", end + 0x3000, end + 0x4000, 0, 0))
    multiboot(kernel, flags, cmdline=words, modules=(1, listed))
    found = handed_over(kernel)
    assert kernel.string(found["boot_cmdline"]) == (" x=1" if flags & 4 else "")
    assert found["boot_module"] == (end + 0x3000 if flags & 8 else 0)
    assert found["boot_module_bytes"] == (0x1000 if flags & 8 else 0)


def test_multiboot_with_an_empty_list_of_modules(kernel: Kernel) -> None:
    multiboot(kernel, 0x0D, cmdline=kernel.text("name"), modules=(0, HEAP))
    found = handed_over(kernel)
    assert kernel.string(found["boot_cmdline"]) == ""
    assert (found["boot_module"], found["boot_module_bytes"]) == (0, 0)


def test_nothing_of_the_boot_loaders_is_handed_out_again(kernel: Kernel) -> None:
    """Module, command line and the structure itself, whichever is highest."""
    end = kernel.addresses[IMAGE_END]
    top = end + 100 * MEGABYTE
    for address in (end - 4096, end, end + 0x5000, top - 4096 * 3):
        kernel.set_word("memory_next", end)
        kernel.set_word("memory_top", top)
        kernel.call("boot_info_reserve", rax=address)
        assert kernel.word("memory_next") == max(end, reserved(address))
    kernel.set_word("memory_next", end)
    kernel.call("boot_info_reserve", rax=top)
    assert kernel.word("memory_next") == end, "what lies above all memory is nobody's concern"


def test_a_boot_loader_that_says_nothing_of_memory_is_a_panic(kernel: Kernel) -> None:
    with pytest.raises(PanicError, match="does not say how much memory"):
        multiboot(kernel, 0x0C)


def test_another_boot_loader_is_a_panic(kernel: Kernel) -> None:
    kernel.set_word("boot_info", kernel.allocate(64))
    kernel.set_word("boot_protocol", 1)
    with pytest.raises(PanicError, match="neither by multiboot nor by PVH"):
        kernel.call("boot_info_read")
