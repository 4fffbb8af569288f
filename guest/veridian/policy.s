.intel_syntax noprefix
# Policy `veridian`: what the hardware layer calls of VeridianOS's scheduler.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "veridian.inc"
.include "trace.inc"
.include "print.inc"

.extern apic_count
.extern cpu_info_init
.extern info_tables_init
.extern message_idle_loop
.extern message_initialized
.extern message_initializing
.extern message_starting
.extern message_timer
.extern metrics_log_cpu
.extern metrics_log_task
.extern refuse
.extern veridian_begin
.extern veridian_cpu_down
.extern veridian_cpu_up
.extern veridian_exit
.extern veridian_fork
.extern veridian_preempt
.extern veridian_schedule
.extern veridian_set_cpus
.extern veridian_set_nice
.extern veridian_set_policy
.extern veridian_start
.extern veridian_tick
.extern veridian_wake
.extern veridian_yield

.section .text
# veridian_init_cpu(): sets up the calling CPU; on the boot CPU, the tables of all first.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE veridian_init_cpu
veridian_init_cpu:
    FRAME
    cmp dword ptr gs:[percpu.cpu], 0
    jne .own
    cmp dword ptr [rip + apic_count], MASK_CPUS
    ja .too_many
    call info_tables_init
.own:
    call cpu_info_init
    UNFRAME
    ret
.too_many:
    mov eax, dword ptr [rip + apic_count]
    PRINT "REFUSED policy=veridian: it schedules up to 64 CPUs, there are %u\n", rax
    call refuse
END veridian_init_cpu

# veridian_ready(): logs which defects are re-created, and what the original says at its start.
#   clobbers: caller-saved
#   locks: none
#   irq: on at entry and exit
PRIVATE veridian_ready
veridian_ready:
    FRAME
    cli
    cmp qword ptr [rip + param_bug], 0
    je .repaired
    EVENT bugs, [rip + param_bug]
.repaired:
    call message_initializing
    call message_initialized
    call message_timer
    call message_starting
    call message_idle_loop
    sti
    UNFRAME
    ret
END veridian_ready

# veridian_exec(): a task that starts a new program stays where it is.
#   clobbers: nothing
#   locks: none
#   irq: any
PRIVATE veridian_exec
veridian_exec:
    ret
END veridian_exec

.section .rodata
veridian_name:
    .asciz "veridian"
    .balign 8
OBJECT veridian_policy
veridian_policy:
    .quad veridian_name
    .quad veridian_init_cpu
    .quad veridian_ready
    .quad veridian_tick
    .quad veridian_schedule
    .quad veridian_preempt
    .quad veridian_yield
    .quad veridian_exit
    .quad veridian_start
    .quad metrics_log_cpu
    .quad metrics_log_task
    .quad veridian_begin
    .quad veridian_wake
    .quad veridian_fork
    .quad veridian_set_nice
    .quad veridian_set_policy
    .quad veridian_set_cpus
    .quad veridian_exec
    .quad veridian_cpu_down
    .quad veridian_cpu_up
END veridian_policy
