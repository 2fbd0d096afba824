"""The two ways to measure a gradient: right where the derivative is known, and sharp enough to find mistakes."""

import numpy as np
import pytest

import minnet.core.network as network
from minnet.core.gradcheck import (
    central_differences,
    complex_step,
    gradient_errors,
    measured_gradient,
    relative_error,
)
from minnet.core.network import MLP

X = np.random.default_rng(0).normal(size=(5, 4))
y = np.array([0, 2, 1, 1, 0])


def f(x):
    return np.exp(x[0]) * np.sin(x[1]) + x[2] ** 3 * x[0]


def df(x):
    return [
        np.exp(x[0]) * np.sin(x[1]) + x[2] ** 3,
        np.exp(x[0]) * np.cos(x[1]),
        3 * x[2] ** 2 * x[0],
    ]


def net(**options):
    return MLP([4, 6, 5, 3], "tanh", dtype="float64", seed=1, **options)


def test_the_complex_step_is_right_to_the_last_digit():
    x = np.array([0.7, -1.2, 2.5])
    np.testing.assert_allclose(complex_step(f, x), df(x), rtol=4e-16)


def test_central_differences_keep_about_ten_digits():
    x = np.array([0.7, -1.2, 2.5])
    np.testing.assert_allclose(central_differences(f, x), df(x), rtol=1e-9)


def test_measuring_changes_neither_the_point_nor_the_net():
    x, model = np.array([0.7, -1.2, 2.5]), net()
    theta = model.theta.copy()
    complex_step(f, x), central_differences(f, x), gradient_errors(model, X, y)
    assert x.tolist() == [0.7, -1.2, 2.5]
    np.testing.assert_array_equal(model.theta, theta)


def test_the_relative_error_is_taken_against_the_largest_entry():
    assert relative_error([1.0, 1e-9], [1.0, 0.0]) == 1e-9
    assert relative_error([2.0, 0.0], [1.0, 0.0]) == 0.5
    assert relative_error([0.0], [0.0]) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_never_passes(bad):
    with np.errstate(invalid="ignore"):
        for pair in (([bad, 1.0], [1.0, 1.0]), ([1.0], [bad]), ([0.0], [bad]), ([0.0, bad], [0.0, bad])):
            assert not relative_error(*pair) < np.inf


def test_errors_are_reported_layer_by_layer_and_for_the_whole_net():
    errors = gradient_errors(net(), X, y)
    assert list(errors) == ["layer 1", "layer 2", "layer 3", "theta"]
    assert max(errors.values()) < 1e-13
    assert max(gradient_errors(net(), X, y, method="central").values()) < 1e-8


def test_a_float32_net_is_as_far_off_as_float32_rounds():
    model = MLP([4, 6, 3], "tanh", dtype="float32", seed=1)
    assert 1e-9 < gradient_errors(model, X, y)["theta"] < 1e-5


@pytest.mark.parametrize("method", ["complex", "central"])
def test_a_mistake_in_one_layer_is_found_there_and_below(monkeypatch, method):
    tanh = network.ACTIVATIONS["tanh"]

    def forgets_the_square(a, h, out, scratch):
        np.subtract(1, h, out=out)

    monkeypatch.setitem(network.ACTIVATIONS, "tanh", tanh._replace(slope=forgets_the_square))
    errors = gradient_errors(net(), X, y, method=method)
    assert errors["layer 3"] < 1e-7
    assert errors["layer 1"] > 1e-2 and errors["layer 2"] > 1e-2


def test_dropout_masks_are_held_while_measuring():
    model = net(dropout=0.4)
    assert gradient_errors(model, X, y, rng_seed=3)["theta"] < 1e-13
    dropped, whole = measured_gradient(model, X, y, rng_seed=3), measured_gradient(model, X, y)
    assert relative_error(dropped, whole) > 0.01


def test_an_unknown_method_names_the_two():
    with pytest.raises(ValueError, match="complex, central"):
        measured_gradient(net(), X, y, method="forward")
