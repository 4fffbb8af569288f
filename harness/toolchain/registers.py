"""The register names of x86 and what the front end must know of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Register:
    """`kind`: gpr, seg, ip, or other; `bits`: width, 0 where it does not matter."""

    name: str
    kind: str
    bits: int

    @property
    def is_stack_pointer(self) -> bool:
        """Whether it can be no index register."""
        return self.name in ("rsp", "esp")


def _table() -> dict[str, Register]:
    table: dict[str, Register] = {}

    def add(names: str, kind: str, bits: int) -> None:
        for name in names.split():
            table[name] = Register(name, kind, bits)

    add("al ah bl bh cl ch dl dh spl bpl sil dil", "gpr", 8)
    add("ax bx cx dx sp bp si di", "gpr", 16)
    add("eax ebx ecx edx esp ebp esi edi", "gpr", 32)
    add("rax rbx rcx rdx rsp rbp rsi rdi", "gpr", 64)
    for number in range(8, 16):
        for suffix, bits in (("b", 8), ("w", 16), ("d", 32), ("", 64)):
            add(f"r{number}{suffix}", "gpr", bits)
    add("es cs ss ds fs gs", "seg", 16)
    add("rip eip", "ip", 0)
    add(" ".join(f"cr{n} dr{n}" for n in range(16)), "other", 0)
    add(" ".join(f"xmm{n} ymm{n}" for n in range(16)), "other", 0)
    add(" ".join(f"mm{n} st{n} k{n}" for n in range(8)) + " st", "other", 0)
    return table


REGISTERS = _table()
SEGMENTS = {name for name, register in REGISTERS.items() if register.kind == "seg"}
