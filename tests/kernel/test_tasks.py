"""The task table: a slot's way from free to used to dead and back; what a new task starts with."""

from __future__ import annotations

import pytest

from tests.functions.guest import PanicError
from tests.kernel.kernel import CPUS, Kernel

FREE, USED, DEAD = 0, 1, 2
TASK_DEAD = 32
PAGE = 4096
STRIDE = 2 * PAGE
IDLE, COUNT = 2, 7
CANARY = 0x5AFEC0DE5AFEC0DE
STACKS = 0x3010_0000
UNLOCKED = 0xFFFFFFFF
FREE_DELAY = 100
NICE_0 = 120
U64_MAX = 2**64 - 1


@pytest.fixture
def table(kernel: Kernel) -> Kernel:
    """Room for seven tasks, two of them idle ones."""
    kernel.set_word("task_table", kernel.allocate(COUNT * kernel.task.size))
    kernel.set_word("task_stacks", STACKS)
    kernel.set_word("task_count", COUNT)
    kernel.set_word("task_idle_count", IDLE)
    kernel.write(kernel.word("task_table"), b"\x5a" * (COUNT * kernel.task.size))
    for number in range(COUNT):
        kernel.write(slot(kernel, number), kernel.task.pack({"slot": FREE}))
    return kernel


def slot(kernel: Kernel, number: int) -> int:
    return kernel.word("task_table") + number * kernel.task.size


def fields(kernel: Kernel, task: int, *names: str) -> dict[str, int]:
    return kernel.load(kernel.task, task, *names)


@pytest.mark.parametrize(("parameter", "workload"), [(3, 0), (3, 2), (2, 3)])
def test_the_table_has_room_for_all(kernel: Kernel, parameter: int, workload: int) -> None:
    """Idle tasks and kernel threads, one of each per CPU; and below each stack, a guard page."""
    memory = iter([0x3000_1000, STACKS])
    kernel.allocate(1 << 20)
    kernel.write(0x3000_1000, b"\x5a" * PAGE * 2)
    kernel.stand_in("memory_alloc", lambda *_: next(memory))
    kernel.stand_ins("memory_unmap")
    for name, value in {"apic_count": 2, "param_tasks": parameter,
                        "workload_task_count": workload}.items():  # fmt: skip
        kernel.set_word(name, value)
    kernel.call("task_table_init")
    size = COUNT * kernel.task.size
    assert [made[:2] for made in kernel.called("memory_alloc")] == [
        (size, 64), ((COUNT - IDLE) * STRIDE, PAGE),
    ]  # fmt: skip
    assert kernel.number("task_count") == COUNT
    assert kernel.number("task_idle_count") == IDLE
    assert kernel.read(0x3000_1000, size + 1) == bytes(size) + b"\x5a"
    guards = [made[0] for made in kernel.called("memory_unmap")]
    assert guards == [STACKS + n * STRIDE for n in range(COUNT - IDLE)]
    assert kernel.word("task_stacks") == STACKS


def test_slots_are_given_out_in_their_order_and_each_once(table: Kernel) -> None:
    """Everything in one is 0 but its number, its stack and how often it was used."""
    table.store(table.task, slot(table, 4), "slot", DEAD)
    table.store(table.task, slot(table, 3), "generation", 9)
    table.store(table.task, slot(table, 3), "nvcsw", 77)
    table.interrupts(True)
    given = [table.call("task_claim") for _ in range(5)]
    assert given == [slot(table, n) for n in (2, 3, 5, 6)] + [0]
    assert table.interrupts_on
    assert table.number("task_lock") == UNLOCKED
    for number in (2, 3, 5, 6):
        expected = table.task.pack({
            "slot": USED, "id": number, "generation": 9 if number == 3 else 0,
            "stack": STACKS + (number - IDLE) * STRIDE + PAGE,
        })  # fmt: skip
        assert table.read(slot(table, number), table.task.size) == expected
    table.interrupts(False)
    table.call("task_claim")
    assert not table.interrupts_on


def test_a_slot_is_searched_with_interrupts_off_and_the_lock(table: Kernel) -> None:
    table.interrupts(True)
    seen = []
    look = table.find("task_claim", "cmp dword ptr [rbx")
    table.watch_at(look, lambda *_: seen.append((table.interrupts_on, table.number("task_lock"))))
    table.call("task_claim")
    assert seen == [(False, 0)]


@pytest.mark.parametrize(
    ("name", "kept"),
    [("hog", "hog"), ("two words\there", "two_words_here"), ("", ""), ("fifteen-letters", None),
     ("sixteen-letters!", "sixteen-letters"), ("x" * 90, "x" * 15)],
)  # fmt: skip
def test_a_name_is_cut_and_has_no_blanks(kernel: Kernel, name: str, kept: str | None) -> None:
    task = kernel.record(kernel.task, {})
    at = task + kernel.task.fields["name"][0]
    kernel.write(at, b"\xee" * 16)
    kernel.write(task + kernel.task.size, b"\xee")
    kernel.call("task_set_name", task, kernel.text(name))
    assert kernel.string(at) == (name if kept is None else kept)
    assert kernel.read(task + kernel.task.size, 1) == b"\xee"


def test_the_stack_of_a_new_task_leads_to_its_beginning(kernel: Kernel) -> None:
    stack = kernel.allocate(PAGE)
    kernel.write(stack, b"\xee" * PAGE)
    task = kernel.record(kernel.task, {"stack": stack})
    kernel.call("task_prepare_stack", task)
    assert kernel.words(stack, 1) == [CANARY]
    pointer = fields(kernel, task, "rsp")["rsp"]
    begin = kernel.addresses["task_begin"]
    assert pointer == stack + PAGE - 64
    assert kernel.words(pointer, 8) == [0] * 6 + [begin, 0]
    assert (pointer + 56) % 16 == 8, "as behind a call"


def test_a_new_task(table: Kernel) -> None:
    table.stand_ins("task_prepare_stack", "task_set_name")
    name = table.text("x")
    assert table.call("task_allocate", name, 0x1234, 0x5678) == slot(table, IDLE)
    expected = {"entry": 0x1234, "argument": 0x5678, "static_prio": NICE_0, "prio": NICE_0,
                "cpus_allowed": U64_MAX, "mm": 1, "policy": 0, "rt_priority": 0}  # fmt: skip
    assert fields(table, slot(table, IDLE), *expected) == expected
    assert table.called("task_set_name")[0][:2] == (slot(table, IDLE), name)
    assert table.called("task_prepare_stack")[0][0] == slot(table, IDLE)
    table.stand_in("task_claim", lambda *_: 0)
    assert table.call("task_allocate", name, 1, 2) == 0


def test_a_task_is_made_for_a_cpu_and_started(table: Kernel) -> None:
    table.stand_policy("start")
    task = table.record(table.task, {})
    table.stand_in("task_allocate", lambda *_: task)
    assert table.call("task_create", 1, 2, 3, 4) == task
    assert table.called("task_allocate")[0][:3] == (1, 2, 3)
    assert fields(table, task, "cpu") == {"cpu": 4}
    assert table.called("policy_start")[0][0] == task
    table.stand_in("task_allocate", lambda *_: 0)
    assert table.call("task_create", 1, 2, 3, 4) == 0
    assert len(table.called("policy_start")) == 1


def test_what_a_child_has_from_its_parent(kernel: Kernel) -> None:
    inherited = {"prio": 117, "static_prio": 125, "policy": 2, "rt_priority": 7, "mm": 1,
                 "cpus_allowed": 0x8000000000000005, "last_ran": 2**40 + 3}  # fmt: skip
    parent = kernel.record(kernel.task, inherited | {"generation": 2**33 + 1, "state": 1, "id": 9,
                                                     "time_slice": 50, "nvcsw": 4})  # fmt: skip
    child = kernel.record(kernel.task, {"id": 3, "cpu": 2})
    kernel.call("task_inherit", child, parent)
    expected = inherited | {"parent": parent, "parent_generation": 2**33 + 1, "id": 3, "cpu": 2}
    assert kernel.read(child, kernel.task.size) == kernel.task.pack(expected)
    assert fields(kernel, parent, *inherited) == inherited


@pytest.mark.parametrize("orphan", [True, False])
def test_a_new_task_is_logged(kernel: Kernel, orphan: bool) -> None:
    parent = kernel.record(kernel.task, {"id": 5})
    values = {"id": 7, "cpu": 3, "policy": 1, "static_prio": 100, "rt_priority": 42, "mm": 1,
              "cpus_allowed": 12, "timestamp": 99, "parent": 0 if orphan else parent}  # fmt: skip
    task = kernel.record(kernel.task, values)
    with kernel.logging():
        kernel.call("task_log_new", task)
    (event,) = kernel.events
    words = list(event.arguments)
    assert words.pop(1) == task + kernel.task.fields["name"][0]
    assert (event.name, words) == (
        "task_new", [7, 3, 1, -20 & U64_MAX, 42, 12, 1, U64_MAX if orphan else 5, 99],
    )  # fmt: skip


def test_the_task_of_a_cpu_that_idles(table: Kernel) -> None:
    table.become(1)
    stack = table.allocate(PAGE)
    table.call("task_init_idle", stack)
    task = slot(table, 1)
    found = fields(table, task, "id", "cpu", "slot", "state", "stack")
    assert found == {"id": 1, "cpu": 1, "slot": USED, "state": 0, "stack": stack}
    assert table.string(task + table.task.fields["name"][0]) == "idle"
    assert table.words(stack, 1) == [CANARY]
    assert (table.get_percpu("idle", 1), table.get_percpu("curr", 1)) == (task, task)


def test_a_task_begins_with_interrupts_on_behind_the_switch_and_ends_by_exit(
    kernel: Kernel,
) -> None:
    kernel.interrupts(False)
    kernel.stand_policy("finish", "exit")
    kernel.stand_ins("smp_enter")
    entry = kernel.addresses["smp_enter"]
    kernel.set_percpu(0, curr=kernel.record(kernel.task, {"entry": entry, "argument": 77}))
    kernel.stand_in("policy_exit", kernel.stop)
    kernel.run("task_begin", rax=0x1234)
    assert [(made.name, made.arguments[0], made.interrupts) for made in kernel.calls] == [
        ("policy_finish", 0x1234, False), ("smp_enter", 77, True),
        ("policy_exit", kernel.calls[-1].arguments[0], True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("offset", "number"),
    [(-1, None), (0, 2), (PAGE - 1, 2), (PAGE, None), (STRIDE - 1, None), (STRIDE, 3),
     (4 * STRIDE + 5, 6), (5 * STRIDE, None)],
)  # fmt: skip
def test_the_task_whose_stack_has_overflown(table: Kernel, offset: int, number: int | None) -> None:
    found = table.call("task_of_guard", STACKS + offset)
    assert found == (0 if number is None else slot(table, number))


def bury(kernel: Kernel, number: int, jiffies: int) -> None:
    kernel.set_word("jiffies", jiffies)
    kernel.store(kernel.task, slot(kernel, number), "run_list", 0x55)
    kernel.call("task_bury", slot(kernel, number))


@pytest.fixture
def cemetery(table: Kernel) -> Kernel:
    table.stand_policy("close_task")
    for number in range(COUNT):
        table.store(table.task, slot(table, number), "slot", USED)
        table.store(table.task, slot(table, number), "id", number)
    return table


def freed(kernel: Kernel, jiffies: int) -> list[int]:
    """The tasks that are freed at that time, as the log says."""
    kernel.events.clear()
    kernel.set_word("jiffies", jiffies)
    with kernel.logging():
        kernel.call("task_reap")
    assert all(event.arguments[1] == jiffies for event in kernel.events)
    assert kernel.number("task_lock") == UNLOCKED
    return [event.arguments[0] for event in kernel.events]


def test_the_dead_are_freed_in_their_order_after_a_while(cemetery: Kernel) -> None:
    assert freed(cemetery, 0) == []
    delay = FREE_DELAY
    for number, jiffies in ((5, 10), (3, 10), (6, 11)):
        bury(cemetery, number, jiffies)
        assert fields(cemetery, slot(cemetery, number), "slot", "exit_tick") == {
            "slot": DEAD, "exit_tick": jiffies,
        }  # fmt: skip
    assert [made[0] for made in cemetery.called("policy_close_task")] == [
        slot(cemetery, n) for n in (5, 3, 6)
    ]
    assert freed(cemetery, 10 + delay - 1) == []
    assert freed(cemetery, 10 + delay) == [5, 3]
    states = [fields(cemetery, slot(cemetery, n), "slot")["slot"] for n in (5, 3, 6)]
    assert states == [FREE, FREE, DEAD]
    generations = [fields(cemetery, slot(cemetery, n), "generation")["generation"]
                   for n in (5, 3, 6)]  # fmt: skip
    assert generations == [1, 1, 0]
    bury(cemetery, 4, 12 + delay)
    assert freed(cemetery, 12 + delay) == [6]
    assert freed(cemetery, 12 + 2 * delay) == [4]
    assert (cemetery.word("dead_first"), cemetery.word("dead_last")) == (0, 0)
    assert cemetery.word("tasks_freed") == 4
    bury(cemetery, 5, 50)
    assert freed(cemetery, 999) == [5], "the list begins anew"


@pytest.mark.parametrize("cpu", range(CPUS))
def test_a_task_that_still_runs_is_not_freed(cemetery: Kernel, cpu: int) -> None:
    bury(cemetery, 5, 0)
    cemetery.set_percpu(cpu, curr=slot(cemetery, 5))
    with pytest.raises(PanicError, match="about to be freed is running"):
        freed(cemetery, 9999)


def test_a_task_that_is_queued_is_not_freed(cemetery: Kernel) -> None:
    bury(cemetery, 5, 0)
    cemetery.store(cemetery.task, slot(cemetery, 5), "array", 1)
    with pytest.raises(PanicError, match="about to be freed is queued"):
        freed(cemetery, 9999)


def test_all_that_live_are_closed_at_the_end(cemetery: Kernel) -> None:
    for number, state in ((3, DEAD), (5, FREE)):
        cemetery.store(cemetery.task, slot(cemetery, number), "slot", state)
    cemetery.call("task_close_all")
    assert [made[0] for made in cemetery.called("policy_close_task")] == [
        slot(cemetery, n) for n in (2, 4, 6)
    ]


def test_the_dead_have_the_lock_and_no_interrupts(cemetery: Kernel) -> None:
    cemetery.interrupts(False)
    stores: list[int] = []
    at = slot(cemetery, 5) + cemetery.task.fields["exit_tick"][0]
    cemetery.watch_store(at, lambda _: stores.append(cemetery.number("task_lock")))
    bury(cemetery, 5, 3)
    assert stores == [0]
    assert cemetery.number("task_lock") == UNLOCKED
    cemetery.watch_store(
        slot(cemetery, 5) + cemetery.task.fields["generation"][0],
        lambda _: stores.append(cemetery.number("task_lock")),
    )
    freed(cemetery, 999)
    assert stores == [0, 0]
