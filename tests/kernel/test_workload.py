"""How a workload begins, what its tasks and their means of waiting are made of, and when it is
over."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest

from harness.workload.layout import CPU_ANY, HEADER, TASK
from tests.functions.guest import PanicError
from tests.kernel.kernel import RefusedError
from tests.kernel.sleepers import Sleepers

U64_MAX = 2**64 - 1


def task_bytes(**values: int | bytes) -> bytes:
    defaults: dict[str, int | bytes] = {"name": b"x", "affinity": b"\xff" * 32}
    fields = {f.name: 0 for f in TASK.fields} | defaults | {"start_cpu": CPU_ANY} | values
    return TASK.struct.pack(*fields.values())


def mask(*cpus: int) -> bytes:
    return sum(1 << cpu for cpu in cpus).to_bytes(32, "little")


def load(sleepers: Sleepers, tasks: list[bytes], masks: Sequence[bytes] = (), **header: int) -> int:
    """A workload's header and tables in place."""
    values = {f.name: 0 for f in HEADER.fields} | {"task_count": len(tasks), "cpus": 1,
              "mask_count": len(masks)} | header  # fmt: skip
    at = sleepers.place(HEADER.struct.pack(*values.values()))
    sleepers.set_word("workload_header", at)
    sleepers.set_word("workload_tasks", sleepers.place(b"".join(tasks)))
    sleepers.set_word("workload_masks", sleepers.place(b"".join(masks) + bytes(8)))
    sleepers.set_word("wrecords", sleepers.queues(sleepers.wrecord, len(tasks)))
    return at


@pytest.mark.parametrize(
    ("tasks", "masks", "header", "words"),
    [
        ([task_bytes()], [], {"cpus": 4}, None),
        ([task_bytes()], [], {"cpus": 5}, "CPUs online: expected at least 5, found 4"),
        ([task_bytes()], [mask(3), mask(4, 3)], {}, None),
        ([task_bytes()], [mask(3), mask(4, 63)], {},
         "CPU set 1: expected a CPU that is online, found none"),
        ([task_bytes(), task_bytes(affinity=mask(3, 9))], [], {}, None),
        ([task_bytes(), task_bytes(affinity=mask(4))], [], {},
         "task 1: affinity: expected a CPU that is online, found none"),
        ([task_bytes(start_cpu=3), task_bytes(start_cpu=0)], [], {}, None),
        ([task_bytes(start_cpu=3), task_bytes(start_cpu=4)], [], {},
         "task 1: start CPU: expected one that is online, found 4"),
    ],
)  # fmt: skip
def test_a_workload_that_this_machine_cannot_run_is_refused(
    sleepers: Sleepers, tasks: list[bytes], masks: list[bytes], header: dict[str, int],
    words: str | None,
) -> None:  # fmt: skip
    sleepers.capture_print()
    at = load(sleepers, tasks, masks, **header)
    if words is None:
        sleepers.call("workload_check_machine", rbx=at)
        assert sleepers.word("workload_online") == 0b1111
        return
    with pytest.raises(RefusedError) as refused:
        sleepers.call("workload_check_machine", rbx=at)
    assert str(refused.value) == f"REFUSED workload: {words}\n"


def test_64_cpus_are_a_full_set(sleepers: Sleepers) -> None:
    sleepers.set_word("cpu_count", 64)
    sleepers.call("workload_check_machine", rbx=load(sleepers, [task_bytes()]))
    assert sleepers.word("workload_online") == U64_MAX


@pytest.mark.parametrize(
    ("affinity", "cpus"),
    [(mask(0, 1, 2, 3), [0, 1, 2, 3, 0, 1]), (mask(1, 3, 5, 63), [1, 3, 1, 3, 1, 3]),
     (mask(2), [2] * 6)],
)  # fmt: skip
def test_tasks_start_on_the_cpus_that_they_are_allowed_in_turn(
    sleepers: Sleepers, affinity: bytes, cpus: list[int]
) -> None:
    sleepers.set_word("workload_online", 0b1111)
    task = sleepers.place(task_bytes(affinity=affinity))
    found = [sleepers.call("workload_choose_cpu", rbx=n, r12=task) for n in range(6)]
    assert found == cpus
    fixed = sleepers.place(task_bytes(affinity=affinity, start_cpu=7))
    assert sleepers.call("workload_choose_cpu", rbx=1, r12=fixed) == 7


@pytest.mark.parametrize("template", [0, 1])
@pytest.mark.parametrize("kernel_thread", [0, 2])
def test_a_task_is_made_as_its_record_says(
    sleepers: Sleepers, template: int, kernel_thread: int
) -> None:
    described = task_bytes(policy=2, nice=-13, rt_priority=42, affinity=mask(1, 3),
                           flags=template | kernel_thread, start_cpu=3)  # fmt: skip
    load(sleepers, [task_bytes(), described])
    task = sleepers.tasks[5]
    sleepers.stand_in("task_allocate", lambda *_: task)
    sleepers.call("workload_create", 1)
    record = sleepers.word("workload_tasks") + TASK.size
    wrecord = sleepers.word("wrecords") + sleepers.wrecord.size
    if template:
        assert sleepers.order == []
        assert sleepers.load(sleepers.wrecord, wrecord, "task")["task"] == 0
        return
    entry = sleepers.addresses["interpreter_run"]
    assert sleepers.called("task_allocate")[0][:3] == (record, entry, record)
    expected = {"cpu": 3, "policy": 2, "static_prio": 107, "rt_priority": 42, "cpus_allowed": 10,
                "mm": int(not kernel_thread)}  # fmt: skip
    assert sleepers.load(sleepers.task, task, *expected) == expected
    assert sleepers.load(sleepers.wrecord, wrecord, "task")["task"] == task
    sleepers.stand_in("task_allocate", lambda *_: 0)
    with pytest.raises(PanicError, match="the task table has no room"):
        sleepers.call("workload_create", 0)


def test_a_workload_is_started_by_a_task_of_its_own(sleepers: Sleepers) -> None:
    """On the boot CPU, before all others, and without memory of its own."""
    header = load(sleepers, [task_bytes()])
    sleepers.stand_policy("start")
    names = ("workload_check_machine", "interpreter_init", "records_init", "sync_init",
             "timeout_init")  # fmt: skip
    sleepers.stand_ins(*names)
    sleepers.stand_in("task_allocate", lambda *_: sleepers.tasks[5])
    checked: list[int] = []
    sleepers.stand_in("workload_check_machine", lambda *_: checked.append(sleepers.register("rbx")))
    sleepers.call("workload_start")
    assert checked == [header]
    assert sleepers.order[0] == "workload_check_machine"
    assert set(sleepers.order[1:5]) == set(names[1:])
    assert sleepers.order[5:] == ["task_allocate", "policy_start"]
    assert sleepers.called("policy_start")[0][0] == sleepers.tasks[5]
    expected = {"policy": 1, "rt_priority": 99, "mm": 0, "cpus_allowed": 1, "cpu": 0}
    assert sleepers.load(sleepers.task, sleepers.tasks[5], *expected) == expected
    name, entry, *_ = sleepers.called("task_allocate")[0]
    assert sleepers.string(name) == "starter"
    assert entry == sleepers.addresses["workload_start_tasks"]
    sleepers.stand_in("task_allocate", lambda *_: 0)
    with pytest.raises(PanicError, match="no room in the task table"):
        sleepers.call("workload_start")


def test_all_tasks_are_made_before_the_first_starts(sleepers: Sleepers) -> None:
    load(sleepers, [task_bytes()] * 3)
    sleepers.stand_policy("start")

    def create(number: int, *_: int) -> None:
        if number != 1:  # a template
            record = sleepers.word("wrecords") + number * sleepers.wrecord.size
            sleepers.store(sleepers.wrecord, record, "task", sleepers.tasks[number])

    sleepers.stand_in("workload_create", create)
    sleepers.stand_in("clock_ns", lambda *_: 5555, clobbers=("rdx",))
    sleepers.stand_in("policy_start", lambda *_: sleepers.word("workload_started")
                      and pytest.fail("not all have started"))  # fmt: skip
    sleepers.set_word("jiffies", 66)
    sleepers.call("workload_start_tasks")
    assert [made.name for made in sleepers.calls if made.name != "clock_ns"] == [
        *["workload_create"] * 3, *["policy_start"] * 2,
    ]  # fmt: skip
    assert [made[0] for made in sleepers.called("workload_create")] == [0, 1, 2]
    assert [made[0] for made in sleepers.called("policy_start")] == [
        sleepers.tasks[0], sleepers.tasks[2],
    ]  # fmt: skip
    assert sleepers.word("workload_start_ns") == 5555
    assert sleepers.word("workload_start_jiffies") == 66
    assert sleepers.number("workload_started") == 1


@pytest.mark.parametrize(
    ("state", "done"),
    [
        ({"started": 0, "live": 0, "ticks": 1}, 0),
        ({"live": 0}, 1),
        ({"live": 3}, 0),
        ({"ticks": 34}, 1),
        ({"ticks": 35}, 0),
        ({"ns": 4445}, 1),
        ({"ns": 4446}, 0),
        ({"ticks": 35, "ns": 1}, 0),
    ],
)
def test_when_a_workload_is_over(sleepers: Sleepers, state: dict[str, int], done: int) -> None:
    """All have ended, or its time is over; not before all have started."""
    load(sleepers, [task_bytes()], duration_ticks=state.get("ticks", 0),
         duration_ns=state.get("ns", 0))  # fmt: skip
    sleepers.stand_in("clock_ns", lambda *_: 10_000, clobbers=("rdx",))
    values = {
        "workload_started": state.get("started", 1), "workload_live": state.get("live", 1),
        "jiffies": 100, "workload_start_jiffies": 66, "workload_start_ns": 5555,
    }  # fmt: skip
    for name, value in values.items():
        sleepers.set_word(name, value)
    assert sleepers.call("workload_done") & 0xFFFFFFFF == done


def test_what_tasks_share_is_made_as_the_header_says(sleepers: Sleepers) -> None:
    load(sleepers, [task_bytes()] * 5, mutex_count=3, condition_count=2, barrier_count=2)
    parties = sleepers.place(struct.pack("<III", 4, 9, 77))
    sleepers.set_word("workload_barriers", parties)
    made = [sleepers.queues(sleepers.mutex, 3), sleepers.queues(sleepers.queue, 2),
            sleepers.queues(sleepers.barrier, 3)]  # fmt: skip
    memory = iter(made)
    sleepers.stand_in("wait_queues_make", lambda *_: next(memory))
    sleepers.call("sync_init")
    sizes = (sleepers.mutex.size, sleepers.queue.size, sleepers.barrier.size)
    assert [call[:2] for call in sleepers.called("wait_queues_make")] == list(
        zip((3, 2, 2), sizes, strict=True)
    )
    assert [sleepers.word(name) for name in ("mutexes", "conditions", "barriers")] == made
    at = [made[2] + n * sleepers.barrier.size for n in range(3)]
    found = [sleepers.load(sleepers.barrier, barrier, "parties")["parties"] for barrier in at]
    assert found == [4, 9, 0]
    sleepers.stand_in("wait_queues_make", lambda *_: 0x99)
    sleepers.call("records_init")
    assert sleepers.calls[-1].arguments[:2] == (5, sleepers.wrecord.size)
    assert sleepers.word("wrecords") == 0x99
