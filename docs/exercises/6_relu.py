"""Exercise 6: relu keeps what is positive; its slope is 1 where it does, and 0 elsewhere.

Read "Activations" in docs/backprop.md. Check with: minnet study --grade docs/exercises/6_relu.py
"""

import numpy as np


def relu(a: np.ndarray) -> np.ndarray:
    """h = max(a, 0), number by number, as a new array with the shape of a.

    >>> relu(np.array([[1.5, -0.5, 2.0]]))
    array([[1.5, 0. , 2. ]])
    """
    raise NotImplementedError


def relu_backward(dh: np.ndarray, a: np.ndarray) -> np.ndarray:
    """da = dh * (the slope at a), number by number: dh where a > 0, and 0 elsewhere.

    At a = 0 no slope exists; take that of the left side, 0.

    >>> relu_backward(np.array([[10.0, 20.0, -30.0]]), np.array([[1.5, -0.5, 2.0]])) + 0
    array([[ 10.,   0., -30.]])
    """
    raise NotImplementedError
