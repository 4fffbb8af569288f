.intel_syntax noprefix
# The tasks of the self-test lock_drop, and how they meet.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "lock_drop.inc"

.extern asker_task
.extern clock_deadline
.extern clock_ns
.extern cpu_rq
.extern fodder_task
.extern prev_task
.extern relax
.extern relax_spin
.extern rq_lock
.extern rq_unlock
.extern set_cpus_allowed
.extern sleeper_task
.extern stage_wake
.extern task_allocate
.extern task_start
.extern try_to_wake_up

.equ PATIENCE_NS, 3000000000
.equ MEETING_NS, 15000000               # ticks wait meanwhile
.equ SETTLE_TICKS, 10                   # until the load figure tells of the tasks

.section .text
# stage_start(rdi = name, rsi = entry, edx = CPU, ecx = real-time priority, 0 for a normal task)
# -> rax = a new task, bound to that CPU.
#   clobbers: caller-saved
#   locks: takes and releases the run queue's
#   irq: any
PUBLIC stage_start
stage_start:
    FRAME
    push rbx
    push r12
    push r13
    mov r12d, edx
    mov r13d, ecx
    xor edx, edx
    call task_allocate
    test rax, rax
    jz .full
    mov rbx, rax
    mov dword ptr [rbx + task.cpu], r12d
    mov qword ptr [rbx + task.cpus_allowed], 0
    bts qword ptr [rbx + task.cpus_allowed], r12
    test r13d, r13d
    jz .start
    mov dword ptr [rbx + task.policy], SCHED_FIFO
    mov dword ptr [rbx + task.rt_priority], r13d
.start:
    mov rdi, rbx
    call task_start
    mov rax, rbx
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
.full:
    PANIC "lock_drop: the task table is full: raise the boot parameter tasks"
END stage_start

# stage_fodder(edi = how many more): tasks to take.
#   clobbers: caller-saved
#   locks: takes and releases the run queue's
#   irq: on
PUBLIC stage_fodder
stage_fodder:
    FRAME
    push rbx
    mov ebx, edi
.task:
    lea rdi, [rip + fodder_name]
    lea rsi, [rip + fodder_task]
    xor edx, edx
    xor ecx, ecx
    call stage_start
    mov rcx, qword ptr [rip + stage + stage.fodder_count]
    lea rdx, [rip + stage + stage.fodder]
    mov qword ptr [rdx + rcx * 8], rax
    inc qword ptr [rip + stage + stage.fodder_count]
    dec ebx
    jnz .task
    pop rbx
    UNFRAME
    ret
END stage_fodder

# stage_sleepers(): tasks of CPU 1 to be woken.
#   clobbers: caller-saved
#   locks: takes and releases the run queue's
#   irq: on
PUBLIC stage_sleepers
stage_sleepers:
    FRAME
    push rbx
    xor ebx, ebx
.task:
    lea rdi, [rip + sleeper_name]
    lea rsi, [rip + sleeper_task]
    mov edx, TAKER
    xor ecx, ecx
    call stage_start
    lea rcx, [rip + stage + stage.sleepers]
    mov qword ptr [rcx + rbx * 8], rax
    inc ebx
    cmp ebx, SLEEPERS
    jb .task
    pop rbx
    UNFRAME
    ret
END stage_sleepers

# stage_allow(esi = mask): where the fodder may be taken. It is there when this returns.
#   clobbers: caller-saved
#   locks: takes and releases run queues'
#   irq: on
PUBLIC stage_allow
stage_allow:
    FRAME
    push rbx
    push r12
    xor ebx, ebx
    mov r12d, esi
.task:
    lea rdi, [rip + stage + stage.fodder]
    mov rdi, qword ptr [rdi + rbx * 8]
    mov esi, r12d
    call set_cpus_allowed
    inc ebx
    cmp rbx, qword ptr [rip + stage + stage.fodder_count]
    jb .task
    pop r12
    pop rbx
    UNFRAME
    ret
END stage_allow

# stage_ask(): a task on a third CPU, to ask for prev to be moved there.
#   clobbers: caller-saved
#   locks: takes and releases the run queue's
#   irq: on
PUBLIC stage_ask
stage_ask:
    FRAME
    mov qword ptr [rip + stage + stage.ask], 0
    mov qword ptr [rip + stage + stage.asked], 0
    lea rdi, [rip + asker_name]
    lea rsi, [rip + asker_task]
    mov edx, HELPER
    xor ecx, ecx
    call stage_start
    UNFRAME
    ret
END stage_ask

# stage_open(): a new prev runs on CPU 1, the sleepers sleep.
#   clobbers: caller-saved
#   locks: takes and releases run queues'
#   irq: on
PUBLIC stage_open
stage_open:
    FRAME
    mov qword ptr [rip + stage + stage.go], 0
    mov qword ptr [rip + stage + stage.prev_done], 0
    lea rdi, [rip + prev_name]
    lea rsi, [rip + prev_task]
    mov edx, TAKER
    xor ecx, ecx
    call stage_start
    mov qword ptr [rip + stage + stage.prev], rax
    # Alone: until then CPU 1 runs others in turn.
    mov edi, TAKER
    call cpu_rq
    mov rdi, rax
.alone:
    call relax
    cmp qword ptr [rdi + runqueue.nr_running], 1
    jne .alone
    mov rax, qword ptr [rip + stage + stage.prev]
    cmp qword ptr [rdi + runqueue.curr], rax
    jne .alone
    UNFRAME
    ret
END stage_open

# stage_meet() -> eax = 1 if CPU 1 has let go of its run queue and waits for this one's, which is
# locked then, with interrupts off; 0 if it does not, and nothing is locked.
#   clobbers: caller-saved
#   locks: takes this CPU's run queue's if it returns 1
#   irq: on; off if it returns 1
PUBLIC stage_meet
stage_meet:
    FRAME
    push rbx
    push r12
    push r13
    mov r13, qword ptr [rip + stage + stage.prev]
    mov edi, TAKER
    call cpu_rq
    mov rbx, rax
    mov rdi, MEETING_NS
    call clock_deadline
    mov r12, rax
    cli
    mov rdi, gs:[percpu.runqueue]
    call rq_lock
    mov qword ptr [rip + stage + stage.go], 1
.wait:
    call relax_spin
    call clock_ns
    cmp rax, r12
    jae .no
    # Once prev is off its list, CPU 1 holds its lock until it waits, or has changed tasks.
    cmp qword ptr [r13 + task.array], 0
    jne .wait
    cmp dword ptr [rbx + runqueue.lock + lock.owner], LOCK_FREE
    jne .wait
    cmp qword ptr [rbx + runqueue.curr], r13
    jne .no
    mov eax, 1
    jmp .out
.no:
    call stage_release
    sti
    xor eax, eax
.out:
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END stage_meet

# stage_release(): lets CPU 1 in.
#   clobbers: caller-saved
#   locks: releases this CPU's run queue's
#   irq: off
PUBLIC stage_release
stage_release:
    mov rdi, gs:[percpu.runqueue]
    jmp rq_unlock
END stage_release

# stage_end(): wakes prev, wherever it sleeps, and waits until it is through.
#   clobbers: caller-saved
#   locks: takes and releases run queues'
#   irq: on
PUBLIC stage_end
stage_end:
    FRAME
    mov qword ptr [rip + stage + stage.go], 1
.again:
    cmp qword ptr [rip + stage + stage.prev_done], 0
    jne .done
    call relax
    mov rdi, qword ptr [rip + stage + stage.prev]
    cmp dword ptr [rdi + task.state], TASK_INTERRUPTIBLE
    jne .again
    mov esi, TASK_INTERRUPTIBLE
    xor edx, edx
    call try_to_wake_up
    jmp .again
.done:
    UNFRAME
    ret
END stage_end

# stage_wait_change(rdi = word, rsi = value) -> eax = 1 once the word is another, 0 if it stays for
# long, which is less with interrupts off.
#   clobbers: caller-saved
#   locks: as found
#   irq: as found
PUBLIC stage_wait_change
stage_wait_change:
    FRAME
    push rbx
    push r12
    push r13
    mov rbx, rdi
    mov r12, rsi
    mov rdi, PATIENCE_NS
    pushfq
    pop rax
    test eax, RFLAGS_IF
    jnz .patient
    mov rdi, MEETING_NS
.patient:
    call clock_deadline
    mov r13, rax
.wait:
    cmp qword ptr [rbx], r12
    jne .changed
    call relax_spin
    call clock_ns
    cmp rax, r13
    jb .wait
    xor eax, eax
    jmp .out
.changed:
    mov eax, 1
.out:
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END stage_wait_change

# stage_settle(): computes for some ticks, so that this CPU's load figure is that of its tasks.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC stage_settle
stage_settle:
    FRAME
    push rbx
    mov rbx, gs:[percpu.ticks]
    add rbx, SETTLE_TICKS
.tick:
    call relax
    cmp rbx, gs:[percpu.ticks]
    ja .tick
    pop rbx
    UNFRAME
    ret
END stage_settle

# stage_wake(rdi = task) -> eax = 1 if that queued it.
#   clobbers: caller-saved
#   locks: takes and releases the task's run queue's
#   irq: any
PUBLIC stage_wake
stage_wake:
    mov esi, TASK_INTERRUPTIBLE
    xor edx, edx
    jmp try_to_wake_up
END stage_wake

# stage_wake_sleepers().
#   clobbers: caller-saved
#   locks: takes and releases run queues'
#   irq: any
PUBLIC stage_wake_sleepers
stage_wake_sleepers:
    FRAME
    mov rdi, qword ptr [rip + stage + stage.sleepers]
    call stage_wake
    mov rdi, qword ptr [rip + stage + stage.sleepers + 8]
    call stage_wake
    UNFRAME
    ret
END stage_wake_sleepers

# stage_check_curr() -> rax = 0 while the CPU that waits still runs prev, or why not.
#   clobbers: rcx
#   locks: this CPU's run queue's held
#   irq: off
PUBLIC stage_check_curr
stage_check_curr:
    mov rcx, qword ptr [rip + stage + stage.taker_rq]
    mov rcx, qword ptr [rcx + runqueue.curr]
    FAIL "a CPU that waits for a lock has changed tasks"
    cmp rcx, qword ptr [rip + stage + stage.prev]
    jne .out
    xor eax, eax
.out:
    ret
END stage_check_curr

.section .rodata
prev_name:
    .asciz "prev"
sleeper_name:
    .asciz "sleeper"
fodder_name:
    .asciz "fodder"
asker_name:
    .asciz "asker"

.section .bss
OBJECT stage
stage:
    .zero stage.size
END stage
