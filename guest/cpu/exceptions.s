.intel_syntax noprefix
# The exceptions by vector: their mnemonics, and words for people.

.include "macros.inc"

.macro EXCEPTION mnemonic, words
    .pushsection .rodata.exceptions
    .quad exception_name_\@
    .popsection
    .pushsection .rodata.words
    .quad exception_words_\@
    .popsection
exception_name_\@:
    .asciz "\mnemonic"
exception_words_\@:
    .asciz "\words"
.endm

.section .rodata.exceptions, "a", @progbits
OBJECT exception_names
exception_names:
.section .rodata.words, "a", @progbits
OBJECT exception_words
exception_words:
.section .rodata
    EXCEPTION "#DE", "divide error"
    EXCEPTION "#DB", "debug exception"
    EXCEPTION "NMI", "non-maskable interrupt"
    EXCEPTION "#BP", "breakpoint"
    EXCEPTION "#OF", "overflow"
    EXCEPTION "#BR", "bound range exceeded"
    EXCEPTION "#UD", "invalid opcode"
    EXCEPTION "#NM", "no coprocessor"
    EXCEPTION "#DF", "double fault"
    EXCEPTION "CSO", "coprocessor segment overrun"
    EXCEPTION "#TS", "invalid TSS"
    EXCEPTION "#NP", "segment not present"
    EXCEPTION "#SS", "stack segment fault"
    EXCEPTION "#GP", "general protection fault"
    EXCEPTION "#PF", "page fault"
    EXCEPTION "#15", "reserved exception"
    EXCEPTION "#MF", "floating-point error"
    EXCEPTION "#AC", "alignment check"
    EXCEPTION "#MC", "machine check"
    EXCEPTION "#XM", "SIMD floating-point error"
    EXCEPTION "#VE", "virtualisation exception"
    EXCEPTION "#CP", "control protection fault"
    EXCEPTION "#22", "reserved exception"
    EXCEPTION "#23", "reserved exception"
    EXCEPTION "#24", "reserved exception"
    EXCEPTION "#25", "reserved exception"
    EXCEPTION "#26", "reserved exception"
    EXCEPTION "#27", "reserved exception"
    EXCEPTION "#HV", "hypervisor injection"
    EXCEPTION "#VC", "VMM communication"
    EXCEPTION "#SX", "security exception"
    EXCEPTION "#31", "reserved exception"
