"""Documents as trees that remember where every value stands, and a cursor that reads them strictly.

YAML and (lenient) JSON text both become `Node`s; a `Cursor` is a node plus its path, and turns
every surprise into one `WorkloadError` with path, file, line and column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

import yaml

from harness.workload.errors import WorkloadError, suggest
from harness.workload.model import Path

Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Mark:
    """Line and column, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class ScalarNode:
    value: Scalar
    mark: Mark


@dataclass(frozen=True, slots=True)
class ListNode:
    items: tuple[Node, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class MapNode:
    """Pairs in the order of the text; a key may occur twice, which only some readers accept."""

    pairs: tuple[tuple[str, Mark, Node], ...]
    mark: Mark


Node: TypeAlias = ScalarNode | ListNode | MapNode


_MAX_NODES = 500_000  # a few lines of nested aliases can otherwise stand for billions of values


def parse_yaml(text: str, file: str) -> Node:
    """The tree of one YAML document. Raises WorkloadError for text that is not YAML."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise WorkloadError((), "the file is empty", file)
        return _Converter(file).convert(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = file if mark is None else f"{file}:{mark.line + 1}:{mark.column + 1}"
        raise WorkloadError((), f"not YAML: {error.problem}", place) from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise WorkloadError((), f"not YAML: {reason}", file) from error
    except RecursionError as error:
        raise WorkloadError((), "the values nest too deep, or contain themselves", file) from error


class _Converter:
    """PyYAML's nodes to ours."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.nodes = 0

    def convert(self, node: yaml.Node) -> Node:
        mark = _mark(node)
        self.nodes += 1
        if self.nodes > _MAX_NODES:
            raise WorkloadError((), f"more than {_MAX_NODES} values", self.file)
        if isinstance(node, yaml.SequenceNode):
            return ListNode(tuple(self.convert(item) for item in node.value), mark)
        if isinstance(node, yaml.MappingNode):
            return MapNode(tuple(self.pair(key, value) for key, value in node.value), mark)
        return ScalarNode(_scalar(node, f"{self.file}:{mark.line}:{mark.column}"), mark)

    def pair(self, key: yaml.Node, value: yaml.Node) -> tuple[str, Mark, Node]:
        mark = _mark(key)
        if not isinstance(key, yaml.ScalarNode):
            place = f"{self.file}:{mark.line}:{mark.column}"
            raise WorkloadError((), "a key must be a word", place)
        return str(key.value), mark, self.convert(value)


def _mark(node: yaml.Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def _scalar(node: yaml.Node, place: str) -> Scalar:
    constructor = yaml.constructor.SafeConstructor()
    try:
        value: object = constructor.construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        raise WorkloadError((), f"cannot read {node.value!r}: {error}", place) from error
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(node.value)  # a date: the words as they stand


def describe(node: Node) -> str:
    """What a node is, for messages."""
    match node:
        case ListNode():
            return "a list"
        case MapNode():
            return "a mapping"
        case ScalarNode(value=None):
            return "nothing"
        case ScalarNode(value=bool() as value):
            return f"the boolean {str(value).lower()} (quote it if it is a name)"
        case ScalarNode(value=value):
            return f"the {'text' if isinstance(value, str) else 'number'} {value!r}"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A node, the path that leads to it, and the file it stands in."""

    node: Node
    path: Path
    file: str
    mark: Mark

    @classmethod
    def root(cls, node: Node, file: str) -> Cursor:
        return cls(node, (), file, node.mark)

    def error(self, reason: str) -> WorkloadError:
        place = f"{self.file}:{self.mark.line}:{self.mark.column}"
        return WorkloadError(self.path, reason, place)

    def fail(self, reason: str) -> NoReturn:
        raise self.error(reason)

    def expected(self, what: str) -> WorkloadError:
        return self.error(f"expected {what}, found {describe(self.node)}")

    def text(self, what: str = "a word") -> str:
        if isinstance(self.node, ScalarNode) and isinstance(self.node.value, str):
            return self.node.value
        raise self.expected(what)

    def integer(self, what: str = "a whole number") -> int:
        if isinstance(self.node, ScalarNode) and type(self.node.value) is int:
            return self.node.value
        raise self.expected(what)

    def boolean(self) -> bool:
        if isinstance(self.node, ScalarNode) and isinstance(self.node.value, bool):
            return self.node.value
        raise self.expected("true or false")

    def items(self, what: str = "a list") -> list[Cursor]:
        if not isinstance(self.node, ListNode):
            raise self.expected(what)
        return [
            Cursor(item, (*self.path, index), self.file, item.mark)
            for index, item in enumerate(self.node.items)
        ]

    def pairs(self, what: str = "a mapping") -> Iterator[tuple[str, Cursor]]:
        """Keys with their values in the order of the text, repeated keys included; marks are the
        keys'.
        """
        if not isinstance(self.node, MapNode):
            raise self.expected(what)
        for key, mark, value in self.node.pairs:
            yield key, Cursor(value, (*self.path, key), self.file, mark)

    def mapping(
        self, known: Iterable[str] | None = None, what: str = "a mapping"
    ) -> dict[str, Cursor]:
        """The pairs as a dict; a key given twice, or not among `known`, is an error."""
        allowed = None if known is None else list(known)
        found: dict[str, Cursor] = {}
        for key, value in self.pairs(what):
            if key in found:
                value.fail(f"key {key!r} is given twice")
            if allowed is not None and key not in allowed:
                value.fail(f"unknown key {key!r}{suggest(key, allowed)}")
            found[key] = value
        return found

    def follow(self, path: Path) -> Cursor:
        """The cursor at `path` below this one, or at as much of it as exists."""
        cursor = self
        for part in path:
            child = cursor._child(part)
            if child is None:
                break
            cursor = child
        return cursor

    def _child(self, part: str | int) -> Cursor | None:
        match self.node, part:
            case ListNode(items=items), int() if part < len(items):
                return Cursor(items[part], (*self.path, part), self.file, items[part].mark)
            case MapNode(pairs=pairs), str():
                for key, mark, value in pairs:
                    if key == part:
                        return Cursor(value, (*self.path, part), self.file, mark)
        return None


def relocate(error: WorkloadError, root: Cursor) -> WorkloadError:
    """The same error with the place in the file that its path leads to."""
    mark = root.follow(error.path).mark
    return WorkloadError(error.path, error.reason, f"{root.file}:{mark.line}:{mark.column}")
