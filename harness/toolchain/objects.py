"""What an object file is made of while it is being assembled: symbols, sections, items."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.toolchain.encoding import Template
from harness.toolchain.errors import Line
from harness.toolchain.expression import Node

ALLOC, WRITE, EXEC, MERGE, STRINGS = 2, 1, 4, 0x10, 0x20


@dataclass(eq=False, slots=True)
class Anchor:
    """A place: `extra` bytes into item `index` of `section`; the item may not exist yet."""

    section: Section
    index: int
    extra: int

    def offset(self) -> int:
        """Bytes from the start of the section, by the layout computed last."""
        return self.section.offsets[self.index] + self.extra


@dataclass(eq=False, slots=True)
class Symbol:
    """A name. A label has an `anchor`, a constant or alias a `node`, an import neither."""

    name: str
    anchor: Anchor | None = None
    node: Node | None = None
    line: Line | None = None  # where it was defined
    binding: str = ""  # "", global, weak, local
    declared_extern: bool = False
    declaration: Line | None = None  # first .globl, .weak, .extern, .type, .size or .hidden
    kind: str = ""  # function, object, ...
    size: Node | None = None
    hidden: bool = False
    private: bool = False  # dot-local: never in the symbol table
    used: Line | None = None  # first reference
    used_column: int = -1

    @property
    def defined(self) -> bool:
        """Whether this file gives it a value."""
        return self.anchor is not None or self.node is not None


@dataclass(slots=True)
class Fixup:
    """`size` bytes at `offset` of an item that take the value of `node`.

    `kind`: data (any relocation that fits), abs32 (zero-extended), abs32s (sign-extended), imm (no
    sign known: 8 and 16 bits), pc and branch (relative to `end`, the end of the instruction).
    """

    offset: int
    size: int
    node: Node
    kind: str
    line: Line
    column: int
    end: int = 0


@dataclass(eq=False, slots=True)
class Data:
    """Bytes of data directives; grows until a label-free run ends."""

    data: bytearray = field(default_factory=bytearray)
    fixups: list[Fixup] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes in this item."""
        return len(self.data)


@dataclass(eq=False, slots=True)
class Field:
    """An operand value that is not known while its instruction is encoded: `stand_in`, `size`
    bytes wide, is encoded in its place. `wide`: the CPU extends the field to 64 bits by its sign.
    """

    role: str  # disp, imm, far or pc (a RIP-relative displacement)
    node: Node
    column: int
    stand_in: int
    size: int
    wide: bool


@dataclass(eq=False, slots=True)
class Code:
    """One instruction; `template` is filled when its batch has been encoded."""

    request: tuple[int, str]
    line: Line
    fields: list[Field]
    prefix: bytes = b""
    template: Template | None = None
    expected: object = None

    @property
    def size(self) -> int:
        """Bytes in this item, once encoded."""
        return len(self.prefix) + len(self.template.code) if self.template else 0


@dataclass(eq=False, slots=True)
class Branch:
    """A relative jump or call; starts short where a short form exists and only ever grows."""

    line: Line
    target: Node
    column: int
    prefix: bytes
    short: tuple[int, str] | None
    near: tuple[int, str] | None
    short_code: bytes = b""
    near_code: bytes = b""
    grown: bool = False

    @property
    def size(self) -> int:
        """Bytes in this item as it stands now."""
        return len(self.prefix) + len(self.near_code if self.grown else self.short_code)


@dataclass(eq=False, slots=True)
class Align:
    """Padding to a multiple of `boundary` bytes; `fill` None means no-operations in code."""

    boundary: int
    fill: int | None
    limit: int  # give up where more bytes than this would be needed; 0: never
    bits: int  # 16, 32 or 64 where no-operations are wanted, 0 in data
    size: int = 0


@dataclass(eq=False, slots=True)
class Space:
    """`.zero`/`.org` whose extent is known only after layout."""

    line: Line
    column: int
    extent: Node
    fill: int
    is_org: bool
    size: int = 0


Item = Data | Code | Branch | Align | Space


@dataclass(eq=False, slots=True)
class Section:
    """One section of the object: items in order, `offsets[i]` where item i starts."""

    name: str
    flags: int
    kind: str  # progbits, nobits, note
    entry_size: int
    line: Line | None
    items: list[Item] = field(default_factory=list)
    offsets: list[int] = field(default_factory=lambda: [0])
    starts: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    alignment: int = 1
    index: int = 0

    def here(self) -> Anchor:
        """The place where the next byte will go."""
        items = self.items
        if items:
            last = items[-1]
            if isinstance(last, Data):
                return Anchor(self, len(items) - 1, len(last.data))
        return Anchor(self, len(items), 0)

    def data(self) -> Data:
        """The item that takes the next data bytes."""
        items = self.items
        if items:
            last = items[-1]
            if isinstance(last, Data):
                return last
        new = Data()
        items.append(new)
        return new

    @property
    def size(self) -> int:
        """Bytes in the section, by the layout computed last."""
        return self.offsets[-1]
