"""What a cell of a text file holds, and how a message shows it."""

import math
from collections.abc import Iterable

from minnet.errors import DataError

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))  # in any case of letters


def as_number(cell: str) -> float | None:
    """The number in a cell, NaN where it is missing, None where it is text.

    >>> [as_number(cell) for cell in (" 1e3", "NA", "1_0", "0x10")]
    [1000.0, nan, None, None]
    """
    cell = cell.strip()
    try:
        if cell.isascii() and "_" not in cell:  # as np.loadtxt has it
            return float(cell)
    except ValueError:
        pass
    return math.nan if cell.lower() in MISSING else None


def as_text(cell: str) -> str:
    """A cell of text without the spaces around it; "" where it is missing."""
    cell = cell.strip()
    return "" if cell.lower() in MISSING else cell


def is_text(column: Iterable[str]) -> bool:
    """Whether any cell is neither a number nor missing."""
    return any(as_number(cell) is None for cell in column)


def no_number(place: str, cell: str) -> DataError:
    """What to raise for a cell of text among numbers."""
    advice = "correct it, or train with the column in data.categorical"
    return DataError(f"{place} holds {short(cell)}, no number: {advice}")


def short(text: str) -> str:
    """Quoted, on one line, and not too long."""
    return repr(str(text) if len(text) <= 40 else f"{text[:37]}...")
