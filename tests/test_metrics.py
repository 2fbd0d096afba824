"""Figures are those of scikit-learn, with any classes present, of a baseline and of calibration."""

import collections
import json

import numpy as np
import pytest
from memory import traced_memory
from sklearn import metrics as sklearns
from sklearn.dummy import DummyClassifier

from minnet import metrics


def predictions(N=200, K=3, seed=0):
    """Labels, predicted classes and p of rows that are often right."""
    rng = np.random.default_rng(seed)
    y = rng.choice(K, N, p=np.arange(1, K + 1) / (K * (K + 1) / 2))
    z = rng.normal(size=(N, K)) + 1.5 * np.eye(K)[y]
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return y, p.argmax(axis=1), p


@pytest.mark.parametrize("K", [2, 3, 7])
def test_figures_are_scikit_learns(K):
    y, predicted, p = predictions(K=K)
    found, of = metrics.figures(y, predicted, p), p[:, 1] if K == 2 else p
    assert found["balanced_accuracy"] == sklearns.balanced_accuracy_score(y, predicted)
    assert found["macro_f1"] == pytest.approx(sklearns.f1_score(y, predicted, average="macro"))
    assert found["auc"] == pytest.approx(sklearns.roc_auc_score(y, of, multi_class="ovr"))
    assert found["confusion"] == sklearns.confusion_matrix(y, predicted).tolist()
    assert found["baseline_accuracy"] is found["baseline_loss"] is None
    assert tuple(found) == metrics.NAMES


def test_mistakes_are_the_confusions_the_most_frequent_first():
    y, predicted, p = predictions(K=7)
    n, confusions = metrics.mistakes(metrics.figures(y, predicted, p))
    pairs = collections.Counter((i, j) for i, j in zip(y, predicted, strict=True) if i != j)
    assert n == sum(y != predicted) == sum(n for n, *_ in confusions)
    assert {(i, j): n for n, i, j in confusions} == pairs
    assert confusions == sorted(confusions, key=lambda found: (-found[0], *found[1:]))


def test_of_many_classes_the_largest_confusions_are_kept_in_little_room():
    for K in (metrics.MATRIX, metrics.MATRIX + 1, 3000):
        rng = np.random.default_rng(0)
        y, predicted = np.arange(2 * K) % K, rng.integers(0, K, 2 * K)
        predicted[:9], y[:9] = 3, 7
        found = metrics.figures(y, predicted, np.eye(K, dtype=np.float32)[predicted])
        n, confusions = metrics.mistakes(found)
        assert n == sum(y != predicted) and confusions[0][1:] == [7, 3]
        assert confusions[0][0] >= 9 and len(found["per_class"]["f1"]) == K
        if K > metrics.MATRIX:
            assert len(found["confusion"]) == metrics.LARGEST and found["confusion"] == confusions
            assert len(json.dumps(found["confusion"])) < 2000
        else:
            matrix = sklearns.confusion_matrix(y, predicted, labels=range(K))
            assert found["confusion"] == matrix.tolist()


def test_the_baseline_knows_the_classes_of_the_training_part_alone():
    trained, (y, predicted, p) = 2 - predictions(seed=1)[0], predictions()
    found = metrics.figures(y, predicted, p, np.bincount(trained))
    dummy = DummyClassifier().fit(trained[:, None], trained)
    assert found["baseline_accuracy"] == dummy.score(y[:, None], y)
    loss = sklearns.log_loss(y, dummy.predict_proba(y[:, None]))
    assert found["baseline_loss"] == pytest.approx(loss)
    assert np.isfinite(metrics.figures(y, predicted, p, [0, 1, 1])["baseline_loss"])


def test_of_a_class_without_rows_there_is_no_auc_and_others_count(recwarn):
    y, predicted, p = predictions()
    y[y == 0] = 1
    found = metrics.figures(y, predicted, p)
    recalls = [np.mean(predicted[y == k] == k) for k in (1, 2)]
    assert found["auc"] is None and (predicted == 0).any()
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert found["macro_f1"] == pytest.approx(np.mean(found["per_class"]["f1"]))
    assert not recwarn.list


def test_figures_of_many_rows_and_classes_take_less_memory_than_p():
    rng = np.random.default_rng(0)
    y, p = rng.permutation(20_000) % 100, rng.random((20_000, 100))
    predicted = p.argmax(axis=1)
    metrics.figures(y[:200], predicted[:200], p[:200])  # what scikit-learn loads
    with traced_memory() as risen:
        metrics.figures(y, predicted, p)
        assert risen() < p.nbytes


@pytest.mark.parametrize("n", [1, 50, 500])
def test_calibration_is_that_of_a_loop_over_rows(n):
    rng = np.random.default_rng(n)
    p, right = rng.uniform(0.2, 1, n), rng.integers(2, size=n)
    expected, error = [], 0.0
    for k in range(10):
        inside = (k / 10 < p) & (p <= (k + 1) / 10)
        if rows := inside.sum():
            sure, count = p[inside].sum(), right[inside].sum()
            interval = metrics.wilson(count, rows)
            expected.append([k / 10 + 0.05, rows, sure / rows, count / rows, *interval])
            error += abs(sure - count) / n
    bins = metrics.calibration(p, right)
    assert np.transpose(bins) == pytest.approx(np.array(expected))
    assert bins.gap == pytest.approx(error)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_confidence_on_an_edge_is_in_the_bin_below_it_in_each_precision(dtype):
    edges = (np.arange(5, 11) / 10).astype(dtype).astype(float)
    assert metrics.calibration(edges, edges > 0).middle == pytest.approx(edges - 0.05)
