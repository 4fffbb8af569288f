.intel_syntax noprefix
# The end of a task. Its slot and stack are used again 100 jiffies later, by task/death.s, which is
# this kernel's cleanup queue. VeridianOS sched/{mod,load_balance}.rs;
# harness/model/veridian/exit.py.

.include "macros.inc"
.include "cpu.inc"
.include "layout.inc"
.include "veridian.inc"
.include "policy.inc"

.extern message_cleaned_up
.extern task_bury
.extern tasks_freed
.extern veridian_schedule

.section .text
# veridian_exit(): ends the calling task.
#   clobbers: never returns
#   locks: none at entry
#   irq: any
PUBLIC veridian_exit
veridian_exit:
    FRAME
    cli
    mov rax, gs:[percpu.curr]
    mov dword ptr [rax + task.state], TASK_DEAD
    call veridian_schedule
    PANIC "a task that had ended was run again"
END veridian_exit

# task_end(rdi = task): keeps an ended task, on whose stack nobody stands, until it is freed.
#   clobbers: caller-saved
#   locks: takes and releases task_lock
#   irq: off
PUBLIC task_end
task_end:
    FRAME
    IF_BUG 17, .forget
    call task_bury
    UNFRAME
    ret
.forget:
    # Bug V17: the queue that it is put into is not the one that is emptied.
    mov dword ptr [rdi + task.slot], SLOT_DEAD
    POLICY close_task
    UNFRAME
    ret
END task_end

# cleanup_announce(): says so for each task that has been freed. From the boot CPU's tick.
#   clobbers: caller-saved
#   locks: none held
#   irq: off
PUBLIC cleanup_announce
cleanup_announce:
    FRAME
.next:
    mov rax, qword ptr [rip + announced]
    cmp rax, qword ptr [rip + tasks_freed]
    je .done
    inc qword ptr [rip + announced]
    call message_cleaned_up
    jmp .next
.done:
    UNFRAME
    ret
END cleanup_announce

.section .bss
# announced: tasks of tasks_freed for which that has been said.
announced:
    .zero 8
