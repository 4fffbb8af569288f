"""Domains of the guest's CPUs on machines of many shapes, against those that the model builds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from harness.boot import model_topology
from harness.model.domain import Topology, build_domains
from harness.oracle.outcome import Outcome
from harness.pytest_plugin import Booter
from harness.trace.trace import Trace
from tests.boot.variant import Change, Variants

BARE: dict[str, Any] = {"policy": "o1", "selftest": "none", "ticks": 2}
"""No tasks but the scheduler's own, and a short life."""

NODES = {"machine": "q35"}

SHAPES: list[tuple[str, dict[str, Any]]] = [
    *((f"sockets={n}", {}) for n in (1, 2, 4, 8)),
    *((f"cores={n}", {}) for n in (3, 4)),
    ("2x2", {}),
    ("2x1x2", {}),
    ("2x2x2", {}),
    # Counts that are no power of two leave gaps in the APIC identifiers.
    ("3x3x3", {"hz": 500}),
    ("1x5x2", {}),
    ("nodes=2,sockets=1", NODES),
    ("nodes=2,sockets=2,cores=2,threads=2", NODES | {"hz": 500}),
    ("nodes=3,cores=3", {"machine": "pc"}),
]

Chain = list[tuple[tuple[object, ...], list[tuple[int, int]]]]
"""Of each domain its figures, and masks and powers of its groups."""


def logged(trace: Trace) -> dict[int, Chain]:
    """The chain of each CPU, as the log tells of it."""
    chains: dict[int, Chain] = {}
    for event in trace.of("domain", "group"):
        if event.name == "domain":
            of, level, *figures, _jiffies = event.values
            chain = chains.setdefault(int(of), [])
            assert level == len(chain)
            chain.append((tuple(figures), []))
        else:
            chain[-1][1].append((event.number("cpus"), event.number("power")))
    return chains


def built(topology: Topology) -> dict[int, Chain]:
    """The same as the model builds it."""
    levels = topology.levels()
    return {
        cpu: [
            (
                (
                    *(sd.parameters.name, sd.span, int(sd.parameters.flags)),
                    *(sd.parameters.min_interval, sd.parameters.max_interval),
                    *(sd.parameters.busy_factor, sd.parameters.imbalance_pct),
                    *(sd.parameters.cache_hot_time, sd.parameters.cache_nice_tries),
                ),
                [(group.cpumask, group.cpu_power) for group in sd.groups],
            )
            for sd in build_domains(levels, cpu)
        ]
        for cpu in range(topology.nr_cpus)
    }


@pytest.mark.parametrize(("shape", "options"), SHAPES, ids=[shape for shape, _ in SHAPES])
def test_the_guest_builds_the_models_domains(
    boot: Booter, shape: str, options: dict[str, Any]
) -> None:
    run = boot(topology=shape, **BARE, **options)
    assert run.passed, run.verdict
    assert logged(run.trace) == built(model_topology(run.config))


@pytest.mark.parametrize(
    ("shape", "vendor"),
    [
        ("2x2", "AMD"),
        ("2x2", "Intel"),
        ("3x3x3", "Intel"),
        ("1x5x2", "Intel"),
        ("sockets=2", "Intel"),
    ],
)
def test_counts_of_cores_and_threads_do_where_cpuid_has_no_levels(
    boot: Booter, shape: str, vendor: str
) -> None:
    model = {"AMD": "qemu64", "Intel": "qemu64,vendor=GenuineIntel"}[vendor]
    cpu = ("-cpu", f"{model},cpuid-0xb=off")
    run = boot(topology=shape, hz=500, extra_args=cpu, **BARE)
    assert run.passed, run.verdict
    assert logged(run.trace) == built(model_topology(run.config))


def test_domains_of_threads_cores_and_packages_in_figures(boot: Booter) -> None:
    chains = logged(boot(topology="2x2x2", **BARE).trace)
    assert [(figures[0], figures[1]) for figures, _ in chains[5]] == [
        ("SIBLING", 0x30),
        ("CORE", 0xF0),
        ("CPU", 0xFF),
    ]
    assert [groups for _, groups in chains[5]] == [
        [(0x20, 128), (0x10, 128)],
        [(0x30, 140), (0xC0, 140)],
        [(0xF0, 280), (0x0F, 280)],
    ]


def test_cpus_without_a_topology_are_cores_of_one_package(boot: Booter) -> None:
    run = boot(cpus=3, **BARE)
    assert run.passed, run.verdict
    assert logged(run.trace) == built(Topology(cores=3))


@dataclass(frozen=True)
class Damage:
    """A change of the guest's domains, the machine that it shows on, and what the guest says."""

    words: str
    changes: list[Change]
    topology: str = "2x2"


BUILD, RING = "sched/domain.s", "sched/group.s"
SPAN = "mov qword ptr [rdx + sched_domain.span], rsi"
OWN = "mov qword ptr [rdx + sched_domain.groups], rax"
WIDER = "bts qword ptr [rdx + sched_domain.span], 5"
PARENT = "mov qword ptr [rax + sched_domain.parent], rdx"
MASK = ["mov qword ptr [rax + sched_group.cpumask], rdx"]

DAMAGES = [
    Damage(
        "cpu0 domain0 does not balance but has a parent",
        [Change(BUILD, [SPAN], [SPAN, "and qword ptr [rdx + sched_domain.flags], -2"])],
    ),
    Damage(
        "cpu0 domain0 is not contained in its parent",
        [Change(BUILD, [PARENT], [PARENT, "btr qword ptr [rdx + sched_domain.span], 0"])],
    ),
    Damage(
        "cpu0 domain0 does not span its CPU",
        [Change(BUILD, [SPAN], ["btr rsi, rdi", SPAN])],
        "sockets=2",
    ),
    Damage(
        "cpu0 domain1 does not start with the CPU's own group",
        [Change(BUILD, [OWN], ["cmp r12d, 1", "jb .own", "mov rax, [rax + sched_group.next]",
                               ".own:", OWN])],
    ),
    Damage(
        "cpu0 domain0 has an empty group",
        [Change(RING, ["and r12, rcx"], ["and r12, rcx", "cmp r14, r13", "je .kept",
                "mov qword ptr [r14 + sched_group.cpumask], 0", ".kept:", "test r12, r12"])],
    ),
    Damage(
        "cpu0 domain0 has a group without cpu_power",
        [Change(RING, ["mov qword ptr [rdx + rcx * 8], SCHED_LOAD_SCALE"],
                ["mov qword ptr [rdx + rcx * 8], 0"])],
    ),
    Damage(
        "cpu0 domain0 has CPUs in two groups",
        [Change(RING, MASK, ["or rdx, 1", *MASK])],
        "sockets=2",
    ),
    Damage(
        "cpu2 domain0 spans other CPUs than its groups",
        [Change(BUILD, [OWN], ["cmp edi, 2", "jb .whole", WIDER, ".whole:", OWN])],
        "sockets=3",
    ),
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: str(damage.words))
def test_the_guest_checks_its_domains(boot: Booter, variants: Variants, damage: Damage) -> None:
    image = variants.build(damage.words, damage.changes)
    run = boot(image, topology=damage.topology, **BARE)
    assert run.outcome is Outcome.PANIC, run.verdict
    assert f"sched_domain: {damage.words}" in run.verdict.reason


def test_a_topology_that_the_guest_misreads_is_found(boot: Booter, variants: Variants) -> None:
    old = "mov dword ptr [rip + topology_package_bits], eax"
    image = variants.build("packages merged", [Change("sched/topology.s", [old], ["inc eax", old])])
    run = boot(image, topology="2x2", **BARE)
    assert run.outcome is Outcome.VIOLATION, run.verdict
    assert run.verdict.reason.startswith("A12 every CPU has the domains that the shape")


def test_a_woken_task_goes_to_an_idle_thread(boot: Booter) -> None:
    run = boot(workload="W6", topology="2x1x2")
    assert run.passed, run.verdict
    searches = list(run.trace.of("wake_idle"))
    assert any(event.number("to") != event.number("from") for event in searches)
    assert any(event.number("to") == event.number("from") for event in searches)


def test_without_threads_nobody_looks_for_an_idle_one(boot: Booter) -> None:
    run = boot(workload="W6", topology="2x2")
    assert run.passed, run.verdict
    assert list(run.trace.of("place"))
    assert not list(run.trace.of("wake_idle"))


def test_the_wrong_idle_thread_is_found(boot: Booter, variants: Variants) -> None:
    change = Change("sched/wake_idle.s", ["bsf rax, rcx"], ["bsr rax, rcx"])
    run = boot(variants.build("last idle", [change]), workload="W6", topology="1x2x2")
    assert run.outcome is Outcome.VIOLATION, run.verdict
    assert run.verdict.reason.startswith("A8 a woken task is placed")
