"""How the O(1) scheduler spreads tasks over CPUs: domains, balancing attempts, moves.

An attempt is logged step by step: what was read, what was decided from it, what was moved. Loads
are read without locks; one that is not logged was 0 in both figures.
"""

from harness.trace.event_kind import EventType

EVENTS: tuple[EventType, ...] = (
    EventType(
        "domain",
        "a CPU's scheduling domain at boot; level: 0 is the innermost",
        "of:u level:u name:s span:x flags:x min_interval:u max_interval:u busy_factor:u"
        " imbalance_pct:u cache_hot_time:u cache_nice_tries:u last_balance:u",
    ),
    EventType(
        "group", "a group of the domain before; the CPU's own is the first", "cpus:x power:u"
    ),
    EventType("attach", "from here on a CPU balances in its domains", "rq:u"),
    EventType("fixes", "the documented corrections in force; bit n: Ln", "mask:x"),
    EventType(
        "balance",
        "operation: an attempt in a domain begins; type: 0 idle, 1 busy, 2 newly idle; interval in"
        " ms and failures as they were",
        "level:u type:u jiffies:u interval:u failed:u last_balance:u",
    ),
    EventType("load", "what was read of a CPU, unless both are 0", "rq:u cpu_load:u nr:u"),
    EventType(
        "busiest_group",
        "operation: the group to take from, 0 for none, and how many tasks",
        "cpus:x imbalance:u",
    ),
    EventType(
        "busiest_queue",
        "operation: the CPU to take from, -1 for none; nr: its tasks, read once more where that"
        " decides whether it is locked, else -1",
        "rq:d nr:d",
    ),
    EventType(
        "double_lock",
        "operation: a second run queue is locked; dropped: the first was let go meanwhile",
        "rq:u dropped:u",
    ),
    EventType(
        "move",
        "operation: move_tasks, both locked; idle: the destination idles; failed: attempts of the"
        " domain; the last ticks decide about hot caches and translate time-stamps; jiffies: as"
        " read now if newly idle, and then what schedule() goes by from here on, else as before",
        "src:u dst:u level:u max:u type:u idle:u failed:u src_tick:u dst_tick:u jiffies:u",
    ),
    EventType("skip", "a task stays; why: 1 runs, 2 affinity, 3 cache-hot", "task:u why:u"),
    EventType("pull", "a task moves; expired: between the expired arrays", "task:u expired:u"),
    EventType("moved", "how many tasks the move took along", "nr:u"),
    EventType(
        "push_request",
        "the busiest CPU's migration thread is to push; was: it was asked before",
        "rq:u was:u",
    ),
    EventType(
        "balanced",
        "the attempt is over, its domain as it is now; moved: tasks",
        "level:u moved:u interval:u failed:u",
    ),
    EventType("push", "operation: a migration thread pushes tasks to idle CPUs", "rq:u"),
    EventType("pushed", "that is done", "rq:u"),
    EventType(
        "exec",
        "operation: sched_exec of the running task; level: the domain searched, -1 for none",
        "task:u rq:u nr:u level:d",
    ),
    EventType("exec_to", "operation: where the task is to go on", "task:u to:u"),
    EventType(
        "wake_idle",
        "operation: an idle thread of a core is looked for; found: CPUs seen idle",
        "task:u from:u to:u found:x",
    ),
    EventType(
        "cpu_down",
        "operation: a CPU stops scheduling: its migration thread clears its bit in online",
        "rq:u online:x",
    ),
    EventType(
        "drain",
        "operation: a task that is queued or asleep leaves a CPU that is offline; reset: its"
        " affinity named no CPU that is online and names all now",
        "task:u src:u dst:u reset:u queued:u src_tick:u dst_tick:u",
    ),
    EventType("cpu_dead", "operation: no task is left on a CPU that is offline", "rq:u"),
    EventType("cpu_up", "operation: a CPU schedules again", "rq:u online:x"),
    EventType(
        "plug_refused",
        "operation: a CPU was to leave (up=0) or to return, and its migration thread says no",
        "rq:u up:u online:x",
    ),
    EventType(
        "schedstat_domain",
        "counters of a domain, schedstat version 10; by type idle, busy, newly idle",
        "level:u i_cnt:u i_failed:u i_imbalance:u i_nobusyq:u i_nobusyg:u b_cnt:u b_failed:u"
        " b_imbalance:u b_nobusyq:u b_nobusyg:u n_cnt:u n_failed:u n_imbalance:u n_nobusyq:u"
        " n_nobusyg:u sbe_pushed:u sbe_attempts:u ttwu_wake_affine:u ttwu_wake_balance:u",
    ),
    EventType(
        "schedstat_moves",
        "the rest of a run queue's counters: tasks gained and lost by type",
        "i_gained:u i_lost:u b_gained:u b_lost:u n_gained:u n_lost:u",
    ),
)
