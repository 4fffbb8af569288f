.intel_syntax noprefix
# What the tasks of a workload do to each other, and the end of a task. They know each other by
# their records; forked tasks have none and are known to nobody.
#
# These are handlers of the interpreter: see there for the registers that they find.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "workload.inc"
.include "interpreter.inc"
.include "policy.inc"

.extern spin_lock
.extern spin_unlock
.extern wait_in
.extern wait_queues_make
.extern wait_wake
.extern workload_header
.extern workload_live
.extern workload_masks

.section .text
# records_init(): makes a wrecord for every record of the workload.
#   clobbers: caller-saved
#   locks: none; before the first task starts
#   irq: as found
PUBLIC records_init
records_init:
    FRAME
    mov rdi, qword ptr [rip + workload_header]
    mov edi, dword ptr [rdi + wl.task_count]
    mov esi, wrecord.size
    call wait_queues_make
    mov qword ptr [rip + wrecords], rax
    UNFRAME
    ret
END records_init

# workload_op_exit(rdi = instruction): from here on nobody finds the task by its record; it ends
# when those who found it before are through with it.
#   clobbers: never returns
#   locks: takes and releases its record's lock
#   irq: on; off from then on
PUBLIC workload_op_exit
workload_op_exit:
    FRAME
    cli
    mov rbx, qword ptr [rbx + wtask.record]
    lea rdi, [rbx + wrecord.queue + wait_queue.lock]
    call spin_lock
    cmp qword ptr [rbx + wrecord.task], r14
    jne .release                        # a forked task, which no record stands for
    mov qword ptr [rbx + wrecord.task], 0
    cmp dword ptr [rbx + wrecord.users], 0
    je .release
    mov rdi, rbx
    mov esi, TASK_UNINTERRUPTIBLE
    call wait_in
    jmp .end
.release:
    lea rdi, [rbx + wrecord.queue + wait_queue.lock]
    call spin_unlock
.end:
    # With interrupts off until another task runs here: whoever sees that none is left finds this
    # one ended as well.
    lock dec dword ptr [rip + workload_live]
    POLICY exit
END workload_op_exit

# workload_op_block(rdi = instruction).
#   clobbers: caller-saved
#   locks: takes and releases its record's lock
#   irq: on
PUBLIC workload_op_block
workload_op_block:
    FRAME
    push rbx
    movzx esi, byte ptr [rdi + wlinstr.a]
    inc esi                             # 0: TASK_INTERRUPTIBLE, 1: TASK_UNINTERRUPTIBLE
    mov rbx, qword ptr [rbx + wtask.record]
    cli
    lea rdi, [rbx + wrecord.queue + wait_queue.lock]
    call spin_lock
    cmp dword ptr [rbx + wrecord.token], 0
    jne .woken_before
    mov rdi, rbx
    call wait_in
    jmp .out
.woken_before:
    mov dword ptr [rbx + wrecord.token], 0
    lea rdi, [rbx + wrecord.queue + wait_queue.lock]
    call spin_unlock
.out:
    sti
    pop rbx
    UNFRAME
    ret
END workload_op_block

# workload_op_wake(rdi = instruction).
#   clobbers: caller-saved
#   locks: takes and releases the records' locks
#   irq: on
PUBLIC workload_op_wake
workload_op_wake:
    FRAME
    push rbx
    push r12
    push r13
    movzx r12d, word ptr [rdi + wlinstr.b]
    movzx r13d, byte ptr [rdi + wlinstr.a]      # WL_WAKE_SYNC or 0
    mov ebx, dword ptr [rdi + wlinstr.c]
    imul rbx, rbx, wrecord.size
    add rbx, qword ptr [rip + wrecords]
.record:
    cli
    lea rdi, [rbx + wrecord.queue + wait_queue.lock]
    call spin_lock
    cmp qword ptr [rbx + wrecord.task], 0
    je .next                            # it has ended
    mov rdi, rbx
    mov esi, r13d
    call wait_wake
    test rax, rax
    jnz .next
    mov dword ptr [rbx + wrecord.token], 1
.next:
    lea rdi, [rbx + wrecord.queue + wait_queue.lock]
    call spin_unlock
    sti
    add rbx, wrecord.size
    dec r12d
    jnz .record
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END workload_op_wake

# workload_op_set_nice(rdi = instruction).
#   clobbers: caller-saved
#   locks: takes and releases the records' locks
#   irq: on
PUBLIC workload_op_set_nice
workload_op_set_nice:
    lea rsi, [rip + target_set_nice]
    jmp for_targets
END workload_op_set_nice

# target_set_nice(rdi = task, rsi = instruction).
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE target_set_nice
target_set_nice:
    FRAME
    mov esi, dword ptr [rsi + wlinstr.d]
    POLICY set_nice
    UNFRAME
    ret
END target_set_nice

# workload_op_set_policy(rdi = instruction).
#   clobbers: caller-saved
#   locks: takes and releases the records' locks
#   irq: on
PUBLIC workload_op_set_policy
workload_op_set_policy:
    lea rsi, [rip + target_set_policy]
    jmp for_targets
END workload_op_set_policy

# target_set_policy(rdi = task, rsi = instruction).
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE target_set_policy
target_set_policy:
    FRAME
    mov edx, dword ptr [rsi + wlinstr.d]
    movzx esi, byte ptr [rsi + wlinstr.a]
    POLICY set_policy
    UNFRAME
    ret
END target_set_policy

# workload_op_set_cpus(rdi = instruction).
#   clobbers: caller-saved
#   locks: takes and releases the records' locks
#   irq: on
PUBLIC workload_op_set_cpus
workload_op_set_cpus:
    lea rsi, [rip + target_set_cpus]
    jmp for_targets
END workload_op_set_cpus

# target_set_cpus(rdi = task, rsi = instruction).
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE target_set_cpus
target_set_cpus:
    FRAME
    mov eax, dword ptr [rsi + wlinstr.d]
    imul rax, rax, WL_MASK_SIZE
    add rax, qword ptr [rip + workload_masks]
    mov rsi, qword ptr [rax]
    POLICY set_cpus                     # refused if all of these CPUs are unplugged just now
    UNFRAME
    ret
END target_set_cpus

# for_targets(rdi = instruction, rsi = function): calls function(rdi = task, rsi = instruction) for
# the task itself or for each of the records that the instruction names, if it lives. No lock is
# held meanwhile; the task cannot end before the function returns.
#   clobbers: caller-saved
#   locks: takes and releases the records' locks
#   irq: on
PRIVATE for_targets
for_targets:
    FRAME
    push rbx
    push r12
    push r13
    push r15
    mov r13, rdi
    mov r15, rsi
    mov ebx, dword ptr [rdi + wlinstr.c]
    cmp ebx, WL_SELF
    je .self
    movzx r12d, word ptr [rdi + wlinstr.b]
    imul rbx, rbx, wrecord.size
    add rbx, qword ptr [rip + wrecords]
.record:
    mov rdi, rbx
    call record_hold
    test rax, rax
    jz .next
    mov rdi, rax
    mov rsi, r13
    call r15
    mov rdi, rbx
    call record_release
.next:
    add rbx, wrecord.size
    dec r12d
    jnz .record
    jmp .out
.self:
    mov rdi, r14
    mov rsi, r13
    call r15
.out:
    pop r15
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END for_targets

# record_hold(rdi = wrecord) -> rax = its task, which does not end before record_release; 0 if it
# has ended.
#   clobbers: caller-saved
#   locks: takes and releases the record's lock
#   irq: on
PRIVATE record_hold
record_hold:
    FRAME
    push rbx
    push r12
    mov rbx, rdi
    cli
    add rdi, wrecord.queue + wait_queue.lock
    call spin_lock
    mov r12, qword ptr [rbx + wrecord.task]
    test r12, r12
    jz .out
    inc dword ptr [rbx + wrecord.users]
.out:
    lea rdi, [rbx + wrecord.queue + wait_queue.lock]
    call spin_unlock
    sti
    mov rax, r12
    pop r12
    pop rbx
    UNFRAME
    ret
END record_hold

# record_release(rdi = wrecord): takes one record_hold back; the last lets a task end that waits
# for it.
#   clobbers: caller-saved
#   locks: takes and releases the record's lock
#   irq: on
PRIVATE record_release
record_release:
    FRAME
    push rbx
    mov rbx, rdi
    cli
    add rdi, wrecord.queue + wait_queue.lock
    call spin_lock
    dec dword ptr [rbx + wrecord.users]
    jnz .out
    cmp qword ptr [rbx + wrecord.task], 0
    jne .out                            # in the queue it is blocked, not about to end
    mov rdi, rbx
    xor esi, esi
    call wait_wake
.out:
    lea rdi, [rbx + wrecord.queue + wait_queue.lock]
    call spin_unlock
    sti
    pop rbx
    UNFRAME
    ret
END record_release

.section .bss
# wrecords: by record of the workload.
OBJECT wrecords
wrecords:
    .zero 8
END wrecords
