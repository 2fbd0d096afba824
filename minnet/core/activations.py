"""Each activation beside its derivative.

`f(a, out)` writes the activation; `f_slope(a, h, out, scratch)` writes dh/da, given also h = f(a), since for tanh
and the logistic function the slope is cheapest from h; `scratch`, shaped as a, is for steps between. All act
element by element, so the backward pass is one product: da = dh * slope. At the kink of relu and leaky_relu, a = 0,
the slope of the left side is taken.

All work on complex input too (see gradcheck.py): comparisons then look at the real part first.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEAK = 0.01
GELU_SCALE = math.sqrt(2 / math.pi)
GELU_CUBIC = 0.044715


def relu(a: NDArray, out: NDArray) -> None:
    """h = max(a, 0)"""
    np.maximum(a, 0, out=out)


def relu_slope(a: NDArray, h: NDArray, out: NDArray, scratch: NDArray) -> None:
    """1 where a > 0, else 0"""
    np.greater(a, 0, out=out)


def leaky_relu(a: NDArray, out: NDArray) -> None:
    """h = a where a > 0, else 0.01 a, so that no unit is ever quite off"""
    np.multiply(a, LEAK, out=out)
    np.maximum(a, out, out=out)


def leaky_relu_slope(a: NDArray, h: NDArray, out: NDArray, scratch: NDArray) -> None:
    """1 where a > 0, else 0.01"""
    np.greater(a, 0, out=out)
    np.maximum(out, LEAK, out=out)


def tanh(a: NDArray, out: NDArray) -> None:
    """h = tanh(a)"""
    np.tanh(a, out=out)


def tanh_slope(a: NDArray, h: NDArray, out: NDArray, scratch: NDArray) -> None:
    """1 - h^2"""
    np.multiply(h, h, out=out)
    np.subtract(1, out, out=out)


def logistic(a: NDArray, out: NDArray) -> None:
    """h = 1 / (1 + exp(-a)) = (1 + tanh(a/2)) / 2; the second form cannot overflow"""
    np.multiply(a, 0.5, out=out)
    np.tanh(out, out=out)
    np.add(out, 1, out=out)
    np.multiply(out, 0.5, out=out)


def logistic_slope(a: NDArray, h: NDArray, out: NDArray, scratch: NDArray) -> None:
    """h (1 - h)"""
    np.subtract(1, h, out=out)
    np.multiply(h, out, out=out)


def identity(a: NDArray, out: NDArray) -> None:
    """h = a"""
    np.copyto(out, a)


def identity_slope(a: NDArray, h: NDArray, out: NDArray, scratch: NDArray) -> None:
    """1"""
    out.fill(1)


def gelu(a: NDArray, out: NDArray) -> None:
    """h = a s, s = (1 + tanh u)/2, u = sqrt(2/pi) (a + 0.044715 a^3): the tanh form of Hendrycks and Gimpel (2016)"""
    _gelu_s(a, out)
    np.multiply(a, out, out=out)


def gelu_slope(a: NDArray, h: NDArray, out: NDArray, scratch: NDArray) -> None:
    """s + 2 a s (1 - s) du/da = s (1 + (a - h) 2 du/da), du/da = sqrt(2/pi) (1 + 3 * 0.044715 a^2)

    It overflows where a^3 does: below about -1e13 in float32 it is NaN.
    """
    np.multiply(a, a, out=out)
    np.multiply(out, 6 * GELU_SCALE * GELU_CUBIC, out=out)
    np.add(out, 2 * GELU_SCALE, out=out)
    np.subtract(a, h, out=scratch)
    np.multiply(out, scratch, out=out)
    np.add(out, 1, out=out)
    _gelu_s(a, scratch)
    np.multiply(out, scratch, out=out)


def _gelu_s(a: NDArray, out: NDArray) -> None:
    """s = (1 + tanh u)/2"""
    np.multiply(a, a, out=out)
    np.multiply(out, GELU_SCALE * GELU_CUBIC, out=out)
    np.add(out, GELU_SCALE, out=out)
    np.multiply(out, a, out=out)  # u
    np.tanh(out, out=out)
    np.add(out, 1, out=out)
    np.multiply(out, 0.5, out=out)


class Activation(NamedTuple):
    """An activation, its slope, and how the weights that feed it start (`initialise` in network.py)."""

    function: Callable[[NDArray, NDArray], None]
    slope: Callable[[NDArray, NDArray, NDArray, NDArray], None]
    initialisation: str


ACTIVATIONS = {
    "relu": Activation(relu, relu_slope, "he"),
    "tanh": Activation(tanh, tanh_slope, "glorot"),
    "logistic": Activation(logistic, logistic_slope, "glorot"),
    "identity": Activation(identity, identity_slope, "glorot"),
    "leaky_relu": Activation(leaky_relu, leaky_relu_slope, "he"),
    "gelu": Activation(gelu, gelu_slope, "he"),
}
