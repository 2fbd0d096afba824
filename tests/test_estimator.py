"""minnet.MLPClassifier in the place of scikit-learn's: its parameters, attributes, errors and numbers; and what it has
beyond them."""

import copy
import inspect
import io
import os
import pickle
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from dask.distributed import Client, LocalCluster
from scipy.special import log_softmax as scipy_log_softmax
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier as Theirs
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_estimator,
    check_param_validation,
    parametrize_with_checks,
)
from threadpoolctl import ThreadpoolController

import minnet
from minnet import MLPClassifier, cli, training

ROOT = Path(__file__).resolve().parent.parent
X3, Y3 = load_iris(return_X_y=True)
X3 = scale(X3)
X2, Y2 = load_breast_cancer(return_X_y=True)
X2, Y2 = scale(X2)[::5, :8], Y2[::5]
DATA = {"binary": (X2, Y2), "multiclass": (X3, Y3)}
W = {kind: np.random.default_rng(0).integers(1, 5, len(y)) / 2 for kind, (X, y) in DATA.items()}
NAMES = np.array(["setosa", "versicolor", "virginica"])
SOLVERS = ["adam", "sgd", "lbfgs"]
QUICK = {"hidden_layer_sizes": (6,), "max_iter": 12, "learning_rate_init": 0.01, "random_state": 0}

# from rows with weights other batches and another validation part are drawn than from the same rows repeated
WEIGHT_EQUIVALENCE = {
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
}
# it gives one class 10^7 times the weight of the others, and a batch without that class counts like any other: each
# batch has the mean over its own weights, as in scikit-learn
CLASS_WEIGHT = {"check_class_weight_classifiers"}
# these tests train for a few epochs only
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(params=DATA)
def kind(request):
    return request.param


def quick(**options):
    return MLPClassifier(**QUICK | options)


def trained(X=X3, y=Y3, sample_weight=None, validation_data=None, **options):
    return quick(**options).fit(X, y, sample_weight, validation_data)


def theta(model):
    """All weights, as one vector of their own."""
    return np.concatenate([a.ravel() for a in [*model.coefs_, *model.intercepts_]])


def same(a, b):
    np.testing.assert_array_equal(theta(a), theta(b))


def close(a, b, **tolerance):
    np.testing.assert_allclose(theta(a), theta(b), **{"rtol": 1e-9, "atol": 1e-11} | tolerance)


def refused(error=ValueError, *arguments, fit=None, **options):
    """What is said instead of training."""
    with pytest.raises(error) as caught:
        (fit or quick(**options).fit)(*(arguments or (X3, Y3)))
    return str(caught.value)


def from_equal_weights(X, y, sample_weight=None, **options):
    """scikit-learn's and ours, trained on from the same weights, with the rows in their order."""
    options |= {"hidden_layer_sizes": (7, 5), "random_state": 1, "shuffle": False, "warm_start": True}
    models = [kind(max_iter=1, **options).fit(X, y) for kind in (Theirs, MLPClassifier)]
    for name in ("coefs_", "intercepts_"):
        for theirs, ours in zip(*(getattr(model, name) for model in models), strict=True):
            ours[:] = theirs
    for model in models:
        if model.solver != "lbfgs":
            model.loss_curve_, model.best_loss_, model._no_improvement_count, model.t_ = [], np.inf, 0, 0
        model.set_params(max_iter=50).fit(X, y, sample_weight)
    return models


def fitted_names(model):
    return {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}


def message_of_both(method="fit", arguments=(X3, Y3), **options):
    """The same error of both classes, and its text."""
    texts = []
    for kind in (Theirs, MLPClassifier):
        with pytest.raises((ValueError, AttributeError)) as caught:
            getattr(kind(**QUICK | options), method)(*arguments)
        texts.append((caught.type, str(caught.value)))
    assert issubclass(texts[1][0], texts[0][0])
    return [text for _, text in texts]


# Parameters, attributes and methods


def test_every_parameter_of_scikit_learn_is_there_with_its_default():
    ours, theirs = (inspect.signature(kind).parameters for kind in (MLPClassifier, Theirs))
    for name, parameter in theirs.items():
        assert (ours[name].default, ours[name].kind) == (parameter.default, parameter.kind)
    assert list(ours)[: len(theirs)] == list(theirs)


def test_the_own_parameters_change_nothing_by_default():
    own = MLPClassifier().get_params().keys() - Theirs().get_params().keys()
    off = {"class_weight": None, "max_grad_norm": None, "output_gradient": "vjp"}
    off |= dict.fromkeys(("dropout", "label_smoothing", "weight_decay", "warmup_epochs"), 0)
    assert {name: MLPClassifier().get_params()[name] for name in own} == off


def test_the_methods_are_those_of_scikit_learn_with_the_same_arguments():
    for name, method in inspect.getmembers(Theirs, callable):
        if not name.startswith(("_", "set_")):
            theirs, ours = (list(inspect.signature(m).parameters) for m in (method, getattr(MLPClassifier, name)))
            assert ours[: len(theirs)] == theirs
    assert {"set_params", "set_fit_request", "set_score_request"} <= set(dir(MLPClassifier))


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_fitted_attributes_are_those_of_scikit_learn(kind, solver, early_stopping):
    X, y = DATA[kind]
    options = QUICK | {"solver": solver, "early_stopping": early_stopping, "max_iter": 5, "hidden_layer_sizes": (7, 3)}
    theirs, ours = (kind(**options).fit(X, y) for kind in (Theirs, MLPClassifier))
    own = set() if solver == "lbfgs" else {"validation_loss_curve_"}
    assert fitted_names(ours) == fitted_names(theirs) | own
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_", "t_", "n_iter_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    for name in ("coefs_", "intercepts_"):
        assert [a.shape for a in getattr(ours, name)] == [a.shape for a in getattr(theirs, name)]
    if solver == "lbfgs":
        return
    for name in ("loss_curve_", "validation_scores_"):
        assert np.shape(getattr(ours, name)) == np.shape(getattr(theirs, name)), name
    for name in ("best_loss_", "best_validation_score_"):
        assert (getattr(ours, name) is None) == (getattr(theirs, name) is None), name


def test_the_attributes_of_the_curves_are_their_best_and_last_values():
    model = trained()
    assert (model.best_loss_, model.loss_) == (min(model.loss_curve_), model.loss_curve_[-1])
    model = trained(early_stopping=True)
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == len(model.loss_curve_)


def test_the_optimizers_stop_where_nothing_improves_as_scikit_learns_do(kind):
    X, y = DATA[kind]
    options = {"hidden_layer_sizes": (4,), "tol": 1.0, "n_iter_no_change": 3, "max_iter": 40}
    theirs, ours = (kind(**options).fit(X, y) for kind in (Theirs, MLPClassifier))
    assert ours.n_iter_ == theirs.n_iter_ < 40


def test_a_fit_anew_forgets_the_one_before():
    model = quick()
    first = theta(model.fit(X3, Y3))
    model.fit(X3, Y3)
    np.testing.assert_array_equal(theta(model), first)
    assert len(model.loss_curve_) == 12
    assert model.t_ == 12 * len(Y3)


def test_warm_start_goes_on_from_the_weights():
    model = trained(warm_start=True)
    before = model.loss_curve_[-1]
    model.fit(X3, Y3)
    assert len(model.loss_curve_) == 24
    assert model.loss_curve_[12] < before * 1.05
    assert model.t_ == 24 * len(Y3)


def test_probabilities_and_their_logarithms_are_those_of_the_weights(kind):
    X, y = DATA[kind]
    theirs = Theirs(**QUICK).fit(X, y)
    model = trained(X, y)
    model.coefs_, model.intercepts_ = theirs.coefs_, theirs.intercepts_
    np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(X), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(model.predict_log_proba(X), theirs.predict_log_proba(X), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(model.predict(X), theirs.predict(X))
    assert model.score(X, y) == theirs.score(X, y)


def test_log_probabilities_are_finite_where_a_class_is_hopeless():
    model = trained()
    model.coefs_[-1] *= 1e4
    logs = model.predict_log_proba(X3)
    assert np.isfinite(logs).all()
    expected = scipy_log_softmax(model._logits(X3), axis=1)
    near = expected > -600
    np.testing.assert_allclose(logs[near], expected[near], atol=1e-9)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_predicting_before_fitting_is_refused(method):
    with pytest.raises(NotFittedError):
        getattr(MLPClassifier(), method)(X3)


# Errors and warnings


def test_too_few_epochs_are_warned_of_as_scikit_learn_warns():
    said = []
    for kind in (Theirs, MLPClassifier):
        with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(3\) reached") as caught:
            kind(max_iter=3).fit(X3, Y3)
        said.append(str(caught[0].message))
    assert said[0] == said[1]


def test_lbfgs_warns_of_too_few_iterations():
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
        trained(solver="lbfgs", max_iter=2)


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_a_converged_fit_and_partial_fit_warn_of_nothing():
    trained(tol=10.0, n_iter_no_change=2, max_iter=100)
    quick(max_iter=1).partial_fit(X3, Y3, classes=[0, 1, 2])


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_batch_size_above_n_is_clipped_with_a_warning(method):
    arguments = (X3, Y3, None, [0, 1, 2]) if method == "partial_fit" else (X3, Y3)
    with pytest.warns(UserWarning, match="It is going to be clipped"):
        clipped = getattr(quick(batch_size=1000), method)(*arguments)
    same(clipped, getattr(quick(batch_size=len(Y3)), method)(*arguments))


def test_a_column_of_labels_is_taken_with_a_warning():
    with pytest.warns(DataConversionWarning):
        same(trained(X3, Y3[:, None]), trained())


BAD = [
    {"hidden_layer_sizes": -1},
    {"hidden_layer_sizes": "x"},
    {"activation": "sinus"},
    {"solver": "newton"},
    {"alpha": -1},
    {"batch_size": 0},
    {"learning_rate": "rising"},
    {"learning_rate_init": 0.0},
    {"max_iter": 0},
    {"shuffle": "yes"},
    {"tol": -1},
    {"momentum": 2},
    {"validation_fraction": 1.0},
    {"early_stopping": "f1"},
    {"beta_1": 1.0},
    {"epsilon": 0.0},
    {"n_iter_no_change": -1},
    {"max_fun": 0},
]
OWN_BAD = [
    {"class_weight": "fair"},
    {"dropout": 1.0},
    {"label_smoothing": -0.1},
    {"weight_decay": -1},
    {"max_grad_norm": 0},
    {"warmup_epochs": -1},
    {"output_gradient": "magic"},
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_a_bad_parameter_is_refused_as_scikit_learn_refuses_it(bad):
    [name] = bad
    for text in message_of_both(**bad):
        assert f"The '{name}' parameter of MLPClassifier must be" in text


@pytest.mark.parametrize("bad", OWN_BAD, ids=str)
def test_a_bad_parameter_of_its_own_is_refused_in_the_same_words(bad):
    [name] = bad
    assert f"The '{name}' parameter of MLPClassifier must be" in refused(**bad)


@pytest.mark.parametrize("hidden", [(0,), (5, 0), (4, -2)])
def test_a_hidden_layer_without_units_is_refused(hidden):
    theirs, ours = message_of_both(hidden_layer_sizes=hidden)
    assert theirs == ours == f"hidden_layer_sizes must be > 0, got {list(hidden)}."


def test_of_few_rows_two_are_held_out_and_of_two_none_can_be():
    """scikit-learn's own refuses to hold out a single row, which a tenth of ten is."""
    assert trained(X3[::15], Y3[::15], early_stopping=True, max_iter=1).t_ == 8
    said = refused(ValueError, X3[49:51], Y3[49:51], early_stopping=True)
    assert said.startswith("The validation set is too small, of n_samples=2 rows.")
    said = refused(early_stopping=True, validation_fraction=0)
    assert said.startswith("The validation set is too small, of n_samples=150 rows.")


def test_partial_fit_holds_no_rows_out():
    """scikit-learn's own refuses early_stopping here."""
    plain, stopping = (quick(early_stopping=stop).partial_fit(X3, Y3, classes=[0, 1, 2]) for stop in (False, True))
    close(plain, stopping, atol=0)
    assert plain.t_ == stopping.t_ == len(Y3)
    stopping.fit(X3, Y3).partial_fit(X3, Y3)


def test_partial_fit_is_not_there_with_lbfgs():
    for kind in (Theirs, MLPClassifier):
        assert not hasattr(kind(solver="lbfgs"), "partial_fit")
        assert hasattr(kind(solver="sgd"), "partial_fit")
        with pytest.raises(AttributeError, match="has no attribute 'partial_fit'"):
            _ = kind(solver="lbfgs").partial_fit


def test_partial_fit_needs_the_classes_once():
    theirs, ours = message_of_both("partial_fit")
    assert theirs == ours
    model = quick().partial_fit(X3, Y3, classes=[0, 1, 2]).partial_fit(X3[:5], Y3[:5])
    assert list(model.classes_) == [0, 1, 2]


def test_partial_fit_refuses_classes_it_was_not_told_of():
    theirs, ours = message_of_both("partial_fit", (X3, Y3, None, [0, 1]))
    assert theirs == ours
    assert "`y` has classes not in `self.classes_`" in ours


def test_warm_start_refuses_other_classes():
    said = []
    for kind in (Theirs, MLPClassifier):
        model = kind(**QUICK, warm_start=True).fit(X3, Y3)
        said.append(refused(ValueError, X3[Y3 < 2], Y3[Y3 < 2], fit=model.fit))
    assert all(text.startswith("warm_start can only be used where `y` has the same classes") for text in said)


def test_warm_start_refuses_another_net():
    model = trained(warm_start=True).set_params(hidden_layer_sizes=(9,))
    assert "[4, 6, 3]" in refused(ValueError, X3, Y3, fit=model.fit)


@pytest.mark.parametrize("target", [np.eye(3, dtype=int)[Y3], np.c_[Y3, Y3]], ids=["multilabel", "multioutput"])
def test_more_than_one_label_a_row_is_refused_in_one_line(target):
    text = refused(ValueError, X3, target)
    assert len(text.splitlines()) == 1
    assert "one label a row is needed" in text


def test_a_continuous_target_is_refused():
    assert all("Unknown label type: " in text for text in message_of_both(arguments=(X3, X3[:, 0])))


def test_infinite_weights_are_refused_in_scikit_learns_words():
    text = refused(ValueError, X3 * 1e200, Y3, solver="sgd", learning_rate_init=1e300)
    assert text.startswith("Solver produced non-finite parameter weights.")


def test_an_interrupt_keeps_what_was_learned(monkeypatch):
    note = MLPClassifier._note

    def interrupted(self, epoch, n):
        note(self, epoch, n)
        if self.n_iter_ == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(MLPClassifier, "_note", interrupted)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model = trained()
    monkeypatch.undo()
    same(model, trained(max_iter=3))


# What it takes


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("of", [sp.csr_matrix, sp.csr_array, sp.csc_array, sp.coo_array])
def test_sparse_rows_give_what_dense_ones_give(of, solver, kind):
    X, y = DATA[kind]
    X = np.where(np.abs(X) < 0.5, 0, X)
    dense, sparse = (trained(rows, y, solver=solver, batch_size=32) for rows in (X, of(X)))
    close(dense, sparse, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(dense.predict_proba(X), sparse.predict_proba(of(X)), atol=1e-6)


def test_sparse_rows_can_be_held_out_and_continued():
    X = sp.csr_array(X3)
    close(trained(X, early_stopping=True), trained(early_stopping=True))
    close(trained(X, validation_data=(X, Y3)), trained(validation_data=(X3, Y3)))
    close(quick().partial_fit(X, Y3, classes=[0, 1, 2]), quick().partial_fit(X3, Y3, classes=[0, 1, 2]))


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_frames_give_what_arrays_give_and_their_columns_are_checked(frame):
    names = ["a", "b", "c", "d"]
    rows = frame(dict(zip(names, X3.T, strict=True)))
    model = trained(rows)
    same(model, trained())
    assert list(model.feature_names_in_) == names
    np.testing.assert_array_equal(model.predict(rows), trained().predict(X3))
    wrong = frame(dict(zip("abce", X3.T, strict=True)))
    assert "feature names should match" in refused(ValueError, wrong, fit=model.predict)
    with pytest.raises(ValueError, match="feature names should match"):
        model.partial_fit(wrong, Y3)


def test_a_series_of_text_gives_text_back():
    model = trained(pd.DataFrame(X3, columns=list("abcd")), pd.Series(NAMES[Y3]), max_iter=200)
    assert list(model.classes_) == list(NAMES)
    assert model.score(pd.DataFrame(X3, columns=list("abcd")), NAMES[Y3]) > 0.9


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("dtype", "kept"), [(np.float32, np.float32), (np.float64, np.float64), (int, np.float64)])
def test_float32_is_kept_and_the_rest_is_float64(dtype, kept, solver):
    X = (10 * X3).astype(dtype)
    model = trained(X, solver=solver)
    assert {a.dtype for a in [*model.coefs_, *model.intercepts_]} == {np.dtype(kept)}
    assert model.predict_proba(X).dtype == kept


def test_float32_gives_nearly_the_same_net():
    np.testing.assert_allclose(theta(trained(X3.astype(np.float32))), theta(trained()), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("K", [1, 2, 3])
def test_any_number_of_classes_works_with_rows_to_spare_or_without(K, solver):
    for rows in (np.arange(0, 50 * K, 50), np.flatnonzero(Y3 < K)):
        model = trained(X3[rows], NAMES[Y3[rows]], solver=solver, max_iter=100, learning_rate_init=0.05)
        p = model.predict_proba(X3)
        assert p.shape == (len(X3), K)
        np.testing.assert_allclose(p.sum(axis=1), 1)
        assert model.score(X3[rows], NAMES[Y3[rows]]) > 0.9


def test_a_class_with_a_single_row_can_be_trained_with_early_stopping():
    rows = np.arange(101)  # one virginica
    model = trained(X3[rows], Y3[rows], early_stopping=True)
    assert list(model.classes_) == [0, 1, 2]


def test_a_validation_part_with_fewer_rows_than_classes_is_split_off_all_the_same():
    X, y = X3[::8], Y3[::8]
    assert trained(X, y, early_stopping=True).t_ % (len(y) - 2) == 0
    assert Theirs(**QUICK, early_stopping=True).fit(X, y).t_ % (len(y) - 2) == 0


def test_the_validation_part_has_the_classes_in_proportion():
    model = quick(early_stopping=True, validation_fraction=0.2)
    y = np.r_[np.zeros(120, int), np.ones(30, int)]
    model.classes_ = np.array([0, 1])
    train, validation = model._split(model._part(X3, y, None), 0)
    assert list(np.bincount(train.y)) == [96, 24]
    assert list(np.bincount(validation.y)) == [24, 6]
    rows = np.concatenate([train.X1, validation.X1])
    assert sorted(map(tuple, rows)) == sorted(map(tuple, X3))


# Weights of rows and classes


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_weight_counts_as_so_many_rows(solver, kind):
    X, y = DATA[kind]
    times = np.arange(len(y)) % 3
    options = {"solver": solver, "shuffle": False, "alpha": 0.1}
    weighted = trained(X, y, times.astype(float), **options)
    repeated = trained(X.repeat(times, axis=0), y.repeat(times), **options)
    close(weighted, repeated, rtol=1e-5, atol=1e-7)
    assert weighted.loss_ == pytest.approx(repeated.loss_, rel=1e-6)


@pytest.mark.parametrize("batch_size", [8, 150])
def test_the_loss_is_the_mean_over_the_sum_of_the_weights(batch_size):
    w = W["multiclass"]
    options = {"learning_rate_init": 1e-12, "alpha": 0.0, "max_iter": 1, "batch_size": batch_size}
    model = trained(sample_weight=w, **options)
    losses = -model.predict_log_proba(X3)[np.arange(len(Y3)), Y3]
    assert model.loss_ == pytest.approx((w @ losses) / w.sum(), rel=1e-8)


@pytest.mark.parametrize("factor", [0.001, 1000])
def test_only_the_proportions_of_weights_count_without_a_penalty(factor):
    w = W["multiclass"]
    close(trained(sample_weight=w, alpha=0), trained(sample_weight=factor * w, alpha=0), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_rows_of_weight_0_are_as_if_not_there(solver, early_stopping):
    kept = np.arange(len(Y3)) % 4 > 0
    X = np.where(kept[:, None], X3, 1e6)
    options = {"solver": solver, "batch_size": 20, "early_stopping": early_stopping}
    w = W["multiclass"]
    same(trained(X, Y3, kept * w, **options), trained(X3[kept], Y3[kept], w[kept], **options))


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_weights_that_are_negative_or_all_0_are_refused(method):
    def fit(w):
        model = quick()
        return model.fit(X3, Y3, w) if method == "fit" else model.partial_fit(X3, Y3, w, classes=[0, 1, 2])

    assert "egative" in refused(ValueError, np.r_[-1.0, np.ones(149)], fit=fit)
    assert "at least one non-zero" in refused(ValueError, np.zeros(150), fit=fit)
    assert "NaN" in refused(ValueError, np.full(150, np.nan), fit=fit)
    assert "shape" in refused(ValueError, np.ones(3), fit=fit)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 1: 0.5}, {2: 0}], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_class_weights_are_the_row_weights_they_stand_for(class_weight, solver, weighted):
    rows = np.r_[0:50, 60:80, 100:140]
    X, y = X3[rows], Y3[rows]
    own = W["multiclass"][rows] if weighted else np.ones(len(y))
    by_class = compute_sample_weight(class_weight, y)
    if class_weight == "balanced":
        counts = np.bincount(y, weights=own)
        by_class = (counts.sum() / (3 * counts))[y]
    options = {"solver": solver, "batch_size": 16}
    model = trained(X, y, own if weighted else None, class_weight=class_weight, **options)
    close(model, trained(X, y, own * by_class, **options))


def test_class_weights_are_given_by_label():
    weights = {"setosa": 5.0}
    close(trained(X3, NAMES[Y3], class_weight=weights), trained(sample_weight=np.where(Y3 == 0, 5.0, 1.0)))


def test_partial_fit_takes_class_weights_as_a_dict_only():
    assert "give class_weight as a dict" in refused(
        fit=lambda *_: quick(class_weight="balanced").partial_fit(X3, Y3, classes=[0, 1, 2])
    )
    models = [quick(class_weight={0: 5.0}).partial_fit(X3, Y3, classes=[0, 1, 2])]
    models.append(quick().partial_fit(X3, Y3, np.where(Y3 == 0, 5.0, 1.0), classes=[0, 1, 2]))
    close(*models)


# The same numbers as scikit-learn's

STOCHASTIC = [
    {"solver": "sgd"},
    {"solver": "sgd", "nesterovs_momentum": False},
    {"solver": "sgd", "momentum": 0.0},
    {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.02, "n_iter_no_change": 3},
    {"solver": "adam"},
    {"solver": "adam", "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3},
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [32, "auto"])
@pytest.mark.parametrize("options", STOCHASTIC, ids=str)
def test_sgd_and_adam_follow_scikit_learns_numbers(options, batch_size, weighted, kind):
    X, y = DATA[kind]
    w = W[kind] if weighted else None
    options = {"learning_rate_init": 0.01, "alpha": 0.05, "activation": "tanh"} | options
    theirs, ours = from_equal_weights(X, y, w, batch_size=batch_size, **options)
    assert (ours.n_iter_, ours.t_) == (theirs.n_iter_, theirs.t_)
    close(ours, theirs, rtol=1e-9, atol=1e-11)
    if not weighted or batch_size == "auto":  # else the mean over an epoch is over its weights, theirs over its rows
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-10)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_every_activation_follows_scikit_learns_numbers(activation, kind):
    theirs, ours = from_equal_weights(*DATA[kind], activation=activation, batch_size=32)
    close(ours, theirs)


@pytest.mark.parametrize("weighted", [False, True])
def test_lbfgs_follows_scikit_learns_numbers(weighted, kind):
    X, y = DATA[kind]
    w = W[kind] if weighted else None
    theirs, ours = from_equal_weights(X, y, w, solver="lbfgs", alpha=0.05, activation="tanh")
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-6)
    close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_lbfgs_ends_at_the_tolerance_and_at_max_fun_as_scikit_learns_does(kind):
    X, y = DATA[kind]
    for options in ({"tol": 0.05}, {"max_fun": 9}):
        theirs, ours = from_equal_weights(X, y, solver="lbfgs", activation="tanh", **options)
        assert ours.n_iter_ == theirs.n_iter_ < 50
        close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_the_adaptive_rate_ends_training_once_it_is_small():
    model = trained(solver="sgd", learning_rate="adaptive", tol=10.0, n_iter_no_change=1, max_iter=400)
    assert model.n_iter_ < 400
    assert model._rate.value <= 1e-6


# Beyond scikit-learn's


def test_validation_data_are_measured_after_each_epoch():
    model = trained(X3[::2], Y3[::2], validation_data=(X3[1::2], Y3[1::2]))
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == model.n_iter_
    assert model.validation_scores_[-1] == pytest.approx(model.score(X3[1::2], Y3[1::2]))
    losses = -model.predict_log_proba(X3[1::2])[np.arange(75), Y3[1::2]]
    assert model.validation_loss_curve_[-1] == pytest.approx(losses.mean())


def test_watching_validation_data_changes_nothing():
    same(trained(X3, Y3, validation_data=(X3[:9], Y3[:9])), trained())


def test_early_stopping_takes_validation_data_in_place_of_a_part():
    model = trained(early_stopping=True, validation_data=(X3[::3], Y3[::3]))
    assert model.t_ == model.n_iter_ * len(Y3)
    assert model.best_validation_score_ == pytest.approx(model.score(X3[::3], Y3[::3]))


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ((X3,), "must be a pair"),
        ((X3[:, :2], Y3), "2 features"),
        ((X3, Y3 + 1), "classes that `y` does not have: [3]"),
        ((X3[:5], Y3), "inconsistent numbers of samples"),
        ((X3, np.eye(3)[Y3]), "one label a row"),
    ],
)
def test_validation_data_that_do_not_fit_are_refused(pair, words):
    assert words in refused(ValueError, X3, Y3, None, pair)


@pytest.mark.parametrize("watch", ["accuracy", "loss", True])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_early_stopping_brings_the_best_weights_back(watch, solver):
    held_out = (X3[1::2], Y3[1::2])
    noisy = np.where(np.arange(75) % 4 == 0, (Y3[::2] + 1) % 3, Y3[::2])
    options = {"learning_rate_init": 0.1, "max_iter": 300, "batch_size": 5, "hidden_layer_sizes": (30,)}
    model = trained(X3[::2], noisy, None, held_out, early_stopping=watch, solver=solver, **options)
    assert model.n_iter_ < 300
    curve = -np.array(model.validation_loss_curve_) if watch == "loss" else np.array(model.validation_scores_)
    best = int(curve.argmax())
    assert model.best_validation_score_ == model.validation_scores_[best]
    assert model.score(*held_out) == pytest.approx(model.validation_scores_[best])
    losses = -model.predict_log_proba(held_out[0])[np.arange(75), held_out[1]]
    assert losses.mean() == pytest.approx(model.validation_loss_curve_[best])
    assert curve[best] > curve[-1]


def test_the_rows_held_out_are_measured_with_their_weights(monkeypatch):
    parts, split = [], MLPClassifier._split
    monkeypatch.setattr(MLPClassifier, "_split", lambda self, *a: parts.append(split(self, *a)) or parts[-1])
    model = trained(sample_weight=W["multiclass"] ** 3, early_stopping=True, max_iter=3, validation_fraction=0.4)
    [(_, held_out)] = parts
    best = int(np.argmax(model.validation_scores_))
    X, y, w = held_out.X1[:, :-1], held_out.y, held_out.w
    assert model.validation_scores_[best] == pytest.approx(model.score(X, y, w))
    losses = -model.predict_log_proba(X)[np.arange(len(y)), y]
    assert model.validation_loss_curve_[best] == pytest.approx(np.average(losses, weights=w))


def test_early_stopping_ends_when_the_score_has_not_grown():
    model = trained(early_stopping=True, tol=2.0, n_iter_no_change=4, max_iter=100)
    assert model.n_iter_ == 6


def test_dropout_leaves_units_out_in_training_only():
    plain, dropped = trained(), trained(dropout=0.5)
    assert not np.array_equal(theta(plain), theta(dropped))
    same(dropped, trained(dropout=0.5))
    np.testing.assert_array_equal(dropped.predict_proba(X3), dropped.predict_proba(X3))
    assert "solver='lbfgs'" in refused(dropout=0.5, solver="lbfgs")


def test_each_hidden_layer_can_have_its_own_activation():
    options = {"hidden_layer_sizes": (6, 5)}
    same(trained(activation=["tanh", "tanh"], **options), trained(activation="tanh", **options))
    model = trained(activation=("gelu", "leaky_relu"), **options)
    assert model._net.activation == ["gelu", "leaky_relu"]
    assert not np.allclose(theta(model), theta(trained(activation="tanh", **options)))
    assert "1 activations for 2 hidden layers" in refused(activation=["relu"], **options)
    assert "unknown activation 'sinus'" in refused(activation=["relu", "sinus"], **options)


@pytest.mark.parametrize("solver", SOLVERS)
def test_label_smoothing_is_training_on_smoothed_labels(solver):
    s, options = 0.3, {"learning_rate_init": 1e-12, "alpha": 0.0, "max_iter": 1, "solver": solver}
    model = trained(label_smoothing=s, **options | ({"max_fun": 1, "tol": 1e9} if solver == "lbfgs" else {}))
    logs = model.predict_log_proba(X3)
    expected = -(1 - s) * logs[np.arange(150), Y3].mean() - s * logs.mean()
    assert model.loss_ == pytest.approx(expected, rel=1e-8)


def test_label_smoothing_keeps_probabilities_from_the_ends(kind):
    options = {"max_iter": 300, "solver": "lbfgs", "alpha": 0.0}
    s, K = 0.3, len(np.unique(DATA[kind][1]))
    p = trained(*DATA[kind], label_smoothing=s, **options).predict_proba(DATA[kind][0])
    assert np.median(p.max(axis=1)) == pytest.approx(1 - s + s / K, abs=0.05)


def test_weight_decay_with_adam_shrinks_the_weights_apart_from_the_gradient():
    rows = np.zeros_like(X3)  # without gradient for the first layer's W
    options = {"alpha": 0.0, "max_iter": 3, "learning_rate_init": 0.1}
    plain, decayed = (trained(rows, weight_decay=decay, **options).coefs_[0] for decay in (0.0, 0.5))
    np.testing.assert_allclose(decayed, plain * 0.95**3)


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_weight_decay_without_adam_is_a_penalty_on_the_mean_loss(solver):
    options = {"solver": solver, "batch_size": 150}
    close(trained(weight_decay=0.02, alpha=0.0, **options), trained(alpha=0.02 * 150, **options), rtol=1e-6, atol=1e-8)


def test_a_gradient_is_never_longer_than_max_grad_norm():
    options = {"solver": "sgd", "max_iter": 1, "momentum": 0.0, "nesterovs_momentum": False, "batch_size": 150}
    options |= {"learning_rate_init": 1.0, "shuffle": False}
    start = theta(trained(**options | {"learning_rate_init": 1e-300}))
    free, clipped = (theta(trained(max_grad_norm=norm, **options)) - start for norm in (None, 0.01))
    assert np.linalg.norm(free) > 0.01
    assert np.linalg.norm(clipped) == pytest.approx(0.01)
    np.testing.assert_allclose(clipped / 0.01, free / np.linalg.norm(free), atol=1e-6)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize(("schedule", "last"), [("cosine", 0.0), ("constant", 0.01)])
def test_the_rate_warms_up_and_then_follows_its_schedule(schedule, last, solver):
    model = trained(learning_rate=schedule, warmup_epochs=2, batch_size=15, max_iter=10, solver=solver)
    rates = np.array([model._rate.rate(t) for t in range(100)])
    np.testing.assert_allclose(rates[:20], 0.01 * np.arange(1, 21) / 20)
    assert (np.diff(rates[20:]) <= 0).all()
    assert rates[-1] == pytest.approx(last, abs=1e-4)
    assert not np.array_equal(theta(model), theta(trained(batch_size=15, max_iter=10, solver=solver)))


def test_the_three_roads_give_the_same_net(kind):
    for solver in SOLVERS:
        nets = [trained(*DATA[kind], output_gradient=road, solver=solver) for road in ("vjp", "jacobian", "fused")]
        close(nets[0], nets[1], rtol=1e-6, atol=1e-8)
        close(nets[0], nets[2], rtol=1e-6, atol=1e-8)


def test_verbose_shows_a_bar_on_stderr(capfd, monkeypatch):
    note = MLPClassifier._note
    monkeypatch.setattr(MLPClassifier, "_note", lambda self, *a: (time.sleep(0.03), note(self, *a)))  # to be drawn
    trained(verbose=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "/12 [" in err
    assert "loss=" in err


def test_verbose_2_prints_lines_like_scikit_learns(capfd):
    def lines(text):
        return ["".join(c for c in line if not c.isdigit()) for line in text.splitlines() if "did not" not in line]

    said = []
    for kind in (Theirs, MLPClassifier):
        kind(**QUICK, verbose=2, early_stopping=True, validation_fraction=0.2, n_iter_no_change=50).fit(X3, Y3)
        out, err = capfd.readouterr()
        assert err == ""
        said.append(lines(out))
    assert said[0] == said[1]
    assert len(said[1]) == 24


def test_nothing_is_shown_by_default(capfd):
    trained(early_stopping=True)
    assert capfd.readouterr() == ("", "")


# Threads


def blas_threads():
    return [library["num_threads"] for library in ThreadpoolController().select(user_api="blas").info()]


def test_several_fits_at_once_use_one_thread_each_and_put_the_limit_back(monkeypatch):
    seen, meeting = [], threading.Barrier(3, timeout=30)
    note = MLPClassifier._note

    def noted(self, epoch, n):
        if self.n_iter_ == 1:
            meeting.wait()
            seen.extend(blas_threads())
            meeting.wait()
        note(self, epoch, n)

    monkeypatch.setattr(MLPClassifier, "_note", noted)
    monkeypatch.setattr(training, "LARGE", 1)  # so that each alone would take two threads
    before = blas_threads()
    nets = joblib.Parallel(3, backend="threading")(joblib.delayed(trained)(random_state=k) for k in range(3))
    assert set(seen) == {1}
    assert blas_threads() == before
    monkeypatch.undo()
    for k, net in enumerate(nets):
        close(net, trained(random_state=k))


def test_a_limit_set_from_outside_is_not_raised(monkeypatch):
    monkeypatch.setattr(training, "LARGE", 1)
    seen, note = [], MLPClassifier._note
    monkeypatch.setattr(MLPClassifier, "_note", lambda self, *a: (seen.extend(blas_threads()), note(self, *a)))
    with ThreadpoolController().limit(limits=1, user_api="blas"):
        trained()
    assert set(seen) == {1}


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_the_limit_is_put_back_after_an_error(solver):
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        before = blas_threads()
        refused(ValueError, X3 * 1e300, Y3, solver=solver, learning_rate_init=1e300)
        assert blas_threads() == before


# Saving and copying


@pytest.mark.parametrize("labels", ["text", "numbers"])
def test_a_saved_model_predicts_the_same_and_holds_no_pickle(labels, kind, tmp_path):
    X, y = DATA[kind]
    y = NAMES[y] if labels == "text" else y + 5
    model = trained(X, y)
    model.save(tmp_path / "model.npz")
    np.load(tmp_path / "model.npz", allow_pickle=False)
    loaded = minnet.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    np.testing.assert_allclose(loaded.predict_proba(X), model.predict_proba(X), rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(loaded.classes_, model.classes_)


def test_minnet_predict_works_on_a_saved_model(tmp_path, capsys):
    frame = pd.DataFrame(X3, columns=["w", "x", "y", "z"])
    model = trained(frame, NAMES[Y3], max_iter=40)
    model.save(tmp_path / "model.npz")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    assert cli.main(["predict", str(tmp_path / "model.npz"), str(tmp_path / "rows.csv")]) == 0
    written = pd.read_csv(io.StringIO(capsys.readouterr().out))
    np.testing.assert_array_equal(written.iloc[:, 0].to_numpy(str), model.predict(frame))


def test_what_cannot_be_saved_is_refused(tmp_path):
    path = tmp_path / "model.npz"
    assert "float64 cannot be saved" in refused(ValueError, path, fit=trained(X3, Y3.astype(float)).save)
    assert "only one class" in refused(ValueError, path, fit=trained(X3[:50], Y3[:50]).save)
    assert "not fitted" in refused(NotFittedError, path, fit=MLPClassifier().save)
    assert not path.exists()


def through_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


COPIES = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "joblib": through_joblib,
}


@pytest.mark.parametrize("how", ["pickle", "deepcopy", "joblib"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_copy_has_weights_of_its_own_that_are_its_nets(how, solver):
    model = trained(solver=solver)
    before = model.predict_proba(X3)
    twin = COPIES[how](model)
    np.testing.assert_array_equal(twin.predict_proba(X3), before)
    assert all(np.shares_memory(a, twin._net.theta) for a in [*twin.coefs_, *twin.intercepts_])
    twin.coefs_[0] *= 2
    twin.intercepts_[-1][0] += 3
    assert not np.allclose(twin.predict_proba(X3), before)
    np.testing.assert_array_equal(model.predict_proba(X3), before)


@pytest.mark.parametrize("how", ["pickle", "deepcopy", "joblib"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_copy_goes_on_as_the_model_itself(how, solver):
    model = quick(solver=solver).partial_fit(X3, Y3, classes=[0, 1, 2]).partial_fit(X3, Y3)
    twin = COPIES[how](model)
    same(twin.partial_fit(X3, Y3), model.partial_fit(X3, Y3))
    assert twin.loss_curve_ == model.loss_curve_


@pytest.mark.parametrize("how", COPIES)
def test_a_model_that_was_not_fitted_can_be_copied(how):
    assert COPIES[how](quick(dropout=0.25)).get_params() == quick(dropout=0.25).get_params()


def test_weights_that_were_replaced_are_used_everywhere(tmp_path):
    def replaced(**options):
        model = trained(**options)
        model.coefs_ = [a + 0.1 for a in model.coefs_]
        model.intercepts_ = [a - 0.2 for a in model.intercepts_]
        return model

    def changed(**options):
        model = trained(**options)
        for a in model.coefs_:
            a += 0.1
        for a in model.intercepts_:
            a -= 0.2
        return model

    assert not np.allclose(replaced().predict_proba(X3), trained().predict_proba(X3))
    for use in (
        lambda model: model.predict_proba(X3),
        lambda model: theta(model.partial_fit(X3, Y3)),
        lambda model: theta(model.set_params(warm_start=True).fit(X3, Y3)),
        lambda model: theta(model.set_params(warm_start=True, solver="lbfgs").fit(X3, Y3)),
        lambda model: pickle.loads(pickle.dumps(model)).predict_proba(X3),
        lambda model: (model.save(tmp_path / "m.npz"), minnet.load(tmp_path / "m.npz").predict_proba(X3))[1],
    ):
        np.testing.assert_array_equal(use(replaced()), use(changed()))


# Going on, and chance


@pytest.mark.parametrize("batch_size", [16, 150])
@pytest.mark.parametrize("options", STOCHASTIC[:4] + STOCHASTIC[5:], ids=str)
def test_k_calls_of_partial_fit_are_k_epochs_of_fit(options, batch_size, kind):
    X, y = DATA[kind]
    options = options | {"shuffle": False, "batch_size": min(batch_size, len(y)), "learning_rate_init": 0.01}
    once = trained(X, y, max_iter=7, tol=0.0, n_iter_no_change=np.inf, **options)
    model = quick(**options)
    for k in range(7):
        model.partial_fit(X, y, classes=np.unique(y))
        assert (model.n_iter_, len(model.loss_curve_), model.t_) == (1, k + 1, (k + 1) * len(y))
    same(model, once)
    assert model.loss_curve_ == once.loss_curve_


def test_partial_fit_goes_on_after_fit_with_the_optimizers_state():
    options = {"shuffle": False, "tol": 0.0, "n_iter_no_change": np.inf}
    same(trained(max_iter=5, **options).partial_fit(X3, Y3), trained(max_iter=6, **options))


@pytest.mark.parametrize("options", [{}, {"dropout": 0.3}, {"solver": "lbfgs"}, {"early_stopping": True}], ids=str)
def test_the_same_random_state_gives_the_same_bits(options):
    options |= {} if "solver" in options else {"batch_size": 16}
    same(trained(**options), trained(**options))
    same(trained(random_state=np.random.RandomState(3), **options), trained(random_state=3, **options))
    assert not np.array_equal(theta(trained(**options)), theta(trained(random_state=1, **options)))


def test_without_a_random_state_each_fit_is_another():
    assert not np.array_equal(theta(trained(random_state=None)), theta(trained(random_state=None)))
    state = np.random.RandomState(0)
    assert not np.array_equal(theta(trained(random_state=state)), theta(trained(random_state=state)))


def test_shuffling_changes_the_batches():
    assert not np.array_equal(theta(trained(batch_size=8)), theta(trained(batch_size=8, shuffle=False)))


# scikit-learn's own checks


@parametrize_with_checks([MLPClassifier(), MLPClassifier(solver="sgd"), MLPClassifier(solver="lbfgs")])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_every_check_of_scikit_learn_passes(estimator, check):
    if check.func.__name__ != "check_array_api_input":  # which runs below, in a process of its own
        check(estimator)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_checks_of_columns_and_parameters_pass(solver):
    for check in (check_dataframe_column_names_consistency, check_param_validation):
        check("MLPClassifier", MLPClassifier(solver=solver, max_iter=5))


def test_the_array_api_check_passes_where_it_can_run():
    code = """
import functools, warnings
warnings.simplefilter("ignore")
from minnet import MLPClassifier
from sklearn.utils.estimator_checks import _yield_all_checks
for solver in ("adam", "sgd", "lbfgs"):
    checks = [c for c in _yield_all_checks(MLPClassifier(), legacy=True) if "array_api" in str(c)]
    for check in checks:
        check("MLPClassifier", MLPClassifier(solver=solver))
    print(len(checks))
"""
    env = os.environ | {"SCIPY_ARRAY_API": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=100)
    assert (done.stdout.split(), done.stderr) == (["1", "1", "1"], "")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("options", "known"),
    [
        ({"batch_size": 8, "learning_rate_init": 0.03}, WEIGHT_EQUIVALENCE | CLASS_WEIGHT),
        ({"early_stopping": True}, WEIGHT_EQUIVALENCE),
        ({"early_stopping": "loss", "batch_size": 8}, WEIGHT_EQUIVALENCE),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_mini_batches_and_early_stopping_fail_only_where_rows_are_drawn(options, known):
    # a tenth of the 300 rows of one check is too few for the accuracy to grow steadily
    results = check_estimator(MLPClassifier(validation_fraction=0.3, **options), on_fail=None, on_skip=None)
    assert {result["check_name"] for result in results if result["status"] == "failed"} <= known


# In a notebook


def test_it_works_where_scikit_learns_works():
    model = quick(max_iter=100)
    pipeline = make_pipeline(StandardScaler(), model)
    assert cross_val_score(pipeline, X3, NAMES[Y3], cv=3).mean() > 0.8
    grid = {"mlpclassifier__alpha": [1e-4, 1e-2], "mlpclassifier__hidden_layer_sizes": [(5,), (5, 5)]}
    search = GridSearchCV(pipeline, grid, n_jobs=2, cv=3).fit(X3, Y3)
    assert search.best_score_ > 0.8
    alone = GridSearchCV(pipeline, grid, cv=3).fit(X3, Y3)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])
    calibrated = CalibratedClassifierCV(model, cv=3).fit(X3, Y3)
    np.testing.assert_allclose(calibrated.predict_proba(X3).sum(axis=1), 1)
    importance = permutation_importance(model.fit(X3, Y3), X3, Y3, n_repeats=3, random_state=0)
    assert importance.importances_mean.shape == (4,)
    again = clone(model)
    assert not hasattr(again, "coefs_")
    assert again.get_params() == model.get_params()
    same(again.fit(X3, Y3), model)


def test_a_search_runs_on_a_dask_cluster(tmp_path):
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    search = GridSearchCV(quick(), {"alpha": [1e-4, 1.0]}, cv=3)
    with LocalCluster(**options, local_directory=str(tmp_path)) as cluster, Client(cluster):  # noqa: SIM117
        with joblib.parallel_config(backend="dask"):
            search.fit(X3, Y3)
    here = clone(search).fit(X3, Y3)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], here.cv_results_["mean_test_score"])
    close(search.best_estimator_, here.best_estimator_)


@pytest.mark.parametrize("sizes", [(), (3,), [4, 3], 5, np.array([2, 6])], ids=str)
def test_hidden_layer_sizes_are_taken_in_every_form(sizes):
    model = trained(hidden_layer_sizes=sizes)
    hidden = [int(n) for n in np.atleast_1d(sizes)]
    assert [a.shape for a in model.coefs_] == list(pairwise([4, *hidden, 3]))
