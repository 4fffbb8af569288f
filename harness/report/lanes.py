"""A run in the terminal: one lane for each CPU, a letter for each task, time from left to right.

::

          0 ns         each column 10 ms         400 ms
    CPU 0 AAAAAAAAAABBBBBBBBBBCCCCCCCCCCAAAAAAAAAA
                    x         x         x

    A hog/0 (1) 200 ms   B hog/1 (2) 100 ms   C hog/2 (3) 100 ms
    x slice ended
"""

from __future__ import annotations

import string
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from harness.report.timeline import TaskName, Timeline, Turn, timeline
from harness.trace.grammar import Event
from harness.trace.trace import Trace

LETTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits
"""For tasks, those that ran longest first; the rest share OTHERS."""

IDLE, OTHERS, SEVERAL, NOTHING = ".", "+", "*", " "

MARKS: Mapping[str, str] = {"activate": "w", "ipi_recv": "i", "expire": "x"}
"""Events that are marked below a lane unless others are asked for. Others get their initial."""

_MEANINGS: Mapping[str, str] = {
    "activate": "wake-up",
    "ipi_recv": "interrupt from another CPU",
    "expire": "slice ended",
}

_COLOURS = ("green", "yellow", "blue", "magenta", "cyan", "red")
_LEAST_COLUMNS = 10
_BETWEEN = "   "


@dataclass(frozen=True)
class Selection:
    """What of a run is shown. An empty set, or ``None``, leaves nothing out."""

    cpus: frozenset[int] = frozenset()
    tasks: frozenset[str] = frozenset()
    """Names, numbers, or names of groups: ``hog`` is ``hog/0``, ``hog/1`` and so on."""
    events: frozenset[str] = frozenset()
    start: int | None = None
    """Nanoseconds of the guest's clock, as ``end``."""
    end: int | None = None

    def cpu(self, cpu: int) -> bool:
        return not self.cpus or cpu in self.cpus

    def task(self, task: TaskName) -> bool:
        return not self.tasks or any(task.called(name) for name in self.tasks)

    def event(self, event: Event, line: Timeline) -> bool:
        """Whether an event is among those that are shown, by where it took effect."""
        late = self.end is not None and event.ns > self.end
        early = self.start is not None and event.ns < self.start
        if late or early or not self.cpu(affected(event)):
            return False
        if self.events and event.name not in self.events:
            return False
        about = line.about.get(event.seq, {}).values()
        return not self.tasks or any(self.task(task) for task in about)


def affected(event: Event) -> int:
    """The CPU on whose lane an event belongs: a wake-up's is that of the woken task."""
    return event.number("rq") if event.name == "activate" else event.cpu


class Lanes:
    """The lanes as rich prints them, as wide as the terminal."""

    def __init__(self, trace: Trace, selection: Selection | None = None) -> None:
        self._trace = trace
        self._selection = selection or Selection()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = timeline(self._trace)
        window = _window(line, self._selection)
        shown = [cpu for cpu in line.turns if self._selection.cpu(cpu)]
        if window is None or not shown:
            yield Text("nothing happened there")
            return
        head = max(len(f"CPU {cpu} ") for cpu in shown)
        columns = max(options.max_width - head, _LEAST_COLUMNS)
        scale = Scale(*window, min(columns, window[1] - window[0]))
        times = _run_times([turn for cpu in shown for turn in line.turns[cpu]], scale)
        letters = self._letters(times)
        yield Text(" " * head + scale.axis())
        marks = _marks(self._trace, line, self._selection, scale)
        for cpu in shown:
            yield Text(f"CPU {cpu} ".ljust(head)) + _lane(line.turns[cpu], scale, letters)
            if below := marks.line(cpu, scale.columns):
                yield Text(" " * head + below)
        yield Text()
        yield from _filled(_legend(times, letters), options.max_width)
        yield from _filled(marks.meanings(), options.max_width)

    def _letters(self, times: Counter[TaskName]) -> dict[TaskName, Text]:
        """The letter of each task, in its colour."""
        letters = {}
        wanted = [task for task, _ in times.most_common() if self._selection.task(task)]
        busy = [task for task in wanted if not task.idle]
        for number, task in enumerate(busy[: len(LETTERS)]):
            letters[task] = Text(LETTERS[number], _COLOURS[number % len(_COLOURS)])
        return letters


def lanes(trace: Trace, selection: Selection | None = None) -> Lanes:
    """Who ran when, with wake-ups, interrupts and ended slices marked."""
    return Lanes(trace, selection)


def event_list(trace: Trace, selection: Selection | None = None) -> Iterator[str]:
    """The events one by one, tasks with their names; time in microseconds."""
    selection = selection or Selection()
    line = timeline(trace)
    for event in trace.events:
        if selection.event(event, line):
            about = line.about.get(event.seq, {})
            _, _, _, _, *words, _ = str(event).split(" ")
            for position, word in enumerate(words):
                key = word.partition("=")[0]
                if key in about:
                    words[position] = f"{word}({about[key].name})"
            moment = f"{event.ns / 1000:>14.3f} us"
            yield f"{event.seq:>8} {moment}  CPU {event.cpu}  {' '.join(words)}"


@dataclass(frozen=True)
class Scale:
    """A window of time, in ns, and the columns that show it."""

    start: int
    end: int
    columns: int

    def column(self, ns: int) -> int:
        """The column of a moment inside the window."""
        return min((ns - self.start) * self.columns // (self.end - self.start), self.columns - 1)

    def edge(self, column: int) -> int:
        """The first moment of a column, rounded up: no earlier one belongs to it."""
        return self.start - -(self.end - self.start) * column // self.columns

    def axis(self) -> str:
        """Both ends of the window and what a column stands for."""
        left, right = duration(self.start), duration(self.end)
        middle = f"each column {duration((self.end - self.start) // self.columns)}"
        room = self.columns - len(left) - len(right)
        return f"{left}{middle:^{room}}{right}" if room > len(middle) else f"{left} .. {right}"


def duration(ns: int) -> str:
    """Nanoseconds for people: three or four figures and a unit."""
    value = float(ns)
    for unit in ("ns", "us", "ms"):
        if value < 1000:
            return f"{value:.4g} {unit}"
        value /= 1000
    return f"{value:.4g} s"


def _window(line: Timeline, selection: Selection) -> tuple[int, int] | None:
    start = line.start if selection.start is None else max(selection.start, line.start)
    end = line.end if selection.end is None else min(selection.end, line.end)
    return (start, end) if line.turns and start < end else None


def _inside(turns: Sequence[Turn], scale: Scale) -> Iterator[tuple[TaskName, int, int]]:
    """The parts of turns that lie in the window."""
    for turn in turns:
        start, end = max(turn.start, scale.start), min(turn.end, scale.end)
        if start < end:
            yield turn.task, start, end


def _run_times(turns: Sequence[Turn], scale: Scale) -> Counter[TaskName]:
    times: Counter[TaskName] = Counter()
    for task, start, end in _inside(turns, scale):
        times[task] += end - start
    return times


def _lane(turns: Sequence[Turn], scale: Scale, letters: Mapping[TaskName, Text]) -> Text:
    """In each column, who ran longest in its time."""
    longest: dict[int, Counter[TaskName]] = defaultdict(Counter)
    for task, start, end in _inside(turns, scale):
        for column in range(scale.column(start), scale.column(end - 1) + 1):
            left, right = max(start, scale.edge(column)), min(end, scale.edge(column + 1))
            longest[column][task] += max(right - left, 0)
    lane = Text()
    for column in range(scale.columns):
        lane.append_text(_symbol([task for task, _ in longest[column].most_common(1)], letters))
    return lane


def _symbol(ran: Sequence[TaskName], letters: Mapping[TaskName, Text]) -> Text:
    if not ran:
        return Text(NOTHING)
    return Text(IDLE, "dim") if ran[0].idle else letters.get(ran[0], Text(OTHERS))


@dataclass
class _Marks:
    """What is drawn below the lanes, and which events that stands for."""

    lines: dict[int, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    """Marks by CPU and column."""
    names: set[str] = field(default_factory=set)
    several: bool = False

    def line(self, cpu: int, columns: int) -> str:
        found = self.lines.get(cpu, {})
        return "".join(found.get(column, NOTHING) for column in range(columns)).rstrip()

    def meanings(self) -> Iterator[Text]:
        for name in sorted(self.names):
            yield Text(f"{_mark(name)} {_MEANINGS.get(name, name)}")
        if self.several:
            yield Text(f"{SEVERAL} several of them")


def _marks(trace: Trace, line: Timeline, selection: Selection, scale: Scale) -> _Marks:
    marks = _Marks()
    for event in trace.of(*(selection.events or MARKS)):
        if scale.start <= event.ns <= scale.end and selection.event(event, line):
            drawn = marks.lines[affected(event)]
            column, mark = scale.column(event.ns), _mark(event.name)
            drawn[column] = mark if drawn.get(column, mark) == mark else SEVERAL
            marks.several |= drawn[column] == SEVERAL
            marks.names.add(event.name)
    return marks


def _mark(name: str) -> str:
    return MARKS.get(name, name[0])


def _legend(times: Counter[TaskName], letters: Mapping[TaskName, Text]) -> Iterator[Text]:
    """Letters and names, with the time that each task ran in the window."""
    for task, letter in letters.items():
        words = f" {task.name} ({task.number}) {duration(times[task])}"
        yield letter.copy().append(words, style="default")
    if any(not task.idle and task not in letters for task in times):
        yield Text(f"{OTHERS} other tasks")
    if any(task.idle for task in times):
        yield Text(f"{IDLE} idle", "dim")


def _filled(entries: Iterable[Text], width: int) -> Iterator[Text]:
    """Lines of as many whole entries as fit."""
    line = Text()
    for entry in entries:
        if line and len(line) + len(_BETWEEN) + len(entry) > width:
            yield line
            line = Text()
        line.append_text(Text(_BETWEEN if line else "") + entry)
    if line:
        yield line
