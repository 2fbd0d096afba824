"""The data sets of scikit-learn: those that come with it, those it makes, those it fetches."""

import contextlib
import importlib.util
import io
import warnings
from typing import Any

import numpy as np

from minnet.config import BUNDLED, GENERATORS, DataConfig
from minnet.errors import ConfigError, DataError, one_line

LFW_MIN_FACES = 70  # people with fewer pictures are left out, as in scikit-learn's own examples


def load(config: DataConfig) -> tuple[Any, list[str], Any, Any]:
    """X (N, D), dense or scipy sparse, the names of its columns, the target (N,), and names for its classes or None.

    Raises DataError where the set cannot be had, ConfigError where it does not exist.
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
        raise DataError(f"{config.source}: not every column is of numbers: {one_line(error)}") from None
    return X, names, bunch["target"], bunch.get("target_names")


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
        raise ConfigError(f"data: {config.source} cannot be made so: {one_line(error)}") from None
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
                f"{source}: cannot be fetched ({one_line(error)}); without a network there are {offline}"
            ) from None
        except ImportError as error:
            raise DataError(f"{source}: needs a package that is not installed: {one_line(error)}") from None
        except OpenMLError as error:
            raise ConfigError(f"data.source: there is no {source}: {one_line(error)}") from None
        except Exception as error:  # a damaged cache can raise anything
            if f"target_column='{config.target}'" in str(error):
                raise ConfigError(f"data.target: {source} has no column {config.target!r}") from None
            raise DataError(f"{source}: cannot be loaded: {type(error).__name__}: {one_line(error)}") from None


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
