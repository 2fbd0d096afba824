"""The test part of a run: its rows, the model's p, calibration, intervals and mistakes."""

import math
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

import minnet
from minnet import config, runs
from minnet.errors import DataError, MinnetError
from minnet.report import evaluation, saved


def drawn(seed, n, K):
    """Random p (n, K), from unsure to sure, and labels y (n,)."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(K, rng.uniform(0.1, 3)), n), rng.integers(K, size=n)


@pytest.mark.parametrize(("seed", "n", "K"), [(0, 1, 2), (1, 50, 2), (3, 500, 12), (4, 40, 200)])
def test_calibration_is_that_of_a_loop_over_rows(seed, n, K):
    p, y = drawn(seed, n, K)
    bins, error = evaluation.calibration(p, y), 0.0
    found = {round(b.middle * 10 - 0.5): b for b in bins}
    for k in range(10):
        inside = [i for i in range(n) if k / 10 < max(p[i]) <= (k + 1) / 10]
        assert (k in found) == bool(inside)
        if inside:
            confidence = sum(max(p[i]) for i in inside) / len(inside)
            right = sum(list(p[i]).index(max(p[i])) == y[i] for i in inside)
            expected = [len(inside), confidence, right / len(inside)]
            assert found[k][1:] == pytest.approx(
                [*expected, *evaluation.wilson(right, len(inside))]
            )
            error += abs(confidence - right / len(inside)) * len(inside) / n
    assert evaluation.gap(bins) == pytest.approx(error)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_confidence_on_an_edge_is_in_the_bin_below_it_in_each_precision(dtype):
    for tenth in range(5, 11):
        p = np.array([[tenth / 10, 1 - tenth / 10]], dtype)
        (found,) = evaluation.calibration(p, np.array([0]))
        assert found.middle == pytest.approx(tenth / 10 - 0.05)


def test_a_net_that_is_sure_has_a_calibration_error_of_0_or_1():
    for y, error in (([0, 1, 2], 0), ([1, 2, 0], 1)):
        assert evaluation.gap(evaluation.calibration(np.eye(3), np.array(y))) == error


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (1, 2), (355, 360), (99_999, 100_000)])
def test_wilson_intervals_are_those_of_the_formula(right, n):
    z, share = 1.959963984540054, right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    expected = pytest.approx((middle - half, middle + half), abs=1e-12)
    assert tuple(evaluation.wilson(right, n)) == expected


def test_mistakes_are_the_wrong_rows_the_most_confident_first_and_then_in_their_order():
    p, y = drawn(0, 200, 4)
    found = evaluation.mistakes(p, y)
    assert sorted(found) == [i for i in range(200) if p[i].argmax() != y[i]]
    assert all(p[i].max() >= p[j].max() for i, j in pairwise(found))
    p, y = np.tile([0.25, 0.75], (30, 1)), np.arange(30) % 2
    assert evaluation.mistakes(p, y).tolist() == list(range(0, 30, 2))


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
    model = SimpleNamespace(preprocessing=SimpleNamespace(inputs=names), source=source)
    assert evaluation.image_shape(SimpleNamespace(model=model), asked) == shape
    with pytest.raises(DataError, match=f"--image 1x2: the rows have {len(names)} inputs, not 2$"):
        evaluation.image_shape(SimpleNamespace(model=model), (1, 2))


def run(folder, *settings):
    """The test part of a run that was trained there."""
    runs.train(config.load(None, settings), folder)
    return evaluation.test_part(saved.read(folder).runs[0])


def test_the_test_part_has_the_rows_of_its_split_and_the_p_of_the_saved_model(tmp_path):
    settings = ["data.source=wine", "data.test_size=0.5", "model.hidden=[2]", "train.epochs=3"]
    test, wine = run(tmp_path / "run", *settings), load_wine()
    X, y, model = wine.data, wine.target, minnet.load(tmp_path / "run")
    rows = train_test_split(np.arange(len(y)), test_size=0.5, stratify=y, random_state=0)[1]
    np.testing.assert_array_equal((test.rows, test.y), (rows, y[rows]))
    np.testing.assert_array_equal(test.p, model.predict_proba(X[rows]))
    for place, x in enumerate(X[rows]):  # the cells in which it is the most unusual come first
        distance = np.abs((x - model.preprocessing.center) / model.preprocessing.scale)
        far = np.argsort(-distance, kind="stable")[:8]
        cells = [f"{wine.feature_names[j]} {x[j]:.6g}" for j in far]
        assert evaluation.features(test, place, 8) == "; ".join(cells)


def test_the_grid_holds_all_rows_and_has_the_p_of_the_model_at_its_points(tmp_path):
    test = run(tmp_path / "run", "data.source=moons", "train.epochs=1")
    lines, p = evaluation.over_grid(test)
    X = test.prepared.data.table.X
    assert (lines[0] < X.min(axis=0)).all() and (lines[-1] > X.max(axis=0)).all()
    points = np.array([[lines[3, 0], lines[5, 1]], [lines[199, 0], lines[0, 1]]])
    expected = minnet.load(tmp_path / "run").predict_proba(points)
    np.testing.assert_allclose([p[5, 3], p[0, 199]], expected, rtol=1e-5)
    X[:, 1] = 7  # all the same
    assert np.ptp(evaluation.over_grid(test)[0][:, 1]) == 2


def other_data():
    Path("own.csv").write_text(Path("own.csv").read_text().replace("1,0,a", "1,9,a"))


def other_net():
    runs.train(config.load(Path("run/config.toml"), ["model.hidden=[7]"]), Path("other"))
    Path("other/model.npz").replace("run/model.npz")


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (other_data, "own.csv: not the data that the run was trained on"),
        (other_net, "own.csv: not the data that the run was trained on"),
        *((Path(name).unlink, name) for name in ("own.csv", "run/model.npz", "run/checkpoint.npz")),
    ],
)
def test_other_data_or_another_net_and_lost_files_are_named(tmp_path, monkeypatch, damage, named):
    monkeypatch.chdir(tmp_path)
    rows = [f"{i % 5},{i % 3},{'ab'[i % 2]}" for i in range(80)]
    Path("own.csv").write_text("\n".join(["x,y,label", *rows, ""]))
    run(Path("run"), "data.source=own.csv", "train.epochs=1")
    damage()
    with pytest.raises(MinnetError, match=named):
        evaluation.test_part(saved.read(Path("run")).runs[0])
