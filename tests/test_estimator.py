"""minnet.MLPClassifier in the place of scikit-learn's: the same parameters, attributes, errors and
numbers; and what it has beyond them."""

import contextlib
import inspect
import io
import os
import pickle
from functools import partial
from itertools import pairwise, product
from unittest import mock

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax
from sklearn import config_context, datasets
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier as Theirs
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils import estimator_checks
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import ThreadpoolController

import minnet
from minnet import MLPClassifier, cli, distributed, training
from minnet.core.activations import ACTIVATIONS
from minnet.core.optimizers import Schedule

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
    assert_array_equal(theta(a), theta(b))


def differ(a, b):
    assert not np.array_equal(theta(a), theta(b))


def close(a, b, **tolerance):
    assert_allclose(theta(a), theta(b), **{"rtol": 1e-9, "atol": 1e-11} | tolerance)


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


@pytest.fixture
def train(monkeypatch):
    """The training loop, which notes its calls."""
    monkeypatch.setattr(training, "train", mock.Mock(wraps=training.train))
    return training.train


def test_the_parameters_and_methods_are_those_of_scikit_learn_and_more():
    for name, method in inspect.getmembers(Theirs, callable):
        if name == "__init__" or not name.startswith(("_", "set_")):
            both = (inspect.signature(m).parameters for m in (getattr(MLPClassifier, name), method))
            ours, theirs = ([p.replace(annotation="") for p in of.values()] for of in both)
            assert ours[: len(theirs)] == theirs, name
    assert {"set_params", "set_fit_request", "set_score_request"} <= set(dir(MLPClassifier))
    own = MLPClassifier().get_params().keys() - Theirs().get_params().keys()
    off = {"class_weight": None, "max_grad_norm": None, "output_gradient": "vjp"}
    off |= dict.fromkeys(("dropout", "label_smoothing", "weight_decay", "warmup_epochs"), 0)
    off |= {"members": 1}
    assert {name: MLPClassifier().get_params()[name] for name in own} == off


def test_parameters_are_refused_in_scikit_learns_words():
    assert MLPClassifier().get_params().keys() == MLPClassifier._parameter_constraints.keys()
    own = {"activation": "sinus", "dropout": 1.0, "early_stopping": "f1"}
    for name, bad in (
        {"alpha": -1, "solver": "newton", "beta_1": 1.0, "max_iter": 0} | own
    ).items():
        said = (refused if name in own else refused_by_both)(**{name: bad})
        assert f"The '{name}' parameter of MLPClassifier must be" in said
    for hidden in ((0,), (5, 0), (4, -2)):
        said = refused_by_both(hidden_layer_sizes=hidden)
        assert said == f"hidden_layer_sizes must be > 0, got {list(hidden)}."
    assert "1 activations" in refused(activation=["relu"], hidden_layer_sizes=(6, 5))
    assert "sinus" in refused(activation=["relu", "sinus"], hidden_layer_sizes=(6, 5))
    assert "solver='lbfgs'" in refused(dropout=0.5, solver="lbfgs")


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
            assert_array_equal(ours[name], value)
    if solver != "lbfgs":
        assert ours["loss_"] == ours["loss_curve_"][-1]
        best = ("best_validation_score_", "validation_scores_", max)
        name, curve, of = best if early_stopping else ("best_loss_", "loss_curve_", min)
        assert ours[name] == of(ours[curve])


def test_a_second_fit_starts_anew_and_with_warm_start_from_the_weights():
    model = trained()
    same(model.fit(X3, Y3), trained())
    model.set_params(warm_start=True).fit(X3, Y3)
    assert (len(model.loss_curve_), model.t_) == (24, 24 * len(Y3))
    assert model.loss_curve_[12] < model.loss_curve_[11] * 1.05
    for kind in BOTH:
        said = refused(X3[:99], Y3[:99], fit=kind(**QUICK, warm_start=True).fit(X3, Y3).fit)
        assert said.startswith("warm_start can only be used where `y` has the same classes as in")
    said = refused(X3, Y3, fit=model.set_params(hidden_layer_sizes=(9,)).fit)
    assert "[4, 6, 3]" in said and "[4, 9, 3]" in said


def test_probabilities_and_their_logarithms_are_those_of_the_weights(kind):
    X, y = DATA[kind]
    theirs, model = Theirs(**QUICK).fit(X, y), trained(X, y)
    model.coefs_, model.intercepts_ = theirs.coefs_, theirs.intercepts_
    for method in ("predict_proba", "predict_log_proba", "predict"):
        expected = getattr(theirs, method)(X)
        assert_allclose(getattr(model, method)(X), expected, rtol=1e-9, atol=1e-12)
    assert model.score(X, y) == theirs.score(X, y)
    model.coefs_[-1] *= 1e4  # a class is hopeless
    logs, expected = model.predict_log_proba(X), log_softmax(model._logits(X), axis=1)
    assert expected.min() < -1000
    assert_allclose(logs, expected, rtol=1e-9, atol=1e-9)


def test_too_few_epochs_give_scikit_learns_warning_and_a_converged_fit_gives_none(recwarn):
    with pytest.warns(ConvergenceWarning) as caught:
        for kind in BOTH:
            kind(max_iter=3).fit(X3, Y3)
        trained(solver="lbfgs", max_iter=2)
    theirs, ours, lbfgs = (str(warning.message) for warning in caught)
    assert ours == theirs and caught[1].filename == __file__
    assert lbfgs.startswith("lbfgs failed to converge")
    trained(tol=10.0, n_iter_no_change=2, max_iter=100)
    quick(max_iter=1).partial_fit(X3, Y3, classes=ALL)
    assert not recwarn.list


def test_a_batch_size_above_n_is_clipped_with_a_warning():
    for method, classes in (("fit", ()), ("partial_fit", (ALL,))):
        large, whole = (getattr(quick(batch_size=n), method) for n in (1000, len(Y3)))
        with pytest.warns(UserWarning, match="It is going to be clipped"):
            clipped = large(X3, Y3, None, *classes)
        same(clipped, whole(X3, Y3, None, *classes))


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
    update = training.update

    def interrupted(net, recipe, state, last):
        if state.t > steps:
            raise KeyboardInterrupt
        update(net, recipe, state, last)

    with monkeypatch.context() as patch:
        patch.setattr(training, "update", interrupted)
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            model = trained(batch_size=15)
    assert (model.n_iter_, model.t_) == (3, 450)
    (same if steps == 30 else differ)(model, trained(batch_size=15, max_iter=3))
    t = model._state.t
    model.partial_fit(X3[:40], Y3[:40])  # a whole epoch of these rows
    assert (model.t_, model._state.t) == (490, t + 3)


@each_solver
@pytest.mark.parametrize("of", [sp.csr_matrix, sp.csr_array, sp.csc_array, sp.coo_array])
def test_sparse_rows_give_what_dense_ones_give(of, solver, kind):
    X, y = DATA[kind]
    X = np.where(np.abs(X) < 0.5, 0, X)
    dense, sparse = (trained(rows, y, solver=solver, batch_size=32) for rows in (X, of(X)))
    close(dense, sparse, rtol=1e-6, atol=1e-8)
    assert_allclose(dense.predict_proba(X), sparse.predict_proba(of(X)), atol=1e-6)
    if solver != "lbfgs":
        close(*(trained(rows, y, early_stopping=True, solver=solver) for rows in (X, of(X))))
        close(*(trained(X, y, None, (rows, y), early_stopping=True) for rows in (X, of(X))))
        close(dense.partial_fit(X, y), sparse.partial_fit(of(X), y), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_frames_give_what_arrays_give_and_their_columns_are_checked(frame):
    rows, wrong = (frame(dict(zip(names, X3.T, strict=True))) for names in ("abcd", "abce"))
    model = trained(rows, pd.Series(NAMES[Y3]))
    same(model, trained())
    assert_array_equal(model.predict(rows), NAMES[trained().predict(X3)])
    assert "feature names should match" in refused(wrong, NAMES[Y3], fit=model.partial_fit)


@each_solver
@pytest.mark.parametrize(("dtype", "kept"), [("float32", "float32"), (int, "float64")])
def test_float32_is_kept_and_the_rest_is_float64(dtype, kept, solver):
    model = trained((10 * X3).astype(dtype), solver=solver)
    p = model.predict_proba((10 * X3).astype(dtype))
    assert {a.dtype for a in [p, *model.coefs_, *model.intercepts_]} == {np.dtype(kept)}
    other = {"float32": "float64", "float64": "float32"}[kept]
    model.set_params(warm_start=True).fit((10 * X3).astype(other), Y3)
    if solver != "lbfgs":
        model.partial_fit((10 * X3).astype(other), Y3)
    assert {a.dtype for a in [*model.coefs_, *model.intercepts_]} == {np.dtype(kept)}


@pytest.mark.parametrize("scale", [1e37, 1e39, 1e300])
@pytest.mark.parametrize("of", [np.asarray, sp.csr_matrix])
def test_a_float32_net_predicts_float64_rows_in_float64(of, scale):
    model, X = trained(X3.astype("float32")), of(X3 * scale)
    theirs = Theirs(**QUICK).fit(X3.astype("float32"), Y3)
    theirs.coefs_, theirs.intercepts_ = model.coefs_, model.intercepts_
    with np.errstate(over="ignore"):
        for method in ("predict", "predict_proba"):
            ours = getattr(model, method)(X)
            assert_allclose(ours, getattr(theirs, method)(X), rtol=1e-9, atol=1e-12)
    assert model.predict_log_proba(X).dtype == "float64"
    assert np.isfinite(model.predict_log_proba(X)).all()


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
        assert_allclose(p.sum(axis=1), 1)
        assert model.score(X3[rows], y) > 0.9


def test_of_two_classes_held_out_rows_have_the_proportion_and_all_have_their_weights(train):
    trained(X3, np.repeat([0, 1], [120, 30]), early_stopping=True, validation_fraction=0.2)
    parts = train.call_args.args[1]
    assert [np.bincount(part.y).tolist() for part in parts.values()] == [[96, 24], [24, 6]]
    rows = np.concatenate([part.X for part in parts.values()])
    assert sorted(map(tuple, rows)) == sorted(map(tuple, X3))
    options = {"early_stopping": True, "max_iter": 3, "validation_fraction": 0.4}
    model = trained(sample_weight=W3**3, **options)  # by which the held-out rows are measured too
    part, best = train.call_args.args[1]["validation"], int(np.argmax(model.validation_scores_))
    assert model.validation_scores_[best] == pytest.approx(model.score(part.X, part.y, part.w))
    mean = np.average(losses(model, part.X, part.y), weights=part.w)
    assert model.validation_loss_curve_[best] == pytest.approx(mean)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([0, 1, 2, 50], "The least populated class"),
        ([0, 1, 50, 51, 100, 101], "The validation set is too small."),
        ([0, 1, 2, 50, 51, 52], "The test_size = 1 should be greater or equal to the number"),
        ([0], "With n_samples=1"),
        (np.arange(0), "0 sample(s)"),
    ],
)
def test_rows_that_early_stopping_cannot_hold_out_are_refused_in_scikit_learns_words(rows, words):
    assert words in refused_by_both("fit", (X3[rows], Y3[rows]), early_stopping=True)


def test_a_validation_fraction_of_0_is_refused_as_scikit_learn_does():
    said = refused_by_both("fit", (X3, Y3), early_stopping=True, validation_fraction=0)
    assert "test_size" in said


def test_a_row_of_weight_0_counts_as_a_row_but_teaches_nothing(kind):
    (X, y), w = DATA[kind], W[kind]
    used = np.arange(len(y)) % 3 > 0
    rows = np.where(used[:, None], X, 1e6)
    for solver in SOLVERS:
        same(
            *(
                trained(rows, labels, used * w, solver=solver)
                for labels in (y, np.where(used, y, 0))
            )
        )
    close(*(trained(X[i], y[i], (used * w)[i], solver="lbfgs") for i in (slice(None), used)))
    model = trained(rows, y, used * w, batch_size=1, max_iter=2)  # batches of weight 0
    assert model.t_ == 2 * len(y) and np.isfinite(model.loss_)


def test_weights_that_are_negative_or_all_0_are_refused():
    bad = {"egative": np.r_[-1.0, np.ones(149)], "eight": np.zeros(150)}
    for words, w in (bad | {"NaN": np.full(150, np.nan), "shape": np.ones(3)}).items():
        assert words in refused(X3, Y3, w)
        assert words in refused(X3, Y3, w, ALL, fit=quick().partial_fit)
    assert "every row has weight 0" in refused(class_weight=dict.fromkeys(ALL, 0.0))


@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 1: 0.5}, {2: 0}], ids=str)
def test_class_weights_are_the_row_weights_they_stand_for(class_weight):
    rows = np.r_[0:50, 60:80, 100:140]
    X, y, w = X3[rows], Y3[rows], W3[rows]
    by_class = compute_sample_weight(class_weight, y)
    if class_weight == "balanced":  # by the weights that the rows have
        by_class = (w.sum() / (3 * np.bincount(y, w)))[y]
    close(trained(X, y, w, class_weight=class_weight), trained(X, y, w * by_class))


def test_class_weights_are_given_by_label_and_to_partial_fit_as_a_dict_only():
    five = np.where(Y3 == 0, 5.0, 1.0)
    close(trained(X3, NAMES[Y3], class_weight={"setosa": 5.0}), trained(sample_weight=five))
    model = quick(class_weight={0: 5.0}).partial_fit(X3, Y3, classes=ALL)
    close(model, quick().partial_fit(X3, Y3, five, classes=ALL))
    assert "as a dict" in refused(fit=model.set_params(class_weight="balanced").partial_fit)


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


def test_validation_data_are_measured_after_each_epoch_change_nothing_and_have_to_fit():
    X, y = X3[1::2], Y3[1::2]
    model = trained(X3[::2], Y3[::2], validation_data=(X, y))
    same(model, trained(X3[::2], Y3[::2]))
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == model.n_iter_
    assert model.validation_scores_[-1] == pytest.approx(model.score(X, y))
    assert model.validation_loss_curve_[-1] == pytest.approx(losses(model, X, y).mean())
    for words, bad in {
        "must be a pair": (X3,),
        "2 features": (X3[:, :2], Y3),
        "inconsistent numbers": (X3[:5], Y3),
        "classes that `y` does not have: [3]": (X3, Y3 + 1),
        "should be a 1d array": (X3, np.eye(3)[Y3]),
    }.items():
        assert words in refused(X3, Y3, None, bad)


def test_rows_to_validate_on_have_the_names_and_rules_of_gradient_boosting():
    X, y, w = X3[1::2], Y3[1::2], W3[1::2]
    options = {"early_stopping": True, "max_iter": 30, "n_iter_no_change": 3}
    short = trained(X3[::2], Y3[::2], validation_data=(X, y), **options)
    model = quick(**options).fit(X3[::2], Y3[::2], X_val=X, y_val=y)
    same(short, model)
    weighted = quick(**options).fit(X3[::2], Y3[::2], X_val=X, y_val=y, sample_weight_val=w)
    assert weighted.best_validation_score_ == pytest.approx(weighted.score(X, y, w))
    for given in ({"X_val": X}, {"y_val": y}):
        boosting = HistGradientBoostingClassifier(early_stopping=True)
        said = {refused(X3, Y3, fit=partial(m.fit, **given)) for m in (quick(), boosting)}
        assert len(said) == 1
    for bad in ({"X_val": X[:, :2], "y_val": y}, {"X_val": X, "y_val": y[1:]}):
        refused(X3, Y3, fit=partial(quick().fit, **bad))


def test_a_pipeline_hands_over_the_rows_to_validate_on_as_its_steps_transform_them():
    X, y = datasets.load_iris(return_X_y=True)
    given = {"X_val": X[1::2], "y_val": y[1::2], "sample_weight_val": W3[1::2]}
    with config_context(enable_metadata_routing=True):
        model = quick(early_stopping=True).set_fit_request(**dict.fromkeys(given, True))
        pipeline = make_pipeline(StandardScaler(), model, transform_input=["X_val"])
        pipeline.fit(X[::2], y[::2], **given)
    scaler, model = pipeline[0], pipeline[-1]
    given["X_val"] = scaler.transform(X[1::2])
    alone = quick(early_stopping=True).fit(scaler.transform(X[::2]), y[::2], **given)
    same(model, alone)
    assert model.validation_scores_ == alone.validation_scores_


@pytest.mark.parametrize("watch", ["accuracy", "loss", True])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_early_stopping_brings_the_best_weights_back(watch, solver):
    X, y = X3[1::2], Y3[1::2]
    noisy = np.where(np.arange(75) % 4 == 0, (Y3[::2] + 1) % 3, Y3[::2])
    options = {"learning_rate_init": 0.1, "max_iter": 300, "batch_size": 5}
    options |= {"hidden_layer_sizes": (30,), "early_stopping": watch, "solver": solver}
    model = trained(X3[::2], noisy, None, (X, y), **options)
    assert model.n_iter_ < 300 and model.t_ == 75 * model.n_iter_  # no rows are held out
    scores, curve = np.array(model.validation_scores_), -np.array(model.validation_loss_curve_)
    best = int((curve if watch == "loss" else scores).argmax())
    assert best < model.n_iter_ - 1
    assert model.best_validation_score_ == scores[best] == pytest.approx(model.score(X, y))
    assert losses(model, X, y).mean() == pytest.approx(-curve[best])


def test_early_stopping_ends_when_the_score_has_not_grown():
    assert trained(early_stopping=True, tol=2.0, n_iter_no_change=4, max_iter=100).n_iter_ == 6


@pytest.mark.parametrize("early_stopping", [True, "accuracy", "loss"])
def test_early_stopping_is_refused_in_partial_fit_which_changes_nothing(early_stopping):
    model = trained(early_stopping=early_stopping)
    before, scores = theta(model), [*model.validation_scores_]
    said = refused(fit=model.partial_fit)
    assert said == "partial_fit does not support early_stopping=True"
    assert said == refused(fit=Theirs(**QUICK, early_stopping=True).fit(X3, Y3).partial_fit)
    assert_array_equal(theta(model), before)
    assert model.validation_scores_ == scores
    assert said == refused(X3, Y3, None, ALL, fit=quick(early_stopping=True).partial_fit)
    model.set_params(early_stopping=False).partial_fit(X3, Y3)
    assert np.isfinite(model.best_loss_) and model.validation_scores_ is None


@pytest.mark.parametrize("modes", [(True, False), (False, True), (False, "loss"), ("loss", True)])
def test_a_warm_start_may_switch_early_stopping(modes):
    """Its own figures then start anew; the loss curve goes on."""
    model = trained(warm_start=True, early_stopping=modes[0], max_iter=3)
    model.set_params(early_stopping=modes[1], max_iter=4).fit(X3, Y3)
    assert (len(model.loss_curve_), model.t_) == (
        7,
        3 * (135 if modes[0] else 150) + 4 * (135 if modes[1] else 150),
    )
    if modes[1]:
        assert len(model.validation_scores_) == 4 and model.best_loss_ is None
        assert model.best_validation_score_ in model.validation_scores_
    else:
        assert model.validation_scores_ is model.best_validation_score_ is None
        assert model.best_loss_ == min(model.loss_curve_[3:])


@pytest.mark.parametrize("bad", [1e308, -1e308])
@each_solver
def test_a_call_that_fails_leaves_a_whole_next_call(solver, bad):
    rows = X3.copy()
    rows[0] = bad
    wide = np.c_[X3, X3] * 5e307
    options = {"batch_size": 20, "solver": solver, "learning_rate_init": 0.1}
    if solver == "lbfgs":
        model = quick(**options)
        with contextlib.suppress(ValueError):
            model.fit(rows, Y3)
        same(model.fit(X3, Y3), trained(**options))
        return
    model, twin = (quick(**options).partial_fit(X3, Y3, classes=ALL) for _ in range(2))
    assert "non-finite" in refused(rows, Y3, fit=model.partial_fit)
    same(model, twin)
    differ(model.partial_fit(X3, Y3), twin)
    same(model, twin.partial_fit(X3, Y3))
    assert (model.t_, model.loss_) == (twin.t_, twin.loss_) == (300, model.loss_curve_[-1])
    assert "non-finite" in refused(rows, Y3, fit=model.set_params(warm_start=True).fit)
    assert np.isfinite(model.predict_proba(X3)).all()
    with np.errstate(all="ignore"):  # in checking for NaN
        assert "non-finite" in refused(wide, Y3, fit=model.set_params(warm_start=False).fit)
    with pytest.raises(NotFittedError):
        model.predict(X3)
    same(model.fit(X3, Y3), trained(**options))


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_its_own_parameters_reach_the_net_and_the_training_loop(train, solver):
    own = {"activation": ["gelu", "leaky_relu"], "dropout": 0.4, "label_smoothing": 0.3}
    own |= {"output_gradient": "jacobian"}
    options = {"max_grad_norm": 0.01, "learning_rate": "cosine", "warmup_epochs": 2}
    options |= {"hidden_layer_sizes": (6, 5), "batch_size": 15, "solver": solver}
    model = trained(**own, **options)
    net, _, recipe, _ = train.call_args.args
    assert {name: getattr(net, name) for name in own} == own
    assert recipe.train.max_grad_norm == 0.01
    assert model._schedule == Schedule(0.01, "cosine", steps=120, warmup=20, every=300)
    assert_array_equal(model.predict_proba(X3), model.predict_proba(X3))  # no dropout


@pytest.mark.parametrize("warmup_epochs", [0, 2])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_cosine_ends_with_fit_and_partial_fit_keeps_to_the_full_rate(solver, warmup_epochs):
    options = {"solver": solver, "warmup_epochs": warmup_epochs, "batch_size": 15}
    model = trained(learning_rate="cosine", max_iter=20, **options)
    assert model._state.rate < 1e-4
    for rows in (X3, X3[:40], X3):
        before = theta(model)
        model.partial_fit(rows, Y3[: len(rows)])
        assert model._state.rate == 0.01 and np.abs(theta(model) - before).max() > 1e-3
    model = quick(learning_rate="cosine", **options)
    rates = [
        model.partial_fit(X3[:n], Y3[:n], classes=ALL)._state.rate for n in (45, 150, 150, 60)
    ]  # after each epoch, however many rows it has
    assert_allclose(rates, [0.005, 0.01, 0.01, 0.01] if warmup_epochs else [0.01] * 4)


# Members


@each_solver
def test_members_are_nets_from_weights_of_their_own_whose_mean_p_is_predicted(kind, solver):
    X, y = DATA[kind]
    model, one = (trained(X, y, solver=solver, members=m) for m in (3, 1))
    assert [a.shape for a in model.coefs_] == [(3, *a.shape) for a in one.coefs_]
    singles = [trained(X, y, solver=solver) for _ in range(3)]
    for m, single in enumerate(singles):
        for name in ("coefs_", "intercepts_"):
            setattr(single, name, [a[m] for a in getattr(model, name)])
    p = np.mean([single.predict_proba(X) for single in singles], axis=0)
    assert_allclose(model.predict_proba(X), p, atol=1e-12)
    assert_allclose(np.exp(model.predict_log_proba(X)), p, atol=1e-12)
    if solver != "lbfgs":  # whose line search is common to all
        close(singles[0], one)
        assert not np.allclose(singles[1].coefs_[0], singles[2].coefs_[0])
        assert model.partial_fit(X, y).loss_ < model.loss_curve_[0]
    twin = pickled(model)
    assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
    assert "members" in refused(X, y, members=0)
    model.set_params(warm_start=True, members=2)
    assert "warm_start continues" in refused(X, y, fit=model.fit)


def test_members_watch_rows_that_are_held_out_and_are_saved(tmp_path):
    model = trained(members=3, early_stopping=True, sample_weight=W3, dropout=0.1)
    assert model.best_validation_score_ == max(model.validation_scores_)
    model = trained(X3, NAMES[Y3], members=3)
    model.save(tmp_path / "m.npz")
    loaded = minnet.load(tmp_path / "m.npz")
    assert_allclose(loaded.predict_proba(X3), model.predict_proba(X3), rtol=1e-12)


def test_weight_decay_shrinks_weights_with_adam_and_is_a_penalty_on_the_mean_loss_without():
    rows = np.zeros_like(X3)  # without gradient for the first layer's W
    options = {"alpha": 0.0, "max_iter": 3, "learning_rate_init": 0.1}
    plain, decayed = (trained(rows, weight_decay=d, **options).coefs_[0] for d in (0.0, 0.5))
    assert_allclose(decayed, plain * 0.95**3)
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
    blas, seen = ThreadpoolController().select(user_api="blas"), []
    note = lambda *_, **__: seen.append(blas.info()) or mock.DEFAULT  # noqa: E731
    monkeypatch.setattr(training, "update", mock.Mock(wraps=training.update, side_effect=note))
    monkeypatch.setattr(distributed, "LARGE", 1)  # so that it would take two
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    with blas.limit(limits=limit):
        trained()
        refused(X3 * 1e300, Y3, learning_rate_init=1e300)
        seen.append(blas.info())
    assert {pool["num_threads"] for pools in seen for pool in pools} == {limit}


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
    assert_array_equal(loaded.predict(X), model.predict(frame))
    assert_allclose(loaded.predict_proba(X), model.predict_proba(frame), rtol=1e-12)
    assert_array_equal(loaded.classes_, model.classes_)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    assert cli.main(["predict", str(path), str(tmp_path / "rows.csv")]) == 0
    written = pd.read_csv(io.StringIO(capsys.readouterr().out)).iloc[:, 0]
    assert written.tolist() == model.predict(frame).tolist()


def test_what_cannot_be_saved_is_refused(tmp_path):
    for rows, said in ((slice(None), "float64 cannot be saved"), (slice(50), "only one class")):
        model = trained(X3[rows], Y3[rows].astype(float))
        assert said in refused(tmp_path / "model.npz", fit=model.save)
    with pytest.raises(NotFittedError):
        MLPClassifier().save(tmp_path / "model.npz")
    assert not any(tmp_path.iterdir())


def pickled(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("options", [{"solver": s} for s in SOLVERS] + [{"dropout": 0.3}], ids=str)
def test_a_copy_has_weights_of_its_own_and_continues_as_the_model_itself(options):
    model = trained(**options)
    before, twin = model.predict_proba(X3), pickled(model)
    assert_array_equal(twin.predict_proba(X3), before)
    twin.coefs_[0] *= 2
    twin.intercepts_[-1][0] += 3
    assert not np.allclose(twin.predict_proba(X3), before)
    assert_array_equal(model.predict_proba(X3), before)
    if model.solver != "lbfgs":
        third = pickled(pickled(model).partial_fit(X3, Y3)).partial_fit(X3, Y3)
        same(third, model.partial_fit(X3, Y3).partial_fit(X3, Y3))
        assert third.loss_curve_ == model.loss_curve_


def test_weights_that_were_replaced_are_used_everywhere(tmp_path):
    def saved(model):
        model.save(tmp_path / "m.npz")
        return minnet.load(tmp_path / "m.npz")

    for use in (
        lambda model: model,
        lambda model: model.partial_fit(X3, Y3),
        lambda model: model.set_params(warm_start=True).fit(X3, Y3),
        lambda model: model.set_params(warm_start=True, solver="lbfgs").fit(X3, Y3),
        pickled,
        saved,
    ):
        _, changed, replaced = models = trained(), trained(), trained()
        changed.coefs_[0] += 0.1
        changed.intercepts_[0] -= 0.2
        replaced.coefs_ = [replaced.coefs_[0] + 0.1, replaced.coefs_[1]]
        replaced.intercepts_[0] = replaced.intercepts_[0] - 0.2
        p, *others = (use(model).predict_proba(X3) for model in models)
        assert_array_equal(*others)
        assert not np.allclose(p, others[0])


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
    plain = trained(**options).partial_fit(X3, Y3)
    for change in ({"alpha": 1.0}, {"batch_size": 10}, {"weight_decay": 0.5}, {"solver": "sgd"}):
        differ(trained(**options).set_params(**change).partial_fit(X3, Y3), plain)
    model = trained(solver="lbfgs").set_params(solver="adam").partial_fit(X3, Y3)
    assert len(model.loss_curve_) == 1


@pytest.mark.parametrize("options", [{}, {"dropout": 0.3}, {"solver": "lbfgs"}], ids=str)
def test_the_same_random_state_gives_the_same_bits_and_another_others(options):
    def pair(*states, early_stopping):
        return [trained(random_state=s, early_stopping=early_stopping, **options) for s in states]

    for early in (False, True):
        same(*pair(3, np.random.RandomState(3), early_stopping=early))
        for states in ((0, 1), (None, None), [np.random.RandomState(0)] * 2):
            differ(*pair(*states, early_stopping=early))


def test_rows_are_shuffled_unless_told_otherwise():
    differ(trained(batch_size=16), trained(batch_size=16, shuffle=False))


# scikit-learn's own checks

FAST = {"learning_rate_init": 0.02, "max_iter": 60, "hidden_layer_sizes": (30,)}


@estimator_checks.parametrize_with_checks(
    [MLPClassifier(activation=a, solver=s, **FAST) for s, a in product(SOLVERS, ACTIVATIONS)]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_every_check_of_scikit_learn_passes(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    check(estimator)


def test_the_checks_of_scikit_learns_own_estimators_pass():
    for name in ("dataframe_column_names_consistency", "param_validation"):
        getattr(estimator_checks, f"check_{name}")("MLPClassifier", MLPClassifier(max_iter=5))


@pytest.mark.filterwarnings("ignore")
def test_with_mini_batches_and_early_stopping_only_checks_fail_that_fail_there():
    """A row of weight 2 is no two rows where rows are drawn: on dense rows, scikit-learn checks its
    own class with lbfgs alone. And it has no class weights, with which one check gives a class 10^7
    times the weight of the others, but a batch without that class counts like any other."""
    options, failed = {"early_stopping": True, "batch_size": 16, **FAST}, []
    for kind in BOTH:
        results = estimator_checks.check_estimator(kind(**options), on_fail=None, on_skip=None)
        failed.append({r["check_name"] for r in results if r["status"] == "failed"})
    own = {"check_sample_weight_equivalence_on_dense_data", "check_class_weight_classifiers"}
    assert failed[1] <= failed[0] | own


@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_a_search_over_processes_or_a_cluster_finds_what_it_finds_alone(backend, tmp_path):
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
    scores = (found.cv_results_["mean_test_score"] for found in (search, here))
    assert_allclose(*scores)
    close(search.best_estimator_[-1], here.best_estimator_[-1])
