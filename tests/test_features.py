"""From columns to the net's inputs: what is filled in, one-hot encoded and scaled, and on which rows that is fitted."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits, load_wine
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, OneHotEncoder, StandardScaler

from minnet import data, features
from minnet.config import DataConfig
from minnet.data import Dataset
from minnet.errors import DataError

NAN = np.nan
KINDS = ["standard", "minmax", "none"]
SCALERS = {"standard": StandardScaler, "minmax": MinMaxScaler}


def fit(X, kind="none", missing="error", text=None, names=None):
    """Fitted on all rows of X and of the columns of text, given as lists."""
    text = {name: np.array(cells) for name, cells in (text or {}).items()}
    return features.fit(kind, missing, names or [f"x{j}" for j in range(X.shape[1])], X, text)


def apply(fitted, X, text=None):
    return features.apply(fitted, X, {name: np.array(cells) for name, cells in (text or {}).items()})


def message(X, *arguments, **keys):
    """What is said about columns that cannot be fitted; always one line."""
    with pytest.raises(DataError) as caught:
        fit(X, *arguments, **keys)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


def column(*values):
    return np.array(values, dtype=float)[:, None]


# Scaling


@pytest.mark.parametrize("kind", SCALERS)
@pytest.mark.parametrize("load", [load_wine, load_digits])  # digits have constant features
def test_dense_rows_are_scaled_as_scikit_learn_scales_them(load, kind):
    X = load().data
    train, test = X[::2], X[1::2]
    fitted, transformer = fit(train, kind), SCALERS[kind]().fit(train)
    for rows in (train, test):
        np.testing.assert_allclose(apply(fitted, rows), transformer.transform(rows), rtol=1e-12, atol=1e-12)


def test_scale_none_leaves_the_numbers_as_they_are():
    X = load_wine().data
    np.testing.assert_array_equal(apply(fit(X), X), X)


@pytest.mark.parametrize(("kind", "expected"), [("standard", 0.0), ("minmax", 0.0), ("none", 3.0)])
def test_a_constant_feature_is_divided_by_1(kind, expected):
    X = np.column_stack([np.full(6, 3.0), np.arange(6.0)])
    fitted = fit(X, kind)
    np.testing.assert_allclose(apply(fitted, X)[:, 0], expected, atol=1e-15)
    assert apply(fitted, np.array([[4.0, 0.0]]))[0, 0] == expected + 1


def sparse_rows(N=40, D=7):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(N, D)) * (rng.random((N, D)) < 0.3)
    X[:, 2] = 0  # a constant feature
    return sp.csr_array(X)


@pytest.mark.parametrize(
    ("kind", "transformer"), [("standard", StandardScaler(with_mean=False)), ("minmax", MaxAbsScaler())]
)
def test_sparse_rows_are_only_divided(kind, transformer):
    train, test = sparse_rows()[:30], sparse_rows()[30:]
    fitted = fit(train, kind)
    transformer.fit(train)
    assert not fitted.center.any()
    for rows in (train, test):
        taken = apply(fitted, rows)
        assert sp.issparse(taken) and taken.shape == rows.shape and taken.nnz == rows.nnz
        np.testing.assert_allclose(taken.toarray(), transformer.transform(rows).toarray(), rtol=1e-12)


@pytest.mark.parametrize("rows", [sparse_rows(), sparse_rows().toarray()], ids=["sparse", "dense"])
def test_nothing_is_changed_in_place(rows):
    before = rows.copy()
    apply(fit(rows, "standard", "mean"), rows)
    assert abs(rows - before).max() == 0


@pytest.mark.parametrize("container", [np.array, sp.csr_array])
@pytest.mark.parametrize("values", [(1e200, 3e200, -2e200), (1e200, 2e200, -3e200), (1.7e308, 1.7e308, 1.7e308)])
def test_a_feature_whose_variance_is_beyond_float64_is_an_error_that_names_it(container, values):
    X = container(np.column_stack([[1.0, 2.0, 4.0], values]))
    said = message(X, "standard", names=["small", "huge"])
    assert said.startswith("column 'huge' holds numbers too large to be scaled")


def test_a_feature_whose_range_is_beyond_float64_is_an_error_that_names_it():
    said = message(np.array([[1.0, 1.7e308], [2.0, -1.7e308]]), "minmax", names=["small", "huge"])
    assert said.startswith("column 'huge' holds numbers too large to be scaled")


@pytest.mark.parametrize("container", [np.array, sp.csr_array])
def test_minmax_takes_a_feature_at_1e200(container):
    X = container([[1.0, 1e200], [2.0, 3e200], [4.0, 2e200]])
    taken = apply(fit(X, "minmax"), X)
    expected = [0, 1, 0.5] if container is np.array else [1 / 3, 1, 2 / 3]
    np.testing.assert_allclose((taken if container is np.array else taken.toarray())[:, 1], expected)


# Missing numbers


@pytest.mark.parametrize("strategy", ["mean", "median"])
def test_missing_numbers_are_filled_in_as_scikit_learn_fills_them(strategy):
    rng = np.random.default_rng(0)
    train, test = (np.where(rng.random((30, 4)) < 0.3, NAN, rng.normal(size=(30, 4)) ** 3) for _ in range(2))
    fitted, imputer = fit(train, "none", strategy), SimpleImputer(strategy=strategy).fit(train)
    for rows in (train, test):
        np.testing.assert_allclose(apply(fitted, rows), imputer.transform(rows), rtol=1e-12)


@pytest.mark.parametrize(("strategy", "filled"), [("mean", 4.0), ("median", 2.0)])
def test_mean_and_median_are_those_of_the_numbers_that_are_there(strategy, filled):
    X = column(1, NAN, 2, 9)
    assert apply(fit(X, "none", strategy), X).ravel().tolist() == [1, filled, 2, 9]


def test_a_number_that_is_missing_only_at_prediction_is_filled_in_too():
    assert apply(fit(column(1, 2, 6), "none", "mean"), column(NAN)).item() == 3


@pytest.mark.parametrize("kind", SCALERS)
def test_scaling_is_fitted_on_what_has_been_filled_in(kind):
    X = column(0, NAN, 1, 8, 10)
    expected = make_pipeline(SimpleImputer(strategy="median"), SCALERS[kind]()).fit_transform(X)
    np.testing.assert_allclose(apply(fit(X, kind, "median"), X), expected, rtol=1e-12)


@pytest.mark.parametrize("missing", ["error", "drop"])
def test_without_a_strategy_nothing_stands_in_for_a_missing_number(missing):
    fitted = fit(column(1, 2), "none", missing)
    assert np.isnan(fitted.fill).all()
    assert np.isnan(apply(fitted, column(NAN))).all()


@pytest.mark.parametrize("missing", ["mean", "median"])
def test_a_column_without_any_number_is_an_error_that_names_it(missing):
    X = np.array([[1.0, NAN], [2.0, NAN]])
    said = message(X, "standard", missing, names=["age", "shoe"])
    assert said == "column 'shoe' holds no number in the training part: leave it out of the file"


@pytest.mark.parametrize("missing", ["mean", "median"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_mean_beyond_float64_is_an_error_that_names_its_column(kind, missing):
    X = np.array([[1.0, 1.7e308], [2.0, 1.7e308], [3.0, NAN]])
    said = message(X, kind, missing, names=["small", "huge"])
    assert said.startswith("column 'huge' holds numbers too large to be scaled")


def test_sparse_rows_have_no_missing_numbers():
    assert np.isnan(fit(sparse_rows(), "none", "mean").fill).all()


# Categories


def test_each_category_is_an_input_after_the_numbers_1_where_the_row_has_it():
    X, colours = column(5, 6, 7), {"colour": ["red", "blue", "red"]}
    fitted = fit(X, text=colours, names=["age"])
    assert fitted.inputs == ["age", "colour=blue", "colour=red"]
    assert apply(fitted, X, colours).tolist() == [[5, 0, 1], [6, 1, 0], [7, 0, 1]]


def test_categories_are_encoded_as_scikit_learn_encodes_them():
    rng = np.random.default_rng(0)
    text = {name: rng.choice(["zebra", "ant", "", "Ant", "é", "10", "9"], 50).tolist() for name in ("first", "other")}
    X = np.empty((50, 0))
    fitted = fit(X, text=text)
    cells = np.column_stack(list(text.values())).astype(object)
    known = [sorted(set(cells[:, j]) - {""}) for j in range(2)]
    encoder = OneHotEncoder(categories=known, handle_unknown="ignore", sparse_output=False).fit(cells[:1])
    np.testing.assert_array_equal(apply(fitted, X, text), encoder.transform(cells))
    assert list(fitted.categories.values()) == known


def test_an_unknown_category_and_an_empty_cell_are_all_zeros():
    X = np.empty((3, 0))
    fitted = fit(X, text={"colour": ["red", "", "blue"]})
    assert fitted.inputs == ["colour=blue", "colour=red"]
    assert apply(fitted, X, {"colour": ["green", "", "red"]}).tolist() == [[0, 0], [0, 0], [0, 1]]


def test_a_category_longer_than_those_that_are_known_is_not_taken_for_one():
    fitted = fit(np.empty((2, 0)), text={"colour": ["red", "blue"]})
    assert apply(fitted, np.empty((2, 0)), {"colour": ["redder", "blu"]}).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("kind", SCALERS)
def test_numbers_and_categories_are_scaled_together(kind):
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(1)
    ages = np.where(rng.random(40) < 0.2, NAN, rng.integers(10, 90, 40))
    frame = pandas.DataFrame({"age": ages, "colour": rng.choice(["red", "green", "blue"], 40)})
    both = ColumnTransformer(
        [("age", SimpleImputer(), ["age"]), ("colour", OneHotEncoder(sparse_output=False), ["colour"])]
    )
    expected = make_pipeline(both, SCALERS[kind]()).fit_transform(frame)
    text = {"colour": frame["colour"].tolist()}
    X = frame[["age"]].to_numpy()
    np.testing.assert_allclose(apply(fit(X, kind, "mean", text), X, text), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("missing", ["mean", "median", "error", "drop"])
@pytest.mark.parametrize("kind", KINDS)
def test_columns_of_text_alone_are_enough(kind, missing):
    X, text = np.empty((2, 0)), {"colour": ["red", "blue"]}
    assert apply(fit(X, kind, missing, text), X, text).shape == (2, 2)


def test_a_column_of_text_that_holds_nothing_is_an_error_that_names_it():
    said = message(column(1, 2), text={"colour": ["red", "blue"], "shape": ["", ""]})
    assert said == "column 'shape' holds nothing in the training part: leave it out of the file"


# Rows


@pytest.mark.parametrize("text", [{}, {"colour": ["red", "blue"]}])
@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_give_no_rows(kind, text):
    fitted = fit(column(1, 2), kind, "mean", text)
    none = apply(fitted, np.empty((0, 1)), {name: np.empty(0, "U4") for name in text})
    assert none.shape == (0, len(fitted.inputs))
    if not text:
        sparse = apply(fit(sparse_rows(), kind), sparse_rows()[:0])
        assert sparse.shape == (0, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_is_enough_to_be_fitted_on(kind):
    assert np.isfinite(apply(fit(column(7), kind, "mean", {"a": ["b"]}), column(8), {"a": ["b"]})).all()


@settings(max_examples=50)
@given(st.sampled_from(KINDS), st.sampled_from(["mean", "median"]), st.integers(0, 10**6))
def test_a_row_is_scaled_the_same_alone_and_among_others(kind, missing, seed):
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((12, 3)) < 0.2, NAN, rng.normal(size=(12, 3)))
    X[0] = 1.0
    text = {"colour": rng.choice(["red", "blue", ""], 12).tolist()}
    text["colour"][0] = "red"
    fitted = fit(X, kind, missing, text)
    together = apply(fitted, X, text)
    for i in range(12):
        np.testing.assert_array_equal(apply(fitted, X[[i]], {"colour": text["colour"][i : i + 1]}), together[[i]])


@pytest.mark.parametrize("missing", ["mean", "median"])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_outside_the_training_part_change_nothing(kind, missing):
    rng = np.random.default_rng(3)
    X = np.where(rng.random((60, 3)) < 0.1, NAN, rng.normal(size=(60, 3)))
    colours = rng.choice(["red", "blue"], 60)
    made = Dataset("made", X, np.arange(60) % 3, np.arange(3), ["a", "b", "c"], {"colour": colours})
    config = DataConfig(scale=kind, missing=missing)
    train, validation, test = data.split(made, config)
    before = data.fit_features(config, made, train)

    X[validation], X[test] = 1e9, NAN
    colours[validation], colours[test] = "lime", ""
    after = data.fit_features(config, made, train)
    for name, value in vars(before).items():
        np.testing.assert_array_equal(getattr(after, name), value, err_msg=name)
    assert before.categories == {"colour": ["blue", "red"]}
