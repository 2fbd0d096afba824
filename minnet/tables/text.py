"""CSV, TSV and the like.

The file is read in blocks of whole lines. np.loadtxt, written in C, takes a block in which every cell is what its
column says; Python's csv module takes the others, and finds the cell that an error names. Both give the same values.
"""

import codecs
import csv
import io
import itertools
import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from minnet.errors import ConfigError, DataError
from minnet.tables.cells import as_number, as_text, is_text, no_number, short
from minnet.tables.table import Table, unknown_column

BLOCK_BYTES = 1 << 18  # of text at a time: with its lines it stays in the cache
LOOK = 500  # lines at most that tell names from data, and text from numbers
MAX_LINE = 1 << 26  # characters; a longer line is no row of a table
WIDTH = 64  # characters of a cell of text that np.loadtxt keeps; the csv module takes a block with longer ones


@dataclass
class _Words:
    """A column of text: each different cell once, in the order of appearance, and its number in each row."""

    index: defaultdict[str, int] = field(default_factory=defaultdict)
    codes: list[NDArray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.index.default_factory = self.index.__len__  # a new word has the next number

    def add(self, cells: Collection[str]) -> None:
        self.codes.append(np.fromiter(map(self.index.__getitem__, cells), np.int32, len(cells)))

    def cells(self, labels: bool, place: Callable[[int], str]) -> NDArray:
        """The column (N,): without spaces around, "" where missing; as whole numbers if these labels all are."""
        words, codes = [as_text(cell) for cell in self.index], np.concatenate(self.codes)
        if not labels:
            return np.array(words)[codes]

        def fail(word: int, reason: str) -> NoReturn:
            raise DataError(f"{place(int(np.argmax(codes == word)))} {reason}")

        if "" in words:
            fail(words.index(""), f"has no label ({list(self.index)[words.index('')]!r}): give one, or remove the row")
        values = [as_number(word) for word in words]
        if None in values or any(re.fullmatch(r"0\d+", word) for word in words):  # 007 is no 7
            return np.array(words)[codes]
        for i, value in enumerate(values):
            if value is not None and not (value.is_integer() and abs(value) < 2**63):
                fail(i, f"holds {words[i]!r}, which is no label of a class: that is a whole number or text")
        exact = [int(word) if re.fullmatch(r"[-+]?\d+", word) else int(float(word)) for word in words]
        return np.array(exact, np.int64)[codes]


@dataclass
class _Layout:
    """What the first lines tell: what stands between cells ("" for any run of spaces), and each column's kind."""

    path: str
    delimiter: str
    header: bool
    names: list[str]  # of all columns in the order of the file
    text: list[bool]  # whether a column is one of text; the target is

    def place(self, line: Any, column: int) -> str:
        return f"{self.path}: line {line}, column {self.names[column]!r}"


class _Rows:
    """The rows read so far; X has room for about as many as there will be, and grows in place. With a sink, X holds one
    block after the other, which goes there."""

    def __init__(self, layout: _Layout, room: int, sink: Callable[[NDArray], None] | None):
        self.layout, self.count, self.sink = layout, 0, sink
        self.numbers: list[NDArray] = []
        self.numeric = [j for j, text in enumerate(layout.text) if not text]
        self.words = {j: _Words() for j, text in enumerate(layout.text) if text}
        self.X = np.empty((0, len(self.numeric)))
        self._resize(room)
        fields: list[Any] = []  # neighbouring columns of numbers are one field
        self.runs: dict[str, slice] = {}  # of them, in X
        done = 0
        for text, group in itertools.groupby(range(len(layout.text)), layout.text.__getitem__):
            run = list(group)
            if text:
                fields += [(f"text{j}", f"U{WIDTH}") for j in run]
            else:
                fields.append((f"run{done}", np.float64, (len(run),)))
                self.runs[f"run{done}"] = slice(done, done + len(run))
                done += len(run)
        self.dtype = np.dtype(fields)

    def add(self, line: int, lines: list[str], quoted: bool) -> None:
        """More lines, the first of which has this number; whether there is a quote in any."""
        if not self.layout.delimiter:
            lines = _single_spaced(lines)
        numbers: NDArray = np.arange(line, line + len(lines))
        cells = self._fast(lines, quoted)
        if cells is None:
            numbers, lines = _given(line, lines)
            if not lines:
                return
            cells = self._fast(lines if quoted else _filled(lines, self.layout.delimiter or " "), quoted)
        if cells is None:
            cells = self._slow(numbers, lines)
        end = self.count + len(numbers)
        if end > len(self.X):
            self._resize(max(end, len(self.X) * 3 // 2))
        for name, place in self.runs.items():
            self.X[self.count : end, place] = cells[name]
        for j, words in self.words.items():
            words.add(cells[f"text{j}"])
        self.count = end
        self.numbers.append(numbers)
        if self.sink:
            self.sink(self.X[:end])
            self.count = 0

    def close(self) -> NDArray:
        """No more rows; the number of each one's line (N,)."""
        self._resize(self.count)
        return np.concatenate(self.numbers)

    def _resize(self, rows: int) -> None:
        self.X.resize((rows, len(self.numeric)), refcheck=False)

    def _fast(self, lines: list[str], quoted: bool) -> dict[str, Any] | None:
        """The cells of these lines by np.loadtxt; None where one is not what its column says."""
        if not any(lines) or (len(self.layout.names) == 1 and not all(map(str.strip, lines))):
            return None
        d = self.layout.delimiter or " "
        if quoted and '"' in re.sub(rf'(?<=[{d}\n])"[^"\n]*"(?=[{d}\n])', "", "\n".join(["", *lines, ""])):
            return None  # a quote that neither begins nor ends a cell is left to the csv module
        options: Any = {"comments": None, "delimiter": d, "quotechar": '"' if quoted else None, "ndmin": 1}
        options["max_rows"] = None if "" in lines else len(lines)  # a table of known size is filled sooner
        try:
            rows: Any = np.loadtxt(lines, self.dtype, **options)
        except ValueError:
            return None
        if len(rows) < len(lines):  # blank lines, or a quote that is not closed in its line
            return None
        cells: dict[str, Any] = {name: rows[name] for name in self.dtype.names or ()}
        for name, column in cells.items():
            if name not in self.runs:
                if np.strings.str_len(column).max() >= WIDTH:
                    return None
                cells[name] = column.tolist()
            elif np.isinf(column).any():  # the csv module says how it was written
                return None
        return cells

    def _slow(self, numbers: NDArray, lines: list[str]) -> dict[str, Any]:
        """The same by the csv module. Raises DataError naming the first cell that cannot be."""
        layout = self.layout
        rows = _split(lines, layout.delimiter, layout.path, numbers, len(layout.names))
        columns = list(zip(*rows, strict=True))
        X = np.empty((len(rows), len(self.numeric)))
        for k, j in enumerate(self.numeric):
            for i, cell in enumerate(columns[j]):
                value = as_number(cell)
                if value is None:
                    raise no_number(layout.place(numbers[i], j), cell)
                if math.isinf(value):
                    place = layout.place(numbers[i], j)
                    raise DataError(f"{place} holds {short(cell)}: every value must be a finite number")
                X[i, k] = value
        cells: dict[str, Any] = {name: X[:, place] for name, place in self.runs.items()}
        return cells | {f"text{j}": columns[j] for j in self.words}


def read(
    file: BinaryIO,
    path: str,
    target: str | int | None,
    header: bool | None,
    categorical: Collection[str],
    labels: bool,
    features: int | None,
    size: int,
    sink: Callable[[NDArray], None] | None = None,
) -> Table:
    """The rows of a text file of so many bytes, 0 if unknown; the other options are those of formats.read."""
    blocks = _blocks(file, path)
    line, start, quoted = next(blocks, (1, [], False))
    while len(start) < 50 and (block := next(blocks, None)):
        start, quoted = start + block[1], quoted or block[2]
    numbers, lines = _given(line, start)
    if not lines:
        raise DataError(f"{path}: is empty")
    layout = _layout(path, numbers[:LOOK], lines[:LOOK], header, least=2 if labels and target is not None else 1)
    y = _choose_target(layout, target, labels, features)
    for j, name in enumerate(layout.names):
        layout.text[j] |= j == y or name in categorical
    in_start = sum(map(len, lines)) + len(lines)  # bytes, or a little less
    rows = _Rows(layout, 0 if sink else int(1.05 * len(lines) * size / in_start), sink)
    above = int(numbers[0]) if layout.header else 0
    rows.add(line + above, start[above:], quoted)
    for block in blocks:
        rows.add(*block)
    numbers = rows.close()
    columns = {
        layout.names[j]: words.cells(j == y, lambda row, j=j: layout.place(numbers[row], j))  # type: ignore[misc]
        for j, words in rows.words.items()
        if labels or j != y
    }
    name = "" if y is None else layout.names[y]
    return Table(
        path,
        [layout.names[j] for j in rows.numeric],
        rows.X,
        y=columns.pop(name, None),
        text=columns,
        numbers=numbers,
        header=layout.header,
        target=name if name and layout.header else None,
    )


def _layout(path: str, numbers: NDArray, lines: list[str], header: bool | None, least: int) -> _Layout:
    """What the first lines tell. Raises DataError where they do not, or hold fewer than `least` columns."""
    delimiter = _delimiter(lines[:20])
    if delimiter == "":
        kept = [i for i, line in enumerate(lines) if line.split()]
        numbers, lines = numbers[kept], _single_spaced([lines[i] for i in kept])
    first, *rows = _split(lines, delimiter, path, numbers)
    first, start = [cell.strip() for cell in first], f"{path}: line {numbers[0]}"
    if len(first) < least:
        raise DataError(f"{path}: has only one column, found no tab, semicolon, comma, | or space between columns")
    columns: list[Any] = list(zip(*rows, strict=True)) or [()] * len(first)
    if header is None:
        header = _has_header(first, columns)
        if header is None and (rows or any(as_number(cell) is not None for cell in first)):
            raise DataError(f"{start} may be names or data: set data.header=true or data.header=false")
        header = header is not False
    if header and not rows:
        raise DataError(f"{path}: has names in line {numbers[0]}, but no rows below")
    if len(first) > 1 and not any(row[-1].strip() for row in [first, *rows]):
        raise DataError(f"{path}: every line ends with {delimiter!r}, so the last column is empty: remove that")
    names = first if header else [f"x{j}" for j in range(len(first))]
    if "" in names:
        raise DataError(f"{start}: column {names.index('') + 1} has no name: give it one, or remove the column")
    if len(set(names)) < len(names):
        twice = next(name for j, name in enumerate(names) if name in names[:j])
        raise DataError(f"{start}: two columns have the name {short(twice)}: rename one")
    text = [is_text(column if header else (cell, *column)) for cell, column in zip(first, columns, strict=True)]
    return _Layout(path, delimiter, header, names, text)


def _has_header(first: list[str], columns: list[Any]) -> bool | None:
    """Whether the first row holds names; None where it may or may not.

    It does where it has text above numbers. It does not where one of its texts stands in the same column again.
    """
    above = [(cell, column) for cell, column in zip(first, columns, strict=True) if as_number(cell) is None]
    if any(not is_text(column) and any(map(as_text, column)) for cell, column in above):
        return True
    return False if any(cell in map(str.strip, column) for cell, column in above) else None


def _choose_target(layout: _Layout, target: str | int | None, labels: bool, features: int | None) -> int | None:
    """The place of the target, None for none. Where the file has no names, the features get theirs without it."""
    names, D = layout.names, len(layout.names)
    if target is None or (not labels and features == D):
        return None
    if isinstance(target, str):
        if labels and not layout.header:
            raise ConfigError(f"data.target: {layout.path} has no header to find {target!r} in: give an index, from 0")
        if labels and target not in names:
            raise unknown_column("data.target", target, layout.path, names)
        return names.index(target) if layout.header and target in names else None
    if not -D <= target < D:
        raise ConfigError(f"data.target: {layout.path} has {D} columns, with indices {-D} to {D - 1}, not {target}")
    if not layout.header:
        names[:] = [f"x{j}" for j in range(D - 1)]
        names.insert(target % D, "y")
    return target % D


def _delimiter(lines: list[str]) -> str:
    """Tab, semicolon, | or comma, whichever cuts each line into the same number of cells; "" for spaces."""
    bare = [re.sub(r'"[^"]*"?', "", line) for line in lines]
    for d in "\t;|,":
        if len({line.count(d) for line in bare}) == 1 and d in bare[0]:
            return d
    if not any(d in bare[0] for d in "\t;|,"):
        widths = {len(line.split()) for line in bare}
        return "" if len(widths) == 1 and widths != {1} else ","
    return max(",;\t|", key=bare[0].count)


def _blocks(file: BinaryIO, path: str) -> Iterator[tuple[int, list[str], bool]]:
    """Whole lines, about BLOCK_BYTES at a time: the number of the first, from 1; they; whether there is a quote."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")(), translate=True)
    rest, line, offset, chunk = "", 1, 0, b"-"
    while chunk:
        chunk = file.read(BLOCK_BYTES)
        offset += len(chunk)
        try:
            text = rest + decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            line += len(re.findall(rb"\r\n?|\n", error.object[: error.start]))
            byte = offset - len(error.object) + error.start + 1
            raise DataError(f"{path}: line {line} is not UTF-8 text (byte {byte}): save the file as UTF-8") from None
        if "\0" in text:
            line += text[: text.index("\0")].count("\n")
            raise DataError(f"{path}: line {line} holds a NUL byte: save the file as text in UTF-8")
        text, newline, rest = text.rpartition("\n") if chunk else (text, "", "")
        if len(rest) > MAX_LINE:
            raise DataError(f"{path}: line {line} is longer than {MAX_LINE} characters: this is no table")
        if text or newline:
            yield line, (lines := text.split("\n")), '"' in text
            line += len(lines)


def _given(line: int, lines: list[str]) -> tuple[NDArray, list[str]]:
    """Those lines with something in them, and their numbers; that of the first is `line`."""
    kept = [i for i, content in enumerate(lines) if content.strip(" ")]
    return line + np.array(kept, np.int64), [lines[i] for i in kept]


def _single_spaced(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines]


def _filled(lines: list[str], d: str) -> list[str]:
    """The lines, which have no quotes, with nan in empty cells."""
    text = "\n".join(["", *lines, ""])
    for empty, nan in ((d + d, f"{d}nan{d}"),) * 2 + ((f"\n{d}", f"\nnan{d}"), (f"{d}\n", f"{d}nan\n")):
        text = text.replace(empty, nan)
    return text.split("\n")[1:-1]


def _split(lines: list[str], delimiter: str, path: str, numbers: NDArray, D: int = 0) -> list[list[str]]:
    """The D cells of each line, by default as many as in the first. Raises DataError for a line that is not so."""
    options: Any = {"delimiter": delimiter or " ", "skipinitialspace": True, "strict": True}
    rows: list[list[str]] = []
    for number, line in zip(numbers, lines, strict=True):  # each by itself, so that an open quote ends with its line
        try:
            row = next(csv.reader([line], **options))
        except csv.Error as error:
            reason = "a quote is opened and not closed" if "end of data" in str(error) else str(error)
            raise DataError(f"{path}: line {number}: {reason}; inside a quoted cell, write a quote twice") from None
        D = D or len(row)
        if len(row) != D:
            hint = f", the last of them empty: it ends with {delimiter!r}" if row[-1] == "" else ""
            raise DataError(f"{path}: line {number} has {len(row)} columns, where {D} are expected{hint}")
        rows.append(row)
    return rows
