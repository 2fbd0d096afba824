"""Classic mistakes of backprop, each a change of one line of the core's code.

Inside `with swapped(MISTAKES[name]):` the core makes the mistake, so its wrong numbers come out of
the real forward, backward and training loop. What catches them: catches.py.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from textwrap import dedent
from typing import Any

import numpy as np

from minnet.core.activations import relu
from minnet.core.network import MLP, affine_backward
from minnet.core.softmax import fused, loss_gradient
from minnet.core.softmax import softmax_and_log as softmax
from minnet.core.softmax import softmax_jacobian as jacobian
from minnet.core.softmax import softmax_vjp as vjp

Function = Callable[..., Any]
METHODS = {"softmax_jacobian": "jacobian", "softmax_vjp": "vjp", "loss_gradient": "vjp"}


@dataclass(frozen=True)
class Change:
    """`old` becomes `new` in the source of a function."""

    function: Any
    old: str
    new: str

    @cached_property
    def sources(self) -> tuple[str, str]:
        """The function's source, right and wrong."""
        right = dedent(inspect.getsource(self.function))
        return right, right.replace(self.old, self.new)

    @cached_property
    def wrong(self) -> Any:
        """The function with the change."""
        made = dict[str, Any]()
        exec(self.sources[1], self.function.__globals__, made)
        return made[self.function.__name__]

    @property
    def method(self) -> str:
        """The output gradient that uses the function."""
        return METHODS.get(self.function.__name__, "fused")

    def lines(self) -> Iterator[tuple[int, str, str]]:
        """Each line that changes: its number in the file, right, and wrong without the comment."""
        pairs = zip(*(source.splitlines() for source in self.sources), strict=True)
        for number, (right, wrong) in enumerate(pairs, self.function.__code__.co_firstlineno):
            if right != wrong:
                right = re.sub("# type: .*  ", "", right)
                yield number, right.strip(), wrong.partition("#")[0].strip()


@dataclass(frozen=True)
class Mistake:
    """A change, and who makes it and why it looks right. The rest is needed to show it: keys of a
    config, and a gap between the logits."""

    change: Change
    why: str
    settings: tuple[str, ...] = ()
    gap: float = 0.0

    @property
    def summary(self) -> str:
        """The first sentence about it."""
        return self.why.partition(". ")[0] + "."


@contextmanager
def swapped(change: Change | None) -> Iterator[None]:
    """While inside, the code has the change (None: none), and NumPy does not warn of it."""
    with np.errstate(all="ignore"):
        if change is None:
            yield
            return
        right, change.function.__code__ = change.function.__code__, change.wrong.__code__
        try:
            yield
        finally:
            change.function.__code__ = right


EYE_K = "np.array([np.eye(p.shape[-1], k=i)[i] for i in range(p.shape[-1])], p.dtype)"
P_2D = "np.atleast_2d(p)"
R = "np.add.reduce(T, axis=-1, keepdims=True)"  # the row's share of the mean, in `fused`
MISTAKES = {
    "diagonal-jacobian": Mistake(
        Change(jacobian, "(delta - p[..., None, :])", "(1 - p[..., None, :]) * delta"),
        "Only the diagonal of J. Whoever knows the logistic function expects p (1 - p) to be all; "
        "but softmax divides by a sum over all logits, so each p_i depends on every z_k.",
    ),
    "eye-k": Mistake(
        Change(jacobian, "np.eye(p.shape[-1], dtype=p.dtype)", EYE_K),
        "The first document's note on eye(i), taken literally: numpy.eye(n, k=i). That is a matrix "
        "with ones on its i-th superdiagonal; its row i fits, but only row 0 of J is right.",
    ),
    "p-times-I-minus-p": Mistake(
        Change(jacobian, "p[..., :, None] * (", "p[..., None, :] * ("),
        "The first document's matrix form, with its dot read as * and its p as a one-dimensional "
        "array. There .T does nothing: p scales columns, not rows; shape and diagonal are right.",
    ),
    "p-at-I-minus-p": Mistake(
        Change(jacobian, "p[..., :, None] * (", "p[..., None, :] @ ("),
        "The first document's matrix form, with its dot read as @ and its p as a one-dimensional "
        "array. That is p - p sum(p): K zeros, not K x K. They broadcast silently; nothing learns.",
    ),
    "z-for-p": Mistake(
        Change(jacobian, "np.asarray(p)", "np.log(p)"),
        'J from the logits instead of p, where one name serves for both, or "softmax" for the '
        "layer and its output. The shapes are the same, and the result is even symmetric.",
    ),
    "summed-jacobian": Mistake(
        Change(vjp, "p * (dp - mean_dp)", "softmax_jacobian(p).sum(axis=-1) * dp"),
        "J summed to a vector, so that it multiplies dp as an activation's slope multiplies dh. To "
        "whoever expects elementwise derivatives the shapes then fit; but rows of J sum to 0.",
    ),
    "batch-in-jacobian": Mistake(
        Change(jacobian, "(delta - p[..., None, :])", f"delta - {P_2D}.T @ {P_2D}"),
        "J = diag(p) - p p^T, written for a batch P as diag(p) - P^T P. It sums p p^T over "
        "the rows: right for one row and always symmetric, but each J holds all other rows too.",
    ),
    "lost-1-over-p": Mistake(
        Change(loss_gradient, "-T / p", "-T"),
        "The loss differentiated as if it had no log: dp = -T. It looks like an error signal; J "
        "makes it p_t (p - y): right in direction, but shortest for the rows that are most wrong.",
    ),
    "clip-in-division": Mistake(
        Change(loss_gradient, "-T / p", "-T / np.maximum(p, 1e-12)"),
        "p kept away from 0, but only where it divides. It looks harmless; but p_t/max(p_t, 1e-12) "
        "is no longer 1, so rows that are very wrong stop learning: at a gap of 30, 9% is left.",
        gap=30,
    ),
    "true-class-only": Mistake(
        Change(fused, "return p", "return (T > 0) * p"),
        'Only the true logit gets a gradient. "The loss looks at the true class alone" is true of '
        "dp; but raising any other logit lowers p_t too, through the sum.",
    ),
    "twice-derived": Mistake(
        Change(fused, f"p * {R} - T", f"p * (1 - p) * (p * {R} - T)"),
        "p - y multiplied by p (1 - p) once more. In other layers the activation's slope is next; "
        "why not here? But p - y already is the gradient on the far side of softmax.",
    ),
    "y-minus-p": Mistake(
        Change(fused, f"p * {R} - T", f"T - p * {R}"),
        'The sign of a text that climbs the likelihood, in code that descends the loss. "Target '
        'minus output" reads well, and every number has the right size.',
    ),
    "missing-1-over-n": Mistake(
        Change(fused, f"p * {R} - T", f"p - T / {R}"),
        "The gradient of the sum of the losses, with the value of their mean. A single row cannot "
        "show it, and Adam evens it out; the steps of plain gradient descent are N times as long.",
    ),
    "one-over-n-twice": Mistake(
        Change(affine_backward, "dot(h1T, da,", "dot(h1T, da / len(da),"),
        "dW and db divided by N, where dz has the 1/N already. Each line alone reads like a mean. "
        "The direction is right, and a larger rate makes up for steps that are N times too short.",
    ),
    "softmax-over-axis-0": Mistake(
        Change(softmax, "axis=-1", "axis=0"),
        "The sum runs over axis 0. That is right for the single vector it was tried with; in a "
        "batch it runs over the rows instead of the classes, and the shapes fit just as well.",
    ),
    "softmax-over-batch": Mistake(
        Change(softmax, "axis=-1", "axis=None"),
        "The vector form of softmax, given a batch. It sums over all rows: each row of p is right "
        "up to a factor, and p - y holds, as it does for any positive p.",
    ),
    "broadcast-n": Mistake(
        Change(softmax, "(exp, axis=-1, keepdims=True)", "(exp, axis=-1)"),
        "The sum without keepdims, (N,) where (N, 1) is meant. It is right for one row, an error "
        "for most batches, and silent where N = K: NumPy aligns the rows' sums with the classes.",
        ("train.batch_size=3",),
    ),
    "broadcast-mean": Mistake(
        Change(vjp, ", keepdims=True", ""),
        "The same slip as broadcast-n, in the mean of dp under p. After cross-entropy this mean is "
        "-1/N in every row, so even N = K hides it; rows of unequal weight show it, or another dp.",
        ("train.batch_size=3",),
    ),
    "softmax-without-shift": Mistake(
        Change(softmax, " - np.maximum.reduce(z, axis=-1, keepdims=True)", ""),
        "The textbook formula, without subtracting the largest logit. It passes all checks up to a "
        "logit of about 709, or 88 in float32: there exp overflows, and inf / inf is NaN.",
        gap=1000,
    ),
    "softmax-base-2": Mistake(
        Change(softmax, "np.exp(", "np.exp2("),
        "2^z instead of e^z, to count in bits or because exp2 is faster, with the old log and J. p "
        "sums to 1 and p - y holds; only a difference sees the factor log 2 that they lack.",
    ),
    "softmax-twice": Mistake(
        Change(MLP.forward, "return tape.z", "return softmax(tape.z)"),
        "A net that ends in softmax, before a loss that has a softmax of its own. Predictions stay "
        "right, but of three classes none gets more than 0.58, so L stays above 0.55. dz lacks the "
        "inner J here; where autograd adds it, no check of the gradient sees anything.",
    ),
    "log-of-p": Mistake(
        Change(softmax, "shifted - np.log(total)", "np.log(p)"),
        "The log of p, not log p from the logits. The two agree until p underflows: from a gap of "
        "746 on p is 0, and the loss infinite or NaN, though dz is still right.",
        gap=1000,
    ),
    "missing-transpose": Mistake(
        Change(MLP.backward, "layer.WT", "layer.W if now.h.shape == now.a.shape else layer.WT"),
        "W instead of its transpose in dh = da @ W^T. If W is square the shapes fit, and trying "
        "transposes until they do ends here; only the layers below this one get wrong gradients.",
    ),
    "updated-w-for-dh": Mistake(
        Change(MLP.backward, "layer.WT", "(layer.W - 0.1 * layer.dW).mT"),
        "W updated as soon as its dW is known, and then used for dh. One loop does both; but dh "
        "belongs to the W of the forward pass. With a small rate the error is small too.",
    ),
    "gradient-not-cleared": Mistake(
        Change(affine_backward, "dot(h1T, da, out=layer.dWb)", "layer.dWb += dot(h1T, da)"),
        "The gradient added to those of earlier steps, as nothing sets it to 0. The first step is "
        "right, so a check that asks once sees nothing; from then on old gradients pull along.",
    ),
    "dropout-without-mask": Mistake(
        Change(MLP.forward, "now.slope *= now.mask", "pass"),
        "Dropout in the forward pass, none in the backward pass. Adding it takes two lines, and "
        "one is forgotten: units that were dropped get a gradient too, and the net still trains.",
        ("model.dropout=0.5",),
    ),
    "relu-slope-everywhere": Mistake(
        Change(relu, "np.greater(a,", "np.greater_equal(h,"),
        "The slope of relu taken from h, with >= where > is meant. If a was not kept, h has to do; "
        "but it is never negative, so with >= the slope is 1 everywhere, also where a unit is off.",
        ("model.activation=relu",),
    ),
    "l2-forgotten": Mistake(
        Change(MLP.loss, "L + self.penalty() if self.l2 else L", "L"),
        "The penalty left out of the loss that the check differentiates. Training has it, so this "
        "is a false alarm: the gradient of one loss is compared with differences of another.",
        ("optimizer.weight_decay=0.1",),
    ),
    "zero-initialisation": Mistake(
        Change(MLP.initialise, "np.sqrt(2 / n_in), np.sqrt(6 / (n_in + n_out)), 0", "0, 0, 0"),
        "All weights start at 0, which looks neutral and is right for biases. With tanh or relu "
        "every h and dW is 0: gradients are exact, checks pass, and only the last biases move.",
    ),
    "dead-relu": Mistake(
        Change(MLP.initialise, "(n_in + n_out)), 0", "(n_in + n_out)), -10 * (name in HE)"),
        "Biases of hidden relus far below 0, where one step that is much too long leaves them. All "
        "units are off, so their gradient is 0: checks pass, and only the last biases move.",
        ("model.activation=relu",),
    ),
}
