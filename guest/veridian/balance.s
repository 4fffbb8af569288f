.intel_syntax noprefix
# Balancing: tasks move from the busiest CPU to the idlest. VeridianOS sched/load_balance.rs;
# harness/model/veridian/balance.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "veridian.inc"
.include "trace.inc"
.include "race.inc"

.extern cpu_count
.extern info_lock
.extern info_lock_both
.extern info_unlock
.extern jiffies
.extern kick
.extern message_balancing
.extern message_migrated
.extern online_cpus
.extern queue_dequeue
.extern queue_enqueue
.extern queue_enqueue_head
.extern load_read
.extern ready_enqueue
.extern ready_left
.extern relax

.section .text
# balance_tick(rbx = this CPU's cpu_info): balances if it is time: rarely on a CPU that has work.
#   clobbers: caller-saved
#   locks: none held; takes and releases the cpu_infos'
#   irq: off
PUBLIC balance_tick
balance_tick:
    FRAME
    cmp qword ptr [rip + cpu_count], 1
    je .out
    RACE_POINT
    cmp dword ptr [rbx + cpu_info.online], 0
    je .out
    mov ecx, BALANCE_BUSY_TICKS
    mov rax, gs:[percpu.curr]
    cmp rax, qword ptr [rbx + cpu_info.idle_task]
    jne .due
    mov ecx, BALANCE_IDLE_TICKS
.due:
    mov rax, gs:[percpu.ticks]
    xor edx, edx
    div rcx
    test rdx, rdx
    jnz .out
    call balance_load
.out:
    UNFRAME
    ret
END balance_tick

# balance_load(rbx = this CPU's cpu_info): moves tasks if two loads differ too much.
#   clobbers: caller-saved
#   locks: none held; takes and releases those of the busiest and the idlest CPU
#   irq: off
PRIVATE balance_load
balance_load:
    FRAME
    push r12
    push r13
    push r14
    call find_imbalance
    mov r14d, eax
    test eax, eax
    jz .out
    IF_BUG 28, .attempt
.move:
    CPU_INFO r12, r12d
    CPU_INFO r13, r13d
    IF_BUG 9, .two_phases
    mov rdi, r12
    mov rsi, r13
    call info_lock_both
    mov rdi, r12
    mov rsi, r13
    mov edx, r14d
    mov ecx, 1
    call migrate_tasks
    mov r14d, eax
    mov rdi, r12
    call info_unlock
    mov rdi, r13
    call info_unlock
.moved:
    test r14d, r14d
    jz .out
    IF_BUG 28, .announced
    inc qword ptr [rbx + cpu_info.load_balances]
    call message_balancing
.announced:
    call message_migrated
.out:
    pop r14
    pop r13
    pop r12
    UNFRAME
    ret
.attempt:
    # Bug V28: what is counted and announced is the attempt.
    inc qword ptr [rbx + cpu_info.load_balances]
    call message_balancing
    jmp .move
.two_phases:
    mov edi, r14d
    call migrate_unlocked
    mov r14d, eax
    jmp .moved
END balance_load

# find_imbalance() -> eax = how many tasks are to move, 0 for none, r12 = from which CPU, r13 = to
# which: greatest and least load, the lowest of several.
#   clobbers: caller-saved
#   locks: none; what it reads are hints
#   irq: off
PRIVATE find_imbalance
find_imbalance:
    FRAME
    push rbx
    RACE_POINT
    mov rbx, qword ptr [rip + online_cpus]
    RACE_POINT
    EVENT_AT 1, v_balance, [rip + jiffies], rbx
    xor r12d, r12d
    xor r13d, r13d
    xor r8d, r8d                        # greatest
    mov r9d, MAX_LOAD                   # least
    xor ecx, ecx
.cpu:
    bt rbx, rcx
    jnc .next
    call load_read
    cmp rax, r8
    jbe .not_busiest
    mov r8, rax
    mov r12, rcx
.not_busiest:
    cmp rax, r9
    jae .next
    mov r9, rax
    mov r13, rcx
.next:
    inc ecx
    cmp rcx, qword ptr [rip + cpu_count]
    jb .cpu
    mov rdi, r8
    mov rsi, r9
    call balance_count
    EVENT_AT 1, v_balanced, r12, r13, r8, r9, rax
    pop rbx
    UNFRAME
    ret
END find_imbalance

# balance_count(rdi = greatest load, rsi = least load) -> eax = tasks to move: one for each 20 that
# they differ by, if that is more than 20; three at most.
#   clobbers: rcx, rdx
#   locks: none
#   irq: as found
PUBLIC balance_count
balance_count:
    xor eax, eax
    sub rdi, rsi
    jbe .done
    cmp rdi, BALANCE_THRESHOLD
    jbe .done
    mov rax, rdi
    xor edx, edx
    mov ecx, BALANCE_THRESHOLD
    div rcx
    mov ecx, BALANCE_MAX
    cmp eax, ecx
    cmova eax, ecx
.done:
    ret
END balance_count

# migrate_tasks(rdi = source, rsi = target, edx = how many at most, ecx = 1: kick the target) -> eax
# = how many were moved: waiting tasks that may run there, best ring first, oldest first. The others
# keep their places.
#   clobbers: caller-saved
#   locks: both cpu_infos' held
#   irq: off
PUBLIC migrate_tasks
migrate_tasks:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    push r15
    push rcx
    push 0                              # tasks that were refused, the last one first
    mov r12, rdi
    mov rbx, rsi
    mov r13d, edx
    xor r14d, r14d
    EVENT_AT 1, v_migrate, [r12 + cpu_info.cpu], [rbx + cpu_info.cpu], r13
    mov r15d, dword ptr [r12 + cpu_info.nr_running]     # attempts
    IF_BUG 7, .count_attempts
.attempt:
    cmp r14d, r13d
    je .restore
    sub r15d, 1
    jc .restore
    mov rsi, r12
    call queue_dequeue
    test rax, rax
    jz .restore
    mov rdi, rax
    mov rcx, qword ptr [rbx + cpu_info.cpu]
    mov rax, qword ptr [rdi + task.cpus_allowed]
    shr rax, cl
    and eax, dword ptr [rbx + cpu_info.online]
    test eax, 1
    jz .refused
    call migrate_one
    inc r14d
    jmp .attempt
.count_attempts:
    # Bug V07: a task that may not go uses up one of `count`.
    mov r15d, r13d
    jmp .attempt
.refused:
    IF_BUG 8, .to_tail
    mov rax, qword ptr [rsp]
    mov qword ptr [rdi + task.run_list], rax
    mov qword ptr [rsp], rdi
    jmp .attempt
.to_tail:
    # Bug V08: a task that was looked at goes behind all others.
    mov rsi, r12
    call queue_enqueue
    jmp .attempt
.restore:
    mov rdi, qword ptr [rsp]
    test rdi, rdi
    jz .restored
    mov rax, qword ptr [rdi + task.run_list]
    mov qword ptr [rsp], rax
    mov rsi, r12
    call queue_enqueue_head
    jmp .restore
.restored:
    pop rdx
    pop rcx
    test r14d, r14d
    jz .done
    test ecx, ecx
    jz .done
    mov rdi, rbx
    call kick
.done:
    EVENT_AT 1, v_migrated, r14
    mov eax, r14d
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END migrate_tasks

# migrate_one(rdi = task, taken out of its ring, r12 = source, rbx = target): counts it out there
# and queues it here.
#   clobbers: caller-saved
#   locks: both cpu_infos' held
#   irq: off
PRIVATE migrate_one
migrate_one:
    FRAME
    push rdi
    mov rsi, r12
    call ready_left
    pop rdi
    call note_migration
    mov rsi, rbx
    call ready_enqueue
    UNFRAME
    ret
END migrate_one

# note_migration(rdi = task, rbx = target): the task belongs to another CPU now.
#   clobbers: rax, rcx
#   locks: that of its CPU held, and the target's unless the task is in no ring
#   irq: off
PRIVATE note_migration
note_migration:
    VTASK rax, eax, rdi
    mov ecx, dword ptr [rdi + task.cpu]
    mov dword ptr [rax + vtask.last_cpu], ecx
    inc qword ptr [rax + vtask.migrations]
    mov rcx, qword ptr [rbx + cpu_info.cpu]
    mov dword ptr [rdi + task.cpu], ecx
    mov rcx, gs:[percpu.runqueue]
    inc qword ptr [rcx + cpu_info.task_migrations]
    ret
END note_migration

# migrate_unlocked(edi = how many, r12 = source, r13 = target) -> eax = how many were moved. Bug
# V09: the original's two phases. In between the tasks are in no queue, and nobody is left to look
# after them if the target goes offline.
#   clobbers: caller-saved
#   locks: takes and releases the source's, then the target's
#   irq: off
PRIVATE migrate_unlocked
migrate_unlocked:
    FRAME
    push rbx
    push r14
    sub rsp, BALANCE_MAX * 8 + 8
    mov rbx, r13
    mov r14d, edi
    mov qword ptr [rsp + BALANCE_MAX * 8], 0
    mov rdi, r12
    call info_lock
    EVENT_AT 1, v_migrate, [r12 + cpu_info.cpu], [rbx + cpu_info.cpu], r14
.take:
    mov rsi, r12
    call queue_dequeue
    test rax, rax
    jz .taken
    mov rdi, rax
    mov rcx, qword ptr [rbx + cpu_info.cpu]
    bt qword ptr [rdi + task.cpus_allowed], rcx
    jnc .refused
    mov rcx, qword ptr [rsp + BALANCE_MAX * 8]
    mov qword ptr [rsp + rcx * 8], rdi
    inc qword ptr [rsp + BALANCE_MAX * 8]
    mov rsi, r12
    call ready_left
    jmp .next
.refused:
    mov rsi, r12
    call queue_enqueue
.next:
    dec r14d
    jnz .take
.taken:
    mov rdi, r12
    call info_unlock
    call relax
    mov rdi, rbx
    call info_lock
    xor r14d, r14d
    cmp dword ptr [rbx + cpu_info.online], 0
    je .gone
.put:
    cmp r14, qword ptr [rsp + BALANCE_MAX * 8]
    je .gone
    mov rdi, qword ptr [rsp + r14 * 8]
    call note_migration
    mov rsi, rbx
    call ready_enqueue
    inc r14d
    jmp .put
.gone:
    mov rdi, rbx
    call kick
    EVENT_AT 1, v_migrated, r14
    mov rdi, rbx
    call info_unlock
    mov eax, r14d
    add rsp, BALANCE_MAX * 8 + 8
    pop r14
    pop rbx
    UNFRAME
    ret
END migrate_unlocked
