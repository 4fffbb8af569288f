"""wait.s, fork.s, load.s, kick.s: tasks that become runnable, and where they go."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from harness.model.veridian.task import Task
from harness.model.veridian.wait import Claim
from tests.functions.guest import Guest
from tests.functions.veridian.agreement import agrees
from tests.functions.veridian.kernel import Kernel
from tests.functions.veridian.scenes import (
    CPUS,
    EVERYWHERE,
    RUNS,
    SLEEPS,
    Actor,
    Scene,
    Standing,
    actors,
    cpus,
    masks,
    scenes,
    sound,
    standings,
)

GARBAGE = 0x5A5A << 32
"""In the upper half of a register whose lower half is an argument."""
NEW = 50
LAST_RAN = 6
ENTRY, ARGUMENT = 0x1234_5678, 77

some_scenes = st.builds(
    lambda scene, actor: sound(replace(scene, actors=[actor, *scene.actors])), scenes(5), actors
)
"""With a task at least, the first."""


@agrees(
    "veridian_wake", given=st.tuples(some_scenes, st.sampled_from([1, 2, 3, 15]), st.booleans())
)
def wakes(guest: Guest, scene: Scene, mask: int, in_interrupt: bool) -> None:
    kernel = Kernel(guest, scene)
    kernel.enter(scene.here, in_interrupt=in_interrupt)
    p = kernel.tasks[0]
    runs, waits = kernel.world.is_current(p), p.ring is not None
    due = (p.pid, p.cpu, mask, int(p.state), int(waits), int(runs))
    arguments = kernel.memory.at(p), GARBAGE | mask, GARBAGE
    kernel.call("veridian_wake", *arguments, interrupts=not in_interrupt)
    kernel.first("v_wake", *due)
    kernel.done()


def with_nobody(scene: Scene, actor: Actor) -> Scene:
    """A scene with a task that is runnable and nowhere."""
    actor = replace(actor, place=SLEEPS, state=0, asked=False, preempted=False)
    return replace(scene, actors=[*scene.actors, actor])


nowhere = st.builds(with_nobody, scenes(5), actors)


@agrees("place_task", "place_here", "find_least_loaded", "load_read", "message_no_affinity",
        given=st.tuples(nowhere, st.sampled_from([(1, 0), (0, 0), (0, 1)])))  # fmt: skip
def places(guest: Guest, scene: Scene, how: tuple[int, int]) -> None:
    kernel = Kernel(guest, scene)
    p = kernel.tasks[-1]
    kernel.lock(p.cpu)
    kernel.context.claim = Claim(p, p.cpu, woken=bool(how[0]), migrates=bool(how[1]))
    allowed = p.allowed
    kernel.call("place_task", kernel.memory.at(p), *how)
    kernel.done()
    warning = f"[SCHED] Warning: Task {p.pid} has no valid CPU affinity!"
    assert kernel.stubs.lines == ([] if p.allowed == allowed else [warning])


@agrees("place_task", given=st.tuples(nowhere, st.sampled_from([(1, 0), (0, 0), (0, 1)])))
def places_again(guest: Guest, scene: Scene, how: tuple[int, int]) -> None:
    """The CPU that was chosen goes offline while its lock is waited for."""
    kernel = Kernel(guest, scene)
    p, memory = kernel.tasks[-1], kernel.memory
    gone: list[int] = []

    def leaves(lock: int) -> None:
        cpu = next(cpu for cpu in kernel.cpus if memory.cpu(cpu.number) == lock)
        if gone or cpu.number == 0 or not cpu.online or not cpu.is_idle:
            return
        gone.append(cpu.number)
        online = scene.online & ~(1 << cpu.number)
        guest.store(memory.info, lock, "online", 0)
        guest.set_word("online_cpus", online)
        other = next(other.number for other in kernel.cpus if other is not kernel.acting)
        kernel.happens(other, "v_cpu_down", cpu.number, online)

    kernel.lock(p.cpu)
    kernel.context.claim = Claim(p, p.cpu, woken=bool(how[0]), migrates=bool(how[1]))
    kernel.call("place_task", memory.at(p), *how, at_lock=leaves)
    kernel.done()
    assert kernel.world.cpus[p.cpu].online


@agrees("find_least_loaded", "load_read", given=st.tuples(nowhere))
def finds(guest: Guest, scene: Scene) -> None:
    """What it answers, all loads being as the model has them."""
    kernel = Kernel(guest, scene)
    p = kernel.tasks[-1]
    online = [cpu for cpu in kernel.cpus if cpu.online]
    own = [cpu for cpu in online if p.may_use(cpu.number)]
    found = kernel.quietly("find_least_loaded", kernel.memory.at(p))
    assert found == min(own or online, key=lambda cpu: (cpu.load, cpu.number)).number
    assert guest.register("rdx") == int(not own)
    p.allowed = p.allowed if own else EVERYWHERE
    kernel.compare()
    for cpu in kernel.cpus:
        assert kernel.quietly("load_read", 0, 0, 0, cpu.number) == cpu.load
        assert guest.register("rdx") == cpu.nr_running


@agrees("kick", "kick_current", given=st.tuples(scenes(), cpus, st.booleans(), st.booleans()))
def kicks(guest: Guest, scene: Scene, number: int, whoever: bool, asked: bool) -> None:
    """A CPU that idles, or whatever it does, is made to look at its queue."""
    kernel = Kernel(guest, scene)
    cpu = kernel.world.cpus[number]
    cpu.curr.need_resched = asked
    kernel.memory.put_task(cpu.curr)
    kernel.lock(number)
    (kernel.world.predict_kick if whoever else kernel.world.predict_arrival_kick)(cpu)
    kernel.call("kick_current" if whoever else "kick", kernel.memory.cpu(number))
    kernel.unlock(number)
    kernel.done()


def newcomer(kernel: Kernel, cpu: int, standing: Standing, allowed: int) -> int:
    """A slot as task_allocate leaves it, but for standing and mask."""
    policy, rt_priority, nice = standing
    p = Task(NEW, "new", cpu)
    at = kernel.memory.add(p)
    kernel.memory.change_task(
        p,
        slot=1,
        cpu=cpu,
        static_prio=120 + nice,
        policy=int(policy),
        rt_priority=rt_priority,
        prio=120,
        cpus_allowed=allowed,
        mm=1,
        entry=ENTRY,
        argument=ARGUMENT,
        name=int.from_bytes(b"new", "little"),
    )
    return at


def born(kernel: Kernel) -> Task:
    """The model's counterpart of that task, once its birth was followed."""
    kernel.follow()
    assert NEW in kernel.world.tasks, "nobody was born"
    p = kernel.world.tasks[NEW]
    kernel.memory.tasks[-1] = p
    kernel.memory.expect_task(NEW, timestamp=kernel.stubs.now)
    kernel.compare()
    return p


@agrees("veridian_start", "task_prepare", "vtask_init", "priority_set",
        given=st.tuples(scenes(), cpus, standings, masks))  # fmt: skip
def starts(guest: Guest, scene: Scene, cpu: int, standing: Standing, allowed: int) -> None:
    kernel = Kernel(guest, replace(scene, online=scene.online | 1 << cpu))
    at = newcomer(kernel, cpu, standing, allowed | 1 << cpu)
    kernel.call("veridian_start", at, interrupts=True)
    kernel.first("task_new", NEW, "new", cpu, *_said(standing), allowed | 1 << cpu, 1, -1,
                 kernel.stubs.now)  # fmt: skip
    p = born(kernel)
    assert kernel.names()[1:2] == ["start"]
    assert p.ring is not None


def _said(standing: Standing) -> tuple[int, int, int]:
    policy, rt_priority, nice = standing
    return int(policy), nice, rt_priority


def forking(scene: Scene, actor: Actor) -> Scene:
    """A scene in which that task runs here."""
    actor = replace(actor, place=RUNS, cpu=scene.here, state=0, asked=False)
    return sound(replace(scene, actors=[actor, *scene.actors]))


@agrees("veridian_fork", "task_prepare", "place_task", "vtask_init",
        given=st.tuples(st.builds(forking, scenes(5), actors), st.booleans()))  # fmt: skip
def forks(guest: Guest, scene: Scene, full: bool) -> None:
    kernel = Kernel(guest, scene)
    parent = kernel.tasks[0]
    if full:
        assert kernel.call("veridian_fork", 0, ENTRY, ARGUMENT, 0, interrupts=True) == 0
        assert not kernel.events
        kernel.compare()
        return
    at = newcomer(kernel, CPUS[0], scene.actors[0].standing, EVERYWHERE)
    found = kernel.call("veridian_fork", 0, ENTRY, ARGUMENT, 0, allocated=at, interrupts=True)
    assert found == at
    kernel.memory.expect_task(NEW, mm=0, parent=kernel.memory.at(parent), last_ran=LAST_RAN)
    standing = int(parent.policy), parent.nice, parent.rt_priority
    kernel.first("task_new", NEW, "new", scene.here, *standing, parent.allowed, 0, parent.pid,
                 kernel.stubs.now)  # fmt: skip
    p = born(kernel)
    assert kernel.names()[1:2] == ["v_fork"]
    assert p.ring is not None
