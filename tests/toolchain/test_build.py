"""Building: exactly what changed is assembled again, failures leave nothing stale, two may run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.toolchain.build import ROOT, BuildError, build_image
from harness.toolchain.image import Image

SCRIPT = """\
ENTRY(start)
SECTIONS {
  . = 0x100000; .text : { *(.text) }
  . = 0x102000; .data : { *(.data) }
  . = 0x103000; .note : { *(.note.gnu.build-id) }
}
"""


class Project:
    """Three sources; a and b include common.inc, c includes nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "out" / "image.elf"
        (folder / "inc").mkdir()
        self.write("inc/common.inc", ".equ VALUE, 1\n")
        start = '.include "common.inc"\n.globl start\n.extern second\nstart: mov eax, VALUE\n'
        self.write("src/a.s", start + "    call second\n    ret\n")
        self.write(
            "src/b.s", '.include "common.inc"\n.globl second\nsecond: mov ecx, VALUE\n ret\n'
        )
        self.write("src/deep/c.s", ".data\n.globl third\nthird: .quad 3\n")
        self.write("link.ld", SCRIPT)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        head = ".intel_syntax noprefix\n" if name.endswith(".s") else ""
        path.write_text(head + text)

    def build(self, **options: object) -> set[str]:
        """Builds; returns which objects were written."""
        before = self.objects()
        include = [self.folder / "extra", self.folder / "inc"]
        sources = sorted((self.folder / "src").rglob("*.s"))
        script = self.folder / "link.ld"
        build_image(sources, self.output, linker_script=script, include=include, **options)  # type: ignore[arg-type]
        after = self.objects()
        return {name for name in after if after[name] != before.get(name)}

    def objects(self) -> dict[str, int]:
        found = (self.folder / "out").rglob("*.o")
        return {path.name: path.stat().st_mtime_ns for path in found}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_first_build_makes_everything_and_the_second_nothing(project: Project) -> None:
    assert project.build() == {"a.o", "b.o", "c.o"}
    stamp = project.output.stat().st_mtime_ns
    assert project.build() == set()
    assert project.output.stat().st_mtime_ns == stamp
    with Image(project.output) as image:
        assert image.entry == image.address("start") == 0x100000
        assert len(image.build_id) == 40


def test_changed_include_rebuilds_exactly_its_dependants(project: Project) -> None:
    project.build()
    project.write("inc/common.inc", ".equ VALUE, 2\n")
    assert project.build() == {"a.o", "b.o"}
    with Image(project.output) as image:
        assert image.read(image.address("start"), 5) == bytes.fromhex("b802000000")


def test_changed_source_rebuilds_only_itself(project: Project) -> None:
    project.build()
    project.write("src/deep/c.s", ".data\n.globl third\nthird: .quad 4\n")
    assert project.build() == {"c.o"}


def test_touching_without_changing_rebuilds_nothing(project: Project) -> None:
    project.build()
    os.utime(project.folder / "inc" / "common.inc")
    os.utime(project.folder / "src" / "a.s")
    assert project.build() == set()


def test_include_that_now_hides_another_rebuilds(project: Project) -> None:
    project.build()
    project.write("extra/common.inc", ".equ VALUE, 9\n")
    assert project.build() == {"a.o", "b.o"}


def test_other_defines_rebuild(project: Project) -> None:
    project.write("src/deep/c.s", ".data\n.globl third\nthird: .quad SIZE\n")
    project.build(defines={"SIZE": 5})
    assert project.build(defines={"SIZE": 6}) == {"a.o", "b.o", "c.o"}
    with Image(project.output) as image:
        assert image.read(image.address("third"), 8) == (6).to_bytes(8, "little")


def test_damaged_object_or_image_is_made_again(project: Project) -> None:
    project.build()
    project.output.write_bytes(b"garbage")
    project.build()
    assert project.output.read_bytes()[:4] == b"\x7fELF"


def test_every_failing_source_is_reported_and_nothing_stale_remains(project: Project) -> None:
    project.build()
    project.write("src/a.s", "nonsense\n")
    project.write("src/b.s", "call nowhere\n")
    with pytest.raises(BuildError) as caught:
        project.build()
    message = str(caught.value)
    assert "unknown instruction 'nonsense'" in message and "undefined symbol 'nowhere'" in message
    assert not project.output.exists()
    assert set(project.objects()) == {"c.o"}


def test_error_of_the_linker_is_reported_and_leaves_no_image(project: Project) -> None:
    project.build()
    project.write("src/a.s", ".globl start\n.extern nowhere\nstart: call nowhere\n")
    with pytest.raises(BuildError, match="undefined reference to `nowhere'"):
        project.build()
    assert not project.output.exists()


def test_writable_code_is_refused(project: Project) -> None:
    project.write("link.ld", "PHDRS { all PT_LOAD FLAGS(7); }\n"
                  "SECTIONS { . = 0x100000; .all : { *(.text .data) } : all }\n")  # fmt: skip
    with pytest.raises(BuildError, match="RWX"):
        project.build()


def test_extra_object_overrides_a_weak_symbol(project: Project, tmp_path: Path) -> None:
    project.write("src/b.s", ".weak second\nsecond: ud2\n")
    source, target = tmp_path / "second.s", tmp_path / "second.o"
    source.write_text(".globl second\nsecond: ret\n")
    subprocess.run(["as", str(source), "-o", str(target)], check=True)
    project.build(extra_objects=[target])
    with Image(project.output) as image:
        assert image.read(image.address("second"), 1) == b"\xc3"


def test_builds_at_the_same_time_take_turns(project: Project) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from harness.toolchain.build import build_image\n"
        "folder = Path(sys.argv[1])\n"
        "build_image(sorted((folder / 'src').rglob('*.s')), folder / 'out' / 'image.elf',\n"
        "            linker_script=folder / 'link.ld', include=[folder / 'inc'])\n"
    )
    command = [sys.executable, "-c", code, str(project.folder)]
    running = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(4)]
    results = [(process.communicate()[1], process.returncode) for process in running]
    assert results == [(b"", 0)] * 4
    with Image(project.output) as image:
        assert image.address("start") == 0x100000


def test_two_builds_of_the_same_sources_are_identical(project: Project, tmp_path: Path) -> None:
    project.build()
    first = project.output.read_bytes()
    project.output = tmp_path / "again" / "image.elf"
    project.build()
    assert project.output.read_bytes() == first


def test_command_builds_the_guest_and_refuses_a_bad_define(tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "harness.toolchain.build", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    target = tmp_path / "guest.elf"
    result = run("-o", str(target))
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{target}\n", "")
    with Image(target) as image:
        assert image.layouts
    result = run("-o", str(target), "-D", "X=many")
    assert result.returncode == 1 and "-D X=many: the value must be a number" in result.stderr
