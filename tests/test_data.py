"""From a source to the rows that the net takes: files, how they are split, scaled and written."""

import csv
import gzip
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import traced_memory
from sklearn.datasets import dump_svmlight_file
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from minnet import cli, data
from minnet.config import DataConfig
from minnet.data import Data, Rows, arrays, delimited, svmlight
from minnet.data.table import Table
from minnet.distributed import Alone
from minnet.errors import ConfigError, DataError

N, D = 300, 5
RNG = np.random.default_rng(0)
Y = np.arange(N) % 3
X = RNG.normal(size=(N, D)) + Y[:, None]
CSR = sp.hstack([Y[:, None] + 1.0, sp.random(N, 11, 0.3, random_state=0)], "csr")
WORDS = np.array(["größe", "b c", "日本"])[Y]
PARTS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def on_disk(monkeypatch):
    """A function that says whether every X of a folder is too large for memory."""

    def on_disk(large):
        monkeypatch.setattr(arrays, "MAPPED_BYTES", 1 if large else 1 << 40)

    on_disk(True)
    return on_disk


def write(name, content):
    Path(name).write_bytes(
        gzip.compress(content.encode()) if name[-2:] == "gz" else content.encode()
    )
    return name


def load(source, **keys):
    return data.load(DataConfig(source=source, **keys))


def refused(kind, function, *arguments, **keys):
    """The message of the error that is raised, which must be of this kind and one line."""
    with pytest.raises(kind) as caught:
        function(*arguments, **keys)
    message = str(caught.value)
    assert message and "\n" not in message
    return message


def dense(X):
    return X.toarray() if hasattr(X, "tocsr") else X


def made(X, y=None, names=None):
    """Data of rows in memory, which are not split."""
    classes, y = np.unique(np.arange(X.shape[0]) % 2 if y is None else y, return_inverse=True)
    table = Table("made", names or [f"x{j}" for j in range(X.shape[1])], X)
    return Data("made", table, y, classes)


def rows_of(loaded, part):
    return dense(loaded.table.X[loaded.parts[part]]).tolist()


def make_csv(X, y, name="own.csv", d=",", header=True):
    names = d.join([*(f"größe {j}" for j in range(X.shape[1])), "label"])
    rows = [d.join([*map(repr, row), str(label)]) for row, label in zip(X.tolist(), y, strict=True)]
    return write(name, "\n".join([names] * header + rows) + "\n")


def make_npz(X, y):
    np.savez("own.npz", X=X, y=y)
    return "own.npz"


def make_folder(X, y=Y, names=None):
    Path("own").mkdir(exist_ok=True)
    content = {"X": X, "y": y} | ({} if names is None else {"names": names})
    if hasattr(X, "tocsr"):
        del content["X"]
        content |= {"X.data": X.data, "X.indices": X.indices, "X.indptr": X.indptr}
        content["X.shape"] = np.array(X.shape)
    for name, array in content.items():
        np.save(f"own/{name}.npy", array)
    return "own"


def make_svmlight(X, y):
    dump_svmlight_file(X, y, "own.svm", zero_based=False)
    return "own.svm"


def make_tsv(X, y):
    return make_csv(X, y, "own.tsv", "\t")


def make_gzip(X, y):
    return make_csv(X, y, "own.csv.gz")


# Files of one's own

TABLE = "length,width,species\n" + "1,10,rose\n2,20,iris\n" * 10
COLOURS = "length,colour,species\n" + "1,red,rose\n2,blue,iris\n3,,rose\n4,red,iris\n" * 5
GAPS = "length,width,species\n" + "1,10,rose\nNA,20,iris\n3,30,rose\n4,,iris\n8,40,iris\n" * 3
OTHER = "species,width,length\niris,50,5\nrose,60,6\n"
HINT = "fill it in, or set data.missing to mean, median or drop"


@pytest.mark.parametrize(
    "make", [make_csv, make_tsv, make_gzip, make_npz, make_folder, make_svmlight]
)
def test_a_file_of_every_kind_gives_the_same_rows_labels_and_split(make):
    source, counts = make(X, Y), []
    config = DataConfig(source=source, split_seed=3, scale="none")
    loaded = data.load(config, counts.append)
    digits = 1e-15 if make is make_svmlight else 0  # which dump_svmlight_file rounds to
    np.testing.assert_allclose(dense(loaded.table.X), X, rtol=digits)
    assert (loaded.name, loaded.classes.tolist(), loaded.y.tolist()) == (
        source,
        [0, 1, 2],
        Y.tolist(),
    )
    assert sum(counts) == (
        Path(source).stat().st_size if make not in (make_npz, make_folder) else 0
    )
    rest, test = train_test_split(np.arange(N), test_size=0.2, stratify=Y, random_state=3)
    train, validation = train_test_split(rest, test_size=0.2, stratify=Y[rest], random_state=3)
    fitted = data.fit(config, loaded)
    for name, rows in zip(PARTS, (train, validation, test), strict=True):
        part = data.part(loaded, loaded.parts[name], fitted, "float32")
        np.testing.assert_array_equal(dense(part.X), X[rows].astype(np.float32))
        np.testing.assert_array_equal(part.y, Y[rows])


@pytest.mark.parametrize(
    ("target", "name", "classes", "columns"),
    [
        ("", "species", ["iris", "rose"], ["length", "width"]),
        (-1, "species", ["iris", "rose"], ["length", "width"]),
        ("width", "width", [10, 20], ["length", "species"]),
        (-3, "length", [1, 2], ["width", "species"]),
    ],
)
def test_the_target_is_a_column_by_name_or_by_place_and_else_the_last(
    target, name, classes, columns
):
    categorical = [column for column in columns if column == "species"]
    loaded = load(write("t.csv", TABLE), target=target, categorical=categorical)
    assert (loaded.classes.tolist(), loaded.table.columns) == (classes, columns)
    assert loaded.reading == {"target": name, "header": True}


@pytest.mark.parametrize(("key", "value"), [("target", 0), ("target", "a"), ("header", True)])
@pytest.mark.parametrize("make", [make_npz, make_folder, make_svmlight])
def test_a_key_of_text_files_has_no_effect_on_another_kind(make, key, value):
    source = make(X, Y)
    message = f"data.{key}: has no effect on {source}, only on a text file"
    assert refused(ConfigError, load, source, **{key: value}) == message
    config = DataConfig(source=source, **{key: value})
    assert refused(ConfigError, data.shard, config, Path("out"), "float64") == message


@pytest.mark.parametrize(
    ("header", "rows", "names"), [(True, 8, ["1", "2"]), (False, 9, ["x0", "x1"])]
)
def test_data_header_says_what_the_first_line_is(header, rows, names):
    source = write("t.csv", "1,2,0\n" + "4,5,6\n" * 4 + "7,8,9\n" * 4)
    sizes = {"test_size": 2, "validation_size": 0} if header else {"test_size": 3}
    content = {True: "1,2,0\n", False: "1,2,6\n"}[header]
    write(source, content + "4,5,6\n" * 4 + "7,8,9\n" * 4)
    loaded = load(source, header=header, **sizes)
    assert (len(loaded.y), loaded.table.names) == (rows, names)


@pytest.mark.parametrize(
    ("content", "keys", "message"),
    [
        ("a,b\n1,x\n2,x\n", {}, "t.csv: has only one class, x"),
        ("a,b,c\n1,2,x\n1,2,y\n1,2,y\n", {}, "class x has 1 row: each needs at least 2, one to le"),
        (GAPS, {}, f"t.csv: line 3, column 'length' is missing: {HINT}"),
        (
            COLOURS,
            {"categorical": ["colour"]},
            f"t.csv: line 4, column 'colour' is missing: {HINT}",
        ),
        (COLOURS, {}, "t.csv: line 2, column 'colour' holds 'red', not a number: correct it, or"),
        ("a,b,c\n1,,x\n,2,y\n", {"missing": "drop"}, "t.csv: holds no rows with labels"),
        (
            COLOURS,
            {"categorical": ["color"]},
            "t.csv: has no categorical column 'color'; did you mean colour?",
        ),
        (
            COLOURS,
            {"categorical": ["colour", "zzz"]},
            "t.csv: has no categorical column 'zzz'; it has 'length', 'colour'",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_named(content, keys, message):
    source = write("t.csv", content)
    assert refused((DataError, ConfigError), load, source, **keys).startswith(message)


@pytest.mark.parametrize("missing", ["mean", "median"])
def test_what_is_missing_becomes_that_of_the_training_part_or_no_category(missing):
    config = DataConfig(source=write("t.csv", GAPS), missing=missing, scale="none")
    loaded = data.load(config)
    train = loaded.table.X[loaded.parts["train"]]
    expected = (np.nanmean if missing == "mean" else np.nanmedian)(train, axis=0)
    part = data.part(loaded, np.arange(5), data.fit(config, loaded), "float64")
    assert [part.X[1, 0], part.X[3, 1]] == expected.tolist()
    assert np.isnan(loaded.table.X).sum() == 6 and not loaded.notes
    keys = {"categorical": ["colour"], "missing": missing, "scale": "none"}
    config = DataConfig(source=write("t.csv", COLOURS), **keys)
    loaded = data.load(config)
    part = data.part(loaded, np.arange(4), data.fit(config, loaded), "float32")
    assert part.X[:, 1:].tolist() == [[0, 1], [1, 0], [0, 0], [0, 1]]


def test_rows_with_missing_cells_are_dropped_and_counted():
    loaded = load(write("t.csv", GAPS), missing="drop")
    assert loaded.table.X.tolist() == [[1, 10], [3, 30], [8, 40]] * 3
    assert loaded.table.numbers.tolist() == [2, 4, 6, 7, 9, 11, 12, 14, 16]
    assert loaded.notes == ["t.csv: 6 of 15 rows left out, as cells are missing"]
    loaded = load(write("t.csv", COLOURS), missing="drop", categorical=["colour", "length"])
    assert loaded.table.text["colour"].tolist() == ["red", "blue", "red"] * 5
    assert loaded.table.columns == ["length", "colour"] and loaded.table.names == []


# Files of their own for validation and test


@pytest.mark.parametrize("target", ["", "species", 2])
def test_columns_in_another_order_are_put_right_by_their_names(target):
    loaded = load(write("t.csv", TABLE), test_source=write("o.csv", OTHER), target=target)
    assert loaded.table.names == ["length", "width"] and loaded.name == "t.csv"
    assert rows_of(loaded, "test") == [[5, 50], [6, 60]]
    assert loaded.classes[loaded.y[loaded.parts["test"]]].tolist() == ["iris", "rose"]
    assert loaded.table.numbers[loaded.parts["test"]].tolist() == [2, 3]


def test_columns_without_names_are_taken_in_their_order():
    write("plain.csv", "1,2,a\n3,4,b\n" * 9)
    loaded = load("plain.csv", test_source=write("named.csv", "u,v,w\n7,8,a\n9,10,b\n"))
    assert loaded.table.names == ["x0", "x1"] and rows_of(loaded, "test") == [[7, 8], [9, 10]]
    said = refused(DataError, load, "plain.csv", test_source=write("w.csv", "1,2,3,a\n4,5,6,a\n"))
    assert said == "w.csv: has 3 feature columns, the training file 2"


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("length,species\n5,iris\n", "o.csv: has no column 'width', which the training file has"),
        ("length,width,depth,species\n5,6,7,iris\n", "o.csv: has a column 'depth', which the tra"),
        ("length,width,species\n5,6,fern\n", "class fern is not in t.csv, only in the other fil"),
        ("length,width,species\n5,big,iris\n", "o.csv: line 2, column 'width' holds 'big', not a"),
        ("length,width,species\n5,,iris\n", "o.csv: line 2, column 'width' is missing: fill it i"),
        ("length,width,species\n5,6,\n", "o.csv: line 2, column 'species' has no label: give one"),
        ("length,width,kind\n5,6,iris\n", "o.csv: has no target column 'species'; it has 'length"),
        ("1,2,iris\n3,4,iris\n", "o.csv: has no names to find the target column 'species' by"),
    ],
)
def test_what_another_file_has_wrong_is_named(part, content, said):
    keys = {f"{part}_source": write("o.csv", content)}
    source = write("t.csv", TABLE)
    assert refused((DataError, ConfigError), load, source, **keys).startswith(said)


def test_a_file_of_another_format_has_to_be_of_the_same_kind_of_matrix():
    plain = write("t.csv", "p,q,r\n" + "1,2,0\n3,4,1\n" * 9)
    sparse = write("o.svm", "0 1:1 2:5\n1 2:3\n" * 9)
    for source, other in ((plain, sparse), (sparse, plain)):
        said = refused(DataError, load, source, test_source=other)
        hint = f"only one of it and {source} is sparse: give both in the same format"
        assert said == f"{other}: {hint}"
    loaded = load(plain, test_source=make_npz(np.array([[7.0, 8.0]]), np.array([1])))
    assert rows_of(loaded, "test") == [[7, 8]]
    said = refused(DataError, load, sparse, test_source=write("w.svm", "1 4:9\n"))
    assert said == "w.svm: line 1 has index 4: the limit is 2 features, counted from 1"
    loaded = load(sparse, test_source=write("w.svm", "1 1:9\n"))
    assert loaded.table.sparse and rows_of(loaded, "test") == [[9, 0]]


def test_labels_of_all_files_are_text_if_those_of_any_are():
    write("t.csv", "p,q\n" + "1,1\n2,2\n3,x\n" * 9), write("o.csv", "p,q\n1,1\n2,2\n")
    loaded = load("t.csv", test_source="o.csv")
    assert loaded.classes.tolist() == ["1", "2", "x"] and loaded.y[-2:].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("others", "sizes"),
    [
        ({"test_source": "o.csv"}, [80, 20, 30]),
        ({"test_source": "o.csv", "validation_size": 0}, [100, 0, 30]),
        ({"validation_source": "o.csv"}, [80, 30, 20]),
        ({"validation_source": "v.csv", "test_source": "o.csv"}, [100, 10, 30]),
    ],
)
def test_parts_without_a_file_are_split_from_the_rest(others, sizes):
    for name, first, n in (("t.csv", 0, 100), ("o.csv", 100, 30), ("v.csv", 200, 10)):
        rows = [f"{i},{i % 7},{'ab'[i % 2]}" for i in range(first, first + n)]
        write(name, "\n".join(["p,q,label", *rows]))
    loaded = load("t.csv", split_seed=5, **others)
    parts = [loaded.parts.get(part, np.arange(0)) for part in PARTS]
    assert [len(part) for part in parts] == sizes and all(map(len, loaded.parts.values()))
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(loaded.y)))
    assert loaded.table.X[parts[2 if "test_source" in others else 1], 0].min() == 100
    if "validation_source" not in others and sizes[1]:
        options = {"test_size": 0.2, "stratify": loaded.y[:100], "random_state": 5}
        for part, wanted in zip(parts, train_test_split(np.arange(100), **options), strict=False):
            np.testing.assert_array_equal(part, wanted)


def test_what_is_dropped_or_filled_in_each_file_is_decided_by_the_training_file():
    write("o.csv", "species,width,length\niris,50,5\nrose,,6\n")
    loaded = load(write("t.csv", GAPS), test_source="o.csv", missing="drop")
    assert [note.split(" rows")[0] for note in loaded.notes] == ["t.csv: 6 of 15", "o.csv: 1 of 2"]
    assert rows_of(loaded, "test") == [[5, 50]]
    config = DataConfig(source="t.csv", test_source="o.csv", missing="mean", validation_size=0)
    loaded = data.load(config)
    assert data.fit(config, loaded).fill[1] == np.nanmean(loaded.table.X[:15, 1])


# Splitting


@settings(max_examples=25)
@given(st.data(), st.lists(st.integers(20, 40), min_size=2, max_size=4), st.integers(0, 2**32 - 1))
def test_every_row_falls_into_one_part_which_is_that_of_train_test_split(drawn, counts, seed):
    labels = np.random.default_rng(0).permutation(
        np.repeat(["d", "a", "c", "b"][: len(counts)], counts)
    )
    sizes = st.floats(0.2, 0.5) | st.integers(5, len(labels) // 3)
    size, share = drawn.draw(sizes), drawn.draw(sizes)
    rows, options = np.arange(len(labels)), {"random_state": seed}
    rest, test = train_test_split(rows, test_size=size, stratify=labels, **options)
    train, validation = train_test_split(rest, test_size=share, stratify=labels[rest], **options)
    split = made(np.zeros((len(labels), 1)), labels)
    data.split(split, DataConfig(test_size=size, validation_size=share, split_seed=seed))
    for name, expected in zip(PARTS, (train, validation, test), strict=True):
        np.testing.assert_array_equal(split.parts[name], expected)
    np.testing.assert_array_equal(np.sort(np.concatenate(list(split.parts.values()))), rows)


@pytest.mark.parametrize(
    ("keys", "sizes"),
    [
        ({"validation_size": 0}, {"train": 120, "test": 30}),
        ({"validation_size": 0.0}, {"train": 120, "test": 30}),
        ({"test_size": 7, "validation_size": 11}, {"train": 132, "validation": 11, "test": 7}),
    ],
)
def test_sizes_are_shares_or_numbers_of_rows_and_0_is_no_part(keys, sizes):
    assert {part: len(rows) for part, rows in load("iris", **keys).parts.items()} == sizes


@pytest.mark.parametrize(
    ("key", "sizes"), [("test", [0.001, 149, 150, 0.999]), ("validation", [2, 0.01, 120])]
)
def test_parts_too_small_for_every_class_are_an_error_that_names_the_key(key, sizes):
    for size in sizes:
        said = refused(DataError, load, "iris", **{f"{key}_size": size})
        rows = 150 if key == "test" else 120
        assert said.startswith(f"data.{key}_size = {size} does not split {rows} rows: ")


@pytest.mark.parametrize("seed", range(3))
def test_a_class_with_one_row_left_stays_in_training(seed):
    split = made(np.arange(42.0)[:, None], ["a"] * 20 + ["rare"] * 2 + ["z"] * 20)
    data.split(split, DataConfig(test_size=0.5, validation_size=0.3, split_seed=seed))
    assert [np.count_nonzero(split.y[split.parts[part]] == 1) for part in PARTS] == [1, 0, 1]
    split = made(np.zeros((6, 1)), [0, 0, 1, 1, 2, 2])
    said = refused(DataError, data.split, split, DataConfig(test_size=0.5))
    assert said.startswith("data.validation_size = 0.2 does not split 0 rows")


# Rows as the net takes them


def prepared(kind, rows, dtype="float64", fitted_on=None, taken=None):
    """The rows `taken`, scaled as the rows `fitted_on` ask for; all of them if not given."""
    every = np.arange(rows.table.X.shape[0])
    rows.parts["train"] = every if fitted_on is None else fitted_on
    fitted = data.fit(DataConfig(scale=kind), rows)
    return data.part(rows, every if taken is None else taken, fitted, dtype)


@pytest.mark.parametrize(
    ("kind", "scaler"), [("standard", StandardScaler()), ("minmax", MinMaxScaler())]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_are_scaled_as_the_training_part_asks_for_and_keep_their_labels(kind, scaler, dtype):
    loaded = load("wine")
    train, X = loaded.parts["train"], loaded.table.X
    scaler.fit(X[train])
    for rows in loaded.parts.values():
        part = prepared(kind, loaded, dtype, fitted_on=train, taken=rows)
        expected, close = scaler.transform(X[rows]), 1e-12 if dtype == "float64" else 1e-5
        np.testing.assert_allclose(part.X, expected, rtol=close, atol=close)
        np.testing.assert_array_equal(part.y, loaded.y[rows])
        assert part.X.dtype == dtype and part.w is None


def test_rows_prepared_a_block_at_a_time_are_those_prepared_at_once(monkeypatch):
    loaded = load(write("t.csv", COLOURS), categorical=["colour"], missing="mean")
    fitted, rows = data.fit(DataConfig(missing="mean"), loaded), RNG.permutation(20)
    at_once = data.part(loaded, rows, fitted, "float32").X
    for size in (1, 7, 50):
        monkeypatch.setattr(data, "BLOCK", size)
        np.testing.assert_array_equal(data.part(loaded, rows, fitted, "float32").X, at_once)


@pytest.mark.parametrize("container", [np.array, sp.csr_array])
def test_a_value_that_the_dtype_cannot_hold_is_an_error_that_names_its_column(container):
    rows = container([[0.0, 1.0, 2.0], [3.0, 4.0, -1e39], [5.0, 6.0, 7.0]])
    rows = made(rows, names=["a", "b", "large"])
    said = refused(DataError, prepared, "none", rows, "float32")
    assert said == "column 'large' holds numbers too large for float32: scale it"
    assert prepared("none", rows, "float64").X.shape[0] == 3
    far = made(container([[1e-9], [2e-9], [1e300], [3e-9]]))
    said = refused(DataError, prepared, "standard", far, "float64", np.array([0, 1, 3]))
    assert said.startswith("column 'x0' holds numbers too large for float64")


def test_rows_outside_the_training_part_change_nothing():
    content = GAPS.replace("length,width", "length,colour")
    loaded = load(write("t.csv", content), categorical=["colour"], missing="mean")
    before = data.fit(DataConfig(missing="mean"), loaded)
    for part in ("validation", "test"):
        loaded.table.X[loaded.parts[part]] = 1e9
        loaded.table.text["colour"][loaded.parts[part]] = "lime"
    after = data.fit(DataConfig(missing="mean"), loaded)
    for name, value in vars(before).items():
        np.testing.assert_array_equal(getattr(after, name), value, err_msg=name)


def test_categories_of_a_set_are_inputs(monkeypatch):
    text = {"colour": np.array(["red", "blue", "nan"] * 4, object)}
    table = Table("set", ["age"], np.ones((12, 1)), text, y=np.arange(12) % 2)
    monkeypatch.setattr(data.sources, "load_set", lambda config: (table, None))
    fitted = data.fit(DataConfig(), load("digits"))
    assert fitted.inputs == ["age", "colour=blue", "colour=nan", "colour=red"]
    assert data.shard(DataConfig(), Path("out"), "float64") == (12, 4)
    assert np.load("out/names.npy").tolist() == fitted.inputs
    assert np.load("out/X.npy")[0].tolist() == [1, 0, 0, 1]


# Rows on the disk

KINDS = {
    "float64": X, "columns": np.asfortranarray(X), "float16": X.astype(np.float16), "bool": X > 0,
    "int": (X * 10).astype(np.int16), "csr": CSR, "csr of float32": CSR.astype(np.float32),
}  # fmt: skip
DENSE_AND_CSR = pytest.mark.parametrize("given", [X, CSR], ids=["dense", "csr"])


@pytest.mark.parametrize("scale", ["standard", "minmax", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_on_the_disk_are_prepared_as_those_in_memory(kind, scale, on_disk, monkeypatch):
    monkeypatch.setattr("minnet.data.table.BLOCK", 300)
    config = DataConfig(source=make_folder(KINDS[kind]), scale=scale)
    parts = []
    for large in (True, False):
        on_disk(large)
        loaded = data.load(config)
        fitted = data.fit(config, loaded)
        parts.append([data.part(loaded, rows, fitted, "float32") for rows in loaded.parts.values()])
    for ours, theirs in zip(*parts, strict=True):
        assert isinstance(ours.X, Rows) and ours.X.shape == theirs.X.shape
        assert ours.y.tolist() == theirs.y.tolist()
        for rows in (slice(None), slice(3, 20), RNG.integers(0, 40, 100), np.arange(0)):
            taken, expected = ours.X[rows], dense(theirs.X[rows])
            assert taken.dtype == np.float32 and not isinstance(taken, Rows)
            np.testing.assert_allclose(dense(taken), expected, rtol=1e-5, atol=1e-6)


@DENSE_AND_CSR
def test_only_the_first_of_a_team_reads_for_scaling_and_once(given, on_disk, monkeypatch):
    class Second(Alone):
        rank, size = 1, 2

        def add(self, x):
            assert not x.any()
            return x + 7

    def counted(self, rows):
        reads.extend(rows.tolist())
        return read(self, rows)

    config, reads, read = DataConfig(source=make_folder(given)), [], arrays.OnDisk._read
    loaded = data.load(config)
    monkeypatch.setattr(arrays.OnDisk, "_read", counted)
    monkeypatch.setattr("minnet.data.table.BLOCK", 300)
    assert (data.fit(config, loaded, Second()).scale == 7).all() and not reads
    data.fit(config, loaded)
    assert reads == list(range(N))


@pytest.mark.parametrize("part", PARTS)
def test_a_number_that_is_none_is_found_before_training_starts(part, on_disk):
    config = DataConfig(source=make_folder(X), missing="drop", scale="none")
    row = int(data.load(config).parts[part][5])
    make_folder(np.where(np.arange(N)[:, None] == row, [0, 0, np.nan, 0, 0], X))
    said = refused(DataError, data.fit, config, data.load(config))
    assert said.startswith(f"own: row {row}, column 'x2' is missing: X is too large for memory")


def test_parts_of_their_own_may_be_on_the_disk(on_disk):
    loaded = load(
        make_csv(X, Y),
        test_source=make_folder(X[:30] + 1, Y[:30], [f"größe {j}" for j in range(D)]),
    )
    assert (
        isinstance(loaded.table.X, arrays.OnDisk)
        and rows_of(loaded, "test") == (X[:30] + 1).tolist()
    )


def test_digests_tell_other_rows_labels_and_numbers(on_disk):
    def digests(**keys):
        config = DataConfig(source="own", scale="none", **keys)
        loaded = data.load(config)
        fitted = data.fit(config, loaded)
        return [
            data.part(loaded, rows, fitted, "float32").digest() for rows in loaded.parts.values()
        ]

    many, y = np.random.default_rng(0).normal(size=(6_000, 3)), np.arange(6_000) % 2
    for large in (True, False):
        on_disk(large)
        make_folder(many, y)
        before = digests()
        assert before == digests() != digests(split_seed=1)
        for X, labels in ((many, np.where(np.arange(6_000) < 2, 1 - y, y)), (many + 1e-3, y)):
            make_folder(X, labels)
            assert before != digests()


def test_a_digest_takes_little_memory_where_rows_are_sparse_and_wide(on_disk):
    wide = sp.random(400, 20_000, 1e-3, "csr", random_state=0)
    config = DataConfig(source=make_folder(wide, np.arange(400) % 2), scale="none")
    loaded = data.load(config)
    part = data.part(loaded, loaded.parts["train"], data.fit(config, loaded), "float32")
    with traced_memory() as risen:
        part.digest()
        assert risen() < 10e6


QUICK = ("train.epochs=2", "train.patience=0", "model.hidden=[6]", "model.dtype=float64", "--quiet")
COMMANDS = [
    ["train", "data.source=own", "--out", "RUN", *QUICK],
    ["train", "--resume", "RUN", "train.epochs=3", "--quiet"],
    ["predict", "RUN", "own", "--proba"],
    ["evaluate", "RUN", "own"],
    ["study", "digits", "data.source=own", "--row", "3", "model.hidden=[3]", "--json"],
    ["check", "data.source=own", "model.hidden=[3]", "model.dtype=float64"],
]


@DENSE_AND_CSR
def test_every_command_takes_rows_on_the_disk_as_it_takes_rows_in_memory(given, on_disk, capsys):
    make_folder(given, names=[f"größe {j}" for j in range(given.shape[1])])
    found = []
    for large in (True, False):
        on_disk(large)
        for command in COMMANDS:
            words = [f"run{large}" if word == "RUN" else word for word in command]
            assert cli.main(words) == 0, capsys.readouterr()
        out = capsys.readouterr()
        rows = list(csv.DictReader(Path(f"run{large}/metrics.csv").read_text().splitlines()))
        figures = [float(row[name]) for row in rows for name in row if name != "seconds"]
        numbers = re.findall(r"-?\d+\.\d+(?:e-?\d+)?", out.out.partition("float64")[0])
        found.append((out.err, figures, np.array(numbers, float)))
    (errors, figures, numbers), (_, their_figures, their_numbers) = found
    assert errors == ""
    np.testing.assert_allclose(figures, their_figures, rtol=1e-8)
    np.testing.assert_allclose(numbers, their_numbers, rtol=1e-4, atol=1e-6)


# Writing a source as a folder

SOURCES = {
    "csv": lambda: make_csv(X, WORDS),
    "csv.gz without names": lambda: make_csv(X, WORDS, "own.csv.gz", header=False),
    "whole numbers": lambda: make_csv(X, Y * 7 - 3),
    "zeros in front": lambda: make_csv(X, np.array(["007", "7", "70"])[Y]),
    "svmlight": lambda: make_svmlight(CSR, Y),
    "npz": lambda: make_npz(X.astype(np.float32), WORDS),
    "bool": lambda: make_npz(X > 0, Y > 0),
    "folder": lambda: make_folder(X, WORDS, list("abcde")),
    "sparse folder": lambda: make_folder(CSR, Y, [f"größe {j}" for j in range(12)]),
    "iris": lambda: "iris",
    "blobs": lambda: "blobs",
}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("kind", SOURCES)
def test_a_folder_holds_what_its_source_does(kind, large, on_disk, monkeypatch):
    config = DataConfig(source=SOURCES[kind]())
    on_disk(False)
    source = data.load(config)
    on_disk(large)
    if large:
        monkeypatch.setattr(delimited, "CELLS", 50)
        monkeypatch.setattr(svmlight, "ROWS", 50)
        monkeypatch.setattr("minnet.data.table.BLOCK", 70)
    assert data.shard(config, Path("out"), "float64") == source.table.X.shape
    folder = load("out")
    assert np.array_equal(dense(folder.table.X[:]), dense(source.table.X))
    assert folder.classes.dtype.kind == source.classes.dtype.kind
    assert folder.classes[folder.y].tolist() == source.classes[source.y].tolist()
    assert folder.table.names == source.table.names


def test_a_large_csv_is_written_in_little_memory_and_its_bytes_are_told():
    line, told = ",".join("1" * 50), []
    content = "".join(f"{line},{i % 2}\n" for i in range(12_000))
    write("t.csv", ",".join(f"c{j}" for j in range(50)) + ",y\n" + content)
    with traced_memory() as risen:
        data.shard(DataConfig(source="t.csv"), Path("out"), "float64", told.append)
        assert risen() < 12_000 * 50 * 8 / 1.5  # 4.8 MB in all
    assert np.load("out/X.npy", mmap_mode="r").shape == (12_000, 50)
    assert sum(told) == Path("t.csv").stat().st_size


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b,k\n1,red,x\n2,blue,y\n", "t.csv: line 2, column 'b' holds 'red', not a number"),
        ("a,b,k\n1,2,x\n2,3,\n", "t.csv: line 3, column 'k' has no label"),
        ("a,b\n1,2.5\n2,3.5\n", "t.csv: line 2, column 'b' holds 2.5, not a label"),
        ("a,b,k\n1,,x\n", "t.csv: line 2, column 'b' is missing: every value must be a finite"),
        ("a,b,k\n1,1e99,x\n", "t.csv: line 2, column 'b' holds inf: every value must be a fin"),
        ("a,b,k\n" + "1,2,x\n" * 900 + "1,2\n", "t.csv: line 902 has 2 columns instead of 3"),
        ("", "t.csv: is empty"),
    ],
)
def test_a_source_that_cannot_be_written_leaves_nothing(content, message):
    config = DataConfig(source=write("t.csv", content))
    said = refused(DataError, data.shard, config, Path("a/out"), "float32")
    assert said.startswith(message) and [path.name for path in Path().iterdir()] == ["t.csv"]


def test_a_folder_that_is_not_empty_is_refused_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(data.sources, "load_set", None)
    write("t.csv", "")
    refused(ConfigError, data.shard, DataConfig(), Path(), "float64")


def test_the_command_says_what_to_do_next(capsys):
    assert cli.main(["shard", "iris", "out"]) == 0
    assert capsys.readouterr().out == "out: 150 rows, 4 features; minnet train data.source=out\n"
    assert cli.main(["train", "data.source=out", *QUICK, "--out", "run"]) == 0
