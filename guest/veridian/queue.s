.intel_syntax noprefix
# The ready queue of a CPU: a ring for each priority, and bitmaps that tell which have tasks.
# VeridianOS sched/queue.rs; harness/model/veridian/queue.py. Nothing here logs.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "veridian.inc"


.section .text
# ring_of(rdi = task) -> eax = the ring that its class and priority ask for.
#   clobbers: rcx, rdx
#   locks: that of the task's CPU held
#   irq: off
PUBLIC ring_of
ring_of:
    VTASK rax, eax, rdi
    mov ecx, dword ptr [rdi + task.prio]
    cmp dword ptr [rax + vtask.class], CLASS_NORMAL
    je .normal
    ja .idle
    mov eax, NUM_RT_PRIORITIES - 1
    cmp ecx, eax
    cmovb eax, ecx
    ret
.normal:
    mov eax, ecx
    sub eax, SYSTEM_HIGH
    mov ecx, 0
    cmovs eax, ecx
    xor edx, edx
    mov ecx, 10
    div ecx
    mov ecx, NUM_NORMAL_PRIORITIES - 1
    cmp eax, ecx
    cmova eax, ecx
    add eax, NUM_RT_PRIORITIES
    ret
.idle:
    mov eax, RING_IDLE
    ret
END ring_of

# ring_mark(rsi = cpu_info, eax = ring): sets or clears its bit, as it has tasks or not.
#   clobbers: rcx, rdx
#   locks: the cpu_info's held
#   irq: off
PRIVATE ring_mark
ring_mark:
    mov ecx, eax
    imul edx, eax, ring.size
    cmp dword ptr [rsi + rdx + cpu_info.rings + ring.count], 0
    setne dl
    movzx edx, dl
    cmp ecx, NUM_RT_PRIORITIES
    jae .normal
    btr dword ptr [rsi + cpu_info.rt_bitmap], ecx
    shl edx, cl
    or dword ptr [rsi + cpu_info.rt_bitmap], edx
    ret
.normal:
    sub ecx, NUM_RT_PRIORITIES
    cmp ecx, NUM_NORMAL_PRIORITIES
    jae .idle
    btr dword ptr [rsi + cpu_info.normal_bitmap], ecx
    shl edx, cl
    or dword ptr [rsi + cpu_info.normal_bitmap], edx
    ret
.idle:
    mov dword ptr [rsi + cpu_info.idle_flag], edx
    ret
END ring_mark

# queue_enqueue(rdi = task, rsi = cpu_info) -> eax = 1, or 0 if its ring is full and nothing may
# wait behind it. Adds at the tail.
#   clobbers: caller-saved but rdi, rsi
#   locks: the cpu_info's held
#   irq: off
PUBLIC queue_enqueue
queue_enqueue:
    FRAME
    call ring_of
    imul r8d, eax, ring.size
    lea r8, [rsi + r8 + cpu_info.rings]
    cmp dword ptr [r8 + ring.count], RING_SLOTS
    je .full
    mov ecx, dword ptr [r8 + ring.tail]
    mov qword ptr [r8 + rcx * 8 + ring.slots], rdi
    inc ecx
    and ecx, RING_SLOTS - 1
    mov dword ptr [r8 + ring.tail], ecx
    inc dword ptr [r8 + ring.count]
.queued:
    call queue_note
    mov eax, 1
.out:
    UNFRAME
    ret
.full:
    IF_BUG 10, .refused
    mov qword ptr [rdi + task.run_list], 0
    mov rcx, qword ptr [r8 + ring.overflow_last]
    mov qword ptr [r8 + ring.overflow_last], rdi
    inc dword ptr [r8 + ring.overflowed]
    test rcx, rcx
    jz .first
    mov qword ptr [rcx + task.run_list], rdi
    jmp .queued
.first:
    mov qword ptr [r8 + ring.overflow_first], rdi
    jmp .queued
.refused:
    xor eax, eax
    jmp .out
END queue_enqueue

# queue_enqueue_head(rdi = task, rsi = cpu_info): adds it before all others of its ring. From a
# full ring the youngest goes back to the list.
#   clobbers: caller-saved but rdi, rsi
#   locks: the cpu_info's held
#   irq: off
PUBLIC queue_enqueue_head
queue_enqueue_head:
    FRAME
    call ring_of
    imul r8d, eax, ring.size
    lea r8, [rsi + r8 + cpu_info.rings]
    cmp dword ptr [r8 + ring.count], RING_SLOTS
    jne .room
    mov ecx, dword ptr [r8 + ring.tail]
    dec ecx
    and ecx, RING_SLOTS - 1
    mov dword ptr [r8 + ring.tail], ecx
    mov r9, qword ptr [r8 + rcx * 8 + ring.slots]
    mov r10, qword ptr [r8 + ring.overflow_first]
    mov qword ptr [r9 + task.run_list], r10
    mov qword ptr [r8 + ring.overflow_first], r9
    inc dword ptr [r8 + ring.overflowed]
    dec dword ptr [r8 + ring.count]
    test r10, r10
    jnz .room
    mov qword ptr [r8 + ring.overflow_last], r9
.room:
    mov ecx, dword ptr [r8 + ring.head]
    dec ecx
    and ecx, RING_SLOTS - 1
    mov dword ptr [r8 + ring.head], ecx
    mov qword ptr [r8 + rcx * 8 + ring.slots], rdi
    inc dword ptr [r8 + ring.count]
    call queue_note
    UNFRAME
    ret
END queue_enqueue_head

# queue_note(rdi = task, rsi = cpu_info, eax = ring, r8 = ring's address): the task knows now where
# it is queued, and the bitmap that somebody is.
#   clobbers: rax, rcx, rdx
#   locks: the cpu_info's held
#   irq: off
PRIVATE queue_note
queue_note:
    FRAME
    mov qword ptr [rdi + task.array], r8
    VTASK rcx, ecx, rdi
    mov dword ptr [rcx + vtask.ring], eax
    call ring_mark
    UNFRAME
    ret
END queue_note

# queue_first(rsi = cpu_info) -> rax = the task that queue_dequeue would take, 0 if none; ecx = its
# ring.
#   clobbers: rdx
#   locks: the cpu_info's held
#   irq: off
PUBLIC queue_first
queue_first:
    bsf ecx, dword ptr [rsi + cpu_info.rt_bitmap]
    jnz .ring
    bsf ecx, dword ptr [rsi + cpu_info.normal_bitmap]
    lea ecx, [rcx + NUM_RT_PRIORITIES]
    jnz .ring
    mov ecx, RING_IDLE
    cmp dword ptr [rsi + cpu_info.idle_flag], 0
    je .none
.ring:
    imul eax, ecx, ring.size
    lea rdx, [rsi + rax + cpu_info.rings]
    mov eax, dword ptr [rdx + ring.head]
    mov rax, qword ptr [rdx + rax * 8 + ring.slots]
    ret
.none:
    xor eax, eax
    ret
END queue_first

# queue_dequeue(rsi = cpu_info) -> rax = the oldest task of the best ring that has any, 0 if none
# has.
#   clobbers: caller-saved but rsi
#   locks: the cpu_info's held
#   irq: off
PUBLIC queue_dequeue
queue_dequeue:
    FRAME
    call queue_first
    test rax, rax
    jz .none
    push rax
    push rcx
    mov r8, rdx
    mov r9d, dword ptr [r8 + ring.head]
    mov qword ptr [r8 + r9 * 8 + ring.slots], 0
    inc r9d
    and r9d, RING_SLOTS - 1
    mov dword ptr [r8 + ring.head], r9d
    dec dword ptr [r8 + ring.count]
    call ring_refill
    pop rax
    call ring_mark
    pop rdi
    call queue_forget
    mov rax, rdi
.none:
    UNFRAME
    ret
END queue_dequeue

# ring_refill(r8 = ring): a free slot is for the first of the list behind it.
#   clobbers: rcx, rdx
#   locks: its cpu_info's held
#   irq: off
PRIVATE ring_refill
ring_refill:
    mov rdx, qword ptr [r8 + ring.overflow_first]
    test rdx, rdx
    jz .done
    mov rcx, qword ptr [rdx + task.run_list]
    mov qword ptr [r8 + ring.overflow_first], rcx
    dec dword ptr [r8 + ring.overflowed]
    jnz .more
    mov qword ptr [r8 + ring.overflow_last], 0
.more:
    mov ecx, dword ptr [r8 + ring.tail]
    mov qword ptr [r8 + rcx * 8 + ring.slots], rdx
    inc ecx
    and ecx, RING_SLOTS - 1
    mov dword ptr [r8 + ring.tail], ecx
    inc dword ptr [r8 + ring.count]
.done:
    ret
END ring_refill

# queue_forget(rdi = task): it is in no ring.
#   clobbers: rcx
#   locks: that of the task's CPU held
#   irq: off
PRIVATE queue_forget
queue_forget:
    mov qword ptr [rdi + task.array], 0
    VTASK rcx, ecx, rdi
    mov dword ptr [rcx + vtask.ring], NO_RING
    ret
END queue_forget

# queue_remove(rdi = task, rsi = cpu_info) -> eax = 1 if it was in its ring, else 0.
#   clobbers: caller-saved but rdi, rsi
#   locks: the cpu_info's held
#   irq: off
PUBLIC queue_remove
queue_remove:
    FRAME
    VTASK rcx, ecx, rdi
    cmp dword ptr [rcx + vtask.ring], NO_RING
    je .absent
    IF_BUG 24, .by_priority
    call queue_take
    jmp .out
.by_priority:                           # bug V24: that of the priority that it has now
    call ring_of
    call queue_take_from
.out:
    UNFRAME
    ret
.absent:
    xor eax, eax
    jmp .out
END queue_remove

# queue_take(rdi = task, rsi = cpu_info) -> eax = 1: takes a task that waits there out of its ring.
#   clobbers: caller-saved but rdi, rsi
#   locks: the cpu_info's held
#   irq: off
PUBLIC queue_take
queue_take:
    VTASK rcx, ecx, rdi
    mov eax, dword ptr [rcx + vtask.ring]
    jmp queue_take_from
END queue_take

# queue_take_from(rdi = task, rsi = cpu_info, eax = ring) -> eax = 1 if it was in that ring.
#   clobbers: caller-saved but rdi, rsi
#   locks: the cpu_info's held
#   irq: off
PRIVATE queue_take_from
queue_take_from:
    FRAME
    imul r8d, eax, ring.size
    lea r8, [rsi + r8 + cpu_info.rings]
    push rax
    call ring_remove
    pop rcx
    test eax, eax
    jz .out
    mov eax, ecx
    call ring_mark
    call queue_forget
    mov eax, 1
.out:
    UNFRAME
    ret
END queue_take_from

# ring_remove(rdi = task, r8 = ring) -> eax = 1 if it was there.
#   clobbers: rcx, rdx, r9
#   locks: its cpu_info's held
#   irq: off
PRIVATE ring_remove
ring_remove:
    FRAME
    mov ecx, dword ptr [r8 + ring.head]
    mov edx, dword ptr [r8 + ring.count]
.slot:
    sub edx, 1
    jc .list
    cmp qword ptr [r8 + rcx * 8 + ring.slots], rdi
    je .close
    inc ecx
    and ecx, RING_SLOTS - 1
    jmp .slot
.close:
    lea eax, [rcx + 1]
    and eax, RING_SLOTS - 1
    sub edx, 1
    jc .last
    mov r9, qword ptr [r8 + rax * 8 + ring.slots]
    mov qword ptr [r8 + rcx * 8 + ring.slots], r9
    mov ecx, eax
    jmp .close
.last:
    mov qword ptr [r8 + rcx * 8 + ring.slots], 0
    mov dword ptr [r8 + ring.tail], ecx
    dec dword ptr [r8 + ring.count]
    call ring_refill
    mov eax, 1
    UNFRAME
    ret
.list:
    call overflow_remove
    UNFRAME
    ret
END ring_remove

# overflow_remove(rdi = task, r8 = ring) -> eax = 1 if it was in the list behind the ring.
#   clobbers: rcx, rdx
#   locks: its cpu_info's held
#   irq: off
PRIVATE overflow_remove
overflow_remove:
    xor ecx, ecx
    mov rdx, qword ptr [r8 + ring.overflow_first]
.task:
    test rdx, rdx
    jz .absent
    cmp rdx, rdi
    je .found
    mov rcx, rdx
    mov rdx, qword ptr [rdx + task.run_list]
    jmp .task
.found:
    mov rdx, qword ptr [rdi + task.run_list]
    test rcx, rcx
    jz .first
    mov qword ptr [rcx + task.run_list], rdx
    jmp .last
.first:
    mov qword ptr [r8 + ring.overflow_first], rdx
.last:
    test rdx, rdx
    jnz .counted
    mov qword ptr [r8 + ring.overflow_last], rcx
.counted:
    dec dword ptr [r8 + ring.overflowed]
    mov eax, 1
    ret
.absent:
    xor eax, eax
    ret
END overflow_remove
