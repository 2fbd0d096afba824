"""What is studied: the friendly net, or a row of data with a config's own net."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from minnet import config as configs
from minnet import runs
from minnet.errors import ConfigError, DataError, MinnetError, ModelFileError
from minnet.files import FileError
from minnet.model import Model
from minnet.study.subject import friendly, of_data


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def iris(*overrides):
    return configs.load(None, ["data.source=iris", "model.hidden=[5]", *overrides])


def saved(config, folder="run"):
    """The folder of a model of the config's net, with other weights; and the prepared run."""
    run = runs.prepare(config)
    run.net.theta[:] = np.arange(run.net.theta.size) / 100
    Path(folder).mkdir()
    model = Model(run.net, run.preprocessing, run.data.classes, run.data.reading, "iris")
    model.save(Path(folder) / "model.npz")
    return Path(folder), run


def message(kind: type[MinnetError], function, *arguments) -> str:
    """What is said about a failure; always one line."""
    with pytest.raises(kind) as caught:
        function(*arguments)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


# The friendly net


def test_the_friendly_net_has_2_3_and_3_units_and_numbers_that_can_be_followed_by_hand():
    studied = friendly([])
    net = studied.net
    assert (net.layer_sizes, net.activation, net.dtype.name) == ([2, 3, 3], ["relu"], "float64")
    assert net.weights[0].tolist() == [[1, -1, 0.5], [0.5, 1, -1]]
    assert net.weights[1].tolist() == [[0.5, -0.5, 1], [1, 0.5, -1], [0.5, 1, -0.5]]
    assert [b.tolist() for b in net.biases] == [[0, 0.5, 0.25], [-0.5, 0.25, 0.5]]
    assert (studied.X.tolist(), studied.y) == ([[1.0, 2.0]], 2)
    assert net.logits([[1.0, 2.0]]).tolist() == [[2.0, 0.0, 1.0]]
    assert all(4 * number == int(4 * number) for number in net.theta.tolist())


@pytest.mark.parametrize(
    ("override", "what", "value"),
    [
        ("model.activation=tanh", "activation", ["tanh"]),
        ("model.dtype=float32", "dtype", np.float32),
        ("model.output_gradient=jacobian", "output_gradient", "jacobian"),
        ("model.dropout=0.5", "dropout", 0.5),
        ("optimizer.weight_decay=0.1", "l2", 0.1),
        ("train.label_smoothing=0.1", "label_smoothing", 0.1),
    ],
)
def test_an_override_changes_the_friendly_net_and_leaves_its_numbers(override, what, value):
    net = friendly([override]).net
    assert getattr(net, what) == value
    np.testing.assert_array_equal(net.theta, friendly([]).net.theta)


def test_the_classes_of_the_friendly_net_can_be_weighted_and_the_last_of_two_overrides_holds():
    assert friendly(['train.class_weight={"2" = 5.0}']).net.class_weight.tolist() == [1, 1, 5]
    assert friendly(["train.class_weight=balanced"]).net.class_weight.shape == (3,)
    twice = friendly(["model.dtype=float32", "optimizer.name=adam", "model.dtype=float64"])
    assert (twice.net.dtype, twice.config.optimizer.name) == (np.float64, "adam")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        *(
            (key, f"{key}: needs a config, as in: minnet study digits {key}")
            for key in ("data.source=iris", " model.hidden = [5]", "data.nothing=1")
        ),
        ("model.dtyp=float32", "did you mean model.dtype?"),
        ("model.hiden=[5]", "did you mean model.hidden?"),
        ("optimizer.learning_rate=-1", "optimizer.learning_rate: must be above 0, got -1"),
        ("model.output_gradient=clipped", "clipped"),
    ],
)
def test_a_key_that_needs_data_and_an_unknown_key_or_value_are_errors(override, said):
    assert said in message(ConfigError, friendly, ["model.dtype=float32", override])


# A row of data


def iris_parts():
    """Row numbers of the training, validation and test parts of iris, by scikit-learn."""
    y, config = load_iris().target, iris().data

    def split(rows, size):
        return train_test_split(rows, test_size=size, stratify=y[rows], random_state=0)

    rest, test = split(np.arange(150), config.test_size)
    train, validation = split(rest, config.validation_size)
    return {"training": train, "validation": validation, "test": test}


SCALERS = {"standard": StandardScaler, "minmax": MinMaxScaler}


@pytest.mark.parametrize("scale", SCALERS)
@pytest.mark.parametrize("part", ["training", "validation", "test"])
def test_it_is_the_row_of_the_data_scaled_as_the_training_part_is(part, scale):
    X, y = load_iris(return_X_y=True)
    parts = iris_parts()
    row = int(parts[part][3])
    studied = of_data(iris(f"data.scale={scale}", "model.dtype=float64"), row)
    scaler = SCALERS[scale]().fit(X[parts["training"]])
    np.testing.assert_allclose(studied.X, scaler.transform(X[[row]]), rtol=1e-12)
    assert (studied.y, studied.X.shape) == (y[row], (1, 4))
    name = load_iris().target_names[y[row]]
    about = f"before training; iris, row {row} of the {part} part, class {name} ({y[row]})"
    assert studied.about == about
    assert studied.rows == 96


def test_the_first_and_the_last_row_are_there_and_others_are_an_error():
    plain = iris("data.scale=none", "model.dtype=float64")
    for row in (0, 149):
        assert of_data(plain, row).X.tolist() == load_iris().data[[row]].tolist()
    for row in (-1, 150, 10**30):
        said = message(ConfigError, of_data, plain, row)
        assert said == f"--row {row}: iris has the rows 0..149"


def test_the_net_is_the_one_that_training_would_start_from():
    config = iris("train.seed=4", "train.class_weight=balanced", "optimizer.weight_decay=0.1")
    studied, run = of_data(config, 7), runs.prepare(config)
    np.testing.assert_array_equal(studied.net.theta, run.net.theta)
    np.testing.assert_array_equal(studied.net.class_weight, run.net.class_weight)
    assert (studied.net.layer_sizes, studied.net.l2, studied.config) == ([4, 5, 3], 0.1, config)


def test_a_sparse_row_stays_sparse_and_is_scaled():
    X, y = load_iris(return_X_y=True)
    rows = [" ".join(f"{j}:{v}" for j, v in enumerate(row, start=1)) for row in X]
    lines = [f"{k} {row}" for k, row in zip(y, rows, strict=True)]
    Path("iris.svm").write_text("\n".join(lines))
    own = ["data.source=iris.svm", "model.dtype=float64", "data.scale=standard"]
    studied = of_data(iris(*own), 5)
    assert sparse.issparse(studied.X)
    scaler = StandardScaler(with_mean=False).fit(X[iris_parts()["training"]])
    np.testing.assert_allclose(studied.X.toarray(), scaler.transform(X[[5]]), rtol=1e-12)


def test_data_that_cannot_be_split_are_a_problem_of_the_data():
    message(DataError, of_data, iris("data.test_size=1"), 0)


# A trained model


@pytest.mark.parametrize("file", ["", "model.npz"])
def test_a_model_gives_its_weights_and_its_scaling(file):
    folder, run = saved(iris("data.scale=minmax"))
    studied = of_data(iris("data.scale=standard"), 7, folder / file)
    np.testing.assert_array_equal(studied.net.theta, run.net.theta)
    fitted = run.preprocessing
    wanted = (load_iris().data[[7]] - fitted.center) / fitted.scale
    np.testing.assert_allclose(studied.X, wanted, rtol=1e-6)
    assert studied.about.startswith(f"from {folder / file}; iris, row 7 of ")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.hidden=[6]", "has layer_sizes [4, 5, 3], the config [4, 6, 3]"),
        ("data.source=wine", "has layer_sizes [4, 5, 3], the config [13, 5, 3]"),
        ("model.activation=tanh", "has activation ['relu'], the config ['tanh']"),
    ],
)
def test_a_model_of_another_net_is_an_error_that_names_the_difference(override, said):
    folder, _ = saved(iris())
    assert message(ModelFileError, of_data, iris(override), 0, folder) == f"{folder}: {said}"


def test_a_model_of_another_dtype_fits_and_one_that_does_not_exist_is_named():
    folder, run = saved(iris("model.dtype=float64"))
    net = of_data(iris("model.dtype=float32"), 0, folder).net
    assert net.dtype == np.float32
    np.testing.assert_array_equal(net.theta, run.net.theta.astype(np.float32))
    assert "no" in message((ModelFileError, FileError), of_data, iris(), 0, Path("no"))
