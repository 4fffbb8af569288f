"""The assembler constants are those of the encoder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from harness.workload.abi import assembler_text, main
from harness.workload.layout import HEADER, INSTRUCTION, OPERATIONS, TASK, Op


def symbols() -> dict[str, int]:
    pairs = re.findall(r"^\.equ ([\w.]+), (\S+)", assembler_text(), re.MULTILINE)
    return {name: int(value, 0) for name, value in pairs}


def test_offsets_and_opcodes_are_those_of_the_layout() -> None:
    found = symbols()
    assert found["wltask.nice"] == 17
    for layout in (HEADER, TASK, INSTRUCTION):
        assert found[f"{layout.prefix}.size"] == layout.size
        for field in layout.fields:
            assert found[f"{layout.prefix}.{field.name}"] == layout.offset(field.name)
    assert {name[6:]: value for name, value in found.items() if name.startswith("WL_OP_")} == {
        **{op.name: op.value for op in Op},
        "COUNT": len(Op),
    }


def test_the_dispatch_table_has_a_handler_for_every_opcode_in_order() -> None:
    table = assembler_text().split(".macro WORKLOAD_DISPATCH")[1].split(".endm")[0]
    handlers = re.findall(r"\.quad workload_op_(\w+)", table)
    assert handlers == [spec.op.name.lower() for spec in OPERATIONS]


def test_lines_are_short_and_ascii() -> None:
    text = assembler_text()
    assert text.isascii() and text.endswith("\n")
    assert max(map(len, text.splitlines())) <= 100


def test_a_file_that_is_right_already_is_left_alone(tmp_path: Path) -> None:
    output = tmp_path / "include" / "workload.inc"
    main(["-o", str(output)])
    before = output.stat().st_mtime_ns
    main(["-o", str(output)])
    assert output.read_text() == assembler_text()
    assert output.stat().st_mtime_ns == before
    output.write_text("stale")
    main(["-o", str(output)])
    assert output.read_text() == assembler_text()


def test_the_command_writes_the_file_and_says_nothing(tmp_path: Path) -> None:
    output = tmp_path / "workload.inc"
    done = subprocess.run(
        [sys.executable, "-m", "harness.workload.abi", "-o", str(output)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert output.read_text() == assembler_text()


def test_gnu_as_takes_the_constants(tmp_path: Path) -> None:
    source = tmp_path / "use.s"
    source.write_text(
        ".intel_syntax noprefix\n"
        + assembler_text()
        + ".data\n.byte wltask.nice, wlinstr.size, WL_OP_COUNT\n.long WL_SELF, WL_MAGIC\n"
    )
    output = tmp_path / "use.o"
    subprocess.run(["as", "--64", "-o", str(output), str(source)], check=True)
    wanted = bytes([17, 16, len(Op)]) + b"\xff\xff\xff\xff" + b"SWL1"
    assert wanted in output.read_bytes()
