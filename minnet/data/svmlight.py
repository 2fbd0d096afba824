"""Svmlight and libsvm files: in each line a label, then index:value for numbers that are not 0.

Errors do not name the file: that is done in sources.py.
"""

import io
import itertools
import operator
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from minnet.data.arrays import MAX_FEATURES
from minnet.data.table import Reading, Table
from minnet.errors import DataError, short

ROWS = 1 << 14  # parsed at a time
_NUMBER = rb"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_ROW = re.compile(rb"%b(?:\s+qid:\d+)?(?:\s+\d{1,18}:%b)*" % (_NUMBER, _NUMBER))
_INDEX = re.compile(rb"\s(\d+):")
START = re.compile(
    rb"(?:[^\S\n]*(?:#.*)?\n)*[^\S\n]*%b(?:\s+qid:\d+)?\s+\d+:%b\s" % (_NUMBER, _NUMBER)
)


def blocks(file: Any, reading: Reading) -> Iterator[Table]:
    """The rows of a file, a block at a time: X is csr, by scikit-learn's parser, once every line is
    known to be what that takes. Raises DataError."""
    from sklearn.datasets import load_svmlight_file

    base, D = _columns(_rows(file), reading)
    names, found = [f"x{j}" for j in range(D)], {"base": base}
    file.seek(0)
    rows = _rows(file)
    while block := list(itertools.islice(rows, ROWS)):
        lines, contents = zip(*block, strict=True)
        text = io.BytesIO(b"\n".join(contents))
        X, y = load_svmlight_file(text, n_features=D + base, zero_based=True)
        y = y if reading.labels else None
        yield Table("", names, X[:, base:], y=y, numbers=np.array(lines), reading=found)


def _rows(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The number and the content of each line that is not blank."""
    for number, line in enumerate(file, 1):
        content = line.partition(b"#")[0].strip()
        if content:
            yield number, content


def _columns(rows: Iterator[tuple[int, bytes]], reading: Reading) -> tuple[int, int]:
    """The lowest index, and the number of columns. Raises DataError for a line that is no row."""
    lowest, highest, number = (2, 0), (-1, 0), 0  # index and line
    for number, content in rows:
        if not _ROW.fullmatch(content):
            text = short(content.decode(errors="replace"))
            raise DataError(f"line {number}: {text} is not: label index:value index:value ...")
        indices = list(map(int, _INDEX.findall(content)))
        if any(map(operator.ge, indices, indices[1:])):
            raise DataError(f"line {number}: indices must rise from left to right: sort them")
        for index in indices[:1] + indices[-1:]:
            lowest, highest = min(lowest, (index, number)), max(highest, (index, number))
    base = min(lowest[0], 1) if reading.base is None else reading.base
    D = reading.features or highest[0] + 1 - base
    if not number:
        raise DataError("is empty")
    if D < 1:
        raise DataError("has no features in any row")
    if lowest[0] < base:
        raise DataError(f"line {lowest[1]} has index 0, but indices count from 1")
    if highest[0] >= min(D, MAX_FEATURES) + base:
        limit = f"the limit is {min(D, MAX_FEATURES)} features, counted from {base}"
        raise DataError(f"line {highest[1]} has index {highest[0]}: {limit}")
    return base, D
