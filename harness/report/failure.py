"""The text that tells why a run did not pass and how to repeat it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.boot import Run
from harness.toolchain.image import Image, ImageError
from harness.trace.damage import printable
from harness.trace.panic import PanicReport

TAIL = 30
"""Lines of the serial log that are shown."""

_Symbolizer = Callable[[int], str]

_REGISTERS_A_LINE = 4


def failure_report(run: Run, tail: int = TAIL) -> str:
    """Verdict, panic with its backtrace, end of the log, and the commands that repeat the run."""
    with _symbols_of(run.config.image) as symbolize:
        return "\n".join(_lines(run, symbolize, tail))


@contextmanager
def _symbols_of(path: Path) -> Iterator[_Symbolizer]:
    """Names the places in an image; plain numbers for what is no image."""
    try:
        image = Image(path)
    except (ImageError, OSError):
        yield hex
        return
    with image:
        yield lambda address: str(image.locate(address))


def _lines(run: Run, symbolize: _Symbolizer, tail: int) -> Iterator[str]:
    yield str(run.verdict)
    for story in run.verdict.stories:
        yield ""
        yield story
    for panic in run.trace.panics:
        yield ""
        yield from _panic(panic, symbolize)
    if run.result.registers:
        yield ""
        yield "where the CPUs were:"
        for state in run.result.registers:
            yield f"  {state} in {symbolize(state.rip)}"
    yield from _diagnostics(run)
    yield ""
    yield from _tail(run, tail)
    if run.result.stderr.strip():
        yield ""
        yield "QEMU said:"
        yield from (f"  {line}" for line in run.result.stderr.strip().splitlines())
    yield ""
    yield f"again:   {run.command}"
    yield f"by hand: {run.config.by_hand()}"


def _panic(panic: PanicReport, symbolize: _Symbolizer) -> Iterator[str]:
    yield f"panic on {panic}"
    if panic.rip is not None:
        yield f"  at {symbolize(panic.rip)}"
    for frame in panic.backtrace:
        # A return address may belong to the next line, or function; the call is just before it.
        yield f"  called from {frame:#x} {symbolize(frame - 1)}"
    named = [f"{name:>6}={value:#018x}" for name, value in (panic.registers or {}).items()]
    for start in range(0, len(named), _REGISTERS_A_LINE):
        yield f"  {' '.join(named[start : start + _REGISTERS_A_LINE])}"


def _diagnostics(run: Run) -> Iterator[str]:
    """What the failing self-tests say of themselves."""
    for result in run.ktap.failures:
        if result.diagnostics:
            yield ""
            yield f"self-test {result.path}:"
            yield from (f"  {line}" for line in result.diagnostics)


def _tail(run: Run, count: int) -> Iterator[str]:
    lines = run.result.lines
    shown = lines[-count:]
    yield f"last {len(shown)} of {len(lines)} lines of the serial log:"
    yield from (f"  {printable(line)}" for line in shown)
