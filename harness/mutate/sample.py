"""The classic mistakes of an O(1) scheduler, each as a patch of the guest.

The names are those of the fact sheet's part E; a letter behind one marks a variant. The rules are
those that its table expects. What cannot be made here says why:

* M21 (halting without looking again) loses no wake-up in this guest: leaving an interrupt always
  reschedules, the idle task too. ``M21`` therefore takes that away as well.
* E3 to E6 and E9, E10, the nearly equivalent ones, are none here: the replay sees each of them,
  because the guest logs what it reads and does.
"""

from __future__ import annotations

import re

from harness.mutate.mutant import Mutant
from harness.mutate.patch import Entry, Patch
from harness.mutate.sample_balance import BALANCE
from harness.mutate.tree import Tree

SAMPLE: tuple[Entry, ...] = (
    Entry(
        "M01",
        "dequeue never clears the bit of a list that it empties",
        ("S1",),
        (Patch("sched/array.s", "dequeue_task",
               ("btr qword ptr [rsi + prio_array.bitmap], rax",)),),
    ),
    Entry(
        "M03",
        "enqueue does not set the bit",
        ("S1", "P9"),
        (Patch("sched/array.s", "array_link",
               ("bts qword ptr [rsi + prio_array.bitmap], rax",)),),
    ),
    Entry(
        "M05",
        "dequeue does not count nr_active down",
        ("S3", "S4", "P2"),
        (Patch("sched/array.s", "dequeue_task",
               ("dec qword ptr [rsi + prio_array.nr_active]",)),),
    ),
    Entry(
        "M06",
        "the delimiter of the bitmap is not set",
        ("S2",),
        (Patch("sched/array.s", "prio_array_init",
               ("mov qword ptr [rdi + prio_array.bitmap + 16], 1 << (MAX_PRIO - 128)",),
               ("mov qword ptr [rdi + prio_array.bitmap + 16], 0",)),),
    ),
    Entry(
        "M07",
        "the bit search counts 32 bits for its second word",
        ("P1",),
        (Patch("sched/bitmap.s", "sched_find_first_bit",
               ("add eax, BITS_PER_LONG",), ("add eax, BITS_PER_LONG / 2",)),),
    ),
    Entry(
        "M07b",
        "the bit search does not look at the second word",
        ("P1",),
        (Patch("sched/bitmap.s", "sched_find_first_bit",
               ("jz .second", "ret"), ("jz .third", "ret")),),
    ),
    Entry(
        "M09",
        "the next task is taken from the tail of its list",
        ("P1", "P17"),
        (Patch("sched/core.s", "schedule_pick",
               ("mov r14, qword ptr [rax + prio_array.queue + LIST_NEXT]",),
               ("mov r14, qword ptr [rax + prio_array.queue + LIST_PREV]",)),),
    ),
    Entry(
        "M09b",
        "a task is enqueued at the head of its list",
        ("P1", "P17"),
        (Patch("sched/array.s", "enqueue_task_at",
               ("lea rcx, [rsi + rcx + prio_array.queue]", "call array_link"),
               ("mov rcx, qword ptr [rsi + rcx + prio_array.queue + LIST_NEXT]",
                "call array_link")),),
    ),
    Entry(
        "M10",
        "the arrays change places as soon as a task has expired",
        ("P2", "P9"),
        (Patch("sched/core.s", "schedule_pick",
               ("cmp qword ptr [rax + prio_array.nr_active], 0", "je .swap"),
               ("mov rcx, qword ptr [rbx + runqueue.expired]",
                "cmp qword ptr [rcx + prio_array.nr_active], 0", "jne .swap")),),
    ),
    Entry(
        "M13",
        "a task that goes to sleep stays queued",
        ("S6", "C2"),
        (Patch("sched/core.s", "schedule_once", ("call schedule_leave",)),),
    ),
    Entry(
        "M14",
        "the first run of a new task does not release the lock",
        ("K6", "K7", "K3"),
        (Patch("task/task.s", "task_begin", ("POLICY finish",)),),
    ),
    Entry(
        "M16",
        "a slice that ended always goes back to the active array",
        ("P10", "P9"),
        (Patch("sched/tick.s", "tick_slice_end",
               ("test r13d, r13d", "jz .expire", "test r15d, r15d", "jnz .expire")),),
    ),
    Entry(
        "M17",
        "a slice that ended is not filled again",
        ("S10", "P10"),
        (Patch("sched/tick.s", "tick_refill",
               ("mov dword ptr [r12 + task.time_slice], eax",)),),
    ),
    Entry(
        "M18",
        "nice 0 counts as negative nice: a slice of 400 ms",
        ("P10",),
        (Patch("sched/prio.s", "task_timeslice", ("jae .scale",), ("ja .scale",)),),
    ),
    Entry(
        "M18b",
        "DELTA rounds down instead of truncating: nice -1 has 1, not 2",
        ("P10",),
        (Patch("sched/prio.s", "task_delta",
               ("idiv ecx",), ("idiv ecx", "sar edx, 31", "add eax, edx")),),
    ),
    Entry(
        "M21",
        "the idle loop halts without looking again, and no interrupt makes up for it",
        ("P8",),
        (Patch("task/idle.s", "idle_turn",
               ("cmp dword ptr [rax + task.need_resched], 0", "jne .schedule"),
               ("cmp dword ptr [rax + task.need_resched], 0", "jne .schedule",
                "sti", "pause")),
         Patch("cpu/idt.s", "interrupt_entry",
               ("cmp dword ptr [rax + task.need_resched], 0",),
               ("cmp rax, gs:[percpu.idle]", "je .return",
                "cmp dword ptr [rax + task.need_resched], 0"))),
    ),
    Entry(
        "M22",
        "no EOI for an interrupt to reschedule",
        ("P15", "P8", "T5"),
        (Patch("cpu/ipi.s", "ipi_reschedule", ("call lapic_eoi",)),),
    ),
    Entry(
        "M22b",
        "no EOI for the timer's interrupt",
        ("P15", "P8", "T5"),
        (Patch("cpu/timer.s", "timer_interrupt", ("call lapic_eoi",)),),
    ),
    Entry(
        "M25",
        "a wake-up does not ask whether the task is queued already",
        ("S7", "S8"),
        (Patch("sched/wake.s", "wake_settle",
               ("cmp qword ptr [rbx + task.array], 0", "je .asleep",
                "mov dword ptr [rbx + task.state], TASK_RUNNING", "cmp rbx, rbx", "ret")),),
    ),
    Entry(
        "M27",
        "a wake-up moves a task that another CPU is still leaving",
        ("S9", "S12", "P5"),
        (Patch("sched/wake.s", "try_to_wake_up",
               ("cmp qword ptr [r12 + runqueue.curr], rbx", "je .activate")),),
    ),
)  # fmt: skip


_DEFECT = re.compile(r"^\s*IF_BUG\s+(\d+)\b", re.MULTILINE)


def sample(tree: Tree, policy: str = "o1") -> list[Mutant]:
    """Every mutant of the sample: for ``veridian`` the defects that its guest can re-create.

    Raises MutationError for one that no longer applies.
    """
    if policy == "o1":
        return [entry.mutant(tree) for entry in (*SAMPLE, *BALANCE)]
    texts = [tree.read(file) for file in tree.sources("guest/veridian")]
    numbers = sorted({int(number) for text in texts for number in _DEFECT.findall(text)})
    return [_defect(f"V{number:02}") for number in numbers]


def _defect(name: str) -> Mutant:
    words = f"VeridianOS's defect {name} is there again (bug={name})"
    return Mutant(name, words, (), params=(("bug", name),))
