"""Where rows come from, a data set or a file of one's own, and how they are split and scaled."""

import gzip
from pathlib import Path

import datahome
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets as sklearn_datasets
from sklearn.datasets import dump_svmlight_file
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from minnet import data, experiment
from minnet.config import Config, DataConfig
from minnet.core.network import MLP
from minnet.data import Dataset
from minnet.errors import ConfigError, DataError
from minnet.features import Features


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


# Files of one's own

TABLE = "length,width,species\n1,10,rose\n2,20,iris\n3,30,rose\n4,40,iris\n"
COLOURS = "length,colour,species\n1,red,rose\n2,blue,iris\n3,,rose\n4,red,iris\n"


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A function that writes a file into the folder of the test, and returns its name."""
    monkeypatch.chdir(tmp_path)

    def write(name, content):
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    return write


def make_csv(X, y):
    rows = [",".join(map(repr, [*row, int(label)])) for row, label in zip(X.tolist(), y, strict=True)]
    Path("own.csv").write_text("\n".join(["a,b,c,d,label", *rows]) + "\n")
    return "own.csv"


def make_tsv(X, y):
    Path(make_csv(X, y)).rename("own.tsv")
    Path("own.tsv").write_text(Path("own.tsv").read_text().replace(",", "\t"))
    return "own.tsv"


def make_gzip(X, y):
    Path("own.csv.gz").write_bytes(gzip.compress(Path(make_csv(X, y)).read_bytes()))
    return "own.csv.gz"


def make_npz(X, y):
    np.savez("own.npz", X=X, y=y)
    return "own.npz"


def make_folder(X, y):
    Path("own").mkdir()
    np.save("own/X.npy", X)
    np.save("own/y.npy", y)
    return "own"


def make_svmlight(X, y):
    dump_svmlight_file(X, y, "own.svm", zero_based=False)
    return "own.svm"


MAKERS = [make_csv, make_tsv, make_gzip, make_npz, make_folder, make_svmlight]


@pytest.fixture(params=MAKERS)
def iris_file(request, tmp_path, monkeypatch):
    """Iris in a file of one kind after the other."""
    monkeypatch.chdir(tmp_path)
    return request.param(*sklearn_datasets.load_iris(return_X_y=True))


def test_a_file_of_every_kind_gives_the_same_rows_and_labels(iris_file):
    X, y = sklearn_datasets.load_iris(return_X_y=True)
    loaded = load(iris_file)
    np.testing.assert_array_equal(loaded.X.toarray() if sp.issparse(loaded.X) else loaded.X, X)
    np.testing.assert_array_equal(loaded.y, y)
    assert (loaded.name, loaded.classes.tolist(), len(loaded.feature_names)) == (iris_file, [0, 1, 2], 4)


def test_the_split_of_a_file_is_the_one_of_train_test_split(iris_file):
    X, y = sklearn_datasets.load_iris(return_X_y=True)
    run = experiment.prepare(Config(data=DataConfig(source=iris_file, split_seed=3, scale="none")))
    rest, X_test, y_rest, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=3)
    X_train, X_validation, y_train, y_validation = train_test_split(
        rest, y_rest, test_size=0.2, stratify=y_rest, random_state=3
    )
    expected = {"train": (X_train, y_train), "validation": (X_validation, y_validation), "test": (X_test, y_test)}
    for name, part in run.parts.items():
        X1 = part.X1.toarray() if sp.issparse(part.X1) else part.X1[:, :-1]
        np.testing.assert_array_equal(X1, expected[name][0].astype(np.float32))
        np.testing.assert_array_equal(part.y, expected[name][1])


def test_what_is_read_is_told_in_bytes(iris_file):
    counts = []
    data.load(DataConfig(source=iris_file), counts.append)
    path = Path(iris_file)
    assert sum(counts) == (path.stat().st_size if path.suffix in (".csv", ".tsv", ".gz", ".svm") else 0)


@pytest.mark.parametrize(
    ("target", "classes", "y", "features"),
    [
        ("", ["iris", "rose"], [1, 0, 1, 0], ["length", "width"]),
        ("species", ["iris", "rose"], [1, 0, 1, 0], ["length", "width"]),
        (2, ["iris", "rose"], [1, 0, 1, 0], ["length", "width"]),
        (-1, ["iris", "rose"], [1, 0, 1, 0], ["length", "width"]),
        ("width", [10, 20, 30, 40], [0, 1, 2, 3], ["length", "species"]),
        (0, [1, 2, 3, 4], [0, 1, 2, 3], ["width", "species"]),
        (-3, [1, 2, 3, 4], [0, 1, 2, 3], ["width", "species"]),
    ],
)
def test_the_target_is_a_column_by_name_or_by_place_and_else_the_last(written, target, classes, y, features):
    text = ["species"] if "species" in features else []
    loaded = load(written("t.csv", TABLE), target=target, categorical=text)
    assert (loaded.classes.tolist(), loaded.y.tolist()) == (classes, y)
    assert [*loaded.feature_names, *loaded.text] == features


def test_a_target_whose_name_is_a_number_is_no_place(written):
    loaded = load(written("t.csv", "a,0,b\n1,7,2\n3,8,4\n"), target="0", header=True)
    assert loaded.classes.tolist() == [7, 8]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("spezies", "data.target: t.csv has no column 'spezies'; did you mean 'species'?"),
        ("zzz", "data.target: t.csv has no column 'zzz'; it has 'length', 'width', 'species'"),
        (3, "data.target: t.csv has 3 columns, with indices -3 to 2, not 3"),
        (-4, "data.target: t.csv has 3 columns, with indices -3 to 2, not -4"),
    ],
)
def test_a_target_that_the_file_does_not_have_is_a_config_error(written, target, said):
    assert error(ConfigError, load, written("t.csv", TABLE), target=target) == said


@pytest.mark.parametrize(("key", "value"), [("target", 0), ("target", "a"), ("header", True)])
@pytest.mark.parametrize("maker", [make_npz, make_folder, make_svmlight])
def test_a_key_of_text_files_has_no_effect_on_another_kind(tmp_path, monkeypatch, maker, key, value):
    monkeypatch.chdir(tmp_path)
    source = maker(*sklearn_datasets.load_iris(return_X_y=True))
    said = error(ConfigError, load, source, **{key: value})
    assert said == f"data.{key}: has no effect on {source}, only on a text file"


def test_a_file_that_is_not_there_is_named():
    assert error(DataError, load, "no/such.csv") == "no/such.csv: cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("header", "rows", "names"), [(True, 2, ["1", "2"]), (False, 3, ["x0", "x1"])], ids=["names", "data"]
)
def test_data_header_says_what_the_first_line_is(written, header, rows, names):
    source = written("t.csv", "1,2,3\n4,5,6\n7,8,9\n")
    loaded = load(source, header=header)
    assert (len(loaded.y), loaded.feature_names) == (rows, names)


def test_text_labels_with_gaps_and_spaces_become_sorted_classes(written):
    loaded = load(written("t.csv", 'a,b\n1, zebra\n2,ant \n3,Ant\n4,"two words"\n'))
    assert loaded.classes.tolist() == ["Ant", "ant", "two words", "zebra"]
    assert loaded.y.tolist() == [3, 1, 0, 2]


def test_one_class_is_nothing_to_tell_apart(written):
    said = error(DataError, load, written("t.csv", "a,b\n1,x\n2,x\n"))
    assert said == "only one class, x: there is nothing to tell apart"


# Missing cells and categories of a file

GAPS = "length,width,species\n1,10,rose\nNA,20,iris\n3,30,rose\n4,,iris\n8,40,iris\n"


def test_a_missing_cell_is_an_error_that_names_line_and_column(written):
    said = error(DataError, load, written("t.csv", GAPS))
    assert said == (
        "t.csv: line 3, column 'length' is missing: fill it in, or set data.missing to mean, median or drop"
    )


@pytest.mark.parametrize(("missing", "filled"), [("mean", [4.0, 25.0]), ("median", [3.5, 25.0])])
def test_a_missing_number_becomes_the_mean_or_the_median_of_its_column(written, missing, filled):
    config = DataConfig(source=written("t.csv", GAPS), missing=missing, scale="none")
    loaded = data.load(config)
    assert np.isnan(loaded.X[1, 0]) and np.isnan(loaded.X[3, 1]) and not loaded.notes
    part = data.prepare(loaded, np.arange(5), data.fit_features(config, loaded, np.arange(5)), MLP([2, 2]))
    assert [part.X1[1, 0], part.X1[3, 1]] == filled
    assert np.isnan(loaded.X).sum() == 2


def test_rows_with_missing_cells_are_dropped_and_counted(written):
    loaded = load(written("t.csv", GAPS), missing="drop")
    assert loaded.X.tolist() == [[1, 10], [3, 30], [8, 40]]
    assert loaded.classes[loaded.y].tolist() == ["rose", "rose", "iris"]
    assert loaded.notes == ["t.csv: 2 of 5 rows left out, as cells are missing"]


def test_rows_with_a_missing_category_are_dropped_too(written):
    loaded = load(written("t.csv", COLOURS), missing="drop", categorical=["colour"])
    assert (loaded.X.ravel().tolist(), loaded.text["colour"].tolist()) == ([1, 2, 4], ["red", "blue", "red"])


def test_a_missing_category_is_named_or_no_category_at_all(written):
    source = written("t.csv", COLOURS)
    said = error(DataError, load, source, categorical=["colour"])
    assert said.startswith("t.csv: line 4, column 'colour' is missing: ")
    config = DataConfig(source=source, categorical=["colour"], missing="mean", scale="none")
    loaded = data.load(config)
    part = data.prepare(loaded, np.arange(4), data.fit_features(config, loaded, np.arange(4)), MLP([3, 2]))
    assert part.X1[:, 1:3].tolist() == [[0, 1], [1, 0], [0, 0], [0, 1]]


def test_if_every_row_is_dropped_there_are_none(written):
    said = error(DataError, load, written("t.csv", "a,b,c\n1,,x\n,2,y\n"), missing="drop")
    assert said == "t.csv: holds no rows with labels"


def test_a_column_of_text_is_an_error_unless_it_is_categorical(written):
    source = written("t.csv", COLOURS)
    said = error(DataError, load, source)
    assert said == (
        "t.csv: line 2, column 'colour' holds 'red', no number: "
        "correct it, or train with the column in data.categorical"
    )
    loaded = load(source, categorical=["colour"], missing="median")
    assert loaded.text["colour"].tolist() == ["red", "blue", "", "red"] and loaded.feature_names == ["length"]


def test_numbers_can_be_categories(written):
    loaded = load(written("t.csv", TABLE), categorical=["width"])
    assert loaded.text["width"].tolist() == ["10", "20", "30", "40"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["color"], "data.categorical: t.csv has no column 'color'; did you mean 'colour'?"),
        (["colour", "zzz"], "data.categorical: t.csv has no column 'zzz'; it has 'length', 'colour'"),
    ],
)
def test_a_category_that_is_no_column_is_a_config_error(written, names, said):
    assert error(ConfigError, load, written("t.csv", COLOURS), categorical=names, missing="drop") == said


# Files of their own for validation and test

OTHER = "species,width,length\niris,50,5\nrose,60,6\n"


@pytest.mark.parametrize("target", ["", "species", 2])
def test_columns_in_another_order_are_put_right_by_their_names(written, target):
    loaded = load(written("t.csv", TABLE), test_source=written("o.csv", OTHER), target=target)
    assert loaded.feature_names == ["length", "width"]
    assert loaded.X[loaded.parts["test"]].tolist() == [[5, 50], [6, 60]]
    assert loaded.classes[loaded.y[loaded.parts["test"]]].tolist() == ["iris", "rose"]


def test_columns_that_are_called_x0_and_x1_are_put_right_too(written):
    written("t.csv", "x0,x1,y\n1,2,a\n3,4,b\n")
    loaded = load("t.csv", test_source=written("o.csv", "x1,x0,y\n9,8,a\n7,6,b\n"))
    assert loaded.X[loaded.parts["test"]].tolist() == [[8, 9], [6, 7]]


def test_columns_without_names_are_taken_in_their_order(written):
    written("plain.csv", "1,2,a\n3,4,b\n5,6,a\n")
    written("named.csv", "u,v,w\n7,8,a\n9,10,b\n")
    for test_source in ("plain.csv", "named.csv"):
        loaded = load("plain.csv", test_source=test_source)
        assert loaded.feature_names == ["x0", "x1"] and loaded.X.shape[1] == 2
        assert loaded.X[loaded.parts["test"][0]].tolist() == ([1, 2] if test_source == "plain.csv" else [7, 8])
    written("wide.csv", "1,2,3,a\n4,5,6,b\n4,5,6,a\n")
    said = error(DataError, load, "plain.csv", test_source="wide.csv")
    assert said == "wide.csv: has 3 feature columns, the training file 2"


def test_columns_of_text_need_names_in_both_files(written):
    written("plain.csv", "1,red,a\n3,blue,b\n5,red,a\n")
    written("named.csv", "u,x1,w\n7,red,a\n9,blue,b\n")
    said = error(DataError, load, "plain.csv", test_source="named.csv", categorical=["x1"])
    assert said == "named.csv: has no column 'x0', which the training file has"
    written("other.csv", "u,v,w\n7,red,a\n9,blue,b\n")
    said = error(DataError, load, "plain.csv", test_source="other.csv", categorical=["x1"])
    assert said.startswith("other.csv: its columns of text have no names to find them by")


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("length,species\n5,iris\n", "o.csv: has no column 'width', which the training file has"),
        (
            "length,width,depth,species\n5,6,7,iris\n",
            "o.csv: has a column 'depth', which the training file does not have: leave it out",
        ),
        ("length,wide,species\n5,6,iris\n", "o.csv: has no column 'width', which the training file has"),
        (
            "length,width,species\n5,6,fern\n",
            "class fern is not in t.csv, only in the other files: it cannot be learned",
        ),
        (
            "length,width,species\n5,big,iris\n",
            "o.csv: line 2, column 'width' holds 'big', no number: "
            "correct it, or train with the column in data.categorical",
        ),
        ("length,width,species\n5,,iris\n", "o.csv: line 2, column 'width' is missing: fill it in, or set "),
    ],
)
def test_what_another_file_has_wrong_is_named(written, part, content, said):
    source = written("t.csv", TABLE)
    keys = {f"{part}_source": written("o.csv", content)}
    assert error(DataError, load, source, **keys).startswith(said)


def test_a_target_that_only_the_other_file_lacks_is_named(written):
    written("o.csv", "length,width,kind\n5,6,iris\n")
    said = error(ConfigError, load, written("t.csv", TABLE), test_source="o.csv")
    assert said.startswith("data.target: o.csv has no column 'species'; ")


def test_a_file_of_another_format_has_to_be_of_the_same_kind_of_matrix(written):
    dense, sparse = written("t.csv", "p,q,r\n1,2,0\n3,4,1\n5,6,1\n"), written("o.svm", "0 1:1 2:5\n1 2:3\n")
    for source, other in ((dense, sparse), (sparse, dense)):
        said = error(DataError, load, source, test_source=other)
        assert said == f"{other}: only one of it and {source} is svmlight: give both in the same format"
    make_npz(np.array([[7.0, 8.0]]), np.array([1]))
    loaded = load(dense, test_source="own.npz")
    assert loaded.X[loaded.parts["test"]].tolist() == [[7, 8]]


def test_svmlight_files_have_as_many_features_as_the_one_for_training(written):
    source = written("t.svm", "0 1:1 3:5\n1 2:3\n")
    loaded = load(source, test_source=written("o.svm", "1 1:9\n"))
    assert sp.issparse(loaded.X) and loaded.X[loaded.parts["test"]].toarray().tolist() == [[9, 0, 0]]
    said = error(DataError, load, source, test_source=written("w.svm", "1 4:9\n"))
    assert said == "w.svm: line 1 has index 4, beyond the 3 features, counted from 1"


def big(N, first=0):
    rows = [f"{i},{i % 7},{'ab'[i % 2]}" for i in range(first, first + N)]
    return "\n".join(["p,q,label", *rows]) + "\n"


@pytest.mark.parametrize(
    ("others", "sizes"),
    [
        ({"test_source": "o.csv"}, [80, 20, 30]),
        ({"test_source": "o.csv", "validation_size": 0}, [100, 0, 30]),
        ({"validation_source": "o.csv"}, [80, 30, 20]),
        ({"validation_source": "v.csv", "test_source": "o.csv"}, [100, 10, 30]),
    ],
)
def test_parts_without_a_file_are_split_from_the_rest(written, others, sizes):
    written("o.csv", big(30, 100)), written("v.csv", big(10, 200))
    config = DataConfig(source=written("t.csv", big(100)), split_seed=5, **others)
    loaded = data.load(config)
    parts = data.split(loaded, config)
    assert [len(part) for part in parts] == sizes
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(loaded.y)))
    firsts = [int(loaded.X[part, 0].min(initial=999)) for part in parts]
    assert firsts[2] == 100 if "test_source" in others else firsts[1] == 100
    if "validation_source" not in others and sizes[1]:
        rows = np.arange(100)
        expected = train_test_split(rows, test_size=0.2, stratify=loaded.y[:100], random_state=5)
        for part, wanted in zip(parts, expected, strict=False):
            np.testing.assert_array_equal(part, wanted)


def test_a_part_from_a_file_that_cannot_be_split_off_is_an_error(written):
    config = DataConfig(source=written("t.csv", TABLE), test_source=written("o.csv", OTHER))
    said = error(DataError, data.split, data.load(config), config)
    assert said.startswith("data.validation_size = 0.2 does not split 4 rows: ")


def test_what_is_dropped_from_each_file_is_counted(written):
    written("o.csv", "species,width,length\niris,50,5\nrose,,6\n")
    loaded = load(written("t.csv", GAPS), test_source="o.csv", missing="drop")
    assert [note.partition(" rows")[0] for note in loaded.notes] == ["t.csv: 2 of 5", "o.csv: 1 of 2"]
    assert loaded.X.tolist() == [[1, 10], [3, 30], [8, 40], [5, 50]] and loaded.parts["test"].tolist() == [3]


def test_what_is_filled_in_is_fitted_on_the_training_file_alone(written):
    source = written("t.csv", "p,q,label\n" + "".join(f"{i % 4},NA,{'ab'[i % 2]}\n{i},1,a\n" for i in range(20)))
    other = written("o.csv", "p,q,label\n1e6,1e6,a\nNA,NA,b\n")
    run = experiment.prepare(
        Config(data=DataConfig(source=source, test_source=other, missing="mean", scale="none", validation_size=0))
    )
    assert run.features.fill[1] == 1 and run.features.fill[0] < 20
    np.testing.assert_array_equal(run.parts["test"].X1[1, :-1], run.features.fill.astype(np.float32))


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


# Rows as the net takes them


def scaled(kind, made, dtype="float64", fitted_on=None, taken=None):
    """The rows `taken`, scaled as the rows `fitted_on` ask for; all of them where they are not given."""
    rows = np.arange(made.X.shape[0])
    fitted_on, taken = (rows if some is None else some for some in (fitted_on, taken))
    fitted = data.fit_features(DataConfig(scale=kind), made, fitted_on)
    return data.prepare(made, taken, fitted, MLP([made.X.shape[1], 2], dtype=dtype))


@pytest.mark.parametrize(("kind", "transformer"), [("standard", StandardScaler()), ("minmax", MinMaxScaler())])
def test_rows_are_scaled_as_the_training_part_asks_for_and_keep_their_labels(kind, transformer):
    made = load("wine")
    train, _, test = data.split(made, DataConfig())
    transformer.fit(made.X[train])
    for rows in (train, test):
        part = scaled(kind, made, fitted_on=train, taken=rows)
        np.testing.assert_allclose(part.X1[:, :-1], transformer.transform(made.X[rows]), rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(part.y, made.y[rows])


@pytest.mark.parametrize("kind", ["standard", "minmax", "none"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dense_rows_end_in_a_one_and_have_the_dtype_of_the_net(kind, dtype):
    X1 = scaled(kind, load("iris"), dtype).X1
    assert X1.shape == (150, 5) and X1.dtype == dtype
    assert (X1[:, -1] == 1).all()


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 400))
def test_rows_scaled_a_block_at_a_time_are_those_scaled_at_once(N, D, chunk_bytes):
    made = dataset(np.random.default_rng(N).normal(size=(N, D)))
    made.text["colour"] = np.random.default_rng(D).choice(["red", "blue", ""], N)
    colours = {"colour": ["blue", "red"]}
    names, fill = made.feature_names, np.full(D, np.nan)
    fitted = Features(names, fill, np.full(D + 2, 0.5), np.full(D + 2, 3.0), colours)
    net, rows = MLP([D + 2, 2]), np.arange(N)[::-1]
    at_once = data.prepare(made, rows, fitted, net).X1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "CHUNK_BYTES", chunk_bytes)
        np.testing.assert_array_equal(data.prepare(made, rows, fitted, net).X1, at_once)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sparse_rows_with_scale_none_only_change_their_dtype(dtype):
    rng = np.random.default_rng(5)
    made = dataset(sp.csr_array(rng.normal(size=(40, 7)) * (rng.random((40, 7)) < 0.3)))
    X1 = scaled("none", made, dtype).X1
    assert sp.issparse(X1) and X1.dtype == dtype
    np.testing.assert_array_equal(X1.toarray(), made.X.toarray().astype(dtype))


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
