"""Classic mistakes of backprop, each swapped into the real net in place of one function of the core.

The functions below are wrong, each written as the one who makes the mistake would write it, and named after it; the
docstring says who that is and why it looks right. `with swapped(MISTAKES[name]):` makes the core use it, so that its
wrong numbers come out of the real forward, backward and training loop. What catches them: catches.py.
"""

import difflib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minnet.core.network as core_network
import minnet.core.softmax as core_softmax
from minnet.core.activations import ACTIVATIONS
from minnet.core.network import MLP, Workspace
from minnet.core.softmax import softmax_jacobian, softmax_vjp
from minnet.errors import ConfigError

# p (N, K) from the logits z (N, K)


def softmax_over_axis_0(z: NDArray) -> NDArray:
    """The sum runs over axis 0. That is right for the one vector that it was written and tried with; in a batch it
    runs over the rows, not over the classes, and the shapes fit just as well."""
    p = np.exp(z - z.max(axis=0))
    return p / p.sum(axis=0)


def softmax_over_batch(z: NDArray) -> NDArray:
    """The vector form of softmax, given a whole batch. A formula for one vector, copied, sums over all rows: each row
    of p is right up to a factor, and p - y holds, since it holds for any positive p."""
    p = np.exp(z - z.max())
    return p / p.sum()


def broadcast_n(z: NDArray) -> NDArray:
    """The sum without keepdims, (N,) where (N, 1) is meant. It is right for a single row and an error for most batches,
    and silent where N = K: NumPy lines the sums of the rows up with the classes."""
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1)


def softmax_without_shift(z: NDArray) -> NDArray:
    """The formula as every book states it, without subtracting the largest logit. It is right, and every check passes,
    up to a logit of about 709, or 88 in float32: there exp overflows, and inf / inf is NaN."""
    p = np.exp(z)
    return p / p.sum(axis=-1, keepdims=True)


def softmax_base_2(z: NDArray) -> NDArray:
    """2^z in place of e^z, to count in bits or because exp2 is faster, with J left as it was. p sums to 1 and p - y
    holds; only a difference sees the factor log 2 that the derivative now lacks."""
    p = np.exp2(z - z.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


# J (K, K) from one row's p (K,), or from its logits


def diagonal_jacobian(p: NDArray) -> NDArray:
    """Only the diagonal of J. Someone who knows the logistic function knows p (1 - p) as the whole derivative; but
    softmax divides by a sum over all logits, so that each p_i depends on every z_k."""
    return np.diag(p * (1 - p))


def eye_k(p: NDArray) -> NDArray:
    """The first document's note on eye(i) taken at its word: numpy.eye(n, k=i). That is no unit vector but an n x n
    matrix, with ones on its i-th superdiagonal; taking its row i makes the shapes fit, but only row 0 of J right."""
    K = len(p)
    return np.array([p[i] * (np.eye(K, k=i)[i] - p) for i in range(K)])


def p_times_I_minus_p(p: NDArray) -> NDArray:
    """The first document's matrix form, its dot read as * and its p as an array of one dimension. There .T does
    nothing, so p scales columns where it should scale rows; the shape and the diagonal are right."""
    return p.T * (np.eye(len(p)) - p)


def p_at_I_minus_p(p: NDArray) -> NDArray:
    """The first document's matrix form, its dot read as @ and its p as an array of one dimension. That is p - p sum(p):
    zeros, K of them and not K x K. They broadcast without an error, and nothing learns."""
    return p.T @ (np.eye(len(p)) - p)


def z_for_p(z: NDArray) -> NDArray:
    """J from the logits instead of from p, where one name has served for both, or "softmax" for the layer and for its
    output. The shapes are the same, and what comes out is even symmetric."""
    return z[:, None] * (np.eye(len(z)) - z)


# dz (N, K) from p and dp (N, K)


def summed_jacobian(p: NDArray, dp: NDArray) -> NDArray:
    """J summed to a vector, so that it multiplies dp as any activation's slope multiplies dh. To
    someone who expects every derivative to be elementwise it makes the shapes fit; but the rows of J sum to 0."""
    J = softmax_jacobian(p)
    return J.sum(axis=-1) * dp


def broadcast_mean(p: NDArray, dp: NDArray) -> NDArray:
    """The same slip as broadcast-n, in the mean of dp under p. After cross-entropy that mean is the same number, -1/N,
    in every row, so that not even N = K gives it away; it takes rows of unequal weight, or another dp."""
    return p * (dp - (dp * p).sum(axis=-1))


# dp (N, K) of the mean loss from p and Y (N, K)


def lost_1_over_p(p: NDArray, Y: NDArray) -> NDArray:
    """The loss differentiated as if it had no log: dp = -Y. It looks like an error signal, and J makes of it
    p_t (p - y): the right direction, only shorter, and shortest for the rows that are most wrong."""
    return -Y / len(Y)


def clip_in_division(p: NDArray, Y: NDArray) -> NDArray:
    """p kept away from 0, but only where it divides. It looks like a harmless guard against 1/0; yet p_t / max(p_t,
    1e-12) is no longer 1, so that rows that are very wrong stop learning: at a gap of 30, 9% is left."""
    return -Y / np.maximum(p, 1e-12) / len(Y)


# dz (N, K) of the mean loss from p and Y (N, K)


def true_class_only(p: NDArray, Y: NDArray) -> NDArray:
    """Only the true logit gets a gradient. "The loss looks at the true class alone" is true of dp; but raising any
    other logit lowers p_t too, through the sum."""
    return Y * (p - Y) / len(Y)


def twice_derived(p: NDArray, Y: NDArray) -> NDArray:
    """p - y multiplied by p (1 - p) once more. At every other layer the slope of its activation comes next, so why not
    here; but p - y already is the gradient on the far side of softmax."""
    return (p - Y) * p * (1 - p) / len(Y)


def y_minus_p(p: NDArray, Y: NDArray) -> NDArray:
    """The sign of a text that climbs the likelihood, in code that descends the loss. "Target minus output" reads well,
    and every number has the right size."""
    return (Y - p) / len(Y)


def missing_1_over_n(p: NDArray, Y: NDArray) -> NDArray:
    """The gradient of the sum of the losses beside the value of their mean. A single row cannot show it and Adam evens
    it out; plain gradient descent takes steps N times as long."""
    return p - Y


# The layers


def missing_transpose(h: NDArray, W: NDArray, da: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """dW, db and dh of a linear layer, but dh = da @ W. Where W is square the shapes fit, and trying
    transposes until they do ends here; this layer and those above get right gradients, those below wrong ones."""
    return h.T @ da, da.sum(axis=0), da @ W


def dropout_without_mask(dh: NDArray, mask: NDArray) -> NDArray:
    """Dropout on the way forward, none on the way back. Added later to a net that works, it needs two lines, and one is
    forgotten: units that took no part get a gradient too, and the net trains all the same."""
    return dh


def relu_slope_everywhere(a: NDArray, h: NDArray) -> NDArray:
    """The slope of relu asked of h, and with >= where > is meant. Where a was not kept, h has to do, and with > it
    would; but h is never negative, so that with >= the slope is 1 everywhere, also for units that are off."""
    return h >= 0


# What is right, and still goes wrong


def l2_forgotten(net: MLP) -> float:
    """The penalty left out of the loss that the check differentiates. It was added to the gradient and to training, so
    backprop is right; the check cries wolf, comparing the gradient of one loss with differences of another."""
    return 0.0


def zero_initialisation(net: MLP, rng: np.random.Generator) -> None:
    """All weights start at 0, which looks neutral and is right for biases. With tanh or relu every h is 0 then, and so
    is every dW: the gradients are exact, all checks pass, and only the last biases ever move."""
    net.theta[:] = 0


def dead_relu(net: MLP, rng: np.random.Generator) -> None:
    """Biases of hidden relus far below 0, as one step that is much too long leaves them. All units are off for every
    row, so that their gradient is 0, and rightly so: all checks pass, and only the last biases ever move."""
    initialise(net, rng)
    for b in net.biases[:-1]:
        b[:] = -10


# Swapping them in

initialise, backward = MLP.initialise, MLP.backward
Swap = tuple[Any, str, Any]  # an owner, the name of its attribute, and what that becomes


@dataclass(frozen=True)
class Mistake:
    """A wrong function, and what it `replaces`:

        softmax(z), softmax_jacobian(p) or (z) of one row, softmax_vjp(p, dp), relu_slope(a, h), MLP.penalty and
        MLP.initialise are the core's, without buffers; dp(p, Y) and dz(p, Y) are what dz_by_road makes for the mean
        loss; linear_backward(h, W, da) -> dW, db, dh and dropout_backward(dh, mask) are lines of MLP.backward

    `step` is the number of the core's line that it gets wrong, if that has one. The rest is what it takes to show it:
    options of MLP, rows in a batch, and for its example a gap between the logits."""

    function: Callable[..., Any]
    replaces: str
    step: int | None
    options: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 16
    gap: float = 0.0

    @property
    def name(self) -> str:
        """The function's name in kebab-case."""
        return self.function.__name__.replace("_", "-")

    @property
    def sentence(self) -> str:
        """Who makes it, and why it looks right."""
        return " ".join((inspect.getdoc(self.function) or "").split())

    @property
    def road(self) -> str:
        """The road from loss to logits on which the function lies."""
        if self.replaces.startswith("softmax_jacobian"):
            return "jacobian"
        return "fused" if self.replaces == "dz" else "vjp"


@contextmanager
def swapped(mistake: Mistake | None) -> Iterator[None]:
    """While inside, the core makes the mistake (None: none), and NumPy keeps its warnings to itself."""
    with _set(_swaps(mistake) if mistake else []), np.errstate(all="ignore"):
        yield


@contextmanager
def _set(changes: list[Swap]) -> Iterator[None]:
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    try:
        for owner, name, value in changes:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def _swaps(mistake: Mistake) -> list[Swap]:
    """The wrong function in the place of the core's, with the core's signature."""
    wrong, replaces = mistake.function, mistake.replaces

    def wrong_softmax(z: Any, out: Any = None, shifted: Any = None, total: Any = None) -> NDArray:
        p = _into(out, wrong(np.asarray(z)))
        np.maximum(p, np.finfo(p.dtype).tiny, out=p)  # floored as in the core: one mistake at a time
        if shifted is not None:  # the loss then is that of the wrong p, <dlogp, log p>
            np.log(p, out=shifted)
            total.fill(1)
        return p

    def wrong_jacobian(p: NDArray) -> NDArray:
        x, K = np.log(p) if replaces.endswith("(z)") else p, p.shape[-1]  # log p: logits that have this p
        return np.array([np.broadcast_to(wrong(row), (K, K)) for row in x.reshape(-1, K)], p.dtype).reshape(*p.shape, K)

    def wrong_vjp(p: NDArray, dp: NDArray, out: Any = None, mean_dp: Any = None) -> NDArray:
        return _into(out, wrong(p, dp))

    def wrong_dz(p: NDArray, dlogp: NDArray, road: str, dp: Any = None, dz: Any = None, mean_dp: Any = None) -> NDArray:
        r = -dlogp.sum(axis=-1, keepdims=True)
        gradient = wrong(p, -dlogp / r) * len(p) * r  # what holds 1/N, for rows that share the mean unequally
        return _into(dz, gradient) if replaces == "dz" else softmax_vjp(p, _into(dp, gradient), out=dz)

    def backward_without_transpose(net: MLP, dlogp: NDArray, ws: Workspace) -> NDArray:
        weights = [W.T if W.shape[0] == W.shape[1] else W for W in net.weights]
        with _set([(net, "weights", weights)]):
            return backward(net, dlogp, ws)

    def backward_without_mask(net: MLP, dlogp: NDArray, ws: Workspace) -> NDArray:
        with _set([(ws, "mask", [])]):
            return backward(net, dlogp, ws)

    def wrong_slope(a: NDArray, h: NDArray, out: NDArray, scratch: NDArray) -> None:
        out[...] = wrong(a, h)

    activations = ACTIVATIONS | {"relu": ACTIVATIONS["relu"]._replace(slope=wrong_slope)}
    owners = (core_softmax, core_network)  # the net has names of its own for what it imports
    places: dict[str, list[Swap]] = {
        "softmax": [(owner, "softmax", wrong_softmax) for owner in owners],
        "softmax_jacobian": [(core_softmax, "softmax_jacobian", wrong_jacobian)],
        "softmax_jacobian(z)": [(core_softmax, "softmax_jacobian", wrong_jacobian)],
        "softmax_vjp": [(core_softmax, "softmax_vjp", wrong_vjp)],
        "dp": [(owner, "dz_by_road", wrong_dz) for owner in owners],
        "dz": [(owner, "dz_by_road", wrong_dz) for owner in owners],
        "linear_backward": [(MLP, "backward", backward_without_transpose)],
        "dropout_backward": [(MLP, "backward", backward_without_mask)],
        "relu_slope": [(core_network, "ACTIVATIONS", activations)],
        "MLP.penalty": [(MLP, "penalty", wrong)],
        "MLP.initialise": [(MLP, "initialise", wrong)],
    }
    return places[replaces]


def _into(out: NDArray | None, x: NDArray) -> NDArray:
    """x, written into `out` where there is one."""
    if out is None:
        return x
    out[...] = x
    return out


MISTAKES = {
    mistake.name: mistake
    for mistake in (
        Mistake(diagonal_jacobian, "softmax_jacobian", 14),
        Mistake(eye_k, "softmax_jacobian", 14),
        Mistake(p_times_I_minus_p, "softmax_jacobian", 14),
        Mistake(p_at_I_minus_p, "softmax_jacobian", 14),
        Mistake(z_for_p, "softmax_jacobian(z)", 14),
        Mistake(summed_jacobian, "softmax_vjp", 17),
        Mistake(lost_1_over_p, "dp", 13),
        Mistake(clip_in_division, "dp", 13, gap=30),
        Mistake(true_class_only, "dz", 18),
        Mistake(twice_derived, "dz", 18),
        Mistake(y_minus_p, "dz", 18),
        Mistake(missing_1_over_n, "dz", 18),
        Mistake(softmax_over_axis_0, "softmax", 7),
        Mistake(softmax_over_batch, "softmax", 7),
        Mistake(broadcast_n, "softmax", 7, batch_size=3),
        Mistake(broadcast_mean, "softmax_vjp", 16, batch_size=3),
        Mistake(softmax_without_shift, "softmax", 6, gap=1000),
        Mistake(softmax_base_2, "softmax", 8),
        Mistake(missing_transpose, "linear_backward", 20),
        Mistake(dropout_without_mask, "dropout_backward", 21, {"dropout": 0.5}),
        Mistake(relu_slope_everywhere, "relu_slope", None, {"activation": "relu"}),
        Mistake(l2_forgotten, "MLP.penalty", None, {"l2": 0.1}),
        Mistake(zero_initialisation, "MLP.initialise", None),
        Mistake(dead_relu, "MLP.initialise", None, {"activation": "relu"}),
    )
}


def find(name: str) -> Mistake:
    """The mistake of this name. Raises ConfigError, naming the nearest, where there is none."""
    if name in MISTAKES:
        return MISTAKES[name]
    near = difflib.get_close_matches(name.lower(), MISTAKES, 1, 0.4)
    hint = f"did you mean {near[0]}?" if near else "minnet study --mistake list lists them"
    raise ConfigError(f"there is no mistake {name[:60]!r}; {hint}")
