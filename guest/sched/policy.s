.intel_syntax noprefix
# Policy `o1`: what the hardware layer calls of Linux 2.6.11's scheduler.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "print.inc"
.include "trace.inc"

.extern apic_count
.extern cpu_down
.extern cpu_online_init
.extern cpu_up
.extern refuse

.equ MASK_CPUS, 64                      # a CPU mask is one word

.extern finish_task_switch
.extern schedstat_close_cpu
.extern log_task_stats
.extern migration_start_threads
.extern param_fix
.extern preempt_schedule
.extern runqueue_init
.extern runqueue_table_init
.extern sched_domains_init
.extern do_exit
.extern do_fork
.extern set_user_nice
.extern sched_setscheduler
.extern set_cpus_allowed
.extern try_to_wake_up
.extern sched_yield
.extern schedule
.extern sched_exec
.extern scheduler_tick
.extern task_start

.section .text
# o1_init_cpu(): sets up the calling CPU's run queue; on the boot CPU, the table of all first.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE o1_init_cpu
o1_init_cpu:
    FRAME
    cmp dword ptr gs:[percpu.cpu], 0
    jne .own
    cmp dword ptr [rip + apic_count], MASK_CPUS
    ja .too_many
    call runqueue_table_init
    call cpu_online_init
.own:
    call runqueue_init
    UNFRAME
    ret
.too_many:
    mov eax, dword ptr [rip + apic_count]
    PRINT "REFUSED policy=o1: it schedules up to 64 CPUs, there are %u\n", rax
    call refuse
END o1_init_cpu

# o1_ready(): all CPUs are up: names the defects that are corrected, divides the CPUs into domains,
# starts the migration threads.
#   clobbers: caller-saved
#   locks: none; from the boot CPU
#   irq: on
PRIVATE o1_ready
o1_ready:
    FRAME
    cmp qword ptr [rip + param_fix], 0
    je .domains
    EVENT fixes, [rip + param_fix]
.domains:
    call sched_domains_init
    call migration_start_threads
    UNFRAME
    ret
END o1_ready

.section .rodata
o1_name:
    .asciz "o1"
    .balign 8
OBJECT o1_policy
o1_policy:
    .quad o1_name
    .quad o1_init_cpu
    .quad o1_ready
    .quad scheduler_tick
    .quad schedule
    .quad preempt_schedule
    .quad sched_yield
    .quad do_exit
    .quad task_start
    .quad schedstat_close_cpu
    .quad log_task_stats
    .quad finish_task_switch
    .quad try_to_wake_up
    .quad do_fork
    .quad set_user_nice
    .quad sched_setscheduler
    .quad set_cpus_allowed
    .quad sched_exec
    .quad cpu_down
    .quad cpu_up
END o1_policy
