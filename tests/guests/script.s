.intel_syntax noprefix
# Writes a log that the test made up, then ends the way the test asks for: the first byte of the
# boot module is what to do at the end, the rest is the log. So every outcome has a real guest.
.include "guest.inc"
.equ START_INFO_MODULES, 12     # number of modules (u32)
.equ START_INFO_MODLIST, 16     # address of the module list (u64)
    .equ MODULE_ADDRESS, 0
    .equ MODULE_SIZE, 8
.equ DO_HANG, 'h'               # stop with interrupts off
.equ DO_SPIN, 's'               # run on in silence
.equ DO_TALK, 't'               # print notes without end
.equ DO_FAULT, 'f'              # triple fault
                                # any other byte: the value for the exit device

start:
    cmp dword ptr [ebx + START_INFO_MODULES], 0
    je .missing
    mov edi, [ebx + START_INFO_MODLIST]
    mov esi, [edi + MODULE_ADDRESS]
    mov ecx, [edi + MODULE_SIZE]
    mov bl, [esi]
    mov dx, COM1
.next:
    inc esi
    dec ecx
    jz .printed
    mov al, [esi]
    out dx, al
    jmp .next
.printed:
    cmp bl, DO_HANG
    je .hang
    cmp bl, DO_SPIN
    je .spin
    cmp bl, DO_TALK
    je .talk
    cmp bl, DO_FAULT
    je .fault
    movzx eax, bl
    mov dx, EXIT_PORT
    out dx, eax
.hang:
    cli
    hlt
    jmp .hang
.spin:
    pause
    jmp .spin
.talk:
    PRINT script_words, script_words_end
    jmp .talk
.fault:
    lidt [script_no_idt]
    ud2
.missing:
    EXIT EXIT_REFUSED

.section .rodata, "a", @progbits
script_words:
    .ascii "[SCHED] still here\n"
script_words_end:
    .balign 8
script_no_idt:
    .word 0
    .long 0
