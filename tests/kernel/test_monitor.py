"""The monitor: what is typed, how words and numbers are read, and what commands do and answer."""

from __future__ import annotations

import pytest

from tests.kernel.kernel import CPUS, Kernel

PROMPT = "sched> "
MINUS_ONE = 2**64 - 1
RUNNING, SLEEPING = 0, 1
FREE, USED, DEAD = 0, 1, 2


def type_in(kernel: Kernel, text: str) -> str:
    """What the console shows when somebody types that, echo included."""
    kernel.capture_print()
    characters = iter(text.encode("latin-1"))
    kernel.stand_in("console_get", lambda *_: next(characters, 0xFFFFFFFF), clobbers=("rdx",))
    shown = len(kernel.printed)
    while True:
        before = len(kernel.called("console_get"))
        kernel.call("monitor_poll")
        if len(kernel.called("console_get")) == before + 1:
            return kernel.printed[shown:]


@pytest.fixture
def monitor(kernel: Kernel) -> Kernel:
    """Waiting at its prompt, among three tasks."""
    kernel.capture_print()
    table = kernel.allocate(5 * kernel.task.size)
    states = [(USED, RUNNING), (USED, SLEEPING), (DEAD, RUNNING), (FREE, RUNNING), (USED, RUNNING)]
    for number, (slot, state) in enumerate(states):
        values = {"id": number, "cpu": number % 3, "slot": slot, "state": state,
                  "nvcsw": 10 * number, "nivcsw": 1}  # fmt: skip
        at = table + number * kernel.task.size
        kernel.write(at, kernel.task.pack(values))
        kernel.write(at + kernel.task.fields["name"][0], f"task-{number}".encode())
    kernel.set_word("task_table", table)
    kernel.set_word("task_count", 5)
    kernel.set_word("cpu_online_mask", 0b1011)
    kernel.set_word("policy", kernel.addresses["o1_policy"])
    kernel.stand_in("task_create", lambda *_: table + 4 * kernel.task.size)
    kernel.call("monitor_start")
    assert kernel.printed == f"monitor: type help\n{PROMPT}"
    return kernel


def ask(kernel: Kernel, command: str) -> str:
    """The answer to a command, without its echo and the next prompt."""
    shown = type_in(kernel, command + "\r")
    assert shown.startswith(command + "\n"), shown
    assert shown.endswith(PROMPT) or command == "quit", shown
    return shown[len(command) + 1 :].removesuffix(PROMPT)


def test_a_line_ends_with_return_or_newline(monitor: Kernel) -> None:
    for end in "\r\n":
        assert type_in(monitor, f"foo{end}") == (
            f"foo\nunknown command 'foo': help lists them\n{PROMPT}"
        )


def test_typing_errors_are_taken_back_to_the_begin_of_the_line(monitor: Kernel) -> None:
    for key in "\b\x7f":
        shown = type_in(monitor, f"xy{key}{key}{key}foo\r")
        assert shown == "xy" + "\b \b" * 2 + (
            f"foo\nunknown command 'foo': help lists them\n{PROMPT}"
        )


def test_other_keys_do_nothing_and_a_blank_is_a_character(monitor: Kernel) -> None:
    assert type_in(monitor, "\x01\x1b\x1f \r") == f" \n{PROMPT}"
    assert type_in(monitor, "\r") == f"\n{PROMPT}"


def test_a_line_has_room_for_127_characters(monitor: Kernel) -> None:
    shown = type_in(monitor, "x" * 200 + "\r")
    kept = "x" * 127
    assert shown == f"{kept}\nunknown command '{kept}': help lists them\n{PROMPT}"


def test_nothing_is_read_before_the_prompt(kernel: Kernel) -> None:
    kernel.stand_ins("console_get")
    kernel.call("monitor_poll")
    assert kernel.order == []


def test_words_are_between_blanks(monitor: Kernel) -> None:
    monitor.set_word("monitor_next", monitor.text("  one two   three  "))
    found = [monitor.string(monitor.call("monitor_word")) for _ in range(5)]
    assert found == ["one", "two", "three", "", ""]


@pytest.mark.parametrize(
    ("words", "value"),
    [("", 77), ("  ", 77), ("0", 0), ("12 3", 12), ("007", 7), ("1000000000", 10**9),
     ("1000000001", MINUS_ONE), ("99999999999999999999999", MINUS_ONE), ("x", MINUS_ONE),
     ("1x", MINUS_ONE), ("-1", MINUS_ONE), ("1:", MINUS_ONE), ("1/", MINUS_ONE)],
)  # fmt: skip
def test_numbers(monitor: Kernel, words: str, value: int) -> None:
    """Decimal, up to 10^9; where there is none, what the caller says."""
    monitor.set_word("monitor_next", monitor.text(words))
    assert monitor.call("monitor_number", 77) == value


def test_help_has_a_line_for_each_command(monitor: Kernel) -> None:
    lines = ask(monitor, "help").splitlines()
    assert [line.split()[0] for line in lines] == [
        "help", "ps", "spawn", "unplug", "plug", "quit",
    ]  # fmt: skip


def test_ps_shows_the_tasks_that_there_are(monitor: Kernel) -> None:
    heading, *lines = ask(monitor, "ps").splitlines()
    assert heading == "TASK CPU STATE SWITCHES NAME"
    assert lines == [
        "0 0 runnable 1 task-0", "1 1 sleeping 11 task-1", "4 1 runnable 41 task-4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "cpu", "ms"),
    [("spawn hog", 0, 10), ("spawn hog 1", 1, 10), ("spawn hog 3 250", 3, 250),
     ("spawn  hog   0   0", 0, 0)],
)  # fmt: skip
def test_spawn_makes_a_task_that_runs_for_so_long(
    monitor: Kernel, command: str, cpu: int, ms: int
) -> None:
    assert ask(monitor, command) == f"task 4 started on CPU {cpu}\n"
    ((name, entry, argument, where, *_),) = monitor.called("task_create")
    assert (monitor.string(name), entry) == ("hog", monitor.addresses["work_spin"])
    assert (argument, where & 0xFFFFFFFF) == (ms * 10**6, cpu)


@pytest.mark.parametrize(
    ("command", "words"),
    [("spawn", "usage: spawn "), ("spawn hog x", "no such CPU; there are 4"),
     ("spawn hog 4", "no such CPU"), ("spawn hog 2", "unplugged"),
     ("spawn hog 1 x", "usage: spawn ")],
)  # fmt: skip
def test_spawn_explains_what_makes_no_sense(monitor: Kernel, command: str, words: str) -> None:
    answer = ask(monitor, command)
    assert words in answer and "started" not in answer
    assert monitor.called("task_create") == []


def test_beyond_a_mask_all_cpus_are_there(monitor: Kernel) -> None:
    monitor.set_word("cpu_count", 70)
    assert ask(monitor, "spawn hog 64") == "task 4 started on CPU 64\n"
    assert "unplugged" in ask(monitor, "spawn hog 63")


@pytest.mark.parametrize("command", ["spawn hog", "unplug 1"])
def test_a_full_table_is_said(monitor: Kernel, command: str) -> None:
    monitor.stand_in("task_create", lambda *_: 0)
    assert "the task table is full" in ask(monitor, command)


@pytest.mark.parametrize(
    ("command", "operation", "refusal", "words"),
    [
        ("unplug 3", "down", 0, "CPU 3 is unplugged\n"),
        ("unplug 0", "down", -16, "unplug: CPU 0 has to stay, or is unplugged already\n"),
        ("plug 3", "up", 0, "CPU 3 is plugged in\n"),
        ("plug 1", "up", -22, "plug: CPU 1 is plugged in already\n"),
    ],
)
def test_a_task_asks_for_a_cpu_to_go_or_come(
    monitor: Kernel, command: str, operation: str, refusal: int, words: str
) -> None:
    """On the boot CPU, and the monitor reads nothing meanwhile."""
    ready: list[int] = []

    def idle(*_: int) -> None:
        ready.append(monitor.number("monitor_ready"))
        if len(ready) == 3:
            monitor.write(monitor.addresses["monitor_answered"], b"\1")
            monitor.write(
                monitor.addresses["monitor_answer"], refusal.to_bytes(4, "little", signed=True)
            )

    monitor.stand_in("idle_turn", idle)
    assert ask(monitor, command) == words
    assert ready == [0] * 3
    ((_, entry, argument, cpu, *_),) = monitor.called("task_create")
    asked = int(command.split()[1])
    assert (entry, argument, cpu) == (monitor.addresses[f"monitor_cpu_{operation}"], asked, 0)
    monitor.set_word("policy", 0x6000_0000)
    monitor.stand_policy(f"cpu_{operation}")
    monitor.stand_in(f"policy_cpu_{operation}", lambda *_: refusal)
    monitor.write(monitor.addresses["monitor_answered"], bytes(4))
    monitor.call(f"monitor_cpu_{operation}", asked)
    assert monitor.called(f"policy_cpu_{operation}")[0][0] == asked
    assert monitor.number("monitor_answer") == refusal & 0xFFFFFFFF
    assert monitor.number("monitor_answered") == 1


@pytest.mark.parametrize("command", ["plug", "unplug"])
def test_which_cpu_is_meant_has_to_be_said(monitor: Kernel, command: str) -> None:
    for rest in ("", " 4", " x", " -1"):
        assert ask(monitor, command + rest) == f"which CPU? there are {CPUS}, from 0\n"
    monitor.set_word("policy", monitor.addresses["fifo_policy"])
    assert ask(monitor, f"{command} 1") == "policy none keeps all its CPUs: boot with policy=o1\n"


def test_quit_ends_without_another_prompt(monitor: Kernel) -> None:
    assert monitor.number("monitor_done") == 0
    assert ask(monitor, "quit") == ""
    assert monitor.number("monitor_done") == 1
