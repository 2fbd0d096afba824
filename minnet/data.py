"""Where rows come from: scikit-learn's data sets; how they are split and scaled."""

import contextlib
import importlib.util
import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.batches import CHUNK_BYTES, Part
from minnet.config import BUNDLED, GENERATORS, DataConfig
from minnet.core.network import MLP
from minnet.errors import ConfigError, DataError

LFW_MIN_FACES = 70  # people with fewer pictures are left out, as in scikit-learn's own examples


@dataclass
class Dataset:
    """X (N, D), dense or scipy sparse; y (N,) whole numbers that index `classes`, the labels as they were given."""

    name: str
    X: Any
    y: NDArray
    classes: NDArray
    feature_names: list[str]


@dataclass
class Scaler:
    """x -> (x - center) / scale, feature by feature; both (D,). A sparse X is never shifted: its center is 0."""

    center: NDArray
    scale: NDArray


def load(config: DataConfig) -> Dataset:
    """The data set that `config.source` names, checked.

    Raises DataError where it cannot be had or cannot be learned from, ConfigError where it does not exist.
    """
    from sklearn import datasets

    if config.source in BUNDLED:
        bunch = getattr(datasets, f"load_{config.source}")()
    elif config.source in GENERATORS:
        bunch = _generate(config)
    else:
        bunch = _fetch(config)
    try:
        X, names = _numeric(bunch["data"], bunch.get("feature_names"), bunch.get("categories"))
    except ValueError as error:
        raise DataError(f"{config.source}: not every column is of numbers: {_one_line(error)}") from None
    _check_finite(X, names)
    y, classes = _encode(bunch["target"], bunch.get("target_names"))
    return Dataset(config.source, X, y, classes, names)


def _generate(config: DataConfig) -> dict[str, Any]:
    """The rows of a generator. Raises ConfigError where its settings do not go together."""
    from sklearn import datasets

    make = getattr(datasets, f"make_{config.source}")
    options: dict[str, Any] = {"n_samples": config.samples, "random_state": config.generator_seed}
    if config.source in ("moons", "circles"):
        options |= {"noise": config.noise}
    else:
        options |= {"n_features": config.features}
    if config.source == "circles":
        options |= {"factor": 0.5}
    if config.source == "blobs":
        options |= {"centers": config.classes, "cluster_std": config.noise}
    if config.source == "gaussian_quantiles":
        options |= {"n_classes": config.classes}
    if config.source == "classification":
        options |= {"n_classes": config.classes, "flip_y": config.noise, "n_clusters_per_class": 1}
        options |= {"n_informative": max(2, config.features // 2), "n_redundant": 0}
    try:
        X, y = make(**options)
    except (ValueError, MemoryError) as error:
        raise ConfigError(f"data: {config.source} cannot be made so: {_one_line(error)}") from None
    return {"data": X, "target": y}


def _fetch(config: DataConfig) -> dict[str, Any]:
    """A set that scikit-learn downloads, or has downloaded, into its data home."""
    from sklearn import datasets
    from sklearn.datasets._openml import OpenMLError

    source, retries = config.source, {"n_retries": 1, "delay": 1.0}
    # the fetchers print, log and warn on their way; what matters of it comes back as one error
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            if source.startswith("openml:"):
                _, name, version, *_ = f"{source}:active".split(":")
                return datasets.fetch_openml(
                    name,
                    version=version if version == "active" else int(version),
                    target_column=config.target or "default-target",
                    as_frame=False,
                    parser="auto" if importlib.util.find_spec("pandas") else "liac-arff",
                    **retries,
                )
            options = {"min_faces_per_person": LFW_MIN_FACES} if source == "lfw_people" else {}
            return getattr(datasets, f"fetch_{source}")(**options, **retries)
        except OSError as error:
            offline = ", ".join((*BUNDLED, *GENERATORS))
            raise DataError(
                f"{source}: cannot be fetched ({_one_line(error)}); without a network there are {offline}"
            ) from None
        except ImportError as error:
            raise DataError(f"{source}: needs a package that is not installed: {_one_line(error)}") from None
        except OpenMLError as error:
            raise ConfigError(f"data.source: there is no {source}: {_one_line(error)}") from None
        except Exception as error:  # a damaged cache can raise anything
            if f"target_column='{config.target}'" in str(error):
                raise ConfigError(f"data.target: {source} has no column {config.target!r}") from None
            raise DataError(f"{source}: cannot be loaded: {type(error).__name__}: {_one_line(error)}") from None


def _numeric(X: Any, names: Any, categories: Any) -> tuple[Any, list[str]]:
    """X as numbers, and a name for each column. Columns of categories or of text become one column a category."""
    names = [str(name) for name in names] if names is not None else [f"x{j}" for j in range(X.shape[1])]
    if X.shape[1] != len(names):
        names = [f"x{j}" for j in range(X.shape[1])]
    if hasattr(X, "tocsr"):
        return X.tocsr(), names
    X = np.asarray(X)
    text = [j for j in range(X.shape[1]) if X.dtype == object and isinstance(X[0, j], str | bytes)]
    nominal = [j for j in range(X.shape[1]) if j in text or names[j] in (categories or {})]
    if not nominal:
        return X.astype(np.float64, copy=False), names
    if X.dtype != object:  # without pandas, a category comes as its place in the list of them
        X = X.astype(object)
        for j in nominal:
            X[:, j] = [categories[names[j]][int(i)] if i == i else i for i in X[:, j]]

    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder(sparse_output=False).fit(X[:, nominal])
    rest = [j for j in range(X.shape[1]) if j not in nominal]
    labels = [
        f"{names[j]}={value.decode() if isinstance(value, bytes) else value}"
        for j, values in zip(nominal, encoder.categories_, strict=True)
        for value in values
    ]
    columns = [X[:, rest].astype(np.float64), encoder.transform(X[:, nominal])]
    return np.hstack(columns), [names[j] for j in rest] + labels


def _check_finite(X: Any, names: list[str]) -> None:
    """Raises DataError naming the first row and column that hold no finite number."""
    place = _not_finite(X)
    if place:
        row, column = place
        raise DataError(f"row {row}, column {names[column]!r} holds {X[place]}: every value must be a finite number")


def _not_finite(X: Any) -> tuple[int, int] | None:
    """Row and column of the first entry that is no finite number, if there is one."""
    sparse = hasattr(X, "tocsr")
    finite = np.isfinite(X.data if sparse else X)
    if finite.all():
        return None
    entry = int(np.argmin(finite))
    if sparse:
        return int(np.searchsorted(X.indptr, entry, side="right")) - 1, int(X.indices[entry])
    return divmod(entry, X.shape[1])


def _encode(target: Any, target_names: Any) -> tuple[NDArray, NDArray]:
    """y as indices into the classes, and the classes: the set's own names for them where it has any."""
    target = np.asarray(target)
    if target.ndim != 1:
        raise DataError(f"the target has shape {target.shape}; one label a row is needed")
    if target.dtype.kind == "f":
        if not np.isfinite(target).all():
            raise DataError(f"row {int(np.argmin(np.isfinite(target)))} has no label")
        no_label = (target != np.round(target)) | (np.abs(target) >= 2**63)
        if no_label.any():
            raise DataError(f"the target holds {target[no_label][0]}, which is no label of a class")
        target = target.astype(np.int64)
    if target.dtype.kind in "OS":
        missing = [i for i, label in enumerate(target) if label is None or label != label]
        if missing:
            raise DataError(f"row {missing[0]} has no label")
        target = np.array([label.decode() if isinstance(label, bytes) else str(label) for label in target])
    classes, y = np.unique(target, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"only one class, {classes[0]}: there is nothing to tell apart")
    if target_names is not None and len(target_names) == len(classes) and classes.dtype.kind in "iu":
        classes = np.asarray(target_names)
    return y, classes


def split(dataset: Dataset, config: DataConfig) -> tuple[NDArray, NDArray, NDArray]:
    """Row numbers of the training, validation and test part.

    The test part is the one of scikit-learn's `train_test_split(..., test_size, stratify=y, random_state)`; the
    validation part is split from the rest in the same way, and empty where `validation_size` is 0.
    Raises DataError where a class has too few rows for that.
    """
    y, rows = dataset.y, np.arange(len(dataset.y))
    counts = np.bincount(y)
    if counts.min() < 2:
        raise DataError(
            f"class {dataset.classes[counts.argmin()]} has 1 row: each needs at least 2, one to learn and one to test"
        )
    rest, test = _stratified(rows, y, config.test_size, config.split_seed, "data.test_size")
    if not config.validation_size:
        return rest, rest[:0], test
    # a class with one row left cannot be split; it stays in the training part
    alone = (np.bincount(y[rest], minlength=len(counts)) == 1)[y[rest]]
    train, validation = _stratified(rest[~alone], y, config.validation_size, config.split_seed, "data.validation_size")
    return np.concatenate([train, rest[alone]]), validation, test


def _stratified(rows: NDArray, y: NDArray, size: float, seed: int, name: str) -> tuple[NDArray, NDArray]:
    from sklearn.model_selection import train_test_split

    try:
        return train_test_split(rows, test_size=size, stratify=y[rows], random_state=seed)
    except ValueError as error:
        raise DataError(f"{name} = {size} does not split {len(rows)} rows: {_one_line(error)}") from None


def fit_scaler(kind: str, X: Any, names: list[str]) -> Scaler:
    """The scaler of kind "standard", "minmax" or "none" for the rows X (n, D).

    "standard" is (x - mean) / sd, "minmax" maps to 0..1; sparse rows are only divided, by sd or by max |x|.
    A constant feature is divided by 1. Raises DataError for a feature too large to be scaled.
    """
    D, sparse = X.shape[1], hasattr(X, "tocsr")
    center, scale = np.zeros(D), np.ones(D)
    if kind != "none":
        from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler

        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if kind == "standard":
                fitted = StandardScaler(with_mean=not sparse).fit(X)
                # where the variance is beyond float64, scikit-learn would divide by 1
                scale = np.where(np.isfinite(fitted.var_), fitted.scale_, np.inf)
                center = center if sparse else fitted.mean_
            elif sparse:
                scale = MaxAbsScaler().fit(X).scale_
            else:
                fitted = MinMaxScaler().fit(X)
                center, scale = fitted.data_min_, 1 / fitted.scale_
    bad = ~(np.isfinite(center) & np.isfinite(scale))
    if bad.any():
        raise DataError(f"column {names[int(bad.argmax())]!r} holds numbers too large to be scaled: divide it first")
    return Scaler(center, scale)


def prepare(dataset: Dataset, rows: NDArray, scaler: Scaler, net: MLP) -> Part:
    """These rows of the data set, scaled, as the net takes them; a dense part is filled a block at a time.

    Raises DataError for a value that the net's dtype cannot hold.
    """
    X1: Any
    with np.errstate(over="ignore"):
        if hasattr(dataset.X, "tocsr"):
            X = dataset.X[rows].astype(np.float64)
            X.data /= scaler.scale[X.indices]
            X1 = net.with_ones(X)
        else:
            n, D = len(rows), dataset.X.shape[1]
            X1 = np.ones((n, D + 1), net.dtype)
            block = max(1, CHUNK_BYTES // (8 * D))
            for start in range(0, n, block):
                part = slice(start, start + block)
                X1[part, :-1] = (dataset.X[rows[part]] - scaler.center) / scaler.scale
    place = _not_finite(X1)
    if place:
        column = dataset.feature_names[place[1]]
        raise DataError(f"column {column!r} holds numbers too large for {net.dtype}: scale it")
    return Part(X1, dataset.y[rows])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
