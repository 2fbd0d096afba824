"""A user's own file as a table: what each format may look like, and what is said of one that cannot be read."""

import csv
import gzip
import io
import math
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import traced_memory

from minnet.errors import ConfigError, DataError, MinnetError
from minnet.tables import arrays, cells, stream, svmlight, text
from minnet.tables.formats import read
from minnet.tables.table import Table, arrange, check_not_infinite, keep, unknown_column

NAN = math.nan
MISSING = ["", "  ", "NA", "na", "n/a", "N/A", "NaN", "nan", "NULL", "null", "None", "none", "?", " ? "]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def write(content, name="t.csv"):
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


def table(content, name="t.csv", **options):
    return read(write(content, name), **options)


def said(content, name="t.csv", kind=DataError, **options):
    """What is said about a file that cannot be read, in one line that begins with its name."""
    with pytest.raises(kind) as caught:
        table(content, name, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and name in message
    return message.removeprefix(f"{name}: ")


def rows(of):
    return of.X.tolist() if isinstance(of.X, np.ndarray) else of.X.toarray().tolist()


def same(first, second):
    """Whether two tables are the same, bit for bit."""
    columns = [[one.X, one.y, one.numbers, *one.text.values()] for one in (first, second)]
    if len(columns[0]) != len(columns[1]):
        return False
    for one, other in zip(*columns, strict=True):
        if (one is None) != (other is None):
            return False
        if one is not None and not (one.dtype == other.dtype and one.shape == other.shape):
            return False
        if one is not None and one.tobytes() != other.tobytes():
            return False
    plain = [(one.path, one.names, list(one.text), one.header, one.target, one.base) for one in (first, second)]
    return plain[0] == plain[1]


# Text: delimiter, names and target


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", " ", "   ", " \t "])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.txt", "t.dat", "t"])
def test_the_delimiter_is_seen_whatever_the_suffix(name, delimiter):
    lines = ["age,size,kind", "1,2.5,a", "3,-4e1,b"]
    read_in = table("\n".join(line.replace(",", delimiter) for line in lines) + "\n", name)
    assert (read_in.names, rows(read_in), read_in.y.tolist()) == (["age", "size"], [[1, 2.5], [3, -40]], ["a", "b"])
    assert read_in.header and read_in.target == "kind" and read_in.numbers.tolist() == [2, 3]


def test_spaces_between_columns_may_be_any_number_and_stand_at_both_ends():
    read_in = table("  a   b c\n 1 2   x \n   3     4 y\n")
    assert (read_in.names, rows(read_in), read_in.y.tolist()) == (["a", "b"], [[1, 2], [3, 4]], ["x", "y"])


@pytest.mark.parametrize(
    ("content", "names", "X"),
    [
        ("a;b;c\n1,5;2;x\n3,5;4;y\n", ["b"], [[2], [4]]),
        ("a\tb\tc\nx,y\t1\tu\nz,w\t2\tv\n", ["b"], [[1], [2]]),
        ('a,b,c\n"1;2",3,x\n"4;5",6,y\n', ["b"], [[3], [6]]),
        ("a b,c d,e\n1,2,x y\n3,4,z w\n", ["a b", "c d"], [[1, 2], [3, 4]]),
    ],
    ids=["decimal commas", "commas in a tsv", "semicolons in quotes", "spaces in a csv"],
)
def test_the_delimiter_is_the_one_that_cuts_every_line_alike(content, names, X):
    read_in = table(content)
    assert (read_in.names, rows(read_in)) == (names, X)


@pytest.mark.parametrize(
    ("content", "header"),
    [
        ("a,b,y\n1,2,x\n3,4,z\n", True),
        ("1,2,x\n3,4,x\n", False),
        ("1,red,x\n3,blue,x\n", False),
        ("a,b,y\n1,red,x\n3,red,x\n", True),
        ("a,2,y\n1,2,3\n", True),
    ],
)
def test_whether_line_1_holds_names_is_seen(content, header):
    assert table(content).header is header


@pytest.mark.parametrize("content", ["1,2,3\n4,5,6\n", "u,v\nx,y\nz,w\n", "1,x\n2,y\n", "2,x\n", "\n\n1,2\n3,4\n"])
def test_where_line_1_may_be_names_or_data_the_answer_is_asked_for(content):
    line = 3 if content.startswith("\n") else 1
    assert said(content) == f"line {line} may be names or data: set data.header=true or data.header=false"


@pytest.mark.parametrize("content", ["1,2,3\n4,5,6\n", "a,b,y\nc,d,z\n", "\n1,2,3\n4,5,6\n"])
def test_header_true_and_false_are_obeyed(content):
    first = content.strip().split("\n")[0].split(",")
    named, plain = (table(content, header=header, categorical=first) for header in (True, False))
    assert ([*named.names, *named.text], len(named.y)) == (first[:2], 1)
    assert ([*plain.names, *plain.text], len(plain.y)) == (["x0", "x1"], 2)
    assert (named.header, named.target, plain.header, plain.target) == (True, first[2], False, None)


def test_header_false_makes_names_a_row():
    assert table("a,b\n1,2\n", header=False).text["x0"].tolist() == ["a", "1"]


FOUR = "a,b,c,d\n1,2,3,4\n5,6,7,8\n"


@pytest.mark.parametrize(("target", "place"), [("a", 0), ("c", 2), (0, 0), (2, 2), (-1, 3), (-4, 0)])
@pytest.mark.parametrize("header", [True, False])
def test_the_target_is_found_by_name_or_place(target, place, header):
    if isinstance(target, str) and not header:
        message = said(FOUR, kind=ConfigError, target=target, header=False)
        assert message == f"data.target: t.csv has no header to find {target!r} in: give an index, from 0"
        return
    content = FOUR if header else FOUR.partition("\n")[2]
    read_in = table(content, target=target, header=header)
    assert read_in.y.tolist() == [place + 1, place + 5]
    left = [j for j in range(4) if j != place]
    assert rows(read_in) == [[j + 1 for j in left], [j + 5 for j in left]]
    assert read_in.names == (["abcd"[j] for j in left] if header else ["x0", "x1", "x2"])
    assert read_in.target == ("abcd"[place] if header else None)


def test_the_target_is_the_last_column_by_default_and_there_is_none_for_none():
    assert table(FOUR, header=True).target == "d"
    read_in = table(FOUR, header=True, target=None)
    assert (read_in.y, read_in.target, read_in.names) == (None, None, ["a", "b", "c", "d"])
    assert table(FOUR, header=False, target=None, categorical=["x0"]).text["x0"].tolist() == ["a", "1", "5"]


def test_without_a_header_the_target_is_called_y():
    assert said("1,\n2,b\n3,b\n", header=False).startswith("line 1, column 'y' has no label")
    assert said("1,x,2\n2,y,3\n3,,3\n", target=1, header=False).startswith("line 3, column 'y' has no label")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (4, "data.target: t.csv has 4 columns, with indices -4 to 3, not 4"),
        (-5, "data.target: t.csv has 4 columns, with indices -4 to 3, not -5"),
        ("aa", "data.target: t.csv has no column 'aa'; did you mean 'a'?"),
        ("A,B", "data.target: t.csv has no column 'A,B'; it has 'a', 'b', 'c', 'd'"),
    ],
)
def test_a_target_that_is_no_column_is_a_config_error(target, message):
    assert said(FOUR, kind=ConfigError, target=target, header=True) == message


def test_one_column_is_no_table_unless_it_is_the_features():
    assert said("a\n1\n2\n").startswith("has only one column, found no tab, semicolon, comma, | or space")
    assert said('"a b"\n"1"\n').startswith("has only one column")
    assert rows(table("a\n1\n2\n", target=None)) == rows(table("a\n1\n2\n", labels=False, features=1)) == [[1], [2]]


# Text: labels


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["b", " a ", "A", '"two words"', '" in quotes "'], ["b", "a", "A", "two words", "in quotes"]),
        (["3", "-7", "0"], [3, -7, 0]),
        (["1.0", "1", "2e0", "+1", " 1 "], [1, 1, 2, 1, 1]),
        (["9007199254740993", "1"], [9007199254740993, 1]),
        (["007", "7"], ["007", "7"]),
        (["00", "7.0"], ["00", "7.0"]),
        (["0", "0.0"], [0, 0]),
        (["1", "x", "0.5"], ["1", "x", "0.5"]),
        (["1_0", "2"], ["1_0", "2"]),
        (["0x1", "2"], ["0x1", "2"]),
        (["１", "2"], ["１", "2"]),  # noqa: RUF001
        (["true", "false"], ["true", "false"]),
        (["x" * 63, "y" * 64, "z" * 65, "z" * 500], ["x" * 63, "y" * 64, "z" * 65, "z" * 500]),
    ],
)
@pytest.mark.parametrize("block", [8, 1 << 20])
def test_labels_are_whole_numbers_if_all_are_else_text_without_spaces_around(labels, expected, block, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", block)
    y = table("a,y\n" + "".join(f"{i},{label}\n" for i, label in enumerate(labels)), header=True).y
    assert y.tolist() == expected
    assert y.dtype == np.int64 if isinstance(expected[0], int) else y.dtype.kind == "U"


@pytest.mark.parametrize("label", ["0.5", "-1.5", "inf", "1e300", "9223372036854775808", "+nan"])
@pytest.mark.parametrize("line", [2, 40])
def test_a_number_that_is_no_whole_one_is_no_label(label, line, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 32)
    lines = ["a,y", *(f"{i},{i % 2}" for i in range(60))]
    lines[line - 1] = f"1,{label}"
    message = f"line {line}, column 'y' holds '{label}', which is no label of a class: that is a whole number or text"
    assert said("\n".join(lines)) == message


@pytest.mark.parametrize("label", MISSING)
@pytest.mark.parametrize("line", [2, 40])
@pytest.mark.parametrize("others", [["0", "1"], ["red", "blue"]])
def test_a_missing_label_is_refused_and_its_line_is_named(label, line, others, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 32)
    lines = ["a,y,b", *(f"{i},{others[i % 2]},2" for i in range(60))]
    lines[line - 1] = f"1,{label},2"
    lines[44] = "1,,2"
    message = said("\n".join(lines), target="y")
    assert message.startswith(f"line {line}, column 'y' has no label (")
    assert message.endswith("): give one, or remove the row")


@pytest.mark.parametrize(("target", "names"), [("y", ["a", "b"]), (-1, ["a", "b"]), (0, ["b", "y"]), (None, None)])
def test_without_labels_the_target_is_left_out_unread(target, names):
    read_in = table("a,b,y\n1,2,0.5\n3,4,\n5,6,7\n", labels=False, target=target, header=True)
    assert read_in.y is None and not read_in.text
    assert read_in.names == (names or ["a", "b", "y"]) and len(read_in.X) == 3


def test_for_prediction_the_target_may_be_missing():
    read_in = table("a,b\n1,2\n3,4\n", labels=False, target="y", features=2)
    assert (read_in.names, rows(read_in), read_in.target) == (["a", "b"], [[1, 2], [3, 4]], None)
    read_in = table("a,b,c\n1,2,5\n3,4,6\n", labels=False, target="y", features=2)
    assert read_in.names == ["a", "b", "c"]


@pytest.mark.parametrize(("features", "names"), [(3, ["x0", "x1", "x2"]), (2, ["x0", "x1"]), (None, ["x0", "x1"])])
def test_for_prediction_the_columns_are_all_features_where_there_are_just_as_many(features, names):
    read_in = table("1,2,3\n4,5,6\n", labels=False, target=0, header=False, features=features)
    assert read_in.names == names and read_in.y is None
    assert rows(read_in)[0] == ([1, 2, 3] if features == 3 else [2, 3])


# Text: cells


def test_a_missing_number_is_nan_and_a_missing_word_is_empty():
    lines = [f"{cell},{cell},{i},k{i % 2}" for i, cell in enumerate(MISSING)]
    read_in = table("a,b,c,y\n5,red,9,k0\n" + "\n".join(lines))
    assert np.isnan(read_in.X[1:, 0]).all() and np.isfinite(read_in.X[:, 1]).all() and read_in.X[0, 0] == 5
    assert read_in.text["b"].tolist() == ["red"] + [""] * len(MISSING)
    assert {cell.strip().lower() for cell in MISSING} == cells.MISSING


@pytest.mark.parametrize("block", [16, 1 << 20])
def test_empty_cells_beside_each_other_and_at_both_ends_are_missing(block, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", block)
    read_in = table("a,b,c,y,d\n" + "1,2,3,u,4\n" * 20 + ",,,v,\n" + "5,,6,v,\n" * 3, target="y")
    np.testing.assert_array_equal(read_in.X[20:], [[NAN] * 4] + [[5, NAN, 6, NAN]] * 3)


def test_categorical_columns_are_text_even_if_they_look_like_numbers():
    read_in = table("a,b,y\n01,1.50,u\n 2 ,,v\n", categorical=["b", "a", "nothing"])
    assert {name: column.tolist() for name, column in read_in.text.items()} == {"a": ["01", "2"], "b": ["1.50", ""]}
    assert read_in.names == [] and read_in.X.shape == (2, 0)


def test_without_a_header_a_categorical_column_is_named_by_its_place():
    read_in = table("1,2,3\n4,5,6\n", header=False, categorical=["x1"])
    assert (read_in.text["x1"].tolist(), rows(read_in)) == (["2", "5"], [[1], [4]])


def test_a_column_with_a_word_in_the_first_block_is_text():
    read_in = table("a,b,y\n1,2,u\nred,NA,v\n3,4,u\n")
    assert (read_in.names, read_in.text["a"].tolist()) == (["b"], ["1", "red", "3"])
    with pytest.raises(DataError) as caught:
        raise read_in.text_error("a")
    message = "t.csv: line 3, column 'a' holds 'red', no number: correct it, or train with"
    assert str(caught.value).startswith(message)


LATER = ["a,b,c,y", *(f"{i},red,{i}.5,{i % 2}" for i in range(200))]


def later(line, content, blanks=0):
    """A file of many blocks with another line at this place; `blanks` blank lines above it."""
    lines = LATER.copy()
    lines[line - 1 - blanks : line - 1] = [""] * blanks
    lines[line - 1] = content
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("blanks", [0, 3])
@pytest.mark.parametrize("line", [20, 75, 140, 201])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("big,red,1,1", ", column 'a' holds 'big', no number: correct it, or train with"),
        ("1,red,1_0,1", ", column 'c' holds '1_0', no number: correct it, or train with"),
        ("1,red,0x10,1", ", column 'c' holds '0x10', no number: correct it, or train with"),
        ("1,red,１,1", ", column 'c' holds '１', no number: correct it, or train with"),  # noqa: RUF001
        ('1,red,"1,5",1', ", column 'c' holds '1,5', no number: correct it, or train with"),
        ("1,red,inf,1", ", column 'c' holds 'inf': every value must be a finite number"),
        ("-Infinity,red,1,1", ", column 'a' holds '-Infinity': every value must be a finite number"),
        ("1e400,red,1,1", ", column 'a' holds '1e400': every value must be a finite number"),
        (f"{'9' * 400},red,1,1", f", column 'a' holds '{'9' * 37}...': every value must be a finite number"),
        ("1,red,2", " has 3 columns, where 4 are expected"),
        ("1,red,2,1,1", " has 5 columns, where 4 are expected"),
        ("1,red,2,1,", " has 5 columns, where 4 are expected, the last of them empty: it ends with ','"),
        ('1,"red,2,1', ": a quote is opened and not closed; inside a quoted cell, write a quote twice"),
        ('1,"r"ed,2,1', ": ',' expected after '\"'; inside a quoted cell, write a quote twice"),
        ("1,red,2,\xe9".encode("latin-1"), " is not UTF-8 text (byte "),
        ("1,r\0ed,2,1", " holds a NUL byte: save the file as text in UTF-8"),
    ],
)
def test_what_is_wrong_far_below_is_named_with_its_line(content, message, line, blanks, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 300)
    made = later(line, "BAD", blanks).encode()
    content = content if isinstance(content, bytes) else content.encode()
    column = message.partition("column '")[2][:1]
    if line < 50 and column and "no number" in message:  # a word in the first block makes it a column of text
        with pytest.raises(DataError) as caught:
            raise table(made.replace(b"BAD", content)).text_error(column)
        assert str(caught.value).startswith(f"t.csv: line {line}{message}")
        return
    for ends in [b"\n", b"\r\n", b"\r"][: 2 if "UTF-8" in message else 3]:
        assert said(made.replace(b"BAD", content).replace(b"\n", ends)).startswith(f"line {line}{message}")


# Text: lines


@pytest.mark.parametrize("block", [5, 7, 1 << 20])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n  \n\n"])
def test_line_ends_of_every_kind_and_a_bom_make_no_difference(block, end, start, last, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", block)
    lines = ["a,b,y", "1,2.5,é", "3,,日本", "-4,6,é"]
    read_in = table(start + (end.join(lines) + last.replace("\n", end)).encode())
    np.testing.assert_array_equal(read_in.X, [[1, 2.5], [3, NAN], [-4, 6]])
    assert (read_in.names, read_in.y.tolist(), read_in.numbers.tolist()) == (["a", "b"], ["é", "日本", "é"], [2, 3, 4])


@pytest.mark.parametrize("block", [8, 64, 1 << 20])
@pytest.mark.parametrize("delimiter", [",", " ", "\t"])
def test_blank_lines_are_left_out_and_counted(block, delimiter, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", block)
    lines = ["", "  ", "a,y", "", "1,u", *["2,v"] * 50, *[""] * 60, "   ", "3,u", "", ""]
    read_in = table("\n".join(lines).replace(",", delimiter))
    kept = [i + 1 for i, line in enumerate(lines) if line.strip() and line != "a,y"]
    assert read_in.numbers.tolist() == kept
    assert rows(read_in) == [[float(lines[i - 1].split(",")[0])] for i in kept]


def test_a_line_of_tabs_between_lines_of_spaces_is_blank():
    read_in = table("a y\n" + "1 u\n2 v\n" * 15 + "\t\n3 w\n")
    assert (read_in.X[-1, 0], read_in.y[-1], read_in.numbers[-1], len(read_in.y)) == (3, "w", 33, 31)


@pytest.mark.parametrize("more", ["", "x" * 80 + "\n"], ids=["fast", "slow"])
def test_a_line_of_spaces_is_blank_in_a_file_of_one_column_too(more):
    read_in = table("c\nred\n  \nblue\n" + more, target=None, header=True)
    assert read_in.text["c"].tolist()[:2] == ["red", "blue"] and read_in.numbers.tolist()[:2] == [2, 4]


def test_spaces_around_cells_do_not_count():
    read_in = table(' a , b ,"y"\n 1 ,  2.5, u  \n3,4 ,"v"\n5,6,  "u"\n')
    assert (read_in.names, rows(read_in), read_in.y.tolist()) == (
        ["a", "b"],
        [[1, 2.5], [3, 4], [5, 6]],
        ["u", "v", "u"],
    )


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ('"red, or so"', "red, or so"),
        ('"a ""b"" c"', 'a "b" c'),
        ('""', ""),
        ('""""', '"'),
        ('","', ","),
        ('a"b"', 'a"b"'),
        ("it's", "it's"),
        ("#5", "#5"),
        ('"' + "x" * 70 + '"', "x" * 70),
        ('  "x"', "x"),
    ],
)
@pytest.mark.parametrize("block", [16, 1 << 20])
def test_quotes_keep_what_is_between_them(cell, expected, block, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", block)
    content = "n,c,y\n" + '1,red,"u"\n' * 60 + f'"7",{cell},v\n' + '2,"blue",u\n' * 2
    read_in = table(content, categorical=["c"])
    assert read_in.text["c"].tolist()[59:] == ["red", expected, "blue", "blue"]
    assert rows(read_in)[59:] == [[1], [7], [2], [2]] and read_in.y.tolist()[58:] == ["u", "u", "v", "u", "u"]


def test_a_quoted_comma_does_not_hide_a_quote_after_a_space():
    read_in = table('n,c,y\n1, "red",u\n2, "blue",v\n3,",",u\n', categorical=["c"])
    assert read_in.text["c"].tolist() == ["red", "blue", ","]


@pytest.mark.parametrize("row", ['1,"a,"b,u', '1,"a" ,u', '1,"a"b,u', '1,"a,u', '1,a,"', '1,a,"u\n"'])
def test_a_quote_that_does_not_end_with_its_cell_is_refused(row):
    assert "write a quote twice" in said(f"n,c,y\n5,b,v\n{row}\n", header=True)
    assert said(f"n,c,y\n5,b,v\n{row}\n", header=True).startswith("line 3: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n  \n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        ("a,b,y\n", "has names in line 1, but no rows below"),
        ("\n\na,b,y\n\n\n", "has names in line 3, but no rows below"),
        ("a,b,y\n1,2,3,\n", "line 2 has 4 columns, where 3 are expected, the last of them empty: it ends with ','"),
        ("a,b,\n1,2,\n3,4,\n", "every line ends with ',', so the last column is empty: remove that"),
        ("a;b;\n1;2;\n3;4;\n", "every line ends with ';', so the last column is empty: remove that"),
        ("a,,y\n1,2,3\n", "line 1: column 2 has no name: give it one, or remove the column"),
        ("\na, ,y\n1,2,3\n", "line 2: column 2 has no name: give it one, or remove the column"),
        ("a,b, a,y\n1,2,3,4\n", "line 1: two columns have the name 'a': rename one"),
        ("a,b,y\n1,2,u\n\n1,v\n", "line 4 has 2 columns, where 3 are expected"),
        ("a,b,y\n1,\0,u\n", "line 2 holds a NUL byte: save the file as text in UTF-8"),
        ("a,b,y\n1,2,Käse\n".encode("latin-1"), "line 2 is not UTF-8 text (byte 12): save the file as UTF-8"),
        (b"a,y\n1,u\n2,\xc3", "line 3 is not UTF-8 text (byte 11): save the file as UTF-8"),
        (b"a,y\r1,x\r2,\xff\r", "line 3 is not UTF-8 text (byte 11): save the file as UTF-8"),
        (b"\xef\xbb\xbfa,y\n1,\xff\n", "line 2 is not UTF-8 text (byte 10): save the file as UTF-8"),
        ("a,b,y\n1,2,u\n".encode("utf-16"), "is UTF-16 text: save it as UTF-8"),
        ("a,b,y\n1,2,u\n".encode("utf-16-be"), "holds a NUL byte"),
        (b"\xfe\xff" + "a,y\n1,2\n".encode("utf-16-be"), "is UTF-16 text: save it as UTF-8"),
        ("a,y\n1," + "u" * 200_000, "line 2: field larger than field limit"),
    ],
)
def test_a_file_that_is_no_table_is_refused(content, message):
    assert message in said(content)


def test_a_line_longer_than_any_row_is_refused_before_the_rest_is_read(monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 100)
    monkeypatch.setattr(text, "MAX_LINE", 1000)
    path, counts = write("a,y\n1,u\n" + "1," * 5000), []
    monkeypatch.setattr(stream, "BUFFER_BYTES", 100)
    with pytest.raises(DataError, match="line 3 is longer than 1000 characters: this is no table"):
        read(path, progress=counts.append)
    assert sum(counts) < 2000


# Files


@pytest.mark.parametrize(("magic", "what"), stream.FOREIGN.items(), ids=stream.FOREIGN.values())
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t"])
def test_a_file_of_a_foreign_format_is_named_by_it(magic, what, name):
    assert said(magic + b"\n1,2\n" * 9, name) == f"is {what}, which is not read so: save it as CSV"


GOOD = "a,b,y\n" + "".join(f"{i},{i}.25,{'uv'[i % 2]}\n" for i in range(300))
PACKED = gzip.compress(GOOD.encode(), mtime=0)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.gz", "t.csv", "t.tsv.gz"])
def test_a_packed_file_is_what_is_in_it_whatever_its_name(name):
    assert same(table(PACKED, name), table(GOOD, name))


def test_a_packed_file_may_have_several_parts():
    parts = [gzip.compress(part.encode()) for part in GOOD.splitlines(keepends=True)]
    assert same(table(b"".join(parts)), table(GOOD))


@pytest.mark.parametrize(
    "content",
    [PACKED[:-1], PACKED[:-9], PACKED[:40], PACKED[:3], PACKED[:-8] + bytes(8), PACKED[:30] + b"\xff" + PACKED[31:]],
    ids=["last byte", "end", "middle", "start", "checksum", "bit"],
)
def test_a_damaged_packed_file_is_refused(content):
    assert said(content, "t.csv.gz").startswith("is damaged or cut short, gzip says: ")


def test_a_path_that_is_no_file_is_refused():
    for path, message in {
        "none.csv": "none.csv: cannot be read: No such file or directory",
        "none.npz": "none.npz: cannot be read: No such file or directory",
        "none.svm": "none.svm: cannot be read: No such file or directory",
        "/dev/null": "/dev/null: is no file: save the data in one, and name that",
        "a\0b": "a\0b: cannot be read: embedded null byte",
        "two\nlines": "two lines: cannot be read: No such file or directory",
    }.items():
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value) == message


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.svm", "t.svm.gz"])
@pytest.mark.parametrize("buffer", [64, 1 << 20])
def test_progress_is_told_every_byte_of_the_file_once(name, buffer, monkeypatch):
    monkeypatch.setattr(stream, "BUFFER_BYTES", buffer)
    content = (GOOD if "csv" in name else "1 1:2 3:4 # note\n0 2:1\n" * 200).encode()
    path, counts = write(gzip.compress(content) if name.endswith("gz") else content, name), []
    read(path, progress=counts.append)
    assert sum(counts) == Path(path).stat().st_size and min(counts) > 0
    assert len(counts) > 1 or buffer > 64


def test_reading_a_csv_takes_at_most_twice_the_memory_of_its_numbers():
    with traced_memory() as risen:
        rng = np.random.default_rng(0)
        lines = [",".join(f"{value:.6g}" for value in row) for row in rng.normal(size=(600, 50)).tolist()]
        with Path("large.csv").open("w") as file:
            file.write(",".join(f"c{j}" for j in range(50)) + ",y\n")
            for i in range(60_000):
                file.write(f"{lines[i % 600]},{'uvw'[i % 3]}\n")
        risen()
        read_in = read("large.csv")
        rise = risen()
    assert read_in.X.shape == (60_000, 50) and read_in.X.flags.c_contiguous and read_in.X.flags.owndata
    assert read_in.X.nbytes < rise <= 2 * read_in.X.nbytes  # never two copies, though X grows


# np.loadtxt and the csv module


WORDS = st.one_of(
    st.sampled_from(
        ["red", "a b", " x ", "NA", "", "a,b", ";", 'a "b" c', '"', '""', "'", "5", "é", "x" * 70, "|", "\t"]
    ),
    st.text("ab ,;|\t\"'1.é#", max_size=5),
)
NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(["", "NA", "nan", " 5", "7 ", "+1", "1.", ".5", "1E5", "-0", "1e-400"]),
)


@st.composite
def written_tables(draw):
    """Columns of cells, whether each is one of text, the delimiter, and the bytes of a file by csv.writer."""
    kinds = draw(st.lists(st.booleans(), min_size=2, max_size=4))
    N = draw(st.integers(1, 8))
    columns = [draw(st.lists(WORDS if kind else NUMBERS, min_size=N, max_size=N)) for kind in kinds]
    delimiter = draw(st.sampled_from(",;\t|"))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    made = io.StringIO(newline="")
    writer = csv.writer(made, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerow([f"c{j}" for j in range(len(kinds))])
    writer.writerows(zip(*columns, strict=True))
    return kinds, columns, delimiter, made.getvalue().encode()


def attempt(path, **options):
    """The table, or what is said, in one line."""
    try:
        return read(path, **options)
    except MinnetError as error:
        message = str(error)
        assert len(message.splitlines()) == 1 and path in message
        return message


@settings(max_examples=300)
@given(written_tables(), st.sampled_from([1, 9, 40, 1 << 20]))
def test_what_csv_writer_has_written_is_read_as_it_was_by_both(case, block):
    kinds, columns, delimiter, content = case
    path, of = write(content), {f"c{j}": column for j, column in enumerate(columns)}
    words = [name for name, kind in zip(of, kinds, strict=True) if kind]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "BLOCK_BYTES", block)
        patch.setattr(text, "_delimiter", lambda lines: delimiter)
        fast = read(path, target=None, header=True, categorical=words)
        patch.setattr(text._Rows, "_fast", lambda self, lines, quoted: None)
        slow = read(path, target=None, header=True, categorical=words)
    assert same(fast, slow)
    assert list(fast.text) == words and fast.names == [name for name in of if name not in words]
    for name, column in fast.text.items():
        assert column.tolist() == [cells.as_text(cell) for cell in of[name]]
    for j, name in enumerate(fast.names):
        expected = [float(cell) if cells.as_text(cell) else NAN for cell in of[name]]
        np.testing.assert_array_equal(fast.X[:, j], expected)


PIECES = st.sampled_from(
    [b",", b'"', b"\n", b"\r", b"\t", b" ", b"", b",,", b"nan", b"x", b"1e999", b"\0", b"\xff", b"\xef\xbb\xbf", b"5:1"]
)
MUTATED = GOOD.encode()[:300]


@st.composite
def mutations(draw):
    """A good file, some pieces of which are others."""
    content = MUTATED
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        content = content[:start] + draw(PIECES) + content[start + draw(st.integers(0, 6)) :]
    return content.replace(b",", draw(st.sampled_from([b",", b",", b" ", b"\t", b";"])))


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "target": st.sampled_from(["y", "a", 0, -2, 9, None]),
        "header": st.booleans(),
        "categorical": st.sampled_from([("a",), ("x0", "b")]),
        "labels": st.just(False),
        "features": st.integers(1, 3),
    },
)
ANY = st.one_of(mutations(), st.binary(max_size=60), st.text("1a,; \t\n\r\"'.é#:", max_size=40).map(str.encode))


@settings(max_examples=600)
@given(ANY, OPTIONS, st.sampled_from(["t.csv", "t", "t.svm"]), st.sampled_from([3, 50, 1 << 20]))
def test_any_bytes_are_a_table_or_one_line_and_the_same_to_both(content, options, name, block):
    path = write(content, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "BLOCK_BYTES", block)
        fast = attempt(path, **options)
        patch.setattr(text._Rows, "_fast", lambda self, lines, quoted: None)
        slow = attempt(path, **options)
    if isinstance(fast, Table):
        assert isinstance(slow, Table) and same(fast, slow)
    else:
        assert isinstance(slow, str) and (fast == slow or "has no label" in fast)


def test_many_blank_lines_above_a_table_are_no_riddle():
    assert rows(table("\n" * 5000 + "a,y\n1,u\n", "t.txt")) == [[1]]


# X.npy and y.npy


def npz(**of):
    file = io.BytesIO()
    np.savez(file, **of)
    return file.getvalue()


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), **options)
    return file.getvalue()


def zipped(**contents):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in contents.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def folder(**of):
    Path("d").mkdir()
    for name, array in of.items():
        np.save(f"d/{name}.npy", array)
    return "d"


X23, Y2 = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), np.array([1, 0])


@pytest.mark.parametrize("dtype", ["?", "i1", "u8", ">i4", "f2", "f4", "f8", ">f8", ">f4", "g"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["npz", "packed", "folder"])
def test_arrays_of_every_kind_of_number_become_float64(dtype, order, kind):
    X = np.asarray(X23, dtype, order=order)
    if kind == "folder":
        read_in = read(folder(X=X, y=Y2))
    elif kind == "npz":
        read_in = table(npz(X=X, y=Y2), "t.npz")
    else:
        np.savez_compressed("t.npz", X=X, y=Y2)
        read_in = read("t.npz")
    assert read_in.X.dtype == np.float64 and read_in.X.dtype.isnative and rows(read_in) == X23.tolist()
    assert (read_in.names, read_in.y.tolist(), read_in.numbers) == (["x0", "x1", "x2"], [1, 0], None)
    assert (read_in.header, read_in.target, read_in.base, read_in.text) == (False, None, None, {})


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (np.array([True, False]), [True, False]),
        (np.array([3, -7], "i1"), [3, -7]),
        (np.array([2**63, 1], "u8"), [2**63, 1]),
        (np.array([3.0, -7.0]), [3, -7]),
        (np.array([3.0, -7.0], "f2"), [3, -7]),
        (np.array(["é", "b"]), ["é", "b"]),
        (np.array([b"red", b"blue"]), ["red", "blue"]),
    ],
)
def test_labels_of_an_array_are_kept_and_floats_become_whole_numbers(y, expected):
    labels = table(npz(X=X23, y=y), "t.npz").y
    assert labels.tolist() == expected and labels.dtype.kind in "biuU"


HUGE = npy(X23).replace(b"(2, 3), }" + b" " * 6, b"(2000000, 3), }")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npz(X=X23), "has no array y among ['X']: save the features as X, the labels as y"),
        (npz(a=X23, b=Y2), "has no array X among ['a', 'b']: save the features as X, the labels as y"),
        (
            npz(X=X23.astype(object), y=Y2),
            "X holds Python objects, which are never read: save it as numbers or as text",
        ),
        (
            npz(X=X23, y=Y2.astype(object)),
            "y holds Python objects, which are never read: save it as numbers or as text",
        ),
        (npz(X=X23[0], y=Y2), "X has shape (3,) and dtype float64: it must be a table of numbers (N, D)"),
        (npz(X=X23[None], y=Y2), "X has shape (1, 2, 3) and dtype float64: it must be"),
        (npz(X=np.float64(3), y=Y2), "X has shape () and dtype float64: it must be"),
        (npz(X=X23[:, :0], y=Y2), "X has shape (2, 0) and dtype float64: it must be"),
        (npz(X=X23.astype(complex), y=Y2), "X has shape (2, 3) and dtype complex128: it must be"),
        (npz(X=X23.astype(str), y=Y2), "X has shape (2, 3) and dtype <U32: it must be"),
        (npz(X=X23, y=Y2[:1]), "y has shape (1,): it must hold one label for each row of X, (2,)"),
        (npz(X=X23, y=Y2[:, None]), "y has shape (2, 1): it must hold one label for each row of X, (2,)"),
        (npz(X=X23, y=Y2 / 2), "row 0, column 'y' holds 0.5, which is no label of a class: that is a whole number"),
        (npz(X=X23, y=np.array([1, NAN])), "row 1, column 'y' holds nan, which is no label of a class"),
        (npz(X=X23, y=np.array([1, np.inf], "f2")), "row 1, column 'y' holds inf, which is no label of a class"),
        (npz(X=X23, y=np.array([1, 1e30])), "row 1, column 'y' holds 1e+30, which is no label of a class"),
        (npz(X=X23, y=Y2 * 1j), "y has dtype complex128: labels are whole numbers or text"),
        (npz(X=X23, y=Y2.astype("M8[D]")), "y has dtype datetime64[D]: labels are whole numbers or text"),
        (npz(X=np.where(X23 == 0, [1, -np.inf, 1], 2), y=Y2), "row 0, column 'x1' holds -inf: every value must be"),
        (npz(X=X23, y=Y2)[:-30], "is damaged: "),
        (npz(X=X23, y=Y2)[50:], "cannot be read: "),
        (b"", "is damaged: "),
        (zipped(X=npy(X23)[:-1], y=npy(Y2)), "X is damaged: of shape (2, 3), it should be 48 bytes"),
        (zipped(X=npy(X23) + b"1", y=npy(Y2)), "X is damaged: of shape (2, 3), it should be 48 bytes"),
        (zipped(X=HUGE, y=npy(Y2)), "X is damaged: of shape (2000000, 3), it should be 48000000 bytes"),
        (zipped(X=npy(X23)[:20], y=npy(Y2)), "is damaged: "),
        (zipped(X=b"\x93NUMPY\x09\0" + npy(X23)[8:], y=npy(Y2)), "is damaged: "),
        (zipped(X=b"1,2,3", y=npy(Y2)), "is damaged: "),
    ],
)
def test_arrays_that_cannot_be_learned_from_are_refused(content, message):
    assert said(content, "t.npz").startswith(message)


def test_a_header_that_lies_is_refused_before_room_is_made():
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000000, 3), }\n"
    lie = b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header
    write(zipped(X=lie + bytes(48), y=npy(Y2)), "t.npz")
    folder(y=Y2)
    write(lie + bytes(48), "d/X.npy")
    for path in ("t.npz", "d"):
        with traced_memory() as risen, pytest.raises(DataError, match=r"X is damaged: of shape \(100000000, 3\)"):
            read(path)
        with traced_memory() as risen:
            attempt(path)
            assert risen() < 1e6


def test_an_array_that_does_not_fit_into_memory_is_refused(monkeypatch):
    write(npz(X=np.zeros((1000, 100), "i1"), y=np.zeros(1000, int)), "t.npz")
    monkeypatch.setattr(arrays, "_free_memory", lambda: 8.5e5)
    with pytest.raises(DataError, match=r"t\.npz: X needs 0\.0 GB of memory, and 0\.0 are free"):
        read("t.npz")
    monkeypatch.setattr(arrays, "_free_memory", lambda: 9.5e5)
    assert read("t.npz").X.shape == (1000, 100)


def test_a_large_array_of_a_folder_stays_on_the_disk(monkeypatch):
    folder(X=X23, y=Y2)
    assert not isinstance(read("d").X, np.memmap)
    monkeypatch.setattr(arrays, "MAPPED_BYTES", 47)
    read_in = read("d")
    assert isinstance(read_in.X, np.memmap) and not read_in.X.flags.writeable and rows(read_in) == X23.tolist()
    np.save("d/X.npy", X23.astype("i8"))
    assert isinstance(read("d").X, np.memmap) and rows(read("d")) == X23.astype("i8").tolist()


def test_without_labels_no_y_is_read():
    write(zipped(X=npy(X23), y=b"no array"), "t.npz")
    folder(X=X23)
    for path in ("t.npz", "d"):
        read_in = read(path, labels=False)
        assert read_in.y is None and rows(read_in) == X23.tolist()
        with pytest.raises(DataError):
            read(path)


def test_arrays_may_hold_nan():
    read_in = table(npz(X=np.where(X23 == 0, NAN, X23), y=Y2), "t.npz")
    assert read_in.first_missing() == (0, "x1")
    assert read_in.place(*read_in.first_missing()) == "t.npz: row 0, column 'x1'"


# svmlight


@pytest.mark.parametrize(
    ("content", "options", "X", "base"),
    [
        ("1 1:3 3:0.5\n0 2:-1e1\n", {}, [[3, 0, 0.5], [0, -10, 0]], 1),
        ("1 0:3 2:0.5\n0 1:-1e1\n", {}, [[3, 0, 0.5], [0, -10, 0]], 0),
        ("1 1:3\n0 2:4\n", {"base": 0}, [[0, 3, 0], [0, 0, 4]], 0),
        ("1 2:3\n0 3:4\n", {}, [[0, 3, 0], [0, 0, 4]], 1),
        ("1 1:3\n0 2:4\n", {"features": 4}, [[3, 0, 0, 0], [0, 4, 0, 0]], 1),
        ("1 0:3\n0 2:4\n", {"features": 4}, [[3, 0, 0, 0], [0, 0, 4, 0]], 0),
        ("1\n0 2:4\n", {}, [[0, 0], [0, 4]], 1),
        ("1 qid:7 1:3\n0 qid:8 2:4\n", {}, [[3, 0], [0, 4]], 1),
        ("# note 1:2\n\n1 1:3 # 9:9\n  \n0\t2:4\r\n#\n", {}, [[3, 0], [0, 4]], 1),
        ("+1 1:.5\n-0 2:4.\n", {}, [[0.5, 0], [0, 4]], 1),
    ],
)
@pytest.mark.parametrize("name", ["t.svm", "t.svmlight", "t.libsvm", "t.svm.gz", "t.txt", "t", "t.gz"])
def test_svmlight_is_read_as_a_sparse_table(content, options, X, base, name):
    if content.startswith("1\n") and "svm" not in name:
        return  # a row without features tells nothing
    content = gzip.compress(content.encode()) if name.endswith("gz") else content
    read_in = table(content, name, **options)
    assert sp.issparse(read_in.X) and read_in.X.dtype == np.float64 and rows(read_in) == X
    assert (read_in.base, read_in.y.tolist(), read_in.header) == (base, [1, 0], False)
    assert read_in.y.dtype == np.int64 and read_in.names == [f"x{j}" for j in range(len(X[0]))]
    assert read_in.numbers.tolist() == ([3, 5] if content[:1] == "#" else read_in.numbers.tolist())


def test_labels_of_svmlight_may_be_negative_and_need_not_be_read():
    assert table("-1 1:3\n+1 2:1\n2.0 1:1\n", "t.svm").y.tolist() == [-1, 1, 2]
    assert table("0.5 1:3\n", "t.svm", labels=False).y is None


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("1 1:3\n0 5:1\n1 2:1\n", {"features": 4}, "line 2 has index 5, beyond the 4 features, counted from 1"),
        ("1 0:3\n0 4:1\n", {"features": 4}, "line 2 has index 4, beyond the 4 features, counted from 0"),
        ("1 1:3\n0 0:1\n", {"base": 1}, "line 2 has index 0, where they must count from 1"),
        ("1 1:3\n\n0 2000000000:1\n", {}, "line 3 has index 2000000000: at most 10000000 features are taken"),
        ("1 1:3\n0 2:1 1:4\n", {}, "line 2: indices must rise from left to right: sort them"),
        ("1 1:3\n0 2:1 2:4\n", {}, "line 2: indices must rise from left to right: sort them"),
        ("1 1:3\n0 2:nan\n", {}, "line 2: '0 2:nan' is not: label index:value index:value ..."),
        ("1 1:inf\n", {}, "line 1: '1 1:inf' is not: label index:value"),
        ("1 1:1\n0 1:2 3:1e400\n", {}, "line 2, column 'x2' holds inf: every value must be a finite number"),
        ("# a\n0 0:2 3:-1e400\n", {}, "line 2, column 'x3' holds -inf: every value must be a finite number"),
        ("1 1:3\n\n#\n0.5 2:1\n", {}, "line 4, column 'y' holds 0.5, which is no label of a class"),
        ("1 1:3\n1e400 2:1\n", {}, "line 2, column 'y' holds inf, which is no label of a class"),
        ("1 1:3\n\n\n0 1:\n", {}, "line 4: '0 1:' is not"),
        ("1 1:3\nspam 1:2\n", {}, "line 2: 'spam 1:2' is not"),
        ("1 1:3\n1,2 1:2\n", {}, "line 2: '1,2 1:2' is not"),
        ("1 -1:3\n", {}, "line 1: '1 -1:3' is not"),
        (b"1 1:3\n1 1:\xff\n", {}, "line 2: '1 1:\ufffd' is not"),
        ("1 1:3\n1 " + "1:2," * 50, {}, "line 2: '1 1:2,1:2,1:2,1:2,1:2,1:2,1:2,1:2,1:2...' is not"),
        ("# only\n\n", {}, "is empty"),
        ("1\n0\n", {}, "has no features in any row"),
    ],
)
def test_svmlight_that_cannot_be_learned_from_is_refused(content, options, message):
    assert said(content, "t.svm", **options).startswith(message)


def test_a_csv_by_its_suffix_is_never_svmlight():
    assert svmlight.START.match(b"1 1:3\n2 1:4\n")
    read_in = table("1 1:3\n2 1:4\n", header=False)
    assert (rows(read_in), read_in.y.tolist(), read_in.base) == ([[1], [2]], ["1:3", "1:4"], None)


# Tables


def made(names=("a", "b"), header=True, of_text=(), **more):
    X = np.arange(len(names) * 3.0).reshape(3, -1) + np.arange(len(names))
    columns = {name: np.array([f"{name}{i}" for i in range(3)]) for name in of_text}
    return Table("t.csv", list(names), X, text=columns, numbers=np.array([2, 4, 5]), header=header, **more)


def test_a_place_is_a_line_of_a_text_file_and_else_a_row():
    assert made().place(1, "b") == "t.csv: line 4, column 'b'"
    assert Table("d", ["x0"], np.zeros((2, 1))).place(1, "x0") == "d: row 1, column 'x0'"


@pytest.mark.parametrize("block", [1, 3, 1 << 20])
def test_the_first_missing_cell_is_the_one_in_the_first_row(block, monkeypatch):
    monkeypatch.setattr("minnet.tables.table.BLOCK_BYTES", block)
    one = made(of_text=["c"])
    assert one.first_missing() is None
    one.X[2, 0] = one.X[1, 1] = NAN
    assert one.first_missing() == (1, "b")
    one.text["c"][1:] = ""
    assert one.first_missing() == (1, "b")
    one.text["c"][0] = ""
    assert one.first_missing() == (0, "c")
    one.X[0, 0] = NAN
    assert one.first_missing() == (0, "a")


@pytest.mark.parametrize("container", [np.array, sp.csr_array, sp.csr_matrix])
def test_the_first_infinite_number_is_named_in_rows_of_both_kinds(container):
    X = np.zeros((4, 3))
    check_not_infinite(Table("d", ["a", "b", "c"], container(X)))
    X[3, 0] = X[2, 1] = np.inf
    X[0, 2] = NAN
    with pytest.raises(DataError) as caught:
        check_not_infinite(Table("d", ["a", "b", "c"], container(X)))
    assert str(caught.value) == "d: row 2, column 'b' holds inf: every value must be a finite number"


def test_a_table_is_arranged_by_name():
    one = made("abc", of_text=["s", "t"])
    other = arrange(one, ["c", "a", "b"], ["t", "s"])
    assert (other.names, list(other.text)) == (["c", "a", "b"], ["t", "s"])
    assert (one.X[:, [2, 0, 1]] == other.X).all() and other.text["s"] is one.text["s"]
    assert arrange(one, ["a", "b", "c"], ["s", "t"]) is one


@pytest.mark.parametrize(
    ("names", "columns", "message"),
    [
        (["a", "b", "d"], [], "t.csv: has no column 'd', which the training file has"),
        (["a", "b"], ["u"], "t.csv: has no column 'u', which the training file has"),
        (["a"], [], "t.csv: has a column 'b', which the training file does not have: leave it out"),
        (["a", "b"], [], "t.csv: has a column 's', which the training file does not have: leave it out"),
        (["b", "a", "s"], [], "t.csv: line 2, column 's' holds 's0', no number: correct it, or train with"),
    ],
)
def test_a_column_that_is_missing_or_too_many_is_named(names, columns, message):
    with pytest.raises(DataError) as caught:
        arrange(made(of_text=["s"]), names, columns)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("header", "names"), [(False, ["a", "b"]), (True, ["x0", "x1"]), (False, ["x0", "x1"])])
def test_where_one_file_has_no_names_columns_are_taken_by_place(header, names):
    one = made("pq", header=header)
    other = arrange(one, names, [])
    assert other.names == names and other.X is one.X
    with pytest.raises(DataError, match=r"^t\.csv: has 2 feature columns, the training file 3$"):
        arrange(one, [*names, "x2"], [])
    with pytest.raises(DataError, match="its columns of text have no names to find them by: give both files a header"):
        arrange(made("p", header=False, of_text=["x1"]), ["a"], ["b"])


def test_columns_called_x1_and_x0_are_arranged_by_name():
    one = made(["x1", "x0"])
    assert (one.X[:, ::-1] == arrange(one, ["x0", "x1"], []).X).all()


@pytest.mark.parametrize("container", [np.array, sp.csr_array])
def test_the_rows_that_are_kept_keep_all_that_is_theirs(container):
    one = made(of_text=["s"], y=np.array(["u", "v", "w"]))
    one.X = container(one.X)
    kept = keep(one, np.array([True, False, True]))
    assert (rows(kept), kept.y.tolist(), kept.numbers.tolist()) == ([[0, 2], [4, 6]], ["u", "w"], [2, 5])
    assert kept.text["s"].tolist() == ["s0", "s2"] and len(one.y) == 3
    one.y = one.numbers = None
    assert keep(one, np.zeros(3, bool)).X.shape == (0, 2)


def test_an_unknown_column_is_told_with_the_nearest_name_or_with_all():
    names = [f"column{i}" for i in range(50)]
    assert (
        str(unknown_column("k", "colum7", "t.csv", names)) == "k: t.csv has no column 'colum7'; did you mean 'column7'?"
    )
    message = str(unknown_column("k", "zzz", "t.csv", iter(names)))
    assert message.startswith("k: t.csv has no column 'zzz'; it has 'column0', 'column1', ") and message.endswith("...")
