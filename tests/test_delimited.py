"""CSV and its relatives: what a file may look like, and what is said of one that is no table."""

import csv
import gzip
import io
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import traced_memory
from tables import refused

from minnet.data import delimited, sources
from minnet.data.delimited import HeaderUnclear
from minnet.data.table import Reading, Table, as_text
from minnet.errors import ConfigError, DataError, MinnetError

NAN = math.nan
BLOCKS = pytest.mark.parametrize("blocks", ["small blocks", "large blocks"], indirect=True)


pytestmark = pytest.mark.usefixtures("here")


def small_blocks(patch, size=7):
    """Few cells at a time, and a layout that is decided by five rows."""
    patch.setattr(delimited, "CELLS", size)
    patch.setattr(delimited, "LOOK", 5)


@pytest.fixture
def blocks(request, monkeypatch):
    if request.param == "small blocks":
        small_blocks(monkeypatch)


def table(content, name="t.csv", **options):
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return sources.read(name, Reading(**options))


def said(content, name="t.csv", kind=DataError, **options):
    """What is said about a file, in one line that begins with its name."""
    message = refused(kind, table, content, name, **options)
    assert message.startswith(f"{name}: ")
    return message.removeprefix(f"{name}: ")


def content_of(read):
    """All that a table holds, but for its path."""
    text = {name: cells.tolist() for name, cells in read.text.items()}
    y = None if read.y is None else read.y.tolist()
    return read.X.tobytes(), read.names, text, y, read.numbers.tolist(), read.reading


# Delimiters, names and the target


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", " ", "   ", " \t "])
def test_the_delimiter_is_seen_whatever_the_suffix(delimiter):
    content = "age,size,kind\n1,2.5,a\n3,-4e1,b\n".replace(",", delimiter)
    for name in ("t.csv", "t.tsv", "t.txt", "t"):
        read = table(content, name)
        assert (read.names, read.y.tolist()) == (["age", "size"], ["a", "b"])
        assert read.X.tolist() == [[1, 2.5], [3, -40]] and read.numbers.tolist() == [2, 3]
        assert read.named and read.reading == {"target": "kind", "header": True}


@pytest.mark.parametrize(
    ("content", "names", "X", "y"),
    [
        ("  a   b c\n 1 2   x \n   3     4 y\n", ["a", "b"], [[1, 2], [3, 4]], ["x", "y"]),
        (' a , b ,"y"\n 1 ,  2.5, u  \n3,4 ,"v"\n', ["a", "b"], [[1, 2.5], [3, 4]], ["u", "v"]),
        ("a\tb\tc\nx,y\t1\tu\nz,w\t2\tv\n", ["b"], [[1], [2]], ["u", "v"]),
        ('a,b,c\n"1;2",3,x\n"4;5",6,y\n', ["b"], [[3], [6]], ["x", "y"]),
        ("a b,c d,e\n1,2,x y\n3,4,z w\n", ["a b", "c d"], [[1, 2], [3, 4]], ["x y", "z w"]),
        ('a,b\n"1",u;v\n2,"w;\n;x"\n', ["a"], [[1], [2]], ["u;v", "w;\n;x"]),
        ("a,b\n" + "1,x\n" * 18 + '1,"cut\nhere"\n', ["a"], [[1]] * 19, ["x"] * 18 + ["cut\nhere"]),
    ],
)
def test_the_delimiter_is_the_one_that_cuts_every_line_alike(content, names, X, y):
    read = table(content)
    assert (read.names, read.X.tolist(), read.y.tolist()) == (names, X, y)


@pytest.mark.parametrize(
    ("content", "header"),
    [
        ("a,b,y\n1,2,x\n3,4,z\n", True),
        ("a,b,y\n1,red,x\n3,red,x\n", True),
        ("a,2,y\n1,2,3\n", True),
        ("1,red,x\n3,blue,x\n", False),
        ("1,2,3\n4,5,6\n", None),
        ("u,v\nx,y\nz,w\n", None),
    ],
)
def test_whether_the_first_row_holds_names_is_seen_or_asked_for(content, header):
    if header is None:
        message = said(content, kind=HeaderUnclear)
        assert message == "the first row may be names or data: set data.header to true or false"
    else:
        assert table(content).named is header


FOUR = "a,b,c,d\n1,2,3,4\n5,6,7,8\n"


@pytest.mark.parametrize(("target", "place"), [("a", 0), ("c", 2), (0, 0), (-1, 3), (-4, 0)])
def test_the_target_is_found_by_name_or_place(target, place):
    left = [j for j in range(4) if j != place]
    for header in (True,) if isinstance(target, str) else (True, False):
        read = table(FOUR if header else FOUR.partition("\n")[2], target=target, header=header)
        assert read.y.tolist() == [place + 1, place + 5]
        assert read.X.tolist() == [[j + 1 for j in left], [j + 5 for j in left]]
        assert read.names == (["abcd"[j] for j in left] if header else ["x0", "x1", "x2"])
        assert read.reading["target"] == ("abcd"[place] if header else target)


@pytest.mark.parametrize(
    ("target", "header", "message"),
    [
        ("aa", True, "has no target column 'aa'; did you mean a?"),
        ("0", True, "has no target column '0'; it has 'a', 'b', 'c', 'd'"),
        (4, True, "has no target column 4: it has 4, from -4 to 3"),
        (-5, False, "has no target column -5: it has 4, from -4 to 3"),
        ("a", False, "has no names to find the target column 'a' by: give its index, from 0"),
    ],
)
def test_a_target_that_is_no_column_is_a_config_error(target, header, message):
    assert said(FOUR, kind=ConfigError, target=target, header=header) == message


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"target": None}, "aby"),
        ({"target": "y"}, "ab"),
        ({"target": 0}, "by"),
        ({"target": "z"}, "aby"),
        ({"target": "y", "features": 2}, "ab"),
        ({"target": "y", "features": 3}, "aby"),
        ({"target": 0, "features": 3}, "aby"),
    ],
)
def test_without_labels_the_target_may_be_missing_and_is_not_read(options, names):
    cells = {"a": 1, "b": 2, "y": 0.5}
    read = table("a,b,y\n1,2,0.5\n3,4,\n5,6,7\n", labels=False, **options)
    assert (read.y, read.text, read.names) == (None, {}, list(names))
    assert read.X[0].tolist() == [cells[name] for name in names] and len(read) == 3
    if "target" in options and not isinstance(options["target"], str):
        plain = table("1,2,0.5\n5,6,7\n", labels=False, header=False, **options)
        assert plain.X[0].tolist() == read.X[0].tolist()


# Cells and labels


@BLOCKS
def test_a_label_that_is_none_is_named_by_its_line(blocks):
    none = "has no label: give one, or remove the row"
    whole = "holds 0.5, not a label: that is a whole number or text"
    for line, (label, message) in product([2, 40], [("0.5", whole), (" NA ", none), ("", none)]):
        lines = ["a,y,b", *(f"{i},{i % 2},2" for i in range(60))]
        lines[line - 1] = f"1,{label},2"
        assert said("\n".join(lines), target="y") == f"line {line}, column 'y' {message}"


@BLOCKS
def test_a_missing_number_is_nan_and_a_missing_word_is_empty(blocks):
    missing = ["", "  ", "NA", "n/a", "NaN", "NULL", "None", "?"]
    lines = [f"{cell},{cell},{i},k{i % 2}" for i, cell in enumerate(missing)]
    read = table("a,b,c,y\n" + "6,blue,9,k0\n" * 5 + "\n".join(lines) + "\n,,,k1\n,,,k1")
    np.testing.assert_array_equal(read.X[:, 0], [6] * 5 + [NAN] * 10)
    np.testing.assert_array_equal(read.X[:, 1], [9] * 5 + [*range(8)] + [NAN] * 2)
    assert read.text["b"].tolist() == ["blue"] * 5 + [""] * 10


def test_categorical_columns_and_those_with_a_word_in_the_first_rows_are_text():
    read = table("a,b,y\n01,1.50,u\n 2 ,,v\n", categorical=("b", "a", "nothing"))
    assert read.text["a"].tolist() == ["01", "2"] and read.text["b"].tolist() == ["1.50", ""]
    assert list(read.text) == ["a", "b"] and read.X.shape == (2, 0)
    read = table("1,2,3\n4,5,6\n", header=False, categorical=("x1",))
    assert (read.text["x1"].tolist(), read.X.tolist()) == (["2", "5"], [[1], [4]])
    read = table("a,b,y\n1,2,u\nred,NA,v\n3,4,u\n")
    assert (read.names, read.text["a"].tolist()) == (["b"], ["1", "red", "3"])


def test_text_with_one_long_cell_takes_no_more_room_than_its_letters():
    cells = ["red", "x" * 100_000] + ["blue"] * 3000
    content = "c,y\n" + "".join(f"{cell},{i % 2}\n" for i, cell in enumerate(cells))
    with traced_memory() as risen:
        read = table(content, categorical=("c",))
        assert risen() < 4e6
    assert read.text["c"].tolist() == cells


CORRECT = "not a number: correct it, or train with"
BINARY = " is not UTF-8 text, or has a NUL byte: save the file as UTF-8"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("big,red,1,1", f", column 'a' holds 'big', {CORRECT}"),
        ("1,red,1_0,1", f", column 'c' holds '1_0', {CORRECT}"),
        ("1,red,１,1", f", column 'c' holds '１', {CORRECT}"),  # noqa: RUF001
        ('1,red,"1,5",1', f", column 'c' holds '1,5', {CORRECT}"),
        ("1,red,inf,1", ", column 'c' holds inf: every value must be a finite number"),
        ("1,red,2", " has 3 columns instead of 4"),
        ("1,red,2,1,1", " has 5 columns instead of 4"),
        ("1,red,2,1,", " has 5 columns instead of 4: it ends with ','"),
        ('1,"red,2,1', ": unexpected end of data: close each quote, and write a quote inside quo"),
        ('1,"r"ed,2,1', ": ',' expected after '\"': close each quote"),
        ("1,red,2,\udce9", BINARY),
        ("1,red,\udce9", BINARY),
        ("1,r\0ed,2,1", BINARY),
    ],
)
def test_what_is_wrong_far_below_is_named_with_its_line(content, message, monkeypatch):
    small_blocks(monkeypatch, 300)
    for line, blanks, end in ((20, 0, b"\n"), (140, 3, b"\r\n"), (201, 0, b"\r"), (201, 3, b"\n")):
        lines = [b"a,b,c,y", *(f"{i},red,{i}.5,{i % 2}".encode() for i in range(200))]
        lines[line - 1 - blanks : line - 1] = [b""] * blanks
        lines[line - 1] = content.encode(errors="surrogateescape")
        assert said(end.join(lines) + end).startswith(f"line {line}{message}")


# Lines and quotes


@BLOCKS
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_kind_and_a_bom_make_no_difference(blocks, end):
    lines = ["a,b,y", "1,2.5,é", "3,,日本", "-4,6,é"]
    for start, last in product([b"", b"\xef\xbb\xbf"], ["", "\n", "\n\n  \n\n"]):
        read = table(start + (end.join(lines) + last.replace("\n", end)).encode())
        np.testing.assert_array_equal(read.X, [[1, 2.5], [3, NAN], [-4, 6]])
        assert (read.names, read.y.tolist()) == (["a", "b"], ["é", "日本", "é"])
        assert read.numbers.tolist() == [2, 3, 4]


@BLOCKS
@pytest.mark.parametrize("delimiter", [",", " ", "\t"])
def test_blank_lines_are_left_out_and_counted(blocks, delimiter):
    lines = [*[""] * 600, "  ", "a,y", "", "1,u", *["2,v"] * 50, *[""] * 60, "   ", "3,u", "", ""]
    read = table("\n".join(lines).replace(",", delimiter))
    kept = [i + 1 for i, line in enumerate(lines) if line.strip() and line != "a,y"]
    assert read.numbers.tolist() == kept
    assert read.X.tolist() == [[float(lines[i - 1].split(",")[0])] for i in kept]
    read = table("c\nred\n  \nblue\n", target=None, header=True)
    assert read.text["c"].tolist() == ["red", "blue"] and read.numbers.tolist() == [2, 4]


CELLS = {'"red, or so"': "red, or so", '"a ""b"" c"': 'a "b" c', '""': "", '""""': '"', '","': ","}
CELLS |= {'a"b"': 'a"b"', "it's": "it's", "#5": "#5", "x" * 700: "x" * 700, '  "x"': "x"}
CELLS |= {'"two\nlines"': "two\nlines", '"1\n\n,2\n"': "1\n\n,2"}


@BLOCKS
def test_quotes_keep_what_is_between_them_and_lines_are_counted(blocks):
    for cell, expected in CELLS.items():
        content = "n,c,y\n" + '1,red,"u"\n' * 60 + f'"7",{cell},v\n\n' + '2,"blue",u\n' * 2
        read = table(content, categorical=("c",))
        assert read.text["c"].tolist()[59:] == ["red", expected, "blue", "blue"]
        assert read.X[59:].tolist() == [[1], [7], [2], [2]]
        below = 62 + cell.count("\n") + 2
        assert read.numbers[60:].tolist() == [62, below, below + 1]
        assert said(content + "7,f\n").startswith(f"line {below + 2} has 2 columns instead of 3")


@pytest.mark.parametrize("row", ['1,"a,"b,u', '1,"a" ,u', '1,"a"b,u', '1,"a,u', '1,a,"'])
def test_a_quote_that_does_not_end_with_its_cell_is_refused(row):
    message = said(f"n,c,y\n5,b,v\n{row}\n", header=True)
    assert message.startswith("line 3: ") and message.endswith("write a quote inside quotes twice")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n  \n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        ("\n\na,b,y\n\n\n", "has names in line 3, but no rows below"),
        ("a\n1\n2\n", "has only one column: found no tab, semicolon, comma, | or space"),
        ('"a b"\n"1"\n', "has only one column"),
        ("a,b,y\n1,2,3,\n", "line 2 has 4 columns instead of 3: it ends with ','"),
        ("a,b,\n1,2,\n3,4,\n", "has an empty last column: remove the end of each line"),
        ("a,,y\n1,2,3\n", "line 1: column 2 has no name: name it, or remove it"),
        ("a,b, a,y\n1,2,3,4\n", "line 1: two columns have the name 'a': rename one"),
        ("a,b,y\n1,2,u\n\n1,v\n", "line 4 has 2 columns instead of 3"),
        ("a,b,y\n1,\0,u\n", f"line 2{BINARY}"),
        (b"a,y\n1,u\n2,\xc3", f"line 3{BINARY}"),
        ("a,b,y\n1,2,u\n".encode("utf-16-be"), "line 1 is not UTF-8 text"),
        ("a,y\n1," + "u" * 200_000, "line 2: field larger than field limit"),
    ],
)
def test_a_file_that_is_no_table_is_refused(content, message):
    assert said(content).startswith(message)


def test_a_line_longer_than_any_row_is_refused_before_the_rest_is_read(monkeypatch):
    monkeypatch.setattr(delimited, "MAX_LINE", 1000)
    Path("t.csv").write_text("a,y\n1,u\n" + "1," * 500_000)
    counts = []
    message = refused(DataError, sources.read, "t.csv", Reading(), counts.append)
    assert message == "t.csv: line 3 has 501 columns instead of 2: it ends with ','"
    assert sum(counts) < 500_000


# The whole


def test_reading_takes_at_most_twice_the_memory_of_the_numbers(monkeypatch):
    monkeypatch.setattr(delimited, "LOOK", 50)
    rng = np.random.default_rng(0)
    lines = [",".join(f"{x:.6g}" for x in row) for row in rng.normal(size=(600, 50)).tolist()]
    content = "".join(f"{lines[i % 600]},{'uvw'[i % 3]}\n" for i in range(6_000))
    Path("large.csv").write_text(",".join(f"c{j}" for j in range(50)) + ",y\n" + content)
    with traced_memory() as risen:
        read = sources.read("large.csv", Reading())
        rise = risen()
    assert read.X.shape == (6_000, 50) and read.X.flags.c_contiguous and read.X.flags.owndata
    assert read.X.nbytes < rise <= 2 * read.X.nbytes  # never two copies, though X grows


CELL = st.sampled_from(["red", " x ", "NA", "a,b", 'a "b" c', "é", "x" * 70, "a\nb"])
CELL |= st.text("ab ,;|\t\"'1.é#\n", max_size=5)
NUMBER = st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.integers().map(str)
NUMBER |= st.sampled_from(["", "NA", " 5", "7 ", "+1", "1.", ".5", "1E5", "-0", "1e-400"])


@settings(max_examples=100)
@given(
    st.lists(st.tuples(CELL, CELL, NUMBER), min_size=1, max_size=8),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([1, 9, 40, 1 << 20]),
)
def test_what_csv_writer_has_written_is_read_as_it_was(rows, delimiter, quoting, end, size):
    made = io.StringIO(newline="")
    writer = csv.writer(made, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerows([["a", "b", "c"], *rows])
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch, size)
        patch.setattr(delimited, "_delimiter", lambda lines: delimiter)
        read = table(made.getvalue(), target=None, header=True, categorical=("a", "b"))
    for name, cells in zip(read.text, zip(*rows, strict=True), strict=False):
        assert read.text[name].tolist() == [as_text(cell) for cell in cells]
    numbers = [float(cell) if as_text(cell) else NAN for _, _, cell in rows]
    np.testing.assert_array_equal(read.X, np.array(numbers)[:, None])


ANY = st.binary(max_size=60) | st.text("1a,; \t\n\r\"'.é#:\0").map(str.encode)


@settings(max_examples=120)
@given(ANY, st.sampled_from([{}, {"header": False}]), st.sampled_from(["t.csv", "t", "t.svm"]))
def test_any_bytes_are_a_table_or_one_line_whatever_the_blocks(content, options, name):
    found = []
    for size in (3, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(delimited, "CELLS", size)
            try:
                found.append(table(content, name, **options))
            except MinnetError as error:
                found.append(str(error))
                assert len(found[-1].splitlines()) == 1 and found[-1].startswith(f"{name}: ")
    first, second = found
    assert isinstance(first, Table) == isinstance(second, Table)
    if isinstance(first, Table) and not first.sparse:
        assert content_of(first) == content_of(second)


def test_a_packed_file_is_what_is_in_it_and_refused_if_it_is_damaged():
    content = "a,y\n" + "1,u\n2,v\n" * 90
    packed = gzip.compress(content[:80].encode()) + gzip.compress(content[80:].encode())
    for name in ("t.csv.gz", "t.gz", "t.csv"):
        assert content_of(table(packed, name)) == content_of(table(content, name))
    for damaged in (packed[:-1], packed[:40], packed[:3], packed[:-8] + bytes(8)):
        assert said(damaged, "t.csv.gz").startswith("cannot be read: ")
