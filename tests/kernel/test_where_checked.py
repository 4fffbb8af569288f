"""Where the checked guest looks: a check that nobody calls finds nothing. And the other guest does
not look at all."""

from __future__ import annotations

from collections import defaultdict

from harness.toolchain.image import Image
from tests.kernel.kernel import Kernel

CALLERS = {
    "apic_idle": {"invariant_switching"},
    "before_info_unlock": {"info_unlock"},
    "before_lock": {"info_lock", "rq_lock"},
    "before_unlock": {"rq_unlock"},
    "between_steps": {"interpreter_run"},
    "both_locked": {"double_lock_balance"},
    "locked": {"info_lock", "rq_lock", "rq_trylock"},
    "rings": {"invariant_before_info_unlock"},
    "stack": {"invariant_before_info_unlock", "invariant_before_unlock"},
    "structure": {"invariant_before_unlock"},
    "switching": {"schedule_switch", "veridian_switch"},
    "task_locked": {"dequeue_task", "enqueue_task_at"},
    "unlocked": {"idle_turn", "invariant_between_steps", "schedule"},
    "waiting": {"spin_lock"},
}


def callers(kernel: Kernel, image: Image) -> dict[str, set[str]]:
    """Who calls each of the guest's checks."""
    checks = {at: name for name, at in kernel.addresses.items() if name.startswith("invariant_")}
    found = defaultdict(set)
    for symbol in image.symbols.values():
        if symbol.kind != "func":
            continue
        for _, text in kernel.instructions(symbol.name):
            name, _, target = text.partition(" ")
            if name == "call" and target.startswith("0x") and int(target, 16) in checks:
                found[checks[int(target, 16)].removeprefix("invariant_")].add(symbol.name)
    return dict(found)


def test_each_check_is_made_where_its_rule_has_to_hold(
    checked: Kernel, checked_image: Image
) -> None:
    found = callers(checked, checked_image)
    for check, where in CALLERS.items():
        assert where <= found.get(check, set()), check


def test_the_other_guest_makes_none(kernel: Kernel, kernel_image: Image) -> None:
    assert callers(kernel, kernel_image) == {}
