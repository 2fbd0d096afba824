"""Exercise 3: the way back through softmax is J^T dp, and it does not take J itself.

Read "Without J" in docs/backprop.md. Check with:
minnet study --grade docs/exercises/3_softmax_vjp.py
"""

import numpy as np


def softmax_vjp(p: np.ndarray, dp: np.ndarray) -> np.ndarray:
    """dz (N, K) = J^T dp of each row, from p (N, K) and dp (N, K): p * (dp - <dp, p>).

    <dp, p> = sum_k dp_k p_k is one number per row. No array may have K x K numbers.

    >>> softmax_vjp(np.array([[0.5, 0.3, 0.2]]), np.array([[1.0, 0.0, 2.0]])).round(4)
    array([[ 0.05, -0.27,  0.22]])
    """
    raise NotImplementedError
