"""What each function of docs/exercises must return, and what likely mistakes return.

The right numbers are the core's own. The wrong ones are those of the core, or of our solution, with
a mistake of the gallery (mistakes.py) in it, or with a slip too small for the gallery.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minnet.core.softmax as core
from minnet.core import gradcheck
from minnet.core.network import MLP
from minnet.study import solutions
from minnet.study.check import Loss
from minnet.study.mistakes import MISTAKES, Change, Function, swapped

Claim = Callable[[Any], tuple[str, NDArray, NDArray]]  # the name of what is compared, right, got


class WrongError(Exception):
    """What is wrong with a learner's function, and lines that show it."""


@dataclass(frozen=True)
class Exercise:
    """A function to write.

    right    gives the right answer; some take the output gradient as a last argument
    returns  names of what is returned
    cases    under what they are about, from simple to extreme: arguments of calls, or what must
             hold for a learner's function f, which returns a list of arrays
    slips    texts, old and new, that make the source of `of` wrong, under what to say of each
    of       None: `right`

    A number may be off by `tolerance` times the largest one of its array, or times `size` if that
    is more.
    """

    right: Function
    returns: str
    cases: dict[str, list[tuple] | Claim]
    slips: dict[str, tuple[str, str]]
    of: Function | None = None
    size: float = 1.0
    tolerance: float = 1e-5

    @cached_property
    def arguments(self) -> list[str]:
        """The names of what a learner's function takes, in order."""
        parameters = signature(self.right).parameters
        return [name for name, x in parameters.items() if x.default is x.empty]

    def wrong(self, case: tuple) -> list[tuple[str, Any]]:
        """Wrong answers, each behind the name of a mistake or what to say of it."""
        changes, found = [(name, mistake.change) for name, mistake in MISTAKES.items()], []
        changes += [(name, Change(self.of or self.right, *x)) for name, x in self.slips.items()]
        named = signature(self.right).parameters
        # those of J last: behind cross-entropy, diagonal-jacobian gives what true-class-only gives
        for said, change in sorted(changes, key=lambda x: x[1].method == "jacobian"):
            method = {"method": change.method} if "method" in named else {}
            with suppress(ValueError), swapped(change):  # shapes may not fit
                found.append((said, self.right(*case, **method)))
        return found


# Right, where neither the core nor our solution is asked as it is


def softmax_vjp(p: NDArray, dp: NDArray, method: str = "vjp") -> NDArray:
    """J^T dp, by J itself where that is the method."""
    if method != "jacobian":
        return core.softmax_vjp(p, dp)
    return np.einsum("nik,ni->nk", core.softmax_jacobian(p), dp)


def output_gradient(p: NDArray, y: NDArray, method: str = "fused") -> NDArray:
    """dz of labels y."""
    T = core.one_hot(y, p.shape) / len(p)
    return core.OUTPUT_GRADIENTS[method](p, T)


def training_step(
    X: Any, y: Any, W1: Any, b1: Any, W2: Any, b2: Any, learning_rate: float, method: str = "vjp"
) -> tuple:
    """L and the parameters after a training step."""
    net = MLP([*W1.shape, len(b2)], dtype="float64", output_gradient=method)
    net.theta[:] = np.concatenate([np.ravel(x) for x in (W1, b1, W2, b2)])
    L, dtheta = net.loss_and_gradient(X, y)
    net.theta -= learning_rate * dtheta
    one, two = net.layers
    return L, one.W, one.b, two.W, two.b


def gradient_check(f: Function, x: NDArray, dx: NDArray) -> bool:
    """Whether dx is the gradient of f at x."""
    return gradcheck.relative_error(gradcheck.central_differences(f, x), dx) <= 1e-5


# Claims


def small_p(f: Any) -> tuple[str, NDArray, NDArray]:
    """log p, in which a small p counts as much as a large one."""
    return "log p", core.log_softmax(20 * A), np.log(f(20 * A)[0])


def never_writes_J(f: Any) -> tuple[str, NDArray, NDArray]:
    """Nothing to compare; raises WrongError if the product with J holds K x K numbers."""
    p, dp = np.full((1, 500), 1 / 500), np.arange(500)[None] / 500
    f(p, dp)
    if (held := f.held // p.itemsize) > 500**2 / 2:
        raise WrongError(f"{held:,} numbers are in memory at once; p has 500")
    return "dz", p, p


def on_both_sides(f: Any) -> tuple[str, NDArray, NDArray]:
    """The largest moves of each x_j, up and down. Raises WrongError if they are not alike."""
    moves = [0 * POINT]

    def asked(x: NDArray) -> Any:
        moves.append(x - POINT)
        return near_1000(x)

    f(asked, POINT)
    up, down = np.max(moves, axis=0), -np.min(moves, axis=0)
    if not np.allclose(up, down, 1e-3, 1e-13):
        raise WrongError("one-sided, (f(x + h) - f(x)) / h, whose error is of order h, not h^2")
    return "h", up, up


# Functions of x, and random arguments


def near_1000(x: NDArray) -> Any:
    """1000 + sum of exp(x)"""
    return 1000 + np.exp(x).sum()


def wavy(x: NDArray) -> Any:
    """sum of sin(x) + x @ x"""
    return np.sin(x).sum() + x @ x


def wavy_slope(x: NDArray, off: Any = 0) -> NDArray:
    """Its gradient, in which entry j is off by off[j] percent of the largest."""
    dx = np.cos(x) + 2 * x
    return dx + off * np.abs(dx).max() / 100


# Shapes of arguments by name: N rows, D inputs, n units, K classes; what becomes of their numbers
SHAPES = {"z": "NK", "p": "NK", "dp": "NK", "y": "NK", "X": "ND", "h": "ND", "W": "DK", "b": "K"}
SHAPES |= {"a": "NK", "dh": "NK", "da": "NK", "W1": "Dn", "b1": "n", "W2": "nK", "b2": "K"}
SHAPES |= {"x": "D", "f": "", "dx": "D", "learning_rate": ""}
MADE: dict[str, Callable[[NDArray, dict[str, Any]], Any]] = {
    "p": lambda x, _: core.softmax(2 * x),
    "y": lambda x, _: x.argmax(axis=1),
    "x": lambda x, _: x * np.where(np.arange(len(x)), 1, 1e-7),  # (x_0 + h) - h is not x_0
    "f": lambda x, _: wavy,
    "dx": lambda x, args: wavy_slope(args["x"], (x == x.max()) * (x[0] > 0) * np.sign(x.sum())),
    "learning_rate": lambda x, _: float(abs(x)),
}
SIZES = ((3, 3, 3), (1, 3, 2), (4, 2, 3), (2, 5, 4), (5, 4, 2), (3, 3, 3))


def drawn(exercise: Exercise, rng: np.random.Generator, *sizes: int, large: bool) -> tuple:
    """Random arguments for N, D and K; `large` z and a are of some 10,000, and whole numbers, which
    float32 can hold."""
    axes, args = dict(zip("NDKn", (*sizes, sizes[-1] + 1), strict=True)), dict[str, Any]()
    for name in exercise.arguments:
        x = rng.normal(size=[axes[axis] for axis in SHAPES[name]])
        x = (1e4 * x).round() if large and name in ("z", "a") else x
        args[name] = MADE[name](x, args) if name in MADE else x
    return tuple(args.values())


# Known arguments; where N = K, or a W is square, wrong shapes are no error
I = np.eye(3)
A3, B3, C3 = np.random.default_rng(0).normal(size=(3, 3, 3))
FAR = np.array([[0, 1e4, 0], [9999, 1e4, -1e4], [-1e4, 0, 3]])
SURE = core.softmax([[0.0, 30.0, 0.0]])
P, P3, P4 = np.array([0.5, 0.3, 0.2]), core.softmax(A3), core.softmax(np.c_[A3, B3[0]])
Y3, POINT = np.array([0, 1, 1]), np.array([0.7, -1.2, 2.5])
STEP = (Y3, B3, B3[0], C3, C3[0], 0.1)  # y, W1, b1, W2, b2, learning_rate
# of which float32 holds the answers
A, DH = np.array([[[1.5, -0.5, 2.0], [-2.0, 0.5, -1.0]], [[3.0, -1.0, 2.0], [1.0, -2.0, 4.0]]])
H = np.array([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0], [2.0, 1.0, -2.0]])
W = np.array([[1.0, 0.0, -1.0], [2.0, 1.0, 0.0], [-3.0, 1.0, 2.0]])
DA = np.array([[1.0, -1.0, 0.0], [0.0, 2.0, -1.0], [-2.0, 0.0, 1.0]])
HALVES = np.array([[0.5, 0.25, 0.25]])
NEARLY = np.array([[small, 1 - 2 * small, small] for small in (2**-24, 2**-10)])
EQUAL = (H[:2], Y3[:2], W, np.zeros(3), np.zeros((3, 4)), np.zeros(4), 0.5)
HITS = (1e4 * I[:2], Y3[:2], I, np.zeros(3), I, np.zeros(3), 0.5)
NET = MLP([3, 3, 3], "tanh", dtype="float64", seed=1)
L = Loss(NET, np.float64, A3, Y3)
DX, DTHETA, WRONG = wavy_slope(POINT), L.gradient(NET.theta), list[tuple]()
for mistake in MISTAKES.values():
    with swapped(mistake.change):
        net = MLP([3, 3, 3], "tanh", dtype="float64", output_gradient=mistake.change.method)
        dtheta = Loss(net, np.float64, A3, Y3).gradient(NET.theta)
    if gradcheck.relative_error(dtheta, DTHETA) > 0.01:
        WRONG.append((L, NET.theta, dtheta))

ALL = (
    Exercise(
        core.softmax,
        "p",
        {
            "p_i = exp(z_i) / sum_j exp(z_j), 3 rows of 3 classes": [(A3,)],
            "4 classes with equal logits": [(np.ones((1, 4)),)],
            "logits of 10,000, -10,000, and one far above the rest": [(FAR,)],
            "log p where p is small, logits 50 apart": small_p,
        },
        {
            "softmax-over-axis-0": ("(exp, axis=-1", "(exp, axis=0"),
            "softmax-over-batch": ("(exp, axis=-1", "(exp, axis=None"),
            "exp is not divided by its sum": ("np.divide(exp, total, out=exp)", "exp"),
            "np.exp(z) is not divided by its sum": ("z = np.asarray(z)", "return (np.exp(z),)"),
            "this is log p": ("return ", "return log_p, "),
            "the mean is subtracted, which may be far below the largest logit": (
                "np.maximum.reduce(z, axis=-1, keepdims=True)",
                "z.mean(-1, keepdims=True)",
            ),
        },
        of=core.softmax_and_log,
    ),
    Exercise(
        core.softmax_jacobian,
        "J",
        {
            "J_ik = p_i (delta_ik - p_k), p = (0.5, 0.3, 0.2)": [(P,)],
            "other p, of 3 classes, 4, and 1": [(HALVES[0],), (P4[0],), (np.ones(1),)],
            "J (N, K, K) for p (N, K), 2 rows of 3 classes": [(P3[:2],)],
        },
        {
            "p-at-I-minus-p": ("p[..., :, None] *", "p.T @"),
            "softmax is applied to p, already one": ("np.asarray(p)", "softmax(p)"),
            "the sign is that of -J": ("return ", "return -"),
            "the entries off the diagonal have lost their minus": ("(delta", "abs(delta"),
            "the diagonal lacks its p_i: J = diag(p) - p p^T": ("(delta", "(0"),
            "the diagonal is p_i, not p_i (1 - p_i)": ("(delta -", "(delta - (1 - delta) *"),
        },
    ),
    Exercise(
        softmax_vjp,
        "dz",
        {
            "dz = J^T dp, 3 rows of 3 classes, and 1 row": [(P3, B3), (HALVES, DH[:1])],
            "dp = -y/p of a row that is very wrong, logits 30 apart": [(SURE, -I[:1] / SURE)],
            "no array of K x K numbers, K = 500": never_writes_J,
        },
        {
            "<dp, p> is not subtracted": (" - mean_dp", ""),
            "the factor p in front is missing": ("return p * ", "return "),
            "dp is summed without p": ("p.conj()", "np.ones_like(p)"),
            "the mean of dp is not the one under p": ("p.conj()", "0 * p + 1 / p.shape[-1]"),
            "the sum runs over the whole batch": ("mean_dp)", "mean_dp.sum())"),
            "the sum runs over the rows, axis 0": ("mean_dp)", "(dp * p).sum(axis=0))"),
        },
        of=core.softmax_vjp,
    ),
    Exercise(
        core.cross_entropy,
        "losses",
        {
            "-log p of the true class, 3 rows of 3 classes": [(A3, Y3)],
            "logits 10,000 apart: p underflows to 0, but log p from z does not": [(FAR, Y3)],
            "the same, all rows right": [(1e4 * I, np.arange(3))],
        },
        {
            "the mean over the rows; asked for is each row's own": ("(axis=-1)", "(-1).mean()"),
            "the sum over the rows; asked for is each row's own": ("(axis=-1)", "()"),
            "the minus of -log p is missing": ("return -", "return "),
            "the logarithm is to base 2": ("log_softmax(z)", "log_softmax(z) / np.log(2)"),
            "this is p of the true class, without log": ("log_softmax(z)", "-softmax(z)"),
        },
    ),
    Exercise(
        output_gradient,
        "dz",
        {
            "dz = (p - Y)/N, 3 rows of 4 classes": [(P4, Y3)],
            "rows that are very wrong, logits 7 to 30 apart": [(NEARLY, Y3[::2]), (SURE, Y3[:1])],
        },
        {
            "y - p, not divided by N (--mistake y-minus-p, missing-1-over-n)": ("/ len(p)", "* -1"),
            "divided by K; the mean is over the N rows": ("len(p)", "p.shape[1]"),
            "divided by N K; the mean is over the N rows": ("len(p)", "p.size"),
            "y is not subtracted": ("core.OUTPUT_GRADIENTS[method](p, T)", "p / len(p)"),
        },
    ),
    Exercise(
        solutions.linear_forward,
        "a",
        {"a = h @ W + b, 3 rows, 3 in, 3 out": [(H, W, DH[0])]},
        {
            "W is transposed; it has a row for each unit that enters": ("@ W", "@ W.T"),
            "b is missing": (" + b", ""),
            "b is added along the rows, not to each of them": ("+ b", "+ b[:, None]"),
            "* multiplies number by number; @ is the matrix product": ("@", "*"),
        },
    ),
    Exercise(
        solutions.linear_backward,
        "dW, db, dh",
        {"dW = h^T @ da, db = sum of da, dh = da @ W^T; 3 rows, 3 in, 3 out": [(H, W, DA)]},
        {
            "missing-transpose": ("W.T", "W"),
            "one-over-n-twice": (" da,", " da / len(h), 1 / len(h) *"),
            "they come in another order than dW, db, dh": (
                "h.T @ da, da.sum(axis=0), da @ W.T",
                "da @ W.T, h.T @ da, da.sum(axis=0)",
            ),
            "dW is transposed: h^T @ da": ("h.T @ da", "da.T @ h"),
            "db sums over the units, not over the rows": ("axis=0", "axis=1"),
            "db is a mean; the 1/N is in da already": ("da.sum", "da.mean"),
        },
    ),
    Exercise(
        solutions.relu,
        "h",
        {
            "h = max(a, 0), on both sides of 0": [(A,)],
            "at 0, and next to it": [(A * (A > 1),), (A * 1e-12,)],
        },
        {
            "the slope, not h": ("np.maximum(a, 0)", "(a > 0) * 1.0"),
            "|a|, not max(a, 0)": ("(a, 0)", "(a, -a)"),
        },
        size=0,
    ),
    Exercise(
        solutions.relu_backward,
        "da",
        {
            "da = dh where a > 0, else 0": [(DH, A)],
            "the slope at a = 0 is 0, that of the left side": [(DH, A * [1, -1, 0])],
            "a next to 0": [(DH, A * 1e-12)],
        },
        {
            "relu-slope-everywhere": (" * (a > 0)", ""),
            "the slope alone; dh is lost": ("dh *", "1.0 *"),
            "relu is applied to dh; the slope is that of a": ("(a >", "(dh >"),
            "dh is multiplied by h; it must be by the slope": ("(a > 0)", "np.maximum(a, 0)"),
            "dh and a are swapped": ("dh * (a", "a * (dh"),
            ">= stands where > is meant": ("> 0", ">= 0"),
        },
        size=0,
    ),
    Exercise(
        training_step,
        "L, W1, b1, W2, b2",
        {
            "3 rows, a net of 3-3-3 units": [(A3, *STEP)],
            "W2 of zeros, where all classes are equal": [EQUAL],
            "large logits: p underflows to 0, but log p from z does not": [(A3 * 2000, *STEP)],
            "the same, all rows right": [HITS],
            "units whose a is 0, where relu's slope is 0": [(A3 * 0, Y3, B3, P * 0, *STEP[3:])],
        },
        {
            "learning_rate is not used": ("learning_rate * ", ""),
            "L is the sum over the rows, not their mean": ("return L", "return L * len(X)"),
            "L is that after the step": ("return L", "return net.loss_and_gradient(X, y)[0]"),
            "the biases are not updated": ("one.b, two.W, two.b", "b1, two.W, b2"),
            "the first layer is not updated": ("one.W, one.b", "W1, b1"),
            "nothing is updated": ("net.theta -=", "dtheta ="),
        },
    ),
    Exercise(
        gradcheck.central_differences,
        "gradient",
        {
            "f(x) = 3 x_0 - 2 x_1 + x_2": [(lambda x: 3 * x[0] - 2 * x[1] + x[2], POINT)],
            "x_j is moved up and down by the same h": on_both_sides,
            "7 digits of 1000 + sum of exp(x), so h must not be too small": [(near_1000, POINT)],
            "7 digits of sin(30 x), so h must not be too large": [
                (lambda x: np.sin(30 * x).sum(), POINT / 10)
            ],
            "L of a net of 3-3-3 units, x its theta": [(L, NET.theta)],
        },
        {
            "it is divided by h; from x - h to x + h it is 2h": ("/ (above - below)", "/ step"),
            "it is divided by 2h; from x to x + h it is h": ("/ (above", "/ 2 / (above"),
            "the sign: f(x + h) - f(x - h)": ("/ (above - below)", "/ (below - above)"),
        },
        tolerance=1e-7,
    ),
    Exercise(
        gradient_check,
        "verdict",
        {
            "True for the gradient, False for 2 dx, -dx, and dx in another order": [
                (wavy, POINT, dx) for dx in (DX, 2 * DX, -DX, DX[::-1])
            ],
            "False where entries are off by 1%, either way, or NaN": [
                (wavy, POINT, wavy_slope(POINT, off))
                for off in (*I, *-I, I[0] - I[1], np.nan * I[2])
            ],
            "the same where f is a million times as large, and where it is small": [
                (lambda x, c=c: c * wavy(x), POINT, c * wavy_slope(POINT, off))
                for c in (1e6, 1e-4)
                for off in (0, I[1])
            ],
            "True for L of a net of 3-3-3 units, x its theta": [(L, NET.theta, DTHETA)],
            f"False for {len(WRONG)} gradients of nets with a mistake": WRONG,
        },
        {},
    ),
)
EXERCISES = {exercise.right.__name__: exercise for exercise in ALL}
