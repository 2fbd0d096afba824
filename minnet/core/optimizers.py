"""Optimizers, gradient clipping and learning-rate schedules, on flat arrays alone.

Each optimizer is a function `f(theta, dtheta, state, t, learning_rate, settings)` that takes step t = 1, 2, ... by
updating theta in place; it uses dtheta up as its scratch space. `state` is a dict of up to two vectors like theta,
made by `new_state`: with t, it is all that a checkpoint needs. `settings` holds the constants.

All act number by number, so that theta can be updated a block at a time: see `blocks`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

State = dict[str, NDArray]
BLOCK = 2**16  # numbers of theta in one update: with dtheta, m and v, a megabyte of float32


@dataclass(frozen=True)
class Settings:
    """The constants of the update rules, under the names that their papers use."""

    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    epsilon_hat: bool = False  # in Adam, epsilon joins sqrt(v) before v is corrected, as in scikit-learn


def sgd(theta: NDArray, dtheta: NDArray, state: State, t: int, learning_rate: float, settings: Settings) -> None:
    """theta <- theta - rate * dtheta"""
    dtheta *= learning_rate
    theta -= dtheta


def momentum(theta: NDArray, dtheta: NDArray, state: State, t: int, learning_rate: float, settings: Settings) -> None:
    """v <- mu v - rate * dtheta;  theta <- theta + v   (Polyak 1964; Sutskever et al. 2013, eq. 1 and 2)"""
    v = state["v"]
    v *= settings.momentum
    dtheta *= learning_rate
    v -= dtheta
    theta += v


def nesterov(theta: NDArray, dtheta: NDArray, state: State, t: int, learning_rate: float, settings: Settings) -> None:
    """v <- mu v - rate * dtheta;  theta <- theta + mu v - rate * dtheta

    Sutskever et al. 2013, eq. 3 and 4, written for the point that looks ahead, theta + mu v, so that the
    gradient is taken where theta is.
    """
    v = state["v"]
    v *= settings.momentum
    dtheta *= learning_rate
    v -= dtheta
    theta -= dtheta
    np.multiply(v, settings.momentum, out=dtheta)
    theta += dtheta


def adam(theta: NDArray, dtheta: NDArray, state: State, t: int, learning_rate: float, settings: Settings) -> None:
    """m <- beta1 m + (1 - beta1) dtheta;  v <- beta2 v + (1 - beta2) dtheta^2;
    theta <- theta - rate * mhat / (sqrt(vhat) + epsilon), mhat = m/(1 - beta1^t), vhat = v/(1 - beta2^t)

    Kingma and Ba 2015, algorithm 1. Here m and v are kept without their factors 1 - beta, as plain decaying
    sums; these factors and the corrections make one number each, M and V, and two passes over the array less:
    rate * M m / (sqrt(V v) + epsilon) = rate * M/sqrt(V) * m / (sqrt(v) + epsilon/sqrt(V)). With epsilon_hat (the
    end of their section 2) it is epsilon/sqrt(1 - beta2) instead.
    """
    m, v = state["m"], state["v"]
    beta1, beta2 = settings.beta1, settings.beta2
    M, V = (1 - beta1) / (1 - beta1**t), (1 - beta2) / (1 - beta2**t)
    m *= beta1
    m += dtheta
    np.square(dtheta, out=dtheta)
    v *= beta2
    v += dtheta
    np.sqrt(v, out=dtheta)
    dtheta += settings.epsilon / math.sqrt(1 - beta2 if settings.epsilon_hat else V)
    np.divide(m, dtheta, out=dtheta)
    dtheta *= learning_rate * M / math.sqrt(V)
    theta -= dtheta


# The names of the vectors (P,) in each one's state. AdamW is Adam after `decay`.
STATE = {"sgd": "", "momentum": "v", "nesterov": "v", "adam": "mv", "adamw": "mv"}
OPTIMIZERS = {"sgd": sgd, "momentum": momentum, "nesterov": nesterov, "adam": adam, "adamw": adam}


def new_state(name: str, theta: NDArray) -> State:
    """The state of optimizer `name` before its first step: zeros (P,)."""
    return {vector: np.zeros_like(theta) for vector in STATE[name]}


def blocks(theta: NDArray, dtheta: NDArray, state: State) -> list[tuple[NDArray, NDArray, State]]:
    """Views of theta, dtheta and state, BLOCK numbers each, small enough to stay in the cache for a whole update."""
    cuts = [slice(start, start + BLOCK) for start in range(0, theta.size, BLOCK)]
    return [(theta[cut], dtheta[cut], {name: vector[cut] for name, vector in state.items()}) for cut in cuts]


def flush(state: State) -> None:
    """Set to 0 what has decayed below the smallest normal number, a block at a time.

    Where the gradient has become 0 for good (behind a relu that is off for every row), m dies away, but never to 0:
    the smallest numbers times 0.9 round to themselves. Processors are slow with these: with 8 of 64 units off, a
    step of Adam took 24 µs, and 13 after this.
    """
    for vector in state.values():
        tiny = np.finfo(vector.dtype).tiny
        for start in range(0, vector.size, BLOCK):
            block = vector[start : start + BLOCK]
            block[np.abs(block) < tiny] = 0


def decay(weights: Sequence[NDArray], weight_decay: float, learning_rate: float) -> None:
    """W <- W - rate * weight_decay * W: the decay of AdamW, apart from the gradient (Loshchilov and Hutter 2019)."""
    for W in weights:
        W *= 1 - learning_rate * weight_decay


def clip_by_norm(dtheta: NDArray, max_norm: float) -> float:
    """Scale dtheta (P,) in place to the norm `max_norm` if its norm is larger; returns the norm before.

    Pascanu et al. 2013, algorithm 1. The squares are summed in float64, where those of float32 cannot overflow,
    and not by BLAS, whose sum would change with the number of its threads.
    """
    norm = math.sqrt(np.einsum("i,i->", dtheta, dtheta, dtype=np.float64))
    if norm > max_norm:
        dtheta *= max_norm / norm
    return norm


@dataclass(frozen=True)
class Schedule:
    """The learning rate at each step t = 0, 1, ... of `steps`.

    After a linear rise over `warmup` steps to `base`: "constant"; "step", times `factor` after every `every`
    steps; "cosine", base/2 (1 + cos(pi s)) with s from 0 to 1 over the steps that are left (Loshchilov and Hutter
    2017, eq. 5, one period).

    >>> [round(Schedule(0.1, "cosine", steps=6, warmup=2).rate(t), 3) for t in range(6)]
    [0.05, 0.1, 0.1, 0.085, 0.05, 0.015]
    """

    base: float
    name: str = "constant"
    steps: int = 1
    warmup: int = 0
    every: int = 1
    factor: float = 0.1

    def rate(self, t: int) -> float:
        """The learning rate of step t."""
        if t < self.warmup:
            return self.base * (t + 1) / self.warmup
        t -= self.warmup
        if self.name == "constant":
            return self.base
        if self.name == "step":
            return self.base * self.factor ** (t // self.every)
        if self.name == "cosine":
            return self.base / 2 * (1 + math.cos(math.pi * t / max(1, self.steps - self.warmup)))
        raise ValueError(f"unknown schedule {self.name!r}: choose from {', '.join(SCHEDULES)}")


SCHEDULES = ("constant", "step", "cosine")
