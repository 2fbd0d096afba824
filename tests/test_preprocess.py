"""From columns to the net's inputs: missing numbers, categories and scaling, and what is fitted."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import traced_memory
from sklearn.datasets import load_digits, load_wine
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler
from tables import refused

from minnet.data import preprocess
from minnet.data.preprocess import Preprocessing
from minnet.data.table import Table
from minnet.errors import DataError

NAN = np.nan
KINDS = ["piecewise", "robust", "standard", "minmax", "none"]
SCALERS = {"standard": StandardScaler, "minmax": MinMaxScaler}


def table(X, text=None, names=None):
    """A table of X and of columns of text given as lists."""
    text = {name: np.array(cells, object) for name, cells in (text or {}).items()}
    return Table("t.csv", names or [f"x{j}" for j in range(X.shape[1])], X, text)


def fit(X, kind="none", missing="error", text=None, names=None):
    return preprocess.fit(kind, missing, [table(X, text, names)], X.shape[0])


def apply(fitted, X, text=None):
    return fitted.transform(table(X, text, fitted.names))


def column(*values):
    return np.array(values, dtype=float)[:, None]


# Scaling


@pytest.mark.parametrize("kind", SCALERS)
@pytest.mark.parametrize("load", [load_wine, load_digits])  # digits have constant features
def test_dense_rows_are_scaled_as_scikit_learn_scales_them(load, kind):
    X = load().data
    train, test = X[::2], X[1::2]
    fitted, scaler = fit(train, kind), SCALERS[kind]().fit(train)
    for rows in (train, test):
        expected = scaler.transform(rows)
        np.testing.assert_allclose(apply(fitted, rows), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(apply(fit(X), X), X)


def sparse_rows(N=40, D=7):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(N, D)) * (rng.random((N, D)) < 0.3)
    X[:, 2] = 0  # a constant feature
    return sp.csr_array(X)


@pytest.mark.parametrize(
    ("kind", "scaler"), [("standard", StandardScaler(with_mean=False)), ("minmax", MaxAbsScaler())]
)
def test_sparse_rows_are_only_divided(kind, scaler):
    train, test = sparse_rows()[:30], sparse_rows()[30:]
    fitted = fit(train, kind)
    scaler.fit(train)
    assert not fitted.center.any()
    for rows in (train, test):
        taken = apply(fitted, rows)
        assert sp.issparse(taken) and taken.shape == rows.shape and taken.nnz == rows.nnz
        np.testing.assert_allclose(taken.toarray(), scaler.transform(rows).toarray(), rtol=1e-12)


def test_sparse_rows_for_a_model_of_dense_ones_are_shifted_and_nothing_changes_in_place():
    dense, sparse = sparse_rows().toarray(), sparse_rows()
    fitted = fit(dense, "standard", "mean")
    np.testing.assert_array_equal(apply(fitted, sparse), apply(fitted, dense))
    apply(fit(sparse, "standard"), sparse)
    assert (dense == sparse_rows()).all() and (sparse != sparse_rows()).nnz == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("container", [np.array, sp.csr_array])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i4", "?"])
def test_blocks_are_scaled_like_the_whole(kind, container, dtype):
    X = container((np.random.default_rng(0).normal(size=(300, 3)) * 9 + 5).astype(dtype))
    whole = fit(X, kind)
    blocks = (table(X[start : start + 70]) for start in range(0, 300, 70))
    pieces = preprocess.fit(kind, "error", blocks)
    for name in ("center", "scale"):
        one, other = getattr(pieces, name), getattr(whole, name)
        assert one.dtype == other.dtype == np.float64
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("container", [np.array, sp.csr_array])
@pytest.mark.parametrize("values", [(1e200, 3e200, -2e200), (1.7e308, 1.7e308, 1.7e308)])
def test_a_variance_beyond_float64_is_an_error_that_names_its_column(container, values):
    X = container(np.column_stack([[1.0, 2.0, 4.0], values]))
    said = refused(DataError, fit, X, "standard", names=["small", "huge"])
    assert said == "column 'huge' holds numbers too large to be scaled: divide it first"
    X = np.array([[1.0, 1.7e308], [2.0, -1.7e308]])
    assert refused(DataError, fit, X, "minmax", names=["small", "huge"]) == said
    X = np.array([[1.0, 1.7e308], [2.0, 1.7e308], [3.0, NAN]])  # the mean, too
    assert refused(DataError, fit, X, "none", "mean", names=["small", "huge"]) == said


# Missing numbers


@pytest.mark.parametrize("strategy", ["mean", "median"])
def test_missing_numbers_are_filled_in_as_scikit_learn_fills_them_bit_for_bit(strategy):
    rng = np.random.default_rng(0)
    train, test = np.where(rng.random((2, 301, 4)) < 0.3, NAN, rng.normal(size=(2, 301, 4)) ** 3)
    fitted, imputer = fit(train, "none", strategy), SimpleImputer(strategy=strategy).fit(train)
    for rows in (train, test):
        taken = apply(fitted, rows)
        np.testing.assert_array_equal(taken[:, :4], imputer.transform(rows))
        np.testing.assert_array_equal(taken[:, 4:], np.isnan(rows))  # an input each says so
    filled = apply(fit(column(1, 2, 9), "none", strategy), column(NAN))
    assert filled.item() == {"mean": 4, "median": 2}[strategy]


@pytest.mark.parametrize(
    ("X", "text", "name"), [([[1], [NAN]], [" "] * 2, "x0"), ([[1], [2]], ["a", ""], "colour")]
)
def test_without_a_strategy_a_missing_cell_is_refused_by_its_place(X, text, name):
    fitted = fit(column(1, 2), "none", "drop", {"colour": ["a", "b"]})
    assert fitted.fill is None
    said = refused(DataError, apply, fitted, np.array(X, float), {"colour": text})
    why = "is missing: the model was trained without missing values"
    assert said == f"t.csv: row 1, column {name!r} {why}"


def test_a_column_that_is_empty_in_the_training_part_is_zero():
    X, text = np.array([[1.0, NAN], [2.0, NAN]]), {"colour": ["", ""]}
    fitted = fit(X, "none", "median", text, names=["age", "shoe"])
    assert fitted.inputs == ["age", "shoe", "shoe missing", "colour=missing"]
    assert apply(fitted, X, text).tolist() == [[1, 0, 1, 1], [2, 0, 1, 1]]


def test_sparse_rows_have_no_missing_numbers():
    fitted, bad = fit(sparse_rows(), "none", "mean"), sparse_rows()
    assert fitted.fill is None
    bad.data[3] = NAN
    assert "is missing: the model was trained" in refused(DataError, apply, fitted, bad)


# Categories


def test_each_category_is_an_input_and_so_are_missing_cells():
    X, colours = column(5, 6, 7), {"colour": ["red", "blue", ""]}
    fitted = fit(X, "none", "mean", colours, ["age"])
    assert fitted.inputs == ["age", "colour=blue", "colour=red", "colour=missing"]
    assert fitted.columns == ["age", "colour"]
    assert apply(fitted, X, colours).tolist() == [[5, 0, 1, 0], [6, 1, 0, 0], [7, 0, 0, 1]]
    others = {"colour": ["green", "redder", "red"]}
    assert apply(fitted, X, others).tolist() == [[5, 0, 0, 0], [6, 0, 0, 0], [7, 0, 1, 0]]


def test_two_values_are_one_input_and_any_other_cell_is_between_them():
    X, text = column(1, 2), {"flag": ["yes", "no"]}
    fitted = fit(X, "none", "mean", text)
    assert fitted.inputs == ["x0", "flag=yes"]
    assert apply(fitted, X, text)[:, 1].tolist() == [1, 0]
    assert apply(fitted, X, {"flag": ["", "maybe"]})[:, 1].tolist() == [0.5, 0.5]


def test_rare_categories_share_an_input_with_unknown_ones():
    cells = ["a"] * 150 + ["b"] * 145 + ["c"] * 4 + ["d"]
    X = np.zeros((300, 1))
    fitted = fit(X, "none", "mean", {"k": cells})
    assert fitted.inputs[1:] == ["k=a", "k=b", "k=other"]
    asked = {"k": ["a", "c", "d", "new", ""]}
    shown = apply(fitted, X[:5], asked)[:, 1:].tolist()
    assert shown == [[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 0]]


def test_of_many_categories_the_frequent_ones_have_an_input():
    cells = [f"v{k:03d}" for k in range(300) for _ in range(6 + k % 2)]
    fitted = fit(np.zeros((len(cells), 1)), text={"k": cells})
    assert len(fitted.inputs) == 1 + preprocess.MOST + 1
    assert "k=v299" in fitted.inputs and "k=v298" not in fitted.inputs  # of 150 and 106


def test_equal_numbers_are_one_category():
    cells = ["1"] * 5 + ["1.0"] * 5 + ["2"] * 5 + ["3e0"] * 5
    X = np.zeros((20, 1))
    fitted = fit(X, text={"k": cells})
    assert fitted.inputs[1:] == ["k=1", "k=2", "k=3e0"]
    shown = apply(fitted, X[:5], {"k": ["1e0", "01", "2.0", "3", "x"]})[:, 1:].tolist()
    assert shown == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]
    words = fit(X, text={"k": [*cells[:-1], "x"]})
    assert "k=1.0" in words.inputs and apply(words, X[:1], {"k": ["2.0"]})[:, 1:].sum() == 0


# Robust scaling


def test_robust_scaling_is_by_median_and_interquartile_range_and_draws_in_what_is_far():
    X = np.column_stack([np.arange(101.0), np.r_[np.zeros(90), np.arange(11.0)], np.full(101, 7.0)])
    fitted = fit(X, "robust")
    assert fitted.center.tolist() == [50, 0, 7] and fitted.scale.tolist() == [50, 5, 1]
    given = np.array([[100, 10, 7], [1e300, -1e300, 8]])
    x = np.array([[1, 2, 0], [2e298, -2e299, 1]])
    np.testing.assert_allclose(apply(fitted, given), x / np.hypot(1, x / 3), rtol=1e-12)
    assert abs(apply(fitted, given)).max() <= 3


def test_piecewise_inputs_are_the_share_of_each_bin_below_the_number():
    X = np.column_stack([np.arange(81.0), np.tile([0, 1, 1.0], 27), np.arange(81) % 2 * 1e9])
    fitted = fit(X, "piecewise", "median")
    assert fitted.edges == {"x0": [0, 10, 20, 30, 40, 50, 60, 70, 80]}  # the others have no bins
    assert fitted.inputs == ["x0", "x1", "x2", *(f"x0 from {e}" for e in range(0, 80, 10))]
    robust, taken = fit(X, "robust", "median"), apply(fitted, np.array([[25.0, 1, 0], [NAN, 0, 0]]))
    np.testing.assert_array_equal(taken[:1, :3], apply(robust, np.array([[25.0, 1, 0]])))
    assert taken[0, 3:].tolist() == [0.5, 0.5, 0, -0.5, -0.5, -0.5, -0.5, -0.5]
    assert taken[1, 3:].tolist() == [0.5] * 4 + [-0.5] * 4  # the median
    far = apply(fitted, np.array([[-9e99, 0, 0], [9e99, 0, 0]]))
    assert far[:, 3:].tolist() == [[-0.5] * 8, [0.5] * 8] and abs(far[:, 0]).max() <= 3


@pytest.mark.parametrize(("limit", "value"), [("MOST_BINS", 15), ("LARGE", 1599)])
def test_there_are_no_bins_where_they_would_be_too_many(limit, value, monkeypatch):
    X = np.random.default_rng(0).normal(size=(100, 2))
    assert len(fit(X, "piecewise").inputs) == 18
    monkeypatch.setattr(preprocess, limit, value)
    assert fit(X, "piecewise").inputs == fit(X, "robust").inputs


def test_robust_scaling_looks_at_so_many_rows_of_all_blocks(monkeypatch):
    monkeypatch.setattr(preprocess, "SAMPLE", 50)
    X = np.arange(1000.0)[:, None]
    blocks = (table(X[start : start + 100]) for start in range(0, 1000, 100))
    fitted = preprocess.fit("robust", "error", blocks, 1000)
    assert abs(fitted.center.item() - 500) < 20 and abs(fitted.scale.item() - 500) < 20


@pytest.mark.parametrize("kind", SCALERS)
def test_numbers_and_categories_are_scaled_together_after_missing_ones_are_filled_in(kind):
    rng = np.random.default_rng(1)
    X = np.where(rng.random((40, 1)) < 0.2, NAN, rng.integers(10, 90, (40, 1)))
    colours = rng.choice(["red", "green", "blue"], 40)
    shown = colours[:, None] == ["blue", "green", "red"]
    inputs = np.hstack([SimpleImputer().fit_transform(X), np.isnan(X), shown])
    text = {"colour": colours.tolist()}
    taken = apply(fit(X, kind, "mean", text, ["age"]), X, text)
    expected = SCALERS[kind]().fit_transform(inputs)
    np.testing.assert_allclose(taken, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_inputs_of_all_rows_are_never_in_memory_to_fit_a_scale(kind):
    text = {"k": [str(i % 200) for i in range(20_000)]}
    with traced_memory() as risen:
        assert len(fit(np.zeros((20_000, 1)), kind, text=text).inputs) == 201
        assert risen() < 20_000 * 201 * 8 / 1.5


@pytest.mark.parametrize("missing", ["mean", "error"])
@pytest.mark.parametrize("kind", KINDS)
def test_columns_of_text_alone_are_enough_and_so_is_one_row(kind, missing):
    X, text = np.empty((2, 0)), {"colour": ["red", "blue"]}
    assert apply(fit(X, kind, missing, text), X, text).shape == (2, 1)
    text = {"a": ["b"]}
    assert np.isfinite(apply(fit(column(7), kind, missing, text), column(8), text)).all()


# Rows, and what is stored


@pytest.mark.parametrize("text", [{}, {"colour": ["red", "blue"]}])
@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_give_no_rows(kind, text):
    fitted = fit(column(1, 2), kind, "mean", text)
    none = apply(fitted, np.empty((0, 1)), {name: [] for name in text})
    assert none.shape == (0, len(fitted.inputs))
    assert apply(fit(sparse_rows(), kind), sparse_rows()[:0]).shape == (0, 7)


@settings(max_examples=25)
@given(st.sampled_from(KINDS), st.sampled_from(["mean", "median"]), st.integers(0, 10**6))
def test_a_row_is_the_same_alone_and_among_others_and_after_being_stored(kind, missing, seed):
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((12, 3)) < 0.2, NAN, rng.normal(size=(12, 3)))
    X[0] = 1.0
    text = {"colour": ["red", *rng.choice(["red", "blue", ""], 11).tolist()]}
    fitted = fit(X, kind, missing, text)
    together = apply(fitted, X, text)
    stored = Preprocessing.restore(fitted.arrays(), fitted.about())
    for i in range(12):
        alone = apply(stored, X[[i]], {"colour": text["colour"][i : i + 1]})
        np.testing.assert_array_equal(alone, together[[i]])


def test_what_is_not_needed_is_not_stored():
    fitted = fit(column(1, 2), "standard")
    assert fitted.arrays().keys() == {"center", "scale"}
    assert Preprocessing.restore(fitted.arrays(), fitted.about()).fill is None
    with pytest.raises(TypeError):
        Preprocessing.restore(fitted.arrays(), {"names": ["a"], "other": 1})
