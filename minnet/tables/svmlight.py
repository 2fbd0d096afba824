"""svmlight and libsvm: a label and the features that are not 0, by index."""

import io
import operator
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minnet.errors import DataError
from minnet.tables.cells import short
from minnet.tables.mapped import MAX_FEATURES
from minnet.tables.stream import opened
from minnet.tables.table import Table, check_not_infinite, whole

SUFFIXES = (".svm", ".svmlight", ".libsvm")
STEP_BYTES = 1 << 26  # of text at a time, if rows need not be in memory all at once
_NUMBER = rb"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_ROW = re.compile(rb"(?:%b(?:\s+qid:\d+)?(?:\s+\d{1,18}:%b)*)?" % (_NUMBER, _NUMBER))
_INDEX = re.compile(rb"\s(\d+):")
START = re.compile(rb"(?:[^\S\n]*(?:#.*)?\n)*[^\S\n]*%b(?:\s+qid:\d+)?\s+\d+:%b\s" % (_NUMBER, _NUMBER))


def read(
    path: Path,
    shown: str,
    labels: bool,
    features: int | None,
    base: int | None,
    progress: Callable[[int], object] | None,
    sink: Callable[[Any], None] | None = None,
) -> Table:
    """X as csr, by scikit-learn's parser, once every line is known to be what it takes."""
    from sklearn.datasets import load_svmlight_file

    numbers, lowest, highest = [], (2, 0), (-1, 0)  # index and line
    with opened(path, progress) as file:
        for number, line in enumerate(file, 1):
            content = line.partition(b"#")[0].strip()
            if not _ROW.fullmatch(content):
                text = content.decode(errors="replace")
                raise DataError(f"{shown}: line {number}: {short(text)} is not: label index:value index:value ...")
            if content:
                numbers.append(number)
                indices = [int(index) for index in _INDEX.findall(content)]
                if any(map(operator.ge, indices, indices[1:])):
                    raise DataError(f"{shown}: line {number}: indices must rise from left to right: sort them")
                if indices:
                    lowest, highest = min(lowest, (indices[0], number)), max(highest, (indices[-1], number))
    if not numbers:
        raise DataError(f"{shown}: is empty")
    if highest[0] >= MAX_FEATURES:
        raise DataError(f"{shown}: line {highest[1]} has index {highest[0]}: at most {MAX_FEATURES} features are taken")
    if base is None:
        base = 0 if lowest[0] == 0 else 1
    D = features or highest[0] + 1 - base
    if lowest[0] < base:
        raise DataError(f"{shown}: line {lowest[1]} has index 0, where they must count from 1")
    if highest[0] >= D + base:
        raise DataError(
            f"{shown}: line {highest[1]} has index {highest[0]}, beyond the {D} features, counted from {base}"
        )
    if D < 1:
        raise DataError(f"{shown}: has no features in any row")
    table = Table(shown, [f"x{j}" for j in range(D)], None, base=base)
    given, seen = [], 0
    for lines in _pieces(path, STEP_BYTES if sink else 0):
        X, y = load_svmlight_file(lines, n_features=D + base, zero_based=True)
        table.X, table.numbers = X[:, base:], np.array(numbers[seen : seen + len(y)])
        check_not_infinite(table)
        given.append(y)
        seen += len(y)
        if sink:
            sink(table.X)
            table.X = table.X[:0]
    table.numbers = np.array(numbers)
    table.y = whole(np.concatenate(given), table) if labels else None
    return table


def _pieces(path: Path, size: int) -> Iterator[Any]:
    """The file, or if a size is given its rows in pieces of about so many bytes."""
    with opened(path, None) as file:
        if not size:
            yield file
            return
        lines: list[bytes] = []
        held = 0
        for line in file:
            content = line.partition(b"#")[0].strip()
            lines += [content] if content else []
            held += len(content)
            if held > size:
                yield io.BytesIO(b"\n".join(lines))
                lines, held = [], 0
        if lines:
            yield io.BytesIO(b"\n".join(lines))
