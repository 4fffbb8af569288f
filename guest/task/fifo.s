.intel_syntax noprefix
# Policy `none`: one first-in first-out queue per CPU, a fixed slice, no balancing. Enough to run
# tasks while the machine below them is tested.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "trace.inc"
.include "race.inc"

.extern cpu_table
.extern ipi_send
.extern memory_alloc
.extern spin_lock
.extern spin_unlock
.extern switch_to
.extern task_bury
.extern task_log_new

.equ SLICE_TICKS, 1

STRUCT fifo
    FIELD fifo, lock, lock.size     # protects the queue and the state of the tasks in it
    FIELD fifo, head, 8
    FIELD fifo, tail, 8
    FIELD fifo, slice, 8            # ticks left to the running task; its own CPU only

.section .text
# fifo_init_cpu(): gives the calling CPU an empty queue.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE fifo_init_cpu
fifo_init_cpu:
    FRAME
    mov edi, fifo.size
    mov esi, 64
    call memory_alloc
    mov dword ptr [rax + fifo.lock + lock.owner], LOCK_FREE
    mov qword ptr [rax + fifo.head], 0
    mov qword ptr [rax + fifo.tail], 0
    mov gs:[percpu.runqueue], rax
    UNFRAME
    ret
END fifo_init_cpu

# fifo_append(rdi = queue, rsi = task): adds at the tail.
#   clobbers: rax
#   locks: the queue's lock held
#   irq: off
PRIVATE fifo_append
fifo_append:
    mov qword ptr [rsi + task.run_list], 0
    mov rax, qword ptr [rdi + fifo.tail]
    mov qword ptr [rdi + fifo.tail], rsi
    test rax, rax
    jz .first
    mov qword ptr [rax + task.run_list], rsi
    ret
.first:
    mov qword ptr [rdi + fifo.head], rsi
    ret
END fifo_append

# fifo_start(rdi = task): queues a new task on its CPU and makes that CPU look.
#   clobbers: caller-saved
#   locks: takes and releases the queue's lock
#   irq: any; off while the lock is held
PRIVATE fifo_start
fifo_start:
    FRAME
    push rbx
    push r12
    pushfq
    cli
    push rdi
    call task_log_new
    pop rdi
    mov ecx, dword ptr [rdi + task.cpu]
    lea rax, [rip + cpu_table]
    mov r12, qword ptr [rax + rcx * 8]
    mov rsi, rdi
    mov rbx, qword ptr [r12 + percpu.runqueue]
    lea rdi, [rbx + fifo.lock]
    call spin_lock
    mov rdi, rbx
    call fifo_append
    mov rax, qword ptr [r12 + percpu.idle]
    mov dword ptr [rax + task.need_resched], 1
    lea rdi, [rbx + fifo.lock]
    call spin_unlock
    cmp r12, gs:[percpu.self]
    je .done
    mov edi, dword ptr [r12 + percpu.cpu]
    mov esi, VECTOR_RESCHEDULE
    call ipi_send
.done:
    popfq
    pop r12
    pop rbx
    UNFRAME
    ret
END fifo_start

# fifo_tick(): a task whose slice is over makes room if somebody waits.
#   clobbers: caller-saved
#   locks: none; the queue's head is only read
#   irq: off
PRIVATE fifo_tick
fifo_tick:
    mov rax, gs:[percpu.curr]
    cmp rax, gs:[percpu.idle]
    je .done
    mov rcx, gs:[percpu.runqueue]
    dec qword ptr [rcx + fifo.slice]
    jg .done
    mov qword ptr [rcx + fifo.slice], SLICE_TICKS
    RACE_POINT
    cmp qword ptr [rcx + fifo.head], 0
    je .done
    mov dword ptr [rax + task.need_resched], 1
.done:
    ret
END fifo_tick

# fifo_schedule(): gives the CPU to the head of the queue, or to the idle task.
#   clobbers: caller-saved
#   locks: takes the queue's lock; held across the switch, released by the incoming side
#   irq: any; off until it returns
PRIVATE fifo_schedule
fifo_schedule:
    FRAME
    push rbx
    push r12
    push r13
    pushfq
    cli
    mov rbx, gs:[percpu.runqueue]
    mov r12, gs:[percpu.curr]
    lea rdi, [rbx + fifo.lock]
    call spin_lock
    mov dword ptr [r12 + task.need_resched], 0
    cmp dword ptr [r12 + task.state], TASK_RUNNING
    jne .pick
    cmp r12, gs:[percpu.idle]
    je .pick
    mov rdi, rbx
    mov rsi, r12
    call fifo_append
.pick:
    mov r13, qword ptr [rbx + fifo.head]
    test r13, r13
    jz .idle
    mov rax, qword ptr [r13 + task.run_list]
    mov qword ptr [rbx + fifo.head], rax
    test rax, rax
    jnz .chosen
    mov qword ptr [rbx + fifo.tail], 0
    jmp .chosen
.idle:
    mov r13, gs:[percpu.idle]
.chosen:
    mov qword ptr [rbx + fifo.slice], SLICE_TICKS
    cmp r13, r12
    je .same
    mov gs:[percpu.curr], r13
    inc qword ptr gs:[percpu.switches]
    mov eax, dword ptr [r12 + task.id]
    mov ecx, dword ptr [r13 + task.id]
    xor edx, edx
    cmp dword ptr [r12 + task.state], TASK_RUNNING
    setne dl
    inc qword ptr [r12 + task.nivcsw]
    EVENT_AT 1, switch, rax, rcx, rdx
    mov rdi, r12
    mov rsi, r13
    call switch_to
    mov rdi, rax
    call fifo_finish
    jmp .out
.same:
    lea rdi, [rbx + fifo.lock]
    call spin_unlock
.out:
    popfq
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END fifo_schedule

# fifo_finish(rdi = the task that ran before): the incoming side of a switch.
#   clobbers: caller-saved
#   locks: releases the queue's lock
#   irq: off
PRIVATE fifo_finish
fifo_finish:
    FRAME
    push rbx
    mov rbx, rdi
    mov rdi, gs:[percpu.runqueue]
    add rdi, fifo.lock
    call spin_unlock
    # Nobody stands on the stack of a task that has ended any more.
    cmp dword ptr [rbx + task.state], TASK_DEAD
    jne .done
    mov rdi, rbx
    call task_bury
.done:
    pop rbx
    UNFRAME
    ret
END fifo_finish

# fifo_nothing(): where other policies have threads to start or totals to log.
#   clobbers: nothing
#   locks: none
#   irq: off
PRIVATE fifo_nothing
fifo_nothing:
    ret
END fifo_nothing

# fifo_exit(): ends the calling task.
#   clobbers: never returns
#   locks: none at entry
#   irq: any
PRIVATE fifo_exit
fifo_exit:
    FRAME
    cli
    mov rax, gs:[percpu.curr]
    mov dword ptr [rax + task.state], TASK_DEAD
    call fifo_schedule
    PANIC "a task that had ended was run again"
END fifo_exit

# fifo_unsupported(): what only the tasks of a workload ask for.
#   clobbers: never returns
#   locks: any
#   irq: any
PRIVATE fifo_unsupported
fifo_unsupported:
    PANIC "policy none does not schedule workloads"
END fifo_unsupported

.section .rodata
fifo_name:
    .asciz "none"
    .balign 8
OBJECT fifo_policy
fifo_policy:
    .quad fifo_name
    .quad fifo_init_cpu
    .quad fifo_nothing
    .quad fifo_tick
    .quad fifo_schedule
    .quad fifo_schedule
    .quad fifo_schedule
    .quad fifo_exit
    .quad fifo_start
    .quad fifo_nothing
    .quad fifo_nothing
    .quad fifo_finish
    .rept 8
    .quad fifo_unsupported
    .endr
END fifo_policy
