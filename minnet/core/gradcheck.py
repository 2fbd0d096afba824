"""Gradients measured instead of derived, to check the derived ones.

Complex step: f(x + ih) = f(x) + ih f'(x) - ..., so f'(x) = Im f(x + ih) / h (Squire and Trapp 1998). Nothing is
subtracted, so h can be tiny and the result is good to the last digit, as long as f's code takes complex numbers.
Central differences, (f(x + h) - f(x - h)) / 2h, need no such thing and lose about a third of the digits.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minnet.core.network import MLP

METHODS = ("complex", "central")


def complex_step(f: Callable[[NDArray], Any], x: NDArray, h: float = 1e-30, entries: NDArray | None = None) -> NDArray:
    """df/dx (n,) of a scalar f at the real x (n,); or df/dx_j for j in `entries` only.

    >>> complex_step(lambda x: np.exp(x[0]) * x[1], np.array([0.0, 3.0])).tolist()
    [3.0, 1.0]
    """
    entries, x = np.arange(x.size) if entries is None else entries, x.astype(np.complex128)
    gradient = np.empty(len(entries))
    for place, j in enumerate(entries):
        original = x[j]
        x[j] += 1j * h
        gradient[place] = np.imag(f(x)) / h  # (25) Im L(theta_j + ih) / h
        x[j] = original
    return gradient


def central_differences(
    f: Callable[[NDArray], Any], x: NDArray, h: float | None = None, entries: NDArray | None = None
) -> NDArray:
    """df/dx (n,) of a scalar f at x (n,), or for `entries` only. The step for x_j is h max(1, |x_j|).

    By default h is the cube root of the dtype's precision, where the error of the formula, of order h^2, meets
    that of rounding, of order precision/h.
    """
    entries, x = np.arange(x.size) if entries is None else entries, x.copy()
    gradient = np.empty(len(entries), x.dtype)
    h = float(np.finfo(x.dtype).eps) ** (1 / 3) if h is None else h
    for place, j in enumerate(entries):
        original = x[j]
        step = h * max(1, abs(original))
        x[j] = above = original + step
        loss_above = f(x)
        x[j] = below = original - step
        gradient[place] = (loss_above - f(x)) / (above - below)  # (26) (L(theta_j + h) - L(theta_j - h)) / 2h
        x[j] = original
    return gradient


def relative_error(measured: ArrayLike, derived: ArrayLike) -> float:
    """max |measured - derived| over the largest entry of either; 0 if both are all zero, NaN if one is not finite."""
    measured, derived = np.asarray(measured), np.asarray(derived)
    largest = np.maximum(np.abs(measured).max(), np.abs(derived).max())  # not max(), which can lose a NaN
    return float(np.abs(measured - derived).max() / largest) if largest != 0 else 0.0


def measured_gradient(
    net: MLP,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    method: str = "complex",
    rng_seed: int | None = None,
    entries: NDArray | None = None,
) -> NDArray:
    """dtheta (P,) of the net's mean loss, or its `entries` only, by its real forward code and differences alone.

    X (N, D); y labels (N,) or distributions (N, K). With `rng_seed`, dropout acts and its masks are held.
    """
    probe = net.astype(np.complex128 if method == "complex" else np.float64)
    rng = None if rng_seed is None else np.random.default_rng(rng_seed)
    X1, _, r, dlogp, ws = probe.prepare(X, y, sample_weight, rng)

    def f(theta: NDArray) -> Any:
        probe.theta[:] = theta
        probe.forward(X1, ws)
        return probe.loss(dlogp, r, ws) + probe.penalty()

    if method == "complex":
        return complex_step(f, net.theta, entries=entries)
    if method == "central":
        return central_differences(f, net.theta.astype(np.float64), entries=entries)
    raise ValueError(f"unknown method {method!r}: choose from {', '.join(METHODS)}")


def gradient_errors(
    net: MLP,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    method: str = "complex",
    rng_seed: int | None = None,
) -> dict[str, float]:
    """The relative error of the net's own gradient: {"layer 1": ..., "layer 2": ..., ..., "theta": ...}.

    In float64, expect below 1e-13 by complex step and below 1e-7 by central differences; a kink of relu within a
    difference's step makes more.
    """
    measured = net.astype(np.float64)
    measured.theta[:] = measured_gradient(net, X, y, sample_weight, method, rng_seed)
    derived = net.astype(net.dtype)
    rng = None if rng_seed is None else np.random.default_rng(rng_seed)
    derived.theta[:] = net.loss_and_gradient(X, y, sample_weight, rng)[1]
    layers = enumerate(zip(measured.Wb, derived.Wb, strict=True), start=1)
    errors = {f"layer {l}": relative_error(*pair) for l, pair in layers}
    return errors | {"theta": relative_error(measured.theta, derived.theta)}
