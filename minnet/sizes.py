"""How large each layer's gradient is, and how far a step moves its weights: what tells a net that learns from one that
stands still or bursts."""

import math
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from minnet.core.network import MLP
from minnet.core.optimizers import BLOCK, State

Blocks = Iterable[tuple[NDArray, NDArray, State]]


class LayerSizes:
    """Of one step and each layer's [W; b]: `gradient`, the norm |dtheta|, and `update`, the norm of what the optimizer
    adds to theta over |theta|. L numbers each.

    Norms are Euclidean, summed in float64, and not by BLAS, whose sum would change with the number of its threads.
    """

    def __init__(self, net: MLP) -> None:
        self.net = net
        ends = np.cumsum([0, *(W.size + b.size for W, b in zip(net.weights, net.biases, strict=True))]).tolist()
        self.layers = [slice(*cut) for cut in pairwise(ends)]
        self.gradient: list[float] = []
        self.update: list[float] = []

    def watch(self, blocks: Blocks) -> Blocks:
        """The same blocks of theta for the step at hand, whose gradient is in net.dtheta: measured before, and each
        again once it has been updated."""
        self.gradient = [_norm(self.net.dtheta[layer]) for layer in self.layers]
        return self._changes(blocks)

    def _changes(self, blocks: Blocks) -> Iterator[tuple[NDArray, NDArray, State]]:
        weights = [_norm(self.net.theta[layer]) for layer in self.layers]
        squares = [0.0] * len(self.layers)
        for start, block in zip(range(0, self.net.theta.size, BLOCK), blocks, strict=True):
            before = block[0].copy()
            yield block
            before -= block[0]
            for l, layer in enumerate(self.layers):
                norm = _norm(before[max(0, layer.start - start) : max(0, layer.stop - start)])
                squares[l] += norm * norm
        self.update = [_finite(math.sqrt(s) / (w or 1)) for s, w in zip(squares, weights, strict=True)]


def _norm(x: NDArray) -> float:
    return _finite(math.sqrt(np.einsum("i,i->", x, x, dtype=np.float64)))


def _finite(size: float) -> float:
    """No file holds infinity."""
    return min(size, sys.float_info.max)
