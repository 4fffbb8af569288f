"""Guests with one defect each: none of them passes, and the verdict names what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.oracle.outcome import Outcome
from harness.pytest_plugin import Booter
from tests.boot import PATIENT
from tests.boot.variant import Change, Variants


@dataclass(frozen=True)
class Defect:
    """A change of the guest, and how a run of it has to end."""

    name: str
    changes: list[Change]
    outcome: Outcome
    reason: str
    options: dict[str, Any] = field(default_factory=dict)


DEFECTS = [
    Defect(
        "every write is allowed",
        [
            Change("boot/main.s", ["call memory_protect_image"], []),
            Change("boot/main.s", [".extern memory_protect_image"], [], indent=0),
        ],
        Outcome.FAIL,
        "self-test exceptions failed (an exception did not arrive, or a page is not protected)",
    ),
    Defect(
        "spurious vector of the timer",
        [
            Change(
                "cpu/lapic.s",
                ["mov dword ptr [rax + LAPIC_SVR], SVR_ENABLE + VECTOR_SPURIOUS"],
                ["mov dword ptr [rax + LAPIC_SVR], SVR_ENABLE + VECTOR_TIMER"],
            )
        ],
        Outcome.FAIL,
        "self-test lapic failed (a local APIC has an interrupt in service, or a wrong identifier)",
    ),
    Defect(
        "ticks four times as fast",
        [
            Change(
                "cpu/timer.s",
                ["mov ecx, dword ptr [rip + timer_count]"],
                ["mov ecx, dword ptr [rip + timer_count]", "shr ecx, 2"],
            )
        ],
        Outcome.FAIL,
        "self-test timer failed (ticks come at less than half or more than twice the rate of hz)",
    ),
    Defect(
        "locks that let themselves be robbed",
        [
            Change(
                "cpu/lock.s",
                ["je .recursion"],
                ["mov dword ptr [rdi + lock.owner], edx", "jmp .taken"],
            )
        ],
        Outcome.PANIC,
        "spin_unlock: this CPU does not hold the lock",
    ),
    Defect(
        "locks that let everybody in",
        [
            Change("cpu/lock.s", ["je .recursion"], ["jmp .taken"]),
            Change("cpu/lock.s", ["jne .not_owner"], []),
        ],
        Outcome.FAIL,
        "self-test lock failed (",
    ),
    Defect(
        "a register gets lost",
        [Change("task/switch.s", ["pop r14"], ["pop r15"])],
        Outcome.FAIL,
        "self-test switch failed (a register changed while its task did not run)",
    ),
    Defect(
        "a CPU that does not report",
        [
            Change(
                "boot/smp.s",
                ["mov dword ptr gs:[percpu.online], 1"],
                ["mov dword ptr gs:[percpu.online], 0"],
            )
        ],
        Outcome.FAIL,
        "the guest refused: CPU 1 (APIC identifier 1) did not come online",
        {"cpus": 2, "hz": 100},
    ),
    Defect(
        "two CPUs of one identifier",
        [
            Change(
                "boot/smp.s",
                ["mov dword ptr [rip + smp_starting_apic], r12d"],
                ["mov dword ptr [rip + smp_starting_apic], 0"],
            )
        ],
        Outcome.PANIC,
        "a CPU came online under another APIC identifier than it was started by",
    ),
    Defect(
        "lines without a lock",
        [
            Change("trace/console.s", ["call spin_lock", "call console_new_line"], []),
            Change(
                "trace/console.s",
                ["call spin_unlock", "pop r12", "pop rbx", "UNFRAME", "ret"],
                ["pop r12", "pop rbx", "UNFRAME", "ret"],
            ),
        ],
        Outcome.LOST_LOG,
        "line",
        {"clock": "real", "flood": 5000, "selftest": "none"},
    ),
    Defect(
        "losses that are not counted",
        [Change("trace/ring.s", ["inc qword ptr gs:[percpu.dropped]"], [])],
        Outcome.VIOLATION,
        "H1 ticks of a CPU count from 1 without a gap",
        {"flood": 2000, "ring": "2k", "ring_full": "drop", "selftest": "none"},
    ),
    Defect(
        "numbers that are used twice",
        [
            Change(
                "trace/ring.s",
                ["lock xadd qword ptr [rip + trace_sequence], rax"],
                ["xchg rax, qword ptr [rip + trace_sequence]"],
            )
        ],
        Outcome.LOST_LOG,
        "duplicate seq",
    ),
    Defect(
        "an interrupt from nowhere",
        [Change("cpu/ipi.s", ["EVENT_AT 1, ipi_send, rdi, rsi"], [])],
        Outcome.VIOLATION,
        "H3 an interrupt arrives after it was sent",
    ),
    Defect(
        "a tick that is not logged",
        [
            Change(
                "cpu/timer.s",
                ["EVENT_AT 1, tick, gs:[percpu.ticks]"],
                [
                    "cmp qword ptr gs:[percpu.ticks], 5",
                    "je .silent",
                    "EVENT_AT 1, tick, gs:[percpu.ticks]",
                    ".silent:",
                ],
            )
        ],
        Outcome.VIOLATION,
        "H1 ticks of a CPU count from 1 without a gap: tick 6 of CPU",
    ),
    Defect(
        "an uninterruptible sleep that is not counted",
        [Change("sched/core.s", ["inc qword ptr [rbx + runqueue.nr_uninterruptible]"], [])],
        Outcome.VIOLATION,
        "C6 uninterruptible sleepers are counted",
        {"workload": "hotplug", "cpus": 4},
    ),
    Defect(
        "the end of an uninterruptible sleep that is not counted",
        [Change("sched/wake.s", ["dec qword ptr [r12 + runqueue.nr_uninterruptible]"], [])],
        Outcome.VIOLATION,
        "C6 uninterruptible sleepers are counted",
        {"workload": "hotplug", "cpus": 4},
    ),
    Defect(
        "the count of an unplugged CPU that stays behind",
        [Change("sched/hotplug.s", ["mov qword ptr [rbx + runqueue.nr_uninterruptible], 0"], [])],
        Outcome.VIOLATION,
        "C6 uninterruptible sleepers are counted",
        {"workload": "hotplug", "cpus": 4},
    ),
    Defect(
        "the count of an unplugged CPU that is lost",
        [
            Change(
                "sched/hotplug.s",
                ["add qword ptr [r12 + runqueue.nr_uninterruptible], rax"],
                [],
            )
        ],
        Outcome.VIOLATION,
        "C6 uninterruptible sleepers are counted",
        {"workload": "hotplug", "cpus": 4},
    ),
    Defect(
        "an interrupt without its end",
        [Change("cpu/lapic.s", ["mov dword ptr [rax + LAPIC_EOI], 0"], [])],
        Outcome.HANG,
        "no output for quiet=1 s (cpu 0: rip=0x10",
        {"quiet": 1.0},
    ),
]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: str(defect.name))
def test_a_defect_is_found_and_named(boot: Booter, variants: Variants, defect: Defect) -> None:
    image = variants.build(defect.name, defect.changes)
    run = boot(image, **{"clock": "virtual", **PATIENT, **defect.options})
    assert run.outcome is defect.outcome, run.verdict
    assert defect.reason in run.verdict.reason


def test_without_a_defect_a_guest_built_in_the_same_way_passes(
    boot: Booter, variants: Variants
) -> None:
    run = boot(variants.build("sound", []))
    assert run.outcome == "pass", run.verdict
