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
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.data import table as tables
from minnet.data.table import GROUPED, MISSING, Reading, Table, as_number
from minnet.errors import DataError, short

Progress = Callable[[int], object] | None  # is told of each number of bytes read
Row = list[str]

CHUNK = 1 << 20  # bytes read at a time, before there are rows
MAX_LINE = 1 << 24  # characters; a longer line is refused
MAX_CELL = 1 << 15  # characters, about as many as Excel takes
START = 100  # lines that decide what the delimiter is
LOOK = 500  # rows that decide what the columns are
CELLS = 1 << 12  # read at a time: these stay in the processor's cache
SHARE = 0.5  # of the records must have as many cells as each other
CODES = {  # how a file may begin, and what its encoding may be then
    b"\xef\xbb\xbf": ["utf-8-sig"],
    b"\xff\xfe": ["utf-16"],
    b"\xfe\xff": ["utf-16"],
    b"": ["utf-8", "cp1252"],
}
SHOWN = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "cp1252": "Windows-1252"}
BROKEN = re.compile("[\0\udc80]")  # NUL, and what stands for bytes that are not text
POINT, COMMA = (re.compile(rf"[-+]?\d*{mark}?\d+(?:[eE][-+]?\d+)?") for mark in (r"\.", ","))
DIGIT = re.compile(r"\d")
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
        plain = plain and _is_plain(text[text.find("\n") + 1 if first else 0 :])
        first = False
    decode(b"", True)
    return plain


def _is_plain(written: str) -> bool:
    """Whether Python tells numbers as we do: it takes 1_0 for one, and digits of other scripts."""
    return written.isascii() and "_" not in written


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
        self.delimiter, self.cuts = _delimiter(
            [line for line in start if line.strip() and line[0] != "#"]
        )
        if self.delimiter == " ":
            self.lines = map(_unspaced, self.lines)

    def __iter__(self) -> Iterator[tuple[NDArray, list[Row]]]:
        reader, line, width, above = cells(self.lines, self.delimiter), self.line, 0, self.line
        more = True
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


def cells(lines: Iterable[str], delimiter: str) -> Any:
    """The rows of these lines."""
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def _unspaced(line: str) -> str:
    return f"{line.replace(chr(9), ' ').strip()}\n"


def _delimiter(lines: list[str]) -> tuple[str, bool]:
    """Tab, semicolon, | or comma, whichever cuts these lines into the same number of cells, or a
    space for runs of spaces; and whether it does."""
    spaced, shares = [*map(_unspaced, lines)], dict[str, float]()
    for delimiter in "\t;|, ":
        widths: list[int] = []
        with contextlib.suppress(csv.Error):  # the last cell may be cut
            widths.extend(map(len, cells(spaced if delimiter == " " else lines, delimiter)))
        (width, count), *_ = Counter(widths).most_common(1) or [(1, 0)]
        shares[delimiter] = (width > 1) * count / max(1, len(widths)) / (1 + (widths[:1] == [1]))
    share = shares.pop(" ")
    best = max(shares, key=lambda delimiter: shares[delimiter])  # the first of those alike
    commas = [cell for line in spaced for cell in line.split() if "," in cell]
    if not shares[best] or (best == "," and share == 1 and all(map(COMMA.fullmatch, commas))):
        best, shares[" "] = " " if share >= SHARE else ",", share
    return best, shares[best] >= (SHARE if len(lines) > 9 else 1e-9)


class _Layout:
    """What the first rows show of the columns: their `names`, and the places of those of `texts`.

    `top`: the first rows but for the one of names. `late`: what is said of each column of numbers
    in which text was found further down. `bad`: line and width of the first rows that do not fit.
    """

    def __init__(self, lines: NDArray, rows: list[Row], reading: Reading, of: _Records) -> None:
        self.word, self.missing = words(reading.missing), _lower(reading.missing)
        self.marks = reading.missing
        self.gaps, self.late = dict[str, str](), dict[int, str]()
        self.bad, self.count = list[tuple[int, int]](), 0
        self.notes, self.plain = list[str](), False
        columns, usual = _columns(rows)
        if reading.labels and reading.target is not None and (usual == 1 or not of.cuts):
            raise DataError(NO_TABLE)
        header = reading.header
        above: Row = next(cells([_unspaced(of.comment)], of.delimiter), [])
        if header is not False and len(above) == usual and _are_names(above):
            ayes, noes = _votes(rows[0], columns)
            if ayes <= noes:  # the names stand behind a #, and the first row is data
                header, lines, rows = True, np.append(of.line - 1, lines), [above, *rows]
                columns, usual = _columns(rows)
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
        cut = min(empty, unnamed if self.header else 1) * (len(top) == usual)
        self.notes += ["empty columns at the end are left out"] * (cut > 0)
        top = top[: len(top) - cut]
        self.names = unique(top if self.header else [""] * len(top), self.notes)
        self.top = lines[self.header :], rows[self.header :]
        columns = columns if self.header else _columns([[], *rows])[0]
        self.decimal = _decimal(columns, of.delimiter == ";", reading.decimal)
        self.notes += ["numbers have a decimal comma"] * (self.decimal == ",")
        numbers = [all(self.number(cell) is not None for cell in column) for column in columns]
        self.comments = numbers[:1] == [True]
        given = {tables.place_of(column, self.names) for column in reading.text}
        given |= {tables.target_place(reading, self.names, self.header)}
        self.texts = {j for j in range(len(top)) if j in given or not all(numbers[j : j + 1])}

    def _has_names(self, top: Row, columns: list[Row], reading: Reading, header: Any) -> bool:
        """Whether the first row holds names."""
        ayes, noes = _votes(top, columns[max(0, len(columns) - len(top)) :])
        asked = {*top} & {reading.target, *reading.text}
        if header is not None or ayes or noes or asked:
            return bool(asked or ayes >= noes if header is None else header)
        header = _are_names(top)
        if columns and any(map(_is_word, top)):
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
        table = Table("", names, self._numbers(lines, rows), text, None, lines, self.header)
        table.reading = {"header": self.header, "decimal": self.decimal}
        table.order, table.notes = self.names, self.notes
        return table

    def _words(self, j: int, lines: NDArray, column: Row) -> NDArray:
        if max(map(len, column), default=0) > MAX_CELL:
            i = next(i for i, cell in enumerate(column) if len(cell) > MAX_CELL)
            what = f"has a cell of more than {MAX_CELL:,} characters"
            raise DataError(f"line {lines[i]}, column {self.names[j]!r} {what}")
        return np.array([self.word(cell) for cell in column], object)

    def _numbers(self, lines: NDArray, rows: list[Row]) -> NDArray:
        """X (n, D). Text in it is noted, and becomes text from the next block on."""
        comma, shape = self.decimal == ",", (len(rows), len(self.names) - len(self.texts))
        written = "" if self.plain and not comma else "".join(map("".join, rows))
        X, get = np.empty(shape), self.gaps.get
        if _is_plain(written) and not (comma and "." in written):
            pointed = rows
            if comma:
                pointed = [[cell.replace(",", ".") for cell in row] for row in rows]
            for tried in (pointed, ([get(cell, cell) for cell in row] for row in pointed)):
                with contextlib.suppress(ValueError):  # a cell is missing, or is text
                    return blank(np.array(list(tried), np.float64).reshape(shape), self.marks)
        places = [j for j in range(len(self.names)) if j not in self.texts]
        for x, line, row in zip(X, lines, rows, strict=True):
            for k, (j, cell) in enumerate(zip(places, row, strict=True)):
                number = self.number(cell)
                if number is None:
                    what = f"line {line}, column {self.names[j]!r} holds {short(cell)}"
                    self.late.setdefault(j, f"{what}, not a number")
                x[k] = math.nan if number is None else number
        self.texts |= self.late.keys()
        return blank(X, self.marks)

    def number(self, cell: str) -> float | None:
        """The plain number in a cell, NaN if it is missing, None if it is text."""
        if cell.strip().lower() in self.missing:
            self.gaps[cell] = "nan"
            return math.nan
        if not _is_plain(cell) or (self.decimal == "," and "." in cell):
            return None
        with contextlib.suppress(ValueError):
            return float(cell.replace(",", ".") if self.decimal == "," else cell)
        return None


def words(missing: tuple[str, ...]) -> Callable[[str], str]:
    """A function from a cell to its text, "" if it is missing; equal ones are mostly one object."""
    empty, marks = _lower(missing), _marks(missing)

    @functools.lru_cache(1 << 16)
    def word(cell: str) -> str:
        cell = cell.strip()
        gone = cell.lower() in empty or (marks and as_number(cell) in marks)
        return "" if gone else cell

    return word


def _lower(missing: tuple[str, ...]) -> frozenset[str]:
    return MISSING | {cell.strip().lower() for cell in missing}


def blank(X: NDArray, missing: tuple[str, ...]) -> NDArray:
    """X with NaN where a number is what is missing."""
    if marks := _marks(missing):
        X[np.isin(X, marks)] = math.nan
    return X


def _marks(missing: tuple[str, ...]) -> list[float]:
    """The numbers among what is missing."""
    numbers = map(as_number, missing)
    return [number for number in numbers if number is not None and number == number]


def unique(names: list[str], notes: list[str]) -> list[str]:
    """The names, of which none is empty or stands twice any more; a note says what was done."""
    made, twice = list[str](), list[str]()
    for j, name in enumerate(names):
        base, taken = name or f"x{j}", {*made}
        if base in taken:
            taken |= {*names}
            new = next(new for i in itertools.count(1) if (new := f"{base}.{i}") not in taken)
            twice.append(f"two columns have the name {base!r}: the second one is {new!r}")
            base = new
        made.append(base)
    notes += [*twice[:3], *[f"so it is with {len(twice) - 3} more"] * (len(twice) > 3)]
    return made


def _columns(rows: list[Row]) -> tuple[list[Row], int]:
    """The columns below the first row, and how many cells most rows have."""
    below = [row for row in rows[1:] if row[0][:1] != "#"]
    below = below or [row for row in rows[1:] if len(row) == len(rows[0])]
    usual = Counter(map(len, below or rows)).most_common(1)[0][0]
    return list(map(list, zip(*(row for row in below if len(row) == usual), strict=True))), usual


def _is_word(cell: str) -> bool:
    return as_number(cell) is None and any(map(str.isalpha, cell))


def _are_names(cells: Row) -> bool:
    """Whether all cells are words, or rising years or 0, 1, 2, ..., and each a different one. The
    first may be empty: it is above row names."""
    names = [cell.strip() for cell in cells if cell.strip() or cell is not cells[0]]
    words = list(filter(_is_word, names))
    years = [int(name) if name.isdecimal() else -1 for name in names if name not in words]
    rising = len(years) > 1 and years == sorted({*years}) and years[0] > 1500 and years[-1] < 2100
    counted = len(names) > 2 and names == [*map(str, range(len(names)))]
    return len({*names}) == len(names) > 0 and (not years or counted or rising)


def _votes(top: Row, columns: list[Row]) -> tuple[int, int]:
    """How many cells of the first row look like names: words that are asked for, or above numbers,
    or without a digit above cells that all have one; and how many words stand below again."""
    ayes, noes = 0, 0
    for name, column in zip(map(str.strip, top), columns, strict=False):
        below = {*map(str.strip, column)}
        given = [cell for cell in below if cell.lower() not in MISSING]
        if not _is_word(name) or name in below:
            noes += name in below and _is_word(name)
        elif name.lower() in tables.TARGETS:
            ayes += 1
        elif given and all(any(map(str.isdigit, cell)) for cell in given):
            ayes += all(as_number(cell) is not None for cell in given) or not DIGIT.search(name)
    return ayes, noes


def _decimal(columns: list[Row], semicolon: bool, known: str) -> str:
    """The decimal mark: what stands in most columns of numbers, where it does not group them."""
    votes, unclear = Counter[str](), False
    for column in columns:
        given = {cell for cell in map(str.strip, column) if cell.lower() not in MISSING}
        for mark, pattern, other in ((".", POINT, ","), (",", COMMA, ".")):
            marked = [cell for cell in given if mark in cell]
            if marked and all(map(pattern.fullmatch, given)):
                grouped = all(map(GROUPED[other].fullmatch, marked))
                votes[mark] += not grouped
                unclear |= grouped and mark == ","
    if votes["."] != votes[","]:
        return max(".,", key=lambda mark: votes[mark])
    return known or ("," if unclear and semicolon else ".")
