"""The rows of a run's test part, what its model makes of them, and which columns it needs."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet import files, model, runs
from minnet.core.network import ROWS
from minnet.core.softmax import cross_entropy, softmax
from minnet.data.table import Table
from minnet.errors import DataError
from minnet.model import Model
from minnet.report.saved import Run

Shape = tuple[int, int] | None  # height and width of images, if the rows are images
GRID = 200  # points along each of two features
SHUFFLES, TRIED = 5, 50  # of each column; columns, at most
WORK = 5 * 10**10  # products in all shuffles, about 8 s; no clock, so that a page stays the same
IMAGES = {"olivetti_faces": (64, 64), "lfw_people": (62, 47)}


@dataclass
class Tested:
    """The test part: its rows (n,) of the table, labels y (n,), and what the model predicts (n,)
    with which confidence (n,), the largest p."""

    model: Model
    table: Table
    rows: NDArray
    y: NDArray
    predicted: NDArray
    confidence: NDArray


def test_part(run: Run) -> Tested:
    """The test part of a finished run, loaded again from its source. Raises DataError if these are
    not the data that the run was trained on, and what loading data, model and checkpoint raises."""
    trained, prepared = model.load(run.folder), runs.prepare(run.config)
    _, about = files.load_sealed(run.folder / "checkpoint.npz", "checkpoint")
    then = trained.net.layer_sizes, about.get("digests")
    if (prepared.net.layer_sizes, runs.digests(prepared)) != then:
        raise DataError(f"{run.config.data.source}: not the data that the run was trained on")
    rows, part = prepared.data.parts["test"], prepared.parts["test"]
    starts = range(0, len(rows), ROWS)  # as rows may be on the disk
    p = np.concatenate([softmax(trained.net.logits(part.X[i : i + ROWS])) for i in starts])
    outcome = part.y, p.argmax(axis=1), p.max(axis=1).astype(np.float64)
    return Tested(trained, prepared.data.table, rows, *outcome)


def importance(test: Tested) -> tuple[list[str], NDArray, int]:
    """Columns, those that matter most first; by how much the mean loss rises in each shuffle of one
    of them, (c, SHUFFLES); and of how many test rows. This is permutation importance (Breiman 2001)
    on as many rows as WORK allows, and, if these are too few, on the columns with large weights."""
    from sklearn import dummy, inspection

    weights, net = _weights_of_columns(test.model), test.model.net
    pairs = WORK // (SHUFFLES * (net.theta.size + 500 * net.layer_sizes[0]))  # of row and column
    n = min(len(test.rows), max(100, pairs // min(TRIED, len(weights))))
    tried = np.argsort(-weights, kind="stable")[: min(TRIED, max(1, pairs // n))]
    some = np.random.default_rng(0).permutation(len(test.rows))[:n]
    table, every = test.table.take(test.rows[some]), np.arange(n)[:, None]

    def score(_: Any, shuffled: NDArray, y: NDArray) -> float:
        """Minus the mean loss if column tried[j] has the cells of rows shuffled[:, j]."""
        rows, D = np.tile(every, len(weights)), len(table.names)
        rows[:, tried] = shuffled
        X = np.take_along_axis(table.X, rows[:, :D], axis=0)
        text = {name: table.text[name][rows[:, D + j]] for j, name in enumerate(table.text)}
        z = [*test.model.logits_in_blocks(replace(table, X=X, text=text))]
        return -float(cross_entropy(np.concatenate(z), y).mean(dtype=np.float64))

    # scikit-learn shuffles row numbers, a column of them for each of ours; the model is in `score`
    what = dummy.DummyClassifier(), np.tile(every, len(tried)), test.y[some]
    how: dict[str, Any] = {"scoring": score, "n_repeats": SHUFFLES, "random_state": 0}
    found = inspection.permutation_importance(*what, **how)
    order = np.argsort(-found.importances_mean, kind="stable")
    return [table.columns[j] for j in tried[order]], found.importances[order], n


def _weights_of_columns(model: Model) -> NDArray:
    """The sum of squares of each column's weights in the first layer."""
    places = {name: j for j, name in enumerate(model.preprocessing.columns)}
    columns, W = [places[name] for name, _ in model.preprocessing.pieces], model.net.weights[0]
    squares = np.square(W).sum(axis=-1).reshape(-1, len(columns)).sum(axis=0)  # of all members
    return np.bincount(columns, squares)


def mistakes(test: Tested) -> NDArray:
    """The places of the rows that are predicted wrong, the most confident first."""
    wrong = np.flatnonzero(test.predicted != test.y)
    return wrong[np.argsort(-test.confidence[wrong], kind="stable")]


def image_shape(test: Tested, asked: Shape) -> Shape:
    """Height and width if the inputs are images: as asked, as known of a data set of scikit-learn,
    or square if every column is named like a pixel; else None. Raises DataError if the shape that
    was asked for does not fit the inputs."""
    names, text = test.model.preprocessing.names, [*test.model.preprocessing.categories]
    D, side = len(names), math.isqrt(len(names))
    if asked and (text or math.prod(asked) != D):
        wrong = f"{text[0]} is text" if text else f"a row has {D} numbers, not {math.prod(asked)}"
        raise DataError(f"--image {asked[0]}x{asked[1]}: {wrong}")
    pixels = not text and all(name.lower().startswith("pixel") for name in names)
    square = pixels and D == side**2 > 1
    return asked or ((side, side) if square else IMAGES.get(test.model.source))


def features(test: Tested, place: int, most: int) -> str:
    """The cells of one row of the test part, as given, each after the name of its column. Of
    numbers, at most so many, first those that are farthest from the center of the training part, in
    units of their scale."""
    fitted, cells = test.model.preprocessing, test.table.row(test.rows[place])
    x, D = np.array([cells[name] for name in fitted.names]), len(fitted.names)
    distance = np.abs((x - fitted.center[:D]) / fitted.scale[:D])
    far = [fitted.names[j] for j in np.argsort(-distance, kind="stable")[:most]]
    numbers = [f"{name} {cells[name]:.6g}" for name in far]
    return "; ".join(numbers + [f"{name} {cells[name]}" for name in fitted.categories])


def over_grid(test: Tested) -> tuple[NDArray, NDArray]:
    """For two features: where the grid's lines are (GRID, 2), from below the lowest to above the
    highest row; and p (GRID, GRID, K), whose first axis is the second feature."""
    low, high = np.nanmin(test.table.X, axis=0), np.nanmax(test.table.X, axis=0)
    margin = 0.06 * (high - low) + (high == low)
    lines = np.linspace(low - margin, high + margin, GRID)
    points = np.stack(np.meshgrid(*lines.T), axis=-1).reshape(-1, 2)
    return lines, test.model.predict_proba(points).reshape(GRID, GRID, -1)
