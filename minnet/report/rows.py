"""The rows of a run's test part, and what its model makes of them."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet import data, experiment, runs, storage
from minnet.core.network import ROWS
from minnet.core.softmax import softmax
from minnet.errors import DataError
from minnet.experiment import Experiment
from minnet.report.folder import Run

BINS = 10  # of confidence, of equal width, as in Guo et al. 2017
IMAGES = {"digits": (8, 8), "olivetti_faces": (64, 64), "lfw_people": (62, 47)}


@dataclass
class Rows:
    """The test part: p (n, K) by the trained net, which is in `experiment`; y (n,); numbers (n,), which rows of the
    data set they are."""

    experiment: Experiment
    p: NDArray
    y: NDArray
    numbers: NDArray

    @property
    def predicted(self) -> NDArray:
        """The class (n,) of each row."""
        return self.p.argmax(axis=1)


def of_test(run: Run) -> Rows:
    """The test part of a run that has ended, from the data's own source.

    Raises DataError where it is not the data that the run was trained on, and what loading data and model raises.
    """
    assert run.result is not None
    prepared = experiment.prepare(run.config)
    arrays, _ = storage.read_model(run.folder)
    if arrays["theta"].shape != prepared.net.theta.shape:
        raise DataError(f"{run.config.data.source}: not the data that the run was trained on")
    prepared.net.theta[:] = arrays["theta"]
    part = prepared.parts["test"]
    _, entries = storage.read_checkpoint(run.folder / "checkpoint.npz")
    if entries["data"] != runs.fingerprints(prepared):
        raise DataError(f"{run.config.data.source}: not the data that the run was trained on")
    with np.errstate(all="ignore"):
        p = softmax(np.concatenate([prepared.net.logits(X1, has_ones=True) for X1 in _blocks(part.X1)]))
    return Rows(prepared, p, part.y, data.split(prepared.dataset, run.config.data)[2])


def _blocks(X1: Any) -> Iterator[Any]:
    """A part's rows, which may be on the disk, a block at a time."""
    for start in range(0, X1.shape[0], ROWS):
        yield X1[start : start + ROWS]


@dataclass
class Calibration:
    """Of the rows in each bin of confidence, the largest p: how many (b,), the mean confidence and the share that is
    right, NaN where there are none; and the calibration error, the mean over rows of the gap between these two
    (Guo et al. 2017, eq. 3)."""

    count: NDArray
    confidence: NDArray
    accuracy: NDArray
    error: float


def calibration(p: NDArray, y: NDArray, bins: int = BINS) -> Calibration:
    """How far the confidence of the net can be taken at its word, for p (n, K) and y (n,).

    >>> p = np.array([[0.7, 0.3], [0.7, 0.3], [0.3, 0.7], [0.7, 0.3], [0.0, 1.0]])
    >>> found = calibration(p, np.array([0, 0, 0, 1, 1]))
    >>> found.count[[6, 9]], found.accuracy[6], round(found.error, 3)
    (array([4, 1]), np.float64(0.5), 0.16)
    """
    confidence, right = p.max(axis=1).astype(np.float64), p.argmax(axis=1) == y
    # the upper edge belongs to a bin, (0.6, 0.7], also where float32 has 0.7 a little above
    place = np.clip(np.ceil(confidence * bins - 1e-6).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, confidence, bins) / count
        accuracy = np.bincount(place, right, bins) / count
    error = float(np.nansum(count * np.abs(mean - accuracy)) / len(y))
    return Calibration(count, mean, accuracy, error)


def mistakes(rows: Rows, most: int) -> NDArray:
    """The places in the test part of its wrong rows, the most confident first."""
    confidence = rows.p.max(axis=1)
    wrong = np.flatnonzero(rows.predicted != rows.y)
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:most]


def image_shape(rows: Rows, asked: tuple[int, int] | None) -> tuple[int, int] | None:
    """Height and width of the images that the inputs are, if they are any: those asked for, those of scikit-learn's
    sets, or a square where every column is named a pixel.

    Raises DataError where as many inputs as were asked for are not there.
    """
    names = rows.experiment.features.inputs
    D = len(names)
    if asked is not None:
        if asked[0] * asked[1] != D:
            raise DataError(f"--image {asked[0]}x{asked[1]}: the rows have {D} inputs, not {asked[0] * asked[1]}")
        return asked
    shape = IMAGES.get(rows.experiment.config.data.source)
    if shape is None and all(re.match("pixel", name, re.IGNORECASE) for name in names) and math.isqrt(D) ** 2 == D > 1:
        shape = (math.isqrt(D), math.isqrt(D))
    return shape


def as_given(rows: Rows, place: int) -> dict[str, Any]:
    """The columns of one row of the test part by name, as its source has them; NaN or "" where a cell is missing."""
    dataset, row = rows.experiment.dataset, rows.numbers[place]
    X = dataset.X[[row]]
    X = X.toarray() if hasattr(X, "tocsr") else X
    return dict(zip(dataset.feature_names, X[0].tolist(), strict=True)) | {
        name: cells[row] for name, cells in dataset.text.items()
    }


def unusual(rows: Rows, place: int, most: int) -> list[str]:
    """The names of the columns of numbers in which this row is farthest from the middle of the training part, in
    units of their scale; all of them in order if there are no more than `most`, and those of text."""
    dataset = rows.experiment.dataset
    names = list(dataset.feature_names)
    if len(names) > most:
        X1 = rows.experiment.parts["test"].X1[[place]]
        x = np.abs(X1.toarray()[0] if hasattr(X1, "tocsr") else X1[0])[: len(names)]
        names = [names[j] for j in np.argsort(-x, kind="stable")[:most]]
    return [*names, *dataset.text]
