"""The test part of a run: its rows, what the model predicts, and mistakes."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine
from sklearn.dummy import DummyClassifier
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

import minnet
from minnet import config, runs
from minnet.errors import DataError, MinnetError
from minnet.report import evaluation, saved


def test_mistakes_are_the_wrong_rows_the_most_confident_first_and_then_in_their_order():
    rng = np.random.default_rng(0)
    y, predicted = rng.integers(4, size=(2, 200))
    p = rng.integers(5, 10, size=200) / 10
    found = evaluation.mistakes(SimpleNamespace(y=y, predicted=predicted, confidence=p))
    wrong = [i for i in range(200) if predicted[i] != y[i]]
    assert found.tolist() == sorted(wrong, key=lambda i: (-p[i], i))


PIXELS = [f"Pixel{i}" for i in range(64)]


@pytest.mark.parametrize(
    ("names", "asked", "shape"),
    [
        (PIXELS, None, (8, 8)),
        (PIXELS, (4, 16), (4, 16)),
        (["x"] * 64, (8, 8), (8, 8)),
        (["x"] * (62 * 47), None, (62, 47)),
        *((names, None, None) for names in (PIXELS[:63], [*PIXELS[1:], "x"], ["pixel"])),
    ],
)
def test_rows_are_images_if_that_is_known_named_or_asked_for(names, asked, shape):
    source = "lfw_people" if len(names) > 64 else "own.csv"
    fitted = SimpleNamespace(names=names, categories={})
    test = SimpleNamespace(model=SimpleNamespace(preprocessing=fitted, source=source))
    assert evaluation.image_shape(test, asked) == shape
    with pytest.raises(DataError, match=f"--image 1x2: a row has {len(names)} numbers, not 2$"):
        evaluation.image_shape(test, (1, 2))
    fitted.categories = {"colour": ["red"]}
    assert evaluation.image_shape(test, None) in (None, (62, 47))
    with pytest.raises(DataError, match=r"--image 8x8: colour is text"):
        evaluation.image_shape(test, (8, 8))


def run(folder, *settings):
    """The test part of a run that was trained there."""
    runs.train(config.load(None, settings), folder)
    return evaluation.test_part(saved.read(folder).runs[0])


def test_the_test_part_has_the_rows_of_its_split_and_what_the_saved_model_predicts(tmp_path):
    settings = ["data.source=wine", "data.test_size=0.5", "model.hidden=[2]", "train.epochs=3"]
    test, wine = run(tmp_path / "run", *settings), load_wine()
    X, y, model = wine.data, wine.target, minnet.load(tmp_path / "run")
    rows = train_test_split(np.arange(len(y)), test_size=0.5, stratify=y, random_state=0)[1]
    np.testing.assert_array_equal((test.rows, test.y), (rows, y[rows]))
    p = model.predict_proba(X[rows])
    np.testing.assert_array_equal((test.predicted, test.confidence), (p.argmax(1), p.max(1)))
    for place, x in enumerate(X[rows]):  # the cells in which it is the most unusual come first
        distance = np.abs((x - model.preprocessing.center[:13]) / model.preprocessing.scale[:13])
        far = np.argsort(-distance, kind="stable")[:8]
        cells = [f"{wine.feature_names[j]} {x[j]:.6g}" for j in far]
        assert evaluation.features(test, place, 8) == "; ".join(cells)


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    """The test part of a table of which a column of numbers and one of text decide; its rows."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("decided")
    frame = pd.DataFrame({name: rng.normal(size=900) for name in ("noise", "x", "more")})
    frame["letter"], frame["colour"] = rng.choice([*"abcd"], 900), rng.choice(["red", "blue"], 900)
    frame["label"] = (frame["x"] > 0) ^ (frame["colour"] == "red")
    frame.to_csv(folder / "own.csv", index=False)
    settings = "train.epochs=30", "data.scale=standard", 'data.categorical=["letter", "colour"]'
    test = run(folder / "run", f"data.source={folder / 'own.csv'}", *settings)
    return test, frame.drop(columns="label").iloc[test.rows]


def test_the_columns_that_decide_matter_and_others_do_not(decided):
    columns, rise, n = evaluation.importance(decided[0])
    # although their order is not that of the alphabet, the saved model knows its columns of text
    assert (decided[0].model.predict_proba(decided[1]).max(axis=1) == decided[0].confidence).all()
    assert {*columns[:2]} == {"x", "colour"} and {*columns[2:]} == {"noise", "more", "letter"}
    assert rise[:2].min() > 0.5 and abs(rise[2:]).max() < 0.1 and n == 180


def test_importance_is_that_of_scikit_learn_for_the_columns_of_a_data_frame(decided):
    test, frame = decided
    columns, rise, n = evaluation.importance(test)
    order = np.random.default_rng(0).permutation(n)
    model = DummyClassifier().fit([[0]], [0])
    loss = lambda _, X, y: -log_loss(y, test.model.predict_proba(X))  # noqa: E731
    X, y = frame.iloc[order], test.y[order]
    found = permutation_importance(model, X, y, scoring=loss, n_repeats=5, random_state=0)
    places = [frame.columns.get_loc(name) for name in columns]
    np.testing.assert_allclose(rise, found.importances[places], atol=1e-5)


def test_where_there_is_too_much_work_fewer_rows_and_columns_with_large_weights_are_tried(
    decided, monkeypatch
):
    test, _ = decided
    work = 5 * (test.model.net.theta.size + 500 * 8)  # of one row and column: 8 inputs
    for pairs, n, tried in ((130 * 5, 130, 5), (205, 100, 2), (0, 100, 1)):
        monkeypatch.setattr(evaluation, "WORK", work * pairs)
        columns, rise, rows = evaluation.importance(test)
        assert (rows, rise.shape) == (n, (tried, 5))
        if tried == 2:
            W = np.square(test.model.net.weights[0]).sum(axis=(0, 2))  # of all members
            weights = {"noise": W[0], "x": W[1], "more": W[2]}
            weights |= {"letter": W[3:7].sum(), "colour": W[7:].sum()}
            assert {*columns} == {*sorted(weights, key=weights.get)[-2:]}


def test_the_grid_holds_all_rows_and_has_the_p_of_the_model_at_its_points(tmp_path):
    test = run(tmp_path / "run", "data.source=moons", "train.epochs=1")
    (lines, p), X = evaluation.over_grid(test), test.table.X
    assert (lines[0] < X.min(axis=0)).all() and (lines[-1] > X.max(axis=0)).all()
    points = [[lines[3, 0], lines[5, 1]], [lines[199, 0], lines[0, 1]]]
    expected = test.model.predict_proba(points)
    np.testing.assert_allclose([p[5, 3], p[0, 199]], expected, rtol=1e-5)
    X[:, 1] = 7  # all the same
    assert np.ptp(evaluation.over_grid(test)[0][:, 1]) == 2


def other_data():
    Path("own.csv").write_text(Path("own.csv").read_text().replace("1,0,a", "1,9,a"))


def other_net():
    runs.train(config.load(Path("run/config.toml"), ["model.hidden=[7]"]), Path("other"))
    Path("other/model.npz").replace("run/model.npz")


OTHER = "own.csv: not the data that the run was trained on"
DAMAGE = [(other_data, OTHER), (other_net, OTHER)]
DAMAGE += [(Path(name).unlink, name) for name in ("own.csv", "run/model.npz", "run/checkpoint.npz")]


@pytest.mark.parametrize(("damage", "named"), DAMAGE)
def test_other_data_or_another_net_and_lost_files_are_named(tmp_path, monkeypatch, damage, named):
    monkeypatch.chdir(tmp_path)
    rows = [f"{i % 5},{i % 3},{'ab'[i % 2]}" for i in range(80)]
    Path("own.csv").write_text("\n".join(["x,y,label", *rows, ""]))
    run(Path("run"), "data.source=own.csv", "train.epochs=1")
    damage()
    with pytest.raises(MinnetError, match=named):
        evaluation.test_part(saved.read(Path("run")).runs[0])
