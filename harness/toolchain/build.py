"""Builds images: every source whose inputs changed is assembled anew, then GNU ld links.

    python -m harness.toolchain.build [-o IMAGE] [-D NAME=VALUE]... [-I DIR]...

An object is up to date while the contents of everything that went into it are unchanged: source,
includes (and the places where one was looked for in vain), options and this package itself. That
is written beside each object in `<object>.inputs`. Two builds may run at once: they take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATORS = (
    ("harness.trace.vocabulary", "events.inc"),
    ("harness.workload.abi", "workload.inc"),
)
"""Programs that write a part of the ABI between guest and harness, each to an include."""
_LINKER = "ld"
_LINK_OPTIONS = ("-nostdlib", "-static", "--build-id=sha1", "-z", "noexecstack",
                 "-z", "max-page-size=4096", "--fatal-warnings")  # fmt: skip


class BuildError(Exception):
    """The build failed; the message is what the user should read."""


@dataclass(frozen=True, slots=True)
class Job:
    """One source to assemble; `key` stands for everything but the files read."""

    source: Path
    output: Path
    include: tuple[Path, ...]
    defines: tuple[tuple[str, int], ...]
    key: str


def digest(data: bytes) -> str:
    """Short name of some contents."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def toolchain_digest() -> str:
    """Stands for the code of this package and the versions of the engines under it."""
    parts = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    for engine in ("keystone", "capstone"):
        spec = importlib.util.find_spec(engine)
        if spec is not None and spec.origin is not None:
            parts.append(f"{spec.origin} {Path(spec.origin).stat().st_mtime_ns}".encode())
    return digest(b"\0".join([sys.version.encode(), *parts]))


def build_guest(
    root: Path = ROOT,
    output: Path | None = None,
    *,
    include: Sequence[Path] = (),
    defines: Mapping[str, int] | None = None,
    extra_objects: Sequence[Path] = (),
) -> Path:
    """Builds `root`/guest/**/*.s into `output` (default `root`/build/guest.elf) and returns it.

    `include` is searched before guest/include; `extra_objects` are linked after the guest's own,
    so that they may define what the guest defines weakly. Raises BuildError.
    """
    sources = sorted((root / "guest").rglob("*.s"))
    if not sources:
        raise BuildError(f"no sources in {root / 'guest'}")
    build = root / "build"
    generate_includes(root)
    return build_image(
        sources,
        output or build / "guest.elf",
        linker_script=root / "linker.ld",
        include=[*include, root / "guest" / "include", build / "include"],
        defines=defines,
        extra_objects=extra_objects,
        base=root,
    )


def build_image(
    sources: Sequence[Path],
    output: Path,
    *,
    linker_script: Path | None = None,
    include: Sequence[Path] = (),
    defines: Mapping[str, int] | None = None,
    extra_objects: Sequence[Path] = (),
    base: Path | None = None,
    jobs: int | None = None,
) -> Path:
    """Assembles `sources` and links them into `output`, doing only what is needed.

    Objects go to `<image>.objects` beside the image, with the paths that sources have
    relative to `base` (default: their common directory). Raises BuildError; then there is no image.
    """
    output = output.resolve()
    sources = [source.resolve() for source in sources]
    base = (base or Path(os.path.commonpath([source.parent for source in sources]))).resolve()
    options = tuple(sorted((defines or {}).items()))
    folders = tuple(folder.resolve() for folder in include)
    key = digest(f"{toolchain_digest()}{folders}{options}".encode())
    objects = output.parent / (f"{output.stem}.objects")
    with _locked(output.parent, f".{output.name}.lock"):
        todo = []
        for source in sources:
            target = (objects / source.relative_to(base)).with_suffix(".o")
            todo.append(Job(source, target, folders, options, key))
        changed = [job for job in todo if not is_current(job)]
        try:
            if changed:
                _assemble_all(changed, jobs or os.cpu_count() or 1)
            _link([job.output for job in todo], output, linker_script, extra_objects)
        except BuildError:
            output.unlink(missing_ok=True)
            raise
    return output


@contextlib.contextmanager
def _locked(folder: Path, name: str = ".lock") -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def generate_includes(root: Path) -> None:
    """Runs the generators of constants that the guest shares with the harness, where they changed.

    They are other parts of the harness, so they run as programs: the toolchain imports neither.
    Raises BuildError if one fails.
    """
    with _locked(root / "build"):
        for module, name in GENERATORS:
            source = root.joinpath(*module.split(".")).with_suffix(".py")
            if source.exists():
                _generate(root, module, source.parent, root / "build" / "include" / name)


def _generate(root: Path, module: str, package: Path, target: Path) -> None:
    stamp = target.with_suffix(".stamp")
    current = digest(b"\0".join(path.read_bytes() for path in sorted(package.rglob("*.py"))))
    if target.exists() and stamp.exists() and stamp.read_text() == current:
        return
    command = [sys.executable, "-m", module, "-o", str(target)]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if result.returncode:
        raise BuildError(f"the generator {module} failed:\n{result.stderr.strip()}")
    stamp.write_text(current)


def _inputs(job: Job) -> Path:
    return job.output.with_name(job.output.name + ".inputs")


def is_current(job: Job) -> bool:
    """Whether the object of `job` is what assembling it again would give."""
    try:
        recorded = json.loads(_inputs(job).read_text())
        if recorded["key"] != job.key or not job.output.exists():
            return False
        if any(Path(path).exists() for path in recorded["missing"]):
            return False
        files = recorded["files"].items()
        return all(digest(Path(path).read_bytes()) == known for path, known in files)
    except (OSError, ValueError, KeyError):
        return False


def _assemble_all(changed: list[Job], jobs: int) -> None:
    errors: list[str] = []
    workers = min(jobs, len(changed))
    # Long sources first, dealt out in turn, so that all workers end at about the same time.
    changed = sorted(changed, key=lambda job: -job.source.stat().st_size)
    shares = [changed[number::workers] for number in range(workers)]
    if workers == 1:
        errors = assemble_jobs(shares[0])
    else:
        from concurrent.futures import ProcessPoolExecutor
        from concurrent.futures.process import BrokenProcessPool

        try:
            with ProcessPoolExecutor(workers) as pool:
                for result in pool.map(assemble_jobs, shares):
                    errors += result
        except BrokenProcessPool:
            raise BuildError("an assembling process was killed: out of memory?") from None
    if errors:
        raise BuildError("\n".join(errors))


def assemble_jobs(jobs: list[Job]) -> list[str]:
    """Assembles some sources with one Keystone process; returns the messages of those that failed.

    An object that cannot be made is removed.
    """
    from harness.toolchain.assemble import assemble, write_atomically
    from harness.toolchain.encoding import Encoder, KeystoneMissingError
    from harness.toolchain.errors import AsmError

    encoder = Encoder()
    encoder.start()
    errors = []
    try:
        for job in jobs:
            try:
                result = assemble(job.source, encoder, job.include, dict(job.defines))
                record = {
                    "key": job.key,
                    "files": {path: digest(data) for path, data in result.files.items()},
                    "missing": result.missing,
                }
                write_atomically(job.output, result.data)
                write_atomically(_inputs(job), json.dumps(record).encode())
            except KeystoneMissingError as error:
                job.output.unlink(missing_ok=True)
                raise BuildError(str(error)) from None
            except (AsmError, OSError) as error:
                job.output.unlink(missing_ok=True)
                errors.append(str(error))
    finally:
        encoder.close()
    return errors


def _link(
    objects: Sequence[Path], output: Path, script: Path | None, extra: Sequence[Path]
) -> None:
    """Links unless the inputs of the existing image were the same."""
    stamp = output.with_name(f".{output.name}.inputs")
    inputs = [*objects, *extra, *([script] if script else [])]
    try:
        parts = [f"{path}:{digest(path.read_bytes())}" for path in inputs]
    except OSError as error:
        raise BuildError(f"cannot link: {error}") from None
    current = digest("\n".join([*parts, *_LINK_OPTIONS]).encode())
    recorded = stamp.read_text() if stamp.exists() else ""
    if output.exists() and recorded == f"{current} {digest(output.read_bytes())}":
        return
    temporary = output.with_name(f".{output.name}.{os.getpid()}")
    command = [_LINKER, *_LINK_OPTIONS, *(["-T", str(script)] if script else []), "-o",
               str(temporary), *map(str, objects), *map(str, extra)]  # fmt: skip
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        message = f"'{_LINKER}' is missing: run  apt-get install binutils"
        raise BuildError(message) from None
    if result.returncode:
        temporary.unlink(missing_ok=True)
        raise BuildError(f"linking {output.name} failed:\n{result.stderr.strip()}")
    temporary.replace(output)
    stamp.write_text(f"{current} {digest(output.read_bytes())}")


def _define(word: str) -> tuple[str, int]:
    name, _, value = word.partition("=")
    try:
        return name, int(value or "1", 0)
    except ValueError:
        raise BuildError(f"-D {word}: the value must be a number") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="harness.toolchain.build", description=__doc__)
    parser.add_argument("-o", dest="output", type=Path)
    parser.add_argument("-I", dest="include", type=Path, action="append", default=[])
    parser.add_argument("-D", dest="defines", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("objects", type=Path, nargs="*", help="objects to link as well")
    options = parser.parse_args(arguments)
    try:
        defines = dict(map(_define, options.defines))
        image = build_guest(
            output=options.output,
            include=options.include,
            defines=defines,
            extra_objects=options.objects,
        )
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(image)
    return 0


if __name__ == "__main__":
    sys.exit(main())
