"""Domains and groups for several shapes of machine, and what is wrong with damaged ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.constants import SDFlag
from harness.model.domain import (
    CORE,
    CPU,
    NODE,
    SIBLING,
    Domain,
    Group,
    Topology,
    build_domains,
    domain_errors,
    flat,
    task_hot,
)
from tests.model.build import normal


def shape(topology: Topology, cpu: int) -> list[tuple[str, int, list[tuple[int, int]]]]:
    return [
        (sd.parameters.name, sd.span, [(g.cpumask, g.cpu_power) for g in sd.groups])
        for sd in build_domains(topology.levels(), cpu)
    ]


def test_flat() -> None:
    assert shape(flat(4), 2) == [
        ("CPU", 0b1111, [(0b0100, 128), (0b1000, 128), (0b0001, 128), (0b0010, 128)])
    ]
    assert shape(flat(1), 0) == [("CPU", 1, [(1, 128)])]


def test_two_packages_of_two_cores() -> None:
    assert shape(Topology(sockets=2, cores=2), 2) == [
        ("CORE", 0b1100, [(0b0100, 128), (0b1000, 128)]),
        ("CPU", 0b1111, [(0b1100, 256), (0b0011, 256)]),
    ]


def test_two_packages_of_two_threads() -> None:
    assert shape(Topology(sockets=2, threads=2), 1) == [
        ("SIBLING", 0b0011, [(0b0010, 128), (0b0001, 128)]),
        ("CPU", 0b1111, [(0b0011, 140), (0b1100, 140)]),
    ]


def test_every_thread_adds_a_tenth() -> None:
    _, outer = build_domains(Topology(sockets=2, threads=4).levels(), 0)
    assert [group.cpu_power for group in outer.groups] == [166, 166]


def test_two_nodes_of_two_cores_of_two_threads() -> None:
    assert shape(Topology(nodes=2, cores=2, threads=2), 5) == [
        ("SIBLING", 0x30, [(0x20, 128), (0x10, 128)]),
        ("CPU", 0xF0, [(0x30, 140), (0xC0, 140)]),
        ("NODE", 0xFF, [(0xF0, 280), (0x0F, 280)]),
    ]


def test_default_tables() -> None:
    def numbers(p: object) -> list[int]:
        return [int(v) for k, v in vars(p).items() if k not in ("name", "flags")]

    assert numbers(SIBLING) == [1, 2, 8, 110, 0, 0, 25]
    assert numbers(CPU) == [1, 4, 64, 125, 2_500_000, 1, 100]
    assert numbers(NODE) == [8, 32, 32, 125, 10_000_000, 1, 100]
    assert replace(CPU, name="CORE", imbalance_pct=110) == CORE
    assert [int(p.flags) for p in (SIBLING, CPU, NODE)] == [95, 63, 47]


def test_a_domain_starts_due_from_now() -> None:
    (sd,) = build_domains(flat(2).levels(), 0, jiffies=300)
    assert (sd.last_balance, sd.balance_interval, sd.nr_balance_failed) == (300, 1, 0)


SMALL = st.integers(1, 3)


@given(st.builds(Topology, SMALL, SMALL, SMALL, SMALL), st.data())
def test_every_machine_obeys_the_rules(topology: Topology, data: st.DataObject) -> None:
    cpu = data.draw(st.integers(0, topology.nr_cpus - 1))
    chain = build_domains(topology.levels(), cpu)
    assert list(domain_errors(cpu, chain)) == []
    assert chain[-1].span == (1 << topology.nr_cpus) - 1
    if topology.threads == 1:
        power = sum(group.cpu_power for group in chain[-1].groups)
        assert power == 128 * topology.nr_cpus


def regroup(sd: Domain, *groups: Group) -> None:
    sd.groups = groups


DAMAGE: list[tuple[str, Callable[[list[Domain]], None]]] = [
    ("does not span its CPU", lambda chain: setattr(chain[0], "span", 0b10)),
    ("is not contained in its parent", lambda chain: setattr(chain[1], "span", 0b1)),
    ("start with the CPU's own", lambda chain: regroup(chain[0], *chain[0].groups[::-1])),
    ("empty group", lambda chain: regroup(chain[0], *chain[0].groups, Group(0, 128))),
    ("without cpu_power", lambda chain: regroup(chain[0], Group(1, 0), Group(2, 128))),
    ("in two groups", lambda chain: regroup(chain[0], Group(3, 128), Group(2, 128))),
    ("but its groups cover", lambda chain: regroup(chain[0], chain[0].groups[0])),
    (
        "does not balance but has a parent",
        lambda chain: setattr(chain[0], "parameters", replace(CPU, flags=SDFlag.WAKE_AFFINE)),
    ),
]


@pytest.mark.parametrize(("words", "damage"), DAMAGE, ids=[words for words, _ in DAMAGE])
def test_damage_is_named(words: str, damage: Callable[[list[Domain]], None]) -> None:
    chain = list(build_domains(Topology(sockets=2, cores=2).levels(), 0))
    damage(chain)
    assert any(words in error for error in domain_errors(0, chain))


def test_cache_hot_equality_is_cold_and_the_future_is_hot() -> None:
    (sd,) = build_domains(flat(1).levels(), 0)
    p = normal(1)
    p.last_ran = 10_000_000
    assert task_hot(p, 12_499_999, sd)
    assert not task_hot(p, 12_500_000, sd)
    assert task_hot(p, 9_000_000, sd)
