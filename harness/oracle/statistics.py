"""Identities of the counters that policy o1 logs at the end of a run (fact sheet part C, T1 to T7).

That each counter is the number of what happened is for the replay; these hold for any scheduler
with schedstat's counters, and so for a foreign one's log too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from harness.trace.grammar import Event
from harness.trace.schedstat import (
    BEGIN,
    CPU_COUNTERS,
    DOMAIN_COUNTERS,
    parse_schedstat,
    schedstat_of,
    schedstat_text,
)
from harness.trace.trace import Trace

Finding = tuple[Event, str]

TYPES = ("i", "b", "n")
"""Idle, busy, newly idle: first letter of the counters of a domain."""
IDLE, BUSY, NEWLY_IDLE = range(3)
L01, L16 = 1 << 1, 1 << 16
"""Corrections that change what is counted: see `harness.model.fixes`."""

_TOTALS = ("schedstat", "schedstat_moves", "schedstat_domain")

COUNTED_LATER = frozenset(
    ("ttwu_cnt", "ttwu_moved", "ttwu_attempts", "wunt_cnt", "wunt_moved", "alb_gained")
) | {f"{kind}_{way}" for kind in TYPES for way in ("gained", "lost")}
"""What other CPUs may still add to when a CPU has stopped and logged its counters."""


def passes_of_schedule(trace: Trace) -> Iterator[Finding]:
    """T1: each ends with a swap, without one, or with the idle task."""
    for event in trace.of("schedstat"):
        ways = [event.number(name) for name in ("sched_switch", "sched_noswitch", "sched_goidle")]
        if event.number("sched_cnt") != sum(ways):
            yield event, f"sched_cnt of CPU {event.cpu} is not {'+'.join(map(str, ways))}"


def _only_totals(trace: Trace) -> bool:
    """Whether the guest has logged its counters and nothing of what they count."""
    return any(trace.of("quiet"))


def attempts_at_balancing(trace: Trace) -> Iterator[Finding]:
    """T2: each ends without a group, without a queue, in failure or in a move."""
    if _only_totals(trace):
        return
    succeeded, uncounted = _outcomes(trace)
    for event in trace.of("schedstat_domain"):
        for number, kind in enumerate(TYPES):
            key = event.cpu, event.number("level"), number
            ways = [event.number(f"{kind}_{way}") for way in ("nobusyg", "nobusyq", "failed")]
            due = sum(ways) + succeeded[key] + uncounted[key]
            if event.number(f"{kind}_cnt") != due:
                where = f"domain {key[1]} of CPU {event.cpu}"
                yield event, f"{kind}_cnt of {where} is {event.number(f'{kind}_cnt')}, not {due}"


Key = tuple[int, int, int]
"""CPU, level, type."""


def _outcomes(trace: Trace) -> tuple[Counter[Key], Counter[Key]]:
    """Attempts that moved something, and those that the kernel counts nowhere."""
    fixes = next((event.number("mask") for event in trace.of("fixes")), 0)
    succeeded: Counter[Key] = Counter()
    uncounted: Counter[Key] = Counter()
    key: dict[int, Key] = {}
    found: dict[int, Event] = {}
    reasons: dict[int, set[int]] = defaultdict(set)
    for event in trace.of("balance", "busiest_queue", "skip", "balanced"):
        cpu = event.cpu
        match event.name:
            case "balance":
                key[cpu] = cpu, event.number("level"), event.number("type")
                found.pop(cpu, None)
                reasons[cpu].clear()
            case "busiest_queue":
                found[cpu] = event
            case "skip":
                reasons[cpu].add(event.number("why"))
            case _ if cpu in key:
                moved = event.number("moved")
                succeeded[key[cpu]] += moved > 0
                uncounted[key[cpu]] += not moved and _uncounted(
                    key[cpu], found.get(cpu), reasons[cpu], fixes
                )
    return succeeded, uncounted


def _uncounted(key: Key, found: Event | None, reasons: set[int], fixes: int) -> bool:
    cpu, _, kind = key
    if kind == NEWLY_IDLE or found is None:
        return False
    itself = found.number("rq") == cpu and not fixes & L16
    return itself or bool(fixes & L01 and reasons - {1} == {2})


def yields(trace: Trace) -> Iterator[Finding]:
    """T3: what a yield finds empty."""
    for event in trace.of("schedstat"):
        both, act, exp, all_ = (
            event.number(f"yld_{name}") for name in ("both_empty", "act_empty", "exp_empty", "cnt")
        )
        if both > act or act + exp > all_:
            words = f"{both} of {act} with an empty active array and {exp} with an empty expired"
            yield event, f"yields of CPU {event.cpu}: {words}, of {all_}"


def wake_ups(trace: Trace) -> Iterator[Finding]:
    """T4: of those that are tried, some are placed, of which some are moved."""
    for event in trace.of("schedstat"):
        moved, tried, all_ = (event.number(f"ttwu_{n}") for n in ("moved", "attempts", "cnt"))
        if not moved <= tried <= all_:
            words = f"{moved} moved, {tried} placed, {all_} tried"
            yield event, f"wake-ups on CPU {event.cpu}: {words}"


def ticks_accounted(trace: Trace) -> Iterator[Finding]:
    """T5: every local tick is the running task's or the idle task's."""
    if trace.hello is None or trace.hello.word("policy") != "o1" or _only_totals(trace):
        return
    idle: Counter[int] = Counter()
    accounted: Counter[int] = Counter()
    forking: set[int] = set()
    current = {cpu: cpu for cpu in range(trace.hello.number("cpus"))}
    for event in trace.of("tick", "switch", "fork", "account", "cpu_summary"):
        cpu = event.cpu
        match event.name:
            case "tick":
                forking.discard(cpu)
                idle[cpu] += current.get(cpu) == cpu
            case "switch":
                current[cpu] = event.number("next")
            case "fork":
                forking.add(cpu)
            case "account":
                accounted[cpu] += cpu not in forking
                forking.discard(cpu)
            case _ if accounted[cpu] + idle[cpu] != event.number("ticks"):
                words = f"{accounted[cpu]} accounted to tasks and {idle[cpu]} idle"
                yield event, f"CPU {cpu} has {event.number('ticks')} ticks, {words}"


def tasks_gained(trace: Trace) -> Iterator[Finding]:
    """T6: no more tasks come by balancing than its imbalances ask for."""
    asked: Counter[tuple[int, str]] = Counter()
    for event in trace.of("schedstat_domain"):
        for kind in TYPES:
            asked[event.cpu, kind] += event.number(f"{kind}_imbalance")
    pushed = {event.cpu: event.number("alb_gained") for event in trace.of("schedstat")}
    for event in trace.of("schedstat_moves"):
        for kind in TYPES:
            gained = event.number(f"{kind}_gained")
            gained -= pushed.get(event.cpu, 0) if kind == "i" else 0
            if gained > asked[event.cpu, kind]:
                words = f"{gained} tasks by balancing of type {kind}, asked for"
                yield event, f"CPU {event.cpu} has gained {words} {asked[event.cpu, kind]}"


def attempts_bounded(trace: Trace) -> Iterator[Finding]:
    """T7: idle CPUs balance a domain once a tick at most, busy ones once an interval."""
    if _only_totals(trace):
        return
    hz, cpus = (trace.hello.number(n) for n in ("hz", "cpus")) if trace.hello else (1000, 1)
    kinds = {(e.number("of"), e.number("level")): e for e in trace.of("domain")}
    ticks = Counter(event.cpu for event in trace.of("tick"))
    for event in trace.of("schedstat_domain"):
        kind = kinds.get((event.cpu, event.number("level")))
        if kind is None:
            continue
        # CPUs take turns by an offset, which counts as time that has passed.
        passed = ticks[0] + 1 + hz * event.cpu // cpus - kind.number("last_balance")
        for name, most in (("i_cnt", ticks[event.cpu]), ("b_cnt", busy_attempts(kind, passed, hz))):
            if event.number(name) > most:
                where = f"domain {event.number('level')} of CPU {event.cpu}"
                yield event, f"{name} of {where} is {event.number(name)}, at most {most} are due"


def busy_attempts(domain: Event, passed: int, hz: int) -> int:
    """The most that a busy CPU attempts in so many ticks. A domain begins with an interval of 1 ms
    (A15), which grows by 1 ms at least until it is the domain's least one or more."""
    least, attempts = domain.number("min_interval"), 1
    for milliseconds in range(1, least + 1):
        interval = max(-(-milliseconds * domain.number("busy_factor") * hz // 1000), 1)
        if milliseconds == least:
            return attempts + passed // interval
        if passed >= interval:
            passed, attempts = passed - interval, attempts + 1
    return attempts


def moves_conserved(trace: Trace) -> Iterator[Finding]:
    """C5: what one CPU gains another loses, and each such move is in the log."""
    if _only_totals(trace):
        return
    totals = list(trace.of("schedstat_moves"))
    pulled: Counter[int] = Counter()
    kind: dict[int, int] = {}
    late = False
    for event in trace.of("move", "pull", "schedstat_moves"):
        if event.name == "move":
            kind[event.cpu] = event.number("type")
        elif event.name == "pull":
            pulled[kind.get(event.cpu, IDLE)] += 1
            late = late or event.seq > totals[0].seq if totals else late
    for number, name in enumerate(TYPES):
        gained, lost = (
            sum(e.number(f"{name}_{way}") for e in totals) for way in ("gained", "lost")
        )
        same = gained == lost == pulled[number]
        if totals and not (same or (late and max(gained, lost) <= pulled[number])):
            words = f"{gained} gained, {lost} lost, {pulled[number]} in the log"
            yield totals[-1], f"tasks moved by balancing of type {name}: {words}"


def totals(trace: Trace) -> Iterator[Finding]:
    """T0: none is missing, and the text in the format of `/proc/schedstat` has the same ones."""
    yield from _missing(trace)
    yield from _printed_otherwise(trace)


def _missing(trace: Trace) -> Iterator[Finding]:
    """Who logs totals logs those of each CPU, of each of its domains and of each task."""
    last = next(trace.of("end"), None)
    if trace.hello is None or last is None or not any(trace.of(*_TOTALS)):
        return
    cpus = range(trace.hello.number("cpus"))
    for name in ("schedstat", "schedstat_moves", "cpu_summary"):
        for cpu in sorted(set(cpus) - {event.cpu for event in trace.of(name)}):
            yield last, f"{name} of CPU {cpu} is missing"
    logged = {(event.cpu, event.number("level")) for event in trace.of("schedstat_domain")}
    for event in trace.of("domain"):
        if (event.number("of"), event.number("level")) not in logged:
            where = f"domain {event.number('level')} of CPU {event.number('of')}"
            yield last, f"schedstat_domain of {where} is missing"
    if not _only_totals(trace):
        due = Counter(event.number("task") for event in trace.of("task_new"))
        due.subtract(event.number("task") for event in trace.of("task_summary"))
        for task, number in sorted(due.items()):
            if number > 0:
                yield last, f"task_summary of task {task} is missing"


def _printed_otherwise(trace: Trace) -> Iterator[Finding]:
    text = schedstat_text(trace)
    last = next(trace.of("end"), None)
    if text is None or last is None:
        return
    if sum(line.text == BEGIN for line in trace.text) > 1:
        yield last, "schedstat: printed more than once"
    try:
        printed = parse_schedstat(text)
    except ValueError as error:
        yield last, str(error)
        return
    logged = {line.cpu: line for line in schedstat_of(trace).cpus}
    for line in printed.cpus:
        mine = logged.get(line.cpu)
        if mine is None:
            yield last, f"schedstat: cpu{line.cpu} has logged no counters"
            continue
        for name, seen, due in zip(CPU_COUNTERS, line.counters, mine.counters, strict=True):
            if seen != due and not (name in COUNTED_LATER and seen > due):
                yield last, f"schedstat: {name} of cpu{line.cpu} is {seen}, {due} in the log"
        if [domain.span for domain in line.domains] != [domain.span for domain in mine.domains]:
            yield last, f"schedstat: cpu{line.cpu} has other domains than in the log"
            continue
        for level, (one, other) in enumerate(zip(line.domains, mine.domains, strict=True)):
            for name, seen, due in zip(DOMAIN_COUNTERS, one.counters, other.counters, strict=True):
                if seen != due:
                    where = f"domain{level} of cpu{line.cpu}"
                    yield last, f"schedstat: {name} of {where} is {seen}, {due} in the log"
