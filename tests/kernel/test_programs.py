"""Programs of workloads: what each instruction does, and how long work takes."""

from __future__ import annotations

import pytest

from harness.workload.layout import INSTRUCTION, TASK, Op
from tests.functions.guest import PanicError
from tests.kernel.sleepers import TASKS, Sleepers

COUNTERS, TIMERS = "counters", "timers"


def pack(**values: int) -> bytes:
    return INSTRUCTION.struct.pack(*({f.name: 0 for f in INSTRUCTION.fields} | values).values())


def operate(sleepers: Sleepers, operation: str, program: int = 0, **values: int) -> None:
    """One operation of task 0, as the interpreter calls it."""
    registers = {"rbx": sleepers.wtasks[0], "r12": program, "r13": program + 16,
                 "r14": sleepers.tasks[0]}  # fmt: skip
    sleepers.run(f"workload_op_{operation}", sleepers.instruction(**values), **registers)


def array(sleepers: Sleepers, name: str) -> list[int]:
    at = sleepers.wtask.fields[name][0]
    return sleepers.words(sleepers.wtasks[0] + at, 4)


def set_array(sleepers: Sleepers, name: str, *values: int) -> None:
    data = b"".join(value.to_bytes(8, "little") for value in values)
    sleepers.write(sleepers.wtasks[0] + sleepers.wtask.fields[name][0], data)


@pytest.mark.parametrize(
    ("operation", "function"),
    [("run_ns", "work_run_ns"), ("run_ticks", "work_run_ticks"), ("spin_ns", "work_spin"),
     ("sleep_ticks", "timeout_sleep_ticks")],
)  # fmt: skip
def test_time_is_passed_for_as_long_as_the_instruction_says(
    sleepers: Sleepers, operation: str, function: str
) -> None:
    sleepers.stand_ins(function)
    operate(sleepers, operation, d=2**40 + 5)
    assert sleepers.called(function)[0][0] == 2**40 + 5


def test_a_sleep_is_from_now(sleepers: Sleepers) -> None:
    sleepers.stand_ins("timeout_sleep_until")
    sleepers.stand_in("clock_ns", lambda *_: 7000, clobbers=("rdx",))
    operate(sleepers, "sleep_ns", d=500)
    assert sleepers.called("timeout_sleep_until")[0][0] == 7500


def test_a_timer_starts_now(sleepers: Sleepers) -> None:
    sleepers.stand_in("clock_ns", lambda *_: 7000, clobbers=("rdx",))
    operate(sleepers, "timer_start", a=2)
    assert array(sleepers, TIMERS) == [0, 0, 7000, 0]


@pytest.mark.parametrize("kind", ["relative", "absolute"])
@pytest.mark.parametrize("now", [1499, 1500, 1501, 9000])
def test_a_timer_advances_by_its_period(sleepers: Sleepers, kind: str, now: int) -> None:
    """Late: a relative one goes on from now, an absolute one catches up."""
    sleepers.stand_ins("timeout_sleep_until")
    sleepers.stand_in("clock_ns", lambda *_: now, clobbers=("rdx",))
    set_array(sleepers, TIMERS, 0, 1000, 0, 0)
    operate(sleepers, f"timer_{kind}", a=1, d=500)
    due = now < 1500
    assert [made[0] for made in sleepers.called("timeout_sleep_until")] == [1500] * due
    expected = now if kind == "relative" and not due else 1500
    assert array(sleepers, TIMERS) == [0, expected, 0, 0]


@pytest.mark.parametrize(("rounds", "jumps"), [(1, 0), (2, 1), (7, 6)])
def test_a_loop_runs_as_often_as_it_says(sleepers: Sleepers, rounds: int, jumps: int) -> None:
    operate(sleepers, "load", a=3, d=rounds)
    assert array(sleepers, COUNTERS) == [0, 0, 0, rounds]
    program, found = 0x3200_0000, []
    for _ in range(rounds):
        operate(sleepers, "loop", program, a=3, c=5)
        found.append(sleepers.register("r13"))
    assert found == [program + 5 * 16] * jumps + [program + 16]


def test_a_jump_is_from_the_programs_begin(sleepers: Sleepers) -> None:
    operate(sleepers, "jump", 0x3200_0000, c=70_000)
    assert sleepers.register("r13") == 0x3200_0000 + 70_000 * 16


@pytest.mark.parametrize("operation", ["yield", "exec"])
def test_what_a_task_asks_the_policy_for(sleepers: Sleepers, operation: str) -> None:
    sleepers.stand_policy(operation)
    operate(sleepers, operation)
    assert sleepers.order == [f"policy_{operation}"]


@pytest.mark.parametrize("thread", [0, 1])
def test_a_fork_names_its_template(sleepers: Sleepers, thread: int) -> None:
    sleepers.stand_policy("fork")
    sleepers.set_word("workload_tasks", 0x3100_0000)
    sleepers.set_word("workload_live", 4)
    live: list[int] = []

    def fork(*_: int) -> int:
        live.append(sleepers.number("workload_live"))
        return 5

    sleepers.stand_in("policy_fork", fork)
    operate(sleepers, "fork", c=3, a=thread)
    record = 0x3100_0000 + 3 * TASK.size
    expected = (record, sleepers.addresses["interpreter_run"], record, thread)
    assert sleepers.called("policy_fork")[0][:4] == expected
    assert live == [5], "a task that is to come counts already"
    sleepers.stand_in("policy_fork", lambda *_: 0)
    with pytest.raises(PanicError, match="no task is left to fork"):
        operate(sleepers, "fork", c=3)


def test_no_cpu_goes_before_all_have_started(sleepers: Sleepers) -> None:
    sleepers.stand_policy("cpu_down", "cpu_up")
    turns = iter(range(3))

    def sleep(*_: int) -> None:
        if next(turns) == 2:
            sleepers.set_word("workload_started", 1)

    sleepers.stand_in("timeout_sleep_ticks", sleep)
    operate(sleepers, "cpu_down", c=3)
    assert sleepers.order == ["timeout_sleep_ticks"] * 3 + ["policy_cpu_down"]
    assert [made[0] for made in sleepers.called("timeout_sleep_ticks")] == [1] * 3
    assert sleepers.called("policy_cpu_down")[0][0] == 3
    operate(sleepers, "cpu_up", c=2)
    assert sleepers.called("policy_cpu_up")[0][0] == 2


def test_a_program_is_interpreted_from_its_first_instruction_to_its_exit(
    sleepers: Sleepers,
) -> None:
    """Each once, in order; who is due to be preempted is, between two."""
    program = [pack(opcode=Op.LOAD, a=0, d=3), pack(opcode=Op.SPIN_NS, d=10),
               pack(opcode=Op.YIELD), pack(opcode=Op.LOOP, a=0, c=1), pack(opcode=Op.JUMP, c=6),
               pack(opcode=Op.RUN_NS, d=99), pack(opcode=Op.EXIT)]  # fmt: skip
    code = sleepers.place(pack(opcode=Op.RUN_NS, d=1) * 3 + b"".join(program))
    records = sleepers.allocate(4 * 64)
    sleepers.write(records, bytes(4 * 64))
    record = records + 2 * TASK.size
    sleepers.write(record + TASK.offset("program"), (3).to_bytes(4, "little"))
    for name, value in {"workload_code": code, "workload_tasks": records,
                        "wrecords": 0x1000}.items():  # fmt: skip
        sleepers.set_word(name, value)
    sleepers.stand_policy("yield")
    sleepers.stand_in("work_spin", lambda *_: sleepers.store(
        sleepers.task, sleepers.tasks[0], "need_resched", 1))  # fmt: skip
    sleepers.stand_in("policy_schedule", lambda *_: sleepers.store(
        sleepers.task, sleepers.tasks[0], "need_resched", 0))  # fmt: skip
    sleepers.stand_ins("work_run_ns")
    sleepers.stand_in("workload_op_exit", sleepers.stop)
    sleepers.store(sleepers.wtask, sleepers.wtasks[0], "task", 0)
    sleepers.run("interpreter_run", record)
    assert sleepers.order == ["work_spin", "policy_schedule", "policy_yield"] * 3 + [
        "workload_op_exit"
    ]
    known = sleepers.load(sleepers.wtask, sleepers.wtasks[0], "task", "record")
    assert known == {"task": sleepers.tasks[0], "record": 0x1000 + 2 * sleepers.wrecord.size}
    registers = {name: sleepers.register(name) for name in ("rbx", "r12", "r14")}
    expected = {"rbx": sleepers.wtasks[0], "r12": code + 3 * 16, "r14": sleepers.tasks[0]}
    assert registers == expected


def test_each_opcode_has_its_handler(sleepers: Sleepers) -> None:
    handlers = sleepers.words(sleepers.addresses["workload_dispatch"], len(Op))
    for op in Op:
        assert handlers[op] == sleepers.addresses[f"workload_op_{op.name.lower()}"]


def test_there_is_a_place_for_each_task_of_the_table(sleepers: Sleepers) -> None:
    memory = sleepers.allocate(1024)
    sleepers.write(memory, b"\xee" * 1024)
    sleepers.stand_in("memory_alloc", lambda *_: memory)
    sleepers.set_word("task_count", 5)
    sleepers.call("interpreter_init")
    size = 5 * sleepers.wtask.size
    assert sleepers.called("memory_alloc")[0][0] == size
    assert sleepers.read(memory, size + 1) == bytes(size) + b"\xee"
    assert sleepers.word("wtasks") == memory


def test_a_task_finds_its_own(sleepers: Sleepers) -> None:
    for number in range(TASKS):
        sleepers.set_percpu(0, curr=sleepers.tasks[number])
        assert sleepers.call("wtask_current") == sleepers.wtasks[number]
        assert sleepers.clobbered() == {"rax"}


def test_spinning_ends_with_the_time(sleepers: Sleepers) -> None:
    now = iter([1000, 1200, 1499, 1500])
    sleepers.stand_in("clock_ns", lambda *_: next(now), clobbers=("rdx",))
    sleepers.stand_in("relax", None, clobbers=("rcx",))
    sleepers.call("work_spin", 500)
    assert sleepers.order.count("relax") == 3


@pytest.mark.parametrize("count", [1, 3])
def test_running_for_ticks_ends_with_the_last_of_them(sleepers: Sleepers, count: int) -> None:
    def tick(*_: int) -> None:
        ticks = sleepers.load(sleepers.wtask, sleepers.wtasks[0], "ticks")["ticks"]
        sleepers.store(sleepers.wtask, sleepers.wtasks[0], "ticks", ticks + 1)

    sleepers.store(sleepers.wtask, sleepers.wtasks[0], "ticks", 41)
    sleepers.stand_in("relax", tick, clobbers=("rcx",))
    sleepers.call("work_run_ticks", count)
    assert sleepers.order.count("relax") == count


def run_for(sleepers: Sleepers, ns: int, looks: list[tuple[int, dict[str, int]]]) -> int:
    """Runs for so long: each look is the time and what has changed of the task before it; the
    number of looks that it took."""
    times = iter([0, *(now for now, _ in looks)])
    changes = iter([values for _, values in looks])

    def relax(*_: int) -> None:
        for name, value in next(changes).items():
            sleepers.store(sleepers.task, sleepers.tasks[0], name, value)

    sleepers.stand_in("clock_ns", lambda *_: next(times), clobbers=("rdx",))
    sleepers.stand_in("relax", relax, clobbers=("rcx",))
    sleepers.interrupts(True)
    sleepers.call("work_run_ns", ns)
    assert sleepers.interrupts_on
    assert all(made.interrupts == (made.name == "relax") for made in sleepers.calls)
    return sleepers.order.count("relax")


def test_running_is_time_on_the_cpu(sleepers: Sleepers) -> None:
    assert run_for(sleepers, 300, [(100, {}), (200, {}), (299, {}), (300, {}), (999, {})]) == 4


@pytest.mark.parametrize("counter", ["nvcsw", "nivcsw"])
def test_time_off_the_cpu_does_not_count(sleepers: Sleepers, counter: str) -> None:
    """Once away from 150 to 900: the 50 before that count, and what follows."""
    away = {counter: 1, "last_ran": 150, "timestamp": 900}
    looks = [(100, {}), (950, away), (1050, {}), (1149, {}), (1150, {}), (2000, {})]
    assert run_for(sleepers, 400, looks) == 5


def test_of_several_switches_the_last_return_counts(sleepers: Sleepers) -> None:
    away = {"nvcsw": 1, "nivcsw": 2, "last_ran": 800, "timestamp": 900}
    looks = [(100, {}), (950, away), (1099, {}), (1100, {}), (1149, {}), (1150, {}), (9999, {})]
    assert run_for(sleepers, 350, looks) == 6


def test_earlier_switches_are_no_switches(sleepers: Sleepers) -> None:
    sleepers.store(sleepers.task, sleepers.tasks[0], "nvcsw", 5)
    sleepers.store(sleepers.task, sleepers.tasks[0], "nivcsw", 2)
    assert run_for(sleepers, 200, [(100, {}), (200, {}), (999, {})]) == 2
