"""What each function of docs/exercises must return, and what likely mistakes return.

The right numbers are the core's own. The wrong ones are those of the core, or of a function of this
file, with a mistake of the gallery (mistakes.py) in it, or with a slip too small for the gallery.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minnet.core.softmax as core
from minnet.core.gradcheck import central_differences
from minnet.core.network import MLP
from minnet.study.catches import I, Z, measured_J
from minnet.study.check import Loss
from minnet.study.mistakes import MISTAKES, Change, Function, swapped

Claim = Callable[[Any], tuple[str, Any, Any]]


class WrongError(Exception):
    """What the learner's function returns cannot be compared, or a claim about it is false."""


@dataclass(frozen=True)
class Exercise:
    """A function to write.

    right   gives the right answer; some take the output gradient as a last argument
    form    what is returned, and its shape
    cases   arguments, under what each is about
    slips   texts, old and new, that make the source of `of` wrong, under what to say of each
    claims  what must hold for a function f, right or not: names of what is compared, expected, got
    advice  what a wrong function f itself shows

    A number may be off by `tolerances` of the largest one: if float64 comes, and if float32 does.
    """

    right: Function
    form: str
    cases: dict[str, tuple]
    slips: dict[str, tuple[str, str] | Change]
    claims: dict[str, Claim] = field(default_factory=dict)
    of: Function | None = None  # None: of `right`
    advice: Callable[[Function], str] = lambda f: ""
    tolerances: tuple[float, float] = (1e-9, 1e-5)

    @property
    def returns(self) -> str:
        """Names of what the function returns."""
        return self.form.partition(":")[0]

    def wrong(self, args: tuple) -> list[tuple[str, Any]]:
        """Wrong answers, each behind the name of a mistake or what to say of it."""
        changes, found = [(name, mistake.change) for name, mistake in MISTAKES.items()], []
        # those of J last: behind cross-entropy, diagonal-jacobian gives what true-class-only gives
        changes.sort(key=lambda each: each[1].method == "jacobian")
        for said, slip in self.slips.items():
            change = slip if isinstance(slip, Change) else Change(self.of or self.right, *slip)
            changes.append((said, change))
        named = signature(self.right).parameters
        for said, change in changes:
            method = {"method": change.method} if "method" in named else {}
            with suppress(ValueError), swapped(change):  # shapes may not fit
                found.append((said, self.right(*args, **method)))
        return found


# Right


def softmax_vjp(p: NDArray, dp: NDArray, method: str = "vjp") -> NDArray:
    """J^T dp, by J itself where that is the method."""
    if method != "jacobian":
        return core.softmax_vjp(p, dp)
    return np.einsum("nik,ni->nk", core.softmax_jacobian(p), dp)


def output_gradient(p: NDArray, y: NDArray, method: str = "vjp") -> NDArray:
    """dz of labels y."""
    T = core.one_hot(y, p.shape) / len(p)
    return core.OUTPUT_GRADIENTS[method](p, T)


def linear_forward(h: NDArray, W: NDArray, b: NDArray) -> NDArray:
    """a of a layer."""
    return h @ W + b


def linear_backward(h: NDArray, W: NDArray, da: NDArray) -> tuple[NDArray, ...]:
    """dW, db and dh of a layer."""
    dW, db, dh = h.T @ da, da.sum(axis=0), da @ W.T
    return dW, db, dh


def relu(a: NDArray) -> NDArray:
    """h = max(a, 0)"""
    return np.maximum(a, 0)


def relu_backward(dh: NDArray, a: NDArray) -> NDArray:
    """da = dh * f'(a)"""
    return dh * (a > 0)


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


# Claims and advice


def differences(L: Function, x: NDArray) -> NDArray:
    """dL/dx of a scalar function of x, in x's shape."""
    return central_differences(lambda flat: L(flat.reshape(x.shape)), x.ravel()).reshape(x.shape)


def measured_dz(softmax: Function) -> NDArray:
    """dz at A3 by differences of L, with p = softmax(z)."""
    return differences(lambda z: -(T3 * np.log(softmax(z))).sum(), A3)


def never_writes_J(f: Any) -> tuple[str, int, int]:
    """Nothing to compare; raises WrongError if the product with J holds K x K numbers."""
    p, dp = np.full((1, 500), 1 / 500), np.arange(500)[None] / 500
    f(p, dp)
    if (held := f.held // p.itemsize) > 500**2 / 2:
        raise WrongError(f"{held:,} numbers are in memory at once; p has 500")
    return "dz", 0, 0


def twenty_losses(f: Function) -> NDArray:
    """L of 20 training steps."""
    X, y, *parameters, learning_rate = STEP4
    losses = []
    for _ in range(20):
        loss, *parameters = f(X, y, *parameters, learning_rate)
        losses.append(loss)
    return np.array(losses)


def near_100(x: NDArray) -> Any:
    """A function whose differences lose two more digits."""
    return 100 + np.exp(x).sum()


def near_a_bend(x: NDArray) -> Any:
    """A function whose third derivative is 900 times its first."""
    return np.sin(30 * x).sum()


def advice_on_loss(f: Function) -> str:
    """What a loss shows that is right until p is very small."""
    clipped = f(FAR, Y3)[0] < 9999 and np.allclose(f(A3, Y3), core.cross_entropy(A3, Y3))
    return "p is kept away from 0 before its log; the loss must come from z itself" * bool(clipped)


def steps(f: Any) -> NDArray:
    """How far x_j is moved (points, n) by a gradient checker f. Where nothing moves is left out."""
    points: list[NDArray] = []

    def asked(x: NDArray) -> Any:
        points.append(x.copy())
        return near_100(x)

    f.raw(asked, POINT)
    moves = np.reshape(points, (-1, POINT.size)) - POINT
    moves[np.abs(moves) < 1e-13] = 0  # put back, but for rounding
    return moves[moves.any(axis=1)]


def moves_both_ways(f: Function) -> tuple[str, Any, Any]:
    """The largest steps up and down of each x_j; raises WrongError if x_j does not move alone."""
    moves = steps(f)
    if (np.count_nonzero(moves, axis=1) > 1).any():
        text = "an entry of x keeps its step while the next one moves: restore it first"
        raise WrongError(text)
    up, down = moves.max(axis=0, initial=0), -moves.min(axis=0, initial=0)
    if not (up + down).all():
        raise WrongError("x never moves, or by less than its own rounding")
    if not np.allclose(up, down, 1e-3, 0):
        text = "one-sided, (f(x + h) - f(x)) / h, whose error is of order h, not h^2"
        raise WrongError(text)
    return "h", 0, 0


def advice_on_steps(f: Function) -> str:
    """What is wrong with the largest step."""
    h = np.abs(steps(f)).max(initial=0)
    if 0 < h < 3e-7:
        return f"h = {h:.0e} is too small: rounding is off by precision/h; try 1e-5"
    return f"h = {h:.0e} is too large: the formula is off by h^2; try 1e-5" if h > 3e-5 else ""


def a_function(c: NDArray) -> Function:
    """A function of as many numbers as c has."""
    return lambda x: (c * np.sin(x)).sum() + x @ x


# Shapes of arguments by name: N rows, D inputs, n units, K classes; what becomes of their numbers
SHAPES = {"z": "NK", "p": "NK", "dp": "NK", "y": "NK", "X": "ND", "h": "ND", "W": "DK", "b": "K"}
SHAPES |= {"a": "NK", "dh": "NK", "da": "NK", "W1": "Dn", "b1": "n", "W2": "nK", "b2": "K"}
SHAPES |= {"x": "D", "f": "D", "learning_rate": ""}
MADE: dict[str, Function] = {
    "p": lambda x: core.softmax(2 * x),
    "y": lambda x: x.argmax(axis=1),
    "x": lambda x: x * np.where(np.arange(len(x)), 1, 1e-7),  # (x_0 + h) - h is not x_0
    "f": a_function,
    "learning_rate": lambda x: float(abs(x)),
}
SIZES = ((3, 3, 3), (1, 3, 2), (4, 2, 3), (2, 5, 4), (5, 4, 2), (3, 3, 3))


def drawn(exercise: Exercise, rng: np.random.Generator, large: bool, *sizes: int) -> tuple:
    """Random arguments for N, D and K; `large` z and a are of some 10,000, and whole numbers, which
    float32 can hold."""
    axes, args = dict(zip("NDKn", (*sizes, sizes[-1] + 1), strict=True)), list[Any]()
    for name, parameter in signature(exercise.right).parameters.items():
        if parameter.default is parameter.empty:
            x = rng.normal(size=[axes[axis] for axis in SHAPES[name]])
            x = (1e4 * x).round() if large and name in ("z", "a") else x
            args.append(MADE.get(name, np.asarray)(x))
    return tuple(args)


# Cases; where N = K, or a W is square, wrong shapes are no error
A3, B3, C3 = np.random.default_rng(0).normal(size=(3, 3, 3))
A4, B4 = np.random.default_rng(1).normal(size=(2, 4, 3))
FAR = np.array([[0, 1e4, 0], [9999, 1e4, -1e4], [-1e4, 0, 3]])
P, P3, P4 = np.array([0.5, 0.3, 0.2]), core.softmax(A3), core.softmax(A4)
Y3, Y4, POINT = np.array([0, 1, 1]), np.array([2, 0, 1, 1]), np.array([0.7, -1.2, 2.5])
A, DH = np.array([[1.5, -0.5, 2.0], [-2.0, 0.5, -1.0]]), B3[:2]
STEP3 = (Y3, B3, B3[0], C3, C3[0], 0.5)  # y, W1, b1, W2, b2, learning_rate
STEP4 = (A4[:, :2], Y4, A4.T[:2], A4.T[2], B4, B4[0], 0.5)  # and X
L = Loss(MLP([3, 3, 3], "tanh", seed=1), np.float64, A3, Y3)
T3 = I * [[0.25], [0.5], [0.25]]  # r Y: with equal rows, some mistakes do not show
DP3 = core.loss_gradient(P3, T3)
# by differences
DZ = measured_dz(core.softmax)
DZ4 = differences(lambda z: core.cross_entropy(z, Y4).mean(), A4)

ALL = (
    Exercise(
        core.softmax,
        "p: shape (N, K)",
        {
            "p_i = exp(z_i) / sum_j exp(z_j), 3 rows of 3 classes": (A3,),
            "logits that are equal, and one row": (np.ones((1, 4)),),
            "logits of 10,000, -10,000, and one far above the rest": (FAR,),
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
        {
            "rows of p sum to 1": lambda f: ("row sum", np.ones(4), f(A4).sum(axis=1)),
            "differences of p are J": lambda f: ("J", core.softmax_jacobian(f(Z)), measured_J(f)),
            "differences of L": lambda f: ("dz", measured_dz(f), core.fused(f(A3), T3)),
        },
        of=core.softmax_and_log,
    ),
    Exercise(
        core.softmax_jacobian,
        "J: shape (K, K) for p (K,)",
        {
            "J_ik = p_i (delta_ik - p_k), p = (0.5, 0.3, 0.2)": (P,),
            "4 classes": (np.array([0.4, 0.1, 0.2, 0.3]),),
            "1 class": (np.ones(1),),
            "J (N, K, K) for p (N, K), 4 rows of 3 classes": (P4,),
        },
        {
            "p-at-I-minus-p": ("p[..., :, None] *", "p.T @"),
            "softmax is applied to p, already one": ("np.asarray(p)", "softmax(p)"),
            "the sign is that of -J": ("return ", "return -"),
            "the entries off the diagonal have lost their minus": ("(delta", "abs(delta"),
            "the diagonal lacks its p_i: J = diag(p) - p p^T": ("(delta", "(0"),
            "the diagonal is p_i, not p_i (1 - p_i)": ("(delta -", "(delta - (1 - delta) *"),
        },
        {
            "J is symmetric": lambda f: ("J", f(P).T, f(P)),
            "its rows sum to 0": lambda f: ("row sum", np.zeros(3), f(P).sum(axis=1)),
            "J^T dp = p - y, one class": lambda f: ("dz", P - I[0], f(P).T @ (-I[0] / P)),
            "J^T dp = p - y, every class": lambda f: ("dz", P - I, -I / P @ f(P)),
            "differences of p": lambda f: ("J", measured_J(core.softmax)[0], f(core.softmax(Z[0]))),
            "differences of L": lambda f: ("dz", DZ, np.einsum("ni,nik->nk", DP3, [*map(f, P3)])),
        },
    ),
    Exercise(
        softmax_vjp,
        "dz: shape (N, K)",
        {"dz = J^T dp, 3 rows of 3 classes": (P3, B3), "4 rows of 3 classes": (P4, B4)},
        {
            "<dp, p> is not subtracted": (" - mean_dp", ""),
            "the factor p in front is missing": ("return p * ", "return "),
            "dp is summed without p": ("p.conj()", "np.ones_like(p)"),
            "the mean of dp is not the one under p": ("p.conj()", "0 * p + 1 / p.shape[-1]"),
            "the sum runs over the whole batch": ("mean_dp)", "mean_dp.sum())"),
            "the sum runs over the rows, axis 0": ("mean_dp)", "(dp * p).sum(axis=0))"),
        },
        {
            "rows of dz sum to 0": lambda f: ("row sum", np.zeros(4), f(P4, B4).sum(axis=1)),
            "dz = p - y, every class": lambda f: ("dz", P3 - I, f(P3, -I / P3)),
            "differences of L": lambda f: ("dz", DZ, f(P3, DP3)),
            "no array of K x K numbers, K = 500": never_writes_J,
        },
        of=core.softmax_vjp,
    ),
    Exercise(
        core.cross_entropy,
        "losses: shape (N,)",
        {
            "-log p of the true class, 3 rows of 3 classes": (A3, Y3),
            "log K where all logits are equal": (np.zeros((2, 5)), np.array([0, 3])),
            "logits 10,000 apart": (FAR, Y3),
        },
        {
            "p underflows to 0; use z itself": ("log_softmax(z)", "np.log(np.exp(log_softmax(z)))"),
            "the mean over the rows; asked for is each row's own": ("(axis=-1)", "(-1).mean()"),
            "the sum over the rows; asked for is each row's own": ("(axis=-1)", "()"),
            "the minus of -log p is missing": ("return -", "return "),
            "the logarithm is to base 2": ("log_softmax(z)", "log_softmax(z) / np.log(2)"),
            "this is p of the true class, without log": ("log_softmax(z)", "-softmax(z)"),
        },
        advice=advice_on_loss,
    ),
    Exercise(
        output_gradient,
        "dz: shape (N, K)",
        {
            "dz = (p - Y)/N, 3 rows of 3 classes": (P3, Y3),
            "4 rows of 3 classes": (P4, Y4),
            "p - y, one row": (P[None], Y3[:1]),
            "a row that is very wrong, logits 30 apart": (core.softmax([[0.0, 30.0, 0.0]]), Y3[:1]),
        },
        {
            "y - p, not divided by N (--mistake y-minus-p, missing-1-over-n)": ("/ len(p)", "* -1"),
            "divided by K; the mean is over the N rows": ("len(p)", "p.shape[1]"),
            "divided by N K; the mean is over the N rows": ("len(p)", "p.size"),
            "y is not subtracted": ("core.OUTPUT_GRADIENTS[method](p, T)", "p / len(p)"),
        },
        {
            "rows of dz sum to 0": lambda f: ("row sum", np.zeros(4), f(P4, Y4).sum(axis=1)),
            "differences of L": lambda f: ("dz", DZ4, f(P4, Y4)),
        },
    ),
    Exercise(
        linear_forward,
        "a: shape (N, n_out)",
        {
            "a = h @ W + b, 3 rows, 3 in, 3 out": (A3, B3, C3[0]),
        },
        {
            "W is transposed; it has a row for each unit that enters": ("@ W", "@ W.T"),
            "b is missing": (" + b", ""),
            "b is added along the rows, not to each of them": ("+ b", "+ b[:, None]"),
            "* multiplies number by number; @ is the matrix product": ("@", "*"),
        },
    ),
    Exercise(
        linear_backward,
        "dW, db, dh: shape (n_in, n_out), (n_out,), (N, n_in)",
        {
            "dW = h^T @ da, db = sum of da, dh = da @ W^T; 3 rows, 3 in, 3 out": (A3, B3, C3),
        },
        {
            "missing-transpose": ("W.T", "W"),
            "they come in another order than dW, db, dh": ("dW, db, dh =", "db, dh, dW ="),
            "dW is transposed: h^T @ da": ("h.T @ da", "da.T @ h"),
            "db sums over the units, not over the rows": ("axis=0", "axis=1"),
            "db is a mean; the 1/N is in da already": ("da.sum", "da.mean"),
            "dW and db are divided by N; the 1/N is in da already": (
                " da,",
                " da / len(h), 1 / len(h) *",
            ),
        },
    ),
    Exercise(
        relu,
        "h: shape as a",
        {
            "h = max(a, 0), on both sides of 0": (A,),
            "at 0": (A * (A > 1),),
            "next to 0": (A * 1e-12,),
        },
        {
            "the slope, not h": ("np.maximum(a, 0)", "(a > 0) * 1.0"),
            "|a|, not max(a, 0)": ("(a, 0)", "(a, -a)"),
        },
    ),
    Exercise(
        relu_backward,
        "da: shape as a",
        {
            "da = dh where a > 0, else 0": (DH, A),
            "the slope at a = 0 is 0, that of the left side": (DH, A * [1, -1, 0]),
            "a next to 0": (DH, A * 1e-12),
        },
        {
            "relu-slope-everywhere": (" * (a > 0)", ""),
            "the slope alone; dh is lost": ("dh *", "1.0 *"),
            "relu is applied to dh; the slope is that of a": ("(a >", "(dh >"),
            "dh is multiplied by h; it must be by the slope": ("(a > 0)", "np.maximum(a, 0)"),
            "dh and a are swapped": ("dh * (a", "a * (dh"),
            ">= stands where > is meant": ("> 0", ">= 0"),
        },
    ),
    Exercise(
        training_step,
        "L, W1, b1, W2, b2: shape () and as they come in",
        {
            "3 rows, a net of 3-3-3 units": (A3, *STEP3),
            "4 rows, a net of 2-4-3 units": STEP4,
            "large logits": (A3 * 2000, *STEP3),
            "units whose a is 0, where relu's slope is 0": (A3 * 0, Y3, B3, B3[0] * 0, *STEP3[3:]),
        },
        {
            "learning_rate is not used": ("learning_rate * ", ""),
            "W2 is updated before dh = dz @ W2^T, which needs the one of the forward pass": Change(
                MLP.backward,
                "layer.WT",
                "(layer.W - 0.5 * layer.dW).mT",  # 0.5: the cases' rate
            ),
            "L is the sum over the rows, not their mean": ("return L", "return L * len(X)"),
            "L is that after the step": ("return L", "return net.loss_and_gradient(X, y)[0]"),
            "the biases are not updated": ("one.b, two.W, two.b", "b1, two.W, b2"),
            "the first layer is not updated": ("one.W, one.b", "W1, b1"),
            "nothing is updated": ("net.theta -=", "dtheta ="),
            "p underflows to 0: L must come from z": ("return L", "return np.inf"),
        },
        {"L of 20 steps": lambda f: ("L", twenty_losses(training_step), twenty_losses(f))},
    ),
    Exercise(
        central_differences,
        "gradient: shape (n,), as x",
        {
            "f(x) = 3 x_0 - 2 x_1 + x_2": (lambda x: 3 * x[0] - 2 * x[1] + x[2], POINT),
            "exp(x_0) sin(x_1) + x_2^3": (lambda x: np.exp(x[0]) * np.sin(x[1]) + x[2] ** 3, POINT),
            "7 digits of 100 + sum of exp(x), so h must not be too small": (near_100, POINT),
            "7 digits of sin(30 x), so h must not be too large": (near_a_bend, POINT / 10),
            "L of a net of 3-3-3 units, x its theta": (L, MLP([3, 3, 3], dtype="float64").theta),
        },
        {
            "it is divided by h; from x - h to x + h it is 2h": ("/ (above - below)", "/ step"),
            "it is divided by 2h; from x to x + h it is h": ("/ (above", "/ 2 / (above"),
            "the sign: f(x + h) - f(x - h)": ("/ (above - below)", "/ (below - above)"),
        },
        {"each x_j moves alone, up by h and down by h": moves_both_ways},
        advice=advice_on_steps,
        tolerances=(1e-7, 1e-7),
    ),
)
EXERCISES = {exercise.right.__name__: exercise for exercise in ALL}
