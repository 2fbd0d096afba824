"""The data sets of scikit-learn: those that come with it, those it makes, those it fetches."""

import importlib.util
import sys
from urllib.error import HTTPError, URLError

import datahome
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import datasets as sklearn_datasets

from minnet import data
from minnet.config import BUNDLED, FETCHED, GENERATORS, DataConfig
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
