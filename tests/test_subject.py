"""What is studied: the friendly net, or a row of data with a config's own net."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_iris
from tables import refused

from minnet import config as configs
from minnet import runs
from minnet.errors import ConfigError, DataError, ModelFileError
from minnet.files import FileError
from minnet.model import Model
from minnet.study.subject import friendly, of_data

X, y = load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def iris(*overrides):
    return configs.load(None, [*configs.PLAIN, "data.source=iris", "model.hidden=[5]", *overrides])


def test_the_friendly_net_has_numbers_that_can_be_followed_by_hand():
    """docs/backprop.md quotes them."""
    studied = friendly([])
    assert (studied.X.tolist(), studied.y) == ([[1.0, 2.0]], 2)
    assert studied.net.logits(studied.X).tolist() == [[2.0, 0.0, 1.0]]


def test_overrides_change_the_friendly_net_and_leave_its_numbers_unless_they_need_data():
    own = ["model.activation=tanh", "optimizer.weight_decay=0.1", "model.dtype=float32"]
    net = friendly([*own, 'train.class_weight={"2" = 5.0}']).net
    assert (net.activation, net.l2, net.dtype) == (["tanh"], 0.1, np.float32)
    assert net.class_weight.tolist() == [1, 1, 5]
    np.testing.assert_array_equal(net.theta, friendly([]).net.theta)
    for key in ("data.source=iris", " model.hidden = [5]"):
        said = refused(ConfigError, friendly, [*own, key])
        assert said == f"{key}: needs a config, as in: minnet study digits {key}"


def test_of_members_it_is_the_first_and_that_is_said():
    many, one = (of_data(iris(f"model.members={M}"), 0) for M in (3, 1))
    np.testing.assert_array_equal(many.net.theta, one.net.theta)
    assert many.about.startswith("before training, the first of 3 members; iris, row 0 ")
    np.testing.assert_array_equal(friendly(["model.members=3"]).net.theta, friendly([]).net.theta)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_it_is_a_row_as_the_net_takes_it_and_the_net_that_training_would_start_from(part):
    config = iris("train.seed=4", "train.class_weight=balanced", "data.scale=minmax")
    run = runs.prepare(config)
    row = int(run.data.parts[part][3])
    studied = of_data(config, row)
    assert studied.X.tolist() == run.parts[part].X[3:4].tolist()
    place = f"row {row} of the {part.replace('train', 'training')} part"
    name = load_iris().target_names[y[row]]
    assert studied.about == f"before training; iris, {place}, class {name} ({y[row]})"
    assert (studied.y, studied.rows, studied.config) == (y[row], 96, config)
    np.testing.assert_array_equal(studied.net.theta, run.net.theta)
    np.testing.assert_array_equal(studied.net.class_weight, run.net.class_weight)


def test_the_first_and_the_last_row_are_there_and_others_are_an_error():
    plain = iris("data.scale=none", "model.dtype=float64")
    for row in (0, 149):
        assert of_data(plain, row).X.tolist() == X[[row]].tolist()
    for row in (-1, 150, 10**30):
        said = refused(ConfigError, of_data, plain, row)
        assert said == f"--row {row}: iris has the rows 0..149"
    refused(DataError, of_data, iris("data.test_size=150"), 0)  # and what cannot be split


def test_a_sparse_row_stays_sparse():
    rows = [" ".join(f"{j}:{v}" for j, v in enumerate(row, start=1)) for row in X]
    Path("iris.svm").write_text("\n".join(f"{k} {row}" for k, row in zip(y, rows, strict=True)))
    own = ["data.source=iris.svm", "model.dtype=float64", "data.scale=none"]
    studied = of_data(iris(*own), 5)
    assert sparse.issparse(studied.X) and studied.X.toarray().tolist() == X[[5]].tolist()


def test_a_model_of_any_dtype_gives_its_weights_and_its_scaling_and_one_of_another_net_none():
    run = runs.prepare(iris("data.scale=minmax", "model.dtype=float64"))
    run.net.theta[:] = np.arange(run.net.theta.size) / 100
    file = Path("model.npz")
    model = Model(run.net, run.preprocessing, run.data.classes, run.data.reading, "iris")
    model.save(file)
    studied = of_data(iris("data.scale=standard", "model.dtype=float32"), 7, file)
    np.testing.assert_array_equal(studied.net.theta, run.net.theta.astype(np.float32))
    wanted = (X[[7]] - run.preprocessing.center) / run.preprocessing.scale
    np.testing.assert_allclose(studied.X, wanted, rtol=1e-6)
    assert studied.about.startswith(f"from {file}; iris, row 7 of ")
    for override, said in (
        ("model.hidden=[6]", "has layer_sizes [4, 5, 3], the config [4, 6, 3]"),
        ("model.activation=tanh", "has activation ['relu'], the config ['tanh']"),
    ):
        assert refused(ModelFileError, of_data, iris(override), 0, file) == f"{file}: {said}"
    assert "no" in refused((ModelFileError, FileError), of_data, iris(), 0, Path("no"))
