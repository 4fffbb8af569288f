.intel_syntax noprefix
# Scheduling domains. One flat domain over all CPUs for each of them, with 2.6.11's default table
# of the CPU level.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"

.extern apic_count
.extern memory_alloc

.equ CPU_LEVEL_IMBALANCE_PCT, 125
.equ CPU_LEVEL_CACHE_HOT_NS, 2500000
.equ SD_WAKE_ANY, SD_WAKE_AFFINE + SD_WAKE_IDLE + SD_WAKE_BALANCE
.equ CPU_LEVEL_FLAGS, SD_LOAD_BALANCE + SD_BALANCE_NEWIDLE + SD_BALANCE_EXEC + SD_WAKE_ANY

.section .text
# sched_domain_init(): gives the calling CPU its domain.
#   clobbers: caller-saved
#   locks: none; nobody else knows of its run queue yet
#   irq: off
PUBLIC sched_domain_init
sched_domain_init:
    FRAME
    mov edi, sched_domain.size
    mov esi, 64
    call memory_alloc
    mov rdx, -1
    mov ecx, dword ptr [rip + apic_count]
    neg ecx
    shr rdx, cl                         # ones for as many CPUs as there are, up to 64
    mov qword ptr [rax + sched_domain.parent], 0
    mov qword ptr [rax + sched_domain.span], rdx
    mov qword ptr [rax + sched_domain.flags], CPU_LEVEL_FLAGS
    mov qword ptr [rax + sched_domain.imbalance_pct], CPU_LEVEL_IMBALANCE_PCT
    mov qword ptr [rax + sched_domain.cache_hot_time], CPU_LEVEL_CACHE_HOT_NS
    mov qword ptr [rax + sched_domain.ttwu_wake_affine], 0
    mov qword ptr [rax + sched_domain.ttwu_wake_balance], 0
    mov rcx, gs:[percpu.runqueue]
    mov qword ptr [rcx + runqueue.sd], rax
    UNFRAME
    ret
END sched_domain_init
