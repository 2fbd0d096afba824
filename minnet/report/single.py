"""The page of one run."""

import shlex
from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from minnet import config as configs
from minnet.core.softmax import softmax
from minnet.errors import MinnetError
from minnet.report import pictures, rows
from minnet.report.folder import Run
from minnet.report.page import Page, pairs, table, text
from minnet.report.rows import Rows
from minnet.report.svg import Picture, draw, label

MISTAKES = 12  # so many are shown
FEATURES = 8  # and so many columns of each that is not an image
UNITS = 64  # of the first layer, those with the largest weights
GRID = 200  # points along each feature where regions are drawn
FINEST = 300  # classes of a confusion matrix that is drawn


def page(run: Run, asked_shape: tuple[int, int] | None, note: Callable[[str], object]) -> Page:
    """All that there is to show of a run; `note` is told where something is left out, and why."""
    shown = Page(run.name, _lines(run))
    test = None
    if run.result is None:
        note(f"{run.folder}: has not ended yet, so there are no figures of its test part")
    else:
        try:
            test = rows.of_test(run)
        except MinnetError as error:
            note(f"{error}; pictures that need its rows are left out")
    if len(run.epochs["epoch"]):
        shown.show(_curves(run))
    if run.result:
        _figures(shown, run)
    if test:
        _rows(shown, test, rows.image_shape(test, asked_shape))
    if any(name.startswith("gradient_") for name in run.epochs) and len(run.epochs["epoch"]):
        shown.show(_sizes(run))
    shown.add("Run it again", f"<pre>minnet train {text(shlex.quote(str(run.folder / 'config.toml')))}</pre>")
    if run.result:
        shown.add("Versions", pairs(run.result["versions"]))
    shown.add("Config", f"<pre>{text(configs.dumps(run.config).strip())}</pre>", wide=True)
    return shown


def _lines(run: Run) -> list[str]:
    """What a reader wants to know first."""
    config, result = run.config, run.result
    if result is None:
        epochs = len(run.epochs["epoch"])
        return [f"{config.data.source}: {epochs} of at most {config.train.epochs} epochs so far, not ended yet"]
    n, right = result["rows"]["test"], round(result["test_accuracy"] * result["rows"]["test"])
    low, high = (float(bound[0]) for bound in pictures.wilson(np.array([right]), np.array([n])))
    parts = ", ".join(f"{name} {n:,}" for name, n in result["rows"].items())
    ended = "; it was interrupted" if result["interrupted"] else ""
    return [
        f"{config.data.source}: {len(result['classes'])} classes; rows: {parts}; {result['parameters']:,} parameters",
        f"Test accuracy {result['test_accuracy']:.4f} ({right:,} of {n:,} rows; 95% interval {low:.4f} to {high:.4f}, "
        f"Wilson), test loss {result['test_loss']:.4f}, macro F1 {result['macro_f1']:.4f}",
        f"{result['epochs']} epochs in {result['seconds']:.2f} s; the weights of epoch {result['best_epoch']}{ended}",
    ]


def _curves(run: Run) -> Picture:
    epochs, validation = run.epochs, bool(np.isfinite(run.epochs["validation_loss"]).any())
    best = None
    if validation:
        watched = epochs["validation_loss"] if run.config.train.watch == "loss" else -epochs["validation_accuracy"]
        best = int(epochs["epoch"][np.nanargmin(watched)])
    said = "Training figures are means over an epoch's steps, as the net then was."
    if best:
        said = f"Epoch {best} was best in validation, by {run.config.train.watch}. {said}"
    return draw("curves", "Learning curves", said, lambda: pictures.curves(epochs, best))


def _figures(shown: Page, run: Run) -> None:
    """The confusion matrix and the table of classes, of result.json."""
    assert run.result is not None
    result, matrix = run.result, np.array(run.result["confusion"])
    names = [str(name) for name in result["classes"]]
    if len(names) <= FINEST:
        wrong = int(matrix.sum() - np.trace(matrix))
        said = f"{wrong:,} of {matrix.sum():,} test rows are wrong. A row for each true class; shades are shares of it."
        shown.show(
            draw(
                "confusion",
                "Confusion matrix",
                said,
                lambda: pictures.confusion(matrix, [label(name, 12) for name in names]),
            )
        )
    mixed = [(n, i, j) for (i, j), n in np.ndenumerate(matrix) if i != j and n]
    if len(names) > pictures.NUMBERED and mixed:
        most = sorted(mixed, reverse=True)[:MISTAKES]
        shown.add(
            "Most frequent mistakes",
            table(["taken for", "true", "rows"], [(names[j], names[i], n) for n, i, j in most]),
        )
    by_class = result["per_class"]
    lines = [
        (name, *(f"{by_class[figure][k]:.4f}" for figure in ("precision", "recall", "f1")), f"{by_class['rows'][k]:,}")
        for k, name in enumerate(names)
    ]
    shown.add("Classes of the test part", table(["class", "precision", "recall", "F1", "rows"], lines))


def _rows(shown: Page, test: Rows, shape: tuple[int, int] | None) -> None:
    """What needs the rows of the test part."""
    found = rows.calibration(test.p, test.y)
    said = (
        f"Where the net says 0.9, is it right in 9 of 10 rows? Calibration error {found.error:.4f}: the mean gap "
        f"between confidence and share right, over {rows.BINS} bins of equal width. Lines are 95% intervals (Wilson)."
    )
    shown.show(draw("reliability", "Reliability", said, lambda: pictures.reliability(found)))
    worst = rows.mistakes(test, MISTAKES)
    wrong = int((test.predicted != test.y).sum())
    if len(worst) and shape:
        shown.show(_wrong_images(test, worst, shape, wrong))
    elif len(worst):
        shown.add("Most confident mistakes", _wrong_rows(test, worst, wrong), wide=True)
    net = test.experiment.net
    if shape:
        W = net.weights[0]
        norms = np.linalg.norm(W, axis=0)
        largest = np.sort(np.argsort(-norms, kind="stable")[:UNITS])
        which = f"the {UNITS} with the largest weights of {W.shape[1]}" if W.shape[1] > UNITS else "each"
        shown.show(
            draw(
                "weights",
                "Weights of the first layer",
                f"Units of the first layer, {which}, on inputs as they are scaled: red where a lit pixel raises the "
                "unit, blue where it lowers it.",
                lambda: pictures.weights(W[:, largest], shape),
            )
        )
    dataset = test.experiment.dataset
    if len(dataset.feature_names) == 2 and not dataset.text and not hasattr(dataset.X, "tocsr"):
        said = "The predicted class, paler where p is unsure, and the test rows; those that are wrong are ringed."
        shown.show(draw("regions", "Decision regions", said, lambda: _regions(test)))


def _wrong_images(test: Rows, worst: np.ndarray, shape: tuple[int, int], wrong: int) -> Picture:
    dataset, names = test.experiment.dataset, [str(name) for name in test.experiment.dataset.classes]
    X = dataset.X[test.numbers[worst]]
    X = X.toarray() if hasattr(X, "tocsr") else X
    titles = [
        f"{label(names[test.y[i]], 9)} \N{RIGHTWARDS ARROW} {label(names[test.predicted[i]], 9)}, {test.p[i].max():.3f}"
        for i in worst
    ]
    said = f"Of {wrong:,} wrong test rows, those of highest confidence: true class, predicted class, its p."
    return draw(
        "mistakes",
        "Most confident mistakes",
        said,
        lambda: pictures.images([x.reshape(shape) for x in X], titles, columns=4),
    )


def _wrong_rows(test: Rows, worst: np.ndarray, wrong: int) -> str:
    """The most confident mistakes as a table of their columns."""
    names = test.experiment.dataset.classes
    own = test.experiment.dataset.parts.get("test")  # a file of its own, whose rows are counted for themselves
    first = 0 if own is None else int(own[0])
    lines = []
    for i in worst:
        values = rows.as_given(test, i)
        shown = [f"{name} {_short(values[name])}" for name in rows.unusual(test, i, FEATURES)]
        lines.append(
            (
                test.numbers[i] - first,
                names[test.y[i]],
                names[test.predicted[i]],
                f"{test.p[i].max():.4f}",
                "; ".join(shown),
            )
        )
    many = len(test.experiment.dataset.feature_names) > FEATURES
    said = f"Of {wrong:,} wrong test rows, those of highest confidence" + (
        f", with the {FEATURES} features in which each is most unusual." if many else "."
    )
    said += " Rows count from 0" + (", those left out aside." if test.experiment.config.data.missing == "drop" else ".")
    return f"<p class=faint>{text(said)}</p>" + table(["row", "true", "predicted", "p", "features"], lines)


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def _regions(test: Rows) -> Figure:
    """The net over a grid that holds all rows, with a margin."""
    experiment = test.experiment
    X, features = experiment.dataset.X, experiment.features
    X = np.where(np.isnan(X), features.fill, X)
    low, high = X.min(axis=0), X.max(axis=0)
    margin = 0.06 * np.where(high > low, high - low, 1)
    x0, x1 = (np.linspace(low[j] - margin[j], high[j] + margin[j], GRID) for j in range(2))
    points = np.stack(np.meshgrid(x0, x1), axis=-1).reshape(-1, 2)
    p = softmax(experiment.net.logits((points - features.center) / features.scale)).reshape(GRID, GRID, -1)
    names = [label(name) for name in experiment.dataset.classes]
    axes = [label(name, 40) for name in experiment.dataset.feature_names]
    return pictures.regions((x0, x1, p), X[test.numbers], test.y, test.predicted, names, axes)


def _sizes(run: Run) -> Picture:
    said = (
        "In the last step of each epoch: the norm of each layer's gradient, before it is clipped; and how far the "
        "optimizer moved the layer, as a share of its weights. A rule of thumb has it near 0.001."
    )
    return draw("sizes", "Gradients and updates", said, lambda: pictures.sizes(run.epochs))
