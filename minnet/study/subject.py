"""What is studied: a net of 2-3-3 units with round numbers, or a row of data and its config's
net."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minnet import config as configs
from minnet import data, model, runs, training
from minnet.config import Config
from minnet.core.network import MLP
from minnet.data.preprocess import Preprocessing
from minnet.errors import ConfigError, ModelFileError, one_line

X, Y = [[1.0, 2.0]], 2
NUMBERS = """
1.0 -1.0 0.5    0.5 1.0 -1.0
0.0 0.5 0.25
0.5 -0.5 1.0    1.0 0.5 -1.0    0.5 1.0 -0.5
-0.5 0.25 0.5
"""  # W[0], b[0], W[1], b[1], row by row
SETTINGS = "model.hidden=[3] model.dtype=float64 optimizer.name=sgd optimizer.learning_rate=0.1"


@dataclass(frozen=True)
class Subject:
    """A net and one row, X (1, D) with its label y; `about`, the row in words; how many rows the
    training part has, on which the schedule of the learning rate depends; and the classes' names,
    if they have any."""

    config: Config
    net: MLP
    X: Any
    y: int
    about: str
    rows: int = 1
    classes: Any = ()


def choose(arguments: list[str], row: int | None = None, path: Path | None = None) -> Subject:
    """What `minnet study` is to show: without a config, a row or a model, the friendly net; else a
    row of the config's data, or of those of the model's own run. Raises as `of_data` does."""
    named = any("=" not in argument for argument in arguments)
    if not named and row is None and path is None:
        return friendly(arguments)
    config, overrides = configs.locate(arguments)
    if path is not None and not named:
        model.load(path)  # says first what is wrong with it
        config = (path if path.is_dir() else path.parent) / "config.toml"
    return of_data(configs.load(config, overrides), row or 0, path)


def friendly(overrides: list[str]) -> Subject:
    """The net of 2-3-3 units and its one row. Raises ConfigError for a key that needs data."""
    for override in overrides:
        if override.strip().startswith(("data.", "model.hidden")):
            example = f"minnet study digits {override}"
            raise ConfigError(f"{override}: needs a config, as in: {example}")
    config = configs.load(None, [*configs.PLAIN, *SETTINGS.split(), *overrides])
    weights = training.class_weights(config.train.class_weight, np.array([Y]), np.arange(3))
    net = training.member(training.build(config, 2, 3, weights), 0)
    net.theta[:] = np.array(NUMBERS.split(), float)
    return Subject(config, net, np.array(X), Y, f"one row, of class {Y}")


def of_data(config: Config, row: int, path: Path | None = None) -> Subject:
    """A row of the config's data, from 0, with the net as training starts or from a model file.

    Raises ConfigError if there is no such row, ModelFileError for a model of another net.
    """
    prepared = runs.prepare(config)
    loaded, fitted, net = prepared.data, prepared.preprocessing, training.member(prepared.net, 0)
    if not 0 <= row < len(loaded.y):
        raise ConfigError(f"--row {row}: {loaded.name} has the rows 0..{len(loaded.y) - 1}")
    start = "before training"
    if path is not None:
        fitted, start = _use(path, prepared), f"from {path}"
    config = prepared.config
    start += of_members(config)
    one = data.part(loaded, np.array([row]), fitted, net.dtype)
    part = next(name for name, rows in loaded.parts.items() if row in rows)
    part, y = part.replace("train", "training"), int(one.y[0])
    name = one_line(
        f"{start}; {loaded.name}, row {row} of the {part} part, class {loaded.classes[y]} ({y})"
    )
    rows = prepared.parts["train"].rows
    return Subject(config, net, one.X[:], y, name, rows, loaded.classes)


def of_members(config: Config) -> str:
    """What to say if there are members."""
    members = config.model.members
    return f", the first of {members} members" if members > 1 else ""


def _use(path: Path, prepared: runs.Prepared) -> Preprocessing:
    """Give the net the weights of a model file; returns the model's preprocessing. Raises
    ModelFileError if they do not fit."""
    trained, net = model.load(path), prepared.net
    columns, classes = prepared.preprocessing.columns, prepared.data.classes
    for name, has, wants in (
        ("layer_sizes", trained.net.layer_sizes, net.layer_sizes),
        ("activation", trained.net.activation, net.activation),
        ("classes", trained.classes_.tolist(), classes.tolist()),
        ("columns", trained.preprocessing.columns, columns),
    ):
        if has != wants:
            raise ModelFileError(f"{path}: has {name} {has}, the config {wants}")
    net.theta[:] = training.member(trained.net, 0).theta
    return trained.preprocessing
