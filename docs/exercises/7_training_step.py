"""Exercise 7: one step of gradient descent, all the way forward and back: exercises 1 to 6 in one.

Read "One step" in docs/backprop.md. Check with:
minnet study --grade docs/exercises/7_training_step.py
Paste what you need of your solutions in here; it is graded too.
"""

import numpy as np

Step = tuple[float, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def training_step(
    X: np.ndarray,
    y: np.ndarray,
    W1: np.ndarray,
    b1: np.ndarray,
    W2: np.ndarray,
    b2: np.ndarray,
    learning_rate: float,
) -> Step:
    """L, W1, b1, W2, b2: the mean loss before the step, and the parameters after it, as new arrays.

    X (N, D), labels y (N,), W1 (D, n), b1 (n,), W2 (n, K), b2 (K,).

    Forward:   a = X @ W1 + b1,  h = relu(a),  z = h @ W2 + b2,  p = softmax(z),
               L = the mean of -log p_y
    Backward:  dz = (p - Y) / N,  dW2 = h^T @ dz,  db2 = sum of dz,  dh = dz @ W2^T,
               da = dh where a > 0,  dW1 = X^T @ da,  db1 = sum of da
    Step:      W1 - learning_rate * dW1, and the same for the other three

    >>> X, y = np.array([[1.0, 2.0]]), np.array([0])
    >>> W1, b1, W2, b2 = np.eye(2), np.zeros(2), np.eye(2), np.zeros(2)
    >>> L, W1, b1, W2, b2 = training_step(X, y, W1, b1, W2, b2, 0.1)
    >>> round(float(L), 4)
    1.3133
    >>> W2.round(4)
    array([[ 1.0731, -0.0731],
           [ 0.1462,  0.8538]])
    """
    raise NotImplementedError
