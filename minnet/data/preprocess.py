"""From a table's columns to the net's inputs: missing values, categories, scaling.

All of it is fitted on the training part and stored with the model.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.data.table import Table
from minnet.errors import DataError

EMPTY = "is empty in the training part: remove it"


@dataclass
class Preprocessing:
    """How D columns of numbers, and columns of text, become the net's D' inputs.

    fill (D,): what replaces a missing number, None where none may be missing. categories: the
    values of each column of text, each of which is an input: 1 in the rows that have it. A value
    that is not among them is 0 in all. Then x -> (x - center) / scale, both (D',).
    """

    names: list[str]
    fill: NDArray | None
    center: NDArray
    scale: NDArray
    categories: dict[str, list[str]] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The names of the columns, those of numbers first."""
        return [*self.names, *self.categories]

    @property
    def inputs(self) -> list[str]:
        """The names of the net's D' inputs."""
        pairs = self.categories.items()
        return [*self.names, *(f"{name}={value}" for name, values in pairs for value in values)]

    def transform(self, table: Table) -> Any:
        """The inputs (n, D') in float64, dense or csr, of a table in memory with these columns.

        Sparse rows stay sparse unless they have to be shifted. Raises DataError for a missing value
        if there was none in training.
        """
        missing = table.first_missing()
        if missing and self.names and (self.fill is None or table.sparse):
            hint = "and the model was trained without missing values"
            raise DataError(f"{table.place(*missing)} is missing, {hint}")
        if not table.sparse:
            return (self.encode(table) - self.center) / self.scale
        if self.center.any():
            return (table.X.toarray() - self.center) / self.scale
        X = table.X.astype(np.float64)
        X.data /= self.scale[X.indices]
        return X

    def encode(self, table: Table) -> Any:
        """The inputs before they are scaled: missing numbers replaced, and the categories."""
        if table.sparse:
            return table.X.astype(np.float64)
        X = table.X.astype(np.float64, copy=False)
        if self.fill is not None:
            X = np.where(np.isnan(X), self.fill, X)
        blocks = [X]
        for name, values in self.categories.items():
            places = {value: k for k, value in enumerate(values)}
            cells = np.array([places.get(cell, -1) for cell in table.text[name].tolist()])
            blocks.append(cells[:, None] == np.arange(len(values)))
        return np.hstack(blocks) if self.categories else X

    def arrays(self) -> dict[str, NDArray]:
        """What to store as arrays."""
        scaling = {"center": self.center, "scale": self.scale}
        return scaling if self.fill is None else scaling | {"fill": self.fill}

    def about(self) -> dict[str, Any]:
        """What to store as JSON."""
        return {"names": self.names, "categories": self.categories}

    @classmethod
    def restore(cls, arrays: dict[str, NDArray], about: dict[str, Any]) -> "Preprocessing":
        """The same from what was stored. Raises KeyError or TypeError for other content."""
        stored: dict[str, Any] = {"fill": None, **arrays, **about}
        return cls(**stored)


def fit(scale: str, missing: str, blocks: Iterable[Table]) -> Preprocessing:
    """Fitted on rows in blocks, of which the first decides on missing numbers and categories.

    `scale` is "standard", (x - mean) / sd; "minmax", to 0..1; or "none". Sparse rows are only
    divided, by sd or by max |x|. A constant column is divided by 1. `missing` is "mean", "median"
    or another word where none may be missing. Raises DataError for a column that is empty, or with
    numbers too large to be scaled.
    """
    from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler

    fitted: Any = None
    scaler: Any = None
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for block in blocks:
            if fitted is None:
                fitted = _unscaled(missing, block)
                minmax = MaxAbsScaler() if block.sparse else MinMaxScaler()
                standard = StandardScaler(with_mean=not block.sparse)
                scaler = {"standard": standard, "minmax": minmax}.get(scale)
            if scaler and len(block):
                scaler.partial_fit(fitted.encode(block))
        if scale == "standard":
            # scikit-learn would divide by 1 where the variance is beyond float64
            fitted.scale = np.where(np.isfinite(scaler.var_), scaler.scale_, np.inf)
            fitted.center = scaler.mean_ if scaler.with_mean else fitted.center
        elif hasattr(scaler, "data_min_"):
            fitted.center, fitted.scale = scaler.data_min_, 1 / scaler.scale_
        elif scaler:
            fitted.scale = scaler.scale_
        _check(fitted.inputs, fitted.center + fitted.scale)
    return fitted


def _unscaled(missing: str, table: Table) -> Preprocessing:
    """What replaces missing numbers, and the categories."""
    fill = None
    if missing in ("mean", "median") and not table.sparse:
        empty = np.isnan(table.X).all(axis=0).tolist()
        if any(empty):
            raise DataError(f"column {table.names[empty.index(True)]!r} {EMPTY}")
        fill = (np.nanmean if missing == "mean" else np.nanmedian)(table.X, axis=0)
        _check(table.names, fill)
    categories = {name: sorted({*cells.tolist()} - {""}) for name, cells in table.text.items()}
    for name in (name for name, values in categories.items() if not values):
        raise DataError(f"column {name!r} {EMPTY}")
    unscaled = Preprocessing(table.names, fill, np.zeros(0), np.ones(0), categories)
    D = len(unscaled.inputs)
    return replace(unscaled, center=np.zeros(D), scale=np.ones(D))


def _check(names: list[str], fitted: NDArray) -> None:
    """Raise DataError for a column of which something fitted is not finite."""
    for name in (name for name, x in zip(names, fitted, strict=True) if not math.isfinite(x)):
        raise DataError(f"column {name!r} holds numbers too large to be scaled: divide it first")
