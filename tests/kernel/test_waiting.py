"""Wait queues and what is made of them: mutexes, conditions, barriers, timeouts. Nobody is
forgotten, overtaken, or woken twice."""

from __future__ import annotations

import pytest

from harness.workload.layout import NO_MUTEX
from tests.functions.guest import PanicError
from tests.kernel.sleepers import FREE, INTERRUPTIBLE, TASKS, UNINTERRUPTIBLE, Sleepers


def test_queues_begin_empty_and_the_rest_is_zero(sleepers: Sleepers) -> None:
    memory = sleepers.allocate(1024)
    sleepers.write(memory, b"\xee" * 1024)
    sleepers.stand_in("memory_alloc", lambda *_: memory)
    assert sleepers.call("wait_queues_make", 3, 48) == memory
    assert sleepers.called("memory_alloc")[0][0] == 3 * 48
    for at in range(memory, memory + 3 * 48, 48):
        expected = at.to_bytes(8, "little") * 2 + FREE.to_bytes(4, "little") + bytes(28)
        assert sleepers.read(at, 48) == expected
    assert sleepers.read(memory + 3 * 48, 8) == b"\xee" * 8
    assert sleepers.call("wait_queues_make", 0, 48) == memory


def test_who_comes_waits_behind_all_others_or_before_one(sleepers: Sleepers) -> None:
    queue = sleepers.queues(sleepers.queue)
    sleepers.put(queue, 2, 4, 1)
    assert sleepers.waiting(queue) == [2, 4, 1]
    sleepers.call("wait_enter", sleepers.wtasks[4], sleepers.wtasks[5])
    assert sleepers.waiting(queue) == [2, 5, 4, 1]
    assert [sleepers.is_waiting(n) for n in range(TASKS)] == [False, True, True, False, True, True]


@pytest.mark.parametrize("sync", [0, 1])
def test_who_has_waited_longest_is_woken(sleepers: Sleepers, sync: int) -> None:
    queue = sleepers.queues(sleepers.queue)
    sleepers.put(queue, 2, 4)
    out = []
    sleepers.stand_in("policy_wake", lambda *_: out.append(not sleepers.is_waiting(2)))
    assert sleepers.call("wait_wake", queue, sync) == sleepers.wtasks[2]
    assert sleepers.waiting(queue) == [4]
    assert sleepers.call("wait_wake", queue, sync) == sleepers.wtasks[4]
    assert sleepers.call("wait_wake", queue, sync) == 0
    assert sleepers.waiting(queue) == []
    assert sleepers.woken() == [2, 4]
    assert all(arguments[2] == sync for arguments in sleepers.called("policy_wake"))
    assert out[0], "out of the queue before it can run"


@pytest.mark.parametrize("numbers", [[], [3], [3, 1, 5]])
def test_all_that_wait_now_are_woken_and_nobody_who_comes_later(
    sleepers: Sleepers, numbers: list[int]
) -> None:
    """Between two, the lock is free and interrupts are on."""
    queue = sleepers.queues(sleepers.queue)
    sleepers.put(queue, *numbers)
    sleepers.lock(queue)
    locked = []
    sleepers.stand_in("policy_wake", lambda *_: locked.append(sleepers.locked(queue)))
    between = []

    def late() -> None:
        between.append((sleepers.interrupts_on, sleepers.locked(queue)))

    sleepers.watch_at(sleepers.find("wait_wake_all", "cli"), late)
    newcomer = iter([4])

    def enter(*_: int) -> int | None:
        for number in newcomer:
            last = sleepers.words(queue, 2)[1]
            at = sleepers.wtasks[number]
            sleepers.write(at, queue.to_bytes(8, "little") + last.to_bytes(8, "little"))
            sleepers.write(last, at.to_bytes(8, "little"))
            sleepers.write(queue + 8, at.to_bytes(8, "little"))
        return None

    sleepers.watch_at(sleepers.find("wait_wake_all", "nop"), lambda *_: enter())
    sleepers.call("wait_wake_all", queue)
    assert sleepers.woken() == numbers
    assert locked == [True] * len(numbers)
    assert between == [(True, False)] * (len(numbers) - 1 if numbers else 0)
    assert sleepers.waiting(queue) == ([4] if len(numbers) > 1 else [])
    assert sleepers.interrupts_on and not sleepers.locked(queue)


@pytest.mark.parametrize("state", [INTERRUPTIBLE, UNINTERRUPTIBLE])
@pytest.mark.parametrize("too_early", [0, 1, 2])
def test_who_sleeps_goes_on_when_it_was_taken_out_and_not_before(
    sleepers: Sleepers, state: int, too_early: int
) -> None:
    queue = sleepers.queues(sleepers.queue)
    sleepers.put(queue, 0)
    sleepers.lock(queue)

    def wake_only() -> None:
        sleepers.store(sleepers.task, sleepers.tasks[0], "state", 0)

    seen = sleepers.while_asleep(queue, *[wake_only] * too_early, sleepers.wake(queue))
    sleepers.call("wait_sleep", queue, sleepers.wtasks[0], state)
    assert seen == [(state, False)] * (too_early + 1)
    assert not sleepers.locked(queue) and not sleepers.interrupts_on


def test_who_waits_in_a_queue_is_its_last(sleepers: Sleepers) -> None:
    queue = sleepers.queues(sleepers.queue)
    sleepers.put(queue, 2)
    sleepers.lock(queue)
    inside: list[list[int]] = []

    def look() -> None:
        inside.append(sleepers.waiting(queue))
        sleepers.wake(queue)()

    seen = sleepers.while_asleep(queue, look)
    sleepers.call("wait_in", queue, UNINTERRUPTIBLE)
    assert (inside, seen) == ([[2, 0]], [(UNINTERRUPTIBLE, False)])


def mutexes(sleepers: Sleepers) -> int:
    """Three of them; the second's address."""
    table = sleepers.queues(sleepers.mutex, 3)
    sleepers.set_word("mutexes", table)
    return table + sleepers.mutex.size


def owner(sleepers: Sleepers, mutex: int) -> int | None:
    """Who has a mutex, by number."""
    found = sleepers.load(sleepers.mutex, mutex, "owner")["owner"]
    return sleepers.wtasks.index(found) if found else None


def test_a_free_mutex_is_taken_and_given_back(sleepers: Sleepers) -> None:
    mutex = mutexes(sleepers)
    sleepers.call("workload_op_lock", sleepers.instruction(c=1))
    assert owner(sleepers, mutex) == 0
    assert sleepers.interrupts_on and not sleepers.locked(mutex)
    sleepers.call("workload_op_unlock", sleepers.instruction(c=1))
    assert owner(sleepers, mutex) is None
    assert sleepers.interrupts_on and not sleepers.locked(mutex)
    assert sleepers.order == []


def test_a_mutex_that_is_held_is_waited_for_and_handed_over(sleepers: Sleepers) -> None:
    mutex = mutexes(sleepers)
    sleepers.store(sleepers.mutex, mutex, "owner", sleepers.wtasks[3])
    sleepers.put(mutex, 2)
    seen = sleepers.while_asleep(mutex, sleepers.wake(mutex))
    sleepers.call("workload_op_lock", sleepers.instruction(c=1))
    assert seen == [(UNINTERRUPTIBLE, False)]
    assert owner(sleepers, mutex) == 3, "whoever hands it over says so, not who gets it"
    assert sleepers.waiting(mutex) == [2]
    assert sleepers.interrupts_on


def test_a_mutex_goes_to_who_has_waited_longest(sleepers: Sleepers) -> None:
    mutex = mutexes(sleepers)
    sleepers.store(sleepers.mutex, mutex, "owner", sleepers.wtasks[0])
    sleepers.put(mutex, 4, 2)
    owners = []
    sleepers.stand_in("policy_wake", lambda *_: owners.append(owner(sleepers, mutex)))
    sleepers.call("workload_op_unlock", sleepers.instruction(c=1))
    assert (owners, owner(sleepers, mutex), sleepers.waiting(mutex)) == ([4], 4, [2])
    assert sleepers.woken() == [4]
    with pytest.raises(PanicError, match="releases a mutex that it does not hold"):
        sleepers.call("workload_op_unlock", sleepers.instruction(c=1))


def conditions(sleepers: Sleepers) -> int:
    table = sleepers.queues(sleepers.queue, 3)
    sleepers.set_word("conditions", table)
    return table + 2 * sleepers.queue.size


def test_a_condition_is_waited_for_without_the_mutex_and_then_with_it(sleepers: Sleepers) -> None:
    """The mutex is given up once the task is in the condition's queue, whose lock it holds."""
    mutex, condition = mutexes(sleepers), conditions(sleepers)
    sleepers.store(sleepers.mutex, mutex, "owner", sleepers.wtasks[0])
    sleepers.put(mutex, 5)
    seen_at_release = []
    sleepers.stand_in("policy_wake", lambda *_: seen_at_release.append(
        (sleepers.waiting(condition), sleepers.locked(condition), sleepers.interrupts_on,
         sleepers.state())))  # fmt: skip
    states: list[tuple[int, bool]] = []

    def signalled() -> None:
        assert owner(sleepers, mutex) == 5
        sleepers.store(sleepers.mutex, mutex, "owner", 0)
        sleepers.wake(condition)()

    states = sleepers.while_asleep(condition, signalled)
    sleepers.call("workload_op_wait", sleepers.instruction(c=2, b=1))
    assert seen_at_release == [([0], True, False, 0)]
    assert states == [(INTERRUPTIBLE, False)]
    assert owner(sleepers, mutex) == 0
    assert sleepers.interrupts_on and sleepers.waiting(condition) == []


def test_a_condition_without_a_mutex(sleepers: Sleepers) -> None:
    condition = conditions(sleepers)
    seen = sleepers.while_asleep(condition, sleepers.wake(condition))
    sleepers.call("workload_op_wait", sleepers.instruction(c=2, b=NO_MUTEX))
    assert seen == [(INTERRUPTIBLE, False)] and sleepers.interrupts_on


@pytest.mark.parametrize(("operation", "woken"), [("signal", [3]), ("broadcast", [3, 1, 5])])
def test_a_signal_wakes_one_and_a_broadcast_all(
    sleepers: Sleepers, operation: str, woken: list[int]
) -> None:
    condition = conditions(sleepers)
    sleepers.put(condition, 3, 1, 5)
    sleepers.interrupts(True)
    sleepers.call(f"workload_op_{operation}", sleepers.instruction(c=2))
    assert sleepers.woken() == woken
    assert not sleepers.calls[0].interrupts
    assert sleepers.interrupts_on and not sleepers.locked(condition)


def test_the_last_at_a_barrier_wakes_the_others_and_it_begins_anew(sleepers: Sleepers) -> None:
    table = sleepers.queues(sleepers.barrier, 2)
    sleepers.set_word("barriers", table)
    barrier = table + sleepers.barrier.size
    sleepers.store(sleepers.barrier, barrier, "parties", 3)
    instruction = sleepers.instruction(c=1)
    for arrived in (1, 2):
        seen = sleepers.while_asleep(barrier, sleepers.wake(barrier))
        sleepers.call("workload_op_barrier", instruction)
        assert sleepers.load(sleepers.barrier, barrier, "arrived")["arrived"] == arrived
        assert seen == [(INTERRUPTIBLE, False)] and sleepers.interrupts_on
    sleepers.put(barrier, 2, 4)
    sleepers.call("workload_op_barrier", instruction)
    assert sleepers.woken() == [2, 4]
    assert sleepers.load(sleepers.barrier, barrier) == {
        **sleepers.load(sleepers.barrier, barrier), "parties": 3, "arrived": 0,
    }  # fmt: skip
    assert sleepers.interrupts_on and not sleepers.locked(barrier)


@pytest.fixture
def clock(sleepers: Sleepers) -> int:
    """Timeout queues of four CPUs, and CPU 2's by time; by tick is the next. This is CPU 2."""
    table = sleepers.queues(sleepers.queue, 2 * 4)
    sleepers.set_word("timeout_queues", table)
    sleepers.set_percpu(2, curr=sleepers.tasks[0], ticks=70)
    sleepers.become(2)
    sleepers.stand_in("clock_ns", lambda *_: 1000, clobbers=("rdx",))
    return table + 4 * sleepers.queue.size


def deadline(sleepers: Sleepers, number: int, value: int) -> None:
    sleepers.store(sleepers.wtask, sleepers.wtasks[number], "deadline", value)


@pytest.mark.parametrize(
    ("when", "place"),
    [(5, 0), (10, 1), (15, 1), (20, 3), (29, 3), (30, 4), (31, 4), (2**63 + 5, 4)],
)
@pytest.mark.parametrize("ticks", [False, True])
def test_sleepers_are_sorted_and_equals_in_order_of_arrival(
    sleepers: Sleepers, clock: int, when: int, place: int, ticks: bool
) -> None:
    queue = clock + (sleepers.queue.size if ticks else 0)
    for number, time in ((1, 10), (2, 20), (3, 20), (4, 30)):
        deadline(sleepers, number, 70 * ticks + time)
        sleepers.put(queue, number)
    inside: list[list[int]] = []

    def look() -> None:
        inside.append(sleepers.waiting(queue))
        sleepers.wake(queue)()

    seen = sleepers.while_asleep(queue, look)
    sleepers.call("timeout_sleep_ticks" if ticks else "timeout_sleep_until", when)
    expected = [1, 2, 3, 4]
    expected.insert(place, 0)
    assert (inside, seen) == ([expected], [(INTERRUPTIBLE, False)])
    assert sleepers.load(sleepers.wtask, sleepers.wtasks[0], "deadline")["deadline"] == (
        when + 70 * ticks
    )
    assert sleepers.interrupts_on


def test_a_tick_wakes_all_whose_time_has_come(sleepers: Sleepers, clock: int) -> None:
    by_time, by_tick = clock, clock + sleepers.queue.size
    for queue, times in ((by_time, {1: 999, 2: 1000, 3: 1001}), (by_tick, {4: 70, 5: 71})):
        for number, time in times.items():
            deadline(sleepers, number, time)
            sleepers.put(queue, number)
    sleepers.store(sleepers.wtask, sleepers.wtasks[0], "ticks", 5)
    sleepers.call("timeout_expire")
    assert sleepers.woken() == [4, 1, 2]
    assert (sleepers.waiting(by_time), sleepers.waiting(by_tick)) == ([3], [5])
    assert not sleepers.locked(by_time) and not sleepers.locked(by_tick)
    assert sleepers.load(sleepers.wtask, sleepers.wtasks[0], "ticks")["ticks"] == 6
    assert all(arguments[2] == 0 for arguments in sleepers.called("policy_wake"))


def test_without_a_workload_a_tick_wakes_nobody(sleepers: Sleepers) -> None:
    sleepers.call("timeout_expire")
    assert sleepers.order == []
    assert sleepers.load(sleepers.wtask, sleepers.wtasks[0], "ticks")["ticks"] == 0


def test_timeouts_are_made_for_each_cpu(sleepers: Sleepers) -> None:
    sleepers.stand_in("wait_queues_make", lambda *_: 0x77)
    sleepers.call("timeout_init")
    assert sleepers.called("wait_queues_make")[0][:2] == (8, sleepers.queue.size)
    assert sleepers.word("timeout_queues") == 0x77
