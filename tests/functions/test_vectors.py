"""The golden vectors, and every corner of the bit searches, on the guest's own functions."""

from __future__ import annotations

from typing import Any

import pytest

from harness.model import bitmap
from harness.model.arith import s64
from harness.model.constants import MAX_PRIO, IdleType, nice_to_prio
from harness.model.fixes import NO_FIXES
from harness.model.load import LoadRead
from harness.model.task import Task
from tests.functions import busiest, moves
from tests.functions.guest import Guest
from tests.functions.machine import Layout
from tests.functions.mirror import Mirror
from tests.functions.searches import put_map
from tests.model.build import VECTORS, K, with_bonus

BONUSES = range(11)


def put(guest: Guest, nice: int, bonus: int) -> int:
    """Address of a task of that nice level and bonus, its priority as the guest computes it."""
    static = nice_to_prio(nice)
    p = Task(1, static_prio=static, prio=static, sleep_avg=with_bonus(bonus))
    task = Mirror(guest).put_task(p)
    guest.store(guest.task, task, "prio", guest.call("effective_prio", task))
    return task


@pytest.mark.parametrize("vector", VECTORS["nice"], ids=lambda vector: f"nice{vector['nice']}")
def test_nice_vectors(guest: Guest, vector: dict[str, Any]) -> None:
    guest.configure(VECTORS["HZ"], 1)
    prios, interactive = [], []
    for bonus in BONUSES:
        task = put(guest, vector["nice"], bonus)
        assert guest.load(guest.task, task, "static_prio")["static_prio"] == vector["static_prio"]
        assert guest.call("current_bonus", task) == bonus
        assert guest.call("task_timeslice", task) == vector["timeslice"]
        assert s64(guest.call("task_delta", task) << 32) >> 32 == vector["delta"]
        sleep = guest.call("interactive_sleep", task)
        assert sleep == K.jiffies_to_ns(vector["interactive_sleep_jiffies"])
        prios.append(guest.load(guest.task, task, "prio")["prio"])
        interactive.append(guest.call("task_interactive", task))
    assert prios == vector["eff_prio_by_bonus_0_to_10"]
    assert interactive == vector["interactive_by_bonus_0_to_10"]


@pytest.mark.parametrize("cpus", [1, 2, 4, 255])
def test_granularity_vectors(guest: Guest, cpus: int) -> None:
    guest.configure(VECTORS["HZ"], cpus)
    found = [guest.call("timeslice_granularity", put(guest, 0, bonus)) for bonus in BONUSES]
    per_cpu = VECTORS["granularity_by_bonus_0_to_10_per_cpu"]
    assert found == [jiffies * cpus for jiffies in per_cpu]


@pytest.mark.parametrize("vector", VECTORS["cpu_load"])
def test_cpu_load_vectors(guest: Guest, vector: dict[str, Any]) -> None:
    loads = [vector["start"]]
    for count in vector["nr_running"]:
        loads.append(guest.call("decayed_load", loads[-1], count))
    assert loads == vector["cpu_load"]


@pytest.mark.parametrize("vector", VECTORS["find_busiest"])
def test_find_busiest_vectors(guest: Guest, vector: dict[str, Any]) -> None:
    groups = tuple(
        (group["cpu_power"], tuple(LoadRead(**load) for load in group["cpus"]))
        for group in vector["groups"]
    )
    shape = busiest.Shape(groups, vector["this_group"], vector["imbalance_pct"])
    guest.configure(VECTORS["HZ"], 1)
    bench = busiest.Bench(guest, shape.domain(), shape.loads())
    own = bench.sd.groups[0].cpumask.bit_length() - 1
    group, imbalance = bench.group(own, IdleType[vector["idle"]])
    assert imbalance == vector["imbalance"]
    if group is None:
        assert vector["busiest_group"] is None
    else:
        number = (bench.sd.groups.index(group) + shape.own) % len(groups)
        assert (number, bench.queue(group)) == (vector["busiest_group"], vector["busiest_cpu"])


def scene_of(vector: dict[str, Any]) -> moves.Scene:
    tasks = vector["tasks_in_enqueue_order"]
    movers = [
        moves.Mover(
            p["prio"], 120, p["array"] == "expired", p["allowed_on_dst"], p["ns_since_last_ran"]
        )
        for p in tasks
    ]
    running = next((n for n, p in enumerate(tasks) if p["is_curr"]), moves.NOBODY)
    idle = vector["dst_curr_is_idle"]
    return moves.Scene(
        movers=movers, running=running, dst_prio=moves.NOBODY if idle else vector["dst_curr_prio"],
        beside_idles=True, shared=False, asked=False, failed=vector["nr_balance_failed"],
        limit=vector["max_nr_move"], type=IdleType.NOT_IDLE, pushes=False, expired_since=0,
        best_expired=MAX_PRIO, jiffies=1)  # fmt: skip


@pytest.mark.parametrize("vector", VECTORS["move_tasks"])
def test_move_tasks_vectors(guest: Guest, vector: dict[str, Any]) -> None:
    bench = moves.Bench(guest, scene_of(vector), NO_FIXES)
    layout = Layout.of(guest.image, "sched_domain")
    guest.store(layout, bench.domain, "cache_nice_tries", vector["cache_nice_tries"])
    guest.store(layout, bench.domain, "cache_hot_time", vector["cache_hot_time_ns"])
    with guest.logging():
        moved, _ = bench.move()
    pulled = [event.arguments[0] for event in guest.events if event.name == "pull"]
    assert (moved, pulled) == (len(pulled), vector["pulled_in_order"])
    current = guest.load(guest.task, bench.mirror.task(bench.dst.curr), "need_resched")
    assert current["need_resched"] == vector["resched_dst"]


@pytest.mark.parametrize("offset", [0, 1, 62, 63, 64, 65, 99, 100, 127, 128, 129, 139, 140])
def test_a_search_from_every_corner_finds_every_bit(guest: Guest, offset: int) -> None:
    for bit in range(MAX_PRIO + 1):
        words = bitmap.empty_bitmap()
        bitmap.set_bit(words, bit)
        at = put_map(guest, words)
        assert guest.call("find_next_bit", at, MAX_PRIO, offset) == (
            bit if bit >= offset else MAX_PRIO
        )
        assert guest.call("sched_find_first_bit", at) == bit
