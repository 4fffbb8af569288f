"""CPUs that come and go: everything leaves, nothing is lost, affinity is kept where it can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.checks import check_system
from harness.model.constants import Now, State
from harness.model.domain import flat
from harness.model.hotplug import (
    Refuge,
    come_online,
    evades,
    go_offline,
    leave,
    migrate_live_tasks,
    migrate_nr_uninterruptible,
    move_task_off_dead_cpu,
    refuge,
    residents,
)
from harness.model.load import LoadRead
from harness.model.resched import Resched
from harness.model.runqueue import Runqueue
from harness.model.task import ALL_CPUS, Task
from harness.model.wake import PlaceReason, place
from tests.model.build import MS, normal, put, realtime, runqueues

NOW = Now(50 * MS, 50)


def machine(cpus: int) -> list[Runqueue]:
    """CPUs whose migration threads, tasks 10, 11, ..., sleep."""
    rqs = runqueues(flat(cpus))
    for rq in rqs:
        rq.migration_thread = realtime(10 + rq.cpu, 0, cpu=rq.cpu)
        rq.migration_thread.cpus_allowed = 1 << rq.cpu
        rq.migration_thread.state = State.INTERRUPTIBLE
    return rqs


def unplugging(cpus: int, cpu: int) -> tuple[list[Runqueue], Runqueue]:
    """A machine, one of whose CPUs runs its migration thread."""
    rqs = machine(cpus)
    src = rqs[cpu]
    assert src.migration_thread is not None
    src.migration_thread.state = State.RUNNING
    put(src.migration_thread, src)
    src.curr = src.migration_thread
    return rqs, src


def test_masks() -> None:
    assert go_offline(2, 0b111) == 0b011
    assert come_online(2, 0b011) == 0b111
    with pytest.raises(ValueError, match="has to stay"):
        go_offline(0, 0b111)
    with pytest.raises(ValueError, match="CPU 2 is offline"):
        go_offline(2, 0b011)
    with pytest.raises(ValueError, match="CPU 1 is online"):
        come_online(1, 0b011)


@pytest.mark.parametrize(
    ("allowed", "online", "expected"),
    [
        (ALL_CPUS, 0b1011, Refuge(0, reset=False)),
        (0b1100, 0b1011, Refuge(3, reset=False)),
        (0b0110, 0b1011, Refuge(1, reset=False)),
        (0b0100, 0b1011, Refuge(0, reset=True)),
    ],
)
def test_where_a_task_goes(allowed: int, online: int, expected: Refuge) -> None:
    p = normal(1)
    p.cpus_allowed = allowed
    assert refuge(p, online) == expected


def test_a_queued_task_counts_as_woken_where_it_goes() -> None:
    rqs, src = unplugging(2, 1)
    src.timestamp_last_tick, rqs[0].timestamp_last_tick = 5, 8
    p = normal(1)
    p.timestamp = NOW.ns
    put(p, src)
    moved = move_task_off_dead_cpu(p, src, rqs, NOW, 0b01)
    assert (p.cpu, p.array, p.timestamp, p.activated) == (0, rqs[0].active, NOW.ns + 3, 1)
    assert moved.resched is Resched.PENDING, "its idle task has been asked at its start"
    assert (src.nr_running, rqs[0].nr_running) == (1, 1)


def test_a_sleeping_task_is_pointed_elsewhere() -> None:
    rqs, src = unplugging(2, 1)
    p = normal(1, cpu=1)
    p.state, p.cpus_allowed = State.UNINTERRUPTIBLE, 0b10
    moved = move_task_off_dead_cpu(p, src, rqs, NOW, 0b01)
    assert (p.cpu, p.array, p.state) == (0, None, State.UNINTERRUPTIBLE)
    assert moved.to.reset and p.cpus_allowed == ALL_CPUS
    assert rqs[0].nr_running == 0


def test_a_running_task_is_not_moved() -> None:
    rqs = machine(2)
    p = normal(1)
    put(p, rqs[1])
    rqs[1].curr = p
    with pytest.raises(ValueError, match="runs"):
        leave(p, rqs[1], rqs[0], reset=False)


@given(st.integers(2, 4), st.data())
def test_nobody_is_left_and_nobody_is_lost(cpus: int, data: st.DataObject) -> None:
    gone = data.draw(st.integers(1, cpus - 1))
    rqs, src = unplugging(cpus, gone)
    online = go_offline(gone, data.draw(st.integers(0, 2**cpus - 1)) | 1 << gone | 1)
    tasks: list[Task] = [rq.migration_thread for rq in rqs if rq.migration_thread]
    before: dict[int, int] = {}
    for pid in range(100, 100 + data.draw(st.integers(0, 12))):
        p = normal(pid, data.draw(st.integers(-20, 19)), cpu=gone)
        p.cpus_allowed = before[pid] = data.draw(st.integers(1, 2**cpus - 1)) | 1 << gone
        if data.draw(st.booleans()):
            put(p, src, data.draw(st.sampled_from(src.arrays)))
        else:
            p.state = State.INTERRUPTIBLE
        tasks.append(p)
    moved = migrate_live_tasks(tasks, src, rqs, NOW, online)
    assert [item.task.pid for item in moved] == list(before)
    assert not list(residents(tasks, src))
    assert src.nr_running == 1
    assert check_system(rqs, tasks) == []
    for item in moved:
        p = item.task
        assert online >> p.cpu & 1
        assert item.to.reset == (not before[p.pid] & online)
        assert p.cpus_allowed == (ALL_CPUS if item.to.reset else before[p.pid])


def test_ended_tasks_and_the_cpus_own_stay() -> None:
    _, src = unplugging(2, 1)
    dead, elsewhere = normal(1, cpu=1), normal(2, cpu=0)
    dead.state = State.EXIT_DEAD
    assert src.migration_thread is not None
    assert list(residents([dead, elsewhere, src.migration_thread, src.idle], src)) == []


def test_the_count_of_uninterruptible_sleepers_is_handed_on() -> None:
    rqs = machine(2)
    rqs[0].nr_uninterruptible, rqs[1].nr_uninterruptible = 3, -1
    migrate_nr_uninterruptible(rqs[1], rqs[0])
    assert (rqs[0].nr_uninterruptible, rqs[1].nr_uninterruptible) == (2, 0)


def test_who_must_not_be_queued_on_an_offline_cpu() -> None:
    rq = machine(2)[1]
    assert rq.migration_thread is not None
    assert evades(normal(1, cpu=1), rq, 0b01)
    assert not evades(rq.migration_thread, rq, 0b01)
    assert not evades(normal(1, cpu=1), rq, 0b11)


def test_a_timer_of_an_offline_cpu_wakes_a_task_where_it_was() -> None:
    p = normal(1)
    quiet = LoadRead(0, 0)
    (sd,) = machine(2)[1].domains
    assert place(p, 1, (sd,), 10**12, quiet, quiet).cpu == 1, "its caches are cold"
    placement = place(p, 1, (sd,), 10**12, quiet, quiet, online=0b01)
    assert (placement.cpu, placement.reason) == (0, PlaceReason.NOT_ALLOWED)
