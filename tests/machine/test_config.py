"""The configuration: what it refuses, which shift it chooses, which command it stands for."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.machine import Clock, ConfigError, MachineConfig, Topology
from harness.machine.config import MAX_ICOUNT_SHIFT, MIN_INSTRUCTIONS_PER_TICK

IMAGE = Path("guest.elf")


@pytest.mark.parametrize(
    ("cpus", "hz", "shift"),
    [(4, 1000, 3), (1, 1000, 5), (8, 1000, 2), (50, 1000, 0), (255, 196, 0), (1, 1, 10)],
)
def test_shift_is_chosen_from_cpus_and_hz(cpus: int, hz: int, shift: int) -> None:
    assert MachineConfig(IMAGE, cpus=cpus, hz=hz).shift() == shift


@given(cpus=st.integers(1, 255), hz=st.integers(1, 3000))
def test_shift_is_the_largest_that_leaves_each_cpu_enough(cpus: int, hz: int) -> None:
    def instructions(shift: int) -> float:
        return 1e9 / hz / cpus / (1 << shift)

    try:
        shift = MachineConfig(IMAGE, cpus=cpus, hz=hz).shift()
    except ConfigError:
        assert instructions(0) < MIN_INSTRUCTIONS_PER_TICK
        return
    assert instructions(shift) >= MIN_INSTRUCTIONS_PER_TICK
    assert shift == MAX_ICOUNT_SHIFT or instructions(shift + 1) < MIN_INSTRUCTIONS_PER_TICK


def test_too_high_hz_names_the_highest_that_works() -> None:
    with pytest.raises(ConfigError, match=r"255 CPUs .* use hz=196 or lower"):
        MachineConfig(IMAGE, cpus=255, hz=1000)
    MachineConfig(IMAGE, cpus=255, hz=196)
    with pytest.raises(ConfigError, match="hz=196"):
        MachineConfig(IMAGE, cpus=255, hz=197)


def test_real_clock_needs_no_shift() -> None:
    command = MachineConfig(IMAGE, cpus=255, hz=1000, clock=Clock.REAL).command()
    assert "-icount" not in command
    assert "tcg,thread=multi,tb-size=32" in command


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"machine": "vax"}, "machine='vax' is not one of microvm, q35, pc"),
        ({"accel": "xen"}, "accel='xen' is not one of tcg, kvm"),
        ({"accel": "kvm"}, "clock=REAL"),
        ({"cpus": 0}, "1 to 255 CPUs"),
        ({"cpus": 256, "clock": Clock.REAL}, "x2APIC"),
        ({"cpus": 4, "topology": Topology(sockets=3)}, "topology gives 3 CPUs, but cpus=4"),
        # 3 cores take 2 bits of the APIC id, so 64 sockets reach id 63 * 4 + 2.
        ({"cpus": 195, "topology": Topology(65, 3), "clock": Clock.REAL}, "id would be 258"),
        ({"topology": Topology(2, nodes=2)}, "'microvm' has one node, not 2: use one of q35, pc"),
        (
            {"topology": Topology(2, nodes=2), "machine": "pc", "memory_mib": 1},
            "memory_mib=1: 2 nodes need 1 each at least",
        ),
        ({"hz": 0}, "hz=0"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"quiet": 0}, "quiet=0"),
        ({"memory_mib": 1}, "memory_mib=1"),
        ({"max_log_bytes": 0}, "max_log_bytes=0"),
        ({"max_line_bytes": 10}, "max_line_bytes=10"),
        ({"icount_shift": 11}, "0 to 10"),
        ({"modules": (Path("a"), Path("b"))}, "one module, not 2"),
        ({"params": {"hz": 100}}, "set hz by the field"),
        ({"params": {"Seed": 1}}, "key 'Seed'"),
        ({"params": {"a b": 1}}, "key 'a b'"),
        ({"params": {"policy": "o1 seed=2"}}, "'o1 seed=2' of policy"),
        ({"params": {"policy": ""}}, "'' of policy"),
        ({"params": {"monitor": True}}, "True of monitor"),
    ],
)
def test_what_cannot_work_is_refused_by_name(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        MachineConfig(IMAGE, **fields)
    assert words in str(refusal.value)


def test_topology_of_no_cores_is_refused() -> None:
    with pytest.raises(ConfigError, match="cores=0"):
        Topology(cores=0)


@pytest.mark.parametrize(
    ("text", "topology"),
    [
        ("sockets=2,cores=3,threads=4,nodes=5", Topology(2, 3, 4, 5)),
        ("nodes=2,cores=4", Topology(cores=4, nodes=2)),
        ("threads=2", Topology(threads=2)),
        ("2x3", Topology(sockets=2, cores=3)),
        ("2x3x4", Topology(2, 3, 4)),
    ],
)
def test_a_topology_is_read_from_text(text: str, topology: Topology) -> None:
    assert Topology.parse(text) == topology
    assert Topology.parse(str(topology)) == topology


@pytest.mark.parametrize(
    "text",
    ["", "4", "2x", "2x2x2x2", "sockets", "sockets=-1", "cores=2,cores=2", "dies=2", "2 x 2"],
)
def test_a_topology_that_is_none_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not understood; write .*nodes=1, or 2x2 for"):
        Topology.parse(text)


def test_each_node_gets_its_sockets_and_its_memory() -> None:
    config = MachineConfig(
        IMAGE, cpus=6, machine="q35", memory_mib=65, topology=Topology(sockets=3, nodes=2)
    )
    command = " ".join(config.command())
    assert "-smp 6,sockets=6,cores=1,threads=1" in command
    assert "id=node0,size=33M -numa node,nodeid=0,memdev=node0" in command
    assert "id=node1,size=32M -numa node,nodeid=1,memdev=node1" in command
    for node, sockets in enumerate(((0, 1, 2), (3, 4, 5))):
        for socket in sockets:
            assert f"-numa cpu,node-id={node},socket-id={socket}" in command


def test_boot_parameters_start_with_the_machines_own() -> None:
    config = MachineConfig(IMAGE, cpus=2, hz=100, params={"seed": 7, "policy": "o1"})
    assert config.boot_parameters() == "hz=100 clock=virtual cpus=2 seed=7 policy=o1"


@given(
    params=st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_]{2,9}", fullmatch=True).filter(
            lambda key: key not in ("hz", "clock", "cpus")
        ),
        st.integers(0, 2**64 - 1) | st.text("abcXYZ019,=:/\"'$\\-", min_size=1),
    )
)
def test_parameters_survive_the_encoding_and_the_shell(params: Mapping[str, str | int]) -> None:
    config = MachineConfig(IMAGE, params=params)
    words = shlex.split(config.by_hand())
    assert words == [w.replace("signal=off", "signal=on") for w in config.command()]
    pairs = dict(word.split("=", 1) for word in words[words.index("-append") + 1].split(" "))
    assert {key: pairs[key] for key in params} == {key: str(v) for key, v in params.items()}
