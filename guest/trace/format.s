.intel_syntax noprefix
# Numbers, words and whole event lines as text.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "events.inc"

.section .text
# format_unsigned(rdi = buffer, rsi = value) -> rax = end: decimal.
#   clobbers: rcx, rdx, rsi, rdi, r8
#   locks: none
#   irq: as found
PUBLIC format_unsigned
format_unsigned:
    sub rsp, 24
    lea r8, [rsp + 24]
    mov rax, rsi
    mov ecx, 10
.digit:
    xor edx, edx
    div rcx
    add dl, '0'
    dec r8
    mov byte ptr [r8], dl
    test rax, rax
    jnz .digit
    lea rcx, [rsp + 24]
    sub rcx, r8
    mov rsi, r8
    rep movsb
    mov rax, rdi
    add rsp, 24
    ret
END format_unsigned

# format_signed(rdi = buffer, rsi = value) -> rax = end: decimal with a minus sign if negative.
#   clobbers: rcx, rdx, rsi, rdi, r8
#   locks: none
#   irq: as found
PUBLIC format_signed
format_signed:
    test rsi, rsi
    jns format_unsigned
    mov byte ptr [rdi], '-'
    inc rdi
    neg rsi
    jmp format_unsigned
END format_signed

# format_hex(rdi = buffer, rsi = value) -> rax = end: 0x and lower-case digits, none leading.
#   clobbers: rcx, rdx, rsi, rdi
#   locks: none
#   irq: as found
PUBLIC format_hex
format_hex:
    mov word ptr [rdi], '0' + 'x' * 256
    add rdi, 2
    mov ecx, 64
.skip:
    sub ecx, 4
    jz .digit
    mov rax, rsi
    shr rax, cl
    test al, 15
    jz .skip
.digit:
    mov rax, rsi
    shr rax, cl
    and eax, 15
    lea rdx, [rip + hex_digits]
    mov al, byte ptr [rdx + rax]
    mov byte ptr [rdi], al
    inc rdi
    sub ecx, 4
    jns .digit
    mov rax, rdi
    ret
END format_hex

# format_word(rdi = buffer, rsi = NUL-terminated text) -> rax = end.
#   clobbers: rcx, rsi, rdi
#   locks: none
#   irq: as found
PUBLIC format_word
format_word:
    mov al, byte ptr [rsi]
    test al, al
    jz .end
    mov byte ptr [rdi], al
    inc rsi
    inc rdi
    jmp format_word
.end:
    mov rax, rdi
    ret
END format_word

# format_build_id(rdi = buffer, rsi = 20 bytes) -> rax = end: 40 hexadecimal digits.
#   clobbers: rcx, rdx, rsi, rdi
#   locks: none
#   irq: as found
PRIVATE format_build_id
format_build_id:
    lea rdx, [rip + hex_digits]
    mov ecx, 20
.byte:
    movzx eax, byte ptr [rsi]
    shr eax, 4
    mov al, byte ptr [rdx + rax]
    mov byte ptr [rdi], al
    movzx eax, byte ptr [rsi]
    and eax, 15
    mov al, byte ptr [rdx + rax]
    mov byte ptr [rdi + 1], al
    inc rsi
    add rdi, 2
    dec ecx
    jnz .byte
    mov rax, rdi
    ret
END format_build_id

# format_event(rdi = record, rsi = buffer) -> rax = end: one log line, checksum and newline.
#   clobbers: caller-saved
#   locks: none
#   irq: off, if the buffer is the per-CPU line
PUBLIC format_event
format_event:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    mov rbx, rdi
    mov r13, rsi
    mov rax, qword ptr [rip + line_prefix]
    mov qword ptr [rsi], rax
    lea rdi, [rsi + 8]
    mov rsi, qword ptr [rbx + 8]
    call format_unsigned
    mov byte ptr [rax], ' '
    lea rdi, [rax + 1]
    mov esi, dword ptr [rbx + 4]
    call format_unsigned
    mov byte ptr [rax], ' '
    lea rdi, [rax + 1]
    mov rsi, qword ptr [rbx + 16]
    call format_unsigned
    mov byte ptr [rax], ' '
    lea rdi, [rax + 1]
    movzx ecx, word ptr [rbx]
    shl ecx, 4
    lea rdx, [rip + event_table]
    mov rsi, qword ptr [rdx + rcx]      # name
    mov r12, qword ptr [rdx + rcx + 8]  # fields
    call format_word
    mov rdi, rax
    lea r14, [rbx + 24]                 # arguments
.field:
    movzx ebx, byte ptr [r12]
    test ebx, ebx
    jz .checksum
    lea rsi, [r12 + 1]
    call format_word
    lea r12, [rsi + 1]                  # format_word leaves rsi at the NUL
    mov rdi, rax
    mov rsi, qword ptr [r14]
    add r14, 8
    lea rax, [rip + format_kinds]
    call qword ptr [rax + rbx * 8]
    mov rdi, rax
    jmp .field
.checksum:
    xor eax, eax
    lea rcx, [r13 + 8]
.fold:
    xor al, byte ptr [rcx]
    inc rcx
    cmp rcx, rdi
    jb .fold
    mov word ptr [rdi], ' ' + '*' * 256
    lea rdx, [rip + hex_digits]
    mov ecx, eax
    shr ecx, 4
    mov cl, byte ptr [rdx + rcx]
    mov byte ptr [rdi + 2], cl
    and eax, 15
    mov al, byte ptr [rdx + rax]
    mov byte ptr [rdi + 3], al
    mov byte ptr [rdi + 4], 10
    lea rax, [rdi + 5]
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END format_event

.section .rodata
line_prefix:
    .ascii "[SCHED] "
hex_digits:
    .ascii "0123456789abcdef"

# By FMT_*.
    .balign 8
format_kinds:
    .quad 0
    .quad format_unsigned
    .quad format_signed
    .quad format_hex
    .quad format_word
    .quad format_build_id

EVENT_TABLE
