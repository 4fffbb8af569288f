"""Damaged copies of the guest's functions: one instruction each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capstone import CS_ARCH_X86, CS_MODE_64, Cs

from harness.toolchain.image import Image

SOURCES = Path(__file__).parents[2] / "guest" / "sched"
FILES = ("bitmap", "array", "prio", "load", "info", "busiest", "move")
_FUNCTION = re.compile(r"^(?:PUBLIC|PRIVATE) (\w+)$", re.MULTILINE)
_RIP = re.compile(r"\[rip [+-] \w+\]")
"""Where something is differs from build to build."""
_TWO_BYTE = 0x0F
NOP = b"\x90"
_LEFT_ALONE = frozenset({"call", "jmp", "ret", "push", "pop"})
_FRAME = frozenset({"mov rbp, rsp", "lea rsp, [rsp + 0x30]", "lea rsp, [rsp + 0x28]"})


EQUIVALENT = {
    ("find_busiest_group", "'test rax, rax' removed"): "the last flags of search_imbalance fit",
    ("search_gains_power", "'cmp r10, r11' removed"): "with 128 here nothing can be gained",
    ("search_gains_power", "'xor edx, edx' removed"): "a remainder, and what it makes is capped",
    ("set_cpus_allowed", "'sub rsp, 0x40' off by one"): "a byte more of stack",
    ("migration_start_threads", "'sub rsp, 0x10' off by one"): "a byte more of stack",
    ("migration_thread", "'mov rdi, rbx' removed"): "rq_lock keeps rdi",
    ("migrate_locked", "'mov rdi, rbx' removed"): "activate_task ends with it in rdi",
    ("load_balance", "'test rax, rax' removed"): "the last flags of balance_search fit",
    ("load_balance_newidle", "'test rax, rax' removed"): "the last flags of balance_search fit",
    ("balance_ask_to_push", "'mov rdi, r13' removed"): "rq_lock keeps rdi",
    ("domain_publish", "'mov rdi, r12' removed"): "rq_lock keeps rdi",
    ("wake_place", "'test eax, eax' removed"): "the last flags of wake_domain_accepts fit",
    ("wake_domain_accepts", "'mov r8, qword ptr gs:[0x20]' removed"): "its caller has it there",
    ("set_user_nice", "'mov rdi, rbx' removed"): "task_rq_lock and dequeue_task keep it",
    ("set_user_nice", "'mov rsi, r14' removed"): "dequeue_task keeps it",
    ("sched_setscheduler", "'mov rdi, rbx' removed"): "all that is called keeps it",
    ("migration_request", "'lea rdi, [r13 + 0x20]' removed"): "spin_lock keeps it",
    ("migration_complete", "'lea rdi, [rbx + 0x20]' removed"): "spin_lock keeps it",
    ("set_cpus_allowed", "'mov rax, qword ptr [rip]' removed"): "it stays where all are allowed",
    ("set_cpus_allowed", "'lea rsp, [rsp + 0x20]' removed"): "the stack is set at the end",
    ("set_cpus_allowed", "'lea rdi, [rip]' removed"): "spin_lock keeps it, where it unlocks",
    ("do_fork", "'sti' removed"): "a moment for interrupts, none is due",
    ("double_lock_balance", "'mov rdi, r12' removed"): "rq_trylock keeps it",
    ("double_lock_balance", "'mov rdi, rbx' removed"): "nobody asks for what is left there",
    ("double_lock_balance", "'mov rsi, r12' removed"): "nobody asks for what is left there",
    ("hotplug_close", "'mov rsi, rbx' removed"): "double_rq_lock keeps it",
    ("hotplug_drain", "'cmp rax, qword ptr [r13 + 0x10]' removed"): "asked again under the lock",
    ("hotplug_move", "'lea rdi, [rip]' removed"): "spin_lock keeps it, where it unlocks",
    ("hotplug_unlock", "'lea rdi, [rip]' removed"): "its callers have it there",
    ("hotplug_request", "'sub rsp, 0x40' off by one"): "a byte more of stack",
    ("queue_child", "'mov rdi, rbx' removed"): "its caller has it there",
    ("rq_lock", "'mov rdi, qword ptr [rsp]' removed"): "spin_lock keeps it",
    ("sched_exit", "'lea rdi, [rip]' removed"): "spin_lock keeps it, where it unlocks",
    ("task_rq_lock", "'mov rdi, r12' removed"): "rq_lock keeps it",
    ("task_start", "'mov rdi, rbx' removed"): "all that is called keeps it",
    ("wake_up_new_task", "'mov rdi, rbx' removed"): "all that is called keeps it",
    ("wake_up_new_task", "'mov r9, qword ptr [rsp]' removed"): "nothing that is called uses it",
    ("wake_up_new_task", "'mov esi, 0x5f' off by one"): "a bonus of 1 to 10 loses one by 94, too",
    ("wake_up_new_task", "'mov esi, 0x64' off by one"): "a bonus of up to 10 gains none by 101",
    ("push_may_go_on", "'movzx eax, al' removed"): "the rest of it is 0",
    ("sched_exec", "'sub rsp, 0x40' off by one"): "a byte more of stack",
    ("sched_exec", "'lea rsp, [rsp + 0x18]' removed"): "the stack is set at the end",
    ("tick_account", "'mov rdi, r12' removed"): "tick_refill ends with it in rdi",
    ("tick_refill", "'mov rdi, r12' removed"): "its callers have it there",
    ("tick_slice_end", "'mov rdi, r12' removed"): "all that is called keeps it",
    ("sched_yield", "'mov rdi, r12' removed"): "dequeue_task keeps it",
    ("preempt_schedule", "'mov rax, qword ptr gs:[0x10]' removed"): "schedule ends with it there",
    ("schedule_once", "'mov rdi, rbx' removed"): "schedule_account ends with it in rdi",
    ("schedule_credit", "'mov rdi, r14' removed"): "dequeue_task and recalc_task_prio keep it",
    ("schedule_leave", "'mov rdi, r12' removed"): "its caller has it there",
    ("topology_span", "'mov edi, ebx' removed"): "topology_key keeps edi",
    ("domain_panic", "'mov rdi, rax' removed"): "format_unsigned ends with both the same",
    ("domain_level_exists", "'test eax, eax' removed"): "the last flags of topology_differs fit",
    ("group_ring", "'xor r13d, r13d' removed"): "the first group is noted at once",
    ("group_ring", "'mov edi, 0x18' off by one"): "a byte more of memory",
    ("domain_new", "'mov edi, 0x108' off by one"): "a byte more of memory",
    ("group_ring", "'xor edx, edx' removed"): "group_note ends with 0 in it",
    ("group_note", "'mov rdx, qword ptr [rax + 8]' removed"): "its caller has just stored it",
    ("group_note", "'test rdx, rdx' removed"): "the last CPU is noted twice",
    ("move_tasks", "'mov esi, 0x8c' off by one"): "find_next_bit does not clamp to the size",
}
"""Damage that changes nothing, or nothing that a border of these cases shows, and why."""


@dataclass(frozen=True)
class Mutant:
    """Some bytes of a function replaced."""

    function: str
    offset: int
    """Of the instruction, in the function."""
    words: str
    """What became of it."""
    address: int
    code: bytes

    def __str__(self) -> str:
        return f"{self.function}+{self.offset:#x}: {self.words}"


def leaf_functions() -> list[str]:
    """Every function of the files in question, in their order."""
    return [
        name
        for file in FILES
        for name in _FUNCTION.findall((SOURCES / f"{file}.s").read_text(encoding="ascii"))
    ]


def mutants(image: Image, function: str) -> Iterator[Mutant]:
    """Every instruction damaged: its condition inverted, else the lowest bit of its constant
    flipped, else the instruction removed. Frames, calls, jumps and race points are left alone."""
    disassembler = Cs(CS_ARCH_X86, CS_MODE_64)
    disassembler.detail = True
    symbol, asks = image.symbol(function), image.address("param_race")
    at_race_point = False
    for insn in disassembler.disasm(image.read(symbol.address, symbol.size), symbol.address):
        text = f"{insn.mnemonic} {insn.op_str}".rstrip()
        behind, at_race_point = at_race_point, insn.address + insn.size + insn.disp == asks
        if insn.mnemonic in _LEFT_ALONE or text in _FRAME or at_race_point or behind:
            continue
        what, at, code = _damage(insn)
        offset = insn.address - symbol.address
        words = f"'{_RIP.sub('[rip]', text)}' {what}"
        if (function, words) not in EQUIVALENT:
            yield Mutant(function, offset, words, insn.address + at, code)


def _damage(insn: Any) -> tuple[str, int, bytes]:
    at = _condition(insn.bytes)
    if at is not None:
        return "inverted", at, bytes([insn.bytes[at] ^ 1])
    at = insn.encoding.imm_offset
    if at:
        return "off by one", at, bytes([insn.bytes[at] ^ 1])
    return "removed", 0, NOP * insn.size


def _condition(code: bytes) -> int | None:
    """Where in a jcc, setcc or cmovcc the condition is: inverted by the lowest bit of a byte."""
    at = 1 if 0x40 <= code[0] <= 0x4F and len(code) > 1 else 0  # behind REX
    if code[at] >> 4 == 7:
        return at
    if code[at] == _TWO_BYTE and code[at + 1] >> 4 in (4, 8, 9):
        return at + 1
    return None
