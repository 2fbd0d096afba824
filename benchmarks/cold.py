"""python -m benchmarks.cold PEER NET SEED: a whole process, from start to the accuracy on held-back rows.

It prints this accuracy and the epochs it took. Each peer imports only what its user would, and measures the accuracy
after each epoch. "digits" is the data set itself, from scikit-learn, and ends once 97% are right; the others are clouds
of points made on the spot, and run all their epochs.
"""

import math
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np


class Case(NamedTuple):
    """What makes X, X_test, y and y_test; the net; its training, which ends early once the accuracy is `goal`."""

    make: Callable[[], list[np.ndarray]]
    sizes: tuple[int, ...]
    batch: int
    epochs: int
    rate: float = 2e-3
    goal: float = math.inf


def digits() -> list[np.ndarray]:
    """X, X_test, y, y_test of the digits, a fifth held back."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    return train_test_split((X / 16).astype(np.float32), y, test_size=0.2, stratify=y, random_state=0)


def clouds(D: int, K: int, rows: int, noise: float) -> list[np.ndarray]:
    """The same from clouds of points.

    With so much noise that they overlap: else the gradients soon are subnormal numbers, which take several times as
    long, and with some peers more than with others.
    """
    rng = np.random.default_rng(7)
    y = rng.integers(0, K, rows + 500)
    X = rng.normal(size=(K, D)).astype(np.float32)[y]
    X += np.float32(noise) * rng.standard_normal((rows + 500, D), dtype=np.float32)
    return [X[:rows], X[rows:], y[:rows], y[rows:]]


CASES = {  # nets and batches as in benchmarks.nets, which is not imported: it would bring minnet to every peer
    "iris": Case(lambda: clouds(4, 3, 144, noise=1), (4, 16, 3), 16, 100),
    "digits": Case(digits, (64, 64, 10), 32, 100, rate=0.01, goal=0.97),
    "784-256": Case(lambda: clouds(784, 10, 4096, noise=4), (784, 256, 128, 10), 128, 10),
    "784-1024": Case(lambda: clouds(784, 10, 8192, noise=4), (784, 1024, 1024, 10), 512, 5),
}


def minnet(X, X_test, y, y_test, case: Case, seed: int) -> Iterator[float]:
    """minnet's own training loop."""
    from minnet.batches import Part
    from minnet.config import Config, ModelConfig, OptimizerConfig, TrainConfig
    from minnet.core.network import MLP
    from minnet.training import blas_threads, train

    net = MLP(case.sizes, seed=seed)
    config = Config(
        model=ModelConfig(hidden=list(case.sizes[1:-1])),
        optimizer=OptimizerConfig(learning_rate=case.rate),
        train=TrainConfig(epochs=case.epochs, batch_size=case.batch, seed=seed, patience=0),
    )
    with blas_threads(net, case.batch):
        for _ in train(net, Part(net.with_ones(X), y), None, config):
            yield (net.predict(X_test) == y_test).mean()


def scikit_learn(X, X_test, y, y_test, case: Case, seed: int) -> Iterator[float]:
    """MLPClassifier, of which one call of partial_fit is one epoch."""
    from sklearn.neural_network import MLPClassifier

    classifier = MLPClassifier(
        case.sizes[1:-1], alpha=0, batch_size=case.batch, learning_rate_init=case.rate, random_state=seed
    )
    for _ in range(case.epochs):
        yield classifier.partial_fit(X, y, classes=range(case.sizes[-1])).score(X_test, y_test)


def pytorch(X, X_test, y, y_test, case: Case, seed: int) -> Iterator[float]:
    """The usual loop, eager."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    layers = [layer for n in pairwise(case.sizes) for layer in (nn.Linear(*n), nn.ReLU())]
    model = nn.Sequential(*layers[:-1])
    optimizer, criterion = torch.optim.Adam(model.parameters(), lr=case.rate), nn.CrossEntropyLoss()
    X, X_test, y, y_test = (torch.from_numpy(array) for array in (X, X_test, y, y_test))
    for _ in range(case.epochs):
        for rows in torch.randperm(len(X)).split(case.batch):
            optimizer.zero_grad()
            criterion(model(X[rows]), y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            yield (model(X_test).argmax(dim=1) == y_test).float().mean().item()


def jax(X, X_test, y, y_test, case: Case, seed: int) -> Iterator[float]:
    """A whole epoch compiled into one call."""
    import jax
    import jax.numpy as jnp

    def logits(weights, X):
        for W, b in weights[:-1]:
            X = jax.nn.relu(X @ W + b)
        return X @ weights[-1][0] + weights[-1][1]

    def mean_loss(weights, X, y):
        return -jnp.take_along_axis(jax.nn.log_softmax(logits(weights, X)), y[:, None], axis=1).mean()

    def step(state, rows):
        weights, m, v, t = state
        g = jax.grad(mean_loss)(weights, X[rows], y[rows])
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate = case.rate * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return (jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-8), weights, m, v), m, v, t), 0.0

    def epoch(state, order):
        whole = len(order) // case.batch * case.batch
        state, _ = jax.lax.scan(step, state, order[:whole].reshape(-1, case.batch))
        return step(state, order[whole:])[0] if whole < len(order) else state

    rng = np.random.default_rng(seed)
    shapes = list(pairwise(case.sizes))
    weights = [(rng.normal(0, (2 / n[0]) ** 0.5, n).astype(np.float32), np.zeros(n[1], np.float32)) for n in shapes]
    X, y = jnp.asarray(X), jnp.asarray(y)
    zeros = jax.tree.map(np.zeros_like, weights)
    state, epoch, logits = (weights, zeros, zeros, 0.0), jax.jit(epoch), jax.jit(logits)
    for _ in range(case.epochs):
        state = epoch(state, rng.permutation(len(X)))
        yield (np.asarray(logits(state[0], X_test)).argmax(axis=1) == y_test).mean()


PEERS = {"minnet": minnet, "scikit-learn": scikit_learn, "PyTorch": pytorch, "JAX": jax}


def run(peer: str, net: str, seed: int) -> tuple[float, int]:
    """The accuracy on held-back rows at the end, and the epochs."""
    case, accuracies = CASES[net], []
    for accuracy in PEERS[peer](*case.make(), case, seed):
        accuracies.append(accuracy)
        if accuracy >= case.goal:
            break
    return accuracies[-1], len(accuracies)


if __name__ == "__main__":
    reached, epochs = run(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    print(f"{reached:.4f} {epochs}")
