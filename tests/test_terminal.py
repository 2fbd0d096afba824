"""What a run says in a terminal: every figure, in lines that fit."""

import re
from dataclasses import replace

import numpy as np
import pytest

from minnet import config, experiment, terminal
from minnet.training import Epoch, Measured

EPOCH = Epoch(3, 0.001, 0.5, 0.8, 0.25, 0.9, 1.5, 2)


@pytest.fixture(autouse=True)
def width(monkeypatch):
    """A function that sets the terminal's width; 80 columns before it is called."""

    def set_width(columns: int) -> None:
        monkeypatch.setenv("COLUMNS", str(columns))

    set_width(80)
    return set_width


def figures(matrix, names, **changes) -> dict:
    """A result of a run whose test part came out as this confusion matrix."""
    matrix = np.array(matrix)
    right, true, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    precision, recall = right / np.maximum(predicted, 1), right / np.maximum(true, 1)
    f1 = 2 * right / np.maximum(true + predicted, 1)
    per_class = {"precision": precision.tolist(), "recall": recall.tolist(), "f1": f1.tolist(), "rows": true.tolist()}
    return {
        "train_loss": 0.0123,
        "train_accuracy": 0.9876,
        "validation_loss": 0.1234,
        "validation_accuracy": 0.9512,
        "test_loss": 0.2345,
        "test_accuracy": float(right.sum() / matrix.sum()),
        "best_epoch": 7,
        "epochs": 12,
        "seconds": 3.456,
        "classes": list(names),
        "per_class": per_class,
        "confusion": matrix.tolist(),
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
    return next(part for part in terminal.closing(result).split("\n\n") if part.startswith(title)).split("\n")


def cells(line: str) -> list[str]:
    return line.split()


def real(source: str, *overrides: str) -> tuple[experiment.Experiment, dict]:
    """A data set's experiment and the result of its net as it is before training."""
    run = experiment.prepare(config.load(None, [f"data.source={source}", *overrides]))
    return run, experiment.result(run, experiment.measure(run), EPOCH, interrupted=False)


# Opening and progress


def test_the_opening_tells_of_the_rows_the_parts_and_the_net():
    first, second = terminal.opening(real("iris", "model.hidden=[8, 5]")[0]).split("\n")
    assert first == "iris: 150 rows, 4 features, 3 classes; train 96, validation 24, test 30"
    assert second == "net 4-8-5-3, relu, 103 parameters; adam, learning rate 0.001, batches of 32"


def test_the_opening_names_each_activation_once():
    run, _ = real("iris", "model.hidden=[8, 8, 8]", 'model.activation=["tanh", "relu", "tanh"]')
    assert ", tanh/relu, " in terminal.opening(run)


def test_the_opening_says_when_there_is_no_hidden_layer_or_validation_part():
    text = terminal.opening(real("iris", "model.hidden=[]", "data.validation_size=0")[0])
    assert "net 4-3, no hidden layer, 15 parameters" in text
    assert "train 120, test 30" in text


def test_the_opening_says_when_a_batch_is_all_rows():
    assert terminal.opening(real("iris", "train.batch_size=1000")[0]).endswith("batches of 96")


def test_progress_shows_loss_and_validation_figures():
    assert terminal.progress(EPOCH) == "loss 0.5000, validation 0.2500 (90.0% right)"
    assert terminal.progress(replace(EPOCH, validation_loss=None)) == "loss 0.5000"


# Losses and accuracies


def test_the_closing_shows_loss_and_accuracy_of_each_part():
    lines = section(two_classes(), "              loss")
    assert [cells(line) for line in lines] == [
        ["loss", "accuracy"],
        ["train", "0.0123", "0.9876"],
        ["validation", "0.1234", "0.9512"],
        ["test", "0.2345", "0.9700"],
    ]
    assert len({len(line) for line in lines}) == 1


def test_the_closing_says_how_long_the_run_was_and_which_weights_were_kept():
    assert section(two_classes(), "12 epochs") == [
        "12 epochs in 3.46 s; kept the weights of epoch 7, best in validation"
    ]
    assert terminal.closing(two_classes(epochs=1)).startswith("1 epoch in ")


def test_a_run_stopped_in_its_first_epoch_claims_no_best_one():
    text = terminal.closing(two_classes(epochs=0, best_epoch=0))
    assert text.startswith("stopped within the first epoch; the weights are the last ones\n\n")


def test_without_a_validation_part_none_is_shown():
    text = terminal.closing(two_classes(validation_loss=None, validation_accuracy=None))
    assert "no validation part, so the weights are the last ones" in text
    assert "\nvalidation" not in text


# Per class


def test_each_class_has_its_precision_recall_f1_and_rows():
    assert [cells(line) for line in section(two_classes(), "test part")[1:]] == [
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


def test_a_class_never_predicted_has_zeros():
    assert [cells(line) for line in section(figures([[5, 0], [5, 0]], "ab"), "test part")][3] == [
        *("b", "0.0000", "0.0000", "0.0000", "5")
    ]


def test_a_net_that_gets_every_row_wrong_has_whole_counts():
    run, _ = real("iris")
    measured = experiment.measure(run)
    measured["test"] = Measured(9.9, 0.0, (run.parts["test"].y + 1) % 3)
    result = experiment.result(run, measured, EPOCH, interrupted=False)
    assert cells(section(result, "test part")[2]) == ["setosa", "0.0000", "0.0000", "0.0000", "10"]
    assert all(type(rows) is int for rows in result["per_class"]["rows"])


# The confusion matrix


def test_the_matrix_shows_every_number_with_dots_for_zeros():
    assert section(two_classes(), "confusion") == [
        "confusion: a row for each true class, a column for each predicted",
        "     yes   no",
        "yes   40    3",
        "no     .   57",
    ]


def test_names_too_wide_for_columns_become_numbers_that_the_rows_tell():
    names = [f"a class with number {j}" for j in range(5)]
    lines = section(figures(np.arange(25).reshape(5, 5), names), "confusion")
    assert cells(lines[1]) == ["1", "2", "3", "4", "5"]
    assert lines[3] == "  2 a class with number 1   5   6   7   8   9"


@pytest.mark.parametrize("source", config.BUNDLED)
def test_bundled_sets_fit_80_columns_with_all_their_numbers(source):
    _, result = real(source)
    text = terminal.closing(result)
    assert max(map(len, text.split("\n"))) <= 80
    rows = section(result, "confusion")[2:]
    K = len(result["classes"])
    assert [[int(n.replace(".", "0")) for n in cells(row)[-K:]] for row in rows] == result["confusion"]


@pytest.mark.parametrize("K", [2, 10, 20, 21, 40])
@pytest.mark.parametrize("columns", [50, 80, 200])
def test_any_number_of_classes_fits(K, columns, width):
    width(columns)
    lines = terminal.closing(many_classes(K)).split("\n")
    assert max(len(line) for line in lines if not line.startswith(("12 epochs", "confusion"))) <= max(columns, 60)


def test_a_matrix_too_wide_for_the_terminal_becomes_its_most_frequent_mistakes(width):
    width(40)
    assert section(many_classes(15), "confusion: the most frequent of 105 mistakes")[1] == (
        "      14  class 14 taken for class 0"
    )


def test_the_matrix_of_many_classes_is_not_shown_however_wide_the_terminal(width):
    width(10_000)
    assert section(many_classes(20), "confusion")[0].startswith("confusion: a row for each")
    assert section(many_classes(21), "confusion")[0].startswith("confusion: the most frequent")


# Many classes


def test_of_many_classes_the_worst_twenty_are_shown():
    title, _, *rows, means = section(many_classes(), "test part")
    assert title == "test part, the 20 classes of 40 with the lowest f1"
    shown = {int(cells(row)[1]) for row in rows}
    assert len(rows) == 20
    assert shown == {0, *range(21, 40)}
    assert cells(means)[:2] == ["macro", "mean"]
    assert cells(means)[-1] == str(40 * 100 + sum(range(40)))


def test_of_many_classes_the_most_frequent_mistakes_are_shown_largest_first():
    title, *rows = section(many_classes(), "confusion")
    assert title == "confusion: the most frequent of 780 mistakes (result.json has the matrix)"
    assert rows[0] == "      39  class 39 taken for class 0"
    assert rows[1] == "      38  class 38 taken for class 39"
    assert [int(cells(row)[0]) for row in rows] == list(range(39, 29, -1))


def test_many_classes_without_a_mistake_list_none():
    result = figures(np.eye(40, dtype=int), [f"{j}" for j in range(40)])
    assert section(result, "confusion") == ["confusion: the most frequent of 0 mistakes (result.json has the matrix)"]


# Evaluation


def evaluated(matrix, names, loss=0.25) -> str:
    """What is said of a model whose rows of data.csv came out as this confusion matrix."""
    counts = np.array(matrix)
    y, predicted = (np.repeat(places.ravel(), counts.ravel()) for places in np.indices(counts.shape))
    by_class = experiment.figures_by_class(y, predicted, len(counts))
    measured = Measured(loss, float((y == predicted).mean()), predicted)
    return terminal.evaluation("data.csv", measured, by_class, list(names))


def test_an_evaluation_tells_of_the_rows_their_loss_and_each_class():
    text = evaluated([[40, 3], [0, 57]], ("yes", "no"), loss=0.12345)
    head, by_class, confusion = text.split("\n\n")
    assert head == "data.csv: 100 rows, loss 0.1235, accuracy 0.9700"
    assert by_class.split("\n")[0] == "by class"
    assert [cells(line) for line in by_class.split("\n")[1:]] == [
        ["class", "precision", "recall", "f1", "rows"],
        ["yes", "1.0000", "0.9302", "0.9639", "43"],
        ["no", "0.9500", "1.0000", "0.9744", "57"],
        ["macro", "mean", "0.9750", "0.9651", "0.9691", "100"],
    ]
    assert confusion.split("\n") == section(two_classes(), "confusion")


def test_an_evaluation_shows_what_the_closing_of_a_run_does():
    result = two_classes()
    shown = evaluated(result["confusion"], result["classes"]).split("\n\n")[1:]
    closing = terminal.closing(result).replace("test part", "by class")
    assert closing.endswith("\n\n".join(shown))


def test_large_counts_and_losses_are_shown_whole():
    assert evaluated([[1_000_000, 0], [0, 234_567]], "ab", loss=1234.5).startswith(
        "data.csv: 1,234,567 rows, loss 1234.5000, accuracy 1.0000\n"
    )


def test_a_class_that_the_file_does_not_have_has_zeros():
    lines = evaluated([[5, 0, 0], [1, 4, 0], [0, 0, 0]], "abc").split("\n")
    assert ["c", "0.0000", "0.0000", "0.0000", "0"] in [cells(line) for line in lines]


@pytest.mark.parametrize("names", [(0, 1), (True, False), ("猫", "a,b"), ("x" * 200, "y" * 200)])
def test_an_evaluation_takes_labels_of_any_kind(names):
    lines = evaluated([[3, 1], [0, 4]], names).split("\n")
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith(str(names[0])[:20]) for line in lines) >= 2


def test_an_evaluation_with_many_classes_names_no_file_that_is_not_there():
    matrix = 100 * np.eye(40, dtype=int)
    matrix[3, 4] = 7
    text = evaluated(matrix, [f"class {j}" for j in range(40)])
    assert "by class, the 20 classes of 40 with the lowest f1" in text
    assert text.endswith("\n\nconfusion: the most frequent of 7 mistakes\n       7  class 3 taken for class 4")


# Names


@pytest.mark.parametrize("K", [2, 40])
def test_long_names_are_shortened(K):
    names = [f"{j:02d} " + "x" * 200 for j in range(K)]
    text = terminal.closing(figures(np.ones((K, K), int), names))
    assert "00 " + "x" * 19 + ".." in text
    assert max(map(len, text.split("\n"))) <= 80


@pytest.mark.parametrize("names", [("ä", "ß"), ("猫", "犬"), ("🐈", "🐕"), ("", " "), (0, 1), (-1.5, 2.5)])
def test_names_of_any_script_and_numbers_are_shown(names):
    text = terminal.closing(two_classes(names))
    assert all(str(name) in text for name in names)
