"""Rows that stay on the disk: they train, predict and fail as the same rows in memory do."""

import csv
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from memory import traced_memory

from minnet import cli, data, experiment, runs, storage
from minnet.config import Config, DataConfig
from minnet.data import Inputs
from minnet.errors import DataError
from minnet.tables import arrays, mapped
from minnet.tables.formats import read
from minnet.tables.mapped import PIECE, Rows, blocks, is_mapped

ROOT = Path(__file__).resolve().parent.parent
N, D = 300, 5
RNG = np.random.default_rng(0)
Y = np.arange(N) % 3
X = RNG.normal(size=(N, D)) + Y[:, None]
SPARSE = sp.hstack([Y[:, None] + 1.0, sp.random(N, 11, 0.3, random_state=0)], "csr")
QUICK = ("train.epochs=3", "train.patience=0", "model.hidden=[6]", "model.dtype=float64", "--quiet")
IN_MEMORY, MAPPED = 1 << 40, 1  # values of arrays.MAPPED_BYTES
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


@dataclass
class Answer:
    """How a command ended, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str

    def line(self) -> str:
        """All that it wrote to stderr: one line."""
        assert len(self.err.splitlines()) == 1
        assert self.err.startswith("minnet: ")
        return self.err.removeprefix("minnet: ").rstrip("\n")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own, and the X of every folder is large."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(arrays, "MAPPED_BYTES", MAPPED)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # no test could see what it does, and it takes long
    return tmp_path


@pytest.fixture
def command(capsys) -> Callable[..., Answer]:
    """A function that runs a command of minnet in this process."""

    def command(*arguments: str) -> Answer:
        capsys.readouterr()
        code = cli.main(arguments)
        return Answer(code, *capsys.readouterr())

    return command


@pytest.fixture
def train(command) -> Callable[..., Answer]:
    """A function that trains quickly on a folder, into another."""

    def train(source: str, out: str = "run", *arguments: str) -> Answer:
        return command("train", f"data.source={source}", "--out", out, *QUICK, *arguments)

    return train


@pytest.fixture
def in_memory(monkeypatch) -> Callable[[], None]:
    """A function after which no X is large."""
    return functools.partial(monkeypatch.setattr, arrays, "MAPPED_BYTES", IN_MEMORY)


def folder(X, y=Y, names=None, name="rows") -> str:
    """A folder with these arrays."""
    Path(name).mkdir(exist_ok=True)
    if hasattr(X, "tocsr"):
        sp.save_npz(f"{name}/X.npz", X, compressed=False)
    else:
        np.save(f"{name}/X.npy", X)
    np.save(f"{name}/y.npy", y)
    if names is not None:
        np.save(f"{name}/names.npy", np.array(names))
    return name


def dense(X):
    return X.toarray() if hasattr(X, "tocsr") else np.asarray(X)


def metrics(run: str) -> list[dict[str, float]]:
    with Path(run, "metrics.csv").open(newline="") as file:
        return [{name: float(cell) for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def result(run: str) -> dict:
    figures = json.loads(Path(run, "result.json").read_text(encoding="utf-8"))
    del figures["seconds"]
    return figures


# Reading


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "u1", "?", ">f8"])
def test_a_large_array_stays_on_the_disk_as_it_is(dtype, order):
    rows = (X * 10).astype(dtype, order=order) if dtype != "u1" else np.abs(X * 10).astype(dtype, order=order)
    table = read(folder(rows))
    assert is_mapped(table.X) and table.X.dtype == rows.dtype and np.array_equal(table.X, rows)
    assert table.names == ["x0", "x1", "x2", "x3", "x4"] and table.y.tolist() == Y.tolist()


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i8"])
def test_a_large_csr_stays_on_the_disk_as_it_is(dtype, index):
    rows = (SPARSE * 10).astype(dtype)
    rows.indices, rows.indptr = rows.indices.astype(index), rows.indptr.astype(index)
    table = read(folder(rows))
    assert is_mapped(table.X) and table.X.dtype == rows.dtype and (rows != table.X).nnz == 0
    assert len(mapped._maps(table.X)) == 3  # data, indices and indptr


def test_a_small_one_is_read_into_memory_in_float64(monkeypatch):
    monkeypatch.setattr(arrays, "MAPPED_BYTES", X.nbytes)
    assert not is_mapped(read(folder(X)).X)
    few = SPARSE.astype(np.float32)
    monkeypatch.setattr(arrays, "MAPPED_BYTES", 1 << 20)
    table = read(folder(few, name="sparse"))
    assert not is_mapped(table.X) and table.X.dtype == np.float64


def test_only_what_is_larger_than_the_limit_stays_on_the_disk(monkeypatch):
    monkeypatch.setattr(arrays, "MAPPED_BYTES", X.nbytes - 1)
    assert is_mapped(read(folder(X)).X)


def test_names_are_read_whether_x_is_large_or_not(monkeypatch, in_memory):
    folder(X, names=["größe", "b", "c", "d", "e f"])
    large = read("rows")
    in_memory()
    assert large.names == read("rows").names == ["größe", "b", "c", "d", "e f"] and large.header


@pytest.mark.parametrize("compressed", [True, False])
def test_a_compressed_csr_is_read_into_memory_however_large(compressed):
    folder(SPARSE)
    sp.save_npz("rows/X.npz", SPARSE, compressed=compressed)
    table = read("rows")
    assert is_mapped(table.X) is not compressed and (table.X != SPARSE).nnz == 0


@pytest.mark.parametrize("rows", [X, np.asfortranarray(X), SPARSE], ids=["C", "F", "csr"])
def test_rows_are_cut_as_those_of_an_array_are(rows):
    table, chosen = read(folder(rows)), RNG.permutation(N)[:250]
    cut, same = Rows(table.X, chosen), dense(rows)[chosen]
    assert cut.shape == same.shape and len(cut) == 250
    many = RNG.integers(0, 250, 3 * PIECE + 1)  # with repeats, in any order
    for which in (
        slice(None), slice(3, 200), slice(200, 3, -2), slice(0, 0), slice(240, 1000),
        many, many[:PIECE], [7], [5, 5, 0], np.array([-1, 0]), np.arange(0), chosen > 100,
    ):  # fmt: skip
        piece = cut[which]
        assert type(piece) is (sp.csr_matrix if hasattr(rows, "tocsr") else np.ndarray) and not is_mapped(piece)
        assert np.array_equal(dense(piece), same[which])
    assert np.array_equal(dense(table.X), dense(rows))


@pytest.mark.parametrize("rows", [X, SPARSE], ids=["dense", "csr"])
def test_blocks_hold_each_row_once_and_are_let_go(rows, monkeypatch):
    released = []
    monkeypatch.setattr(mapped, "release", released.append)
    table = read(folder(rows))
    found = [(which, dense(block).copy()) for which, block in blocks(table.X, "rows", table.names, numbers=40)]
    assert np.array_equal(np.concatenate([block for _, block in found]), dense(rows))
    assert [which.start for which, _ in found] == [0, *(which.stop for which, _ in found[:-1])]
    assert len(found) == len(released) >= 30


def test_rows_let_their_pages_go_a_piece_at_a_time(monkeypatch):
    released = []
    monkeypatch.setattr(mapped, "release", released.append)
    Rows(read(folder(X)).X, np.arange(N))[:]
    assert len(released) == -(-N // PIECE)


@LINUX
def test_memory_stays_small_while_random_rows_of_a_large_file_are_read():
    code = """
import sys
from pathlib import Path
import numpy as np
from minnet.tables.mapped import Rows, blocks, release

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssFile"))) / 1024

X = np.lib.format.open_memmap("X.npy", "w+", np.float64, (15000, 500))  # 60 MB
for start in range(0, len(X), 1000):
    X[start : start + 1000] = np.arange(start, start + 1000)[:, None]
del X
X = np.load("X.npy", mmap_mode="r")
rows, rng = Rows(X, np.arange(len(X))), np.random.default_rng(0)
rows[rng.permutation(100)]
for _, block in blocks(X[:100], "X", [f"x{j}" for j in range(X.shape[1])]):
    pass
before, most = held(), 0
for i in range(30):
    which = rng.integers(0, len(X), 500)
    assert (rows[which] == which[:, None]).all()
    most = max(most, held())
for _, block in blocks(X, "X", [f"x{j}" for j in range(X.shape[1])]):
    pass
most = max(most, held())
kept = X.sum()  # what it would be, did nothing let go
print(most - before, held() - before)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    rise, all_of_it = map(float, done.stdout.split())
    assert all_of_it > 50  # MB: the measure sees the file
    assert rise < 20


# Training


def prepared(source, **keys):
    config = DataConfig(source=source, **keys)
    dataset = data.load(config)
    rows = data.split(dataset, config)[0]
    return data.fit_features(config, dataset, rows)


KINDS = {
    "float64": X, "columns": np.asfortranarray(X), "float32": X.astype(np.float32), "float16": X.astype(np.float16),
    "int": (X * 10).astype(np.int16), "bool": X > 0, "csr": SPARSE, "csr of float32": SPARSE.astype(np.float32),
}  # fmt: skip


@pytest.mark.parametrize("scale", ["standard", "minmax", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_scaling_in_blocks_is_the_scaling_in_memory(kind, scale, monkeypatch, in_memory):
    folder(KINDS[kind])
    monkeypatch.setattr(mapped, "blocks", functools.partial(blocks, numbers=70))
    large = prepared("rows", scale=scale)
    in_memory()
    small = prepared("rows", scale=scale)
    for name in ("center", "scale"):
        np.testing.assert_allclose(getattr(large, name), getattr(small, name), rtol=1e-12, atol=1e-12)
        assert getattr(large, name).dtype == np.float64
    assert np.isnan(large.fill).all()


def test_scaling_of_columns_far_from_zero_is_that_in_memory(monkeypatch, in_memory):
    rows = X * [1, 1e-3, 1e6, 1e-8, 0] + [0, 1e3, -1e6, 1, 7]
    folder(rows)
    monkeypatch.setattr(mapped, "blocks", functools.partial(blocks, numbers=70))
    large = prepared("rows")
    in_memory()
    small = prepared("rows")
    np.testing.assert_allclose(large.center, small.center, rtol=1e-12)
    np.testing.assert_allclose(large.scale, small.scale, rtol=1e-9)  # the variance itself has no more digits


@pytest.mark.parametrize("kind", ["float64", "csr"])
def test_scaling_reads_the_file_once(kind, monkeypatch):
    folder(KINDS[kind])
    read_in = []

    def counted(X, path, names):
        for which, block in blocks(X, path, names, 70):
            read_in.append(which)
            yield which, block

    monkeypatch.setattr(mapped, "blocks", counted)
    prepared("rows")
    assert np.array_equal(np.concatenate([np.arange(N)[which] for which in read_in]), np.arange(N))


def test_only_training_rows_count_for_scaling():
    config = DataConfig(source=folder(X))
    dataset = data.load(config)
    rows = data.split(dataset, config)[0]
    np.testing.assert_allclose(prepared("rows").center, X[rows].mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("scale", ["standard", "minmax", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_training_from_the_disk_comes_to_what_training_in_memory_does(kind, scale, train, command, in_memory):
    folder(KINDS[kind])
    assert train("rows", "large", f"data.scale={scale}").code == 0
    asked = [command("predict", "large", "rows", "--proba"), command("evaluate", "large", "rows")]
    in_memory()
    assert train("rows", "small", f"data.scale={scale}").code == 0
    for ours, theirs in zip(metrics("large"), metrics("small"), strict=True):
        assert ours.keys() == theirs.keys()
        np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=1e-8)
    ours, theirs = result("large"), result("small")
    assert ours["confusion"] == theirs["confusion"] and ours["test_loss"] == pytest.approx(theirs["test_loss"])
    again = [command("predict", "small", "rows", "--proba"), command("evaluate", "small", "rows")]
    for answer, other in zip(asked, again, strict=True):
        assert (answer.code, other.code, answer.err, other.err) == (0, 0, "", "")
    ours, theirs = (list(csv.reader(answers[0].out.splitlines())) for answers in (asked, again))
    assert len(ours) == N + 1 and [row[0] for row in ours] == [row[0] for row in theirs]
    np.testing.assert_allclose(*(np.array([row[1:] for row in of[1:]], float) for of in (ours, theirs)), rtol=1e-6)
    assert asked[1].out == again[1].out


@pytest.mark.parametrize("kind", ["float64", "csr"])
def test_in_float32_the_first_epoch_differs_by_rounding_alone(kind, train, in_memory):
    folder(KINDS[kind])
    for run in ("large", "small"):
        assert train("rows", run, "model.dtype=float32", "train.batch_size=7").code == 0
        in_memory()
    ours, theirs = metrics("large")[0], metrics("small")[0]
    np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=1e-4)


def test_a_model_trained_in_memory_predicts_rows_on_the_disk_by_their_names(train, command, in_memory, monkeypatch):
    names = list("abcde")
    folder(X, names=names)
    folder(X[:, ::-1], names=names[::-1], name="turned")
    in_memory()
    assert train("rows").code == 0
    small = command("predict", "run", "rows").out
    monkeypatch.setattr(arrays, "MAPPED_BYTES", MAPPED)
    assert command("predict", "run", "rows").out == command("predict", "run", "turned").out == small


def test_parts_of_their_own_may_be_on_the_disk(train, in_memory):
    folder(X)
    folder(X[::3].astype(np.float32), Y[::3], name="test")
    for run in ("large", "small"):
        assert train("rows", run, "data.test_source=test").code == 0
        in_memory()
    ours, theirs = metrics("large")[-1], metrics("small")[-1]
    np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=1e-8)


@pytest.mark.parametrize("kind", ["float64", "csr"])
def test_a_report_shows_a_run_from_the_disk(kind, train, command):
    pytest.importorskip("matplotlib")
    assert train(folder(KINDS[kind])).code == 0
    answer = command("report", "run")
    assert (answer.code, answer.err) == (0, "")
    assert Path("run/report.html").is_file()


@pytest.mark.parametrize("kind", ["float64", "csr"])
def test_a_row_on_the_disk_is_studied_as_one_in_memory(kind, command, in_memory):
    folder(KINDS[kind])
    asked = ("study", "digits", "data.source=rows", "--row", "3", "model.hidden=[3]", "--json")
    large = command(*asked)
    in_memory()
    small = command(*asked)
    assert (large.code, large.err, small.code) == (0, "", 0)
    numbers = [np.array(re.findall(r"-?\d+\.\d+(?:e-?\d+)?", answer.out), float) for answer in (large, small)]
    np.testing.assert_allclose(*numbers, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["float64", "csr"])
def test_the_gradient_is_checked_on_rows_on_the_disk(kind, command):
    answer = command("check", f"data.source={folder(KINDS[kind])}", "model.hidden=[3]", "model.dtype=float64")
    assert (answer.code, answer.err) == (0, "")


# Numbers that cannot be learned from


def places(part: str) -> int:
    """A row of this part."""
    config = DataConfig(source=folder(X, name="finite"))
    parts = dict(zip(("train", "validation", "test"), data.split(data.load(config), config), strict=True))
    return int(parts[part][5])


@pytest.mark.parametrize("part", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("value", "what"), [(np.nan, "is missing"), (np.inf, "holds inf"), (-np.inf, "holds -inf")], ids=str
)
def test_a_number_that_is_none_is_found_before_training_starts(part, value, what, train):
    bad, row = X.copy(), places(part)
    bad[row, 2] = value
    answer = train(folder(bad))
    assert answer.code == 1 and answer.line().startswith(f"rows: row {row}, column 'x2' {what}")
    assert not Path("run").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_in_a_csr_it_is_found_too(value, train):
    bad = SPARSE.copy()
    bad.data[100] = value
    row, column = int(np.searchsorted(bad.indptr, 100, side="right")) - 1, bad.indices[100]
    answer = train(folder(bad))
    assert answer.code == 1 and answer.line().startswith(f"rows: row {row}, column 'x{column}' ")
    assert not Path("run").exists()


def test_it_is_told_by_the_name_of_its_column(train):
    bad = X.copy()
    bad[7, 2] = np.nan
    assert "column 'c'" in train(folder(bad, names=list("abcde"))).line()


def test_it_is_found_in_a_part_of_its_own(train):
    bad = X.copy()
    bad[7, 2] = np.nan
    folder(X)
    answer = train("rows", "run", f"data.test_source={folder(bad, name='test')}")
    assert answer.code == 1 and "test: row 7, column 'x2' is missing" in answer.line()


@pytest.mark.parametrize("command_of", ["predict", "evaluate"])
def test_a_missing_number_is_called_so_where_it_is_predicted(command_of, train, command):
    bad = X.copy()
    bad[7, 2] = np.nan
    assert train(folder(X)).code == 0
    answer = command(command_of, "run", folder(bad, name="other"))
    assert answer.code == 1 and "other: row 7, column 'x2' is missing" in answer.line()


@pytest.mark.parametrize("rows", [X, SPARSE], ids=["dense", "csr"])
def test_numbers_too_large_for_float32_end_in_one_line(rows, train):
    bad = dense(rows).copy()
    bad[150, 3] = 1e60
    answer = train(
        folder(type(rows)(bad) if hasattr(rows, "tocsr") else bad), "run", "model.dtype=float32", "data.scale=none"
    )
    assert answer.code == 1 and answer.line() == "column 'x3' holds numbers too large for float32: scale it"
    assert not Path("run/result.json").exists()


@pytest.mark.parametrize("scale", ["standard", "minmax"])
def test_numbers_too_large_to_be_scaled_end_in_one_line(scale, train):
    bad = X.copy()
    bad[:, 3] = np.where(Y == 0, 1e308, -1e308)
    answer = train(folder(bad), "run", f"data.scale={scale}")
    assert answer.code == 1 and "column 'x3' holds numbers too large to be scaled" in answer.line()


@pytest.mark.parametrize("missing", ["mean", "median", "drop"])
def test_nothing_stands_in_for_a_number_that_is_missing_on_the_disk(missing, train):
    bad = X.copy()
    bad[7, 2] = np.nan
    assert train(folder(X), "whole", f"data.missing={missing}").code == 0
    answer = train(folder(bad), "run", f"data.missing={missing}")
    assert answer.code == 1 and "is missing" in answer.line() and not Path("run").exists()


# Going on


@pytest.mark.parametrize("kind", ["float64", "csr"])
def test_a_run_that_goes_on_ends_as_one_that_never_stopped(kind, train, command):
    folder(KINDS[kind])
    options = ("model.dropout=0.2", "optimizer.schedule=constant", "optimizer.warmup_epochs=0")
    assert train("rows", "whole", *options).code == 0
    assert train("rows", "run", *options, "train.epochs=1").code == 0
    assert command("train", "--resume", "run", "train.epochs=3", "--quiet").code == 0
    (ours, _), (theirs, _) = (storage.read_model(Path(run)) for run in ("run", "whole"))
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    assert metrics("run") == metrics("whole") and result("run") == result("whole")


def changed_label():
    y = Y.copy()
    i, j = 0, 1
    y[[i, j]] = y[[j, i]]
    np.save("rows/y.npy", y)


def changed_number():
    np.save("rows/X.npy", np.where(np.arange(N)[:, None] == 17, X[:, ::-1], X))


def scaled_numbers():
    np.save("rows/X.npy", X * 2)


@pytest.mark.parametrize("change", [changed_label, changed_number, scaled_numbers])
def test_other_data_are_refused_to_a_run_that_goes_on(change, train, command):
    assert train(folder(X)).code == 0
    change()
    answer = command("train", "--resume", "run", "train.epochs=5", "--quiet")
    assert answer.code == 1 and "rows: not the data that the run was begun with: other " in answer.line()


def test_of_many_rows_labels_are_compared_all_and_numbers_by_sample():
    many = np.random.default_rng(0).normal(size=(30_000, 3))
    y = np.arange(30_000) % 2

    def digests():
        return runs.fingerprints(experiment.prepare(Config(data=DataConfig(source="rows", scale="none"))))

    folder(many, y)
    before = digests()
    assert before == digests()
    folder(many, np.where(np.arange(30_000) < 2, 1 - y, y))
    assert before != digests()
    folder(many + 1e-9, y)
    assert before["train rows"] != digests()["train rows"]


def test_a_digest_takes_little_memory_where_rows_are_sparse_and_wide():
    wide = sp.random(400, 20_000, 1e-3, "csr", random_state=0)
    folder(wide, np.arange(400) % 2)
    prepared = experiment.prepare(Config(data=DataConfig(source="rows", scale="none")))
    with traced_memory() as risen:
        runs.fingerprints(prepared)
        assert risen() < 10e6


@pytest.mark.parametrize("kind", ["float64", "csr"])
@pytest.mark.parametrize("what", ["cut short", "gone"])
def test_a_file_that_is_cut_short_or_gone_ends_going_on_in_one_line(what, kind, train, command):
    assert train(folder(KINDS[kind])).code == 0
    file = next(Path("rows").glob("X.np*"))
    content = file.read_bytes()
    file.unlink()
    if what == "cut short":
        file.write_bytes(content[: len(content) // 2])
    answer = command("train", "--resume", "run", "train.epochs=5", "--quiet")
    assert answer.code == 1 and answer.line().startswith("rows: ")


# Folders that cannot be read


def rewritten(**members):
    """X.npz with other arrays in place of some, or without them (None)."""
    kept = {"data": SPARSE.data, "indices": SPARSE.indices, "indptr": SPARSE.indptr, "shape": SPARSE.shape}
    kept |= {"format": np.array(b"csr")} | members
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.savez("rows/X.npz", **{name: array for name, array in kept.items() if array is not None})


def with_value(array, i, value):
    array = array.copy()
    array[i] = value
    return array


def object_member():
    rewritten(data=None)
    with zipfile.ZipFile("rows/X.npz", "a") as archive, archive.open("data.npy", "w") as member:
        np.lib.format.write_array(member, SPARSE.data.astype(object), allow_pickle=True)


def other_member():
    with zipfile.ZipFile("rows/X.npz", "w") as archive:
        archive.writestr("words.txt", "no array" * 100)


def damaged(start, end, content=b"\xff"):
    def damage():
        raw = bytearray(Path("rows/X.npz").read_bytes())
        raw[slice(start, end)] = content * len(raw[slice(start, end)])
        Path("rows/X.npz").write_bytes(bytes(raw))

    return damage


NNZ = SPARSE.nnz
BAD_CSR = {
    "csc": lambda: sp.save_npz("rows/X.npz", SPARSE.tocsc(), compressed=False),
    "coo": lambda: sp.save_npz("rows/X.npz", SPARSE.tocoo(), compressed=False),
    "no zip": lambda: Path("rows/X.npz").write_bytes(b"no zip " * 1000),
    "empty": lambda: Path("rows/X.npz").write_bytes(b""),
    "cut short": lambda: Path("rows/X.npz").write_bytes(Path("rows/X.npz").read_bytes()[:5000]),
    "damaged header": damaged(0, 200),
    "damaged array header": damaged(60, 90),
    "damaged end": damaged(-30, None),
    "other members": other_member,
    "no data": lambda: rewritten(data=None),
    "no indices": lambda: rewritten(indices=None),
    "no indptr": lambda: rewritten(indptr=None),
    "no shape": lambda: rewritten(shape=None),
    "no format": lambda: rewritten(format=None),
    "several formats": lambda: rewritten(format=np.array([b"csr", b"csr"])),
    "pickled data": object_member,
    "pickled format": lambda: rewritten(format=np.array({"a": 1})),
    "text": lambda: rewritten(data=np.full(NNZ, "a")),
    "complex numbers": lambda: rewritten(data=SPARSE.data + 1j),
    "index too large": lambda: rewritten(indices=with_value(SPARSE.indices, 100, 12)),
    "index far too large": lambda: rewritten(indices=with_value(SPARSE.indices, NNZ - 1, 2**31 - 1)),
    "negative index": lambda: rewritten(indices=with_value(SPARSE.indices, 100, -1)),
    "rows that go back": lambda: rewritten(indptr=with_value(SPARSE.indptr, 7, NNZ)),
    "negative start": lambda: rewritten(indptr=with_value(SPARSE.indptr, 3, -5)),
    "start above 0": lambda: rewritten(indptr=with_value(SPARSE.indptr, 0, 1)),
    "end beyond": lambda: rewritten(indptr=with_value(SPARSE.indptr, -1, NNZ + 1000)),
    "end before": lambda: rewritten(indptr=with_value(SPARSE.indptr, -1, SPARSE.indptr[-2])),
    "no rows": lambda: rewritten(indptr=np.zeros(0, np.int32)),
    "fewer indices": lambda: rewritten(indices=SPARSE.indices[:-1]),
    "fewer values": lambda: rewritten(data=SPARSE.data[:-1]),
    "a row less": lambda: rewritten(indptr=SPARSE.indptr[:-1]),
    "data of two axes": lambda: rewritten(data=np.stack([SPARSE.data] * 2)),
    "more rows in shape": lambda: rewritten(shape=(N + 1, 12)),
    "fewer rows in shape": lambda: rewritten(shape=(N - 1, 12)),
    "fewer columns in shape": lambda: rewritten(shape=(N, 11)),
    "no columns in shape": lambda: rewritten(shape=(N, 0)),
    "negative shape": lambda: rewritten(shape=(N, -12)),
    "shape of one axis": lambda: rewritten(shape=(N,)),
    "shape of three axes": lambda: rewritten(shape=(N, 3, 4)),
    "shape of text": lambda: rewritten(shape=np.array(["a", "b"])),
    "a folder": lambda: (Path("rows/X.npz").unlink(), Path("rows/X.npz").mkdir()),
}


@pytest.mark.parametrize("limit", [IN_MEMORY, MAPPED], ids=["in memory", "mapped"])
@pytest.mark.parametrize("kind", BAD_CSR)
def test_a_csr_that_is_damaged_ends_in_one_line(kind, limit, train, monkeypatch):
    folder(SPARSE)
    BAD_CSR[kind]()
    monkeypatch.setattr(arrays, "MAPPED_BYTES", limit)
    answer = train("rows")
    assert answer.code == 1 and answer.line().startswith(("rows: ", "rows/X.npz: ", "X.npz "))
    assert not Path("run").exists()


def test_a_column_that_is_not_there_is_no_crash_where_it_is_predicted(train):
    assert train(folder(SPARSE)).code == 0
    values = [12, 2**31 - 1, -1, -(2**31)]
    for value in values:
        rewritten(indices=with_value(SPARSE.indices, 100, value))
        Path("rows/X.npz").replace(f"{value}.npz")
    code = """
import sys
from pathlib import Path
from minnet import cli
from minnet.tables import arrays
arrays.MAPPED_BYTES = 1
for value in sys.argv[1:]:
    Path(f"{value}.npz").replace("rows/X.npz")
    try:
        print(value, cli.main(["predict", "run", "rows", "--out", "out.csv"]))
    except Exception as error:
        print(value, type(error).__name__)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}  # a process of its own, as a wrong index may end it
    asked = [sys.executable, "-c", code, *map(str, values)]
    done = subprocess.run(asked, capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == [word for value in values for word in (str(value), "1")]
    assert len(done.stderr.splitlines()) == len(values) and not Path("out.csv").exists()


def cut_npy(keep):
    raw = Path("rows/X.npy").read_bytes()
    Path("rows/X.npy").write_bytes(raw[:keep])


BAD_DENSE = {
    "names too few": lambda: np.save("rows/names.npy", list("abcd")),
    "names too many": lambda: np.save("rows/names.npy", list("abcdef")),
    "no names": lambda: np.save("rows/names.npy", np.zeros(0, "U1")),
    "a name twice": lambda: np.save("rows/names.npy", list("abcda")),
    "a name twice in one too many": lambda: np.save("rows/names.npy", list("abcdea")),
    "names of numbers": lambda: np.save("rows/names.npy", np.arange(5)),
    "names of bytes": lambda: np.save("rows/names.npy", np.array(list("abcde"), "S")),
    "names in a column": lambda: np.save("rows/names.npy", np.array([list("abcde")]).T),
    "one name as an array of no axis": lambda: np.save("rows/names.npy", np.array("abcde")),
    "pickled names": lambda: np.save("rows/names.npy", np.array(list("abcde"), object)),
    "names cut short": lambda: Path("rows/names.npy").write_bytes(b"\x93NUMPY"),
    "no y": lambda: Path("rows/y.npy").unlink(),
    "y too short": lambda: np.save("rows/y.npy", Y[:-1]),
    "y too long": lambda: np.save("rows/y.npy", np.append(Y, 0)),
    "y of two axes": lambda: np.save("rows/y.npy", Y[:, None]),
    "y of one number": lambda: np.save("rows/y.npy", 1),
    "y of fractions": lambda: np.save("rows/y.npy", Y + 0.5),
    "y missing": lambda: np.save("rows/y.npy", with_value(Y.astype(float), 3, np.nan)),
    "pickled y": lambda: np.save("rows/y.npy", Y.astype(object)),
    "y of one class": lambda: np.save("rows/y.npy", Y * 0),
    "no X": lambda: Path("rows/X.npy").unlink(),
    "X of one axis": lambda: np.save("rows/X.npy", X[:, 0]),
    "X of three axes": lambda: np.save("rows/X.npy", X[:, :, None]),
    "X of text": lambda: np.save("rows/X.npy", X.astype(str)),
    "X of complex numbers": lambda: np.save("rows/X.npy", X + 1j),
    "X of dates": lambda: np.save("rows/X.npy", X.astype(np.int64).astype("M8[s]")),
    "X without columns": lambda: np.save("rows/X.npy", X[:, :0]),
    "X without rows": lambda: np.save("rows/X.npy", X[:0]),
    "pickled X": lambda: np.save("rows/X.npy", X.astype(object)),
    "X cut short": lambda: cut_npy(-8),
    "X cut in its header": lambda: cut_npy(20),
    "X empty": lambda: cut_npy(0),
    "X with more behind": lambda: Path("rows/X.npy").write_bytes(Path("rows/X.npy").read_bytes() + b"12345678"),
    "X no array": lambda: Path("rows/X.npy").write_bytes(b"no array " * 1000),
    "X larger than any disk": lambda: Path("rows/X.npy").write_bytes(
        Path("rows/X.npy").read_bytes().replace(b"(300, 5), }         ", b"(10000000000000, 5)}")
    ),
}


@pytest.mark.parametrize("limit", [IN_MEMORY, MAPPED], ids=["in memory", "mapped"])
@pytest.mark.parametrize("kind", BAD_DENSE)
def test_a_folder_that_is_damaged_ends_in_one_line(kind, limit, train, monkeypatch):
    folder(X)
    BAD_DENSE[kind]()
    monkeypatch.setattr(arrays, "MAPPED_BYTES", limit)
    answer = train("rows")
    assert answer.code == 1 and answer.line()
    assert not Path("run").exists()


def test_rows_are_inputs_only_where_they_are_on_the_disk(in_memory):
    folder(X)
    config = Config(data=DataConfig(source="rows"))
    large = experiment.prepare(config).parts["train"].X1
    in_memory()
    small = experiment.prepare(config).parts["train"].X1
    assert isinstance(large, Inputs) and isinstance(small, np.ndarray) and large.shape == small.shape
    np.testing.assert_allclose(large[:], small, rtol=1e-6)
    room = np.empty((20, D + 1), np.float32)
    rows = RNG.integers(0, len(small), 20)
    assert np.take(large, rows, axis=0, out=room, mode="clip") is room
    np.testing.assert_allclose(room, small[rows], rtol=1e-6)


def test_a_sparse_column_that_is_not_there_is_found_where_rows_are_cut():
    folder(SPARSE)
    rewritten(indices=with_value(SPARSE.indices, 100, 12))
    table = read("rows")
    with pytest.raises(DataError, match="is damaged: it has numbers beyond its 12 columns"):
        Rows(table.X, np.arange(N))[:]


def test_a_folder_moved_elsewhere_goes_on_there(train, command):
    assert train(folder(X)).code == 0
    shutil.copytree("rows", "copy")
    assert command("evaluate", "run", "copy").code == 0
