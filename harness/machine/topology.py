"""How the CPUs of a machine share nodes, sockets and cores."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.machine.errors import ConfigError

_SHORT = re.compile(r"\d+(x\d+){1,2}")
_LONG = re.compile(r"(\w+)=(\d+)")
_FIELDS = ("sockets", "cores", "threads", "nodes")


@dataclass(frozen=True)
class Topology:
    """How the CPUs share nodes, sockets and cores; the product is the number of CPUs."""

    sockets: int = 1
    """Per node."""
    cores: int = 1
    """Per socket."""
    threads: int = 1
    """Per core."""
    nodes: int = 1
    """Of memory."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ConfigError(f"topology: {name}={value}; at least 1 is needed")

    @classmethod
    def parse(cls, text: str) -> Topology:
        """``sockets=2,cores=2,threads=1,nodes=1`` in any order, 1 where nothing is said.

        ``2x2`` is short for sockets x cores, ``2x2x2`` for sockets x cores x threads. Raises
        ConfigError.
        """
        if _SHORT.fullmatch(text):
            return cls(**dict(zip(_FIELDS, map(int, text.split("x")), strict=False)))
        counts: dict[str, int] = {}
        for item in text.split(","):
            match = _LONG.fullmatch(item)
            if match is None or match[1] not in _FIELDS or match[1] in counts:
                raise ConfigError(
                    f"topology {text!r}: {item!r} is not understood; write for instance "
                    "sockets=2,cores=2,threads=1,nodes=1, or 2x2 for sockets x cores, or 2x2x2 "
                    "for sockets x cores x threads"
                )
            counts[match[1]] = int(match[2])
        return cls(**counts)

    def __str__(self) -> str:
        return ",".join(f"{name}={getattr(self, name)}" for name in _FIELDS)

    @property
    def cpus(self) -> int:
        return self.all_sockets * self.cores * self.threads

    @property
    def all_sockets(self) -> int:
        """Those of all nodes."""
        return self.nodes * self.sockets

    @property
    def highest_apic_id(self) -> int:
        """Each level gets whole bits of the APIC id, so odd counts leave gaps in the numbering."""
        thread_bits = (self.threads - 1).bit_length()
        core_bits = (self.cores - 1).bit_length()
        core_part = (self.cores - 1) << thread_bits
        socket_part = (self.all_sockets - 1) << (core_bits + thread_bits)
        return socket_part | core_part | (self.threads - 1)

    def smp(self) -> str:
        """The value of QEMU's ``-smp``, which counts the sockets of all nodes together."""
        shape = f"sockets={self.all_sockets},cores={self.cores},threads={self.threads}"
        return f"{self.cpus},{shape}"

    def numa(self, memory_mib: int) -> list[str]:
        """QEMU's arguments for several nodes: each has its sockets and its share of the memory."""
        if self.nodes == 1:
            return []
        share = memory_mib // self.nodes
        arguments: list[str] = []
        for node in range(self.nodes):
            size = share if node else memory_mib - share * (self.nodes - 1)
            arguments += ["-object", f"memory-backend-ram,id=node{node},size={size}M"]
            arguments += ["-numa", f"node,nodeid={node},memdev=node{node}"]
        for socket in range(self.all_sockets):
            place = f"node-id={socket // self.sockets},socket-id={socket}"
            arguments += ["-numa", f"cpu,{place}"]
        return arguments
