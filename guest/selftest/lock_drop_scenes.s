.intel_syntax noprefix
# The scenes of the self-test lock_drop: what the driver does behind the back of the CPU that waits.
# Each returns 0, NOT_SEEN if it did not come about, or what went wrong. The hazards are numbered as
# in the fact sheet's part D1; in all scenes the CPU must still run the same task, hazard 5.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "lock_drop.inc"

.extern cpu_count
.extern schedule
.extern stage
.extern stage_allow
.extern stage_ask
.extern stage_check_curr
.extern stage_end
.extern stage_fodder
.extern stage_meet
.extern stage_open
.extern stage_release
.extern stage_settle
.extern stage_wait_change
.extern stage_wake
.extern stage_wake_sleepers

.equ IMBALANCE_MAX, 2                   # half of the fodder

.section .text
# scene_drained() -> rax: hazard 3: while CPU 1 waits, the driver goes to sleep, and the one task
# that is left on CPU 0 runs. Nothing may be taken.
#   clobbers: caller-saved
#   locks: takes and releases run queues'
#   irq: on
PUBLIC scene_drained
scene_drained:
    FRAME
    push rbx
    call stage_open
    mov esi, 1 << TAKER | 1
    call stage_allow
    call stage_meet
    test eax, eax
    jz .not_seen
    mov rax, gs:[percpu.curr]
    mov dword ptr [rax + task.state], TASK_INTERRUPTIBLE
    mov qword ptr [rip + stage + stage.wake_driver], 1
    call stage_release
    # CPU 1 may be faster than this, if it runs at the same time: then the scene is played again.
    call schedule
    sti
    mov rax, qword ptr [rip + stage + stage.fodder]
    mov ebx, dword ptr [rax + task.cpu]
    test ebx, ebx
    jz .end
.not_seen:
    mov ebx, NOT_SEEN
.end:
    call stage_end
    mov esi, 1
    call stage_allow
    mov eax, ebx
    pop rbx
    UNFRAME
    ret
END scene_drained

# scene_crowd() -> rax = 0: no scene of its own: from here on there is more to take.
#   clobbers: caller-saved
#   locks: takes and releases the run queue's
#   irq: on
PUBLIC scene_crowd
scene_crowd:
    FRAME
    mov edi, FODDER_MAX - 1
    call stage_fodder
    call stage_settle
    xor eax, eax
    UNFRAME
    ret
END scene_crowd

# scene_woken() -> rax: hazard 1: while CPU 1 waits, a task of its own is woken, and there is
# nothing to take. It must not idle.
#   clobbers: caller-saved
#   locks: takes and releases run queues'
#   irq: on
PUBLIC scene_woken
scene_woken:
    FRAME
    push rbx
    push r12
    push r13
    mov ebx, NOT_SEEN
    call stage_open
    call stage_meet
    test eax, eax
    jz .end
    mov rax, qword ptr [rip + stage + stage.taker_rq]
    mov r12, qword ptr [rax + runqueue.sched_goidle]
    mov r13, qword ptr [rip + stage + stage.woken]
    mov rdi, qword ptr [rip + stage + stage.sleepers]
    call stage_wake
    call stage_check_curr
    mov rbx, rax
    call stage_release
    sti
    test rbx, rbx
    jnz .end
    lea rdi, [rip + stage + stage.woken]
    mov rsi, r13
    call stage_wait_change
    mov ecx, eax
    FAIL "a task that was woken meanwhile does not run"
    mov rbx, rax
    test ecx, ecx
    jz .end
    FAIL "a CPU has idled past a task that was woken meanwhile"
    xor ebx, ebx
    cmp r12, qword ptr [rip + stage + stage.woken_goidle]
    cmovne rbx, rax
.end:
    call stage_end
    mov rax, rbx
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END scene_woken

# scene_outdated() -> rax: hazard 2: CPU 1 waits to take some of much fodder, and gets tasks of its
# own meanwhile. It takes some all the same, but no more than it wanted.
#   clobbers: caller-saved
#   locks: takes and releases run queues'
#   irq: on
PUBLIC scene_outdated
scene_outdated:
    FRAME
    push rbx
    mov ebx, NOT_SEEN
    call stage_open
    mov esi, 1 << TAKER | 1
    call stage_allow
    call stage_meet
    test eax, eax
    jz .end
    call fodder_taken
    test eax, eax
    jnz .release                        # by a tick, before the scene
    call stage_wake_sleepers
    call stage_check_curr
    mov rbx, rax
    test rax, rax
    jnz .release
    call stage_release
    sti
    mov rdi, qword ptr [rip + stage + stage.taker_rq]
    add rdi, runqueue.curr
    mov rsi, qword ptr [rip + stage + stage.prev]
    call stage_wait_change
    call fodder_taken
    mov ecx, eax
    mov ebx, NOT_SEEN
    test ecx, ecx
    jz .end
    xor ebx, ebx
    FAIL "more was taken than the imbalance"
    cmp ecx, IMBALANCE_MAX
    cmova rbx, rax
    jmp .end
.release:
    call stage_release
    sti
.end:
    call stage_end
    mov esi, 1
    call stage_allow
    mov rax, rbx
    pop rbx
    UNFRAME
    ret
END scene_outdated

# fodder_taken() -> eax = how much of the fodder is on CPU 1.
#   clobbers: rcx, rdx
#   locks: none: what has been moved stays until stage_allow
#   irq: any
PRIVATE fodder_taken
fodder_taken:
    xor eax, eax
    xor ecx, ecx
.task:
    lea rdx, [rip + stage + stage.fodder]
    mov rdx, qword ptr [rdx + rcx * 8]
    add eax, dword ptr [rdx + task.cpu]
    inc ecx
    cmp rcx, qword ptr [rip + stage + stage.fodder_count]
    jb .task
    ret
END fodder_taken

# scene_rewoken() -> rax: hazard 4: while CPU 1 waits, the very task that leaves it is woken. It
# goes on without a switch.
#   clobbers: caller-saved
#   locks: takes and releases run queues'
#   irq: on
PUBLIC scene_rewoken
scene_rewoken:
    FRAME
    push rbx
    push r12
    mov ebx, NOT_SEEN
    call stage_open
    call stage_meet
    test eax, eax
    jz .end
    mov rax, qword ptr [rip + stage + stage.taker_rq]
    mov r12, qword ptr [rax + runqueue.nr_switches]
    mov rdi, qword ptr [rip + stage + stage.prev]
    call stage_wake
    call stage_check_curr
    mov rbx, rax
    call stage_release
    sti
    lea rdi, [rip + stage + stage.prev_done]
    xor esi, esi
    call stage_wait_change
    test rbx, rbx
    jnz .end
    FAIL "a CPU has changed tasks although the one that was to leave had been woken"
    cmp r12, qword ptr [rip + stage + stage.prev_switches]
    cmovne rbx, rax
.end:
    call stage_end
    mov rax, rbx
    pop r12
    pop rbx
    UNFRAME
    ret
END scene_rewoken

# scene_asked() -> rax: hazard 6: while CPU 1 waits, another CPU asks for prev to be moved. It is
# moved, though it has fallen asleep.
#   clobbers: caller-saved
#   locks: takes and releases run queues'
#   irq: on
PUBLIC scene_asked
scene_asked:
    FRAME
    push rbx
    push r12
    xor ebx, ebx
    cmp qword ptr [rip + cpu_count], HELPER
    jbe .out
    mov ebx, NOT_SEEN
    call stage_open
    call stage_ask
    call stage_meet
    test eax, eax
    mov eax, 2
    jz .tell
    mov eax, 1
.tell:
    mov qword ptr [rip + stage + stage.ask], rax
    cmp eax, 1
    jne .end
    mov rdi, qword ptr [rip + stage + stage.taker_rq]
    add rdi, runqueue.migration_queue
    xor esi, esi
    call stage_wait_change
    mov r12d, eax                       # or the asker waits for our lock, in a tick of its own
    call stage_check_curr
    mov rbx, rax
    call stage_release
    sti
    test rbx, rbx
    jnz .end
    lea rdi, [rip + stage + stage.asked]
    xor esi, esi
    call stage_wait_change
    FAIL "a request to move a task was lost"
    mov rcx, qword ptr [rip + stage + stage.prev]
    cmp dword ptr [rcx + task.cpu], HELPER
    cmovne rbx, rax
    jne .end
    mov eax, NOT_SEEN
    test r12d, r12d
    cmovz rbx, rax
.end:
    call stage_end
.out:
    mov rax, rbx
    pop r12
    pop rbx
    UNFRAME
    ret
END scene_asked
