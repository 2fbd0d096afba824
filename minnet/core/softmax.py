"""Softmax and cross-entropy, forward and backward: how the error gets back from p to the logits.
Every function works along the last axis, the K classes, on complex numbers too (gradcheck.py).

Two documents are behind this file: *Gradient of the softmax function* (26 November 2025, in
Bulgarian) and *Derivative of a softmax function explanation* (a question-and-answer page, 2021).
The first writes p_i(delta_ik - p_k), the second D_ij p_j - p_j p_i, with i the input's index."""

from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array: TypeAlias = NDArray[Any]


def softmax(z: ArrayLike) -> Array:
    """p_i = exp(z_i) / sum_j exp(z_j), for z (..., K).

    >>> softmax([1.0, 2.0, 3.0]).round(4)
    array([0.09  , 0.2447, 0.6652])
    """
    return softmax_and_log(z)[0]


def log_softmax(z: ArrayLike) -> Array:
    """log p for z (..., K), finite even where p itself underflows.

    >>> log_softmax([800.0, 0.0]).tolist()
    [0.0, -800.0]
    """
    return softmax_and_log(z)[1]


def softmax_and_log(z: ArrayLike) -> tuple[Array, Array]:
    """p and log p for z (..., K), which share most of their work.

    Subtracting the row's largest logit keeps exp from overflowing; it cancels, so p is the same.
    p is floored at the smallest normal number: if it were exactly 0, 1/p would be infinite and the
    gradient through dp = -T/p would be lost. With the floor, p * (1/p) is 1 again.
    """
    z = np.asarray(z)
    shifted = z - np.maximum.reduce(z, axis=-1, keepdims=True)  # (6) z - max(z)
    exp = np.exp(shifted)
    total = np.add.reduce(exp, axis=-1, keepdims=True)  # (7) sum_j exp(z_j)
    p = np.divide(exp, total, out=exp)  # (8) p = exp(z) / total
    log_p = shifted - np.log(total)  # (9) log p
    return np.maximum(p, _tiny(p.dtype), out=p), log_p


def softmax_jacobian(p: ArrayLike) -> Array:
    """J[..., i, k] = dp_i/dz_k for p = softmax(z), (..., K) -> (..., K, K).

    By the quotient rule, with delta_ik = 1 where i = k and 0 elsewhere, these are all J:

        element by element    J_ik = p_i (delta_ik - p_k)
        its two cases         p_i (1 - p_i) where i = k,  -p_i p_k where i != k
        row by row            J_i  = p_i (eye(i) - p), with the unit vector eye(i) = np.eye(K)[i]
        as a matrix           J    = diag(p) - p p^T

    J is symmetric. Its columns sum to 0 because p always sums to 1, its rows because adding the
    same number to every logit does not change p.

    >>> softmax_jacobian([0.5, 0.3, 0.2])
    array([[ 0.25, -0.15, -0.1 ],
           [-0.15,  0.21, -0.06],
           [-0.1 , -0.06,  0.16]])
    """
    p = np.asarray(p)
    delta = np.eye(p.shape[-1], dtype=p.dtype)
    return p[..., :, None] * (delta - p[..., None, :])  # (15) J_ik = p_i (delta_ik - p_k)


def softmax_vjp(p: ArrayLike, dp: ArrayLike) -> Array:
    """dz = J^T dp without forming J, for p and dp (..., K).

    From J = diag(p) - p p^T: J^T dp = p * dp - p (p^T dp) = p * (dp - <dp, p>), where <dp, p> is
    the mean of dp under p. This takes 2K multiplications a row, forming J takes K^2.

    >>> p, dp = np.array([0.5, 0.3, 0.2]), np.array([1.0, 0.0, 2.0])
    >>> softmax_vjp(p, dp).round(4), (softmax_jacobian(p).T @ dp).round(4)
    (array([ 0.05, -0.27,  0.22]), array([ 0.05, -0.27,  0.22]))
    """
    p = np.asarray(p)
    mean_dp = np.vecdot(p.conj(), dp, keepdims=True)  # type: ignore[call-overload]  # (17) <dp, p>
    return p * (dp - mean_dp)  # (18) dz = p * (dp - <dp, p>)


def cross_entropy(z: ArrayLike, y: ArrayLike) -> Array:
    """The loss of each row, -sum_k Y_k log p_k, from logits z (..., K) and labels y (...,) or
    distributions y (..., K). Raises ValueError as `one_hot` does.

    >>> cross_entropy([[2.0, 0.0], [800.0, 0.0]], [0, 1]).round(4)
    array([1.269e-01, 8.000e+02])
    """
    log_p = log_softmax(z)
    Y = one_hot(y, log_p.shape, log_p.dtype)
    # where Y is 0 the term is 0, for a logit of -inf too
    return -np.multiply(Y, log_p, where=Y != 0, out=np.zeros_like(log_p)).sum(axis=-1)


# Three ways from the loss back to the logits. T = r Y holds each row's target times its share r of
# the mean, usually 1/N, so the loss is L = -<T, log p>. All three agree to rounding.


def by_jacobian(p: Array, T: Array) -> Array:
    """Form J and multiply by it: dz = J^T dp."""
    J, dp = softmax_jacobian(p), loss_gradient(p, T)
    return np.einsum("...ik,...i->...k", J, dp)  # (16) dz_k = sum_i J_ik dp_i


def by_vjp(p: Array, T: Array) -> Array:
    """Multiply by J without forming it."""
    return softmax_vjp(p, loss_gradient(p, T))


def fused(p: Array, T: Array) -> Array:
    """Do the algebra by hand: J^T (-T/p) = p sum(T) - T, which is r (p - Y)."""
    return p * np.add.reduce(T, axis=-1, keepdims=True) - T  # (19) dz = r (p - Y)


OUTPUT_GRADIENTS = {"jacobian": by_jacobian, "vjp": by_vjp, "fused": fused}


def loss_gradient(p: Array, T: Array) -> Array:
    """dp, the gradient of L = -<T, log p> in p."""
    return -T / p  # (14) dp = -T/p


def one_hot(y: ArrayLike, shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> Array:
    """Labels (...,) as unit vectors (..., K); distributions (..., K) as they are. Raises ValueError
    for labels that are not whole numbers in 0..K-1 and for a shape that fits neither."""
    y, K = np.asarray(y), shape[-1]
    if y.shape == shape:
        return np.asarray(y, dtype)
    sound = y.shape == shape[:-1] and y.dtype.kind in "biu"
    if not sound or (y.size and not 0 <= y.min() <= y.max() < K):
        wanted = f"labels 0..{K - 1} of shape {shape[:-1]} or distributions of shape {shape}"
        raise ValueError(f"y has shape {y.shape} and dtype {y.dtype}: it must hold {wanted}")
    return np.equal(y[..., None], np.arange(K), out=np.empty(shape, dtype), casting="unsafe")


@cache
def _tiny(dtype: np.dtype) -> Array:
    """The smallest normal number of a dtype, as an array, which NumPy takes faster."""
    return np.array(np.finfo(dtype).tiny, dtype)
