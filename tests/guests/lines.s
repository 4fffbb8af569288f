.intel_syntax noprefix
# Writes 100,000 numbered log lines as fast as the port takes them, and so measures whether one is
# lost.
.include "guest.inc"
.equ LINES, 100000

start:
    xor ebx, ebx
.line:
    PRINT prefix, prefix_end
    mov eax, ebx                # eight decimal digits, the highest first
    mov ecx, 10000000
.digit:
    xor edx, edx
    div ecx
    mov edi, edx
    add al, '0'
    mov edx, COM1
    out dx, al
    mov eax, ecx
    xor edx, edx
    mov ecx, 10
    div ecx
    mov ecx, eax
    mov eax, edi
    test ecx, ecx
    jnz .digit
    mov al, 10
    mov edx, COM1
    out dx, al
    inc ebx
    cmp ebx, LINES
    jne .line
    EXIT EXIT_PASS

.section .rodata, "a", @progbits
prefix:
    .ascii "[SCHED] line "
prefix_end:
