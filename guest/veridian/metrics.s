.intel_syntax noprefix
# The scheduler's metrics: each CPU counts its own, in cpu_info; the totals are sums. VeridianOS
# sched/metrics.rs; harness/model/veridian/metrics.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "veridian.inc"
.include "trace.inc"
.include "print.inc"

.extern clock_ns
.extern cpu_count

.section .text
# metrics_switch_done(): the calling CPU's switch is over: counts how long it took.
#   clobbers: rax, rcx, rdx
#   locks: the cpu_info's held, unless a defect is re-created
#   irq: off
PUBLIC metrics_switch_done
metrics_switch_done:
    FRAME
    call clock_ns
    mov rcx, gs:[percpu.runqueue]
    sub rax, qword ptr [rcx + cpu_info.switch_began]
    add qword ptr [rcx + cpu_info.switch_ns], rax
    cmp rax, qword ptr [rcx + cpu_info.switch_least]
    jae .not_least
    mov qword ptr [rcx + cpu_info.switch_least], rax
.not_least:
    cmp rax, qword ptr [rcx + cpu_info.switch_most]
    jbe .not_most
    mov qword ptr [rcx + cpu_info.switch_most], rax
.not_most:
    UNFRAME
    ret
END metrics_switch_done

# metrics_log_task(rdi = task): its totals.
#   clobbers: caller-saved
#   locks: none; the task does not run
#   irq: off
PUBLIC metrics_log_task
metrics_log_task:
    FRAME
    mov eax, dword ptr [rdi + task.id]
    VTASK rcx, ecx, rdi
    movsxd rdx, dword ptr [rcx + vtask.last_cpu]
    EVENT v_task, rax, [rcx + vtask.migrations], rdx
    mov rcx, qword ptr [rdi + task.sched_cpu_time]
    mov rdx, qword ptr [rdi + task.sched_run_delay]
    mov rsi, qword ptr [rdi + task.sched_pcnt]
    EVENT task_summary, rax, rcx, rdx, rsi, [rdi + task.nvcsw], [rdi + task.nivcsw]
    UNFRAME
    ret
END metrics_log_task

# metrics_log_cpu(): the calling CPU's totals; on the boot CPU, the last one, those of all as well.
#   clobbers: caller-saved
#   locks: none; the CPU has stopped scheduling
#   irq: off
PUBLIC metrics_log_cpu
metrics_log_cpu:
    FRAME
    mov rax, gs:[percpu.runqueue]
    mov rcx, qword ptr [rax + cpu_info.context_switches]
    cmp rcx, gs:[percpu.switches]
    jne .miscounted
    mov ecx, cpu_info.totals_count
.counter:
    push qword ptr [rax + rcx * 8 + cpu_info.metrics - 8]
    dec ecx
    jnz .counter
    push EV_v_cpu + cpu_info.totals_count * 65536
    call trace_emit
    mov rsp, rbp
    cmp dword ptr gs:[percpu.cpu], 0
    jne .done
    call metrics_print
.done:
    UNFRAME
    ret
.miscounted:
    PANIC "the scheduler has counted other switches than its CPU"
END metrics_log_cpu

# metrics_sum(rdi = where): the counters of all CPUs, in the order of cpu_info; of switch_least the
# least and of switch_most the greatest.
#   clobbers: rax, rcx, rdx, rsi, r8
#   locks: none; all CPUs have stopped
#   irq: off
PRIVATE metrics_sum
metrics_sum:
    xor ecx, ecx
.clear:
    mov qword ptr [rdi + rcx * 8], 0
    inc ecx
    cmp ecx, cpu_info.metrics_count
    jb .clear
    mov qword ptr [rdi + cpu_info.switch_least - cpu_info.metrics], -1
    xor r8d, r8d
.cpu:
    mov esi, r8d
    CPU_INFO rsi, esi
    mov rdx, qword ptr [rdi + cpu_info.switch_least - cpu_info.metrics]
    cmp rdx, qword ptr [rsi + cpu_info.switch_least]
    cmova rdx, qword ptr [rsi + cpu_info.switch_least]
    push rdx
    mov rdx, qword ptr [rdi + cpu_info.switch_most - cpu_info.metrics]
    cmp rdx, qword ptr [rsi + cpu_info.switch_most]
    cmovb rdx, qword ptr [rsi + cpu_info.switch_most]
    push rdx
    xor ecx, ecx
.add:
    mov rax, qword ptr [rsi + rcx * 8 + cpu_info.metrics]
    add qword ptr [rdi + rcx * 8], rax
    inc ecx
    cmp ecx, cpu_info.metrics_count
    jb .add
    pop rdx
    mov qword ptr [rdi + cpu_info.switch_most - cpu_info.metrics], rdx
    pop rdx
    mov qword ptr [rdi + cpu_info.switch_least - cpu_info.metrics], rdx
    inc r8d
    cmp r8, qword ptr [rip + cpu_count]
    jb .cpu
    ret
END metrics_sum

.equ FRAME_BYTES, cpu_info.metrics_count * 8

# TOTAL register, name: register = the sum of that counter. For metrics_print.
.macro TOTAL register:req, name:req
    mov \register, qword ptr [rbx + cpu_info.\name - cpu_info.metrics]
.endm

# metrics_print(): the totals in words.
#   clobbers: caller-saved
#   locks: none; all CPUs have stopped
#   irq: off
PRIVATE metrics_print
metrics_print:
    FRAME
    push rbx
    push r12
    sub rsp, FRAME_BYTES
    mov rbx, rsp
    mov rdi, rsp
    call metrics_sum
    PRINT "[SCHED] Scheduler Metrics:\n"
    TOTAL rsi, context_switches
    TOTAL rdx, voluntary
    mov rcx, rsi
    sub rcx, rdx
    PRINT "[SCHED]   Context switches: %u, %u of them voluntary, %u not\n", rsi, rdx, rcx
    TOTAL rax, switch_ns
    TOTAL rcx, context_switches
    call ratio
    mov rsi, rax
    TOTAL rdx, switch_least
    TOTAL rcx, switch_most
    cmp rdx, -1
    jne .switched
    xor edx, edx
.switched:
    PRINT "[SCHED]   Switch latency ns: %u on average, %u to %u\n", rsi, rdx, rcx
    TOTAL rax, scheduler_ns
    TOTAL rcx, switch_ns
    add rcx, rax
    imul rax, rax, 100
    call ratio
    PRINT "[SCHED]   Scheduler overhead: %u percent\n", rax
    TOTAL rax, idle_scheduled
    imul rax, rax, 100
    TOTAL rcx, schedule_calls
    call ratio
    mov rdx, rax
    TOTAL rsi, schedule_calls
    PRINT "[SCHED]   Schedule calls: %u, %u percent of them to the idle task\n", rsi, rdx
    TOTAL rsi, load_balances
    TOTAL rdx, task_migrations
    PRINT "[SCHED]   Load balances: %u, task migrations: %u\n", rsi, rdx
    TOTAL rsi, ipc_blocks
    TOTAL rdx, ipc_wakeups
    PRINT "[SCHED]   IPC blocks: %u, wakeups: %u\n", rsi, rdx
    add rsp, FRAME_BYTES
    pop r12
    pop rbx
    UNFRAME
    ret
END metrics_print

# ratio(rax, rcx) -> rax = rax / rcx, 0 if rcx is 0.
#   clobbers: rdx
#   locks: none
#   irq: as found
PRIVATE ratio
ratio:
    test rcx, rcx
    jz .none
    xor edx, edx
    div rcx
    ret
.none:
    xor eax, eax
    ret
END ratio
