"""What a run needs to know of the host: is QEMU there, and did it get the CPU it asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

_PACKAGES = {"setpriv": "util-linux", "sh": "dash"}


def missing_command(qemu: str) -> str | None:
    """One sentence on the first program that a run needs and the host lacks, or None."""
    for name in (qemu, *_PACKAGES):
        if shutil.which(name) is None:
            package = _PACKAGES.get(name, "qemu-system-x86")
            return f"{name} not found on this host: install it with `apt-get install {package}`"
    return None


def starvation_seconds(pid: int) -> float:
    """How long the process's hungriest thread was ready to run since its start, but had no CPU.

    From the second field of /proc/<pid>/task/*/schedstat (ns). 0 where the kernel keeps no such
    figures or the process is gone.
    """
    waited = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            waited = max(waited, int(path.read_text().split()[1]))
        except (OSError, IndexError, ValueError):
            continue  # the thread has ended, or the kernel was built without these figures
    return waited / 1e9
