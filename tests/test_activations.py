"""Each activation against its definition, and its slope against a complex step through the real code."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from memory import traced_memory

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
points = hnp.arrays(np.float64, st.integers(1, 9), elements=st.floats(-20, 20).filter(lambda a: abs(a) > 1e-6))


def activate(name, a):
    h = np.empty_like(a)
    ACTIVATIONS[name].function(a, h)
    return h


def slope(name, a):
    out, scratch = np.full_like(a, np.nan), np.full_like(a, np.nan)  # neither is read before it is written
    ACTIVATIONS[name].slope(a, activate(name, a), out, scratch)
    return out


@names
@given(a=points)
def test_an_activation_follows_its_definition(name, a):
    np.testing.assert_allclose(activate(name, a), [DEFINITIONS[name](x) for x in a], rtol=1e-12, atol=1e-15)


@names
@given(a=points)
def test_a_slope_is_the_derivative_of_its_activation(name, a):
    for j in range(len(a)):
        measured = complex_step(lambda x: activate(name, x)[0], a[j : j + 1])
        np.testing.assert_allclose(slope(name, a)[j : j + 1], measured, rtol=1e-12, atol=2e-13)


@names
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_activations_and_slopes_write_into_views_of_any_dtype(name, dtype):
    a, room, spare = (
        np.linspace(-2, 2, 6).reshape(2, 3).astype(dtype),
        np.full((2, 5), 7, dtype),
        np.full((2, 5), 7, dtype),
    )
    view, scratch = room[:, 1:4], spare[:, 1:4]
    ACTIVATIONS[name].function(a, view)
    np.testing.assert_array_equal(view, activate(name, a))
    ACTIVATIONS[name].slope(a, view.copy(), view, scratch)
    np.testing.assert_array_equal(view, slope(name, a))
    assert (room[:, [0, 4]] == 7).all() and (spare[:, [0, 4]] == 7).all()


@names
def test_activations_and_slopes_leave_what_they_are_given_as_it_was(name):
    a = np.linspace(-2, 2, 6)
    h = activate(name, a)
    given_a, given_h = a.copy(), h.copy()
    slope(name, given_a)
    ACTIVATIONS[name].slope(given_a, given_h, np.empty(6), np.empty(6))
    np.testing.assert_array_equal(given_a, a)
    np.testing.assert_array_equal(given_h, h)


@names
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_and_slopes_allocate_no_array(name, dtype):
    a, h1, out, scratch = (np.ones((1000, n), dtype) for n in (300, 301, 300, 300))
    h = h1[:, :-1]  # beside a column of ones, as in the net
    with traced_memory() as risen:
        ACTIVATIONS[name].function(a, h)
        ACTIVATIONS[name].slope(a, h, out, scratch)
        assert risen() < a.nbytes / 4  # NumPy has buffers of its own, of 8192 numbers at most


@names
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_inputs_neither_overflow_nor_become_nan(name, dtype):
    a = np.array([-1e4, -100, 100, 1e4], dtype)  # a warning would fail the test
    assert np.isfinite(activate(name, a)).all() and np.isfinite(slope(name, a)).all()


@pytest.mark.parametrize(("name", "left"), [("relu", 0), ("leaky_relu", 0.01)])
def test_at_the_kink_the_slope_is_that_of_the_left_side(name, left):
    assert slope(name, np.zeros(1)) == [left]


def test_gelu_is_close_to_its_exact_form():
    a = np.linspace(-6, 6, 1001)
    exact = [x / 2 * (1 + math.erf(x / math.sqrt(2))) for x in a]
    np.testing.assert_allclose(activate("gelu", a), exact, atol=5e-4)
