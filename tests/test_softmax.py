"""Softmax, its Jacobian in every form the two documents give it, the product with it, and cross-entropy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from layouts import in_every_layout

from minnet.core.gradcheck import complex_step
from minnet.core.softmax import (
    ROADS,
    cross_entropy,
    dz_by_road,
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

shapes = pytest.mark.parametrize("shape", [(5, 3), (3, 3), (1, 4), (4, 1)], ids=str)


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


@shapes
def test_softmax_is_the_same_whatever_the_layout_of_its_input_and_buffers(shape):
    z = np.random.default_rng(0).normal(size=shape)
    p, largest = softmax(z), z.max(axis=1, keepdims=True)
    for z_, p_, shifted in in_every_layout(z, np.zeros(shape), np.zeros(shape)):
        total = np.empty((len(z), 1))
        softmax(z_, out=p_, shifted=shifted, total=total)
        np.testing.assert_allclose(p_, p, rtol=1e-15)
        np.testing.assert_array_equal(shifted, z - largest)
        np.testing.assert_allclose(total, np.exp(z - largest).sum(axis=1, keepdims=True), rtol=1e-15)


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


def complex_pair(*shape):
    """p, a softmax of complex logits, and another array like it."""
    rng = np.random.default_rng(0)
    z, other = (rng.normal(size=shape) + 1j * rng.normal(size=shape) for _ in range(2))
    return softmax(z), other


@pytest.mark.parametrize("shape", [(4,), (5, 3), (3, 3), (2, 3, 4)])
def test_softmax_vjp_takes_any_leading_shape_and_complex_numbers_without_conjugating(shape):
    p, dp = complex_pair(*shape)
    J_dp = np.einsum("...ik,...i->...k", softmax_jacobian(p), dp)
    np.testing.assert_allclose(softmax_vjp(p, dp), J_dp, atol=1e-14)
    mean_dp, dz = np.empty((*shape[:-1], 1), complex), np.empty(shape, complex)
    assert softmax_vjp(p, dp, out=dz, mean_dp=mean_dp) is dz
    np.testing.assert_allclose(dz, J_dp, atol=1e-14)
    np.testing.assert_allclose(mean_dp[..., 0], (p * dp).sum(axis=-1), atol=1e-14)


@shapes
def test_softmax_vjp_is_the_same_whatever_the_layout(shape):
    p, dp = (x.real for x in complex_pair(*shape))
    expected = np.einsum("nik,ni->nk", softmax_jacobian(p), dp)
    for p_, dp_, dz in in_every_layout(p, dp, np.zeros(shape)):
        np.testing.assert_allclose(softmax_vjp(p_, dp_), expected, atol=1e-15)
        softmax_vjp(p_, dp_, out=dz)
        np.testing.assert_allclose(dz, expected, atol=1e-15)


def test_softmax_vjp_takes_whole_numbers_and_lists():
    np.testing.assert_allclose(softmax_vjp([0.5, 0.3, 0.2], [1, 0, 2]), [0.05, -0.27, 0.22])
    assert softmax_vjp([1, 0], [1, 0]).tolist() == [0, 0]


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


def weighted(N, K, dtype=np.float64):
    """Logits z (N, K), targets Y (N, K) and shares r (N, 1)."""
    rng = np.random.default_rng(1)
    z, Y, w = rng.normal(size=(N, K)), rng.dirichlet(np.ones(K), N), rng.random((N, 1))
    return z.astype(dtype), Y.astype(dtype), (w / w.sum()).astype(dtype)


def mean_loss(z, dlogp, r):
    shifted, total = np.empty_like(z), np.empty_like(z, shape=(len(z), 1))
    softmax(z, shifted=shifted, total=total)
    return mean_cross_entropy(shifted, total, dlogp, r)


@shapes
def test_the_mean_loss_of_the_net_is_the_weighted_mean_of_the_rows(shape):
    z, Y, r = weighted(*shape)
    expected = np.average(cross_entropy(z, Y), weights=r[:, 0])
    np.testing.assert_allclose(mean_loss(z, -r * Y, r), expected, rtol=1e-14, atol=1e-16)


@shapes
def test_the_mean_loss_is_the_same_whatever_the_layout(shape):
    z, Y, r = weighted(*shape)
    expected, shifted, total = mean_loss(z, -r * Y, r), np.empty_like(z), np.empty((len(z), 1))
    softmax(z, shifted=shifted, total=total)
    for shifted_, dlogp in in_every_layout(shifted, -r * Y):
        np.testing.assert_allclose(mean_cross_entropy(shifted_, total, dlogp, r), expected, rtol=1e-14, atol=1e-16)


def test_the_mean_loss_leaves_the_logarithms_in_its_buffer():
    z, Y, r = weighted(5, 3)
    total, log_total = np.exp(z).sum(axis=1, keepdims=True), np.empty((5, 1))
    loss = mean_cross_entropy(z, total, -r * Y, r, log_total)
    np.testing.assert_array_equal(log_total, np.log(total))
    assert loss == mean_cross_entropy(z, total, -r * Y, r)


@shapes
@pytest.mark.parametrize("road", ROADS)
def test_dz_is_the_derivative_of_the_mean_loss_through_the_same_arrays(shape, road):
    z, Y, r = weighted(*shape)
    dlogp = (-r * Y).astype(complex)
    measured = complex_step(lambda z: mean_loss(z.reshape(shape), dlogp, r.astype(complex)), z.ravel())
    np.testing.assert_allclose(dz_by_road(softmax(z), -r * Y, road).ravel(), measured, rtol=1e-13, atol=1e-16)


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


@pytest.mark.parametrize("road", ROADS)
def test_buffers_receive_dp_and_dz(road):
    p, Y = softmax(np.zeros((2, 3))), one_hot([0, 2], (2, 3))
    dp, dz, mean_dp = np.zeros((2, 3)), np.empty((2, 3)), np.zeros((2, 1))
    assert dz_by_road(p, -0.5 * Y, road, dp, dz, mean_dp) is dz
    np.testing.assert_allclose(dz, (p - Y) / 2)
    np.testing.assert_allclose(dp, [[0] * 3] * 2 if road == "fused" else [[-1.5, 0, 0], [0, 0, -1.5]])
    np.testing.assert_allclose(mean_dp, [[0]] * 2 if road == "jacobian" else [[-0.5]] * 2)


@pytest.mark.parametrize("road", ROADS)
def test_each_road_is_the_same_whatever_the_layout(road):
    for shape in ((5, 3), (3, 3)):
        z, Y, r = weighted(*shape)
        p = softmax(z)
        for p_, dlogp, dp, dz in in_every_layout(p, -r * Y, np.zeros(shape), np.zeros(shape)):
            dz_by_road(p_, dlogp, road, dp, dz, np.empty_like(r))
            np.testing.assert_allclose(dz, r * (p - Y), atol=1e-15)
            np.testing.assert_allclose(dz_by_road(p_, dlogp, road), r * (p - Y), atol=1e-15)


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("shape", [(4,), (5, 3), (3, 3), (2, 3, 4)])
def test_each_road_takes_complex_numbers_without_conjugating(road, shape):
    p, dlogp = complex_pair(*shape)
    expected = np.einsum("...ik,...i->...k", softmax_jacobian(p), dlogp / p)
    np.testing.assert_allclose(dz_by_road(p, dlogp, road), expected, atol=1e-13)


@pytest.mark.parametrize("road", ROADS)
def test_dz_stays_float32_whatever_the_type_of_the_targets_and_shares(road):
    p = softmax(np.zeros((2, 3), np.float32))
    for y in ([0, 2], np.eye(3)[[0, 2]]):
        assert output_gradient(p, y, road, np.full((2, 1), 0.5)).dtype == np.float32


@pytest.mark.parametrize("road", ROADS)
def test_no_road_changes_what_it_is_given(road):
    z, Y, r = weighted(5, 3)
    p, dlogp = softmax(z), -r * Y
    kept = p.copy(), dlogp.copy()
    dz_by_road(p, dlogp, road)
    np.testing.assert_array_equal((p, dlogp), kept)


# Targets


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int16, np.uint64, np.intp])
def test_labels_of_any_whole_type_become_unit_vectors(dtype):
    K = 2 if dtype is bool else 300  # more classes than int8 can number
    y = np.array([[0, 1, 1], [1, 0, 0]] if dtype is bool else [[0, 1, 127], [3, 2, 100]]).astype(dtype)
    for into in (np.float32, np.float64, np.complex128):
        Y = one_hot(y, (2, 3, K), into)
        assert Y.dtype == into
        np.testing.assert_array_equal(Y, np.eye(K)[y.astype(int)])


def test_one_label_and_none_become_unit_vectors_too():
    np.testing.assert_array_equal(one_hot(2, (3,)), [0, 0, 1])
    assert one_hot(np.zeros(0, int), (0, 3)).shape == (0, 3)
    np.testing.assert_array_equal(one_hot([0, 0], (2, 1)), [[1], [1]])


def test_distributions_are_taken_as_they_are():
    Y = np.array([[0.5, 0.5], [0.25, 0.75]])
    assert one_hot(Y, (2, 2)) is Y
    assert one_hot(Y.tolist(), (2, 2), np.float32).dtype == np.float32


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
    with pytest.raises(ValueError, match="unknown road 'p-y': choose from jacobian, vjp, fused"):
        dz_by_road(P, -EYE[0], "p-y")


@pytest.mark.parametrize("y", [[0, 3], [-1, 0], [0.0, 1.0], [[0, 1]], [0, 1, 2], [[0.5, 0.5]] * 2])
@pytest.mark.parametrize("road", ROADS)
def test_targets_that_do_not_fit_have_no_gradient_either(y, road):
    with pytest.raises(ValueError, match="labels"):
        output_gradient(softmax(np.zeros((2, 3))), y, road)
