"""policy.s: how policy o1 is set up."""

from __future__ import annotations

import contextlib

from hypothesis import strategies as st

from tests.functions.agreement import agrees
from tests.functions.cpus import HERE, Cpus
from tests.functions.guest import Guest, Logged
from tests.functions.machine import EnoughError

MOST = 64


@agrees("o1_init_cpu",
        given=st.tuples(st.integers(0, 2), st.sampled_from([1, 2, 63, 64, 65, 255])))  # fmt: skip
def first_of_all(guest: Guest, cpu: int, count: int) -> None:
    """The boot CPU makes room for all, if a mask has so many; each sets up its own."""
    cpus = Cpus(guest, 3)
    cpus.copy()
    guest.enter(cpus.queue(cpu), cpus.mirror.task(cpus.rqs[cpu].curr), cpu)
    guest.write(guest.addresses["apic_count"], count.to_bytes(4, "little"))
    calls: list[str] = []
    said: list[int] = []

    def refuse() -> None:
        calls.append("refuse")
        raise EnoughError

    def say() -> None:
        words = guest.read(guest.register("rdi"), 100).partition(b"\0")[0]
        assert words.startswith(b"REFUSED policy=o1")
        said.append(guest.register("rsi"))

    steps = {name: lambda name=name: calls.append(name)
             for name in ("runqueue_table_init", "cpu_online_init", "runqueue_init")}  # fmt: skip
    with guest.replacing(**steps, refuse=refuse, print=say), contextlib.suppress(EnoughError):
        guest.call("o1_init_cpu")
    if cpu == HERE and count > MOST:
        assert (calls, said) == (["refuse"], [count])
    elif cpu == HERE:
        assert calls == [*steps]
    else:
        assert calls == ["runqueue_init"]


@agrees("o1_ready", given=st.tuples(st.sampled_from([0, 2, 1 << 16]), st.booleans()))
def ready(guest: Guest, fixes: int, logging: bool) -> None:
    cpus = Cpus(guest, 1)
    cpus.copy()
    guest.set_word("param_fix", fixes)
    calls: list[str] = []
    steps = {name: lambda name=name: calls.append(name)
             for name in ("sched_domains_init", "migration_start_threads")}  # fmt: skip
    with guest.logging(on=logging), guest.replacing(**steps):
        guest.call("o1_ready")
    guest.set_word("param_fix", 0)
    assert calls == [*steps]
    # Whatever the loglevel is: without it a log cannot be judged.
    assert guest.events == ([Logged("fixes", (fixes,))] if fixes else [])
