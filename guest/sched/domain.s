.intel_syntax noprefix
# Scheduling domains, built at boot from what CPUs share. Linux 2.6.11 arch_init_sched_domains();
# harness/model/domain.py.
#
# Level by level, innermost first, the domains of a span get one ring of groups, each the span of
# an inner domain: at first of a single CPU. Each CPU's domain points at its own group in the ring.
# A CPU balances by its domains from the moment that its run queue points at them, which is when
# all are built, checked and logged.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "topology.inc"
.include "domain.inc"
.include "trace.inc"

.extern apic_count
.extern cpu_rq
.extern domain_check
.extern group_inner
.extern group_own
.extern group_ring
.extern groups_start
.extern jiffies
.extern memory_alloc
.extern rq_lock
.extern rq_unlock
.extern topology_differs
.extern topology_read
.extern topology_spans

.equ SD_ALWAYS, SD_LOAD_BALANCE + SD_BALANCE_NEWIDLE + SD_BALANCE_EXEC + SD_WAKE_IDLE

.section .text
# sched_domains_init(): gives every CPU its domains.
#   clobbers: caller-saved
#   locks: none; from the boot CPU, while the others know of no domains
#   irq: any
PUBLIC sched_domains_init
sched_domains_init:
    FRAME
    push rbx
    push r12
    push r13
    call topology_read
    mov r13, qword ptr [rip + jiffies]
    call groups_start
    lea rbx, [rip + domain_level_table]
    xor r12d, r12d
.level:
    mov rdi, rbx
    call domain_level_exists
    test eax, eax
    jz .next
    lea rax, [rip + domain_levels]
    mov qword ptr [rax + r12 * 8], rbx
    call domain_build_level
    inc r12d
.next:
    add rbx, domain_level.size
    lea rax, [rip + domain_level_table_end]
    cmp rbx, rax
    jb .level
    call domain_check_all
    call domain_log_all
    call domain_publish
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END sched_domains_init

# domain_level_exists(rdi = level) -> eax = 1 if this machine has it: threads where cores have
# several, cores where there are several packages of several, nodes where there are several, and
# packages always.
#   clobbers: rcx, rdx, rsi, rdi
#   locks: none
#   irq: any
PRIVATE domain_level_exists
domain_level_exists:
    FRAME
    mov eax, dword ptr [rdi + domain_level.spans]
    cmp eax, TOPOLOGY_NODE
    je .yes
    lea edi, [rax - 1]
    mov esi, eax
    cmp eax, TOPOLOGY_PACKAGE
    jne .compare
    call topology_differs
    test eax, eax
    jz .done
    mov edi, TOPOLOGY_PACKAGE
    mov esi, TOPOLOGY_NODE
.compare:
    call topology_differs
.done:
    UNFRAME
    ret
.yes:
    mov eax, 1
    UNFRAME
    ret
END domain_level_exists

# domain_row(rbx = level) -> rax = the span of each CPU at that level.
#   clobbers: nothing else
#   locks: none
#   irq: any
PRIVATE domain_row
domain_row:
    mov rax, qword ptr [rbx + domain_level.spans]
    imul rax, rax, TOPOLOGY_CPUS * 8
    push rcx
    lea rcx, [rip + topology_spans]
    add rax, rcx
    pop rcx
    ret
END domain_row

# domain_build_level(rbx = level, r12 = its number, r13 = jiffies): a domain more for each CPU.
#   clobbers: caller-saved
#   locks: none
#   irq: any
PRIVATE domain_build_level
domain_build_level:
    FRAME
    push r14
    push r15
    call domain_row
    mov r15, rax
    xor r14d, r14d
.ring:
    mov rdi, qword ptr [r15 + r14 * 8]
    bsf rax, rdi
    cmp eax, r14d
    jne .ring_next                      # the lowest CPU stands for the span
    call group_ring
.ring_next:
    inc r14d
    cmp r14d, dword ptr [rip + apic_count]
    jb .ring
    xor r14d, r14d
.domain:
    mov edi, r14d
    mov rsi, qword ptr [r15 + r14 * 8]
    call domain_new
    inc r14d
    cmp r14d, dword ptr [rip + apic_count]
    jb .domain
    pop r15
    pop r14
    UNFRAME
    ret
END domain_build_level

# domain_new(rbx = level, r12 = its number, r13 = jiffies, edi = CPU, rsi = span): the CPU's domain
# of this level, outside those that it has.
#   clobbers: caller-saved
#   locks: none
#   irq: any
PRIVATE domain_new
domain_new:
    FRAME
    push rdi
    push rsi
    mov edi, sched_domain.size
    mov esi, 64
    call memory_alloc
    mov rdx, rax
    mov rdi, rax
    xor eax, eax
    mov ecx, sched_domain.size / 8
    rep stosq
    lea rdi, [rdx + sched_domain.flags]
    lea rsi, [rbx + domain_level.parameters]
    mov ecx, 7
    rep movsq
    pop rsi
    pop rdi
    mov qword ptr [rdx + sched_domain.span], rsi
    mov qword ptr [rdx + sched_domain.level], r12
    mov qword ptr [rdx + sched_domain.last_balance], r13
    mov qword ptr [rdx + sched_domain.balance_interval], 1
    lea rcx, [rip + group_own]
    mov rax, qword ptr [rcx + rdi * 8]
    mov qword ptr [rdx + sched_domain.groups], rax
    lea rcx, [rip + group_inner]
    mov qword ptr [rcx + rdi * 8], rsi
    lea rcx, [rip + domain_outermost]
    mov rax, qword ptr [rcx + rdi * 8]
    mov qword ptr [rcx + rdi * 8], rdx
    test rax, rax
    jz .innermost
    mov qword ptr [rax + sched_domain.parent], rdx
    UNFRAME
    ret
.innermost:
    lea rcx, [rip + domain_innermost]
    mov qword ptr [rcx + rdi * 8], rdx
    UNFRAME
    ret
END domain_new

# domain_check_all(): every CPU's chain keeps the rules, or the run ends.
#   clobbers: caller-saved
#   locks: none
#   irq: any
PRIVATE domain_check_all
domain_check_all:
    FRAME
    push rbx
    xor ebx, ebx
.cpu:
    mov edi, ebx
    lea rax, [rip + domain_innermost]
    mov rsi, qword ptr [rax + rbx * 8]
    call domain_check
    inc ebx
    cmp ebx, dword ptr [rip + apic_count]
    jb .cpu
    pop rbx
    UNFRAME
    ret
END domain_check_all

# domain_log_all(): a line for every domain and group, CPU by CPU.
#   clobbers: caller-saved
#   locks: none
#   irq: any
PRIVATE domain_log_all
domain_log_all:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    xor r12d, r12d
.cpu:
    lea rax, [rip + domain_innermost]
    mov rbx, qword ptr [rax + r12 * 8]
.domain:
    call domain_log
    mov rbx, qword ptr [rbx + sched_domain.parent]
    test rbx, rbx
    jnz .domain
    inc r12d
    cmp r12d, dword ptr [rip + apic_count]
    jb .cpu
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END domain_log_all

# domain_log(rbx = domain, r12 = its CPU): the domain and its groups, from the CPU's own on.
#   clobbers: caller-saved, r13, r14
#   locks: none
#   irq: any
PRIVATE domain_log
domain_log:
    mov rcx, qword ptr [rbx + sched_domain.level]
    lea rax, [rip + domain_levels]
    mov rax, qword ptr [rax + rcx * 8]
    mov rax, qword ptr [rax + domain_level.name]
    mov rdx, qword ptr [rbx + sched_domain.span]
    mov rsi, qword ptr [rbx + sched_domain.flags]
    mov rdi, qword ptr [rbx + sched_domain.min_interval]
    mov r8, qword ptr [rbx + sched_domain.max_interval]
    mov r9, qword ptr [rbx + sched_domain.busy_factor]
    mov r10, qword ptr [rbx + sched_domain.imbalance_pct]
    mov r11, qword ptr [rbx + sched_domain.cache_hot_time]
    mov r13, qword ptr [rbx + sched_domain.cache_nice_tries]
    mov r14, qword ptr [rbx + sched_domain.last_balance]
    EVENT_AT 1, domain, r12, rcx, rax, rdx, rsi, rdi, r8, r9, r10, r11, r13, r14
    mov rax, qword ptr [rbx + sched_domain.groups]
.group:
    EVENT_AT 1, group, [rax + sched_group.cpumask], [rax + sched_group.cpu_power]
    mov rax, qword ptr [rax + sched_group.next]
    cmp rax, qword ptr [rbx + sched_domain.groups]
    jne .group
    ret
END domain_log

# domain_publish(): hands every CPU its chain. Under the run queue's lock, so that no attempt of
# that CPU comes between the handing over and its event.
#   clobbers: caller-saved
#   locks: takes and releases each run queue's
#   irq: any; off meanwhile
PRIVATE domain_publish
domain_publish:
    FRAME
    push rbx
    push r12
    pushfq
    cli
    xor ebx, ebx
.cpu:
    mov edi, ebx
    call cpu_rq
    mov r12, rax
    mov rdi, rax
    call rq_lock
    lea rcx, [rip + domain_innermost]
    mov rcx, qword ptr [rcx + rbx * 8]
    mov qword ptr [r12 + runqueue.sd], rcx
    EVENT_AT 1, attach, rbx
    mov rdi, r12
    call rq_unlock
    inc ebx
    cmp ebx, dword ptr [rip + apic_count]
    jb .cpu
    popfq
    pop r12
    pop rbx
    UNFRAME
    ret
END domain_publish

.section .rodata
    .balign 8
# domain_level_table: innermost first. Behind the flags: min_interval, max_interval (ms),
# busy_factor, imbalance_pct, cache_hot_time (ns), cache_nice_tries.
domain_level_table:
    .quad level_sibling, TOPOLOGY_CORE
    .quad SD_ALWAYS + SD_WAKE_AFFINE + SD_SHARE_CPUPOWER, 1, 2, 8, 110, 0, 0
    .quad level_core, TOPOLOGY_PACKAGE
    .quad SD_ALWAYS + SD_WAKE_AFFINE + SD_WAKE_BALANCE, 1, 4, 64, 110, 2500000, 1
    .quad level_cpu, TOPOLOGY_NODE
    .quad SD_ALWAYS + SD_WAKE_AFFINE + SD_WAKE_BALANCE, 1, 4, 64, 125, 2500000, 1
    .quad level_node, TOPOLOGY_MACHINE
    .quad SD_ALWAYS + SD_WAKE_BALANCE, 8, 32, 32, 125, 10000000, 1
domain_level_table_end:
level_sibling:
    .asciz "SIBLING"
level_core:
    .asciz "CORE"
level_cpu:
    .asciz "CPU"
level_node:
    .asciz "NODE"

.section .bss
# For each CPU its innermost domain, and while domains are built its outermost.
domain_innermost:
    .zero TOPOLOGY_CPUS * 8
domain_outermost:
    .zero TOPOLOGY_CPUS * 8
# domain_levels: the levels that there are, by number.
domain_levels:
    .zero DOMAIN_LEVELS * 8
