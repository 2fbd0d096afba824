"""Softmax, its Jacobian, the product with it, and cross-entropy.

Two documents are behind this file: *Gradient of the softmax function* (26 November 2025, in Bulgarian) and
*Derivative of a softmax function explanation* (a question-and-answer page, 2021). The first calls the input
index k and writes p_i(delta_ik - p_k); the second calls it i and writes D_ij p_j - p_j p_i. J is symmetric,
so they agree.

Every function works on the last axis, whatever axes come before it, in float32, float64 or complex. Complex
input serves one purpose: f(x + ih) carries f'(x) in its imaginary part, so derivatives can be checked to the
last digit (gradcheck.py).
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

ROADS = ("jacobian", "vjp", "fused")


def softmax(
    z: ArrayLike, out: NDArray | None = None, shifted: NDArray | None = None, total: NDArray | None = None
) -> NDArray:
    """p_i = exp(z_i) / sum_j exp(z_j), for z (..., K); p has the shape of z, or is written into `out`.

    Subtracting the row's largest logit changes nothing, since it cancels, and keeps exp from overflowing.
    `shifted` (..., K) and `total` (..., 1), if given, receive z - max(z) and the sum of its exponentials:
    `mean_cross_entropy` takes the loss from these two. (`total` holds the maximum before it holds the sum.)

    p is floored at the smallest normal number of its dtype: an exact 0 would make 1/p infinite and the
    road through dp = -y/p lose its gradient. With the floor, p * (1/p) is 1 again.

    >>> softmax([1.0, 2.0, 3.0]).round(4)
    array([0.09  , 0.2447, 0.6652])
    """
    z = _inexact(z)
    largest = np.maximum.reduce(z, axis=-1, keepdims=True, out=total)
    shifted = np.subtract(z, largest, out=shifted)  # (6)
    p = np.exp(shifted, out=out)
    total = np.add.reduce(p, axis=-1, keepdims=True, out=total)  # (7)
    np.divide(p, total, out=p)  # (8)
    return np.maximum(p, _tiny(p.dtype), out=p)


def log_softmax(z: ArrayLike) -> NDArray:
    """log p without p: z_i - log(sum_j exp(z_j)), for z (..., K).

    Finite where p itself would underflow to 0:

    >>> log_softmax([800.0, 0.0]).tolist()
    [0.0, -800.0]
    """
    z = _inexact(z)
    shifted = z - z.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax_jacobian(p: ArrayLike) -> NDArray:
    """J[..., i, k] = dp_i/dz_k, (..., K, K), from p = softmax(z), (..., K).

    By the quotient rule, with delta_ik = 1 where i = k and 0 elsewhere, these are one and the same matrix:

        element by element    J_ik = p_i (delta_ik - p_k)
        its two cases         p_i (1 - p_i) where i = k,  -p_i p_k where i != k
        row by row            J_i  = p_i (eye(i) - p), with the unit vector eye(i) = np.eye(K)[i]
        as a matrix           J    = diag(p) - p p^T

    It is symmetric, its rows and columns sum to 0, and v^T J v is the variance of v under p.

    >>> p = np.array([0.5, 0.3, 0.2])
    >>> softmax_jacobian(p)
    array([[ 0.25, -0.15, -0.1 ],
           [-0.15,  0.21, -0.06],
           [-0.1 , -0.06,  0.16]])
    >>> np.allclose(softmax_jacobian(p), np.diag(p) - np.outer(p, p))
    True
    """
    p = _inexact(p)
    eye = np.eye(p.shape[-1], dtype=p.dtype)
    return p[..., :, None] * (eye - p[..., None, :])  # (14) p_i (delta_ik - p_k)


def softmax_vjp(p: ArrayLike, dp: ArrayLike, out: NDArray | None = None, mean_dp: NDArray | None = None) -> NDArray:
    """dz = J^T dp without writing J out: p * (dp - <dp, p>), for p and dp (..., K).

    From J = diag(p) - p p^T: J^T dp = p * dp - p (p^T dp). It takes 2K multiplications a row, J^T dp takes K^2.
    <dp, p> is the mean of dp under p; it is written into `mean_dp` (..., 1) if given, dz into `out`.

    >>> p, dp = np.array([0.5, 0.3, 0.2]), np.array([1.0, 0.0, 2.0])
    >>> softmax_vjp(p, dp).round(4), (softmax_jacobian(p).T @ dp).round(4)
    (array([ 0.05, -0.27,  0.22]), array([ 0.05, -0.27,  0.22]))
    """
    p = _inexact(p)
    # vecdot conjugates what comes first: conj undoes that, for complex p
    mean_dp = np.vecdot(p.conj(), dp, keepdims=True, out=mean_dp)  # type: ignore[call-overload]  # (16)
    dz = np.subtract(dp, mean_dp, out=out)
    return np.multiply(p, dz, out=dz)  # (17) p * (dp - <dp, p>)


def cross_entropy(z: ArrayLike, y: ArrayLike) -> NDArray:
    """Loss of each row, -sum_k Y_k log p_k, taken from the logits z (..., K), never from p.

    y holds labels 0..K-1, one per row (...,), or distributions (..., K).
    Raises ValueError for a label outside 0..K-1 or a shape that fits neither form.

    >>> cross_entropy([[2.0, 0.0], [800.0, 0.0]], [0, 1]).round(4)
    array([1.269e-01, 8.000e+02])
    """
    log_p = log_softmax(z)
    Y = one_hot(y, log_p.shape, log_p.dtype)
    # where Y is 0 the term is 0, also for a logit of -inf
    return -np.multiply(Y, log_p, where=Y != 0, out=np.zeros_like(log_p)).sum(axis=-1)


def mean_cross_entropy(
    shifted: NDArray, total: NDArray, dlogp: NDArray, r: NDArray, log_total: NDArray | None = None
) -> Any:
    """L = sum_n r_n * loss_n, from what `softmax` left in `shifted` (N, K) and `total` (N, 1).

    r (N, 1) is each row's share of the mean, 1/N for the plain one, and dlogp (N, K) = -r Y. Then L is just
    <dlogp, log p>, with log p = shifted - log(total); and log(total) counts r times, as each row of Y sums to 1.
    """
    log_total = np.log(total, out=log_total)
    # vdot flattens by rows, the net's arrays lie by columns
    return np.vdot(r, log_total) + np.vdot(dlogp.T, shifted.T)  # (12) L = <dlogp, log p>


def output_gradient(p: ArrayLike, y: ArrayLike, road: str = "vjp", r: ArrayLike = 1.0) -> NDArray:
    """dz = dL/dz of cross-entropy after softmax: r (p - Y), by one of the three roads of `dz_by_road`.

    p (..., K); y labels (...,) or distributions (..., K); r scales each row's gradient, (..., 1) or a number, and
    is where the 1/N of a mean comes in. Raises ValueError for an unknown road, and for y as `one_hot` does.

    >>> [output_gradient([0.5, 0.3, 0.2], 0, road).round(4).tolist() for road in ROADS]
    [[-0.5, 0.3, 0.2], [-0.5, 0.3, 0.2], [-0.5, 0.3, 0.2]]
    """
    p = _inexact(p)
    return dz_by_road(p, -np.asarray(r, p.dtype) * one_hot(y, p.shape, p.dtype), road)


def dz_by_road(
    p: NDArray,
    dlogp: NDArray,
    road: str = "vjp",
    dp: NDArray | None = None,
    dz: NDArray | None = None,
    mean_dp: NDArray | None = None,
) -> NDArray:
    """dz (..., K) from dlogp (..., K) = -r Y, the gradient of L in log p, by one of three roads that agree to rounding.

    "jacobian" writes J out and multiplies, "vjp" multiplies without writing J; both start from dp = dlogp / p, which
    is -r Y/p. "fused" is what is left when the algebra is done by hand: J^T (-Y/p) = p sum(Y) - Y = p - Y, as
    sum(Y) = 1. `dp`, `dz` (..., K) and `mean_dp` (..., 1) are buffers to write into.
    """
    if road == "fused":
        minus_r = np.add.reduce(dlogp, axis=-1, keepdims=True, out=mean_dp)
        dz = np.multiply(p, minus_r, out=dz)
        return np.subtract(dlogp, dz, out=dz)  # (18) r (p - Y)
    dp = np.divide(dlogp, p, out=dp)  # (13) dp = -r Y/p
    if road == "vjp":
        return softmax_vjp(p, dp, out=dz, mean_dp=mean_dp)
    if road == "jacobian":
        J = softmax_jacobian(p)
        return np.einsum("...ik,...i->...k", J, dp, out=dz)  # (15) dz = J^T dp
    raise ValueError(f"unknown road {road!r}: choose from {', '.join(ROADS)}")


def one_hot(y: ArrayLike, shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> NDArray:
    """Labels (...,) as unit vectors eye(y), (..., K); what already has that shape is taken as distributions.

    Raises ValueError for labels that are not whole numbers in 0..K-1 and for shapes that do not fit.

    >>> one_hot([2, 0], (2, 3))
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    y, K = np.asarray(y), shape[-1]
    if y.shape == shape:
        return np.asarray(y, dtype)
    if y.shape != shape[:-1]:
        raise ValueError(f"y has shape {y.shape}: labels need {shape[:-1]}, distributions {shape}")
    if y.dtype.kind not in "biu":
        raise ValueError(f"labels must be whole numbers 0..{K - 1}, not {y.dtype}")
    if y.size and not 0 <= y.min() <= y.max() < K:
        raise ValueError(f"labels must lie in 0..{K - 1}: found {y.min()}..{y.max()}")
    return np.equal(y[..., None], np.arange(K), out=np.empty(shape, dtype), casting="unsafe")


def _inexact(x: ArrayLike) -> NDArray:
    """x as a floating or complex array; whole numbers become float64."""
    x = np.asarray(x)
    return x if x.dtype.kind in "fc" else x.astype(np.float64)


@cache
def _tiny(dtype: np.dtype) -> NDArray:
    """The smallest normal number of a dtype, as an array: NumPy takes that sooner than a number of Python's."""
    return np.array(np.finfo(dtype).tiny, dtype)
