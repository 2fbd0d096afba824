"""What is measured: functions that run in a process of the peer's own, and return plain values."""

import os
import time
import timeit
import tracemalloc
from typing import Any

import numpy as np

from benchmarks import nets, peers
from benchmarks.nets import Net

Answer = dict[str, Any]


def train(peer: str, net: Net) -> Answer:
    """Microseconds of a step once the peer is ready, and the loss over all rows at the end."""
    training = peers.PEERS[peer](net, net.epochs, 0)
    weights = next(training)
    start = time.perf_counter()
    for epoch in training:
        weights = epoch
    us = (time.perf_counter() - start) / (net.epochs * net.steps) * 1e6
    return {"us": us, "loss": weights and nets.measured(weights, *nets.data(net)[:2])[0]}


def whole(peer: str, net: Net, seed: int) -> Answer:
    """The accuracy on the test rows, after training in a process that does nothing else."""
    *_, weights = peers.PEERS[peer](net, net.whole, seed)
    return {"accuracy": nets.measured(weights, *nets.data(net)[2:])[1]}


def output_gradient(peer: str, K: int, N: int = 4) -> Answer:
    """Microseconds, and bytes at the peak, from p to dz over K classes."""
    from minnet.core.softmax import OUTPUT_GRADIENTS, softmax

    p = softmax(np.random.default_rng(0).normal(size=(N, K)).astype(np.float32))
    T, gradient = np.eye(N, K, dtype=np.float32) / N, OUTPUT_GRADIENTS[peer]
    tracemalloc.start()
    gradient(p, T)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    calls, seconds = timeit.Timer(lambda: gradient(p, T)).autorange()
    return {"us": seconds / calls * 1e6, "bytes": peak}


def predict(peer: str, net: Net, n: int = 100_000) -> Answer:
    """Rows a second, from X to class probabilities."""
    X = np.random.default_rng(0).standard_normal((n, net.sizes[0]), dtype=np.float32)
    if peer == "PyTorch":
        import torch

        model = torch.nn.Sequential(peers.torch_model(net, 0), torch.nn.Softmax(dim=1))
        call = torch.inference_mode()(lambda X: model(torch.from_numpy(X)).numpy())
    else:
        package = {"minnet": "minnet", "scikit-learn": "sklearn.neural_network"}[peer]
        call = peers.mlp_classifier(net, 1, 0, package).predict_proba
    call(X[:2000])
    return {"rows": n / timeit.timeit(lambda: call(X), number=1)}


def read(peer: str, path: str) -> Answer:
    """Seconds to read a file of numbers, and the bytes of the array."""
    from minnet.data import sources

    start = time.perf_counter()
    if peer == "minnet":
        X = sources.read(path, sources.Reading(target=None, header=False, labels=False)).X
    else:
        X = np.loadtxt(path, delimiter=",")
    return {"reading": time.perf_counter() - start, "array": X.nbytes, "sum": float(X.sum())}


def shared_step(net: Net) -> Answer:
    """`train` by the processes together, each on a core of its own."""
    from minnet.distributed import team

    os.sched_setaffinity(0, {team().rank % (os.cpu_count() or 1)})
    return train("minnet", net)


def average(P: int) -> Answer:
    """Microseconds to average P numbers over the processes."""
    from minnet.distributed import team

    ranks, dtheta, times = team(), np.ones(P, np.float32), max(3, min(500, 10**7 // P))
    timer = timeit.Timer(lambda: ranks.average(dtheta, 1.0, 1.0, 0, 0, 0))
    timer.timeit(1)
    return {"us": timer.timeit(times) / times * 1e6}
