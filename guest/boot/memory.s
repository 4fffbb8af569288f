.intel_syntax noprefix
# Boot-time memory: a pointer that only moves up, and the page protections.
#
# The identity map starts as 2 MiB pages (boot/entry.s). A large page is split where a part of it
# needs protections of its own: the image's sections, stacks' guard pages, the null page.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern boot_page_directories
.extern boot_block
.extern __text_start
.extern __text_end
.extern __rodata_start
.extern __rodata_end
.extern __image_start
.extern __image_end

.equ LARGE_BYTES, 0x200000
.equ TRAMPOLINE_PAGE, 0x8000
.equ DATA_PAGE, 0x8000000000000003          # present, writable, not executable
.equ READ_ONLY_PAGE, 0x8000000000000001

.section .text
# memory_alloc(rdi = bytes, rsi = alignment, a power of two) -> rax = memory, not cleared.
#   clobbers: rcx
#   locks: none: only the boot CPU, or a CPU that it waits for, allocates
#   irq: as found
PUBLIC memory_alloc
memory_alloc:
    FRAME
    mov rax, qword ptr [rip + memory_next]
    lea rax, [rax + rsi - 1]
    neg rsi
    and rax, rsi
    lea rcx, [rax + rdi]
    cmp rcx, qword ptr [rip + memory_top]
    ja .exhausted
    mov qword ptr [rip + memory_next], rcx
    UNFRAME
    ret
.exhausted:
    PANIC "out of memory: give the machine more (-m) or the guest fewer tasks or CPUs"
END memory_alloc

# memory_protect_image(): read-only where nothing is to be written, no execution where no code
# is, nothing at address 0.
#   clobbers: caller-saved
#   locks: none; the boot CPU is alone
#   irq: off
PUBLIC memory_protect_image
memory_protect_image:
    FRAME
    xor edi, edi
    mov esi, PAGE_SIZE
    xor edx, edx
    call memory_protect
    mov edi, PAGE_SIZE
    lea rsi, [rip + __image_start]
    mov rdx, DATA_PAGE
    call memory_protect
    mov edi, TRAMPOLINE_PAGE
    mov esi, TRAMPOLINE_PAGE + PAGE_SIZE
    mov edx, PAGE_PRESENT
    call memory_protect
    lea rdi, [rip + __image_start]
    lea rsi, [rip + __text_start]
    mov rdx, READ_ONLY_PAGE
    call memory_protect
    lea rdi, [rip + __text_start]
    lea rsi, [rip + __text_end]
    mov edx, PAGE_PRESENT
    call memory_protect
    lea rdi, [rip + __rodata_start]
    lea rsi, [rip + __rodata_end]
    mov rdx, READ_ONLY_PAGE
    call memory_protect
    lea rdi, [rip + __rodata_end]
    lea rsi, [rip + __image_end + LARGE_BYTES - 1]
    and rsi, -LARGE_BYTES
    mov rdx, DATA_PAGE
    call memory_protect
    lea rdi, [rip + boot_block]
    call memory_guard_block

    # What is still a large page holds no code; splitting one later hands that on.
    lea rdi, [rip + boot_page_directories]
    xor ecx, ecx
.large:
    test qword ptr [rdi + rcx * 8], PAGE_LARGE
    jz .next
    bts qword ptr [rdi + rcx * 8], PAGE_NX_BIT
.next:
    inc ecx
    cmp ecx, 2048
    jb .large
    # Device registers are not cached.
    or qword ptr [rdi + (LAPIC_BASE >> 21) * 8], PAGE_CACHE_DISABLE + PAGE_WRITE_THROUGH
    mov rax, cr3
    mov cr3, rax
    UNFRAME
    ret
END memory_protect_image

# memory_guard_block(rdi = cpu block): unmaps the page below each of its stacks.
#   clobbers: caller-saved
#   locks: none
#   irq: as found
PUBLIC memory_guard_block
memory_guard_block:
    FRAME
    push rbx
    mov rbx, rdi
    lea rdi, [rbx + cpu_block.guard_idle]
    call memory_unmap
    lea rdi, [rbx + cpu_block.guard_nmi]
    call memory_unmap
    lea rdi, [rbx + cpu_block.guard_double_fault]
    call memory_unmap
    lea rdi, [rbx + cpu_block.guard_machine_check]
    call memory_unmap
    pop rbx
    UNFRAME
    ret
END memory_guard_block

# memory_unmap(rdi = page): any access to it faults from now on.
#   clobbers: caller-saved
#   locks: none: no other CPU has used the page yet
#   irq: as found
PUBLIC memory_unmap
memory_unmap:
    FRAME
    lea rsi, [rdi + PAGE_SIZE]
    xor edx, edx
    push rdi
    call memory_protect
    pop rdi
    invlpg [rdi]
    UNFRAME
    ret
END memory_unmap

# memory_protect(rdi = start, rsi = end, rdx = flags): page-aligned bounds, below 4 GiB.
#   clobbers: caller-saved
#   locks: none
#   irq: as found
PRIVATE memory_protect
memory_protect:
    FRAME
    push rbx
    push r12
    push r13
    mov rbx, rdi
    mov r12, rsi
    mov r13, rdx
.page:
    cmp rbx, r12
    jae .done
    mov rdi, rbx
    call memory_page_entry
    mov rcx, rbx
    or rcx, r13
    mov qword ptr [rax], rcx
    add rbx, PAGE_SIZE
    jmp .page
.done:
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END memory_protect

# memory_page_entry(rdi = address) -> rax = its 4 KiB page-table entry, made if need be.
#   clobbers: caller-saved
#   locks: none
#   irq: as found
PRIVATE memory_page_entry
memory_page_entry:
    FRAME
    push rbx
    push r12
    mov rbx, rdi
    shr rdi, 21
    lea rax, [rip + boot_page_directories]
    lea r12, [rax + rdi * 8]
    test qword ptr [r12], PAGE_LARGE
    jz .split
    mov edi, PAGE_SIZE
    mov esi, PAGE_SIZE
    call memory_alloc
    mov rcx, qword ptr [r12]
    and rcx, -PAGE_LARGE - 1            # the large page's own address and flags
    xor edx, edx
.small:
    mov qword ptr [rax + rdx * 8], rcx
    add rcx, PAGE_SIZE
    inc edx
    cmp edx, 512
    jb .small
    or rax, PAGE_PRESENT + PAGE_WRITE
    mov qword ptr [r12], rax
.split:
    mov rax, qword ptr [r12]
    and rax, -PAGE_SIZE
    shr rbx, 12
    and ebx, 511
    lea rax, [rax + rbx * 8]
    pop r12
    pop rbx
    UNFRAME
    ret
END memory_page_entry

.section .bss
# memory_next, memory_top: what is left for the boot-time allocator.
OBJECT memory_next
memory_next:
    .zero 8
END memory_next
OBJECT memory_top
memory_top:
    .zero 8
END memory_top
