"""Exercise 5: a linear layer, and its three gradients, each with the shape of its array.

Read "The linear layer" in docs/backprop.md. Check with:
minnet study --grade docs/exercises/5_linear.py
"""

import numpy as np


def linear_forward(h: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a (N, n_out) = h @ W + b, from h (N, n_in), W (n_in, n_out) and b (n_out,).

    >>> h, W, b = np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [3.0, 1.0]]), np.array([0.5, 0.0])
    >>> linear_forward(h, W, b)
    array([[7.5, 2. ]])
    """
    raise NotImplementedError


def linear_backward(
    h: np.ndarray, W: np.ndarray, da: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dW (n_in, n_out), db (n_out,) and dh (N, n_in), from h (N, n_in), W (n_in, n_out) and
    da (N, n_out).

    dW = h^T @ da, db = the sum of da over the rows, dh = da @ W^T. The 1/N of the mean loss is
    already in da.

    >>> h, W = np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [3.0, 1.0]])
    >>> da = np.array([[1.0, -1.0]])
    >>> dW, db, dh = linear_backward(h, W, da)
    >>> dW.tolist(), db.tolist(), dh.tolist()
    ([[1.0, -1.0], [2.0, -2.0]], [1.0, -1.0], [[1.0, 2.0]])
    """
    raise NotImplementedError
