"""Race points stand at every operation on a lock and at every read of what others write.

`UNLOCKED` is what its writers change without any lock that a reader could hold, so that each read
must have a point right before it. Everything else that is read without its lock is named, function
by function, in `POINTS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.toolchain.image import Image
from harness.toolchain.lexer import strip_comments

GUEST = Path(__file__).parents[2] / "guest"
ROOMS = ("sched", "veridian", "task", "cpu")

UNLOCKED = re.compile(
    r"\[rip \+ jiffies\]|\[rip \+ online_cpus\]|task\.need_resched\]|runqueue\.cpu_load\]"
    r"|runqueue\.timestamp_last_tick\]|percpu\.call_function\]|percpu\.ping_time\]"
)
OWN = {
    "task_reap": "the boot CPU alone counts jiffies, and asks here",
    "workload_done": "the boot CPU asks",
    "timer_interrupt": "the boot CPU counts",
    "sched_domains_init": "the boot CPU asks",
    "schedstat_print": "the monitor shows numbers; nothing is decided",
    "update_cpu_load": "its own CPU's figure",
    "cpu_info_init": "CPUs start one after the other",
    "veridian_cpu_down": "under hotplug_lock, for the log",
    "veridian_cpu_up": "under hotplug_lock, for the log",
    "hotplug_leave": "under hotplug_lock and the cpu_info's",
    "hotplug_enter": "what it has just written, for the log",
}
"""Functions that read their own CPU's, or decide nothing by what they read."""
OWN_QUEUE = {
    "wake_place": "r8",
    "activate_task": "r8",
    "wake_up_new_task": "r15",
    "migrate_to": "r13",
}
"""The register that has the calling CPU's run queue, where a function reads another's besides."""

POINTS = {
    # Locks, and what tells another CPU to look.
    "spin_lock": 1, "spin_trylock": 1, "spin_unlock": 1, "ipi_send": 1,
    "resched_task": 1, "kick_current": 1,
    # Whose queue a task is in: before its lock is asked for, and the second look.
    "task_rq_lock": 2, "task_info_lock": 2, "lock_with_ours": 2,
    # Asked to reschedule, or to do something.
    "schedule": 1, "veridian_schedule": 1, "interrupt_entry": 2, "idle_turn": 2, "do_fork": 1,
    "interpreter_run": 1, "ipi_run_mailbox": 1, "ipi_call_wait": 1,
    # Loads, clocks and current tasks of other CPUs.
    "read_load": 2, "wake_place": 3, "idle_mask": 2, "activate_task": 2, "move_begin": 2,
    "cpu_and_siblings_are_idle": 1, "balance_search": 1, "balance_take": 1, "update_cpu_load": 1,
    "push_to": 1, "migrate_to": 1, "wake_up_new_task": 2, "hotplug_log": 2,
    "load_read": 2, "find_least_loaded": 1, "find_victim": 1, "find_imbalance": 2,
    "balance_tick": 1, "pick_steal": 2,
    # Tasks and CPUs that may change or go.
    "set_user_nice": 2, "veridian_set_nice": 2, "hotplug_drain": 2,
    "fallback_cpu": 2, "task_check_unused": 1, "task_reap": 1, "workload_done": 2,
    "schedule_pass": 1, "veridian_set_cpus": 2, "veridian_cpu_up": 1,
    "hotplug_join": 1, "fifo_tick": 1, "ipi_measure": 2,
}  # fmt: skip
"""Points that each function has."""


def functions() -> Iterator[tuple[str, list[str]]]:
    """Every function's instructions and macro uses; labels and blanks are left out."""
    for room in ROOMS:
        for path in sorted((GUEST / room).glob("*.s")):
            text = strip_comments(path.read_text(encoding="utf-8"))
            for match in re.finditer(r"^(?:PUBLIC|PRIVATE) (\w+)$(.*?)^END \1$", text, re.M | re.S):
                lines = [" ".join(line.split()) for line in match[2].split("\n")]
                yield match[1], [line for line in lines if line and not line.endswith(":")]


def reads(line: str) -> bool:
    """Whether an instruction or an event reads what `UNLOCKED` names, rather than writes it."""
    if not UNLOCKED.search(line):
        return False
    mnemonic, _, operands = line.partition(" ")
    return mnemonic != "mov" or not UNLOCKED.search(operands.partition(",")[0])


def without_point(body: list[str], own: str = "-") -> list[str]:
    """Reads that have no point right before them, but for what loads an operand of theirs. `own`
    is a register as `OWN_QUEUE` has it."""
    return [
        line
        for number, line in enumerate(body)
        if reads(line)
        and f"[{own} +" not in line
        and "RACE_POINT" not in body[max(number - 2, 0) : number]
    ]


def test_every_unlocked_read_has_a_point() -> None:
    bare = {
        name: lines
        for name, body in functions()
        if name not in OWN and (lines := without_point(body, OWN_QUEUE.get(name, "-")))
    }
    assert not bare


def test_a_read_without_a_point_is_noticed() -> None:
    bodies = dict(functions())
    for name in ("schedule", "activate_task", "find_imbalance", "ipi_run_mailbox"):
        assert without_point([line for line in bodies[name] if line != "RACE_POINT"]), name


def test_who_is_excused_still_reads() -> None:
    bodies = dict(functions())
    assert [name for name in OWN if not any(UNLOCKED.search(line) for line in bodies[name])] == []


@pytest.mark.parametrize("name", POINTS)
def test_a_function_has_its_points(image: Image, name: str) -> None:
    """In the machine code, so that a macro that became empty would be seen: one compare each."""
    symbol, asks = image.symbol(name), image.address("param_race")
    code = image.read(symbol.address, symbol.size)
    compares = [
        at
        for at in range(len(code) - 6)
        if code[at : at + 2] == b"\x83\x3d"  # cmp dword ptr [rip + n], imm8
        and int.from_bytes(code[at + 2 : at + 6], "little", signed=True)
        == asks - (symbol.address + at + 7)
        and code[at + 6] == 0
    ]
    assert len(compares) == POINTS[name]
