"""A trained model from its file, and what it predicts for arrays, data frames and files."""

import csv
import io
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet import features, storage
from minnet.core.network import MLP, ROWS
from minnet.core.softmax import cross_entropy, softmax
from minnet.errors import ConfigError, DataError, ModelFileError, one_line
from minnet.features import Features
from minnet.tables import formats, mapped
from minnet.tables.cells import short
from minnet.tables.mapped import is_mapped
from minnet.tables.table import Table, arrange
from minnet.training import Measured

# a model file's entries, and the type of each
ENTRIES = {"layer_sizes": list, "activation": list, "dtype": str, "classes": list, "feature_names": list}
ENTRIES |= {"categories": dict, "table": dict, "source": str}


class Model:
    """A trained classifier: the net, how columns become its inputs, and its classes.

    classes_ (K,) are the labels as they were given; feature_names_in_ the columns that it was trained on, those of
    numbers first.
    """

    def __init__(self, net: MLP, fitted: Features, classes: NDArray, table: dict[str, Any]) -> None:
        self.net, self.features, self.classes_, self.table = net, fitted, classes, table
        self.feature_names_in_ = np.array([*fitted.names, *fitted.categories], dtype=object)

    def predict_proba(self, X: Any) -> NDArray:
        """p (N, K) for X (N, D), an array or a sparse matrix with the columns in order, or a data frame.

        Raises DataError for other columns, and for values that are missing or not finite.
        """
        return softmax(np.concatenate([self.net.logits(self._no_rows()), *self.logits_in_blocks(self._table(X))]))

    def predict(self, X: Any) -> NDArray:
        """The likeliest class of each row of X, as (N,) labels."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def logits_in_blocks(self, table: Table) -> Iterator[NDArray]:
        """z (n, K) for one block of the table's rows after the other. Raises DataError as predict_proba does."""
        table = arrange(table, self.features.names, list(self.features.categories))
        self._check(table)
        for start in range(0, table.X.shape[0], ROWS):
            rows = slice(start, start + ROWS)
            text = {name: cells[rows] for name, cells in table.text.items()}
            X = mapped.block(table.X, rows, table.path, table.names) if is_mapped(table.X) else table.X[rows]
            if hasattr(X, "tocsr") and self.features.center.any():
                X = X.toarray()  # trained on dense rows, which were shifted
            with np.errstate(all="ignore"):
                X1 = self.net.with_ones(features.apply(self.features, X, text))
                z = self.net.logits(X1, has_ones=True)
            if not np.isfinite(z).all():
                i = int(np.argmin(np.isfinite(z).all(axis=1)))
                x = X1[[i]].toarray() if hasattr(X1, "tocsr") else X1[[i], :-1]
                where = table.place(start + i, self.features.inputs[int(np.abs(x).argmax())])
                raise DataError(f"{where} holds a number too large for this model")
            yield z

    def _no_rows(self) -> NDArray:
        return np.empty((0, self.net.layer_sizes[0]), self.net.dtype)

    def _check(self, table: Table) -> None:
        """Raises DataError for a missing cell where the model knows nothing to put in its place."""
        if hasattr(table.X, "tocsr") or np.isnan(self.features.fill).any():
            place = table.first_missing()
            if place:
                raise DataError(f"{table.place(*place)} is missing, and the model was trained without missing values")

    def _table(self, X: Any) -> Table:
        """X as a table, with the names of its columns if it has any."""
        names, categories = self.features.names, self.features.categories
        if hasattr(X, "columns"):
            return self._table_of_frame(X)
        if categories:
            raise DataError("X: this model has columns of text, so it takes a data frame with its columns' names")
        X = X.tocsr() if hasattr(X, "tocsr") else _numbers(X, "X")
        if X.ndim != 2 or X.shape[1] != len(names):
            raise DataError(f"X: has shape {X.shape}: this model takes (N, {len(names)})")
        return _without_infinity(Table("X", names, X))

    def _table_of_frame(self, X: Any) -> Table:
        if not hasattr(X, "iloc"):
            raise DataError("X: of data frames, only those of pandas are taken: give its to_pandas()")
        columns = {str(name): X.iloc[:, j] for j, name in enumerate(X.columns)}
        if len(columns) < X.shape[1]:
            raise DataError("X: two columns have the same name: rename one")
        text = {
            name: _words(columns.pop(name), known)
            for name, known in self.features.categories.items()
            if name in columns
        }
        numbers = np.empty((len(X), len(columns)))
        for j, (name, column) in enumerate(columns.items()):
            numbers[:, j] = _numbers(column, f"X: column {name!r}")
        return _without_infinity(Table("X", list(columns), numbers, text=text, header=True))


class _Unset(MLP):
    """A net whose weights are not drawn, as they come from a file: that would take time and memory."""

    def initialise(self, rng: np.random.Generator) -> None:
        pass


def _numbers(X: Any, what: str) -> NDArray:
    """X in float64, NaN where a number is missing. Raises DataError, which says what it is that is no number."""
    try:
        return X.to_numpy(np.float64, na_value=np.nan) if hasattr(X, "isna") else np.asarray(X, np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{what}: not every value is a number: {one_line(error)}") from None


def _words(column: Any, known: list[str]) -> NDArray:
    """A data frame's column as text, "" where missing: 1.0 is "1" if only that is known, as pandas makes floats of
    whole numbers where one is missing."""
    cells = np.where(column.isna(), "", column.astype(str)).tolist()
    return np.array([cell if cell in known else cell.removesuffix(".0") for cell in cells], dtype=object)


def _without_infinity(table: Table) -> Table:
    """The same table. Raises DataError for an infinite number."""
    if not hasattr(table.X, "tocsr") and np.isinf(table.X).any():
        row, column = divmod(int(np.isinf(table.X).argmax()), table.X.shape[1])
        where = table.place(row, table.names[column])
        raise DataError(f"{where} holds {table.X[row, column]}: every value must be a finite number")
    return table


def load(path: str | Path) -> Model:
    """The model in a run's folder, or in a model.npz.

    Raises ModelFileError where there is none, or one that is damaged or was not written by minnet.
    """
    arrays, entries = storage.read_model(Path(path))
    path = one_line(path)
    try:
        return _model(arrays, entries)
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelFileError(f"{path}: is no model of minnet: {one_line(error)}; train again") from None
    except MemoryError:
        raise ModelFileError(f"{path}: does not fit into memory; use a larger machine") from None


def _model(arrays: dict[str, NDArray], entries: dict[str, Any]) -> Model:
    """The model of a file's arrays and entries. Raises ValueError, TypeError or OverflowError where they do not
    fit each other."""
    wrong = [name for name, kind in ENTRIES.items() if not isinstance(entries.get(name), kind)]
    if wrong:
        raise ValueError(f"its entry {wrong[0]!r} is missing or of another kind")
    if arrays.keys() - {"fill"} != {"theta", "center", "scale"}:
        raise ValueError(f"its arrays are {', '.join(sorted(arrays)) or 'missing'}")
    sizes, names, categories = entries["layer_sizes"], entries["feature_names"], entries["categories"]
    theta, fill = arrays["theta"], arrays.get("fill", np.full(len(names), np.nan))
    _check_entries(entries)
    if theta.shape != (sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes)),):  # before room is made for it
        raise ValueError(f"its theta has shape {theta.shape}, which is not that of a net of {sizes}")
    net = _Unset(sizes, entries["activation"], dtype=entries["dtype"])
    fitted = Features(names, fill, arrays["center"], arrays["scale"], categories)
    D, classes = len(fitted.inputs), _labels(entries["classes"])
    fits = [sizes[0] == D, len(classes) == net.K, theta.dtype == net.dtype, fill.shape == (len(names),)]
    fits += [fitted.center.shape == fitted.scale.shape == (D,), bool((fitted.scale > 0).all())]
    fits += [array.dtype == np.float64 for array in (fill, fitted.center, fitted.scale)]
    if not all(fits):
        raise ValueError("its arrays do not fit each other")
    net.theta[:] = theta
    return Model(net, fitted, classes, entries["table"])


def _check_entries(entries: dict[str, Any]) -> None:
    """Raises ValueError for an entry that holds what no model can."""
    classes, names, categories = entries["classes"], entries["feature_names"], entries["categories"]
    sound = {
        "layer_sizes": all(type(n) is int for n in entries["layer_sizes"]),
        "dtype": entries["dtype"] in ("float32", "float64"),
        "classes": any(_distinct(classes, kind) for kind in (str, int, bool)) and _labels(classes).tolist() == classes,
        "feature_names": _distinct([*names, *categories], str),
        "categories": all(values and _distinct(values, str) for values in categories.values()),
        "table": _is_description(entries["table"]),
    }
    wrong = [name for name, is_sound in sound.items() if not is_sound]
    if wrong:
        raise ValueError(f"its entry {wrong[0]!r} holds what no model can")


def _distinct(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values) and len({*values}) == len(values)


def _labels(classes: list[Any]) -> NDArray:
    """The classes (K,), of a dtype that holds each as it is. Raises OverflowError where there is none."""
    large = type(classes[0]) is int and max(classes) >= 2**63 if classes else False
    return np.array(classes, np.uint64 if large else None)


def _is_description(table: dict[str, Any]) -> bool:
    """Whether this says how a model's training file was to be read."""
    target, header, base = (table.get(name) for name in ("target", "header", "base"))
    return type(target) in (str, int, type(None)) and type(header) in (bool, type(None)) and base in (None, 0, 1)


def read(model: Model, source: str | Path, labels: bool, progress: Any = None) -> Table:
    """The rows of a file for this model, read as its training file was. With `labels` there must be some."""
    given, categories = model.table, list(model.features.categories)
    options: dict[str, Any] = {"categorical": categories, "labels": labels, "features": len(model.feature_names_in_)}
    options |= {"target": given["target"] if given.get("target") is not None else -1, "base": given.get("base")}
    header = given.get("header")
    try:
        try:
            table = formats.read(source, header=header, progress=progress, **options)
        except DataError as error:
            if "data.header" not in str(error):
                raise
            table = formats.read(source, header=False, progress=progress, **options)  # names are seldom all numbers
    except ConfigError as error:  # the target is the model's, so no mistake in a config
        raise DataError(str(error).removeprefix("data.target: ")) from None
    return arrange(table, model.features.names, categories)


def unknown_values(model: Model, table: Table) -> list[str]:
    """A line for each column of text that has values which the training part did not have: an input for none of them
    is 1, as where the cell is empty."""
    notes = []
    for name, known in model.features.categories.items():
        unknown = np.setdiff1d(table.text[name].astype(str), [*known, ""]).tolist()
        if unknown:
            shown = short(unknown[0]) + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else "")
            notes.append(f"{table.path}: column {name!r} has values that the model does not know: {shown}")
    return notes


def csv_lines(model: Model, table: Table, proba: bool) -> Iterator[str]:
    """Lines of CSV, a block of rows at a time: a header, then each row's class and, with `proba`, p of each class."""
    labels = model.classes_.tolist()
    yield _csv([["prediction", *(f"p({label})" for label in labels if proba)]])
    for z in model.logits_in_blocks(table):
        rows: list[list[Any]] = [[labels[k]] for k in z.argmax(axis=1).tolist()]
        if proba:
            rows = [row + p for row, p in zip(rows, softmax(z).tolist(), strict=True)]
        yield _csv(rows)


def _csv(rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def class_indices(model: Model, table: Table) -> NDArray:
    """y (N,) as indices into the model's classes. Raises DataError for a label that it was not trained on."""
    if table.y is None or not len(table.y):
        raise DataError(f"{table.path}: holds no rows with labels")
    known = {str(label): k for k, label in enumerate(model.classes_.tolist())}
    labels, places = np.unique(np.asarray(table.y), return_inverse=True)
    for label in labels.tolist():
        if str(label) not in known:
            raise DataError(f"{table.path}: class {label} is none of the model's: {', '.join(list(known)[:20])}")
    return np.array([known[str(label)] for label in labels.tolist()])[places]


def evaluate(model: Model, table: Table) -> tuple[Measured, NDArray]:
    """The model's figures on a table with labels, and these as indices (N,). Raises DataError."""
    y = class_indices(model, table)
    predicted, loss, start = np.empty(len(y), np.intp), 0.0, 0
    for z in model.logits_in_blocks(table):
        rows = slice(start, start + len(z))
        z.argmax(axis=1, out=predicted[rows])
        loss += float(cross_entropy(z, y[rows]).sum(dtype=np.float64))
        start += len(z)
    return Measured(loss / len(y), float((predicted == y).mean()), predicted), y
