"""A task of a worse ring runs at last, because it has waited for long enough.

`switch_boost`: prev goes back to a ring that is ahead of the one in which next stands. Next is
taken from where it stands all the same.
"""

from __future__ import annotations

from harness.boot import boot
from harness.workload.document import parse

SWITCH_BOOST = parse(
    """
name: switch_boost
description: A task waits until its boost makes it equal to one of a better ring.
duration: 1100 ticks
cpus: 1
tasks:
  better:
    start_cpu: 0
    nice: -5
    program: &hog
      - forever:
          - run: 10 ticks
  worse:
    start_cpu: 0
    program: *hog
"""
)

USER_HIGH, USER_NORMAL = 50, 60
RINGS = {"better": 32, "worse": 33}
SLICE, A_BOOST = 10, 100


def test_waiting_makes_a_task_equal_to_one_of_a_better_ring() -> None:
    run = boot(
        workload=SWITCH_BOOST, cpus=1, clock="virtual", policy="veridian", timeout=300, quiet=100
    )
    assert run.outcome == "pass", run.verdict
    tasks = {e.word("name").partition("/")[0]: e.number("task") for e in run.trace.of("task_new")}
    better, worse = tasks["better"], tasks["worse"]

    compared = [
        e
        for e in run.trace.of("v_compare")
        if (e.number("task"), e.number("next")) == (better, worse)
    ]
    passed = next(e for e in compared if e.number("preempt"))
    assert passed.number("task_prio") == passed.number("next_prio") == USER_HIGH
    assert all(e.number("next_prio") > USER_HIGH for e in compared[: compared.index(passed)])
    assert {e.number("next_prio") for e in compared} >= set(range(USER_HIGH, USER_NORMAL + 1))

    after = [e for e in run.trace.events if e.seq > passed.seq]
    queued = next(e for e in after if e.name == "v_enqueue")
    taken = next(e for e in after if e.name == "v_dequeue")
    switch, back = [e for e in after if e.name == "switch"][:2]
    assert (queued.number("task"), queued.number("ring")) == (better, RINGS["better"])
    assert (taken.number("task"), taken.number("ring")) == (worse, RINGS["worse"])
    assert queued.seq < taken.seq
    assert (switch.number("prev"), switch.number("next")) == (better, worse)

    # It boasts of no waiting any more: the better one has the CPU back when it is asked next.
    assert (back.number("prev"), back.number("next")) == (worse, better)
    waited = [e for e in run.trace.of("v_tick") if e.seq < passed.seq]
    ran = sum(1 for e in run.trace.of("v_tick") if switch.seq < e.seq < back.seq)
    assert len(waited) >= A_BOOST * (USER_NORMAL - USER_HIGH)
    assert ran <= SLICE
