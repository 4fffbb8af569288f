.intel_syntax noprefix
# The counters as text, in the format of /proc/schedstat, version 10, between two lines of its own.
# Linux 2.6.11 show_schedstat(); harness/trace/schedstat.py reads it.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "print.inc"

.extern console_write_line
.extern cpu_count
.extern cpu_online_mask
.extern cpu_rq
.extern format_unsigned
.extern format_word
.extern jiffies
.extern log_runqueue_stats
.extern param_schedstat

.equ MASK_CHUNK_BITS, 32                # a comma between two of them
.equ NIBBLE_BITS, 4
.equ CHAR_NEWLINE, 10

.section .text
# schedstat_close_cpu(): logs the totals of the calling CPU. The boot CPU is the last that stops: it
# prints those of all, if the boot parameter schedstat asks for it.
#   clobbers: caller-saved
#   locks: takes and releases console_lock
#   irq: off
PUBLIC schedstat_close_cpu
schedstat_close_cpu:
    FRAME
    call log_runqueue_stats
    cmp dword ptr gs:[percpu.cpu], 0
    jne .done
    cmp dword ptr [rip + param_schedstat], 0
    je .done
    call schedstat_print
.done:
    UNFRAME
    ret
END schedstat_close_cpu

# schedstat_print(): prints the counters of all CPUs that are online.
#   clobbers: caller-saved
#   locks: takes and releases console_lock; all other CPUs have stopped
#   irq: off
PRIVATE schedstat_print
schedstat_print:
    FRAME
    push rbx
    push r12
    PRINT "schedstat begin\nversion 10\ntimestamp %u\n", [rip + jiffies]
    xor ebx, ebx
.cpu:
    bt qword ptr [rip + cpu_online_mask], rbx
    jnc .next
    mov edi, ebx
    call cpu_rq
    mov r12, rax
    call schedstat_cpu
    mov r12, qword ptr [r12 + runqueue.sd]
.domain:
    test r12, r12
    jz .next
    call schedstat_domain
    mov r12, qword ptr [r12 + sched_domain.parent]
    jmp .domain
.next:
    inc ebx
    cmp rbx, qword ptr [rip + cpu_count]
    jb .cpu
    PRINT "schedstat end\n"
    pop r12
    pop rbx
    UNFRAME
    ret
END schedstat_print

# schedstat_cpu(rbx = CPU, r12 = its run queue): its line.
#   clobbers: caller-saved
#   locks: takes and releases console_lock
#   irq: off
PRIVATE schedstat_cpu
schedstat_cpu:
    FRAME
    lea rsi, [rip + cpu_word]
    mov rdx, rbx
    call schedstat_head
    lea rdx, [r12 + runqueue.stats]
    mov ecx, runqueue.stats_count
    call schedstat_rest
    UNFRAME
    ret
END schedstat_cpu

# schedstat_domain(r12 = domain): its line.
#   clobbers: caller-saved
#   locks: takes and releases console_lock
#   irq: off
PRIVATE schedstat_domain
schedstat_domain:
    FRAME
    lea rsi, [rip + domain_word]
    mov rdx, qword ptr [r12 + sched_domain.level]
    call schedstat_head
    mov byte ptr [rax], ' '
    lea rdi, [rax + 1]
    mov rsi, qword ptr [r12 + sched_domain.span]
    call schedstat_mask
    lea rdx, [r12 + sched_domain.stats]
    mov ecx, sched_domain.stats_count
    call schedstat_rest
    UNFRAME
    ret
END schedstat_domain

# schedstat_head(rsi = word, rdx = number) -> rax = end of the line so far: both, in this CPU's line
# buffer.
#   clobbers: caller-saved
#   locks: none; nobody formats events meanwhile
#   irq: off
PRIVATE schedstat_head
schedstat_head:
    FRAME
    push rbx
    mov rbx, rdx
    mov rdi, gs:[percpu.self]
    add rdi, percpu.line
    call format_word
    mov rdi, rax
    mov rsi, rbx
    call format_unsigned
    pop rbx
    UNFRAME
    ret
END schedstat_head

# schedstat_mask(rdi = buffer, rsi = mask) -> rax = end: hexadecimal, a digit for each four CPUs
# that there are, a comma after each 32 of them.
#   clobbers: rcx, rdx, rdi
#   locks: none
#   irq: as found
PRIVATE schedstat_mask
schedstat_mask:
    mov rcx, qword ptr [rip + cpu_count]
    dec ecx
    and ecx, -NIBBLE_BITS               # lowest bit of the first digit
.digit:
    mov rdx, rsi
    shr rdx, cl
    and edx, 15
    lea rax, [rip + digits]
    mov al, byte ptr [rax + rdx]
    mov byte ptr [rdi], al
    inc rdi
    test ecx, ecx
    jz .done
    test ecx, MASK_CHUNK_BITS - 1
    jnz .within
    mov byte ptr [rdi], ','
    inc rdi
.within:
    sub ecx, NIBBLE_BITS
    jmp .digit
.done:
    mov rax, rdi
    ret
END schedstat_mask

# schedstat_rest(rax = end of the line so far, rdx = counters, ecx = how many): a blank before each
# of them; writes the line.
#   clobbers: caller-saved
#   locks: takes and releases console_lock
#   irq: off
PRIVATE schedstat_rest
schedstat_rest:
    FRAME
    push rbx
    push r12
    mov rbx, rdx
    mov r12d, ecx
.counter:
    mov byte ptr [rax], ' '
    lea rdi, [rax + 1]
    mov rsi, qword ptr [rbx]
    call format_unsigned
    add rbx, 8
    dec r12d
    jnz .counter
    mov byte ptr [rax], CHAR_NEWLINE
    mov rdi, gs:[percpu.self]
    add rdi, percpu.line
    lea rsi, [rax + 1]
    sub rsi, rdi
    call console_write_line
    pop r12
    pop rbx
    UNFRAME
    ret
END schedstat_rest

.section .rodata
cpu_word:
    .asciz "cpu"
domain_word:
    .asciz "domain"
digits:
    .ascii "0123456789abcdef"
