"""Arrays, tables and colour on 100 columns."""

import os
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH = 100
MANY_ROWS = 8  # longer arrays show their first and last rows
CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32"}


def has_colour(stream: Any = None) -> bool:
    """Whether to colour what goes to `stream` (default: standard output): only on a terminal that can, and never with
    NO_COLOR in the environment (no-color.org)."""
    stream = sys.stdout if stream is None else stream
    terminal = hasattr(stream, "isatty") and stream.isatty()
    return bool(terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


def paint(text: str, style: str, colour: bool) -> str:
    """`text` in a style of CODES, or as it is without colour."""
    return f"\x1b[{CODES[style]}m{text}\x1b[0m" if colour and text else text


def numbers(x: ArrayLike) -> NDArray:
    """x as text: 4 digits after the point, but where that would hide what a number is, 2 or 4 in all.

    >>> numbers([0.5, -0.25, 0.0, 2e-7]).tolist(), numbers([1.5e-9, -2e-9]).tolist()
    (['0.5000', '-0.2500', '0', '2.0e-07'], ['1.500e-09', '-2.000e-09'])
    """
    x = np.asarray(x)
    if x.dtype.kind in "biu":
        return x.astype(str).astype(object)
    largest = np.abs(x[np.isfinite(x)]).max(initial=0)
    text = [_number(value, fixed=bool(1e-2 <= largest < 1e5)) for value in x.ravel().tolist()]
    return np.array(text, dtype=object).reshape(x.shape)


def _number(value: float, fixed: bool) -> str:
    if value == 0:
        return "0"
    if not fixed:
        return f"{value:.3e}"
    return f"{value:.4f}" if abs(value) >= 5e-4 else f"{value:.1e}"


def array_lines(x: ArrayLike, indent: int = 0, width: int = WIDTH) -> list[str]:
    """x (n,) or (N, n), a line a row, shortened in the middle where it is too wide or too long."""
    x = np.atleast_2d(x)
    kept = _ends(len(x), MANY_ROWS)
    rows = numbers(x[[i for i in kept if i is not None]])
    cell = max((len(text) for text in rows.ravel()), default=1) + 2
    keep = _ends(x.shape[1], (width - indent) // cell)
    shown = iter(rows)
    lines = []
    for i in kept:
        row = None if i is None else next(shown)
        cells = ["…" if row is None or j is None else str(row[j]) for j in keep]
        lines.append(" " * indent + "".join(f"{text:>{cell}}" for text in cells))
    return lines


def _ends(n: int, most: int) -> list[int | None]:
    """0..n-1, or the first and last of them with None between, `most` in all."""
    if n <= most:
        return list(range(n))
    first = most // 2
    return [*range(first), None, *range(n - (most - first - 1), n)]


def table(rows: Sequence[Sequence[str]], indent: int = 0, left: int = 1) -> list[str]:
    """Rows of cells as aligned lines; the first `left` columns are aligned left, the others right."""
    widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            f"{cell:<{w}}" if j < left else f"{cell:>{w}}" for j, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((" " * indent + "  ".join(cells)).rstrip())
    return lines


def wrapped(text: str, indent: int = 0, width: int = WIDTH) -> list[str]:
    """Prose in lines of at most `width` columns."""
    return textwrap.wrap(text, width, initial_indent=" " * indent, subsequent_indent=" " * indent)
