"""The process in which Keystone runs, because bad input can make it loop for ever or exit.

Batches come on standard input, answers go to standard output, each a marshalled list behind its
length in four bytes. A request is (mode, text); mode is 16, 32 or 64, negative for AT&T syntax.
An answer is the text of an error, or

    (code, mnemonic, modrm, disp offset, disp size, imm offset, imm size, operands)

with the operands as Capstone reads them back from the code: ("r", name), ("i", value, bytes) or
("m", segment, base, index, scale, displacement, bytes).

Each statement may use CPU_LIMIT seconds of processor time; then the kernel ends the process,
whatever Keystone is doing, and the parent finds out which statement it was.
"""

from __future__ import annotations

import marshal
import resource
import signal
import struct
import sys
from typing import Any

CPU_LIMIT = 2.0
MEMORY_LIMIT = 1 << 30


class Engines:
    """Keystone and Capstone for each mode, made when first needed."""

    def __init__(self) -> None:
        try:
            import capstone
            import keystone
        except ImportError as error:
            sys.exit(f"the Python package '{error.name}' is not installed")

        self._ks, self._cs = keystone, capstone
        self._assemblers: dict[int, Any] = {}
        self._decoders: dict[int, Any] = {}

    def assembler(self, mode: int) -> Any:
        """A Keystone engine; a negative mode takes AT&T syntax."""
        if mode not in self._assemblers:
            ks = self._ks
            bits = {16: ks.KS_MODE_16, 32: ks.KS_MODE_32, 64: ks.KS_MODE_64}[abs(mode)]
            engine = ks.Ks(ks.KS_ARCH_X86, bits)
            if mode < 0:
                engine.syntax = ks.KS_OPT_SYNTAX_ATT
            self._assemblers[mode] = engine
        return self._assemblers[mode]

    def decoder(self, mode: int) -> Any:
        """A Capstone engine with operand details."""
        if abs(mode) not in self._decoders:
            cs = self._cs
            bits = {16: cs.CS_MODE_16, 32: cs.CS_MODE_32, 64: cs.CS_MODE_64}[abs(mode)]
            engine = cs.Cs(cs.CS_ARCH_X86, bits)
            engine.detail = True
            self._decoders[abs(mode)] = engine
        return self._decoders[abs(mode)]

    def answer(self, mode: int, text: str) -> str | tuple[Any, ...]:
        """Encodes one statement and reads the result back."""
        try:
            encoded, _ = self.assembler(mode).asm(text, 0, True)
        except self._ks.KsError as error:
            return str(error)
        if not encoded:
            return "nothing was encoded"
        return self._read_back(mode, encoded)

    def _read_back(self, mode: int, code: bytes) -> tuple[Any, ...]:
        decoder = self.decoder(mode)
        decoded = next(decoder.disasm(code, 0), None)
        if decoded is None or decoded.size != len(code):
            return (code, "", 0, 0, 0, 0, 0, [])
        name = decoder.reg_name
        operands: list[tuple[Any, ...]] = []
        for operand in decoded.operands:
            if operand.type == 1:
                operands.append(("r", name(operand.reg)))
            elif operand.type == 2:
                operands.append(("i", operand.imm, operand.size))
            elif operand.type == 3:
                memory = operand.mem
                operands.append(
                    (
                        "m",
                        name(memory.segment) or "",
                        name(memory.base) or "",
                        name(memory.index) or "",
                        memory.scale,
                        memory.disp,
                        operand.size,
                    )
                )
        fields = (decoded.disp_offset, decoded.disp_size, decoded.imm_offset, decoded.imm_size)
        return (code, decoded.mnemonic, decoded.modrm_offset, *fields, operands)


def serve() -> None:
    """Answers batches until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    engines = Engines()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while len(header := source.read(4)) == 4:
        batch = marshal.loads(source.read(struct.unpack("<I", header)[0]))
        answers = []
        for mode, text in batch:
            signal.setitimer(signal.ITIMER_VIRTUAL, CPU_LIMIT)
            answers.append(engines.answer(mode, text))
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        reply = marshal.dumps(answers)
        sink.write(struct.pack("<I", len(reply)) + reply)
        sink.flush()


if __name__ == "__main__":
    serve()
