"""The same numbers, laid out in memory in different ways."""

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

LAYOUTS = ["by rows", "by columns", "with gaps"]


def laid_out(x: NDArray, layout: str) -> NDArray:
    """A copy of x (N, K)."""
    if layout == "with gaps":
        room = np.full((2 * x.shape[0], 3 * x.shape[1]), np.nan, x.dtype)
        room[::2, ::3] = x
        return room[::2, ::3]
    return np.array(x, order="F" if layout == "by columns" else "C")


def in_every_layout(*arrays: NDArray) -> Iterator[list[NDArray]]:
    """Copies of the arrays, in every combination of layouts."""
    for layouts in product(LAYOUTS, repeat=len(arrays)):
        yield [laid_out(x, layout) for x, layout in zip(arrays, layouts, strict=True)]
