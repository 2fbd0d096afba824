"""Text files of rows: CSV, TSV and their relatives, by Python's csv module.

Bytes become lines in `_lines`, and lines become rows of cells in `_records`. The first rows decide
what the columns are. Errors do not name the file: sources.py does.
"""

import codecs
import contextlib
import csv
import functools
import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.data.table import Reading, Table, as_number, as_text, no_column, no_number
from minnet.errors import ConfigError, DataError, short

Progress = Callable[[int], object] | None  # is told of each number of bytes read
Row = list[str]
Block = tuple[NDArray, list[Row], bool]  # lines, rows, and whether they are plain

MAX_LINE = 1 << 24  # characters; a longer line is cut, and refused as a row
LOOK = 500  # rows that decide what the columns are
CELLS = 1 << 12  # read at a time: these stay in the processor's cache


class HeaderUnclear(DataError):  # noqa: N818
    """The first row may be names or data."""


class _Words(dict[str, str]):
    """The different cells of a column, and the text that stands for each in the table."""

    def __missing__(self, cell: str) -> str:
        self[cell] = word = as_text(cell)
        return word


def blocks(file: Any, reading: Reading) -> Iterator[Table]:
    """The rows of a file, a block at a time, with labels as text. Raises ConfigError, DataError."""
    if file.peek(3)[:3] == codecs.BOM_UTF8:
        file.read(3)
    # bytes that are not UTF-8 become what no UTF-8 can hold
    with io.TextIOWrapper(file, "utf-8", "surrogateescape") as text:
        records = _records(iter(functools.partial(text.readline, MAX_LINE), ""))
        start, top, plain = next(records, (np.zeros(1), [], True))
        if not top:
            raise DataError("is empty")
        header, names = _names(start[0], top, reading.header)
        if reading.labels and reading.target is not None and len(names) == 1:
            raise DataError("has only one column: found no tab, semicolon, comma, | or space")
        target = _target(header, names, reading)
        columns = zip(*top[header:], strict=True)
        texts = {
            j: _Words()
            for j, column in enumerate(columns)
            if j == target or names[j] in reading.categorical or any(map(_is_word, column))
        }
        numbers = [name for j, name in enumerate(names) if j not in texts]
        label = "" if target is None else names[target]
        found = {"target": (label or None) if header else reading.target, "header": header}
        first = start[header:], top[header:], plain
        for lines, rows, plain in itertools.chain([first], records):
            cells = {
                names[j]: np.array([words[row.pop(j)] for row in rows], object)
                for j, words in reversed(texts.items())
            }
            y = cells.pop(label, None)
            yield Table(
                "",
                numbers,
                _numbers(numbers, lines, rows, plain),
                dict(reversed(cells.items())),
                y if reading.labels else None,
                lines,
                "line",
                header,
                found,
            )


def _written(rows: list[Row]) -> str:
    return "".join(map("".join, rows))


def _is_plain(written: str) -> bool:
    """Whether Python can tell numbers: it would take 1_0 for one, and digits of other scripts."""
    return written.isascii() and "_" not in written


def _is_text(cells: str) -> bool:
    """Whether this was UTF-8, and no part of a binary file."""
    try:
        return b"\0" not in cells.encode()
    except UnicodeEncodeError:
        return False


def _reader(lines: Iterable[str], delimiter: str) -> Any:
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def _delimiter(lines: list[str]) -> str:
    """Tab, semicolon, | or comma, whichever cuts these lines into the same number of cells; a space
    for runs of spaces."""
    first = {}
    for delimiter in "\t;|,":
        rows: list[Row] = []
        with contextlib.suppress(csv.Error):  # the last cell may be cut
            rows.extend(_reader(lines, delimiter))
        widths = [len(row) for row in rows] or [1]
        if widths[0] > 1 and len(set(widths)) == 1:
            return delimiter
        first[delimiter] = widths[0]
    spaced = {len(line.split()) for line in lines}
    if max(first.values()) == 1 and len(spaced) == 1 and spaced != {1}:
        return " "
    return max(",;\t|", key=lambda delimiter: first[delimiter])


def _records(lines: Iterator[str]) -> Iterator[Block]:
    """Blocks of rows, all as wide as the first, and the line in which each starts. Blank lines are
    left out."""
    start = []
    for text in lines:
        start.append(text)
        if not text.isspace():
            break
    start += itertools.islice(lines, 19)
    delimiter = _delimiter([text for text in start if not text.isspace()])
    lines = itertools.chain(start, lines)
    if delimiter == " ":
        lines = (" ".join(text.split()) + "\n" for text in lines)
    reader, line, width, more = _reader(lines, delimiter), 1, 0, True
    while more:
        rows: list[Row] = []
        failed = None
        try:
            rows.extend(itertools.islice(reader, max(1, CELLS // width) if width else LOOK))
        except csv.Error as error:  # the rows before it are there
            failed = error
        more, numbers = bool(rows), np.arange(line, line + len(rows))
        if reader.line_num >= line + len(rows):  # cells have line breaks
            breaks = [sum(cell.count("\n") for cell in row) for row in rows]
            numbers += np.cumsum([0, *breaks])[:-1]
            line += sum(breaks)
        line += len(rows)
        written = _written(rows)
        if not written.isascii() or "\0" in written:
            for number, row in zip(numbers, rows, strict=True):
                if not _is_text("".join(row)):
                    what = "is not UTF-8 text, or has a NUL byte: save the file as UTF-8"
                    raise DataError(f"line {number} {what}")
        if width < 2 or set(map(len, rows)) != {width}:
            kept = [i for i, row in enumerate(rows) if row not in ([], [""])]
            rows, numbers = [rows[i] for i in kept], numbers[kept]
            for row, number in zip(rows, numbers, strict=True):
                width = width or len(row)
                if len(row) != width:
                    hint = f": it ends with {delimiter!r}" if row[-1] == "" else ""
                    counts = f"has {len(row)} columns instead of {width}"
                    raise DataError(f"line {number} {counts}{hint}")
        if failed:
            hint = "close each quote, and write a quote inside quotes twice"
            raise DataError(f"line {line}: {failed}: {hint}")
        if rows:
            yield numbers, rows, _is_plain(written)


def _names(line: int, rows: list[Row], header: bool | None) -> tuple[bool, list[str]]:
    """Whether the first row holds names, and the names of all columns: without any, x0, x1, ..."""
    top, columns = [cell.strip() for cell in rows[0]], list(zip(*rows[1:], strict=True))
    if header is None:
        header = _has_names(top, columns)
    if header and not columns:
        raise DataError(f"has names in line {line}, but no rows below")
    if len(top) > 1 and not any(row[-1].strip() for row in rows):
        raise DataError("has an empty last column: remove the end of each line")
    names = top if header else [f"x{j}" for j in range(len(top))]
    if "" in names:
        hint = f"column {names.index('') + 1} has no name: name it, or remove it"
        raise DataError(f"line {line}: {hint}")
    if len(set(names)) < len(names):
        twice = next(name for j, name in enumerate(names) if name in names[:j])
        raise DataError(f"line {line}: two columns have the name {short(twice)}: rename one")
    return header, names


def _has_names(top: Row, columns: list[tuple[str, ...]]) -> bool:
    """Whether the first row holds names: it does if it has a word above numbers; it does not if one
    of its words is in the same column again. Else raises HeaderUnclear."""
    words = [_is_word(cell) for cell in top]
    if not columns and all(words):
        return True
    above = [(cell, below) for cell, below, word in zip(top, columns, words, strict=False) if word]
    if any(any(map(as_text, below)) and not any(map(_is_word, below)) for _, below in above):
        return True
    if any(cell in map(str.strip, below) for cell, below in above):
        return False
    raise HeaderUnclear("the first row may be names or data: set data.header to true or false")


def _is_word(cell: str) -> bool:
    """Whether a cell is neither a number nor missing."""
    return as_number(cell) is None


def _target(header: bool, names: list[str], reading: Reading) -> int | None:
    """The place of the target. In a file without names it is called y, and is not counted."""
    target, D = reading.target, len(names)
    if target is None or (not reading.labels and reading.features == D):
        return None
    if isinstance(target, str):
        if reading.labels and not header:
            hint = "give its index, from 0"
            raise ConfigError(f"has no names to find the target column {target!r} by: {hint}")
        if reading.labels and target not in names:
            raise ConfigError(no_column("target", target, names))
        return names.index(target) if header and target in names else None
    if not -D <= target < D:
        raise ConfigError(f"has no target column {target}: it has {D}, from {-D} to {D - 1}")
    if not header:
        names[:] = [f"x{j}" for j in range(D - 1)]
        names.insert(target % D, "y")
    return target % D


def _numbers(names: list[str], lines: NDArray, rows: list[Row], plain: bool) -> NDArray:
    """X (n, D). Raises DataError for the first cell that is text."""
    if plain or _is_plain(_written(rows)):
        for cells in (rows, ([cell or "nan" for cell in row] for row in rows)):
            with contextlib.suppress(ValueError):  # a cell is missing, or is text
                return np.array(list(cells), np.float64)
    X = np.empty((len(rows), len(names)))
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            value = as_number(cell)
            if value is None:
                raise DataError(f"line {lines[i]}, column {names[j]!r} {no_number(cell)}")
            X[i, j] = value
    return X
