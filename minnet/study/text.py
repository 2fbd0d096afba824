"""Arrays, tables and colour on 100 columns."""

import os
import sys
import textwrap
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH = 100
MANY_ROWS = 8  # longer arrays show their first and last rows
CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32"}


def has_colour() -> bool:
    """Whether to colour standard output: if it is a terminal that can, unless the environment has
    NO_COLOR (no-color.org)."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, colour: bool) -> str:
    """`text` in a style of CODES; unchanged without colour or style."""
    return f"\x1b[{CODES[style]}m{text}\x1b[0m" if colour and text and style else text


def numbers(x: ArrayLike) -> NDArray:
    """x as text, with 4 decimals; with 2 or 4 digits and an exponent where that would lose them.

    >>> numbers([0.5, -0.25, 0.0, 2e-7]).tolist(), numbers([1.5e-9, -2e-9]).tolist()
    (['0.5000', '-0.2500', '0', '2.0e-07'], ['1.500e-09', '-2.000e-09'])
    """
    x = np.asarray(x)
    if x.dtype.kind in "biu":
        return x.astype(str).astype(object)
    fixed = 1e-2 <= np.abs(x[np.isfinite(x)]).max(initial=0) < 1e5
    text = [_number(value, fixed) for value in x.ravel().tolist()]
    return np.array(text, dtype=object).reshape(x.shape)


def _number(value: float, fixed: bool) -> str:
    if value == 0:
        return "0"
    if not fixed:
        return f"{value:.3e}"
    return f"{value:.1e}" if abs(value) < 5e-4 else f"{value:.4f}"


def array_lines(x: ArrayLike, indent: int = 0, width: int = WIDTH) -> list[str]:
    """x (n,) or (N, n) as one line per row, with … for the middle if it is too wide or too long."""
    x = np.atleast_2d(x)
    rows = _ends(len(x), MANY_ROWS)
    text = numbers(x[rows])
    cell = max(map(len, text.ravel()), default=1) + 2
    columns = _ends(x.shape[1], (width - indent) // cell)
    text = text[:, columns]
    if len(rows) < len(x):
        text[len(rows) // 2] = "…"
    if len(columns) < x.shape[1]:
        text[:, len(columns) // 2] = "…"
    return [" " * indent + "".join(f"{word:>{cell}}" for word in row) for row in text]


def _ends(n: int, most: int) -> NDArray:
    """0..n-1; or `most` of them, the first and the last, with one between that stands for
    others."""
    first = most // 2
    return np.arange(n) if n <= most else np.r_[: first + 1, n - (most - first - 1) : n]


def table(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows of cells as lines: the first `left` columns aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, "<" * left + ">" * len(row), strict=False)
        lines.append("  ".join(f"{cell:{side}{width}}" for cell, width, side in cells).rstrip())
    return lines


def wrapped(text: str, indent: int = 0, hyphens: bool = True) -> list[str]:
    """Prose as lines of at most WIDTH columns; without `hyphens`, names like y-minus-p stay
    whole."""
    space = " " * indent
    return textwrap.wrap(
        text, WIDTH, initial_indent=space, subsequent_indent=space, break_on_hyphens=hyphens
    )
