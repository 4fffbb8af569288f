"""What the second policy, VeridianOS's scheduler, does; its repaired design, made precise.

Shared with the other policy: ``task_new``, ``start``, ``switch``, ``tick``, ``yield``,
``set_nice``, ``set_policy``, ``plug_refused`` (by whoever asks), ``task_free``, ``task_summary``,
``lock`` and ``unlock``. An *operation* carries what was read; events without that word follow from
the one before them on the same CPU. Every event is logged under the queue lock of the CPU that it
is about (`v_balance`, `v_balanced`, `v_steal`, `v_victim`, ``yield`` and the totals: under none).

Priorities, classes and rings are those of guest/veridian/README.md: rings 0..29 real-time, by
priority; 30..33 normal; 34 idle class. Ring and overflow list together are one queue, first in,
first out.

* A running task is in no ring. nr: tasks in the rings. load: min(10 * (nr + 1 unless the idle task
  runs), 100), stored again whenever nr or the running task changes, under the lock. Balancing and
  placement decide by it alone; it saturates by design.
* A slice is 10 ticks. A tick takes one off; at 0 the task is to reschedule. `schedule` refills a
  slice of 0 after its decision, whether prev stays or leaves. ``yield`` makes the slice 0, then
  `schedule`. A wake-up preempts nobody but the idle task.
* Effective priority: of a waiting normal task its priority - min((jiffies - since) / 100, 20); of
  all others the plain priority. since: jiffies of its last `start`, `v_place` with migrated=0, or
  `v_schedule` that took it off a CPU.
* Totals of a task: cpu_time and run_delay are the jiffies from the `v_schedule` that gave it a CPU
  to the one that took it off, and from since to the former; pcnt counts the former.
* `schedule`: prev stays a candidate while its state is TASK_RUNNING or preempt=1, and it may run
  here (CPU online and in cpus_allowed). next is the head of the best ring, none on an offline CPU.
  next is looked at where it stands: it leaves its ring only to run. With both, `v_compare`;
  should_preempt(prev, next): next RT and prev not; both RT and next better; both normal and next
  better, or equal and prev's slice 0 (better: a smaller effective priority). Preempted, prev goes
  to the tail of its ring before next leaves its own. Idle is never queued.
* A prev that is runnable but may not run here is in no ring after the switch: the incoming side,
  with nobody on its stack any more, places it.
* Placing a task (woken, forked, handed over, drained, its affinity changed): it is claimed, in no
  ring, under the lock of its CPU. One that was woken stays on task.cpu, where it ran last, if that
  is online and allowed. For all others: `v_find` and the loads read, task.cpu = the CPU chosen,
  change locks, until that CPU is online and allowed under its own lock. Then `v_place`, `v_enqueue`
  and, if the CPU idles, `v_kick`. Chosen is the CPU of least load among those online and allowed,
  the lowest first. If no CPU is both, cpus_allowed becomes all ones first.
* `balance_load`: at every 10th tick of a CPU (field n of ``tick``) that idles, every 100th of one
  that does not; not on an offline CPU, nor where there is only one. Both locks are taken, lower CPU
  first, for `v_migrate`. Taken are waiting tasks, best ring first, in order, that may run on dst;
  others keep their place. An offline dst gets none. After the last `v_enqueue`, `v_kick` if any
  moved and dst idles, then `v_migrated`.
* Stealing, round-robin algorithm only: before `schedule` takes its lock, where the rings are empty
  and prev is idle or leaves; the CPU of the largest nr of 2 and more, the lowest first. The thief
  kicks nobody.
* ``set_nice``, ``set_policy``: a waiting task leaves its ring for the change and goes to the tail.
* ``switch`` is voluntary if prev does not stay runnable: state not TASK_RUNNING, preempt=0. Totals
  count it for prev. An ended task leaves with state 32, and is freed 100 jiffies later.
"""

from harness.trace.event_kind import EventType

EVENTS: tuple[EventType, ...] = (
    EventType("bugs", "the original's defects re-created in this run; bit n: Vn", "mask:x"),
    EventType("v_enqueue", "a task goes to the tail of a ring", "task:u rq:u ring:u nr:u load:u"),
    EventType("v_dequeue", "a task leaves its ring", "task:u rq:u ring:u nr:u load:u"),
    EventType("v_tick", "operation: a tick of the running task; slice before it", "task:u slice:u"),
    EventType(
        "v_schedule",
        "operation: schedule() begins; task: the one that runs; preempt: it did not ask for it",
        "task:u state:u preempt:u slice:u jiffies:u",
    ),
    EventType(
        "v_compare",
        "should_preempt; effective priorities of the running and the next task",
        "task:u next:u task_prio:u next_prio:u preempt:u",
    ),
    EventType(
        "v_pick",
        "who runs from now on; algorithm: 0 round-robin, 1 priority; nr and load then",
        "task:u algorithm:u nr:u load:u",
    ),
    EventType(
        "v_kick",
        "a CPU is asked to reschedule; task: runs there; was: asked before; ipi: interrupted, iff"
        " remote and not asked before",
        "task:u rq:u was:u ipi:u",
    ),
    EventType(
        "v_wake",
        "operation: a wake-up looks at a task; queued, current: whether it is either, then it only"
        " becomes runnable; otherwise, in a state of the mask, it is placed",
        "task:u rq:u mask:u state:u queued:u current:u",
    ),
    EventType("v_fork", "operation: a forked task is to be placed", "task:u parent:u rq:u"),
    EventType(
        "v_set_cpus",
        "operation: an affinity changes; where the task may not stay it is taken out of its ring"
        " and placed, or its CPU is asked to reschedule if it runs",
        "task:u rq:u allowed:x queued:u current:u",
    ),
    EventType(
        "v_find",
        "a CPU is looked for, among those online as read; loads follow",
        "task:u rq:u online:x",
    ),
    EventType("v_load", "what was read of a CPU, unless both are 0", "rq:u nr:u load:u"),
    EventType(
        "v_place",
        "the task goes to this CPU; reset: its affinity was given up; migrated: it was runnable and"
        " changes its CPU, which counts as a migration",
        "task:u rq:u reset:u migrated:u jiffies:u",
    ),
    EventType("v_balance", "operation: balance_load; loads follow", "jiffies:u online:x"),
    EventType(
        "v_balanced",
        "its decision; count: tasks to move, 0 for a balanced system",
        "busiest:u idlest:u max:u min:u count:u",
    ),
    EventType("v_steal", "operation: a CPU without work looks for some; loads follow", "online:x"),
    EventType("v_victim", "whom it takes a task from, -1 for nobody", "rq:d"),
    EventType("v_migrate", "operation: tasks move, both queues locked", "src:u dst:u count:u"),
    EventType("v_migrated", "how many did", "moved:u"),
    EventType(
        "v_cpu_down",
        "operation: a CPU stops scheduling; a task that runs there is asked to leave",
        "rq:u online:x",
    ),
    EventType("v_drain", "operation: a waiting task leaves an offline CPU", "task:u rq:u"),
    EventType("v_cpu_up", "operation: a CPU schedules again", "rq:u online:x"),
    EventType(
        "v_task",
        "totals of a task, before task_summary: migrations, the CPU before the last one or -1",
        "task:u migrations:u last_cpu:d",
    ),
    EventType(
        "v_cpu",
        "totals of what this CPU did: v_schedule, of these to the idle task, switches, voluntary"
        " ones, v_balance that moved tasks, tasks migrated, blocked, woken; interrupts by v_kick",
        "calls:u idle:u switches:u voluntary:u balances:u migrations:u blocks:u wakeups:u ipis:u",
    ),
)
