"""Arrays, tables and colour on 100 columns."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minnet.study.text import MANY_ROWS, WIDTH, array_lines, has_colour, numbers, wrapped
from minnet.study.text import table as aligned

EDGES = st.sampled_from(
    [0.0, -0.0, 5e-4, 4.9e-4, 1e-2, 9.9e-3, 99_999.99, 1e5, 5e-324, math.inf, math.nan]
)


@settings(max_examples=60)
@given(st.lists(st.floats(-1e308, 1e308) | EDGES, min_size=1, max_size=9))
def test_a_number_keeps_its_first_digits_and_one_that_is_not_0_is_never_shown_as_0(values):
    for text, value in zip(numbers(values), values, strict=True):
        shown = float(text)
        assert (text == "0") == (value == 0) == (shown == 0)
        if not math.isfinite(value):
            assert text == str(value)
            continue
        close = {"rel": 0.051, "abs": 0} if "e" in text else {"rel": 0.1, "abs": 5.01e-5}
        assert shown == pytest.approx(value, **close) and (shown < 0) == (value < 0)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([2 / 3, -0.25, 0.0, -0.0], ["0.6667", "-0.2500", "0", "0"]),
        ([0.5, 0.0005, 0.00049], ["0.5000", "0.0005", "4.9e-04"]),
        ([99_999.0, 0.5], ["99999.0000", "0.5000"]),
        ([100_000.0, 0.5], ["1.000e+05", "5.000e-01"]),
        ([0.009, 0.001], ["9.000e-03", "1.000e-03"]),
        ([0.5, np.nan, np.inf, -np.inf], ["0.5000", "nan", "inf", "-inf"]),
        ([3, -4], ["3", "-4"]),
        (np.float32(1e-20), "1.000e-20"),
    ],
)
def test_all_numbers_of_an_array_have_the_format_that_suits_its_largest(values, shown):
    assert numbers(values).tolist() == shown


@settings(max_examples=50)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 12), st.integers(80, WIDTH))
def test_any_array_fits_its_width_and_keeps_its_ends(n, m, indent, width):
    x = np.random.default_rng(0).normal(0, 1e9, (n, m))
    text, lines = numbers(x), array_lines(x, indent, width)
    assert len(lines) == min(n, MANY_ROWS)
    assert {len(line) for line in lines} == {len(lines[0])} and len(lines[0]) <= width
    for line, row in ((lines[0], text[0]), (lines[-1], text[-1])):
        shown = line.split()
        assert line.startswith(" " * indent) and (shown[0], shown[-1]) == (row[0], row[-1])
        assert shown == row.tolist() or "…" in shown


def test_an_array_that_fits_is_shown_whole_and_others_by_their_ends():
    x = np.arange(24.0).reshape(8, 3) + 0.5
    assert [[float(cell) for cell in line.split()] for line in array_lines(x)] == x.tolist()
    assert array_lines([1.0, -2.0, 0.0], indent=2) == ["     1.0000  -2.0000        0"]
    shown = [line.strip() for line in array_lines(np.arange(100)[:, None])]
    assert shown == ["0", "1", "2", "3", "…", "97", "98", "99"]
    assert array_lines(np.arange(100), width=24) == ["   0   1   2   …  98  99"]
    assert array_lines(np.empty((2, 0))) == ["", ""]


def test_a_table_is_aligned_and_has_no_blanks_at_its_ends():
    rows = [["name", "what", "n"], ["a", "words", ""], ["bcd", "", "100"]]
    assert aligned(rows, left=2) == ["name  what     n", "a     words", "bcd          100"]
    assert aligned([["a", "x"], ["b", "long"]]) == ["a     x", "b  long"]


@settings(max_examples=60)
@given(st.text(max_size=400), st.integers(0, 20))
def test_prose_fits_its_width_and_loses_no_word(text, indent):
    lines = wrapped(text, indent)
    assert all(len(line) <= WIDTH and line.startswith(" " * indent) for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    long = "x " * 46 + "missing-transpose"
    assert [wrapped(long)[-1], wrapped(long, hyphens=False)[-1]] == ["transpose", long[92:]]


@pytest.mark.parametrize(
    ("terminal", "variables", "colour"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": "0"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
        (None, {}, False),
    ],
)
def test_only_a_terminal_has_colour_unless_the_environment_forbids_it(
    terminal, variables, colour, monkeypatch
):
    for name, value in ({"NO_COLOR": "", "TERM": "xterm"} | variables).items():
        monkeypatch.setenv(name, value)
    stdout = None if terminal is None else SimpleNamespace(isatty=lambda: terminal)
    monkeypatch.setattr(sys, "stdout", stdout)  # None: closed
    assert has_colour() is colour
