"""minnet.MLPClassifier in the place of scikit-learn's: the same parameters, attributes, errors and
numbers; and what it has beyond them."""

import contextlib
import copy
import inspect
import io
import os
import pickle
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from scipy.special import log_softmax
from sklearn import datasets
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier as Theirs
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils import estimator_checks
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import ThreadpoolController

import minnet
from minnet import MLPClassifier, cli, distributed, estimator, training
from minnet.core.optimizers import Schedule

ROOT = Path(__file__).resolve().parent.parent
X3, Y3 = datasets.load_iris(return_X_y=True)
X2, Y2 = datasets.load_breast_cancer(return_X_y=True)
X3, X2, Y2 = scale(X3), scale(X2)[::5, :8], Y2[::5]
DATA = {"binary": (X2, Y2), "multiclass": (X3, Y3)}
W = {kind: np.random.default_rng(0).integers(1, 5, len(y)) / 2 for kind, (_, y) in DATA.items()}
W3, ALL = W["multiclass"], [0, 1, 2]
NAMES = np.array(["setosa", "versicolor", "virginica"])
SOLVERS = ["adam", "sgd", "lbfgs"]
BOTH = (Theirs, MLPClassifier)
QUICK = {"hidden_layer_sizes": (6,), "max_iter": 12, "learning_rate_init": 0.01, "random_state": 0}

# these tests train for a few epochs only
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
each_solver = pytest.mark.parametrize("solver", SOLVERS)


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


def differ(a, b):
    assert not np.array_equal(theta(a), theta(b))


def close(a, b, **tolerance):
    np.testing.assert_allclose(theta(a), theta(b), **{"rtol": 1e-9, "atol": 1e-11} | tolerance)


def refused(*arguments, fit=None, **options):
    """The message of a fit that is refused."""
    with pytest.raises(ValueError) as caught:
        (fit or quick(**options).fit)(*(arguments or (X3, Y3)))
    return str(caught.value)


def refused_by_both(method="fit", arguments=(X3, Y3), **options):
    """The one message of both classes."""
    models = [kind(**QUICK | options) for kind in BOTH]
    theirs, ours = (refused(*arguments, fit=getattr(model, method)) for model in models)
    assert theirs == ours
    return ours


def losses(model, X=X3, y=Y3):
    return -model.predict_log_proba(X)[np.arange(len(y)), y]


def from_equal_weights(X, y, sample_weight=None, **options):
    """scikit-learn's and ours, trained on from the same weights, with the rows in their order."""
    options |= {"hidden_layer_sizes": (7, 5), "random_state": 1, "shuffle": False}
    models = [kind(max_iter=1, warm_start=True, **options).fit(X, y) for kind in BOTH]
    for name in ("coefs_", "intercepts_"):
        for theirs, ours in zip(*(getattr(model, name) for model in models), strict=True):
            ours[:] = theirs
    for model in models:
        if model.solver != "lbfgs":
            model.loss_curve_, model.best_loss_ = [], np.inf
            model._no_improvement_count = model.t_ = 0
        model.set_params(max_iter=30).fit(X, y, sample_weight)
    return models


# Parameters, attributes and methods


def test_the_parameters_and_methods_are_those_of_scikit_learn_and_more():
    for name, method in inspect.getmembers(Theirs, callable):
        if name == "__init__" or not name.startswith(("_", "set_")):
            ours, theirs = (
                [p.replace(annotation="") for p in inspect.signature(m).parameters.values()]
                for m in (getattr(MLPClassifier, name), method)
            )
            assert ours[: len(theirs)] == theirs, name
    assert {"set_params", "set_fit_request", "set_score_request"} <= set(dir(MLPClassifier))
    own = MLPClassifier().get_params().keys() - Theirs().get_params().keys()
    off = {"class_weight": None, "max_grad_norm": None, "output_gradient": "vjp"}
    off |= dict.fromkeys(("dropout", "label_smoothing", "weight_decay", "warmup_epochs"), 0)
    assert {name: MLPClassifier().get_params()[name] for name in own} == off


def described(constraint):
    return frozenset(getattr(constraint, "options", [str(constraint)]))


def test_parameters_may_be_what_they_may_be_in_scikit_learn_and_are_refused_in_its_words():
    allowed = [
        {name: {*map(described, kinds)} for name, kinds in kind._parameter_constraints.items()}
        for kind in BOTH
    ]
    other = {name for name, kinds in allowed[0].items() if kinds != allowed[1][name]}
    assert other == {"activation", "learning_rate", "early_stopping"}
    for name, bad in {"activation": "sinus", "dropout": 1.0, "early_stopping": "f1"}.items():
        said = refused(**{name: bad})
        assert f"The '{name}' parameter of MLPClassifier must be" in said
    for hidden in ((0,), (5, 0), (4, -2)):
        said = refused_by_both(hidden_layer_sizes=hidden)
        assert said == f"hidden_layer_sizes must be > 0, got {list(hidden)}."


@pytest.mark.parametrize("early_stopping", [False, True])
@each_solver
def test_the_fitted_attributes_are_those_of_scikit_learn(kind, solver, early_stopping):
    options = {"solver": solver, "early_stopping": early_stopping, "hidden_layer_sizes": (7, 3)}
    theirs, ours = (vars(kind_(**QUICK | options).fit(*DATA[kind])) for kind_ in BOTH)
    own = {name for name in ours.keys() - theirs.keys() if name[0] != "_" and name[-1] == "_"}
    assert own == (set() if solver == "lbfgs" else {"validation_loss_curve_"})
    for name, value in theirs.items():
        if name in ("coefs_", "intercepts_"):
            assert [*map(np.shape, ours[name])] == [*map(np.shape, value)]
        elif name.endswith(("curve_", "scores_")) or isinstance(value, float):
            assert np.shape(ours[name]) == np.shape(value)
        elif name[0] != "_" and name[-1] == "_":
            np.testing.assert_array_equal(ours[name], value)
    if solver != "lbfgs":
        assert ours["loss_"] == ours["loss_curve_"][-1]
        if early_stopping:
            assert ours["best_validation_score_"] == max(ours["validation_scores_"])
        else:
            assert ours["best_loss_"] == min(ours["loss_curve_"])


def test_a_second_fit_starts_anew_and_with_warm_start_from_the_weights():
    model = quick()
    first = theta(model.fit(X3, Y3))
    np.testing.assert_array_equal(theta(model.fit(X3, Y3)), first)
    assert (len(model.loss_curve_), model.t_) == (12, 12 * len(Y3))
    model.set_params(warm_start=True).fit(X3, Y3)
    assert (len(model.loss_curve_), model.t_) == (24, 24 * len(Y3))
    assert model.loss_curve_[12] < model.loss_curve_[11] * 1.05


def test_probabilities_and_their_logarithms_are_those_of_the_weights(kind):
    X, y = DATA[kind]
    theirs, model = Theirs(**QUICK).fit(X, y), trained(X, y)
    model.coefs_, model.intercepts_ = theirs.coefs_, theirs.intercepts_
    for method, tolerance in (("predict_proba", 1e-12), ("predict_log_proba", 1e-9)):
        expected = getattr(theirs, method)(X)
        np.testing.assert_allclose(getattr(model, method)(X), expected, rtol=tolerance, atol=1e-12)
    np.testing.assert_array_equal(model.predict(X), theirs.predict(X))
    assert model.score(X, y) == theirs.score(X, y)
    model.coefs_[-1] *= 1e4  # a class is hopeless
    logs, expected = model.predict_log_proba(X), log_softmax(model._logits(X), axis=1)
    assert np.isfinite(logs).all() and expected.min() < -1000
    np.testing.assert_allclose(logs[expected > -600], expected[expected > -600], atol=1e-9)


# Errors and warnings


def test_too_few_epochs_give_scikit_learns_warning_and_a_converged_fit_gives_none(recwarn):
    with pytest.warns(ConvergenceWarning) as caught:
        for kind in BOTH:
            kind(max_iter=3).fit(X3, Y3)
    theirs, ours = (str(warning.message) for warning in caught)
    assert ours == theirs and caught[1].filename == __file__
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
        trained(solver="lbfgs", max_iter=2)
    trained(tol=10.0, n_iter_no_change=2, max_iter=100)
    quick(max_iter=1).partial_fit(X3, Y3, classes=ALL)
    assert not recwarn.list


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_batch_size_above_n_is_clipped_with_a_warning(method):
    arguments = (X3, Y3, None, ALL) if method == "partial_fit" else (X3, Y3)
    with pytest.warns(UserWarning, match="It is going to be clipped"):
        clipped = getattr(quick(batch_size=1000), method)(*arguments)
    same(clipped, getattr(quick(batch_size=len(Y3)), method)(*arguments))


def test_partial_fit_needs_the_classes_once_refuses_others_and_is_not_there_with_lbfgs():
    assert "classes must be passed" in refused_by_both("partial_fit")
    said = refused_by_both("partial_fit", (X3, Y3, None, [0, 1]))
    assert said.startswith("`y` has classes not in `self.classes_`")
    model = quick().partial_fit(X3, Y3, classes=ALL).partial_fit(X3[:5], Y3[:5])
    assert list(model.classes_) == ALL
    for kind in BOTH:
        with pytest.raises(AttributeError, match="has no attribute 'partial_fit'") as caught:
            _ = kind(solver="lbfgs").partial_fit
        assert "lbfgs is not stochastic" in str(caught.value.__cause__)


def test_warm_start_refuses_other_classes_and_another_net():
    for kind in BOTH:
        said = refused(X3[:99], Y3[:99], fit=kind(**QUICK, warm_start=True).fit(X3, Y3).fit)
        assert said.startswith("warm_start can only be used where `y` has the same classes as in")
    said = refused(X3, Y3, fit=trained(warm_start=True).set_params(hidden_layer_sizes=(9,)).fit)
    assert "[4, 6, 3]" in said and "[4, 9, 3]" in said


def test_more_than_one_label_a_row_and_infinite_weights_are_refused_in_scikit_learns_words():
    for target in (np.eye(3, dtype=int)[Y3], np.c_[Y3, Y3]):
        said = refused(X3, target)
        assert said == f"y should be a 1d array, got an array of shape {target.shape} instead."
    for solver in ("adam", "sgd"):
        said = refused(X3 * 1e300, Y3, solver=solver, learning_rate_init=1e300)
        assert said.startswith("Solver produced non-finite parameter weights.")
        assert "(training diverged in epoch " in said


@pytest.mark.parametrize("steps", [30, 35])
def test_an_interrupt_keeps_what_was_learned(monkeypatch, steps):
    """After three epochs of ten steps, and within the fourth, of which the steps taken stay."""
    count, update = iter(range(1, 1000)), training.update

    def interrupted(*arguments, **options):
        if next(count) > steps:
            raise KeyboardInterrupt
        update(*arguments, **options)

    monkeypatch.setattr(training, "update", interrupted)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model = trained(batch_size=15)
    monkeypatch.undo()
    assert (model.n_iter_, model.t_) == (3, 450)
    (same if steps == 30 else differ)(model, trained(batch_size=15, max_iter=3))
    t = model._state.t
    model.partial_fit(X3[:40], Y3[:40])  # a whole epoch of these rows
    assert (model.t_, model._state.t) == (490, t + 3)


# What it takes


@each_solver
@pytest.mark.parametrize("of", [sp.csr_matrix, sp.csr_array, sp.csc_array, sp.coo_array])
def test_sparse_rows_give_what_dense_ones_give(of, solver, kind):
    X, y = DATA[kind]
    X = np.where(np.abs(X) < 0.5, 0, X)
    dense, sparse = (trained(rows, y, solver=solver, batch_size=32) for rows in (X, of(X)))
    close(dense, sparse, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(dense.predict_proba(X), sparse.predict_proba(of(X)), atol=1e-6)
    if solver != "lbfgs":
        close(*(trained(rows, y, early_stopping=True, solver=solver) for rows in (X, of(X))))
        close(*(trained(X, y, None, (rows, y), early_stopping=True) for rows in (X, of(X))))
        close(dense.partial_fit(X, y), sparse.partial_fit(of(X), y), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_frames_give_what_arrays_give_and_their_columns_are_checked(frame):
    rows, wrong = (frame(dict(zip(names, X3.T, strict=True))) for names in ("abcd", "abce"))
    model = trained(rows, pd.Series(NAMES[Y3]))
    same(model, trained())
    assert list(model.feature_names_in_) == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(model.predict(rows), NAMES[trained().predict(X3)])
    assert "feature names should match" in refused(wrong, fit=model.predict)
    assert "feature names should match" in refused(wrong, NAMES[Y3], fit=model.partial_fit)


@each_solver
@pytest.mark.parametrize(("dtype", "kept"), [("float32",) * 2, ("float64",) * 2, (int, "float64")])
def test_float32_is_kept_and_the_rest_is_float64(dtype, kept, solver):
    X = (10 * X3).astype(dtype)
    model = trained(X, solver=solver)
    assert {a.dtype for a in [*model.coefs_, *model.intercepts_]} == {np.dtype(kept)}
    assert model.predict_proba(X).dtype == kept
    if dtype == "float32" and solver == "adam":
        close(model, trained(10 * X3), rtol=1e-2, atol=1e-3)


@each_solver
@pytest.mark.parametrize("K", [1, 2, 3])
def test_any_number_of_classes_and_any_form_of_hidden_layers_works(K, solver):
    forms, many = [(), (5,), [4, 6], 5, np.array([6, 3])], np.flatnonzero(Y3 < K)
    for hidden, rows in zip(forms, [np.arange(0, 50 * K, 50)] * 3 + [many] * 2, strict=True):
        y, options = NAMES[Y3[rows]], {"max_iter": 100, "learning_rate_init": 0.05}
        model = trained(X3[rows], y, solver=solver, hidden_layer_sizes=hidden, **options)
        sizes = [4, *np.atleast_1d(hidden).astype(int).tolist(), K if K > 2 else 1]
        assert [a.shape for a in model.coefs_] == list(pairwise(sizes))
        p = model.predict_proba(X3)
        assert p.shape == (len(X3), K)
        np.testing.assert_allclose(p.sum(axis=1), 1)
        assert model.score(X3[rows], y) > 0.9


# The rows that early stopping holds out


@pytest.fixture
def splits(monkeypatch):
    """The parts into which each fit has split its rows."""
    found, split = [], MLPClassifier._split
    noted = lambda self, part: found.append(split(self, part)) or found[-1]  # noqa: E731
    monkeypatch.setattr(MLPClassifier, "_split", noted)
    return found


def test_the_held_out_rows_have_the_classes_in_proportion_but_a_class_of_one_row_is_trained_on(
    splits,
):
    y = np.repeat([0, 1], [120, 30])
    trained(X3, y, early_stopping=True, validation_fraction=0.2)
    trained(X3[:101], Y3[:101], early_stopping=True)  # one virginica
    counts = [np.bincount(part.y).tolist() for parts in splits for part in parts.values()]
    assert counts == [[96, 24], [24, 6], [45, 45, 1], [5, 5]]
    one, other = (trained(early_stopping=True, random_state=k) for k in (0, 1))
    assert (splits[-1]["validation"].X != splits[-2]["validation"].X).any()
    assert one._state.order != other._state.order  # and another order of rows
    rows = np.concatenate([part.X for part in splits[0].values()])
    assert sorted(map(tuple, rows)) == sorted(map(tuple, X3))


def test_held_out_rows_are_measured_with_their_weights(splits):
    options = {"early_stopping": True, "max_iter": 3, "validation_fraction": 0.4}
    model = trained(sample_weight=W3**3, **options)
    part, best = splits[0]["validation"], int(np.argmax(model.validation_scores_))
    assert model.validation_scores_[best] == pytest.approx(model.score(part.X, part.y, part.w))
    mean = np.average(losses(model, part.X, part.y), weights=part.w)
    assert model.validation_loss_curve_[best] == pytest.approx(mean)


def test_of_few_rows_two_are_held_out_and_of_two_none_can_be():
    """scikit-learn's own refuses to hold out a single row, which a tenth of ten is."""
    assert trained(X3[::15], Y3[::15], early_stopping=True, max_iter=1).t_ == 8
    for kind in BOTH:  # fewer than there are classes
        assert kind(**QUICK, early_stopping=True).fit(X3[::8], Y3[::8]).t_ % 17 == 0
    said = refused(X3[49:51], Y3[49:51], early_stopping=True)
    assert said.startswith("The validation set is too small, of n_samples=2 rows.")
    said = refused(early_stopping=True, validation_fraction=0)
    assert said.startswith("The validation set is too small, of n_samples=150 rows.")


# Weights of rows and classes


@each_solver
def test_a_weight_counts_as_so_many_rows(solver, kind):
    X, y = DATA[kind]
    times = np.arange(len(y)) % 3
    options = {"solver": solver, "shuffle": False, "alpha": 0.1}
    weighted = trained(X, y, times.astype(float), **options)
    repeated = trained(X.repeat(times, axis=0), y.repeat(times), **options)
    close(weighted, repeated, rtol=1e-5, atol=1e-7)
    assert weighted.loss_ == pytest.approx(repeated.loss_, rel=1e-6)


@each_solver
@pytest.mark.parametrize("early_stopping", [False, True])
def test_rows_of_weight_0_are_as_if_not_there(solver, early_stopping):
    kept = np.arange(len(Y3)) % 4 > 0
    X = np.where(kept[:, None], X3, 1e6)
    options = {"solver": solver, "batch_size": 20, "early_stopping": early_stopping}
    same(trained(X, Y3, kept * W3, **options), trained(X3[kept], Y3[kept], W3[kept], **options))


def test_weights_that_are_negative_or_all_0_are_refused():
    bad = {"egative": np.r_[-1.0, np.ones(149)], "at least one non-zero": np.zeros(150)}
    bad |= {"NaN": np.full(150, np.nan), "shape": np.ones(3)}
    for words, w in bad.items():
        assert words in refused(X3, Y3, w)
        assert words in refused(X3, Y3, w, ALL, fit=quick().partial_fit)
    assert "every row has weight 0" in refused(class_weight=dict.fromkeys(ALL, 0.0))


@each_solver
@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 1: 0.5}, {2: 0}], ids=str)
def test_class_weights_are_the_row_weights_they_stand_for(class_weight, solver):
    rows = np.r_[0:50, 60:80, 100:140]
    X, y, options = X3[rows], Y3[rows], {"solver": solver, "batch_size": 16}
    for own in (np.ones(len(y)), W3[rows]):
        by_class = compute_sample_weight(class_weight, y)
        if class_weight == "balanced":
            by_class = (own.sum() / (3 * np.bincount(y, own)))[y]
        model = trained(X, y, own, class_weight=class_weight, **options)
        close(model, trained(X, y, own * by_class, **options))


def test_class_weights_are_given_by_label_and_to_partial_fit_as_a_dict_only():
    five = np.where(Y3 == 0, 5.0, 1.0)
    close(trained(X3, NAMES[Y3], class_weight={"setosa": 5.0}), trained(sample_weight=five))
    balanced = quick(class_weight="balanced").partial_fit
    assert "give class_weight as a dict" in refused(X3, Y3, None, ALL, fit=balanced)
    model = quick(class_weight={0: 5.0}).partial_fit(X3, Y3, classes=ALL)
    close(model, quick().partial_fit(X3, Y3, five, classes=ALL))


# The same numbers as scikit-learn's

STOCHASTIC = [
    {"solver": "sgd"},
    {"solver": "sgd", "nesterovs_momentum": False},
    {"solver": "sgd", "momentum": 0.0},
    {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.02, "n_iter_no_change": 3},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 9.0, "n_iter_no_change": 1},
    {"solver": "adam"},
    {"solver": "adam", "tol": 1.0, "n_iter_no_change": 3},
    *({"activation": name} for name in ("identity", "logistic", "relu")),
    {"solver": "adam", "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3},
]


@pytest.mark.parametrize(("batch_size", "weighted"), [(32, False), ("auto", True), (32, True)])
@pytest.mark.parametrize("options", STOCHASTIC, ids=str)
def test_sgd_and_adam_follow_scikit_learns_numbers(options, batch_size, weighted, kind):
    options = {"learning_rate_init": 0.01, "alpha": 0.05, "activation": "tanh"} | options
    w = W[kind] if weighted else None
    theirs, ours = from_equal_weights(*DATA[kind], w, batch_size=batch_size, **options)
    assert (ours.n_iter_, ours.t_) == (theirs.n_iter_, theirs.t_)
    close(ours, theirs)
    if (batch_size, weighted) != (32, True):  # a mean over weights; theirs is over rows
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-10)


@pytest.mark.parametrize("options", [{}, {"alpha": 0.05}, {"tol": 0.05}, {"max_fun": 9}], ids=str)
def test_lbfgs_follows_scikit_learns_numbers_and_ends_where_it_does(options, kind):
    w = W[kind] if "alpha" in options else None
    theirs, ours = from_equal_weights(*DATA[kind], w, solver="lbfgs", activation="tanh", **options)
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-6)
    close(ours, theirs, rtol=1e-3, atol=1e-4)


# Beyond scikit-learn's


def test_validation_data_are_measured_after_each_epoch_and_change_nothing():
    X, y = X3[1::2], Y3[1::2]
    model = trained(X3[::2], Y3[::2], validation_data=(X, y))
    same(model, trained(X3[::2], Y3[::2]))
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == model.n_iter_
    assert model.validation_scores_[-1] == pytest.approx(model.score(X, y))
    assert model.validation_loss_curve_[-1] == pytest.approx(losses(model, X, y).mean())
    model = trained(early_stopping=True, validation_data=(X, y))
    assert model.t_ == model.n_iter_ * len(Y3)  # no rows are held out


def test_validation_data_that_do_not_fit_are_refused():
    bad = {"must be a pair": (X3,), "2 features": (X3[:, :2], Y3)}
    bad |= {"classes that `y` does not have: [3]": (X3, Y3 + 1)}
    bad |= {"inconsistent numbers": (X3[:5], Y3), "should be a 1d array": (X3, np.eye(3)[Y3])}
    for words, pair in bad.items():
        assert words in refused(X3, Y3, None, pair)


@pytest.mark.parametrize("watch", ["accuracy", "loss", True])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_early_stopping_brings_the_best_weights_back(watch, solver):
    X, y = X3[1::2], Y3[1::2]
    noisy = np.where(np.arange(75) % 4 == 0, (Y3[::2] + 1) % 3, Y3[::2])
    options = {"learning_rate_init": 0.1, "max_iter": 300, "batch_size": 5}
    options |= {"hidden_layer_sizes": (30,), "early_stopping": watch, "solver": solver}
    model = trained(X3[::2], noisy, None, (X, y), **options)
    assert model.n_iter_ < 300
    scores, curve = np.array(model.validation_scores_), -np.array(model.validation_loss_curve_)
    best = int((curve if watch == "loss" else scores).argmax())
    assert best < model.n_iter_ - 1
    assert model.best_validation_score_ == scores[best] == pytest.approx(model.score(X, y))
    assert losses(model, X, y).mean() == pytest.approx(-curve[best])


def test_early_stopping_ends_when_the_score_has_not_grown_and_partial_fit_has_none():
    """scikit-learn's own refuses early_stopping in partial_fit."""
    model = trained(early_stopping=True, tol=2.0, n_iter_no_change=4, max_iter=100)
    assert model.n_iter_ == 6
    on, off = (quick(early_stopping=s).partial_fit(X3, Y3, classes=ALL) for s in (True, False))
    same(on, off)
    assert on.t_ == off.t_ == len(Y3)
    scores = len(on.fit(X3, Y3).validation_scores_)
    assert len(on.partial_fit(X3, Y3).validation_scores_) == scores
    assert np.isfinite(on.best_loss_)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_its_own_parameters_reach_the_net_and_the_training_loop(monkeypatch, solver):
    nets, recipes, train = [], [], estimator.train
    noted = lambda *a: nets.append(a[0]) or recipes.append(a[2]) or train(*a)  # noqa: E731
    monkeypatch.setattr(estimator, "train", noted)
    own = {"activation": ["gelu", "leaky_relu"], "dropout": 0.4, "label_smoothing": 0.3}
    own |= {"output_gradient": "jacobian"}
    options = {
        "max_grad_norm": 0.01,
        "learning_rate": "cosine",
        "warmup_epochs": 2,
        "batch_size": 15,
    }
    model = trained(hidden_layer_sizes=(6, 5), solver=solver, **own, **options)
    assert {name: getattr(nets[0], name) for name in own} == own
    assert recipes[0].max_grad_norm == 0.01
    assert recipes[0].schedule == Schedule(0.01, "cosine", steps=120, warmup=20)
    np.testing.assert_array_equal(model.predict_proba(X3), model.predict_proba(X3))  # no dropout
    assert "solver='lbfgs'" in refused(dropout=0.5, solver="lbfgs")
    assert "1 activations" in refused(activation=["relu"], hidden_layer_sizes=(6, 5))
    assert "sinus" in refused(activation=["relu", "sinus"], hidden_layer_sizes=(6, 5))


@each_solver
def test_label_smoothing_is_training_on_smoothed_labels(solver):
    options = {"learning_rate_init": 1e-12, "alpha": 0.0, "max_iter": 1, "solver": solver}
    options |= {"max_fun": 1, "tol": 1e9} if solver == "lbfgs" else {}
    model = trained(label_smoothing=0.3, **options)
    expected = 0.7 * losses(model).mean() - 0.3 * model.predict_log_proba(X3).mean()
    assert model.loss_ == pytest.approx(expected, rel=1e-8)


def test_weight_decay_shrinks_weights_with_adam_and_is_a_penalty_on_the_mean_loss_without():
    rows = np.zeros_like(X3)  # without gradient for the first layer's W
    options = {"alpha": 0.0, "max_iter": 3, "learning_rate_init": 0.1}
    plain, decayed = (trained(rows, weight_decay=d, **options).coefs_[0] for d in (0.0, 0.5))
    np.testing.assert_allclose(decayed, plain * 0.95**3)
    for solver in ("sgd", "lbfgs"):
        for alpha in (0.0, 1.5):
            options = {"solver": solver, "batch_size": 150}
            one = trained(weight_decay=0.01, alpha=alpha, **options)
            close(one, trained(alpha=0.01 * 150 + alpha, **options), rtol=1e-6, atol=1e-8)


def test_verbose_shows_a_bar_or_lines_like_scikit_learns_and_by_default_nothing(capfd):
    def shown(kind, verbose):
        options = {"early_stopping": True, "validation_fraction": 0.2, "n_iter_no_change": 50}
        kind(**QUICK, **options, verbose=verbose).fit(X3, Y3)
        out, err = capfd.readouterr()
        text = "".join(c for c in out if not c.isdigit())
        return [line for line in text.splitlines() if "did not" not in line], err

    assert shown(MLPClassifier, False) == ([], "")
    out, bar = shown(MLPClassifier, True)
    assert out == [] and "/12 [" in bar
    theirs, ours = (shown(kind, 2) for kind in BOTH)
    assert ours == theirs and len(ours[0]) == 24


@pytest.mark.parametrize("limit", [1, 2])
def test_a_limit_of_threads_set_from_outside_is_not_raised_and_comes_back(limit, monkeypatch):
    blas = ThreadpoolController().select(user_api="blas")
    seen, update = [], training.update
    noted = lambda *a, **o: seen.append(blas.info()) or update(*a, **o)  # noqa: E731
    monkeypatch.setattr(training, "update", noted)
    monkeypatch.setattr(distributed, "LARGE", 1)  # so that it would take two
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    with blas.limit(limits=limit):
        trained()
        refused(X3 * 1e300, Y3, learning_rate_init=1e300)
        seen.append(blas.info())
    assert {pool["num_threads"] for pools in seen for pool in pools} == {limit}


# Saving and copying


@pytest.mark.parametrize("labels", ["text", "numbers", "objects"])
def test_a_saved_model_predicts_the_same_and_holds_no_pickle(labels, kind, tmp_path, capsys):
    X, y = DATA[kind]
    y = {"text": NAMES[y], "numbers": y + 5, "objects": NAMES[y].astype(object)}[labels]
    frame = pd.DataFrame(X, columns=[*"abcdefgh"][: X.shape[1]])
    model, path = trained(frame, y), tmp_path / "model.npz"
    model.save(path)
    with np.load(path, allow_pickle=False) as arrays:
        assert all(arrays[name].size for name in arrays)
    loaded = minnet.load(path)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(frame))
    np.testing.assert_allclose(loaded.predict_proba(X), model.predict_proba(frame), rtol=1e-12)
    np.testing.assert_array_equal(loaded.classes_, model.classes_)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    assert cli.main(["predict", str(path), str(tmp_path / "rows.csv")]) == 0
    written = pd.read_csv(io.StringIO(capsys.readouterr().out)).iloc[:, 0]
    assert written.tolist() == model.predict(frame).tolist()


def test_what_cannot_be_saved_is_refused(tmp_path):
    path = tmp_path / "model.npz"
    assert "float64 cannot be saved" in refused(path, fit=trained(X3, Y3.astype(float)).save)
    assert "only one class" in refused(path, fit=trained(X3[:50], Y3[:50]).save)
    with pytest.raises(NotFittedError):
        MLPClassifier().save(path)
    assert not path.exists()


def pickled(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("copied", [pickled, copy.deepcopy])
@pytest.mark.parametrize("options", [{"solver": s} for s in SOLVERS] + [{"dropout": 0.3}], ids=str)
def test_a_copy_has_weights_of_its_own_and_continues_as_the_model_itself(copied, options):
    model = trained(**options)
    before, twin = model.predict_proba(X3), copied(model)
    np.testing.assert_array_equal(twin.predict_proba(X3), before)
    assert all(np.shares_memory(a, twin._net.theta) for a in [*twin.coefs_, *twin.intercepts_])
    if model.solver != "lbfgs":
        third = copied(twin.partial_fit(X3, Y3))
        np.testing.assert_array_equal(model.predict_proba(X3), before)
        same(third.partial_fit(X3, Y3), model.partial_fit(X3, Y3).partial_fit(X3, Y3))
        assert third.loss_curve_ == model.loss_curve_
    before = model.predict_proba(X3)
    twin.coefs_[0] *= 2
    twin.intercepts_[-1][0] += 3
    assert not np.allclose(twin.predict_proba(X3), before)
    np.testing.assert_array_equal(model.predict_proba(X3), before)


def shifted(in_place):
    """A model whose weights were changed, or replaced."""
    model = trained()
    coefs, b = [W + 0.1 for W in model.coefs_], model.intercepts_[0] - 0.2
    if in_place:
        for view, W in zip([*model.coefs_, model.intercepts_[0]], [*coefs, b], strict=True):
            view[:] = W
    else:
        model.coefs_, model.intercepts_[0] = coefs, b
    return model


def test_weights_that_were_replaced_are_used_everywhere(tmp_path):
    path = tmp_path / "m.npz"
    for use in (
        lambda model: model.predict_proba(X3),
        lambda model: theta(model.partial_fit(X3, Y3)),
        lambda model: theta(model.set_params(warm_start=True).fit(X3, Y3)),
        lambda model: theta(model.set_params(warm_start=True, solver="lbfgs").fit(X3, Y3)),
        lambda model: pickled(model).predict_proba(X3),
        lambda model: (model.save(path), minnet.load(path).predict_proba(X3))[1],
    ):
        np.testing.assert_array_equal(use(shifted(False)), use(shifted(True)))
        assert not np.allclose(use(shifted(False)), use(trained()))


# Continuing, and chance


@pytest.mark.parametrize("batch_size", [16, 150])
@pytest.mark.parametrize("options", STOCHASTIC[:4] + STOCHASTIC[-2:], ids=str)
def test_k_calls_of_partial_fit_are_k_epochs_of_fit(options, batch_size, kind):
    X, y = DATA[kind]
    options = options | {"shuffle": False, "batch_size": min(batch_size, len(y))}
    once = trained(X, y, max_iter=5, tol=0.0, n_iter_no_change=np.inf, **options)
    model = quick(**options)
    for k in range(1, 6):
        model.partial_fit(X, y, classes=np.unique(y))
        assert (model.n_iter_, len(model.loss_curve_), model.t_) == (1, k, k * len(y))
    same(model, once)
    assert model.loss_curve_ == once.loss_curve_


def test_partial_fit_continues_after_fit_with_the_optimizers_state_and_takes_new_settings():
    options = {"shuffle": False, "tol": 0.0, "n_iter_no_change": np.inf}
    same(trained(max_iter=5, **options).partial_fit(X3, Y3), trained(max_iter=6, **options))
    for change in ({"alpha": 1.0}, {"batch_size": 10}, {"weight_decay": 0.5}, {"solver": "sgd"}):
        model, other = trained(**options), trained(**options)
        differ(model.set_params(**change).partial_fit(X3, Y3), other.partial_fit(X3, Y3))
    model = trained(solver="lbfgs").set_params(solver="adam").partial_fit(X3, Y3)
    assert len(model.loss_curve_) == 1


@pytest.mark.parametrize("options", [{}, {"dropout": 0.3}, {"solver": "lbfgs"}], ids=str)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_same_random_state_gives_the_same_bits_and_another_others(options, early_stopping):
    options = options | {"batch_size": 16, "early_stopping": early_stopping}
    states = (0, 0), (3, np.random.RandomState(3)), (0, 1), (None, None)
    for number, pair in enumerate((*states, [np.random.RandomState(0)] * 2)):
        one, other = (trained(random_state=state, **options) for state in pair)
        (same if number < 2 else differ)(one, other)
    if "solver" not in options:
        differ(trained(**options), trained(shuffle=False, **options))


# scikit-learn's own checks


@estimator_checks.parametrize_with_checks([MLPClassifier(solver=solver) for solver in SOLVERS])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_every_check_of_scikit_learn_passes(estimator, check):
    if check.func.__name__ != "check_array_api_input":  # below, in a process of its own
        check(estimator)


@pytest.mark.parametrize("name", ["dataframe_column_names_consistency", "param_validation"])
def test_more_checks_of_scikit_learn_pass(name):
    getattr(estimator_checks, f"check_{name}")("MLPClassifier", MLPClassifier(max_iter=5))


def test_the_array_api_check_passes_where_it_can_run():
    code = """
import warnings
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
    options = {"env": env, "capture_output": True, "text": True, "timeout": 100}
    done = subprocess.run([sys.executable, "-c", code], **options)
    assert (done.stdout.split(), done.stderr) == (["1", "1", "1"], "")


@pytest.mark.filterwarnings("ignore")
def test_mini_batches_and_early_stopping_fail_only_where_rows_are_drawn():
    """From rows with weights, other batches and another validation part are drawn than from the
    same rows repeated. And one check gives a class 10^7 times the weight of the others, but a batch
    without that class counts like any other, as in scikit-learn."""
    # a tenth of the 300 rows of one check is too few for the loss to fall steadily
    options = {"early_stopping": "loss", "batch_size": 16, "validation_fraction": 0.3}
    model = MLPClassifier(**options)
    results = estimator_checks.check_estimator(model, on_fail=None, on_skip=None)
    failed = {result["check_name"] for result in results if result["status"] == "failed"}
    weights = {f"check_sample_weight_equivalence_on_{x}_data" for x in ("dense", "sparse")}
    assert failed <= weights | {"check_class_weight_classifiers"}


# In a notebook


@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_a_search_in_a_pipeline_over_processes_or_a_cluster_finds_what_it_finds_alone(
    backend, tmp_path
):
    from dask.distributed import Client, LocalCluster

    grid = {"mlpclassifier__alpha": [1e-4, 1.0]}
    search = GridSearchCV(make_pipeline(StandardScaler(), quick()), grid, cv=3)
    here = clone(search).fit(X3, Y3)
    options = {"n_workers": 2, "processes": False, "dashboard_address": None}
    with contextlib.ExitStack() as stack:
        if backend == "dask":
            cluster = LocalCluster(**options, local_directory=tmp_path)
            stack.enter_context(Client(stack.enter_context(cluster)))
        stack.enter_context(joblib.parallel_config(backend=backend, n_jobs=2))
        search.fit(X3, Y3)
    calibrated = CalibratedClassifierCV(quick(), cv=3).fit(X3, Y3)
    np.testing.assert_allclose(calibrated.predict_proba(X3).sum(axis=1), 1)
    scores = "mean_test_score"
    np.testing.assert_allclose(search.cv_results_[scores], here.cv_results_[scores])
    close(search.best_estimator_[-1], here.best_estimator_[-1])
