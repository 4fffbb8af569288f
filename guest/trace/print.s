.intel_syntax noprefix
# Formatted text on the console: the guest's words to people, beside the event log.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern console_write
.extern console_put
.extern format_unsigned
.extern format_signed
.extern format_hex
.extern panic_owner

.equ PRINT_BYTES, 512
.equ PRINT_RESERVE, 32                  # longest number, newline included

.section .text
# print(rdi = format, rsi, rdx, rcx, r8, r9 = arguments): %u, %d, %x take 64-bit numbers, %s a
# NUL-terminated text. Written in one piece; what does not fit is cut and marked with "...".
#   clobbers: caller-saved
#   locks: takes and releases console_lock; during a panic none, everybody else has stopped
#   irq: any
PUBLIC print
print:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    sub rsp, PRINT_BYTES + 48
    mov qword ptr [rsp + PRINT_BYTES], rsi
    mov qword ptr [rsp + PRINT_BYTES + 8], rdx
    mov qword ptr [rsp + PRINT_BYTES + 16], rcx
    mov qword ptr [rsp + PRINT_BYTES + 24], r8
    mov qword ptr [rsp + PRINT_BYTES + 32], r9
    mov rbx, rdi                        # format
    mov rdi, rsp                        # output
    lea r12, [rsp + PRINT_BYTES]        # next argument
    lea r13, [rsp + PRINT_BYTES - PRINT_RESERVE]
.character:
    mov al, byte ptr [rbx]
    inc rbx
    test al, al
    jz .write
    cmp rdi, r13
    jae .cut
    cmp al, '%'
    je .argument
    mov byte ptr [rdi], al
    inc rdi
    jmp .character
.argument:
    mov al, byte ptr [rbx]
    inc rbx
    mov rsi, qword ptr [r12]
    add r12, 8
    cmp al, 's'
    je .text
    cmp al, 'x'
    je .hex
    cmp al, 'd'
    je .signed
    call format_unsigned
    mov rdi, rax
    jmp .character
.hex:
    call format_hex
    mov rdi, rax
    jmp .character
.signed:
    call format_signed
    mov rdi, rax
    jmp .character
.text:
    mov al, byte ptr [rsi]
    test al, al
    jz .character
    cmp rdi, r13
    jae .cut
    inc rsi
    # A stray control character would break the line protocol.
    cmp al, 32
    jb .unprintable
    cmp al, 126
    jbe .printable
.unprintable:
    mov al, '?'
.printable:
    mov byte ptr [rdi], al
    inc rdi
    jmp .text
.cut:
    mov dword ptr [rdi], '.' + '.' * 0x100 + '.' * 0x10000 + 10 * 0x1000000
    add rdi, 4
.write:
    mov rsi, rdi
    mov rdi, rsp
    sub rsi, rdi
    cmp dword ptr [rip + panic_owner], LOCK_FREE
    jne .alone
    call console_write
    jmp .done
.alone:
    call console_put
.done:
    add rsp, PRINT_BYTES + 48
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END print
