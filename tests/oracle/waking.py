"""Wake-ups on the machine that is made of the model, as a right guest does and logs them."""

from __future__ import annotations

from harness.model.bitmap import has_cpu
from harness.model.constants import Now, SDFlag, State
from harness.model.load import LoadRead
from harness.model.runqueue import Runqueue, translate_time
from harness.model.task import Task
from harness.model.wake import (
    WakeStep,
    begin_wakeup,
    commit_placement,
    finish_wakeup,
    place,
    recheck_wakeup,
    wake_idle,
)
from tests.oracle.kernel import Kernel


class Waking(Kernel):
    """The acting CPU wakes tasks."""

    def running(self, cpu: int) -> Task | None:
        """The ordinary task on a CPU, which acts from now on."""
        self.acting = cpu
        rq = self.rqs[cpu]
        return None if rq.curr is rq.idle or self.thread_runs(rq) else rq.curr

    def wake_now(self, p: Task, mask: State, *, sync: bool = False, irq: bool = False) -> None:
        rq = self.rqs[p.cpu]
        self.emit(
            "wake",
            task=p.pid,
            rq=p.cpu,
            mask=int(mask),
            state=int(p.state),
            queued=int(p.array is not None),
            current=int(rq.curr is p),
            sync=int(sync),
        )
        step = begin_wakeup(p, rq, mask)
        if step is WakeStep.PLACE and self._place(p, rq, sync):
            rq = self.rqs[p.cpu]
            queued = int(p.array is not None)
            self.emit("wake_moved", task=p.pid, rq=p.cpu, state=int(p.state), queued=queued)
            step = recheck_wakeup(p, rq, mask)
        if step in (WakeStep.PLACE, WakeStep.SWITCHING_OUT):
            now = self.log_activate(p, rq, irq)
            there = Now(translate_time(now.ns, self.rqs[self.acting], rq), now.jiffies)
            result = finish_wakeup(p, rq, self.acting, there, sync=sync, in_interrupt=irq)
            self.log_resched(result, rq)

    def _place(self, p: Task, rq: Runqueue, sync: bool) -> bool:
        here = self.rqs[self.acting]
        theirs = ours = LoadRead(0, 0)
        if p.cpu != here.cpu and has_cpu(p.cpus_allowed, here.cpu):
            theirs = LoadRead(rq.cpu_load, rq.nr_running)
            ours = LoadRead(here.cpu_load, here.nr_running)
        last_tick = rq.timestamp_last_tick
        to = place(p, here.cpu, here.domains, last_tick, theirs, ours, sync=sync)
        self.emit(
            "place",
            task=p.pid,
            to=to.cpu,
            load=theirs.cpu_load,
            nr=theirs.nr_running,
            this_load=ours.cpu_load,
            this_nr=ours.nr_running,
            last_tick=last_tick,
        )
        return commit_placement(p, rq, to, self._idle_near(p, to.cpu))

    def _idle_near(self, p: Task, chosen: int) -> int:
        domains = self.rqs[chosen].domains
        if not any(sd.has(SDFlag.SHARE_CPUPOWER) for sd in domains):
            return chosen
        found = sum(1 << rq.cpu for rq in self.rqs if rq.curr is rq.idle)
        to = wake_idle(chosen, p, domains, found)
        self.emit("wake_idle", task=p.pid, **{"from": chosen}, to=to, found=found)
        return to
