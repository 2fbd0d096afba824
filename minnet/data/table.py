"""A table: columns of numbers and of text, the labels, and what messages call each row.

What a cell means is decided here, and here is the one search for a number that is not finite.
"""

import math
import re
import reprlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.errors import DataError, did_you_mean, short

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))  # in upper or lower case
BLOCK = 1 << 19  # numbers in memory at a time, where rows are passed over in blocks
SPARSE = 1 << 12  # sparse rows in memory at a time
Test = Callable[[Any], Any]  # of each number
FINITE = "every value must be a finite number"


@dataclass(frozen=True)
class Reading:
    """How to read a file.

    target: the column of labels, by name or index; None if there is none. header: whether line 1
    holds names; None to detect it. categorical: columns to read as text. labels: whether they are
    needed; if not, the target may be missing, as it is from a file of just `features` columns.
    Svmlight: `features` is D; `base` is the lowest index, 0 or 1, None to detect it.
    """

    target: str | int | None = -1
    header: bool | None = None
    categorical: tuple[str, ...] = ()
    labels: bool = True
    features: int | None = None
    base: int | None = None


@dataclass
class Table:
    """Rows of columns of numbers, X, and of text. A missing cell is NaN in X, and "" in text.

    `numbers`: what messages call the rows, such as their lines; None: their places from 0. `named`:
    whether the columns have names of their own. `reading`: how a text file was read, as keywords of
    Reading. The rows of an arrays.OnDisk are read, and checked, when they are taken.
    """

    path: str
    names: list[str]
    X: Any  # (n, D) float64, scipy csr or arrays.OnDisk
    text: dict[str, NDArray] = field(default_factory=dict)  # (n,) str objects each
    y: NDArray | None = None  # (n,) whole numbers, bool or str objects
    numbers: NDArray | None = None  # (n,)
    named: bool = False
    reading: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.X.shape[0])

    @property
    def sparse(self) -> bool:
        """Whether rows of X are csr."""
        return hasattr(self.X[:0], "tocsr")

    @property
    def columns(self) -> list[str]:
        """The names of all columns, those of numbers first."""
        return [*self.names, *self.text]

    @property
    def unit(self) -> str:
        """What `numbers` count: the lines of a text file, or rows."""
        return "line" if self.reading else "row"

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
            value = np.nan if name in self.text else self.X[row, self.names.index(name)]
            what = "is missing" if np.isnan(value) else f"holds {value}"
            raise DataError(f"{self.place(row, name)} {what}: {hint}")

    def text_error(self, column: str) -> DataError:
        """The error for text where numbers are needed. It names the first such cell."""
        cells = self.text[column]
        row = next((i for i, cell in enumerate(cells) if as_number(cell) is None), 0)
        return DataError(f"{self.place(row, column)} {no_number(cells[row])}")


def places(which: Any, n: int) -> NDArray:
    """The row numbers that a slice, a mask or row numbers select of n rows."""
    if isinstance(which, slice):
        return np.arange(*which.indices(n))
    which = np.asarray(which)
    return np.flatnonzero(which) if which.dtype == bool else which


def as_number(cell: str) -> float | None:
    """The number in a cell, NaN if it is missing, None if it is text.

    >>> [as_number(cell) for cell in (" 1e3", "NA", "1_0", "0x10")]
    [1000.0, nan, None, None]
    """
    try:
        if cell.isascii() and "_" not in cell:
            return float(cell)
    except ValueError:
        pass
    return None if as_text(cell) else math.nan


def as_text(cell: str) -> str:
    """A cell without spaces around it; "" if it is missing."""
    cell = cell.strip()
    return "" if cell.lower() in MISSING else cell


def no_number(cell: str) -> str:
    """The end of a message about a cell of text among numbers."""
    advice = "correct it, or train with the column in data.categorical"
    return f"holds {short(cell)}, not a number: {advice}"


def not_finite(x: NDArray) -> NDArray:
    """Where x is NaN or infinite."""
    return ~np.isfinite(x)


def labels(table: Table) -> NDArray:
    """The table's labels (n,), checked: whole numbers, bool or str objects. Those of a text file
    are whole numbers if all of them can be. Raises DataError."""
    y: Any = np.asarray(table.y)
    if y.dtype.kind in "USO":
        words = {label: as_label(label) for label in set(y.tolist())}
        y = np.array([words[label] for label in y.tolist()], object)
        _refuse(table, y == "", "has no label: give one, or remove the row")
        # 007 is not 7
        texts = (as_number(w) is None or re.match(r"0\d", w) for w in words.values())
        if "header" not in table.reading or any(texts):
            return y
        try:
            return y.astype(np.int64)
        except (ValueError, OverflowError):
            y = y.astype(np.float64)
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


def arrange(table: Table, names: list[str], text: list[str]) -> Table:
    """The table with the columns of the training file, by name if both have names, else by place.

    Raises DataError for a column that is missing, unknown, or has text instead of numbers or
    numbers instead of text.
    """
    have, want = table.columns, [*names, *text]
    if (table.names, list(table.text)) == (names, text):
        return table
    default = names == [f"x{j}" for j in range(len(names))]
    if not table.named or (default and not {*have} & {*want}):
        if len(have) != len(want):
            counts = f"{len(have)} feature columns, the training file {len(want)}"
            raise DataError(f"{table.path}: has {counts}")
        if table.text or text:
            hint = "its columns of text have no names: give both files a header"
            raise DataError(f"{table.path}: {hint}")
        return replace(table, names=names)
    for name in [*want, *have]:
        if name not in have:
            raise DataError(f"{table.path}: has no column {name!r}, which the training file has")
        if name not in want:
            what = f"has a column {name!r}, which the training file does not have: remove it"
            raise DataError(f"{table.path}: {what}")
        if name in names and name in table.text:
            raise table.text_error(name)
        if name in text and name not in table.text:
            raise DataError(f"{table.path}: column {name!r} has numbers instead of text")
    X = table.X[:, [table.names.index(name) for name in names]]
    return replace(table, names=names, X=X, text={name: table.text[name] for name in text})


def no_column(kind: str, column: str, names: list[str]) -> str:
    """The end of a message about a target or categorical column that is not in the file."""
    hint = did_you_mean(column, names) or f"; it has {reprlib.repr(names)[1:-1]}"
    return f"has no {kind} column {column!r}{hint}"
