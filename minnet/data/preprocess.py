"""From a table's columns to the net's inputs: missing values, categories, scaling.

All of it is fitted on the training part and stored with the model.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.data.table import Table
from minnet.errors import DataError

EMPTY = "is empty in the training part: remove it"
TOO_LARGE = "holds numbers too large to be scaled: divide it first"


@dataclass
class Preprocessing:
    """How D columns of numbers, and columns of text, become the net's D' inputs.

    fill (D,) replaces missing numbers; None where none may be missing. Each of a text column's
    categories is an input: 1 in the rows that have it. Then x -> (x - center) / scale, both (D',).
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
        """The inputs (n, D') in float64 of a table in memory with these columns. Sparse rows stay
        sparse unless they have to be shifted. Raises DataError for a missing value if there was
        none in training."""
        if self.names and (self.fill is None or table.sparse):
            table.check(np.isnan, "the model was trained without missing values")
        X = self.encode(table)
        if not table.sparse:
            return (X - self.center) / self.scale
        if self.center.any():
            return (X.toarray() - self.center) / self.scale
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
            cells = np.array([places.get(cell, -1) for cell in table.text[name]])
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
        return cls(**({"fill": None} | arrays | about))


def fit(scale: str, missing: str, blocks: Iterable[Table]) -> Preprocessing:
    """Fitted on rows in blocks, of which the first decides on missing numbers and categories.

    `scale`: "standard", (x - mean) / sd; "minmax", to 0..1; or "none". Sparse rows are only
    divided, by sd or max |x|; a constant column, by 1. `missing`: "mean", "median", or another word
    where none may be missing. Raises DataError for a column that is empty or has too large numbers.
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
        _refuse(fitted.inputs, ~np.isfinite(fitted.center + fitted.scale), TOO_LARGE)
    return fitted


def _unscaled(missing: str, table: Table) -> Preprocessing:
    fill = None
    if missing in ("mean", "median") and not table.sparse:
        _refuse(table.names, np.isnan(table.X).all(axis=0), EMPTY)
        fill = (np.nanmean if missing == "mean" else np.nanmedian)(table.X, axis=0)
        _refuse(table.names, ~np.isfinite(fill), TOO_LARGE)
    categories = {name: sorted({*cells.tolist()} - {""}) for name, cells in table.text.items()}
    _refuse(list(categories), np.array([not values for values in categories.values()]), EMPTY)
    D = len(table.names) + sum(map(len, categories.values()))
    return Preprocessing(table.names, fill, np.zeros(D), np.ones(D), categories)


def _refuse(names: list[str], bad: NDArray, what: str) -> None:
    """Raise DataError for the first column that is bad."""
    if bad.any():
        raise DataError(f"column {names[int(bad.argmax())]!r} {what}")
