"""From a source to the rows that the net takes: files, how they are split, scaled and written."""

import csv
import gzip
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from memory import traced_memory
from sklearn.datasets import dump_svmlight_file
from sklearn.model_selection import train_test_split
from tables import CSR, DENSE_AND_CSR, RNG, WORDS, N, X, Y, dense, names_of, refused, save_folder
from tables import save_npz as npz

from minnet import cli, data
from minnet.config import PLAIN, DataConfig
from minnet.data import PARTS, Data, Rows, arrays, delimited, svmlight
from minnet.data.table import Table
from minnet.distributed import Team
from minnet.errors import ConfigError, DataError

BLOCK = "minnet.data.table.BLOCK"


pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def on_disk(monkeypatch):
    """A function that says whether every X of a folder is too large for memory."""

    def on_disk(large):
        monkeypatch.setattr(arrays, "MAPPED_BYTES", 1 if large else 1 << 40)

    on_disk(True)
    return on_disk


def write(name, content):
    content = content.encode()
    Path(name).write_bytes(gzip.compress(content) if name[-2:] == "gz" else content)
    return name


def load(source, **keys):
    return data.load(DataConfig(**{"source": source, "validation_size": 0.2} | keys))


def fit_and_take(config, rows=None, dtype="float32"):
    """What is loaded, and each of its parts, or these rows, as the net takes them."""
    loaded = data.load(config)
    fitted = data.fit(config, loaded)
    chosen = loaded.parts.values() if rows is None else [rows]
    return loaded, [data.part(loaded, rows, fitted, dtype) for rows in chosen]


def made(X, y=None, names=None):
    """Data of rows in memory, which are not split."""
    classes, y = np.unique(np.arange(X.shape[0]) % 2 if y is None else y, return_inverse=True)
    table = Table("made", names or [f"x{j}" for j in range(X.shape[1])], X)
    return Data("made", table, y, classes)


def rows_of(loaded, part):
    return dense(loaded.table.X[loaded.parts[part]]).tolist()


def make_csv(X, y, name="own.csv", d=","):
    rows = [d.join([*map(repr, row), str(label)]) for row, label in zip(X.tolist(), y, strict=True)]
    return write(name, "\n".join([d.join([*names_of(X), "label"]), *rows]) + "\n")


def make_svmlight(X, y):
    dump_svmlight_file(X, y, "own.svm", zero_based=False)
    return "own.svm"


# Files of one's own

TABLE = "length,width,species\n" + "1,10,rose\n2,20,iris\n" * 10
COLOURS = "length,colour,species\n" + "1,red,rose\n2,blue,iris\n3,,rose\n4,red,iris\n" * 5
GAPS = "length,width,species\n" + "1,10,rose\nNA,20,iris\n3,30,rose\n4,,iris\n8,40,iris\n" * 3
HINT = "fill it in, or set data.missing to median, mean or drop"


def test_a_file_of_every_kind_gives_the_same_rows_labels_and_split():
    rest, test = train_test_split(np.arange(N), test_size=0.2, stratify=Y, random_state=3)
    train, validation = train_test_split(rest, test_size=0.2, stratify=Y[rest], random_state=3)
    text = [make_csv(X, Y), make_csv(X, Y, "own.tsv", "\t"), make_csv(X, Y, "own.csv.gz")]
    for source in (*text, make_svmlight(X, Y), npz(X=X, y=Y), save_folder(X)):
        keys, counts = {"split_seed": 3, "scale": "none", "validation_size": 0.2}, []
        config = DataConfig(source=source, **keys)
        loaded = data.load(config, counts.append)
        digits = 1e-15 if ".svm" in source else 0  # which dump_svmlight_file rounds to
        np.testing.assert_allclose(dense(loaded.table.X), X, rtol=digits)
        assert (loaded.name, loaded.classes.tolist()) == (source, [0, 1, 2])
        assert loaded.y.tolist() == Y.tolist()
        assert sum(counts) == (0 if source in ("own.npz", "own") else Path(source).stat().st_size)
        _, parts = fit_and_take(config)
        for part, rows in zip(parts, (train, validation, test), strict=True):
            np.testing.assert_array_equal(dense(part.X), X[rows].astype(np.float32))
            np.testing.assert_array_equal(part.y, Y[rows])


@pytest.mark.parametrize(("key", "value"), [("target", 0), ("target", "a"), ("header", True)])
def test_a_key_of_text_files_has_no_effect_on_another_kind(key, value):
    for source in (npz(X=X, y=Y), save_folder(X), make_svmlight(X, Y)):
        message = f"data.{key}: has no effect on {source}, only on a text file"
        config = DataConfig(source=source, **{key: value})
        assert refused(ConfigError, data.load, config) == message
        assert refused(ConfigError, data.shard, config, Path("out"), "float64") == message


def test_data_header_says_what_the_first_line_is():
    source = write("t.csv", "1,2,6\n" + "4,5,6\n" * 4 + "7,8,9\n" * 4)
    for header, rows, names in ((True, 8, ["1", "2"]), (False, 9, ["x0", "x1"])):
        loaded = load(source, header=header, test_size=2, validation_size=0)
        assert (len(loaded.y), loaded.table.names) == (rows, names)


@pytest.mark.parametrize(
    ("content", "keys", "message"),
    [
        ("a,b\n1,x\n4,x\n", {}, "t.csv: the target, column 'b', has only one class, 'x'"),
        (GAPS, {"missing": "error"}, f"t.csv: line 3, column 'length' is missing: {HINT}"),
        (COLOURS, {"numeric": ["colour"]}, "t.csv: line 2, column 'colour' holds 'red', not a num"),
        ("a,b,c\n1,,x\n,2,y\n", {"missing": "drop"}, "t.csv: holds no rows with labels"),
        (COLOURS, {"categorical": ["color"]}, "t.csv: has no data.categorical column 'color'; did"),
    ],
)
def test_what_cannot_be_learned_from_is_named(content, keys, message):
    source = write("t.csv", content)
    assert refused((DataError, ConfigError), load, source, **keys).startswith(message)


def test_rows_with_missing_cells_are_dropped_and_counted():
    loaded = load(write("t.csv", GAPS), missing="drop")
    assert loaded.table.X.tolist() == [[1, 10], [3, 30], [8, 40]] * 3
    assert loaded.table.numbers.tolist() == [2, 4, 6, 7, 9, 11, 12, 14, 16]
    note = "t.csv: 6 cells in 6 of 15 rows are missing: these rows are left out"
    assert loaded.notes[-1] == note
    loaded = load(write("t.csv", COLOURS), missing="drop", categorical=["colour", "length"])
    assert loaded.table.text["colour"].tolist() == ["red", "blue", "red"] * 5
    assert loaded.table.columns == ["length", "colour"] and loaded.table.names == []


# Files of their own for validation and test


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("length,width,species\n5,6,fern\n", "class fern is not in t.csv, only in the other fil"),
        ("length,width,species\nx,1,iris\n", "o.csv: line 2, column 'length' holds 'x', not a nu"),
        ("length,width,species\n5,6,\n", "o.csv: holds no rows with labels"),
        ("length,species\n3,iris\n", "o.csv: has no column 'width', which the training file has"),
        ("length,width\n3,4\n", "o.csv: has no target column 'species'; it has 'length', 'width'"),
    ],
)
def test_what_another_file_has_wrong_is_named(content, said):
    source, other = write("t.csv", TABLE), write("o.csv", content)
    for part in ("validation", "test"):
        keys = {f"{part}_source": other}
        assert refused((DataError, ConfigError), load, source, **keys).startswith(said)


def test_a_file_of_another_format_has_to_be_of_the_same_kind_of_matrix():
    plain = write("t.csv", "p,q,r\n" + "1,2,0\n3,4,1\n" * 9)
    sparse = write("o.svm", "0 1:1 2:5\n1 2:3\n" * 9)
    for source, other in ((plain, sparse), (sparse, plain)):
        said = refused(DataError, load, source, test_source=other)
        hint = f"only one of it and {source} is sparse: give both in the same format"
        assert said == f"{other}: {hint}"
    loaded = load(plain, test_source=npz(X=np.array([[7.0, 8.0]]), y=np.array([1])))
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
        rows = [f"{i}.5,{i % 7},{'ab'[i % 2]}" for i in range(first, first + n)]
        write(name, "\n".join(["p,q,label", *rows]))
    loaded = load("t.csv", **others)
    parts = [loaded.parts.get(part, np.arange(0)) for part in PARTS]
    assert [len(part) for part in parts] == sizes and all(map(len, loaded.parts.values()))
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(loaded.y)))
    assert loaded.table.X[parts[2 if "test_source" in others else 1], 0].min() == 100.5


def test_what_is_dropped_or_filled_in_each_file_is_decided_by_the_training_file():
    write("o.csv", "species,width,length\niris,50,5\nrose,,6\n")
    loaded = load(write("t.csv", GAPS), test_source="o.csv", missing="drop")
    counts = [note.split(" rows")[0] for note in loaded.notes if "missing" in note]
    assert counts == ["t.csv: 6 cells in 6 of 15", "o.csv: 1 cells in 1 of 2"]
    assert rows_of(loaded, "test") == [[5, 50]]
    config = DataConfig(source="t.csv", test_source="o.csv", missing="mean", validation_size=0)
    loaded = data.load(config)
    assert data.fit(config, loaded).fill[1] == np.nanmean(loaded.table.X[:15, 1])


# Splitting


def test_sizes_are_shares_or_numbers_of_rows_and_0_is_no_part():
    keys = {"test_size": 7, "validation_size": 11}
    assert list(map(len, load("iris", **keys).parts.values())) == [132, 11, 7]
    for none in (0, 0.0):
        parts = load("iris", validation_size=none).parts
        assert {part: len(rows) for part, rows in parts.items()} == {"train": 120, "test": 30}


def test_parts_too_small_are_an_error_that_names_the_key():
    for size in (150, 0.999):
        said = refused(DataError, load, "iris", test_size=size)
        assert said.startswith(f"data.test_size = {size} does not split 150 rows: ")
    said = refused(DataError, load, "iris", validation_size=120)
    assert said.startswith("data.validation_size = 120 does not split 120 rows: ")


def test_a_part_with_fewer_rows_than_classes_is_not_in_proportion_and_that_is_said():
    for size in (1, 0.001, 149):
        loaded = load("iris", test_size=size, validation_size=0)
        assert len(loaded.parts["test"]) == max(1, size)
        assert loaded.notes == ["test part: too small for 3 classes, so not in proportion"]


@pytest.mark.parametrize("seed", range(3))
def test_a_class_with_one_row_left_stays_in_training(seed):
    split = made(np.arange(42.0)[:, None], ["a"] * 20 + ["rare"] * 2 + ["z"] * 20)
    data.split(split, DataConfig(test_size=0.5, validation_size=0.3, split_seed=seed))
    assert [np.count_nonzero(split.y[split.parts[part]] == 1) for part in PARTS] == [1, 0, 1]
    assert split.notes == ["too few rows for a validation part: class rare"]
    split = made(np.zeros((6, 1)), [0, 0, 1, 1, 2, 2])
    said = refused(DataError, data.split, split, DataConfig(test_size=0.5, validation_size=0.2))
    assert said.startswith("data.validation_size = 0.2 does not split 0 rows")


# Rows as the net takes them


def test_rows_prepared_a_block_at_a_time_are_those_prepared_at_once(monkeypatch):
    keys = {"categorical": ["colour"], "missing": "mean"}
    config, rows = DataConfig(source=write("t.csv", COLOURS), **keys), RNG.permutation(20)
    at_once = fit_and_take(config, rows)[1][0].X
    for size in (1, 7, 50):
        monkeypatch.setattr(BLOCK, size)
        X = fit_and_take(config, rows)[1][0].X
        assert X.dtype == np.float32 and np.array_equal(X, at_once)


@pytest.mark.parametrize("container", [np.array, sp.csr_array])
def test_a_value_that_the_dtype_cannot_hold_is_an_error_that_names_its_column(container):
    def take(rows, kind, dtype):
        rows.parts["train"] = np.array([0, 1, 3])
        return data.part(rows, np.arange(4), data.fit(DataConfig(scale=kind), rows), dtype)

    far = made(container([[1.0, 1e-9], [2.0, 2e-9], [-1e39, 1e300], [4.0, 3e-9]]), names=["a", "b"])
    said = refused(DataError, take, far, "none", "float32")
    assert said == "column 'a' holds numbers too large for float32: scale it"
    assert take(far, "none", "float64").X.shape == (4, 2)
    said = refused(DataError, take, far, "standard", "float64")
    assert said.startswith("column 'b' holds numbers too large for float64")


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


@pytest.mark.parametrize("scale", ["robust", "standard", "minmax", "none"])
@pytest.mark.parametrize("kind", ["float64", "columns", "float16", "bool", "int", "csr", "csr f4"])
def test_rows_on_the_disk_are_prepared_as_those_in_memory(kind, scale, on_disk, monkeypatch):
    given = {"columns": np.asfortranarray(X), "bool": X > 0, "int": (X * 10).astype(np.int16)}
    given |= {"float64": X, "float16": X.astype("f2"), "csr": CSR, "csr f4": CSR.astype("f4")}
    monkeypatch.setattr(BLOCK, 300)
    config = DataConfig(source=save_folder(given[kind]), scale=scale, validation_size=0.2)
    _, ours = fit_and_take(config)
    on_disk(False)
    _, theirs = fit_and_take(config)
    for our, their in zip(ours, theirs, strict=True):
        assert isinstance(our.X, Rows) and our.X.shape == their.X.shape
        assert our.y.tolist() == their.y.tolist()
        for rows in (slice(None), slice(3, 20), RNG.integers(0, 40, 100), np.arange(0)):
            taken, expected = our.X[rows], dense(their.X[rows])
            assert taken.dtype == np.float32 and not isinstance(taken, Rows)
            np.testing.assert_allclose(dense(taken), expected, rtol=1e-5, atol=1e-6)


@DENSE_AND_CSR
def test_only_the_first_of_a_team_reads_for_scaling_and_once(given, on_disk, monkeypatch):
    class Second(Team):
        def add(self, x):
            assert not x.any()
            return x + 7

    def counted(self, rows):
        reads.extend(rows.tolist())
        return read(self, rows)

    config, reads, read = DataConfig(source=save_folder(given)), [], arrays.OnDisk._read
    loaded = data.load(config)
    monkeypatch.setattr(arrays.OnDisk, "_read", counted)
    monkeypatch.setattr(BLOCK, 300)
    assert (data.fit(config, loaded, Second(1, 2)).scale == 7).all() and not reads
    data.fit(config, loaded)
    assert reads == list(range(N))


@pytest.mark.parametrize("part", PARTS)
def test_a_number_that_is_none_is_found_before_training_starts(part, on_disk):
    config = DataConfig(source=save_folder(X), missing="drop", scale="none")
    row = int(data.load(config).parts[part][5])
    save_folder(np.where(np.arange(N)[:, None] == row, [0, 0, np.nan, 0, 0], X))
    said = refused(DataError, data.fit, config, data.load(config))
    assert said.startswith(f"own: row {row}, column 'x2' is missing: X is too large for memory")


def test_parts_of_their_own_may_be_on_the_disk(on_disk):
    loaded = load(make_csv(X, Y), test_source=save_folder(X[:30] + 1, Y[:30], names_of(X)))
    assert isinstance(loaded.table.X, arrays.OnDisk)
    assert rows_of(loaded, "test") == (X[:30] + 1).tolist()


def test_digests_tell_other_rows_labels_and_numbers(on_disk):
    def digests(**keys):
        loaded, parts = fit_and_take(DataConfig(source="own", scale="none", **keys))
        return [data.digest_of_disk(loaded.table), *(part.digest() for part in parts)]

    many, y = np.random.default_rng(0).normal(size=(6_000, 3)), np.arange(6_000) % 2
    for large in (True, False):
        on_disk(large)
        save_folder(many, y)
        before = digests()
        assert before == digests() != digests(split_seed=1)
        one = many + 1e-3 * (np.arange(6_000) == 4_321)[:, None]
        for other in ((many, np.where(np.arange(6_000) < 2, 1 - y, y)), (one, y)):
            save_folder(*other)
            assert before != digests()


def test_a_digest_takes_little_memory_where_rows_are_sparse_and_wide(on_disk):
    wide = sp.csr_array(([1.0] * 400, (range(400), range(0, 20_000, 50))), (400, 20_000))
    _, parts = fit_and_take(DataConfig(source=save_folder(wide, np.arange(400) % 2), scale="none"))
    with traced_memory() as risen:
        parts[0].digest()
        assert risen() < 10e6


TRAIN = ("train.epochs=2", "train.patience=0")
QUICK = (*PLAIN, *TRAIN, "model.hidden=[6]", "model.dtype=float64", "--quiet")
COMMANDS = [
    ["train", "data.source=own", "--out", "RUN", *QUICK],
    ["train", "--resume", "RUN", "train.epochs=3", "--quiet"],
    ["predict", "RUN", "own", "--proba"],
    ["evaluate", "RUN", "own"],
    ["study", "digits", *PLAIN, "data.source=own", "--row", "3", "model.hidden=[3]", "--json"],
    ["check", *PLAIN, "data.source=own", "model.hidden=[3]", "model.dtype=float64"],
]


@DENSE_AND_CSR
def test_every_command_takes_rows_on_the_disk_as_it_takes_rows_in_memory(given, on_disk, capsys):
    save_folder(given, names=names_of(given))
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
    "whole numbers": lambda: make_csv(X, Y * 7 - 3),
    "zeros in front": lambda: make_csv(X, np.array(["007", "7", "70"])[Y]),
    "svmlight": lambda: make_svmlight(CSR, Y),
    "npz": lambda: npz(X=X.astype(np.float32), y=WORDS),
    "bool": lambda: npz(X=X > 0, y=Y > 0),
    "folder": lambda: save_folder(X, WORDS, list("abcde")),
    "sparse folder": lambda: save_folder(CSR, names=names_of(CSR)),
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
        monkeypatch.setattr(BLOCK, 70)
    assert data.shard(config, Path("out"), "float64") == source.table.X.shape
    folder = load("out")
    assert np.array_equal(dense(folder.table.X[:]), dense(source.table.X))
    assert folder.classes.dtype.kind == source.classes.dtype.kind
    assert folder.classes[folder.y].tolist() == source.classes[source.y].tolist()
    assert folder.table.names == source.table.names


def test_a_large_csv_is_written_in_little_memory_and_its_bytes_are_told(monkeypatch):
    monkeypatch.setattr(delimited, "LOOK", 50)
    line, told = ",".join("1" * 50), []
    content = "".join(f"{line},{i % 2}\n" for i in range(16_000))
    write("t.csv", ",".join(f"c{j}" for j in range(50)) + ",y\n" + content)
    with traced_memory() as risen:
        data.shard(DataConfig(source="t.csv"), Path("out"), "float64", told.append)
        assert risen() < 16_000 * 50 * 8 / 1.5  # 6.4 MB in all
    assert np.load("out/X.npy", mmap_mode="r").shape == (16_000, 50)
    assert sum(told) == Path("t.csv").stat().st_size


def test_a_source_that_cannot_be_written_leaves_nothing():
    config = DataConfig(source=write("t.csv", "a,b,k\n" + "1,2,x\n" * 900 + "1,2\n"))
    said = refused(DataError, data.shard, config, Path("a/out"), "float32")
    assert said == "t.csv: line 902 has 2 columns instead of 3"
    assert [path.name for path in Path().iterdir()] == ["t.csv"]


def test_a_folder_that_is_not_empty_is_refused_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(data.sources, "load_set", None)
    write("t.csv", "")
    refused(ConfigError, data.shard, DataConfig(), Path(), "float64")


def test_the_command_says_what_to_do_next(capsys):
    assert cli.main(["shard", "iris", "out"]) == 0
    assert capsys.readouterr().out == "out: 150 rows, 4 features; minnet train data.source=out\n"
    assert cli.main(["train", "data.source=out", *QUICK, "--out", "run"]) == 0
