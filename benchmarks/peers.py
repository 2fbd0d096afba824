"""Each peer trains a net. It yields None when it is ready, with everything imported and compiled,
and then its weights now and then, last at the end. It imports its package itself."""

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks import nets, scalar
from benchmarks.nets import Net, Weights

Training = Iterator[Weights | None]


def settings(net: Net, epochs: int) -> list[str]:
    """The net and its training as overrides of minnet's config."""
    model = [f"model.hidden={list(net.sizes[1:-1])}", f"optimizer.learning_rate={net.rate}"]
    train = [f"batch_size={net.batch}", f"epochs={epochs}", "patience=0", "checkpoint_seconds=0"]
    from minnet.config import PLAIN

    return [*PLAIN, *model, *(f"train.{setting}" for setting in train)]


def minnet(net: Net, epochs: int, seed: int) -> Training:
    """The training loop of the command line, in all processes that mpiexec has started."""
    from minnet import config, training
    from minnet.data import Part
    from minnet.distributed import blas_threads, team

    settled, (X, y, *_) = config.load(None, settings(net, epochs)), nets.data(net)
    mlp = training.build(settled, net.sizes[0], net.sizes[-1], None)
    for layer, (W, b) in zip(mlp.layers, nets.initial(net, seed), strict=True):
        layer.W[:], layer.b[:] = W, b
    state, recipe = training.State.start(mlp, "adam", seed), training.recipe(settled, mlp, len(y))
    with blas_threads(net.batch * mlp.theta.size):
        yield None
        for _ in training.train(mlp, {"train": Part(X, y)}, recipe, state, None, team()):
            yield list(zip(mlp.weights, mlp.biases, strict=True))


def floor(net: Net, epochs: int, seed: int) -> Training:
    """The matrix products of forward and backward, and nothing else."""
    products = []
    for l, (W, b) in enumerate(nets.initial(net, seed)):
        h, a = (np.ones((net.batch, n), np.float32) for n in W.shape)
        h1, Wb = np.pad(h, ((0, 0), (0, 1))), np.vstack([W, b])
        products += [(h1, Wb, a.copy()), (h1.T, a, Wb.copy()), *([(a, W.T, h)] if l else [])]
    yield None
    for _ in range(epochs * net.steps):
        for left, right, out in products:
            np.matmul(left, right, out=out)


def estimator(net: Net, epochs: int, seed: int, package: str) -> Training:
    """MLPClassifier.fit of scikit-learn or of minnet, which shuffles in its own order."""
    classifier, (X, y, *_) = mlp_classifier(net, epochs, seed, package), nets.data(net)
    yield None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        classifier.fit(X, y)
    yield list(zip(classifier.coefs_, classifier.intercepts_, strict=True))


def mlp_classifier(net: Net, epochs: int, seed: int, package: str) -> Any:
    """MLPClassifier with the initial weights, from which `fit` starts."""
    training = {"batch_size": net.batch, "learning_rate_init": net.rate, "warm_start": True}
    training |= {"max_iter": epochs, "n_iter_no_change": epochs + 1, "random_state": seed}
    kind = importlib.import_module(package).MLPClassifier
    classifier, K = kind(net.sizes[1:-1], alpha=0, **training), net.sizes[-1]
    y = np.arange(net.batch) % K  # so that it knows all classes
    classifier.partial_fit(nets.data(net)[0][: net.batch], y, classes=range(K))
    weights = zip(*nets.initial(net, seed), strict=True)
    classifier.coefs_, classifier.intercepts_ = map(list, weights)
    return classifier


def pytorch(net: Net, epochs: int, seed: int) -> Training:
    """The usual loop, eager."""
    import torch

    X, y = map(torch.from_numpy, nets.data(net)[:2])
    model, criterion = torch_model(net, seed), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=net.rate)
    yield None
    for order in nets.orders(net, epochs, seed):
        total = 0.0
        for rows in torch.from_numpy(order).split(net.batch):
            optimizer.zero_grad()
            loss = criterion(model(X[rows]), y[rows])
            loss.backward()
            optimizer.step()
            total += loss.item()
        yield [(m.weight.detach().numpy().T, m.bias.detach().numpy()) for m in model[::2]]


def torch_model(net: Net, seed: int) -> Any:
    """PyTorch's net with the initial weights."""
    import torch

    layers: list[Any] = []
    for W, b in nets.initial(net, seed):
        linear = torch.nn.Linear(*W.shape)
        state = {"weight": torch.from_numpy(W.T.copy()), "bias": torch.from_numpy(b)}
        linear.load_state_dict(state)
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def jax(net: Net, epochs: int, seed: int, whole: bool) -> Training:
    """One compiled step, called from a loop, or a whole epoch compiled into one call."""
    import jax
    import jax.numpy as jnp

    def mean_loss(weights, X, y):
        h = X
        for l, (W, b) in enumerate(weights):
            h = (jax.nn.relu(h) if l else h) @ W + b
        return -jnp.take_along_axis(jax.nn.log_softmax(h), y[:, None], axis=1).mean()

    def step(state, rows):
        weights, m, v, t = state
        loss, g = jax.value_and_grad(mean_loss)(weights, X[rows], y[rows])
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate, V = net.rate / (1 - 0.9**t), 1 / (1 - 0.999**t)
        moves = jax.tree.map(lambda m, v: rate * m / (jnp.sqrt(V * v) + 1e-8), m, v)
        return (jax.tree.map(jnp.subtract, weights, moves), m, v, t), loss

    def epoch(state, order):
        cut = len(order) // net.batch * net.batch
        state, losses = jax.lax.scan(step, state, order[:cut].reshape(-1, net.batch))
        return step(state, order[cut:]) if cut < len(order) else (state, losses.mean())

    X, y = map(jnp.asarray, nets.data(net)[:2])
    weights = jax.tree.map(jnp.asarray, nets.initial(net, seed))
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = weights, zeros, zeros, jnp.zeros(())
    size, call = (net.rows, epoch) if whole else (net.batch, step)
    cuts = range(size, net.rows, size)
    lengths = {len(rows) for rows in np.split(np.arange(net.rows), cuts)}
    calls = {n: jax.jit(call).lower(state, np.arange(n)).compile() for n in lengths}
    yield None
    for order in nets.orders(net, epochs, seed):
        total = 0.0
        for rows in np.split(order, cuts):
            state, loss = calls[len(rows)](state, rows)
            total += float(loss)
        yield state[0]


PEERS: dict[str, Callable[[Net, int, int], Training]] = {
    "floor": floor,
    "minnet": minnet,
    "minnet.MLPClassifier": partial(estimator, package="minnet"),
    "scikit-learn": partial(estimator, package="sklearn.neural_network"),
    "PyTorch": pytorch,
    "JAX, step": partial(jax, whole=False),
    "JAX, epoch": partial(jax, whole=True),
    "scalar": scalar.train,
}


def use(checkout: str) -> None:
    """In this process, `minnet` is another checkout's, and called "before"."""
    sys.path.insert(0, checkout)
    PEERS["before"] = minnet
