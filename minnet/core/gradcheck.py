"""Gradients measured instead of derived, to check the derived ones.

Complex step: f(x + ih) = f(x) + ih f'(x) - ..., so f'(x) = Im f(x + ih) / h (Squire and Trapp,
1998). Nothing is subtracted, so h can be tiny and the result is good to the last digit, if f's code
takes complex numbers. Central differences, (f(x + h) - f(x - h)) / 2h, lose a third of the digits.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def complex_step(
    f: Callable[[NDArray], Any], x: NDArray, h: float = 1e-30, entries: NDArray | None = None
) -> NDArray:
    """df/dx (n,) of a scalar f at the real x (n,); or df/dx_j for j in `entries` only.

    >>> complex_step(lambda x: np.exp(x[0]) * x[1], np.array([0.0, 3.0])).tolist()
    [3.0, 1.0]
    """
    entries, x = np.arange(x.size) if entries is None else entries, x.astype(np.complex128)
    gradient = np.empty(len(entries))
    for place, j in enumerate(entries):
        original = x[j]
        x[j] += 1j * h
        gradient[place] = np.imag(f(x)) / h  # (C) Im f(x + ih) / h
        x[j] = original
    return gradient


def central_differences(
    f: Callable[[NDArray], Any], x: NDArray, h: float | None = None, entries: NDArray | None = None
) -> NDArray:
    """The same by central differences at x_j +- h max(1, |x_j|), h by default the cube root of the
    dtype's precision, where the formula's error, h^2, meets that of rounding, precision/h."""
    entries, x = np.arange(x.size) if entries is None else entries, x.copy()
    gradient = np.empty(len(entries), x.dtype)
    h = float(np.finfo(x.dtype).eps) ** (1 / 3) if h is None else h
    for place, j in enumerate(entries):
        original = x[j]
        step = h * max(1, abs(original))
        x[j] = above = original + step
        f_above = f(x)
        x[j] = below = original - step
        gradient[place] = (f_above - f(x)) / (above - below)  # (D) (f(x+h) - f(x-h)) / 2h
        x[j] = original
    return gradient


def relative_error(measured: ArrayLike, derived: ArrayLike) -> float:
    """max |measured - derived| over the largest entry; 0 if all are 0, NaN if one is not finite"""
    measured, derived = np.asarray(measured), np.asarray(derived)
    largest = np.maximum(np.abs(measured).max(), np.abs(derived).max())  # max() can lose a NaN
    return float(np.abs(measured - derived).max() / largest) if largest != 0 else 0.0
