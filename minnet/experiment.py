"""One run, from its config to its figures: the data split and scaled, the net, and what it came to."""

import math
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet import data, training
from minnet.batches import ALONE, Part
from minnet.config import Config
from minnet.core.network import MLP
from minnet.data import Dataset
from minnet.errors import ConfigError, TrainingError
from minnet.features import Features
from minnet.parallel import Alone
from minnet.training import Epoch, Measured


@dataclass
class Experiment:
    """A net with its initial weights and the parts of its data; `parts` are train, test and, if any, validation."""

    config: Config
    dataset: Dataset
    features: Features
    net: MLP
    parts: dict[str, Part]


def prepare(config: Config, progress: Callable[[int], object] | None = None, team: Alone = ALONE) -> Experiment:
    """Load, split and scale the data and build the net, all as the config says; `progress` as in data.load. Every
    process of a team does so.

    Raises ConfigError and DataError.
    """
    dataset = data.load(config.data, progress)
    rows = dict(zip(("train", "validation", "test"), data.split(dataset, config.data), strict=True))
    features = data.fit_features(config.data, dataset, rows["train"], team)
    D, K = len(features.inputs), len(dataset.classes)
    _check_size([D, *config.model.hidden, K], np.dtype(config.model.dtype).itemsize)
    weights = training.class_weights(config.train.class_weight, dataset.y[rows["train"]], dataset.classes)
    net = training.build(config, D, K, weights)
    parts = {name: data.prepare(dataset, rows[name], features, net) for name in rows if len(rows[name])}
    return Experiment(config, dataset, features, net, parts)


def measure(experiment: Experiment, team: Alone = ALONE) -> dict[str, Measured]:
    """The net on each part, for which every process of the team is needed. Raises TrainingError where its figures are
    not finite."""
    measured = {name: training.evaluate(experiment.net, part, team) for name, part in experiment.parts.items()}
    for name, figures in measured.items():
        if not math.isfinite(figures.loss):
            raise TrainingError(f"the {name} loss is {figures.loss}: try a smaller optimizer.learning_rate")
    return measured


def result(
    experiment: Experiment, measured: dict[str, Measured], last: Epoch | None, interrupted: bool
) -> dict[str, Any]:
    """The final figures, as result.json holds them. `confusion` has a row for each true class, a column for each
    class that was predicted; `per_class` are figures of the test part."""
    import sklearn

    import minnet

    classes = experiment.dataset.classes
    by_class = figures_by_class(experiment.parts["test"].y, measured["test"].predicted, len(classes))
    figures = {
        f"{name}_{figure}": getattr(measured[name], figure) if name in measured else None
        for name in ("train", "validation", "test")
        for figure in ("loss", "accuracy")
    }
    return {
        "test_accuracy": figures.pop("test_accuracy"),
        "test_loss": figures.pop("test_loss"),
        "macro_f1": by_class.pop("macro_f1"),
        **figures,
        "best_epoch": last.best_epoch if last else 0,
        "epochs": last.epoch if last else 0,
        "interrupted": interrupted,
        "parameters": experiment.net.theta.size,
        "rows": {name: len(part.y) for name, part in experiment.parts.items()},
        "seconds": last.seconds if last else 0.0,
        "seed": experiment.config.train.seed,
        "split_seed": experiment.config.data.split_seed,
        "classes": classes.tolist(),
        **by_class,
        "versions": {
            "minnet": minnet.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
    }


def figures_by_class(y: NDArray, predicted: NDArray, K: int) -> dict[str, Any]:
    """Macro F1; precision, recall, F1 and rows of each class; and the confusion matrix, a row for each true class."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labels = np.arange(K)
    precision, recall, f1, rows = precision_recall_fscore_support(y, predicted, labels=labels, zero_division=0.0)
    per_class = {"precision": precision.tolist(), "recall": recall.tolist(), "f1": f1.tolist()}
    per_class["rows"] = rows.astype(int).tolist()  # scikit-learn counts in floats where not one row is right
    confusion = confusion_matrix(y, predicted, labels=labels).tolist()
    return {"macro_f1": float(f1.mean()), "per_class": per_class, "confusion": confusion}


def model_file(experiment: Experiment) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays and the manifest of model.npz: all that predicting needs."""
    dataset = experiment.dataset
    return describe(experiment.net, experiment.features, dataset.classes, dataset.table, dataset.name)


def describe(
    net: MLP, features: Features, classes: NDArray, table: dict[str, Any], source: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same for any net: what it was trained on, `source`, and how that file was read, `table`."""
    arrays = {"theta": net.theta, "center": features.center, "scale": features.scale}
    if not np.isnan(features.fill).all():  # no file holds what is not finite
        arrays["fill"] = features.fill
    manifest = {
        "layer_sizes": net.layer_sizes,
        "activation": net.activation,
        "dtype": net.dtype.name,
        "classes": classes.tolist(),
        "feature_names": features.names,
        "categories": features.categories,
        "table": table,
        "source": source,
    }
    return arrays, manifest


def _check_size(layer_sizes: list[int], itemsize: int) -> None:
    """Raises ConfigError for a net whose parameters, gradient and optimizer state would not fit into memory."""
    parameters = sum((n_in + 1) * n_out for n_in, n_out in pairwise(layer_sizes))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 5 * parameters * itemsize > memory:
        raise ConfigError(
            f"model.hidden: a net of {'-'.join(map(str, layer_sizes))} has {parameters:,} parameters and needs "
            f"{5 * parameters * itemsize / 1e9:,.0f} GB, more than this machine's {memory / 1e9:,.0f} GB"
        )
