.intel_syntax noprefix
# The workload of a run: its tasks are made and started, and its end is watched for.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "print.inc"
.include "workload.inc"
.include "interpreter.inc"
.include "policy.inc"
.include "race.inc"

.extern clock_ns
.extern cpu_count
.extern interpreter_init
.extern interpreter_run
.extern jiffies
.extern records_init
.extern refuse
.extern sync_init
.extern task_allocate
.extern timeout_init
.extern wrecords

.section .text
# workload_start(): has a task of its own make and start those of the workload. That task is real-
# time of the best priority, so that none of them takes the CPU from it before all are started.
#   clobbers: caller-saved
#   locks: takes and releases run queues' locks
#   irq: on; on the boot CPU, outside of any task
PUBLIC workload_start
workload_start:
    FRAME
    push rbx
    mov rbx, qword ptr [rip + workload_header]
    call workload_check_machine
    call interpreter_init
    call records_init
    call sync_init
    call timeout_init
    lea rdi, [rip + starter_name]
    lea rsi, [rip + workload_start_tasks]
    xor edx, edx
    call task_allocate
    test rax, rax
    jz .full
    mov dword ptr [rax + task.policy], SCHED_FIFO
    mov dword ptr [rax + task.rt_priority], MAX_RT_PRIO - 1
    mov dword ptr [rax + task.mm], 0
    mov qword ptr [rax + task.cpus_allowed], 1
    mov rdi, rax
    POLICY start
    pop rbx
    UNFRAME
    ret
.full:
    PANIC "no room in the task table for the task that starts the workload"
END workload_start

# workload_start_tasks(): body of that task: makes all tasks of the workload, then starts them in
# the order of their records, so that the first to run finds all others there.
#   clobbers: caller-saved
#   locks: takes and releases run queues' locks
#   irq: on
PRIVATE workload_start_tasks
workload_start_tasks:
    FRAME
    push rbx
    push r12
    push r13
    mov rbx, qword ptr [rip + workload_header]
    xor r12d, r12d
.create:
    mov edi, r12d
    call workload_create
    inc r12d
    cmp r12d, dword ptr [rbx + wl.task_count]
    jb .create
    call clock_ns
    mov qword ptr [rip + workload_start_ns], rax
    RACE_POINT
    mov rax, qword ptr [rip + jiffies]
    mov qword ptr [rip + workload_start_jiffies], rax
    mov r13, qword ptr [rip + wrecords]
    xor r12d, r12d
.start:
    mov rdi, qword ptr [r13 + wrecord.task]
    test rdi, rdi
    jz .template
    POLICY start
.template:
    add r13, wrecord.size
    inc r12d
    cmp r12d, dword ptr [rbx + wl.task_count]
    jb .start
    mov dword ptr [rip + workload_started], 1
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END workload_start_tasks

# workload_check_machine(rbx = header): refuses a workload that needs CPUs which are not there.
#   clobbers: caller-saved
#   locks: none
#   irq: any
PRIVATE workload_check_machine
workload_check_machine:
    FRAME
    movzx eax, word ptr [rbx + wl.cpus]
    cmp rax, qword ptr [rip + cpu_count]
    ja .few
    # Policies schedule up to 64 CPUs.
    mov rcx, qword ptr [rip + cpu_count]
    mov rax, -1
    neg ecx
    shr rax, cl
    mov qword ptr [rip + workload_online], rax
    mov rdi, qword ptr [rip + workload_masks]
    xor ecx, ecx
.mask:
    cmp ecx, dword ptr [rbx + wl.mask_count]
    jae .masks_done
    test qword ptr [rdi], rax
    jz .mask_offline
    add rdi, WL_MASK_SIZE
    inc ecx
    jmp .mask
.masks_done:
    mov rdi, qword ptr [rip + workload_tasks]
    xor ecx, ecx
.task:
    test qword ptr [rdi + wltask.affinity], rax
    jz .task_offline
    movzx edx, word ptr [rdi + wltask.start_cpu]
    cmp edx, WL_CPU_ANY
    je .next_task
    cmp rdx, qword ptr [rip + cpu_count]
    jae .start_offline
.next_task:
    add rdi, wltask.size
    inc ecx
    cmp ecx, dword ptr [rbx + wl.task_count]
    jb .task
    UNFRAME
    ret
.few:
    mov rsi, rax
    mov rdx, qword ptr [rip + cpu_count]
    PRINT "REFUSED workload: CPUs online: expected at least %u, found %u\n", rsi, rdx
    call refuse
.mask_offline:
    PRINT "REFUSED workload: CPU set %u: expected a CPU that is online, found none\n", rcx
    call refuse
.task_offline:
    PRINT "REFUSED workload: task %u: affinity: expected a CPU that is online, found none\n", rcx
    call refuse
.start_offline:
    mov rsi, rcx
    PRINT "REFUSED workload: task %u: start CPU: expected one that is online, found %u\n", rsi, rdx
    call refuse
END workload_check_machine

# workload_create(edi = record): makes its task, unless it is a template. Nobody runs it yet.
#   clobbers: caller-saved
#   locks: takes and releases task_lock
#   irq: any
PRIVATE workload_create
workload_create:
    FRAME
    push rbx
    push r12
    push r13
    mov ebx, edi
    mov r12, rbx
    shl r12, 6                          # * wltask.size
    add r12, qword ptr [rip + workload_tasks]
    test byte ptr [r12 + wltask.flags], WL_TASK_TEMPLATE
    jnz .done
    lea rdi, [r12 + wltask.name]
    lea rsi, [rip + interpreter_run]
    mov rdx, r12
    call task_allocate
    test rax, rax
    jz .full
    mov r13, rax
    call workload_choose_cpu
    mov dword ptr [r13 + task.cpu], eax
    movzx eax, byte ptr [r12 + wltask.policy]
    mov dword ptr [r13 + task.policy], eax
    movsx eax, byte ptr [r12 + wltask.nice]
    add eax, DEFAULT_STATIC_PRIO
    mov dword ptr [r13 + task.static_prio], eax
    movzx eax, byte ptr [r12 + wltask.rt_priority]
    mov dword ptr [r13 + task.rt_priority], eax
    mov rax, qword ptr [r12 + wltask.affinity]
    mov qword ptr [r13 + task.cpus_allowed], rax
    xor eax, eax
    test byte ptr [r12 + wltask.flags], WL_TASK_KERNEL
    setz al
    mov dword ptr [r13 + task.mm], eax
    imul rax, rbx, wrecord.size
    add rax, qword ptr [rip + wrecords]
    mov qword ptr [rax + wrecord.task], r13
.done:
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
.full:
    PANIC "workload: the task table has no room for it"
END workload_create

# workload_choose_cpu(ebx = record, r12 = wltask) -> eax = where it starts: where it says, or else
# on one of the CPUs that it is allowed, in turn.
#   clobbers: caller-saved
#   locks: none
#   irq: any
PRIVATE workload_choose_cpu
workload_choose_cpu:
    movzx eax, word ptr [r12 + wltask.start_cpu]
    cmp eax, WL_CPU_ANY
    jne .chosen
    mov rcx, qword ptr [r12 + wltask.affinity]
    and rcx, qword ptr [rip + workload_online]
    xor esi, esi                        # how many CPUs there are to choose from
    mov rax, rcx
.count:
    inc esi
    lea rdx, [rax - 1]
    and rax, rdx
    jnz .count
    mov eax, ebx
    xor edx, edx
    div esi
.skip:
    bsf rax, rcx
    sub edx, 1
    jc .chosen
    btr rcx, rax
    jmp .skip
.chosen:
    ret
END workload_choose_cpu

# workload_done() -> eax = 1 when the workload's time is over or every task of it has ended.
#   clobbers: caller-saved
#   locks: none
#   irq: any, in interrupt handlers too
PUBLIC workload_done
workload_done:
    FRAME
    push rbx
    RACE_POINT
    cmp dword ptr [rip + workload_started], 0
    je .no
    RACE_POINT
    cmp dword ptr [rip + workload_live], 0
    je .yes
    mov rbx, qword ptr [rip + workload_header]
    mov rcx, qword ptr [rbx + wl.duration_ticks]
    mov rax, qword ptr [rip + jiffies]
    sub rax, qword ptr [rip + workload_start_jiffies]
    test rcx, rcx
    jnz .limit
    mov rcx, qword ptr [rbx + wl.duration_ns]
    test rcx, rcx
    jz .no
    call clock_ns
    sub rax, qword ptr [rip + workload_start_ns]
.limit:
    cmp rax, rcx
    jae .yes
.no:
    xor eax, eax
    pop rbx
    UNFRAME
    ret
.yes:
    mov eax, 1
    pop rbx
    UNFRAME
    ret
END workload_done

.section .rodata
starter_name:
    .asciz "starter"

.section .bss
# workload_header: the module, 0 if there is none; workload_*: its tables.
OBJECT workload_header
workload_header:
    .zero 8
END workload_header
OBJECT workload_tasks
workload_tasks:
    .zero 8
END workload_tasks
OBJECT workload_masks
workload_masks:
    .zero 8
END workload_masks
OBJECT workload_code
workload_code:
    .zero 8
END workload_code
OBJECT workload_barriers
workload_barriers:
    .zero 8
END workload_barriers
# workload_task_count: task slots to provide, 0 without a workload.
OBJECT workload_task_count
workload_task_count:
    .zero 8
END workload_task_count
# workload_live: tasks that have not ended; those still to be started count.
OBJECT workload_live
workload_live:
    .zero 8
END workload_live
# workload_online: set of the CPUs that are online.
workload_online:
    .zero 8
# workload_started: 1 once all tasks have started; and since when.
OBJECT workload_started
workload_started:
    .zero 8
END workload_started
workload_start_ns:
    .zero 8
workload_start_jiffies:
    .zero 8
