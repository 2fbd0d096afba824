"""A trained model: saved, loaded, and what it predicts for arrays, data frames and files."""

import contextlib
import csv
import re
import types
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet import files, metrics
from minnet.core.network import MLP, ROWS
from minnet.core.softmax import Array, cross_entropy, softmax
from minnet.data import frames, kinds, sources
from minnet.data.delimited import Progress
from minnet.data.preprocess import GAP, OTHER, Preprocessing, codes
from minnet.data.table import LABEL, Reading, Table, no_column, not_finite, place_of
from minnet.errors import ConfigError, DataError, MinnetWarning, ModelFileError, one_line, short


@dataclass
class Model:
    """A trained classifier: a net, how columns become its inputs, and its classes (K,), the labels
    as they were given. `reading` is how its training file was read, as far as other files are read
    alike; `source` names that file or data set; `counts` are the rows of each class there, [K]."""

    net: MLP
    preprocessing: Preprocessing
    classes_: Array
    reading: dict[str, Any]
    source: str
    counts: list[int] | None = None

    @property
    def feature_names_in_(self) -> Array:
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

    def predict_proba(self, X: Any) -> Array:
        """p (N, K) for X (N, D), an array or sparse matrix with the columns in order, or a pandas
        data frame. Raises DataError for other columns, and for values missing or not finite."""
        none = np.empty((0, self.net.K), self.net.dtype)
        return softmax(np.concatenate([none, *self.logits_in_blocks(self._table(X))]))

    def predict(self, X: Any) -> Array:
        """The most probable class of each row of X, as (N,) labels."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def score(self, X: Any, y: Any) -> float:
        """The share of rows of X whose predicted class is that of y (N,)."""
        return float(np.mean(self.predict(X) == np.asarray(y)))

    def logits_in_blocks(self, table: Table) -> Iterator[NDArray]:
        """z (n, K) for one block of rows after the other. Raises DataError like predict_proba."""
        fitted = self.preprocessing
        for rows in table.blocks(ROWS):
            with np.errstate(all="ignore"):
                X = fitted.transform(rows).astype(self.net.dtype, copy=False)
                z = self.net.logits(X)
            bad = Table("", fitted.inputs, X).first(not_finite)
            if bad is None and not np.isfinite(z).all():
                i = int(np.argmin(np.isfinite(z).all(axis=1)))
                x = X[[i]].toarray()[0] if hasattr(X, "tocsr") else X[i]
                bad = i, fitted.inputs[int(np.abs(x).argmax())]
            if bad:
                raise DataError(f"{rows.place(*bad)} holds a number too large for this model")
            yield z

    def how(self, labels: bool = False) -> Reading:
        """How to read another file."""
        fitted = self.preprocessing
        about = {"text": tuple(fitted.categories), "features": len(fitted.names)}
        return Reading(**self.reading | about, labels=labels)

    def alike(self, table: Table, labels: bool = False, known: tuple[str, ...] = ()) -> Table:
        """The table with the columns that the model takes; others are noted, unless they are known.
        Raises DataError."""
        words, how = [*self.preprocessing.categories], self.how(labels)
        how = replace(how, text=(*words, *known))
        return kinds.alike(table, self.preprocessing.names, words, how)

    def _table(self, X: Any) -> Table:
        """X as a table, with the names of its columns if it has any."""
        names = self.preprocessing.names
        if hasattr(X, "columns"):
            if not hasattr(X, "iloc"):
                raise DataError("X: not a pandas data frame: give its to_pandas()")
            table = frames.table(X, "X", self.how())
        elif self.preprocessing.categories:
            raise DataError("X: this model has columns of text: give a data frame with their names")
        else:
            X = X.tocsr() if hasattr(X, "tocsr") else _numbers(X)
            if X.ndim != 2 or X.shape[1] != len(names):
                raise DataError(f"X: has shape {X.shape}: this model takes (N, {len(names)})")
            table = Table("X", names, X)
        table = self.alike(table)
        for note in notes(self, table):
            warnings.warn(note, MinnetWarning, stacklevel=3)
        return table


def _numbers(X: Any) -> NDArray:
    """X in float64. Raises DataError for what is not a number."""
    try:
        return np.asarray(X, np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"X: not every value is a number: {one_line(error)}") from None


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


def read(
    model: Model, source: str, labels: bool, progress: Progress = None, keep: Sequence[str] = ()
) -> tuple[Table, dict[str, NDArray]]:
    """The rows of a file or folder, read as the model's training file was, and the columns to keep,
    by name or place, as text (n,). With `labels`, there have to be some. Raises DataError, and
    ConfigError for a column to keep that is not there."""
    how, kept = model.how(labels), dict[str, NDArray]()
    columns = [int(name) if re.fullmatch(r"-?\d{1,6}", name) else name for name in keep]
    try:
        table = sources.read(source, replace(how, text=(*how.text, *keep, *columns)), progress)
    except ConfigError as error:  # the target is the model's, so this is no mistake in a config
        raise DataError(str(error)) from None
    for given, column in zip(keep, columns, strict=True):
        names = table.columns
        place = place_of(given if given in names else column, names)
        if place is None:
            raise ConfigError(f"--keep: {table.path}: {no_column('', column, names)}")
        kept[names[place]] = kinds.cells(table, names[place])
    return model.alike(table, labels, tuple(kept)), kept


def notes(model: Model, table: Table) -> list[str]:
    """What was decided when the table was read; and a line for each column of text with values that
    the training part did not have, unless there is an input for them."""
    found = list(table.notes)
    for name, known in model.preprocessing.categories.items():
        words = np.array(sorted({*table.text[name].tolist()} - {GAP}), object)
        unknown = words[codes(words, known) == len(known)]
        if len(unknown) and OTHER not in known:
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            values = f"values that the model does not know: {short(unknown[0])}{more}"
            found.append(f"{table.path}: column {name!r} has {values}")
    return found


def csv_lines(model: Model, table: Table, proba: bool, kept: dict[str, NDArray]) -> Iterator[str]:
    """CSV, a block of rows at a time: a header, then each row's kept columns (n,), its class and,
    with `proba`, its p."""
    labels, as_it_is = model.classes_.tolist(), types.SimpleNamespace(write=str)
    row: Any = csv.writer(as_it_is, lineterminator="\n").writerow  # returns what `write` does
    cells = list(zip(*kept.values(), strict=True)) or [()] * len(table)
    yield row([*kept, "prediction", *(f"p({label})" for label in labels if proba)])
    start = 0
    for z in model.logits_in_blocks(table):
        p = softmax(z).tolist() if proba else [[]] * len(z)
        here, start = cells[start : start + len(z)], start + len(z)
        found = zip(here, z.argmax(axis=1).tolist(), p, strict=True)
        yield "".join(row([*own, labels[k], *p_k]) for own, k, p_k in found)


def class_places(classes: NDArray, labels: NDArray) -> NDArray:
    """The place of each label (n,) among the classes (K,), -1 where it is none: 1, 1.0 and 1e0 are
    one if the classes are numbers, whatever else is among the labels."""
    known: dict[Any, int] = {str(label): k for k, label in enumerate(classes.tolist())}
    if classes.dtype.kind in "iuf":
        known = {float(label): k for label, k in known.items()} | known
    texts = [str(label) for label in labels.tolist()]
    numbers = [float(t) if LABEL.fullmatch(t) else t for t in texts]
    found = [known.get(t, known.get(n, -1)) for t, n in zip(texts, numbers, strict=True)]
    return np.array(found, np.intp)


def evaluate(model: Model, table: Table) -> dict[str, Any]:
    """The model's figures on a table: rows, accuracy, loss, those of metrics.figures, and classes.
    Raises DataError for a label that the model does not know, or without any."""
    if table.y is None or not len(table):
        raise DataError(f"{table.path}: holds no rows with labels")
    labels, places = np.unique(table.y, return_inverse=True)
    k = class_places(model.classes_, labels)
    if unknown := [str(label) for label in labels[k < 0].tolist()]:
        what = f"labels that the model does not know: {', '.join(unknown[:5])}"
        known = ", ".join(map(str, model.classes_[:20].tolist()))
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise DataError(f"{table.path}: has {what}{more}; it knows {known}")
    y = k[places]
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
