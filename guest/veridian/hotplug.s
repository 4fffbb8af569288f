.intel_syntax noprefix
# CPUs leave scheduling and join it again. VeridianOS sched/smp.rs;
# harness/model/veridian/hotplug.py. An offline CPU ticks and idles; no task is placed on it and
# none runs there.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "veridian.inc"
.include "trace.inc"
.include "race.inc"

.extern cpu_count
.extern info_lock
.extern info_unlock
.extern kick_current
.extern online_cpus
.extern hotplug_lock
.extern place_task
.extern queue_dequeue
.extern queue_first
.extern ready_dequeue
.extern relax
.extern spin_lock
.extern spin_unlock

.equ EBUSY, 16
.equ EINVAL, 22

.section .text
# veridian_cpu_down(edi = CPU) -> eax = 0, or negative: it has to stay, or is offline. What waits
# there goes to other CPUs; what runs there is made to leave.
#   clobbers: caller-saved
#   locks: takes and releases hotplug_lock and inside it the cpu_infos'
#   irq: any; off meanwhile
PUBLIC veridian_cpu_down
veridian_cpu_down:
    FRAME
    push rbx
    push r12
    pushfq
    cli
    mov r12d, -EINVAL
    mov ebx, edi
    cmp rbx, qword ptr [rip + cpu_count]
    jae .refused
    mov r12d, -EBUSY
    test ebx, ebx
    jz .refused                         # the boot CPU ends the run
    CPU_INFO rbx, ebx
    lea rdi, [rip + hotplug_lock]
    call spin_lock
    mov rdi, rbx
    call info_lock
    cmp dword ptr [rbx + cpu_info.online], 0
    je .offline
    xor r12d, r12d
    IF_BUG 15, .original
    call hotplug_leave
.drain:
    mov rsi, rbx
    call queue_first
    test rax, rax
    jz .drained
    mov ecx, dword ptr [rax + task.id]
    EVENT_AT 1, v_drain, rcx, [rbx + cpu_info.cpu]
    call ready_dequeue
    mov rdi, rax
    xor esi, esi
    mov edx, 1
    call place_task
    mov rdi, rbx
    call info_lock
    jmp .drain
.original:
    # Bug V15: what is dequeued cannot be found again to be migrated, and the count stays.
    mov rsi, rbx
    call queue_dequeue
    test rax, rax
    jnz .original
    call hotplug_leave
.drained:
    mov rdi, rbx
    call info_unlock
    lea rdi, [rip + hotplug_lock]
    call spin_unlock
.refused:
    mov eax, r12d
    popfq
    pop r12
    pop rbx
    UNFRAME
    ret
.offline:
    EVENT_AT 1, plug_refused, [rbx + cpu_info.cpu], 0, [rip + online_cpus]
    jmp .drained
END veridian_cpu_down

# hotplug_leave(rbx = cpu_info): nothing is placed there from now on, and what runs there leaves.
#   clobbers: caller-saved
#   locks: hotplug_lock and the cpu_info's held
#   irq: off
PRIVATE hotplug_leave
hotplug_leave:
    FRAME
    mov rcx, qword ptr [rbx + cpu_info.cpu]
    lock btr qword ptr [rip + online_cpus], rcx
    mov dword ptr [rbx + cpu_info.online], 0
    EVENT_AT 1, v_cpu_down, rcx, [rip + online_cpus]
    mov rax, qword ptr [rbx + cpu_info.curr]
    cmp rax, qword ptr [rbx + cpu_info.idle_task]
    je .idle
    mov rdi, rbx
    call kick_current
.idle:
    UNFRAME
    ret
END hotplug_leave

# veridian_cpu_up(edi = CPU) -> eax = 0, or negative: it is online. When it returns the CPU
# schedules.
#   clobbers: caller-saved
#   locks: takes and releases hotplug_lock and the cpu_info's
#   irq: on
PUBLIC veridian_cpu_up
veridian_cpu_up:
    FRAME
    push rbx
    mov ebx, edi
    mov eax, -EINVAL
    cmp rbx, qword ptr [rip + cpu_count]
    jae .out
    CPU_INFO rbx, ebx
    cli
    lea rdi, [rip + hotplug_lock]
    call spin_lock
    mov rdi, rbx
    call info_lock
    cmp dword ptr [rbx + cpu_info.online], 0
    jne .online
    IF_BUG 16, .original
    mov dword ptr [rbx + cpu_info.joining], 1
.ask:
    mov rdi, rbx
    call kick_current
    mov rdi, rbx
    call info_unlock
    lea rdi, [rip + hotplug_lock]
    call spin_unlock
    sti
.wait:
    call relax
    RACE_POINT
    cmp dword ptr [rbx + cpu_info.online], 0
    je .wait
    xor eax, eax
.out:
    pop rbx
    UNFRAME
    ret
.original:
    # Bug V16: it counts as online before it has done anything, and it never does.
    mov dword ptr [rbx + cpu_info.started], 0
    call hotplug_enter
    jmp .ask
.online:
    EVENT_AT 1, plug_refused, [rbx + cpu_info.cpu], 1, [rip + online_cpus]
    mov rdi, rbx
    call info_unlock
    lea rdi, [rip + hotplug_lock]
    call spin_unlock
    sti
    mov eax, -EBUSY
    jmp .out
END veridian_cpu_up

# hotplug_join(rbx = this CPU's cpu_info): goes online if it was asked to, now that it does
# schedule.
#   clobbers: caller-saved
#   locks: takes and releases the cpu_info's
#   irq: off
PUBLIC hotplug_join
hotplug_join:
    FRAME
    RACE_POINT
    cmp dword ptr [rbx + cpu_info.joining], 0
    je .out
    mov rdi, rbx
    call info_lock
    mov dword ptr [rbx + cpu_info.joining], 0
    call hotplug_enter
    mov rdi, rbx
    call info_unlock
.out:
    UNFRAME
    ret
END hotplug_join

# hotplug_enter(rbx = cpu_info): tasks may be placed there from now on.
#   clobbers: rcx
#   locks: the cpu_info's held
#   irq: off
PRIVATE hotplug_enter
hotplug_enter:
    mov rcx, qword ptr [rbx + cpu_info.cpu]
    lock bts qword ptr [rip + online_cpus], rcx
    mov dword ptr [rbx + cpu_info.online], 1
    EVENT_AT 1, v_cpu_up, rcx, [rip + online_cpus]
    ret
END hotplug_enter
