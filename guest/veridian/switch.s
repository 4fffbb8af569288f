.intel_syntax noprefix
# The switch, from the decision to the incoming side. VeridianOS Scheduler::switch_to();
# harness/model/veridian/core.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "veridian.inc"
.include "trace.inc"
.include "invariant.inc"

.extern clock_ns
.extern info_unlock
.extern message_dispatch_first
.extern metrics_switch_done
.extern param_algorithm
.extern place_task
.extern switch_to
.extern task_end
.extern update_load

.section .text
# schedule_picked(rbx = cpu_info, r15 = next): next is the running task; counts and logs that.
#   clobbers: caller-saved
#   locks: the cpu_info's held
#   irq: off
PUBLIC schedule_picked
schedule_picked:
    FRAME
    mov qword ptr [rbx + cpu_info.curr], r15
    xor eax, eax
    cmp r15, qword ptr [rbx + cpu_info.idle_task]
    sete al
    add qword ptr [rbx + cpu_info.idle_scheduled], rax
    IF_BUG 18, .always_idle
    mov dword ptr [rbx + cpu_info.idle], eax
.always_idle:
    mov rsi, rbx
    call update_load
    mov eax, dword ptr [r15 + task.id]
    mov ecx, dword ptr [rip + param_algorithm]
    EVENT_AT 1, v_pick, rax, rcx, [rbx + cpu_info.nr_running], [rbx + cpu_info.load]
    call clock_ns
    mov qword ptr [rbx + cpu_info.switch_began], rax
    sub rax, qword ptr [rbx + cpu_info.schedule_began]
    add qword ptr [rbx + cpu_info.scheduler_ns], rax
    UNFRAME
    ret
END schedule_picked

# veridian_switch(rbx = cpu_info, r12 = prev, r13 = jiffies, r14 = voluntary, r15 = next): the
# switch. It returns when somebody switches back, perhaps on another CPU.
#   clobbers: caller-saved, and the contents of rbx for the caller
#   locks: the cpu_info's held at entry; of the CPU it returns on, released
#   irq: off
PUBLIC veridian_switch
veridian_switch:
    FRAME
    # Under the lock still: whoever gets it next must see who runs.
    mov gs:[percpu.curr], r15
    call schedule_picked
    call veridian_account
    mov eax, dword ptr [r12 + task.id]
    mov ecx, dword ptr [r15 + task.id]
    EVENT_AT 1, switch, rax, rcx, r14
    call message_dispatch_first
    IF_BUG 6, .unlock
.switch:
    INVARIANT switching
    mov rdi, r12
    mov rsi, r15
    call switch_to
    mov rdi, rax
    call veridian_finish
    UNFRAME
    ret
.unlock:
    # Bug V06: prev, if it waits, can be taken by another CPU, whose stack it then shares.
    cmp qword ptr [r12 + task.array], 0
    je .switch
    mov qword ptr [rbx + cpu_info.unlocked], 1
    mov rdi, rbx
    call info_unlock
    pause
    jmp .switch
END veridian_switch

# veridian_account(rbx = cpu_info, r12 = prev, r13 = jiffies, r14 = voluntary, r15 = next): counts
# the switch, for prev, and the time that both have run and waited.
#   clobbers: rax, rcx, rdx
#   locks: the cpu_info's held
#   irq: off
PRIVATE veridian_account
veridian_account:
    FRAME
    inc qword ptr [rbx + cpu_info.context_switches]
    add qword ptr [rbx + cpu_info.voluntary], r14
    inc qword ptr gs:[percpu.switches]
    mov rdx, r12
    IF_BUG 28, .incoming
.counted:
    lea rax, [rdx + task.nivcsw]
    lea rcx, [rdx + task.nvcsw]
    test r14d, r14d
    cmovnz rax, rcx
    inc qword ptr [rax]
    mov rax, qword ptr [rbx + cpu_info.switch_began]
    mov qword ptr [r12 + task.last_ran], rax
    mov qword ptr [r15 + task.timestamp], rax
    cmp r12, qword ptr [rbx + cpu_info.idle_task]
    je .in
    mov rax, r13
    sub rax, qword ptr [r12 + task.sched_last_arrival]
    add qword ptr [r12 + task.sched_cpu_time], rax
    VTASK rax, eax, r12
    mov qword ptr [rax + vtask.since], r13
.in:
    cmp r15, qword ptr [rbx + cpu_info.idle_task]
    je .done
    VTASK rax, eax, r15
    mov rcx, r13
    sub rcx, qword ptr [rax + vtask.since]
    add qword ptr [r15 + task.sched_run_delay], rcx
    inc qword ptr [r15 + task.sched_pcnt]
    mov qword ptr [r15 + task.sched_last_arrival], r13
.done:
    UNFRAME
    ret
.incoming:
    # Bug V28: counted for next, from prev's state.
    mov rdx, r15
    jmp .counted
END veridian_account

# veridian_begin(rdi = the task that ran before): the incoming side of a switch, in a task that
# runs for the first time.
#   clobbers: caller-saved
#   locks: releases the cpu_info's
#   irq: off
PUBLIC veridian_begin
veridian_begin:
    IF_BUG 3, .locked
    jmp veridian_finish
.locked:
    # Bug V03: a new task knows nothing of the lock that was taken for it.
    ret
END veridian_begin

# veridian_finish(rdi = the task that ran before): the incoming side of a switch. Nobody stands on
# that task's stack any more: if it has ended, it is buried; if it may not run here, it is sent on.
#   clobbers: caller-saved
#   locks: releases the cpu_info's
#   irq: off
PUBLIC veridian_finish
veridian_finish:
    FRAME
    push rbx
    mov rbx, rdi
    call metrics_switch_done
    VTASK rax, eax, rbx
    cmp dword ptr [rax + vtask.leaving], 0
    jne .hand_over
    mov rdi, gs:[percpu.runqueue]
    # Asked under the lock: once it is free the task may run elsewhere, and end there.
    xor eax, eax
    cmp dword ptr [rbx + task.state], TASK_DEAD
    cmovne rbx, rax
    cmp qword ptr [rdi + cpu_info.unlocked], 0
    jne .unlocked
    call info_unlock
    test rbx, rbx
    jz .done
    mov rdi, rbx
    call task_end
.done:
    pop rbx
    UNFRAME
    ret
.hand_over:
    mov dword ptr [rax + vtask.leaving], 0
    mov rdi, rbx
    xor esi, esi
    mov edx, 1
    call place_task
    jmp .done
.unlocked:
    mov qword ptr [rdi + cpu_info.unlocked], 0
    jmp .done
END veridian_finish
