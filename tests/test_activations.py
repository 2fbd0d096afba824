"""Each activation against its definition, and its slope against a complex step through it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minnet.core.activations import ACTIVATIONS
from minnet.core.gradcheck import complex_step

DEFINITIONS = {
    "relu": lambda a: max(a, 0),
    "tanh": math.tanh,
    "logistic": lambda a: 1 / (1 + math.exp(-a)),
    "identity": lambda a: a,
    "leaky_relu": lambda a: a if a > 0 else 0.01 * a,
    "gelu": lambda a: a / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3))),
}
names = pytest.mark.parametrize("name", ACTIVATIONS)
numbers = st.floats(-20, 20).filter(lambda a: abs(a) > 1e-6)


def activate(name, a):
    """h and slope; what was in their arrays before is not read."""
    h, slope = np.full_like(a, np.nan), np.full_like(a, np.nan)
    ACTIVATIONS[name](a, h, slope)
    return h, slope


@names
@given(a=hnp.arrays(np.float64, st.integers(1, 9), elements=numbers))
def test_an_activation_follows_its_definition_and_its_slope_is_the_derivative(name, a):
    h, slope = activate(name, a)
    np.testing.assert_allclose(h, [DEFINITIONS[name](x) for x in a], rtol=1e-12, atol=1e-15)
    for j in range(len(a)):
        measured = complex_step(lambda x: activate(name, x)[0][0], a[j : j + 1])
        np.testing.assert_allclose(slope[j], measured[0], rtol=1e-12, atol=2e-13)


@names
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_activations_write_into_views_of_any_dtype_and_nowhere_else(name, dtype):
    a = np.linspace(-2, 2, 6).reshape(2, 3).astype(dtype)
    before, rooms, (h, slope) = a.copy(), np.full((3, 2, 5), 7, dtype), activate(name, a)
    views = rooms[..., 1:4]  # as h lies beside a column of ones
    ACTIVATIONS[name](a, views[0], views[1])
    ACTIVATIONS[name](a, views[2], None)
    np.testing.assert_array_equal(views, [h, slope, h])
    assert (rooms[..., [0, 4]] == 7).all() and (a == before).all()


@names
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_inputs_neither_overflow_nor_become_nan_and_the_kink_belongs_to_its_left(name, dtype):
    a = np.array([-1e4, -100, 0, 100, 1e4], dtype)  # a warning would fail the test
    h, slope = activate(name, a)
    assert np.isfinite([h, slope]).all()
    assert slope[2] == slope[1] or name not in ("relu", "leaky_relu")


def test_gelu_is_close_to_its_exact_form():
    a = np.linspace(-6, 6, 1001)
    exact = [x / 2 * (1 + math.erf(x / math.sqrt(2))) for x in a]
    np.testing.assert_allclose(activate("gelu", a)[0], exact, atol=5e-4)
