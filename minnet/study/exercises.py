"""The exercises of exercises.toml, and the names that the code in it uses.

The right numbers are the core's own; the wrong ones come from the gallery (mistakes.py), and from
slips that are too small for it.
"""

import tomllib
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minnet.core.softmax as core
from minnet.core.gradcheck import central_differences
from minnet.core.network import MLP
from minnet.study import check, mistakes
from minnet.study.mistakes import MISTAKES, Function

FILE = Path(__file__).with_suffix(".toml")
# for the cases; where N = K, or a W is square, wrong shapes are no error
A3, B3, C3 = np.random.default_rng(0).normal(size=(3, 3, 3))
A4, B4 = np.random.default_rng(1).normal(size=(2, 4, 3))
LARGE = np.array([[0.0, 1000.0, 0.0], [0.0, 1000.0, 0.0], [-1000.0, 0.0, 3.0]])
P, P3, P4 = np.array([0.5, 0.3, 0.2]), core.softmax(A3), core.softmax(A4)
Z_P = np.array([np.log(P), *A3[1:]])  # logits whose first row has the p of P
Y3, Y4, I = np.array([0, 1, 1]), np.array([2, 0, 1, 1]), np.eye(3)
A, DH = np.array([[1.5, -0.5, 2.0], [-2.0, 0.5, -1.0]]), B3[:2]
STEP4 = (A4[:, :2], Y4, A4.T[:2], A4.T[2], B4, B4[0], 0.5)  # X, y, W1, b1, W2, b2, learning_rate
NET = check.Loss(MLP([3, 3, 3], "tanh", seed=1), np.float64, A3, Y3)
POINT, K_LARGE = np.array([0.7, -1.2, 2.5]), 500


class WrongError(Exception):
    """What the learner's function returns cannot be compared, or a claim about it is false."""


@dataclass(frozen=True)
class Exercise:
    """A function to write, as exercises.toml has it."""

    takes: str
    right: str
    returns: str
    shape: str
    cases: dict[str, str]
    claims: dict[str, tuple[str, str]] = field(default_factory=dict)
    gallery: dict[str, str] = field(default_factory=dict)
    slips: dict[str, str] = field(default_factory=dict)
    tolerance: float = 1e-8  # of the largest number
    advice: str = "''"

    def answer(self, args: Any, code: str = "right", **names: Any) -> Any:
        """The right answer, or what `code` makes of it."""
        given = dict(zip(self.takes.split(", "), args, strict=True))
        return value(code, **given, **names, right=value(self.right, **given))

    def suspects(self, args: Any) -> Iterator[tuple[str, Function]]:
        """Wrong answers, each behind the name of a mistake or what to say of it."""
        # those of J last: behind cross-entropy, diagonal-jacobian gives what true-class-only gives
        for mistake in sorted(MISTAKES.values(), key=lambda each: "jacobian" in each.replaces):
            if code := self.gallery.get(mistake.replaces, self.gallery.get("any")):
                names = {"mistake": mistake, "wrong": mistake.function}
                yield mistake.name, partial(self.answer, args, code, **names)
        for code, said in self.slips.items():
            yield said, partial(self.answer, args, code)


def value(code: str, **names: Any) -> Any:
    """What code in quotes gives."""
    return eval(code, globals(), names)


# Right


def step(*args: Any, method: str = "vjp") -> tuple:
    """L and the parameters after a training step."""
    X, y, W1, b1, W2, b2, learning_rate = args
    net = MLP([*W1.shape, len(b2)], dtype="float64", output_gradient=method)
    net.theta[:] = np.concatenate([np.ravel(x) for x in (W1, b1, W2, b2)])
    loss, dtheta = net.loss_and_gradient(X, y)
    net.theta -= learning_rate * dtheta
    return loss, net.weights[0], net.biases[0], net.weights[1], net.biases[1]


def differences(L: Function, x: NDArray) -> NDArray:
    """dL/dx of a scalar function of x, in x's shape."""
    return central_differences(lambda flat: L(flat.reshape(x.shape)), x.ravel()).reshape(x.shape)


def differences_of_p(f: Function) -> NDArray:
    """dp_i/dz_k (K, K) of a softmax f, for the first row of Z_P."""

    def p(i: int) -> Function:
        return lambda z: f(np.array([z, *Z_P[1:]]))[0, i]

    return np.array([differences(p(i), Z_P[0]) for i in range(3)])


def in_a_net(f: Function, replaces: str, adapted: Any = lambda f: f) -> tuple[NDArray, NDArray]:
    """The gradient of a real net with the learner's function in it, by differences of L and as it
    is derived."""
    learners = mistakes.Mistake(f, replaces, adapted=adapted)
    with mistakes.swapped(learners):
        net = MLP([2, 3, 3], "tanh", dtype="float64", seed=1, output_gradient=learners.method)
        L = check.Loss(net, np.float64, A3[:, :2], [0, 1, 2], [1.0, 2.0, 1.0])
        return central_differences(L, net.theta), L.gradient(net.theta)


def of_a_batch(f: Function) -> Function:
    """The core's `fused`, by the learner's output_gradient, in which all rows weigh the same."""
    return lambda p, T: f(p, T.argmax(axis=1)) * len(p) * T.sum(axis=1, keepdims=True)


def never_writes_J(f: Function) -> tuple[int, int]:
    """Nothing to compare; raises WrongError if the product with J holds K x K numbers."""
    p, dp = np.full((1, K_LARGE), 1 / K_LARGE), np.arange(K_LARGE)[None] / K_LARGE
    tracemalloc.start()
    try:
        f(p, dp)
        held = tracemalloc.get_traced_memory()[1] // p.itemsize
    finally:
        tracemalloc.stop()
    if held > K_LARGE**2 / 2:
        raise WrongError(f"{held:,} numbers are in memory at once; p has {K_LARGE}")
    return 0, 0


def twenty_losses(f: Function) -> NDArray:
    """L of 20 training steps."""
    X, y, *parameters, learning_rate = STEP4
    losses = []
    for _ in range(20):
        loss, *parameters = f(X, y, *parameters, learning_rate)
        losses.append(loss)
    return np.array(losses)


# Wrong


def exp(z: NDArray) -> NDArray:
    """Softmax, without the division."""
    return np.exp(z - z.max(axis=-1, keepdims=True))


def step_with(mistake: mistakes.Mistake, *args: Any) -> tuple:
    """The step of a real net with a mistake; if p is wrong, by p - y, as in most solutions."""
    with mistakes.swapped(mistake):
        wrong_p = mistake.replaces == "softmax_and_log"
        return step(*args, method="fused" if wrong_p else mistake.method)


def step_too_soon(right: Any, *args: Any) -> tuple:
    """A step in which W2 is updated before dh = dz @ W2^T."""
    X, y, W1, b1, W2, b2, rate = args
    a = X @ W1 + b1
    p = core.softmax(np.maximum(a, 0) @ W2 + b2)
    da = (p - core.one_hot(y, p.shape)) / len(y) @ right[3].T * (a > 0)
    return right[0], W1 - rate * X.T @ da, b1 - rate * da.sum(axis=0), *right[3:]


def advice_on_loss(f: Function) -> str:
    """What a loss shows that is right until p is very small."""
    clipped = f(LARGE, Y3)[0] < 999 and np.allclose(f(A3, Y3), core.cross_entropy(A3, Y3))
    return (
        "p is kept away from 0 before its log; the loss must come from z itself" if clipped else ""
    )


def advice_on_steps(f: Function) -> str:
    """What the points show at which a gradient checker calls its function."""
    points: list[NDArray] = []

    def asked(x: NDArray) -> Any:
        points.append(x.copy())
        return 100 + np.exp(x).sum()

    f(asked, POINT.copy())
    moves = np.array(points) - POINT
    moved = np.abs(moves) > 1e-13
    h = np.abs(moves[moved]).max(initial=0)
    if (moved.sum(axis=1) > 1).any():
        return "an entry of x keeps its step while the next one moves: restore it first"
    if h == 0:
        return "x never moves, or by less than its own rounding"
    if (moves < -1e-13).any() != (moves > 1e-13).any():
        return "one-sided, (f(x + h) - f(x)) / h, whose error is of order h, not h^2"
    if h < 3e-7:
        return f"h = {h:.0e} is too small: rounding is off by precision/h; try 1e-5"
    return f"h = {h:.0e} is too large: the formula is off by h^2; try 1e-5" if h > 3e-4 else ""


EXERCISES = {
    name: Exercise(**content)
    for name, content in tomllib.loads(FILE.read_text(encoding="utf-8")).items()
}
