.intel_syntax noprefix
# The task table. Identifiers are indices: first one idle task per CPU, then the tasks proper: as
# many as the boot parameter `tasks` allows or the workload needs, and one kernel thread per CPU.
# Every task proper has a stack of one page above a page that is never mapped; the lowest word of a
# stack is a canary.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "policy.inc"

.extern apic_count
.extern memory_alloc
.extern memory_unmap
.extern param_tasks
.extern spin_lock
.extern spin_unlock
.extern workload_task_count

.equ STACK_STRIDE, 2 * PAGE_SIZE        # guard page and stack

.section .text
# task_table_init(): makes room for all tasks.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PUBLIC task_table_init
task_table_init:
    FRAME
    push rbx
    push r12
    mov ecx, dword ptr [rip + apic_count]
    mov dword ptr [rip + task_idle_count], ecx
    mov rax, qword ptr [rip + workload_task_count]
    cmp rax, qword ptr [rip + param_tasks]
    cmovb rax, qword ptr [rip + param_tasks]
    lea eax, [rax + rcx * 2]            # an idle task and a kernel thread per CPU
    mov dword ptr [rip + task_count], eax
    imul edi, eax, task.size
    mov ebx, edi
    mov esi, 64
    call memory_alloc
    mov qword ptr [rip + task_table], rax
    mov rdi, rax
    mov ecx, ebx
    xor eax, eax
    rep stosb

    mov ebx, dword ptr [rip + task_count]
    sub ebx, dword ptr [rip + task_idle_count]
    mov rdi, rbx
    imul rdi, rdi, STACK_STRIDE
    mov esi, PAGE_SIZE
    call memory_alloc
    mov qword ptr [rip + task_stacks], rax
    mov r12, rax
.guard:
    mov rdi, r12
    call memory_unmap
    add r12, STACK_STRIDE
    dec ebx
    jnz .guard
    pop r12
    pop rbx
    UNFRAME
    ret
END task_table_init

# task_init_idle(rdi = stack): makes the calling context the CPU's idle task.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PUBLIC task_init_idle
task_init_idle:
    FRAME
    mov ecx, gs:[percpu.cpu]
    imul eax, ecx, task.size
    add rax, qword ptr [rip + task_table]
    mov dword ptr [rax + task.id], ecx
    mov dword ptr [rax + task.cpu], ecx
    mov dword ptr [rax + task.slot], SLOT_USED
    mov dword ptr [rax + task.state], TASK_RUNNING
    mov qword ptr [rax + task.stack], rdi
    mov rcx, STACK_CANARY
    mov qword ptr [rdi], rcx
    mov dword ptr [rax + task.name], 'i' + 'd' * 0x100 + 'l' * 0x10000 + 'e' * 0x1000000
    mov gs:[percpu.idle], rax
    mov gs:[percpu.curr], rax
    UNFRAME
    ret
END task_init_idle

# task_create(rdi = name, rsi = entry, rdx = argument, ecx = CPU) -> rax = task, 0 if the table is
# full. entry(argument) runs with interrupts on; returning from it ends the task.
#   clobbers: caller-saved
#   locks: takes and releases task_lock; the policy's queue lock
#   irq: any
PUBLIC task_create
task_create:
    FRAME
    push rbx
    push r12
    mov r12d, ecx
    call task_allocate
    mov rbx, rax
    test rax, rax
    jz .full
    mov dword ptr [rbx + task.cpu], r12d
    mov rdi, rbx
    POLICY start
.full:
    mov rax, rbx
    pop r12
    pop rbx
    UNFRAME
    ret
END task_create

# task_allocate(rdi = name, rsi = entry, rdx = argument) -> rax = a task that nobody runs yet: nice
# 0, allowed everywhere; 0 if the table is full.
#   clobbers: caller-saved
#   locks: takes and releases task_lock
#   irq: any
PUBLIC task_allocate
task_allocate:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    mov r12, rdi
    mov r13, rsi
    mov r14, rdx
    call task_claim
    test rax, rax
    jz .full
    mov rbx, rax
    mov qword ptr [rbx + task.entry], r13
    mov qword ptr [rbx + task.argument], r14
    mov dword ptr [rbx + task.static_prio], DEFAULT_STATIC_PRIO
    mov dword ptr [rbx + task.prio], DEFAULT_STATIC_PRIO
    mov qword ptr [rbx + task.cpus_allowed], -1
    mov dword ptr [rbx + task.mm], 1
    mov rdi, rbx
    mov rsi, r12
    call task_set_name
    mov rdi, rbx
    call task_prepare_stack
    mov rax, rbx
.full:
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END task_allocate

# task_inherit(rdi = child, rsi = parent): what a forked task has from its parent. Its slice, its
# place in a queue and its time-stamps are the policy's business.
#   clobbers: rax
#   locks: none: the parent is the caller, the child is known to nobody
#   irq: any
PUBLIC task_inherit
task_inherit:
    mov qword ptr [rdi + task.parent], rsi
    mov rax, qword ptr [rsi + task.generation]
    mov qword ptr [rdi + task.parent_generation], rax
    mov eax, dword ptr [rsi + task.prio]
    mov dword ptr [rdi + task.prio], eax
    mov eax, dword ptr [rsi + task.static_prio]
    mov dword ptr [rdi + task.static_prio], eax
    mov eax, dword ptr [rsi + task.policy]
    mov dword ptr [rdi + task.policy], eax
    mov eax, dword ptr [rsi + task.rt_priority]
    mov dword ptr [rdi + task.rt_priority], eax
    mov eax, dword ptr [rsi + task.mm]
    mov dword ptr [rdi + task.mm], eax
    mov rax, qword ptr [rsi + task.cpus_allowed]
    mov qword ptr [rdi + task.cpus_allowed], rax
    mov rax, qword ptr [rsi + task.last_ran]
    mov qword ptr [rdi + task.last_ran], rax
    ret
END task_inherit

# task_log_new(rdi = task): logs what a new task starts out with.
#   clobbers: caller-saved
#   locks: none
#   irq: any
PUBLIC task_log_new
task_log_new:
    FRAME
    push rbx
    mov ebx, dword ptr [rdi + task.id]
    mov ecx, dword ptr [rdi + task.cpu]
    mov edx, dword ptr [rdi + task.policy]
    movsxd rsi, dword ptr [rdi + task.static_prio]
    sub rsi, DEFAULT_STATIC_PRIO
    mov r8d, dword ptr [rdi + task.rt_priority]
    mov r9d, dword ptr [rdi + task.mm]
    mov rax, -1
    mov r10, qword ptr [rdi + task.parent]
    test r10, r10
    jz .orphan
    mov eax, dword ptr [r10 + task.id]
.orphan:
    mov r10, qword ptr [rdi + task.cpus_allowed]
    mov r11, qword ptr [rdi + task.timestamp]
    lea rdi, [rdi + task.name]
    EVENT_AT 1, task_new, rbx, rdi, rcx, rdx, rsi, r8, r10, r9, rax, r11
    pop rbx
    UNFRAME
    ret
END task_log_new

# task_claim() -> rax = an unused task, its slot SLOT_USED; 0 if there is none.
#   clobbers: caller-saved
#   locks: takes and releases task_lock
#   irq: any; off while the lock is held
PRIVATE task_claim
task_claim:
    FRAME
    push rbx
    pushfq
    cli
    lea rdi, [rip + task_lock]
    call spin_lock
    mov ecx, dword ptr [rip + task_idle_count]
    imul ebx, ecx, task.size
    add rbx, qword ptr [rip + task_table]
.slot:
    cmp dword ptr [rbx + task.slot], SLOT_FREE
    je .found
    add rbx, task.size
    inc ecx
    cmp ecx, dword ptr [rip + task_count]
    jb .slot
    xor ebx, ebx
    jmp .out
.found:
    mov rdi, rbx
    mov edx, ecx
    mov rsi, qword ptr [rbx + task.generation]
    mov ecx, task.size
    xor eax, eax
    rep stosb                           # all the rest of a task starts at 0
    mov ecx, edx
    mov qword ptr [rbx + task.generation], rsi
    mov dword ptr [rbx + task.slot], SLOT_USED
    mov dword ptr [rbx + task.id], ecx
    sub ecx, dword ptr [rip + task_idle_count]
    imul rcx, rcx, STACK_STRIDE
    add rcx, qword ptr [rip + task_stacks]
    add rcx, PAGE_SIZE
    mov qword ptr [rbx + task.stack], rcx
.out:
    lea rdi, [rip + task_lock]
    call spin_unlock
    popfq
    mov rax, rbx
    pop rbx
    UNFRAME
    ret
END task_claim

# task_set_name(rdi = task, rsi = name): cut to fit, every blank an underscore.
#   clobbers: rax, rcx
#   locks: none
#   irq: as found
PRIVATE task_set_name
task_set_name:
    xor ecx, ecx
.character:
    mov al, byte ptr [rsi + rcx]
    test al, al
    jz .end
    cmp al, ' '
    ja .store
    mov al, '_'
.store:
    mov byte ptr [rdi + rcx + task.name], al
    inc ecx
    cmp ecx, TASK_NAME_BYTES - 1
    jb .character
.end:
    mov byte ptr [rdi + rcx + task.name], 0
    ret
END task_set_name

# task_prepare_stack(rdi = task): canary below; above, what switch_to takes off for a first run.
#   clobbers: rax, rcx
#   locks: none
#   irq: as found
PRIVATE task_prepare_stack
task_prepare_stack:
    mov rcx, qword ptr [rdi + task.stack]
    mov rax, STACK_CANARY
    mov qword ptr [rcx], rax
    add rcx, PAGE_SIZE - 64
    mov qword ptr [rcx], 0              # r15, r14, r13, r12, rbx, rbp
    mov qword ptr [rcx + 8], 0
    mov qword ptr [rcx + 16], 0
    mov qword ptr [rcx + 24], 0
    mov qword ptr [rcx + 32], 0
    mov qword ptr [rcx + 40], 0
    lea rax, [rip + task_begin]
    mov qword ptr [rcx + 48], rax
    mov qword ptr [rcx + 56], 0         # ends the backtrace
    mov qword ptr [rdi + task.rsp], rcx
    ret
END task_prepare_stack

# task_begin(rax = previous task): first code of every task, entered from switch_to.
#   clobbers: never returns
#   locks: the queue lock is held at entry and released by the policy's finish
#   irq: off at entry, on from then on
PRIVATE task_begin
task_begin:
    xor ebp, ebp
    mov rdi, rax
    POLICY finish
    sti
    mov rbx, gs:[percpu.curr]
    mov rdi, qword ptr [rbx + task.argument]
    call qword ptr [rbx + task.entry]
    POLICY exit
END task_begin

# task_of_guard(rdi = address) -> rax = the task in whose guard page it lies, 0 if in none.
#   clobbers: rcx, rdx
#   locks: none
#   irq: as found
PUBLIC task_of_guard
task_of_guard:
    mov rax, rdi
    sub rax, qword ptr [rip + task_stacks]
    jb .none
    mov rcx, rax
    shr rax, 13                         # / STACK_STRIDE
    mov edx, dword ptr [rip + task_count]
    sub edx, dword ptr [rip + task_idle_count]
    cmp rax, rdx
    jae .none
    test ecx, PAGE_SIZE
    jnz .none
    add eax, dword ptr [rip + task_idle_count]
    imul eax, eax, task.size
    add rax, qword ptr [rip + task_table]
    ret
.none:
    xor eax, eax
    ret
END task_of_guard

.section .data
# task_lock: protects task.slot, and the list of tasks that have ended.
OBJECT task_lock, 16
task_lock:
    .long LOCK_FREE, 0, 0, 0
END task_lock

.section .bss
OBJECT task_table
task_table:
    .zero 8
END task_table
OBJECT task_stacks
task_stacks:
    .zero 8
END task_stacks
# task_count: slots in the table, idle tasks included.
OBJECT task_count
task_count:
    .zero 8
END task_count
OBJECT task_idle_count
task_idle_count:
    .zero 8
END task_idle_count
