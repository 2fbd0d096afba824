"""What each column of a table is: labels, numbers, categories, or nothing to learn from, and why.

`decide` looks at the training file, and says each decision in a line; the config may overrule it.
`alike` gives another file the same columns.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.config import DataConfig
from minnet.data.table import (
    FINITE,
    TARGETS,
    Reading,
    Table,
    as_number,
    no_column,
    place_of,
    target_place,
)
from minnet.errors import ConfigError, DataError, short

NUMBERS, CATEGORIES, DROPPED = "numbers", "categories", "as data.drop says"
STRAYS, DISTINCT = 0.05, 20  # a column of more different numbers may have so much text among them
Columns = list[str] | None
CLASSES = 50  # more different numbers are a quantity, not classes
SHOWN = 8  # names in a note
_TIME = r"(?:[T ,]+\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?: ?[AaPp][Mm])?(?:Z| ?[+-]\d\d:?\d\d| UTC)?)?"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
DATE = re.compile(
    rf"(?:\d{{4}}([-/.])\d\d?\1\d\d?|\d\d?([-/.])\d\d?\2(?:\d\d){{1,2}}"
    rf"|(?i:\d\d?[- ]?{_MONTH}[- ,]*(?:\d\d){{1,2}}|{_MONTH} \d\d?,? \d{{4}})){_TIME}"
)


def reading(config: DataConfig) -> Reading:
    """How the config says to read its files."""
    header = config.header if isinstance(config.header, bool) else None
    missing = tuple(map(str, config.missing_values))
    return Reading(config.target, tuple(config.categorical), header, missing)


def decide(table: Table, config: DataConfig) -> tuple[Table, DataConfig]:
    """The table with the columns to learn from, and with labels y as text; and the config with what
    was decided. Raises ConfigError for a column that is not there, and DataError, which says all
    that is wrong with the table at once."""
    given = reading(config)
    target = target_place(given, table.order, table.named)
    label, asked = table.order[target or 0], dict[str, str]()
    kinds, numbers = dict[str, str](), dict[str, NDArray]()
    for key, kind in (("drop", DROPPED), ("categorical", CATEGORIES), ("numeric", NUMBERS)):
        asked |= dict.fromkeys(named(table, key, getattr(config, key)), kind)
    notes, problems = list(table.notes), list[str]()
    for name in [name for name in table.order if name != label]:
        kinds[name], x, strays = _kind(table, name, asked.get(name, ""))
        if kinds[name] == NUMBERS:
            numbers[name] = x
            said, wrong = _said(table, name, x, strays)
            notes, problems = notes + said, problems + wrong
            if name in asked and np.isnan(x).all():
                problems.append(f"{table.text_error(name)}, or leave it out of data.numeric")
    if isinstance(config.target, str) and f"{label}.1" in table.order:
        twice = f"two columns are called {label!r}: give data.target by place"
        problems.append(f"{table.path}: {twice}")
    problems += _of_labels(table, label, kinds, asked.get(label) == CATEGORIES)
    if problems:
        raise DataError("\n".join(problems))
    categories = [name for name in kinds if kinds[name] == CATEGORIES]
    if not numbers and not categories:
        raise DataError(f"{table.path}: has no column to learn from: {_left_out(kinds)}")
    notes += _told(table, config.target, label, kinds, {*asked})
    how = {**table.reading, "target": label if table.named else target, "columns": table.order}
    how |= {"missing": [*given.missing], **({"header": given.header} if "header" in how else {})}
    decided = _with_columns(table, numbers, categories, label)
    decided = replace(decided, order=[], notes=notes, reading=how)
    dropped = [name for name in kinds if name not in numbers and name not in categories]
    keys: Any = {"categorical": categories, "numeric": list(numbers), "drop": dropped}
    return _labelled(decided), replace(config, target=how["target"], **keys)


def named(table: Table, key: str, columns: Iterable[str | int]) -> list[str]:
    """The names of columns that a key has by name or place. Raises ConfigError."""
    names = []
    for column in columns:
        if (place := place_of(column, table.order)) is None:
            raise ConfigError(f"{table.path}: {no_column(f'data.{key}', column, table.order)}")
        names.append(table.order[place])
    return names


def _with_columns(
    table: Table, numbers: dict[str, NDArray], text: Iterable[str], label: str
) -> Table:
    """The table with these columns of numbers and of text, and the labels of this column if there
    is one. X is not copied if its columns stay."""
    X, y = table.X, table.text.get(label, table.y)
    if list(numbers) != table.names or any(name in table.text for name in numbers):
        X = np.empty((len(table), len(numbers)))
        for j, x in enumerate(numbers.values()):
            X[:, j] = x
    text = {name: table.text[name] for name in text}
    return replace(table, names=list(numbers), X=X, text=text, y=y)


def _labelled(table: Table) -> Table:
    """The rows that have a label."""
    if table.y is None or not (gaps := table.y == "").any():
        return table
    note = f"{table.path}: {gaps.sum():,} of {len(gaps):,} rows have no label, and are left out"
    return replace(table.take(~gaps), notes=[*table.notes, note])


def _kind(table: Table, name: str, asked: str) -> tuple[str, NDArray, NDArray]:
    """What a column is, or why it is left out; its numbers (n,), and the rows of text among them"""
    if asked in (CATEGORIES, DROPPED):
        return asked, np.zeros(0), np.zeros(0)
    x, strays = _numbers(table, name, table.reading.get("decimal", "."))
    words = {*table.text[name].tolist()} - {""} if name in table.text else set[str]()
    found, n, k = x[~np.isnan(x)], len(x), len(strays)
    if asked or not k or (k <= STRAYS * (k + len(found)) and len(np.unique(found)) > DISTINCT):
        kind = asked or ("" if k else _no_use(found, n)) or NUMBERS
    elif len(words) == 1 and "" not in table.text[name]:
        kind = "constant"
    elif all(map(DATE.fullmatch, words)):
        kind = "a date"
    elif n > 1 and len(words) > (n / 2 if n > 5 * DISTINCT else n - 1):
        kind = "unique text" if len(words) == n else "text that hardly repeats"
    else:
        kind = CATEGORIES
    return kind, x, strays


def _no_use(x: NDArray, n: int) -> str:
    """Why a column with these numbers in its n rows is left out; empty if it is not."""
    if not len(x) or (len(x) == n and (x == x[0]).all()):
        return "constant" if len(x) else "empty"
    counts = len(x) == n > 2 and np.ptp(x) == n - 1 and (x == np.round(x)).all()
    return "a running number" if counts and len(np.unique(x)) == n else ""


def _numbers(table: Table, name: str, decimal: str) -> tuple[NDArray, NDArray]:
    """A column as numbers (n,), NaN where there are none, and the rows in which there is text."""
    if name not in table.text:
        return table.X[:, table.places[name]], np.zeros(0)
    column = table.text[name].tolist()
    known = {cell: as_number(cell, decimal) for cell in {*column}}
    strays = {cell for cell, number in known.items() if number is None}
    rows = [i for i, cell in enumerate(column) if cell in strays] if strays else []
    return np.array([known[cell] for cell in column], np.float64), np.array(rows, int)


def _said(table: Table, name: str, x: NDArray, strays: NDArray) -> tuple[list[str], list[str]]:
    """What is noted of a column of numbers with text in some rows, and what is wrong with it."""
    notes, problems, bad = list[str](), list[str](), np.isinf(x)
    if len(strays):
        first = f"{table.place(strays[0], name)} holds {short(table.text[name][strays[0]])}"
        more = f", and {len(strays) - 1:,} more cells no number either" if len(strays) > 1 else ""
        notes.append(f"{first}, no number{more}: taken as missing")
    if bad.any():
        row = int(bad.argmax())
        problems.append(f"{table.place(row, name)} holds {x[row]}: {FINITE}")
    return notes, problems


def _of_labels(table: Table, label: str, kinds: dict[str, str], classes: bool) -> list[str]:
    """What is wrong with the column of labels, of which the user may say that it has classes."""
    words = {*table.text[label].tolist()} - {""}
    n, K = np.count_nonzero(table.text[label] != ""), len(words)
    numbers: list[Any] = [as_number(word) for word in words]
    numeric = None not in numbers
    shares = numeric and any(x % 1 for x in numbers)
    measured = K > CLASSES or (K > DISTINCT and n < DISTINCT * K) or (K > 10 and shares)
    if K < 2:
        what = f"has only one class, {short(*words)}" if words else "has no label in any row"
    elif classes:
        return []
    elif not numeric and n > DISTINCT and n / 2 < K:
        what = f"has {K:,} different labels in {n:,} rows, like an id"
    elif numeric and measured:
        what = f"looks like a quantity, with {K:,} different numbers"
    else:
        return []
    if K > 1:
        what = "; ".join([f"{what}: minnet classifies", *_class_columns(table, kinds)])
    return [f"{table.path}: the target, column {label!r}, {what}"]


def _class_columns(table: Table, kinds: dict[str, str]) -> list[str]:
    """What says which other columns may be classes, if any may."""
    found = []
    for name, kind in kinds.items():
        if name in table.text:
            K = len({*table.text[name].tolist()} - {""}) if kind == CATEGORIES else 0
        else:  # numbers are counted as such: as text, they would fill the memory
            x = table.X[:, table.places[name]]
            x = np.unique(x[~np.isnan(x)])
            K = len(x) if kind == NUMBERS and (x == np.round(x)).all() else 0
        found += [name] if 1 < K <= DISTINCT else []
    return [f"its classes may be in {_listed(found)}: name one as data.target"] if found else []


def _told(
    table: Table, target: str | int, label: str, kinds: dict[str, str], asked: set[str]
) -> list[str]:
    """A line for each decision that the config did not make."""
    usual = table.named and label.lower() in TARGETS
    why = "by its name" if usual else "the last column"
    lines = [f"target: {label!r}, {why}"] if target == "" else []
    for kind in (NUMBERS, CATEGORIES):
        names = [name for name in kinds if kinds[name] == kind]
        if {*names} - asked:
            lines.append(f"{kind}: {_listed(names)}")
    if {name for name, kind in kinds.items() if kind not in (NUMBERS, CATEGORIES)} - asked:
        lines.append(f"left out: {_left_out(kinds)}")
    return lines


def _left_out(kinds: dict[str, str]) -> str:
    reasons = dict.fromkeys(kind for kind in kinds.values() if kind not in (NUMBERS, CATEGORIES))
    names = {reason: [name for name in kinds if kinds[name] == reason] for reason in reasons}
    return "; ".join(f"{_listed(names[reason])} ({reason})" for reason in reasons)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(short, names[:SHOWN])) + more


def alike(
    table: Table, names: list[str], text: list[str], reading: Reading, takes: Columns = None
) -> Table:
    """The table of another file with the columns of the training file, by name if both have names,
    else by place; `reading` is how that was read. Without a training file, `takes` are the columns
    in order. Labels are in y, if the file has any. Raises DataError for columns that are missing,
    and for one with more text than numbers."""
    have, want, columns = table.columns, [*names, *text], [] if takes else [*reading.columns]
    present, wanted = {*have}, {*want}
    place = target_place(replace(reading, labels=False), columns or have, table.named)
    label = None if place is None else (columns or have)[place]
    if columns:
        takes = [name for name in columns if name in wanted]
    else:
        takes = takes or want
        label = None if label in takes else label
        columns = [*takes, label or "label"]
    unnamed = all(re.fullmatch(r"x\d+", name) for name in want)
    if not table.named or (unnamed and not present & wanted):
        orders = [columns, [name for name in columns if name != label], takes]
        fitting = [order for order in orders[0 if table.order else 2 :] if len(order) == len(have)]
        if not fitting:
            counts = f"{len(have)} columns{' without names of their own' * (not table.named)}"
            what = f"the model takes {len(takes)}: {_listed(takes)}"
            raise DataError(f"{table.path}: has {counts}; {what}")
        called = dict(zip(have, fitting[0], strict=True))
        words = {called[name]: table.text[name] for name in table.text}
        table = replace(table, names=[called[name] for name in table.names], text=words)
        table.order = have = fitting[0]
    elif missing := [name for name in want if name not in present]:
        what = "which the training file has"
        raise DataError(f"{table.path}: has no column {_listed(missing)}, {what}")
    if not table.text and not text:
        table.check(np.isinf, FINITE)
        if table.names == names:
            return table
        return replace(table, names=names, X=table.X[:, [table.places[name] for name in names]])
    notes, problems, numbers = list(table.notes), list[str](), dict[str, NDArray]()
    decimal = table.reading.get("decimal", reading.decimal) or "."
    for name in names:
        numbers[name], strays = _numbers(table, name, decimal)
        if len(strays) > np.count_nonzero(~np.isnan(numbers[name])):
            problems.append(str(table.text_error(name)))
        said, wrong = _said(table, name, numbers[name], strays)
        notes, problems = notes + said, problems + wrong
    if problems:
        raise DataError("\n".join(problems))
    known = {*columns, *want, *reading.text}
    if extra := [name for name in have if table.named and name not in known]:
        notes.append(f"{table.path}: columns that the model does not know: {_listed(extra)}")
    if reading.labels and table.y is None and label not in table.text:
        raise DataError(f"{table.path}: has no column of labels, {label!r} in the training file")
    words = table.text | {name: cells(table, name) for name in text}
    table = replace(table, text=words, notes=notes)
    table = _with_columns(table, numbers, text, label or "")
    return _labelled(table) if reading.labels else table


def cells(table: Table, name: str) -> NDArray:
    """A column as text (n,); whole numbers without a point."""
    if name in table.text:
        return table.text[name]
    x = table.X[:, table.places[name]].tolist()
    return np.array(["" if v != v else f"{v:.17g}" for v in x], object)
