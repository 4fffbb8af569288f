"""The sample's patches fit the guest as it is, and say so where one does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.mutate.equivalent import EQUIVALENT
from harness.mutate.generic import mutants_of
from harness.mutate.mutant import Edit, Mutant, MutationError
from harness.mutate.patch import Entry, Patch
from harness.mutate.sample import sample
from harness.mutate.tree import Tree

LOCK = "cpu/lock.s"


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree.of()


def test_every_patch_of_the_sample_applies(tree: Tree) -> None:
    mutants = sample(tree)
    assert len({mutant.id for mutant in mutants}) == len(mutants) >= 36
    for mutant in mutants:
        assert all(
            mutant.applied(file, tree.read(file)) != tree.read(file) for file in mutant.files
        )


def test_every_mutant_of_the_sample_breaks_a_rule_or_is_equivalent(tree: Tree) -> None:
    assert [m.id for m in sample(tree) if not m.expected and m.id not in EQUIVALENT] == []


def test_what_is_listed_as_equivalent_is_a_mutant(tree: Tree) -> None:
    known = {mutant.id for mutant in sample(tree)}
    for file in tree.sources():
        known |= {mutant.id for mutant in mutants_of(file, tree.read(file))}
    assert set(EQUIVALENT) <= known
    assert all(len(reason.split()) > 3 for reason in EQUIVALENT.values())


def entry(file: str, function: str, *old: str) -> Entry:
    return Entry("M99", "", (), (Patch(file, function, old, ("nop",)),))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (entry("cpu/lok.s", "spin_lock", "ret"), "M99: the guest has no cpu/lok.s"),
        (entry(LOCK, "spin_luck", "ret"), "M99: cpu/lock.s has no function spin_luck"),
        (entry(LOCK, "spin_lock", "mov eax, 12"), "there 0 times, not once.*\n +mov eax, 12"),
        (entry(LOCK, "spin_lock", "call relax_spin", "ret"), "there 0 times"),
        (entry("sched/array.s", "prio_array_init", "ret", ".list:"), "there 0 times"),
        (entry("sched/array.s", "list_insert", "ret", "ret"), "there 0 times"),
        (entry("sched/busiest.s", "search_imbalance", "jmp .out"), "there 2 times"),
    ],
)
def test_a_patch_that_no_longer_applies_says_which(tree: Tree, wrong: Entry, words: str) -> None:
    with pytest.raises(MutationError, match=words):
        wrong.mutant(tree)


def test_a_patch_looks_past_comments_and_keeps_the_lines_behind_it(tree: Tree) -> None:
    made = entry("sched/array.s", "dequeue_task",
                 "mov qword ptr [rdx + LIST_NEXT], rax",
                 "mov qword ptr [rdi + task.run_list + LIST_NEXT], 0").mutant(tree)  # fmt: skip
    file = "guest/sched/array.s"
    before, after = tree.read(file).split("\n"), made.applied(file, tree.read(file)).split("\n")
    assert len(before) == len(after)
    [edit] = made.edits
    assert before[: edit.first - 1] == after[: edit.first - 1]
    assert before[edit.last :] == after[edit.last :]
    assert after[edit.first - 1].strip() == "nop"


def test_edits_of_one_file_do_not_disturb_each_other() -> None:
    mutant = Mutant("x", "", (Edit("f", 1, 1, ("A", "B")), Edit("f", 3, 3, ())))
    assert mutant.applied("f", "a\nb\nc\nd") == "A\nB\nb\nd"
    assert mutant.applied("g", "a\nb") == "a\nb"


def test_a_tree_is_a_copy_that_its_contents_name(tree: Tree, tmp_path: Path) -> None:
    root, folder = tmp_path / "root", tmp_path / "mutate"
    shutil.copytree(tree.path / "guest", root / "guest")
    shutil.copy(tree.path / "linker.ld", root)
    first = Tree.of(root, folder)
    assert first.sources() == tree.sources()
    assert first.read(f"guest/{LOCK}") == tree.read(f"guest/{LOCK}")
    assert Tree.of(root, folder).path == first.path
    with (root / "guest" / LOCK).open("a") as file:
        file.write("# changed\n")
    second = Tree.of(root, folder)
    assert second.name != first.name
    assert first.read(f"guest/{LOCK}") == tree.read(f"guest/{LOCK}")


def test_the_second_policys_sample_is_the_defects_that_its_guest_can_recreate(tree: Tree) -> None:
    mutants = sample(tree, "veridian")
    assert [m.id for m in mutants] == sorted({m.id for m in mutants})
    assert {"V01", "V07", "V24"} <= {m.id for m in mutants}
    table = tree.read("guest/boot/param_table.s")
    assert "PARAM bug," in table
    assert all(m.params == (("bug", m.id),) and not m.edits for m in mutants)
