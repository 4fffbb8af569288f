.intel_syntax noprefix
# Which NUMA node a CPU is in: the local APIC entries of the ACPI SRAT. Without that table, all are
# in node 0.

.include "macros.inc"

.extern acpi_find_table

.equ SIGNATURE_SRAT, 0x54415253         # "SRAT"
.equ SDT_LENGTH, 4
.equ SRAT_ENTRIES, 48
    .equ SRAT_LOCAL_APIC, 0             # type of an entry
    .equ SRAT_DOMAIN_LOW, 2             # bits 0-7 of the node
    .equ SRAT_APIC_ID, 3
    .equ SRAT_FLAGS, 4
        .equ SRAT_ENABLED, 1
    .equ SRAT_DOMAIN_HIGH, 8            # bits 8-31 of the node in those of this word

.section .text
# srat_read(): fills apic_nodes.
#   clobbers: caller-saved
#   locks: none
#   irq: any
PUBLIC srat_read
srat_read:
    FRAME
    mov edi, SIGNATURE_SRAT
    call acpi_find_table
    test rax, rax
    jz .done
    mov esi, dword ptr [rax + SDT_LENGTH]
    add rsi, rax
    lea rdx, [rax + SRAT_ENTRIES]
    lea rdi, [rip + apic_nodes]
.entry:
    cmp rdx, rsi
    jae .done
    cmp byte ptr [rdx], SRAT_LOCAL_APIC
    jne .next
    test dword ptr [rdx + SRAT_FLAGS], SRAT_ENABLED
    jz .next
    mov eax, dword ptr [rdx + SRAT_DOMAIN_HIGH]
    mov al, byte ptr [rdx + SRAT_DOMAIN_LOW]
    movzx ecx, byte ptr [rdx + SRAT_APIC_ID]
    mov dword ptr [rdi + rcx * 4], eax
.next:
    movzx eax, byte ptr [rdx + 1]
    add rdx, rax
    test eax, eax
    jnz .entry
.done:
    UNFRAME
    ret
END srat_read

.section .bss
# apic_nodes: the NUMA node of each APIC identifier, as the SRAT numbers nodes.
OBJECT apic_nodes
apic_nodes:
    .zero 256 * 4
END apic_nodes
