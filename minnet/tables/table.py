"""The columns of a file, whatever its format."""

import dataclasses
import difflib
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.errors import ConfigError, DataError
from minnet.tables.cells import as_number, no_number
from minnet.tables.mapped import is_mapped

BLOCK_BYTES = 1 << 20  # of a dense X that is tested at a time


@dataclass
class Table:
    """The rows of a file: numbers in X, columns of text apart, labels as they were given.

    names has D names, x0, x1, ... where the file has none. A missing cell is NaN in X and "" in a column of text.
    """

    path: str
    names: list[str]
    X: Any  # (N, D) float64; csr for svmlight
    y: NDArray | None = None  # (N,) text or whole numbers (of an npz also bool)
    text: dict[str, NDArray] = field(default_factory=dict)  # (N,) each, by name, none of which is in `names`
    numbers: NDArray | None = None  # (N,) line of each row, from 1; without it rows are counted from 0
    header: bool = False
    target: str | None = None  # name of the column that y was, in a file with a header
    base: int | None = None  # svmlight: the lowest index, 0 or 1

    def place(self, row: int, column: str) -> str:
        """ "FILE: line 7, column 'age'", to begin a message with."""
        where = f"row {row}" if self.numbers is None else f"line {self.numbers[row]}"
        return f"{self.path}: {where}, column {column!r}"

    def first_missing(self) -> tuple[int, str] | None:
        """Row and column of the first missing cell, if there is one; an X on the disk is not looked through."""
        found = [(int(np.argmax(cells == "")), name) for name, cells in self.text.items() if (cells == "").any()]
        place = None if is_mapped(self.X) else _first(np.isnan, self.X)
        return min([*found, *([(place[0], self.names[place[1]])] if place else [])], default=None)

    def text_error(self, column: str) -> DataError:
        """What to raise where a column of text is to be numbers: it names the first cell that is none."""
        cells = self.text[column]
        row = next((i for i, cell in enumerate(cells) if as_number(cell) is None), 0)
        return no_number(self.place(row, column), cells[row])


def arrange(table: Table, names: list[str], text: list[str]) -> Table:
    """The table with these columns, in this order, matched by name where it has names; else by place.

    Raises DataError, naming the column that is missing or one too many.
    """
    have, want = {*table.names, *table.text}, {*names, *text}
    if table.names == names and list(table.text) == text:
        return table
    has_names = table.header and (any(name != f"x{j}" for j, name in enumerate(names)) or have & want)
    if not has_names:
        if len(have) != len(want):
            raise DataError(f"{table.path}: has {len(have)} feature columns, the training file {len(want)}")
        if table.text or text:
            raise DataError(
                f"{table.path}: its columns of text have no names to find them by: give both files a header"
            )
        return dataclasses.replace(table, names=names)
    for missing in (name for name in (*names, *text) if name not in have):
        raise DataError(f"{table.path}: has no column {missing!r}, which the training file has")
    for extra in (name for name in (*table.names, *table.text) if name not in want):
        raise DataError(f"{table.path}: has a column {extra!r}, which the training file does not have: leave it out")
    for name in names:
        if name in table.text:
            raise table.text_error(name)
    X = table.X[:, [table.names.index(name) for name in names]]
    return dataclasses.replace(table, names=names, X=X, text={name: table.text[name] for name in text})


def keep(table: Table, rows: NDArray) -> Table:
    """The table with the rows (N,) that are true."""
    text = {name: cells[rows] for name, cells in table.text.items()}
    y, numbers = (None if x is None else x[rows] for x in (table.y, table.numbers))
    return dataclasses.replace(table, X=table.X[rows], text=text, y=y, numbers=numbers)


def unknown_column(key: str, column: str, path: str, names: Iterable[str]) -> ConfigError:
    """What to raise where a key names a column that the file does not have."""
    names = list(names)
    near = difflib.get_close_matches(column, names, 1, 0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {reprlib.repr(names)[1:-1]}"
    return ConfigError(f"{key}: {path} has no column {column!r}; {hint}")


def whole(y: NDArray, table: Table) -> NDArray:
    """The labels; floats as the whole numbers that they must be."""
    if y.dtype.kind not in "buifUS":
        raise DataError(f"{table.path}: y has dtype {y.dtype}: labels are whole numbers or text")
    if y.dtype.kind != "f":
        return y.astype(str) if y.dtype.kind == "S" else y
    with np.errstate(over="ignore"):  # float16 takes 2**63 for infinity
        bad = ~((y == np.round(y)) & (np.abs(y) < 2**63))
    if bad.any():
        row = int(bad.argmax())
        raise DataError(f"{table.place(row, 'y')} holds {y[row]}, which is no label of a class: that is a whole number")
    return y.astype(np.int64)


def check_not_infinite(table: Table) -> None:
    """Raises DataError naming the first infinite number of X."""
    place = _first(np.isinf, table.X)
    if place:
        where = table.place(place[0], table.names[place[1]])
        raise DataError(f"{where} holds {table.X[place]}: every value must be a finite number")


def _first(test: Any, X: Any) -> tuple[int, int] | None:
    """Row and column of the first entry for which `test` holds."""
    if hasattr(X, "tocsr"):
        found = test(X.data)
        i = int(found.argmax()) if found.any() else None
        return None if i is None else (int(np.searchsorted(X.indptr, i, side="right")) - 1, int(X.indices[i]))
    step = max(1, BLOCK_BYTES // max(1, X.shape[1]))
    for start in range(0, len(X), step):
        found = test(X[start : start + step])
        if found.any():
            row, column = divmod(int(found.argmax()), X.shape[1])
            return start + row, column
    return None
