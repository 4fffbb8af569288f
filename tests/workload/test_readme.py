"""Every example in the workloads' document is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import harness.workload
from harness.workload import WorkloadError, encode, library_names, rtapp
from harness.workload.document import parse
from harness.workload.model import Loop, Step, walk
from harness.workload.steps import STEP_WORDS

README = (Path(harness.workload.__file__).parent / "README.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", blocks("yaml"), ids=lambda text: text.split("\n")[0])
def test_good_examples_encode(text: str) -> None:
    assert encode(parse(text))


def test_bad_examples_give_the_message_shown() -> None:
    bad, messages = blocks("yaml bad"), blocks("text")
    assert len(bad) == len(messages) == 2
    for text, message in zip(bad, messages, strict=True):
        with pytest.raises(WorkloadError) as caught:
            parse(text, message.split(":")[0])
        assert str(caught.value) == message.strip()


def test_the_rtapp_example_encodes() -> None:
    (text,) = blocks("json")
    assert rtapp.is_rtapp(text, "example.json")
    assert encode(rtapp.parse(text))


def test_the_python_example_runs() -> None:
    (text,) = blocks("python")
    names: dict[str, object] = {}
    exec(text, names)
    assert isinstance(names["blob"], bytes)


def test_every_kind_of_step_is_shown() -> None:
    (text,) = (text for text in blocks("yaml") if "every-step" in text)
    for word in STEP_WORDS:
        assert re.search(rf"- {word}\b", text), word
    shown = {type(s) for task in parse(text).tasks for _, s in walk(task.program, ())}
    assert shown == set(Step.__args__)
    assert any(isinstance(s, Loop) for task in parse(text).tasks for s in task.program)


def test_the_library_is_listed() -> None:
    table = README.split("## The library")[1]
    listed = [
        name
        for row in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
        for name in row.split(", ")
    ]
    assert listed[1:] == library_names()
