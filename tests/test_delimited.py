"""CSV and its relatives: what a file may look like, and what is said of one that is no table."""

import bz2
import csv
import gzip
import io
import lzma
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import traced_memory
from tables import refused

from minnet.data import delimited, sources
from minnet.data.dialect import Cells
from minnet.data.table import MISSING, Reading, Table
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
    """What is said about a file, in lines that all begin with its name."""
    with pytest.raises(kind) as caught:
        table(content, name, **options)
    lines = str(caught.value).split("\n")
    assert len(lines) <= 5 and all(line.startswith(f"{name}: ") for line in lines)
    return "\n".join(line.removeprefix(f"{name}: ") for line in lines)


def cells(read, name):
    """A column: its numbers or words."""
    return (read.X[:, read.names.index(name)] if name in read.names else read.text[name]).tolist()


def rows(read):
    """All cells, as lists of rows."""
    return [list(row) for row in zip(*(cells(read, name) for name in read.order), strict=True)]


def content_of(read):
    """All that a table holds, but for its path."""
    text = {name: cells.tolist() for name, cells in read.text.items()}
    return read.X.tobytes(), read.order, text, read.numbers.tolist(), read.reading, read.notes


# Delimiters


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", " ", "   ", " \t "])
def test_the_delimiter_is_seen_whatever_the_suffix(delimiter):
    content = "age,size,kind\n1,2.5,a\n3,-4e1,b\n".replace(",", delimiter)
    for name in ("t.csv", "t.tsv", "t"):
        read = table(content, name)
        assert rows(read) == [[1, 2.5, "a"], [3, -40, "b"]] and list(read.text) == ["kind"]
        assert read.named and read.reading == {"header": True, "decimal": "."} and not read.notes


@pytest.mark.parametrize(
    ("content", "order", "expected"),
    [
        ("  a   b c\n 1 2   x \n   3     4 y\n", "abc", [[1, 2, "x"], [3, 4, "y"]]),
        (' a , b ,"y"\n 1 ,  2.5, u  \n3,4 ,"v"\n', "aby", [[1, 2.5, "u"], [3, 4, "v"]]),
        ('"a" , "b",y\n"1" , 2, "u" \n3,4,"v, ""w"" "  \n', "aby", [[1, 2, "u"], [3, 4, 'v, "w"']]),
        ("a\tb\tc\nx,y\t1\tu\nz,w\t2\tv\n", "abc", [["x,y", 1, "u"], ["z,w", 2, "v"]]),
        ('a,b,c\n"1;2",3,x\n"4;5",6,y\n', "abc", [["1;2", 3, "x"], ["4;5", 6, "y"]]),
        ("a b,c d,e\n1,2,x y\n3,4,z w\n", ["a b", "c d", "e"], [[1, 2, "x y"], [3, 4, "z w"]]),
        ('a,b\n"1",u;v\n2,"w;\n;x"\n', "ab", [[1, "u;v"], [2, "w;\n;x"]]),
        ('"a b" c\n1 "u  v"\n2 w\n', ["a b", "c"], [[1, "u  v"], [2, "w"]]),
        ("a,b\n" + "1,x\n" * 98 + '1,"cut\nhere"\n', "ab", [[1, "x"]] * 98 + [[1, "cut\nhere"]]),
        ("a b c\n1 2  u \n3 4 v\n5 6 w\n", "abc", [[1, 2, "u"], [3, 4, "v"], [5, 6, "w"]]),
        ("sep=;\na;b\n1;u\n2;v\n", "ab", [[1, "u"], [2, "v"]]),
        ("a b c\n1,5 2,5 u\n3 4,1 v\n", "abc", [[1.5, 2.5, "u"], [3, 4.1, "v"]]),
    ],
)
def test_the_delimiter_is_the_one_that_cuts_every_record_alike(content, order, expected):
    read = table(content)
    assert (read.order, rows(read)) == (list(order), expected)


@pytest.mark.parametrize("delimiter", [";", "\t", " ", "|", ","])
def test_a_decimal_comma_is_seen_where_the_delimiter_leaves_room(delimiter, monkeypatch):
    lines = [["a", "b", "c", "y"], ["1,5", "-2", "x,y", "0"], ["", ",25e1", "1,x", "1"]]
    quoted = [[f'"{cell}"' if delimiter in (",", " ") else cell for cell in row] for row in lines]
    content, last = "\n".join(map(delimiter.join, quoted)), ['"1.5"', *quoted[1][1:]]
    read = table(content)
    np.testing.assert_array_equal(read.X, [[1.5, -2], [NAN, 2.5]])
    assert read.reading["decimal"] == "," and read.notes == ["numbers have a decimal comma"]
    assert cells(read, "c") == ["x,y", "1,x"]
    small_blocks(monkeypatch, 1)
    later = table("\n".join([content] + [delimiter.join(quoted[1])] * 6 + [delimiter.join(last)]))
    assert cells(later, "a")[-2:] == ["1,5", "1.5"]  # whatever that is, it is not 1.5


@pytest.mark.parametrize(
    ("content", "known", "decimal"),
    [
        ("a;y\n1,5;u\n2;v\n", "", ","),
        ("a;y\n0,123;u\n2;v\n", "", ","),
        ("a;y\n1.234;u\n5.678;v\n", ",", ","),
        ("a;y\n1,234;u\n5,678;v\n", "", ","),
        ("a;y\n1,234;u\n5,678;v\n", ".", "."),
        ("a;b;y\n1,234;1.5;u\n5,678;2.25;v\n", "", "."),
        ("a\ty\n1,234\tu\n5,678\tv\n", "", "."),
        ("a;y\n1,5;u\n2.5;v\n", "", "."),
        ("a;y\n5;u\n2;v\n", ",", ","),
    ],
)
def test_the_decimal_mark_is_what_the_numbers_show_and_else_what_is_known(content, known, decimal):
    assert table(content, decimal=known).reading["decimal"] == decimal


# The header


@pytest.mark.parametrize(
    ("content", "header", "guessed"),
    [
        ("a,b,y\n1,2,x\n3,4,z\n", True, False),
        ("a,b,y\n1,red,x\n3,red,x\n", True, False),
        ("a,2,y\n1,2,3\n", True, False),
        ("name,born,kind\nx,2020-01-05,u\nz,2021-01-05,v\n", True, False),
        ("what,1990,1991,1993\nx,1,2,3\n", True, True),
        ("0,1,2\n5,7,x\n6,5,z\n", True, False),
        ("u,class\nx,y\nz,w\n", True, False),
        ("u,v\nx,y\nz,w\n", True, True),
        ("x,y\nz,y\nx,w\n", False, False),
        ("A1,u\nB7,v\nC3,u\n", False, False),
        ("1,red,x\n3,blue,x\n", False, False),
        ("1,red,x\n3,blue,z\n", False, True),
        ("u,u\nx,y\nz,w\n", False, True),
        ("1,2,3\n4,5,6\n", False, False),
        ("1,2,x\n", False, False),
        ("40,3;1;u\n5,1;2;v\n", False, True),
    ],
)
def test_whether_the_first_row_holds_names_is_seen_or_guessed(content, header, guessed):
    read = table(content)
    assert (read.named, read.reading["header"]) == (header, header)
    what = "names; if not: data.header=false" if header else "data; if not: data.header=true"
    notes = [note for note in read.notes if "decimal" not in note]
    assert notes == [f"the first row is read as {what}"] * guessed
    other = content if content.count("\n") > 1 else content * 2
    assert table(other, header=not header).named is not header


def test_a_name_that_is_asked_for_makes_a_header():
    content = "u,v\nu,v\nx,w\n"
    assert not table(content).named and table(content, target="v").named
    assert table(content, target=None, text=("u",)).named


@pytest.mark.parametrize(
    ("top", "order", "note"),
    [
        ("a,,y", ["a", "x1", "y"], ""),
        (",a,y", ["x0", "a", "y"], ""),
        ("a,a,a", ["a", "a.1", "a.2"], "two columns have the name 'a': the second one is 'a.1'"),
        ("a,a,a.1", ["a", "a.2", "a.1"], "two columns have the name 'a': the second one is 'a.2'"),
        ("a,a.1, a", ["a", "a.1", "a.2"], "two columns have the name 'a': the second one is 'a.2'"),
        ("a,y", ["row names", "a", "y"], "the first column has no name: it is 'row names'"),
    ],
)
def test_names_are_made_where_they_are_missing_or_stand_twice(top, order, note):
    read = table(f"{top}\n1,2,u\n3,4,v\n")
    assert read.order == order and read.X.tolist() == [[1, 2], [3, 4]]
    assert read.notes[:1] == [note][: len(note)]


@pytest.mark.parametrize(("top", "end"), [("", ","), (",", ", "), (",,", ",,"), (",", "")])
def test_a_delimiter_at_the_end_of_each_line_is_no_column(top, end):
    content = f"a,b,y{top}\n1,2,u{end}\n" + f"3,,v{end}\n" * 600
    read = table(content)
    assert read.order == ["a", "b", "y"] and cells(read, "y") == ["u"] + ["v"] * 600
    if end:
        assert read.notes == ["empty columns at the end are left out"]
        message = said(content + "1,2,u,5\n" * 2)
        assert message == "2 lines have 4 columns instead of 3: lines 603, 604"


def test_a_title_above_the_table_is_left_out():
    read = table("My table\n\na,b,y\n" + "1,2,u\n" * 30)
    assert read.order == ["a", "b", "y"] and read.numbers.tolist() == [*range(4, 34)]
    assert read.notes == ["line 1 is left out: it is no row"]
    assert table("|1x3 Cross validator\n1,2,u\n1,3,v\n").named is False


@pytest.mark.parametrize(
    ("content", "order", "numbers"),
    [
        ("# a note\n\n#\na,y\n1,u\n2,v\n", ["a", "y"], [5, 6]),
        ("#id,age,y\n1,2,u\n3,4,v\n", ["id", "age", "y"], [2, 3]),
        ("# all\n# a b y\n1 2 3\n4 5 6\n", ["a", "b", "y"], [3, 4]),
        ("# by me, and you\na,y\n1,u\n2,v\n", ["a", "y"], [3, 4]),
        ("a,y\n# one, two, three\n1,u\n# off\n#5,v\n2,v\n", ["a", "y"], [3, 6]),
        ("a,y\n#f00,u\n# one\n#fff,v\n", ["a", "y"], [2, 4]),
    ],
)
def test_comments_are_left_out_unless_they_hold_the_names_or_are_rows(content, order, numbers):
    read = table(content)
    assert (read.order, read.numbers.tolist()) == (order, numbers)


# The target and other columns of text

FOUR = "a,b,c,d\n1,2,3,4\n5,6,7,8\n"


@pytest.mark.parametrize(
    ("target", "place"), [("a", 0), ("c", 2), (0, 0), (-1, 3), (-4, 0), ("", 3), (None, None)]
)
def test_the_target_and_what_is_asked_for_are_text(target, place):
    for header in (True,) if isinstance(target, str) and target else (True, False):
        content = FOUR if header else FOUR.partition("\n")[2]
        read = table(content, target=target, text=(1,), header=header)
        names = list("abcd") if header else ["x0", "x1", "x2", "x3"]
        texts = [name for j, name in enumerate(names) if j in (1, place)]
        assert read.order == names and list(read.text) == texts and read.y is None
        row = [str(j + 1) if j in (1, place) else j + 1 for j in range(4)]
        assert rows(read)[0] == row


@pytest.mark.parametrize(
    ("target", "header", "message"),
    [
        ("aa", True, "has no target column 'aa'; did you mean a?"),
        ("0", True, "has no target column '0'; it has 'a', 'b', 'c', 'd'"),
        (4, True, "has no target column 4; it has 'a', 'b', 'c', 'd'"),
        ("a", False, "has no target column 'a'; it has 'x0', 'x1', 'x2', 'x3'"),
    ],
)
def test_a_target_that_is_no_column_is_a_config_error(target, header, message):
    assert said(FOUR, kind=ConfigError, target=target, header=header) == message


def test_without_labels_the_target_may_be_missing_and_one_column_is_a_table():
    assert table(FOUR, labels=False, target="z").text == {}
    read = table("a\n1\n\n2\n", labels=False)
    assert (read.order, read.numbers.tolist()) == (["a"], [2, 4])


# Cells


@BLOCKS
def test_a_missing_number_is_nan_and_a_missing_word_is_empty(blocks):
    missing = [mark for mark in sorted(MISSING) if mark[:1] != "#"]
    missing += ["  ", "N/A", "-999", " -999.0 ", "?!"]
    n = len(missing)
    lines = [f"{cell},{cell},{i},k{i % 2}" for i, cell in enumerate(missing)]
    content = "a,b,c,y\n" + "6,blue,9,k0\n" * 5 + "\n".join(lines) + "\n,,,k1\n,,,k1"
    read = table(content, missing=("-999", "?!"))
    np.testing.assert_array_equal(read.X[:, 0], [6] * 5 + [NAN] * (n + 2))
    np.testing.assert_array_equal(read.X[:, 1], [9] * 5 + [*range(n)] + [NAN] * 2)
    assert cells(read, "b") == ["blue"] * 5 + [""] * (n + 2)


@pytest.mark.parametrize("cell", ["1_0", "１", "1,5", "$4", "4 %", "0x1", "Red", "2020-01-05"])  # noqa: RUF001
def test_a_column_with_a_cell_that_is_no_plain_number_is_text_wherever_it_stands(cell, monkeypatch):
    small_blocks(monkeypatch)
    for place in (0, 4, 5, 30, 69):
        column = [f"{i}.50" for i in range(70)]
        column[place] = cell
        content = "a,b,y\n" + "".join(f'{i},"{cell}",u\n' for i, cell in enumerate(column))
        read = table(content)
        assert cells(read, "b") == column and cells(read, "a") == [*range(70)]


def test_a_file_is_read_twice_at_most(monkeypatch):
    small_blocks(monkeypatch)
    Path("t.csv").write_text(
        "a,b,c,y\n" + "1,2,3,u\n" * 50 + "1,x,3,u\n1,2,z,u\n" + "1,2,3,v\n" * 50
    )
    counts, encodings = [], []
    monkeypatch.setattr(
        delimited, "encoding", lambda f, real=delimited.encoding: encodings.append(1) or real(f)
    )
    read = sources.read("t.csv", Reading(), counts.append)
    assert list(read.text) == ["b", "c", "y"] and len(encodings) == 2
    assert sum(counts) == Path("t.csv").stat().st_size


def test_text_takes_no_more_room_than_its_letters():
    words = ["red", "x" * 30_000] + ["blue"] * 3000
    content = "c,y\n" + "".join(f"{cell},{i % 2}\n" for i, cell in enumerate(words))
    with traced_memory() as risen:
        read = table(content)
        assert risen() < 4e6
    assert cells(read, "c") == words and len({*map(id, read.text["c"].tolist())}) == 3


# Lines, quotes and bytes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,y\n1,u\n2,\x81x\n", "byte 3 of line 3 is not Windows-1252 or UTF-8"),
        (b"\xef\xbb\xbfa,y\n1,\xe9\n2,\xe9\n", "byte 3 of line 2 is not UTF-8"),
        (b"a,y\r1,u\r2,v\0\r", "byte 4 of line 3 is NUL: this is no text"),
        ("\ufeffa,y\n1,".encode("utf-16-le") + b"\0\xd8,\0", "byte 5 of line 2 is not UTF-16"),
        ("a,b,y\n1,2,u\n".encode("utf-16-be"), "byte 1 of line 1 is NUL: this is no text"),
    ],
)
def test_bytes_that_are_no_text_are_named_by_byte_and_line(content, message):
    assert said(content) == message


@BLOCKS
@pytest.mark.parametrize("delimiter", [",", " ", "\t"])
def test_blank_lines_are_left_out_and_counted(blocks, delimiter):
    lines = [*[""] * 600, "  ", "a,y", "", "1,u", *["2,v"] * 50, *[""] * 60, "   ", "3,u", "", ""]
    read = table("\n".join(lines).replace(",", delimiter))
    kept = [i + 1 for i, line in enumerate(lines) if line.strip() and line != "a,y"]
    assert read.numbers.tolist() == kept
    assert read.X.tolist() == [[float(lines[i - 1].split(",")[0])] for i in kept]


CELLS = {'"red, or so"': "red, or so", '"a ""b"" c"': 'a "b" c', '""': "", '""""': '"', '","': ","}
CELLS |= {'a"b"': 'a"b"', "it's": "it's", "#5": "#5", "x" * 700: "x" * 700, '  "x"': "x"}
CELLS |= {'"two\nlines"': "two\nlines", '"1\n\n,2\n"': "1\n\n,2"}


@BLOCKS
def test_quotes_keep_what_is_between_them_and_lines_are_counted(blocks):
    for cell, expected in CELLS.items():
        content = "n,c,y\n" + '1,red,"u"\n' * 60 + f'"7",{cell},v\n\n' + '2,"blue",u\n' * 2
        read = table(content, text=("c",))
        assert cells(read, "c")[59:] == ["red", expected, "blue", "blue"]
        assert cells(read, "n")[59:] == [1, 7, 2, 2]
        below = 62 + cell.count("\n") + 2
        assert read.numbers[60:].tolist() == [62, below, below + 1]
        assert said(content + "7,f\n") == f"line {below + 2} has 2 columns instead of 3"


# What is no table, and what is wrong in one


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_is_wrong_far_below_is_named_with_its_line(end, monkeypatch):
    small_blocks(monkeypatch, 300)
    quote = "opens a quote that is not closed, or goes on behind one"
    wrong = {"1,red,2": "has 3 columns instead of 4", "1,red,2,1,1": "has 5 columns instead of 4"}
    for content, message in (wrong | {'1,"red,2,1': quote, '1,"r"ed,2,1': quote}).items():
        for line, blanks in ((20, 0), (140, 3), (201, 0)):
            lines = ["a,b,c,y", *(f"{i},red,{i}.5,{i % 2}" for i in range(200))]
            lines[line - 1 - blanks : line] = [*[""] * blanks, content]
            assert said((end.join(lines) + end).encode()) == f"line {line} {message}"


def test_all_that_is_wrong_is_said_at_once(monkeypatch):
    small_blocks(monkeypatch)
    lines = ["a,b,y", *["1,2,u"] * 90]
    for line in (9, 30, 40, 50, 60, 70, 80):
        lines[line - 1] = "1,2" if line > 9 else "1,2,3,4"
    lines[20], lines[88] = "1,2,\x81", '1,"2,u'
    assert said("\n".join(lines).encode("latin-1")).split("\n") == [
        "byte 5 of line 21 is not Windows-1252 or UTF-8",
        "7 lines have 2 or 4 columns instead of 3: lines 9, 30, 40, 50, 60, ...",
        "line 89 opens a quote that is not closed, or goes on behind one",
    ]


NO_TABLE = "is no table: no tab, semicolon, comma, | or space cuts its lines into columns"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n  \n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        ("# a\n\n#b,c\n", "has nothing but comments"),
        ("\n\na,b,y\n\n\n", "has names in line 3, but no rows below"),
        ("a,b,y\n#c\n", "has names in line 1, but no rows below"),
        ("a\n1\n2\n", NO_TABLE),
        ('"a b"\n"1"\n', NO_TABLE),
        ("One word.\nThen, some more\nof them, and, so on\n" * 9, NO_TABLE),
        ("a;b;y\n" + "1,5;2;u\n" * 20 + "1,5;2\n", "line 22 has 2 columns instead of 3"),
        ("a,b,y,\n" + "1,2,u,\n" * 20 + "1,u,\n", "line 22 has 2 columns instead of 3"),
        ("a,b,y,,\n" + "1,2,u,,\n" * 20 + "1,u,,\n", "line 22 has 2 columns instead of 3"),
        ("9,3,u,v\n" + "1,2,3,4,5,6\n" * 600, "600 lines have 6 columns instead of 4: lines 2, 3,"),
        ('a,y\n1,"' + "u" * 200_000, "line 2 has a cell of more than 131,072 characters"),
    ],
)
def test_a_file_that_is_no_table_is_refused(content, message):
    assert said(content).startswith(message)


def test_a_line_longer_than_any_row_is_refused_before_the_rest_is_read(monkeypatch):
    monkeypatch.setattr(delimited, "MAX_LINE", 1000)
    Path("t.csv").write_text("a,y\n1,u\n" + "1," * 500_000)
    with traced_memory() as risen:
        message = refused(DataError, sources.read, "t.csv", Reading())
        assert risen() < 500_000
    assert message == "t.csv: is no table: it has a line of more than 1,000 characters"


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
    assert read.X.shape == (6_000, 50) and read.X.flags.c_contiguous
    assert read.X.nbytes < rise <= 2 * read.X.nbytes  # never two copies, though X grows


def test_spaces_behind_a_quoted_cell_are_none_of_it_and_those_inside_are():
    words = ['|" ,', 'a," ;b', "plain", ' " | ', '\n" ,a', "b"]
    doubled = [word.replace('"', '""') for word in words]
    lines = [f'"{word}" ,{i} , "u"  ' for i, word in enumerate(doubled)]
    read = table("\n".join(["word,number,y", *lines]), target="y")
    assert cells(read, "word") == [word.strip() for word in words]
    assert cells(read, "y") == ["u"] * 6


WORD = st.sampled_from(["red", " x ", "NA", "a,b", 'a "b" c', "é", "x" * 70, "a\nb", "1.5", "$4"])
WORD |= st.text("ab ,;|\t\"'1.é\n", max_size=5)
NUMBER = st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.integers().map(str)
NUMBER |= st.sampled_from(["", "NA", " 5", "7 ", "+1", "1.", ".5", "1E5", "-0", "1e-400"])
PACKS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@settings(max_examples=150)
@given(
    st.lists(st.tuples(NUMBER, WORD, NUMBER), min_size=2, max_size=8),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "cp1252"]),
    st.booleans(),
    st.sampled_from([*PACKS]),
    st.sampled_from([1, 9, 1 << 20]),
)
def test_a_table_in_any_dialect_is_read_as_it_was(
    rows, mark, quoting, end, code, comma, pack, size
):
    """The first rows make plain what kind of table it is."""
    rows = [("0.5", "é", "1.25"), ("1.5", "u", "2"), *rows]
    pointed = [
        [str(cell).replace(".", ",") if comma and j != 1 else cell for j, cell in enumerate(row)]
        for row in rows
    ]
    made, quoting = io.StringIO(newline=""), csv.QUOTE_ALL if end == "\r" else quoting
    writer = csv.writer(made, delimiter=mark, quoting=quoting, lineterminator=end)
    writer.writerows([["first", "word", "number"], *pointed])
    content = ("\ufeff" * code.startswith("utf-16-") + made.getvalue()).encode(code)
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch, size)
        read = table(PACKS[pack](content), f"t.csv{pack}", target="word")
    heights = [1 + row[1].count("\n") for row in rows]
    assert read.numbers.tolist() == [2 + sum(heights[:i]) for i in range(len(rows))]
    notes = ["read as Windows-1252: it is not UTF-8"] * (code == "cp1252")
    assert read.notes == [*["numbers have a decimal comma"] * comma, *notes]
    assert read.reading == {"header": True, "decimal": "," if comma else "."}
    as_text = Cells(()).word
    expected = [as_text(row[1]) for row in rows]
    assert cells(read, "word") == [cell.replace("\r\n", "\n") for cell in expected]
    for name, j in (("first", 0), ("number", 2)):
        numbers = [float(row[j]) if as_text(row[j]) else NAN for row in rows]
        np.testing.assert_array_equal(cells(read, name), numbers)


ANY = st.binary(max_size=60) | st.text("1a,; \t\n\r\"'.é#:\0").map(str.encode)


@settings(max_examples=150)
@given(ANY, st.sampled_from([{}, {"header": False}]), st.sampled_from(["t.csv", "t", "t.svm"]))
def test_any_bytes_are_a_table_or_a_message_whatever_the_blocks(content, options, name):
    found = []
    for size in (3, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(delimited, "CELLS", size)
            try:
                found.append(table(content, name, **options))
            except MinnetError as error:
                found.append(str(error))
                assert all(line.startswith(f"{name}: ") for line in found[-1].splitlines())
                assert "cannot be read" not in found[-1]
    first, second = found
    assert isinstance(first, Table) == isinstance(second, Table)
    if isinstance(first, Table) and not first.sparse:
        assert content_of(first) == content_of(second)
