"""Softmax, its Jacobian in every form, cross-entropy, and the three ways from loss to logits."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from minnet import cross_entropy, log_softmax, softmax, softmax_jacobian, softmax_vjp
from minnet.core import softmax as module
from minnet.core.gradcheck import complex_step
from minnet.core.softmax import OUTPUT_GRADIENTS, one_hot, softmax_and_log

P, EYE = softmax([1.0, -0.5, 0.3, 2.0]), np.eye(4)  # one row to show things on, K = 4

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
shapes = hnp.array_shapes(min_dims=1, max_dims=4, max_side=6)
logits = hnp.arrays(np.float64, shapes, elements=st.floats(-50, 50, width=32))
rows = hnp.arrays(np.float64, st.integers(1, 7), elements=st.floats(-5, 5))


def equal(found, expected, atol=1e-16, rtol=0.0):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


def layouts(x):
    """Copies of x (N, K), in memory by rows, by columns and with gaps."""
    room = np.full((2 * x.shape[0], 3 * x.shape[1]), np.nan)
    room[::2, ::3] = x
    return x.copy("C"), x.copy("F"), room[::2, ::3]


@given(logits, st.floats(-100, 100))
def test_softmax_is_the_quotient_of_exponentials_in_each_row_and_ignores_a_shift(z, shift):
    # the document's vector form, without an axis, normalises over a whole batch instead
    p, expected = softmax(z), np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
    equal(p, expected, rtol=1e-13)
    equal(softmax(z + shift), p, rtol=1e-12)
    equal(log_softmax(z), np.log(p), atol=1e-12)


@dtypes
def test_p_is_floored_at_the_smallest_normal_number_and_log_p_is_not(dtype):
    p, log_p = softmax_and_log(np.array([0, -1e30], dtype))
    assert p.dtype == log_p.dtype == dtype
    assert p.tolist() == [1.0, np.finfo(dtype).tiny] and p[1] * (1 / p[1]) == 1
    assert log_p.tolist() == [0, dtype(-1e30)]


FORMS = {  # of J_ik, as the documents give it
    "element by element": lambda p, i, k: p[i] * ((i == k) - p[k]),
    "two cases": lambda p, i, k: p[i] * (1 - p[i]) if i == k else -p[i] * p[k],
    "the second document": lambda p, i, k: (i == k) * p[k] - p[k] * p[i],
    "row by row": lambda p, i, k: (p[i] * (np.eye(len(p))[i] - p))[k],
    "as a matrix": lambda p, i, k: (np.diag(p) - np.outer(p, p))[i, k],
    "a column times rows": lambda p, i, k: (p[:, None] * (np.eye(len(p)) - p))[i, k],
}


@given(rows)
def test_every_form_of_the_jacobian_is_the_derivative_of_softmax_to_the_last_digit(z):
    p, K = softmax(z), range(len(z))
    for i in K:
        measured = complex_step(lambda z, i=i: softmax(z)[i], z)
        equal(softmax_jacobian(p)[i], measured, rtol=1e-13, atol=4e-16)
    for form in FORMS.values():
        equal(softmax_jacobian(p), [[form(p, i, k) for k in K] for i in K])


def test_the_documents_star_is_wrong_for_one_dimension_and_silent_for_a_batch_of_K_rows():
    """What else goes wrong with their formulas, read literally, is shown in docs/backprop.md."""
    wrong = P.T * (EYE - P)
    equal(wrong @ (-EYE[2] / P), P[2] - EYE[2], atol=1e-15)  # p_t - y, the classic wrong answer
    batch, longer = softmax(np.random.default_rng(0).normal(size=(4, 4))), softmax(np.zeros((5, 4)))
    right = batch[:, :, None] * (EYE - batch[:, None, :])
    equal(right, softmax_jacobian(batch))
    for literal in (batch.T * (EYE - batch), batch.T @ (EYE - batch)):
        assert literal.shape == (4, 4) and not any(np.allclose(literal, J) for J in right)
    with pytest.raises(ValueError):
        longer.T * (EYE - longer)


@given(z=rows)
def test_each_way_gives_p_minus_y_the_derivative_of_the_loss_for_every_class(z):
    p = softmax(z)
    for k, Y in enumerate(np.eye(len(z))):
        equal(softmax_vjp(p, Y), softmax_jacobian(p).T @ Y)
        measured = complex_step(lambda z, k=k: cross_entropy(z, k), z)
        for output_gradient in OUTPUT_GRADIENTS.values():
            equal(output_gradient(p, Y), p - Y, atol=4e-16)
            equal(output_gradient(p, Y), measured, rtol=1e-13, atol=1e-15)


def test_two_ways_go_through_dp_and_one_of_them_through_the_jacobian(monkeypatch):
    T, users = EYE[2], {"loss_gradient": ["jacobian", "vjp"]}
    users |= {"softmax_jacobian": ["jacobian"], "softmax_vjp": ["vjp"]}
    for name, ways in users.items():
        real = getattr(module, name)
        with monkeypatch.context() as patch:
            patch.setattr(module, name, lambda *arrays, real=real: 2 * real(*arrays))
            found = {way: f(P, T) for way, f in OUTPUT_GRADIENTS.items()}
        assert [way for way, dz in found.items() if not np.allclose(dz, P - T)] == ways


@pytest.mark.parametrize("shape", [(4,), (5, 3), (3, 3), (2, 3, 4)])
def test_products_take_any_leading_shape_and_complex_numbers_without_conjugating(shape):
    parts = np.random.default_rng(0).normal(size=(4, *shape))
    p, dp = softmax(parts[0] + 1j * parts[1]), parts[2] + 1j * parts[3]
    J_dp = np.empty(shape, complex)
    for row in np.ndindex(shape[:-1]):
        J_dp[row] = (J := softmax_jacobian(p[row])).T @ dp[row]
        assert_array_equal(softmax_jacobian(p)[row], J)
    equal(softmax_vjp(p, dp), J_dp, atol=1e-14)
    for output_gradient in OUTPUT_GRADIENTS.values():
        equal(output_gradient(p, -p * dp), J_dp, atol=1e-13)
    assert softmax_vjp([1, 0], [1, 0]).tolist() == [0, 0]  # lists of whole numbers too


@pytest.mark.parametrize("N, K", [(5, 3), (3, 3), (1, 4), (4, 1)])
def test_dz_is_the_derivative_of_the_loss_however_arrays_lie_in_memory(N, K):
    rng = np.random.default_rng(1)
    z, Y, w = rng.normal(size=(N, K)), rng.dirichlet(np.ones(K), N), rng.random((N, 1))
    p, log_p, T = softmax(z), log_softmax(z), w / w.sum() * Y
    assert -(T * log_p).sum() == pytest.approx(np.average(cross_entropy(z, Y), weights=w[:, 0]))
    measured = complex_step(lambda z: -(T * log_softmax(z.reshape(N, K))).sum(), z.ravel())
    for z_, p_, T_ in product(layouts(z), layouts(p), layouts(T)):
        equal(softmax_and_log(z_), (p, log_p), rtol=1e-14, atol=1e-15)
        equal(softmax_vjp(p_, T_), np.einsum("nik,ni->nk", softmax_jacobian(p), T), atol=1e-15)
        for output_gradient in OUTPUT_GRADIENTS.values():
            equal(output_gradient(p_, T_).ravel(), measured, rtol=1e-13, atol=1e-15)
        assert all((now == before).all() for now, before in ((z_, z), (p_, p), (T_, T)))


@dtypes
@pytest.mark.parametrize("gap", [0, 1, 30, 90, 104, 710, 745, 1e30])
def test_the_ways_agree_to_rounding_at_every_logit_gap(gap, dtype):
    z = np.random.default_rng(3).uniform(-gap, gap, (50, 3)).astype(dtype)
    z[:3] = np.array([[1, 0, 0], [0, 1, -1], [-1, -1, 0.5]]) * gap
    p, T = softmax(z), np.eye(3, dtype=dtype)[np.arange(150).reshape(3, 50) // 50]
    for output_gradient in OUTPUT_GRADIENTS.values():
        dz = output_gradient(np.stack([p, p, p]), T)
        assert dz.dtype == dtype
        equal(dz, p - T, atol=1.1 * np.finfo(dtype).eps)


@given(logits, st.data())
def test_cross_entropy_of_labels_is_minus_the_log_probability(z, data):
    labels = st.integers(0, z.shape[-1] - 1)
    y = data.draw(hnp.arrays(np.int64, z.shape[:-1], elements=labels))
    expected = -np.take_along_axis(log_softmax(z), y[..., None], axis=-1)[..., 0]
    assert_array_equal(cross_entropy(z, y), expected + 0)
    assert_array_equal(cross_entropy(z, one_hot(y, z.shape)), expected + 0)


def test_cross_entropy_is_exact_where_p_underflows_and_a_mean_over_soft_targets():
    assert cross_entropy([800.0, 0.0, 0.0], 1) == 800
    assert cross_entropy(np.array([1e30, -1e30], np.float32), 1) == np.float32(2e30)
    masked = [0.0, -np.inf]  # a masked class costs nothing where its target is 0
    assert cross_entropy(masked, 0) == cross_entropy(masked, [1.0, 0.0]) == 0
    z, Y = np.array([0.2, -1.0, 3.0]), np.array([0.5, 0.3, 0.2])
    assert cross_entropy(z, Y) == pytest.approx(sum(Y[k] * cross_entropy(z, k) for k in range(3)))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.uint64])
@pytest.mark.parametrize("into", [np.float32, np.complex128])
def test_labels_of_any_whole_type_become_unit_vectors_and_distributions_stay(dtype, into):
    labels = np.array([[0, 1, 127], [3, 2, 9]]).astype(dtype)
    for y in (labels, labels[0], labels[1, 2], labels[:0]):
        Y = one_hot(y, (*y.shape, 300), into)  # more classes than int8 can number
        assert Y.dtype == into and one_hot(Y, Y.shape, into) is Y
        assert_array_equal(Y, np.eye(300)[y.astype(int)])
        assert_array_equal(one_hot(Y.real, Y.shape, into), Y)


WRONG = [[2, -1], [0, 3], [0.0, 1.0], [[0, 1]], [0, 1, 2], [[0.5, 0.5]] * 2, 1]


@pytest.mark.parametrize("y", WRONG, ids=str)
def test_targets_that_do_not_fit_are_refused(y):
    with pytest.raises(ValueError, match=r"labels 0\.\.2 of shape \(2,\)"):
        cross_entropy(np.zeros((2, 3)), y)
