"""What each function of docs/exercises is to give, on which cases, and what its likely mistakes give there.

The right numbers are the core's own; the wrong ones are those of the gallery's functions (mistakes.py), and of slips
that have no place there.
"""

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.core.gradcheck import central_differences, measured_gradient
from minnet.core.network import MLP
from minnet.core.softmax import cross_entropy, log_softmax, one_hot, softmax, softmax_jacobian, softmax_vjp
from minnet.study.mistakes import MISTAKES, Mistake, swapped

Function = Callable[..., Any]


class WrongError(Exception):
    """What the learner's function gives cannot be compared, or a claim about it is wrong."""


@dataclass(frozen=True)
class Exercise:
    """A function to write.

    `right` gives what the learner's is to give: `names`, such as "dW, db, dh", in the `shape` of the docstring. `cases`
    are arguments, each under what it is about; `more` holds other claims, each with the names of what is compared and a
    function from the learner's to (expected, came). `suspects` are wrong functions, each after a mistake's name or what
    to say of it; `advice` says what the learner's function itself shows.
    """

    right: Function
    names: str
    shape: str
    cases: dict[str, tuple]
    more: dict[str, tuple[str, Function]] = field(default_factory=dict)
    suspects: Sequence[tuple[str, Function]] = ()
    tolerance: float = 1e-8  # of the largest number
    advice: Callable[[Function], str] = lambda function: ""


@dataclass
class Known:
    """A function whose gradient is known, and the points at which it was asked."""

    value: Callable[[NDArray], Any]
    gradient: Callable[[NDArray], NDArray]
    asked: list[NDArray] = field(default_factory=list)

    def __call__(self, x: NDArray) -> Any:
        """f(x)"""
        self.asked.append(np.array(x))
        return self.value(x)


# The cases. Where N = K, or a W is square, wrong shapes stay silent.

rng = np.random.default_rng(0)


def _drawn(*shape: int) -> NDArray:
    return rng.normal(size=shape)


Z3, Z4 = _drawn(3, 3), _drawn(4, 3)
LARGE = np.array([[0.0, 1000.0, 0.0], [0.0, 1000.0, 0.0], [-1000.0, 0.0, 3.0]])
P3, P4, P = softmax(Z3), softmax(Z4), np.array([0.5, 0.3, 0.2])
Z_P = np.array([np.log(P), *Z3[:2]])
DP3, DP4 = _drawn(3, 3), _drawn(4, 3)
Y3, Y4, Y_LARGE = np.array([0, 2, 1]), np.array([2, 0, 1, 1]), np.array([0, 1, 1])
SQUARE = (_drawn(3, 3), _drawn(3, 3), _drawn(3))  # h, W, b
OBLONG = (_drawn(4, 3), _drawn(3, 2), _drawn(2))
DA3, DA4 = _drawn(3, 3), _drawn(4, 2)
A, DH = np.array([[1.5, -0.5, 2.0], [-2.0, 0.5, -1.0]]), np.array([[0.5, 1.0, -2.0], [-1.5, -1.0, 3.0]])
KINK = np.array([[0.0, 1.0, -1.0]])
STEP3 = (_drawn(3, 3), Y3, _drawn(3, 3), _drawn(3), _drawn(3, 3), _drawn(3), 0.5)  # X, y, W1, b1, W2, b2, rate
STEP5 = (_drawn(5, 2), np.array([0, 2, 1, 1, 0]), _drawn(2, 4), _drawn(4), _drawn(4, 3), _drawn(3), 0.5)
K_LARGE = 500


# Right


def _dz(p: NDArray, y: NDArray) -> NDArray:
    return (p - one_hot(y, p.shape)) / len(p)


def _linear_forward(h: NDArray, W: NDArray, b: NDArray) -> NDArray:
    return h @ W + b


def _linear_backward(h: NDArray, W: NDArray, da: NDArray) -> tuple:
    return h.T @ da, da.sum(axis=0), da @ W.T


def _relu(a: NDArray) -> NDArray:
    return np.maximum(a, 0)


def _relu_backward(dh: NDArray, a: NDArray) -> NDArray:
    return dh * (a > 0)


def _training_step(*args: Any, road: str = "vjp") -> tuple:
    X, y, W1, b1, W2, b2, learning_rate = args
    net = MLP([*W1.shape, len(b2)], dtype="float64", output_gradient=road)
    net.weights[0][:], net.biases[0][:], net.weights[1][:], net.biases[1][:] = W1, b1, W2, b2
    loss, dtheta = net.loss_and_gradient(X, y)
    net.theta -= learning_rate * dtheta
    return loss, net.weights[0], net.biases[0], net.weights[1], net.biases[1]


# Measured


def _differences_of_p(f: Function, p: NDArray) -> NDArray:
    """dp_i/dz_k (K, K) of a softmax f, for the first of three rows, its logits log p."""

    def p_i(i: int) -> Function:
        return lambda z: f(np.array([z, *Z_P[1:]]))[0, i]

    return np.array([central_differences(p_i(i), np.log(p)) for i in range(len(p))])


def _differences_of_sum(forward: Function, weight: NDArray, *args: NDArray) -> tuple:
    """dL/dx of L = sum(weight * forward(*args)) for each x of args."""
    measured = []
    for i, x in enumerate(args):

        def L(flat: NDArray, i: int = i, shape: tuple = x.shape) -> Any:
            return (weight * forward(*args[:i], flat.reshape(shape), *args[i + 1 :])).sum()

        measured.append(central_differences(L, x.ravel()).reshape(x.shape))
    return tuple(measured)


def _through_the_net(replaces: str, adapted: Callable[[Function], Function] = lambda f: f) -> tuple[str, Function]:
    """The claim that a real net with the learner's function in it has the gradient that differences of L give."""

    def ask(f: Function) -> tuple[NDArray, NDArray]:
        learners = Mistake(adapted(f), replaces, None)
        with swapped(learners):
            net = MLP([2, 3, 3], "tanh", dtype="float64", seed=1, output_gradient=learners.road)
            batch = (np.array([[1.0, 2.0], [-1.0, 0.5], [0.5, -1.5]]), [0, 1, 2], [1.0, 2.0, 1.0])
            return measured_gradient(net, *batch, method="central"), net.loss_and_gradient(*batch)[1]

    return "dtheta", ask


def _never_writes_J(f: Function) -> tuple:
    p, dp = np.full((1, K_LARGE), 1 / K_LARGE), np.arange(K_LARGE)[None] / K_LARGE
    tracemalloc.start()
    try:
        f(p, dp)
        held = tracemalloc.get_traced_memory()[1] // p.itemsize
    finally:
        tracemalloc.stop()
    if held > K_LARGE**2 / 2:
        raise WrongError(f"{held:,} numbers are held at once; p has {K_LARGE}")
    return 0, 0


def _twenty_steps(f: Function) -> tuple:
    losses, steps = np.empty((2, 20)), [EXERCISES["training_step"].right, f]
    for step, of_step in zip(steps, losses, strict=True):
        X, y, *parameters, learning_rate = STEP5
        for t in range(len(of_step)):
            of_step[t], *parameters = step(X, y, *parameters, learning_rate)
    return tuple(losses)


# Wrong


def _gallery(replaces: str, adapted: Callable[[Function], Function] = lambda f: f) -> list[tuple[str, Function]]:
    """The gallery's functions of one kind, as the learner's would be called."""
    return [(name, adapted(mistake.function)) for name, mistake in MISTAKES.items() if mistake.replaces == replaces]


def _by_rows(J: Function) -> Function:
    """J^T dp with a J of one row."""
    return lambda p, dp: np.array([np.broadcast_to(J(row), 2 * row.shape).T @ d for row, d in zip(p, dp, strict=True)])


def _own_log(p_of: Function) -> Function:
    """The loss of each row as -log of the p that a function gives."""
    return lambda z, y: -np.log(p_of(z))[np.arange(len(z)), y]


def _exp(z: NDArray) -> NDArray:
    return np.exp(z - z.max(axis=-1, keepdims=True))


def _underflowing(z: NDArray) -> NDArray:
    return np.exp(log_softmax(z))


def _without_shift(z: NDArray, y: NDArray) -> NDArray:
    return np.log(np.exp(z).sum(axis=-1)) - z[np.arange(len(z)), y]


def _is_of_J(name: str) -> bool:
    """Sorts these last: behind cross-entropy, diagonal-jacobian gives what true-class-only gives."""
    return "jacobian" in MISTAKES[name].replaces


def _stepped(mistake: Mistake) -> Function:
    """The step that the real net takes with a mistake in it; with a wrong p by the road that most learners take."""

    def step(*args: Any) -> tuple:
        with swapped(mistake):
            return _training_step(*args, road="fused" if mistake.replaces == "softmax" else mistake.road)

    return step


def _updated_too_soon(X: Any, y: Any, W1: Any, b1: Any, W2: Any, b2: Any, rate: float) -> tuple:
    loss, _, _, new_W2, new_b2 = _training_step(X, y, W1, b1, W2, b2, rate)
    a = X @ W1 + b1
    da = _relu_backward(_dz(softmax(_relu(a) @ W2 + b2), y) @ new_W2.T, a)
    return loss, W1 - rate * X.T @ da, b1 - rate * da.sum(axis=0), new_W2, new_b2


def _slipped(slip: Callable[[Any, tuple, tuple], tuple]) -> Function:
    """A training step, spoilt by a function of the loss, the parameters before and those after."""

    def step(*args: Any) -> tuple:
        loss, *new = _training_step(*args)
        return slip(loss, args, tuple(new))

    return step


def _loss_after(loss: Any, args: tuple, new: tuple) -> tuple:
    return _training_step(*args[:2], *new, 0)[0], *new


def _infinite_loss(loss: Any, args: tuple, new: tuple) -> tuple:
    return np.inf, *new


def _of_the_loss(function: Function) -> str:
    clipped = function(LARGE.copy(), Y_LARGE.copy())[0] < 999 and np.allclose(function(Z3, Y3), cross_entropy(Z3, Y3))
    return "Perhaps: p is kept away from 0 before its log; the loss has to come from z itself." if clipped else ""


def _of_the_steps(function: Function) -> str:
    """What the points show at which a gradient checker asks for f."""
    f, x = Known(FAR.value, FAR.gradient), POINT
    function(f, x.copy())
    moves = np.array([point - x for point in f.asked])
    moved = np.abs(moves) > 1e-13
    if (moved.sum(axis=1) > 1).any():
        return "Perhaps: an entry of x keeps its step while the next one moves. Put it back first."
    if not moved.any():
        return "Perhaps: x never moves, or by less than its own rounding."
    step = np.abs(moves[moved]).max()
    if (moves < -1e-13).any() != (moves > 1e-13).any():
        return "Perhaps: one-sided, (f(x + h) - f(x)) / h. Its error is of order h, that of two sides of order h^2."
    if step < 3e-7:
        return f"Perhaps: h = {step:.0e} is too small. Rounding alone makes an error of precision/h; see 1e-5."
    return (
        f"Perhaps: h = {step:.0e} is too large. The formula's error is of order h^2; see 1e-5." if step > 3e-4 else ""
    )


POINT = np.array([0.7, -1.2, 2.5])
LINE = Known(lambda x: 3 * x[0] - 2 * x[1] + x[2], lambda x: np.array([3.0, -2.0, 1.0]))
CURVE = Known(
    lambda x: np.exp(x[0]) * np.sin(x[1]) + x[2] ** 3,
    lambda x: np.array([np.exp(x[0]) * np.sin(x[1]), np.exp(x[0]) * np.cos(x[1]), 3 * x[2] ** 2]),
)
FAR = Known(lambda x: 100 + np.exp(x).sum(), np.exp)


def _net_loss() -> tuple[Known, NDArray]:
    """L of a net as a function of theta, and a theta."""
    net = MLP([3, 3, 3], "tanh", dtype="float64", seed=1)

    def at(theta: NDArray) -> tuple:
        net.theta[:] = theta
        return net.loss_and_gradient(Z3, Y3)

    return Known(lambda theta: at(theta)[0], lambda theta: at(theta)[1]), net.theta.copy()


EXERCISES = {
    "softmax": Exercise(
        lambda z: softmax(z),
        "p",
        "(N, K)",
        {
            "p_i = exp(z_i) / sum_j exp(z_j), 3 rows of 3 classes": (Z3,),
            "4 rows of 3 classes": (Z4,),
            "logits that are whole numbers": (np.array([[1, 2, 3], [0, 0, 4]]),),
            "large logits, up to 1000": (LARGE,),
        },
        {
            "each row of p sums to 1": ("p.sum(axis=1)", lambda f: (np.ones(4), f(Z4).sum(axis=1))),
            "differences of p are J": ("dp/dz", lambda f: (softmax_jacobian(f(Z_P)[0]), _differences_of_p(f, P))),
            "differences of L, in a net": _through_the_net("softmax"),
        },
        [
            *_gallery("softmax"),
            ("softmax-over-axis-0", lambda z: _exp(z) / _exp(z).sum(axis=0)),
            ("softmax-over-batch", lambda z: _exp(z) / _exp(z).sum()),
            ("the exponentials are not divided by their sum", np.exp),
            ("the exponentials are not divided by their sum", _exp),
            ("this is log p", log_softmax),
        ],
    ),
    "softmax_jacobian": Exercise(
        lambda p: softmax_jacobian(p),
        "J",
        "(K, K) for p (K,)",
        {
            "J_ik = p_i (delta_ik - p_k), p = (0.5, 0.3, 0.2)": (P,),
            "4 classes": (np.array([0.4, 0.1, 0.2, 0.3]),),
            "1 class": (np.ones(1),),
            "J (N, K, K) for p (N, K), 4 rows of 3 classes": (P4,),
            "J (N, K, K) for p (N, K), 3 rows of 3 classes": (P3,),
        },
        {
            "J is symmetric": ("J", lambda f: (f(P).T, f(P))),
            "its rows sum to 0": ("J.sum(axis=1)", lambda f: (np.zeros(3), f(P).sum(axis=1))),
            "J^T dp = p - y, one class": ("dz", lambda f: (P - np.eye(3)[0], f(P).T @ (-np.eye(3)[0] / P))),
            "J^T dp = p - y, every class": ("dz", lambda f: (P - np.eye(3), (f(P).T @ (-np.eye(3) / P)).T)),
            "differences of p": ("J", lambda f: (_differences_of_p(softmax, P), f(P))),
            "differences of L, in a net": _through_the_net("softmax_jacobian"),
        },
        [
            *_gallery("softmax_jacobian"),
            *_gallery("softmax_jacobian(z)", lambda f: lambda p: f(np.log(p))),
            ("softmax is applied to p, which already is one", lambda p: softmax_jacobian(softmax(p))),
            ("the sign is that of -J", lambda p: -softmax_jacobian(p)),
            ("the entries off the diagonal have lost their minus", lambda p: np.abs(softmax_jacobian(p))),
            ("the diagonal lacks its p_i: J = diag(p) - p p^T", lambda p: -np.outer(p, p)),
            ("the diagonal is p_i, not p_i (1 - p_i)", lambda p: np.diag(p * p) + softmax_jacobian(p)),
        ],
    ),
    "softmax_vjp": Exercise(
        lambda p, dp: softmax_vjp(p, dp),
        "dz",
        "(N, K)",
        {"dz = J^T dp, 3 rows of 3 classes": (P3, DP3), "4 rows of 3 classes": (P4, DP4)},
        {
            "each row of dz sums to 0": ("dz.sum(axis=1)", lambda f: (np.zeros(4), f(P4, DP4).sum(axis=1))),
            "dz = p - y, every class": ("dz", lambda f: (P3 - np.eye(3), f(P3, -np.eye(3) / P3))),
            "differences of L, in a net": _through_the_net("softmax_vjp"),
            f"no array of K x K numbers, K = {K_LARGE}": ("dz", _never_writes_J),
        },
        [
            *_gallery("softmax_vjp"),
            *_gallery("softmax_jacobian", _by_rows),
            ("<dp, p> is not subtracted", lambda p, dp: p * dp),
            ("the factor p in front is missing", lambda p, dp: dp - (dp * p).sum(axis=-1, keepdims=True)),
            ("dp is summed without p", lambda p, dp: p * (dp - dp.sum(axis=-1, keepdims=True))),
            ("the mean of dp is not the one under p", lambda p, dp: p * (dp - dp.mean(axis=-1, keepdims=True))),
            ("the sum runs over the whole batch", lambda p, dp: p * (dp - (dp * p).sum())),
            ("the sum runs over the rows, axis 0", lambda p, dp: p * (dp - (dp * p).sum(axis=0))),
        ],
    ),
    "cross_entropy": Exercise(
        lambda z, y: cross_entropy(z, y),
        "losses",
        "(N,)",
        {
            "-log p of the true class, 3 rows of 3 classes": (Z3, Y3),
            "4 rows of 3 classes": (Z4, Y4),
            "log K where all logits are equal": (np.zeros((2, 5)), np.array([0, 3])),
            "logits 1000 apart": (LARGE, Y_LARGE),
        },
        {},
        [
            *_gallery("softmax", _own_log),
            ("softmax-without-shift", _without_shift),
            ("p underflows to 0 and its log is infinite; the loss has to come from z itself", _own_log(_underflowing)),
            ("the mean over the rows; asked for is each row's own loss", lambda z, y: cross_entropy(z, y).mean()),
            ("the sum over the rows; asked for is each row's own loss", lambda z, y: cross_entropy(z, y).sum()),
            ("the minus of -log p is missing", lambda z, y: -cross_entropy(z, y)),
            ("the logarithm is to base 2", lambda z, y: cross_entropy(z, y) / np.log(2)),
            ("this is p of the true class, without log", lambda z, y: np.exp(-cross_entropy(z, y))),
        ],
        advice=_of_the_loss,
    ),
    "output_gradient": Exercise(
        _dz,
        "dz",
        "(N, K)",
        {
            "dz = (p - Y)/N, 3 rows of 3 classes": (P3, Y3),
            "4 rows of 3 classes": (P4, Y4),
            "p - y, one row": (P[None], np.array([0])),
            "a row that is very wrong, logits 30 apart": (softmax([[0.0, 30.0, 0.0]]), np.array([0])),
        },
        {
            "each row of dz sums to 0": ("dz.sum(axis=1)", lambda f: (np.zeros(4), f(P4, Y4).sum(axis=1))),
            "differences of L in z": (
                "dz",
                lambda f: (_differences_of_sum(lambda z: cross_entropy(z, Y4), np.array(0.25), Z4)[0], f(P4, Y4)),
            ),
            "differences of L, in a net": _through_the_net("dz", lambda f: lambda p, Y: f(p, Y.argmax(axis=1))),
        },
        [
            *_gallery("dz", lambda f: lambda p, y: f(p, one_hot(y, p.shape))),
            *_gallery("dp", lambda f: lambda p, y: softmax_vjp(p, f(p, one_hot(y, p.shape)))),
            ("y - p, and not divided by N (--mistake y-minus-p, missing-1-over-n)", lambda p, y: -_dz(p, y) * len(p)),
            ("divided by K; the mean is over the N rows", lambda p, y: _dz(p, y) * len(p) / p.shape[1]),
            ("divided by N K; the mean is over the N rows", lambda p, y: _dz(p, y) / p.shape[1]),
            ("y is not subtracted", lambda p, y: p / len(p)),
        ],
    ),
    "linear_forward": Exercise(
        _linear_forward,
        "a",
        "(N, n_out)",
        {"a = h @ W + b, 3 rows, 3 in, 3 out": SQUARE, "4 rows, 3 in, 2 out": OBLONG},
        {},
        [
            ("W is transposed; it has a row for each unit that comes in", lambda h, W, b: h @ W.T + b),
            ("b is missing", lambda h, W, b: h @ W),
            ("b is added along the rows, not to each of them", lambda h, W, b: h @ W + b[:, None]),
            ("* multiplies number by number; @ is the matrix product", lambda h, W, b: h * W + b),
        ],
    ),
    "linear_backward": Exercise(
        _linear_backward,
        "dW, db, dh",
        "(n_in, n_out), (n_out,), (N, n_in)",
        {
            "dW = h^T @ da, db = sum of da, dh = da @ W^T; 3 rows, 3 in, 3 out": (*SQUARE[:2], DA3),
            "4 rows, 3 in, 2 out": (*OBLONG[:2], DA4),
        },
        {
            "differences of L = sum(c * a), whose da is c": (
                "dh, dW, db",
                lambda f: (
                    _differences_of_sum(_linear_forward, DA4, *OBLONG),
                    [f(*OBLONG[:2], DA4)[i] for i in (2, 0, 1)],
                ),
            )
        },
        [
            *_gallery("linear_backward"),
            ("they come in another order than dW, db, dh", lambda h, W, da: (da @ W.T, h.T @ da, da.sum(axis=0))),
            ("dW is transposed: h^T @ da", lambda h, W, da: (da.T @ h, da.sum(axis=0), da @ W.T)),
            ("db sums over the units; its sum is over the rows", lambda h, W, da: (h.T @ da, da.sum(1), da @ W.T)),
            ("db is a mean; the 1/N is in da already", lambda h, W, da: (h.T @ da, da.mean(axis=0), da @ W.T)),
            (
                "dW and db are divided by N; the 1/N is in da already",
                lambda h, W, da: (h.T @ da / len(h), da.mean(axis=0), da @ W.T),
            ),
        ],
    ),
    "relu": Exercise(
        _relu,
        "h",
        "as a",
        {"h = max(a, 0), on both sides of 0": (A,), "at 0": (KINK,)},
        {},
        [
            ("the slope, not h", lambda a: (a > 0) * 1.0),
            ("|a|, not max(a, 0)", np.abs),
        ],
    ),
    "relu_backward": Exercise(
        _relu_backward,
        "da",
        "as a",
        {
            "da = dh where a > 0, else 0": (DH, A),
            "the slope at a = 0 is 0, that of the left side": (DH[1:], KINK),
        },
        {
            "differences of L = sum(c * h), whose dh is c": (
                "da",
                lambda f: (_differences_of_sum(_relu, DH, A)[0], f(DH, A)),
            )
        },
        [
            *_gallery("relu_slope", lambda f: lambda dh, a: dh * f(a, _relu(a))),
            ("the slope alone; dh is lost", lambda dh, a: (a > 0) * 1.0),
            ("relu is applied to dh; the slope is that of a", lambda dh, a: _relu(dh)),
            ("dh is multiplied by h; it has to be by the slope", lambda dh, a: dh * _relu(a)),
            ("dh and a have changed places", lambda dh, a: a * (dh > 0)),
            (">= stands where > is meant", lambda dh, a: dh * (a >= 0)),
        ],
    ),
    "training_step": Exercise(
        lambda X, y, W1, b1, W2, b2, learning_rate: _training_step(X, y, W1, b1, W2, b2, learning_rate),
        "L, W1, b1, W2, b2",
        "() and as they come in",
        {
            "3 rows, a net of 3-3-3 units": STEP3,
            "5 rows, a net of 2-4-3 units": STEP5,
            "large logits": (STEP3[0] * 2000, *STEP3[1:]),
        },
        {"L of 20 steps": ("L", _twenty_steps)},
        [
            *((name, _stepped(MISTAKES[name])) for name in sorted(MISTAKES, key=_is_of_J)),
            ("learning_rate is not used", lambda *args: _training_step(*args[:-1], 1.0)),
            ("W2 is updated before dh = dz @ W2^T, which needs the one of the forward pass", _updated_too_soon),
            ("L is the sum over the rows, not their mean", _slipped(lambda L, args, new: (L * len(args[0]), *new))),
            ("L is that after the step; asked for is the one before", _slipped(_loss_after)),
            ("the biases are not updated", _slipped(lambda L, args, new: (L, new[0], args[3], new[2], args[5]))),
            ("the first layer is not updated", _slipped(lambda L, args, new: (L, *args[2:4], *new[2:]))),
            ("nothing is updated", _slipped(lambda L, args, new: (L, *args[2:6]))),
            ("p underflows to 0 and its log is infinite; L has to come from z", _slipped(_infinite_loss)),
        ],
    ),
    "central_differences": Exercise(
        lambda f, x: f.gradient(x),
        "gradient",
        "(n,), as x",
        {
            "f = 3 x_0 - 2 x_1 + x_2": (LINE, POINT),
            "f = exp(x_0) sin(x_1) + x_2^3": (CURVE, POINT),
            "7 digits of f = 100 + sum of exp(x), so that h must not be too small": (FAR, POINT),
            "L of a net of 3-3-3 units, x its theta": _net_loss(),
        },
        {},
        [
            ("the difference is divided by h; from x - h to x + h it is 2h", lambda f, x: 2 * f.gradient(x)),
            ("the difference is divided by 2h; from x to x + h it is h", lambda f, x: f.gradient(x) / 2),
            ("the sign: f(x + h) - f(x - h)", lambda f, x: -f.gradient(x)),
        ],
        tolerance=1e-7,
        advice=_of_the_steps,
    ),
}
