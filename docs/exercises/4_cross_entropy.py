"""Exercise 4: the loss of a row is -log p of its true class; its gradient in the logits is p - y.

Read "p - y" in docs/backprop.md. Check with:
minnet study --grade docs/exercises/4_cross_entropy.py
"""

import numpy as np


def cross_entropy(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The loss (N,) of each row, -log p_y, from the logits z (N, K) and the labels y (N,), 0..K-1.

    log p_y = z_y - log(sum_j exp(z_j)). Take it from z, not from p: where p underflows to 0, its
    log is -inf. As in softmax, subtract each row's largest logit first.

    >>> cross_entropy(np.array([[2.0, 0.0], [800.0, 0.0]]), np.array([0, 1])).round(4).tolist()
    [0.1269, 800.0]
    """
    raise NotImplementedError


def output_gradient(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """dz = dL/dz (N, K) of the mean loss L = sum(loss of each row) / N, from p (N, K) and y (N,).

    dz = (p - Y) / N, where Y (N, K) has a 1 at each row's label, and 0 elsewhere.

    >>> output_gradient(np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]]), np.array([0, 2])).round(4)
    array([[-0.25,  0.15,  0.1 ],
           [ 0.05,  0.4 , -0.45]])
    """
    raise NotImplementedError
