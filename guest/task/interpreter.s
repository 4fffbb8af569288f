.intel_syntax noprefix
# The body of every task of a workload: it interprets the program that its record names. What the
# operations do is documented in harness/workload/layout.py, from which workload.inc is made.
#
# Handlers are called with rdi = instruction, and find
#   rbx   wtask of the task          r12   first instruction of its program
#   r14   task                       r13   next instruction, which a jump changes

.include "macros.inc"
.include "invariant.inc"
.include "cpu.inc"
.include "layout.inc"
.include "workload.inc"
.include "interpreter.inc"
.include "policy.inc"
.include "race.inc"

.extern clock_ns
.extern memory_alloc
.extern task_count
.extern timeout_sleep_ticks
.extern timeout_sleep_until
.extern work_run_ns
.extern work_run_ticks
.extern work_spin
.extern workload_code
.extern workload_live
.extern workload_started
.extern workload_tasks
.extern wrecords

.section .text
# interpreter_init(): makes a wtask for every slot of the task table.
#   clobbers: caller-saved
#   locks: none; before the first task starts
#   irq: as found
PUBLIC interpreter_init
interpreter_init:
    FRAME
    push rbx
    mov eax, dword ptr [rip + task_count]
    imul rbx, rax, wtask.size
    mov rdi, rbx
    mov esi, 64
    call memory_alloc
    mov qword ptr [rip + wtasks], rax
    mov rdi, rax
    mov rcx, rbx
    xor eax, eax
    rep stosb
    pop rbx
    UNFRAME
    ret
END interpreter_init

# wtask_current() -> rax = the running task's wtask.
#   clobbers: nothing else
#   locks: none
#   irq: as found
PUBLIC wtask_current
wtask_current:
    mov rax, gs:[percpu.curr]
    mov eax, dword ptr [rax + task.id]
    imul rax, rax, wtask.size
    add rax, qword ptr [rip + wtasks]
    ret
END wtask_current

# interpreter_run(rdi = record in the workload): entry of every task of the workload.
#   clobbers: never returns
#   locks: none
#   irq: on
PUBLIC interpreter_run
interpreter_run:
    FRAME
    mov r14, gs:[percpu.curr]
    call wtask_current
    mov rbx, rax
    mov qword ptr [rbx + wtask.task], r14
    mov eax, dword ptr [rdi + wltask.program]
    shl rax, 4                          # * wlinstr.size
    add rax, qword ptr [rip + workload_code]
    mov r12, rax
    mov r13, rax
    sub rdi, qword ptr [rip + workload_tasks]
    shr rdi, 6                          # / wltask.size
    imul rdi, rdi, wrecord.size
    add rdi, qword ptr [rip + wrecords]
    mov qword ptr [rbx + wtask.record], rdi
.next:
    pause                               # a program of nothing but yields must not starve others
    mov rdi, r13
    add r13, wlinstr.size
    movzx eax, byte ptr [rdi + wlinstr.opcode]
    lea rcx, [rip + workload_dispatch]
    call qword ptr [rcx + rax * 8]
    INVARIANT between_steps
    # As on the way back from a system call.
    RACE_POINT
    cmp dword ptr [r14 + task.need_resched], 0
    je .next
    POLICY schedule
    jmp .next
END interpreter_run

# workload_op_run_ns(rdi = instruction).
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE workload_op_run_ns
workload_op_run_ns:
    mov rdi, qword ptr [rdi + wlinstr.d]
    jmp work_run_ns
END workload_op_run_ns

# workload_op_run_ticks(rdi = instruction).
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE workload_op_run_ticks
workload_op_run_ticks:
    mov rdi, qword ptr [rdi + wlinstr.d]
    jmp work_run_ticks
END workload_op_run_ticks

# workload_op_spin_ns(rdi = instruction).
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE workload_op_spin_ns
workload_op_spin_ns:
    mov rdi, qword ptr [rdi + wlinstr.d]
    jmp work_spin
END workload_op_spin_ns

# workload_op_sleep_ns(rdi = instruction).
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE workload_op_sleep_ns
workload_op_sleep_ns:
    FRAME
    call clock_ns
    add rax, qword ptr [rdi + wlinstr.d]
    mov rdi, rax
    call timeout_sleep_until
    UNFRAME
    ret
END workload_op_sleep_ns

# workload_op_sleep_ticks(rdi = instruction).
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE workload_op_sleep_ticks
workload_op_sleep_ticks:
    mov rdi, qword ptr [rdi + wlinstr.d]
    jmp timeout_sleep_ticks
END workload_op_sleep_ticks

# workload_op_timer_start(rdi = instruction).
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE workload_op_timer_start
workload_op_timer_start:
    FRAME
    call clock_ns
    movzx ecx, byte ptr [rdi + wlinstr.a]
    mov qword ptr [rbx + rcx * 8 + wtask.timers], rax
    UNFRAME
    ret
END workload_op_timer_start

# workload_op_timer_relative(rdi = instruction): a period that is missed is missed.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE workload_op_timer_relative
workload_op_timer_relative:
    FRAME
    call timer_advance
    jb .sleep
    mov qword ptr [rbx + rcx * 8 + wtask.timers], rax
    jmp .out
.sleep:
    call timeout_sleep_until
.out:
    UNFRAME
    ret
END workload_op_timer_relative

# workload_op_timer_absolute(rdi = instruction): periods that are missed are caught up with.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE workload_op_timer_absolute
workload_op_timer_absolute:
    FRAME
    call timer_advance
    jae .out
    call timeout_sleep_until
.out:
    UNFRAME
    ret
END workload_op_timer_absolute

# timer_advance(rdi = instruction) -> rdi = the timer's new time, rax = now, ecx = the timer; carry
# set if that time is still to come.
#   clobbers: rdx
#   locks: none
#   irq: on
PRIVATE timer_advance
timer_advance:
    FRAME
    movzx ecx, byte ptr [rdi + wlinstr.a]
    mov rdi, qword ptr [rdi + wlinstr.d]
    add rdi, qword ptr [rbx + rcx * 8 + wtask.timers]
    mov qword ptr [rbx + rcx * 8 + wtask.timers], rdi
    call clock_ns
    cmp rax, rdi
    UNFRAME
    ret
END timer_advance

# workload_op_yield(rdi = instruction).
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE workload_op_yield
workload_op_yield:
    FRAME
    POLICY yield
    UNFRAME
    ret
END workload_op_yield

# workload_op_exec(rdi = instruction).
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE workload_op_exec
workload_op_exec:
    FRAME
    POLICY exec
    UNFRAME
    ret
END workload_op_exec

# workload_op_fork(rdi = instruction).
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE workload_op_fork
workload_op_fork:
    FRAME
    lock inc dword ptr [rip + workload_live]
    movzx ecx, byte ptr [rdi + wlinstr.a]       # WL_FORK_THREAD or 0
    mov edx, dword ptr [rdi + wlinstr.c]
    shl rdx, 6                          # * wltask.size
    add rdx, qword ptr [rip + workload_tasks]
    lea rdi, [rdx + wltask.name]
    lea rsi, [rip + interpreter_run]
    POLICY fork
    test rax, rax
    jz .full
    UNFRAME
    ret
.full:
    PANIC "workload: no task is left to fork: raise the boot parameter tasks"
END workload_op_fork

# workload_op_cpu_down(rdi = instruction): the policy refuses it where it says nothing happens. Not
# before all tasks have started: those that have not are in nobody's queue, and would start there.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE workload_op_cpu_down
workload_op_cpu_down:
    FRAME
    push rbx
    mov ebx, dword ptr [rdi + wlinstr.c]
.look:
    RACE_POINT
    cmp dword ptr [rip + workload_started], 0
    jne .started
    mov edi, 1
    call timeout_sleep_ticks
    jmp .look
.started:
    mov edi, ebx
    POLICY cpu_down
    pop rbx
    UNFRAME
    ret
END workload_op_cpu_down

# workload_op_cpu_up(rdi = instruction): the same.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE workload_op_cpu_up
workload_op_cpu_up:
    FRAME
    mov edi, dword ptr [rdi + wlinstr.c]
    POLICY cpu_up
    UNFRAME
    ret
END workload_op_cpu_up

# workload_op_load(rdi = instruction).
#   clobbers: rax, rcx
#   locks: none
#   irq: on
PRIVATE workload_op_load
workload_op_load:
    movzx ecx, byte ptr [rdi + wlinstr.a]
    mov rax, qword ptr [rdi + wlinstr.d]
    mov qword ptr [rbx + rcx * 8 + wtask.counters], rax
    ret
END workload_op_load

# workload_op_loop(rdi = instruction).
#   clobbers: rax, rcx
#   locks: none
#   irq: on
PRIVATE workload_op_loop
workload_op_loop:
    movzx ecx, byte ptr [rdi + wlinstr.a]
    dec qword ptr [rbx + rcx * 8 + wtask.counters]
    jnz workload_op_jump
    ret
END workload_op_loop

# workload_op_jump(rdi = instruction).
#   clobbers: rax
#   locks: none
#   irq: on
PRIVATE workload_op_jump
workload_op_jump:
    mov eax, dword ptr [rdi + wlinstr.c]
    shl rax, 4                          # * wlinstr.size
    lea r13, [r12 + rax]
    ret
END workload_op_jump

.section .rodata
# workload_dispatch: the handler of each opcode.
OBJECT workload_dispatch
workload_dispatch:
    WORKLOAD_DISPATCH
END workload_dispatch

.section .bss
# wtasks: by task identifier; 0 without a workload.
OBJECT wtasks
wtasks:
    .zero 8
END wtasks
