"""Arrays in .npz files and folders: read, kept on the disk, and written, whole or not at all."""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from faults import Killed, faults
from memory import traced_memory
from tables import CSR, DENSE_AND_CSR, RNG, WORDS, D, N, X, Y, dense, names_of, refused
from tables import save_folder as save
from tables import save_npz as npz

from minnet.data import arrays, sources
from minnet.data.arrays import PIECE, OnDisk
from minnet.data.table import Reading, Table
from minnet.errors import ConfigError, DataError, MinnetError

NAN = np.nan
X23, Y2 = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), np.array([1, 0])
pytestmark = pytest.mark.usefixtures("here")
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


@pytest.fixture(params=["in memory", "on the disk"])
def large(request, monkeypatch):
    """Whether every X of a folder is too large for memory."""
    monkeypatch.setattr(arrays, "MAPPED_BYTES", 1 if request.param == "on the disk" else 1 << 40)
    return request.param == "on the disk"


@pytest.fixture
def on_disk(monkeypatch):
    monkeypatch.setattr(arrays, "MAPPED_BYTES", 1)


def read(path="own", **options):
    return sources.read(path, Reading(**options))


# Reading


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["npz", "packed", "folder"])
def test_arrays_of_every_kind_of_number_become_float64(order, kind):
    for dtype in ("?", "i1", "u8", ">i4", "f2", "f4", "f8", ">f8", "g"):
        given = np.asarray(X23, dtype, order=order)
        path = save(given, Y2) if kind == "folder" else npz(X=given, y=Y2)
        if kind == "packed":
            np.savez_compressed(path, X=given, y=Y2)
        table = read(path)
        assert table.X.dtype == np.float64 and table.X.dtype.isnative
        assert table.X.tolist() == X23.tolist() and table.y.tolist() == [1, 0]
        assert (table.names, table.numbers, table.named) == (["x0", "x1", "x2"], None, False)
        assert (table.reading, table.text) == ({}, {})


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_array_stays_on_the_disk_as_it_is(order, on_disk):
    for dtype in ("f8", "f4", "f2", "i8", "u1", "?", ">f8"):
        given = np.abs(X * 10).astype(dtype, order=order)
        X_read = read(save(given)).X
        assert isinstance(X_read, OnDisk) and X_read.shape == (N, D)
        assert X_read[:].dtype == given.dtype.newbyteorder("=") and (X_read[:] == given).all()


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
    for file in Path("own").glob("X.*"):
        file.unlink()
    sp.save_npz("own/X.npz", CSR.asformat(format))
    if format == "csc":
        assert refused(DataError, read).startswith("own: X is not a csr matrix of at most 10000000")
    else:
        assert (read().X != CSR).nnz == 0 and read().sparse


def test_only_what_is_larger_than_the_limit_stays_on_the_disk(monkeypatch):
    save(X)
    for limit, kind in ((X.nbytes, np.ndarray), (X.nbytes - 1, OnDisk)):
        monkeypatch.setattr(arrays, "MAPPED_BYTES", limit)
        assert isinstance(read().X, kind)


def test_without_labels_no_y_is_read(large):
    save(X)
    Path("own/y.npy").write_bytes(b"no array")
    assert read(labels=False).y is None
    assert refused(DataError, read).startswith("own: cannot be read: ")
    assert read(npz(X=X), labels=False).y is None and refused(DataError, read, "own.npz")


def test_arrays_may_hold_nan_but_no_infinity():
    assert read(npz(X=np.where(X23 == 0, NAN, X23), y=Y2)).first(np.isnan) == (0, "x1")
    npz(X=np.where(X23 == 0, -np.inf, X23), y=Y2)
    said = "own.npz: row 0, column 'x1' holds -inf: every value must be a finite number"
    assert refused(DataError, read, "own.npz") == said


MUST = "it must be a table of numbers (N, D)"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"y": None}, "has no array y among ['X']: save the features as X, the labels as y"),
        ({"X": None}, "has no array X among ['y']: save the features as X, the labels as"),
        ({"X": X23.astype(object)}, "cannot be read: "),
        ({"y": Y2.astype(object)}, "cannot be read: "),
        ({"X": X23[0]}, f"X has shape (3,) and dtype float64: {MUST}"),
        ({"X": X23[:0], "y": Y2[:0]}, f"X has shape (0, 3) and dtype float64: {MUST}"),
        ({"X": X23.astype(complex)}, f"X has shape (2, 3) and dtype complex128: {MUST}"),
        ({"X": X23.astype(str)}, f"X has shape (2, 3) and dtype <U32: {MUST}"),
        ({"y": Y2[:1]}, "y has shape (1,): it must hold one label for each of 2 rows"),
        ({"y": Y2[:, None]}, "y has shape (2, 1): it must hold one label for each of 2"),
        ({"y": Y2 / 2}, "row 0, column 'y' holds 0.5, not a label"),
        ({"y": Y2 * 1j}, "y has dtype complex128: labels are whole numbers or text"),
        *[
            ({"names": names}, "names must be text, a different one for each of X's 3 columns")
            for names in (list("ab"), list("aba"), np.arange(3))
        ],
    ],
)
@pytest.mark.parametrize("folder", [False, True])
def test_arrays_that_cannot_be_learned_from_are_refused(content, message, folder, large):
    content = {"X": X23, "y": Y2} | content
    content = {name: array for name, array in content.items() if array is not None}
    path = npz(**content)
    if folder:
        path = save(**{"X": None, "y": None} | content)
    assert refused(DataError, read, path).startswith(f"{path}: {message}")


def raw(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


HUGE = raw(X23).replace(b"(2, 3), }             ", b"(20000000000000, 3), }")
DAMAGED = [raw(X23)[:-1], raw(X23)[:20], b"", b"1,2,3", b"\x93NUMPY\x09\0" + raw(X23)[8:], HUGE]


def test_a_damaged_array_of_a_folder_is_refused(large):
    save(X23, Y2)
    for content in [*DAMAGED, raw(X23) + b"1"]:
        Path("own/X.npy").write_bytes(content)
        with traced_memory() as risen:
            assert refused(DataError, read).startswith("own: ")
            assert risen() < 1e6


def test_a_damaged_npz_is_refused():
    whole = Path(npz(X=X23, y=Y2)).read_bytes()
    for part in (whole[:-30], whole[50:], b""):
        Path("own.npz").write_bytes(part)
        assert refused(DataError, read, "own.npz").startswith("own.npz: cannot be read: ")
    for content in DAMAGED:
        with zipfile.ZipFile("own.npz", "w") as archive:
            archive.writestr("X.npy", content)
            archive.writestr("y.npy", raw(Y2))
        assert refused(DataError, read, "own.npz").startswith("own.npz: ")


def test_an_array_larger_than_memory_is_refused(monkeypatch):
    npz(X=X23, y=Y2)
    monkeypatch.setattr("minnet.files.memory", lambda: 100)
    assert refused(DataError, read, "own.npz") == "own.npz: does not fit into memory"


def changed(array, i, value):
    array = array.copy()
    array[i] = value
    return array


NNZ, INDICES, INDPTR = CSR.nnz, CSR.indices, CSR.indptr


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("indices", None),
        ("shape", None),
        ("data", np.full(NNZ, "a")),
        ("indices", INDICES + 0.5),
        ("indptr", changed(INDPTR, 7, NNZ)),
        ("indptr", changed(INDPTR, 0, 1)),
        ("indptr", changed(INDPTR, -1, NNZ + 1000)),
        ("indptr", np.zeros(1, np.int32)),
        ("indices", INDICES[:-1]),
        ("data", CSR.data[:-1]),
        ("shape", [N + 1, 12]),
        ("shape", [N, 0]),
        ("shape", [N, 10**9]),
        ("shape", ["a", "b"]),
    ],
)
def test_a_damaged_csr_is_refused(name, array, large):
    save(CSR)
    Path(f"own/X.{name}.npy").unlink()
    if array is not None:
        np.save(f"own/X.{name}.npy", array)
    assert refused(DataError, read).startswith("own: ")


@pytest.mark.parametrize("column", [12, 2**31 - 1, -1, -(2**31)])
def test_a_column_that_is_not_there_is_found_at_the_latest_when_it_is_taken(column, large):
    save(CSR)
    np.save("own/X.indices.npy", changed(INDICES, 100, column))
    if large:
        message = refused(DataError, read().X.__getitem__, np.arange(N))
        assert message == "own: is damaged: X has numbers beyond its columns"
    else:
        assert refused(DataError, read).startswith("own: cannot be read: ")


# Rows on the disk


@pytest.mark.parametrize("given", [X, np.asfortranarray(X), CSR], ids=["C", "F", "csr"])
def test_rows_are_taken_as_those_of_an_array_are(given, on_disk):
    table = read(save(given))
    many = RNG.integers(0, N, 3 * PIECE + 1)  # with repeats, in any order
    slices = (slice(None), slice(3, 200), slice(200, 3, -2), slice(0, 0), slice(240, 1000))
    for which in (*slices, many, many[:PIECE], [7], [5, 5, 0], np.arange(0), np.arange(N) % 7 == 0):
        taken = table.X[which]
        assert type(taken) is (sp.csr_matrix if given is CSR else np.ndarray)
        assert np.array_equal(dense(taken), dense(given)[which])
    turned = table.X[:, [2, 0]][:, [1, 0]]
    assert isinstance(turned, OnDisk) and turned.shape == (N, 2)
    assert np.array_equal(dense(turned[many]), dense(given)[many][:, [0, 2]])


@DENSE_AND_CSR
def test_what_is_on_the_disk_stays_there_below_what_is_in_memory(given, monkeypatch):
    small = Table("small", read(save(given)).names, given[:40], y=np.zeros(40, int))
    monkeypatch.setattr(arrays, "MAPPED_BYTES", 1)
    large, rows = read(), RNG.integers(0, N + 40, 100)
    for tables in ([small, large], [large, small], [large, large]):
        stacked = arrays.below(tables, OnDisk(tables))
        whole = np.concatenate([dense(t.X[:]) for t in tables])
        assert len(stacked.y) == len(stacked) == len(whole)
        assert np.array_equal(dense(stacked.X[rows]), whole[rows])


def test_tables_in_memory_are_stacked_whatever_their_order():
    one = Table("t", ["a", "b"], np.asfortranarray(X[:, :2]), y=Y)
    tables = [one, read(npz(X=X[:7, :2], y=Y[:7]))]
    stacked = arrays.stack(iter(tables))
    assert np.array_equal(stacked.X, np.concatenate([X[:, :2], X[:7, :2]]))
    assert np.array_equal(stacked.y, np.concatenate([Y, Y[:7]]))
    assert arrays.stack(tables[:1]) is one


@pytest.mark.parametrize("value", [NAN, np.inf, -np.inf])
@DENSE_AND_CSR
def test_a_number_that_is_none_is_refused_when_it_is_taken(value, given, on_disk):
    bad = given.copy()
    (bad.data if given is CSR else bad)[7] = value
    rows, columns = np.nonzero(~np.isfinite(dense(bad)))
    table = read(save(bad, names=names_of(bad)))
    stacked = OnDisk([read(save(given, folder="good")), table])
    what = "is missing" if np.isnan(value) else f"holds {value}"
    where = f"own: row {rows[0]}, column 'größe {columns[0]}' {what}: X is too large for memory"
    assert refused(DataError, table.X.__getitem__, slice(None)).startswith(where)
    assert refused(DataError, stacked.__getitem__, np.arange(2 * N)).startswith(where)


# Writing


def blocks_of(X=X, y=Y, text=(), size=70):
    words = {name: np.array(["red"] * N, object) for name in text}
    return Table("t", names_of(X), X, words, y=y).blocks(size)


def write(blocks=None, folder="out", dtype="float64"):
    return arrays.write(Path(folder), blocks_of() if blocks is None else blocks, dtype)


@pytest.mark.parametrize("y", [Y * 7 - 3, Y > 0, WORDS.astype(object)], ids=str)
@DENSE_AND_CSR
def test_what_is_written_is_read_again_and_float32_rounds(given, y, large):
    for dtype in ("float64", "float32"):
        assert write(blocks_of(given, y), dtype, dtype) == given.shape
        table, expected = read(dtype), dense(given.astype(dtype))
        assert np.array_equal(dense(table.X[:]), expected) and table.y.tolist() == y.tolist()
        assert table.names == names_of(given)
        kind = ["X.data", "X.indices", "X.indptr", "X.shape"] if given is CSR else ["X"]
        assert {file.stem for file in Path(dtype).iterdir()} == {*kind, "names", "y"}
        assert np.load(f"{dtype}/{kind[0]}.npy").dtype == dtype


@pytest.mark.parametrize("n", [1, 9, 10, 99, 100, 101])
def test_the_header_has_room_for_any_number_of_rows(n):
    write(blocks_of(X[:n], Y[:n], size=1))
    written = np.load("out/X.npy", mmap_mode="r")
    assert isinstance(written, np.memmap) and np.array_equal(written, X[:n])


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
    said = refused(DataError, write, blocks_of(**change), folder, "float32")
    assert said.startswith(message) and [path.name for path in Path().rglob("*")] == ["there"]


def test_a_folder_with_something_in_it_and_a_file_stay_as_they_are():
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    for path in ("out", "out/mine.txt"):
        said = refused(ConfigError, write, None, path)
        assert said == f"{path}: is not an empty folder: choose another"
    assert Path("out/mine.txt").read_text() == "mine" and len(list(Path("out").iterdir())) == 1
    name = "a" * 300
    said = refused(MinnetError, write, None, name)
    assert said == f"{name}: cannot be made: File name too long"


@DENSE_AND_CSR
def test_a_full_disk_at_any_step_ends_in_one_line_and_leaves_nothing(given):
    with faults() as counted:
        write(blocks_of(given), "whole")
    before = set(Path().rglob("*"))
    for step in range(1, len(counted.names) + 1):
        with faults(step):
            assert refused(MinnetError, write, blocks_of(given)).startswith("out")
        if step < len(counted.names):  # in the last one, the names of whole files are made to last
            assert set(Path().rglob("*")) == before, (step, counted.names[step - 1])


@DENSE_AND_CSR
def test_a_kill_at_any_step_leaves_no_file_that_looks_whole_and_is_not(given):
    with faults() as counted:
        write(blocks_of(given), "whole")
    whole = {path.name: path.read_bytes() for path in Path("whole").iterdir()}
    for step in range(1, len(counted.names) + 1):
        with pytest.raises(Killed), faults(step, "killed"):
            write(blocks_of(given), f"out{step}")
        for path in Path(f"out{step}").glob("[!.]*"):
            assert path.read_bytes() == whole[path.name]


@DENSE_AND_CSR
def test_an_interrupt_leaves_nothing(given):
    def interrupted():
        yield from list(blocks_of(given))[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(interrupted())
    assert not list(Path().iterdir())
