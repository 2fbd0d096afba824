"""A table: columns of numbers and of text, the labels, and what messages call each row.

What a cell means is decided here, and here is the one search for a number that is not finite.
"""

import functools
import math
import re
import reprlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.errors import ConfigError, DataError, did_you_mean, short

WORDS = "#n/a #na -1.#ind -1.#qnan -nan 1.#ind 1.#qnan <na> n/a na nan none null"
# what pandas reads as missing, in upper or lower case, and three marks that people write
MISSING = frozenset(("", "#n/a n/a", "?", "-", ".", *WORDS.split()))
AMOUNT = re.compile(r"([-+]?)[$€£¥]?\s*([^\s%€](?:.*[^\s%€])?)\s*€?\s*(%?)")
GROUPED = {  # thousands are grouped by these, if the decimal mark is a point, or a comma
    decimal: re.compile(
        rf"([-+]?[1-9]\d{{0,2}}(?:([{mark} '\u00a0\u202f\u2019])\d{{3}})(?:\2\d{{3}})*)"
        rf"(?:[{decimal}](\d*))?"
    )
    for decimal, mark in (".,", ",.")
}
BLOCK = 1 << 19  # numbers in memory at a time, where rows are passed over in blocks
SPARSE = 1 << 12  # sparse rows in memory at a time
LABEL = re.compile(r"[-+]?(0|[1-9]\d*)(\.\d*)?([eE][-+]?\d+)?", re.ASCII)  # 007 is text
TARGETS = ["target", "label", "class", "y"]  # what the column of labels is often called
Test = Callable[[Any], Any]  # of each number
FINITE = "every value must be a finite number"


@dataclass(frozen=True)
class Reading:
    """How to read a file.

    target: the column of labels, by name or place, which is read as text; "": the one that is
    called so, else the last; None if there is none. text: other columns to read as text. header:
    whether the first row holds names; None to detect it. missing: cells that are missing, besides
    MISSING. decimal: the decimal mark where the file does not show it, "" if it is not known.
    columns: all those of the training file, in order. Where no labels are needed, the target may
    be missing. Svmlight: `features` is D; `base` is the lowest index, 0 or 1, None to detect it.
    """

    target: str | int | None = ""
    text: tuple[str | int, ...] = ()
    header: bool | None = None
    missing: tuple[str, ...] = ()
    decimal: str = ""
    columns: tuple[str, ...] = ()
    labels: bool = True
    features: int | None = None
    base: int | None = None


@dataclass
class Table:
    """Rows of columns of numbers, X, and of text. A missing cell is NaN in X, and "" in text.

    `order`: all columns as the file has them, if text is among them. `numbers`: what messages call
    the rows, such as their lines; None: their places from 0. `named`: whether the columns have
    names of their own. `reading`: how a text file was read, as keywords of Reading. `notes`: what
    reading decided. The rows of an arrays.OnDisk are read, and checked, when they are taken.
    """

    path: str
    names: list[str]
    X: Any  # (n, D) float64, scipy csr or arrays.OnDisk
    text: dict[str, NDArray] = field(default_factory=dict)  # (n,) str objects each
    y: NDArray | None = None  # (n,) whole numbers, bool or str objects
    numbers: NDArray | None = None  # (n,)
    named: bool = False
    reading: dict[str, Any] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return int(self.X.shape[0])

    @property
    def sparse(self) -> bool:
        """Whether rows of X are csr."""
        return hasattr(self.X[:0], "tocsr")

    @functools.cached_property
    def places(self) -> dict[str, int]:
        """The place of each column of X by name."""
        return {name: j for j, name in enumerate(self.names)}

    @property
    def columns(self) -> list[str]:
        """The names of all columns, as the file has them, or those of numbers first."""
        return self.order or [*self.names, *self.text]

    @property
    def unit(self) -> str:
        """What `numbers` count: the lines of a text file, or rows."""
        return "line" if {"header", "base"} & self.reading.keys() else "row"

    def place(self, row: int, column: str) -> str:
        """The start of a message: "FILE: line 7, column 'age'"."""
        number = row if self.numbers is None else self.numbers[row]
        return f"{self.path}: {self.unit} {number}, column {column!r}"

    def take(self, which: Any) -> "Table":
        """The rows of a slice, a mask or row numbers, in memory."""
        rows = places(which, len(self))
        text = {name: cells[rows] for name, cells in self.text.items()}
        y = None if self.y is None else self.y[rows]
        numbers = rows if self.numbers is None else self.numbers[rows]
        return replace(self, X=self.X[which], text=text, y=y, numbers=numbers)

    def blocks(self, rows: int | None = None) -> Iterator["Table"]:
        """All rows in order and in memory, `rows` of them at a time, or BLOCK numbers."""
        step = rows or (SPARSE if self.sparse else max(1, BLOCK // max(1, self.X.shape[1])))
        for start in range(0, len(self), step):
            yield self.take(slice(start, start + step))

    def row(self, row: int) -> dict[str, Any]:
        """The cells of one row, by column."""
        X = self.X[[row]]
        numbers = (X.toarray() if self.sparse else X)[0].tolist()
        text = {name: cells[row] for name, cells in self.text.items()}
        return dict(zip(self.names, numbers, strict=True)) | text

    def first(self, test: Test) -> tuple[int, str] | None:
        """Row and column of the first number for which `test` holds, or of the first missing cell
        of text if it holds for NaN. Numbers on the disk are checked when they are read."""
        text = self.text.items() if test(np.float64("nan")) else ()
        found = [(int(np.argmax(cells == "")), name) for name, cells in text if "" in cells]
        if hasattr(self.X, "dtype") and (bad := test(self.X.data if self.sparse else self.X)).any():
            i = int(bad.argmax())
            row, j = divmod(i, self.X.shape[1])
            if self.sparse:
                row, j = int(np.searchsorted(self.X.indptr, i, "right")) - 1, self.X.indices[i]
            found.append((row, self.names[j]))
        return min(found, default=None, key=lambda place: place[0])

    def check(self, test: Test, hint: str) -> None:
        """Raise DataError for the place that `first` finds."""
        if place := self.first(test):
            row, name = place
            value = np.nan if name in self.text else self.X[row, self.places[name]]
            what = "is missing" if np.isnan(value) else f"holds {value}"
            raise DataError(f"{self.place(row, name)} {what}: {hint}")

    def text_error(self, column: str) -> DataError:
        """The error for text where numbers are needed. It names the first such cell."""
        cells = self.text[column]
        row = next((i for i, cell in enumerate(cells) if as_number(cell) is None), 0)
        what = f"holds {short(cells[row])}, not a number: correct it"
        return DataError(f"{self.place(row, column)} {what}")


def places(which: Any, n: int) -> NDArray:
    """The row numbers that a slice, a mask or row numbers select of n rows."""
    if isinstance(which, slice):
        return np.arange(*which.indices(n))
    which = np.asarray(which)
    return np.flatnonzero(which) if which.dtype == bool else which


def as_number(cell: str, decimal: str = ".") -> float | None:
    """The number in a cell, NaN if it is missing, None if it is text. Thousands may be grouped, a
    currency sign may be in front; 4 % is 0.04.

    >>> [as_number(cell) for cell in (" 1e3", "NA", "1_0", "0x10", "$4,350.5", "40,3", "4 %")]
    [1000.0, nan, None, None, 4350.5, None, 0.04]
    >>> [as_number(cell, decimal=",") for cell in ("40,3", "1.234,5", "1.234", "1.23")]
    [40.3, 1234.5, 1234.0, None]
    """
    cell = cell.strip()
    if cell.lower() in MISSING:
        return math.nan
    sign, body, percent = (AMOUNT.fullmatch(cell) or AMOUNT.fullmatch("x")).groups()  # type: ignore
    if grouped := GROUPED[decimal].fullmatch(body):
        whole, mark, rest = grouped.groups()
        body = f"{whole.replace(mark, '')}.{rest or '0'}"
    elif decimal == ",":
        body = body.replace(",", ".") if "." not in body else "text"
    if not body.isascii() or "_" in body or (sign and body[0] in "+-"):
        return None
    try:
        number = float(sign + body)
    except ValueError:
        return None
    return number / 100 if percent else number


def place_of(column: str | int, names: list[str]) -> int | None:
    """The place of a column, given by name or place, from the end if negative; None if there is
    none."""
    if isinstance(column, str):
        return names.index(column) if column in names else None
    return column % len(names) if -len(names) <= column < len(names) else None


def target_place(reading: Reading, names: list[str], named: bool) -> int | None:
    """The place of the column of labels among all columns; None if there is none. Raises
    ConfigError where labels are needed."""
    if reading.target is None:
        return None
    if reading.target == "":
        usual = [j for j, name in enumerate(names) if named and name.lower() in TARGETS]
        return min(usual, key=lambda j: TARGETS.index(names[j].lower()), default=len(names) - 1)
    place = place_of(reading.target, names)
    if place is None and reading.labels:
        raise ConfigError(no_column("target", reading.target, names))
    return place


def not_finite(x: NDArray) -> NDArray:
    """Where x is NaN or infinite."""
    return ~np.isfinite(x)


def labels(table: Table) -> NDArray:
    """The table's labels (n,), checked: whole numbers, bool or str objects. Those of a text file
    are numbers if all of them are, without zeros in front. Raises DataError."""
    y: Any = np.asarray(table.y)
    if y.dtype.kind in "USO":
        words = {label: as_label(label) for label in set(y.tolist())}
        y = np.array([words[label] for label in y.tolist()], object)
        _refuse(table, y == "", "has no label: give one, or remove the row")
        if "columns" not in table.reading or not all(map(LABEL.fullmatch, words.values())):
            return y
        try:
            return y.astype(np.int64)
        except (ValueError, OverflowError):
            return y.astype(np.float64)
    if y.dtype.kind == "f":
        with np.errstate(over="ignore"):  # float16 takes 2**63 for infinity
            bad = ~((y == np.round(y)) & (np.abs(y) < 2**63))
        _refuse(table, bad, "holds {}, not a label: that is a whole number or text")
        return y.astype(np.int64)
    if y.dtype.kind not in "bui":
        raise DataError(f"{table.path}: y has dtype {y.dtype}: labels are whole numbers or text")
    return y


def as_label(label: Any) -> str:
    """A label of any kind as text; "" if it is missing."""
    if label is None or label != label:
        return ""
    return label.decode() if isinstance(label, bytes) else str(label)


def _refuse(table: Table, bad: NDArray, what: str) -> None:
    """Raise DataError for the first label that is bad."""
    if bad.any():
        row, target = int(bad.argmax()), table.reading.get("target")
        place = table.place(row, target if isinstance(target, str) else "y")
        raise DataError(f"{place} {what.format(table.y[row])}")  # type: ignore[index]


def no_column(kind: str, column: str | int, names: list[str]) -> str:
    """The end of a message about a column that is not in the file."""
    hint = "" if isinstance(column, int) else did_you_mean(column, names)
    hint = hint or f"; it has {reprlib.repr(names)[1:-1]}"
    return f"has no {f'{kind} column'.strip()} {column!r}{hint}"
