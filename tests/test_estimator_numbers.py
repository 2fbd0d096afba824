"""minnet.MLPClassifier gives scikit-learn's numbers: from the same random_state, in float64."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import datasets
from sklearn.neural_network import MLPClassifier as Theirs
from sklearn.preprocessing import scale

from minnet import MLPClassifier

BOTH = (Theirs, MLPClassifier)
DATA = {
    "iris": datasets.load_iris(return_X_y=True),
    "cancer": datasets.load_breast_cancer(return_X_y=True),
    "digits": datasets.load_digits(return_X_y=True),
}
DATA = {name: (scale(X)[::3], y[::3]) for name, (X, y) in DATA.items()}
RAW = {"wine": datasets.load_wine(return_X_y=True)}
W = {name: np.random.default_rng(0).integers(0, 5, len(y)) / 2 for name, (_, y) in DATA.items()}
OFTEN = 40  # rows of a batch, of which surely not all have weight 0: an error there
CLOSE = {"rtol": 1e-6, "atol": 1e-6}

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning:sklearn"),
    pytest.mark.filterwarnings("ignore:The number of unique classes"),  # scikit-learn below 1.8
]
each_set = pytest.mark.parametrize("name", DATA)


def pair(**options):
    """scikit-learn's and ours, with the same parameters."""
    defaults = {"hidden_layer_sizes": (9, 5), "random_state": 1, "max_iter": 25}
    return [kind(**defaults | {"learning_rate_init": 0.01} | options) for kind in BOTH]


def fitted(X, y, sample_weight=None, **options):
    return [model.fit(X, y, sample_weight) for model in pair(**options)]


def agree(models, X):
    """All that was fitted is the same, to rounding, and so is what is predicted."""
    theirs, ours = models
    for attribute in ("n_iter_", "t_", "_no_improvement_count", "validation_scores_"):
        expected = getattr(theirs, attribute, None)
        assert_array_equal(getattr(ours, attribute, None), expected, err_msg=attribute)
    for attribute in ("loss_curve_", "loss_", "best_loss_", "best_validation_score_"):
        if (expected := getattr(theirs, attribute)) is None:
            assert getattr(ours, attribute) is None
        else:
            assert_allclose(getattr(ours, attribute), expected, rtol=1e-6, err_msg=attribute)
    for attribute in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(ours, attribute), getattr(theirs, attribute), strict=True):
            assert_allclose(a, b, **CLOSE, err_msg=attribute)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), **CLOSE)
    assert_array_equal(ours.predict(X), theirs.predict(X))


SGD = {"solver": "sgd", "learning_rate_init": 0.1}
OPTIONS = [
    {},
    {"alpha": 0.5, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3},
    {"alpha": 0.0, "tol": 0.02, "n_iter_no_change": 3, "max_iter": 200},
    *({"activation": name} for name in ("identity", "logistic", "tanh")),
    {"hidden_layer_sizes": 7, "shuffle": False},
    {"hidden_layer_sizes": (), "activation": "logistic"},
    {"batch_size": 1, "max_iter": 2},
    {"batch_size": 32, "early_stopping": True, "n_iter_no_change": 2, "max_iter": 100},
    {"early_stopping": True, "validation_fraction": 0.3, "shuffle": False},
    {"early_stopping": True, "tol": 0.0, "n_iter_no_change": 2, "max_iter": 60},
    SGD,
    SGD | {"nesterovs_momentum": False, "activation": "tanh"},
    SGD | {"momentum": 0.0, "alpha": 1.0, "batch_size": 17},
    SGD | {"learning_rate": "invscaling", "power_t": 0.3, "activation": "logistic"},
    SGD | {"learning_rate": "adaptive", "tol": 0.02, "n_iter_no_change": 2, "max_iter": 200},
    SGD | {"learning_rate": "adaptive", "early_stopping": True, "n_iter_no_change": 1},
]


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@each_set
def test_fit_gives_the_same_numbers(name, options, weighted):
    X, y = DATA[name]
    w = W[name] + (options.get("batch_size", 200) < OFTEN)
    agree(fitted(X, y, w if weighted else None, **options), X)


@pytest.mark.parametrize("options", [{}, SGD, {"early_stopping": True}], ids=str)
@each_set
def test_a_warm_start_gives_the_same_numbers(name, options):
    X, y = DATA[name]
    models = fitted(X, y, warm_start=True, max_iter=4, **options)
    for changes in ({}, {"max_iter": 7, "alpha": 0.1}, {"max_iter": 40, "tol": 1e-2}):
        for model in models:
            model.set_params(**changes).fit(X, y)
        agree(models, X)


@pytest.mark.parametrize("state", [3, None, np.random.RandomState], ids=str)
@pytest.mark.parametrize(
    "options", [{}, SGD | {"learning_rate": "invscaling"}, {"batch_size": 20}], ids=str
)
@each_set
def test_partial_fit_gives_the_same_numbers_after_itself_and_after_fit(name, options, state):
    X, y = DATA[name]
    for start in ("partial_fit", "fit"):
        models = []
        for model in pair(**options):
            np.random.seed(5)
            model.set_params(random_state=state(4) if callable(state) else state)
            if start == "fit":
                model.fit(X, y)
            for rows in (slice(None), slice(0, 50), slice(20, None)):
                model.partial_fit(X[rows], y[rows], classes=np.unique(y))
            models.append(model)
        agree(models, X)


@pytest.mark.parametrize("state", [7, None, np.random.RandomState], ids=str)
@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"solver": "lbfgs"}], ids=str)
def test_the_same_is_drawn_from_a_number_an_instance_and_the_global_seed(options, state):
    """And no more than that: fit after fit, also of an instance that both go on to share."""
    X, y = DATA["iris"]
    models, rest = [], []
    for model in pair(**options | {"max_iter": 5}):
        np.random.seed(8)
        model.set_params(random_state=state(9) if callable(state) else state)
        models.append(model.fit(X, y).fit(X, y))
        stream = model.random_state if callable(state) else np.random
        rest.append(stream.random_sample(4))
    if options.get("solver") != "lbfgs":
        agree(models, X)
    assert_array_equal(*rest)


def test_what_goes_beyond_scikit_learn_draws_from_a_stream_of_its_own():
    X, y = DATA["iris"]
    plain, *others = (
        MLPClassifier(random_state=np.random.RandomState(2), max_iter=3, **options).fit(X, y)
        for options in ({}, {"dropout": 0.4}, {"members": 3}, {"label_smoothing": 0.1})
    )
    for model in others:
        a, b = (m.random_state.random_sample(3) for m in (plain, model))
        assert_array_equal(b, a) if model is others[0] else None
        plain.random_state.set_state(model.random_state.get_state())
    assert_allclose(others[1].coefs_[0][0], plain.coefs_[0], rtol=1e-12)


@each_set
def test_sparse_rows_give_the_same_numbers(name):
    X, y = DATA[name]
    X = np.where(np.abs(X) < 0.5, 0, X)
    agree(fitted(sp.csr_matrix(X), y, batch_size=32), X)


@pytest.mark.parametrize("options", [{}, SGD | {"learning_rate_init": 1e-4}], ids=str)
def test_rows_that_are_not_scaled_give_the_same_numbers(options):
    """Where p is 0 or 1 the loss is clipped, which decides when to stop."""
    X, y = RAW["wine"]
    agree(fitted(X, y, max_iter=150, activation="identity", **options), X)


@pytest.mark.parametrize("y", [np.arange(40), np.r_[0, 0, 1:39]], ids=["all", "but one"])
def test_classes_of_one_row_do_not_prevent_early_stopping(y):
    X = np.random.default_rng(0).normal(size=(40, 3))
    agree(fitted(X, y, early_stopping=True), X)


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({"activation": "identity", "hidden_layer_sizes": (20, 20, 20)}, "digits"),
        ({"solver": "sgd", "learning_rate_init": 0.1}, "wine"),
        ({"solver": "sgd", "learning_rate_init": 0.1}, "breast_cancer"),
        ({"solver": "sgd", "learning_rate_init": 0.1, "early_stopping": True}, "wine"),
    ],
    ids=str,
)
def test_a_loss_that_grows_at_first_does_not_end_a_fit_that_recovers(options, data):
    X, y = getattr(datasets, f"load_{data}")(return_X_y=True)
    models = pair(**{"learning_rate_init": 1.0, "max_iter": 30} | options)
    with np.errstate(all="ignore"):
        theirs, ours = (outcome(model, X, y) for model in models)
    assert theirs[0] == ours[0]
    assert_allclose(ours[1], theirs[1], atol=0.02)


def test_with_early_stopping_weights_that_are_not_finite_give_way_to_the_best():
    X, y = DATA["iris"]
    options = {"solver": "sgd", "activation": "identity", "early_stopping": True}
    with np.errstate(all="ignore"):
        theirs, ours = fitted(
            X, y, learning_rate_init=30.0, max_iter=60, n_iter_no_change=50, **options
        )
    assert np.isnan(theirs.loss_curve_[-1]) and np.isnan(ours.loss_curve_[-1])
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.best_validation_score_ == theirs.best_validation_score_
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), **CLOSE)


def outcome(model, X, y):
    """The start of the message with which a fit is refused, and its score."""
    try:
        return "", model.fit(X, y).score(X, y)
    except ValueError as error:
        return str(error)[:42], 0.0


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("hidden", [(), (9, 5)], ids=str)
@each_set
def test_lbfgs_ends_where_scikit_learns_does(name, hidden, weighted, activation):
    """If it converges: 1000 steps on a bent surface make much of the rounding of the first."""
    X, y = DATA[name]
    options = {"solver": "lbfgs", "alpha": 10.0, "max_iter": 400, "activation": activation}
    if hidden and (activation == "relu" or name == "digits"):
        options |= {"max_iter": 10}
    options |= {"hidden_layer_sizes": hidden}
    theirs, ours = fitted(X, y, W[name] if weighted else None, **options)
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-6)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-3)


NOTEBOOK = """
import pickle
import numpy as np
from sklearn.neural_network import MLPClassifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, classification_report, confusion_matrix
from sklearn.model_selection import (
    GridSearchCV, RandomizedSearchCV, cross_val_predict, cross_val_score, learning_curve,
    train_test_split, validation_curve)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

np.random.seed(7)
X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X, y = X.iloc[:, :6], np.where(y == 1, "benign", "malignant")
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

clf = MLPClassifier(hidden_layer_sizes=(12,), max_iter=60, random_state=1)
print(clf)
pipe = Pipeline([("scale", StandardScaler()), ("net", clf)]).fit(X_train, y_train)
net = pipe.named_steps["net"]
print(pipe, pipe.score(X_test, y_test), pipe.classes_, pipe.feature_names_in_)
print(net.n_iter_, f"{net.loss_:.6f}", np.array(net.loss_curve_[::10]))
print(net.out_activation_, net.n_outputs_, net.n_layers_)
print(*(w.shape for w in net.coefs_), net.coefs_[0][0])
print(classification_report(y_test, pipe.predict(X_test), digits=4))
print(confusion_matrix(y_test, pipe.predict(X_test)), pipe.predict_proba(X_test)[:3])
print(pipe.predict_log_proba(X_test)[:3])

grid = {"net__alpha": [1e-4, 1.0], "net__early_stopping": [False, True]}
search = GridSearchCV(pipe, grid, cv=3, scoring="neg_log_loss").fit(X_train, y_train == "benign")
print(search.best_params_, search.best_score_, search.cv_results_["mean_test_score"])
many = {"net__learning_rate_init": [1e-3, 1e-2], "net__solver": ["sgd", "adam", "lbfgs"]}
search = RandomizedSearchCV(pipe, many, n_iter=3, cv=2, random_state=3).fit(X_train, y_train)
print(search.best_params_, search.cv_results_["mean_test_score"])

for method in ("sigmoid", "isotonic"):
    calibrated = CalibratedClassifierCV(pipe, method=method, cv=3).fit(X_train, y_train)
    p = calibrated.predict_proba(X_test)[:, 1]
    print(method, f"{brier_score_loss(y_test == 'malignant', p):.6f}")
found = permutation_importance(pipe, X_test, y_test, n_repeats=3, random_state=0)
print(found.importances_mean, found.importances_std)
sizes, train, test = learning_curve(pipe, X_train, y_train, train_sizes=[0.3, 1.0], cv=3)
print(sizes, train, test)
print(*validation_curve(pipe, X, y, param_name="net__alpha", param_range=[1e-4, 10], cv=2))
print(cross_val_score(pipe, X, y, cv=3, scoring="roc_auc"))
print(cross_val_predict(pipe, X, y, cv=3, method="predict_proba")[::100])
print(partial_dependence(pipe, X_test, [0], grid_resolution=4)["average"])

again = pickle.loads(pickle.dumps(pipe))
print((again.predict_proba(X_test) == pipe.predict_proba(X_test)).all(), again)
warm = MLPClassifier((5,), warm_start=True, max_iter=5, random_state=0)
for _ in range(3):
    warm.fit(StandardScaler().fit_transform(X_train), y_train)
print(len(warm.loss_curve_), f"{warm.loss_:.6f}", warm.t_)
online = MLPClassifier(random_state=0)
for rows in np.array_split(np.arange(len(X_train)), 4):
    online.partial_fit(X_train.iloc[rows] / 1000, y_train[rows], classes=["benign", "malignant"])
print(np.array(online.loss_curve_), online.predict_proba(X_test / 1000)[:2])
quiet = make_pipeline(StandardScaler(), MLPClassifier(max_iter=20))  # from the global seed
vote = VotingClassifier([("net", quiet), ("lr", LogisticRegression(max_iter=5000))], voting="soft")
print(vote.fit(X_train, y_train).score(X_test, y_test))
print(BaggingClassifier(quiet, 3, random_state=0).fit(X_train, y_train).score(X_test, y_test))
MLPClassifier(max_iter=3, random_state=0, verbose=2).fit(X_train / 1000, y_train)
try:
    MLPClassifier(alpha=-1).fit(X, y)
except ValueError as error:
    print(type(error), error)
"""


@pytest.mark.filterwarnings("ignore")
def test_a_strangers_notebook_prints_the_same_after_the_one_change(capsys):
    printed = []
    for home in ("sklearn.neural_network", "minnet"):
        with np.printoptions(precision=6, suppress=True):
            exec(NOTEBOOK.replace("from sklearn.neural_network import", f"from {home} import"), {})
        printed.append(capsys.readouterr().out)
    assert printed[0].splitlines() == printed[1].splitlines()
    assert printed[0].count("\n") > 50
