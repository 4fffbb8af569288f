"""What the host's QEMU can do, found by trying it.

/dev/kvm proves nothing: nested virtualisation may offer it and boot 40 times slower than TCG does,
or abort. So a probe runs the same guest under both and compares. The guest is made here, byte by
byte, so that a host can be probed where nothing was built yet.
"""

from __future__ import annotations

import functools
import re
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.machine.config import Clock, MachineConfig
from harness.machine.host import missing_command
from harness.machine.process import run
from harness.machine.result import Ending

PROBE_STATUS = 33
_TCG_TIMEOUT_SECONDS = 30.0
# A KVM that needs this many times as long as TCG has lost, and its probe need not end.
_PATIENCE_FACTOR = 5
_PATIENCE_SECONDS = 2.0
_LOAD_ADDRESS = 0x100000
_PVH_ENTRY_NOTE = 18  # XEN_ELFNOTE_PHYS32_ENTRY
# What a run is made of, in about the proportion of a short boot: instructions, and exits for
# output.
_PROBE_CODE = bytes.fromhex(
    "b9 00 2d 31 01"  # mov  ecx, 20_000_000
    "49"  #             dec  ecx
    "75 fd"  #          jnz  -3
    "b9 88 13 00 00"  # mov  ecx, 5_000
    "66 ba fd 03"  #    mov  dx, 0x3fd     the serial port's line status: read by the device model
    "ec"  #             in   al, dx
    "49"  #             dec  ecx
    "75 fc"  #          jnz  -4
    "b8 10 00 00 00"  # mov  eax, 0x10     pass
    "e7 f4"  #          out  0xf4, eax
    "f3 90"  #          pause
    "eb fc"  #          jmp  -4
)


class QemuMissingError(Exception):
    """QEMU is not there; the message says how to install it."""


@dataclass(frozen=True)
class Qemu:
    """The host's QEMU."""

    command: str
    version: tuple[int, int, int]


@dataclass(frozen=True)
class KvmProbe:
    """Whether KVM serves, and why not."""

    works: bool
    faster: bool
    reason: str
    tcg_seconds: float
    kvm_seconds: float | None = None

    @property
    def usable(self) -> bool:
        return self.works and self.faster


@functools.cache
def find_qemu(command: str = "qemu-system-x86_64") -> Qemu:
    """The QEMU of that name or path and its version. Raises QemuMissingError."""
    error = missing_command(command)
    if error is not None:
        raise QemuMissingError(error)
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"version (\d+)\.(\d+)\.(\d+)", said.stdout)
    if version is None:
        raise QemuMissingError(f"{command} does not say which version of QEMU it is: {said.stderr}")
    return Qemu(command, (int(version[1]), int(version[2]), int(version[3])))


@functools.cache
def probe_kvm(command: str = "qemu-system-x86_64") -> KvmProbe:
    """Boots a small guest under TCG and under KVM; takes 0.2 s to 2 s, once per process."""
    with tempfile.NamedTemporaryFile(prefix="kvm-probe-", suffix=".elf") as image:
        image.write(probe_image())
        image.flush()
        tcg = _probe_run(command, Path(image.name), "tcg", _TCG_TIMEOUT_SECONDS)
        if tcg.error is not None:
            return KvmProbe(False, False, f"the probe fails under TCG: {tcg.error}", tcg.seconds)
        patience = max(_PATIENCE_SECONDS, _PATIENCE_FACTOR * tcg.seconds)
        kvm = _probe_run(command, Path(image.name), "kvm", patience)
    if kvm.ending is Ending.DEADLINE:
        reason = (
            f"KVM is slower than TCG: no end after {patience:.1f} s, TCG took {tcg.seconds:.2f} s"
        )
        return KvmProbe(False, False, reason, tcg.seconds)
    if kvm.error is not None:
        return KvmProbe(False, False, kvm.error, tcg.seconds)
    faster = kvm.seconds < tcg.seconds
    verdict = "faster" if faster else "slower"
    reason = f"KVM is {verdict} than TCG: {kvm.seconds:.2f} s against {tcg.seconds:.2f} s"
    return KvmProbe(True, faster, reason, tcg.seconds, kvm.seconds)


def probe_image() -> bytes:
    """A PVH kernel of one segment that counts, reads a port, and exits with PROBE_STATUS."""
    header_size = 64 + 2 * 56
    note_size = 20
    entry = _LOAD_ADDRESS + header_size + note_size
    note = struct.pack("<III4sI", 4, 4, _PVH_ENTRY_NOTE, b"Xen\0", entry)
    size = header_size + len(note) + len(_PROBE_CODE)
    identity = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bits, little endian
    header = identity + struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, entry, 64, 0, 0, 64, 56, 2, 64, 0, 0
    )  # executable, x86-64
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, 4096)
    at = _LOAD_ADDRESS + header_size
    notes = struct.pack("<IIQQQQQQ", 4, 4, header_size, at, at, len(note), len(note), 4)
    return header + load + notes + note + _PROBE_CODE


@dataclass(frozen=True)
class _ProbeRun:
    ending: Ending
    seconds: float
    error: str | None


def _probe_run(command: str, image: Path, accel: str, timeout: float) -> _ProbeRun:
    config = MachineConfig(
        image=image,
        cpus=1,
        accel=accel,
        clock=Clock.REAL,
        qemu=command,
        timeout=timeout,
        quiet=None,
    )
    result = run(config)
    if result.ending is Ending.EXITED and result.status == PROBE_STATUS:
        return _ProbeRun(result.ending, result.seconds, None)
    return _ProbeRun(result.ending, result.seconds, result.error or result.describe())
