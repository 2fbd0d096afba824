"""What the first lines of a text file show: its delimiter, its decimal mark, whether it has names;
and what its cells mean.
"""

import contextlib
import csv
import functools
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.data.table import GROUPED, MISSING, TARGETS, as_number

Row = list[str]

SHARE = 0.5  # of the records must have as many cells as each other
POINT, COMMA = (re.compile(rf"[-+]?\d*{mark}?\d+(?:[eE][-+]?\d+)?") for mark in (r"\.", ","))
DIGIT = re.compile(r"\d")


class Cells:
    """What cells mean, where these are missing besides MISSING: as text, or as numbers. `word` is
    the text of a cell, "" if it is missing; those alike are mostly one object."""

    def __init__(self, missing: tuple[str, ...], decimal: str = ".") -> None:
        self.missing = MISSING | {cell.strip().lower() for cell in missing}
        numbers = [as_number(cell) for cell in missing]
        self.marks = [number for number in numbers if number is not None and number == number]
        self.points = {ord(","): ".", ord("."): "x"} if decimal == "," else {}
        self.gaps = dict[str, str]()  # how missing cells were spelled
        self.word = functools.lru_cache(1 << 16)(self._word)

    def _word(self, cell: str) -> str:
        cell = cell.strip()
        gone = cell.lower() in self.missing or (self.marks and as_number(cell) in self.marks)
        return "" if gone else cell

    def numbers(self, cells: Row) -> tuple[NDArray, list[int]]:
        """The plain numbers in the cells (n,), NaN where none is, and the places of text."""
        known, text = cells, list[int]()
        if self.gaps:
            known = [self.gaps.get(cell, cell) for cell in cells]
        if self.points:
            known = [cell.translate(self.points) for cell in known]
        try:  # all at once; one by one if there is text, or a gap that is spelled in a new way
            X = np.array(known if is_plain("".join(cells)) else "text", np.float64)
        except ValueError:
            found = list(map(self._number, cells))
            text = [i for i, number in enumerate(found) if number is None]
            X = np.array(found, np.float64)
        return self.blank(X), text

    def _number(self, cell: str) -> float | None:
        if cell.strip().lower() in self.missing:
            self.gaps[cell] = "nan"
            return math.nan
        with contextlib.suppress(ValueError):
            return float(cell.translate(self.points)) if is_plain(cell) else None
        return None

    def blank(self, X: NDArray) -> NDArray:
        """X with NaN where a number says that it is missing."""
        if self.marks:
            X[np.isin(X, self.marks)] = math.nan
        return X


def is_plain(written: str) -> bool:
    """Whether Python tells numbers as we do: it takes 1_0 for one, and digits of other scripts."""
    return written.isascii() and "_" not in written


def cells(lines: Iterable[str], delimiter: str) -> Any:
    """The rows of these lines."""
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def unspaced(line: str) -> str:
    """A line with spaces alone between its cells."""
    return f"{line.replace(chr(9), ' ').strip()}\n"


def delimiter_of(lines: list[str]) -> tuple[str, bool]:
    """Tab, semicolon, | or comma, whichever cuts these lines into the same number of cells, or a
    space for runs of spaces; and whether it does."""
    spaced, shares, ranks = [*map(unspaced, lines)], dict[str, float](), dict[str, float]()
    for delimiter in "\t;|, ":
        widths: list[int] = []
        with contextlib.suppress(csv.Error):  # the last cell may be cut
            widths.extend(map(len, cells(spaced if delimiter == " " else lines, delimiter)))
        (width, count), *_ = Counter(widths).most_common(1) or [(1, 0)]
        shares[delimiter] = (width > 1) * count / max(1, len(widths))
        ranks[delimiter] = shares[delimiter] / (2 if widths[:1] == [1] else 1)
    best = max("\t;|,", key=lambda delimiter: ranks[delimiter])  # the first of those alike
    commas = [cell for line in spaced for cell in line.split() if "," in cell]
    spaces = best == "," and shares[" "] == 1 and all(map(COMMA.fullmatch, commas))
    if spaces or not shares[best]:
        best = " " if shares[" "] >= SHARE else ","
    return best, shares[best] >= (SHARE if len(lines) > 9 else 1e-9)


def unique(names: list[str], notes: list[str]) -> list[str]:
    """The names, of which none is empty or stands twice any more; notes say what was done."""
    made, twice = dict[str, None](), list[str]()
    for j, name in enumerate(names):
        new = name or f"x{j}"
        if new in made:
            spelled = (f"{name}.{i}" for i in itertools.count(1))
            new = next(new for new in spelled if new not in made and new not in names)
            twice.append(f"two columns have the name {name!r}: the second one is {new!r}")
        made[new] = None
    notes += [*twice[:3], *[f"so it is with {len(twice) - 3} more"] * (len(twice) > 3)]
    return list(made)


def columns_of(rows: list[Row]) -> tuple[list[Row], int]:
    """The columns below the first row, and how many cells most rows have."""
    below = [row for row in rows[1:] if row[0][:1] != "#"]
    below = below or [row for row in rows[1:] if len(row) == len(rows[0])]
    usual = Counter(map(len, below or rows)).most_common(1)[0][0]
    return list(map(list, zip(*(row for row in below if len(row) == usual), strict=True))), usual


def filled(cells: Row) -> int:
    """How many cells there are up to the last one that is not empty."""
    return max((j for j, cell in enumerate(cells, 1) if cell), default=0)


def is_word(cell: str) -> bool:
    """Whether a cell has letters and is no number."""
    return as_number(cell) is None and any(map(str.isalpha, cell))


def are_names(cells: Row) -> bool:
    """Whether all cells are words, or rising years or 0, 1, 2, ..., and each a different one. The
    first may be empty: it is above row names."""
    names = [cell.strip() for cell in cells if cell.strip() or cell is not cells[0]]
    words = list(filter(is_word, names))
    years = [int(name) if name.isdecimal() else -1 for name in names if name not in words]
    rising = len(years) > 1 and years == sorted({*years}) and years[0] > 1500 and years[-1] < 2100
    counted = len(names) > 2 and names == [*map(str, range(len(names)))]
    return len({*names}) == len(names) > 0 and (not years or counted or rising)


def votes(top: Row, columns: list[Row]) -> int:
    """How many more cells of the first row look like names than like data. A name is a word that is
    asked for, or above numbers, or without a digit above cells that all have one; a word that
    stands below again is none."""
    count = 0
    for name, column in zip(map(str.strip, top), columns, strict=False):
        below = {*map(str.strip, column)}
        given = [cell for cell in below if cell.lower() not in MISSING]
        if not is_word(name) or name in below:
            count -= name in below and is_word(name)
        elif name.lower() in TARGETS:
            count += 1
        elif given and all(any(map(str.isdigit, cell)) for cell in given):
            count += all(as_number(cell) is not None for cell in given) or not DIGIT.search(name)
    return count


def decimal_of(columns: list[Row], semicolon: bool, known: str) -> str:
    """The decimal mark: what stands in most columns of numbers, where it does not group them."""
    votes, unclear = Counter[str](), False
    for column in columns:
        given = {cell for cell in map(str.strip, column) if cell.lower() not in MISSING}
        for mark, pattern, other in ((".", POINT, ","), (",", COMMA, ".")):
            marked = [cell for cell in given if mark in cell]
            if marked and all(pattern.fullmatch(cell.removesuffix(mark)) for cell in given):
                grouped = all(map(GROUPED[other].fullmatch, marked))
                votes[mark] += not grouped
                unclear |= grouped and mark == ","
    if votes["."] != votes[","]:
        return max(".,", key=lambda mark: votes[mark])
    return known or ("," if unclear and semicolon else ".")
