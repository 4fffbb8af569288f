.intel_syntax noprefix
# Bit searches over a priority bitmap: three quadwords, one bit per priority, and bit 140, the
# delimiter, which is always set. No search clamps its result: the delimiter is what ends it.

.include "macros.inc"

.equ BITS_PER_LONG, 64
.equ LONG_SHIFT, 6

.section .text
# sched_find_first_bit(rdi = bitmap) -> eax = its first set bit, 140 if only the delimiter is left.
#   clobbers: nothing else
#   locks: that of the bitmap's run queue held
#   irq: off
PUBLIC sched_find_first_bit
sched_find_first_bit:
    bsf rax, qword ptr [rdi]
    jz .second
    ret
.second:
    bsf rax, qword ptr [rdi + 8]
    jz .third
    add eax, BITS_PER_LONG
    ret
.third:
    bsf rax, qword ptr [rdi + 16]
    jz .none
    add eax, 2 * BITS_PER_LONG
    ret
.none:
    FRAME
    PANIC "sched_find_first_bit: the delimiter is gone"
END sched_find_first_bit

# find_next_bit(rdi = bitmap, esi = size in bits, edx = offset, in one of its words) -> eax = the
# first set bit at offset or after it. Whole words are searched: the result may lie beyond size, and
# without any bit it is size rounded up to a word. Callers compare with >=.
#   clobbers: rcx, rdx
#   locks: that of the bitmap's run queue held
#   irq: off
PUBLIC find_next_bit
find_next_bit:
    mov ecx, edx
    shr edx, LONG_SHIFT                 # word
    mov rax, qword ptr [rdi + rdx * 8]
    shr rax, cl                         # by the offset in the word: the count is taken modulo 64
    bsf rax, rax
    jz .next_word
    add eax, ecx
    ret
.next_word:
    inc edx
    mov ecx, edx
    shl ecx, LONG_SHIFT
    cmp ecx, esi
    jae .none
    bsf rax, qword ptr [rdi + rdx * 8]
    jz .next_word
    add eax, ecx
    ret
.none:
    mov eax, ecx
    ret
END find_next_bit
