"""core.s, switch.s, pick.s, tick.s, exit.s: who runs next, and what that takes."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from harness.model.constants import State
from harness.model.veridian import balance
from harness.model.veridian.pick import Algorithm
from harness.model.veridian.wait import Claim
from tests.functions.guest import Guest, PanicError
from tests.functions.veridian.agreement import agrees
from tests.functions.veridian.kernel import Kernel
from tests.functions.veridian.placing import forking, nowhere
from tests.functions.veridian.scenes import (
    CPUS,
    WAITS,
    Scene,
    actors,
    cpus,
    crowds,
    masks,
    scenes,
    sound,
)

DEAD = int(State.EXIT_DEAD)
SCHEDULE, PREEMPT, YIELD = "veridian_schedule", "veridian_preempt", "veridian_yield"
WAYS = (SCHEDULE, SCHEDULE, PREEMPT, YIELD)
PARTS = (*WAYS[1:], "schedule_pass", "schedule_log", "schedule_choose", "schedule_may_stay",
         "schedule_compare", "schedule_refill", "schedule_picked", "veridian_switch",
         "veridian_account", "veridian_finish", "metrics_switch_done", "pick_next", "pick_steal",
         "find_victim", "message_dispatch_first", "effective_priority",
         "should_preempt")  # fmt: skip


def about_to(scene: Scene, state: int, allowed: int | None) -> Scene:
    """The task that runs, the first, is about to sleep or to end, or has to leave."""
    first, *others = scene.actors
    allowed = first.allowed | 1 << scene.here if allowed is None else allowed
    first = replace(first, state=state, allowed=allowed)
    return replace(scene, actors=[first, *others])


running = st.builds(
    about_to,
    st.builds(forking, scenes(5), actors),
    st.sampled_from([0, 0, 0, 0, 1, 2, DEAD]),
    st.none() | st.none() | masks,
)
busy_or_not = running | running | running | scenes()
"""Mostly, a task runs here."""


def lonely(scene: Scene, victim: int) -> Scene:
    """A scene in which nobody waits here, and two or more elsewhere: something to steal."""
    if victim == scene.here:
        victim = next(cpu for cpu in CPUS if cpu != victim)
    others = [replace(actor, cpu=victim, place=WAITS) for actor in scene.actors[1:]]
    online = scene.online | 1 << victim
    actors = [*scene.actors[:1], *others]
    return sound(replace(scene, actors=actors, online=online, algorithm=Algorithm.ROUND_ROBIN))


thieves = st.builds(lonely, running, cpus)


@agrees(
    *PARTS,
    given=st.tuples(busy_or_not | thieves, st.sampled_from(WAYS), st.booleans(), st.booleans()),
)
def passes(guest: Guest, scene: Scene, way: str, nudged: bool, dispatched: bool) -> None:
    kernel = Kernel(guest, scene)
    memory, acting, prev = kernel.memory, kernel.acting, kernel.acting.curr
    guest.write(guest.addresses["dispatched"], bytes([dispatched, 0, 0, 0]))
    acting.idle.need_resched |= nudged
    memory.put_task(acting.idle)
    state, slice = int(prev.state), prev.slice
    kernel.call(way, interrupts=way != PREEMPT)
    due = (prev.pid, state, int(way == PREEMPT), slice, scene.jiffies)
    kernel.first(*(("yield", prev.pid, scene.jiffies) if way == YIELD else ("v_schedule", *due)))
    if way == PREEMPT:
        memory.expect_task(prev.pid, preempt_active=1)
    memory.follow_times(acting, kernel.stubs.clock, kernel.events)
    kernel.follow()
    if way == PREEMPT:
        memory.expect_task(acting.curr.pid, preempt_active=0)
    kernel.compare()
    assert not acting.curr.need_resched, "asked meanwhile, and nobody has looked"
    check_switches(kernel, state == DEAD and way != PREEMPT, dispatched)


def check_switches(kernel: Kernel, ends: bool, dispatched: bool) -> None:
    """Stacks change as logged; a task that has ended is buried, once nobody is on its stack."""
    memory, switches = kernel.memory, [e for e in kernel.events if e.name == "switch"]
    at = [tuple(memory.at(e.number(name)) for name in ("prev", "next")) for e in switches]
    assert kernel.stubs.switches == at
    assert kernel.stubs.buried == ([left for left, _ in at[:1]] if ends else [])
    said = [line for line in kernel.stubs.lines if "DISPATCH" in line]
    first = not dispatched and bool(switches)
    assert said == (
        [f"[SCHED] DISPATCH_FIRST pid={switches[0].number('next'):#x}"] if first else []
    )
    slot = int.from_bytes(kernel.guest.read(kernel.guest.addresses["dispatched"], 4), "little")
    assert slot == int(dispatched or bool(switches))


@agrees("veridian_exit", given=st.tuples(st.builds(forking, scenes(4), actors)))
def ends(guest: Guest, scene: Scene) -> None:
    """Nobody comes back from there."""
    kernel = Kernel(guest, scene)
    p = kernel.acting.curr
    try:
        kernel.call("veridian_exit", interrupts=True)
    except PanicError as words:
        assert str(words) == "a task that had ended was run again"
    else:
        raise AssertionError("it returns")
    kernel.first("v_schedule", p.pid, DEAD, 0, p.slice, scene.jiffies)
    kernel.memory.follow_times(kernel.acting, kernel.stubs.clock, kernel.events)
    kernel.done()
    assert kernel.stubs.buried == [kernel.memory.at(p)]


@agrees("veridian_begin", "veridian_finish", "metrics_switch_done",
        given=st.tuples(nowhere, st.sampled_from([0, 1, DEAD]), st.booleans(),
                        st.sampled_from(["veridian_begin", "veridian_finish"])))  # fmt: skip
def incoming(guest: Guest, scene: Scene, state: int, leaves: bool, function: str) -> None:
    """The task that left sleeps, has ended, or has to go elsewhere."""
    kernel = Kernel(guest, scene)
    memory, p = kernel.memory, kernel.tasks[-1]
    p.state = State(state)
    p.cpu = scene.here
    if leaves:
        memory.leaving.add(p.pid)
        kernel.context.claim = Claim(p, p.cpu, migrates=True)
        p.state = State.RUNNING
    memory.put_task(p)
    kernel.lock(scene.here)
    kernel.call(function, memory.at(p))
    memory.leaving.clear()
    memory.time_switch(kernel.acting, kernel.stubs.now)
    kernel.done()
    assert kernel.stubs.buried == ([memory.at(p)] if state == DEAD and not leaves else [])


@agrees("veridian_tick", "veridian_tick_account", "balance_tick", "balance_load", "find_imbalance",
        "balance_count", "migrate_tasks", "migrate_one", "note_migration", "cleanup_announce",
        "queue_enqueue_head",
        given=st.tuples(scenes(6, crowds) | busy_or_not, st.sampled_from([0, 0, 1, 3]),
                        st.booleans()))  # fmt: skip
def ticks(guest: Guest, scene: Scene, freed: int, balances: bool) -> None:
    if balances:
        scene = replace(scene, ticks=100)
    kernel = Kernel(guest, scene)
    cpu, context, p = kernel.acting, kernel.context, kernel.acting.curr
    guest.set_word("announced", 5)
    guest.set_word("tasks_freed", 5 + freed)
    context.tick_due = not cpu.is_idle
    context.balance_due = cpu.online and balance.due(scene.ticks, idle=cpu.is_idle)
    due = p.pid, p.slice
    kernel.call("veridian_tick")
    if context.tick_due:
        kernel.first("v_tick", *due)
    kernel.done()
    assert not context.tick_due, "the tick was not accounted"
    assert not context.balance_due, "nobody has balanced"
    moves = [event for event in kernel.events if event.name == "v_migrated"]
    moved = bool(moves and moves[0].number("moved"))
    words = ["Load balancing: migrating tasks", "Successfully migrated tasks"] if moved else []
    words += ["Cleaned up dead task"] * freed if scene.here == 0 else []
    assert kernel.stubs.lines == [f"[SCHED] {line}" for line in words]
    assert guest.word("announced") == 5 + (freed if scene.here == 0 else 0)


def crowded(scene: Scene) -> Scene:
    """Some of those in front of a crowd may not leave the first CPU."""
    first = [replace(a, place="waits", cpu=0) if n < 4 else a for n, a in enumerate(scene.actors)]
    return sound(replace(scene, actors=first))


@agrees("migrate_tasks", "migrate_one", "note_migration", "queue_enqueue_head", "queue_dequeue",
        "ring_refill",
        given=st.tuples(scenes(6, crowds).map(crowded), st.sampled_from([1, 34]),
                        st.sampled_from([0, 1, 2, 3, 9]), st.booleans(),
                        st.booleans()))  # fmt: skip
def migrations(guest: Guest, scene: Scene, to: int, count: int, kick: bool, stuck: bool) -> None:
    """From the first CPU. With `stuck` nobody of the crowd may leave it: all come back in front."""
    kernel = Kernel(guest, scene)
    if stuck:
        for p in kernel.crowd:
            p.allowed = 1
            kernel.memory.put_task(p)
        kernel.memory.put_cpu(kernel.world.cpus[0], scene.turn)
    kernel.lock(0)
    kernel.lock(to)
    world, acting = kernel.world, kernel.acting
    world.predict("v_migrate", 0, to, count)
    kernel.context.stealing = not kick
    ends = kernel.memory.cpu(0), kernel.memory.cpu(to)
    moved = kernel.call("migrate_tasks", *ends, count, int(kick))
    kernel.unlock(0)
    kernel.unlock(to)
    kernel.follow()
    acting.metrics.balances -= bool(moved) and kick  # which its caller counts
    kernel.compare()
    kernel.first("v_migrated", moved)
