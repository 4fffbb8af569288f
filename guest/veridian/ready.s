.intel_syntax noprefix
# Operations on a CPU's ready queue that count and log: every task that waits is in one ring, and
# nr_running and load say so. harness/model/veridian/queue.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "veridian.inc"
.include "trace.inc"

.extern queue_dequeue
.extern queue_enqueue
.extern queue_remove
.extern queue_take
.extern ring_of
.extern update_load

.section .text
# ready_enqueue(rdi = task, rsi = cpu_info): the task waits, at the tail of its ring.
#   clobbers: caller-saved but rsi
#   locks: the cpu_info's held
#   irq: off
PUBLIC ready_enqueue
ready_enqueue:
    FRAME
    push rdi
    call queue_enqueue
    call ready_count
    pop rdi
    call ready_log
    UNFRAME
    ret
END ready_enqueue

# ready_count(rsi = cpu_info): one more waits there.
#   clobbers: rax, rcx
#   locks: the cpu_info's held
#   irq: off
PUBLIC ready_count
ready_count:
    inc dword ptr [rsi + cpu_info.nr_running]
    jmp update_load
END ready_count

# ready_log(rdi = task, rsi = cpu_info): logs that it entered its ring.
#   clobbers: rax, rcx, rdx, rdi
#   locks: the cpu_info's held
#   irq: off
PUBLIC ready_log
ready_log:
    FRAME
    call ring_of
    mov edi, dword ptr [rdi + task.id]
    mov rcx, qword ptr [rsi + cpu_info.nr_running]
    mov rdx, qword ptr [rsi + cpu_info.load]
    EVENT_AT 1, v_enqueue, rdi, [rsi + cpu_info.cpu], rax, rcx, rdx
    UNFRAME
    ret
END ready_log

# ready_dequeue(rsi = cpu_info) -> rax = the oldest task of the best ring, which waits no longer; 0
# if nobody waits.
#   clobbers: caller-saved but rsi
#   locks: the cpu_info's held
#   irq: off
PUBLIC ready_dequeue
ready_dequeue:
    FRAME
    call queue_dequeue
    test rax, rax
    jz .none
    push rax
    mov rdi, rax
    call ready_left
    pop rax
.none:
    UNFRAME
    ret
END ready_dequeue

# ready_take(rdi = task, rsi = cpu_info): the task, which waits there, is to run.
#   clobbers: caller-saved but rsi
#   locks: the cpu_info's held
#   irq: off
PUBLIC ready_take
ready_take:
    FRAME
    push rdi
    call queue_take
    pop rdi
    call ready_left
    UNFRAME
    ret
END ready_take

# ready_remove(rdi = task, rsi = cpu_info) -> eax = 1 if it waited there; it does no longer.
#   clobbers: caller-saved but rdi, rsi
#   locks: the cpu_info's held
#   irq: off
PUBLIC ready_remove
ready_remove:
    FRAME
    call queue_remove
    test eax, eax
    jz .absent
    push rdi
    call ready_left
    pop rdi
    mov eax, 1
.absent:
    UNFRAME
    ret
END ready_remove

# ready_left(rdi = task, rsi = cpu_info): counts and logs that it left its ring.
#   clobbers: rax, rcx, rdx, rdi
#   locks: the cpu_info's held
#   irq: off
PUBLIC ready_left
ready_left:
    FRAME
    dec dword ptr [rsi + cpu_info.nr_running]
    call update_load
    call ring_of
    mov edi, dword ptr [rdi + task.id]
    mov rcx, qword ptr [rsi + cpu_info.nr_running]
    mov rdx, qword ptr [rsi + cpu_info.load]
    EVENT_AT 1, v_dequeue, rdi, [rsi + cpu_info.cpu], rax, rcx, rdx
    UNFRAME
    ret
END ready_left
