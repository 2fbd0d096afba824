"""What the name of a source means: a set of scikit-learn, a generator, OpenML, a file."""

import bz2
import gzip
import io
import lzma
import sys
import zipfile
from pathlib import Path
from urllib.error import HTTPError, URLError

import datahome
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import datasets as sklearn_datasets
from tables import refused

from minnet import data
from minnet.config import BUNDLED, FETCHED, GENERATORS, DataConfig
from minnet.data import frames, sources
from minnet.data.table import Reading
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


@pytest.fixture
def weather(home):
    datahome.openml(home, "weather", WEATHER, "play")


@pytest.fixture(params=["with pandas", "without pandas"])
def pandas_or_not(request, monkeypatch):
    if request.param == "without pandas":
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        monkeypatch.setattr("pandas.read_csv", None)


def load(source, **keys):
    """The table of a set, and its labels, the set's own names for them if it has any."""
    table, names = sources.load_set(DataConfig(source=source, **keys))
    labels = np.unique(table.y)
    named = names is not None and len(names) == len(labels) and table.y.dtype.kind in "iu"
    return table, (np.asarray(names)[table.y] if named else table.y).tolist()


# Sets that come with scikit-learn, and that it generates


def test_a_bundled_set_loads_with_its_own_names():
    names = {"iris": ["setosa", "versicolor", "virginica"], "digits": list(range(10))}
    names |= {"wine": ["class_0", "class_1", "class_2"], "breast_cancer": ["malignant", "benign"]}
    assert names.keys() == {*BUNDLED}
    for source, classes in names.items():
        loaded = data.load(DataConfig(source=source))
        original = getattr(sklearn_datasets, f"load_{source}")()
        assert (loaded.name, loaded.classes.tolist(), loaded.reading) == (source, classes, {})
        assert loaded.table.names == list(original.feature_names)
        np.testing.assert_array_equal(loaded.table.X, original.data)
        np.testing.assert_array_equal(loaded.y, original.target)


@pytest.mark.parametrize("source", GENERATORS)
def test_a_generator_makes_the_rows_it_is_asked_for(source):
    wide = source not in ("moons", "circles")
    keys = {"samples": 90, "features": 5 if wide else 2, "classes": 4 if wide else 3}
    (made, y), (again, _) = load(source, **keys), load(source, **keys)
    others = [load(source, **keys, generator_seed=1)]
    others += [load(source, **keys, noise=0.9)] if source != GENERATORS[-1] else []
    D, K = (5, 4) if wide else (2, 2)
    assert made.X.shape == (90, D) and made.X.dtype == np.float64
    assert sorted(set(y)) == list(range(K)) and made.names == [f"x{j}" for j in range(D)]
    np.testing.assert_array_equal(made.X, again.X)
    assert not any(np.array_equal(made.X, other.X) and y == labels for other, labels in others)


def test_a_generator_makes_what_that_of_scikit_learn_does():
    options = {"n_informative": 3, "n_redundant": 0, "n_clusters_per_class": 1, "flip_y": 0.2}
    options |= {"n_samples": 80, "n_features": 6, "n_classes": 3, "random_state": 4}
    made, y = load("classification", samples=80, features=6, generator_seed=4)
    expected, labels = sklearn_datasets.make_classification(**options)
    assert np.array_equal(made.X, expected) and y == labels.tolist()
    circles, y = load("circles", samples=50, noise=0)
    np.testing.assert_allclose(np.linalg.norm(circles.X, axis=1), np.where(y, 0.5, 1))
    blobs, y = load("blobs", samples=6000, noise=3.0)
    assert blobs.X[np.equal(y, 0)].std() > 2.5


def test_settings_that_a_generator_cannot_meet_are_a_config_error():
    for source, keys in (
        ("classification", {"features": 1}),
        ("classification", {"classes": 5}),
        ("gaussian_quantiles", {"samples": 2, "classes": 3}),
        ("blobs", {"samples": 10**9, "features": 10**6}),
    ):
        message = refused(ConfigError, load, source, **keys)
        assert message.startswith(f"data: cannot generate {source}: ")


# Sets that scikit-learn has downloaded


def test_covtype_is_read_from_the_data_home(home, tries):
    datahome.covtype(home)
    table, y = load("covtype")
    np.testing.assert_array_equal(table.X, np.arange(14 * 54).reshape(14, 54))
    assert y == [1, 2, 3, 4, 5, 6, 7] * 2
    assert table.names[0] == "Elevation" and len(table.names) == 54 and not tries


def test_text_in_kddcup99_is_text(home):
    datahome.kddcup99(home)
    table, y = load("kddcup99")
    assert {name: cells.tolist() for name, cells in table.text.items()} == {
        "protocol_type": ["tcp", "udp", "tcp"],
        "service": ["http", "domain_u", "smtp"],
        "flag": ["SF", "SF", "REJ"],
    }
    assert table.X.shape == (3, 38) and table.X.dtype == np.float64
    assert table.X[:, table.names.index("duration")].tolist() == [5, 0, 7]
    assert table.X[:, table.names.index("serror_rate")].tolist() == [0.5, 0.5, 0.5]
    assert y == ["normal.", "smurf.", "normal."]


def test_20newsgroups_stays_sparse_and_knows_its_words(home):
    datahome.newsgroups(home)
    for _ in range(2):  # the second time, scikit-learn reads the counts that it has stored
        table, y = load("20newsgroups_vectorized")
        assert table.sparse and table.names == ["and", "chain", "comet", "moon", "wheel"]
        of_space = table.X[:, [2]].toarray().ravel() > 0
        assert y == np.where(of_space, "sci.space", "rec.bicycles").tolist()
        np.testing.assert_allclose(table.X.multiply(table.X).sum(axis=1), 1)


def test_lfw_people_are_those_with_at_least_70_pictures(home):
    datahome.lfw_people(home)
    table, y = load("lfw_people")
    assert [y.count(name) for name in ("Ada Lovelace", "Alan Turing")] == [70, 70]
    grey = np.where(np.array(y) == "Alan Turing", 200, 40)
    np.testing.assert_allclose(table.X.mean(axis=1) * 255, grey, atol=2)


@pytest.mark.usefixtures("pandas_or_not", "weather")
def test_an_openml_set_is_the_same_with_pandas_and_without(tries):
    table, y = load("openml:weather")
    assert {name: cells.tolist() for name, cells in table.text.items()} == {
        "outlook": ["sunny", "partly cloudy", "rainy", "nan"],
        "windy": ["no", "no", "yes", "yes"],
    }
    assert table.X.tolist() == [[29.5], [28], [21], [18.5]] and table.names == ["temperature"]
    assert y == ["no", "yes", "yes", "no"] and not tries
    table, y = load("openml:weather", target="windy")
    assert y == ["no", "no", "yes", "yes"] and table.columns == ["temperature", "outlook", "play"]
    message = refused(ConfigError, load, "openml:weather", target="wind")
    assert message == "openml:weather: has no target column 'wind'"


@pytest.mark.usefixtures("pandas_or_not")
def test_a_sparse_openml_set_stays_sparse(home):
    datahome.openml(home, "words", WORDS, "topic")
    table, y = load("openml:words")
    assert sp.issparse(table.X) and table.names == ["comet", "wheel", "chain"]
    np.testing.assert_array_equal(table.X.toarray(), [[1.5, 0, 0], [0, 0, 0], [0, 2, 0.5]])
    assert y == ["space", "bicycles", "bicycles"]


@pytest.mark.usefixtures("pandas_or_not")
def test_a_numeric_target_of_openml_has_whole_numbers_for_classes(home):
    arff = "@RELATION counts\n@ATTRIBUTE a REAL\n@ATTRIBUTE b REAL\n@DATA\n0.5,9\n1.5,1\n2.5,9\n"
    datahome.openml(home, "counts", arff, "b")
    table, y = load("openml:counts")
    assert (table.X.tolist(), y) == ([[0.5], [1.5], [2.5]], [9, 1, 9])


@pytest.mark.usefixtures("weather")
def test_a_version_of_an_openml_set_can_be_chosen(home):
    datahome.openml(home, "weather", WEATHER.replace("29.5", "30.5"), "play", version=2)
    found = [load(f"openml:weather{v}")[0].X[0, 0] for v in ("", ":1", ":2")]
    assert found == [29.5, 29.5, 30.5]


@pytest.mark.usefixtures("pandas_or_not")
@pytest.mark.parametrize("targets", [(), ("play", "windy")])
def test_an_openml_set_needs_one_target(home, targets):
    datahome.openml(home, "weather", WEATHER, *targets)
    refused(DataError, load, "openml:weather")


def answer_with(monkeypatch, code, message):
    def answer(opener, request, *rest):
        raise HTTPError(request.full_url, code, message, {}, None)

    monkeypatch.setattr("urllib.request.OpenerDirector.open", answer)


def test_an_openml_set_that_does_not_exist_or_a_server_that_fails_is_named(home, monkeypatch):
    answer_with(monkeypatch, 412, "Precondition Failed")
    for source in ("openml:nosuch", "openml:nosuch:3"):
        assert refused(ConfigError, load, source).startswith(f"data.source: there is no {source}: ")
    for version in ("", "one", "0", "-1", "1.5"):
        refused((DataError, ConfigError), load, f"openml:weather:{version}")
    answer_with(monkeypatch, 503, "Service\nUnavailable")
    assert "503: Service Unavailable" in refused(DataError, load, "openml:weather")


# Sets that cannot be loaded


@pytest.mark.parametrize("source", [*FETCHED, "openml:weather", "openml:weather:2"])
def test_without_a_network_the_error_names_what_can_be_had(source, home, tries, capsys):
    message = refused(DataError, load, source)
    assert message.startswith(f"{source}: cannot be downloaded (<urlopen error no network>)")
    assert message.endswith(", ".join((*BUNDLED, *GENERATORS)))
    assert len(tries) == 2 and capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("source", "build", "file"),
    [
        ("covtype", datahome.covtype, "samples_py3"),
        ("kddcup99", datahome.kddcup99, "targets"),
        ("20newsgroups_vectorized", datahome.newsgroups, "20news-bydate_py3.pkz"),
        ("lfw_people", datahome.lfw_people, "Ada_Lovelace_0001.jpg"),
        ("openml:weather", lambda home: datahome.openml(home, "weather", WEATHER, "play"), "41.gz"),
    ],
)
def test_a_damaged_file_in_the_data_home_is_an_error(source, build, file, home, capsys):
    build(home)
    files = {path: path.read_bytes() for path in home.rglob(file)}
    assert files
    for damaged in (lambda content: content[: len(content) // 2], lambda _: b"damaged"):
        for path, content in files.items():
            path.write_bytes(damaged(content))
        assert refused(DataError, load, source).startswith(f"{source}: cannot be ")
    assert capsys.readouterr() == ("", "")


def test_pictures_without_pillow_are_an_error_that_says_so(home, monkeypatch):
    datahome.lfw_people(home)
    monkeypatch.setitem(sys.modules, "PIL", None)
    message = refused(DataError, load, "lfw_people")
    assert message.startswith("lfw_people: needs another package: ") and "PIL" in message


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.nan, None, "row 3, column 'Slope' is missing: every value must be a finite number"),
        ("a", None, "has text in a column of numbers: could not convert"),
        (0, [[1, 2]] * 14, "has a target of shape (14, 2) instead of one label a row"),
    ],
)
def test_a_set_with_cells_that_are_no_numbers_or_labels_is_an_error(X, y, message, home):
    cells = np.zeros((14, 54), object if X == "a" else float)
    cells[3, 2] = X
    datahome.covtype(home, cells, y and np.array(y))
    assert refused(DataError, load, "covtype").startswith(f"covtype: {message}")


def test_a_sparse_number_that_is_not_finite_is_named_by_row_and_column(home):
    datahome.openml(home, "words", WORDS.replace("2 0.5", "2 inf"), "topic")
    message = "openml:words: row 2, column 'chain' holds inf"
    assert refused(DataError, load, "openml:words").startswith(message)


# Files

PLAIN = "age,city,when,kind\n1.5,Rome,2024-01-05,1\n,,,2\n3,Köln,2024-02-01,1\n"


def made(name, content=PLAIN):
    """A file of this name, which holds the table of a CSV."""
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


def frame(dates=("when",)):
    return pd.read_csv(io.StringIO(PLAIN), parse_dates=dates and [*dates])


def zipped(members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


WRITERS = {
    "t.parquet": lambda name: frame().to_parquet(name),
    "t.bin": lambda name: frame().set_index("age").to_parquet(name),
    "t.feather": lambda name: frame().to_feather(name),
    "t.xlsx": lambda name: frame().to_excel(name, index=False),
    "book": lambda name: Path("t.xlsx").rename(name),
    "t.json": lambda name: frame(None).to_json(name, orient="records"),
    "t.jsonl": lambda name: frame(None).to_json(name, orient="records", lines=True),
    "c.json": lambda name: frame(None).to_json(name),
    "t.dta": lambda name: frame().to_stata(name, write_index=False),
    "t.arff": lambda name: made(name, ARFF),
    "t.csv.gz": lambda name: made(name, gzip.compress(PLAIN.encode())),
    "t.csv": lambda name: made(name, bz2.compress(PLAIN.encode())),
    "t": lambda name: made(name, lzma.compress(PLAIN.encode())),
    "t.zip": lambda name: made(name, zipped({"t.csv": PLAIN, "__MACOSX/t.csv": "x"})),
    "u.zip": lambda name: made(name, zipped({"t.gz": gzip.compress(PLAIN.encode())})),
}
ARFF = """% a comment, with 'quotes'
@RELATION people
@attribute age REAL
@ATTRIBUTE 'city' {Rome, 'Köln', "St. John's"}
@attribute when DATE yyyy-MM-dd
@attribute kind{1,2}
@outputs kind
@DATA
1.5,Rome,'2024-01-05',1
% another
?,?,?,2
3,'Köln',2024-02-01,1
"""


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.usefixtures("here")
def test_a_table_is_the_same_in_every_format(name):
    WRITERS["t.xlsx"]("t.xlsx")
    WRITERS[name](name)
    told = []
    read = sources.read(name, Reading(target="kind"), told.append)
    assert read.order == ["age", "city", "when", "kind"] and read.names == ["age"]
    np.testing.assert_array_equal(read.X, [[1.5], [np.nan], [3]])
    assert {name: cells.tolist() for name, cells in read.text.items()} == {
        "city": ["Rome", "", "Köln"],
        "when": ["2024-01-05", "", "2024-02-01"],
        "kind": ["1", "2", "1"],
    }
    if name == "t.arff":
        assert "kind" in sources.read(name, Reading(None)).text
    assert sum(told) == Path(name).stat().st_size and read.path == name and not read.notes


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"\x89PNG\r\n\x1a\n\0", "is no table but a picture"),
        ("t", b"%PDF-1.4\n", "is no table but a PDF"),
        ("t.csv", b"\n <!DOCTYPE html>\n<p>a,b", "is no table but HTML or XML"),
        ("t.csv", b"\x80\x04\x95\0", "is no table but a pickle"),
        ("t.xls", b"\xd0\xcf\x11\xe0\xa1", "is no table but an old or locked Excel workbook: save"),
        ("t.xlsx", PLAIN, "is called .xlsx, but is not an Excel workbook: rename it, or save it"),
        ("t.parquet", PLAIN, "is called .parquet, but is not Parquet: "),
        ("t.sas7bdat", PLAIN, "is called .sas7bdat, but is not SAS: "),
        ("t.arff", "@relation a\n@attribute b real\n", "is ARFF without rows, or with sparse ones"),
        ("t.arff", "@relation a\n@data\n%b\n {0 1}", "is ARFF without rows, or with sparse ones"),
        ("t.xlsx", zipped({"t.csv": PLAIN}), "cannot be read: "),
        ("t.parquet", b"PAR1" + b"x" * 40, "cannot be read: "),
        ("t.json", '{"a": [1, 2', "cannot be read: "),
        ("t.json", '{"a": [1, 2]}', "has only one column"),
        ("t.json", '{"a": [], "b": []}', "has no rows"),
        ("t.zip", zipped({"a": "", "b": ""}), "is a zip of 2 files, not of one: 'a', 'b'"),
        ("t.zip", zipped({}), "is a zip of 0 files, not of one: none"),
        ("t.zip", zipped({"t.csv": PLAIN * 9})[:80], "cannot be read: "),
        ("t.csv.gz", gzip.compress(PLAIN.encode())[:-1], "cannot be read: Compressed file ended"),
        ("t.csv.gz", gzip.compress(PLAIN.encode())[:-8] + bytes(8), "cannot be read: "),
        ("t.csv.xz", lzma.compress(PLAIN.encode())[:60], "cannot be read: Compressed file ended"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_file_that_is_damaged_or_not_what_it_seems_is_refused(name, content, message, capsys):
    made(name, content)
    assert refused(DataError, sources.read, name, Reading()).startswith(f"{name}: {message}")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["t.parquet", "t.xlsx", "t.jsonl", "t.dta"])
@pytest.mark.usefixtures("here")
def test_without_pandas_the_message_says_how_to_get_it(name, monkeypatch):
    WRITERS[name](name)
    monkeypatch.setitem(sys.modules, "pandas", None)
    message = refused(DataError, sources.read, name, Reading())
    assert message.endswith("which needs more packages: " + frames.NEEDED)


@pytest.mark.usefixtures("here")
def test_a_workbook_is_read_as_its_first_sheet_would_be_as_csv():
    with pd.ExcelWriter("t.xlsx") as book:
        pd.DataFrame([[None, 5.5, "u"], ["40,3", 2, "v"]]).to_excel(book, header=False, index=False)
        frame().to_excel(book, sheet_name="other")
    read = sources.read("t.xlsx", Reading())
    assert (read.order, read.named, read.numbers.tolist()) == (["x0", "x1", "x2"], False, [1, 2])
    assert read.X.tolist() == [[5.5], [2]] and read.text["x0"].tolist() == ["", "40,3"]
    assert read.notes[0] == "the first of 2 sheets is read"
    pd.DataFrame().to_excel("t.xlsx", header=False, index=False)
    assert refused(DataError, sources.read, "t.xlsx", Reading()) == "t.xlsx: is empty"


def test_a_data_frame_is_the_table_that_its_csv_would_be():
    given = pd.DataFrame({"n": pd.array([1, None, 3], "Int64"), "f": [0.5, np.inf, np.nan]})
    given["yes"], given["c"] = [True, False, True], pd.Categorical([10, 20, None])
    given["s"] = [" a", None, "NA"]
    given["t"] = pd.to_datetime(["2024-01-05", None, "2024-01-05 12:30"], format="ISO8601")
    given["y"], given[("p", "q")] = [1.0, np.nan, 2.0], [b"u", 1, 2.50]
    read = frames.table(given, "frame", Reading("y", text=("f",), missing=("3",)))
    assert read.order == ["n", "f", "yes", "c", "s", "t", "y", "p.q"] and read.named
    np.testing.assert_array_equal(read.X, [[1], [np.nan], [np.nan]])
    assert {name: cells.tolist() for name, cells in read.text.items()} == {
        "f": ["0.5", "inf", ""],
        "yes": ["True", "False", "True"],
        "c": ["10", "20", ""],
        "s": ["a", "", ""],
        "t": ["2024-01-05", "", "2024-01-05 12:30:00"],
        "y": ["1", "", "2"],
        "p.q": ["u", "1", "2.5"],
    }
    plain = frames.table(pd.DataFrame(np.eye(2)), "frame")
    assert (plain.order, plain.named, plain.text) == (["x0", "x1"], False, {})
    twice = pd.DataFrame([[1, 2, 3]], columns=["a", "a", "Unnamed: 2"])
    assert frames.table(twice, "frame").order == ["a", "a.1", "x2"]
    words = frames.table(pd.DataFrame({"a": ["u", [1, 2]]}), "frame")
    assert (words.names, words.X.shape, words.text["a"].tolist()) == ([], (2, 0), ["u", "[1, 2]"])


def test_minus_is_what_is_typed(monkeypatch):
    content = "a,b,y\n" + "1,2,u\n" * 6000 + "x,2,v\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(content.encode()))))
    read = sources.read("-", Reading())
    assert (read.path, len(read), list(read.text)) == ("stdin", 6001, ["a", "y"])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert refused(DataError, sources.read, "-", Reading()) == "stdin: is empty"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none.csv", "none.csv: cannot be read: No such file or directory"),
        ("none.npz", "none.npz: cannot be read: No such file or directory"),
        ("/dev/null", "/dev/null: is not a file: save the data in one"),
        ("a\0b", "a\\x00b: cannot be read: embedded null byte"),
        ("two\nlines", "two lines: cannot be read: No such file or directory"),
    ],
)
def test_a_path_that_is_no_file_is_refused(path, message):
    assert refused(DataError, sources.read, path, Reading()) == message


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.svm", "t.svm.gz"])
def test_progress_is_told_every_byte_of_the_file_once(name, tmp_path):
    lines = "1,2,u\n" if "csv" in name else "1 1:2 3:4 # note\n0 2:1\n"
    content, path = ("a,b,y\n" * ("csv" in name) + lines * 9000).encode(), tmp_path / name
    counts = []
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    sources.read(path, Reading(), counts.append)
    assert sum(counts) == path.stat().st_size and len(counts) > 1


def test_what_does_not_fit_into_memory_is_said_so(tmp_path, monkeypatch):
    def too_large(blocks):
        raise MemoryError

    monkeypatch.setattr("minnet.data.arrays.stack", too_large)
    path = tmp_path / "t.csv"
    path.write_text(PLAIN)
    assert refused(DataError, sources.read, path, Reading()) == f"{path}: does not fit into memory"
