"""A saved pipeline predicts what the pipeline did, for arrays, data frames and files; or it is
refused, with the name of the step."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from running import command, message
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

import minnet
from minnet import DataError, MLPClassifier, ModelFileError

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("here"),
]
N = 150
NUMBERS, TEXT = ["mass", "year", "gap", "size"], ["island", "sex", "zip"]


def table(seed=0):
    """Columns of every kind; `gap` and `sex` have missing cells, `name` is left out by most."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "island": rng.choice(["Biscoe", "Dream", " x, y"], N),
            "mass": rng.normal(4e3, 500, N),
            "sex": rng.choice(["f", "m"], N).astype(object),
            "year": rng.integers(2007, 2010, N),
            "gap": rng.exponential(size=N),
            "name": [f"bird {i}" for i in range(N)],
            "zip": rng.choice([0, 3011, 8001], N),
            "size": rng.normal(size=N),
        }
    )
    frame.loc[::5, "gap"] = np.nan
    frame.loc[::7, "sex"] = np.nan
    return frame


FRAME = table()
Y = np.where(FRAME["size"] + (FRAME["island"] == "Dream") > 0.5, "yes", "no")
Y = np.where(FRAME["mass"] > 4500, "large", Y)
MOST = {"strategy": "most_frequent"}


def fitted(*steps, X=FRAME, y=Y, **options):
    options = {"hidden_layer_sizes": (7,), "max_iter": 30, "learning_rate_init": 0.02} | options
    return make_pipeline(*steps, MLPClassifier(**options, random_state=0)).fit(X, y)


def loaded(model):
    minnet.save(model, "model.npz")
    return minnet.load("model.npz")


def agree(pipe, X=FRAME):
    """The largest difference in p, over arrays and frames with the columns in any order."""
    model, p = loaded(pipe), pipe.predict_proba(X)
    if isinstance(X, pd.DataFrame):
        forms = [X, X[X.columns[::-1]], X.to_numpy(object)]
    else:
        forms = [X, X.tolist(), pd.DataFrame(X)]
    assert {form is not X and len(form) for form in forms} == {False, len(X)}
    for form in forms:
        found = model.predict_proba(form)
        assert_allclose(found, p, rtol=0, atol=1e-6)
        assert (model.predict(form) == pipe.predict(X)).all()
    assert model.n_features_in_ == X.shape[1]
    assert model.feature_names_in_.tolist() == [*getattr(X, "columns", ["x0", "x1", "x2", "x3"])]
    return np.abs(found - p).max()


OFF_ON = (False, True)
SCALERS = [
    *(StandardScaler(with_mean=mean, with_std=std) for mean in OFF_ON for std in OFF_ON),
    *(RobustScaler(with_centering=mid, with_scaling=iqr) for mid in OFF_ON for iqr in OFF_ON),
    *(MinMaxScaler(), MinMaxScaler((-3, 2)), MaxAbsScaler(), "passthrough", FunctionTransformer()),
]
IMPUTERS = [
    *(SimpleImputer(strategy=s) for s in ("mean", "median", "most_frequent")),
    SimpleImputer(strategy="constant", fill_value=-1),
    SimpleImputer(add_indicator=True),
]
WORDS = [  # of text with missing cells
    OneHotEncoder(),
    OneHotEncoder(handle_unknown="ignore", drop="if_binary"),
    make_pipeline(SimpleImputer(**MOST), OneHotEncoder(drop="first")),
    make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), OneHotEncoder()),
    make_pipeline(SimpleImputer(**MOST), OneHotEncoder(), StandardScaler(with_mean=False)),
    "drop",
]


@pytest.mark.parametrize("scaler", SCALERS, ids=str)
def test_numbers_in_arrays_are_scaled_and_filled_as_in_the_pipeline(scaler):
    X = FRAME[NUMBERS].to_numpy() / [1000, 1000, 1, 1]
    for imputer in IMPUTERS:
        agree(fitted(imputer, scaler, X=X), X)
        agree(fitted(scaler, imputer, StandardScaler(), X=X), X)


@pytest.mark.parametrize("seed", range(40))
def test_columns_of_every_kind_in_any_order_go_through_random_pipelines(seed):
    rng = np.random.default_rng(seed)

    def one(of):
        return of[rng.integers(len(of))]

    # the last one goes as it is, and the first may go twice
    numbers = [*rng.permutation(["mass", "year", "gap"]).tolist(), "size"]
    steps = [one(IMPUTERS), one(SCALERS)][:: rng.choice([-1, 1])]
    words = ["sex", "island"][: rng.integers(1, 3)]
    parts = [
        ("numbers", make_pipeline(*steps), numbers[:3]),
        ("words", one(WORDS), words),
        ("codes", one([OneHotEncoder(drop="first"), MinMaxScaler(), "passthrough"]), ["zip"]),
        ("again", one(["drop", make_pipeline(*steps, RobustScaler())]), [numbers[0]]),
    ]
    rng.shuffle(parts)
    weights = {"codes": 2.0} if seed % 4 == 0 else None
    weights = {"codes": 2.0} if seed % 4 == 0 else None
    rest = ["drop", "passthrough"][seed % 2]
    prepare = ColumnTransformer(parts, transformer_weights=weights, remainder=rest)
    last = [StandardScaler(with_mean=False), "passthrough"][seed % 3 == 0]
    options = {"members": [1, 3][seed % 5 == 0], "hidden_layer_sizes": [(), (6, 5)][seed % 2]}
    text = {"name", "sex", "island"} - {*words}
    X, y = (
        FRAME.drop(columns=[*text] if rest == "passthrough" else []),
        [Y, FRAME["size"] > 0][seed % 2],
    )
    agree(fitted(prepare, last, X=X, y=y, **options), X)


def test_a_table_gets_from_the_command_what_the_pipeline_predicts():
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    parts = [("words", WORDS[0], [*TEXT]), ("numbers", numbers, ["gap", "mass", "size"])]
    pipe = fitted(ColumnTransformer(parts))
    minnet.save(pipe, "model.npz")
    for frame in (FRAME, FRAME.drop(columns=["name", "year"])[FRAME.columns[[6, 0, 1, 7, 4, 2]]]):
        frame.to_csv("rows.csv", index=False)
        answer = command("predict", "model.npz", "rows.csv", "--proba")
        assert (answer.code, answer.err) == (0, "")
        _, *rows = csv.reader(io.StringIO(answer.out))
        p = [[float(cell) for cell in row[1:]] for row in rows]
        assert_allclose(p, pipe.predict_proba(FRAME), atol=1e-6)
    FRAME.assign(kind=Y).to_csv("rows.csv", index=False)
    FRAME.assign(kind=Y).to_csv("bare.csv", index=False, header=False)
    right = f"accuracy {pipe.score(FRAME, Y):.4f}"
    for name in ("rows.csv", "bare.csv"):
        assert right in command("evaluate", "model.npz", name).out


def test_truths_are_numbers_unless_they_are_encoded():
    X = pd.get_dummies(FRAME[["island", "size"]])
    agree(fitted(StandardScaler(), X=X), X)
    agree(fitted(on(OneHotEncoder(), "island_Dream"), X=X), X)


def test_sparse_rows_stay_as_they_are():
    X = sp.random_array((N, 6), density=0.3, rng=np.random.default_rng(0), format="csr")
    pipe = fitted(MaxAbsScaler(), StandardScaler(with_mean=False), X=X)
    assert_allclose(loaded(pipe).predict_proba(X), pipe.predict_proba(X), atol=1e-6)
    pipe = fitted(SimpleImputer(), X=X)
    assert_allclose(loaded(pipe).predict_proba(X), pipe.predict_proba(X), atol=1e-6)


def test_a_net_in_float32_stays_one():
    X = FRAME[["size", "year"]].to_numpy("float32")
    pipe = fitted(StandardScaler(), X=X)
    p = loaded(pipe).predict_proba(X)
    assert p.dtype == "float32"
    assert_allclose(p, pipe.predict_proba(X), atol=1e-4)  # whose scaler counts in float32


WITH_GAPS, WITH_NEW = FRAME.copy(), FRAME.assign(island="Torgersen")
WITH_GAPS.loc[3, ["island", "sex", "mass"]] = [np.nan, np.nan, np.nan]


@pytest.mark.parametrize(
    ("step", "column", "rows", "said"),
    [
        (StandardScaler(), "mass", WITH_GAPS, "row 3, column 'mass' is missing"),
        (OneHotEncoder(), "island", WITH_GAPS, "row 3, column 'island' is missing"),
        (OneHotEncoder(drop="first"), "island", WITH_NEW, "column 'island' holds 'Torgersen', "),
    ],
    ids=["number", "word", "other word"],
)
def test_what_the_pipeline_does_not_know_is_an_error_here_too(step, column, rows, said):
    gap = ("gap", SimpleImputer(), ["gap"])
    for parts in ([("a", step, [column])], [gap, ("a", step, [column])]):
        pipe = fitted(ColumnTransformer(parts))
        with pytest.raises(ValueError):
            pipe.predict(rows)
        assert said in message(DataError, loaded(pipe).predict, rows)


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("drop", [None, "first"])
@pytest.mark.parametrize("column", ["island", "sex"])
def test_an_ignored_category_is_none_of_the_known(column, drop):
    encoder = OneHotEncoder(handle_unknown="ignore", drop=drop)
    pipe = fitted(ColumnTransformer([("a", encoder, [column]), ("b", MaxAbsScaler(), ["size"])]))
    for cell in ("Torgersen", np.nan):  # None is missing here, too, but not there
        rows = FRAME.assign(**{column: pd.Series([cell] * N, dtype=object)})
        p = pipe.predict_proba(rows)
        assert_allclose(loaded(pipe).predict_proba(rows), p, atol=1e-6)


def on(step, *columns):
    return ColumnTransformer([("one", step, [*columns])], remainder=MaxAbsScaler())


REFUSED = [
    (PCA(2), "step 'pca': PCA has no counterpart in a model"),
    (make_pipeline(PCA(2)), "step 'pipeline__pca': PCA has no"),
    (on(make_pipeline(KNNImputer()), "gap"), "step 'columntransformer__one__knnimputer': KNN"),
    (MinMaxScaler(clip=True), "step 'minmaxscaler': MinMaxScaler clips"),
    (FunctionTransformer(np.tanh), "'functiontransformer': FunctionTransformer has no"),
    (SimpleImputer(missing_values=-1), "SimpleImputer takes -1 for missing"),
    (on(OrdinalEncoder(), "year"), "OrdinalEncoder has no counterpart"),
    (on(OneHotEncoder(min_frequency=3), "year"), "OneHotEncoder puts rare categories together"),
    (
        on(make_pipeline(MaxAbsScaler(), OneHotEncoder()), "year"),
        "which holds dates, or what other",
    ),
    (on(OneHotEncoder(), "spelled"), "column 'spelled' has 'NA', which reads as missing"),
    (on(OneHotEncoder(), "spaced"), "column 'spaced' has ' a', which reads as another category"),
    (
        ColumnTransformer([("a", OneHotEncoder(), ["year"]), ("b", "passthrough", ["year"])]),
        "column 'year' is both a number and a category",
    ),
    (
        ColumnTransformer([("a", SimpleImputer(), ["gap"]), ("b", IMPUTERS[3], ["gap"])]),
        "column 'gap' is filled in two ways",
    ),
]


@pytest.mark.parametrize(("step", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_a_step_that_cannot_be_said_is_refused_by_its_name(step, said):
    X = FRAME[["year", "size", "gap"]].fillna({"gap": 1.0})
    if "spelled" in said or "spaced" in said:
        X = X.assign(spelled=["NA", "b"] * (N // 2), spaced=["a", " a"] * (N // 2))
        step = ColumnTransformer([("one", OneHotEncoder(), [said.split("'")[1]])])
    assert said in message(ModelFileError, minnet.save, fitted(step, X=X), "model.npz")


def test_what_is_no_pipeline_of_ours_is_refused():
    X, y = FRAME[["size"]], Y
    for model in (LogisticRegression().fit(X, y), make_pipeline(LogisticRegression()).fit(X, y)):
        said = message(ModelFileError, minnet.save, model, "model.npz")
        assert "give an MLPClassifier, or a Pipeline that ends in one" in said


def test_a_classifier_alone_says_that_it_knows_of_no_preprocessing():
    X = FRAME[["size", "year"]]
    pipe = fitted(StandardScaler(), X=X)
    X.assign(kind=Y).to_csv("rows.csv", index=False)
    for save in (pipe[-1].save, lambda path: minnet.save(pipe[-1], path)):
        save("bare.npz")
        for name in ("predict", "evaluate"):
            assert "columns go to the net as they are" in command(name, "bare.npz", "rows.csv").err
    minnet.save(minnet.load("bare.npz"), "again.npz")
    assert (minnet.load("again.npz").predict(X) == minnet.load("bare.npz").predict(X)).all()
    loaded(pipe)
    assert command("evaluate", "model.npz", "rows.csv").err == ""
