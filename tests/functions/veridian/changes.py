"""attributes.s, hotplug.s: nice value, policy and affinity of a task change; CPUs come and go."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from tests.functions.guest import Guest
from tests.functions.veridian.agreement import agrees
from tests.functions.veridian.kernel import Kernel
from tests.functions.veridian.placing import some_scenes
from tests.functions.veridian.scenes import (
    COUNT,
    CPUS,
    SLEEPS,
    Scene,
    Standing,
    masks,
    scenes,
    sound,
    standings,
)

U32 = (1 << 32) - 1
EBUSY, EINVAL = 16, 22
OK = 0
TURNS = 2
"""How long another CPU is waited for."""


nices = st.sampled_from([-21, -20, -16, -15, 0, 9, 10, 19, 20])


@agrees("veridian_set_nice", "change_priority", "priority_set", "priority_of",
        given=st.tuples(some_scenes, nices))  # fmt: skip
def nice_values(guest: Guest, scene: Scene, nice: int) -> None:
    kernel = Kernel(guest, scene)
    p = kernel.tasks[0]
    changes = -20 <= nice <= 19 and nice != p.nice
    due = (p.pid, p.cpu, nice, scene.jiffies)
    kernel.call("veridian_set_nice", kernel.memory.at(p), nice, interrupts=True)
    if changes:
        kernel.first("set_nice", *due)
    else:
        assert not kernel.events
    kernel.done()
    assert p.nice == nice or not changes


@agrees("veridian_set_policy", "change_priority", "priority_set", "priority_of",
        given=st.tuples(some_scenes, standings))  # fmt: skip
def policies(guest: Guest, scene: Scene, standing: Standing) -> None:
    kernel = Kernel(guest, scene)
    p = kernel.tasks[0]
    policy, rt_priority, _ = standing
    due = (p.pid, p.cpu, int(policy), rt_priority, scene.jiffies)
    kernel.call(
        "veridian_set_policy", kernel.memory.at(p), int(policy), rt_priority, interrupts=True
    )
    kernel.first("set_policy", *due)
    kernel.done()


@agrees("veridian_set_cpus", "affinity_change", "place_task",
        given=st.tuples(some_scenes, masks, st.booleans()))  # fmt: skip
def affinities(guest: Guest, scene: Scene, mask: int, gives_in: bool) -> None:
    """Whoever waits for a task to leave its CPU goes on once that runs another one, or the task may
    run there after all, as where the CPU only is offline."""
    kernel = Kernel(guest, scene)
    p = kernel.tasks[0]
    memory, at, home = kernel.memory, kernel.memory.at(p), kernel.world.cpus[p.cpu]
    runs, queued = home.curr is p, p.ring is not None
    allowed = mask >> p.cpu & 1
    elsewhere = runs and home is not kernel.acting and not (allowed and home.online)
    due = (p.pid, p.cpu, mask, int(queued), int(runs))
    info = memory.cpu(p.cpu)

    def others() -> None:
        if kernel.stubs.waited < TURNS:
            return
        if gives_in:
            guest.store(guest.task, at, "cpus_allowed", 1 << p.cpu)
        else:
            guest.store(memory.info, info, "curr", memory.at(home.idle))

    result = kernel.call("veridian_set_cpus", at, mask, others=others, interrupts=True)
    if not mask & (1 << COUNT) - 1:
        assert result & U32 == -EINVAL & U32
        assert not kernel.events
        kernel.done()
        return
    assert result & U32 == OK
    kernel.first("v_set_cpus", *due)
    assert kernel.stubs.waited == (1 if allowed else TURNS) * elsewhere
    assert kernel.stubs.open == elsewhere
    if elsewhere:
        guest.store(guest.task, at, "cpus_allowed", mask)
        guest.store(memory.info, info, "curr", at)
    # Its own switch away is another property's.
    memory.follow_times(kernel.acting, kernel.stubs.clock, kernel.events)
    kernel.done()


@agrees("veridian_cpu_down", "hotplug_leave", "place_task",
        given=st.tuples(scenes(), st.sampled_from([*CPUS[1:], *CPUS, COUNT, 1 << 31])))  # fmt: skip
def leaving_cpus(guest: Guest, scene: Scene, number: int) -> None:
    kernel = Kernel(guest, scene)
    there = number in CPUS and kernel.world.cpus[number].online
    busy = there and not kernel.world.cpus[number].is_idle
    due = -EINVAL if number >= COUNT else -EBUSY if not number or not there else OK
    assert kernel.call("veridian_cpu_down", number, interrupts=True) & U32 == due & U32
    if due == -EBUSY and number:
        kernel.first("plug_refused", number, 0, scene.online)
    kernel.done()
    if due == OK:
        cpu = kernel.world.cpus[number]
        assert not cpu.online
        told = [e for e in kernel.events if e.name == "v_kick" and e.number("rq") == number]
        assert len(told) == busy, "whoever runs there is told to leave"
        assert not len(cpu.queue)


@agrees("veridian_cpu_up", given=st.tuples(scenes(), st.sampled_from([*CPUS, *CPUS[1:], COUNT])))
def asked_to_join(guest: Guest, scene: Scene, number: int) -> None:
    """It waits until the CPU has come."""
    kernel = Kernel(guest, scene)
    memory, online = kernel.memory, scene.online | 1 << number
    asked: list[int] = []

    def others() -> None:
        if kernel.stubs.waited < TURNS:
            return
        at = memory.cpu(number)
        asked.append(guest.load(memory.info, at, "joining")["joining"])
        guest.store(memory.info, at, "joining", 0)
        guest.store(memory.info, at, "online", 1)
        guest.set_word("online_cpus", online)

    result = kernel.call("veridian_cpu_up", number, others=others, interrupts=True) & U32
    if number >= COUNT:
        assert result == -EINVAL & U32
    elif kernel.world.cpus[number].online:
        assert result == -EBUSY & U32
        kernel.first("plug_refused", number, 1, scene.online)
    else:
        assert result == OK
        assert asked == [1]
        assert kernel.stubs.open
        assert kernel.names()[:1] == ["v_kick"]
    if result != OK:
        assert not asked
    kernel.follow()
    if result == OK:
        kernel.world.cpus[number].online = True
    kernel.compare()


def offline(scene: Scene) -> Scene:
    """A scene whose CPU takes no part."""
    actors = [replace(a, place=SLEEPS) if a.cpu == scene.here else a for a in scene.actors]
    return sound(replace(scene, actors=actors, online=scene.online & ~(1 << scene.here)))


@agrees("hotplug_join", "hotplug_enter", given=st.tuples(scenes(), st.booleans()))
def joining_cpus(guest: Guest, scene: Scene, joins: bool) -> None:
    kernel = Kernel(guest, offline(scene))
    memory = kernel.memory
    guest.store(memory.info, kernel.here, "joining", int(joins))
    kernel.call("hotplug_join", rbx=kernel.here)
    if joins:
        kernel.first("v_cpu_up", scene.here, kernel.scene.online | 1 << scene.here)
    else:
        assert not kernel.events
    kernel.done()
    assert kernel.acting.online == joins
    kernel.enter(cpus_but(scene.here))
    kernel.compare()


def cpus_but(number: int) -> int:
    """Some other CPU."""
    return next(cpu for cpu in CPUS if cpu != number)
