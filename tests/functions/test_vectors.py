"""The golden vectors, and every corner of the bit searches, on the guest's own functions."""

from __future__ import annotations

from typing import Any

import pytest

from harness.model import bitmap
from harness.model.arith import s64
from harness.model.constants import MAX_PRIO, nice_to_prio
from harness.model.task import Task
from tests.functions.guest import Guest
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
