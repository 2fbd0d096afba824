"""Text files of rows: CSV, TSV and their relatives, by Python's csv module.

`encoding` reads the bytes once, `_Records` makes rows of cells of them, and `_Layout` decides by
the first rows what the columns are. Errors do not name the file: sources.py does.
"""

import codecs
import contextlib
import csv
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.data import dialect
from minnet.data.dialect import Cells, Row
from minnet.data.table import Reading, Table, place_of, target_place
from minnet.errors import DataError, short

Progress = Callable[[int], object] | None  # is told of each number of bytes read

CHUNK = 1 << 20  # bytes read at a time, before there are rows
MAX_LINE = 1 << 22  # characters; a longer line is refused
MAX_CELL = 1 << 15  # characters, about as many as Excel takes
START = 100  # lines that decide what the delimiter is
LOOK = 500  # rows that decide what the columns are
CELLS = 1 << 12  # read at a time: these stay in the processor's cache
CODES = {  # how a file may begin, and what its encoding may be then
    b"\xef\xbb\xbf": ["utf-8-sig"],
    b"\xff\xfe": ["utf-16"],
    b"\xfe\xff": ["utf-16"],
    b"": ["utf-8", "cp1252"],
}
SHOWN = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "cp1252": "Windows-1252"}
BROKEN = re.compile("[\0\udc80]")  # NUL, and what stands for bytes that are not text
ASIDE = re.compile(r"#|sep=.\s*$")  # a comment, and a line that Excel understands
PADDED = re.compile(r'((?:^|[,;|\t]) *"(?:[^"]|"")*") +(?=[,;|\t]|$)', re.M)  # spaces after a quote
NO_TABLE = "is no table: no tab, semicolon, comma, | or space cuts its lines into columns"

codecs.register_error("minnet", lambda error: ("\udc80", error.end))  # type: ignore[attr-defined]


class Again(DataError):  # noqa: N818
    """Columns of numbers in which text was found: they must be read as text from the start."""

    def __init__(self, message: str, columns: Iterable[int]) -> None:
        super().__init__(message)
        self.columns = tuple(columns)


def blocks(file: Any, reading: Reading) -> Iterator[Table]:
    """The rows of a file, a block at a time: all columns, without y. Raises ConfigError; DataError
    with a line for each trouble; and Again where text was found below the first LOOK rows."""
    code, plain, broken = encoding(file)
    file.seek(0)
    text = io.TextIOWrapper(file, code, "minnet")
    try:
        records = _Records(text)
        more = iter(records)
        numbers, rows = next(more, (np.zeros(0), []))
        if not rows:
            raise DataError("\n".join(records.troubles))
        layout = _Layout(numbers, rows, reading, records)
        layout.notes += ["read as Windows-1252: it is not UTF-8"] * (code == "cp1252")
        layout.plain = plain
        for numbers, rows in itertools.chain([layout.top], more):
            table = layout.table(*layout.fitting(numbers, rows))
            if len(table) and not layout.late:
                yield table
        if troubles := [*broken, *layout.ragged(), *records.troubles]:
            raise DataError("\n".join(troubles))
        if layout.late:
            raise Again(next(iter(layout.late.values())), layout.late)
    finally:
        text.detach()


def encoding(file: Any) -> tuple[str, bool, list[str]]:
    """The encoding, whether all below the first line is plain, and what is said of bytes that are
    not text. Raises DataError for a file that is binary."""
    start = file.peek(3)
    codes = next(codes for bom, codes in CODES.items() if start.startswith(bom))
    for code in codes:
        with contextlib.suppress(UnicodeError):
            return code, _scan(file, code), []
    file.seek(0)
    text = io.TextIOWrapper(file, code, "minnet")
    found = ((i, line, BROKEN.search(line)) for i, line in enumerate(text, 1))
    number, line, bad = next((i, line, match) for i, line, match in found if match)
    text.detach()
    code, shown = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}.get(code, code), SHOWN[code]
    what = f"byte {len(line[: bad.start()].encode(code)) + 1} of line {number} "
    if bad[0] == "\0":
        raise DataError(f"{what}is NUL: this is no text")
    return codes[-1], False, [f"{what}is not {shown}{' or UTF-8' * (codes[1:] != [])}"]


def _scan(file: Any, code: str) -> bool:
    """Whether all below the first line is plain. Raises UnicodeError for bytes that are not text of
    this encoding."""
    decode, plain, length, first = codecs.getincrementaldecoder(code)().decode, True, 0, True
    file.seek(0)
    while chunk := file.read(CHUNK):
        text = decode(chunk)
        if "\0" in text:
            raise UnicodeError
        length = 0 if "\n" in text or "\r" in text else length + len(text)
        if length > MAX_LINE:
            raise DataError(f"is no table: it has a line of more than {MAX_LINE:,} characters")
        plain = plain and dialect.is_plain(text[text.find("\n") + 1 if first else 0 :])
        first = False
    decode(b"", True)
    return plain


class _Records:
    """Blocks of rows that are not blank, each with the line where it starts. `comment`: the line
    above the first row, if it starts with #. `troubles`: what ended the rows."""

    def __init__(self, text: Any) -> None:
        self.troubles, self.comment, said = list[str](), "", "is empty"
        for self.line, first in enumerate(text, 1):
            if not (first.isspace() or ASIDE.match(first)):
                break
            said = said if first.isspace() else "has nothing but comments"
            self.comment = first[1:] if first[0] == "#" else ""
        else:
            raise DataError(said)
        start = [first, *itertools.islice(text, START - 1)]
        self.lines: Iterator[str] = itertools.chain(start, text)
        if any(map(PADDED.search, start)):
            start = [PADDED.sub(r"\1", line) for line in start]
            self.lines = (PADDED.sub(r"\1", line) for line in self.lines)
        self.delimiter, self.cuts = dialect.delimiter_of(
            [line for line in start if line.strip() and line[0] != "#"]
        )
        if self.delimiter == " ":
            self.lines = map(dialect.unspaced, self.lines)

    def __iter__(self) -> Iterator[tuple[NDArray, list[Row]]]:
        reader, line, above = dialect.cells(self.lines, self.delimiter), self.line, self.line
        width, more = 0, True
        while more:
            rows, failed = list[Row](), None
            try:
                rows.extend(itertools.islice(reader, max(1, CELLS // width) if width else LOOK))
            except csv.Error as error:  # the rows above it are there
                failed = str(error)
            more, heights = bool(rows) and not failed, np.ones(len(rows), int)
            if rows and reader.line_num + above > line + len(rows):  # cells have line breaks
                heights += ["".join(row).count("\n") for row in rows]
            numbers = line + np.cumsum(heights) - heights
            line += int(heights.sum())
            if failed:
                what = "opens a quote that is not closed, or goes on behind one"
                long = f"has a cell of more than {csv.field_size_limit():,} characters, or "
                self.troubles.append(f"line {line} {long * ('limit' in failed)}{what}")
            width = width or max(map(len, rows), default=0)
            if width < 2 or min(map(len, rows), default=2) < 2:
                kept = [i for i, row in enumerate(rows) if row not in ([], [""])]
                rows, numbers = [rows[i] for i in kept], numbers[kept]
            if rows:
                yield numbers, rows


class _Layout:
    """What the first rows show of the columns: their `names`, and the places of those of `texts`.

    `top`: the first rows but for the one of names. `late`: what is said of each column of numbers
    in which text was found further down. `bad`: line and width of the first rows that do not fit.
    """

    def __init__(self, lines: NDArray, rows: list[Row], reading: Reading, of: _Records) -> None:
        self.late, self.bad, self.count = dict[int, str](), list[tuple[int, int]](), 0
        self.notes, self.plain = list[str](), False
        columns, usual = dialect.columns_of(rows)
        if reading.labels and reading.target is not None and (usual == 1 or not of.cuts):
            raise DataError(NO_TABLE)
        while len(rows[0]) == 1 < usual - 1 and columns:
            self.notes.append(f"line {lines[0]} is left out: it is no row")
            lines, rows = lines[1:], rows[1:]
            columns, _ = dialect.columns_of(rows)
        header = reading.header
        above: Row = next(dialect.cells([dialect.unspaced(of.comment)], of.delimiter), [])
        if header is not False and len(above) == usual and dialect.are_names(above):
            ayes, noes = dialect.votes(rows[0], columns)
            if ayes <= noes:  # the names stand behind a #, and the first row is data
                header, lines, rows = True, np.append(of.line - 1, lines), [above, *rows]
                columns, usual = dialect.columns_of(rows)
        top = [cell.strip() for cell in rows[0]]
        ends = [not any(map(str.strip, column)) for column in reversed(columns[1:])]
        empty = next((i for i, end in enumerate(ends) if not end), len(ends))
        self.header = self._has_names(top, columns[: usual - empty], reading, header)
        if self.header and not columns:
            none = f"has names in line {lines[0]}, but no rows below"
            raise DataError("\n".join(of.troubles) or none)
        if self.header and len(top) == usual + 1 and not top[-1]:
            top.pop()
        elif self.header and len(top) == usual - 1:
            top = [*top, ""] if empty else ["row names", *top]
            self.notes += [] if empty else ["the first column has no name: it is 'row names'"]
        self.width, unnamed = len(top), next((i for i, name in enumerate(top[::-1]) if name), 0)
        cut = min(empty, unnamed, len(top) if self.header else 1) * (len(top) == usual)
        self.notes += ["empty columns at the end are left out"] * (cut > 0)
        top = top[: len(top) - cut]
        self.names = dialect.unique(top if self.header else [""] * len(top), self.notes)
        self.top = lines[self.header :], rows[self.header :]
        columns = columns if self.header else dialect.columns_of([[], *rows])[0]
        self.decimal = dialect.decimal_of(columns, of.delimiter == ";", reading.decimal)
        self.notes += ["numbers have a decimal comma"] * (self.decimal == ",")
        self.cells = Cells(reading.missing, self.decimal)
        number = self.cells.number
        numbers = [all(number(cell) is not None for cell in column) for column in columns]
        self.comments = numbers[:1] == [True]
        given = {place_of(column, self.names) for column in reading.text}
        given |= {target_place(reading, self.names, self.header)}
        self.texts = {j for j in range(len(top)) if j in given or not all(numbers[j : j + 1])}

    def _has_names(self, top: Row, columns: list[Row], reading: Reading, header: Any) -> bool:
        """Whether the first row holds names."""
        ayes, noes = dialect.votes(top, columns[max(0, len(columns) - len(top)) :])
        asked = {*filter(None, top)} & {reading.target, *reading.text, *reading.columns}
        if header is not None or ayes or noes or asked:
            return bool(asked or ayes >= noes if header is None else header)
        header = dialect.are_names(top)
        if columns and any(map(dialect.is_word, top)):
            what, other = ("names", "false") if header else ("data", "true")
            self.notes.append(f"the first row is read as {what}; if not: data.header={other}")
        return header

    def fitting(self, lines: NDArray, rows: list[Row]) -> tuple[NDArray, list[Row]]:
        """The rows that have all columns, without comments."""
        D = len(self.names)
        if {*map(len, rows)} != {D} or (self.comments and "#" in {row[0][:1] for row in rows}):
            kept = []
            for i, row in enumerate(rows):
                fits = D <= len(row) <= self.width and not any(row[D:])
                if row[0][:1] == "#" and (self.comments or not fits):
                    continue
                if fits:
                    kept.append(i)
                else:
                    self.count += 1
                    self.bad += [(int(lines[i]), len(row))] * (self.count <= 5)
            lines, rows = lines[kept], [rows[i][:D] for i in kept]
        return lines, rows

    def ragged(self) -> list[str]:
        """What is said of the rows that do not fit."""
        lines, widths = zip(*self.bad, strict=True) if self.bad else ((), ())
        found = f"{' or '.join(map(str, sorted({*widths})))} columns instead of {len(self.names)}"
        if self.count > 1:
            more = ", ..." if self.count > 5 else ""
            shown = f"{', '.join(map(str, lines))}{more}"
            return [f"{self.count:,} lines have {found}: lines {shown}"]
        return [f"line {line} has {found}" for line in lines]

    def table(self, lines: NDArray, rows: list[Row]) -> Table:
        """The rows with their numbers and text apart."""
        words = {
            j: self._words(j, lines, [row.pop(j) for row in rows])
            for j in sorted(self.texts, reverse=True)
        }
        names = [name for j, name in enumerate(self.names) if j not in self.texts]
        text = {self.names[j]: words[j] for j in sorted(words)}
        table = Table("", names, self._numbers(lines, rows, names), text, None, lines, self.header)
        table.reading = {"header": self.header, "decimal": self.decimal}
        table.order, table.notes = self.names, self.notes
        return table

    def _words(self, j: int, lines: NDArray, column: Row) -> NDArray:
        if max(map(len, column), default=0) > MAX_CELL:
            i = next(i for i, cell in enumerate(column) if len(cell) > MAX_CELL)
            what = f"has a cell of more than {MAX_CELL:,} characters"
            raise DataError(f"line {lines[i]}, column {self.names[j]!r} {what}")
        return np.array(list(map(self.cells.word, column)), object)

    def _numbers(self, lines: NDArray, rows: list[Row], names: list[str]) -> NDArray:
        """X (n, D). Text in it is noted, and its column is text from the next block on."""
        X = self.cells.numbers(rows, self.plain)
        if X is None:
            found = [list(map(self.cells.number, row)) for row in rows]
            places = [self.names.index(name) for name in names]
            for line, row, numbers in zip(lines, rows, found, strict=True):
                for k in (k for k, number in enumerate(numbers) if number is None):
                    what = f"line {line}, column {names[k]!r} holds {short(row[k])}, not a number"
                    self.late.setdefault(places[k], what)
            self.texts |= self.late.keys()
            X = self.cells.blank(np.array(found, np.float64))
        return X.reshape(len(rows), len(names))
