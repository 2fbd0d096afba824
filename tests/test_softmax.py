"""Softmax, its Jacobian in every form the two documents give it, the product with it, and cross-entropy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minnet.core.gradcheck import complex_step
from minnet.core.softmax import (
    ROADS,
    cross_entropy,
    log_softmax,
    mean_cross_entropy,
    one_hot,
    output_gradient,
    softmax,
    softmax_jacobian,
    softmax_vjp,
)

P = softmax([1.0, -0.5, 0.3, 2.0])  # one row to show things on, n = 4
N_CLASSES = len(P)
EYE = np.eye(N_CLASSES)


def logits(dtype=np.float64, largest=50.0):
    shapes = hnp.array_shapes(min_dims=1, max_dims=4, max_side=6)
    return hnp.arrays(dtype, shapes, elements=st.floats(-largest, largest, width=32))


# softmax


@given(logits(), st.floats(-100, 100))
def test_softmax_is_positive_sums_to_one_and_ignores_a_shift(z, shift):
    p = softmax(z)
    assert p.shape == z.shape
    assert (p > 0).all()
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-14)
    np.testing.assert_allclose(softmax(z + shift), p, rtol=1e-12)


def test_softmax_is_the_quotient_of_exponentials():
    z = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(softmax(z), np.exp(z) / np.exp(z).sum(), rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_keeps_the_dtype_and_takes_whole_numbers(dtype):
    assert softmax(np.zeros((2, 3), dtype)).dtype == dtype
    assert softmax([1, 2]).dtype == np.float64


def test_each_row_of_a_batch_is_normalised_by_itself():
    Z = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 5.0]])
    np.testing.assert_array_equal(softmax(Z), [softmax(row) for row in Z])
    # the document's vector form, given a matrix, normalises over the whole batch instead
    literal = np.exp(Z) / np.sum(np.exp(Z))
    assert literal.sum() == pytest.approx(1) and not np.allclose(literal.sum(axis=1), 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_p_is_floored_at_the_smallest_normal_number(dtype):
    p = softmax(np.array([0, -1e30], dtype))
    assert p.tolist() == [1.0, np.finfo(dtype).tiny]
    assert p[1] * (1 / p[1]) == 1


def test_softmax_writes_into_its_buffers():
    z = np.array([[1.0, 3.0], [2.0, 2.0]])
    p, shifted, total = np.empty((2, 2)), np.empty((2, 2)), np.empty((2, 1))
    assert softmax(z, out=p, shifted=shifted, total=total) is p
    np.testing.assert_array_equal(shifted, [[-2, 0], [0, 0]])
    np.testing.assert_allclose(total[:, 0], [1 + np.exp(-2), 2])


@given(logits())
def test_log_softmax_is_the_logarithm_of_softmax(z):
    np.testing.assert_allclose(log_softmax(z), np.log(softmax(z)), atol=1e-12)


# The Jacobian, in each form that the documents give it


def elementwise(p):
    n = len(p)
    delta = np.eye(n)
    return np.array([[p[i] * (delta[i, k] - p[k]) for k in range(n)] for i in range(n)])


def two_cases(p):
    n = len(p)
    return np.array([[p[i] * (1 - p[i]) if i == k else -p[i] * p[k] for k in range(n)] for i in range(n)])


def second_document(p):
    n = len(p)
    D = np.eye(n)
    return np.array([[D[i, j] * p[j] - p[j] * p[i] for j in range(n)] for i in range(n)])


def by_rows(p):
    return np.array([p[i] * (np.eye(len(p))[i] - p) for i in range(len(p))])


def matrix(p):
    return np.diag(p) - np.outer(p, p)


def column_times_rows(p):
    return p[:, None] * (np.eye(len(p)) - p)


@pytest.mark.parametrize("form", [elementwise, two_cases, second_document, by_rows, matrix, column_times_rows])
@given(z=hnp.arrays(np.float64, st.integers(1, 7), elements=st.floats(-5, 5)))
def test_every_form_of_the_jacobian_is_the_same_matrix(form, z):
    p = softmax(z)
    np.testing.assert_allclose(form(p), softmax_jacobian(p), atol=1e-16)


@given(hnp.arrays(np.float64, st.integers(1, 7), elements=st.floats(-5, 5)))
def test_the_jacobian_is_the_derivative_of_softmax_to_the_last_digit(z):
    J = softmax_jacobian(softmax(z))
    for i in range(len(z)):
        np.testing.assert_allclose(J[i], complex_step(lambda z, i=i: softmax(z)[i], z), rtol=1e-13, atol=4e-16)


@given(logits(largest=8.0))
def test_the_jacobian_of_any_leading_shape_is_that_of_each_row(z):
    p = softmax(z)
    J = softmax_jacobian(p)
    assert J.shape == (*p.shape, p.shape[-1])
    for index in np.ndindex(p.shape[:-1]):
        np.testing.assert_array_equal(J[index], softmax_jacobian(p[index]))


def test_the_jacobian_is_symmetric_sums_to_zero_and_gives_a_variance():
    J, v = softmax_jacobian(P), np.array([2.0, -1.0, 0.5, 3.0])
    np.testing.assert_array_equal(J, J.T)
    np.testing.assert_allclose(J.sum(axis=0), 0, atol=1e-16)
    assert v @ J @ v == pytest.approx(P @ v**2 - (P @ v) ** 2)
    eigenvalues = np.linalg.eigvalsh(J)
    assert eigenvalues[0] == pytest.approx(0, abs=1e-16) and eigenvalues[1] > 0 and eigenvalues[-1] <= 0.5


def test_the_jacobian_of_a_single_class_is_zero():
    assert softmax_jacobian(softmax([3.0])).tolist() == [[0.0]]


# Where a literal reading in NumPy goes wrong


def test_numpy_eye_with_k_is_a_shifted_matrix_and_no_unit_vector():
    assert np.eye(4, k=1).shape == (4, 4)
    np.testing.assert_array_equal(np.eye(4)[1], [0, 1, 0, 0])
    literal = P[1] * (np.eye(4, k=1) - P)  # the document's row 1, read literally: a matrix
    assert literal.shape == (4, 4)
    np.testing.assert_allclose(P[1] * (np.eye(4)[1] - P), softmax_jacobian(P)[1], atol=1e-16)


def test_p_at_eye_minus_p_is_all_zeros_for_a_one_dimensional_p():
    literal = P.T @ (EYE - P)  # no error: .T does nothing to one dimension
    np.testing.assert_allclose(literal, np.zeros(4), atol=1e-16)


def test_p_times_eye_minus_p_scales_columns_for_a_one_dimensional_p():
    wrong = P.T * (EYE - P)  # [i, k] = p_k (delta_ik - p_k)
    np.testing.assert_allclose(wrong, EYE * P - P**2, atol=1e-16)
    assert not np.allclose(wrong, softmax_jacobian(P))
    # with it, J (-y/p) becomes p_t - y, the classic wrong answer
    y = EYE[2]
    np.testing.assert_allclose(wrong @ (-y / P), P[2] - y, atol=1e-15)


def test_a_row_or_a_column_p_makes_the_star_right_and_the_at_wrong():
    J, row, column = softmax_jacobian(P), P[None, :], P[:, None]
    np.testing.assert_allclose(row.T * (EYE - row), J, atol=1e-16)
    np.testing.assert_allclose(column * (EYE - column.T), J, atol=1e-16)
    with pytest.raises(ValueError):
        row.T @ (EYE - row)
    assert (column.T @ (EYE - column)).shape == (1, 4)


def test_a_batch_as_long_as_the_classes_makes_the_literal_matrix_form_silently_wrong():
    batch = softmax(np.random.default_rng(0).normal(size=(4, 4)))
    right = batch[:, :, None] * (EYE - batch[:, None, :])
    np.testing.assert_allclose(right, softmax_jacobian(batch), atol=1e-16)
    for literal in (batch.T * (EYE - batch), batch.T @ (EYE - batch)):
        assert literal.shape == (4, 4) and not any(np.allclose(literal, J) for J in right)
    longer = softmax(np.zeros((5, 4)))
    with pytest.raises(ValueError):
        longer.T * (EYE - longer)


def test_the_second_documents_line_with_the_wrong_exponential_gives_the_same_wrong_matrix():
    literal = EYE * P - P * P  # exp(o_j) exp(o_j) where exp(o_j) exp(o_i) is meant
    np.testing.assert_allclose(literal, P.T * (EYE - P), atol=1e-16)
    assert not np.allclose(literal, softmax_jacobian(P))


# The product with J


@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_softmax_vjp_equals_the_jacobian_product_for_every_class(K, seed):
    p = softmax(np.random.default_rng(seed).normal(0, 3, K))
    for k in range(K):
        dp = np.eye(K)[k]
        np.testing.assert_allclose(softmax_vjp(p, dp), softmax_jacobian(p).T @ dp, atol=1e-16)


def test_softmax_vjp_takes_any_leading_shape_and_complex_numbers():
    rng = np.random.default_rng(0)
    p = softmax(rng.normal(size=(2, 3, 4)) + 1j * rng.normal(size=(2, 3, 4)))
    dp = rng.normal(size=p.shape) + 1j * rng.normal(size=p.shape)
    np.testing.assert_allclose(softmax_vjp(p, dp), np.einsum("...ik,...i->...k", softmax_jacobian(p), dp), atol=1e-14)


# Cross-entropy


@given(logits(), st.data())
def test_cross_entropy_of_labels_is_minus_the_log_probability(z, data):
    y = data.draw(hnp.arrays(np.int64, z.shape[:-1], elements=st.integers(0, z.shape[-1] - 1)))
    expected = -np.take_along_axis(log_softmax(z), y[..., None], axis=-1)[..., 0]
    np.testing.assert_array_equal(cross_entropy(z, y), expected + 0)
    np.testing.assert_array_equal(cross_entropy(z, one_hot(y, z.shape)), expected + 0)


def test_cross_entropy_of_soft_targets_is_the_mean_over_them():
    z, Y = np.array([0.2, -1.0, 3.0]), np.array([0.5, 0.3, 0.2])
    assert cross_entropy(z, Y) == pytest.approx(sum(Y[k] * cross_entropy(z, k) for k in range(3)))


def test_cross_entropy_stays_exact_where_p_underflows():
    assert cross_entropy([800.0, 0.0, 0.0], 1) == 800
    assert cross_entropy(np.array([1e30, -1e30], np.float32), 1) == np.float32(2e30)


def test_a_masked_logit_costs_nothing_where_the_target_is_zero():
    assert cross_entropy([0.0, -np.inf], 0) == 0
    assert cross_entropy([0.0, -np.inf], [1.0, 0.0]) == 0


def test_the_mean_loss_of_the_net_is_the_weighted_mean_of_the_rows():
    rng = np.random.default_rng(1)
    z, Y, w = rng.normal(size=(5, 3)), rng.dirichlet([1, 1, 1], 5), rng.random(5)
    shifted, total = np.empty_like(z), np.empty((5, 1))
    softmax(z, shifted=shifted, total=total)
    L = mean_cross_entropy(shifted, total, Y, (w / w.sum())[:, None])
    np.testing.assert_allclose(L, np.average(cross_entropy(z, Y), weights=w), rtol=1e-14)


# The three roads to dz


@pytest.mark.parametrize("road", ROADS)
@given(K=st.integers(1, 8), seed=st.integers(0, 2**32 - 1))
def test_each_road_gives_p_minus_y_for_every_class(road, K, seed):
    p = softmax(np.random.default_rng(seed).normal(0, 3, K))
    for k in range(K):
        np.testing.assert_allclose(output_gradient(p, k, road), p - np.eye(K)[k], atol=4e-16)


@pytest.mark.parametrize("road", ROADS)
@given(K=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_each_road_is_the_derivative_of_the_loss_for_every_class(road, K, seed):
    z = np.random.default_rng(seed).normal(0, 3, K)
    for k in range(K):
        measured = complex_step(lambda z, k=k: cross_entropy(z, k), z)
        np.testing.assert_allclose(output_gradient(softmax(z), k, road), measured, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("road", ROADS)
def test_each_road_takes_soft_targets_batches_and_row_shares(road):
    rng = np.random.default_rng(2)
    p, Y, r = softmax(rng.normal(size=(2, 5, 3))), rng.dirichlet([1, 1, 1], (2, 5)), rng.random((2, 5, 1))
    np.testing.assert_allclose(output_gradient(p, Y, road, r), (p - Y) * r, atol=1e-15)


@pytest.mark.parametrize(("dtype", "rounding"), [(np.float32, 6.1e-8), (np.float64, 1.2e-16)])
@pytest.mark.parametrize("gap", [0, 1, 30, 50, 90, 104, 710, 745, 1e4, 1e30])
def test_the_roads_agree_to_rounding_at_every_logit_gap(gap, dtype, rounding):
    z = np.array([[gap, 0, 0], [0, gap, -gap], [-gap, -gap, gap / 2]], dtype)
    p = softmax(z)
    for y in range(3):
        fused = output_gradient(p, np.full(3, y), "fused")
        for road in ROADS:
            dz = output_gradient(p, np.full(3, y), road)
            assert dz.dtype == dtype
            np.testing.assert_allclose(dz, fused, rtol=0, atol=2 * rounding)


@pytest.mark.parametrize("scale", [1e4, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_roads_agree_on_random_logits_of_any_size(scale, dtype):
    z = (np.random.default_rng(3).uniform(-scale, scale, (50, 6))).astype(dtype)
    p, y = softmax(z), np.arange(50) % 6
    for road in ROADS:
        np.testing.assert_allclose(output_gradient(p, y, road), p - np.eye(6)[y], atol=2e-7)


def test_clipping_p_only_in_the_division_would_lose_the_gradient():
    z, y = np.array([30.0, 0.0]), np.array([0.0, 1.0])
    p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    clipped = softmax_vjp(p, -y / np.maximum(p, 1e-12))
    assert abs(clipped[1]) == pytest.approx(0.0936, abs=1e-4)  # of 1
    assert abs(output_gradient(softmax(z), y)[1]) == pytest.approx(1)


def test_buffers_receive_dp_and_dz():
    p, dp, dz = softmax(np.zeros((2, 3))), np.empty((2, 3)), np.empty((2, 3))
    assert output_gradient(p, [0, 2], "vjp", 0.5, dp=dp, dz=dz) is dz
    np.testing.assert_allclose(dp, [[-1.5, 0, 0], [0, 0, -1.5]])
    np.testing.assert_allclose(dz, (p - one_hot([0, 2], (2, 3))) / 2)


# Mistakes


@pytest.mark.parametrize("y", [3, -1, [0], 1.0, [0.2, 0.8]])
def test_targets_that_do_not_fit_are_refused(y):
    with pytest.raises(ValueError, match="labels"):
        cross_entropy([1.0, 2.0, 3.0], y)


@pytest.mark.parametrize("y", [[2, -1], [0, 3]])
def test_one_label_out_of_range_among_good_ones_is_refused(y):
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.2"):
        cross_entropy(np.zeros((2, 3)), y)


def test_an_unknown_road_names_the_three():
    with pytest.raises(ValueError, match="jacobian, vjp, fused"):
        output_gradient([0.5, 0.5], 0, "p-y")
