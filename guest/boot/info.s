.intel_syntax noprefix
# What the boot protocol hands over, in one form for both: command line, module, memory, RSDP.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern boot_protocol
.extern boot_info
.extern memory_next
.extern memory_top
.extern __image_end

.equ MULTIBOOT_MAGIC, 0x2badb002
    .equ MULTIBOOT_FLAG_MEMORY, 0x01
    .equ MULTIBOOT_FLAG_CMDLINE, 0x04
    .equ MULTIBOOT_FLAG_MODULES, 0x08
STRUCT multiboot_info
    FIELD multiboot_info, flags, 4
    FIELD multiboot_info, mem_lower, 4
    FIELD multiboot_info, mem_upper, 4      # KiB from 1 MiB up
    FIELD multiboot_info, boot_device, 4
    FIELD multiboot_info, cmdline, 4
    FIELD multiboot_info, mods_count, 4
    FIELD multiboot_info, mods_addr, 4
STRUCT multiboot_module
    FIELD multiboot_module, start, 4
    FIELD multiboot_module, end, 4

.equ PVH_MAGIC, 0x336ec578
STRUCT hvm_start_info
    FIELD hvm_start_info, magic, 4
    FIELD hvm_start_info, version, 4
    FIELD hvm_start_info, flags, 4
    FIELD hvm_start_info, nr_modules, 4
    FIELD hvm_start_info, modlist, 8
    FIELD hvm_start_info, cmdline, 8
    FIELD hvm_start_info, rsdp, 8
    FIELD hvm_start_info, memmap, 8         # from version 1 on
    FIELD hvm_start_info, memmap_entries, 4
STRUCT hvm_memmap
    FIELD hvm_memmap, addr, 8
    FIELD hvm_memmap, bytes, 8
    FIELD hvm_memmap, type, 4
    FIELD hvm_memmap, reserved, 4
    .equ HVM_MEMMAP_RAM, 1

.section .text
# boot_info_read(): fills boot_cmdline, boot_module, boot_rsdp and the memory bounds.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PUBLIC boot_info_read
boot_info_read:
    FRAME
    lea rax, [rip + __image_end]
    mov qword ptr [rip + memory_next], rax
    lea rax, [rip + empty]
    mov qword ptr [rip + boot_cmdline], rax
    mov rdi, qword ptr [rip + boot_info]
    # PVH says nothing about eax, and QEMU's firmware leaves the multiboot magic there.
    cmp dword ptr [rdi + hvm_start_info.magic], PVH_MAGIC
    je .pvh
    cmp dword ptr [rip + boot_protocol], MULTIBOOT_MAGIC
    jne .unknown
    call boot_info_multiboot
    UNFRAME
    ret
.pvh:
    call boot_info_pvh
    UNFRAME
    ret
.unknown:
    PANIC "booted neither by multiboot nor by PVH"
END boot_info_read

# boot_info_multiboot(rdi = multiboot information).
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE boot_info_multiboot
boot_info_multiboot:
    FRAME
    mov ecx, dword ptr [rdi + multiboot_info.flags]
    test ecx, MULTIBOOT_FLAG_MEMORY
    jz .no_memory
    mov eax, dword ptr [rdi + multiboot_info.mem_upper]
    shl rax, 10
    add rax, 0x100000
    mov qword ptr [rip + memory_top], rax
    test ecx, MULTIBOOT_FLAG_CMDLINE
    jz .modules
    # The first word is the name of the image.
    mov eax, dword ptr [rdi + multiboot_info.cmdline]
.name:
    cmp byte ptr [rax], 0
    je .named
    cmp byte ptr [rax], ' '
    je .named
    inc rax
    jmp .name
.named:
    mov qword ptr [rip + boot_cmdline], rax
.modules:
    test ecx, MULTIBOOT_FLAG_MODULES
    jz .done
    cmp dword ptr [rdi + multiboot_info.mods_count], 0
    je .done
    mov esi, dword ptr [rdi + multiboot_info.mods_addr]
    mov eax, dword ptr [rsi + multiboot_module.start]
    mov qword ptr [rip + boot_module], rax
    mov edx, dword ptr [rsi + multiboot_module.end]
    sub rdx, rax
    mov qword ptr [rip + boot_module_bytes], rdx
.done:
    # QEMU puts modules, strings and this structure behind the image: allocate above them all.
    mov rax, rdi
    call boot_info_reserve
    mov rax, qword ptr [rip + boot_cmdline]
    call boot_info_reserve
    mov rax, qword ptr [rip + boot_module]
    add rax, qword ptr [rip + boot_module_bytes]
    call boot_info_reserve
    UNFRAME
    ret
.no_memory:
    PANIC "the boot loader does not say how much memory there is"
END boot_info_multiboot

# boot_info_pvh(rdi = hvm_start_info).
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE boot_info_pvh
boot_info_pvh:
    FRAME
    mov rax, qword ptr [rdi + hvm_start_info.rsdp]
    mov qword ptr [rip + boot_rsdp], rax
    mov rax, qword ptr [rdi + hvm_start_info.cmdline]
    test rax, rax
    jz .modules
    mov qword ptr [rip + boot_cmdline], rax
.modules:
    cmp dword ptr [rdi + hvm_start_info.nr_modules], 0
    je .memory
    mov rsi, qword ptr [rdi + hvm_start_info.modlist]
    mov rax, qword ptr [rsi]
    mov qword ptr [rip + boot_module], rax
    mov rax, qword ptr [rsi + 8]
    mov qword ptr [rip + boot_module_bytes], rax
.memory:
    # The end of the range of RAM that the image is in.
    mov ecx, dword ptr [rdi + hvm_start_info.memmap_entries]
    mov rsi, qword ptr [rdi + hvm_start_info.memmap]
    lea rdx, [rip + __image_end]
.range:
    sub ecx, 1
    jc .no_memory
    mov r8, rsi
    add rsi, hvm_memmap.size
    cmp dword ptr [r8 + hvm_memmap.type], HVM_MEMMAP_RAM
    jne .range
    mov rax, rdx
    sub rax, qword ptr [r8 + hvm_memmap.addr]
    cmp rax, qword ptr [r8 + hvm_memmap.bytes]
    jae .range
    mov rax, qword ptr [r8 + hvm_memmap.addr]
    add rax, qword ptr [r8 + hvm_memmap.bytes]
    # QEMU loads a module as high as it can.
    mov rcx, qword ptr [rip + boot_module]
    cmp rcx, rdx
    jb .top
    cmp rcx, rax
    cmovb rax, rcx
.top:
    mov qword ptr [rip + memory_top], rax
    UNFRAME
    ret
.no_memory:
    PANIC "the memory map has no range of RAM that holds the image"
END boot_info_pvh

# boot_info_reserve(rax = address): keeps the allocator clear of data that ends near it.
#   clobbers: rax
#   locks: none
#   irq: off
PRIVATE boot_info_reserve
boot_info_reserve:
    add rax, 2 * PAGE_SIZE - 1          # longer than the command line can be
    and rax, -PAGE_SIZE
    cmp rax, qword ptr [rip + memory_next]
    jbe .below
    cmp rax, qword ptr [rip + memory_top]
    jae .below
    mov qword ptr [rip + memory_next], rax
.below:
    ret
END boot_info_reserve

.section .rodata
empty:
    .asciz ""

.section .bss
# boot_cmdline: the parameters, NUL-terminated.
OBJECT boot_cmdline
boot_cmdline:
    .zero 8
END boot_cmdline
# boot_module, boot_module_bytes: the first boot module, 0 if there is none.
OBJECT boot_module
boot_module:
    .zero 8
END boot_module
OBJECT boot_module_bytes
boot_module_bytes:
    .zero 8
END boot_module_bytes
# boot_rsdp: ACPI root pointer as the boot protocol gave it, 0 if it did not.
OBJECT boot_rsdp
boot_rsdp:
    .zero 8
END boot_rsdp
