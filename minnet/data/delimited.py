"""Text files of rows: CSV, TSV and their relatives, by Python's csv module.

Bytes become lines in `_Lines`, lines become rows of cells in `_rows`, and the first rows decide
what the columns are. Errors do not name the file: sources.py does.
"""

import collections
import contextlib
import csv
import functools
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.data.table import Reading, Table, as_number, as_text, no_column, no_number
from minnet.errors import ConfigError, DataError, short

Progress = Callable[[int], object] | None  # is told of each number of bytes read
Row = list[str]

CHUNK = 64  # lines read and checked at a time
MAX_LINE = 1 << 24  # characters; a longer line is cut, and refused as a row
LOOK = 500  # rows that decide what the columns are
CELLS = 1 << 12  # read at a time: these stay in the processor's cache
BINARY = re.compile("[\0\udc80-\udcff]")  # NUL, and bytes that are not UTF-8


class HeaderUnclear(DataError):  # noqa: N818
    """The first row may be names or data."""


class _Lines:
    """A text's lines, read and checked CHUNK at a time. `plain`: whether all of them were plain."""

    def __init__(self, text: Any) -> None:
        self.text, self.plain = text, True

    def __iter__(self) -> Iterator[str]:
        return itertools.chain.from_iterable(self._chunks())

    def _chunks(self) -> Iterator[list[str]]:
        above, lines = 0, iter(functools.partial(self.text.readline, MAX_LINE), "")
        while chunk := list(itertools.islice(lines, CHUNK)):
            written = "".join(chunk)
            self.plain = self.plain and _is_plain(written)
            if "\0" in written or not written.isascii():
                for line, text in enumerate(chunk, above + 1):
                    if BINARY.search(text):
                        what = "is not UTF-8 text, or has a NUL byte: save the file as UTF-8"
                        raise DataError(f"line {line} {what}")
            above += len(chunk)
            yield chunk


def blocks(file: Any, reading: Reading) -> Iterator[Table]:
    """The rows of a file, a block at a time, with labels as text. Raises ConfigError, DataError."""
    with io.TextIOWrapper(file, "utf-8-sig", "surrogateescape") as text:
        source = _Lines(text)
        records = _rows(iter(source))
        lines, rows = next(records, (np.zeros(0), []))
        if not rows:
            raise DataError("is empty")
        header, names = _names(lines[0], rows, reading.header)
        if reading.labels and reading.target is not None and len(names) == 1:
            raise DataError("has only one column: found no tab, semicolon, comma, | or space")
        target, top = _target(header, names, reading), (lines[header:], rows[header:])
        cells = enumerate(zip(*top[1], strict=True))
        texts = {j for j, column in cells if any(map(_is_word, column))}
        texts |= {j for j, name in enumerate(names) if j == target or name in reading.categorical}
        numbers = [name for j, name in enumerate(names) if j not in texts]
        label = "" if target is None else names[target]
        found = {"target": (label or None) if header else reading.target, "header": header}
        word = functools.cache(as_text)
        for lines, rows in itertools.chain([top], records):
            words = {}
            for j in sorted(texts, reverse=True):
                words[names[j]] = np.array([word(row.pop(j)) for row in rows], object)
            y, columns = words.pop(label, None), dict(reversed(words.items()))
            table = Table("", numbers, _numbers(numbers, lines, rows, source.plain), columns)
            table.y, table.numbers = y if reading.labels else None, lines
            table.named, table.reading = header, found
            yield table


def _is_plain(written: str) -> bool:
    """Whether Python tells numbers as we do: it takes 1_0 for one, and digits of other scripts."""
    return written.isascii() and "_" not in written


def _rows(lines: Iterator[str]) -> Iterator[tuple[NDArray, list[Row]]]:
    """Blocks of rows, all as wide as the first and not blank, with the line where each starts."""
    above, text = next((pair for pair in enumerate(lines) if not pair[1].isspace()), (0, ""))
    start = [text, *itertools.islice(lines, 19)]
    delimiter = _delimiter([text for text in start if not text.isspace()])
    lines = itertools.chain(start, lines)
    if delimiter == " ":
        lines = (" ".join(text.split()) + "\n" for text in lines)
    reader, line, width, more = _reader(lines, delimiter), above + 1, 0, True
    while more:
        rows, failed = list[Row](), None
        try:
            rows.extend(itertools.islice(reader, max(1, CELLS // width) if width else LOOK))
        except csv.Error as error:  # the rows above it are there
            failed = error
        heights = np.ones(len(rows), int)
        if reader.line_num + above >= line + len(rows):  # cells have line breaks
            heights += ["".join(row).count("\n") for row in rows]
        more, numbers = bool(rows), line + np.cumsum(heights) - heights
        line += int(heights.sum())
        if width < 2 or {*map(len, rows)} != {width}:
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
            yield numbers, rows


def _reader(lines: Iterable[str], delimiter: str) -> Any:
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def _delimiter(lines: list[str]) -> str:
    """Tab, semicolon, | or comma, whichever cuts these lines into the same number of cells; a space
    for runs of spaces."""
    first: dict[str, int] = {}
    for delimiter in "\t;|,":
        widths: list[int] = []
        with contextlib.suppress(csv.Error):  # the last cell may be cut
            widths.extend(map(len, _reader(lines, delimiter)))
        first[delimiter], *others = widths or [1]
        if first[delimiter] > 1 and {*others} <= {first[delimiter]}:
            return delimiter
    spaced = {len(line.split()) for line in lines}
    if max(first.values()) == 1 and len(spaced) == 1 and spaced != {1}:
        return " "
    return max(",;\t|", key=lambda delimiter: first[delimiter])


def _names(line: int, top: list[Row], header: bool | None) -> tuple[bool, list[str]]:
    """Whether the first row holds names, and the names of all columns: without any, x0, x1, ..."""
    names, columns = [cell.strip() for cell in top[0]], list(zip(*top[1:], strict=True))
    if header is None:
        header = _has_names(names, columns)
    if header and not columns:
        raise DataError(f"has names in line {line}, but no rows below")
    if len(names) > 1 and not any(row[-1].strip() for row in top):
        raise DataError("has an empty last column: remove the end of each line")
    if not header:
        return False, [f"x{j}" for j in range(len(names))]
    if "" in names:
        hint = f"column {names.index('') + 1} has no name: name it, or remove it"
        raise DataError(f"line {line}: {hint}")
    name, count = collections.Counter(names).most_common(1)[0]
    if count > 1:
        raise DataError(f"line {line}: two columns have the name {short(name)}: rename one")
    return True, names


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
    return as_number(cell) is None


def _target(header: bool, names: list[str], reading: Reading) -> int | None:
    """The place of the target. In a file without names it is called y, and is not counted."""
    target, D = reading.target, len(names)
    if target is None or (not reading.labels and reading.features == D):
        return None
    if isinstance(target, str):
        if header and target in names:
            return names.index(target)
        if not reading.labels:
            return None
        if header:
            raise ConfigError(no_column("target", target, names))
        hint = "give its index, from 0"
        raise ConfigError(f"has no names to find the target column {target!r} by: {hint}")
    if not -D <= target < D:
        raise ConfigError(f"has no target column {target}: it has {D}, from {-D} to {D - 1}")
    if not header:
        names[:] = [f"x{j}" for j in range(D - 1)]
        names.insert(target % D, "y")
    return target % D


def _numbers(names: list[str], lines: NDArray, rows: list[Row], plain: bool) -> NDArray:
    """X (n, D). Raises DataError for the first cell that is text."""
    if plain or _is_plain("".join(map("".join, rows))):
        for cells in (rows, ([cell or "nan" for cell in row] for row in rows)):
            with contextlib.suppress(ValueError):  # a cell is missing, or is text
                return np.array(list(cells), np.float64)
    X = [list(map(as_number, row)) for row in rows]
    for line, row, numbers in zip(lines, rows, X, strict=True):
        if None in numbers:
            j = numbers.index(None)
            raise DataError(f"line {line}, column {names[j]!r} {no_number(row[j])}")
    return np.array(X, np.float64)
