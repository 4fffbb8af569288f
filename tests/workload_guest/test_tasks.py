"""Operations on tasks: waking, forking, ending, changing what the scheduler knows of them."""

from __future__ import annotations

import pytest

from tests.workload_guest.conftest import RunTasks
from tests.workload_guest.seen import INTERRUPTIBLE, MS, UNINTERRUPTIBLE


@pytest.mark.parametrize(
    ("step", "state"),
    [("block", INTERRUPTIBLE), ("block: uninterruptible", UNINTERRUPTIBLE)],
)
def test_block_sleeps_until_woken(run_tasks: RunTasks, step: str, state: int) -> None:
    seen = run_tasks(f"""
        tasks:
          one: {{program: [{step}, nice: 1]}}
          waker: {{program: [sleep: 3 ticks, nice: 2, wake: one]}}
    """)
    assert seen.sleeps("one") == [state]
    assert seen.marks("one", "waker") == [("waker", 2), ("one", 1)]
    (wake,) = seen.of("activate", "one")
    assert wake.number("irq") == 0


def test_a_wake_up_before_block_is_remembered_once(run_tasks: RunTasks) -> None:
    seen = run_tasks("""
        duration: 20ms
        tasks:
          waker: {program: [wake: one, wake: one, nice: 1]}
          one: {program: [block, nice: 1, block, nice: 2]}
    """)
    assert seen.marks("one") == [("one", 1)]
    assert seen.sleeps("one") == [INTERRUPTIBLE]
    assert seen.of("wake", "one") == []


def test_only_block_is_ended_by_wake(run_tasks: RunTasks) -> None:
    """A wake-up during a sleep is kept for the next block."""
    seen = run_tasks("""
        tasks:
          one: {program: [sleep: 9 ticks, nice: 1, block, nice: 2]}
          waker: {program: [sleep: 2 ticks, wake: one, nice: 3]}
    """)
    assert seen.marks("one", "waker") == [("waker", 3), ("one", 1), ("one", 2)]
    assert seen.sleeps("one") == [INTERRUPTIBLE]


@pytest.mark.parametrize("sync", ["false", "true"])
def test_sync_wake_ups_say_so(run_tasks: RunTasks, sync: str) -> None:
    seen = run_tasks(f"""
        tasks:
          one: {{program: [block]}}
          waker: {{program: [sleep: 1 tick, wake: {{task: one, sync: {sync}}}]}}
    """)
    assert seen.numbers("wake", "one", "sync") == [int(sync == "true")]


def test_wake_goes_through_all_instances_in_order(run_tasks: RunTasks) -> None:
    seen = run_tasks("""
        tasks:
          gone: {program: [exit]}
          many: {count: 5, program: [block, nice: 1]}
          waker: {program: [sleep: 3 ticks, wake: gone, wake: many/3, sleep: 1 tick, wake: many]}
    """)
    woken = [seen.names[event.number("task")] for event in seen.every("wake")]
    woken = [name for name in woken if name.startswith("many")]
    assert woken == ["many/3", "many/0", "many/1", "many/2", "many/4"]
    assert seen.of("wake", "gone") == []


def test_yield(run_tasks: RunTasks) -> None:
    seen = run_tasks("""
        tasks:
          one: {program: [yield, nice: 1]}
          two: {program: [nice: 1]}
    """)
    assert len(seen.of("yield", "one")) == 1
    assert seen.marks("one", "two") == [("two", 1), ("one", 1)]


def test_exec_goes_on_where_there_is_less_to_do(run_tasks: RunTasks) -> None:
    seen = run_tasks(
        """
        cpus: 2
        tasks:
          one: {cpus: 0, program: [run: 1 tick, cpus: all, nice: -1, exec, nice: -2]}
          two: {cpus: 0, program: [run: 4 ticks]}
        """,
        cpus=2,
    )
    assert len(seen.of("exec", "one")) == 1
    assert [event.number("to") for event in seen.of("exec_to", "one")] == [1]
    before, after = seen.of("set_nice", "one")
    assert (before.number("rq"), after.number("rq")) == (0, 1)


def test_loops_count_and_nest(run_tasks: RunTasks) -> None:
    seen = run_tasks("""
        tasks:
          one:
            program:
              - loop: 3
                do:
                  - nice: 1
                  - loop: 2
                    do:
                      - loop: 2
                        do: [yield]
                      - nice: 2
                      - nice: 3
              - nice: 4
    """)
    inner = [2, 3] * 2
    assert [nice for _, nice in seen.marks("one")] == [1, *inner, 1, *inner, 1, *inner, 4]
    assert len(seen.of("yield", "one")) == 3 * 2 * 2


def test_a_child_has_what_its_parent_has_but_for_its_template(run_tasks: RunTasks) -> None:
    seen = run_tasks(
        """
        cpus: 2
        tasks:
          parent:
            nice: 3
            cpus: 1
            kernel: true
            program:
              - fork: child
              - fork: {task: thread, thread: true}
              - run: 2ms
              - fork: other
          child: {template: true, program: [run: 100us]}
          thread: {template: true, program: [run: 100us]}
          other: {template: true, policy: rr, priority: 7, cpus: 0, program: [run: 1 tick]}
    """,
        cpus=2,
    )
    parent = seen.id("parent")
    for name in ("child", "thread", "other"):
        (new,) = seen.of("task_new", name)
        assert new.number("parent") == parent
        assert (new.number("nice"), new.number("allowed"), new.number("mm")) == (3, 2, 0)
    assert seen.numbers("wake_new", "child", "clone_vm") == [0]
    assert seen.numbers("wake_new", "thread", "clone_vm") == [1]
    (policy,) = seen.of("set_policy", "other")
    assert (policy.number("policy"), policy.number("rt_priority")) == (2, 7)
    assert seen.numbers("set_cpus", "other", "allowed") == [1]
    assert {event.cpu for event in seen.of("account", "other")} == {0}
    assert len(seen.of("exit", "other")) == 1


def test_children_fork_and_run_their_own_program(run_tasks: RunTasks) -> None:
    seen = run_tasks("""
        tasks:
          root: {program: [{loop: 3, do: [fork: middle]}, sleep: 2 ticks]}
          middle: {template: true, program: [fork: leaf, nice: 5, fork: leaf]}
          leaf: {template: true, program: [nice: 9]}
    """)
    assert len(seen.ids("middle")) == 3
    assert len(seen.ids("leaf")) == 6
    assert len(seen.every("exit")) == 10
    assert sorted(nice for _, nice in seen.marks("leaf")) == [9] * 6


def test_a_child_outlives_its_parent_and_that_ones_slot(run_tasks: RunTasks) -> None:
    """Once the parent is freed nobody gets back what is left of the child's slice."""
    seen = run_tasks("""
        tasks:
          parent: {program: [fork: child, fork: orphan]}
          child: {template: true, program: [sleep: 50 ticks]}
          orphan: {template: true, program: [sleep: 150 ticks]}
    """)
    (parent,) = seen.of("exit", "parent")
    (child,) = seen.of("exit", "child")
    (orphan,) = seen.of("exit", "orphan")
    assert child.number("parent") == parent.number("task")
    assert orphan.number("parent") == -1


def test_the_run_ends_with_the_last_task(run_tasks: RunTasks) -> None:
    """Children count, and every end is in the log."""
    seen = run_tasks("""
        tasks:
          parent: {program: [fork: {task: child, thread: true}]}
          child: {template: true, program: [run: 20ms, exit]}
    """)
    ends = [event.ns for event in seen.every("exit")]
    assert len(ends) == 2
    end = seen.trace.end
    assert end is not None
    assert max(ends) - min(ends) > 15 * MS
    assert end.ns - max(ends) < 10 * MS


@pytest.mark.parametrize(("duration", "ns"), [("30ms", 30 * MS), ("30 ticks", 30 * MS)])
def test_the_run_ends_with_its_duration(run_tasks: RunTasks, duration: str, ns: int) -> None:
    """Also when a task keeps the boot CPU from ever being idle."""
    seen = run_tasks(f"""
        duration: {duration}
        tasks:
          hog: {{policy: fifo, priority: 50, start_cpu: 0, program: [forever: [run: 1 tick]]}}
    """)
    last = seen.of("account", "hog")[-1].ns
    assert ns - 2 * MS <= last - seen.begin("hog") <= ns + 2 * MS


def test_nice_policy_and_cpus_of_oneself_and_of_others(run_tasks: RunTasks) -> None:
    seen = run_tasks(
        """
        cpus: 2
        tasks:
          many: {count: 2, program: [block]}
          gone: {program: [exit]}
          boss:
            policy: fifo
            priority: 10
            start_cpu: 0
            program:
              - sleep: 3 ticks
              - nice: {to: 7, task: many}
              - nice: {to: 7, task: gone}
              - policy: {to: rr, priority: 3, task: many/1}
              - policy: {to: rr, priority: 3, task: gone}
              - policy: normal
              - cpus: {to: 1, task: many/0}
              - cpus: {to: 1, task: gone}
              - cpus: 1
              - run: 2 ticks
              - cpus: all
              - nice: -5
              - wake: many
    """,
        cpus=2,
    )
    assert [(name, nice) for name, nice in seen.marks("many", "boss")] == [
        ("many/0", 7),
        ("many/1", 7),
        ("boss", -5),
    ]
    assert len(seen.of("set_policy", "many")) == 1
    assert seen.numbers("set_policy", "many", "rt_priority") == [3]
    assert seen.numbers("set_policy", "boss", "policy") == [0]
    assert seen.numbers("set_cpus", "many", "allowed") == [2]
    assert seen.numbers("set_cpus", "boss", "allowed") == [2, 0xFFFF_FFFF_FFFF_FFFF]
    assert {event.cpu for event in seen.of("account", "boss")} == {1}
    for event in ("set_nice", "set_policy", "set_cpus"):
        assert seen.of(event, "gone") == []


def test_start_cpus_are_dealt_out_among_the_allowed_ones(run_tasks: RunTasks) -> None:
    seen = run_tasks(
        """
        tasks:
          a: {count: 5, program: [exit]}
          b: {count: 3, cpus: '1,3', program: [exit]}
          c: {start_cpu: 2, program: [exit]}
    """,
        cpus=4,
    )
    assert seen.numbers("task_new", "a", "cpu") == [0, 1, 2, 3, 0]
    assert seen.numbers("task_new", "b", "cpu") == [3, 1, 3]  # records 5, 6 and 7
    assert seen.numbers("task_new", "c", "cpu") == [2]


def test_tasks_start_in_order_with_what_their_records_say(run_tasks: RunTasks) -> None:
    seen = run_tasks("""
        tasks:
          normal: {nice: -7, program: [exit]}
          template: {template: true, program: [exit]}
          fifo: {policy: fifo, priority: 99, program: [exit]}
          kernel: {kernel: true, cpus: 0, program: [exit]}
          rr: {policy: rr, priority: 0, program: [exit]}
    """)
    fields = ("policy", "nice", "rt_priority", "mm", "allowed")
    every = 0xFFFF_FFFF_FFFF_FFFF
    wanted = {
        "normal": (0, -7, 0, 1, every),
        "fifo": (1, 0, 99, 1, every),
        "kernel": (0, 0, 0, 0, 1),
        "rr": (2, 0, 0, 1, every),
    }
    started = [seen.names[event.number("task")] for event in seen.every("start")]
    assert started == list(wanted)
    for name, values in wanted.items():
        (new,) = seen.of("task_new", name)
        assert tuple(new.number(field) for field in fields) == values
