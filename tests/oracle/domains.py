"""The domains of CPUs, as a right guest logs them at boot."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.model.runqueue import Runqueue


def log_domains(emit: Callable[..., None], rqs: Sequence[Runqueue]) -> None:
    """Tell of every CPU's domains and their groups, the innermost first."""
    for rq in rqs:
        for level, sd in enumerate(rq.domains):
            kind = sd.parameters
            emit(
                "domain",
                of=rq.cpu,
                level=level,
                name=kind.name,
                span=sd.span,
                flags=int(kind.flags),
                min_interval=kind.min_interval,
                max_interval=kind.max_interval,
                busy_factor=kind.busy_factor,
                imbalance_pct=kind.imbalance_pct,
                cache_hot_time=kind.cache_hot_time,
                cache_nice_tries=kind.cache_nice_tries,
                last_balance=sd.last_balance,
            )
            for group in sd.groups:
                emit("group", cpus=group.cpumask, power=group.cpu_power)
    for rq in rqs:
        emit("attach", rq=rq.cpu)
