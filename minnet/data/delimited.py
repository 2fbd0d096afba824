"""Text files of rows: CSV, TSV and their relatives, by Python's csv module.

`encoding` reads the bytes once, `_Records` makes rows of cells of them, and `_Layout` decides by
the first rows what the columns are. Errors do not name the file: sources.py does.
"""

import codecs
import contextlib
import csv
import functools
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from minnet.data import dialect
from minnet.data.dialect import Cells, Row
from minnet.data.table import Reading, Table, place_of, target_place
from minnet.errors import DataError, short

Progress = Callable[[int], object] | None  # is told of each number of bytes read

MAX_LINE = 1 << 22  # characters; a longer line is refused
START = 100  # lines that decide what the delimiter is
LOOK = 500  # rows that decide what the columns are
CELLS = 1 << 12  # read at a time: these stay in the processor's cache
CODES = {  # how a file may begin, what it should be then, and how that is read
    b"\xef\xbb\xbf": ("UTF-8", ["utf-8-sig"]),
    b"\xff\xfe": ("UTF-16", ["utf-16"]),
    b"\xfe\xff": ("UTF-16", ["utf-16"]),
    b"": ("Windows-1252 or UTF-8", ["utf-8", "cp1252"]),
}
BROKEN = "\udc80"  # stands for bytes that are not text
ASIDE = re.compile(r"#|sep=.\s*$")  # a comment, and a line that Excel understands
# a quoted cell, perhaps with the spaces behind it that csv takes for text
PADDED = re.compile(r'((?:^|[,;|\t]) *"(?:[^"]|"")*(?:"|$))( +(?=[,;|\t]|$))?', re.M)
NO_TABLE = "is no table: no tab, semicolon, comma, | or space cuts its lines into columns"

codecs.register_error("minnet", lambda error: (BROKEN, error.end))  # type: ignore[attr-defined]


class Again(DataError):  # noqa: N818
    """Columns of numbers in which text was found: they must be read as text from the start."""

    def __init__(self, message: str, columns: Iterable[int]) -> None:
        super().__init__(message)
        self.columns = tuple(columns)


def blocks(file: Any, reading: Reading) -> Iterator[Table]:
    """The rows of a file, a block at a time: all columns, without y. Raises ConfigError; DataError
    with a line for each trouble; and Again where text was found below the first LOOK rows."""
    code, broken = encoding(file)
    with decoded(file, code) as text:
        records = _Records(text)
        more = iter(records)
        lines, rows = next(more, ([], []))
        if not rows:
            raise DataError("\n".join(records.troubles))
        layout = _Layout(lines, rows, reading, records)
        layout.notes += ["read as Windows-1252: it is not UTF-8"] * (code == "cp1252")
        for lines, rows in itertools.chain([layout.top], more):
            table = layout.table(*layout.fitting(lines, rows))
            if len(table) and not layout.late:
                yield table
    if troubles := [*broken, *layout.ragged(), *records.troubles]:
        raise DataError("\n".join(troubles))
    if layout.late:
        raise Again(next(iter(layout.late.values())), layout.late)


def encoding(file: Any) -> tuple[str, list[str]]:
    """The encoding, and what is said of bytes that are not text. Raises DataError for a file that
    is binary or has a line without an end."""
    start = file.peek(3)
    shown, codes = next(known for bom, known in CODES.items() if start.startswith(bom))
    for code in codes:
        with decoded(file, code) as text:
            lines = enumerate(iter(functools.partial(text.readline, MAX_LINE), ""), 1)
            for number, line in lines:  # noqa: B007
                if len(line) == MAX_LINE:
                    long = f"it has a line of more than {MAX_LINE:,} characters"
                    raise DataError(f"is no table: {long}")
                if "\0" in line or BROKEN in line:
                    break
            else:
                return code, []
    before = re.split(f"[\0{BROKEN}]", line)[0]
    byte = len(before.encode(code)) - len("".encode(code)) + 1  # without the mark at the start
    if line[len(before)] == "\0":
        raise DataError(f"byte {byte} of line {number} is NUL: this is no text")
    return code, [f"byte {byte} of line {number} is not {shown}"]


@contextlib.contextmanager
def decoded(file: Any, code: str) -> Iterator[Any]:
    """The text of a file, which stays open."""
    file.seek(0)
    text = io.TextIOWrapper(file, code, "minnet")
    try:
        yield text
    finally:
        text.detach()


def _unpadded(lines: Iterable[str]) -> Iterator[str]:
    """The lines without spaces behind quoted cells, within which a line may begin."""
    within = False
    for line in lines:
        yield PADDED.sub(r"\1", '"' * within + line)[within:] if '" ' in line else line
        within ^= line.count('"') % 2 == 1


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
        lines = _unpadded(itertools.chain([first], text))
        start = list(itertools.islice(lines, START))
        self.lines: Iterable[str] = itertools.chain(start, lines)
        self.delimiter, self.cuts = dialect.delimiter_of(
            [line for line in start if line.strip() and line[0] != "#"]
        )
        if self.delimiter == " ":
            self.lines = map(dialect.unspaced, self.lines)

    def __iter__(self) -> Iterator[tuple[list[int], list[Row]]]:
        reader, size, end, more = dialect.cells(self.lines, self.delimiter), LOOK, 0, True
        while more:
            lines, rows, more = list[int](), list[Row](), False
            try:
                for row in itertools.islice(reader, size):
                    if row not in ([], [""]):
                        lines.append(self.line + end)
                        rows.append(row)
                    end, more = reader.line_num, True
            except csv.Error as error:  # the rows above it are there
                what = "opens a quote that is not closed, or goes on behind one"
                long = f"has a cell of more than {csv.field_size_limit():,} characters, or "
                what = f"{long * ('limit' in str(error))}{what}"
                self.troubles.append(f"line {self.line + end} {what}")
                more = False
            if rows:
                size = max(1, CELLS // max(map(len, rows)))
                yield lines, rows


class _Layout:
    """What the first rows show of the columns: their `names`, and the places of those of `texts`.

    `top`: the first rows but for the one of names. `late`: what is said of each column of numbers
    in which text was found further down. `bad`: line and width of the rows that do not fit.
    """

    def __init__(self, lines: list[int], rows: list[Row], reading: Reading, of: _Records) -> None:
        self.late, self.bad, self.notes = dict[int, str](), list[tuple[int, int]](), list[str]()
        columns, usual = dialect.columns_of(rows)
        if reading.labels and reading.target is not None and (usual == 1 or not of.cuts):
            raise DataError(NO_TABLE)
        while len(rows[0]) == 1 < usual - 1 and columns:
            self.notes.append(f"line {lines[0]} is left out: it is no row")
            lines, rows = lines[1:], rows[1:]
            columns, _ = dialect.columns_of(rows)
        header = reading.header
        above: Row = next(dialect.cells([dialect.unspaced(of.comment)], of.delimiter), [])
        named = len(above) == usual and dialect.are_names(above)
        if header is not False and named and dialect.votes(rows[0], columns) <= 0:
            # the names stand behind a #, and the first row is data
            header, lines, rows = True, [of.line - 1, *lines], [above, *rows]
            columns, usual = dialect.columns_of(rows)
        top = [cell.strip() for cell in rows[0]]
        self.header = self._has_names(top, columns, reading, header)
        if self.header and not columns:
            none = f"has names in line {lines[0]}, but no rows below"
            raise DataError("\n".join(of.troubles) or none)
        body = dialect.filled(["".join(column).strip() for column in columns])
        if self.header and len(top) == usual - 1 == body - 1:
            self.notes.append("the first column has no name: it is 'row names'")
            top = ["row names", *top]
        self.width, self.usual = max(len(top), usual), usual
        top = top[: max(dialect.filled(top), body)]
        self.notes += ["empty columns at the end are left out"] * (len(top) < usual)
        self.names = dialect.unique(top if self.header else [""] * len(top), self.notes)
        self.top = lines[self.header :], rows[self.header :]
        columns = columns if self.header else dialect.columns_of([[], *rows])[0]
        self.decimal = dialect.decimal_of(columns, of.delimiter == ";", reading.decimal)
        self.notes += ["numbers have a decimal comma"] * (self.decimal == ",")
        self.cells = Cells(reading.missing, self.decimal)
        numbers = [not self.cells.numbers(column)[1] for column in columns]
        self.comments = numbers[:1] == [True]
        given = {place_of(column, self.names) for column in reading.text}
        given |= {target_place(reading, self.names, self.header)}
        self.texts = {j for j in range(len(top)) if j in given or not all(numbers[j : j + 1])}

    def _has_names(self, top: Row, columns: list[Row], reading: Reading, header: Any) -> bool:
        """Whether the first row holds names."""
        votes = dialect.votes(top, columns[max(0, len(columns) - len(top)) :])
        asked = {*filter(None, top)} & {reading.target, *reading.text, *reading.columns}
        if header is not None or asked or votes:
            return bool(asked or votes > 0 if header is None else header)
        header = dialect.are_names(top)
        if columns and any(map(dialect.is_word, top)):
            what, other = ("names", "false") if header else ("data", "true")
            self.notes.append(f"the first row is read as {what}; if not: data.header={other}")
        return header

    def fitting(self, lines: list[int], rows: list[Row]) -> tuple[list[int], list[Row]]:
        """The rows that have all columns, without comments."""
        D, kept = len(self.names), list[int]()
        plain = {D, self.usual, *map(len, rows)} == {D}
        if plain and "#" not in {row[0][:1] for row in rows}:
            return lines, rows
        for i, row in enumerate(rows):
            fits = D <= len(row) <= self.width and not any(row[D:])
            fits &= len(row) >= self.usual or row[D - 1 : D] != [""]  # else it is too short
            if row[0][:1] == "#" and (self.comments or not fits):
                continue
            if fits:
                kept.append(i)
            else:
                ends = max(0, self.usual - D) * (row[-1] == "")  # delimiters that end each line
                self.bad.append((lines[i], len(row) - ends))
        return [lines[i] for i in kept], [rows[i][:D] for i in kept]

    def ragged(self) -> list[str]:
        """What is said of the rows that do not fit."""
        if not self.bad:
            return []
        first, widths = zip(*self.bad[:5], strict=True)
        found = f"{' or '.join(map(str, sorted({*widths})))} columns instead of {len(self.names)}"
        if len(self.bad) == 1:
            return [f"line {first[0]} has {found}"]
        shown = ", ".join(map(str, first)) + ", ..." * (len(self.bad) > 5)
        return [f"{len(self.bad):,} lines have {found}: lines {shown}"]

    def table(self, lines: list[int], rows: list[Row]) -> Table:
        """The rows with their numbers and text apart."""
        word = self.cells.word
        words = {
            j: np.array([word(row.pop(j)) for row in rows], object)
            for j in sorted(self.texts, reverse=True)
        }
        names = [name for j, name in enumerate(self.names) if j not in self.texts]
        text = {self.names[j]: words[j] for j in sorted(words)}
        X, strays = self.cells.numbers(list(itertools.chain.from_iterable(rows)))
        for row, k in (divmod(i, len(names)) for i in strays):  # text from the next block on
            what = f"column {names[k]!r} holds {short(rows[row][k])}, not a number"
            self.late.setdefault(self.names.index(names[k]), f"line {lines[row]}, {what}")
        self.texts |= self.late.keys()
        X = X.reshape(len(rows), len(names))
        table = Table("", names, X, text, None, np.array(lines, int), self.header)
        table.reading = {"header": self.header, "decimal": self.decimal}
        table.order, table.notes = self.names, self.notes
        return table
