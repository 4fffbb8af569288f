.intel_syntax noprefix
# Slices, dynamic priorities and interactivity.
#
# A task that sleeps gathers sleep_avg, one that runs spends it. It is read as a bonus of 0 to 10,
# which shifts the priority by +5 to -5 around the static one. A task whose bonus exceeds a
# threshold that depends on its nice level is interactive: it returns to the active array when its
# slice ends. Slices are in jiffies, sleep averages in nanoseconds.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "sched.inc"
.include "fix.inc"

.extern cpu_count
.extern param_hz

.equ NS_PER_SECOND, 1000000000
.equ MS_PER_SECOND, 1000
.equ LEAST_SLICE_MS, 5
.equ DEFAULT_SLICE_MS, 100
.equ GRANULARITY_MS, 10
.equ NICE_LEVELS, MAX_PRIO - MAX_RT_PRIO
.equ ACTIVATED_UNINTERRUPTIBLE, -1      # task.activated of a task that waited for a disk

.section .text
# sched_constants_init(): computes from hz and the number of CPUs what depends on them.
#   clobbers: rax, rcx, rdx, rsi, rdi
#   locks: none; before any CPU schedules
#   irq: any
PUBLIC sched_constants_init
sched_constants_init:
    FRAME
    lea rsi, [rip + sched_constants]
    mov edi, LEAST_SLICE_MS
    call ms_to_jiffies
    mov qword ptr [rsi + sched_constants.min_timeslice], rax
    mov edi, GRANULARITY_MS
    call ms_to_jiffies
    mov qword ptr [rsi + sched_constants.granularity], rax
    mov edi, DEFAULT_SLICE_MS
    call ms_to_jiffies
    mov qword ptr [rsi + sched_constants.def_timeslice], rax
    imul rcx, rax, MAX_BONUS
    mov qword ptr [rsi + sched_constants.max_sleep_avg], rcx
    mov qword ptr [rsi + sched_constants.starvation_limit], rcx
    mov eax, NS_PER_SECOND
    xor edx, edx
    div qword ptr [rip + param_hz]
    mov qword ptr [rsi + sched_constants.jiffy_ns], rax
    imul rax, rcx
    mov qword ptr [rsi + sched_constants.ns_max_sleep_avg], rax
    mov rax, qword ptr [rip + cpu_count]
    mov qword ptr [rsi + sched_constants.online_cpus], rax
    UNFRAME
    ret
END sched_constants_init

# ms_to_jiffies(rdi = milliseconds) -> rax = jiffies, rounded down, but at least one.
#   clobbers: rcx, rdx
#   locks: none
#   irq: any
PRIVATE ms_to_jiffies
ms_to_jiffies:
    mov rax, rdi
    mul qword ptr [rip + param_hz]
    mov ecx, MS_PER_SECOND
    div rcx
    cmp rax, 1
    adc rax, 0
    ret
END ms_to_jiffies

# task_timeslice(rdi = task) -> eax = its full slice in jiffies, by static priority; four times as
# long for negative nice.
#   clobbers: rcx, rdx
#   locks: none
#   irq: any
PUBLIC task_timeslice
task_timeslice:
    mov ecx, dword ptr [rdi + task.static_prio]
    mov eax, MAX_PRIO
    sub eax, ecx
    imul rax, qword ptr [rip + sched_constants + sched_constants.def_timeslice]
    cmp ecx, DEFAULT_STATIC_PRIO
    jae .scale
    shl rax, 2
.scale:
    mov ecx, NICE_LEVELS / 2
    xor edx, edx
    div rcx
    mov rcx, qword ptr [rip + sched_constants + sched_constants.min_timeslice]
    cmp rax, rcx
    cmovb rax, rcx
    ret
END task_timeslice

# current_bonus(rdi = task) -> eax = CURRENT_BONUS: its sleep average on a scale of 0 to 10.
#   clobbers: rdx
#   locks: none
#   irq: any
PUBLIC current_bonus
current_bonus:
    mov rax, qword ptr [rdi + task.sleep_avg]
    xor edx, edx
    div qword ptr [rip + sched_constants + sched_constants.jiffy_ns]
    imul rax, rax, MAX_BONUS
    xor edx, edx
    div qword ptr [rip + sched_constants + sched_constants.max_sleep_avg]
    ret
END current_bonus

# bonus_left(rdi = task) -> eax = what its bonus lacks of the greatest, but at least 1.
#   clobbers: rcx, rdx
#   locks: none
#   irq: any
PRIVATE bonus_left
bonus_left:
    FRAME
    call current_bonus
    mov ecx, eax
    mov eax, MAX_BONUS
    sub eax, ecx
    mov ecx, 1
    cmp eax, ecx
    cmovl eax, ecx
    UNFRAME
    ret
END bonus_left

# effective_prio(rdi = task) -> eax = its dynamic priority from static priority and bonus. The
# priority of a real-time task is left alone.
#   clobbers: rcx, rdx
#   locks: none
#   irq: any
PUBLIC effective_prio
effective_prio:
    FRAME
    mov eax, dword ptr [rdi + task.prio]
    cmp eax, MAX_RT_PRIO
    jb .done
    call current_bonus
    mov ecx, dword ptr [rdi + task.static_prio]
    add ecx, MAX_BONUS / 2
    sub ecx, eax
    mov eax, MAX_RT_PRIO
    cmp ecx, eax
    cmovl ecx, eax
    mov eax, MAX_PRIO - 1
    cmp ecx, eax
    cmovl eax, ecx
.done:
    UNFRAME
    ret
END effective_prio

# task_delta(rdi = task) -> eax = DELTA, signed: how far above its static priority its dynamic one
# must be for it to count as interactive. The division truncates: nice -3 gives 2, like nice 0.
#   clobbers: rcx, rdx
#   locks: none
#   irq: any
PUBLIC task_delta
task_delta:
    mov eax, dword ptr [rdi + task.static_prio]
    sub eax, DEFAULT_STATIC_PRIO
    imul eax, eax, MAX_BONUS
    cdq
    mov ecx, NICE_LEVELS
    idiv ecx
    add eax, INTERACTIVE_DELTA
    ret
END task_delta

# task_interactive(rdi = task) -> eax = TASK_INTERACTIVE: 1 if it is, from its dynamic priority of
# the moment, else 0.
#   clobbers: rcx, rdx
#   locks: none
#   irq: any
PUBLIC task_interactive
task_interactive:
    FRAME
    call task_delta
    mov ecx, dword ptr [rdi + task.static_prio]
    sub ecx, eax
    xor eax, eax
    cmp dword ptr [rdi + task.prio], ecx
    setle al
    UNFRAME
    ret
END task_interactive

# interactive_sleep(rdi = task) -> rax = INTERACTIVE_SLEEP in ns: sleep that makes it just
# interactive. From nice 12 on it exceeds what can be gathered.
#   clobbers: rcx, rdx
#   locks: none
#   irq: any
PUBLIC interactive_sleep
interactive_sleep:
    FRAME
    call task_delta
    add eax, MAX_BONUS / 2 + 1          # at least 3, for nice -20
    imul rax, qword ptr [rip + sched_constants + sched_constants.max_sleep_avg]
    mov ecx, MAX_BONUS
    xor edx, edx
    div rcx
    dec rax
    imul rax, qword ptr [rip + sched_constants + sched_constants.jiffy_ns]
    UNFRAME
    ret
END interactive_sleep

# timeslice_granularity(rdi = task) -> eax = TIMESLICE_GRANULARITY: jiffies that an interactive task
# runs before an equal gets its turn. Every missing point of bonus doubles it.
#   clobbers: rcx, rdx
#   locks: none
#   irq: any
PUBLIC timeslice_granularity
timeslice_granularity:
    FRAME
    call bonus_left
    lea ecx, [rax - 1]
    mov rax, qword ptr [rip + sched_constants + sched_constants.granularity]
    shl rax, cl
    imul rax, qword ptr [rip + sched_constants + sched_constants.online_cpus]
    UNFRAME
    ret
END timeslice_granularity

# round_robin_due(rdi = task, rsi = its run queue) -> eax = 1 if an interactive task with slice left
# goes to the tail of its list now, else 0. What it has used of its slice is unsigned and wraps
# where, after a change of nice, more is left than a full one.
#   clobbers: rcx, rdx, r8, r9
#   locks: the run queue's lock held
#   irq: off
PUBLIC round_robin_due
round_robin_due:
    FRAME
    mov rax, qword ptr [rdi + task.array]
    cmp rax, qword ptr [rsi + runqueue.active]
    jne .no
    call task_interactive
    test eax, eax
    jz .no
    call timeslice_granularity
    mov r8d, eax
    mov r9d, dword ptr [rdi + task.time_slice]
    cmp r9d, r8d
    jb .no
    call task_timeslice
    sub eax, r9d
    xor edx, edx
    div r8d
    xor eax, eax
    test edx, edx
    setz al
    UNFRAME
    ret
.no:
    xor eax, eax
    UNFRAME
    ret
END round_robin_due

# expired_starving(rdi = run queue, rsi = jiffies) -> eax = EXPIRED_STARVING: 1 if interactive tasks
# must expire like others, else 0. Either the expired have waited too long, or one of them has a
# better static priority than the running task.
#   clobbers: rcx, rdx, rsi
#   locks: the run queue's lock held
#   irq: off
PUBLIC expired_starving
expired_starving:
    mov rdx, qword ptr [rdi + runqueue.expired_timestamp]
    test rdx, rdx
    jz .better_expired
    mov rcx, qword ptr [rdi + runqueue.nr_running]
    imul rcx, qword ptr [rip + sched_constants + sched_constants.starvation_limit]
    sub rsi, rdx
    cmp rsi, rcx
    ja .yes
.better_expired:
    mov rdx, qword ptr [rdi + runqueue.curr]
    mov ecx, dword ptr [rdx + task.static_prio]
    xor eax, eax
    cmp rcx, qword ptr [rdi + runqueue.best_expired_prio]
    seta al
    ret
.yes:
    mov eax, 1
    ret
END expired_starving

# recalc_task_prio(rdi = task, rsi = now in ns): credits the sleep since task.timestamp and sets the
# dynamic priority. now lies after task.timestamp; if not, that counts as the longest sleep: defect
# L06. Corrected: as none.
#   clobbers: rax, rcx, rdx, rsi, r8, r9
#   locks: that of the task's run queue held; the task is in no list
#   irq: off
PUBLIC recalc_task_prio
recalc_task_prio:
    FRAME
    sub rsi, qword ptr [rdi + task.timestamp]
    NO_NEGATIVE_TIME rsi, rax
    mov rax, qword ptr [rip + sched_constants + sched_constants.ns_max_sleep_avg]
    cmp rsi, rax
    cmova rsi, rax
    call credit_sleep
    call effective_prio
    mov dword ptr [rdi + task.prio], eax
    UNFRAME
    ret
END recalc_task_prio

# credit_sleep(rdi = task, rsi = ns that it slept, at most the longest that counts).
#   clobbers: rax, rcx, rdx, rsi, r8, r9
#   locks: that of the task's run queue held
#   irq: off
PRIVATE credit_sleep
credit_sleep:
    FRAME
    call interactive_sleep
    mov r8, rax
    call bonus_left
    mov r9, rax
    imul r9, rsi                        # the credit
    mov rcx, qword ptr [rdi + task.sleep_avg]
    cmp dword ptr [rdi + task.mm], 0
    je .add
    cmp dword ptr [rdi + task.activated], ACTIVATED_UNINTERRUPTIBLE
    je .waited_for_disk
    cmp rsi, r8
    jbe .add
    # An idler: interactive, but one default slice away from being a hog again.
    mov rax, qword ptr [rip + sched_constants + sched_constants.max_sleep_avg]
    sub rax, qword ptr [rip + sched_constants + sched_constants.def_timeslice]
    imul rax, qword ptr [rip + sched_constants + sched_constants.jiffy_ns]
    jmp .store
.waited_for_disk:
    # That is no sign of interactivity: no rise beyond the threshold.
    mov rax, rcx
    cmp rcx, r8
    jae .limit
    lea rax, [rcx + r9]
    cmp rax, r8
    cmova rax, r8
    jmp .limit
.add:
    lea rax, [rcx + r9]
.limit:
    mov rcx, qword ptr [rip + sched_constants + sched_constants.ns_max_sleep_avg]
    cmp rax, rcx
    cmova rax, rcx
.store:
    mov qword ptr [rdi + task.sleep_avg], rax
    UNFRAME
    ret
END credit_sleep

.section .bss
# sched_constants: see struct sched_constants; written once, before any CPU schedules.
OBJECT sched_constants
sched_constants:
    .zero sched_constants.size
END sched_constants
