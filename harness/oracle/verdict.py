"""From a finished run to one verdict.

Each condition of a pass is checked, and each that does not hold is a *finding*.  A run passes only
without findings; otherwise its outcome is that of the worst, in the order of :class:`Outcome`:

=============  =====================================================================
harness-error  the run was stopped by its user
qemu-error     QEMU did not start, was killed, or exited with a status of its own
wrong-image    ``hello`` carries another build id than the image that was booted
panic          a panic report other than a broken rule's, or the exit status of one
triple-fault   QEMU saw one
reset          QEMU saw one, or exited with 0: no guest can say "pass" that way
hang           silence, or the time is over and no CPU can ever wake
timeout        the time is over
violation      a rule is broken: the guest's own checks found it, or a rule about events or the
               replay; these two are asked of a sound log, the replay of policy ``veridian`` also
               of what an unsound one has before its first gap
fail           a failed self-test, a refusal, ``result=fail``, the exit status of a failure or an
               unknown one, missing CPUs, an unmet expectation (the last two only of a sound log)
lost-log       any damage, or more output than allowed
pass           no finding
=============  =====================================================================

Failure is looked for before success, everywhere, and no finding hides another: all are listed.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from harness.machine.result import Ending, MachineResult
from harness.model.domain import Topology
from harness.oracle.o1.replay import replay
from harness.oracle.o1.report import story
from harness.oracle.outcome import Outcome
from harness.oracle.rules import RULES, Rule
from harness.oracle.veridian import replay as veridian_replay
from harness.oracle.veridian import report as veridian_report
from harness.trace.trace import Trace

EXIT_PASS, EXIT_FAIL, EXIT_PANIC, EXIT_REFUSED = 33, 35, 37, 39
"""QEMU's exit status for 0x10 to 0x13 written to isa-debug-exit: ``(value << 1) | 1``."""

_SHOWN = 20  # findings of one sort that are listed one by one
_SHOWN_CPUS = 4


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a run."""

    outcome: Outcome
    reason: str
    story: str = ""
    """What led to it, in as many lines as that takes; empty where there is nothing to tell."""

    def __str__(self) -> str:
        return f"{self.outcome.value}: {self.reason}"


@dataclass(frozen=True)
class Expectation:
    """Something a run has to show: ``check`` says what is missing, or ``None`` when nothing is."""

    name: str
    check: Callable[[Trace], str | None]


@dataclass(frozen=True, repr=False)
class Verdict:
    """The judgement on one run."""

    findings: tuple[Finding, ...] = ()
    """Everything that is wrong, worst first."""
    unproven: tuple[str, ...] = ()
    """What a pass needs and nobody could check, such as the exit status behind a saved log."""

    @property
    def outcome(self) -> Outcome:
        return self.findings[0].outcome if self.findings else Outcome.PASS

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASS

    @property
    def reason(self) -> str:
        """Why the outcome is what it is, in one line."""
        if self.findings:
            return self.findings[0].reason
        return "nothing speaks against it" if self.unproven else "every condition holds"

    @property
    def details(self) -> tuple[str, ...]:
        """What else is wrong, worst first."""
        return tuple(str(finding) for finding in self.findings[1:])

    @property
    def stories(self) -> tuple[str, ...]:
        """What led to the findings, those that have a story, worst first."""
        return tuple(finding.story for finding in self.findings if finding.story)

    def __repr__(self) -> str:
        return f"<{self.outcome.value}: {self.reason}>"

    def __str__(self) -> str:
        head = f"{self.outcome.value}: {self.reason}"
        also = [f"  also {detail}" for detail in self.details]
        unproven = [f"  not proven: {item}" for item in self.unproven]
        return "\n".join([head, *also, *unproven])


def judge(
    trace: Trace,
    *,
    machine: MachineResult | None = None,
    build_id: str | None = None,
    cpus: int | None = None,
    topology: Topology | None = None,
    expectations: Sequence[Expectation] = (),
    rules: Sequence[Rule] = RULES,
) -> Verdict:
    """Judge a run.

    A pass needs all of: the agreed exit status; an undamaged log from ``hello`` to ``end`` with
    matching counts, gap-free ``seq`` and right checksums; ``build_id`` in ``hello``; events of
    each of ``cpus`` CPUs; no failure marker; no broken rule; no decision that the model would not
    have taken, where the policy has one; every expectation met.

    ``machine`` is ``None`` for a log that was saved: then, and without ``build_id``, the verdict
    says what remains unproven.  Without ``cpus``, ``hello`` says how many CPUs to look for; without
    ``topology`` the log says how they share cores and packages.
    What an expectation raises goes through to the caller.
    """
    findings = [
        *_failures(trace),
        *_image(trace, build_id),
        *(_machine(machine, trace) if machine is not None else ()),
        *_damage(trace),
    ]
    if trace.sound:
        findings += _cpus(trace, cpus)
        findings += _violations(trace, rules)
        findings += _replayed(trace, topology)
        findings += _unmet(trace, expectations)
    else:
        findings += _second_policy(trace)
    findings.sort(key=lambda finding: finding.outcome.rank)
    unproven = []
    if machine is None:
        unproven.append("how the run ended: a saved log does not tell QEMU's exit status")
    if build_id is None:
        unproven.append("that this image ran: no build id to compare with")
    if trace.quiet:
        unproven.append("its decisions: the guest was told not to log them (loglevel=0)")
    return Verdict(tuple(findings), tuple(unproven))


def _machine(machine: MachineResult, trace: Trace) -> Iterator[Finding]:
    """What the way QEMU ended says against the run."""
    if machine.triple_fault:
        yield Finding(Outcome.TRIPLE_FAULT, "the CPU shut down: a fault, and no handler for it")
    if machine.reset:
        yield Finding(Outcome.RESET, "the guest reset the machine")
    if machine.powered_off:
        yield Finding(Outcome.RESET, "the guest switched the machine off")
    match machine.ending:
        case Ending.EXITED:
            yield from _status(machine, trace)
        case Ending.DEADLINE if _asleep_for_good(machine):
            yield Finding(Outcome.HANG, f"{_given_up(machine)}: no interrupt can wake a CPU")
        case Ending.DEADLINE:
            yield Finding(Outcome.TIMEOUT, _given_up(machine))
        case Ending.QUIET:
            yield Finding(Outcome.HANG, _given_up(machine))
        case Ending.LOG_LIMIT:
            yield Finding(Outcome.LOST_LOG, machine.describe())
        case Ending.KILLED if machine.signal == signal.SIGXCPU:
            yield Finding(Outcome.TIMEOUT, machine.error or machine.describe())
        case Ending.START_FAILED | Ending.KILLED:
            yield Finding(Outcome.QEMU_ERROR, machine.error or machine.describe())
        case Ending.STOPPED:
            yield Finding(Outcome.HARNESS_ERROR, machine.describe())


def _given_up(machine: MachineResult) -> str:
    """Why the harness gave the run up, and what its first CPUs were doing, in one line."""
    headline = machine.describe().partition("\n")[0]
    states = [str(state) for state in machine.registers[:_SHOWN_CPUS]]
    if len(machine.registers) > len(states):
        states.append(f"and {len(machine.registers) - len(states)} more CPUs")
    return f"{headline} ({'; '.join(states)})" if states else headline


def _asleep_for_good(machine: MachineResult) -> bool:
    states = machine.registers
    return bool(states) and all(state.halted and not state.interrupts for state in states)


def _status(machine: MachineResult, trace: Trace) -> Iterator[Finding]:
    match machine.status:
        case int(status) if status == EXIT_PASS:
            return
        case int(status) if status == EXIT_FAIL:
            yield Finding(Outcome.FAIL, f"the guest exited with status {EXIT_FAIL}: it failed")
        case int(status) if status == EXIT_PANIC:
            if any(report.broken_rule for report in trace.panics):
                return
            yield Finding(Outcome.PANIC, f"the guest exited with status {EXIT_PANIC}: it panicked")
        case int(status) if status == EXIT_REFUSED:
            reason = f"the guest exited with status {EXIT_REFUSED}: it refused to start"
            yield Finding(Outcome.FAIL, reason)
        case 0:
            if not (machine.triple_fault or machine.reset or machine.powered_off):
                yield Finding(Outcome.RESET, "QEMU exited with status 0: the guest gave no verdict")
        case int(status) if status > 1 and status % 2:
            yield Finding(Outcome.FAIL, f"the guest exited with the unknown status {status}")
        case status:
            last = machine.stderr.strip().rpartition("\n")[2]
            shown = f": {last}" if last else ""
            yield Finding(Outcome.QEMU_ERROR, machine.error or f"QEMU exited with {status}{shown}")


def _image(trace: Trace, build_id: str | None) -> Iterator[Finding]:
    if build_id is None or trace.hello is None:
        return
    found = trace.hello.word("build")
    if found != build_id:
        yield Finding(Outcome.WRONG_IMAGE, f"build id {found} ran, {build_id} was asked for")


def _failures(trace: Trace) -> Iterator[Finding]:
    """Failure markers: what the guest itself says against the run, be the log damaged or not."""
    for report in trace.panics:
        if report.broken_rule is None:
            yield Finding(Outcome.PANIC, str(report))
        else:
            words = f"{report.broken_rule}: found by the guest on CPU {report.cpu}"
            yield Finding(Outcome.VIOLATION, words)
    yield from (Finding(Outcome.FAIL, f"the guest refused: {words}") for words in trace.refusals)
    for result in trace.ktap.failures:
        reason = f" ({result.reason})" if result.reason else ""
        yield Finding(Outcome.FAIL, f"self-test {result.path} failed{reason}")
    yield from (Finding(Outcome.FAIL, f"self-tests: {text}") for text in trace.ktap.problems)
    if trace.end is not None and trace.end.word("result") != "pass":
        yield Finding(Outcome.FAIL, f"the log ends with result={trace.end.word('result')}")


def _damage(trace: Trace) -> Iterator[Finding]:
    shown = trace.damages[:_SHOWN]
    yield from (Finding(Outcome.LOST_LOG, str(damage)) for damage in shown)
    if more := trace.damage_total - len(shown):
        yield Finding(Outcome.LOST_LOG, f"and {more} more damages")


def _cpus(trace: Trace, asked: int | None) -> Iterator[Finding]:
    announced = trace.hello.number("cpus") if trace.hello is not None else 0
    wanted = announced if asked is None else asked
    if announced != wanted:
        yield Finding(Outcome.FAIL, f"{announced} CPUs came online, {wanted} were asked for")
    silent = sorted(set(range(wanted)) - trace.cpus)
    if silent:
        yield Finding(Outcome.FAIL, f"no event from CPU {', '.join(map(str, silent))}")


def _violations(trace: Trace, rules: Iterable[Rule]) -> Iterator[Finding]:
    for rule in rules:
        for violation in islice(rule.violations(trace), _SHOWN):
            yield Finding(Outcome.VIOLATION, str(violation))


def _replayed(trace: Trace, topology: Topology | None) -> Iterator[Finding]:
    """The first decision in which a log differs from the model of the policy that it names."""
    if trace.quiet:
        return
    difference = replay(trace, topology)
    if difference is not None:
        yield Finding(Outcome.VIOLATION, str(difference), story(trace, difference))
    yield from _second_policy(trace)


def _second_policy(trace: Trace) -> Iterator[Finding]:
    """The same for policy ``veridian``, of which also the beginning of a log can be replayed."""
    difference = veridian_replay.replay(trace)
    if difference is not None:
        told = veridian_report.story(trace, difference)
        yield Finding(Outcome.VIOLATION, str(difference), told)


def _unmet(trace: Trace, expectations: Iterable[Expectation]) -> Iterator[Finding]:
    for expectation in expectations:
        complaint = expectation.check(trace)
        if complaint is not None:
            yield Finding(Outcome.FAIL, f"{expectation.name}: {complaint}")
