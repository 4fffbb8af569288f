.intel_syntax noprefix
# Self-test of the moment in which double_lock_balance lets go of its own run queue. Under policy o1
# with two CPUs or more: CPU 0 holds its run queue while CPU 1 becomes idle and wants to take tasks
# from it. CPU 1 cannot have the lock, lets go of its own and waits; CPU 0 does something behind its
# back, and lets it in. Whatever CPU 1 knew before has to be looked at again.
#
# The driver is a real-time task on CPU 0; `prev` is the task that leaves CPU 1; `fodder` is what
# there is to take, bound to CPU 0 but for the scenes in which it may be taken; `sleepers` belong to
# CPU 1. Everything goes through the scheduler's own operations, so that the log can be replayed.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "policy.inc"
.include "lock_drop.inc"

.extern cpu_count
.extern cpu_rq
.extern idle_turn
.extern o1_policy
.extern scene_asked
.extern scene_crowd
.extern scene_drained
.extern scene_outdated
.extern scene_rewoken
.extern scene_woken
.extern stage
.extern stage_fodder
.extern stage_settle
.extern stage_sleepers
.extern stage_start
.extern stage_wake_sleepers

.equ DRIVER_PRIORITY, 98                # right below the migration threads
.equ ATTEMPTS, 40                       # for each scene; one will do under the virtual clock

.section .text
# test_lock_drop() -> rax: what changes while a CPU waits for the busiest one's lock is heeded.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC test_lock_drop
test_lock_drop:
    FRAME
    FAIL "it is about policy o1 on two CPUs or more"
    lea rcx, [rip + o1_policy]
    cmp qword ptr [rip + policy], rcx
    jne .out
    cmp qword ptr [rip + cpu_count], TAKER
    jbe .out
    lea rdi, [rip + driver_name]
    lea rsi, [rip + driver]
    xor edx, edx
    mov ecx, DRIVER_PRIORITY
    call stage_start
.wait:
    call idle_turn
    cmp qword ptr [rip + stage + stage.done], 0
    je .wait
    mov rax, qword ptr [rip + stage + stage.result]
.out:
    UNFRAME
    ret
END test_lock_drop

# driver(): plays one scene after the other, each until it has come about.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE driver
driver:
    FRAME
    push rbx
    push r12
    mov rax, gs:[percpu.curr]
    mov qword ptr [rip + stage + stage.driver], rax
    mov edi, TAKER
    call cpu_rq
    mov qword ptr [rip + stage + stage.taker_rq], rax
    call stage_sleepers
    mov edi, 1
    call stage_fodder
    call stage_settle
    lea rbx, [rip + scenes]
.scene:
    mov r12d, ATTEMPTS
.attempt:
    call qword ptr [rbx]
    test rax, rax
    jz .next
    cmp rax, NOT_SEEN
    jne .end
    dec r12d
    jnz .attempt
    FAIL "a scene did not come about"
    jmp .end
.next:
    add rbx, 8
    cmp qword ptr [rbx], 0
    jne .scene
    xor eax, eax
.end:
    mov qword ptr [rip + stage + stage.result], rax
    mov qword ptr [rip + stage + stage.stop], 1
    call stage_wake_sleepers
    mov qword ptr [rip + stage + stage.done], 1
    pop r12
    pop rbx
    UNFRAME
    ret
END driver

.section .rodata
driver_name:
    .asciz "driver"
    .balign 8
scenes:
    .quad scene_drained
    .quad scene_crowd
    .quad scene_woken
    .quad scene_outdated
    .quad scene_rewoken
    .quad scene_asked
    .quad 0
