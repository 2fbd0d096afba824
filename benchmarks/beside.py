"""An older minnet, beside which `python -m benchmarks --beside CHECKOUT` times this one."""

import importlib.util
import sys

from benchmarks import nets, peers
from benchmarks.nets import Net


def before(net: Net, epochs: int, seed: int) -> peers.Training:
    """The training loop of the other checkout, from the same weights."""
    if importlib.util.find_spec("minnet.batches") is None:
        yield from peers.minnet(net, epochs, seed)
        return
    from minnet import config, training

    batches = importlib.import_module("minnet.batches")
    settled = config.load(None, peers.settings(net, epochs))
    mlp = training.build(settled, net.sizes[0], net.sizes[-1], None)
    weights = list(zip(mlp.weights, mlp.biases, strict=True))
    for (W, b), (W0, b0) in zip(weights, nets.initial(net, seed), strict=True):
        W[:], b[:] = W0, b0
    X, y, *_ = nets.data(net)
    with training.blas_threads(mlp, net.batch):
        yield None
        for _ in training.train(mlp, batches.Part(mlp.with_ones(X), y), None, settled):
            yield weights


def use(checkout: str) -> None:
    """In this process, `minnet` is the checkout's."""
    sys.path.insert(0, checkout)
    peers.PEERS["before"] = before
