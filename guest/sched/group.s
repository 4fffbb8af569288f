.intel_syntax noprefix
# Rings of scheduling groups, level by level: the groups of a span are spans of the level inside.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "topology.inc"
.include "domain.inc"

.extern apic_count
.extern memory_alloc

.section .text
# groups_start(): before the first level each CPU is a group of its own.
#   clobbers: rax, rcx, rdx
#   locks: none
#   irq: any
PUBLIC groups_start
groups_start:
    xor ecx, ecx
.cpu:
    xor eax, eax
    bts rax, rcx
    lea rdx, [rip + group_inner]
    mov qword ptr [rdx + rcx * 8], rax
    lea rdx, [rip + group_power]
    mov qword ptr [rdx + rcx * 8], SCHED_LOAD_SCALE
    inc ecx
    cmp ecx, dword ptr [rip + apic_count]
    jb .cpu
    ret
END groups_start

# group_ring(rbx = level, rdi = span): the groups of that span in ascending order, and what
# the span is worth as a group of the next level.
#   clobbers: caller-saved
#   locks: none
#   irq: any
PUBLIC group_ring
group_ring:
    FRAME
    push r12
    push r13
    push r14
    push r15
    push rdi
    push 0                              # [rbp - 48]: number of groups
    mov r12, rdi                        # CPUs that no group has yet
    xor r13d, r13d                      # first group
    xor r14d, r14d                      # last
    xor r15d, r15d                      # sum of powers
.group:
    mov edi, sched_group.size
    mov esi, 8
    call memory_alloc
    bsf rcx, r12
    lea rdx, [rip + group_power]
    mov rdx, qword ptr [rdx + rcx * 8]
    mov qword ptr [rax + sched_group.cpu_power], rdx
    add r15, rdx
    lea rdx, [rip + group_inner]
    mov rdx, qword ptr [rdx + rcx * 8]
    mov qword ptr [rax + sched_group.cpumask], rdx
    inc qword ptr [rbp - 48]
    test r14, r14
    jz .first
    mov qword ptr [r14 + sched_group.next], rax
    jmp .linked
.first:
    mov r13, rax
.linked:
    mov r14, rax
    mov qword ptr [rax + sched_group.next], r13
    call group_note
    mov rcx, qword ptr [r14 + sched_group.cpumask]
    not rcx
    and r12, rcx
    jnz .group

    mov rax, r15
    test qword ptr [rbx + domain_level.parameters], SD_SHARE_CPUPOWER
    jz .power
    # Each further thread of a core adds a tenth of a CPU.
    mov rax, qword ptr [rbp - 48]
    dec rax
    imul rax, rax, SCHED_LOAD_SCALE
    xor edx, edx
    mov ecx, 10
    div rcx
    add rax, SCHED_LOAD_SCALE
.power:
    bsf rcx, qword ptr [rbp - 40]
    lea rdx, [rip + group_power]
    mov qword ptr [rdx + rcx * 8], rax
    add rsp, 16
    pop r15
    pop r14
    pop r13
    pop r12
    UNFRAME
    ret
END group_ring

# group_note(rax = group): notes for each of its CPUs that this is theirs.
#   clobbers: rcx, rdx, rsi
#   locks: none
#   irq: any
PRIVATE group_note
group_note:
    mov rdx, qword ptr [rax + sched_group.cpumask]
    lea rsi, [rip + group_own]
.cpu:
    bsf rcx, rdx
    mov qword ptr [rsi + rcx * 8], rax
    btr rdx, rcx
    test rdx, rdx
    jnz .cpu
    ret
END group_note

.section .bss
# For each CPU while domains are built: the span of the last level, its group in the ring built
# last, and in the entry of a span's lowest CPU the span's power.
OBJECT group_inner
group_inner:
    .zero TOPOLOGY_CPUS * 8
END group_inner
OBJECT group_own
group_own:
    .zero TOPOLOGY_CPUS * 8
END group_own
group_power:
    .zero TOPOLOGY_CPUS * 8
