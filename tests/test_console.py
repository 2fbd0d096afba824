"""What the command line prints: every figure, in lines that fit."""

import io
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minnet import config, console, runs
from minnet.errors import MinnetError
from minnet.training import Epoch, Measured

EPOCH = Epoch(3, 0.001, 0.5, 0.8, 0.25, 0.9, 1.5, 2)


@pytest.fixture(autouse=True)
def width(monkeypatch):
    """A function that sets the terminal's width; 80 columns before it is called."""
    monkeypatch.setenv("COLUMNS", "80")
    return lambda columns: monkeypatch.setenv("COLUMNS", str(columns))


def figures(matrix, names, **changes) -> dict:
    """A result of a run whose test part came out as this confusion matrix."""
    matrix = np.array(matrix)
    y, predicted = (
        np.repeat(places.ravel(), matrix.ravel()) for places in np.indices(matrix.shape)
    )
    return {
        "train_loss": 0.0123,
        "train_accuracy": 0.9876,
        "validation_loss": 0.1234,
        "validation_accuracy": 0.9512,
        "test_loss": 0.2345,
        "test_accuracy": float((y == predicted).mean()),
        "best_epoch": 7,
        "epochs": 12,
        "seconds": 3.456,
        "classes": list(names),
        **runs.figures_by_class(y, predicted, len(matrix)),
        **changes,
    }


def two_classes(names=("yes", "no"), **changes) -> dict:
    return figures([[40, 3], [0, 57]], names, **changes)


def many_classes(K: int = 40) -> dict:
    """Class j is taken for the next one j times; so the last ones are the worst."""
    matrix = 100 * np.eye(K, dtype=int)
    matrix[np.arange(K), (np.arange(K) + 1) % K] = np.arange(K)
    return figures(matrix, [f"class {j}" for j in range(K)])


def section(result: dict, title: str) -> list[str]:
    """The lines of the closing text's section that begins so."""
    sections = console.closing(result).split("\n\n")
    return next(part for part in sections if part.startswith(title)).split("\n")


def cells(lines: list[str]) -> list[list[str]]:
    return [line.split() for line in lines]


def opening(*overrides: str, processes: int = 1) -> list[str]:
    prepared = runs.prepare(config.load(None, ["data.source=iris", *overrides]))
    return console.opening(prepared, processes).split("\n")


# Opening and progress


def test_the_opening_names_the_rows_the_parts_and_the_net():
    activations = 'model.activation=["tanh", "relu", "tanh"]'
    assert opening("model.hidden=[8, 5, 5]", activations, processes=3) == [
        "iris: 150 rows, 4 features, 3 classes; train 96, validation 24, test 30",
        "net 4-8-5-5-3, tanh/relu, 133 parameters; adam, learning rate 0.001, batches of 32, "
        "shared by 3 processes",
    ]


def test_the_opening_says_if_there_is_no_hidden_layer_or_validation_and_a_batch_is_all_rows():
    lines = opening("model.hidden=[]", "data.validation_size=0", "train.batch_size=1000")
    assert "train 120, test 30" in lines[0]
    assert lines[1].startswith("net 4-3, no hidden layer, 15 parameters; ")
    assert lines[1].endswith("batches of 120")


def test_progress_shows_the_loss_and_the_validation_figures_if_there_are_any():
    assert console.progress(EPOCH) == "loss 0.5000, validation 0.2500 (90.0% right)"
    assert console.progress(replace(EPOCH, validation_loss=None)) == "loss 0.5000"


# The final figures


def test_the_closing_shows_loss_and_accuracy_of_each_part():
    lines = console.closing(two_classes()).split("\n\n")[1].split("\n")
    assert cells(lines) == [
        ["loss", "accuracy"],
        ["train", "0.0123", "0.9876"],
        ["validation", "0.1234", "0.9512"],
        ["test", "0.2345", "0.9700"],
    ]
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "12 epochs in 3.46 s; kept the weights of epoch 7, best in validation"),
        ({"epochs": 1}, "1 epoch in 3.46 s; kept the weights of epoch 7, best in validation"),
        ({"epochs": 0, "best_epoch": 0}, "stopped in the first epoch; kept the last weights"),
        (
            {"validation_loss": None},
            "12 epochs in 3.46 s; no validation part, so kept the last weights",
        ),
    ],
)
def test_the_closing_says_how_long_the_run_was_and_which_weights_it_kept(changes, said):
    text = console.closing(two_classes(**changes))
    assert text.split("\n\n")[0] == said
    assert ("\nvalidation " in text) is ("validation_loss" not in changes)


def test_each_class_has_its_precision_recall_f1_and_rows():
    lines = cells(section(figures([[5, 0, 0], [5, 0, 0], [0, 0, 0]], "abc"), "test part"))
    assert ["b", "0.0000", "0.0000", "0.0000", "5"] in lines  # never predicted
    assert ["c", "0.0000", "0.0000", "0.0000", "0"] in lines  # no rows
    assert cells(section(two_classes(), "test part")[1:]) == [
        ["class", "precision", "recall", "f1", "rows"],
        ["yes", "1.0000", "0.9302", "0.9639", "43"],
        ["no", "0.9500", "1.0000", "0.9744", "57"],
        ["macro", "mean", "0.9750", "0.9651", "0.9691", "100"],
    ]


def test_the_columns_of_the_class_table_end_where_their_titles_do():
    header, *rows = section(two_classes(("a", "a class with a long name")), "test part")[1:]
    ends = [match.end() for match in re.finditer(r"\S+", header)][1:]
    for row in rows:
        assert [match.end() for match in re.finditer(r"\S+", row)][-4:] == ends


# The confusion matrix


def test_the_matrix_shows_every_number_with_dots_for_zeros():
    assert section(two_classes(), "confusion") == [
        "confusion: a row for each true class, a column for each predicted one",
        "     yes  no",
        "yes   40   3",
        "no     .  57",
    ]


def test_names_too_wide_for_columns_become_numbers_that_stand_before_the_rows():
    names = [f"a class with number {j}" for j in range(5)]
    lines = section(figures(np.arange(25).reshape(5, 5), names), "confusion")
    assert cells(lines[1:2]) == [["1", "2", "3", "4", "5"]]
    assert lines[3] == "2  a class with number 1   5   6   7   8   9"


@pytest.mark.parametrize("K", [2, 10, 20, 21, 40])
@pytest.mark.parametrize("columns", [50, 80, 200])
def test_any_number_of_classes_fits(K, columns, width):
    width(columns)
    lines = console.closing(many_classes(K)).split("\n")
    wide = [line for line in lines if not line.startswith(("12 epochs", "confusion"))]
    assert max(map(len, wide)) <= max(columns, 60)


def test_a_matrix_too_wide_or_of_many_classes_becomes_its_most_frequent_mistakes(width):
    width(40)
    lines = section(many_classes(15), "confusion: the most frequent of 105 mistakes")
    assert lines[1] == "      14  class 14 taken for class 0"
    width(10_000)
    assert section(many_classes(20), "confusion")[0].startswith("confusion: a row for each")
    assert section(many_classes(21), "confusion")[0].startswith("confusion: the most frequent")


def test_of_many_classes_the_worst_twenty_are_shown():
    title, _, *rows, means = section(many_classes(), "test part")
    assert title == "test part, the 20 classes of 40 with the lowest f1"
    assert {int(row.split()[1]) for row in rows} == {0, *range(21, 40)}
    assert len(rows) == 20
    assert means.startswith("macro mean ") and means.endswith(f" {40 * 100 + sum(range(40))}")


def test_of_many_classes_the_most_frequent_mistakes_are_shown_largest_first():
    title, *rows = section(many_classes(), "confusion")
    assert title == "confusion: the most frequent of 780 mistakes (result.json has the matrix)"
    assert rows[:2] == [
        "      39  class 39 taken for class 0",
        "      38  class 38 taken for class 39",
    ]
    assert [int(row.split()[0]) for row in rows] == list(range(39, 29, -1))
    right = figures(np.eye(40, dtype=int), [f"{j}" for j in range(40)])
    assert section(right, "confusion: the most frequent of 0 mistakes")[1:] == []


@pytest.mark.parametrize("K", [2, 40])
def test_long_names_are_shortened(K):
    names = [f"{j:02d} " + "x" * 200 for j in range(K)]
    text = console.closing(figures(np.ones((K, K), int), names))
    assert "00 " + "x" * 19 + ".." in text
    assert max(map(len, text.split("\n"))) <= 80


@pytest.mark.parametrize("names", [("ä", "猫"), ("🐈", ""), (" ", 0), (-1.5, True), ("a,b", 2**70)])
def test_names_of_any_script_and_numbers_are_shown(names):
    text = console.closing(two_classes(names))
    assert all(str(name) in text for name in names)


# Evaluation


def evaluated(result: dict, loss: float = 0.25) -> list[str]:
    """The sections printed for a model whose rows of data.csv came out as in `result`."""
    counts = np.array(result["confusion"])
    y, predicted = (
        np.repeat(places.ravel(), counts.ravel()) for places in np.indices(counts.shape)
    )
    measured = Measured(loss, float((y == predicted).mean()), predicted)
    return console.evaluation("data.csv", measured, y, result["classes"]).split("\n\n")


def test_an_evaluation_shows_the_rows_their_loss_and_what_the_closing_of_a_run_does():
    head, by_class, confusion = evaluated(two_classes(), loss=0.12345)
    assert head == "data.csv: 100 rows, loss 0.1235, accuracy 0.9700"
    assert by_class.split("\n")[1:] == section(two_classes(), "test part")[1:]
    assert confusion.split("\n") == section(two_classes(), "confusion")
    head, *_ = evaluated(figures([[1_000_000, 0], [0, 234_567]], "ab"), loss=1234.5)
    assert head == "data.csv: 1,234,567 rows, loss 1234.5000, accuracy 1.0000"


def test_an_evaluation_with_many_classes_names_no_file_that_does_not_exist():
    _, by_class, confusion = evaluated(many_classes())
    assert by_class.startswith("by class, the 20 classes of 40 with the lowest f1")
    assert confusion.startswith("confusion: the most frequent of 780 mistakes\n")


# Streams


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_full_disk_under_standard_output_is_an_error(monkeypatch):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(MinnetError, match="output cannot be written: No space left"):
            console.say("a")
        assert console.say("b")  # from then on it goes nowhere


def test_notes_and_errors_are_one_line_each_on_stderr_if_there_is_one(capsys, monkeypatch):
    console.note(["a\nb", "c"])
    assert console.fail("d\u2028e", 2) == 2
    assert capsys.readouterr().err == "minnet: note: a b\nminnet: note: c\nminnet: d e\n"
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        monkeypatch.setattr(sys, "stderr", stream)
        assert console.fail("nobody reads this", 1) == 1
    assert capsys.readouterr().out == ""


def test_silence_holds_back_standard_output_only_if_quiet(capsys):
    for quiet in (True, False):
        with console.silence(quiet):
            assert console.say(f"{quiet}")
    assert capsys.readouterr().out == "False\n"


@pytest.mark.parametrize(("quiet", "terminal"), [(False, False), (True, True), (True, False)])
def test_there_is_no_bar_unless_stderr_is_a_terminal_and_not_quiet(quiet, terminal, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with console.reading(quiet) as progress:
        assert progress is None


def test_on_a_terminal_bytes_read_move_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with console.reading() as progress:
        progress(1000)
    assert capsys.readouterr().out == ""
