.intel_syntax noprefix
# Who has too much to do. Linux 2.6.11 find_busiest_group(), find_busiest_queue();
# harness/model/balance.py. Loads of other CPUs are read without their locks: they are hints, and
# the log has the very numbers that decided.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "trace.inc"
.include "fix.inc"
.include "race.inc"

.extern cpu_rq
.extern source_load
.extern target_load

# One search of a domain, on the stack of find_busiest_group.
STRUCT search
    FIELD search, sd, 8
    FIELD search, this_cpu, 4
    FIELD search, idle, 4               # SCHED_IDLE, NOT_IDLE or NEWLY_IDLE
    FIELD search, imbalance, 8          # where the caller wants it
    FIELD search, total_load, 8
    FIELD search, total_power, 8
    FIELD search, max_load, 8           # of the busiest group, relative to its power
    FIELD search, this_load, 8          # of our own
    FIELD search, busiest, 8
    FIELD search, this, 8

.equ SCALE_SHIFT, 7                     # SCHED_LOAD_SCALE is 128
.equ SCALE_SQUARED, SCHED_LOAD_SCALE * SCHED_LOAD_SCALE

# MINIMUM a, b: the lesser of two, unsigned, in a.
.macro MINIMUM a, b
    cmp \b, \a
    cmovb \a, \b
.endm

.section .text
# find_busiest_group(rdi = domain, esi = CPU that asks, edx = why: SCHED_IDLE, NOT_IDLE or
# NEWLY_IDLE, rcx = where to write how many tasks to take) -> rax = the group to take them from, 0
# if the domain is balanced. Our own group counts with high guesses, the others with low ones;
# among equals the first group after ours wins.
#   clobbers: caller-saved
#   locks: none needed
#   irq: off
PUBLIC find_busiest_group
find_busiest_group:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    push r15
    sub rsp, search.size
    mov r15, rsp
    mov qword ptr [r15 + search.sd], rdi
    mov dword ptr [r15 + search.this_cpu], esi
    mov dword ptr [r15 + search.idle], edx
    mov qword ptr [r15 + search.imbalance], rcx
    call search_groups
    call search_imbalance
    test rax, rax
    jnz .found
    # Balanced, but a CPU without work takes one task all the same.
    cmp qword ptr [r15 + search.busiest], 0
    je .found
    cmp dword ptr [r15 + search.idle], NEWLY_IDLE
    je .one
    cmp dword ptr [r15 + search.idle], SCHED_IDLE
    jne .found
    cmp qword ptr [r15 + search.max_load], SCHED_LOAD_SCALE
    jbe .found
.one:
    mov eax, 1
.found:
    mov rcx, qword ptr [r15 + search.imbalance]
    mov qword ptr [rcx], rax
    test rax, rax
    cmovnz rax, qword ptr [r15 + search.busiest]
    add rsp, search.size
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END find_busiest_group

# search_groups(r15 = search): sums up the loads: fills total_load to this.
#   clobbers: caller-saved, rbx, r12, r13, r14
#   locks: none needed
#   irq: off
PRIVATE search_groups
search_groups:
    FRAME
    xor eax, eax
    mov qword ptr [r15 + search.total_load], rax
    mov qword ptr [r15 + search.total_power], rax
    mov qword ptr [r15 + search.max_load], rax
    mov qword ptr [r15 + search.busiest], rax
    mov rax, qword ptr [r15 + search.sd]
    mov r12, qword ptr [rax + sched_domain.groups]
.group:
    mov r13, qword ptr [r12 + sched_group.cpumask]
    mov ecx, dword ptr [r15 + search.this_cpu]
    bt r13, rcx
    sbb ebx, ebx                        # not 0: our own group, the first
    xor r14d, r14d
.cpu:
    bsf rdi, r13
    jz .summed
    btr r13, rdi
    call read_load
    lea rax, [rip + source_load]
    lea rcx, [rip + target_load]
    test ebx, ebx
    cmovnz rax, rcx
    call rax
    add r14, rax
    jmp .cpu
.summed:
    add qword ptr [r15 + search.total_load], r14
    mov rcx, qword ptr [r12 + sched_group.cpu_power]
    add qword ptr [r15 + search.total_power], rcx
    mov rax, r14
    shl rax, SCALE_SHIFT
    xor edx, edx
    div rcx
    test ebx, ebx
    jnz .ours
    cmp rax, qword ptr [r15 + search.max_load]
    jbe .next
    mov qword ptr [r15 + search.max_load], rax
    mov qword ptr [r15 + search.busiest], r12
    jmp .next
.ours:
    mov qword ptr [r15 + search.this_load], rax
    mov qword ptr [r15 + search.this], r12
.next:
    mov r12, qword ptr [r12 + sched_group.next]
    mov rax, qword ptr [r15 + search.sd]
    cmp r12, qword ptr [rax + sched_domain.groups]
    jne .group
    UNFRAME
    ret
END search_groups

# search_imbalance(r15 = search, groups summed up) -> rax = tasks to move so that neither side
# crosses the average, 0 if it is not worth it. In it rdi = busiest group's load, rsi = ours,
# r8 = its power, r9 = ours.
#   clobbers: caller-saved
#   locks: none needed
#   irq: off
PRIVATE search_imbalance
search_imbalance:
    FRAME
    mov rax, qword ptr [r15 + search.busiest]
    test rax, rax
    jz .none
    mov r8, qword ptr [rax + sched_group.cpu_power]
    mov rax, qword ptr [r15 + search.this]
    mov r9, qword ptr [rax + sched_group.cpu_power]
    mov rdi, qword ptr [r15 + search.max_load]
    mov rsi, qword ptr [r15 + search.this_load]
    cmp rsi, rdi
    jae .none
    mov rax, qword ptr [r15 + search.total_load]
    shl rax, SCALE_SHIFT
    xor edx, edx
    div qword ptr [r15 + search.total_power]    # the average
    cmp rsi, rax
    jae .none
    imul rcx, rdi, 100
    mov rdx, qword ptr [r15 + search.sd]
    mov rdx, qword ptr [rdx + sched_domain.imbalance_pct]
    imul rdx, rsi
    cmp rcx, rdx
    jbe .none
    mov rcx, rdi
    sub rcx, rax                        # above the average, there
    sub rax, rsi                         # below it, here
    FIXED 7
    jc .products
    # Two minima, of the loads and of the powers: defect L07. Corrected: the lesser product.
    MINIMUM rax, rcx
    mov rcx, r8
    MINIMUM rcx, r9
    imul rax, rcx
    jmp .scale
.products:
    imul rcx, r8
    imul rax, r9
    MINIMUM rax, rcx
.scale:
    shr rax, SCALE_SHIFT
    cmp rax, SCHED_LOAD_SCALE - 1
    jb .small
    inc rax
    shr rax, SCALE_SHIFT
    jmp .out
.small:
    mov rax, rdi
    sub rax, rsi
    cmp rax, 2 * SCHED_LOAD_SCALE
    jae .one
    call search_gains_power
    test eax, eax
    jz .none
.one:
    mov eax, 1
    jmp .out
.none:
    xor eax, eax
.out:
    UNFRAME
    ret
END search_imbalance

# search_gains_power(rdi = the busiest group's load, rsi = ours, r8 = its power, r9 = ours)
# -> eax = 1 if moving one task uses an eighth of a CPU more.
#   clobbers: rcx, rdx, rdi, r10, r11
#   locks: none needed
#   irq: any
PUBLIC search_gains_power
search_gains_power:
    mov r10d, SCHED_LOAD_SCALE
    mov rax, rdi
    MINIMUM rax, r10
    imul rax, r8
    mov r11, rsi
    MINIMUM r11, r10
    imul r11, r9
    add r11, rax
    shr r11, SCALE_SHIFT                # power in use now

    mov eax, SCALE_SQUARED
    xor edx, edx
    div r8                              # load removed there
    xor edx, edx
    mov rcx, rdi
    sub rcx, rax
    cmovb rcx, rdx
    MINIMUM rcx, r10
    imul rcx, r8
    # Load added here: that of one task, or all that there is. The original compares it with the
    # load that there is without regard to the power of that group: defect L07. Corrected: it is
    # converted from one power to the other.
    FIXED 7
    jc .convert
    mov eax, SCALE_SQUARED
    div r9
    MINIMUM rax, rdi
    jmp .added
.convert:
    imul rdi, r8
    mov eax, SCALE_SQUARED
    MINIMUM rax, rdi
    div r9
.added:
    add rax, rsi
    MINIMUM rax, r10
    imul rax, r9
    add rax, rcx
    shr rax, SCALE_SHIFT                # power in use then
    add r11, SCHED_LOAD_SCALE / 8
    cmp rax, r11
    setae al
    movzx eax, al
    ret
END search_gains_power

# find_busiest_queue(rdi = group) -> rax = the run queue with the largest low guess, the first of
# equals; 0 if there is no load any more: it is read again here.
#   clobbers: caller-saved
#   locks: none needed
#   irq: off
PUBLIC find_busiest_queue
find_busiest_queue:
    FRAME
    push rbx
    push r12
    push r13
    push r14
    mov r13, qword ptr [rdi + sched_group.cpumask]
    xor ebx, ebx                        # the busiest
    xor r12d, r12d                      # its load
.cpu:
    bsf rdi, r13
    jz .out
    btr r13, rdi
    mov r14d, edi
    call read_load
    call source_load
    cmp rax, r12
    jbe .cpu
    mov r12, rax
    mov edi, r14d
    call cpu_rq
    mov rbx, rax
    jmp .cpu
.out:
    mov rax, rbx
    pop r14
    pop r13
    pop r12
    pop rbx
    UNFRAME
    ret
END find_busiest_queue

# read_load(edi = CPU) -> rdi = its cpu_load, rsi = its nr_running, as source_load and target_load
# take them. Each is read once and logged, unless both are 0.
#   clobbers: rax, rcx, rdx, rdi, rsi
#   locks: none needed
#   irq: off
PUBLIC read_load
read_load:
    FRAME
    call cpu_rq
    mov edx, edi
    RACE_POINT
    mov rdi, qword ptr [rax + runqueue.cpu_load]
    RACE_POINT
    mov rsi, qword ptr [rax + runqueue.nr_running]
    mov rcx, rdi
    or rcx, rsi
    jz .nothing
    EVENT_AT 1, load, rdx, rdi, rsi
.nothing:
    UNFRAME
    ret
END read_load
