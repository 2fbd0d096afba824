"""Arrays in .npz files and folders: read, kept on the disk, and written, whole or not at all."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from faults import Killed, faults
from limits import file_size_limit
from memory import traced_memory

from minnet.data import arrays, sources
from minnet.data.arrays import PIECE, OnDisk
from minnet.data.table import Reading, Table
from minnet.errors import ConfigError, DataError, MinnetError

ROOT = Path(__file__).resolve().parent.parent
NAN = np.nan
N, D = 300, 5
RNG = np.random.default_rng(0)
Y = np.arange(N) % 3
X = RNG.normal(size=(N, D)) + Y[:, None]
CSR = sp.hstack([Y[:, None] + 1.0, sp.random(N, 11, 0.3, random_state=0)], "csr")
X23, Y2 = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), np.array([1, 0])
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # no test could see what it does


@pytest.fixture(params=["in memory", "on the disk"])
def large(request, monkeypatch):
    """Whether every X of a folder is too large for memory."""
    monkeypatch.setattr(arrays, "MAPPED_BYTES", 1 if request.param == "on the disk" else 1 << 40)
    return request.param == "on the disk"


@pytest.fixture
def on_disk(monkeypatch):
    monkeypatch.setattr(arrays, "MAPPED_BYTES", 1)


def save(X, y=Y, names=None, name="rows"):
    """A folder with these arrays."""
    Path(name).mkdir(exist_ok=True)
    content = {"y": y, "names": None if names is None else np.array(names)}
    if hasattr(X, "tocsr"):
        content |= {"X.data": X.data, "X.indices": X.indices, "X.indptr": X.indptr}
        content["X.shape"] = np.array(X.shape)
    else:
        content["X"] = X
    for part, array in content.items():
        if array is not None:
            np.save(f"{name}/{part}.npy", array)
    return name


def npz(**of):
    np.savez("t.npz", **of)
    return "t.npz"


def read(path, **options):
    return sources.read(path, Reading(**options))


def refused(function, *arguments, kind=DataError):
    """The one line of the error that is raised."""
    with pytest.raises(kind) as caught:
        function(*arguments)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def dense(X):
    return X.toarray() if hasattr(X, "tocsr") else X


# Reading


@pytest.mark.parametrize("dtype", ["?", "i1", "u8", ">i4", "f2", "f4", "f8", ">f8", "g"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["npz", "packed", "folder"])
def test_arrays_of_every_kind_of_number_become_float64(dtype, order, kind):
    given = np.asarray(X23, dtype, order=order)
    if kind == "packed":
        np.savez_compressed("t.npz", X=given, y=Y2)
    table = read(save(given, Y2) if kind == "folder" else npz(X=given, y=Y2))
    assert table.X.dtype == np.float64 and table.X.dtype.isnative
    assert table.X.tolist() == X23.tolist() and table.y.tolist() == [1, 0]
    assert (table.names, table.numbers, table.named) == (["x0", "x1", "x2"], None, False)
    assert (table.reading, table.text) == ({}, {})


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "u1", "?", ">f8"])
def test_a_large_array_stays_on_the_disk_as_it_is(dtype, order, on_disk):
    given = np.abs(X * 10).astype(dtype, order=order)
    table = read(save(given))
    assert isinstance(table.X, OnDisk) and table.X.shape == (N, D) and not table.sparse
    assert table.X[:].dtype == given.dtype.newbyteorder("=") and np.array_equal(table.X[:], given)


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i8"])
def test_a_csr_of_a_folder_is_read_or_stays_on_the_disk(dtype, index, large):
    given = (CSR * 10).astype(dtype)
    given.indices, given.indptr = given.indices.astype(index), given.indptr.astype(np.int64)
    table = read(save(given))
    assert isinstance(table.X, OnDisk) is large and table.sparse and table.X.shape == (N, 12)
    assert (table.X[:] != given).nnz == 0 and table.X[:].dtype == (dtype if large else np.float64)


@pytest.mark.parametrize("format", ["csr", "csc"])
def test_a_csr_by_scipy_is_read_into_memory(format, on_disk):
    save(CSR)
    for file in Path("rows").glob("X.*"):
        file.unlink()
    sp.save_npz("rows/X.npz", CSR.asformat(format))
    if format == "csc":
        assert refused(read, "rows").startswith("rows: X is no csr of at most 10000000 columns")
    else:
        assert (read("rows").X != CSR).nnz == 0 and read("rows").sparse


def test_only_what_is_larger_than_the_limit_stays_on_the_disk(monkeypatch):
    monkeypatch.setattr(arrays, "MAPPED_BYTES", X.nbytes)
    assert isinstance(read(save(X)).X, np.ndarray)
    monkeypatch.setattr(arrays, "MAPPED_BYTES", X.nbytes - 1)
    assert isinstance(read("rows").X, OnDisk)


def test_names_are_read_whether_x_is_large_or_not(large):
    names = ["größe", "b", "c", "d", "e f"]
    table = read(save(X, names=names))
    assert table.names == names and table.named
    assert read(npz(X=X, y=Y, names=names)).names == names


def test_without_labels_no_y_is_read(large):
    save(X)
    Path("rows/y.npy").write_bytes(b"no array")
    assert read("rows", labels=False).y is None
    assert refused(read, "rows").startswith("rows: cannot be read: ")
    npz(X=X)
    assert read("t.npz", labels=False).y is None and refused(read, "t.npz")


def test_arrays_may_hold_nan_but_no_infinity():
    table = read(npz(X=np.where(X23 == 0, NAN, X23), y=Y2))
    assert table.place(*table.first_missing()) == "t.npz: row 0, column 'x1'"
    npz(X=np.where(X23 == 0, -np.inf, X23), y=Y2)
    said = "t.npz: row 0, column 'x1' holds -inf: every value must be a finite number"
    assert refused(read, "t.npz") == said


MUST = "it must be a table of numbers (N, D)"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"X": X23}, "has no array y among ['X']: save the features as X, the labels as y"),
        ({"a": X23, "y": Y2}, "has no array X among ['y']: save the features as X, the labels as"),
        ({"X": X23.astype(object), "y": Y2}, "cannot be read: "),
        ({"X": X23, "y": Y2.astype(object)}, "cannot be read: "),
        ({"X": X23[0], "y": Y2}, f"X has shape (3,) and dtype float64: {MUST}"),
        ({"X": X23[None], "y": Y2}, f"X has shape (1, 2, 3) and dtype float64: {MUST}"),
        ({"X": X23.astype(complex), "y": Y2}, f"X has shape (2, 3) and dtype complex128: {MUST}"),
        ({"X": X23.astype(str), "y": Y2}, f"X has shape (2, 3) and dtype <U32: {MUST}"),
        ({"X": X23, "y": Y2[:1]}, "y has shape (1,): it must hold one label for each of 2 rows"),
        ({"X": X23, "y": Y2[:, None]}, "y has shape (2, 1): it must hold one label for each of 2"),
        ({"X": X23, "y": np.int64(1)}, "y has shape (): it must hold one label"),
        ({"X": X23, "y": Y2 / 2}, "row 0, column 'y' holds 0.5, not a label"),
        ({"X": X23, "y": Y2 * 1j}, "y has dtype complex128: labels are whole numbers or text"),
        ({"X": X23, "y": Y2, "names": list("ab")}, "names must be text, a different one for each"),
        ({"X": X23, "y": Y2, "names": list("aba")}, "names must be text, a different one for eac"),
        ({"X": X23, "y": Y2, "names": np.array("abc")}, "names must be text, a different one for"),
        ({"X": X23, "y": Y2, "names": np.arange(3)}, "names must be text, a different one for ea"),
        ({"X": X23, "y": Y2, "names": [["a", "b", "c"]]}, "names must be text, a different one"),
    ],
)
@pytest.mark.parametrize("folder", [False, True])
def test_arrays_that_cannot_be_learned_from_are_refused(content, message, folder, large):
    path = npz(**content)
    if folder:
        path = save(**{"X": np.empty(0), "y": None} | content) if "X" in content else save(X23, Y2)
        if "a" in content:
            Path("rows/X.npy").unlink()
    assert refused(read, path).startswith(f"{path}: {message}")


def raw(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


HUGE = raw(X23).replace(b"(2, 3), }             ", b"(20000000000000, 3), }")
DAMAGED = [raw(X23)[:-1], raw(X23)[:20], b"", b"1,2,3", b"\x93NUMPY\x09\0" + raw(X23)[8:], HUGE]


@pytest.mark.parametrize("content", [*DAMAGED, raw(X23) + b"1"])
def test_a_damaged_array_of_a_folder_is_refused(content, large):
    save(X23, Y2)
    Path("rows/X.npy").write_bytes(content)
    with traced_memory() as risen:
        assert refused(read, "rows").startswith("rows: ")
        assert risen() < 1e6


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_npz_is_refused(content):
    with zipfile.ZipFile("t.npz", "w") as archive:
        archive.writestr("X.npy", content)
        archive.writestr("y.npy", raw(Y2))
    assert refused(read, "t.npz").startswith("t.npz: ")
    whole = Path(npz(X=X23, y=Y2)).read_bytes()
    for part in (whole[:-30], whole[50:], b""):
        Path("t.npz").write_bytes(part)
        assert refused(read, "t.npz").startswith("t.npz: cannot be read: ")


def test_an_array_larger_than_memory_is_refused(monkeypatch):
    npz(X=X23, y=Y2)
    monkeypatch.setattr("minnet.files.memory", lambda: 100)
    assert refused(read, "t.npz") == "t.npz: does not fit into memory"


def changed(array, i, value):
    array = array.copy()
    array[i] = value
    return array


NNZ, INDICES, INDPTR = CSR.nnz, CSR.indices, CSR.indptr
BAD_CSR = {
    "no indices": ("indices", None),
    "no shape": ("shape", None),
    "text": ("data", np.full(NNZ, "a")),
    "complex numbers": ("data", CSR.data + 1j),
    "fractions as indices": ("indices", INDICES + 0.5),
    "rows that go back": ("indptr", changed(INDPTR, 7, NNZ)),
    "negative start": ("indptr", changed(INDPTR, 3, -5)),
    "start above 0": ("indptr", changed(INDPTR, 0, 1)),
    "end beyond": ("indptr", changed(INDPTR, -1, NNZ + 1000)),
    "end before": ("indptr", changed(INDPTR, -1, INDPTR[-2])),
    "no rows": ("indptr", np.zeros(1, np.int32)),
    "fewer indices": ("indices", INDICES[:-1]),
    "fewer values": ("data", CSR.data[:-1]),
    "data of two axes": ("data", np.stack([CSR.data] * 2)),
    "more rows in shape": ("shape", [N + 1, 12]),
    "no columns in shape": ("shape", [N, 0]),
    "negative shape": ("shape", [N, -12]),
    "too wide": ("shape", [N, 10**9]),
    "shape of one axis": ("shape", [N]),
    "shape of text": ("shape", ["a", "b"]),
}
BAD_INDICES = [changed(INDICES, 100, value) for value in (12, 2**31 - 1, -1, -(2**31))]


@pytest.mark.parametrize("kind", BAD_CSR)
def test_a_damaged_csr_is_refused(kind, large):
    name, array = BAD_CSR[kind]
    save(CSR)
    Path(f"rows/X.{name}.npy").unlink()
    if array is not None:
        np.save(f"rows/X.{name}.npy", array)
    assert refused(read, "rows").startswith("rows: ")


@pytest.mark.parametrize("indices", BAD_INDICES)
def test_a_column_that_is_not_there_is_found_at_the_latest_when_it_is_taken(indices, large):
    save(CSR)
    np.save("rows/X.indices.npy", indices)
    if large:
        message = refused(lambda: read("rows").X[np.arange(N)])
        assert message == "rows: is damaged: X has numbers beyond its columns"
    else:
        assert refused(read, "rows").startswith("rows: cannot be read: ")


# Rows on the disk


@pytest.mark.parametrize("given", [X, np.asfortranarray(X), CSR], ids=["C", "F", "csr"])
def test_rows_are_taken_as_those_of_an_array_are(given, on_disk):
    table = read(save(given))
    many = RNG.integers(0, N, 3 * PIECE + 1)  # with repeats, in any order
    for which in (
        slice(None), slice(3, 200), slice(200, 3, -2), slice(0, 0), slice(240, 1000),
        many, many[:PIECE], [7], [5, 5, 0], np.arange(0), np.arange(N) % 7 == 0,
    ):  # fmt: skip
        taken = table.X[which]
        assert type(taken) is (sp.csr_matrix if given is CSR else np.ndarray)
        assert np.array_equal(dense(taken), dense(given)[which])
    turned = table.X[:, [2, 0]][:, [1, 0]]
    assert isinstance(turned, OnDisk) and turned.shape == (N, 2)
    assert np.array_equal(dense(turned[many]), dense(given)[many][:, [0, 2]])
    blocks = [dense(block.X) for block in table.blocks(70)]
    assert np.array_equal(np.concatenate(blocks), dense(given)) and len(blocks) == 5


@pytest.mark.parametrize("given", [X, CSR], ids=["dense", "csr"])
def test_what_is_on_the_disk_stays_there_below_what_is_in_memory(given, monkeypatch):
    small = Table("small", read(save(given)).names, given[:40], y=np.zeros(40, int))
    monkeypatch.setattr(arrays, "MAPPED_BYTES", 1)
    large, rows = read("rows"), RNG.integers(0, N + 40, 100)
    for tables in ([small, large], [large, small], [large, large]):
        stacked, whole = (
            arrays.stack(tables, OnDisk(tables)),
            np.concatenate([dense(t.X[:]) for t in tables]),
        )
        assert isinstance(stacked.X, OnDisk) and len(stacked.y) == len(stacked) == len(whole)
        assert np.array_equal(dense(stacked.X[rows]), whole[rows])


def test_tables_in_memory_are_stacked_whatever_their_order():
    tables = [
        Table("t", ["a", "b"], np.asfortranarray(X[:, :2]), y=Y),
        read(npz(X=X[:7, :2], y=Y[:7])),
    ]
    stacked = arrays.stack(iter(tables))
    assert np.array_equal(stacked.X, np.concatenate([X[:, :2], X[:7, :2]]))
    assert np.array_equal(stacked.y, np.concatenate([Y, Y[:7]]))
    assert arrays.stack(tables[:1]) is tables[0]


@pytest.mark.parametrize("value", [NAN, np.inf, -np.inf])
@pytest.mark.parametrize("given", [X, CSR], ids=["dense", "csr"])
def test_a_number_that_is_none_is_refused_when_it_is_taken(value, given, on_disk):
    bad = given.copy()
    (bad.data if given is CSR else bad)[7] = value
    rows, columns = np.nonzero(~np.isfinite(dense(bad)))
    table = read(save(bad, names=[f"c{j}" for j in range(bad.shape[1])]))
    stacked = arrays.stack(two := [read(save(given, name="good")), table], OnDisk(two))
    what = "is missing" if np.isnan(value) else f"holds {value}"
    where = f"rows: row {rows[0]}, column 'c{columns[0]}' {what}: X is too large for memory"
    assert refused(table.X.__getitem__, slice(None)).startswith(where)
    assert refused(stacked.X.__getitem__, np.arange(2 * N)).startswith(where)


@pytest.mark.parametrize("given", [X, CSR], ids=["dense", "csr"])
def test_pages_are_released_a_piece_at_a_time(given, on_disk, monkeypatch):
    released = []
    monkeypatch.setattr(arrays, "release", released.append)
    table = read(save(given))
    table.X[RNG.permutation(N)]
    assert len(released) == -(-N // PIECE)


@LINUX
def test_memory_stays_small_while_random_rows_of_a_large_file_are_read():
    code = """
from pathlib import Path
import numpy as np
from minnet.data.arrays import OnDisk
from minnet.data.table import Table

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    kinds = ("RssAnon", "RssFile")
    return sum(int(line.split()[1]) for line in lines if line.startswith(kinds)) / 1024

X = np.lib.format.open_memmap("X.npy", "w+", np.float64, (15000, 500))  # 60 MB
for start in range(0, len(X), 1000):
    X[start : start + 1000] = np.arange(start, start + 1000)[:, None]
del X
X = np.load("X.npy", mmap_mode="r")
rows, rng = OnDisk([Table("X", [f"x{j}" for j in range(500)], X)]), np.random.default_rng(0)
rows[rng.permutation(100)]
before, most = held(), 0
for i in range(30):
    which = rng.integers(0, len(X), 500)
    assert (rows[which] == which[:, None]).all()
    most = max(most, held())
for start in range(0, 15000, 1000):
    rows[start : start + 1000]
    most = max(most, held())
X.sum()  # what it would be, did nothing release
print(most - before, held() - before)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    rise, all_of_it = map(float, done.stdout.split())
    assert all_of_it > 50 and rise < 20  # MB


# Writing


def tables(X=X, y=Y, text=(), size=70):
    names = [f"größe {j}" for j in range(X.shape[1])]
    words = {name: np.array(["red"] * N, object) for name in text}
    return Table("t", names, X, words, y=y).blocks(size)


def write(blocks=None, folder="out", dtype="float64"):
    return arrays.write(Path(folder), tables() if blocks is None else blocks, dtype)


WORDS = np.array(["größe", "b c", "日本"])[Y]


@pytest.mark.parametrize("y", [Y, Y * 7 - 3, Y > 0, WORDS.astype(object)], ids=str)
@pytest.mark.parametrize("given", [X, CSR], ids=["dense", "csr"])
def test_what_is_written_is_read_again(given, y, large):
    assert write(tables(given, y)) == given.shape
    table = read("out")
    assert np.array_equal(dense(table.X[:]), dense(given)) and table.y.tolist() == y.tolist()
    assert table.names == [f"größe {j}" for j in range(given.shape[1])]
    kind = ["X.data", "X.indices", "X.indptr", "X.shape"] if given is CSR else ["X"]
    assert {file.name for file in Path("out").iterdir()} == {
        f"{n}.npy" for n in [*kind, "names", "y"]
    }


@pytest.mark.parametrize("n", [1, 9, 10, 99, 100, 101])
def test_the_header_has_room_for_any_number_of_rows(n):
    write(tables(X[:n], Y[:n], size=1))
    written = np.load("out/X.npy", mmap_mode="r")
    assert isinstance(written, np.memmap) and np.array_equal(written, X[:n])


@pytest.mark.parametrize("given", [X, CSR], ids=["dense", "csr"])
def test_float32_rounds(given):
    write(tables(given), dtype="float32")
    written = np.load(f"out/X{'.data' if given is CSR else ''}.npy")
    assert written.dtype == np.float32 and np.array_equal(
        dense(read("out").X), dense(given.astype("f4"))
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": changed(X, (200, 2), NAN)}, "t: row 200, column 'größe 2' is missing: every value"),
        ({"X": changed(X, (200, 2), 1e300)}, "t: row 200, column 'größe 2' holds inf: every value"),
        ({"y": changed(WORDS.astype(object), 250, "")}, "t: row 250, column 'y' has no label"),
        ({"text": ["colour"]}, "t: row 0, column 'colour' holds 'red', not a number"),
    ],
)
@pytest.mark.parametrize("folder", ["out", "a/b/out", "there"])
def test_a_mistake_leaves_nothing(change, message, folder):
    Path("there").mkdir()
    assert refused(write, tables(**change), folder, "float32").startswith(message)
    assert [path.name for path in Path().rglob("*")] == ["there"]


def test_a_folder_with_something_in_it_and_a_file_stay_as_they_are():
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    for path in ("out", "out/mine.txt"):
        said = refused(write, None, path, kind=ConfigError)
        assert said == f"{path}: is not an empty folder: choose another"
    assert Path("out/mine.txt").read_text() == "mine" and len(list(Path("out").iterdir())) == 1
    name = "a" * 300
    assert (
        refused(write, None, name, kind=MinnetError)
        == f"{name}: cannot be made: File name too long"
    )


KINDS = pytest.mark.parametrize("given", [X, CSR], ids=["dense", "csr"])


@KINDS
def test_a_full_disk_at_any_step_ends_in_one_line_and_leaves_nothing(given):
    with file_size_limit(1000):
        said = refused(write, tables(given), kind=MinnetError)
    assert said.startswith("out") and said.endswith("cannot be written: File too large")
    with faults() as counted:
        write(tables(given), "whole")
    before = set(Path().rglob("*"))
    for step in range(1, len(counted.names) + 1):
        with faults(step):
            assert refused(write, tables(given), kind=MinnetError).startswith("out")
        if step < len(counted.names):  # in the last one, the names of whole files are made to last
            assert set(Path().rglob("*")) == before, (step, counted.names[step - 1])


@KINDS
def test_a_kill_at_any_step_leaves_no_file_that_looks_whole_and_is_not(given):
    with faults() as counted:
        write(tables(given), "whole")
    whole = {path.name: path.read_bytes() for path in Path("whole").iterdir()}
    for step in range(1, len(counted.names) + 1):
        with pytest.raises(Killed), faults(step, "killed"):
            write(tables(given), f"out{step}")
        for path in Path(f"out{step}").glob("[!.]*"):
            assert path.read_bytes() == whole[path.name]


@KINDS
def test_an_interrupt_leaves_nothing(given):
    def interrupted():
        yield from list(tables(given))[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(interrupted())
    assert not list(Path().iterdir())
