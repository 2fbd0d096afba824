"""What is studied: the net of 2-3-3 units with its friendly numbers, or a row of data with a config's own net."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minnet import config as configs
from minnet import data, experiment, prediction, training
from minnet.config import Config
from minnet.core.network import MLP
from minnet.errors import ConfigError, ModelFileError
from minnet.experiment import Experiment
from minnet.features import Features

X, Y = (1.0, 2.0), 2
W0 = ((1.0, -1.0, 0.5), (0.5, 1.0, -1.0))
B0 = (0.0, 0.5, 0.25)
W1 = ((0.5, -0.5, 1.0), (1.0, 0.5, -1.0), (0.5, 1.0, -0.5))
B1 = (-0.5, 0.25, 0.5)
SETTINGS = ("model.hidden=[3]", "model.dtype=float64", "optimizer.name=sgd", "optimizer.learning_rate=0.1")
NEEDS_DATA = ("data.", "model.hidden")


@dataclass(frozen=True)
class Subject:
    """A net and one row, X (1, D) and its label y; what they are in words; the steps of an epoch, which set the
    learning rate."""

    config: Config
    net: MLP
    X: Any
    y: int
    about: str
    steps: int = 1


def friendly(overrides: list[str]) -> Subject:
    """The net of 2-3-3 units and its one row. Raises ConfigError for a key that needs data."""
    for override in overrides:
        if override.strip().startswith(NEEDS_DATA):
            raise ConfigError(f"{override}: needs a config, as in: minnet study digits {override}")
    config = configs.load(None, [*SETTINGS, *overrides])
    weights = training.class_weights(config.train.class_weight, np.array([Y]), np.arange(3))
    net = training.build(config, 2, 3, weights)
    net.theta[:] = np.concatenate([np.ravel(part) for part in (W0, B0, W1, B1)])
    return Subject(config, net, np.array([X]), Y, f"one row, of class {Y}")


def of_data(config: Config, row: int, model: Path | None = None) -> Subject:
    """A row of the config's data, counted from 0, scaled, with the config's net as it starts or from a model file.

    Raises ConfigError for a row that is not there, ModelFileError for a model of another net.
    """
    run = experiment.prepare(config)
    dataset, net, N = run.dataset, run.net, len(run.dataset.y)
    if not 0 <= row < N:
        raise ConfigError(f"--row {row}: {dataset.name} has the rows 0..{N - 1}")
    fitted, start = run.features, "as it starts"
    if model is not None:
        fitted, start = _use(model, run), f"from {model}"
    one = data.prepare(dataset, np.array([row]), fitted, net)
    X = one.X1[:] if hasattr(one.X1, "tocsr") else one.X1[:, :-1]
    names = ("training", "validation", "test")
    part = next(name for name, rows in zip(names, data.split(dataset, config.data), strict=True) if row in rows)
    y = int(one.y[0])
    about = f"{start}; {dataset.name}, row {row} of the {part} part, class {dataset.classes[y]} ({y})"
    steps = -(-len(run.parts["train"].y) // config.train.batch_size)
    return Subject(config, net, X, y, about, steps)


def _use(path: Path, run: Experiment) -> Features:
    """Put the weights of a model file into the run's net; returns its features. Raises ModelFileError where they do not
    fit."""
    model, net = prediction.load(path), run.net
    for name, has, wants in (
        ("layer_sizes", model.net.layer_sizes, net.layer_sizes),
        ("activation", model.net.activation, net.activation),
        ("classes", model.classes_.tolist(), run.dataset.classes.tolist()),
        ("columns", model.feature_names_in_.tolist(), [*run.features.names, *run.features.categories]),
    ):
        if has != wants:
            raise ModelFileError(f"{path}: has {name} {has}, the config {wants}")
    net.theta[:] = model.net.theta
    return model.features
