"""Classic mistakes of backprop, each put in place of one function of the core.

Each function below is wrong as its author would write it, and named after the mistake; its
docstring says who makes it and why it looks right. Inside `with swapped(MISTAKES[name]):` the core
uses it, so its wrong numbers come out of the real forward, backward and training loop. What catches
them: catches.py.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minnet.core.network as core_network
import minnet.core.softmax as core_softmax
from minnet.core.activations import ACTIVATIONS, relu
from minnet.core.network import MLP, Tape
from minnet.core.softmax import OUTPUT_GRADIENTS, softmax_jacobian
from minnet.errors import ConfigError, did_you_mean, one_line, short

# p (N, K) from the logits z (N, K)


def softmax_over_axis_0(z: NDArray) -> NDArray:
    """The sum runs over axis 0. That is right for the single vector it was tried with; in a batch
    it runs over the rows instead of the classes, and the shapes fit just as well."""
    p = np.exp(z - z.max(axis=0))
    return p / p.sum(axis=0)


def softmax_over_batch(z: NDArray) -> NDArray:
    """The vector form of softmax, given a whole batch. A formula for one vector, copied, sums over
    all rows: each row of p is right up to a factor, and p - y holds, as it does for any positive p.
    """
    p = np.exp(z - z.max())
    return p / p.sum()


def broadcast_n(z: NDArray) -> NDArray:
    """The sum without keepdims, (N,) where (N, 1) is meant. It is right for a single row, an error
    for most batches, and silent where N = K: NumPy aligns the sums of the rows with the classes."""
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1)


def softmax_without_shift(z: NDArray) -> NDArray:
    """The textbook formula, without subtracting the largest logit. It is right, and passes every
    check, up to a logit of about 709, or 88 in float32: there exp overflows, and inf / inf is NaN.
    """
    p = np.exp(z)
    return p / p.sum(axis=-1, keepdims=True)


def softmax_base_2(z: NDArray) -> NDArray:
    """2^z instead of e^z, to count in bits or because exp2 is faster, with the old J. p sums to 1
    and p - y holds; only a difference sees the factor log 2 that the derivative lacks."""
    p = np.exp2(z - z.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


# J (K, K) from one row's p (K,)


def diagonal_jacobian(p: NDArray) -> NDArray:
    """Only the diagonal of J. Whoever knows the logistic function knows p (1 - p) as the whole
    derivative; but softmax divides by a sum over all logits, so each p_i depends on every z_k."""
    return np.diag(p * (1 - p))


def eye_k(p: NDArray) -> NDArray:
    """The first document's note on eye(i), taken literally: numpy.eye(n, k=i). That is not a unit
    vector but an n x n matrix with ones on its i-th superdiagonal; its row i has the right shape,
    but only row 0 of J is right."""
    K = len(p)
    return np.array([p[i] * (np.eye(K, k=i)[i] - p) for i in range(K)])


def p_times_I_minus_p(p: NDArray) -> NDArray:
    """The first document's matrix form, with its dot read as * and its p as a one-dimensional
    array. There .T does nothing, so p scales columns instead of rows; the shape and the diagonal
    are right."""
    return p.T * (np.eye(len(p)) - p)


def p_at_I_minus_p(p: NDArray) -> NDArray:
    """The first document's matrix form, with its dot read as @ and its p as a one-dimensional
    array. That is p - p sum(p): K zeros, and not K x K. They broadcast without an error, and
    nothing learns."""
    return p.T @ (np.eye(len(p)) - p)


def z_for_p(p: NDArray) -> NDArray:
    """J from the logits instead of p, where one name serves for both, or "softmax" for the layer
    and its output. The shapes are the same, and the result is even symmetric."""
    z = np.log(p)  # logits that give this p
    return z[:, None] * (np.eye(len(z)) - z)


# dz (N, K) from p and dp (N, K)


def summed_jacobian(p: NDArray, dp: NDArray) -> NDArray:
    """J summed to a vector, so that it multiplies dp as an activation's slope multiplies dh. If
    every derivative is expected to be elementwise, this makes the shapes fit; but rows of J sum to
    0."""
    return softmax_jacobian(p).sum(axis=-1) * dp


def broadcast_mean(p: NDArray, dp: NDArray) -> NDArray:
    """The same slip as broadcast-n, in the mean of dp under p. After cross-entropy this mean is
    -1/N in every row, so even N = K does not reveal it; rows of unequal weight do, or another
    dp."""
    return p * (dp - (dp * p).sum(axis=-1))


# dp (N, K) from p and T = r Y (N, K)


def lost_1_over_p(p: NDArray, T: NDArray) -> NDArray:
    """The loss differentiated as if it had no log: dp = -T. It looks like an error signal, and J
    turns it into p_t (p - y): the right direction, but shorter, most of all for rows that are most
    wrong."""
    return -T


def clip_in_division(p: NDArray, T: NDArray) -> NDArray:
    """p kept away from 0, but only where it divides. It looks like a harmless guard against 1/0;
    but p_t / max(p_t, 1e-12) is no longer 1, so rows that are very wrong stop learning: at a gap of
    30, 9% is left."""
    return -T / np.maximum(p, 1e-12)


# dz (N, K) from p and T = r Y (N, K)


def true_class_only(p: NDArray, T: NDArray) -> NDArray:
    """Only the true logit gets a gradient. "The loss looks at the true class alone" is true of dp;
    but raising any other logit lowers p_t too, through the sum."""
    r = T.sum(axis=-1, keepdims=True)
    return (T > 0) * (r * p - T)


def twice_derived(p: NDArray, T: NDArray) -> NDArray:
    """p - y multiplied by p (1 - p) once more. In every other layer the slope of the activation
    comes next, so why not here; but p - y already is the gradient on the far side of softmax."""
    r = T.sum(axis=-1, keepdims=True)
    return (r * p - T) * p * (1 - p)


def y_minus_p(p: NDArray, T: NDArray) -> NDArray:
    """The sign of a text that climbs the likelihood, in code that descends the loss. "Target minus
    output" reads well, and every number has the right size."""
    r = T.sum(axis=-1, keepdims=True)
    return T - r * p


def missing_1_over_n(p: NDArray, T: NDArray) -> NDArray:
    """The gradient of the sum of the losses, with the value of their mean. A single row cannot show
    it, and Adam evens it out; plain gradient descent takes steps that are N times as long."""
    Y = T / T.sum(axis=-1, keepdims=True)
    return p - Y


# The layers


def missing_transpose(h: NDArray, W: NDArray, da: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """dW, db and dh of a linear layer, but dh = da @ W. If W is square the shapes fit, and trying
    transposes until they do ends here; this layer and those above get right gradients, those below
    wrong ones."""
    return h.T @ da, da.sum(axis=0), da @ W


def dropout_without_mask(net: MLP, dz: NDArray, tape: Tape) -> NDArray:
    """Dropout in the forward pass, none in the backward pass. Adding it to a net that works takes
    two lines, and one is forgotten: units that were dropped get a gradient too, and the net still
    trains."""
    for name, below in zip(net.activation, tape, strict=False):
        ACTIVATIONS[name](below.a, np.empty_like(below.a), below.slope)  # f'(a), without the mask
    return backward(net, dz, tape)


def relu_slope_everywhere(a: NDArray, h: NDArray, slope: NDArray | None) -> None:
    """The slope of relu taken from h, with >= where > is meant. If a was not kept, h has to do, and
    with > it would; but h is never negative, so with >= the slope is 1 everywhere, even for units
    that are off."""
    relu(a, h, None)
    if slope is not None:
        np.greater_equal(h, 0, out=slope)


# Backprop is right, and it still goes wrong


def l2_forgotten(net: MLP) -> float:
    """The penalty left out of the loss that the check differentiates. It is in the gradient and in
    training, so backprop is right; the check raises a false alarm, as it compares the gradient of
    one loss with differences of another."""
    return 0.0


def zero_initialisation(net: MLP, rng: np.random.Generator, member: tuple = ()) -> None:
    """All weights start at 0, which looks neutral and is right for biases. With tanh or relu every
    h is then 0, and so is every dW: the gradients are exact, all checks pass, and only the last
    biases ever move."""
    net.theta[:] = 0


def dead_relu(net: MLP, rng: np.random.Generator, member: tuple = ()) -> None:
    """Biases of hidden relus far below 0, where one step that is much too long leaves them. All
    units are off for every row, so their gradient is 0, and rightly so: all checks pass, and only
    the last biases ever move."""
    initialise(net, rng, member)
    for b in net.biases[:-1]:
        b[:] = -10


# Putting them in place

Function = Callable[..., Any]
initialise, backward = MLP.initialise, MLP.backward


def with_log(wrong: Function) -> Function:
    """softmax_and_log by a wrong softmax, with its p floored as in the core."""

    def softmax_and_log(z: NDArray) -> tuple[NDArray, NDArray]:
        p = wrong(np.asarray(z))
        p = np.maximum(p, np.finfo(p.dtype).tiny)
        return p, np.log(p)

    return softmax_and_log


def by_rows(wrong: Function) -> Function:
    """softmax_jacobian by a wrong J of one row."""
    return partial(
        np.apply_along_axis, lambda p: np.broadcast_to(wrong(p), 2 * p.shape).astype(p.dtype), -1
    )


def untransposed(_: Function) -> Function:
    """MLP.backward with W instead of W^T where W is square."""

    def backward_without_transpose(net: MLP, dz: NDArray, tape: Tape) -> NDArray:
        for layer in net.layers:
            layer.WT = layer.W if len(set(layer.W.shape)) == 1 else layer.W.mT
        dtheta = backward(net, dz, tape)
        for layer in net.layers:
            layer.WT = layer.W.mT
        return dtheta

    return backward_without_transpose


@dataclass(frozen=True)
class Mistake:
    """A wrong function, and the name of the core's function that it `replaces`, `adapted` to that
    one's signature. `step` is the core's line that it gets wrong, if it is a single one. The rest
    is needed to show it: options of MLP, the rows of a batch, and a gap between the logits."""

    function: Function
    replaces: str
    step: int | None = None
    adapted: Callable[[Function], Function] = lambda wrong: wrong
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
        return one_line(inspect.getdoc(self.function))

    @property
    def method(self) -> str:
        """The output gradient that uses the function."""
        return {"softmax_jacobian": "jacobian", "fused": "fused"}.get(self.replaces, "vjp")


@contextmanager
def swapped(mistake: Mistake | None) -> Iterator[None]:
    """While inside, the core makes the mistake (None: none), and NumPy does not warn of it."""
    with np.errstate(all="ignore"):
        if mistake is None:
            yield
            return
        right = _put(mistake.adapted(mistake.function), mistake.replaces)
        try:
            yield
        finally:
            _put(right, mistake.replaces)


def _put(function: Function, name: str) -> Function:
    """Put a function in place of the core's of this name, which is returned."""
    right: Any = None
    for owner in (core_softmax, core_network, MLP):
        if hasattr(owner, name):
            right = getattr(owner, name)
            setattr(owner, name, function)
    for table in (ACTIVATIONS, OUTPUT_GRADIENTS):
        if name in table:
            right, table[name] = table[name], function
    return right


MISTAKES = {
    mistake.name: mistake
    for mistake in (
        Mistake(diagonal_jacobian, "softmax_jacobian", 15, by_rows),
        Mistake(eye_k, "softmax_jacobian", 15, by_rows),
        Mistake(p_times_I_minus_p, "softmax_jacobian", 15, by_rows),
        Mistake(p_at_I_minus_p, "softmax_jacobian", 15, by_rows),
        Mistake(z_for_p, "softmax_jacobian", 15, by_rows),
        Mistake(summed_jacobian, "softmax_vjp", 18),
        Mistake(lost_1_over_p, "loss_gradient", 14),
        Mistake(clip_in_division, "loss_gradient", 14, gap=30),
        Mistake(true_class_only, "fused", 19),
        Mistake(twice_derived, "fused", 19),
        Mistake(y_minus_p, "fused", 19),
        Mistake(missing_1_over_n, "fused", 19),
        Mistake(softmax_over_axis_0, "softmax_and_log", 7, with_log),
        Mistake(softmax_over_batch, "softmax_and_log", 7, with_log),
        Mistake(broadcast_n, "softmax_and_log", 7, with_log, batch_size=3),
        Mistake(broadcast_mean, "softmax_vjp", 17, batch_size=3),
        Mistake(softmax_without_shift, "softmax_and_log", 6, with_log, gap=1000),
        Mistake(softmax_base_2, "softmax_and_log", 8, with_log),
        Mistake(missing_transpose, "backward", 22, untransposed),
        Mistake(dropout_without_mask, "backward", 4, options={"dropout": 0.5}),
        Mistake(relu_slope_everywhere, "relu", options={"activation": "relu"}),
        Mistake(l2_forgotten, "penalty", options={"l2": 0.1}),
        Mistake(zero_initialisation, "initialise"),
        Mistake(dead_relu, "initialise", options={"activation": "relu"}),
    )
}


def find(name: str) -> Mistake:
    """The mistake of this name. Raises ConfigError, naming the nearest, if there is none."""
    if name in MISTAKES:
        return MISTAKES[name]
    hint = did_you_mean(name.lower(), MISTAKES, 0.4) or "; minnet study --mistake list lists them"
    raise ConfigError(f"no mistake is called {short(name)}{hint}")
