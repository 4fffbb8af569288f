.intel_syntax noprefix
# The timer tick's share of scheduling. VeridianOS Scheduler::tick();
# harness/model/veridian/core.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "veridian.inc"
.include "trace.inc"

.extern balance_tick
.extern cleanup_announce
.extern info_lock
.extern info_unlock

.section .text
# veridian_tick(): takes a tick off the running task's slice; balances; and on the boot CPU, cleans
# up.
#   clobbers: caller-saved
#   locks: none held; takes and releases the cpu_infos'
#   irq: off
PUBLIC veridian_tick
veridian_tick:
    FRAME
    push rbx
    mov rbx, gs:[percpu.runqueue]
    mov rax, gs:[percpu.curr]
    cmp rax, qword ptr [rbx + cpu_info.idle_task]
    je .balance
    call veridian_tick_account
.balance:
    call balance_tick
    cmp dword ptr gs:[percpu.cpu], 0
    jne .done
    call cleanup_announce
.done:
    pop rbx
    UNFRAME
    ret
END veridian_tick

# veridian_tick_account(rbx = cpu_info): a tick of the running task. At 0 it is to reschedule, which
# looks at the slice before it gives it a new one.
#   clobbers: caller-saved
#   locks: takes and releases the cpu_info's
#   irq: off
PRIVATE veridian_tick_account
veridian_tick_account:
    FRAME
    push r12
    mov rdi, rbx
    call info_lock
    mov r12, gs:[percpu.curr]
    mov eax, dword ptr [r12 + task.id]
    mov ecx, dword ptr [r12 + task.time_slice]
    EVENT_AT 1, v_tick, rax, rcx
    sub ecx, 1
    jc .over
    mov dword ptr [r12 + task.time_slice], ecx
    jnz .unlock
.over:
    mov dword ptr [r12 + task.need_resched], 1
    IF_BUG 2, .refill
.unlock:
    mov rdi, rbx
    call info_unlock
    pop r12
    UNFRAME
    ret
.refill:
    # Bug V02: by the time schedule looks, the slice is not over.
    mov dword ptr [r12 + task.time_slice], DEFAULT_TIME_SLICE
    jmp .unlock
END veridian_tick_account
