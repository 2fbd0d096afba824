"""From columns to what the net takes: missing values, categories, scaling. All is fitted on the training part."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.errors import DataError


@dataclass
class Features:
    """How D columns of numbers, and columns of text, become the D' inputs of the net.

    fill (D,): what stands in for a missing number, NaN where none may be missing. categories: the values of each
    column of text, which become a column each, 1 where the row has the value; a value that is not among them is all
    zeros. Then x -> (x - center) / scale, both (D',). A sparse X is never shifted: its center is 0.
    """

    names: list[str]
    fill: NDArray
    center: NDArray
    scale: NDArray
    categories: dict[str, list[str]] = field(default_factory=dict)

    @property
    def inputs(self) -> list[str]:
        """The names of the net's D' inputs."""
        return [*self.names, *(f"{name}={value}" for name, values in self.categories.items() for value in values)]


def fit(scale: str, missing: str, names: list[str], X: Any, text: dict[str, NDArray]) -> Features:
    """Fitted on the rows X (n, D), with NaN where a number is missing, and on the columns of text (n,) each; X may also
    be blocks of rows one after the other, in which nothing is missing.

    `scale` is "standard", (x - mean) / sd; "minmax", to 0..1; or "none". Sparse rows are only divided, by sd or by
    max |x|; a constant column is divided by 1. `missing` is "mean" or "median", else nothing may be missing.
    Raises DataError for a column that has no number at all, or numbers too large to be scaled.
    """
    D = len(names)
    fill = np.full(D, np.nan)
    if missing in ("mean", "median") and D and isinstance(X, np.ndarray):
        from sklearn.impute import SimpleImputer

        empty = np.isnan(X).all(axis=0)
        if empty.any():
            name = names[int(empty.argmax())]
            raise DataError(f"column {name!r} holds no number in the training part: leave it out of the file")
        with np.errstate(over="ignore", invalid="ignore"):
            fill = SimpleImputer(strategy=missing).fit(X).statistics_
        _check_size(fill, names)
    categories = {name: sorted(set(cells.tolist()) - {""}) for name, cells in text.items()}
    for name in (name for name, values in categories.items() if not values):
        raise DataError(f"column {name!r} holds nothing in the training part: leave it out of the file")
    unscaled = Features(names, fill, np.zeros(0), np.ones(0), categories)
    blocks = [_columns(unscaled, X, text)] if hasattr(X, "shape") else X
    unscaled.center, unscaled.scale = _scaling(scale, blocks, unscaled.inputs)
    return unscaled


def apply(features: Features, X: Any, text: dict[str, NDArray]) -> Any:
    """The net's inputs (n, D') in float64, or sparse, for the rows X (n, D) and the columns of text (n,) each."""
    if hasattr(X, "tocsr"):
        X = X.tocsr().astype(np.float64)
        X.data /= features.scale[X.indices]
        return X
    return (_columns(features, X, text) - features.center) / features.scale


def _columns(features: Features, X: Any, text: dict[str, NDArray]) -> Any:
    """X with the missing numbers filled in and a column for each category."""
    if hasattr(X, "tocsr"):
        return X
    if not np.isnan(features.fill).all():
        X = np.where(np.isnan(X), features.fill, X)
    if not features.categories:
        return X

    from sklearn.preprocessing import OneHotEncoder

    values = [np.array(features.categories[name], dtype=object) for name in features.categories]
    cells = np.column_stack([text[name].astype(object) for name in features.categories])
    encoder = OneHotEncoder(categories=values, sparse_output=False, handle_unknown="ignore")
    encoder.fit([[known[0] for known in values]])  # the categories are given; it wants a row all the same
    return np.hstack([X, encoder.transform(cells)]) if len(X) else np.empty((0, len(features.inputs)))


def _scaling(kind: str, blocks: Iterable[Any], names: list[str]) -> tuple[NDArray, NDArray]:
    """Center and scale, (D',) each, of rows that come in blocks."""
    center, scale = np.zeros(len(names)), np.ones(len(names))
    fitted: Any = None
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for X in blocks:
            if kind != "none" and X.shape[0]:
                X = X.astype(np.float64, copy=False)
                fitted = (fitted or _scaler(kind, hasattr(X, "tocsr"))).partial_fit(X)
        if kind == "standard":
            # where the variance is beyond float64, scikit-learn would divide by 1
            scale = np.where(np.isfinite(fitted.var_), fitted.scale_, np.inf)
            center = fitted.mean_ if fitted.with_mean else center
        elif kind == "minmax":
            sparse = not hasattr(fitted, "data_min_")
            center, scale = (center, fitted.scale_) if sparse else (fitted.data_min_, 1 / fitted.scale_)
    _check_size(center, names)
    _check_size(scale, names)
    return center, scale


def _scaler(kind: str, sparse: bool) -> Any:
    from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler

    if kind == "standard":
        return StandardScaler(with_mean=not sparse)
    return MaxAbsScaler() if sparse else MinMaxScaler()


def _check_size(fitted: NDArray, names: list[str]) -> None:
    """Raises DataError for a column of which something fitted is not finite."""
    bad = ~np.isfinite(fitted)
    if bad.any():
        raise DataError(f"column {names[int(bad.argmax())]!r} holds numbers too large to be scaled: divide it first")
