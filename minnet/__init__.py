"""minnet: a neural-net trainer small enough to read in one sitting, and good enough to use.

The mathematics is in `minnet.core`, whose docstring gives the reading order and the notation. The
command line is `python train.py`, `python -m minnet` or `minnet`.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnet import errors
from minnet.errors import (
    ConfigError,
    DataError,
    MinnetError,
    MinnetWarning,
    ModelFileError,
    TrainingError,
)

if TYPE_CHECKING:
    from minnet.core.network import MLP
    from minnet.core.softmax import (
        cross_entropy,
        log_softmax,
        softmax,
        softmax_jacobian,
        softmax_vjp,
    )
    from minnet.estimator import MLPClassifier
    from minnet.model import Model

__version__ = errors.VERSION
__all__ = [
    "MLP",
    "ConfigError",
    "DataError",
    "MLPClassifier",
    "MinnetError",
    "MinnetWarning",
    "ModelFileError",
    "TrainingError",
    "cross_entropy",
    "load",
    "log_softmax",
    "softmax",
    "softmax_jacobian",
    "softmax_vjp",
]


def load(path: str | Path) -> "Model":
    """The model in a run's folder or a model.npz, with predict, predict_proba, classes_ and
    feature_names_in_. Raises ModelFileError if there is none, or if it is damaged."""
    from minnet import model

    return model.load(path)


def __getattr__(name: str) -> Any:
    """A name of the mathematics or the estimator, imported on first use: a command can be
    interrupted before NumPy is there."""
    if name not in __all__:
        raise AttributeError(f"module 'minnet' has no attribute {name!r}")
    place = {"MLP": "core.network", "MLPClassifier": "estimator"}.get(name, "core.softmax")
    return getattr(importlib.import_module(f"minnet.{place}"), name)


def __dir__() -> list[str]:
    return __all__
