"""How large each layer's gradient is, and how far a step moves its weights: what tells a net that learns from one that
stands still or bursts."""

import sys
from collections.abc import Iterable, Iterator

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
        starts = np.cumsum([0, *(W.size + b.size for W, b in zip(net.weights, net.biases, strict=True))])[:-1]
        self.gradient: list[float] = []
        self.update: list[float] = []
        self.cuts = []  # of each block: where it lies, its layers, and where in it each of them begins
        for start in range(0, net.theta.size, BLOCK):
            layers = np.flatnonzero((starts < start + BLOCK) & (np.append(starts[1:], net.theta.size) > start))
            self.cuts.append((slice(start, start + BLOCK), layers, np.maximum(starts[layers] - start, 0)))

    def watch(self, blocks: Blocks) -> Blocks:
        """The same blocks of theta for the step at hand, whose gradient is in net.dtheta: measured before, and each
        again once it has been updated."""
        gradient = np.zeros(len(self.net.weights))
        for block, layers, starts in self.cuts:
            gradient[layers] += _squares(self.net.dtheta[block], starts)
        self.gradient = _roots(gradient)
        return self._changes(blocks)

    def _changes(self, blocks: Blocks) -> Iterator[tuple[NDArray, NDArray, State]]:
        weights, changes = np.zeros((2, len(self.net.weights)))
        for (_, layers, starts), block in zip(self.cuts, blocks, strict=True):
            before = block[0].copy()
            weights[layers] += _squares(before, starts)
            yield block
            before -= block[0]
            changes[layers] += _squares(before, starts)
        self.update = _roots(changes / np.where(weights > 0, weights, 1))


def _squares(x: NDArray, starts: NDArray) -> NDArray:
    """The sum of squares from each start to the next, in float64."""
    with np.errstate(over="ignore"):
        return np.add.reduceat(np.square(x, dtype=np.float64), starts)


def _roots(squares: NDArray) -> list[float]:
    """As no file holds infinity, the largest number in its place."""
    return np.minimum(np.sqrt(squares), sys.float_info.max).tolist()
