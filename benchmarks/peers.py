"""Each peer trains the same net: a function of the net and a number of epochs that returns the seconds it took,
without imports, compiling and the making of data, and the trained weights."""

import time
import warnings
from collections.abc import Callable

import numpy as np

from benchmarks import nets
from benchmarks.nets import LEARNING_RATE, Net

Trained = list[tuple[np.ndarray, np.ndarray]]


def minnet(net: Net, epochs: int) -> tuple[float, Trained]:
    """The training loop that the command line runs."""
    from minnet.batches import Part
    from minnet.config import Config, ModelConfig, OptimizerConfig, TrainConfig
    from minnet.core.network import MLP
    from minnet.training import blas_threads, train

    X, y = nets.data(net)
    mlp = MLP(net.sizes, seed=0)
    config = Config(
        model=ModelConfig(hidden=list(net.sizes[1:-1])),
        optimizer=OptimizerConfig(learning_rate=LEARNING_RATE),
        train=TrainConfig(epochs=epochs, batch_size=net.batch, patience=0),
    )
    part = Part(mlp.with_ones(X), y)
    with blas_threads(mlp, net.batch):
        start = time.perf_counter()
        for _ in train(mlp, part, None, config):
            pass
        return time.perf_counter() - start, list(zip(mlp.weights, mlp.biases, strict=True))


def floor(net: Net, epochs: int) -> tuple[float, None]:
    """The matrix products of forward and backward, and nothing else."""
    rng = np.random.default_rng(0)

    def array(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    N, layers = net.batch, list(zip(net.sizes[:-1], net.sizes[1:], strict=True))
    products = []
    for l, (n_in, n_out) in enumerate(layers):
        h1, Wb, a, da = array(N, n_in + 1), array(n_in + 1, n_out), array(N, n_out), array(N, n_out)
        products += [(h1, Wb, a), (h1.T, da, np.empty_like(Wb))]
        if l > 0:
            products.append((da, Wb[:-1].T, array(N, n_in)))
    start = time.perf_counter()
    for _ in range(epochs * net.steps):
        for left, right, out in products:
            np.matmul(left, right, out=out)
    return time.perf_counter() - start, None


def scikit_learn(net: Net, epochs: int) -> tuple[float, Trained]:
    """MLPClassifier.fit, from the same weights; it shuffles in an order of its own."""
    classifier = sklearn_classifier(net).set_params(max_iter=epochs, n_iter_no_change=epochs + 1)
    X, y = nets.data(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        classifier.fit(X, y)
        seconds = time.perf_counter() - start
    return seconds, list(zip(classifier.coefs_, classifier.intercepts_, strict=True))


def sklearn_classifier(net: Net):
    """scikit-learn's MLPClassifier with the initial weights; `fit` goes on from these."""
    from sklearn.neural_network import MLPClassifier

    X, y = nets.data(net)
    classifier = MLPClassifier(
        net.sizes[1:-1],
        alpha=0,
        batch_size=net.batch,
        learning_rate_init=LEARNING_RATE,
        max_iter=1,
        tol=0,
        warm_start=True,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier.fit(X, y)
    classifier.coefs_ = [W for W, _ in nets.weights(net)]
    classifier.intercepts_ = [b for _, b in nets.weights(net)]
    return classifier


def pytorch(net: Net, epochs: int) -> tuple[float, Trained]:
    """The usual loop, eager."""
    import torch

    X, y = map(torch.from_numpy, nets.data(net))
    model = torch_model(net)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    criterion = torch.nn.CrossEntropyLoss()
    orders = [torch.from_numpy(order) for order in nets.orders(net, epochs)]
    start = time.perf_counter()
    for order in orders:
        total = 0.0
        for rows in order:
            optimizer.zero_grad()
            loss = criterion(model(X[rows]), y[rows])
            loss.backward()
            optimizer.step()
            total += loss.item()
    seconds = time.perf_counter() - start
    return seconds, [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in model[::2]]


def torch_model(net: Net):
    """PyTorch's net with the initial weights."""
    import torch
    from torch import nn

    layers = []
    for W, b in nets.weights(net):
        linear = nn.Linear(*W.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W.T.copy()))
            linear.bias.copy_(torch.from_numpy(b))
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def jax_step(net: Net, epochs: int) -> tuple[float, Trained]:
    """One jitted step, called from a loop."""
    import jax

    X, y, state, step_of = _jax(net)
    step = jax.jit(lambda state, rows: step_of(state, X[rows], y[rows]))
    orders = nets.orders(net, epochs)
    jax.block_until_ready(step(state, orders[0][0]))
    start = time.perf_counter()
    for order in orders:
        total = 0.0
        for rows in order:
            state, loss = step(state, rows)
            total += float(loss)
    jax.block_until_ready(state)
    return time.perf_counter() - start, _from_jax(state)


def jax_epoch(net: Net, epochs: int) -> tuple[float, Trained]:
    """A whole epoch compiled into one call."""
    import jax

    X, y, state, step_of = _jax(net)
    epoch = jax.jit(lambda state, order: jax.lax.scan(lambda s, rows: step_of(s, X[rows], y[rows]), state, order))
    orders = nets.orders(net, epochs)
    jax.block_until_ready(epoch(state, orders[0]))
    start = time.perf_counter()
    for order in orders:
        state, losses = epoch(state, order)
        float(losses.mean())
    jax.block_until_ready(state)
    return time.perf_counter() - start, _from_jax(state)


def _jax(net: Net):
    """Data and state for JAX, and the step: (state, X, y) -> (state, loss)."""
    import jax
    import jax.numpy as jnp

    def mean_loss(weights, X, y):
        h = X
        for W, b in weights[:-1]:
            h = jax.nn.relu(h @ W + b)
        W, b = weights[-1]
        log_p = jax.nn.log_softmax(h @ W + b)
        return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()

    def step(state, X, y):
        weights, m, v, t = state
        loss, g = jax.value_and_grad(mean_loss)(weights, X, y)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate = LEARNING_RATE * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        epsilon = 1e-8 * jnp.sqrt(1 - 0.999**t)
        weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + epsilon), weights, m, v)
        return (weights, m, v, t), loss

    X, y = map(jnp.asarray, nets.data(net))
    weights = [(jnp.asarray(W), jnp.asarray(b)) for W, b in nets.weights(net)]
    zeros = jax.tree.map(jnp.zeros_like, weights)
    return X, y, (weights, zeros, zeros, jnp.zeros((), jnp.float32)), step


def _from_jax(state) -> Trained:
    return [(np.asarray(W), np.asarray(b)) for W, b in state[0]]


def scalar(net: Net, epochs: int) -> tuple[float, Trained]:
    """Single numbers that remember how they were made."""
    from benchmarks import scalar

    X, y = nets.data(net)
    batches = [rows for order in nets.orders(net, epochs) for rows in order]
    start = time.perf_counter()
    trained = scalar.train(X, y, nets.weights(net), batches, LEARNING_RATE)
    return time.perf_counter() - start, [(np.array(W), np.array(b)) for W, b in trained]


PEERS: dict[str, Callable] = {
    "minnet": minnet,
    "floor": floor,
    "scikit-learn": scikit_learn,
    "PyTorch": pytorch,
    "JAX, step": jax_step,
    "JAX, epoch": jax_epoch,
    "scalar": scalar,
}
