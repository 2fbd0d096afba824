"""The four nets that every peer trains: data, initial weights and order of rows, the same for all.

Nothing here imports minnet, so that the whole process of another peer does not pay for it.
"""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

Weights = list[tuple[Any, Any]]  # W (n_in, n_out) and b (n_out,) of each layer


class Net(NamedTuple):
    """Layer sizes, batch size and training rows; the epochs of one timing, and of a whole process;
    Adam's learning rate."""

    sizes: tuple[int, ...]
    batch: int
    rows: int
    epochs: int = 1
    whole: int = 10
    rate: float = 2e-3
    dtype: str = "float32"

    @property
    def steps(self) -> int:
        """Steps in one epoch."""
        return -(-self.rows // self.batch)


SMALL = Net((4, 16, 3), 16, 120, epochs=100, whole=100)
DIGITS = Net((64, 64, 10), 32, 1437, epochs=10, whole=30, rate=0.01)
MEDIUM = Net((784, 256, 128, 10), 128, 4096, epochs=3)
WIDE = Net((784, 1024, 1024, 10), 512, 4096, epochs=2)
NETS = {
    f"{'-'.join(map(str, net.sizes))}, batch {net.batch}": net
    for net in (SMALL, DIGITS, MEDIUM, WIDE)
}


@cache
def data(net: Net) -> list[np.ndarray]:
    """X, y, X_test and y_test: the set digits for DIGITS, else clouds of points.

    The clouds overlap: otherwise gradients soon are subnormal numbers, which take several times as
    long, with some peers more than with others.
    """
    rng, (D, *_, K) = np.random.default_rng(7), net.sizes
    if (D, K, net.rows) == (64, 10, DIGITS.rows):
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        order = rng.permutation(len(y))
        X, y = X[order] / 16, y[order]
    else:
        y = rng.integers(0, K, net.rows + 500)
        X = rng.normal(size=(K, D)).astype(net.dtype)[y]
        X += min(4, D / 4) * rng.standard_normal(X.shape, X.dtype)
    X = X.astype(net.dtype, copy=False)
    return [X[: net.rows], y[: net.rows], X[net.rows :], y[net.rows :]]


def initial(net: Net, seed: int) -> Weights:
    """W, normal of variance 2/n_in, and b = 0 of each layer."""
    rng, shapes = np.random.default_rng(seed), pairwise(net.sizes)
    Ws = [rng.normal(0, np.sqrt(2 / shape[0]), shape).astype(net.dtype) for shape in shapes]
    return [(W, np.zeros(W.shape[1], W.dtype)) for W in Ws]


def orders(net: Net, epochs: int, seed: int) -> Iterator[np.ndarray]:
    """The order of rows (rows,) in each epoch: minnet's own, which the others are given."""
    rng = np.random.default_rng([seed, 1])
    return (rng.permutation(net.rows) for _ in range(epochs))


def measured(weights: Weights, X: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of weights, by NumPy, whoever has trained them."""
    h = X
    for l, (W, b) in enumerate(weights):
        h = (np.maximum(h, 0) if l else h) @ np.asarray(W) + np.asarray(b)
    z = h - h.max(axis=1, keepdims=True)
    losses = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]
    return float(losses.mean(dtype=float)), float((z.argmax(axis=1) == y).mean())
