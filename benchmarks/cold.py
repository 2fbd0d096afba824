"""python -m benchmarks.cold PEER NET: a whole process, from start to the accuracy on held-back rows, which it prints.

Each peer imports only what its user would. "digits" is the data set itself, from scikit-learn; the others are clouds
of points made on the spot.
"""

import sys
from itertools import pairwise

import numpy as np


def digits() -> tuple[np.ndarray, ...]:
    """X, X_test, y, y_test of the digits, a fifth held back."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    return train_test_split((X / 16).astype(np.float32), y, test_size=0.2, stratify=y, random_state=0)


def clouds(D: int, K: int, rows: int) -> tuple[np.ndarray, ...]:
    """The same from clouds of points."""
    rng = np.random.default_rng(7)
    y = rng.integers(0, K, rows + 500)
    X = rng.normal(size=(K, D)).astype(np.float32)[y] + 2 * rng.standard_normal((rows + 500, D), dtype=np.float32)
    return X[:rows], X[rows:], y[:rows], y[rows:]


RATE = 2e-3
CASES = {
    "digits": (digits, (64, 64, 10), 32, 30),
    "iris": (lambda: clouds(4, 3, 144), (4, 16, 3), 16, 100),
    "784-256": (lambda: clouds(784, 10, 4096), (784, 256, 128, 10), 128, 10),
    "784-1024": (lambda: clouds(784, 10, 8192), (784, 1024, 1024, 10), 512, 5),
}


def minnet(X, X_test, y, y_test, sizes, batch, epochs):
    """minnet's own training loop."""
    from minnet.batches import Part
    from minnet.config import Config, ModelConfig, OptimizerConfig, TrainConfig
    from minnet.core.network import MLP
    from minnet.training import blas_threads, train

    net = MLP(sizes, seed=0)
    config = Config(
        model=ModelConfig(hidden=list(sizes[1:-1])),
        optimizer=OptimizerConfig(learning_rate=RATE),
        train=TrainConfig(epochs=epochs, batch_size=batch, patience=0),
    )
    with blas_threads(net, batch):
        for _ in train(net, Part(net.with_ones(X), y), None, config):
            pass
    return (net.predict(X_test) == y_test).mean()


def scikit_learn(X, X_test, y, y_test, sizes, batch, epochs):
    """MLPClassifier."""
    import warnings

    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore")
    classifier = MLPClassifier(
        sizes[1:-1],
        alpha=0,
        batch_size=batch,
        learning_rate_init=RATE,
        max_iter=epochs,
        tol=0,
        n_iter_no_change=epochs,
        random_state=0,
    )
    return classifier.fit(X, y).score(X_test, y_test)


def pytorch(X, X_test, y, y_test, sizes, batch, epochs):
    """The usual loop, eager."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = [layer for n in pairwise(sizes) for layer in (nn.Linear(*n), nn.ReLU())]
    model = nn.Sequential(*layers[:-1])
    optimizer, criterion = torch.optim.Adam(model.parameters(), lr=RATE), nn.CrossEntropyLoss()
    X, X_test, y, y_test = (torch.from_numpy(array) for array in (X, X_test, y, y_test))
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(batch):
            optimizer.zero_grad()
            criterion(model(X[rows]), y[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        return (model(X_test).argmax(dim=1) == y_test).float().mean().item()


def jax(X, X_test, y, y_test, sizes, batch, epochs):
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
        rate = RATE * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return (jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-8), weights, m, v), m, v, t), 0.0

    rng = np.random.default_rng(0)
    shapes = list(pairwise(sizes))
    weights = [(rng.normal(0, (2 / n[0]) ** 0.5, n).astype(np.float32), np.zeros(n[1], np.float32)) for n in shapes]
    X, y = jnp.asarray(X), jnp.asarray(y)
    zeros = jax.tree.map(np.zeros_like, weights)
    state, epoch = (weights, zeros, zeros, 0.0), jax.jit(lambda state, order: jax.lax.scan(step, state, order)[0])
    for _ in range(epochs):
        state = epoch(state, rng.permutation(len(X))[: len(X) // batch * batch].reshape(-1, batch))
    return (np.asarray(logits(state[0], X_test)).argmax(axis=1) == y_test).mean()


PEERS = {"minnet": minnet, "scikit-learn": scikit_learn, "PyTorch": pytorch, "JAX": jax}

if __name__ == "__main__":
    make, *net = CASES[sys.argv[2]]
    print(f"{PEERS[sys.argv[1]](*make(), *net):.4f}")
