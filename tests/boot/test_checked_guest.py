"""The checked guest finds nothing wrong with itself, and sees each of its rules broken.

Each variant breaks one rule. What is broken is found by the guest itself, at the next unlock or
switch, and named by the verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.oracle.outcome import Outcome
from harness.pytest_plugin import Booter
from harness.workload import Workload
from tests.boot import PATIENT
from tests.boot.variant import Change, Variants
from tests.veridian.workloads import CROWD, LOPSIDED, PLUGGING

NOTE = "# The best priority among the expired is not forgotten: defect L09. Corrected: it is."
INTERACTIVE = str(Path(__file__).with_name("interactive.yaml"))
QUEUE = "veridian/queue.s"
ARRAY, CORE, RUNQUEUE, WAKE = "sched/array.s", "sched/core.s", "sched/runqueue.s", "sched/wake.s"


@dataclass(frozen=True)
class Breach:
    """A change of the guest that breaks a rule, and a workload that gets there."""

    rule: str
    change: Change
    workload: str | Workload = "W3"
    cpus: int = 2
    policy: str = "o1"

    def __str__(self) -> str:
        return f"{self.rule} {self.change.file}"


BREACHES = [
    Breach("S1", Change(ARRAY, ["btr qword ptr [rsi + prio_array.bitmap], rax"], [])),
    Breach(
        "S2",
        Change(
            ARRAY,
            ["mov qword ptr [rdi + prio_array.bitmap + 16], 1 << (MAX_PRIO - 128)"],
            ["mov qword ptr [rdi + prio_array.bitmap + 16], 0"],
        ),
    ),
    Breach("S3", Change(ARRAY, ["dec qword ptr [rsi + prio_array.nr_active]"], [])),
    Breach(
        "S4",
        Change(RUNQUEUE, ["inc qword ptr [rsi + runqueue.nr_running]"],
               ["add qword ptr [rsi + runqueue.nr_running], 2"]),
    ),
    Breach("S5", Change(CORE, ["mov qword ptr [rbx + runqueue.expired], rax"], []), "W1", 1),
    Breach("S6", Change(RUNQUEUE, ["mov rdx, gs:[percpu.op_jiffies]", "call enqueue_task_at"],
                        ["mov rdx, gs:[percpu.op_jiffies]", "call enqueue_task_at",
                         "inc dword ptr [rdi + task.prio]"])),
    Breach(
        "S7",
        Change(ARRAY, ["mov qword ptr [rcx + LIST_PREV], rax"], []),
    ),
    Breach(
        "S9",
        Change(
            RUNQUEUE,
            ["mov dword ptr [rax + task.prio], MAX_PRIO"],
            ["mov dword ptr [rax + task.prio], MAX_PRIO - 1"],
        ),
    ),
    Breach(
        "S10",
        Change("sched/tick.s", ["mov dword ptr [r12 + task.time_slice], eax"], []),
        "W1",
        1,
    ),
    Breach(
        "S11",
        Change(CORE, ["mov qword ptr [rbx + runqueue.expired_timestamp], 0", NOTE], [NOTE]),
        INTERACTIVE,
        1,
    ),
    Breach("S12", Change(CORE, ["mov gs:[percpu.curr], r15"], [])),
    Breach("K1", Change(RUNQUEUE, ["xchg rdi, rsi"], []), "W8"),
    Breach(
        "K2",
        Change(
            RUNQUEUE,
            ["mov rsi, qword ptr [rdi + task.array]", "call dequeue_task"],
            [
                "mov rsi, qword ptr [rdi + task.array]",
                "xor dword ptr [rdi + task.cpu], 1",
                "call dequeue_task",
                "xor dword ptr [rbx + task.cpu], 1",
            ],
        ),
    ),
    Breach("K3", Change(CORE, ["mov rdi, rbx", "call rq_unlock"], [])),
    Breach(
        "K4",
        Change(
            "sched/migrate.s",
            ["cli", "mov rdi, rbx", "call task_rq_lock"],
            ["mov rdi, rbx", "call task_rq_lock"],
        ),
        "W8",
    ),
    Breach(
        "K4",
        Change("veridian/hotplug.s", ["sti", "mov eax, -EBUSY"], ["mov eax, -EBUSY"]),
        "hotplug", 4, "veridian",
    ),
    Breach(
        "K5",
        Change(
            RUNQUEUE,
            ["EVENT_AT 1, double_lock, [r12 + runqueue.cpu], r13"],
            ["mov rdi, r12", "call rq_unlock"],
        ),
        "W7",
        4,
    ),
    Breach(
        "K6",
        Change(CORE, ["mov qword ptr [r15 + task.timestamp], r13"],
               ["mov rdi, rbx", "call rq_unlock", "mov qword ptr [r15 + task.timestamp], r13"]),
    ),
    Breach(
        "K7",
        # Given up, and still nobody's to take: the first that waits for it waits for ever.
        Change(
            "sched/migrate.s",
            ["lea rdi, [rip + cpu_online_lock]", "call spin_unlock", "mov rdi, r12",
             "call rq_unlock", "sti", "lea eax, [r15 - 1]"],
            ["mov dword ptr [rip + cpu_online_lock + lock.owner], MAX_CPUS", "mov rdi, r12",
             "call rq_unlock", "sti", "lea eax, [r15 - 1]"],
        ),
        "W8",
    ),
    Breach(
        "P15",
        Change("cpu/timer.s", ["call lapic_eoi"], []),
    ),
    Breach(
        "V1",
        Change(QUEUE, ["btr dword ptr [rsi + cpu_info.normal_bitmap], ecx"], []),
        policy="veridian",
    ),
    Breach(
        "V1",
        Change(QUEUE, ["mov qword ptr [r8 + rcx * 8 + ring.slots], 0"], []),
        policy="veridian",
    ),
    Breach(
        "V1",
        Change(QUEUE, ["inc dword ptr [r8 + ring.overflowed]", "test rcx, rcx"],
               ["test rcx, rcx"]),
        CROWD, 1, "veridian",
    ),
    Breach(
        "V2",
        Change("veridian/ready.s", ["dec dword ptr [rsi + cpu_info.nr_running]"], []),
        policy="veridian",
    ),
    Breach(
        "V2",
        Change("veridian/switch.s", ["mov rsi, rbx", "call update_load"], []),
        policy="veridian",
    ),
    Breach(
        "V4",
        Change(QUEUE, ["mov qword ptr [rdi + task.run_list], 0",
                       "mov rcx, qword ptr [r8 + ring.overflow_last]"], ["jmp .refused"]),
        CROWD, 1, "veridian",
    ),
    Breach(
        "S6",
        Change(QUEUE, ["mov dword ptr [rcx + vtask.ring], eax"], []),
        policy="veridian",
    ),
    Breach(
        "K1", Change("veridian/info.s", ["jb .ordered"], ["ja .ordered"]), LOPSIDED, 2, "veridian"
    ),
    Breach(
        "K3",
        Change("veridian/core.s", ["call schedule_picked", "mov rdi, rbx", "call info_unlock"],
               ["call schedule_picked"]),
        policy="veridian",
    ),
    Breach(
        "K6",
        Change("veridian/switch.s", ["mov gs:[percpu.curr], r15"],
               ["mov rdi, rbx", "call info_unlock", "mov gs:[percpu.curr], r15"]),
        policy="veridian",
    ),
]  # fmt: skip


@pytest.mark.parametrize("breach", BREACHES, ids=str)
def test_the_guest_names_the_rule_that_is_broken(
    breach: Breach, boot: Booter, variants: Variants
) -> None:
    name = f"{breach.rule} {BREACHES.index(breach)}"
    image = variants.build(name, [breach.change], checked=True)
    options = {"workload": breach.workload, "policy": breach.policy, **PATIENT}
    run = boot(image, breach.cpus, **options)
    assert run.outcome is Outcome.VIOLATION, run.verdict
    assert run.verdict.reason.startswith(f"{breach.rule}: "), run.verdict


@pytest.mark.parametrize(("workload", "cpus"), [("W1", 1), ("W3", 2), ("W8", 4), ("mixed", 4)])
@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_the_checked_guest_finds_nothing(
    workload: str, cpus: int, clock: str, boot: Booter
) -> None:
    run = boot(cpus=cpus, clock=clock, workload=workload, checked=True, **PATIENT)
    assert run.passed, run.verdict


@pytest.mark.parametrize(("workload", "cpus"), [("W8", 4), (CROWD, 1), (PLUGGING, 2)], ids=str)
@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_it_finds_nothing_under_the_second_policy(
    workload: str | Workload, cpus: int, clock: str, boot: Booter
) -> None:
    options = {"clock": clock, "workload": workload, "policy": "veridian", **PATIENT}
    run = boot(cpus=cpus, checked=True, **options)
    assert run.passed, run.verdict


def test_only_the_checked_guest_looks(boot: Booter, variants: Variants) -> None:
    # The bit stays set, nobody else notices: the list's next task is picked by luck.
    breach = BREACHES[0]
    image = variants.build("S1 unchecked", [breach.change])
    run = boot(image, breach.cpus, workload=breach.workload, **PATIENT)
    assert "found by the guest" not in run.verdict.reason
