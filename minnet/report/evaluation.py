"""The rows of a run's test part and what its model makes of them: calibration and mistakes."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minnet import files, model, runs
from minnet.core.network import ROWS
from minnet.core.softmax import softmax
from minnet.errors import DataError
from minnet.model import Model
from minnet.report.saved import Run
from minnet.runs import Prepared

Shape = tuple[int, int] | None  # height and width of images, if the rows are images
BINS = 10  # of confidence, of equal width, as in Guo et al. 2017
GRID = 200  # points along each of two features
IMAGES = {"olivetti_faces": (64, 64), "lfw_people": (62, 47)}


@dataclass
class Tested:
    """The test part: rows (n,) of the data, their labels y (n,), and the model's p (n, K)."""

    prepared: Prepared
    model: Model
    rows: NDArray
    y: NDArray
    p: NDArray


def test_part(run: Run) -> Tested:
    """The test part of a finished run, loaded again from its source.

    Raises DataError if these are not the data that the run was trained on, and what loading data,
    model and checkpoint raises.
    """
    trained = model.load(run.folder)
    _, about = files.load_sealed(run.folder / "checkpoint.npz", "checkpoint")
    prepared, net = runs.prepare(run.config), trained.net
    same_net = prepared.net.layer_sizes == net.layer_sizes
    if not same_net or runs.digests(prepared) != about.get("digests"):
        raise DataError(f"{run.config.data.source}: not the data that the run was trained on")
    part = prepared.parts["test"]
    starts = range(0, len(part.y), ROWS)  # as rows may be on the disk
    p = np.concatenate([softmax(net.logits(part.X[i : i + ROWS])) for i in starts])
    return Tested(prepared, trained, prepared.data.parts["test"], part.y, p)


class Bin(NamedTuple):
    """The rows whose confidence, the largest p, is in one bin: the middle of the bin, the number of
    rows, their mean confidence, and their accuracy with a 95% interval."""

    middle: float
    rows: int
    confidence: float
    accuracy: float
    low: float
    high: float


def calibration(p: NDArray, y: NDArray) -> list[Bin]:
    """The bins of confidence that have rows, for p (n, K) and y (n,).

    >>> p = np.array([[0.7, 0.3], [0.7, 0.3], [0.3, 0.7], [0.7, 0.3], [0.0, 1.0]])
    >>> found = calibration(p, np.array([0, 0, 0, 1, 1]))
    >>> [f"{b.middle:.2f}: {b.rows} rows, {b.confidence:.1f}, {b.accuracy:.1f}" for b in found]
    ['0.65: 4 rows, 0.7, 0.5', '0.95: 1 rows, 1.0, 1.0']
    >>> round(gap(found), 3)
    0.16
    """
    confidence, right = p.max(axis=1).astype(np.float64), p.argmax(axis=1) == y
    # (0.6, 0.7] is a bin: with 0.7 in it, also where that is a little more in float32
    place = np.maximum(np.ceil(confidence * BINS - 1e-6), 1)
    found = []
    for b in np.unique(place):
        inside = place == b
        n, k, mean = inside.sum(), right[inside].sum(), confidence[inside].mean()
        found.append(Bin((b - 0.5) / BINS, n, mean, k / n, *wilson(k, n)))
    return found


def gap(bins: list[Bin]) -> float:
    """The mean over rows of the gap between confidence and accuracy (Guo et al. 2017, eq. 3)."""
    _, rows, confidence, accuracy, *_ = np.transpose(bins)
    return float(np.average(np.abs(confidence - accuracy), weights=rows))


def wilson(right: int, n: int) -> tuple[float, float]:
    """A 95% interval for the chance of being right, given how many of n rows were (Wilson 1927).

    >>> print("{:.4f} to {:.4f}".format(*wilson(355, 360)))
    0.9679 to 0.9941
    """
    from scipy.stats import binomtest

    return binomtest(int(right), int(n)).proportion_ci(method="wilson")


def mistakes(p: NDArray, y: NDArray) -> NDArray:
    """The places of the rows that p (n, K) gets wrong, the most confident first."""
    wrong = np.flatnonzero(p.argmax(axis=1) != y)
    return wrong[np.argsort(-p[wrong].max(axis=1), kind="stable")]


def image_shape(test: Tested, asked: Shape) -> Shape:
    """Height and width if the inputs are images: as asked, as known of a data set of scikit-learn,
    or square if every column is named like a pixel; else None.

    Raises DataError if the shape that was asked for does not fit the inputs.
    """
    names = test.model.preprocessing.inputs
    D, side = len(names), math.isqrt(len(names))
    if asked and math.prod(asked) != D:
        wrong = f"the rows have {D} inputs, not {math.prod(asked)}"
        raise DataError(f"--image {asked[0]}x{asked[1]}: {wrong}")
    square = D == side**2 > 1 and all(name.lower().startswith("pixel") for name in names)
    return asked or ((side, side) if square else IMAGES.get(test.model.source))


def features(test: Tested, place: int, most: int) -> str:
    """The cells of one row of the test part, as given, each after the name of its column.

    Of columns of numbers, at most so many, those first in which the row is farthest from the
    center of the training part, in units of their scale.
    """
    preprocessing, cells = test.model.preprocessing, test.prepared.data.table.row(test.rows[place])
    x = dense(test.prepared.parts["test"].X[[place]])[0, : len(preprocessing.names)]
    far = [preprocessing.names[j] for j in np.argsort(-np.abs(x), kind="stable")[:most]]
    numbers = [f"{name} {cells[name]:.6g}" for name in far]
    return "; ".join(numbers + [f"{name} {cells[name]}" for name in preprocessing.categories])


def over_grid(test: Tested) -> tuple[NDArray, NDArray]:
    """For two features: where the grid's lines are (GRID, 2), from below the lowest to above the
    highest row; and p (GRID, GRID, K), whose first axis is the second feature."""
    X = test.prepared.data.table.X
    low, high = np.nanmin(X, axis=0), np.nanmax(X, axis=0)
    margin = 0.06 * (high - low) + (high == low)
    lines = np.linspace(low - margin, high + margin, GRID)
    points = np.stack(np.meshgrid(*lines.T), axis=-1).reshape(-1, 2)
    return lines, test.model.predict_proba(points).reshape(GRID, GRID, -1)


def dense(X: Any) -> NDArray:
    """X, which may be sparse, as an array."""
    return X.toarray() if hasattr(X, "tocsr") else X
