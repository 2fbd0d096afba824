"""The figures of a report, drawn from made-up numbers: they show what they were given."""

import re
import runpy
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest

from minnet import config, sweep
from minnet.report import evaluation, figures
from minnet.report.saved import Group, Run

SVG = "{http://www.w3.org/2000/svg}"
LINES = [f"{part}_{name}" for name in ("loss", "accuracy") for part in ("train", "validation")]
COLUMNS = [*LINES, "learning_rate", "gradient_1", "gradient_2", "update_1", "update_2"]


@pytest.fixture(autouse=True)
def style():
    with matplotlib.rc_context(figures.STYLE):
        yield


def words(figure):
    """The texts in a figure, or in an SVG."""
    root = ET.fromstring(figure if isinstance(figure, str) else figures.svg(figure))
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


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
    group = Group(name, each, len(each))
    if len(group.results) > 1:
        group.figures = sweep.summary(settings, group.results)
    return group


def drawn(axis):
    """The lines (n, 2) in a panel, without the mark of an epoch."""
    return [line.get_xydata() for line in axis.lines if line.get_linestyle() != ":"]


def test_every_column_is_a_line_over_epochs():
    epochs = some_epochs(40)
    loss, accuracy, rate = figures.curves(epochs, 3).axes
    gradients, updates = figures.sizes(epochs).axes
    lines = [*drawn(loss), *drawn(accuracy), *drawn(rate), *drawn(gradients), *drawn(updates)]
    expected = [np.stack([epochs["epoch"], epochs[name]], axis=1) for name in COLUMNS]
    np.testing.assert_array_equal(lines, expected)


def test_an_svg_has_every_point_and_is_the_same_each_time():
    epochs = some_epochs(200) | {"learning_rate": np.linspace(1, 0, 200)}
    first, again = (figures.svg(figures.curves(epochs, 3)) for _ in range(2))
    assert first == again
    paths = re.findall(' d="(.*?)"', first, re.DOTALL)
    assert sum(path.count("L") == 199 for path in paths) == 5


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
    paths = re.findall(' d="(.*?)"', figures.svg(figure), re.DOTALL)
    assert (2, 3) in {(path.count("M"), path.count("L")) for path in paths}  # a gap where it is 0
    epochs["update_1"] = np.geomspace(1e-5, 1e-2, 6)
    assert [axis.get_yscale() for axis in figures.sizes(epochs).axes] == ["linear", "log"]


@pytest.mark.parametrize("n", [1, 2, 3, 100])
def test_epochs_are_counted_in_whole_numbers_and_a_single_one_is_a_dot(n):
    for figure in (figures.curves(some_epochs(n), 1), figures.sizes(some_epochs(n))):
        root = ET.fromstring(figures.svg(figure))
        ticks = [g for g in root.iter() if g.get("id", "").startswith("xtick")]
        found = [text.text for tick in ticks for text in tick.iter(f"{SVG}text")]
        assert found and all(re.fullmatch("[1-9][0-9]*", word) for word in found)
        assert {line.get_marker() for line in figure.axes[-1].lines} == {"o" if n == 1 else ""}


def test_all_runs_are_overlaid_by_validation_or_else_by_training():
    groups = [
        a_group("_one"),
        a_group("two", (0.5, 0.6, None), 7),
        a_group("three", validation=False),
    ]
    figure = figures.overlaid(groups)
    each = [run.epochs for group in groups for run in group.runs]
    for axis, panel in zip(figure.axes, ("loss", "accuracy"), strict=True):
        expected = [epochs[f"validation_{panel}"] for epochs in each[:-1]]
        for found, values in zip(drawn(axis), [*expected, each[-1][f"train_{panel}"]], strict=True):
            np.testing.assert_array_equal(found[:, 1], values)
    shown = words(figure)
    assert {"_one", "two", "three (train)"} <= set(shown) and shown.count("two") == 1
    assert len({line.get_color() for line in figure.axes[0].lines}) == 3


@pytest.mark.parametrize(("n", "named"), [(10, True), (11, False)])
def test_more_names_than_colors_have_no_legend(n, named):
    assert ("run 3" in words(figures.overlaid([a_group(f"run {i}") for i in range(n)]))) == named


def test_scores_have_a_dot_for_each_finished_run_and_the_mean_of_a_repeated_one():
    groups = [a_group("one"), a_group("two", (0.5, None, 0.8)), a_group("none", (None,))]
    (axis,) = (figure := figures.scores(groups)).axes
    mean = groups[1].figures["test_accuracy"]
    assert [line.get_xdata().tolist() for line in axis.lines] == [
        [0.9],
        [0.5, 0.8],
        [mean.mean],
        [],
    ]
    ((low, _), (high, _)) = axis.collections[0].get_segments()[0]
    assert (low, high) == pytest.approx((mean.low, mean.high))
    assert {"one", "two", "none"} <= set(words(figure))


def test_the_numbers_of_a_confusion_matrix_stand_in_their_row_and_column():
    matrix, names = np.random.default_rng(0).integers(0, 3, (12, 12)), [f"c{k}" for k in range(12)]
    (axis,) = figures.confusion(matrix, names).axes
    assert [
        tick.get_text() for tick in (*axis.get_xticklabels(), *axis.get_yticklabels())
    ] == 2 * names
    found = np.zeros_like(matrix)
    for text in axis.texts:
        x, y = text.get_position()
        found[y, x] = int(text.get_text())
    np.testing.assert_array_equal(found, matrix)
    share = axis.images[0].get_array()[..., 3]
    np.testing.assert_allclose(share, matrix / matrix.sum(axis=1, keepdims=True))
    large = figures.confusion(np.eye(30, dtype=int), [f"c{k}" for k in range(30)])
    assert words(large) == ["predicted", "true"]


def test_reliability_has_a_dot_and_the_number_of_rows_for_each_bin():
    bins = [
        evaluation.Bin(0.65, 12345678, 0.66, 0.5, 0.4, 0.6),
        evaluation.Bin(0.95, 7, 0.97, 1, 0.8, 1),
    ]
    figure = figures.reliability(bins)
    assert figure.axes[0].lines[1].get_xydata().tolist() == [[0.66, 0.5], [0.97, 1]]
    assert {"12345678", "7"} <= set(words(figure))


@pytest.mark.parametrize("shape", [(1, 2, 3), (5, 8, 8), (4, 30, 7), (9, 3, 3)])
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
    X, y, p = rng.normal(size=(50, 2)), rng.integers(0, 2, 50), rng.dirichlet([1, 1], 50)
    X[3, 1] = np.nan
    data = SimpleNamespace(table=SimpleNamespace(X=X, names=["x0", "long" * 20]))
    filled = SimpleNamespace(fill=np.full(2, 0.5))
    model = SimpleNamespace(classes_=np.array(["a", "b"]), preprocessing=filled)
    test = evaluation.Tested(SimpleNamespace(data=data), model, np.arange(50), y, p)
    lines = np.stack([np.linspace(-4, 4, 20), np.linspace(-3, 3, 20)], axis=1)
    (axis,) = (figure := figures.regions(test, lines, rng.dirichlet([1, 1], (20, 20)))).axes
    *by_class, wrong = [line.get_xydata() for line in axis.lines]
    X[3, 1] = 0.5
    np.testing.assert_array_equal(np.concatenate(by_class), np.concatenate([X[y == 0], X[y == 1]]))
    np.testing.assert_array_equal(wrong, X[p.argmax(axis=1) != y])
    assert (axis.get_xlim(), axis.get_ylim()) == ((-4, 4), (-3, 3))
    assert {"a", "b", "x0", figures.label("long" * 20, 40)} <= set(words(figure))


def test_a_picture_on_a_page_has_its_colors_and_the_same_texts():
    for figure in (
        figures.curves(some_epochs(3), 1),
        figures.confusion(np.eye(2), ["#000000", "x"]),
    ):
        inline = figures.inline("name", figures.svg(figure))
        assert words(inline) == words(figure)
        tags = "".join(re.findall("<[^>]+>", inline))
        assert "#000000" not in tags and "#ffffff" not in tags and ' id="name-axes_1"' in tags


def test_the_pictures_in_the_docs_are_those_of_today(tmp_path):
    """If not: python docs/pictures.py."""
    docs = Path(__file__).parent.parent / "docs"
    runpy.run_path(str(docs / "pictures.py"))["main"](tmp_path)
    pages = (docs.parent / "README.md").read_text("utf-8") + (docs / "guide.md").read_text("utf-8")
    folder = docs / "pictures"
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    for name in names:
        assert f"pictures/{name})" in pages
        today, shown = words((tmp_path / name).read_text()), words((folder / name).read_text())
        numbers = [[int(word) for word in texts if word.isdecimal()] for texts in (today, shown)]
        assert today == shown or "confusion" in name
        if "confusion" in name:  # another processor may round a row over the border
            assert today[:22] == shown[:22] == [*"0123456789", "predicted", *"0123456789", "true"]
            assert [sum(found) for found in numbers] == [2 * 45 + 360] * 2
            right = [sum(n for n in found if n > 9) for found in numbers]
            assert right[0] == pytest.approx(right[1], abs=2) and right[0] > 350
