.intel_syntax noprefix
# First instructions: the two boot protocols, and the way from 32-bit protected mode to long mode.
#
# Both protocols enter in 32-bit flat protected mode without paging and hand over one pointer in
# ebx. What differs is what it points at; boot_protocol and boot_info keep that for boot/info.s.
#
#   PVH           ebx -> struct hvm_start_info, whose first word is 0x336ec578
#   multiboot 1   eax = 0x2badb002, ebx -> multiboot information
#
# The multiboot header carries load addresses because QEMU takes a 64-bit ELF file by multiboot
# only as a flat image; linker.ld therefore keeps file offsets and addresses in step.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.equ MULTIBOOT_HEADER_MAGIC, 0x1badb002
.equ MULTIBOOT_HEADER_FLAGS, 0x00010003     # page-aligned modules, memory map, load addresses
.equ XEN_ELFNOTE_PHYS32_ENTRY, 18

.extern __image_start
.extern __data_end
.extern __image_end
.extern boot_block
.extern kernel_main

.section .multiboot, "a", @progbits
    .balign 4
OBJECT multiboot_header, 4
multiboot_header:
    .long MULTIBOOT_HEADER_MAGIC
    .long MULTIBOOT_HEADER_FLAGS
    .long -(MULTIBOOT_HEADER_MAGIC + MULTIBOOT_HEADER_FLAGS)
    .long multiboot_header
    .long __image_start
    .long __data_end
    .long __image_end                       # clear of the boot block too: QEMU puts strings there
    .long boot_entry
END multiboot_header

.section .note.pvh, "a", @note
    .balign 4
OBJECT pvh_note, 4
pvh_note:
    .long 4                                 # name size
    .long 4                                 # descriptor size
    .long XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long boot_entry
END pvh_note

.section .text
.code32
# boot_entry(eax, ebx): entry of both protocols.
#   clobbers: everything; never returns
#   locks: none
#   irq: off, and there is no IDT yet
PUBLIC boot_entry
boot_entry:
    cli
    cld
    mov esp, offset boot_block + cpu_block.idle_stack_top
    mov dword ptr [boot_protocol], eax
    mov dword ptr [boot_info], ebx

    # Identity map of the low 4 GiB in 2 MiB pages; paging.s refines it once the kernel runs.
    mov eax, offset boot_pdpt + PAGE_PRESENT + PAGE_WRITE
    mov dword ptr [boot_pml4], eax
    mov ecx, 0
    mov eax, offset boot_page_directories + PAGE_PRESENT + PAGE_WRITE
.directory:
    mov dword ptr [boot_pdpt + ecx * 8], eax
    add eax, PAGE_SIZE
    inc ecx
    cmp ecx, 4
    jb .directory
    mov ecx, 0
    mov eax, PAGE_PRESENT + PAGE_WRITE + PAGE_LARGE
.large_page:
    mov dword ptr [boot_page_directories + ecx * 8], eax
    add eax, 0x200000
    inc ecx
    cmp ecx, 2048
    jb .large_page

    mov eax, CR4_PAE
    mov cr4, eax
    mov eax, offset boot_pml4
    mov cr3, eax
    mov ecx, MSR_EFER
    rdmsr
    or eax, EFER_LME + EFER_NXE
    wrmsr
    mov eax, CR0_PG + CR0_WP + CR0_PE
    mov cr0, eax
    lgdt [boot_gdt_pointer]
    push SEL_CODE64
    mov eax, offset boot_long_mode
    push eax
    retf
END boot_entry

.code64
# boot_long_mode(): first 64-bit code of the boot CPU.
#   clobbers: everything; never returns
#   locks: none
#   irq: off
PRIVATE boot_long_mode
boot_long_mode:
    mov eax, SEL_DATA
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    lea rsp, [rip + boot_block + cpu_block.idle_stack_top]
    xor ebp, ebp
    call kernel_main
    ud2
END boot_long_mode

.section .rodata
OBJECT boot_gdt
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff                # SEL_CODE64
    .quad 0x00cf93000000ffff                # SEL_DATA
    .quad 0x00cf9b000000ffff                # SEL_CODE32
    .quad 0                                 # SEL_TSS, two slots, filled per CPU
    .quad 0
END boot_gdt

OBJECT boot_gdt_pointer
boot_gdt_pointer:
    .word GDT_BYTES - 1
    .long boot_gdt
    .long 0
END boot_gdt_pointer

.section .bss
OBJECT boot_protocol
boot_protocol:
    .zero 4
END boot_protocol
OBJECT boot_info
boot_info:
    .zero 8
END boot_info

OBJECT boot_pml4, PAGE_SIZE
boot_pml4:
    .zero PAGE_SIZE
END boot_pml4
OBJECT boot_pdpt, PAGE_SIZE
boot_pdpt:
    .zero PAGE_SIZE
END boot_pdpt
OBJECT boot_page_directories, PAGE_SIZE
boot_page_directories:
    .zero 4 * PAGE_SIZE
END boot_page_directories
