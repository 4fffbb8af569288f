"""Structures of an image as bytes: where each field is, and how wide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from harness.toolchain.image import Image


@dataclass(frozen=True)
class Layout:
    """A structure of the image: offset and width in bytes of each field."""

    size: int
    fields: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, image: Image, structure: str) -> Layout:
        """A field is as wide as the next one is away, as structures here have no holes."""
        offsets = dict(image.layout(structure))
        size = offsets.pop("size")
        starts = sorted({*offsets.values(), size})
        following = dict(pairwise(starts))
        fields = {name: (at, following[at] - at) for name, at in offsets.items() if at < size}
        return cls(size, fields)

    def pack(self, values: Mapping[str, int]) -> bytes:
        """The structure with these fields, negative ones as two's complement, the rest 0."""
        data = bytearray(self.size)
        for name, value in values.items():
            at, width = self.fields[name]
            data[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
        return bytes(data)

    def unpack(self, data: bytes, names: Iterable[str]) -> dict[str, int]:
        """These fields, unsigned."""
        found = {}
        for name in names:
            at, width = self.fields[name]
            found[name] = int.from_bytes(data[at : at + width], "little")
        return found
