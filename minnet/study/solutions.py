"""Our solutions to docs/exercises, in NumPy alone. `minnet study --solution NAME` prints one."""

from collections.abc import Callable

import numpy as np


def softmax(z: np.ndarray) -> np.ndarray:
    """The largest logit of a row becomes 0, so exp never overflows."""
    exp = np.exp(z - z.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def softmax_jacobian(p: np.ndarray) -> np.ndarray:
    """p_i down the rows, delta_ik - p_k along them."""
    return p[..., :, None] * (np.eye(p.shape[-1]) - p[..., None, :])


def softmax_vjp(p: np.ndarray, dp: np.ndarray) -> np.ndarray:
    """<dp, p> is one number per row."""
    return p * (dp - (dp * p).sum(axis=1, keepdims=True))


def cross_entropy(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """-log p = log(total) - z, both less the row's largest logit."""
    z = z - z.max(axis=1, keepdims=True)
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]


def output_gradient(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Row y of the identity matrix is Y."""
    return (p - np.eye(p.shape[1])[y]) / len(y)


def linear_forward(h: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    """b is added to each row."""
    return h @ W + b


def linear_backward(h: np.ndarray, W: np.ndarray, da: np.ndarray) -> tuple[np.ndarray, ...]:
    """Each gradient has the shape of its array, which tells what to transpose."""
    return h.T @ da, da.sum(axis=0), da @ W.T


def relu(a: np.ndarray) -> np.ndarray:
    """What is positive stays."""
    return np.maximum(a, 0)


def relu_backward(dh: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Where a is positive, dh stays."""
    return dh * (a > 0)


def training_step(
    X: np.ndarray,
    y: np.ndarray,
    W1: np.ndarray,
    b1: np.ndarray,
    W2: np.ndarray,
    b2: np.ndarray,
    learning_rate: float,
) -> tuple:
    """All gradients first, from the W of the forward pass; then the step."""
    a = linear_forward(X, W1, b1)
    h = relu(a)
    z = linear_forward(h, W2, b2)
    L = cross_entropy(z, y).mean()
    dz = output_gradient(softmax(z), y)
    dW2, db2, dh = linear_backward(h, W2, dz)
    dW1, db1, _ = linear_backward(X, W1, relu_backward(dh, a))
    W1, b1 = W1 - learning_rate * dW1, b1 - learning_rate * db1
    W2, b2 = W2 - learning_rate * dW2, b2 - learning_rate * db2
    return L, W1, b1, W2, b2


def central_differences(f: Callable, x: np.ndarray) -> np.ndarray:
    """x + step and x - step are new arrays, so x stays as it is."""
    gradient, h = np.zeros(len(x)), 1e-5
    for j in range(len(x)):
        step = h * np.eye(len(x))[j]
        gradient[j] = (f(x + step) - f(x - step)) / (2 * h)
    return gradient


def gradient_check(f: Callable, x: np.ndarray, dx: np.ndarray) -> bool:
    """<= is False for NaN, so a gradient with NaN in it is wrong."""
    measured = central_differences(f, x)
    return bool(np.abs(measured - dx).max() <= 1e-5 * np.abs(measured).max())
