"""Svmlight files: what they may look like, and what is said of a line that is no row."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from tables import refused

from minnet.data import sources, svmlight
from minnet.data.table import Reading
from minnet.errors import DataError

pytestmark = pytest.mark.usefixtures("here")


def table(content, name="t.svm", **options):
    content = content if isinstance(content, bytes) else content.encode()
    Path(name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    return sources.read(name, Reading(**options))


@pytest.mark.parametrize(
    ("content", "options", "X", "base"),
    [
        ("1 1:3 3:0.5\n0 2:-1e1\n", {}, [[3, 0, 0.5], [0, -10, 0]], 1),
        ("1 0:3 2:0.5\n0 1:-1e1\n", {}, [[3, 0, 0.5], [0, -10, 0]], 0),
        ("1 1:3\n0 2:4\n", {"base": 0}, [[0, 3, 0], [0, 0, 4]], 0),
        ("1 1:3\n0 2:4\n", {"features": 4}, [[3, 0, 0, 0], [0, 4, 0, 0]], 1),
        ("1\n0 2:4\n", {}, [[0, 0], [0, 4]], 1),
        ("1 qid:7 1:3\n0 qid:8 2:4\n", {}, [[3, 0], [0, 4]], 1),
        ("# note 1:2\n\n1 1:3 # 9:9\n  \n0\t2:4\r\n#\n", {}, [[3, 0], [0, 4]], 1),
        ("+1 1:.5\n-0 2:4.\n", {}, [[0.5, 0], [0, 4]], 1),
    ],
)
def test_svmlight_is_read_as_a_sparse_table(content, options, X, base):
    for name in ("t.svm", "t.svmlight", "t.libsvm", "t.svm.gz", "t.txt", "t.gz"):
        if content.startswith("1\n") and "svm" not in name:
            continue  # a row without features tells nothing
        read = table(content, name, **options)
        assert sp.issparse(read.X) and read.X.dtype == np.float64 and read.X.toarray().tolist() == X
        assert (read.reading, read.y.tolist(), read.named) == ({"base": base}, [1, 0], False)
        assert read.y.dtype == np.int64 and read.names == [f"x{j}" for j in range(len(X[0]))]
        assert read.numbers.tolist() == ([3, 5] if content[0] == "#" else [1, 2])


def test_labels_may_be_negative_and_need_not_be_read():
    assert table("-1 1:3\n+1 2:1\n2.0 1:1\n").y.tolist() == [-1, 1, 2]
    assert table("0.5 1:3\n", labels=False).y is None


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("1 1:3\n0 5:1\n", {"features": 4}, "line 2 has index 5: the limit is 4 features, counted"),
        ("1 0:3\n0 4:1\n", {"features": 4}, "line 2 has index 4: the limit is 4 features, counted"),
        ("1 1:3\n0 0:1\n", {"base": 1}, "line 2 has index 0, but indices count from 1"),
        ("1 1:3\n\n0 2000000000:1\n", {}, "line 3 has index 2000000000: the limit is 10000000 fea"),
        ("1 1:3\n0 2:1 1:4\n", {}, "line 2: indices must rise from left to right: sort them"),
        ("1 1:3\n0 2:nan\n", {}, "line 2: '0 2:nan' is not: label index:value index:value ..."),
        ("1 1:1\n0 1:2 3:1e400\n", {}, "line 2, column 'x2' holds inf: every value must be a fin"),
        ("1 1:3\n\n#\n0.5 2:1\n", {}, "line 4, column 'y' holds 0.5, not a label"),
        ("1 1:3\nspam 1:2\n", {}, "line 2: 'spam 1:2' is not"),
        ("1 1:3\n1,2 1:2\n", {}, "line 2: '1,2 1:2' is not"),
        ("1 -1:3\n", {}, "line 1: '1 -1:3' is not"),
        (b"1 1:3\n1 1:\xff\n", {}, "line 2: '1 1:\ufffd' is not"),
        ("1 1:3\n1 " + "1:2," * 50, {}, f"line 2: '1 {'1:2,' * 8}1:2...' is not"),
        ("# only\n\n", {}, "is empty"),
        ("1\n0\n", {}, "has no features in any row"),
    ],
)
def test_svmlight_that_cannot_be_learned_from_is_refused(content, options, message):
    assert refused(DataError, table, content, **options).startswith(f"t.svm: {message}")


def test_a_csv_by_its_suffix_is_never_svmlight():
    assert svmlight.START.match(b"1 1:3\n2 1:4\n")
    read = table("1 1:3\n2 1:4\n", "t.csv", header=False)
    assert (read.X.tolist(), read.sparse) == ([[1], [2]], False)


@pytest.mark.parametrize("comments", [False, True])  # lines without a row, wherever a block ends
def test_rows_do_not_depend_on_where_blocks_end(comments, monkeypatch):
    lines = [f"{i % 3} {i % 5 + 1}:{i}.5 7:{i}" for i in range(40)]
    content = "\n# a\n\n".join(lines) if comments else "\n".join(lines)
    whole = table(content)
    for size in (1, 7, 39):
        monkeypatch.setattr(svmlight, "ROWS", size)
        assert len(list(sources.blocks("t.svm", Reading()))) > 1
        read = table(content)
        assert (read.X != whole.X).nnz == 0 and read.X.shape == whole.X.shape
        assert read.y.tolist() == whole.y.tolist() and (read.numbers == whole.numbers).all()
