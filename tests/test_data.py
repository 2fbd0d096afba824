"""Where rows come from, and how they are split and scaled."""

import importlib.util
import sys
from urllib.error import HTTPError, URLError

import datahome
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets as sklearn_datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler

from minnet import data
from minnet.config import BUNDLED, FETCHED, GENERATORS, DataConfig
from minnet.core.network import MLP
from minnet.data import Dataset, Scaler
from minnet.errors import ConfigError, DataError

WEATHER = """@RELATION weather
@ATTRIBUTE outlook {sunny,'partly cloudy',rainy}
@ATTRIBUTE temperature REAL
@ATTRIBUTE windy {no,yes}
@ATTRIBUTE play {yes,no}
@DATA
sunny,29.5,no,no
'partly cloudy',28,no,yes
rainy,21,yes,yes
?,18.5,yes,no
"""
WORDS = """@RELATION words
@ATTRIBUTE comet NUMERIC
@ATTRIBUTE wheel NUMERIC
@ATTRIBUTE chain NUMERIC
@ATTRIBUTE topic {space,bicycles}
@DATA
{0 1.5, 3 space}
{3 bicycles}
{1 2, 2 0.5, 3 bicycles}
"""


@pytest.fixture(autouse=True)
def tries(monkeypatch):
    """The addresses that were asked for; none is reached, and nobody waits."""
    addresses = []

    def refuse(opener, request, *rest):
        addresses.append(getattr(request, "full_url", request))
        raise URLError("no network")

    monkeypatch.setattr("urllib.request.OpenerDirector.open", refuse)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return addresses


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    return tmp_path


def load(source, **keys):
    return data.load(DataConfig(source=source, **keys))


def error(kind, function, *arguments, **keys):
    """The message of the error that is raised, which must be of this kind and one line."""
    with pytest.raises(kind) as caught:
        function(*arguments, **keys)
    message = str(caught.value)
    assert message and "\n" not in message
    return message


def dataset(X, y=None, names=None):
    classes, y = np.unique(np.arange(X.shape[0]) % 2 if y is None else y, return_inverse=True)
    return Dataset("made", X, y, classes, names or [f"x{j}" for j in range(X.shape[1])])


# Sets that come with scikit-learn


@pytest.mark.parametrize(
    ("source", "N", "D", "classes", "first"),
    [
        ("iris", 150, 4, ["setosa", "versicolor", "virginica"], "sepal length (cm)"),
        ("wine", 178, 13, ["class_0", "class_1", "class_2"], "alcohol"),
        ("breast_cancer", 569, 30, ["malignant", "benign"], "mean radius"),
        ("digits", 1797, 64, list(range(10)), "pixel_0_0"),
    ],
)
def test_a_bundled_set_loads_with_its_own_names(source, N, D, classes, first):
    loaded = load(source)
    original = getattr(sklearn_datasets, f"load_{source}")()
    assert loaded.name == source
    assert loaded.X.shape == (N, D) and loaded.y.shape == (N,)
    assert loaded.classes.tolist() == classes
    assert loaded.feature_names[0] == first and len(loaded.feature_names) == D
    np.testing.assert_array_equal(loaded.X, original.data)
    np.testing.assert_array_equal(loaded.y, original.target)


def test_every_bundled_set_is_tested():
    assert BUNDLED == ("iris", "wine", "breast_cancer", "digits")


@pytest.mark.parametrize("source", GENERATORS)
def test_a_generator_makes_the_rows_it_is_asked_for(source):
    wide = source not in ("moons", "circles")
    made = load(source, samples=90, features=5 if wide else 2, classes=4 if wide else 3)
    D, K = (5, 4) if wide else (2, 2)
    assert made.X.shape == (90, D) and made.X.dtype == np.float64
    assert made.classes.tolist() == list(range(K))
    assert made.feature_names == [f"x{j}" for j in range(D)]
    assert np.bincount(made.y).min() > 0


@pytest.mark.parametrize("source", GENERATORS)
def test_generator_seed_alone_decides_which_rows_are_made(source):
    first, again, other = (load(source, samples=30, generator_seed=seed).X for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("source", GENERATORS[:-1])
def test_noise_changes_what_a_generator_makes(source):
    little, much = (load(source, samples=200, noise=noise) for noise in (0.01, 0.9))
    assert not (np.array_equal(little.X, much.X) and np.array_equal(little.y, much.y))


def test_moons_and_circles_without_noise_are_curves():
    np.testing.assert_array_equal(
        load("moons", samples=50, noise=0).X, sklearn_datasets.make_moons(50, random_state=0)[0]
    )
    circles = load("circles", samples=50, noise=0)
    np.testing.assert_allclose(np.linalg.norm(circles.X, axis=1), np.where(circles.y, 0.5, 1))


def test_noise_is_the_standard_deviation_of_a_blob():
    made = load("blobs", samples=6000, noise=3.0)
    assert [made.X[made.y == k].std(axis=0) for k in range(3)] == pytest.approx(np.full((3, 2), 3.0), rel=0.05)


@pytest.mark.parametrize(
    "keys",
    [
        {"source": "classification", "features": 1},
        {"source": "classification", "classes": 5},
        {"source": "gaussian_quantiles", "samples": 2, "classes": 3},
        {"source": "blobs", "samples": 10**9, "features": 10**6},
    ],
)
def test_settings_that_a_generator_cannot_meet_are_a_config_error(keys):
    assert error(ConfigError, load, **keys).startswith(f"data: {keys['source']} cannot be made so: ")


# Sets that scikit-learn has downloaded


def test_covtype_is_read_from_the_data_home(home, tries):
    datahome.covtype(home)
    loaded = load("covtype")
    np.testing.assert_array_equal(loaded.X, np.arange(14 * 54).reshape(14, 54))
    assert loaded.classes.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert loaded.y.tolist() == [0, 1, 2, 3, 4, 5, 6] * 2
    assert loaded.feature_names[0] == "Elevation" and len(loaded.feature_names) == 54
    assert not tries


def test_columns_of_text_in_kddcup99_become_one_column_a_category(home):
    datahome.kddcup99(home)
    loaded = load("kddcup99")
    text = [name for name in loaded.feature_names if "=" in name]
    assert text == [
        "protocol_type=tcp",
        "protocol_type=udp",
        "service=domain_u",
        "service=http",
        "service=smtp",
        "flag=REJ",
        "flag=SF",
    ]
    assert loaded.X.shape == (3, 38 + 7) and loaded.X.dtype == np.float64
    np.testing.assert_array_equal(
        loaded.X[:, 38:], [[1, 0, 0, 1, 0, 0, 1], [0, 1, 1, 0, 0, 0, 1], [1, 0, 0, 0, 1, 1, 0]]
    )
    assert loaded.X[:, loaded.feature_names.index("duration")].tolist() == [5, 0, 7]
    assert loaded.X[:, loaded.feature_names.index("serror_rate")].tolist() == [0.5, 0.5, 0.5]
    assert loaded.classes.tolist() == ["normal.", "smurf."] and loaded.y.tolist() == [0, 1, 0]


def test_20newsgroups_stays_sparse_and_knows_its_words(home):
    datahome.newsgroups(home)
    for _ in range(2):  # the second time scikit-learn reads the counts that it has stored
        loaded = load("20newsgroups_vectorized")
        assert sp.issparse(loaded.X) and loaded.X.shape == (8, 5)
        assert loaded.feature_names == ["and", "chain", "comet", "moon", "wheel"]
        assert loaded.classes.tolist() == ["rec.bicycles", "sci.space"]
        of_space = loaded.X[:, loaded.feature_names.index("comet")].toarray().ravel() > 0
        np.testing.assert_array_equal(loaded.y, of_space)
        np.testing.assert_allclose(loaded.X.multiply(loaded.X).sum(axis=1), 1)


def test_olivetti_faces_are_40_people_of_10_pictures(home):
    datahome.olivetti_faces(home)
    loaded = load("olivetti_faces")
    assert loaded.X.shape == (400, 4096) and loaded.X.min() == 0 and loaded.X.max() == 1
    assert loaded.classes.tolist() == list(range(40))
    np.testing.assert_allclose(loaded.X[:, 1], (100 + loaded.y) / 200, rtol=1e-6)


def test_lfw_people_are_those_with_at_least_70_pictures(home):
    datahome.lfw_people(home)
    loaded = load("lfw_people")
    assert loaded.classes.tolist() == ["Ada Lovelace", "Alan Turing"]
    assert np.bincount(loaded.y).tolist() == [70, 70]
    assert loaded.X.shape == (140, 62 * 47)
    np.testing.assert_allclose(loaded.X.mean(axis=1) * 255, np.where(loaded.y, 200, 40), atol=2)


@pytest.fixture(params=["with pandas", "without pandas"])
def pandas_or_not(request, monkeypatch):
    find_spec = importlib.util.find_spec
    if request.param == "without pandas":
        if find_spec("pandas"):
            monkeypatch.setattr("pandas.read_csv", None)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "pandas" else find_spec(name))


@pytest.mark.usefixtures("pandas_or_not")
def test_an_openml_set_is_the_same_with_pandas_and_without(home, tries):
    datahome.openml(home, "weather", WEATHER, "play")
    loaded = load("openml:weather")
    assert loaded.feature_names == [
        "temperature",
        "outlook=partly cloudy",
        "outlook=rainy",
        "outlook=sunny",
        "outlook=nan",
        "windy=no",
        "windy=yes",
    ]
    np.testing.assert_array_equal(
        loaded.X,
        [[29.5, 0, 0, 1, 0, 1, 0], [28, 1, 0, 0, 0, 1, 0], [21, 0, 1, 0, 0, 0, 1], [18.5, 0, 0, 0, 1, 0, 1]],
    )
    assert loaded.classes.tolist() == ["no", "yes"] and loaded.y.tolist() == [0, 1, 1, 0]
    assert not tries


@pytest.mark.usefixtures("pandas_or_not")
def test_a_sparse_openml_set_stays_sparse(home):
    datahome.openml(home, "words", WORDS, "topic")
    loaded = load("openml:words")
    assert sp.issparse(loaded.X)
    np.testing.assert_array_equal(loaded.X.toarray(), [[1.5, 0, 0], [0, 0, 0], [0, 2, 0.5]])
    assert loaded.feature_names == ["comet", "wheel", "chain"]
    assert loaded.classes.tolist() == ["bicycles", "space"] and loaded.y.tolist() == [1, 0, 0]


@pytest.mark.usefixtures("pandas_or_not")
def test_data_target_chooses_another_column(home):
    datahome.openml(home, "weather", WEATHER, "play")
    loaded = load("openml:weather", target="windy")
    assert loaded.classes.tolist() == ["no", "yes"] and loaded.y.tolist() == [0, 0, 1, 1]
    assert [name for name in loaded.feature_names if name.startswith(("windy", "play"))] == ["play=no", "play=yes"]


@pytest.mark.usefixtures("pandas_or_not")
def test_a_numeric_target_of_openml_has_whole_numbers_for_classes(home):
    arff = "@RELATION counts\n@ATTRIBUTE a REAL\n@ATTRIBUTE b REAL\n@DATA\n0.5,9\n1.5,1\n2.5,9\n"
    datahome.openml(home, "counts", arff, "b")
    loaded = load("openml:counts")
    np.testing.assert_array_equal(loaded.X, [[0.5], [1.5], [2.5]])
    assert loaded.classes.tolist() == [1, 9] and loaded.y.tolist() == [1, 0, 1]


def test_a_version_of_an_openml_set_can_be_chosen(home):
    datahome.openml(home, "weather", WEATHER, "play")
    datahome.openml(home, "weather", WEATHER.replace("29.5", "30.5"), "play", version=2)
    assert [load(f"openml:weather{v}").X[0, 0] for v in ("", ":1", ":2")] == [29.5, 29.5, 30.5]


@pytest.mark.usefixtures("pandas_or_not")
def test_a_target_that_an_openml_set_does_not_have_is_a_config_error(home):
    datahome.openml(home, "weather", WEATHER, "play")
    message = error(ConfigError, load, "openml:weather", target="wind")
    assert message == "data.target: openml:weather has no column 'wind'"


@pytest.mark.usefixtures("pandas_or_not")
@pytest.mark.parametrize("targets", [(), ("play", "windy")])
def test_an_openml_set_needs_one_target(home, targets):
    datahome.openml(home, "weather", WEATHER, *targets)
    error(DataError, load, "openml:weather")


def test_an_openml_set_that_does_not_exist_is_a_config_error(home, monkeypatch):
    def not_there(opener, request, *rest):
        raise HTTPError(request.full_url, 412, "Precondition Failed", {}, None)

    monkeypatch.setattr("urllib.request.OpenerDirector.open", not_there)
    for source in ("openml:nosuch", "openml:nosuch:3"):
        assert error(ConfigError, load, source).startswith(f"data.source: there is no {source}: ")


@pytest.mark.parametrize("version", ["", "one", "0", "-1", "1.5"])
def test_a_version_that_is_none_is_an_error_in_one_line(home, version):
    assert "openml:weather" in error(DataError, load, f"openml:weather:{version}")


# Sets that cannot be had


@pytest.mark.parametrize("source", [*FETCHED, "openml:weather", "openml:weather:2"])
def test_without_a_network_the_error_names_what_can_be_had(source, home, tries, capsys):
    message = error(DataError, load, source)
    assert message.startswith(f"{source}: cannot be fetched (<urlopen error no network>)")
    assert message.endswith(", ".join((*BUNDLED, *GENERATORS)))
    assert len(tries) == 2
    assert capsys.readouterr() == ("", "")


def test_a_server_that_fails_is_an_error_in_one_line(home, monkeypatch):
    def broken(opener, request, *rest):
        raise HTTPError(request.full_url, 503, "Service\nUnavailable", {}, None)

    monkeypatch.setattr("urllib.request.OpenerDirector.open", broken)
    assert "503: Service Unavailable" in error(DataError, load, "openml:weather")


@pytest.mark.parametrize("damage", [lambda content: b"damaged", lambda content: content[: len(content) // 2]])
@pytest.mark.parametrize(
    ("source", "build", "file"),
    [
        ("covtype", datahome.covtype, "samples_py3"),
        ("kddcup99", datahome.kddcup99, "targets"),
        ("20newsgroups_vectorized", datahome.newsgroups, "20news-bydate_py3.pkz"),
        ("olivetti_faces", datahome.olivetti_faces, "olivetti_py3.pkz"),
        ("lfw_people", datahome.lfw_people, "Ada_Lovelace_0001.jpg"),
        ("openml:weather", lambda home: datahome.openml(home, "weather", WEATHER, "play"), "41.gz"),
        ("openml:weather", lambda home: datahome.openml(home, "weather", WEATHER, "play"), "download/**/*.gz"),
    ],
)
def test_a_damaged_file_in_the_data_home_is_an_error_in_one_line(source, build, file, damage, home, capsys):
    build(home)
    damaged = list(home.rglob(file))
    assert damaged
    for path in damaged:
        path.write_bytes(damage(path.read_bytes()))
    assert error(DataError, load, source).startswith(f"{source}: cannot be ")
    assert capsys.readouterr() == ("", "")


def test_pictures_without_pillow_are_an_error_that_says_so(home, monkeypatch):
    datahome.lfw_people(home)
    monkeypatch.setitem(sys.modules, "PIL", None)
    message = error(DataError, load, "lfw_people")
    assert message.startswith("lfw_people: needs a package that is not installed: ") and "PIL" in message


# Values that are no numbers


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("row", "column", "name"), [(0, 0, "Elevation"), (3, 2, "Slope"), (13, 53, "Soil_Type_39")])
def test_a_dense_value_that_is_not_finite_is_named_by_row_and_column(home, row, column, name, value):
    X = np.zeros((14, 54))
    X[row, column] = value
    datahome.covtype(home, X)
    assert error(DataError, load, "covtype").startswith(f"row {row}, column {name!r} holds {value}")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(("row", "column"), [(0, "comet"), (2, "wheel"), (2, "chain")])
def test_a_sparse_value_that_is_not_finite_is_named_by_row_and_column(home, row, column, value):
    place = {"comet": "0 1.5", "wheel": "1 2", "chain": "2 0.5"}[column]
    datahome.openml(home, "words", WORDS.replace(place, f"{place[0]} {value}"), "topic")
    assert error(DataError, load, "openml:words").startswith(f"row {row}, column {column!r} holds {value}")


@pytest.mark.usefixtures("pandas_or_not")
def test_text_among_numbers_is_an_error_in_one_line(home):
    X = np.zeros((14, 54), object)
    X[3, 5] = "a"
    datahome.covtype(home, X)
    assert error(DataError, load, "covtype").startswith("covtype: not every column is of numbers: could not convert")


def test_a_missing_number_of_openml_is_named_by_row_and_column(home):
    datahome.openml(home, "weather", WEATHER.replace("rainy,21", "rainy,?"), "play")
    assert error(DataError, load, "openml:weather").startswith("row 2, column 'temperature' holds nan")


# Labels


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        (["rose", "iris", "rose", "fern"], ["fern", "iris", "rose"]),
        (np.array(["rose", "iris", "rose", "fern"], object), ["fern", "iris", "rose"]),
        (np.array([b"rose", b"iris", b"rose", b"fern"], object), ["fern", "iris", "rose"]),
        (np.array([b"rose", b"iris", b"rose", b"fern"]), ["fern", "iris", "rose"]),
        (np.array([9, 5, 9, 1]), [1, 5, 9]),
        (np.array([9.0, 5.0, 9.0, -1.0]), [-1, 5, 9]),
    ],
)
def test_labels_become_places_in_the_sorted_classes(home, target, classes):
    datahome.covtype(home, np.zeros((4, 54)), np.asarray(target))
    loaded = load("covtype")
    assert loaded.classes.tolist() == classes
    assert loaded.y.tolist() == [2, 1, 2, 0]


def test_truth_values_are_labels(home):
    datahome.covtype(home, np.zeros((2, 54)), np.array([True, False]))
    loaded = load("covtype")
    assert loaded.classes.tolist() == [False, True] and loaded.y.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (np.array([1, 0.5, 2]), "the target holds 0.5, which is no label of a class"),
        (np.array([1, 1e300, 2]), "the target holds 1e+300, which is no label of a class"),
        (np.array([1, 2, np.nan]), "row 2 has no label"),
        (np.array([1, np.inf, 2]), "row 1 has no label"),
        (np.array(["a", None, "b"], object), "row 1 has no label"),
        (np.array([np.nan, "a", "b"], object), "row 0 has no label"),
        (np.array([4, 4, 4]), "only one class, 4: there is nothing to tell apart"),
        (np.array(["a", "a", "a"]), "only one class, a: there is nothing to tell apart"),
        (np.array([[1, 2], [2, 1], [1, 1]]), "the target has shape (3, 2); one label a row is needed"),
    ],
)
def test_labels_that_cannot_be_learned_are_an_error(home, target, message):
    datahome.covtype(home, np.zeros((3, 54)), target)
    assert error(DataError, load, "covtype") == message


# Splitting


@st.composite
def split_tasks(draw):
    """A data set with at least 20 rows a class, sizes that split it, and a seed."""
    counts = draw(st.lists(st.integers(20, 40), min_size=2, max_size=4))
    y = np.random.default_rng(0).permutation(np.repeat(["d", "a", "c", "b"][: len(counts)], counts))
    size = st.floats(0.2, 0.5) | st.integers(5, len(y) // 3)
    seed = draw(st.integers(0, 2**32 - 1))
    made = dataset(np.random.default_rng(1).normal(size=(len(y), 2)), y)
    return made, DataConfig(test_size=draw(size), validation_size=draw(size), split_seed=seed)


@settings(max_examples=40)
@given(split_tasks())
def test_the_test_part_is_the_one_of_train_test_split(task):
    made, config = task
    labels = made.classes[made.y]
    rest, X_test, rest_labels, y_test = train_test_split(
        made.X, labels, test_size=config.test_size, stratify=labels, random_state=config.split_seed
    )
    train, validation, test = data.split(made, config)
    np.testing.assert_array_equal(made.X[test], X_test)
    np.testing.assert_array_equal(labels[test], y_test)

    X_train, X_validation = train_test_split(
        rest, test_size=config.validation_size, stratify=rest_labels, random_state=config.split_seed
    )
    np.testing.assert_array_equal(made.X[validation], X_validation)
    np.testing.assert_array_equal(made.X[train], X_train)


@settings(max_examples=40)
@given(split_tasks())
def test_every_row_falls_into_one_part(task):
    made, config = task
    parts = data.split(made, config)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(made.y)))
    assert all(len(part) for part in parts)


@pytest.mark.parametrize("none", [0, 0.0])
def test_validation_size_0_gives_no_validation_part(none):
    made = load("iris")
    train, validation, test = data.split(made, DataConfig(validation_size=none))
    assert (len(train), len(validation), len(test)) == (120, 0, 30)
    np.testing.assert_array_equal(test, data.split(made, DataConfig())[2])


def test_whole_sizes_are_numbers_of_rows():
    parts = data.split(load("iris"), DataConfig(test_size=7, validation_size=11))
    assert [len(part) for part in parts] == [132, 11, 7]


def test_a_class_with_one_row_is_an_error_that_names_it():
    made = dataset(np.zeros((9, 1)), ["a"] * 4 + ["rare"] + ["z"] * 4)
    assert error(DataError, data.split, made, DataConfig()).startswith("class rare has 1 row")


@pytest.mark.parametrize(
    ("key", "size"),
    [
        ("test_size", 0.001),
        ("test_size", 2),
        ("test_size", 149),
        ("test_size", 150),
        ("test_size", 0.999),
        ("validation_size", 2),
        ("validation_size", 0.01),
        ("validation_size", 120),
    ],
)
def test_parts_too_small_for_every_class_are_an_error_that_names_the_key(key, size):
    message = error(DataError, data.split, load("iris"), DataConfig(**{key: size}))
    assert message.startswith(f"data.{key} = {size} does not split {150 if key == 'test_size' else 120} rows: ")


@pytest.mark.parametrize("seed", range(5))
def test_a_class_with_one_row_left_stays_in_training(seed):
    made = dataset(np.arange(42.0)[:, None], ["a"] * 20 + ["rare"] * 2 + ["z"] * 20)
    train, validation, test = data.split(made, DataConfig(test_size=0.5, validation_size=0.3, split_seed=seed))
    assert [np.count_nonzero(made.y[part] == 1) for part in (train, validation, test)] == [1, 0, 1]
    np.testing.assert_array_equal(np.sort(np.concatenate([train, validation, test])), np.arange(42))


def test_with_one_row_left_of_each_class_there_can_be_no_validation():
    made = dataset(np.zeros((6, 1)), [0, 0, 1, 1, 2, 2])
    message = error(DataError, data.split, made, DataConfig(test_size=0.5))
    assert message.startswith("data.validation_size = 0.2 does not split 0 rows")
    train, validation, test = data.split(made, DataConfig(test_size=0.5, validation_size=0))
    assert (len(train), len(validation), len(test)) == (3, 0, 3)


# Scaling


def scaled(kind, made, dtype="float64", fitted_on=None, taken=None):
    """The rows `taken`, scaled as the rows `fitted_on` ask for; all of them where they are not given."""
    rows = np.arange(made.X.shape[0])
    fitted_on, taken = (rows if some is None else some for some in (fitted_on, taken))
    scaler = data.fit_scaler(kind, made.X[fitted_on], made.feature_names)
    return data.prepare(made, taken, scaler, MLP([made.X.shape[1], 2], dtype=dtype))


@pytest.mark.parametrize(("kind", "transformer"), [("standard", StandardScaler()), ("minmax", MinMaxScaler())])
@pytest.mark.parametrize("source", ["wine", "digits"])  # digits have constant features
def test_dense_rows_are_scaled_as_scikit_learn_scales_them(source, kind, transformer):
    made = load(source)
    train, _, test = data.split(made, DataConfig())
    transformer.fit(made.X[train])
    for rows in (train, test):
        part = scaled(kind, made, fitted_on=train, taken=rows)
        np.testing.assert_allclose(part.X1[:, :-1], transformer.transform(made.X[rows]), rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(part.y, made.y[rows])


def test_scale_none_leaves_the_rows_as_they_are():
    made = load("iris")
    np.testing.assert_array_equal(scaled("none", made).X1[:, :-1], made.X)


@pytest.mark.parametrize("kind", ["standard", "minmax", "none"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dense_rows_end_in_a_one_and_have_the_dtype_of_the_net(kind, dtype):
    X1 = scaled(kind, load("iris"), dtype).X1
    assert X1.shape == (150, 5) and X1.dtype == dtype
    assert (X1[:, -1] == 1).all()


@pytest.mark.parametrize(("kind", "expected"), [("standard", 0.0), ("minmax", 0.0), ("none", 3.0)])
def test_a_constant_feature_is_divided_by_1(kind, expected):
    made = dataset(np.column_stack([np.full(6, 3.0), np.arange(6.0)]))
    np.testing.assert_allclose(scaled(kind, made).X1[:, 0], expected, atol=1e-15)
    later = dataset(np.array([[4.0, 0.0]]), [0])
    scaler = data.fit_scaler(kind, made.X, made.feature_names)
    assert data.prepare(later, np.array([0]), scaler, MLP([2, 2])).X1[0, 0] == expected + 1


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 400))
def test_rows_scaled_a_block_at_a_time_are_those_scaled_at_once(N, D, chunk_bytes):
    made = dataset(np.random.default_rng(N).normal(size=(N, D)))
    scaler, net, rows = Scaler(np.full(D, 0.5), np.full(D, 3.0)), MLP([D, 2]), np.arange(N)[::-1]
    at_once = data.prepare(made, rows, scaler, net).X1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "CHUNK_BYTES", chunk_bytes)
        np.testing.assert_array_equal(data.prepare(made, rows, scaler, net).X1, at_once)


def sparse_dataset(N=40, D=7):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(N, D)) * (rng.random((N, D)) < 0.3)
    X[:, 2] = 0  # a constant feature
    return dataset(sp.csr_array(X))


@pytest.mark.parametrize(
    ("kind", "transformer"),
    [("standard", StandardScaler(with_mean=False)), ("minmax", MaxAbsScaler())],
)
def test_sparse_rows_are_only_divided(kind, transformer):
    made = sparse_dataset()
    train, test = np.arange(30), np.arange(30, 40)
    transformer.fit(made.X[train])
    for rows in (train, test):
        X1 = scaled(kind, made, fitted_on=train, taken=rows).X1
        assert sp.issparse(X1) and X1.shape == (len(rows), 7) and X1.nnz == made.X[rows].nnz
        np.testing.assert_allclose(X1.toarray(), transformer.transform(made.X[rows]).toarray(), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sparse_rows_with_scale_none_only_change_their_dtype(dtype):
    made = sparse_dataset()
    X1 = scaled("none", made, dtype).X1
    assert X1.dtype == dtype
    np.testing.assert_array_equal(X1.toarray(), made.X.toarray().astype(dtype))


def test_scaling_leaves_the_data_set_as_it_was():
    for made in (load("wine"), sparse_dataset()):
        before = made.X.copy()
        scaled("standard", made)
        assert abs(made.X - before).max() == 0


@pytest.mark.parametrize("container", [np.array, sp.csr_array])
@pytest.mark.parametrize("values", [(1e200, 3e200, -2e200), (1e200, 2e200, -3e200), (1.7e308, 1.7e308, 1.7e308)])
def test_a_feature_whose_variance_is_beyond_float64_is_an_error_that_names_it(container, values):
    made = dataset(container(np.column_stack([[1.0, 2.0, 4.0], values])), names=["small", "huge"])
    assert error(DataError, scaled, "standard", made).startswith("column 'huge' holds numbers too large to be scaled")


def test_a_feature_whose_range_is_beyond_float64_is_an_error_that_names_it():
    made = dataset(np.array([[1.0, 1.7e308], [2.0, -1.7e308]]), names=["small", "huge"])
    assert error(DataError, scaled, "minmax", made).startswith("column 'huge' holds numbers too large to be scaled")


@pytest.mark.parametrize("container", [np.array, sp.csr_array])
def test_minmax_takes_a_feature_at_1e200(container):
    made = dataset(container([[1.0, 1e200], [2.0, 3e200], [4.0, 2e200]]))
    X1 = scaled("minmax", made, "float32").X1
    expected = [0, 1, 0.5] if container is np.array else [1 / 3, 1, 2 / 3]
    np.testing.assert_allclose(X1[:, [1]].ravel() if container is np.array else X1.toarray()[:, 1], expected)


@pytest.mark.parametrize("container", [np.array, sp.csr_array])
def test_a_value_that_float32_cannot_hold_is_an_error_that_names_its_column(container):
    made = dataset(container([[0.0, 1.0, 2.0], [3.0, 4.0, -1e39], [5.0, 6.0, 7.0]]), names=["a", "b", "large"])
    message = error(DataError, scaled, "none", made, "float32")
    assert message == "column 'large' holds numbers too large for float32: scale it"
    assert scaled("none", made, "float64").X1.shape[0] == 3


@pytest.mark.parametrize("container", [np.array, sp.csr_array])
def test_a_row_far_outside_the_training_part_is_an_error_too(container):
    made = dataset(container([[1e-9], [2e-9], [1e300], [3e-9]]))
    message = error(DataError, scaled, "standard", made, "float64", np.array([0, 1, 3]), np.arange(4))
    assert message.startswith("column 'x0' holds numbers too large for float64")
