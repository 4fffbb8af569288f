.intel_syntax noprefix
# 16-, 32- and 64-bit code in one source, as a start-up path has it.
.extern outside_function
.section .low, "ax", @progbits
.code16
real:
    cli
    xor ax, ax
    mov ds, ax
    mov eax, cr0
    or eax, 1
    mov cr0, eax
    lgdt [table_pointer]
    data32 lgdt [table_pointer]
    mov ax, [bp + di]
    mov eax, [esi + ebx*2 + 4]
    push 0x1234
    push 5
    call near_function
    jmp far_enough
    je far_enough
    .zero 200, 0x90
far_enough:
    jmp 8:protected16
    ljmp 8, protected16
protected16:
    ret
near_function:
    loop near_function
    jcxz near_function
    jmp outside_function
    retf
table_pointer:
    .word 23
    .long table
.code32
protected:
    mov ax, 0x10
    mov ds, ax
    mov eax, [table]
    mov ecx, [table + 4]
    mov [table], eax
    lgdt [table_pointer]
    push 0xffff
    push ds
    pushf
    call outside_function
    ljmp 8:long_mode
    jmp fword ptr [table]
    iret
.code64
long_mode:
    mov ds, ax
    mov ss, ecx
    mov rax, offset outside_function
    movabs rax, offset outside_function
    mov eax, gs:[0x10]
    mov qword ptr gs:[table], 5
    lea rdi, [rip + table]
    lea rdi, table[rip]
    mov rax, table[rdi*8 + 16]
    mov rax, [rcx + rsp]
    push 0xffff
    int 3
    movsd
    rep movsd
    lock cmpxchg16b [rdi]
    jmp qword ptr [table]
    call [rax + 8]
    iretq
    iret
    pushf
    lret
    lretq
    movsx rax, dword ptr [rdi]
    .balign 16
    .balign 32
    nop
    .p2align 4,, 10
table:
    .quad 0, 1, 2
table_end:
    cmp ecx, table_end - table
    mov eax, [rdi + (table_end - table)]
    add rcx, (table_end - table) / 8
