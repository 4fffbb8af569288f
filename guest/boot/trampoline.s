.intel_syntax noprefix
# Where an application processor starts after its start-up IPI: real mode, at the page that the
# IPI named. The page is linked for that address (linker.ld: .trampoline, below 1 MiB) but loaded
# with the image, because firmware uses low memory; boot/smp.s fills the page with int3 and copies
# the code there.
#
# It needs nothing from the boot CPU but link-time constants: page tables and GDT are the boot
# CPU's own, and smp_starting (boot/smp.s) says which CPU it is to become.

.include "macros.inc"
.include "cpu.inc"

.extern boot_pml4
.extern boot_gdt
.extern smp_ap_entry

.section .trampoline, "ax", @progbits
.code16
# trampoline_start(): real mode straight to long mode.
#   clobbers: everything; never returns
#   locks: none
#   irq: off
PUBLIC trampoline_start
trampoline_start:
    cli
    cld
    xor ax, ax
    mov ds, ax
    mov eax, CR4_PAE
    mov cr4, eax
    mov eax, offset boot_pml4
    mov cr3, eax
    mov ecx, MSR_EFER
    rdmsr
    or eax, EFER_LME + EFER_NXE
    wrmsr
    lgdt [trampoline_gdt_pointer]
    mov eax, CR0_PG + CR0_WP + CR0_PE
    mov cr0, eax
    # A far jump loads the 64-bit code segment: opcode, 16-bit offset, selector.
    .byte 0xea
    .word trampoline_long_mode
    .word SEL_CODE64
END trampoline_start

.code64
# trampoline_long_mode(): leaves the low page for the kernel proper.
#   clobbers: everything; never returns
#   locks: none
#   irq: off
PRIVATE trampoline_long_mode
trampoline_long_mode:
    mov eax, SEL_DATA
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    mov rax, offset smp_ap_entry
    jmp rax
END trampoline_long_mode

    .balign 8
trampoline_gdt_pointer:
    .word GDT_BYTES - 1
    .long boot_gdt

    .globl trampoline_end
trampoline_end:
