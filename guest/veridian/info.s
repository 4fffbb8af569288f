.intel_syntax noprefix
# What the policy keeps of each CPU and of each task, and the locks on it (order: hotplug_lock, then
# cpu_info.lock by ascending address). VeridianOS sched/smp.rs.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "veridian.inc"
.include "trace.inc"
.include "race.inc"
.include "invariant.inc"

.extern apic_count
.extern memory_alloc
.extern spin_lock
.extern spin_unlock
.extern task_count

.section .text
# info_tables_init(): makes the tables of all CPUs and tasks.
#   clobbers: caller-saved
#   locks: none; the boot CPU is alone
#   irq: off
PUBLIC info_tables_init
info_tables_init:
    FRAME
    mov eax, dword ptr [rip + apic_count]
    imul rdi, rax, cpu_info.size
    mov esi, 64
    call memory_alloc
    mov qword ptr [rip + cpu_infos], rax
    mov edi, dword ptr [rip + task_count]
    imul rdi, rdi, vtask.size
    mov esi, 64
    call memory_alloc
    mov qword ptr [rip + vtasks], rax
    UNFRAME
    ret
END info_tables_init

# cpu_info_init(): sets up the calling CPU's: nothing queued, running its idle task.
#   clobbers: caller-saved
#   locks: none; nobody else knows of it yet
#   irq: off
PUBLIC cpu_info_init
cpu_info_init:
    FRAME
    push rbx
    mov ebx, gs:[percpu.cpu]
    CPU_INFO rbx, ebx
    mov rdi, rbx
    mov ecx, cpu_info.size / 8
    xor eax, eax
    rep stosq
    mov dword ptr [rbx + cpu_info.lock + lock.owner], LOCK_FREE
    mov ecx, gs:[percpu.cpu]
    mov qword ptr [rbx + cpu_info.cpu], rcx
    mov dword ptr [rbx + cpu_info.online], 1
    mov dword ptr [rbx + cpu_info.started], 1
    mov dword ptr [rbx + cpu_info.idle], 1
    mov qword ptr [rbx + cpu_info.switch_least], -1
    lock bts qword ptr [rip + online_cpus], rcx
    mov rdi, gs:[percpu.idle]
    mov qword ptr [rbx + cpu_info.idle_task], rdi
    mov qword ptr [rbx + cpu_info.curr], rdi
    mov gs:[percpu.runqueue], rbx
    mov dword ptr [rdi + task.prio], IDLE_PRIORITY
    mov dword ptr [rdi + task.time_slice], DEFAULT_TIME_SLICE
    mov dword ptr [rdi + task.static_prio], MAX_PRIO
    mov qword ptr [rdi + task.cpus_allowed], 0
    bts qword ptr [rdi + task.cpus_allowed], rcx
    mov edx, CLASS_IDLE
    call vtask_init
    pop rbx
    UNFRAME
    ret
END cpu_info_init

# vtask_init(rdi = task, edx = CLASS_*): of a task that is new.
#   clobbers: rax
#   locks: none; nobody else knows of it yet
#   irq: as found
PUBLIC vtask_init
vtask_init:
    VTASK rax, eax, rdi
    mov dword ptr [rax + vtask.class], edx
    mov dword ptr [rax + vtask.ring], NO_RING
    mov dword ptr [rax + vtask.last_cpu], -1
    mov dword ptr [rax + vtask.leaving], 0
    mov qword ptr [rax + vtask.since], 0
    mov qword ptr [rax + vtask.migrations], 0
    ret
END vtask_init

# info_lock(rdi = cpu_info): takes its lock and logs the order.
#   clobbers: caller-saved but rdi
#   locks: takes it
#   irq: off
PUBLIC info_lock
info_lock:
    FRAME
    INVARIANT before_lock
    push rdi
    call spin_lock
    mov rdi, qword ptr [rsp]
    EVENT_AT 2, lock, [rdi + cpu_info.cpu], 0
    pop rdi
    INVARIANT locked
    UNFRAME
    ret
END info_lock

# info_unlock(rdi = cpu_info): releases its lock.
#   clobbers: caller-saved
#   locks: releases it
#   irq: off
PUBLIC info_unlock
info_unlock:
    FRAME
    INVARIANT before_info_unlock
    EVENT_AT 2, unlock, [rdi + cpu_info.cpu]
    call spin_unlock
    UNFRAME
    ret
END info_unlock

# info_lock_both(rdi, rsi = cpu_infos, different): the lower address first.
#   clobbers: caller-saved
#   locks: takes both
#   irq: off
PUBLIC info_lock_both
info_lock_both:
    FRAME
    push rbx
    cmp rdi, rsi
    jb .ordered
    xchg rdi, rsi
.ordered:
    mov rbx, rsi
    call info_lock
    mov rdi, rbx
    call info_lock
    pop rbx
    UNFRAME
    ret
END info_lock_both

# task_info_lock(rdi = task) -> rax = cpu_info of the CPU that it belongs to, locked. The task may
# move while the lock is waited for; then the new one is taken.
#   clobbers: caller-saved but rdi
#   locks: takes the cpu_info's
#   irq: off
PUBLIC task_info_lock
task_info_lock:
    FRAME
    push rbx
    push r12
    mov rbx, rdi
.again:
    RACE_POINT
    mov r12d, dword ptr [rbx + task.cpu]
    CPU_INFO r12, r12d
    mov rdi, r12
    call info_lock
    RACE_POINT
    mov eax, dword ptr [rbx + task.cpu]
    cmp rax, qword ptr [r12 + cpu_info.cpu]
    je .locked
    mov rdi, r12
    call info_unlock
    jmp .again
.locked:
    mov rdi, rbx
    mov rax, r12
    pop r12
    pop rbx
    UNFRAME
    ret
END task_info_lock

.section .data
# hotplug_lock: protects who is online.
OBJECT hotplug_lock, 16
hotplug_lock:
    .long LOCK_FREE, 0, 0, 0
END hotplug_lock

.section .bss
# cpu_infos: the table; entry i is CPU i's.
OBJECT cpu_infos
cpu_infos:
    .zero 8
END cpu_infos
# vtasks: by task identifier.
OBJECT vtasks
vtasks:
    .zero 8
END vtasks
# online_cpus: CPUs on which tasks may be placed, a bit each. Written under hotplug_lock, or while
# the CPUs start one after the other.
OBJECT online_cpus
online_cpus:
    .zero 8
END online_cpus
