.intel_syntax noprefix
# Rules about a ready queue of policy veridian, V1, V2, V4 and S6, checked before each unlock. In
# all of it rbx = cpu_info, r12 = number of the ring, r13 = the ring, r14 = tasks counted, r15 =
# the bitmaps as one, the last ring's bit the highest.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "veridian.inc"
.include "invariant.inc"

.ifdef CHECK
.section .text
# invariant_rings(rdi = cpu_info): all of them.
#   clobbers: nothing
#   locks: the cpu_info's held
#   irq: off
PUBLIC invariant_rings
invariant_rings:
    INVARIANT_ENTER
    mov rbx, rdi
    call check_bitmaps
    xor r12d, r12d
    xor r14d, r14d
    lea r13, [rbx + cpu_info.rings]
.ring:
    call check_ring
    add r13, ring.size
    inc r12d
    cmp r12d, NUM_RINGS
    jb .ring
    call check_numbers
    INVARIANT_LEAVE
END invariant_rings

# check_bitmaps(rbx) -> r15: V1: no bit stands for no ring.
#   clobbers: rax
#   locks: the cpu_info's held
#   irq: off
PRIVATE check_bitmaps
check_bitmaps:
    FRAME
    mov r15d, dword ptr [rbx + cpu_info.rt_bitmap]
    mov eax, r15d
    shr eax, NUM_RT_PRIORITIES
    jnz .broken
    mov eax, dword ptr [rbx + cpu_info.normal_bitmap]
    cmp eax, 1 << NUM_NORMAL_PRIORITIES
    jae .broken
    shl rax, NUM_RT_PRIORITIES
    or r15, rax
    mov rax, qword ptr [rbx + cpu_info.idle_flag]
    cmp rax, 1
    ja .broken
    shl rax, RING_IDLE
    or r15, rax
    UNFRAME
    ret
.broken:
    BROKEN V1, "a bit is set that stands for no ring"
END check_bitmaps

# check_ring(rbx, r12, r13, r14, r15) -> r14 = with the ring's tasks: V1. Of an empty ring only the
# slots next to its ends are looked at.
#   clobbers: rax, rcx, rdx, rsi, rdi
#   locks: the cpu_info's held
#   irq: off
PRIVATE check_ring
check_ring:
    FRAME
    mov ecx, dword ptr [r13 + ring.count]
    mov eax, dword ptr [r13 + ring.head]
    mov edx, eax
    or edx, dword ptr [r13 + ring.tail]
    cmp edx, RING_SLOTS
    jae .broken
    lea edx, [rax + rcx]
    and edx, RING_SLOTS - 1
    cmp edx, dword ptr [r13 + ring.tail]
    jne .broken
    xor edx, edx
    test ecx, ecx
    setnz dl
    xor esi, esi
    bt r15, r12
    adc esi, 0
    cmp esi, edx
    jne .bit
    test ecx, ecx
    jz .empty
    cmp ecx, RING_SLOTS
    ja .broken
    call check_slots
    call check_overflow
.done:
    UNFRAME
    ret
.empty:
    lea edx, [rax - 1]
    and edx, RING_SLOTS - 1
    mov rsi, qword ptr [r13 + rax * 8 + ring.slots]
    or rsi, qword ptr [r13 + rdx * 8 + ring.slots]
    or rsi, qword ptr [r13 + ring.overflow_first]
    or rsi, qword ptr [r13 + ring.overflow_last]
    or esi, dword ptr [r13 + ring.overflowed]
    test rsi, rsi
    jz .done
.broken:
    BROKEN V1, "the head, tail and count of a ring, and what is in its slots, do not agree"
.bit:
    BROKEN V1, "a bit does not tell whether its ring has tasks"
END check_ring

# check_slots(rbx, r12, r13, r14, eax = head, ecx = count) -> r14 = with the tasks in the slots: V1:
# these are used and no others.
#   clobbers: rax, rdx, rsi, rdi
#   locks: the cpu_info's held
#   irq: off
PRIVATE check_slots
check_slots:
    FRAME
    xor esi, esi
.slot:
    mov rdi, qword ptr [r13 + rax * 8 + ring.slots]
    cmp esi, ecx
    jae .free
    test rdi, rdi
    jz .broken
    call check_waiting
    jmp .next
.free:
    test rdi, rdi
    jnz .broken
.next:
    inc eax
    and eax, RING_SLOTS - 1
    inc esi
    cmp esi, RING_SLOTS
    jb .slot
    UNFRAME
    ret
.broken:
    BROKEN V1, "a slot between head and tail is empty, or another one is not"
END check_slots

# check_overflow(rbx, r12, r13, r14, ecx = count) -> r14 = with the tasks in the list behind the
# ring: V1: it has as many as it says, and has some only while the ring is full.
#   clobbers: rdx, rsi, rdi
#   locks: the cpu_info's held
#   irq: off
PRIVATE check_overflow
check_overflow:
    FRAME
    xor edx, edx                        # the one before
    mov rdi, qword ptr [r13 + ring.overflow_first]
    mov esi, dword ptr [r13 + ring.overflowed]
    test esi, esi
    jz .end
    cmp ecx, RING_SLOTS
    jne .broken
.task:
    test rdi, rdi
    jz .broken
    push rdx
    call check_waiting
    pop rdx
    mov rdx, rdi
    mov rdi, qword ptr [rdi + task.run_list]
    dec esi
    jnz .task
.end:
    test rdi, rdi
    jnz .broken
    cmp rdx, qword ptr [r13 + ring.overflow_last]
    jne .broken
    UNFRAME
    ret
.broken:
    BROKEN V1, "the list behind a ring has other tasks than it says, or the ring has room"
END check_overflow

# check_waiting(rbx, r12, r13, rdi = task) -> r14 = one more: S6: it names its ring and its CPU.
#   clobbers: rdx
#   locks: the cpu_info's held
#   irq: off
PRIVATE check_waiting
check_waiting:
    FRAME
    inc r14
    cmp qword ptr [rdi + task.array], r13
    jne .broken
    VTASK rdx, edx, rdi
    cmp dword ptr [rdx + vtask.ring], r12d
    jne .broken
    mov edx, dword ptr [rdi + task.cpu]
    cmp rdx, qword ptr [rbx + cpu_info.cpu]
    jne .broken
    UNFRAME
    ret
.broken:
    BROKEN S6, "a waiting task does not name its ring and CPU"
END check_waiting

# check_numbers(rbx, r14): V2, and V4: whoever counts as waiting was let in.
#   clobbers: rax, rcx
#   locks: the cpu_info's held
#   irq: off
PRIVATE check_numbers
check_numbers:
    FRAME
    mov rax, qword ptr [rbx + cpu_info.nr_running]
    cmp rax, r14
    jne .count
    inc rax
    mov ecx, dword ptr [rbx + cpu_info.idle]
    sub rax, rcx
    imul rax, rax, LOAD_PER_TASK
    mov ecx, MAX_LOAD
    cmp rax, rcx
    cmova rax, rcx
    cmp rax, qword ptr [rbx + cpu_info.load]
    jne .load
    UNFRAME
    ret
.count:
    jb .broken
    lea rax, [rbx + cpu_info.rings]
    mov ecx, NUM_RINGS
.ring:
    cmp dword ptr [rax + ring.count], RING_SLOTS
    je .refused
    add rax, ring.size
    dec ecx
    jnz .ring
.broken:
    BROKEN V2, "nr_running is not the number of waiting tasks"
.refused:
    BROKEN V4, "a task that a full ring has refused counts as waiting"
.load:
    BROKEN V2, "the load is not 10 for each task, 100 at most"
END check_numbers
.endif
