"""What a run needs to know of the host: is QEMU there, and did it get the CPU it asked for."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

_PACKAGES = {"setpriv": "util-linux", "sh": "dash"}


def missing_command(qemu: str) -> str | None:
    """One sentence on the first program that a run needs and the host lacks, or None."""
    for name in (qemu, *_PACKAGES):
        if shutil.which(name) is None:
            package = _PACKAGES.get(name, "qemu-system-x86")
            return f"{name} not found on this host: install it with `apt-get install {package}`"
    return None


@dataclass(frozen=True)
class CpuUse:
    """What one thread got of the host's CPUs since its start, in seconds."""

    ran: float
    waited: float  # ready to run, in waits that are over
    ready: bool  # runs, or waits for a CPU, at this moment


def cpu_use(pid: int) -> dict[int, CpuUse]:
    """All threads of a process, by thread id.

    From /proc/<pid>/task/*/schedstat (nanoseconds on a CPU and in the run queue) and `stat`
    (state). Empty where the process is gone or the kernel keeps no such figures.
    """
    use = {}
    for folder in Path(f"/proc/{pid}/task").glob("*"):
        try:
            ran, waited, _ = map(int, (folder / "schedstat").read_text().split())
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError):
            continue
        use[int(folder.name)] = CpuUse(ran / 1e9, waited / 1e9, state == "R")
    return use


def starvation(before: dict[int, CpuUse], after: dict[int, CpuUse], seconds: float) -> float:
    """How long the hungriest thread had to wait for a CPU between two samples `seconds` apart.

    The kernel counts a wait when it is over. One that still lasts shows in a thread that is ready
    to run and has not run: all the time it did not run counts then.
    """
    longest = 0.0
    for thread in before.keys() & after.keys():
        then, now = before[thread], after[thread]
        waited = now.waited - then.waited
        if now.ready:
            waited = max(waited, seconds - (now.ran - then.ran))
        longest = max(longest, min(waited, seconds))
    return longest
