"""Arrays, tables and colour on 100 columns."""

import io
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minnet.study.text import CODES, MANY_ROWS, WIDTH, array_lines, has_colour, numbers, paint, table, wrapped

LARGEST = st.floats(-1e308, 1e308)
ANY = LARGEST | st.floats(width=32) | st.sampled_from([0.0, -0.0, 5e-4, 4.9e-4, 1e-2, 9.9e-3, 99_999.99, 1e5, 5e-324])


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A terminal in an environment that says nothing about colour."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


# Numbers


@given(st.lists(ANY, min_size=1, max_size=9), st.sampled_from([np.float32, np.float64]))
def test_a_number_is_told_to_four_digits_and_one_that_is_not_0_never_as_0(values, dtype):
    with np.errstate(over="ignore"):
        values = np.array(values).astype(dtype)
    for text, value in zip(numbers(values), values.tolist(), strict=True):
        told = float(text)
        assert (text == "0") == (value == 0)
        assert (told == 0) == (value == 0)
        if math.isfinite(value):
            exponent = "e" in text
            assert told == pytest.approx(value, rel=0.051 if exponent else 0.1, abs=0 if exponent else 5.01e-5)
            assert (told < 0) == (value < 0)
        else:
            assert text == str(value)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([0.5, -0.25, 2 / 3], ["0.5000", "-0.2500", "0.6667"]),
        ([0.5, 0.0, -0.0], ["0.5000", "0", "0"]),
        ([0.5, 0.0005, 0.00049], ["0.5000", "0.0005", "4.9e-04"]),
        ([99_999.0, 0.5], ["99999.0000", "0.5000"]),
        ([100_000.0, 0.5], ["1.000e+05", "5.000e-01"]),
        ([0.01, 0.001], ["0.0100", "0.0010"]),
        ([0.009, 0.001], ["9.000e-03", "1.000e-03"]),
        ([0.5, np.nan, np.inf, -np.inf], ["0.5000", "nan", "inf", "-inf"]),
        ([3, -4], ["3", "-4"]),
        ([], []),
    ],
)
def test_all_numbers_of_an_array_are_told_in_the_way_that_suits_its_largest(values, told):
    assert numbers(values).tolist() == told


def test_one_number_is_told_alone():
    assert str(numbers(2.5)) == "2.5000"
    assert str(numbers(np.float32(1e-20))) == "1.000e-20"


# Arrays


@settings(max_examples=50)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 12), st.integers(80, WIDTH), LARGEST)
def test_any_array_fits_its_width_and_keeps_its_ends(n, m, indent, width, largest):
    x = np.random.default_rng(0).random((n, m)) * largest
    told = numbers(x)
    lines = array_lines(x, indent, width)
    assert len(lines) == min(n, MANY_ROWS)
    assert {len(line) for line in lines} == {len(lines[0])}
    assert len(lines[0]) <= width
    for line, row in ((lines[0], told[0]), (lines[-1], told[-1])):
        shown = line.split()
        assert line.startswith(" " * indent)
        assert (shown[0], shown[-1]) == (row[0], row[-1])
        assert shown == row.tolist() or "…" in shown


def test_an_array_that_fits_is_shown_whole():
    x = np.arange(24.0).reshape(8, 3) + 0.5
    assert [[float(cell) for cell in line.split()] for line in array_lines(x)] == x.tolist()


def test_a_vector_is_one_line():
    assert array_lines([1.0, -2.0, 0.0], indent=2) == ["     1.0000  -2.0000        0"]


def test_a_long_array_shows_its_first_and_last_rows():
    shown = [line.strip() for line in array_lines(np.arange(100)[:, None])]
    assert shown == ["0", "1", "2", "3", "…", "97", "98", "99"]


def test_a_wide_array_shows_its_first_and_last_columns():
    cells = array_lines(np.arange(100))[0].split()
    place = cells.index("…")
    assert [int(cell) for cell in cells[:place]] == list(range(place))
    assert [int(cell) for cell in cells[place + 1 :]] == list(range(100 - len(cells) + place + 1, 100))
    assert place > 5


def test_nothing_in_an_array_is_nothing_to_show():
    assert [line.strip() for line in array_lines(np.empty((2, 0)))] == ["", ""]


# Tables and prose


def test_a_table_is_aligned_and_has_no_blanks_at_its_ends():
    rows = [["name", "what", "n"], ["a", "long words", "7"], ["bcdefg", "", "100"]]
    assert table(rows, indent=1, left=2) == [
        " name    what          n",
        " a       long words    7",
        " bcdefg              100",
    ]


def test_the_columns_of_a_table_after_the_left_ones_are_aligned_right():
    assert table([["a", "x", ""], ["b", "long", "1"]]) == ["a     x", "b  long  1"]


@given(st.text(), st.integers(0, 20))
def test_prose_fits_its_width_and_loses_no_word(text, indent):
    lines = wrapped(text, indent, 40)
    assert all(len(line) <= 40 and line.startswith(" " * indent) for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_a_word_too_long_for_a_line_is_cut():
    assert [len(line) for line in wrapped("/a" * 120)] == [WIDTH, WIDTH, 40]


# Colour


def test_a_terminal_has_colour(terminal):
    assert has_colour(terminal)


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("NO_COLOR", "0"), ("TERM", "dumb")])
def test_a_terminal_has_no_colour_where_the_environment_says_so(name, value, terminal, monkeypatch):
    monkeypatch.setenv(name, value)
    assert not has_colour(terminal)


def test_no_color_that_is_empty_says_nothing(terminal, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "")
    assert has_colour(terminal)


@pytest.mark.parametrize("stream", [io.StringIO(), object()])
def test_what_is_no_terminal_has_no_colour(stream, terminal):
    assert not has_colour(stream)


@pytest.mark.parametrize(("stream", "colour"), [(Terminal(), True), (io.StringIO(), False), (None, False)])
def test_unless_told_otherwise_it_is_standard_output_that_counts(stream, colour, terminal, monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream)
    assert has_colour() is colour


@pytest.mark.parametrize("style", CODES)
def test_painted_text_is_the_text_between_two_codes(style):
    assert paint("p - y", style, True) == f"\x1b[{CODES[style]}mp - y\x1b[0m"


@pytest.mark.parametrize(("text", "colour"), [("p - y", False), ("", True)])
def test_without_colour_or_text_there_are_no_codes(text, colour):
    assert paint(text, "bold", colour) == text
