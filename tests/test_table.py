"""Tables: what a cell and a label mean, places, rows, columns, and the one search for a number."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from tables import dense, refused

from minnet.data import table
from minnet.data.dialect import Cells
from minnet.data.table import Table, as_number, labels, not_finite
from minnet.errors import ConfigError, DataError

NAN = math.nan
CONTAINERS = pytest.mark.parametrize("container", [np.array, sp.csr_array, sp.csr_matrix])


def made(names=("a", "b"), named=True, of_text=(), container=np.array, y=None):
    """Three rows of t.csv."""
    X = container(np.arange(len(names) * 3.0).reshape(3, -1) + np.arange(len(names)))
    text = {name: np.array([f"{name}{i}" for i in range(3)], object) for name in of_text}
    lines, reading = np.array([2, 4, 5]), {"header": named}
    return Table("t.csv", list(names), X, text, y, lines, named, reading)


# Cells and labels


as_text = Cells(()).word


def test_a_cell_is_missing_a_number_or_text_without_spaces_around_it():
    marks = "NA,n/a,NaN,NULL,none,?,#N/A,-,.,<NA>"
    for cell in ("", "  ", " ? ", *marks.split(",")):
        assert math.isnan(as_number(cell)) and as_text(cell) == ""
    numbers = {"1": 1, " -2.5 ": -2.5, "1e3": 1000, ".5": 0.5, "7.": 7, "1e400": math.inf}
    assert {cell: as_number(cell) for cell in numbers} == numbers
    for cell in ("1_0", "0x10", "１", "1,5", "a", "1 2", "--", "12,34", "%", "$"):  # noqa: RUF001
        assert as_number(cell) is None and as_text(f"  {cell} ") == cell


def labelled(y, reading=(), numbers=None):
    return Table("f", ["a"], np.zeros((len(y), 1)), y=y, numbers=numbers, reading=dict(reading))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["3", "-7", "0"], [3, -7, 0]),
        (["1.0", "1", "2e0", "+1"], [1.0, 1.0, 2.0, 1.0]),
        (["0.5", "1"], [0.5, 1.0]),
        (["9007199254740993", "1"], [9007199254740993, 1]),
        (["0", "0.0"], [0.0, 0.0]),
        *[(y, y) for y in (["007", "7"], ["00", "7.0"], ["1", "x", "0.5"], ["1_0", "2"])],
        *[(y, y) for y in (["0x1", "2"], ["１", "2"], ["true", "false"], ["inf", "2"])],  # noqa: RUF001
    ],
)
def test_labels_of_a_text_file_are_numbers_as_they_are_written_if_all_of_them_can_be(
    given, expected
):
    y = labels(labelled(np.array(given, object), {"columns": []}))
    assert repr(y.tolist()) == repr(expected)


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (np.array([True, False]), [True, False]),
        (np.array([3, -7], "i1"), [3, -7]),
        (np.array([2**63, 1], "u8"), [2**63, 1]),
        (np.array([3.0, -7.0], "f2"), [3, -7]),
        (np.array(["é", "7"]), ["é", "7"]),
        (np.array([b"red", "blue", 1], object), ["red", "blue", "1"]),
    ],
)
def test_labels_of_an_array_are_kept_and_floats_become_whole_numbers(y, expected):
    assert labels(labelled(y)).tolist() == labels(labelled(labels(labelled(y)))).tolist()
    assert labels(labelled(y)).tolist() == expected


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([1, 0.5]), "f: row 9, column 'y' holds 0.5, not a label"),
        (np.array([1, np.inf], "f2"), "f: row 9, column 'y' holds inf, not a label"),
        (np.array([1, 1e30]), "f: row 9, column 'y' holds 1e+30, not a label"),
        (np.array(["a", None], object), "f: row 9, column 'y' has no label: give one"),
        (np.array(["a", ""]), "f: row 9, column 'y' has no label: give one"),
        (np.array([1, 2]) * 1j, "f: y has dtype complex128: labels are whole numbers or text"),
        (np.array([1, 2]).astype("M8[D]"), "f: y has dtype datetime64[D]: labels are whole"),
    ],
)
def test_labels_that_are_none_are_refused_by_row(y, message):
    assert refused(DataError, labels, labelled(y, numbers=np.array([7, 9]))).startswith(message)


# Places, and the search


@CONTAINERS
def test_the_first_number_is_that_of_the_first_row(container):
    X = np.zeros((4, 3))
    assert Table("t", list("abc"), container(X)).first(not_finite) is None
    X[3, 0] = X[2, 1] = np.inf
    X[2, 2] = X[3, 2] = NAN
    one = Table("t", list("abc"), container(X))
    assert one.first(not_finite) == one.first(np.isinf) == (2, "b")
    assert one.first(np.isnan) == (2, "c")


def test_a_number_that_is_refused_is_named_by_file_line_or_row_and_column():
    one = made()
    one.check(not_finite, "why")
    one.X[1, 0] = -np.inf
    message = "t.csv: line 4, column 'a' holds -inf: every value must be a finite number"
    assert refused(DataError, one.check, np.isinf, table.FINITE) == message
    one.X[1, 0] = NAN
    one.check(np.isinf, "why")
    said = refused(DataError, one.check, np.isnan, "why")
    assert said == "t.csv: line 4, column 'a' is missing: why"
    assert Table("d", ["x0"], np.zeros((2, 1))).place(1, "x0") == "d: row 1, column 'x0'"


def test_the_first_missing_cell_is_the_one_in_the_first_row():
    one = made(of_text=["c"])
    assert one.first(np.isnan) is None
    one.X[2, 0] = one.X[1, 1] = NAN
    assert one.first(np.isnan) == (1, "b")
    one.text["c"][0] = ""
    assert one.first(np.isnan) == (0, "c") and one.first(np.isinf) is None
    assert "line 2, column 'c' is missing: why" in refused(DataError, one.check, np.isnan, "why")


def test_text_among_numbers_is_named_by_the_first_cell_that_is_no_number():
    one = made(of_text=["c"])
    one.text["c"][:] = ["", "1.5", "red"]
    message = "t.csv: line 5, column 'c' holds 'red', not a number: correct it"
    assert str(one.text_error("c")) == message


# Rows


@CONTAINERS
@pytest.mark.parametrize("which", [slice(0, 3, 2), [0, 2], np.array([True, False, True])])
def test_the_rows_that_are_taken_keep_all_that_is_theirs(container, which):
    one = made(of_text=["s"], container=container, y=np.array(["u", "v", "w"], object))
    taken = one.take(which)
    assert dense(taken.X).tolist() == [[0, 2], [4, 6]] and taken.y.tolist() == ["u", "w"]
    assert taken.text["s"].tolist() == ["s0", "s2"] and "line 5" in taken.place(1, "a")
    one.numbers = one.y = None
    assert one.take(which).place(1, "a") == "t.csv: line 2, column 'a'"
    assert len(one) == 3 and len(one.take(np.arange(0))) == 0


@CONTAINERS
@pytest.mark.parametrize("rows", [1, 2, None])
def test_blocks_hold_each_row_once_in_order(container, rows, monkeypatch):
    monkeypatch.setattr(table, "BLOCK", 4)
    monkeypatch.setattr(table, "SPARSE", 2)
    one = made(of_text=["s"], container=container)
    blocks = list(one.blocks(rows))
    assert [len(block) for block in blocks] == ([1, 1, 1] if rows == 1 else [2, 1])
    assert np.array_equal(np.concatenate([dense(block.X) for block in blocks]), dense(one.X))
    assert [number for block in blocks for number in block.numbers] == [2, 4, 5]
    assert one.row(1) == {"a": 2, "b": 4, "s": "s1"}


# Columns


@pytest.mark.parametrize(
    ("names", "place"), [("a y b", 1), ("class LABEL b", 1), ("a b c", 2), ("y target c", 1)]
)
def test_the_target_is_the_column_that_is_called_so_or_the_last_or_as_asked(names, place):
    names, reading = names.split(), table.Reading()
    assert table.target_place(reading, names, True) == place
    assert table.target_place(reading, names, False) == 2
    assert table.target_place(table.Reading(names[0]), names, True) == 0
    assert [table.target_place(table.Reading(j), names, True) for j in (0, -1)] == [0, 2]
    assert table.target_place(table.Reading(None), names, True) is None
    for absent in ("d", 3, -4):
        assert "has no target column" in refused(
            ConfigError, table.target_place, table.Reading(absent), names, True
        )
        assert table.target_place(table.Reading(absent, labels=False), names, True) is None


def test_an_unknown_column_is_told_with_the_nearest_name_or_with_all():
    names = [f"column{i}" for i in range(50)]
    nearest = "has no target column 'colum7'; did you mean column7?"
    assert table.no_column("target", "colum7", names) == nearest
    message = table.no_column("target", "zzz", names)
    assert message.startswith("has no target column 'zzz'; it has 'column0', 'column1', ")
    assert message.endswith("...")
