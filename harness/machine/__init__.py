"""QEMU: configuration, command line, process, serial port, QMP, and how a run ended."""

from harness.machine.config import Clock, MachineConfig
from harness.machine.errors import ConfigError
from harness.machine.process import Machine, run
from harness.machine.result import CpuState, Ending, MachineResult
from harness.machine.serial import CUT_MARK, LOG_PREFIX, PROMPT
from harness.machine.topology import Topology

__all__ = [
    "CUT_MARK",
    "LOG_PREFIX",
    "PROMPT",
    "Clock",
    "ConfigError",
    "CpuState",
    "Ending",
    "Machine",
    "MachineConfig",
    "MachineResult",
    "Topology",
    "run",
]
