"""Softmax, its Jacobian, the product with it, and cross-entropy.

Two documents are behind this file: *Gradient of the softmax function* (26 November 2025, in Bulgarian) and
*Derivative of a softmax function explanation* (a question-and-answer page, 2021). The first calls the input
index k and writes p_i(delta_ik - p_k); the second calls it i and writes D_ij p_j - p_j p_i. J is symmetric,
so they agree.

Every function works on the last axis, whatever axes come before it, in float32, float64 or complex. Complex
input serves one purpose: f(x + ih) carries f'(x) in its imaginary part, so derivatives can be checked to the
last digit (gradcheck.py).
"""

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

ROADS = ("jacobian", "vjp", "fused")


def softmax(
    z: ArrayLike, out: NDArray | None = None, shifted: NDArray | None = None, total: NDArray | None = None
) -> NDArray:
    """p_i = exp(z_i) / sum_j exp(z_j), for z (..., K); p has the shape of z, or is written into `out`.

    Subtracting the row's largest logit changes nothing, since it cancels, and keeps exp from overflowing.
    `shifted` (..., K) and `total` (..., 1), if given, receive z - max(z) and the sum of its exponentials:
    `mean_cross_entropy` takes the loss from these two.

    p is floored at the smallest normal number of its dtype: an exact 0 would make 1/p infinite and the
    road through dp = -y/p lose its gradient. With the floor, p * (1/p) is 1 again.

    >>> softmax([1.0, 2.0, 3.0]).round(4)
    array([0.09  , 0.2447, 0.6652])
    """
    z = _inexact(z)
    shifted = np.subtract(z, z.max(axis=-1, keepdims=True), out=shifted)
    p = np.exp(shifted, out=out)
    total = p.sum(axis=-1, keepdims=True, out=total)
    np.divide(p, total, out=p)
    return np.maximum(p, np.finfo(p.dtype).tiny, out=p)


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
    return p[..., :, None] * (eye - p[..., None, :])


def softmax_vjp(p: ArrayLike, dp: ArrayLike, out: NDArray | None = None) -> NDArray:
    """dz = J^T dp without writing J out: p * (dp - <dp, p>), for p and dp (..., K).

    From J = diag(p) - p p^T: J^T dp = p * dp - p (p^T dp). It takes 2K multiplications a row, J^T dp takes K^2.

    >>> p, dp = np.array([0.5, 0.3, 0.2]), np.array([1.0, 0.0, 2.0])
    >>> softmax_vjp(p, dp).round(4), (softmax_jacobian(p).T @ dp).round(4)
    (array([ 0.05, -0.27,  0.22]), array([ 0.05, -0.27,  0.22]))
    """
    p, dp = _inexact(p), _inexact(dp)
    mean_dp = np.einsum("...k,...k->...", dp, p)  # not vecdot: it would conjugate a complex dp
    dz = np.subtract(dp, mean_dp[..., None], out=out)
    return np.multiply(p, dz, out=dz)


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


def mean_cross_entropy(shifted: NDArray, total: NDArray, Y: NDArray, r: NDArray) -> np.inexact:
    """L = sum_n r_n * loss_n, from what `softmax` left in `shifted` (N, K) and `total` (N, 1).

    With s = z - max(z), the loss of a row is log sum_j exp(s_j) - sum_k Y_k s_k, because its Y (N, K) sums
    to 1. r (N, 1) is 1/N for the plain mean.
    """
    losses = np.log(total[:, 0]) - np.einsum("nk,nk->n", Y, shifted)
    return (losses * r[:, 0]).sum()


def output_gradient(
    p: ArrayLike,
    y: ArrayLike,
    road: str = "vjp",
    r: ArrayLike = 1.0,
    dp: NDArray | None = None,
    dz: NDArray | None = None,
) -> NDArray:
    """dz = dL/dz of cross-entropy after softmax, by one of three roads that agree to rounding.

    `road` is "jacobian" (J written out, then the product), "vjp" (the product without J), or "fused"
    (p - y). The first two start from dp = -Y/p, the third is what is left when the algebra is done by hand:
    J^T (-Y/p) = p sum(Y) - Y = p - Y, as sum(Y) = 1.

    p is (..., K); y labels (...,) or distributions (..., K); r scales each row's gradient, (..., 1) or a
    number, and is where the 1/N of a mean comes in. `dp` and `dz` are buffers to write into.

    >>> [output_gradient([0.5, 0.3, 0.2], 0, road).round(4).tolist() for road in ROADS]
    [[-0.5, 0.3, 0.2], [-0.5, 0.3, 0.2], [-0.5, 0.3, 0.2]]
    """
    p = _inexact(p)
    Y = one_hot(y, p.shape, p.dtype)
    if road == "fused":
        dz = np.subtract(p, Y, out=dz)
        return np.multiply(dz, r, out=dz)
    dp = np.divide(Y, p, out=dp)
    np.multiply(dp, np.negative(r), out=dp)
    if road == "vjp":
        return softmax_vjp(p, dp, out=dz)
    if road == "jacobian":
        J = softmax_jacobian(p)
        return np.einsum("...ik,...i->...k", J, dp, out=dz)
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
    Y = np.zeros(shape, dtype)
    np.put_along_axis(Y, y[..., None].astype(np.intp), 1, axis=-1)
    return Y


def _inexact(x: ArrayLike) -> NDArray:
    """x as a floating or complex array; whole numbers become float64."""
    x = np.asarray(x)
    return x if x.dtype.kind in "fc" else x.astype(np.float64)
