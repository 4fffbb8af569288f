.intel_syntax noprefix
# Which CPUs there are: the enabled local APICs of the ACPI MADT.
#
# The root pointer comes from the boot protocol (PVH) or is searched where the BIOS puts it. Where
# there is no ACPI, CPUID says how many logical processors the package has, and their APIC
# identifiers are taken to be 0, 1, 2...; the log then says source=cpuid.
#
# acpi_find_table finds the other tables, too.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern boot_rsdp

.equ SIGNATURE_RSDP_LOW, 0x20445352     # "RSD "
.equ SIGNATURE_RSDP_HIGH, 0x20525450    # "PTR "
.equ SIGNATURE_APIC, 0x43495041         # "APIC"
.equ BIOS_AREA, 0xe0000
.equ BIOS_AREA_END, 0x100000
.equ RSDP_REVISION, 15
.equ RSDP_RSDT, 16
.equ RSDP_XSDT, 24
.equ SDT_LENGTH, 4
.equ SDT_ENTRIES, 36
.equ MADT_ENTRIES, 44
    .equ MADT_LOCAL_APIC, 0
    .equ MADT_APIC_ENABLED, 1

.section .text
# acpi_find_cpus(): fills apic_ids, boot CPU first, apic_count and apic_source.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PUBLIC acpi_find_cpus
acpi_find_cpus:
    FRAME
    push rbx
    # The boot CPU is logical CPU 0 wherever the table lists it.
    mov eax, gs:[percpu.apic_id]
    mov byte ptr [rip + apic_ids], al
    mov dword ptr [rip + apic_count], 1
    mov edi, SIGNATURE_APIC
    call acpi_find_table
    test rax, rax
    jz .fallback
    mov rdi, rax
    call acpi_read_madt
    lea rax, [rip + source_madt]
    jmp .done
.fallback:
    mov eax, 1
    cpuid
    shr ebx, 16
    movzx ebx, bl                       # logical processors
    xor edi, edi
.processor:
    call acpi_add_cpu
    inc edi
    cmp edi, ebx
    jb .processor
    lea rax, [rip + source_cpuid]
.done:
    mov qword ptr [rip + apic_source], rax
    pop rbx
    UNFRAME
    ret
END acpi_find_cpus

# acpi_find_rsdp() -> rax = root pointer, 0 if there is none.
#   clobbers: rcx
#   locks: none
#   irq: off
PRIVATE acpi_find_rsdp
acpi_find_rsdp:
    mov rax, qword ptr [rip + boot_rsdp]
    test rax, rax
    jnz .found
    mov eax, BIOS_AREA
.paragraph:
    cmp dword ptr [rax], SIGNATURE_RSDP_LOW
    jne .next
    cmp dword ptr [rax + 4], SIGNATURE_RSDP_HIGH
    je .found
.next:
    add eax, 16
    cmp eax, BIOS_AREA_END
    jb .paragraph
    xor eax, eax
.found:
    ret
END acpi_find_rsdp

# acpi_find_table(edi = signature) -> rax = the first such table, 0 if there is none. The root table
# is the XSDT (64-bit entries) from revision 2 on, else the RSDT (32-bit entries).
#   clobbers: rcx, rdx, rsi, rdi
#   locks: none
#   irq: any
PUBLIC acpi_find_table
acpi_find_table:
    FRAME
    call acpi_find_rsdp
    test rax, rax
    jz .none
    mov ecx, edi
    mov rdi, rax
    mov esi, 4                          # bytes an entry
    mov eax, dword ptr [rdi + RSDP_RSDT]
    cmp byte ptr [rdi + RSDP_REVISION], 2
    jb .table
    mov esi, 8
    mov rax, qword ptr [rdi + RSDP_XSDT]
.table:
    test rax, rax
    jz .none
    mov edi, dword ptr [rax + SDT_LENGTH]
    add rdi, rax
    lea rdx, [rax + SDT_ENTRIES]
.entry:
    cmp rdx, rdi
    jae .none
    mov eax, dword ptr [rdx]            # all tables are below 4 GiB
    cmp dword ptr [rax], ecx
    je .found
    add rdx, rsi
    jmp .entry
.none:
    xor eax, eax
.found:
    UNFRAME
    ret
END acpi_find_table

# acpi_read_madt(rdi = MADT): adds every enabled local APIC.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE acpi_read_madt
acpi_read_madt:
    FRAME
    push rbx
    push r12
    mov r12d, dword ptr [rdi + SDT_LENGTH]
    add r12, rdi
    lea rbx, [rdi + MADT_ENTRIES]
.entry:
    cmp rbx, r12
    jae .done
    cmp byte ptr [rbx], MADT_LOCAL_APIC
    jne .next
    test dword ptr [rbx + 4], MADT_APIC_ENABLED
    jz .next
    movzx edi, byte ptr [rbx + 3]
    call acpi_add_cpu
.next:
    movzx eax, byte ptr [rbx + 1]
    add rbx, rax
    test eax, eax
    jnz .entry
.done:
    pop r12
    pop rbx
    UNFRAME
    ret
END acpi_read_madt

# acpi_add_cpu(edi = APIC identifier): appends it unless it is the boot CPU's.
#   clobbers: rax, rcx
#   locks: none
#   irq: off
PRIVATE acpi_add_cpu
acpi_add_cpu:
    cmp edi, gs:[percpu.apic_id]
    je .done
    mov eax, dword ptr [rip + apic_count]
    cmp eax, MAX_CPUS
    jae .done
    lea rcx, [rip + apic_ids]
    mov byte ptr [rcx + rax], dil
    inc dword ptr [rip + apic_count]
.done:
    ret
END acpi_add_cpu

.section .rodata
source_madt:
    .asciz "madt"
source_cpuid:
    .asciz "cpuid"

.section .bss
# apic_ids: APIC identifier of each logical CPU, apic_count of them.
OBJECT apic_ids
apic_ids:
    .zero 256
END apic_ids
OBJECT apic_count
apic_count:
    .zero 8
END apic_count
# apic_source: how they were found, a word for the log.
OBJECT apic_source
apic_source:
    .zero 8
END apic_source
