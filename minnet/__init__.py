"""minnet: a neural-net trainer small enough to read in one sitting, and good enough to use.

The math is in `minnet.core`, whose own docstring gives the reading order and the notation; the command line is
`python train.py`, `python -m minnet` or `minnet`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnet.core.network import MLP
from minnet.core.softmax import (
    cross_entropy,
    log_softmax,
    output_gradient,
    softmax,
    softmax_jacobian,
    softmax_vjp,
)
from minnet.errors import ConfigError, DataError, MinnetError, ModelFileError, TrainingError

if TYPE_CHECKING:
    from minnet.estimator import MLPClassifier
    from minnet.prediction import Model


def load(path: str | Path) -> "Model":
    """The model in a run's folder or a model.npz: an object with predict, predict_proba, classes_, feature_names_in_.

    Raises ModelFileError where there is none, or one that is damaged.
    """
    from minnet import prediction

    return prediction.load(path)


def __getattr__(name: str) -> Any:
    """MLPClassifier, on first use: it imports scikit-learn."""
    if name == "MLPClassifier":
        from minnet.estimator import MLPClassifier

        return MLPClassifier
    raise AttributeError(f"module 'minnet' has no attribute {name!r}")


__version__ = "0.1.0"
__all__ = [
    "MLP",
    "ConfigError",
    "DataError",
    "MLPClassifier",
    "MinnetError",
    "ModelFileError",
    "TrainingError",
    "cross_entropy",
    "load",
    "log_softmax",
    "output_gradient",
    "softmax",
    "softmax_jacobian",
    "softmax_vjp",
]
