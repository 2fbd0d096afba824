"""Types of arguments and results; the shapes and dtypes stand in each docstring."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[Any]
Weights: TypeAlias = ArrayLike | None
Rng: TypeAlias = np.random.Generator | None
