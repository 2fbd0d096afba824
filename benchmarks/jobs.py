"""What is timed: functions of plain values that return plain values, run in a process of the peer's own (worker.py)."""

import time
import tracemalloc
import warnings

import numpy as np

from benchmarks import nets, peers
from benchmarks.nets import NETS, Net


def train(peer: str, net: str, epochs: int | None = None) -> dict:
    """Microseconds a step, and the loss over all rows at the end."""
    case = NETS[net]
    epochs = epochs or case.epochs
    seconds, trained = peers.PEERS[peer](case, epochs)
    return {
        "us": seconds / (epochs * case.steps) * 1e6,
        "loss": None if trained is None else nets.loss(case, trained),
    }


def fit(peer: str, net: str, dtype: str) -> dict:
    """Seconds for MLPClassifier.fit, minnet's or scikit-learn's own, and the loss of its last epoch."""
    case = NETS[net]
    X, y = nets.data(case)
    X = X.astype(dtype)
    if peer == "minnet":
        from minnet import MLPClassifier
    else:
        from sklearn.neural_network import MLPClassifier
    classifier = MLPClassifier(
        case.sizes[1:-1],
        batch_size=case.batch,
        max_iter=case.epochs,
        n_iter_no_change=case.epochs + 1,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not every net has converged then
        start = time.perf_counter()
        classifier.fit(X, y)
        seconds = time.perf_counter() - start
    return {"us": seconds / (case.epochs * case.steps) * 1e6, "loss": classifier.loss_}


def rows(peer: str, n: int) -> dict:
    """Seconds for one epoch over n rows, or a few less in whole batches: 64-64-10, batches of 32."""
    case = Net((64, 64, 10), 32, n // 32 * 32, 1)
    return {"seconds": peers.PEERS[peer](case, 1)[0], "rows": case.rows}


def width(peer: str, n: int) -> dict:
    """Microseconds a step with n hidden units: 784-n-10, batches of 128."""
    case = Net((784, n, 10), 128, 2560, 1)
    seconds, _ = peers.PEERS[peer](case, 1)
    return {"us": seconds / case.steps * 1e6}


def road(road: str, K: int, N: int = 4) -> dict:
    """Microseconds, and bytes at the peak, from p to dz over K classes."""
    from minnet.core.softmax import dz_by_road, softmax

    p = softmax(np.random.default_rng(0).normal(size=(N, K)).astype(np.float32))
    dlogp = np.zeros_like(p)
    dlogp[:, 0] = -1 / N
    tracemalloc.start()
    dz_by_road(p, dlogp, road)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    calls, seconds = 0, 0.0
    while seconds < 0.1:
        start = time.perf_counter()
        dz_by_road(p, dlogp, road)
        calls, seconds = calls + 1, seconds + time.perf_counter() - start
    return {"us": seconds / calls * 1e6, "bytes": peak}


def predict(peer: str, net: str, n: int = 100_000) -> dict:
    """Rows a second, from X to class probabilities."""
    case = NETS[net]
    X = np.random.default_rng(0).standard_normal((n, case.sizes[0]), dtype=np.float32)
    predict_proba = _predictor(peer, case)
    predict_proba(X[:2000])
    start = time.perf_counter()
    predict_proba(X)
    return {"rows": n / (time.perf_counter() - start)}


def _predictor(peer: str, case: Net):
    if peer == "minnet":
        from minnet.core.network import MLP

        return MLP(case.sizes, seed=0).predict_proba
    if peer == "scikit-learn":
        return peers.sklearn_classifier(case).predict_proba
    if peer == "PyTorch":
        import torch

        model = peers.torch_model(case)

        def predict_proba(X: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return torch.softmax(model(torch.from_numpy(X)), dim=1).numpy()

        return predict_proba
    raise ValueError(peer)
