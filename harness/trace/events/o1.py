"""What the O(1) scheduler does on a CPU.

`rq` is the run queue concerned, by CPU; `array` is 0 for the active and 1 for the expired one at
that moment. Events without further explanation follow from the operation before them on the same
CPU.
"""

from harness.trace.event_kind import EventType

EVENTS: tuple[EventType, ...] = (
    EventType("dequeue", "a task leaves its list", "task:u rq:u prio:u array:u"),
    EventType(
        "enqueue",
        "a task enters a list; at: 0 tail, 1 head, 2 right before its parent",
        "task:u rq:u prio:u array:u at:u",
    ),
    EventType("requeue", "a task goes to the tail of its list", "task:u rq:u prio:u array:u"),
    EventType(
        "account",
        "operation: scheduler_tick for the running task; slice: jiffies that it had left",
        "task:u now:u jiffies:u slice:u",
    ),
    EventType(
        "expire",
        "a slice ended; to: the array it goes to, with its new prio and slice; since: jiffies of"
        " the first expiry since the swap; best: best expired priority before this one",
        "task:u to:u prio:u slice:u interactive:u starving:u since:u best:u",
    ),
    EventType(
        "resched",
        "a CPU is asked to reschedule; was: it had been asked before",
        "task:u rq:u was:u polling:u ipi:u",
    ),
    EventType(
        "schedule",
        "operation: schedule() begins; task: the one that runs, with its state and sleep average",
        "task:u now:u jiffies:u state:u preempt:u sleep_avg:u",
    ),
    EventType("swap", "active and expired array change places", "rq:u"),
    EventType(
        "pick", "the next task, its list, and how many are runnable", "task:u prio:u running:u"
    ),
    EventType(
        "wake",
        "operation: a wake-up looks at a task; queued, current: whether it is either",
        "task:u rq:u mask:u state:u queued:u current:u sync:u",
    ),
    EventType(
        "place",
        "operation: a woken task's CPU is chosen, from what was read of its own and of this one",
        "task:u to:u load:u nr:u this_load:u this_nr:u last_tick:u",
    ),
    EventType(
        "wake_moved",
        "operation: the wake-up looks again, on the run queue that it moved the task to",
        "task:u rq:u state:u queued:u",
    ),
    EventType(
        "activate",
        "operation: a woken task is queued; the last ticks translate now between CPUs",
        "task:u rq:u now:u jiffies:u irq:u this_tick:u rq_tick:u",
    ),
    EventType("fork", "operation: the child takes half the slice", "task:u child:u now:u"),
    EventType(
        "wake_new",
        "operation: a forked task becomes runnable",
        "task:u parent:u rq:u jiffies:u clone_vm:u this_tick:u rq_tick:u",
    ),
    EventType(
        "exit",
        "operation: a task ends and gives its slice back; parent: -1 if gone",
        "task:u parent:d rq:u",
    ),
    EventType("task_free", "an ended task's slot and stack may be used again", "task:u jiffies:u"),
    EventType("yield", "operation: sched_yield", "task:u jiffies:u"),
    EventType("set_nice", "operation: set_user_nice", "task:u rq:u nice:d jiffies:u"),
    EventType(
        "set_policy",
        "operation: sched_setscheduler",
        "task:u rq:u policy:u rt_priority:u jiffies:u",
    ),
    EventType("set_cpus", "operation: set_cpus_allowed", "task:u rq:u allowed:x"),
    EventType(
        "migrate",
        "operation: a migration thread takes a request; result: 0 moved, 1 gone, 2 not allowed",
        "task:u src:u dst:u result:u queued:u src_tick:u dst_tick:u",
    ),
    EventType("cpu_load", "operation: the decayed load changed", "nr:u load:u"),
    EventType(
        "uninterruptible",
        "tasks that fell asleep uninterruptibly on a run queue, less those that were woken there;"
        " before the end, and where a CPU leaves its part of the sum to another",
        "rq:u nr:d",
    ),
    EventType("lock", "a run queue's lock is taken; how: 0 waited, 1 tried", "rq:u how:u"),
    EventType("unlock", "a run queue's lock is released", "rq:u"),
    EventType(
        "task_summary",
        "totals of a task in jiffies, before the end",
        "task:u cpu_time:u run_delay:u pcnt:u nvcsw:u nivcsw:u",
    ),
    EventType(
        "schedstat",
        "counters of a run queue, schedstat version 10, before the end",
        "yld_both_empty:u yld_act_empty:u yld_exp_empty:u yld_cnt:u sched_noswitch:u sched_switch:u"
        " sched_cnt:u sched_goidle:u alb_cnt:u alb_gained:u alb_lost:u alb_failed:u ttwu_cnt:u"
        " ttwu_moved:u ttwu_attempts:u wunt_cnt:u wunt_moved:u smt_cnt:u sbe_cnt:u cpu_time:u"
        " run_delay:u pcnt:u",
    ),
)
