"""Events of the machine, of tasks under any policy, and the frame of every log."""

from harness.trace.event_kind import EventType

OPENING: tuple[EventType, ...] = (
    EventType(
        "hello",
        "first line of every log: who speaks, and how this run was configured",
        "proto:u build:b policy:s cpus:u hz:u clock:s seed:u",
    ),
    EventType("quiet", "nothing but the frame of the run is logged (loglevel=0): no decisions"),
    EventType("cpus_found", "where the number of CPUs was learnt from", "source:s count:u"),
    EventType("timer", "the calibrated clocks", "tsc_khz:u lapic_khz:u count:u"),
    EventType("cpu_online", "this CPU is up", "apic:u"),
    EventType("tick", "a local timer tick, numbered from 1 on each CPU", "n:u"),
    EventType("ipi_send", "an inter-processor interrupt leaves", "to:u vector:x"),
    EventType("ipi_recv", "an inter-processor interrupt arrives", "vector:x"),
    EventType("ipi_latency", "one-way time of an interrupt in ns", "to:u ns:u halted:u"),
    EventType("mark", "a numbered mark: flood of the log on request", "n:u"),
    EventType(
        "task_new",
        "a task exists; parent: who forked it, -1 for nobody",
        "task:u name:s cpu:u policy:u nice:d rt_priority:u allowed:x mm:u parent:d now:u",
    ),
    EventType("start", "a task that nobody forked becomes runnable", "task:u rq:u jiffies:u"),
    EventType(
        "switch",
        "the CPU changes from one task to another; voluntary: prev gave it up itself",
        "prev:u next:u voluntary:u",
    ),
)
"""From the first line on."""

CLOSING: tuple[EventType, ...] = (
    EventType("cpu_summary", "totals of one CPU, before the end", "ticks:u ipis:u switches:u"),
    EventType("end", "last line of every log: totals of the run", "events:u dropped:u result:s"),
)
"""Totals, and the last line."""
