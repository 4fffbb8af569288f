.intel_syntax noprefix
# Starting the application processors, one after the other, by INIT and start-up IPIs.
#
# The boot CPU leaves in smp_starting_* what the next CPU is to become, starts it, and waits until
# it has set percpu.online; so nothing here needs a lock, and memory_alloc has one user at a time.
#
# Under the virtual clock QEMU 7.2 charges a CPU that takes INIT with all instructions up to the
# next timer event: time jumps by up to 0.1 s. It jumps the same way in every run.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "print.inc"
.include "trace.inc"
.include "policy.inc"

.extern trampoline_start
.extern trampoline_end
.extern __trampoline_load
.extern apic_ids
.extern apic_count
.extern cpu_count
.extern cpu_table
.extern clock_deadline
.extern clock_delay
.extern clock_ns
.extern relax
.extern idle_forever
.extern idt_load
.extern ipi_call_on
.extern ipi_call_post
.extern ipi_call_wait
.extern lapic_id
.extern lapic_init
.extern lapic_send
.extern memory_alloc
.extern memory_guard_block
.extern param_cpus
.extern percpu_init
.extern refuse
.extern task_init_idle
.extern timer_start
.extern trace_init

.equ TRAMPOLINE, 0x8000
.equ INIT_DELAY_NS, 10000               # current processors need no 10 ms
.equ STARTUP_PATIENCE_NS, 1000000       # before the second start-up IPI
.equ ONLINE_PATIENCE_NS, 5000000000

.section .text
# smp_copy_trampoline(): int3 everywhere in its page, then the code. Before the page becomes
# read-only.
#   clobbers: rax, rcx, rsi, rdi
#   locks: none
#   irq: off
PUBLIC smp_copy_trampoline
smp_copy_trampoline:
    mov edi, TRAMPOLINE
    mov ecx, PAGE_SIZE
    mov al, 0xcc
    rep stosb
    mov edi, TRAMPOLINE
    lea rsi, [rip + __trampoline_load]
    mov ecx, offset trampoline_end
    sub ecx, offset trampoline_start
    rep movsb
    ret
END smp_copy_trampoline

# smp_start_all(): starts every CPU that was found; refuses to go on with another number than was
# asked for (boot parameter cpus).
#   clobbers: caller-saved
#   locks: none
#   irq: off
PUBLIC smp_start_all
smp_start_all:
    FRAME
    push rbx
    mov ebx, 1
.next:
    cmp ebx, dword ptr [rip + apic_count]
    jae .all
    mov edi, ebx
    call smp_start
    inc ebx
    mov qword ptr [rip + cpu_count], rbx
    jmp .next
.all:
    mov rcx, qword ptr [rip + param_cpus]
    test rcx, rcx
    jz .done
    cmp rcx, rbx
    jne .refuse
.done:
    pop rbx
    UNFRAME
    ret
.refuse:
    mov rax, rbx
    PRINT "REFUSED boot parameter cpus=%u, but %u CPUs came online\n", rcx, rax
    call refuse
END smp_start_all

# smp_start(edi = logical CPU): starts one CPU and waits until it is online.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE smp_start
smp_start:
    FRAME
    push rbx
    push r12
    mov ebx, edi
    lea rax, [rip + apic_ids]
    movzx r12d, byte ptr [rax + rbx]
    mov edi, cpu_block.size
    mov esi, PAGE_SIZE
    call memory_alloc
    mov qword ptr [rip + smp_starting_block], rax
    mov dword ptr [rip + smp_starting_cpu], ebx
    mov dword ptr [rip + smp_starting_apic], r12d
    mov dword ptr [rax + percpu.online], 0
    mov rdi, rax
    call memory_guard_block

    mov edi, r12d
    mov esi, ICR_ASSERT + ICR_INIT
    call lapic_send
    mov edi, INIT_DELAY_NS
    call clock_delay
    mov edi, r12d
    mov esi, ICR_ASSERT + ICR_STARTUP + (TRAMPOLINE >> 12)
    call lapic_send
    mov edi, STARTUP_PATIENCE_NS
    call smp_wait_online
    test eax, eax
    jnz .online
    mov edi, r12d
    mov esi, ICR_ASSERT + ICR_STARTUP + (TRAMPOLINE >> 12)
    call lapic_send
    mov rdi, ONLINE_PATIENCE_NS
    call smp_wait_online
    test eax, eax
    jz .dead
.online:
    lea rax, [rip + cpu_table]
    mov rcx, qword ptr [rip + smp_starting_block]
    mov qword ptr [rax + rbx * 8], rcx
    pop r12
    pop rbx
    UNFRAME
    ret
.dead:
    PRINT "REFUSED CPU %u (APIC identifier %u) did not come online\n", rbx, r12
    call refuse
END smp_start

# smp_wait_online(rdi = nanoseconds) -> eax = 1 if the CPU that is being started is online.
#   clobbers: caller-saved
#   locks: none
#   irq: off
PRIVATE smp_wait_online
smp_wait_online:
    FRAME
    call clock_deadline
    mov rdi, rax
    mov rsi, qword ptr [rip + smp_starting_block]
.wait:
    mov eax, dword ptr [rsi + percpu.online]
    test eax, eax
    jnz .done
    call relax
    call clock_ns
    cmp rax, rdi
    jb .wait
    xor eax, eax
.done:
    UNFRAME
    ret
END smp_wait_online

# smp_ap_entry(): first kernel code of an application processor, in long mode without a stack.
#   clobbers: never returns
#   locks: none
#   irq: off; on in the idle loop
PUBLIC smp_ap_entry
smp_ap_entry:
    mov rdi, qword ptr [rip + smp_starting_block]
    lea rsp, [rdi + cpu_block.idle_stack_top]
    xor ebp, ebp
    mov esi, dword ptr [rip + smp_starting_cpu]
    mov edx, dword ptr [rip + smp_starting_apic]
    call percpu_init
    call idt_load
    call lapic_init
    call lapic_id
    cmp eax, gs:[percpu.apic_id]
    jne .wrong
    call trace_init
    mov rdi, gs:[percpu.self]
    add rdi, cpu_block.idle_stack
    call task_init_idle
    POLICY init_cpu
    mov dword ptr gs:[percpu.online], 1
    call idle_forever
.wrong:
    PANIC "a CPU came online under another APIC identifier than it was started by"
END smp_ap_entry

# smp_enter(): announces the calling CPU in the log and starts its tick.
#   clobbers: caller-saved
#   locks: none
#   irq: as found
PUBLIC smp_enter
smp_enter:
    FRAME
    mov eax, gs:[percpu.apic_id]
    EVENT cpu_online, rax
    mov rax, gs:[percpu.idle]
    mov dword ptr [rax + task.need_resched], 1
    call timer_start
    UNFRAME
    ret
END smp_enter

# smp_enter_all(): the same on every CPU, in order.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC smp_enter_all
smp_enter_all:
    FRAME
    call smp_enter
    lea rdi, [rip + smp_enter]
    call smp_call_others
    UNFRAME
    ret
END smp_enter_all

# smp_call_others(rdi = function, rsi = argument): runs it on every other CPU, one after the other.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC smp_call_others
smp_call_others:
    FRAME
    push rbx
    push r12
    push r13
    mov r12, rdi
    mov r13, rsi
    xor ebx, ebx
.cpu:
    cmp ebx, gs:[percpu.cpu]
    je .next
    mov edi, ebx
    mov rsi, r12
    mov rdx, r13
    call ipi_call_on
.next:
    inc ebx
    cmp rbx, qword ptr [rip + cpu_count]
    jb .cpu
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END smp_call_others

# smp_call_all(rdi = function, rsi = argument): runs it on all CPUs at the same time, this one
# included, and waits until it has returned everywhere.
#   clobbers: caller-saved
#   locks: none
#   irq: on
PUBLIC smp_call_all
smp_call_all:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    mov r12, rdi
    mov r13, rsi
    mov r14d, gs:[percpu.cpu]
    xor ebx, ebx
.post:
    cmp ebx, r14d
    je .posted
    mov edi, ebx
    mov rsi, r12
    mov rdx, r13
    call ipi_call_post
.posted:
    inc ebx
    cmp rbx, qword ptr [rip + cpu_count]
    jb .post
    mov rdi, r13
    call r12
    xor ebx, ebx
.wait:
    cmp ebx, r14d
    je .waited
    mov edi, ebx
    call ipi_call_wait
.waited:
    inc ebx
    cmp rbx, qword ptr [rip + cpu_count]
    jb .wait
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END smp_call_all

.section .bss
smp_starting_block:
    .zero 8
smp_starting_cpu:
    .zero 4
smp_starting_apic:
    .zero 4
