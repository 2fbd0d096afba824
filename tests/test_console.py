"""What the command line prints: every figure, in lines that fit."""

import io
import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from minnet import config, console, metrics, runs
from minnet.training import Epoch

EPOCH = Epoch(3, 0.001, 0.5, 0.8, 0.25, 0.9, 1.5, 2)
RESULT = {"train_loss": 0.0123, "train_accuracy": 0.9876, "best_epoch": 7, "epochs": 12}
RESULT |= {"validation_loss": 0.1234, "validation_accuracy": 0.9512, "test_loss": 0.2345}


@pytest.fixture(autouse=True)
def width(monkeypatch):
    """A function that sets the terminal's width; 80 columns before it is called."""
    monkeypatch.setenv("COLUMNS", "80")
    return lambda columns: monkeypatch.setenv("COLUMNS", str(columns))


def rows(matrix) -> list[np.ndarray]:
    """Labels and predictions with this confusion matrix."""
    matrix = np.array(matrix)
    return [np.repeat(places.ravel(), matrix.ravel()) for places in np.indices(matrix.shape)]


def figures(matrix, names, **changes) -> dict:
    """A result of a run whose test part came out as this confusion matrix."""
    y, predicted = rows(matrix)
    p = 0.9 * np.eye(len(names))[predicted] + 0.1 / len(names)
    result = RESULT | {"test_accuracy": (y == predicted).mean(), "seconds": 3.456}
    of_test = metrics.figures(y, predicted, p, [30, *[10] * (len(names) - 1)])
    return result | of_test | {"classes": names} | changes


def two_classes(names=("yes", "no"), **changes) -> dict:
    return figures([[40, 3], [0, 57]], list(names), **changes)


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
    prepared = runs.prepare(config.load(None, [*config.PLAIN, "data.source=iris", *overrides]))
    return console.opening(prepared, processes).split("\n")


# Opening and progress


def test_the_opening_names_the_rows_the_parts_and_the_net():
    activations = 'model.activation=["tanh", "relu", "tanh"]'
    assert opening("model.hidden=[8, 5, 5]", activations, processes=3) == [
        "iris: 150 rows, 4 features, 3 classes; train 96, validation 24, test 30",
        "net 4-8-5-5-3, tanh/relu, 133 parameters; adam, learning rate 0.001, batches of 32, "
        "shared by 3 processes",
    ]
    assert opening("model.members=3")[1].startswith("3 nets 4-128-3, relu, 3,081 parameters; ")
    lines = opening("model.hidden=[]", "data.validation_size=0", "train.batch_size=1000")
    assert lines[0].endswith("; train 120, test 30")
    assert lines[1].startswith("net 4-3, no hidden layer, 15 parameters; ")
    assert lines[1].endswith("batches of 120")


def test_progress_shows_the_loss_and_the_validation_figures_if_there_are_any():
    assert console.progress(EPOCH) == "loss 0.5000, validation 0.2500 (90.0% right)"
    assert console.progress(replace(EPOCH, validation_loss=None)) == "loss 0.5000"


# The final figures


CLOSING = """12 epochs in 3.46 s; kept the weights of epoch 7, best in validation

              loss  accuracy
train       0.0123    0.9876
validation  0.1234    0.9512
test        0.2345    0.9700

test part
balanced accuracy                           0.9651
AUC, each class against the rest            0.9651
calibration error                           0.0200
accuracy of always the most frequent class  0.4300
loss of the class frequencies               0.9139

by class
class       precision  recall      f1  rows
yes            1.0000  0.9302  0.9639    43
no             0.9500  1.0000  0.9744    57
macro mean     0.9750  0.9651  0.9691   100

confusion: a row for each true class, a column for each predicted one
     yes  no
yes   40   3
no     .  57"""


def test_the_closing_shows_the_figures_of_each_part_and_class_and_the_confusion_matrix():
    assert console.closing(two_classes()) == CLOSING
    lines = cells(section(figures([[5, 0, 0], [5, 0, 0], [0, 0, 0]], [*"abc"]), "by class"))
    assert ["b", "0.0000", "0.0000", "0.0000", "5"] in lines  # never predicted
    assert ["c", "0.0000", "0.0000", "0.0000", "0"] in lines  # no rows


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 1}, "1 epoch in 3.46 s; kept the weights of epoch 7, best in validation"),
        ({"epochs": 0}, "stopped in the first epoch; kept the last weights"),
        ({"validation_loss": None}, "12 epochs in 3.46 s; no validation part, so kept the last w"),
    ],
)
def test_the_closing_says_how_long_the_run_was_and_which_weights_it_kept(changes, said):
    text = console.closing(two_classes(**changes))
    assert text.startswith(said)
    assert ("\nvalidation " in text) is ("validation_loss" not in changes)


def test_names_too_wide_for_columns_become_numbers_that_stand_before_the_rows():
    names = [f"a class with number {j}" for j in range(5)]
    lines = section(figures(np.arange(25).reshape(5, 5), names), "confusion")
    assert cells(lines[1:2]) == [["1", "2", "3", "4", "5"]]
    assert lines[3] == "2  a class with number 1   5   6   7   8   9"


@pytest.mark.parametrize("columns", [50, 80, 200])
def test_any_number_of_classes_fits(columns, width):
    width(columns)
    for K in (2, 10, 20, 21, 40):
        lines = console.closing(many_classes(K)).split("\n")
        wide = [line for line in lines if not line.startswith(("12 epochs", "confusion"))]
        assert max(map(len, wide)) <= max(columns, 60)


@pytest.mark.filterwarnings("ignore:The number of unique classes")  # scikit-learn below 1.8
def test_a_matrix_too_wide_or_of_many_classes_becomes_its_most_frequent_mistakes(width):
    width(40)
    lines = section(many_classes(15), "confusion: the most frequent of 105 mistakes")
    assert lines[1] == "      14  class 14 taken for class 0"
    width(10_000)
    assert section(many_classes(20), "confusion")[0].startswith("confusion: a row for each")
    title, *mistakes = section(many_classes(), "confusion")
    assert title == "confusion: the most frequent of 780 mistakes (result.json has more)"
    assert mistakes[1] == "      38  class 38 taken for class 39"
    assert [int(line.split()[0]) for line in mistakes] == [*range(39, 29, -1)]  # largest first
    right = figures(np.eye(40, dtype=int), [f"{j}" for j in range(40)])
    assert section(right, "confusion: the most frequent of 0 mistakes")[1:] == []


def test_of_many_classes_the_worst_twenty_are_shown():
    title, _, *shown, means = section(many_classes(), "by class")
    assert title == "by class, the 20 classes of 40 with the lowest f1"
    assert sorted(int(line.split()[1]) for line in shown) == [0, *range(21, 40)]
    assert means.startswith("macro mean ") and means.endswith(f" {40 * 100 + sum(range(40))}")


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


def test_an_evaluation_shows_the_rows_their_loss_and_what_the_closing_of_a_run_does():
    head, plain = "data.csv: 1,234 rows, loss 1234.5000, accuracy 0.9700\n", {"rows": 1234}
    plain |= {"loss": 1234.5, "accuracy": 0.97}
    text = console.evaluation("data.csv", two_classes(**plain))
    assert text == head + CLOSING.partition("test part\n")[2]
    text = console.evaluation("data.csv", many_classes() | plain)
    assert "\n\nby class, the 20 classes of 40" in text
    assert "result.json" not in text  # there is none


def test_figures_that_do_not_exist_are_left_out_and_of_no_test_part_that_is_said():
    absent = section(two_classes(auc=None, baseline_loss=None), "test part")
    assert [line.rsplit("  ", 1)[0].strip() for line in absent[1:]] == [
        *("balanced accuracy", "calibration error", "accuracy of always the most frequent class")
    ]
    text = console.closing(RESULT | {"seconds": 1.0, "test_loss": None})
    assert text.endswith("0.9512\n\nno test part, so nothing was tested")


# Streams


def test_notes_and_errors_are_on_stderr_if_there_is_one(capsys, monkeypatch):
    console.note(["a\nb", "c"])
    assert console.fail("d\u2028e", 2) == 2
    assert capsys.readouterr().err == "minnet: note: a b\nminnet: note: c\nminnet: d\n  e\n"
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        monkeypatch.setattr(sys, "stderr", stream)
        assert console.fail("nobody reads this", 1) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("quiet", [False, True])
def test_bytes_read_move_a_bar_on_a_terminal_unless_quiet(quiet, terminal, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with console.silence(quiet), console.reading("openml:a") as progress:
        assert (progress is not None) is (terminal and not quiet)
        if progress:
            progress(1000)
    said = capsys.readouterr().out
    assert re.fullmatch("" if quiet else "loading openml:a; .* the first time\n", said)
