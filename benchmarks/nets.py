"""The four nets that everyone trains: their data, initial weights and batches, the same for all."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from minnet.core.network import MLP

LEARNING_RATE = 1e-3  # of Adam, with its usual constants


@dataclass(frozen=True)
class Net:
    """A net, its batch size, and the rows and epochs of one timing; rows come in whole batches."""

    sizes: tuple[int, ...]
    batch: int
    rows: int
    epochs: int

    @property
    def name(self) -> str:
        """As in "64-64-10, batch 32"."""
        return f"{'-'.join(map(str, self.sizes))}, batch {self.batch}"

    @property
    def steps(self) -> int:
        """Steps in one epoch."""
        return self.rows // self.batch


NETS = {
    "iris": Net((4, 16, 3), 16, 144, 100),
    "digits": Net((64, 64, 10), 32, 1792, 10),
    "784-256": Net((784, 256, 128, 10), 128, 2048, 6),
    "784-1024": Net((784, 1024, 1024, 10), 512, 4096, 2),
}


@cache
def data(net: Net) -> tuple[np.ndarray, np.ndarray]:
    """X (rows, D) in float32 and y: iris and digits themselves, else clouds of points that overlap."""
    rng = np.random.default_rng(7)
    D, K = net.sizes[0], net.sizes[-1]
    if (D, K) in ((4, 3), (64, 10)) and net.rows < 1800:
        from sklearn.datasets import load_digits, load_iris

        X, y = (load_iris if D == 4 else load_digits)(return_X_y=True)
        chosen = rng.permutation(len(X))[: net.rows]
        X = (X - X.mean(axis=0)) / (X.std(axis=0) + (X.std(axis=0) == 0))
        return np.ascontiguousarray(X[chosen], dtype=np.float32), y[chosen].astype(np.int64)
    y = rng.integers(0, K, net.rows)
    centers = rng.normal(size=(K, D)).astype(np.float32)
    return centers[y] + 4 * rng.standard_normal((net.rows, D), dtype=np.float32), y


def weights(net: Net) -> list[tuple[np.ndarray, np.ndarray]]:
    """Initial W and b of each layer."""
    mlp = MLP(net.sizes, seed=0)
    return [(W.copy(), b.copy()) for W, b in zip(mlp.weights, mlp.biases, strict=True)]


def orders(net: Net, epochs: int) -> list[np.ndarray]:
    """The rows of each batch (steps, batch), for each epoch: minnet's own, which the others are given."""
    rng = np.random.default_rng([0, 1])
    return [rng.permutation(net.rows).reshape(net.steps, net.batch) for _ in range(epochs)]


def loss(net: Net, trained: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Mean cross-entropy of trained weights over all rows: what tells that all have done the same work."""
    h, y = data(net)
    for W, b in trained[:-1]:
        h = np.maximum(h @ W + b, 0)
    W, b = trained[-1]
    z = (h @ W + b).astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    return float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]).mean())
