"""The assembler as a command: one source in, one relocatable object out.

    python -m harness.toolchain.assemble SRC.s -o OUT.o [-I DIR]... [-D NAME=VALUE]... [-MD DEPS]

A source of this project's guest finds the guest's includes without -I.

Exit status 0 with an object, or 1 with one message and no object, not even an old one.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.toolchain.assembler import Assembler
from harness.toolchain.build import ROOT, BuildError, generate_includes
from harness.toolchain.encoding import Encoder
from harness.toolchain.errors import AsmError
from harness.toolchain.objectfile import object_bytes


@dataclass(frozen=True, slots=True)
class Assembled:
    """What an assembly read: `files` with their contents, `missing` where includes were not."""

    data: bytes
    files: dict[str, bytes]
    missing: tuple[str, ...]


def assemble(
    source: Path,
    encoder: Encoder,
    include: Sequence[Path] = (),
    defines: Mapping[str, int] | None = None,
) -> Assembled:
    """Assembles one source. Raises AsmError for a mistake in it, OSError if it cannot be read."""
    assembler = Assembler(encoder, include, defines)
    assembler.run(source)
    data = object_bytes(assembler)
    return Assembled(data, assembler.source.files, tuple(assembler.source.missing))


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that nobody ever sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)


def parse_defines(words: Sequence[str]) -> dict[str, int]:
    """NAME=VALUE (VALUE 1 if absent). Raises ValueError for a value that is no number."""
    defines = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            defines[name] = int(value or "1", 0)
        except ValueError:
            raise ValueError(f"-D {word}: the value must be a number") from None
    return defines


def project_includes(source: Path) -> tuple[Path, ...]:
    """Where the guest's own sources find their includes; made anew where that is due.

    Raises BuildError.
    """
    if not source.resolve().is_relative_to(ROOT / "guest"):
        return ()
    generate_includes(ROOT)
    return (ROOT / "guest" / "include", ROOT / "build" / "include")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="harness.toolchain.assemble", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("-o", dest="output", type=Path, required=True)
    parser.add_argument("-I", dest="include", type=Path, action="append", default=[])
    parser.add_argument("-D", dest="defines", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("-MD", dest="dependencies", type=Path, help="write a make rule here")
    options = parser.parse_args(arguments)
    encoder = Encoder()
    try:
        encoder.start()
        include = (*options.include, *project_includes(options.source))
        defines = parse_defines(options.defines)
        result = assemble(options.source, encoder, include, defines)
        write_atomically(options.output, result.data)
        if options.dependencies:
            names = " ".join(name.replace(" ", "\\ ") for name in result.files)
            write_atomically(options.dependencies, f"{options.output}: {names}\n".encode())
    except (AsmError, BuildError, OSError, ValueError) as error:
        options.output.unlink(missing_ok=True)
        print(error, file=sys.stderr)
        return 1
    finally:
        encoder.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
