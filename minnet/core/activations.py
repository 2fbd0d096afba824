"""Each activation beside its derivative.

f(a, h, slope) writes h = f(a) and, unless slope is None, slope = dh/da. Activations act on each
number by itself, so the backward pass is one product: da = dh * slope. At a kink, a = 0, the slope
is that of the left side. Comparisons of complex numbers see their real parts (gradcheck.py).
"""

import math

import numpy as np
from numpy.typing import NDArray

LEAK = 0.01
SCALE, CUBIC = math.sqrt(2 / math.pi), 0.044715  # of gelu


def relu(a: NDArray, h: NDArray, slope: NDArray | None) -> None:
    """h = max(a, 0); the slope is 1 where a > 0, else 0"""
    np.maximum(a, 0, out=h)
    if slope is not None:
        np.greater(a, 0, out=slope)


def leaky_relu(a: NDArray, h: NDArray, slope: NDArray | None) -> None:
    """h = a where a > 0, else a/100, so that a gradient always gets through; slope 1 or 1/100"""
    np.maximum(a, LEAK * a, out=h)
    if slope is not None:
        np.greater(a, 0, out=slope)
        np.maximum(slope, LEAK, out=slope)


def tanh(a: NDArray, h: NDArray, slope: NDArray | None) -> None:
    """h = tanh(a); the slope is 1 - h^2"""
    np.tanh(a, out=h)
    if slope is not None:
        np.multiply(h, h, out=slope)
        np.subtract(1, slope, out=slope)


def logistic(a: NDArray, h: NDArray, slope: NDArray | None) -> None:
    """h = 1/(1 + exp(-a)), as (1 + tanh(a/2))/2, which cannot overflow; the slope is h (1 - h)"""
    np.tanh(0.5 * a, out=h)
    h += 1
    h *= 0.5
    if slope is not None:
        np.subtract(1, h, out=slope)
        slope *= h


def identity(a: NDArray, h: NDArray, slope: NDArray | None) -> None:
    """h = a; the slope is 1"""
    np.copyto(h, a)
    if slope is not None:
        slope.fill(1)


def gelu(a: NDArray, h: NDArray, slope: NDArray | None) -> None:
    """h = a s with s = (1 + tanh u)/2, u = sqrt(2/pi) (a + 0.044715 a^3): the tanh form of
    Hendrycks and Gimpel (2016). The slope is s + 2 a s (1 - s) du/da = s (1 + (a - h) 2 du/da); it
    overflows where a^3 does, below about -1e13 in float32."""
    square = a * a
    s = 0.5 * (1 + np.tanh(a * (SCALE + SCALE * CUBIC * square)))
    np.multiply(a, s, out=h)
    if slope is not None:
        np.multiply(s, 1 + (a - h) * (2 * SCALE + 6 * SCALE * CUBIC * square), out=slope)


ACTIVATIONS = {f.__name__: f for f in (relu, tanh, logistic, identity, leaky_relu, gelu)}
HE = {"relu", "leaky_relu", "gelu"}  # half of whose units start off, so their weights start larger
