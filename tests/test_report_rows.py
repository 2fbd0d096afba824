"""What reports compute: calibration, intervals, and which mistakes come first."""

import math
from itertools import pairwise

import numpy as np
import pytest

from minnet.report import rows
from minnet.report.pictures import wilson
from minnet.report.rows import Rows


def drawn(seed, n, K):
    """Random p (n, K), from unsure to sure, and labels y (n,)."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(K, rng.uniform(0.1, 3)), n)
    return p, rng.integers(K, size=n)


@pytest.mark.parametrize(("seed", "n", "K"), [(0, 1, 2), (1, 50, 2), (2, 500, 3), (3, 500, 12), (4, 40, 200)])
@pytest.mark.parametrize("bins", [1, 10, 20])
def test_calibration_is_that_of_a_loop_over_rows(seed, n, K, bins):
    p, y = drawn(seed, n, K)
    found = rows.calibration(p, y, bins)
    error = 0.0
    for b in range(bins):
        inside = [i for i in range(n) if b / bins < max(p[i]) <= (b + 1) / bins]
        assert found.count[b] == len(inside)
        if not inside:
            assert math.isnan(found.confidence[b])
            assert math.isnan(found.accuracy[b])
            continue
        confidence = sum(max(p[i]) for i in inside) / len(inside)
        accuracy = sum(list(p[i]).index(max(p[i])) == y[i] for i in inside) / len(inside)
        assert found.confidence[b] == pytest.approx(confidence)
        assert found.accuracy[b] == pytest.approx(accuracy)
        error += abs(confidence - accuracy) * len(inside) / n
    assert found.error == pytest.approx(error)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_confidence_on_an_edge_is_in_the_bin_below_it_in_each_precision(dtype):
    for tenth in range(5, 11):
        p = np.array([[tenth / 10, 1 - tenth / 10]], dtype)
        assert np.flatnonzero(rows.calibration(p, np.array([0])).count) == [tenth - 1]


def test_a_net_that_is_sure_and_right_has_no_calibration_error_and_one_that_is_wrong_has_1():
    p = np.eye(3)
    assert rows.calibration(p, np.arange(3)).error == 0
    assert rows.calibration(p, (np.arange(3) + 1) % 3).error == 1


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (1, 2), (355, 360), (3, 1000), (99_999, 100_000)])
def test_wilson_intervals_are_those_of_the_formula(right, n):
    low, high = wilson(np.array([right]), np.array([n]))
    z, share = 1.959963984540054, right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    assert (low[0], high[0]) == pytest.approx((middle - half, middle + half), abs=1e-12)


def test_shares_that_rounding_has_moved_off_whole_rows_have_the_interval_of_those():
    n = np.arange(1, 200)
    share = (n // 3) / n
    np.testing.assert_array_equal(wilson(share * n, n), wilson(n // 3, n))


@pytest.mark.parametrize("seed", range(3))
def test_mistakes_are_the_wrong_rows_with_the_most_confident_first(seed):
    p, y = drawn(seed, 200, 4)
    found = rows.mistakes(Rows(None, p, y, np.arange(200)), 1000)
    assert sorted(found) == [i for i in range(200) if p[i].argmax() != y[i]]
    assert all(p[i].max() >= p[j].max() for i, j in pairwise(found))
    assert rows.mistakes(Rows(None, p, y, np.arange(200)), 7).tolist() == found[:7].tolist()


def test_mistakes_of_the_same_confidence_come_in_the_order_of_rows():
    p = np.tile([0.25, 0.75], (30, 1))
    y = np.arange(30) % 2
    assert rows.mistakes(Rows(None, p, y, np.arange(30)), 12).tolist() == list(range(0, 24, 2))
