.intel_syntax noprefix
# Prints the kernel command line and the first boot module, as the PVH start info hands them over
# (ebx points at it), so that a test sees what a guest sees.
.include "guest.inc"
.equ START_INFO_MODULES, 12     # number of modules (u32)
.equ START_INFO_MODLIST, 16     # address of the module list (u64)
    .equ MODULE_ADDRESS, 0
    .equ MODULE_SIZE, 8
.equ START_INFO_CMDLINE, 24     # address of the NUL-terminated command line (u64)

start:
    PRINT cmdline_word, cmdline_word_end
    mov esi, [ebx + START_INFO_CMDLINE]
.cmdline_byte:
    mov al, [esi]
    test al, al
    jz .cmdline_done
    out dx, al
    inc esi
    jmp .cmdline_byte
.cmdline_done:
    mov al, 10
    out dx, al
    cmp dword ptr [ebx + START_INFO_MODULES], 0
    je .done
    PRINT module_word, module_word_end
    mov edi, [ebx + START_INFO_MODLIST]
    mov esi, [edi + MODULE_ADDRESS]
    mov ecx, [edi + MODULE_SIZE]
.module_byte:
    jecxz .module_done
    mov al, [esi]
    out dx, al
    inc esi
    dec ecx
    jmp .module_byte
.module_done:
    mov al, 10
    out dx, al
.done:
    EXIT EXIT_PASS

.section .rodata, "a", @progbits
cmdline_word:
    .ascii "cmdline="
cmdline_word_end:
module_word:
    .ascii "module="
module_word_end:
