.intel_syntax noprefix
# The per-CPU area: GS base, descriptor table, task state segment and interrupt stacks.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"

.extern boot_gdt

.section .text
# percpu_init(rdi = cpu block, esi = CPU number, edx = APIC identifier): makes the block the
# calling CPU's per-CPU area.
#   clobbers: rax, rcx, rdx, rsi, rdi, r8
#   locks: none
#   irq: off
PUBLIC percpu_init
percpu_init:
    mov r8, rdi
    push rdx
    xor eax, eax
    mov ecx, PAGE_SIZE / 8
    rep stosq
    mov qword ptr [r8 + percpu.self], r8
    mov dword ptr [r8 + percpu.cpu], esi
    pop rdx
    mov dword ptr [r8 + percpu.apic_id], edx

    lea rsi, [rip + boot_gdt]
    lea rdi, [r8 + percpu.gdt]
    mov ecx, GDT_BYTES / 8
    rep movsq

    lea rax, [r8 + cpu_block.nmi_stack_top]
    mov qword ptr [r8 + percpu.tss_ist1], rax
    lea rax, [r8 + cpu_block.double_fault_stack_top]
    mov qword ptr [r8 + percpu.tss_ist1 + 8], rax
    lea rax, [r8 + cpu_block.machine_check_stack_top]
    mov qword ptr [r8 + percpu.tss_ist1 + 16], rax
    mov word ptr [r8 + percpu.tss + 102], 104   # no I/O permission map

    # Available 64-bit TSS descriptor: limit 103, base split over three places.
    lea rcx, [r8 + percpu.tss]
    mov rax, rcx
    and eax, 0xffffff
    shl rax, 16
    mov rdx, 0x0000890000000067
    or rax, rdx
    mov edx, ecx
    shr edx, 24
    shl rdx, 56
    or rax, rdx
    mov qword ptr [r8 + percpu.gdt + SEL_TSS], rax
    shr rcx, 32
    mov qword ptr [r8 + percpu.gdt + SEL_TSS + 8], rcx

    mov rax, r8
    mov rdx, r8
    shr rdx, 32
    mov ecx, MSR_GS_BASE
    wrmsr

    sub rsp, 16
    mov word ptr [rsp], GDT_BYTES - 1
    lea rax, [r8 + percpu.gdt]
    mov qword ptr [rsp + 2], rax
    lgdt [rsp]
    add rsp, 16
    mov eax, SEL_TSS
    ltr ax
    ret
END percpu_init

.section .cpu_block, "aw", @nobits
OBJECT boot_block_start, PAGE_SIZE
boot_block_start:
END boot_block_start

.section .bss
# cpu_table: per-CPU area of each logical CPU, 0 where there is none.
OBJECT cpu_table
cpu_table:
    .zero MAX_CPUS * 8
END cpu_table

# cpu_count: CPUs that are online. Written by the boot CPU while it brings them up.
OBJECT cpu_count
cpu_count:
    .zero 8
END cpu_count
