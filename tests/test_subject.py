"""What is studied: the friendly net, or a row of data with a config's own net."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from minnet import config as configs
from minnet import data, experiment, storage
from minnet.errors import ConfigError, DataError, MinnetError, ModelFileError
from minnet.study import subject
from minnet.study.subject import friendly, of_data

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def iris(*overrides):
    return configs.load(None, ["data.source=iris", "model.hidden=[5]", *overrides])


def saved(config, theta=None, folder="run"):
    """A model file of the config's net, with `theta` in it; and the experiment."""
    run = experiment.prepare(config)
    run.net.theta[:] = np.arange(run.net.theta.size) / 100 if theta is None else theta
    Path(folder).mkdir()
    storage.write_model(Path(folder) / "model.npz", *experiment.model_file(run))
    return Path(folder), run


def message(kind: type[MinnetError], function, *arguments) -> str:
    """What is said about a failure; always one line."""
    with pytest.raises(kind) as caught:
        function(*arguments)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


# The friendly net


def test_the_friendly_net_has_2_3_and_3_units_and_its_own_numbers():
    studied = friendly([])
    net = studied.net
    assert (net.layer_sizes, net.activation, net.dtype.name) == ([2, 3, 3], ["relu"], "float64")
    assert [W.tolist() for W in net.weights] == [[list(row) for row in W] for W in (subject.W0, subject.W1)]
    assert [b.tolist() for b in net.biases] == [list(b) for b in (subject.B0, subject.B1)]
    assert (studied.X.tolist(), studied.y) == ([[1.0, 2.0]], 2)


def test_the_numbers_of_the_friendly_net_can_be_followed_by_hand():
    net = friendly([]).net
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


def test_the_classes_of_the_friendly_net_can_be_weighted():
    assert friendly(['train.class_weight={"2" = 5.0}']).net.class_weight.tolist() == [1, 1, 5]
    assert friendly(["train.class_weight=balanced"]).net.class_weight.shape == (3,)


def test_the_last_of_two_overrides_holds():
    assert friendly(["model.dtype=float32", "optimizer.name=adam", "model.dtype=float64"]).net.dtype == np.float64
    assert friendly(["optimizer.name=adam"]).config.optimizer.name == "adam"


@pytest.mark.parametrize("override", ["data.source=iris", "model.hidden=[5]", " model.hidden = [5]", "data.nothing=1"])
def test_what_needs_data_is_a_mistake_that_says_what_to_write(override):
    said = message(ConfigError, friendly, ["model.dtype=float32", override])
    assert said == f"{override}: needs a config, as in: minnet study digits {override}"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.dtyp=float32", "unknown key model.dtyp; did you mean model.dtype?"),
        ("model.hiden=[5]", "unknown key model.hiden; did you mean model.hidden?"),
        ("optimizer.learning_rate=-1", "optimizer.learning_rate: must be above 0, got -1"),
    ],
)
def test_a_key_or_value_that_there_is_not_is_the_same_mistake_as_in_training(override, said):
    assert message(ConfigError, friendly, [override]).startswith(said)


# A row of data


def iris_parts():
    """Row numbers of the training, validation and test parts of iris, by scikit-learn."""
    y, config = load_iris().target, iris().data
    rest, test = train_test_split(np.arange(150), test_size=config.test_size, stratify=y, random_state=0)
    train, validation = train_test_split(rest, test_size=config.validation_size, stratify=y[rest], random_state=0)
    return {"training": train, "validation": validation, "test": test}


SCALERS = {"standard": StandardScaler, "minmax": MinMaxScaler}


@pytest.mark.parametrize("scale", SCALERS)
@pytest.mark.parametrize("part", ["training", "validation", "test"])
def test_it_is_the_row_of_the_data_scaled_as_the_training_part_is(part, scale):
    X, y = load_iris(return_X_y=True)
    parts = iris_parts()
    row = int(parts[part][3])
    studied = of_data(iris(f"data.scale={scale}", "model.dtype=float64"), row)
    np.testing.assert_allclose(studied.X, SCALERS[scale]().fit(X[parts["training"]]).transform(X[[row]]), rtol=1e-12)
    assert (studied.y, studied.X.shape) == (y[row], (1, 4))
    name = load_iris().target_names[y[row]]
    assert studied.about == f"as it starts; iris, row {row} of the {part} part, class {name} ({y[row]})"


@pytest.mark.parametrize("row", [0, 149])
def test_the_first_and_the_last_row_are_there(row):
    assert of_data(iris("data.scale=none", "model.dtype=float64"), row).X.tolist() == load_iris().data[[row]].tolist()


@pytest.mark.parametrize("row", [-1, 150, 10**30])
def test_a_row_that_is_not_there_is_a_mistake_that_says_which_are(row):
    assert message(ConfigError, of_data, iris(), row) == f"--row {row}: iris has the rows 0..149"


def test_the_net_is_the_one_that_training_would_start_from():
    config = iris("train.seed=4", "train.class_weight=balanced", "optimizer.weight_decay=0.1")
    studied, run = of_data(config, 7), experiment.prepare(config)
    np.testing.assert_array_equal(studied.net.theta, run.net.theta)
    np.testing.assert_array_equal(studied.net.class_weight, run.net.class_weight)
    assert (studied.net.layer_sizes, studied.net.l2, studied.config) == ([4, 5, 3], 0.1, config)


@pytest.mark.parametrize(("batch_size", "steps"), [(32, 3), (24, 4), (25, 4), (1, 96), (1000, 1)])
def test_an_epoch_has_as_many_steps_as_in_training(batch_size, steps):
    assert len(iris_parts()["training"]) == 96
    assert of_data(iris(f"train.batch_size={batch_size}"), 0).steps == steps


def test_without_a_validation_part_a_row_is_of_one_of_the_two_others():
    about = {of_data(iris("data.validation_size=0"), row).about.split(" of the ")[1].split()[0] for row in range(20)}
    assert about == {"training", "test"}


def test_a_sparse_row_stays_sparse_and_is_scaled(monkeypatch):
    dense = data.load(iris().data)
    monkeypatch.setattr(data, "load", lambda config, progress: replace(dense, X=sparse.csr_matrix(dense.X)))
    X = of_data(iris("model.dtype=float64"), 5).X
    assert sparse.issparse(X)
    fitted = StandardScaler(with_mean=False).fit(dense.X[iris_parts()["training"]])
    np.testing.assert_allclose(X.toarray(), fitted.transform(dense.X[[5]]), rtol=1e-12)


def test_data_that_cannot_be_split_are_a_problem_of_the_data():
    message(DataError, of_data, iris("data.test_size=1"), 0)


# A trained model


@pytest.mark.parametrize("file", ["", "model.npz"])
def test_a_model_gives_its_weights_and_its_scaling(file):
    folder, run = saved(iris("data.scale=minmax"))
    studied = of_data(iris("data.scale=standard"), 7, folder / file)
    np.testing.assert_array_equal(studied.net.theta, run.net.theta)
    np.testing.assert_allclose(studied.X, (load_iris().data[[7]] - run.features.center) / run.features.scale, rtol=1e-6)
    assert studied.about.startswith(f"from {folder / file}; iris, row 7 of ")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.hidden=[6]", "has layer_sizes [4, 5, 3], the config [4, 6, 3]"),
        ("data.source=wine", "has layer_sizes [4, 5, 3], the config [13, 5, 3]"),
        ("model.activation=tanh", "has activation ['relu'], the config ['tanh']"),
    ],
)
def test_a_model_of_another_net_is_named_with_the_difference(override, said):
    folder, _ = saved(iris())
    assert message(ModelFileError, of_data, iris(override), 0, folder) == f"{folder}: {said}"


def test_a_model_of_another_dtype_fits():
    folder, run = saved(iris("model.dtype=float64"))
    net = of_data(iris("model.dtype=float32"), 0, folder).net
    assert net.dtype == np.float32
    np.testing.assert_array_equal(net.theta, run.net.theta.astype(np.float32))


def test_a_model_that_is_not_there_is_named():
    assert message(ModelFileError, of_data, iris(), 0, Path("no")) == "no: cannot be read: No such file or directory"
