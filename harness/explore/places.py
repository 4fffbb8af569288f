"""Where in the guest something happened: the function, which is what findings are told apart by."""

from __future__ import annotations

import bisect
from functools import lru_cache

from harness.toolchain.image import Image


@lru_cache(maxsize=8)
def _functions(image: Image) -> tuple[list[int], list[tuple[int, str]]]:
    found = sorted(
        (symbol.address, symbol.size, symbol.name)
        for symbol in image.symbols.values()
        if symbol.kind == "func" and not symbol.is_absolute
    )
    return [address for address, _, _ in found], [(size, name) for _, size, name in found]


def function_at(image: Image, address: int) -> str:
    """The function that an address is in; the address where it is in none."""
    starts, functions = _functions(image)
    index = bisect.bisect_right(starts, address) - 1
    if index >= 0:
        size, name = functions[index]
        if address - starts[index] < size:
            return name
    return f"{address:#x}"
