.intel_syntax noprefix
# The load of a CPU, and where a task is placed. VeridianOS sched/{smp,scheduler}.rs;
# harness/model/veridian/load.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "veridian.inc"
.include "trace.inc"
.include "race.inc"

.extern cpu_count
.extern info_lock
.extern info_unlock
.extern jiffies
.extern kick
.extern message_cannot_run
.extern message_no_affinity
.extern online_cpus
.extern queue_enqueue
.extern ready_count
.extern ready_enqueue
.extern ready_log
.extern relax

.equ EXAMINED_CPUS, 8                   # by the original where a task may not run everywhere

.section .text
# update_load(rsi = cpu_info): stores its load: 10 for each task, the running one included.
#   clobbers: rax, rcx
#   locks: the cpu_info's held
#   irq: off
PUBLIC update_load
update_load:
    mov eax, dword ptr [rsi + cpu_info.nr_running]
    IF_BUG 13, .waiting_only
    add eax, 1
    sub eax, dword ptr [rsi + cpu_info.idle]
.waiting_only:
    imul eax, eax, LOAD_PER_TASK
    mov ecx, MAX_LOAD
    cmp eax, ecx
    cmova eax, ecx
    mov qword ptr [rsi + cpu_info.load], rax
    ret
END update_load

# load_read(ecx = CPU) -> rax = its load, rdx = tasks that wait there, as read once; logged unless
# both are 0.
#   clobbers: nothing else
#   locks: any; the CPU's is not needed
#   irq: off
PUBLIC load_read
load_read:
    mov eax, ecx
    CPU_INFO rax, eax
    RACE_POINT
    mov rdx, qword ptr [rax + cpu_info.nr_running]
    RACE_POINT
    mov rax, qword ptr [rax + cpu_info.load]
    push rax
    or rax, rdx
    pop rax
    jz .none
    EVENT_AT 1, v_load, rcx, rdx, rax
.none:
    ret
END load_read

# find_least_loaded(rdi = task) -> eax = the CPU of the least load that the task may run on, the
# lowest of several; edx = 1 if none of them is online and its affinity had to be given up.
#   clobbers: caller-saved but rdi
#   locks: that of the task's CPU held
#   irq: off
PUBLIC find_least_loaded
find_least_loaded:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    RACE_POINT
    mov rbx, qword ptr [rip + online_cpus]
    xor r14d, r14d
    IF_BUG 19, .original
    test qword ptr [rdi + task.cpus_allowed], rbx
    jz .nowhere
.somewhere:
    mov r13, qword ptr [rdi + task.cpus_allowed]
    and r13, rbx
    mov r12, -1
    mov r8, -1                          # least load so far
.read:
    mov esi, dword ptr [rdi + task.id]
    mov ecx, dword ptr [rdi + task.cpu]
    EVENT_AT 1, v_find, rsi, rcx, rbx
    xor ecx, ecx
.cpu:
    bt rbx, rcx
    jnc .next
    call load_read
    bt r13, rcx
    jnc .next
    cmp rax, r8
    jae .next
    mov r8, rax
    mov r12, rcx
.next:
    inc ecx
    cmp rcx, qword ptr [rip + cpu_count]
    jb .cpu
    mov eax, r12d
    mov edx, r14d
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
.nowhere:
    push rdi
    call message_no_affinity
    pop rdi
    mov qword ptr [rdi + task.cpus_allowed], -1
    mov r14d, 1
    jmp .somewhere
.original:
    # Bug V19: CPU 0 if none has a load below 100, whether the task may run there or not; and if it
    # may not run everywhere, only the first CPUs are looked at.
    xor r12d, r12d
    mov r8d, MAX_LOAD
    mov r13, qword ptr [rdi + task.cpus_allowed]
    cmp r13, -1
    je .read
    and r13d, (1 << EXAMINED_CPUS) - 1
    jmp .read
END find_least_loaded

# place_task(rdi = task, in no ring, esi = 1: it stays where it is if it may, edx = 1: it was
# runnable): finds a CPU for it and queues it there.
#   clobbers: caller-saved
#   locks: that of the task's CPU, held at entry, is released; takes and releases others'
#   irq: off
PUBLIC place_task
place_task:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov rbx, rdi
    mov r13d, dword ptr [rbx + task.cpu]
    mov r14d, edx
    xor r15d, r15d                      # 1 once its affinity was given up
    mov r12d, r13d
    CPU_INFO r12, r12d
    test esi, esi
    jz .find
.look:
    cmp dword ptr [r12 + cpu_info.online], 0
    je .find
    mov ecx, dword ptr [rbx + task.cpu]
    bt qword ptr [rbx + task.cpus_allowed], rcx
    jc .found
.find:
    mov rdi, rbx
    call find_least_loaded
    or r15d, edx
    cmp eax, dword ptr [rbx + task.cpu]
    je .arrived
    mov dword ptr [rbx + task.cpu], eax
    push rax
    mov rdi, r12
    call info_unlock
    pop r12
    CPU_INFO r12, r12d
    mov rdi, r12
    call info_lock
.arrived:
    IF_BUG 19, .found_blindly
    jmp .look
.found_blindly:
    # Bug V19: whoever may not run where it was sent is dropped there.
    mov ecx, dword ptr [rbx + task.cpu]
    bt qword ptr [rbx + task.cpus_allowed], rcx
    jc .found
    mov rdi, rbx
    call message_cannot_run
    mov rdi, r12
    call info_unlock
    jmp .out
.found:
    call place_here
.out:
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END place_task

# place_here(rbx = task, r12 = cpu_info, r13 = CPU that it came from, r14 = 1: it was runnable, r15
# = 1: its affinity was given up): the end of place_task.
#   clobbers: caller-saved, r14
#   locks: the cpu_info's, held at entry, is released
#   irq: off
PRIVATE place_here
place_here:
    FRAME
    mov eax, dword ptr [rbx + task.cpu]
    xor ecx, ecx
    cmp eax, r13d
    setne cl
    and r14d, ecx                       # migrated
    VTASK rdx, edx, rbx
    RACE_POINT
    mov rcx, qword ptr [rip + jiffies]
    mov eax, dword ptr [rbx + task.id]
    EVENT_AT 1, v_place, rax, [r12 + cpu_info.cpu], r15, r14, rcx
    test r14d, r14d
    jz .waits
    mov dword ptr [rdx + vtask.last_cpu], r13d
    inc qword ptr [rdx + vtask.migrations]
    mov rcx, gs:[percpu.runqueue]
    inc qword ptr [rcx + cpu_info.task_migrations]
    jmp .enqueue
.waits:
    mov qword ptr [rdx + vtask.since], rcx
.enqueue:
    mov rdi, rbx
    mov rsi, r12
    IF_BUG 11, .count_later
    IF_BUG 21, .interruptible
.enqueue_now:
    call ready_enqueue
    mov rdi, r12
    call kick
.unlock:
    mov rdi, r12
    call info_unlock
    UNFRAME
    ret
.count_later:
    # Bug V11: the count follows when the queue is unlocked already.
    call queue_enqueue
    mov rdi, rbx
    call ready_log
    mov rdi, r12
    call kick
    mov rdi, r12
    call info_unlock
    call relax
    mov rsi, r12
    call ready_count
    UNFRAME
    ret
.interruptible:
    # Bug V21: an interrupt may come while the lock is held; its handler may want the lock.
    cmp dword ptr gs:[percpu.irq_depth], 0
    jne .enqueue_now
    call ready_enqueue
    mov rdi, r12
    call kick
    sti
    call relax
    cli
    jmp .unlock
END place_here
