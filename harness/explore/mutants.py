"""Guests with a race planted: what the tiers and algorithms are measured with.

Each takes away one thing that keeps CPUs from getting into each other's way.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.boot import default_image
from harness.toolchain.build import ROOT, build_image

FOLDER = ROOT / "build" / "explore" / "mutants"
WORKLOADS = Path(__file__).with_name("races")
"""Workloads that lead to one race each, as often as they can."""


@dataclass(frozen=True)
class Race:
    """Texts that are exactly once in a file of the guest, and what stands in their place.

    `scenario` is a situation that can show it, and `workload` the name or file of work that can.
    """

    name: str
    words: str
    file: str
    edits: tuple[tuple[str, str], ...]
    scenario: str
    workload: str

    def apply(self, text: str) -> str:
        """Raises ValueError where the guest has changed so that this is no longer possible."""
        for old, new in self.edits:
            found = text.count(old)
            if found != 1:
                raise ValueError(f"{self.name}: {self.file} has its text {found} times, not once")
            text = text.replace(old, new)
        return text

    def build(self) -> Path:
        """The guest with this race; one is built at a time. Raises BuildError."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        with (FOLDER / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            return self._build()

    def _build(self) -> Path:
        guest = ROOT / "guest"
        default_image()  # makes the generated includes, too
        sources = {str(path.relative_to(guest)): path for path in sorted(guest.rglob("*.s"))}
        changed = FOLDER / self.name / "guest" / self.file
        changed.parent.mkdir(parents=True, exist_ok=True)
        text = self.apply(sources[self.file].read_text(encoding="utf-8"))
        if not changed.exists() or changed.read_text(encoding="utf-8") != text:
            changed.write_text(text, encoding="utf-8")
        sources[self.file] = changed
        built = build_image(
            list(sources.values()),
            FOLDER / "guest.elf",
            linker_script=ROOT / "linker.ld",
            include=[guest / "include", ROOT / "build" / "include"],
            base=Path("/"),
        )
        # Whole or not at all: somebody may boot the one from before.
        copy = Path(shutil.copy(built, FOLDER / f".{self.name}.{os.getpid()}"))
        return copy.replace(FOLDER / f"{self.name}.elf")


_XCHG = "    xchg dword ptr [rdi + task.need_resched], eax   # before the interrupt is sent\n"
_SLEEP = "    mov dword ptr [rax + task.state], TASK_UNINTERRUPTIBLE\n"
_UNLOCK = "    lea rdi, [r13 + migration.lock]\n    call spin_unlock\n"
_TAKE = (
    "    mov eax, LOCK_FREE\n    lock cmpxchg dword ptr [rdi + lock.owner], edx\n    je .taken\n"
)
_SWITCH = "    mov rdi, r12\n    mov rsi, r15\n    call switch_to\n"
_RELEASE = "    mov rdi, gs:[percpu.runqueue]\n    call rq_unlock\n"

RACES: tuple[Race, ...] = (
    Race(
        "wake-twice",
        "a wake-up does not test whether the task is queued already (M25)",
        "sched/wake.s",
        (("    cmp qword ptr [rbx + task.array], 0\n    je .asleep\n", "    jmp .asleep\n"),),
        "waker-blocker",
        "W3",
    ),
    Race(
        "early-release",
        "the run queue is unlocked before the switch: who leaves can run elsewhere too soon (M27)",
        "sched/core.s",
        ((_SWITCH, "    mov rdi, rbx\n    call rq_unlock\n" + _SWITCH), (_RELEASE, "")),
        "waker-blocker",
        str(WORKLOADS / "pull.yaml"),
    ),
    Race(
        "no-second-look",
        "task_rq_lock does not look again whether the task has moved",
        "sched/runqueue.s",
        (("    je .locked\n", "    jmp .locked\n"),),
        "sleeper-affinity",
        "W8",
    ),
    Race(
        "no-second-test",
        "a wake-up that changed locks does not test the task again",
        "sched/wake.s",
        (
            (
                "    call wake_log_moved\n    call wake_settle\n    jz .nothing\n",
                "    call wake_log_moved\n    call wake_settle\n",
            ),
        ),
        "third-waker",
        str(WORKLOADS / "wakers.yaml"),
    ),
    Race(
        "lock-order",
        "double_rq_lock takes the locks in the order of its arguments (M38)",
        "sched/runqueue.s",
        (("    jb .ordered\n", "    jmp .ordered\n"),),
        "double-lock",
        str(WORKLOADS / "tug.yaml"),
    ),
    Race(
        "interrupt-first",
        "the interrupt is sent before need_resched is set",
        "sched/resched.s",
        (
            (
                "    mov eax, 1\n" + _XCHG,
                "    push rdi\n    mov eax, dword ptr [rdi + task.need_resched]\n",
            ),
            (
                "    call ipi_send\n.done:\n",
                "    call ipi_send\n.done:\n    pop rdi\n"
                "    mov dword ptr [rdi + task.need_resched], 1\n",
            ),
        ),
        "tick-wake",
        str(WORKLOADS / "wakers.yaml"),
    ),
    Race(
        "sleep-late",
        "who waits for the migration thread says so after releasing the lock, not before",
        "sched/migrate.s",
        ((_SLEEP + _UNLOCK, _UNLOCK + "    mov rax, gs:[percpu.curr]\n" + _SLEEP),),
        "wake-affinity",
        str(WORKLOADS / "shove.yaml"),
    ),
    Race(
        "torn-lock",
        "a lock is tested and taken in two steps",
        "cpu/lock.s",
        (
            (
                _TAKE,
                "    mov eax, dword ptr [rdi + lock.owner]\n    cmp eax, LOCK_FREE\n"
                "    jne .busy\n    mov dword ptr [rdi + lock.owner], edx\n    jmp .taken\n"
                ".busy:\n",
            ),
        ),
        "two-wakers",
        "W3",
    ),
    Race(
        "no-lock-prefix",
        "cmpxchg without lock: atomic wherever one host thread runs all CPUs",
        "cpu/lock.s",
        ((_TAKE, _TAKE.replace("lock cmpxchg", "cmpxchg")),),
        "two-wakers",
        str(WORKLOADS / "wakers.yaml"),
    ),
)


def race(name: str) -> Race:
    """The race of that name. Raises KeyError."""
    for each in RACES:
        if each.name == name:
            return each
    raise KeyError(name)
