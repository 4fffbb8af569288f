"""Sizes and places: encoding in batches, branch relaxation, padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.toolchain.branches import near_form
from harness.toolchain.encoding import Template
from harness.toolchain.errors import AsmError
from harness.toolchain.expression import Node, Op
from harness.toolchain.objects import Align, Anchor, Branch, Code, Data, Section, Space, Symbol
from harness.toolchain.padding import no_operations
from harness.toolchain.readback import finish, refuse
from harness.toolchain.values import NotLinearError, Place, Value, evaluate

if TYPE_CHECKING:
    from harness.toolchain.assembler import Assembler

MAX_PASSES = 200


def encode_pending(assembler: Assembler) -> None:
    """Has Keystone encode every instruction read so far. Raises AsmError for the first bad one."""
    pending, assembler.pending = assembler.pending, []
    requests = []
    for item in pending:
        if isinstance(item, Code):
            requests.append(item.request)
        else:
            requests += [form for form in (item.short, item.near) if form is not None]
    answers = iter(assembler.encoder.encode(requests))
    for item in pending:
        if isinstance(item, Code):
            answer = next(answers)
            if isinstance(answer, str):
                raise refuse(item, answer)
            fixups = finish(item, answer)
            if fixups:
                assembler.fixups[item] = fixups
            continue
        if item.short is not None:
            item.short_code = _branch_code(item, next(answers))[:-1] + b"\0"
        if item.near is not None:
            code = _branch_code(item, next(answers))
            item.near_code = near_form(code, item.near[0])
        item.grown = item.short is None


def _branch_code(item: Branch, answer: Template | str) -> bytes:
    if isinstance(answer, str):
        raise AsmError(f"Keystone refuses this branch: {answer}", item.line)
    return answer.code


def distance(assembler: Assembler, node: Node) -> int | None:
    """The value of an expression whose labels cancel out at distances that are final already."""
    if not _may_cancel(node):
        return None
    if assembler.pending:
        encode_pending(assembler)
    try:
        value = evaluate(node, _place_so_far)
    except (NotLinearError, ZeroDivisionError):
        return None
    return value.number if value.is_number else None


def _may_cancel(node: Node) -> bool:
    """Whether `node` names at least two labels and no symbol without a value."""
    count = 0
    stack = [node]
    while stack:
        leaf = stack.pop()
        if isinstance(leaf, Op):
            stack += (leaf.left, leaf.right)
        elif isinstance(leaf, Symbol) and leaf.anchor is None:
            if leaf.node is None or len(stack) > MAX_PASSES:
                return False
            stack.append(leaf.node)
        else:
            count += not isinstance(leaf, int)
    return count > 1


def _place_so_far(anchor: Anchor) -> Place:
    """Stretches between items whose size may still change are origins of their own."""
    section = anchor.section
    starts = section.starts
    while len(starts) <= anchor.index:
        stretch, offset = starts[-1]
        item = section.items[len(starts) - 1]
        if _is_final(item):
            starts.append((stretch, offset + item.size))
        else:
            starts.append((stretch + 1, 0))
    stretch, offset = starts[anchor.index]
    return (section, stretch), offset + anchor.extra


def _is_final(item: object) -> bool:
    if isinstance(item, Branch):
        return item.short is None or item.near is None
    return isinstance(item, Data | Code)


def final_place(anchor: Anchor) -> Place:
    """Position by the layout computed last; the origin is the section."""
    return anchor.section, anchor.offset()


def lay_out(sections: list[Section]) -> None:
    """Gives every item its place; branches grow until all of them reach.

    Like GNU as: all start short, and none ever shrinks again.
    """
    branches = [
        (section, index, item)
        for section in sections
        for index, item in enumerate(section.items)
        if isinstance(item, Branch) and not item.grown
    ]
    for section in sections:
        section.offsets = [0] * (len(section.items) + 1)
    for _ in range(MAX_PASSES):
        moved = False
        for section in sections:
            moved |= _place_items(section)
        open_branches = []
        for entry in branches:
            section, index, item = entry
            if _reaches(section, index, item):
                open_branches.append(entry)
            elif item.near is not None:
                item.grown = moved = True
        branches = open_branches
        if not moved:
            return
    space = next(i for section in sections for i in section.items if isinstance(i, Space))
    raise AsmError("this size depends on itself", space.line, space.column)


def _place_items(section: Section) -> bool:
    offset = 0
    moved = False
    offsets = section.offsets
    for index, item in enumerate(section.items):
        if offsets[index] != offset:
            offsets[index] = offset
            moved = True
        if isinstance(item, Align):
            item.size = -offset % item.boundary
            if item.limit and item.size > item.limit:
                item.size = 0
        elif isinstance(item, Space):
            item.size = _extent(section, item, offset)
        offset += item.size
    if offsets[-1] != offset:
        offsets[-1] = offset
        moved = True
    return moved


def _extent(section: Section, item: Space, offset: int) -> int:
    value = final_value(item.extent, item)
    if item.is_org and value.origins in ({section: 1}, {}):
        return max(value.number - offset, 0)
    if not item.is_org and value.is_number:
        return max(value.number, 0)
    message = ".org must stay in its section" if item.is_org else "this size is no number"
    raise AsmError(message, item.line, item.column)


def check_spaces(section: Section) -> None:
    """Raises AsmError for an .org that would go backwards or a size below zero."""
    for index, item in enumerate(section.items):
        if isinstance(item, Space):
            value = final_value(item.extent, item)
            have = section.offsets[index] if item.is_org else 0
            if value.number < have:
                what = "moves backwards" if item.is_org else "is negative"
                message = f"this {what}: {value.number:#x} after {have:#x}"
                raise AsmError(message, item.line, item.column)


def final_value(node: Node, item: Space | Branch) -> Value:
    """The value of an operand of `item`. Raises AsmError where it has none."""
    try:
        return evaluate(node, final_place)
    except NotLinearError:
        message = "addresses can only be added and subtracted"
    except ZeroDivisionError:
        message = "division by zero"
    except RecursionError:
        message = "a symbol is defined by itself"
    raise AsmError(message, item.line, item.column)


def branch_value(section: Section, item: Branch) -> tuple[Value, bool]:
    """Where a branch goes, and whether that place is fixed in its own section."""
    value = final_value(item.target, item)
    leaf = value.leaf
    weak = isinstance(leaf, Symbol) and leaf.binding == "weak"
    return value, value.origins == {section: 1} and not weak


def _reaches(section: Section, index: int, item: Branch) -> bool:
    value, near = branch_value(section, item)
    if not near:
        return False
    return -128 <= value.number - (section.offsets[index] + item.size) <= 127


def contents(section: Section) -> bytearray:
    """The bytes of a laid-out section, fields that a fixup covers not yet filled in."""
    out = bytearray()
    for index, item in enumerate(section.items):
        if isinstance(item, Data):
            out += item.data
        elif isinstance(item, Code):
            assert item.template is not None
            out += item.template.code
        elif isinstance(item, Branch):
            out += item.prefix + (item.near_code if item.grown else item.short_code)
        elif isinstance(item, Space):
            out += bytes([item.fill]) * item.size
        elif item.fill is None and item.bits:
            out += no_operations(item.size, item.bits)
        else:
            out += bytes([item.fill or 0]) * item.size
        assert len(out) == section.offsets[index + 1]
    return out
