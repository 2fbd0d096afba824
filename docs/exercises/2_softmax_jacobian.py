"""Exercise 2: each p_i depends on every logit, so softmax's derivative is a matrix, its Jacobian J.

Read "Its Jacobian" in docs/backprop.md. Check with:
minnet study --grade docs/exercises/2_softmax_jacobian.py
"""

import numpy as np


def softmax_jacobian(p: np.ndarray) -> np.ndarray:
    """J_ik = dp_i/dz_k = p_i (delta_ik - p_k), with delta_ik = 1 where i = k and 0 elsewhere.

    From one row p (K,) make J (K, K); from a batch p (N, K) make J (N, K, K), one matrix per row.
    Start with the row: the same line does both, with p[..., :, None] for a column and
    p[..., None, :] for a row.

    >>> softmax_jacobian(np.array([0.5, 0.3, 0.2]))
    array([[ 0.25, -0.15, -0.1 ],
           [-0.15,  0.21, -0.06],
           [-0.1 , -0.06,  0.16]])
    """
    raise NotImplementedError
