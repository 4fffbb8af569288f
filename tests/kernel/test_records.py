"""What the tasks of a workload do to each other by their records, and how they end."""

from __future__ import annotations

import pytest

from harness.workload.layout import SELF
from tests.kernel.sleepers import INTERRUPTIBLE, UNINTERRUPTIBLE, Sleepers

RECORDS = 4


@pytest.fixture
def records(sleepers: Sleepers) -> list[int]:
    """Records of tasks 0 to 3; what runs is an operation of task 0."""
    table = sleepers.queues(sleepers.wrecord, RECORDS)
    sleepers.set_word("wrecords", table)
    found = [table + number * sleepers.wrecord.size for number in range(RECORDS)]
    for record, task, wtask in zip(found, sleepers.tasks, sleepers.wtasks, strict=False):
        sleepers.store(sleepers.wrecord, record, "task", task)
        sleepers.store(sleepers.wtask, wtask, "record", record)
    return found


def operate(sleepers: Sleepers, operation: str, **values: int) -> None:
    instruction = sleepers.instruction(**values)
    registers = {"rbx": sleepers.wtasks[0], "r14": sleepers.tasks[0]}
    sleepers.call(f"workload_op_{operation}", instruction, **registers)


def users(sleepers: Sleepers, record: int) -> int:
    return sleepers.load(sleepers.wrecord, record, "users")["users"]


def token(sleepers: Sleepers, record: int) -> int:
    return sleepers.load(sleepers.wrecord, record, "token")["token"]


@pytest.mark.parametrize(("kind", "state"), [(0, INTERRUPTIBLE), (1, UNINTERRUPTIBLE)])
def test_block_sleeps_until_woken(
    sleepers: Sleepers, records: list[int], kind: int, state: int
) -> None:
    seen = sleepers.while_asleep(records[0], sleepers.wake(records[0]))
    operate(sleepers, "block", a=kind)
    assert seen == [(state, False)] and sleepers.interrupts_on
    sleepers.store(sleepers.wrecord, records[0], "token", 1)
    operate(sleepers, "block", a=kind)
    assert len(seen) == 1, "who was woken before does not sleep"
    assert token(sleepers, records[0]) == 0
    assert sleepers.interrupts_on and not sleepers.locked(records[0])


@pytest.mark.parametrize("sync", [0, 1])
def test_wake_wakes_those_that_block_and_is_kept_for_those_that_do_not(
    sleepers: Sleepers, records: list[int], sync: int
) -> None:
    sleepers.put(records[1], 1)
    sleepers.store(sleepers.wrecord, records[3], "task", 0)
    sleepers.interrupts(True)
    operate(sleepers, "wake", c=1, b=3, a=sync)
    assert sleepers.woken() == [1]
    assert sleepers.called("policy_wake")[0][2] == sync
    assert not sleepers.calls[0].interrupts
    assert [token(sleepers, record) for record in records] == [0, 0, 1, 0], "task 3 has ended"
    assert sleepers.interrupts_on and not any(map(sleepers.locked, records))


@pytest.mark.parametrize(("operation", "values", "expected"), [
    ("set_nice", {"d": -7 & 2**64 - 1}, (-7 & 0xFFFFFFFF,)),
    ("set_policy", {"a": 2, "d": 42}, (2, 42)),
    ("set_cpus", {"d": 1}, (0x123456789,)),
])  # fmt: skip
@pytest.mark.parametrize("itself", [True, False])
def test_what_is_set_is_set_for_all_targets_that_live(
    sleepers: Sleepers, records: list[int], operation: str, values: dict[str, int],
    expected: tuple[int, ...], itself: bool,
) -> None:  # fmt: skip
    sleepers.stand_policy(operation)
    sleepers.set_word(
        "workload_masks", sleepers.place(bytes(32) + (0x123456789).to_bytes(32, "little"))
    )
    sleepers.store(sleepers.wrecord, records[2], "task", 0)
    held: list[list[int]] = []
    name = f"policy_{operation}"
    sleepers.stand_in(name, lambda *_: held.append([users(sleepers, r) for r in records]))
    sleepers.interrupts(True)
    operate(sleepers, operation, c=SELF if itself else 1, b=3, **values)
    made = sleepers.called(name)
    targets = [0] if itself else [1, 3]
    assert [arguments[0] for arguments in made] == [sleepers.tasks[n] for n in targets]
    assert {arguments[1 : 1 + len(expected)] for arguments in made} == {expected}
    assert held == ([[0, 0, 0, 0]] if itself else [[0, 1, 0, 0], [0, 0, 0, 1]])
    assert all(call.interrupts for call in sleepers.calls) and sleepers.interrupts_on
    assert not any(map(sleepers.locked, records))
    assert not any(users(sleepers, record) for record in records)


def test_the_last_that_lets_go_wakes_a_task_that_waits_to_end(
    sleepers: Sleepers, records: list[int]
) -> None:
    sleepers.store(sleepers.wrecord, records[1], "users", 2)
    sleepers.store(sleepers.wrecord, records[1], "task", 0)
    sleepers.put(records[1], 1)
    sleepers.call("record_release", records[1])
    assert sleepers.woken() == []
    sleepers.call("record_release", records[1])
    assert sleepers.woken() == [1] and sleepers.interrupts_on
    sleepers.store(sleepers.wrecord, records[2], "users", 1)
    sleepers.put(records[2], 2)
    sleepers.call("record_release", records[2])
    assert sleepers.woken() == [1], "that one is blocked, and not about to end"


@pytest.mark.parametrize("users", [0, 1])
@pytest.mark.parametrize("forked", [False, True])
def test_a_task_ends_when_nobody_holds_it(
    sleepers: Sleepers, records: list[int], users: int, forked: bool
) -> None:
    record = records[0]
    sleepers.store(sleepers.wrecord, record, "users", users)
    if forked:
        sleepers.store(sleepers.wrecord, record, "task", sleepers.tasks[4])
    sleepers.set_word("workload_live", 7)
    seen = sleepers.while_asleep(record, sleepers.wake(record))
    left: list[tuple[int, bool]] = []

    def exits(*_: int) -> None:
        left.append((sleepers.number("workload_live"), sleepers.interrupts_on))
        sleepers.stop()

    sleepers.stand_in("policy_exit", exits)
    sleepers.interrupts(True)
    sleepers.run("workload_op_exit", sleepers.instruction(), rbx=sleepers.wtasks[0],
                 r14=sleepers.tasks[0])  # fmt: skip
    assert left == [(6, False)]
    assert seen == ([(UNINTERRUPTIBLE, False)] if users and not forked else [])
    task = sleepers.load(sleepers.wrecord, record, "task")["task"]
    assert task == (sleepers.tasks[4] if forked else 0)
    assert not sleepers.locked(record)
