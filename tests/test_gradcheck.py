"""The two ways to measure a gradient: right where it is known, and sharp enough for mistakes."""

import numpy as np
import pytest
from differences import measured_gradient

from minnet.core import network
from minnet.core.gradcheck import central_differences, complex_step, relative_error
from minnet.core.network import MLP

WAYS = [(complex_step, 4e-16), (central_differences, 1e-9)]
ways = pytest.mark.parametrize(("measure", "error"), WAYS)


def f(x):
    return np.exp(x[0]) * np.sin(x[1]) + x[2] ** 3 * x[0]


@ways
def test_differences_are_right_to_the_last_digit_or_to_about_ten(measure, error):
    x, (u, v, w) = np.array([0.7, -1.2, 2.5]), (0.7, -1.2, 2.5)
    df = [np.exp(u) * np.sin(v) + w**3, np.exp(u) * np.cos(v), 3 * w**2 * u]
    np.testing.assert_allclose(measure(f, x), df, rtol=error)
    np.testing.assert_allclose(measure(f, x, entries=np.array([2, 0])), df[::-2], rtol=error)
    assert x.tolist() == [u, v, w]  # the point stays


def test_the_step_of_central_differences_is_relative_to_large_numbers_and_can_be_given():
    for x, h, step in ((100.0, None, 6.06e-4), (0.1, None, 6.06e-6), (-0.1, 0.5, 0.5), (8, 0.5, 4)):
        seen = []
        central_differences(lambda x, seen=seen: seen.append(x[0]) or 0, np.array([float(x)]), h)
        np.testing.assert_allclose(seen, [x + step, x - step], rtol=1e-6)


def test_the_relative_error_is_taken_against_the_largest_entry():
    assert relative_error([1.0, 1e-9], [1.0, 0.0]) == 1e-9
    assert relative_error([2.0, 0.0], [1.0, 0.0]) == 0.5
    assert relative_error([0.0, 0.0], [1.0, -2.0]) == 1
    assert relative_error([0.0], [0.0]) == 0
    for bad in (np.nan, np.inf):  # never pass
        pairs = ([bad, 1.0], [1.0, 1.0]), ([1.0], [bad]), ([0.0], [bad]), ([0.0, bad], [0.0, bad])
        with np.errstate(invalid="ignore"):
            assert not any(relative_error(*pair) < np.inf for pair in pairs)


@ways
def test_a_mistake_in_one_layer_is_found_there_and_below(monkeypatch, measure, error):
    def forgets_the_square(a, h, slope):
        np.tanh(a, out=h)
        if slope is not None:
            np.subtract(1, h, out=slope)

    monkeypatch.setitem(network.ACTIVATIONS, "tanh", forgets_the_square)
    net = MLP([4, 6, 5, 3], "tanh", dtype="float64", seed=1)
    X, y = np.random.default_rng(0).normal(size=(5, 4)), [0, 2, 1, 1, 0]
    measured = measured_gradient(net, X, y, measure=measure)
    layers = np.split(np.array([measured, net.loss_and_gradient(X, y)[1]]), [30, 65], axis=1)
    errors = [relative_error(*layer) for layer in layers]
    assert errors[2] < 1e-7 and errors[1] > 1e-2 and errors[0] > 1e-2
