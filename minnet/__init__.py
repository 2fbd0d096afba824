"""minnet: a neural-net trainer small enough to read in one sitting, and good enough to use.

The mathematics is in `minnet.core`, whose docstring gives the reading order and the notation. The
command line is `python train.py`, `python -m minnet` or `minnet`.
"""

import importlib

TYPE_CHECKING = False  # that of typing, which takes time to import
if TYPE_CHECKING:
    from minnet.core.network import MLP
    from minnet.core.softmax import (
        cross_entropy,
        log_softmax,
        softmax,
        softmax_jacobian,
        softmax_vjp,
    )
    from minnet.errors import (
        ConfigError,
        DataError,
        MinnetError,
        MinnetWarning,
        ModelFileError,
        TrainingError,
    )
    from minnet.estimator import MLPClassifier
    from minnet.model import load
    from minnet.pipelines import save

    __version__: str

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
    "save",
    "softmax",
    "softmax_jacobian",
    "softmax_vjp",
]


def __getattr__(name: str) -> object:
    """A public name, imported on first use: a command sees to signals before NumPy is imported."""
    if name == "__version__":
        return importlib.import_module("minnet.errors").VERSION
    if name in __all__:
        # from what costs least; the estimator needs scikit-learn
        for home in ("errors", "core.softmax", "core.network", "model", "estimator", "pipelines"):
            module = importlib.import_module(f"minnet.{home}")
            if name in vars(module):
                return getattr(module, name)
    raise AttributeError(f"module 'minnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
