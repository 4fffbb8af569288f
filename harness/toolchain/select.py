"""From a parsed statement to what Keystone is asked, with its errors worked around.

Every way in which Keystone 0.9.2 and GNU as disagree about the statements that the dialect allows
is handled in this file, so this is the list:

* Numbers: bare decimals are read as hexadecimal, so Keystone only ever sees 0x literals.
* Absolute addresses in 64-bit code come out relative to rip or as `movabs`. They are encoded as
  [rsp + disp32]; then ModRM and SIB are patched to "no base, no index".
* Segment overrides and lock/rep prefixes never reach Keystone; they are put before its bytes in
  the order of GNU as (segment, address size, operand size, lock or repeat). GNU as leaves out
  an override that names the default segment of the address, so it is left out here too.
* `[rcx + rsp]` is encoded without rsp: base and index are ordered before (operands.py).
* In 16-bit code returns, near calls and jumps come out 32 bits wide: AT&T
  syntax with a size suffix is used, or the operand-size prefix is dropped (`near_form`).
* `[bp + di]` gets a displacement of zero in 16-bit code, which is taken out again.
* `iret`, `pushf`, `popf`, `mov ds, ax`, `mov [x], ds`, pushes of segment registers and (32-bit)
  `lgdt` and its kin get a needless 0x66: other names, AT&T suffixes, or it is dropped.
* `movsd` without operands, `lret`, `lretq`, `sysretq`, `movsx r64, r/m32`, `jmp fword ptr` and
  `pop [x]` are unknown to it under these names.
* `push 0xffff` is encoded as a push of -1: numbers are pushed in AT&T syntax with a size suffix.
* Far jumps `selector:offset` in 32-bit code get a 16-bit offset: encoded in its 64-bit mode.
* `int 3` becomes `int3`, and `xchg rax, rax` becomes `nop`, as GNU as chooses.
* `nop` with an operand is encoded as something else: refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from harness.toolchain.errors import AsmError, Line
from harness.toolchain.expression import Node
from harness.toolchain.lexer import MASK64
from harness.toolchain.mnemonics import (
    IMM8,
    LOCKABLE,
    PREFIXES,
    SEGMENT_BYTES,
    SHIFTS,
    SIZED,
    STRINGS,
)
from harness.toolchain.objects import Code, Field
from harness.toolchain.operands import SIZES, Far, Immediate, Memory, Operand
from harness.toolchain.registers import REGISTERS, Register

# Stand-ins for values that are not known yet: wide enough to force the full-size field.
_DISPLACEMENTS = {16: 0x7A5B, 32: 0x7A5B3C1D}
_IMMEDIATES = {8: 0x5D, 16: 0x5C3D, 32: 0x6B4C2D1E, 64: 0x6B4C2D1E5A3B1C0D}

_PLAIN: dict[int, dict[str, tuple[str, bool]]] = {  # mnemonic -> (text, AT&T syntax)
    64: {
        "iret": ("iretd", False), "pushf": ("pushfq", False), "popf": ("popfq", False),
        "lret": ("retf", False), "lretq": ("retfq", False), "sysretq": ("sysret", False),
        "movsd": ("movsl", True),
    },
    32: {
        "iret": ("iretl", True), "pushf": ("pushfl", True), "popf": ("popfl", True),
        "lret": ("retf", False), "movsd": ("movsl", True),
    },
    16: {
        "ret": ("retw", True), "retf": ("lretw", True), "lret": ("lretw", True),
        "movsd": ("movsl", True),
    },
}  # fmt: skip


@dataclass(slots=True)
class Expected:
    """What the encoding, read back, must contain."""

    registers: list[str] = field(default_factory=list)
    memory: Memory | None = None
    absolute: bool = False
    immediates: list[tuple[int, int]] = field(default_factory=list)  # value, column
    drop_prefix: bool = False
    drop_zero_disp: bool = False
    patched: bool = False


def take_prefixes(words: list[str], line: Line, column: int) -> bytes:
    """The bytes of the prefix words before a mnemonic."""
    out = bytearray()
    for word in words:
        byte = PREFIXES[word]
        if byte in out:
            raise AsmError(f"prefix '{word}' repeats one of its group", line, column)
        out.append(byte)
    return bytes(out)


class Selection:
    """One statement on its way to a Code item."""

    def __init__(
        self,
        mnemonic: str,
        operands: list[Operand],
        bits: int,
        prefix: bytes,
        line: Line,
        column: int,
    ) -> None:
        self.mnemonic = mnemonic
        self.operands = operands
        self.bits = bits
        self.prefix = prefix
        self.line = line
        self.column = column
        self.fields: list[Field] = []
        self.expected = Expected()
        self.att = False

    def code(self) -> Code:
        """The item to encode. Raises AsmError for what no encoding should be asked of."""
        self._check_prefix()
        self._check_sizes()
        self._rename()
        mode = self.bits
        texts = [self._text(operand) for operand in self.operands]
        if self.att:
            text = self.mnemonic + (" " + ", ".join(texts) if texts else "")
            mode = -mode
        elif any(isinstance(operand, Far) for operand in self.operands):
            text, mode = f"ljmp {texts[0]}", 64 if self.bits == 32 else 16
        else:
            text = self.mnemonic + (" " + ", ".join(texts) if texts else "")
        return Code((mode, text), self.line, self.fields, self.prefix, None, self.expected)

    def _check_prefix(self) -> None:
        if not self.prefix:
            return
        memory = self.operands and isinstance(self.operands[0], Memory)
        if self.mnemonic == "xchg":
            memory = any(isinstance(operand, Memory) for operand in self.operands)
        if 0xF0 in self.prefix and not (self.mnemonic in LOCKABLE and memory):
            hint = "lock goes with a read-modify-write of memory"
            raise AsmError(f"'{self.mnemonic}' cannot be locked here", self.line, -1, hint)
        repeats = 0xF2 in self.prefix or 0xF3 in self.prefix
        if repeats and (self.mnemonic not in STRINGS or self.operands):
            hint = "repeat prefixes go with movsb, stosq, cmpsb, ... without operands"
            raise AsmError(f"'{self.mnemonic}' cannot be repeated", self.line, -1, hint)

    def _check_sizes(self) -> None:
        if self.mnemonic == "nop" and self.operands:
            raise AsmError("'nop' takes no operand here", self.line, self.column, "use .balign")
        if self.mnemonic not in SIZED:
            return
        others = [o for o in self.operands if not isinstance(o, Memory)]
        for operand in self.operands:
            if not isinstance(operand, Memory) or operand.size:
                continue
            sized = any(isinstance(other, Register) for other in others)
            if self.mnemonic in SHIFTS or self.mnemonic in ("movzx", "movsx"):
                sized = False
            if self.mnemonic.startswith("cvtsi") or not sized:
                raise AsmError(
                    f"how many bytes does '{self.mnemonic}' access?", self.line, operand.column,
                    "write byte ptr, word ptr, dword ptr or qword ptr before the address",
                )  # fmt: skip

    def _rename(self) -> None:
        name, operands, bits = self.mnemonic, self.operands, self.bits
        if not operands or (bits == 16 and name in ("ret", "retf", "lret")):
            replacement = _PLAIN[bits].get(name)
            if replacement:
                self.mnemonic, self.att = replacement
            if not operands or not self.att:
                return
            operands[0] = replace(operands[0])
        first = operands[0]
        if name in ("jmp", "call") and isinstance(first, Memory) and first.size in ("fword", "far"):
            self.mnemonic = "l" + name
            operands[0] = replace(first, size="")
            if bits == 16 and first.size == "fword":
                self.prefix += b"\x66"
        elif name in ("jmp", "call") and isinstance(first, Memory) and bits == 16:
            if first.size == "dword":
                hint = "GNU as takes dword ptr for a far pointer in 16-bit code"
                raise AsmError("which kind of jump is this?", self.line, first.column, hint)
        elif name == "pop" and isinstance(first, Memory) and not first.size:
            operands[0] = replace(first, size={64: "qword", 32: "dword", 16: "word"}[bits])
        elif name == "movsx" and len(operands) == 2 and self._bits(operands[1]) == 32:
            self.mnemonic = "movsxd"
        elif name == "int" and isinstance(first, Immediate) and first.node == 3:
            self.mnemonic, self.operands = "int3", []
        elif name == "xchg" and operands == [REGISTERS[{64: "rax", 32: "eax", 16: "ax"}[bits]]] * 2:
            self.mnemonic, self.operands = "nop", []
        elif name in ("ljmp", "lcall") and len(operands) == 2:
            self._far_pair()
        elif name == "push" and isinstance(first, Immediate):
            self._rename_push(first)
        elif name in ("lgdt", "lidt", "sgdt", "sidt") and bits == 32:
            self.expected.drop_prefix = True
        else:
            self._rename_segment_moves()

    def _rename_push(self, number: Immediate) -> None:
        self.mnemonic, self.att = {64: "pushq", 32: "pushl", 16: "pushw"}[self.bits], True
        node = number.node
        if self.bits != 64 and isinstance(node, int):
            half = 1 << (self.bits - 1)
            if half <= node < 2 * half:  # the sign that Keystone would miss
                self.operands = [replace(number, node=node - 2 * half)]

    def _far_pair(self) -> None:
        selector, offset = self.operands
        if not isinstance(selector, Immediate) or not isinstance(offset, Immediate):
            raise AsmError("a far jump is selector:offset", self.line, self.column)
        self.operands = [Far(selector.node, offset.node, selector.column)]

    def _rename_segment_moves(self) -> None:
        name, operands, bits = self.mnemonic, self.operands, self.bits
        segment = [isinstance(o, Register) and o.kind == "seg" for o in operands]
        if name in ("push", "pop") and segment == [True]:
            self.expected.drop_prefix = bits != 64
        elif name == "mov" and len(operands) == 2 and any(segment):
            other = operands[0] if segment[1] else operands[1]
            if isinstance(other, Memory):
                self.expected.drop_prefix = bits != 16
            elif isinstance(other, Register) and other.kind == "gpr":
                natural = {64: 32, 32: 32, 16: 16}[bits]
                narrow = segment[1] and other.bits == 16  # mov ax, ds keeps its size
                keep = narrow or (segment[1] and bits == 16)
                if other.bits not in (8, natural) and not keep:
                    self._replace(other, natural)
        elif name == "str" and isinstance(operands[0], Register) and operands[0].bits == 64:
            self._replace(operands[0], 32)

    def _replace(self, old: Register, bits: int) -> None:
        """Names the same register in another width."""
        if old.name[1].isdigit():
            new = old.name.rstrip("wd") + {16: "w", 32: "d", 64: ""}[bits]
        else:
            core = old.name if old.bits == 16 else old.name[1:]
            new = {16: "", 32: "e", 64: "r"}[bits] + core
        self.operands = [REGISTERS[new] if o is old else o for o in self.operands]

    def _bits(self, operand: Operand) -> int:
        if isinstance(operand, Register):
            return operand.bits
        if isinstance(operand, Memory):
            return SIZES.get(operand.size, 0)
        return 0

    def _operand_bits(self) -> int:
        """Width of an immediate of this statement, as encoded."""
        if self.mnemonic == "movabs":
            return 64
        if self.mnemonic in IMM8:
            return 8
        if self.mnemonic in ("ret", "retf", "lret", "enter", "retw", "lretw"):
            return 16
        if self.mnemonic.startswith("push"):
            return 16 if self.bits == 16 else 32
        return min(self._width(), 32)

    def _text(self, operand: Operand) -> str:
        if isinstance(operand, Register):
            self.expected.registers.append(operand.name)
            return operand.name
        if isinstance(operand, Memory):
            return self._memory(operand)
        if isinstance(operand, Immediate):
            text = self._immediate(operand)
            return "$" + text if self.att else text
        return self._far(operand)

    def _immediate(self, operand: Immediate) -> str:
        node = operand.node
        if isinstance(node, int):
            self._check_range(node, operand.column)
            self.expected.immediates.append((node, operand.column))
            return hexadecimal(node)
        if not operand.address:
            raise AsmError(
                "this is not a constant yet, and GNU as would read memory here", self.line,
                operand.column,
                "write 'offset x' for an address, '[x]' for memory; define constants earlier",
            )  # fmt: skip
        bits = self._operand_bits()
        wide = bits == 32 and (self._width() == 64 or self.mnemonic == "pushq")
        return hex(self._open("imm", node, operand.column, bits, wide))

    def _check_range(self, value: int, column: int) -> None:
        if self.mnemonic == "movabs" or (self.mnemonic == "mov" and self._register_target()):
            return  # all of 64 bits
        bits = self._operand_bits()
        extended = bits == 32 and (self._width() == 64 or self.mnemonic == "pushq")
        low, high = -(1 << (bits - 1)), 1 << (bits - 1 if extended else bits)
        if not low <= value < high:
            hint = "use a wider operand or a smaller number"
            if extended:
                hint = "the CPU extends 32 bits by their sign; mov it to a register first"
            message = f"{value:#x} does not fit in {bits} bits"
            raise AsmError(message, self.line, column, hint)

    def _register_target(self) -> bool:
        target = self.operands[0]
        return isinstance(target, Register) and target.bits == 64

    def _open(self, role: str, node: Node, column: int, bits: int, wide: bool = False) -> int:
        """Leaves a field open; returns what to encode there meanwhile."""
        table = _IMMEDIATES if role in ("imm", "far") else _DISPLACEMENTS
        self.fields.append(Field(role, node, column, table[bits], bits // 8, wide))
        return table[bits]

    def _width(self) -> int:
        widths = [w for o in self.operands if (w := self._bits(o))]
        return widths[0] if widths else 32

    def _far(self, operand: Far) -> str:
        if self.bits == 64:
            hint = "use a far return or jmp fword ptr [...]"
            raise AsmError("64-bit code has no direct far jump", self.line, operand.column, hint)
        if self.mnemonic not in ("ljmp", "jmp"):
            raise AsmError("only jmp and ljmp take selector:offset", self.line, operand.column)
        if not isinstance(operand.selector, int) or not 0 <= operand.selector < 1 << 16:
            raise AsmError("the selector must be a 16-bit constant", self.line, operand.column)
        self.expected.patched = True
        stand_in = self._open("far", operand.offset, operand.column, self.bits)
        return f"{operand.selector:#x}:{stand_in:#x}"

    def _memory(self, operand: Memory) -> str:
        self.expected.memory = operand
        self._segment(operand)
        bits = operand.address_bits or self.bits
        if operand.base is not None and operand.base.kind == "ip":
            return self._sized(operand, self._rip(operand))
        if bits == 16 and self.bits == 64:
            raise AsmError("64-bit code has no 16-bit addresses", self.line, operand.column)
        disp = operand.disp
        parts = [operand.base.name] if operand.base else []
        if operand.index:
            parts.append(
                f"{operand.index.name}*{operand.scale}" if bits != 16 else operand.index.name
            )
        if isinstance(disp, int):
            disp = self._checked(disp, bits, operand)
        self._keep_bare(operand, bits, disp)
        # A narrow lea cuts the address off, so GNU as lets the linker use all 32 bits.
        wide = self.mnemonic != "lea" or self._width() == 64
        if not parts and self.bits == 64 and self.mnemonic != "movabs":
            self.expected.absolute = True
            stand_in = self._open("disp", disp, operand.column, 32, wide)
            return self._sized(operand, f"rsp+{stand_in:#x}")
        if not parts and self.mnemonic == "movabs" and not isinstance(disp, int):
            raise AsmError("movabs takes a constant address", self.line, operand.column)
        if not isinstance(disp, int):
            disp = self._open("disp", disp, operand.column, min(bits, 32), bits == 64 and wide)
        text = "+".join(parts)
        if disp or not parts:
            text += hexadecimal(disp) if disp < 0 or not parts else "+" + hexadecimal(disp)
        return self._sized(operand, text)

    def _keep_bare(self, operand: Memory, bits: int, disp: Node) -> None:
        base = operand.base.name if operand.base else ""
        if bits == 16 and base == "bp" and operand.index and disp == 0 and isinstance(disp, int):
            self.expected.drop_zero_disp = True

    def _rip(self, operand: Memory) -> str:
        if self.bits != 64:
            raise AsmError("rip exists in 64-bit code only", self.line, operand.column)
        if isinstance(operand.disp, int):
            disp = self._checked(operand.disp, 64, operand)
            return f"rip{'+' if disp >= 0 else ''}{hexadecimal(disp)}"
        return f"rip+{self._open('pc', operand.disp, operand.column, 32):#x}"

    def _sized(self, operand: Memory, address: str) -> str:
        return f"{operand.size} ptr [{address}]" if operand.size else f"[{address}]"

    def _segment(self, operand: Memory) -> None:
        if not operand.segment:
            return
        base = operand.base.name if operand.base else ""
        default = "ss" if base in ("rbp", "rsp", "ebp", "esp", "bp") else "ds"
        if operand.segment != default:
            self.prefix += bytes([SEGMENT_BYTES[operand.segment]])

    def _checked(self, disp: int, bits: int, operand: Memory) -> int:
        if bits == 64 and self.mnemonic == "movabs":
            return disp
        high = {64: 1 << 31, 32: 1 << 32, 16: 1 << 16}[bits]
        low = -(1 << 31) if bits != 16 else -(1 << 15)
        if not low <= disp < high:
            raise AsmError(
                f"displacement {disp:#x} does not fit", self.line, operand.column,
                "put the address in a register",
            )  # fmt: skip
        half = 1 << (15 if bits == 16 else 31)
        return disp - 2 * half if disp >= half else disp


def hexadecimal(value: int) -> str:
    """A number as Keystone reads it without doubt."""
    if -(1 << 31) <= value < 0:
        return f"-{-value:#x}"
    return hex(value & MASK64)
