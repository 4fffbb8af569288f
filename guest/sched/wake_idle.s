.intel_syntax noprefix
# An idle thread for a woken task, on processors with several threads a core. Linux 2.6.11
# wake_idle(); harness/model/wake.py.
#
# Who idles is read once and without locks, and logged; the choice is made from that.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "race.inc"

.extern apic_count
.extern cpu_online_mask
.extern cpu_rq

.section .text
# wake_idle(rbx = task, edi = CPU chosen for it) -> eax = where it goes: that CPU if it idles, else
# the first idle one that the task may use near it, else that CPU.
#   clobbers: caller-saved
#   locks: that of the task's run queue held
#   irq: off
PUBLIC wake_idle
wake_idle:
    FRAME
    call cpu_rq
    mov r8, qword ptr [rax + runqueue.sd]
    mov eax, edi
    test r8, r8
    jz .identity
    test qword ptr [r8 + sched_domain.flags], SD_SHARE_CPUPOWER
    jz .identity                        # threads are the innermost level, if one at all
    mov r9d, edi
    call idle_mask
    mov r10, rax                        # CPUs seen idle
    mov eax, r9d
    bt r10, r9
    jc .chosen
.domain:
    test qword ptr [r8 + sched_domain.flags], SD_WAKE_IDLE
    jz .chosen
    mov rcx, qword ptr [r8 + sched_domain.span]
    and rcx, qword ptr [rbx + task.cpus_allowed]
    and rcx, r10
    jnz .found
    mov r8, qword ptr [r8 + sched_domain.parent]
    test r8, r8
    jnz .domain
    jmp .chosen
.found:
    bsf rax, rcx
.chosen:
    mov ecx, dword ptr [rbx + task.id]
    EVENT_AT 1, wake_idle, rcx, r9, rax, r10
.identity:
    UNFRAME
    ret
END wake_idle

# idle_mask() -> rax = the CPUs that are online and run their idle tasks just now.
#   clobbers: rcx, rdx, rdi
#   locks: none; hints
#   irq: any
PRIVATE idle_mask
idle_mask:
    FRAME
    xor edx, edx
    xor edi, edi
.cpu:
    call cpu_rq
    RACE_POINT
    mov rcx, qword ptr [rax + runqueue.curr]
    cmp rcx, qword ptr [rax + runqueue.idle]
    jne .next
    bts rdx, rdi
.next:
    inc edi
    cmp edi, dword ptr [rip + apic_count]
    jb .cpu
    mov rax, rdx
    RACE_POINT
    and rax, qword ptr [rip + cpu_online_mask]
    UNFRAME
    ret
END idle_mask
