"""A net of single numbers that remember what they were made of, as in micrograd."""

import math
from collections.abc import Iterator
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from benchmarks import nets
from benchmarks.nets import Net

TAPE: list["Value"] = []  # all numbers of a step, each after those that it was made of


class Value:
    """A number, and the numbers that it was made of with its derivative in each."""

    __slots__ = ("grad", "parents", "x")

    def __init__(self, x: float, *parents: tuple["Value", float]) -> None:
        self.x, self.grad, self.parents = x, 0.0, parents
        TAPE.append(self)

    def __add__(self, other: "Value") -> "Value":
        return Value(self.x + other.x, (self, 1.0), (other, 1.0))

    def __mul__(self, other: "Value") -> "Value":
        return Value(self.x * other.x, (self, other.x), (other, self.x))


def cross_entropy(layers: list[Any], X: list[float], y: int) -> Value:
    """-log p_y of one row: log sum_k exp(z_k) - z_y, after subtracting the largest logit."""
    h = [Value(x) for x in X]
    for l, columns in enumerate(layers):
        h = [Value(max(a.x, 0.0), (a, float(a.x > 0))) for a in h] if l else h
        h = [reduce(add, map(Value.__mul__, h, w), b) for *w, b in columns]
    shift = Value(-max(z.x for z in h))
    shifted = [z + shift for z in h]
    total = reduce(add, [Value(math.exp(z.x), (z, math.exp(z.x))) for z in shifted])
    return Value(math.log(total.x), (total, 1 / total.x)) + shifted[y] * Value(-1.0)


def train(net: Net, epochs: int, seed: int) -> Iterator[Any]:
    """Adam, as a peer of peers.py; yields the weights after each batch."""
    (X, y, *_), rate, cuts = nets.data(net), net.rate, range(net.batch, net.rows, net.batch)
    TAPE.clear()
    layers = [
        [[Value(x) for x in column] for column in np.vstack([W, b]).T.tolist()]
        for W, b in nets.initial(net, seed)
    ]
    theta, m, v = TAPE.copy(), [0.0] * len(TAPE), [0.0] * len(TAPE)
    batches = (rows for order in nets.orders(net, epochs, seed) for rows in np.split(order, cuts))
    yield None
    for t, rows in enumerate(batches, 1):
        TAPE[:] = theta
        losses = [cross_entropy(layers, X[n].tolist(), y[n]) for n in rows]
        mean = reduce(add, losses) * Value(1 / len(rows))
        for value in theta:
            value.grad = 0.0
        mean.grad = 1.0
        for value in reversed(TAPE):
            for parent, slope in value.parents:
                parent.grad += slope * value.grad
        for i, value in enumerate(theta):
            m[i] = 0.9 * m[i] + 0.1 * value.grad
            v[i] = 0.999 * v[i] + 0.001 * value.grad**2
            value.x -= rate * m[i] / (1 - 0.9**t) / (math.sqrt(v[i] / (1 - 0.999**t)) + 1e-8)
        Wb = [np.array([[value.x for value in column] for column in layer]).T for layer in layers]
        yield [(both[:-1], both[-1]) for both in Wb]
