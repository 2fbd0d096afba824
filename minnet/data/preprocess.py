"""From a table's columns to the net's inputs: missing values, categories, scaling.

All of it is fitted on the training part and stored with the model.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.data.table import BLOCK, Table, as_number
from minnet.errors import DataError, short

RARE = 5  # a category of fewer training rows is rare; fewer than that, in less than 200 rows
MOST = 256  # categories of a column that have an input of their own
GAP, OTHER = "", "\0"  # stand for missing cells, and for rare or unknown categories
SAMPLE = 1 << 17  # rows that "robust" scaling looks at
BINS = 8  # of a column, with as many training rows in each
MOST_BINS = 1000  # of all columns together
LARGE = 1 << 27  # numbers in the bins of all rows, beyond which there are none
CLIP = 3.0  # inputs farther out than this are drawn in: x / sqrt(1 + (x / CLIP)^2)


@dataclass
class Preprocessing:
    """How D columns of numbers, and columns of text, become the net's D' inputs.

    fill (D,) replaces missing numbers; None where none may be missing. A column in `gaps` has an
    input that is 1 where it is missing. Each of a text column's categories, and GAP and OTHER, is
    an input: 1 in the rows that have it; if they are two, one input is 0 or 1, and 1/2 for any
    other cell. A column in `closed` may have no other cell, nor a missing number. A column's
    `edges` e cut its range into bins, each an input: the share of bin t that is below x, clip((x -
    e_t) / (e_t+1 - e_t), 0, 1) - 1/2 (Gorishniy et al. 2022, eq. 1). Then x -> (x - center) /
    scale, both (D',), and with `clip` numbers become x / sqrt(1 + (x/3)^2) (Holzmueller et al.
    2024).
    """

    names: list[str]
    fill: NDArray | None
    center: NDArray
    scale: NDArray
    categories: dict[str, list[str]] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)
    edges: dict[str, list[float]] = field(default_factory=dict)
    clip: bool = False
    closed: list[str] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """The names of the columns, those of numbers first."""
        return [*self.names, *self.categories]

    @property
    def pieces(self) -> list[tuple[str, str]]:
        """For each of the net's D' inputs, its column and its own name."""
        words = {GAP: "missing", OTHER: "other"}
        found = [(name, name) for name in self.names]
        found += [(name, f"{name} missing") for name in self.gaps]
        for name, edges in self.edges.items():
            found += [(name, f"{name} from {e:g}") for e in edges[:-1]]
        for name, values in self.categories.items():
            shown = values[1:] if len(values) == 2 else values
            found += [(name, f"{name}={words.get(value, value)}") for value in shown]
        return found

    @property
    def inputs(self) -> list[str]:
        """The names of the net's D' inputs."""
        return [name for _, name in self.pieces]

    def transform(self, table: Table) -> Any:
        """The inputs (n, D') in float64 of a table in memory with these columns. Sparse rows stay
        sparse unless they have to be shifted. Raises DataError for a missing value if there may be
        none."""
        if self.names and (self.fill is None or table.sparse):
            table.check(np.isnan, "the model was trained without missing values")
        for name in self.closed:
            self._check_known(table, name)
        X = self.encode(table)
        if table.sparse and not self.center.any():
            X.data /= self.scale[X.indices]
            return X
        X = (X.toarray() if table.sparse else X) - self.center
        X /= self.scale
        if self.clip:
            x = X[:, : len(self.names)]
            x /= np.hypot(1, x / CLIP)  # hypot does not overflow
        return X

    def encode(self, table: Table) -> Any:
        """The inputs before they are scaled: missing numbers replaced, and the categories."""
        if table.sparse:
            return table.X.astype(np.float64)
        D = len(self.names)
        X = np.zeros((len(table), len(self.inputs)))
        X[:, :D] = table.X
        if self.fill is not None:
            missing = np.isnan(X[:, :D])
            np.copyto(X[:, :D], self.fill, where=missing)
            X[:, D : D + len(self.gaps)] = missing[:, [self.names.index(n) for n in self.gaps]]
        j = D + len(self.gaps)
        for name, edges in self.edges.items():
            x, e = X[:, self.names.index(name), None], np.array(edges)
            X[:, j : j + len(e) - 1] = np.clip((x - e[:-1]) / np.diff(e), 0, 1) - 0.5
            j += len(e) - 1
        for name, values in self.categories.items():
            k = codes(table.text[name], values)
            if len(values) == 2:
                X[:, j] = np.array([0, 1, 0.5])[k]
                j += 1
            else:
                rows = np.flatnonzero(k < len(values))
                X[rows, j + k[rows]] = 1
                j += len(values)
        return X

    def _check_known(self, table: Table, name: str) -> None:
        """Raise DataError for a cell of the column that is missing, or none of its categories."""
        if name in self.names:
            bad, what = np.isnan(table.X[:, self.names.index(name)]), "is missing"
        else:
            known = [value for value in self.categories[name] if value != OTHER]
            bad = codes(table.text[name], known) == len(known)
            cell = table.text[name][bad.argmax()]
            what = f"holds {short(cell)}, which the model does not know" if cell else "is missing"
        if bad.any():
            raise DataError(f"{table.place(int(bad.argmax()), name)} {what}")

    def arrays(self) -> dict[str, NDArray]:
        """What to store as arrays."""
        scaling = {"center": self.center, "scale": self.scale}
        return scaling if self.fill is None else scaling | {"fill": self.fill}

    def about(self) -> dict[str, Any]:
        """What to store as JSON."""
        names = ("names", "categories", "gaps", "edges", "clip", "closed")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def restore(cls, arrays: dict[str, NDArray], about: dict[str, Any]) -> "Preprocessing":
        """The same from what was stored. Raises KeyError or TypeError for other content."""
        return cls(**({"fill": None} | arrays | about))


def codes(cells: NDArray, values: list[str]) -> NDArray:
    """The place of each cell (n,) among the values, for which 1, 1.0 and 1e0 are one if all of them
    are numbers; else that of OTHER; len(values) where there is none."""
    places: dict[Any, int] = {value: k for k, value in enumerate(values)}
    rest, numbers = places.get(OTHER, len(values)), numbers_of(values)
    places = {GAP: len(values)} | dict(zip(numbers, range(len(values)), strict=False)) | places
    words = {cell: places.get(cell) for cell in {*cells.tolist()}}
    for cell, place in words.items():
        if place is None:
            words[cell] = places.get(as_number(cell), rest) if numbers else rest
    return np.array([words[cell] for cell in cells.tolist()], np.intp)


def numbers_of(values: list[str]) -> list[float]:
    """The values as numbers; none unless all that are categories are numbers."""
    numbers: list[Any] = [as_number(value) for value in values if value not in (GAP, OTHER)]
    return [] if None in numbers else numbers


def fit(scale: str, missing: str, blocks: Iterable[Table], n: int = 0) -> Preprocessing:
    """Fitted on n rows in blocks, of which the first decides on missing numbers and categories.

    `scale`: "robust", (x - median) / interquartile range, and clipped; "piecewise", the same and
    the bins of eight quantiles; "standard", (x - mean) / sd; "minmax", to 0..1; or "none". Sparse
    rows are only divided, by sd or max |x|; a constant column, by 1. `missing`: "mean", "median",
    or another word where none may be missing. Raises DataError for a column of too large numbers.
    """
    from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler

    fitted: Any = None
    scaler: Any = None
    rows: list[NDArray] = []
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for block in blocks:
            if fitted is None:
                fitted = _unscaled(missing, block)
                if scale == "minmax":
                    scaler = MaxAbsScaler() if block.sparse else MinMaxScaler()
                elif scale == "standard" or (block.sparse and scale != "none"):
                    scaler = StandardScaler(with_mean=not block.sparse)
            if scaler and len(block):  # inputs of all rows at once would fill the memory
                size = len(block) if block.sparse else max(1, BLOCK // len(fitted.inputs))
                for piece in block.blocks(size):
                    scaler.partial_fit(fitted.encode(piece))
            elif scale in ("robust", "piecewise"):
                rows.append(block.X[:: max(1, math.ceil(n / SAMPLE))].astype(np.float64))
        if hasattr(scaler, "var_"):
            # scikit-learn would divide by 1 where the variance is beyond float64
            fitted.scale = np.where(np.isfinite(scaler.var_), scaler.scale_, np.inf)
            fitted.center = scaler.mean_ if scaler.with_mean else fitted.center
        elif hasattr(scaler, "data_min_"):
            fitted.center, fitted.scale = scaler.data_min_, 1 / scaler.scale_
        elif scaler:
            fitted.scale = scaler.scale_
        elif rows:
            _robust(fitted, np.concatenate(rows), n if scale == "piecewise" else LARGE)
        _refuse_infinite(fitted.inputs, fitted.center + fitted.scale)
    return fitted


def _robust(fitted: Preprocessing, X: NDArray, n: int) -> None:
    """Fit on X (m, D) for n rows: median and interquartile range; where that is 0, half the range,
    as by Holzmueller et al. 2024; for a constant column, 1. Edges are quantiles, if the inputs stay
    few."""
    D, fitted.clip = len(fitted.names), True
    X = X if fitted.fill is None else np.where(np.isnan(X), fitted.fill, X)
    quantiles = np.quantile(X, np.linspace(0, 1, BINS + 1), axis=0)
    low, fitted.center[:D], high = quantiles[[BINS // 4, BINS // 2, 3 * BINS // 4]]
    half = X.max(axis=0) / 2 - X.min(axis=0) / 2
    scale = np.where(high > low, high - low, half)
    fitted.scale[:D] = np.where(scale == 0, 1, scale)
    if D * BINS <= MOST_BINS and D * BINS * n <= LARGE:
        edges = {name: np.unique(quantiles[:, j]).tolist() for j, name in enumerate(fitted.names)}
        fitted.edges = {name: e for name, e in edges.items() if len(e) > 2}
        place, more = D + len(fitted.gaps), len(fitted.inputs) - len(fitted.center)
        fitted.center = np.insert(fitted.center, place, np.zeros(more))
        fitted.scale = np.insert(fitted.scale, place, np.ones(more))


def _unscaled(missing: str, table: Table) -> Preprocessing:
    fill, gaps = None, list[str]()
    if missing in ("mean", "median") and not table.sparse:
        missing_cells = np.isnan(table.X)
        X = np.where(missing_cells.all(axis=0), 0, table.X)
        fill = (np.nanmean if missing == "mean" else np.nanmedian)(X, axis=0)
        _refuse_infinite(table.names, fill)
        gaps = [table.names[j] for j in np.flatnonzero(missing_cells.any(axis=0))]
    categories = {name: _categories(cells) for name, cells in table.text.items()}
    fitted = Preprocessing(table.names, fill, np.zeros(0), np.ones(0), categories, gaps)
    D = len(fitted.inputs)
    fitted.center, fitted.scale = np.zeros(D), np.ones(D)
    return fitted


def _categories(cells: NDArray) -> list[str]:
    """The values of a column (n,) that get an input: the frequent ones, sorted; GAP if cells are
    missing, OTHER if values are rare. Of equal numbers, the first stands for all."""
    counts = Counter(cells.tolist())
    missing = counts.pop(GAP, 0)
    if numbers := numbers_of(words := sorted(counts)):
        first: dict[float, str] = {}
        for word, number in zip(words, numbers, strict=True):
            if (same := first.setdefault(number, word)) != word:
                counts[same] += counts.pop(word)
    enough = min(RARE, 1 + len(cells) // 50)
    frequent = [(count, word) for word, count in counts.items() if count >= enough]
    kept = sorted(word for _, word in sorted(frequent, key=lambda pair: (-pair[0], pair[1]))[:MOST])
    return kept + [GAP] * (missing > 0) + [OTHER] * (len(counts) > len(kept))


def _refuse_infinite(names: list[str], x: NDArray) -> None:
    """Raise DataError for the first column whose figure x is beyond float64."""
    for name in np.array(names, object)[~np.isfinite(x)]:
        raise DataError(f"column {name!r} holds numbers too large to be scaled: divide it first")
