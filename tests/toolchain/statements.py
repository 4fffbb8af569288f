"""Hypothesis strategies for statements that both assemblers must encode alike."""

from __future__ import annotations

import re

from hypothesis import strategies as st


def words(text: str) -> list[str]:
    """The words of `text`."""
    return text.split()


SIZES = {8: "byte", 16: "word", 32: "dword", 64: "qword"}
_REGISTERS = {
    8: "al bl cl dl ah bh ch dh sil dil spl bpl r8b r9b r12b r13b r15b",
    16: "ax bx cx dx si di bp sp r8w r12w r13w r15w",
    32: "eax ebx ecx edx esi edi ebp esp r8d r12d r13d r15d",
    64: "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r12 r13 r15",
}
_OLD_8 = {"al", "bl", "cl", "dl", "ah", "bh", "ch", "dh"}
# Where radix, sign and field width go wrong.
_EDGES = [0, 1, 7, 8, 9, 10, 15, 16, 17, 99, 100, 127, 128, 129, 200, 255, 256, 1000, 0x7FFF,
          0x8000, 0xFFFF, 0x10000, 123456789, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32,
          (1 << 63) - 1, 1 << 63, (1 << 64) - 128, (1 << 64) - 1]  # fmt: skip
_CONDITIONS = words(
    "o no b c nae ae nb nc e z ne nz be na a nbe s ns p pe np po l nge ge nl le ng g nle"
)
_BARE = {
    64: """iretq iret pushfq popfq pushf popf cqo cdqe cdq cwde cbw cwd swapgs syscall retfq retf
    ret lret lretq leave hlt cli sti cld std clc stc cmc cpuid rdtsc rdtscp rdmsr wrmsr pause nop
    ud2 int3 lfence mfence sfence invd wbinvd clts sahf lahf xlatb xgetbv fninit movsd cmpsd""",
    32: """iret iretd pushf popf pushfd popfd pusha popa pushad cdq cwde cbw cwd retf ret lret leave
    hlt cli sti cld std clc stc cmc cpuid rdtsc rdmsr wrmsr pause nop ud2 int3 clts sahf lahf""",
    16: """iret iretd pushf popf pushfd pusha popa pushad cdq cwde cbw cwd retf ret lret leave hlt
    cli sti cld std clc stc cmc cpuid rdtsc rdmsr wrmsr pause nop ud2 int3 clts sahf lahf""",
}
_SINGLE = [
    "ltr ax",
    "lldt cx",
    "in al, dx",
    "in eax, dx",
    "out dx, al",
    "out dx, eax",
    "in al, 0x21",
    "out 0x80, al",
    "int 0x80",
    "int 3",
    "ret 8",
    "enter 16, 0",
    "smsw ax",
    "smsw eax",
    "str cx",
    "str eax",
    "bswap ecx",
    "push fs",
    "pop gs",
    "lmsw ax",
    "rdrand eax",
    "mov ds, ax",
    "mov es, ecx",
    "mov ax, ds",
    "mov edx, ss",
    "mov cx, fs",
]


def spelled(value: int, radix: int) -> str:
    """A number in one of the radices of the dialect."""
    if value < 0:
        return "-" + spelled(-value, radix)
    octal = "0" + oct(value)[2:] if value else "0"
    return [str(value), hex(value), bin(value), octal, hex(value).upper().replace("X", "x")][radix]


radices = st.integers(0, 4)


def numbers(bits: int, signed_fields: bool = False) -> st.SearchStrategy[str]:
    """Numbers that a field of `bits` takes; with `signed_fields` only the sign-extended ones."""
    low = -(1 << (bits - 1))
    high = 1 << (bits - 1 if signed_fields else bits)
    edges = [edge for edge in [*_EDGES, *(-edge for edge in _EDGES)] if low <= edge < high]
    values = st.one_of(st.sampled_from(edges), st.integers(low, high - 1))
    return st.builds(spelled, values, radices)


def registers(bits: int, mode: int) -> st.SearchStrategy[str]:
    """Names of general registers that exist in the mode."""
    names = _REGISTERS[bits].split()
    if mode != 64:
        names = [name for name in names if (name in _OLD_8 if bits == 8 else name[0] != "r")]
    return st.sampled_from(names)


_SYMBOLIC = ["known", "known + 4", "forward", "imported - 8", "CONSTANT", "CONSTANT * 2 + 1"]


@st.composite
def addresses(draw: st.DrawFn, mode: int) -> str:
    """What stands in the brackets of a memory operand."""
    disp = draw(st.one_of(st.sampled_from([0, 1, -1, 8, 16, 127, 128, -128, -129, 255, 256, 4096]),
                          st.integers(-(1 << 15), (1 << 15) - 1)))  # fmt: skip
    sign = "-" if disp < 0 else "+"
    tail = f" {sign} {spelled(abs(disp), draw(radices))}"
    if mode == 16 and draw(st.booleans()):
        names = ["bx", "bp", "si", "di", "bx + si", "bx + di", "bp + si", "bp + di", "si + bx"]
        return draw(st.sampled_from(names)) + tail
    width = draw(st.sampled_from([64, 64, 32])) if mode == 64 else 32
    one, two = draw(registers(width, mode)), draw(registers(width, mode))
    scale = draw(st.sampled_from([1, 2, 4, 8]))
    stack = two in ("rsp", "esp")
    shapes = [one, one + tail]
    if not (stack and one in ("rsp", "esp")):
        shapes.append(f"{one} + {two}")
    if not stack:
        shapes += [f"{one} + {two}*{scale}{tail}", f"{scale}*{two} + {one}"]
        if mode != 16:  # Keystone gets these wrong there; the assembler refuses them
            shapes += [f"{two}*{scale}{tail}", f"{two}*{scale} + forward"]
    if mode == 64:
        shapes += [f"rip{tail}", "rip + known", "rip + forward + 4", "rip + imported"]
    shapes += [*_SYMBOLIC, f"{one} + imported", spelled(abs(disp), draw(radices))]
    return draw(st.sampled_from(shapes))


@st.composite
def memory(draw: st.DrawFn, bits: int, mode: int) -> str:
    """A memory operand; `bits` 0 leaves the size out."""
    size = f"{SIZES[bits]} ptr " if bits else ""
    segment = draw(st.sampled_from(["", "", "", "gs:", "fs:", "ds:", "ss:", "es:", "cs:"]))
    return f"{size}{segment}[{draw(addresses(mode))}]"


# r q: registers of the size, m: memory with its size, n: without, e: register or memory, i: a
# number that fits, c: condition, s: small number, b w d: memory of 1, 2 or 4 bytes, t: target,
# p: register of the word size, W: memory of the word size, k: repeat prefix, x: string size.
_ARITHMETIC = [
    f"{name} {operands}"
    for name in words("add or adc sbb and sub xor cmp mov test")
    for operands in ("{r}, {q}", "{r}, {n}", "{n}, {r}", "{m}, {r}", "{r}, {i}", "{m}, {i}")
]
_ONE = [f"{name} {{e}}" for name in words("inc dec neg not mul div imul idiv")]
_SHIFT = [
    f"{name} {{e}}, {count}"
    for name in words("shl shr sar rol ror rcl rcr sal")
    for count in ("cl", "1", "2", "0x1f", "31", "010")
]
_WIDE = [
    "lea {r}, {n}", "cmov{c} {r}, {e}", "imul {r}, {e}", "imul {r}, {e}, {i}", "bt {e}, {q}",
    "bts {e}, {s}", "shld {e}, {q}, cl", "shrd {e}, {q}, {s}", "bsf {r}, {e}", "popcnt {r}, {e}",
    "tzcnt {r}, {n}", "lock xadd {n}, {r}", "lock cmpxchg {m}, {r}", "lock add {m}, {i}",
    "lock btr {m}, {s}", "xchg {r}, {q}", "xchg {r}, {n}", "xchg {m}, {r}", "movzx {r}, {b}",
    "movsx {r}, {b}",
]  # fmt: skip
_32_AND_64 = ["movzx {r}, {w}", "movsx {r}, {w}", "mov {r}, offset imported",
              "cmp {r}, offset forward", "add {r}, offset known + 4"]  # fmt: skip
_ONLY_64 = ["mov {r}, {I}", "movabs {r}, {I}", "movabs {r}, offset known", "movsx {r}, {d}",
            "movsxd {r}, {d}"]  # fmt: skip
_OTHERS = [
    "j{c} {t}", "jmp {t}", "call {t}", "set{c} {n}", "set{c} {b}", "push {p}", "pop {p}",
    "push {W}", "pop {w}", "push {P}", "call {p}", "jmp {W}", "jmp fword ptr {n}", "lgdt {n}",
    "sidt {n}", "invlpg {n}", "mov {w}, ds", "mov es, {w}", "mov {n}, ss", "fxsave {n}",
    "cmpxchg8b {n}", "{k}movs{x}", "{k}stos{x}", "{k}lods{x}", "{k}scas{x}", "{k}cmps{x}",
    "{k}ins{y}", "{k}outs{y}", *_SINGLE,
]  # fmt: skip
_HIGH = {"ah", "bh", "ch", "dh"}


def _templates(mode: int, bits: int) -> list[str]:
    found = [*_ARITHMETIC, *_ONE, *_SHIFT]
    if bits > 8:
        found += _WIDE * 3
    if bits > 16:
        found += _32_AND_64
    if bits == 64:
        found += _ONLY_64 * 2
    return found + _OTHERS * 2 + _BARE[mode].split()


_TEMPLATES = {
    (mode, bits): _templates(mode, bits)
    for mode in (16, 32, 64)
    for bits in (8, 16, 32, 64)
    if mode == 64 or bits < 64
}


@st.composite
def statements(draw: st.DrawFn, mode: int) -> str:
    """One statement for code of that mode."""
    bits = draw(st.sampled_from([8, 16, 32, 64] if mode == 64 else [8, 16, 32]))
    template = draw(st.sampled_from(_TEMPLATES[mode, bits]))
    parts = {
        "r": registers(bits, mode), "q": registers(bits, mode), "m": memory(bits, mode),
        "n": memory(0, mode), "e": st.one_of(registers(bits, mode), memory(bits, mode)),
        "i": numbers(min(bits, 32), signed_fields=bits == 64), "I": numbers(64),
        "c": st.sampled_from(_CONDITIONS), "s": st.sampled_from(["0", "1", "7", "0x1f"]),
        "b": memory(8, mode), "w": memory(16, mode), "d": memory(32, mode),
        "t": st.sampled_from(["known", "forward", "imported"]), "p": registers(mode, mode),
        "W": memory(mode, mode), "P": numbers(16 if mode == 16 else 31),
        "k": st.sampled_from(["", "rep ", "repe ", "repne "]),
        "x": st.sampled_from("bwdq" if mode == 64 else "bwd"), "y": st.sampled_from("bwd"),
    }  # fmt: skip
    line = re.sub(r"\{(\w)\}", lambda match: str(draw(parts[match[1]])), template)
    # A high byte register goes with nothing that needs a REX prefix; the CPU has no such code.
    if mode == 64 and _HIGH & set(re.findall(r"\w+", line)):
        line = re.sub(r"\b[a-d]h\b", "al", line)
    return line


@st.composite
def branches(draw: st.DrawFn, mode: int) -> list[str]:
    """Code whose branches are near the limits of their short form, chained through each other."""
    count = draw(st.integers(2, 12))
    gap = st.one_of(st.integers(0, 12), st.integers(110, 135))
    lines = []
    for number in range(count):
        lines.append(f"label{number}:")
        name = draw(st.sampled_from(["jmp", "je", "jnz", "jae", "call"]))
        lines.append(f"    {name} label{draw(st.integers(0, count - 1))}")
        lines.append(f"    .zero {draw(gap)}, 0x90")
        if draw(st.integers(0, 5)) == 0 and mode != 16:
            lines.append(f"    .balign {draw(st.sampled_from([4, 16]))}")
    return lines
