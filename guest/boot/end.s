.intel_syntax noprefix
# The end of a run: every CPU stops and hands in what its ring holds; the last line is `end`.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "trace.inc"
.include "policy.inc"

.extern cpu_count
.extern cpu_table
.extern relax
.extern ipi_call_post
.extern lapic_check_errors
.extern task_close_all
.extern timer_stop
.extern trace_drain
.extern trace_sequence
.extern workload_done
.extern workload_header

.section .text
# run_check_end(): ends the run when its workload is over. From the boot CPU's tick, because tasks
# may keep that CPU from its idle loop for ever.
#   clobbers: caller-saved; does not return when it is time
#   locks: none
#   irq: off
PUBLIC run_check_end
run_check_end:
    FRAME
    cmp qword ptr [rip + workload_header], 0
    je .goes_on
    call workload_done
    test eax, eax
    jz .goes_on
    call run_end
.goes_on:
    UNFRAME
    ret
END run_check_end

# run_end(): ends the run with the verdict that the guest itself can give: run_failures.
#   clobbers: never returns
#   locks: none
#   irq: any; off from here on
PUBLIC run_end
run_end:
    FRAME
    cli
    call run_stop_others
    mov ebx, dword ptr [rip + run_failures]
    call task_close_all
    call run_close_cpu
    call run_sum_dropped
    mov rcx, rax
    lea rdx, [rip + result_pass]
    lea rax, [rip + result_fail]
    test ebx, ebx
    cmovnz rdx, rax
    mov rax, qword ptr [rip + trace_sequence]
    inc rax                             # this event counts too
    EVENT end, rax, rcx, rdx
    mov rdi, gs:[percpu.self]
    call trace_drain
    mov al, EXIT_PASS
    test ebx, ebx
    jz .exit
    mov al, EXIT_FAIL
.exit:
    out EXIT_PORT, al
.dead:
    hlt
    jmp .dead
END run_end

# run_stop_others(): parks every other CPU, all at the same time.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE run_stop_others
run_stop_others:
    FRAME
    push rbx
    push r12
    xor ebx, ebx
.post:
    cmp ebx, gs:[percpu.cpu]
    je .posted
    mov edi, ebx
    lea rsi, [rip + run_park]
    call ipi_call_post
.posted:
    inc ebx
    cmp rbx, qword ptr [rip + cpu_count]
    jb .post
    xor ebx, ebx
    lea r12, [rip + cpu_table]
.wait:
    mov rax, qword ptr [r12 + rbx * 8]
    cmp rax, gs:[percpu.self]
    je .parked
    cmp dword ptr [rax + percpu.parked], 0
    jne .parked
    call relax
    jmp .wait
.parked:
    inc ebx
    cmp rbx, qword ptr [rip + cpu_count]
    jb .wait
    pop r12
    pop rbx
    UNFRAME
    ret
END run_stop_others

# run_park(): closes the calling CPU and stops it for good.
#   clobbers: never returns
#   locks: none
#   irq: any; off from then on
PRIVATE run_park
run_park:
    FRAME
    cli
    call run_close_cpu
    mov rdi, gs:[percpu.self]
    call trace_drain
    mov dword ptr gs:[percpu.parked], 1
.stop:
    hlt
    jmp .stop
END run_park

# run_close_cpu(): last look at the hardware, last event of this CPU.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE run_close_cpu
run_close_cpu:
    FRAME
    call timer_stop
    call lapic_check_errors
    mov rdi, gs:[percpu.self]
    call trace_drain                    # makes room: the last events are never dropped
    POLICY close_cpu
    EVENT cpu_summary, gs:[percpu.ticks], gs:[percpu.ipis], gs:[percpu.switches]
    UNFRAME
    ret
END run_close_cpu

# run_sum_dropped() -> rax = events that all CPUs had to give up.
#   clobbers: rcx, rdx
#   locks: none; all CPUs are parked
#   irq: off
PRIVATE run_sum_dropped
run_sum_dropped:
    xor eax, eax
    xor ecx, ecx
.cpu:
    lea rdx, [rip + cpu_table]
    mov rdx, qword ptr [rdx + rcx * 8]
    add rax, qword ptr [rdx + percpu.dropped]
    inc ecx
    cmp rcx, qword ptr [rip + cpu_count]
    jb .cpu
    ret
END run_sum_dropped

.section .rodata
result_pass:
    .asciz "pass"
result_fail:
    .asciz "fail"

.section .bss
# run_failures: self-tests that failed.
OBJECT run_failures
run_failures:
    .zero 8
END run_failures
