.intel_syntax noprefix
# The boot CPU's way through a run: set up, start the others, say hello, test, let time pass, end.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "trace.inc"
.include "policy.inc"

.extern acpi_find_cpus
.extern apic_count
.extern apic_source
.extern boot_block
.extern boot_info_read
.extern clock_init
.extern clock_khz
.extern clock_restart
.extern console_init
.extern cpu_count
.extern cpu_table
.extern idle_forever
.extern idle_turn
.extern idt_init
.extern idt_load
.extern lapic_id
.extern lapic_init
.extern memory_protect_image
.extern monitor_start
.extern monitor_done
.extern param_clock
.extern param_flood
.extern param_hz
.extern param_monitor
.extern param_seed
.extern param_ticks
.extern params_parse
.extern percpu_init
.extern policy_choose
.extern run_end
.extern run_failures
.extern sched_constants_init
.extern selftest_run
.extern smp_call_all
.extern smp_copy_trampoline
.extern smp_enter_all
.extern smp_start_all
.extern task_init_idle
.extern task_table_init
.extern timer_calibrate
.extern timer_count
.extern timer_khz
.extern trace_drain
.extern trace_init
.extern workload_header
.extern workload_load
.extern workload_start
.extern __build_id_note

.equ PROTOCOL, 1                        # of the log; harness/trace/vocabulary.py has the same
.equ BUILD_ID_OFFSET, 16                # in the note: header of 12 bytes, name "GNU"

.section .text
# kernel_main(): the boot CPU comes here from boot/entry.s.
#   clobbers: never returns
#   locks: none
#   irq: off; on once the local APIC is set up
PUBLIC kernel_main
kernel_main:
    FRAME
    call main_setup_boot_cpu
    call main_setup_machine
    call smp_start_all
    call sched_constants_init
    call main_hello
    sti
    call smp_enter_all
    POLICY ready
    call selftest_run
    mov dword ptr [rip + run_failures], eax
    call main_flood
    cmp qword ptr [rip + workload_header], 0
    je .no_workload
    call workload_start
    call idle_forever                   # the tick ends the run
.no_workload:
    cmp dword ptr [rip + param_monitor], 0
    je .ticks
    call monitor_start
.monitor:
    call idle_turn
    cmp dword ptr [rip + monitor_done], 0
    je .monitor
    jmp .end
.ticks:
    call main_wait_ticks
.end:
    call run_end
END kernel_main

# main_setup_boot_cpu(): enough for an exception to be reported.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE main_setup_boot_cpu
main_setup_boot_cpu:
    FRAME
    call console_init
    call lapic_id
    mov edx, eax
    lea rdi, [rip + boot_block]
    xor esi, esi
    call percpu_init
    mov rax, gs:[percpu.self]
    mov qword ptr [rip + cpu_table], rax
    mov qword ptr [rip + cpu_count], 1
    call idt_init
    call idt_load
    UNFRAME
    ret
END main_setup_boot_cpu

# main_setup_machine(): memory, parameters, clocks, and the boot CPU's share of everything.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE main_setup_machine
main_setup_machine:
    FRAME
    # The legacy controllers are never used; nothing of theirs may arrive.
    mov al, 0xff
    out PIC1_DATA, al
    out PIC2_DATA, al
    call boot_info_read
    call params_parse
    call workload_load
    call smp_copy_trampoline
    call memory_protect_image
    call clock_init
    call lapic_init
    call acpi_find_cpus
    call timer_calibrate
    call trace_init
    call policy_choose
    call task_table_init
    mov rdi, gs:[percpu.self]
    add rdi, cpu_block.idle_stack
    call task_init_idle
    POLICY init_cpu
    mov dword ptr gs:[percpu.online], 1
    UNFRAME
    ret
END main_setup_machine

# main_hello(): the first events: how this run is configured.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE main_hello
main_hello:
    FRAME
    call clock_restart
    lea rax, [rip + __build_id_note + BUILD_ID_OFFSET]
    mov rcx, qword ptr [rip + policy]
    lea rdx, [rip + clock_names]
    mov rsi, qword ptr [rip + param_clock]
    mov rcx, qword ptr [rcx + policy_ops.name]
    mov rdx, qword ptr [rdx + rsi * 8]
    mov rdi, qword ptr [rip + cpu_count]
    mov r8, qword ptr [rip + param_hz]
    EVENT hello, PROTOCOL, rax, rcx, rdi, r8, rdx, [rip + param_seed]
    cmp dword ptr [rip + param_loglevel], 0
    jne .decisions
    EVENT quiet
.decisions:
    mov eax, dword ptr [rip + apic_count]
    EVENT cpus_found, [rip + apic_source], rax
    EVENT timer, [rip + clock_khz], [rip + timer_khz], [rip + timer_count]
    # Before anybody else can write: the first line of a log is hello.
    mov rdi, gs:[percpu.self]
    call trace_drain
    UNFRAME
    ret
END main_hello

# main_flood(): has every CPU log as many marks as the boot parameter flood asks for, all at once.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE main_flood
main_flood:
    FRAME
    cmp qword ptr [rip + param_flood], 0
    je .done
    lea rdi, [rip + flood_cpu]
    call smp_call_all
.done:
    UNFRAME
    ret
END main_flood

# flood_cpu(): the part of main_flood that runs on each CPU.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE flood_cpu
flood_cpu:
    FRAME
    push rbx
    xor ebx, ebx
.mark:
    inc rbx
    EVENT mark, rbx
    cmp rbx, qword ptr [rip + param_flood]
    jb .mark
    pop rbx
    UNFRAME
    ret
END flood_cpu

# main_wait_ticks(): idles until every CPU has taken as many ticks as the parameter asks for.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PRIVATE main_wait_ticks
main_wait_ticks:
    FRAME
    push rbx
    xor ebx, ebx
.cpu:
    lea rax, [rip + cpu_table]
    mov rax, qword ptr [rax + rbx * 8]
    mov rcx, qword ptr [rax + percpu.ticks]
    cmp rcx, qword ptr [rip + param_ticks]
    jae .next
    call idle_turn
    jmp .cpu
.next:
    inc ebx
    cmp rbx, qword ptr [rip + cpu_count]
    jb .cpu
    pop rbx
    UNFRAME
    ret
END main_wait_ticks

.section .rodata
    .balign 8
# By param_clock.
clock_names:
    .quad clock_virtual
    .quad clock_real
clock_virtual:
    .asciz "virtual"
clock_real:
    .asciz "real"
