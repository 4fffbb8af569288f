.intel_syntax noprefix
# The balancing share of a tick. Linux 2.6.11 rebalance_tick(); harness/model/balance.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "fix.inc"
.include "race.inc"

.extern cpu_count
.extern cpu_online_mask
.extern decayed_load
.extern load_balance
.extern param_hz

.equ MS_PER_SECOND, 1000

.section .text
# rebalance_tick(rdi = this CPU's run queue, esi = SCHED_IDLE or NOT_IDLE, rdx = jiffies): ages the
# load figure and balances in the domains whose time has come. CPUs take turns by an offset. In it
# rbx = run queue, r12 = domain, r13 = jiffies with the offset, r14 = idle, r15 = interval.
#   clobbers: caller-saved
#   locks: none at entry; takes and releases run queues'
#   irq: off
PUBLIC rebalance_tick
rebalance_tick:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov rbx, rdi
    mov r14d, esi
    mov r13, rdx
    mov gs:[percpu.op_jiffies], rdx
    call update_cpu_load
    mov rax, qword ptr [rbx + runqueue.cpu]
    bt qword ptr [rip + cpu_online_mask], rax
    jnc .out                            # unplugged: it has nothing to take
    mov rax, qword ptr [rip + param_hz]
    imul rax, qword ptr [rbx + runqueue.cpu]
    xor edx, edx
    div qword ptr [rip + cpu_count]
    add r13, rax
    mov r12, qword ptr [rbx + runqueue.sd]
.domain:
    test r12, r12
    jz .out
    test qword ptr [r12 + sched_domain.flags], SD_LOAD_BALANCE
    jz .next
    call balance_interval
    mov r15, rax
    mov rax, r13
    sub rax, qword ptr [r12 + sched_domain.last_balance]
    cmp rax, r15
    jb .next
    mov rdi, r12
    mov esi, r14d
    call load_balance
    test eax, eax
    jz .failed
    mov r14d, NOT_IDLE
.failed:
    # Counted from when this one was due, so that a CPU that is late catches up tick after tick:
    # defect L04. Corrected: counted from now.
    add r15, qword ptr [r12 + sched_domain.last_balance]
    FIXED 4
    cmovc r15, r13
    mov qword ptr [r12 + sched_domain.last_balance], r15
.next:
    mov r12, qword ptr [r12 + sched_domain.parent]
    jmp .domain
.out:
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END rebalance_tick

# update_cpu_load(rbx = run queue): ages the load figure of the calling CPU.
#   clobbers: caller-saved
#   locks: none: only this CPU writes it, and nr_running is a hint
#   irq: off
PRIVATE update_cpu_load
update_cpu_load:
    FRAME
    push r12
    RACE_POINT
    mov r12, qword ptr [rbx + runqueue.nr_running]
    mov rdi, qword ptr [rbx + runqueue.cpu_load]
    mov rsi, r12
    call decayed_load
    cmp rax, qword ptr [rbx + runqueue.cpu_load]
    je .same
    mov qword ptr [rbx + runqueue.cpu_load], rax
    EVENT_AT 1, cpu_load, r12, rax
.same:
    pop r12
    UNFRAME
    ret
END update_cpu_load

# balance_interval(r12 = domain, r14 = SCHED_IDLE or NOT_IDLE) -> rax = jiffies from one attempt to
# the next, at least one; a CPU that has work looks less often.
#   clobbers: rcx, rdx
#   locks: none
#   irq: off
PRIVATE balance_interval
balance_interval:
    mov rax, qword ptr [r12 + sched_domain.balance_interval]
    cmp r14d, SCHED_IDLE
    je .idle
    imul rax, qword ptr [r12 + sched_domain.busy_factor]
.idle:
    imul rax, qword ptr [rip + param_hz]
    add rax, MS_PER_SECOND - 1
    mov ecx, MS_PER_SECOND
    xor edx, edx
    div rcx
    mov ecx, 1
    test rax, rax
    cmovz rax, rcx
    ret
END balance_interval
