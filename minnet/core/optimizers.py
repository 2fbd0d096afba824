"""Optimizers, gradient clipping and learning-rate schedules, on flat arrays.

Each rule is a function f(theta, dtheta, state, step) that updates theta (P,) in place; dtheta is
used up as scratch. `state` (S, P) holds the S vectors that the rule keeps from step to step, zeros
at the start: with the number of steps, it is all that a checkpoint needs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SCHEDULES = ("constant", "step", "cosine")
BLOCK = 2**16  # numbers updated at a time: with dtheta, m and v, a megabyte of float32 in the cache


@dataclass(frozen=True)
class Settings:
    """The constants of the rules, under the names that their papers use. `weights` are the parts
    of theta that AdamW's weight_decay shrinks: all but the biases."""

    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    epsilon_hat: bool = False  # Adam adds epsilon before v is corrected (the paper's section 2)
    weight_decay: float = 0.0
    weights: Sequence[NDArray] = ()


class Step(NamedTuple):
    """Step t = 1, 2, ... and its learning rate."""

    t: int
    rate: float
    settings: Settings


def sgd(theta: NDArray, dtheta: NDArray, state: NDArray, step: Step) -> None:
    """theta <- theta - rate * dtheta"""
    dtheta *= step.rate
    theta -= dtheta


def momentum(theta: NDArray, dtheta: NDArray, state: NDArray, step: Step) -> None:
    """v <- mu v - rate * dtheta;  theta <- theta + v   (Sutskever et al. 2013, eq. 1 and 2)"""
    v = state[0]
    v *= step.settings.momentum
    dtheta *= step.rate
    v -= dtheta
    theta += v


def nesterov(theta: NDArray, dtheta: NDArray, state: NDArray, step: Step) -> None:
    """v <- mu v - rate * dtheta;  theta <- theta + mu v - rate * dtheta   (eq. 3 and 4, written for
    the point that looks ahead, theta + mu v, so that the gradient is taken where theta is)"""
    v = state[0]
    v *= step.settings.momentum
    dtheta *= step.rate
    v -= dtheta
    theta -= dtheta
    np.multiply(v, step.settings.momentum, out=dtheta)
    theta += dtheta


def adam(theta: NDArray, dtheta: NDArray, state: NDArray, step: Step) -> None:
    """m <- beta1 m + (1 - beta1) dtheta;  v <- beta2 v + (1 - beta2) dtheta^2;
    theta <- theta - rate * mhat / (sqrt(vhat) + epsilon),
    with mhat = m/(1 - beta1^t), vhat = v/(1 - beta2^t)   (Kingma and Ba 2015, algorithm 1)

    Here m and v are plain decaying sums, without their factors 1 - beta. With M and V for these and
    the corrections together, the step is rate * M m / (sqrt(V v) + epsilon) = rate * M/sqrt(V) * m
    / (sqrt(v) + epsilon/sqrt(V)), which saves two passes over the arrays."""
    t, rate, settings = step
    beta1, beta2, m, v = settings.beta1, settings.beta2, state[0], state[1]
    M, V = (1 - beta1) / (1 - beta1**t), (1 - beta2) / (1 - beta2**t)
    m *= beta1
    m += dtheta
    np.square(dtheta, out=dtheta)
    v *= beta2
    v += dtheta
    np.sqrt(v, out=dtheta)
    dtheta += settings.epsilon / math.sqrt(1 - beta2 if settings.epsilon_hat else V)
    np.divide(m, dtheta, out=dtheta)
    dtheta *= rate * M / math.sqrt(V)
    theta -= dtheta


class Rule(NamedTuple):
    """An update rule: its function, how many vectors it keeps, and whether weight decay is apart
    from the gradient, and not a penalty on the loss (Loshchilov and Hutter 2019)."""

    update: Callable[[NDArray, NDArray, NDArray, Step], None]
    vectors: int
    decoupled: bool = False

    def take(self, step: Step, theta: NDArray, dtheta: NDArray, state: NDArray) -> None:
        """Update all of theta (..., P), BLOCK numbers at a time, which stay in the cache."""
        if self.decoupled:
            for W in step.settings.weights:
                W *= 1 - step.rate * step.settings.weight_decay  # (25) W <- W - rate decay W
        if theta.ndim == 1 and theta.size <= BLOCK:
            self.update(theta, dtheta, state, step)
            return
        theta, dtheta = theta.reshape(-1), dtheta.reshape(-1)
        for start in range(0, theta.size, BLOCK):
            cut = slice(start, start + BLOCK)
            self.update(theta[cut], dtheta[cut], state[:, cut], step)


OPTIMIZERS = {
    "sgd": Rule(sgd, 0),
    "momentum": Rule(momentum, 1),
    "nesterov": Rule(nesterov, 1),
    "adam": Rule(adam, 2),
    "adamw": Rule(adam, 2, decoupled=True),
}


def flush(state: NDArray) -> None:
    """Set to 0 what has decayed below the smallest normal number, with which processors are slow:
    m never gets to 0 where the gradient is 0 for good, as behind a relu off for every row."""
    for vector in state:
        vector[np.abs(vector) < np.finfo(state.dtype).tiny] = 0


def clip_by_norm(dtheta: NDArray, max_norm: float) -> None:
    """Scale each net's dtheta (..., P) in place to the norm max_norm if its norm is larger (Pascanu
    et al. 2013, algorithm 1). Norms are summed in float64, where squares of float32 do not
    overflow, and not by BLAS, whose sum changes with the number of its threads."""
    norm = np.sqrt(np.einsum("...i,...i->...", dtheta, dtheta, dtype=np.float64))[..., None]
    dtheta *= (max_norm / np.maximum(norm, max_norm)).astype(dtheta.dtype)  # (24) dtheta, clipped


class Schedule(NamedTuple):
    """The learning rate at each step t = 0, 1, ... of `steps`: after a linear rise over `warmup`
    steps to `base`, "constant"; "step", times `factor` after each `every` steps; or "cosine",
    base/2 (1 + cos(pi s)), s from 0 to 1 (Loshchilov and Hutter 2017, eq. 5, one period).

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
        """The learning rate of step t. Raises ValueError for a name not in SCHEDULES."""
        if self.name not in SCHEDULES:
            raise ValueError(f"unknown schedule {self.name!r}: choose from {', '.join(SCHEDULES)}")
        if t < self.warmup:
            return self.base * (t + 1) / self.warmup
        t -= self.warmup
        if self.name == "step":
            return self.base * self.factor ** (t // self.every)
        if self.name == "cosine":
            return self.base / 2 * (1 + math.cos(math.pi * t / max(1, self.steps - self.warmup)))
        return self.base
