"""What one run of a machine left behind: facts only, no judgement on the guest."""

from __future__ import annotations

import enum
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from harness.machine.config import MachineConfig
from harness.machine.serial import LOG_PREFIX


class Ending(enum.Enum):
    """What ended the run."""

    EXITED = "exited"  # QEMU by itself, once the guest had run: `status` says how
    START_FAILED = "start-failed"  # QEMU missing, or ended before the guest ran: `error` says why
    DEADLINE = "deadline"  # `timeout` passed while the guest still talked
    QUIET = "quiet"  # no byte from the guest for `quiet` seconds
    LOG_LIMIT = "log-limit"  # the guest wrote more than `max_log_bytes`
    KILLED = "killed"  # a signal that the harness did not send: `signal`
    STOPPED = "stopped"  # the harness's own user: kill(), Ctrl-C, the end of a `with` block


@dataclass(frozen=True)
class CpuState:
    """One vCPU at the moment the run was given up."""

    cpu: int
    rip: int
    halted: bool
    interrupts: bool  # the interrupt flag: False means that no interrupt can wake it
    text: str  # all registers, as QEMU prints them

    def __str__(self) -> str:
        state = f"halted={int(self.halted)} if={int(self.interrupts)}"
        return f"cpu {self.cpu}: rip={self.rip:#x} {state}"


_CPU_HEADER = re.compile(r"^CPU#(\d+)\s*$", re.MULTILINE)
_RIP = re.compile(r"\b[ER]IP=([0-9a-f]+)")
_FLAGS = re.compile(r"\b(?:RFL|EFL)=([0-9a-f]+)")
_HALTED = re.compile(r"\bHLT=(\d)")
_RFLAGS_IF = 1 << 9


def parse_registers(text: str) -> tuple[CpuState, ...]:
    """The vCPUs in QEMU's answer to `info registers -a`, without blocks that lack a field."""
    fields = _CPU_HEADER.split(text)
    states = []
    for number, block in zip(fields[1::2], fields[2::2], strict=True):
        rip, flags, halted = (pattern.search(block) for pattern in (_RIP, _FLAGS, _HALTED))
        if rip and flags and halted:
            states.append(
                CpuState(
                    cpu=int(number),
                    rip=int(rip[1], 16),
                    halted=halted[1] == "1",
                    interrupts=bool(int(flags[1], 16) & _RFLAGS_IF),
                    text=block.strip(),
                )
            )
    return tuple(states)


@dataclass(frozen=True)
class MachineResult:
    """One run, ended.

    `lines` are all lines of the serial port in the order of arrival, without line ends. A line that
    is not as the guest sent it (too long, or without its end) carries `serial.CUT_MARK`.
    """

    config: MachineConfig
    command: tuple[str, ...]  # as executed, with what guards it
    ending: Ending
    status: int | None  # exit status of QEMU, None when a signal ended it
    signal: int | None  # the signal that ended QEMU
    error: str | None  # one sentence for the user where QEMU did not run as asked
    lines: tuple[bytes, ...]
    stderr: str
    triple_fault: bool
    reset: bool  # the guest reset the machine (a triple fault is not counted)
    powered_off: bool  # the guest switched the machine off
    events: tuple[Mapping[str, object], ...]  # QMP events, while QMP was connected
    registers: tuple[CpuState, ...]  # of a run that was given up: DEADLINE and QUIET
    seconds: float  # wall time from the start of the process to its end
    first_output_seconds: float | None  # from the same start to the guest's first byte
    last_output_seconds: float | None  # ... and to its last
    cpu_seconds: float  # CPU time QEMU used
    executed: frozenset[int] = frozenset()  # instructions that ran, if `config.code` asked for them

    @cached_property
    def log(self) -> tuple[bytes, ...]:
        """The lines that start with `[SCHED] `."""
        return tuple(line for line in self.lines if line.startswith(LOG_PREFIX))

    @cached_property
    def text(self) -> tuple[bytes, ...]:
        """All other lines: KTAP, panic reports, the monitor, firmware."""
        return tuple(line for line in self.lines if not line.startswith(LOG_PREFIX))

    @property
    def by_hand(self) -> str:
        """A line for a shell that repeats the run, serial port on the terminal."""
        return self.config.by_hand()

    def describe(self) -> str:
        """How the run ended, in one line, and what its CPUs were doing where it was given up."""
        return "\n".join([self._headline(), *(f"  {state}" for state in self.registers)])

    def _headline(self) -> str:
        match self.ending:
            case Ending.EXITED:
                return f"QEMU exited with status {self.status} after {self.seconds:.2f} s"
            case Ending.START_FAILED:
                return self.error or f"QEMU did not start: {shlex.join(self.command)}"
            case Ending.DEADLINE:
                return f"no end within timeout={self.config.timeout:g} s"
            case Ending.QUIET:
                return f"no output for quiet={self.config.quiet:g} s"
            case Ending.LOG_LIMIT:
                return f"more serial output than max_log_bytes={self.config.max_log_bytes}"
            case Ending.KILLED:
                return self.error or f"QEMU was ended by signal {self.signal}"
            case Ending.STOPPED:
                return f"stopped by its user after {self.seconds:.2f} s"
