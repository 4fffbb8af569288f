"""What a machine is: the configuration of one run, and the QEMU command line it stands for.

A configuration is a value: two equal configurations give the same command line. Everything that can
be wrong with one is said when it is made (`ConfigError`), before any process starts.
"""

from __future__ import annotations

import enum
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.machine.errors import ConfigError
from harness.machine.topology import Topology

# Instructions that one CPU must be able to execute between two ticks, so that the tick, its events
# and their formatting do not eat all of it.
MIN_INSTRUCTIONS_PER_TICK = 20_000
MAX_ICOUNT_SHIFT = 10  # QEMU's own bound
# Without x2APIC (TCG has none in QEMU 7.2) an APIC id has 8 bits, and 255 means "all CPUs".
MAX_APIC_ID = 254
# TCG reserves 1 GiB of address space for translated code unless told otherwise.
TRANSLATION_CACHE_MIB = 32

_MACHINE_OPTIONS = {
    # No PCI and no BIOS screen: the fastest way to a running CPU. The legacy devices are off by
    # default there; `auto-kernel-cmdline` would append virtio devices to the guest's boot
    # parameters.
    "microvm": "microvm,pit=on,pic=on,isa-serial=on,auto-kernel-cmdline=off",
    "q35": "q35",
    "pc": "pc",
}
# QEMU's other machines do not tell the guest which CPU is in which node (ACPI SRAT).
_NUMA_MACHINES = ("q35", "pc")
_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
# What QEMU tells about the guest's end beside its exit status, in its own log: register dumps at
# each reset with the line "Triple fault", and the changes of the run state.
_DEBUG_ITEMS = "cpu_reset,trace:qemu_system_shutdown_request,trace:runstate_set"
_PARAM_KEY = re.compile(r"[a-z][a-z0-9_.]*")
_PARAM_VALUE = re.compile(r"[!-~]+")
_RESERVED_PARAMS = ("hz", "clock", "cpus")


class Clock(enum.Enum):
    """Which time the guest lives in.

    VIRTUAL: instructions are the clock (`-icount`), so the same run gives the same log, byte for
    byte. REAL: the host's time and real concurrency, so real races.
    """

    VIRTUAL = "virtual"
    REAL = "real"


@dataclass(frozen=True)
class MachineConfig:
    """One run of one image on one virtual machine.

    Times are wall seconds. `timeout` bounds the whole run; `quiet` bounds the time without a byte
    from the guest (None: no bound), not counting what QEMU had to wait for a CPU of a busy host.
    `max_log_bytes` bounds all serial output, each line counted as 32 bytes at least;
    `max_line_bytes` bounds one line of it. `icount_shift` overrides the shift that `shift()` would
    choose. `qmp_events` keeps a QMP connection from before the guest's first instruction on, so
    that no event is missed; without it QMP is connected when somebody asks. `code` is a range of
    addresses whose instructions the result lists, those that were executed.

    Raises ConfigError for a combination that cannot work.
    """

    image: Path
    cpus: int = 4
    machine: str = "microvm"
    accel: str = "tcg"
    clock: Clock = Clock.VIRTUAL
    hz: int = 1000
    memory_mib: int = 64
    params: Mapping[str, str | int] = field(default_factory=dict)
    modules: tuple[Path, ...] = ()
    timeout: float = 60.0
    qemu: str = "qemu-system-x86_64"
    extra_args: tuple[str, ...] = ()
    topology: Topology | None = None
    icount_shift: int | None = None
    quiet: float | None = 10.0
    max_log_bytes: int = 64 << 20
    max_line_bytes: int = 64 << 10
    qmp_events: bool = False
    code: range | None = None

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_cpus()
        self._check_nodes()
        self._check_bounds()
        self._check_params()
        if len(self.modules) > 1:
            raise ConfigError(
                f"modules: QEMU hands a PVH kernel one module, not {len(self.modules)}; join them"
            )
        if self.clock is Clock.VIRTUAL:
            self.shift()

    def _check_choices(self) -> None:
        for name, value, known in (
            ("machine", self.machine, tuple(_MACHINE_OPTIONS)),
            ("accel", self.accel, ("tcg", "kvm")),
        ):
            if value not in known:
                raise ConfigError(f"{name}={value!r} is not one of {', '.join(known)}")
        if self.accel == "kvm" and self.clock is Clock.VIRTUAL:
            raise ConfigError(
                "the virtual clock counts instructions, which KVM cannot: accel='tcg' or clock=REAL"
            )

    def _check_cpus(self) -> None:
        if self.topology is not None and self.topology.cpus != self.cpus:
            raise ConfigError(f"topology gives {self.topology.cpus} CPUs, but cpus={self.cpus}")
        topology = self.topology or Topology(cores=max(self.cpus, 1))
        if not (self.cpus >= 1 and topology.highest_apic_id <= MAX_APIC_ID):
            raise ConfigError(
                f"cpus={self.cpus}: 1 to {MAX_APIC_ID + 1} CPUs work; the highest APIC id would be "
                f"{topology.highest_apic_id}; ids above {MAX_APIC_ID} need x2APIC, which TCG lacks"
            )

    def _check_nodes(self) -> None:
        if self.topology is None or self.topology.nodes == 1:
            return
        nodes = self.topology.nodes
        if self.machine not in _NUMA_MACHINES:
            raise ConfigError(
                f"topology: machine={self.machine!r} has one node, not {nodes}: "
                f"use one of {', '.join(_NUMA_MACHINES)}"
            )
        if self.memory_mib < nodes:
            raise ConfigError(f"memory_mib={self.memory_mib}: {nodes} nodes need 1 each at least")

    def _check_bounds(self) -> None:
        for name, low in (("hz", 1), ("memory_mib", 2), ("timeout", 0.001), ("max_log_bytes", 1)):
            value = getattr(self, name)
            if not value >= low:
                raise ConfigError(f"{name}={value}: at least {low} is needed")
        if self.quiet is not None and not self.quiet > 0:
            raise ConfigError(f"quiet={self.quiet}: more than 0 seconds, or None for no bound")
        if self.max_line_bytes < 256:
            raise ConfigError(f"max_line_bytes={self.max_line_bytes}: at least 256 is needed")
        if self.icount_shift is not None and not 0 <= self.icount_shift <= MAX_ICOUNT_SHIFT:
            raise ConfigError(f"icount_shift={self.icount_shift}: 0 to {MAX_ICOUNT_SHIFT} work")

    def _check_params(self) -> None:
        for key, value in self.params.items():
            if key in _RESERVED_PARAMS:
                raise ConfigError(f"params: set {key} by the field of that name")
            if not _PARAM_KEY.fullmatch(key):
                raise ConfigError(
                    f"params: key {key!r} is not lower-case letters, digits, '_' and '.'"
                )
            if isinstance(value, bool) or not _PARAM_VALUE.fullmatch(str(value)):
                raise ConfigError(
                    f"params: value {value!r} of {key} is not a number or a word without blanks"
                )

    def shift(self) -> int:
        """The `-icount` shift: one instruction of any CPU advances virtual time by 2**shift ns.

        One counter serves all CPUs, so between two ticks each of them executes 1e9 / hz / cpus >>
        shift instructions. The largest shift is chosen that leaves MIN_INSTRUCTIONS_PER_TICK of
        them. Raises ConfigError, naming the highest HZ that works, where even shift 0 does not.
        """
        if self.icount_shift is not None:
            return self.icount_shift
        budget = 10**9 // (self.hz * self.cpus * MIN_INSTRUCTIONS_PER_TICK)
        if budget == 0:
            highest = 10**9 // (self.cpus * MIN_INSTRUCTIONS_PER_TICK)
            raise ConfigError(
                f"hz={self.hz} leaves each of {self.cpus} CPUs fewer than "
                f"{MIN_INSTRUCTIONS_PER_TICK} instructions per tick of the virtual clock: "
                f"use hz={highest} or lower"
            )
        return min(budget.bit_length() - 1, MAX_ICOUNT_SHIFT)

    def boot_parameters(self) -> str:
        """The kernel command line: `key=value` words, the machine's own first."""
        words = {"hz": self.hz, "clock": self.clock.value, "cpus": self.cpus, **self.params}
        return " ".join(f"{key}={value}" for key, value in words.items())

    def command(self, *, qmp_fd: int | None = None, debug_log: str | None = None) -> list[str]:
        """The QEMU command, serial port on stdin and stdout.

        `qmp_fd` is an inherited socket that speaks QMP; `debug_log` is the path that receives what
        QEMU tells about resets and run states.
        """
        command = [self.qemu, "-M", _MACHINE_OPTIONS[self.machine], "-m", str(self.memory_mib)]
        command += [*self._cpus_and_nodes(), *self._acceleration()]
        command += ["-nodefaults", "-no-user-config", "-display", "none", "-nic", "none"]
        command += ["-monitor", "none", "-no-reboot", "-sandbox", _SANDBOX]
        command += ["-chardev", "stdio,id=serial0,signal=off", "-serial", "chardev:serial0"]
        command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        if debug_log is not None:
            command += ["-d", _DEBUG_ITEMS + (",in_asm" if self.code else ""), "-D", debug_log]
            if self.code:
                command += ["-dfilter", f"{self.code.start:#x}..{self.code.stop - 1:#x}"]
        if qmp_fd is not None:
            command += [
                "-chardev",
                f"socket,id=qmp,fd={qmp_fd}",
                "-mon",
                "chardev=qmp,mode=control",
            ]
            if self.qmp_events:
                command.append("-S")
        command += ["-kernel", str(self.image), "-append", self.boot_parameters()]
        for module in self.modules:
            command += ["-initrd", str(module)]
        return [*command, *self.extra_args]

    def by_hand(self) -> str:
        """The run as one line for a shell: serial port on the terminal, Ctrl-C ends it."""
        return shlex.join(word.replace(",signal=off", ",signal=on") for word in self.command())

    def _cpus_and_nodes(self) -> list[str]:
        if self.topology is None:
            return ["-smp", str(self.cpus)]
        return ["-smp", self.topology.smp(), *self.topology.numa(self.memory_mib)]

    def _acceleration(self) -> list[str]:
        if self.accel == "kvm":
            return ["-accel", "kvm"]
        cache = f"tb-size={TRANSLATION_CACHE_MIB}"
        if self.clock is Clock.REAL:
            return ["-accel", f"tcg,thread=multi,{cache}"]
        return [
            "-accel",
            f"tcg,thread=single,{cache}",
            "-icount",
            f"shift={self.shift()},sleep=off",
        ]
