"""Exercise 8: a gradient can be measured without any derivation, to check every derived one.

Read "Measuring a gradient" in docs/backprop.md. Check with:
minnet study --grade docs/exercises/8_gradient_check.py
"""

from collections.abc import Callable

import numpy as np


def central_differences(f: Callable[[np.ndarray], float], x: np.ndarray) -> np.ndarray:
    """The gradient df/dx (n,) of f at x (n,): entry j is (f(x + h e_j) - f(x - h e_j)) / 2h, where
    e_j moves x_j alone.

    Choose h: the formula is off by h^2 / 6 times f's third derivative, and rounding by about
    1e-16 f / h. 7 digits must be right where f is 1000, and where f is sin(30 x). x is float64, and
    must be the same in the end, to the last bit.

    >>> central_differences(lambda x: x[0] ** 2 + 3 * x[1], np.array([2.0, 1.0])).round(6)
    array([4., 3.])
    """
    raise NotImplementedError


def gradient_check(f: Callable[[np.ndarray], float], x: np.ndarray, dx: np.ndarray) -> bool:
    """Whether dx (n,) is the gradient of f at x (n,): True if no entry differs from the measured
    one by more than 1e-5 of the largest entry, else False.

    It must also notice a gradient with one wrong entry, and one with NaN in it, and not depend on
    how large f is.

    >>> f, x = lambda x: x[0] ** 2 + 3 * x[1], np.array([2.0, 1.0])
    >>> gradient_check(f, x, np.array([4.0, 3.0])), gradient_check(f, x, np.array([4.0, 2.9]))
    (True, False)
    """
    raise NotImplementedError
