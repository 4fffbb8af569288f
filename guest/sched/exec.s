.intel_syntax noprefix
# Where a task goes on that starts a new program: there is nothing in the caches that it would lose.
# Linux 2.6.11 sched_exec(), find_idlest_cpu(), sched_migrate_task(); harness/model/migrate.py.
#
# The original searches without locks. Here the run queue's and cpu_online_lock are held, so that
# the log has the one order of the search and of changes to the task's affinity and to the CPUs.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"

.extern cpu_online_lock
.extern cpu_online_mask
.extern migration_request
.extern read_load
.extern rq_lock
.extern rq_unlock
.extern source_load
.extern spin_lock
.extern spin_unlock
.extern target_load

.equ NO_LEVEL, -1

.section .text
# sched_exec(): the calling task starts a new program: on the CPU with the least to do, if that is
# clearly better. In it rbx = task, r12 = run queue, r13 = domain.
#   clobbers: caller-saved
#   locks: takes and releases the run queue's and cpu_online_lock
#   irq: on; the task may sleep until it is moved
PUBLIC sched_exec
sched_exec:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    sub rsp, migration.size
    cli
    mov rbx, gs:[percpu.curr]
    mov r12, gs:[percpu.runqueue]
    mov rdi, r12
    call rq_lock
    inc qword ptr [r12 + runqueue.sbe_cnt]
    call exec_domain
    mov r13, rax
    mov rcx, NO_LEVEL
    test rax, rax
    jz .log
    mov rcx, qword ptr [rax + sched_domain.level]
.log:
    mov eax, dword ptr [rbx + task.id]
    EVENT_AT 1, exec, rax, [r12 + runqueue.cpu], [r12 + runqueue.nr_running], rcx
    test r13, r13
    jz .stays
    inc qword ptr [r13 + sched_domain.sbe_attempts]
    lea rdi, [rip + cpu_online_lock]
    call spin_lock
    mov rdi, rbx
    mov rsi, qword ptr [r12 + runqueue.cpu]
    mov rdx, r13
    call find_idlest_cpu
    mov r14d, eax
    mov eax, dword ptr [rbx + task.id]
    EVENT_AT 1, exec_to, rax, r14
    lea rdi, [rip + cpu_online_lock]
    call spin_unlock
    cmp r14, qword ptr [r12 + runqueue.cpu]
    je .stays
    inc qword ptr [r13 + sched_domain.sbe_pushed]
    inc qword ptr [r12 + runqueue.smt_cnt]
    mov rdi, rsp
    call migration_request
    jmp .out
.stays:
    mov rdi, r12
    call rq_unlock
    sti
.out:
    lea rsp, [rbp - 32]
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END sched_exec

# exec_domain(r12 = run queue) -> rax = the widest domain that takes part; 0 if there is none, or if
# the task is alone here.
#   clobbers: rcx
#   locks: the run queue's held
#   irq: off
PRIVATE exec_domain
exec_domain:
    xor eax, eax
    cmp qword ptr [r12 + runqueue.nr_running], 1
    jbe .out
    mov rcx, qword ptr [r12 + runqueue.sd]
.domain:
    test rcx, rcx
    jz .out
    test qword ptr [rcx + sched_domain.flags], SD_BALANCE_EXEC
    cmovnz rax, rcx
    mov rcx, qword ptr [rcx + sched_domain.parent]
    jmp .domain
.out:
    ret
END exec_domain

# find_idlest_cpu(rdi = task, esi = its CPU, rdx = domain) -> eax = the CPU of the domain with the
# least to do that the task may run on, the first that has nothing to do; its own unless that is
# clearly better. In it rbx = the idlest, r12 = its load, r13 = CPUs left, r14 = own, r15 = domain.
#   clobbers: caller-saved
#   locks: none needed
#   irq: off
PUBLIC find_idlest_cpu
find_idlest_cpu:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov r13, qword ptr [rdi + task.cpus_allowed]
    and r13, qword ptr [rdx + sched_domain.span]
    and r13, qword ptr [rip + cpu_online_mask]
    mov r14d, esi
    mov r15, rdx
    mov ebx, esi
    mov r12, -1
.cpu:
    bsf rdi, r13
    jz .compare
    btr r13, rdi
    push rdi
    call read_load
    call target_load
    pop rdi
    cmp rax, r12
    jae .cpu
    mov r12, rax
    mov ebx, edi
    test rax, rax
    jnz .cpu
.compare:
    cmp r12, -1
    je .out                             # not one: it stays
    mov edi, r14d
    call read_load
    call source_load
    add rax, SCHED_LOAD_SCALE           # the task itself, which is new to either
    imul rax, rax, 100
    mov rcx, qword ptr [r15 + sched_domain.imbalance_pct]
    sub rcx, 100
    shr rcx, 1
    add rcx, 100
    imul rcx, r12
    cmp rcx, rax
    cmovae ebx, r14d
.out:
    mov eax, ebx
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END find_idlest_cpu
