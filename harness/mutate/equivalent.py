"""Mutants that nothing can notice, because they change nothing that matters, each with the reason.

An id stands for a change at a numbered instruction of a function: whoever edits the function looks
here, too (a campaign says when an entry fits no mutant).
"""

from __future__ import annotations

from collections.abc import Mapping

EQUIVALENT: Mapping[str, str] = {
    "E1": "with one task the loop finds only the running one, which stays anyway",
    "E2": "both searches give the same from bit 0 on",
    "E8": "nobody reads a counter between the two",
    "balance.s:balance_take:14:drop": "double_lock_balance gives back its first argument in rdi",
    "balance.s:balance_take:14:swap": "double_lock_balance gives back its first argument in rdi",
    "bitmap.s:sched_find_first_bit:9:drop": "a bitmap always has its delimiter (rule S2)",
    "domain.s:domain_new:4:drop": "memory comes in cache lines, which a span as alignment keeps",
    "domain.s:domain_new:4:plus1": "memory comes in cache lines, which 65 as alignment keeps",
    "domain.s:domain_new:3:plus1": "memory is handed out in cache lines, a byte more is the same",
    "domain.s:domain_new:9:plus1": "what lies behind is handed out later, and cleared by its owner",
    "exec.s:find_idlest_cpu:34:plus1": "imbalance_pct is 125 there: half of 24 and of 25 is 12",
    "fork.s:do_fork:16:drop": "task_inherit keeps rdi, which is rbx already",
    "fork.s:do_fork:16:swap": "task_inherit keeps rdi, which is rbx already",
    "rebalance.s:balance_interval:10:drop": "an interval is 1 ms at least, so never 0 jiffies",
    "runqueue.s:double_lock_balance:25:swap": "no caller asks whether the lock was let go",
    "runqueue.s:double_rq_unlock:7:drop": "no caller has locked one run queue as both",
    "setprio.s:set_user_nice:27:drop": "task_rq_lock keeps rdi, which is rbx already",
    "setprio.s:set_user_nice:27:swap": "task_rq_lock keeps rdi, which is rbx already",
    "tick.s:tick_slice_end:13:drop": "rdi is r12 there, whichever way it is reached",
    "tick.s:tick_slice_end:13:swap": "rdi is r12 there, whichever way it is reached",
    "topology.s:topology_bits:4:plus1": "no CPU of QEMU's has 0xb as its last leaf",
    "guest/veridian/balance.s:find_imbalance:6:plus1": "CPU 0 is the first either way",
    "guest/veridian/fork.s:veridian_start:13:drop": "task_info_lock keeps rdi, which is rbx",
    "guest/veridian/fork.s:veridian_start:13:swap": "task_info_lock keeps rdi, which is rbx",
    "guest/boot/entry.s:boot_long_mode:6:drop": "nothing is addressed through fs",
    "guest/boot/entry.s:boot_long_mode:7:drop": "percpu_init sets the base of gs by its MSR",
    "guest/boot/trampoline.s:trampoline_long_mode:6:drop": "nothing is addressed through fs",
    "guest/boot/trampoline.s:trampoline_long_mode:7:drop": "percpu_init sets the base of gs",
    "guest/task/record.s:record_hold:11:drop": "spin_lock keeps rdi, which is that lock already",
    "guest/task/wait.s:wait_wake_all:12:drop": "who is first is only taken out from the front",
    "guest/veridian/attributes.s:affinity_change:3:drop": "its caller has rbx in rdi, too",
    "guest/veridian/balance.s:migrate_one:2:drop": "queue_dequeue keeps rsi, which is r12 already",
    "guest/veridian/balance.s:migrate_one:2:swap": "queue_dequeue keeps rsi, which is r12 already",
    "guest/veridian/balance.s:migrate_tasks:19:drop": "queue_dequeue ends with ZF set iff rax is 0",
    "guest/veridian/fork.s:task_prepare:2:drop": "both callers have the task in rbx",
    "guest/veridian/fork.s:task_prepare:2:swap": "both callers have the task in rbx",
    "guest/veridian/fork.s:task_prepare:10:drop": "priority_set and clock_ns keep rdi",
    "guest/veridian/fork.s:task_prepare:10:swap": "priority_set and clock_ns keep rdi",
    "guest/veridian/hotplug.s:hotplug_leave:7:drop": "info_lock keeps rdi, rbx (V15 apart)",
    "guest/veridian/load.s:find_least_loaded:10:drop": "the loop passes over who is not in rbx",
    "guest/veridian/queue.s:ring_of:11:drop": "no normal task is better than SYSTEM_HIGH",
    "guest/veridian/queue.s:ring_of:11:plus1": "no normal task is better than SYSTEM_HIGH",
    "guest/veridian/queue.s:ring_of:12:drop": "no normal task is better than SYSTEM_HIGH",
    "guest/selftest/hardware.s:test_exceptions:11:drop": "a jump does not move the stack",
    "guest/selftest/hardware.s:test_exceptions:11:swap": "a jump does not move the stack",
    "guest/selftest/smp.s:lock_rounds:7:drop": "spin_lock keeps rdi, which is that lock already",
    "guest/veridian/attributes.s:affinity_change:34:drop": "ready_remove keeps rdi, which is rbx",
    "guest/veridian/attributes.s:affinity_change:34:swap": "ready_remove keeps rdi, which is rbx",
    "guest/veridian/fork.s:task_prepare:5:drop": "vtask_init keeps rdi, which is rbx",
    "guest/veridian/fork.s:task_prepare:5:swap": "vtask_init keeps rdi, which is rbx",
}
