"""Exercise 1: softmax turns any K numbers, the logits, into K probabilities: positive, sum 1.

Read "Softmax" in docs/backprop.md. Check with: minnet study --grade docs/exercises/1_softmax.py
"""

import numpy as np


def softmax(z: np.ndarray) -> np.ndarray:
    """p (N, K) from the logits z (N, K), each row by itself: p_i = exp(z_i) / sum_j exp(z_j).

    It must hold for logits of 1000 too, where exp overflows. A number subtracted from all logits of
    a row cancels; which one keeps exp small?

    >>> softmax(np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])).round(4)
    array([[0.09  , 0.2447, 0.6652],
           [0.3333, 0.3333, 0.3333]])
    """
    raise NotImplementedError
