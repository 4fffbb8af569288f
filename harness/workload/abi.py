"""The binary form of a workload as assembler constants.

`python -m harness.workload.abi -o PATH` writes them.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path

from harness.workload.layout import CONSTANTS, LAYOUTS, OPERATIONS

_WIDTH = 100
_COLUMN = 32  # where comments begin


def assembler_text() -> str:
    """The constants, structure offsets and opcodes as assembler source."""
    lines = [
        "# Binary form of a workload. Written by `python -m harness.workload.abi`; do not edit."
    ]
    lines.append("")
    for name, value, doc in CONSTANTS:
        lines += _equ(name, value, doc)
    for layout in LAYOUTS:
        lines += ["", f"# {layout.prefix}: {layout.size} bytes"]
        for field in layout.fields:
            size = "1 byte" if field.size == 1 else f"{field.size} bytes"
            symbol = f"{layout.prefix}.{field.name}"
            lines += _equ(symbol, layout.offset(field.name), f"{size}: {field.doc}")
        lines += _equ(f"{layout.prefix}.size", layout.size, "")
    lines += ["", "# Opcodes. a, b, c and d are the fields of wlinstr; those not named are 0."]
    for spec in OPERATIONS:
        lines += _equ(f"WL_OP_{spec.op.name}", spec.op, spec.doc)
    lines += _equ("WL_OP_COUNT", len(OPERATIONS), "")
    lines += [
        "",
        "# The dispatch table: one handler an opcode, so that a missing one does not link.",
    ]
    lines.append(".macro WORKLOAD_DISPATCH")
    lines += [f"    .quad workload_op_{spec.op.name.lower()}" for spec in OPERATIONS]
    lines += [".endm", ""]
    return "\n".join(lines)


def _equ(name: str, value: int, doc: str) -> list[str]:
    """One constant, its comment beside it and, if that is long, continued below."""
    text = f".equ {name}, {f'0x{value:x}' if value > 9999 else value}"
    if not doc:
        return [text]
    first, *more = textwrap.wrap(doc, _WIDTH - _COLUMN - 2)
    return [f"{text:<{_COLUMN}}# {first}", *(f"{'':<{_COLUMN}}# {line}" for line in more)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the assembler constants, leaving a file that already has them untouched."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.workload.abi",
        description="write the workload constants of the guest",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="file to write")
    output: Path = parser.parse_args(arguments).output
    text = assembler_text()
    if not output.exists() or output.read_text(encoding="ascii") != text:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="ascii")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
