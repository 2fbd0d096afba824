"""A trained model: saved, loaded, and what it predicts for arrays, data frames and files."""

import contextlib
import csv
import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet import files, metrics
from minnet.core.network import MLP, ROWS
from minnet.core.softmax import cross_entropy, softmax
from minnet.data import sources
from minnet.data.delimited import HeaderUnclear, Progress
from minnet.data.preprocess import Preprocessing
from minnet.data.table import FINITE, Reading, Table, arrange
from minnet.errors import ConfigError, DataError, ModelFileError, one_line, short


@dataclass
class Model:
    """A trained classifier: a net, how columns become its inputs, and its classes (K,), the labels
    as they were given. `reading` is how its training file was read, as far as other files are read
    alike; `source` names that file or data set; `counts` are the rows of each class there, [K]."""

    net: MLP
    preprocessing: Preprocessing
    classes_: NDArray
    reading: dict[str, Any]
    source: str
    counts: list[int] | None = None

    @property
    def feature_names_in_(self) -> NDArray:
        """The columns that the model was trained on: first those of numbers, then those of text."""
        return np.array(self.preprocessing.columns, dtype=object)

    def save(self, path: Path) -> None:
        """Write a model file: all that `load` and predicting need. Raises FileError."""
        arrays = {"theta": self.net.theta, **self.preprocessing.arrays()}
        about = {
            "layer_sizes": self.net.layer_sizes,
            "activation": self.net.activation,
            "dtype": self.net.dtype.name,
            "preprocessing": self.preprocessing.about(),
            "classes": self.classes_.tolist(),
            "dtype of classes": self.classes_.dtype.str,
            "reading": self.reading,
            "source": self.source,
            "counts": self.counts,
        }
        files.save_sealed(path, "model", arrays, about)

    def predict_proba(self, X: Any) -> NDArray:
        """p (N, K) for X (N, D), an array or sparse matrix with the columns in order, or a pandas
        data frame. Raises DataError for other columns, and for values missing or not finite."""
        none = np.empty((0, self.net.K), self.net.dtype)
        return softmax(np.concatenate([none, *self.logits_in_blocks(self._table(X))]))

    def predict(self, X: Any) -> NDArray:
        """The most probable class of each row of X, as (N,) labels."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def score(self, X: Any, y: Any) -> float:
        """The share of rows of X whose predicted class is that of y (N,)."""
        return float(np.mean(self.predict(X) == np.asarray(y)))

    def logits_in_blocks(self, table: Table) -> Iterator[NDArray]:
        """z (n, K) for one block of rows after the other. Raises DataError like predict_proba."""
        fitted = self.preprocessing
        for rows in arrange(table, fitted.names, list(fitted.categories)).blocks(ROWS):
            with np.errstate(all="ignore"):
                X = fitted.transform(rows)
                z = self.net.logits(X)
            if not np.isfinite(z).all():
                i = int(np.argmin(np.isfinite(z).all(axis=1)))
                x = X[[i]].toarray()[0] if hasattr(X, "tocsr") else X[i]
                where = rows.place(i, fitted.inputs[int(np.abs(x).argmax())])
                raise DataError(f"{where} holds a number too large for this model")
            yield z

    def _table(self, X: Any) -> Table:
        """X as a table, with the names of its columns if it has any."""
        names, categories = self.preprocessing.names, self.preprocessing.categories
        if hasattr(X, "columns"):
            table = _table_of_frame(X, categories)
        elif categories:
            raise DataError("X: this model has columns of text: give a data frame with their names")
        else:
            X = X.tocsr() if hasattr(X, "tocsr") else _numbers(X, "X")
            if X.ndim != 2 or X.shape[1] != len(names):
                raise DataError(f"X: has shape {X.shape}: this model takes (N, {len(names)})")
            table = Table("X", names, X)
        table.check(np.isinf, FINITE)
        return table


def _table_of_frame(X: Any, categories: dict[str, list[str]]) -> Table:
    if not hasattr(X, "iloc"):
        raise DataError("X: not a pandas data frame: give its to_pandas()")
    columns = {str(name): X.iloc[:, j] for j, name in enumerate(X.columns)}
    if len(columns) < X.shape[1]:
        raise DataError("X: two columns have the same name: rename one")
    text = {n: _words(columns.pop(n), known) for n, known in categories.items() if n in columns}
    numbers = np.empty((len(X), len(columns)))
    for j, (name, column) in enumerate(columns.items()):
        numbers[:, j] = _numbers(column, f"X: column {name!r}")
    return Table("X", list(columns), numbers, text, named=True)


def _numbers(X: Any, what: str) -> NDArray:
    """X in float64, NaN where a number is missing. Raises DataError for what is not a number."""
    try:
        if hasattr(X, "isna"):
            return X.to_numpy(np.float64, na_value=np.nan)
        return np.asarray(X, np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{what}: not every value is a number: {one_line(error)}") from None


def _words(column: Any, known: list[str]) -> NDArray:
    """A data frame's column as text, "" where missing. 1.0 is "1" if only that is known: pandas
    makes floats of whole numbers where one is missing."""
    cells = np.where(column.isna(), "", column.astype(str)).tolist()
    words = [cell if cell in known else cell.removesuffix(".0") for cell in cells]
    return np.array(words, dtype=object)


def load(path: str | Path) -> Model:
    """The model of a run's folder or of a model file. Raises ModelFileError where there is none, or
    one that is damaged or not by minnet."""
    path = Path(path)
    with contextlib.suppress(OSError):  # a name too long, for one: load_sealed says so
        path = path / "model.npz" if path.is_dir() else path
    arrays, about = files.load_sealed(path, "model")
    with files.named(path, "used as a model (train again)", ModelFileError, Exception):
        # no members, so no weights are drawn
        net = MLP(about["layer_sizes"], about["activation"], dtype=about["dtype"], members=0)
        D, theta = net.layer_sizes[0], arrays.pop("theta")
        fitted = Preprocessing.restore(arrays, about["preprocessing"])
        classes = np.array(about["classes"], about["dtype of classes"])
        shapes = {"fill": (len(fitted.names),), "center": (D,), "scale": (D,)}
        fits = [theta.shape[-1:] == net.theta.shape[1:], theta.dtype == net.dtype]
        fits += [theta.ndim < 3, theta.size > 0, len(about.get("counts") or classes) == net.K]
        fits += [len(fitted.inputs) == D, classes.shape == (net.K,)]
        if not all(fits + [array.shape == shapes[name] for name, array in arrays.items()]):
            raise ValueError("its arrays do not fit each other")
        net.__setstate__(net.__getstate__() | {"theta": theta, "dtheta": np.zeros_like(theta)})
        of_file = about["reading"], about["source"], about.get("counts")
        return Model(net, fitted, classes, *of_file)


def read(model: Model, source: str | Path, labels: bool, progress: Progress = None) -> Table:
    """The rows of a file or folder, read as the model's training file was. With `labels`, there
    have to be some. Raises DataError."""
    names, categories = model.preprocessing.names, list(model.preprocessing.categories)
    how: dict[str, Any] = {"labels": labels, "features": len(names) + len(categories)}
    reading = Reading(**model.reading, categorical=tuple(categories), **how)
    try:
        try:
            table = sources.read(source, reading, progress)
        except HeaderUnclear:  # names are seldom all numbers
            table = sources.read(source, replace(reading, header=False), progress)
    except ConfigError as error:  # the target is the model's, so this is no mistake in a config
        raise DataError(str(error)) from None
    return arrange(table, names, categories)


def unknown_values(model: Model, table: Table) -> list[str]:
    """A note for each column of text with values that the training part did not have. They are
    taken for missing cells."""
    notes = []
    for name, known in model.preprocessing.categories.items():
        if unknown := sorted({*table.text[name].tolist()} - {*known, ""}):
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            values = f"values that the model does not know: {short(unknown[0])}{more}"
            notes.append(f"{table.path}: column {name!r} has {values}")
    return notes


def csv_lines(model: Model, table: Table, proba: bool) -> Iterator[str]:
    """CSV, a block of rows at a time: a header, then each row's class and, with `proba`, its p."""
    labels, as_it_is = model.classes_.tolist(), types.SimpleNamespace(write=str)
    row: Any = csv.writer(as_it_is, lineterminator="\n").writerow  # returns what `write` does
    yield row(["prediction", *(f"p({label})" for label in labels if proba)])
    for z in model.logits_in_blocks(table):
        p = softmax(z).tolist() if proba else [[]] * len(z)
        yield "".join(row([labels[k], *p[i]]) for i, k in enumerate(z.argmax(axis=1).tolist()))


def evaluate(model: Model, table: Table) -> dict[str, Any]:
    """The model's figures on a table: rows, accuracy, loss, those of metrics.figures, and classes.
    Raises DataError for a label that the model does not know, or without any."""
    if table.y is None or not len(table):
        raise DataError(f"{table.path}: holds no rows with labels")
    known = {str(label): k for k, label in enumerate(model.classes_.tolist())}
    labels, places = np.unique(table.y, return_inverse=True)
    for label in labels.tolist():
        if str(label) not in known:
            classes = ", ".join(list(known)[:20])
            raise DataError(f"{table.path}: the model has no class {label}, only {classes}")
    y = np.array([known[str(label)] for label in labels.tolist()])[places]
    predicted, loss, end = np.empty(len(y), np.intp), 0.0, 0
    p = np.empty((len(y), model.net.K), model.net.dtype)
    for z in model.logits_in_blocks(table):
        rows = slice(end, end := end + len(z))
        z.argmax(axis=1, out=predicted[rows])
        p[rows] = softmax(z)
        loss += float(cross_entropy(z, y[rows]).sum(dtype=np.float64))
    plain = {"rows": len(y), "accuracy": float(np.mean(predicted == y)), "loss": loss / len(y)}
    found = metrics.figures(y, predicted, p, model.counts)
    return plain | found | {"classes": model.classes_.tolist()}
