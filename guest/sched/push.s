.intel_syntax noprefix
# Pushing tasks away from a busy CPU: what its migration thread does after others have failed to
# take some. Linux 2.6.11 active_load_balance(); harness/model/migrate.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "fix.inc"
.include "race.inc"

.extern cpu_and_siblings_are_idle
.extern cpu_online_mask
.extern cpu_rq
.extern double_lock_balance
.extern jiffies
.extern move_tasks
.extern rq_unlock

.section .text
# active_load_balance(rdi = this CPU's run queue): gives a task to each CPU that is seen idle, in
# ever wider domains, as long as there are some to give. In it rbx = run queue, r12 = domain,
# r13 = group, r14 = CPUs of it that are left, r15 = CPUs visited.
#   clobbers: caller-saved
#   locks: the run queue's held, and dropped where double_lock_balance drops it
#   irq: off
PUBLIC active_load_balance
active_load_balance:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov rbx, rdi
    inc qword ptr [rbx + runqueue.alb_cnt]
    RACE_POINT
    mov rax, qword ptr [rip + jiffies]
    mov gs:[percpu.op_jiffies], rax
    EVENT_AT 1, push, [rbx + runqueue.cpu]
    mov rcx, qword ptr [rbx + runqueue.cpu]
    xor r15d, r15d
    bts r15, rcx
    mov r12, qword ptr [rbx + runqueue.sd]
.domain:
    test r12, r12
    jz .out
    test qword ptr [r12 + sched_domain.flags], SD_LOAD_BALANCE
    jz .out
    mov r13, qword ptr [r12 + sched_domain.groups]
.group:
    mov r14, qword ptr [r13 + sched_group.cpumask]
.cpu:
    mov rax, r15
    not rax
    and r14, rax
    bsf rdi, r14
    jz .next
    bts r15, rdi
    call push_may_go_on
    test eax, eax
    jz .out
    call push_to
    jmp .cpu
.next:
    mov r13, qword ptr [r13 + sched_group.next]
    cmp r13, qword ptr [r12 + sched_domain.groups]
    jne .group
    mov r12, qword ptr [r12 + sched_domain.parent]
    jmp .domain
.out:
    EVENT_AT 1, pushed, [rbx + runqueue.cpu]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END active_load_balance

# push_may_go_on(rbx = run queue) -> eax = 1 if there is a task to give away. The migration thread
# counts as one, so that may be the only ordinary task there is: defect L11. Corrected: another
# ordinary task has to remain.
#   clobbers: nothing else
#   locks: the run queue's held
#   irq: off
PRIVATE push_may_go_on
push_may_go_on:
    mov eax, 1
    FIXED 11
    adc eax, 0                          # tasks that have to remain
    cmp qword ptr [rbx + runqueue.nr_running], rax
    seta al
    movzx eax, al
    ret
END push_may_go_on

# push_to(rbx = run queue, r12 = domain, edi = CPU): gives that CPU a task if it idles. Who asked
# for the push does not matter: defect L11. Corrected: only that CPU is given one.
#   clobbers: caller-saved
#   locks: as active_load_balance
#   irq: off
PRIVATE push_to
push_to:
    FRAME
    push r13
    push r14
    mov r14d, edi
    FIXED 11
    jnc .anyone
    cmp r14, qword ptr [rbx + runqueue.push_cpu]
    jne .out
.anyone:
    RACE_POINT
    bt qword ptr [rip + cpu_online_mask], r14
    jnc .out
    call cpu_and_siblings_are_idle
    test eax, eax
    jz .out
    mov edi, r14d
    call cpu_rq
    mov r13, rax
    mov rdi, rbx
    mov rsi, rax
    call double_lock_balance
    bt qword ptr [rip + cpu_online_mask], r14
    jnc .unlock                         # unplugged meanwhile, which takes its lock
    mov rdi, r13
    mov rsi, rbx
    mov edx, 1
    mov rcx, r12
    mov r8d, SCHED_IDLE
    call move_tasks
    test eax, eax
    jz .failed
    inc qword ptr [rbx + runqueue.alb_lost]
    inc qword ptr [r13 + runqueue.alb_gained]
    jmp .unlock
.failed:
    inc qword ptr [rbx + runqueue.alb_failed]
.unlock:
    mov rdi, r13
    call rq_unlock
.out:
    pop r14
    pop r13
    UNFRAME
    ret
END push_to
