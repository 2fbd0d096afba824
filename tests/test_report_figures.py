"""The figures of a report, drawn from made-up numbers: they show what they were given."""

import re
import runpy
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest

from minnet import config, metrics
from minnet.data.preprocess import Preprocessing
from minnet.data.table import Table
from minnet.report import evaluation, figures
from minnet.report.saved import Group, Run

SVG = "{http://www.w3.org/2000/svg}"
LINES = [f"{part}_{name}" for name in ("loss", "accuracy") for part in ("train", "validation")]
COLUMNS = [*LINES, "learning_rate", "gradient_1", "gradient_2", "update_1", "update_2"]


@pytest.fixture(autouse=True)
def style():
    with matplotlib.rc_context(figures.STYLE):
        yield


def words(svg):
    """The texts in an SVG, or in a figure."""
    root = ET.fromstring(svg if isinstance(svg, str) else figures.svg(svg))
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


def paths(svg):
    """How often the pen is set down and moved in each path of an SVG."""
    found = re.findall(' d="(.*?)"', svg, re.DOTALL)
    return [(path.count("M"), path.count("L")) for path in found]


def some_epochs(n, validation=True):
    rng = np.random.default_rng(n)
    epochs = {"epoch": np.arange(1.0, n + 1)} | {k: rng.uniform(0.1, 1, n) for k in COLUMNS}
    return epochs | ({} if validation else dict.fromkeys(LINES[1::2], np.full(n, np.nan)))


def a_group(name, accuracies=(0.9,), n=4, validation=True):
    """A group with a run for each accuracy; None is one that is unfinished."""
    settings = config.load(None, ["data.source=iris"])
    result = {"test_loss": 0.5, "macro_f1": 0.5, "rows": {"train": 8, "test": 2}}
    results = [None if a is None else result | {"test_accuracy": a} for a in accuracies]
    each = [Run(Path(name), settings, some_epochs(n, validation), found) for found in results]
    return Group(name, each, len(each))


def drawn(axis):
    """The lines (n, 2) in a panel, without the mark of an epoch."""
    return [line.get_xydata() for line in axis.lines if line.get_linestyle() != ":"]


def test_every_column_is_a_line_over_epochs_with_every_point_and_the_same_each_time():
    epochs = some_epochs(200) | {"learning_rate": np.linspace(1, 0, 200)}
    axes = [*figures.curves(epochs, 3).axes, *figures.sizes(epochs).axes]
    expected = [np.stack([epochs["epoch"], epochs[name]], axis=1) for name in COLUMNS]
    np.testing.assert_array_equal([line for axis in axes for line in drawn(axis)], expected)
    first, again = (figures.svg(figures.curves(epochs, 3)) for _ in range(2))
    assert first == again and paths(first).count((1, 199)) == 5


def test_the_best_epoch_is_marked_and_what_has_no_values_is_not_named():
    assert {"best: epoch 4", "train", "validation"} <= set(words(figures.curves(some_epochs(9), 4)))
    figure = figures.curves(some_epochs(9, validation=False), 0)
    assert [len(axis.lines) for axis in figure.axes] == [1, 1, 1]
    assert not {word for word in words(figure) if "best" in word or "validation" in word}


def test_values_that_spread_widely_have_a_logarithmic_scale_with_plain_numbers():
    epochs = some_epochs(6)
    epochs["train_loss"] = np.array([100, 10, 0, 1, 0.1, 0.01])
    epochs["gradient_1"] = epochs["gradient_2"] = np.zeros(6)  # nothing to draw on such a scale
    epochs["train_accuracy"] = np.geomspace(0.001, 1, 6)
    figure = figures.curves(epochs, 1)
    assert [axis.get_yscale() for axis in figure.axes] == ["log", "linear", "linear"]
    assert {"0.01", "100"} <= set(words(figure))
    assert (2, 3) in paths(figures.svg(figure))  # a gap where it is 0
    epochs["update_1"] = np.geomspace(1e-5, 1e-2, 6)
    assert [axis.get_yscale() for axis in figures.sizes(epochs).axes] == ["linear", "log"]


@pytest.mark.parametrize("n", [1, 2, 100])
def test_epochs_are_counted_in_whole_numbers_and_a_single_one_is_a_dot(n):
    for figure in (figures.curves(some_epochs(n), 1), figures.sizes(some_epochs(n))):
        root = ET.fromstring(figures.svg(figure))
        ticks = [g for g in root.iter() if g.get("id", "").startswith("xtick")]
        found = [text.text for tick in ticks for text in tick.iter(f"{SVG}text")]
        assert found and all(re.fullmatch("[1-9][0-9]*", word) for word in found)
        assert {line.get_marker() for line in figure.axes[-1].lines} == {"o" if n == 1 else ""}


def test_all_runs_are_overlaid_by_validation_or_else_by_training():
    groups = [a_group("_one"), a_group("two", (0.5, 0.6, None), 7)]
    groups.append(a_group("three", validation=False))
    figure = figures.overlaid(groups)
    *each, last = [run.epochs for group in groups for run in group.runs]
    for axis, panel in zip(figure.axes, ("loss", "accuracy"), strict=True):
        expected = [*(epochs[f"validation_{panel}"] for epochs in each), last[f"train_{panel}"]]
        assert [list(line[:, 1]) for line in drawn(axis)] == [list(values) for values in expected]
    shown = words(figure)
    assert {"_one", "two", "three (train)"} <= set(shown) and shown.count("two") == 1
    assert len({line.get_color() for line in figure.axes[0].lines}) == 3


def test_more_names_than_colors_have_no_legend():
    groups = [a_group(f"run {i}") for i in range(11)]
    assert "run 3" in words(figures.overlaid(groups[1:]))
    assert "run 3" not in words(figures.overlaid(groups))


def test_scores_have_a_dot_for_each_finished_run_and_the_mean_of_a_repeated_one():
    groups = [a_group("one"), a_group("two", (0.5, None, 0.8)), a_group("none", (None,))]
    (axis,) = (figure := figures.scores(groups)).axes
    mean = groups[1].figures["test_accuracy"]
    found = [line.get_xdata() for line in axis.lines]
    assert [[*values] for values in found] == [[0.9], [0.5, 0.8], [mean.mean], []]
    ((low, _), (high, _)) = axis.collections[0].get_segments()[0]
    assert (low, high) == pytest.approx((mean.low, mean.high))
    assert {"one", "two", "none"} <= set(words(figure))


def test_the_numbers_of_a_confusion_matrix_stand_in_their_row_and_column():
    matrix, names = np.random.default_rng(0).integers(0, 3, (12, 12)), [f"c{k}" for k in range(12)]
    (axis,) = figures.confusion(matrix, names).axes
    ticks = (*axis.get_xticklabels(), *axis.get_yticklabels())
    assert [tick.get_text() for tick in ticks] == 2 * names
    found = {text.get_position()[::-1]: int(text.get_text()) for text in axis.texts}
    assert found == {place: n for place, n in np.ndenumerate(matrix) if n}
    share = axis.images[0].get_array()[..., 3]
    np.testing.assert_allclose(share, matrix / matrix.sum(axis=1, keepdims=True))
    large = figures.confusion(np.eye(30, dtype=int), names[:1] * 30)
    assert words(large) == ["predicted", "true"]


def test_reliability_has_a_dot_and_the_number_of_rows_for_each_bin():
    bins = [(0.65, 12345678, 0.66, 0.5, 0.4, 0.6), (0.95, 7, 0.97, 1, 0.8, 1)]
    figure = figures.reliability(metrics.Bins(*np.transpose(bins)))
    assert figure.axes[0].lines[1].get_xydata().tolist() == [[0.66, 0.5], [0.97, 1]]
    assert {"12345678", "7"} <= set(words(figure))


def test_importance_has_a_bar_for_each_column_and_a_line_over_its_shuffles():
    names, rise = ["_one", "$x_2$", "long" * 20], np.array([[0.5, 0.9, 0.7], [0, 0, 0], [-1, 0, 2]])
    (axis,) = (figure := figures.importance(names, rise)).axes
    assert [bar.get_width() for bar in axis.patches] == pytest.approx([0.7, 0, 1 / 3])
    lines = [[tuple(point) for point in line] for line in axis.collections[0].get_segments()]
    assert lines == [[(0.5, 0), (0.9, 0)], [(0, 1), (0, 1)], [(-1, 2), (2, 2)]]
    assert axis.get_ylim() == (2.6, -0.6)  # the first one on top
    assert {"_one", "$x_2$", figures.label("long" * 20)} <= set(words(figure))


@pytest.mark.parametrize("shape", [(1, 2, 3), (4, 30, 7), (9, 3, 3)])
def test_images_stand_side_by_side_each_below_its_title(shape):
    pixels = np.arange(np.prod(shape)).reshape(shape) + 1.0
    titles = [f"t{i}" for i in range(len(pixels))]
    (axis,) = (figure := figures.images(pixels, 4, titles, cmap="gray")).axes
    sheet = axis.images[0].get_array().filled(np.nan)
    _, height, width = shape
    assert np.isfinite(sheet).sum() == pixels.size
    for text, image in zip(axis.texts, pixels, strict=True):
        left, top = round(text.get_position()[0]), int(np.ceil(text.get_position()[1]))
        np.testing.assert_array_equal(sheet[top : top + height, left : left + width], image)
    assert words(figure) == titles


def test_regions_have_a_dot_for_each_test_row_and_a_ring_around_each_wrong_one():
    rng = np.random.default_rng(0)
    X, y, predicted = rng.normal(size=(50, 2)), *rng.integers(0, 2, (2, 50))
    X[3, 1] = np.nan
    names = ["x0", "long" * 20]
    fitted = Preprocessing(names, np.full(2, 0.5), np.zeros(2), np.ones(2))
    model = SimpleNamespace(classes_=np.array(["a", "b"]), preprocessing=fitted)
    test = evaluation.Tested(model, Table("", names, X), np.arange(50), y, predicted, y)
    lines = np.stack([np.linspace(-4, 4, 20), np.linspace(-3, 3, 20)], axis=1)
    (axis,) = (figure := figures.regions(test, lines, rng.dirichlet([1, 1], (20, 20)))).axes
    *by_class, wrong = [line.get_xydata() for line in axis.lines]
    X[3, 1] = 0.5
    np.testing.assert_array_equal(np.concatenate(by_class), np.concatenate([X[y == 0], X[y == 1]]))
    np.testing.assert_array_equal(wrong, X[predicted != y])
    assert (axis.get_xlim(), axis.get_ylim()) == ((-4, 4), (-3, 3))
    assert {"a", "b", "x0", figures.label("long" * 20, 40)} <= set(words(figure))


def test_the_pictures_in_the_docs_are_those_of_today(tmp_path):
    """If not: python docs/pictures.py."""
    docs = Path(__file__).parent.parent / "docs"
    runpy.run_path(str(docs / "pictures.py"))["main"](tmp_path)
    pages = (docs.parent / "README.md").read_text("utf-8") + (docs / "guide.md").read_text("utf-8")
    today, shown = (
        {path.name: words(path.read_text()) for path in folder.glob("*.svg")}
        for folder in (tmp_path, docs / "pictures")
    )
    assert all(f"pictures/{name})" in pages for name in shown)
    right = []
    for found in (today, shown):  # another processor may round a row over the border
        numbers = [int(word) for word in found["digits_confusion.svg"][22:]]
        del found["digits_confusion.svg"][22:]
        right.append(sum(n for n in numbers if n > 9))
    assert today == shown and abs(right[0] - right[1]) <= 2 and min(right) > 350
