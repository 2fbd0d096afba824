"""Data frames, and files of other kinds than text: Parquet, Feather, Excel, JSON, Stata and SAS by
pandas; and ARFF. Errors do not name the file: sources.py does.
"""

import functools
import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.data import delimited, dialect
from minnet.data.table import Reading, Table, place_of, target_place
from minnet.errors import DataError

NEEDED = "pip install pandas pyarrow openpyxl"
NO_TARGET = Reading(None)
WORKBOOKS = (".xlsx", ".xlsm")
ATTRIBUTE = re.compile(r"""(?im)^[^\S\n]*@attribute\s+(['"]?)(.+?)\1(?:\s+|(?=\{))(\{)?""")
QUOTED = re.compile(r"(?m)(^|,)[^\S\n]*'((?:[^'\\\n]|\\.)*)'")

Reader = Callable[[Any, Reading], Iterator[Table]]


def table(frame: Any, path: str, reading: Reading = NO_TARGET) -> Table:
    """A data frame as a table: numbers are X, all else is text as a CSV has it. Its index is left
    out."""
    from pandas import RangeIndex
    from pandas.api import types

    named, notes = not isinstance(frame.columns, RangeIndex), list[str]()
    parts = [name if isinstance(name, tuple) else (name,) for name in frame.columns]
    names = [".".join(str(part) for part in name if part == part) for name in parts]
    names = [re.sub(r"^Unnamed: \d+$", "", name) if named else "" for name in names]
    order, cells = dialect.unique(names, notes), dialect.Cells(reading.missing)
    texts = {place_of(column, order) for column in reading.text}
    texts.add(target_place(reading, order, named))
    numbers, text = [], {}
    for j, (name, dtype) in enumerate(zip(order, frame.dtypes, strict=True)):
        column = frame.iloc[:, j]
        if j in texts or types.is_bool_dtype(dtype) or not types.is_numeric_dtype(dtype):
            given: Any = column.astype(object).where(column.notna(), None)
            text[name] = words(given, cells.word)
        else:
            numbers.append(column.to_numpy(np.float64, na_value=np.nan))
    X = np.column_stack([np.empty((len(frame), 0)), *numbers])
    names = [name for name in order if name not in text]
    return Table(path, names, cells.blank(X), text, named=named, order=order, notes=notes)


def words(column: Iterable[Any], word: Callable[[str], str]) -> NDArray:
    """The cells of a column of any kind as a CSV has them, (n,) str objects; "" if missing."""
    return np.array([word(_written(cell)) for cell in column], object)


def _written(cell: Any) -> str:
    if isinstance(cell, float):
        return repr(float(cell)).removesuffix(".0")
    if cell is None or isinstance(cell, bytes):
        return (cell or b"").decode(errors="replace")
    return re.sub(r"(?<=^\d{4}-\d\d-\d\d) 00:00:00$", "", str(cell))


def _pandas(function: str, **options: Any) -> Reader:
    """What reads a file by a function of pandas. An index that has a name is a column."""

    def blocks(file: Any, reading: Reading) -> Iterator[Table]:
        import pandas

        frame = getattr(pandas, function)(file, **options)
        if any(name is not None for name in frame.index.names):
            frame = frame.reset_index()
        if not len(frame) or (frame.shape[1] < 2 and reading.labels):
            raise DataError("has no rows" if not len(frame) else "has only one column")
        yield table(frame, "", reading)

    return blocks


def _excel(file: Any, reading: Reading) -> Iterator[Table]:
    """The first sheet, as if it had been saved as CSV."""
    import pandas

    book, saved = pandas.ExcelFile(file, "openpyxl"), io.BytesIO()
    sheet = book.parse(book.sheet_names[0], header=None, dtype=object, na_filter=False)
    sheet.map(_written).to_csv(saved, header=False, index=False)
    note = f"the first of {len(book.sheet_names)} sheets is read"
    yield from _as_csv(saved.getvalue(), reading, [note] * (len(book.sheet_names) > 1))


def _as_csv(content: bytes, reading: Reading, notes: list[str]) -> Iterator[Table]:
    for part in delimited.blocks(io.BufferedReader(io.BytesIO(content)), reading):
        yield replace(part, notes=[*notes, *part.notes])


def _arff(file: Any, reading: Reading) -> Iterator[Table]:
    """The rows, as a CSV with its header in the line of @data."""
    with delimited.decoded(file, delimited.encoding(file)[0]) as text:
        head, _, rows = re.split(r"(?im)^[^\S\n]*(@data.*$)|\Z", text.read(), maxsplit=1)
    rows = re.sub(r"(?m)^[^\S\n]*%.*$", "", rows)
    if rows.lstrip()[:1] in ("", "{"):
        raise DataError("is ARFF without rows, or with sparse ones: save it as CSV or svmlight")
    columns = [match.groups() for match in ATTRIBUTE.finditer(head)]
    nominal = [j for j, (_, _, values) in enumerate(columns) if values]
    header = "\n" * head.count("\n") + ",".join(f'"{name}"' for _, name, _ in columns)
    reading = replace(reading, header=True, text=(*reading.text, *nominal))
    yield from _as_csv((header + QUOTED.sub(_requoted, rows)).encode(), reading, [])


def _requoted(found: re.Match[str]) -> str:
    inside = re.sub(r"\\(.)", r"\1", found[2]).replace('"', '""')
    return f'{found[1]}"{inside}"'


# what they are called, their suffixes, how they begin, and what reads them
JSON = {"dtype": False, "convert_dates": False, "convert_axes": False}
FORMATS: list[tuple[str, str, bytes, Reader]] = [
    ("Parquet", ".parquet .pq", rb"PAR1", _pandas("read_parquet")),
    ("Feather", ".feather .arrow", rb"ARROW1|FEA1", _pandas("read_feather")),
    ("JSON", "", rb'\s*\{\s*".*\}\s*\n\s*\{', _pandas("read_json", lines=True, **JSON)),
    ("JSON", ".json .jsonl .ndjson", rb'\s*[\[{]\s*["\[{]', _pandas("read_json", **JSON)),
    ("Stata", ".dta", rb"<stata_dta>|[\x66-\x73][\x01\x02]\x01", _pandas("read_stata")),
    (
        "SAS",
        ".sas7bdat",
        rb"\0{12}\xc2\xea\x81",
        _pandas("read_sas", format="sas7bdat", encoding="infer"),
    ),
    ("SAS", ".xpt", rb"HEADER RECORD\*", _pandas("read_sas", format="xport", encoding="latin-1")),
    ("an Excel workbook", " ".join(WORKBOOKS), rb"PK", _excel),
    ("ARFF", ".arff", rb"(?i)\s*(?:%[^\n]*\n\s*)*@relation", _arff),
]


def reader(suffix: str, start: bytes) -> Reader | None:
    """What reads a file that begins so; None if none does. Raises DataError where its suffix says
    what it is not."""
    for what, _, pattern, read in FORMATS:
        if re.match(pattern, start):
            return functools.partial(_quietly, what, read)
    for what, suffixes, *_ in FORMATS:
        if suffix.lower() in suffixes.split():
            raise DataError(f"is called {suffix}, but is not {what}: rename it, or save it again")
    return None


def _quietly(what: str, read: Reader, file: Any, reading: Reading) -> Iterator[Table]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield from read(file, reading)
    except ImportError:
        raise DataError(f"is {what}, which needs more packages: {NEEDED}") from None
