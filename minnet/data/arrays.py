"""X.npy and y.npy, in an .npz or in a folder, where X may be sparse and may stay on the disk.

A sparse X is the arrays of a csr in X.data.npy, X.indices.npy and X.indptr.npy, and its shape in
X.shape.npy. Errors of `read` do not name the file: that is done in sources.py.
"""

import contextlib
import itertools
import math
import mmap
import reprlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minnet import files
from minnet.data.table import FINITE, Table, labels, not_finite, places
from minnet.errors import ConfigError, DataError, one_line

MAPPED_BYTES = 1 << 26  # a larger X of a folder stays on the disk
BEGUN = ".shard"  # is in a folder while it is being written
MAX_FEATURES = 10**7  # of sparse rows: weights for more would not fit into memory
PIECE = 16  # rows read at a time in any order: with each, Linux may map the 2 MB around it
CSR = ("X.data", "X.indices", "X.indptr", "X.shape")


class OnDisk:
    """Rows (N, D) of tables, one below the other. X[rows], a slice, a mask or row numbers, reads an
    array or csr; it raises DataError for a number that is not finite. X[:, columns] has other
    columns, and stays on the disk."""

    def __init__(self, tables: list[Table], columns: list[int] | None = None) -> None:
        self.tables, self.columns = tables, columns
        self.starts = np.cumsum([0, *map(len, tables)])
        D = tables[0].X.shape[1] if columns is None else len(columns)
        self.shape = int(self.starts[-1]), D

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, tuple):
            return OnDisk([Table("", [], self)], which[1])
        rows = places(which, self.shape[0])
        order = np.argsort(rows, kind="stable")  # a disk is read from its start to its end
        size = len(rows) + 1 if isinstance(which, slice) else PIECE
        pieces = np.split(rows[order], range(size, len(rows), size))
        X = join([block for piece in pieces for block in self._read(piece)])[np.argsort(order)]
        return X if self.columns is None else X[:, self.columns]

    def _read(self, rows: NDArray) -> Iterator[Any]:
        """The rows, whose numbers rise, of each table."""
        for table, start, end in zip(self.tables, self.starts, self.starts[1:], strict=False):
            taken = table.take(rows[(rows >= start) & (rows < end)] - start)
            release(table.X)
            columns = taken.X.indices if taken.sparse else np.zeros(0)
            if ((columns < 0) | (columns >= taken.X.shape[1])).any():
                raise DataError(f"{table.path}: is damaged: X has numbers beyond its columns")
            taken.check(not_finite, "X is too large for memory, so correct it first")
            yield taken.X


def held(X: Any) -> list[NDArray]:
    """The arrays that an array or csr consists of."""
    return [X.data, X.indices, X.indptr] if hasattr(X, "tocsr") else [X]


def release(X: Any) -> None:
    """Let the system drop the pages that were read of X; it reads them again when needed."""
    for array in held(X):
        base = getattr(array, "base", None)
        if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            base.madvise(mmap.MADV_DONTNEED)


def join(blocks: list[Any]) -> Any:
    """Arrays or csr one below the other."""
    if isinstance(blocks[0], np.ndarray):
        return np.concatenate(blocks)
    from scipy import sparse

    return sparse.vstack(blocks, format="csr")


def stack(tables: Iterable[Table]) -> Table:
    """Tables of the same columns one below the other. A dense X grows in place, so that it is never
    there twice: as bytes, since from NumPy 2.5 an array that is resized is a copy."""
    tables = iter(tables)
    start = list(itertools.islice(tables, 2))
    if len(start) == 1:
        return start[0]
    grown, n, other, rest = bytearray(), 0, [], []
    for table in itertools.chain(start, tables):
        if isinstance(table.X, np.ndarray):
            n += len(table)
            grown += table.X.tobytes()
        else:
            other.append(table.X)
        rest.append(replace(table, X=None))
    if other:
        return below(rest, join(other))
    first = start[0].X
    return below(rest, np.frombuffer(grown, first.dtype).reshape(n, first.shape[1]))


def below(tables: list[Table], X: Any = None) -> Table:
    """One table with this X; all else is that of the tables, one below the other."""

    def joined(arrays: list[Any]) -> Any:
        return None if any(array is None for array in arrays) else np.concatenate(arrays)

    y, numbers = joined([t.y for t in tables]), joined([t.numbers for t in tables])
    text = {name: joined([t.text[name] for t in tables]) for name in tables[0].text}
    return replace(tables[0], X=X, text=text, y=y, numbers=numbers)


def read(path: Path, with_labels: bool) -> Table:
    """X, y and the names of columns, from a folder or an .npz. Raises any kind of exception."""
    wanted = ("X", *CSR, "names", "y")[: None if with_labels else -1]
    if path.is_dir():
        paths = {name: path / f"{name}.npy" for name in wanted}
        found: Any = {name: _array(file) for name, file in paths.items() if file.is_file()}
        if (path / "X.npz").is_file():  # by scipy.sparse.save_npz
            sparse = _members(path / "X.npz", [name[2:] for name in CSR] + ["format"])
            found |= {f"X.{name}": array for name, array in sparse.items()}
    else:
        found = _members(path, wanted)
    if CSR[0] in found:
        found["X"] = _csr(found)
    for name in ("X", "y")[: 1 + with_labels]:
        if name not in found:
            hint = "save the features as X, the labels as y"
            raise DataError(f"has no array {name} among {reprlib.repr(sorted(found))}: {hint}")
    X, y, names = found["X"], found.get("y"), found.get("names")
    if len(X.shape) != 2 or X.dtype.kind not in "buif" or not math.prod(X.shape):
        hint = "it must be a table of numbers (N, D)"
        raise DataError(f"X has shape {X.shape} and dtype {X.dtype}: {hint}")
    N, D = X.shape
    if y is not None and y.shape != (N,):
        raise DataError(f"y has shape {y.shape}: it must hold one label for each of {N} rows")
    named = names is not None
    if named and (names.shape, names.dtype.kind, len(np.unique(names))) != ((D,), "U", D):
        raise DataError(f"names must be text, a different one for each of X's {D} columns")
    table = Table(one_line(path), names.tolist() if named else [f"x{j}" for j in range(D)], X)
    if any(isinstance(array, np.memmap) for array in held(X)):
        return replace(table, X=OnDisk([table]), y=y, named=named)
    with np.errstate(over="ignore"):
        return replace(table, X=X.astype(np.float64, copy=False), y=y, named=named)


def _array(file: Path) -> NDArray:
    array: Any = np.load(file, mmap_mode="r", allow_pickle=False)
    if array.offset + array.nbytes != file.stat().st_size:
        raise DataError(f"{file.name} is damaged: its size does not fit its shape {array.shape}")
    return array if array.nbytes > MAPPED_BYTES else np.array(array)


def _members(path: Path, names: Iterable[str]) -> dict[str, NDArray]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as members:
        if sum(member.file_size for member in members.zip.infolist()) > files.memory():
            raise MemoryError
        return {name: members[name] for name in names if name in members}


def _csr(found: dict[str, NDArray]) -> Any:
    """A csr of its arrays, which stay where they are."""
    from scipy import sparse

    data, indices, indptr, shape = (found[name] for name in CSR)
    N, D = shape.tolist()
    whole = {indices.dtype.kind, indptr.dtype.kind} <= {"i", "u"}
    is_csr = found.get("X.format", b"csr") == b"csr" and 0 < D <= MAX_FEATURES
    sizes = indptr.shape == (N + 1,) and data.shape == indices.shape == (indptr[-1],)
    rises = sizes and indptr[0] == 0 and (indptr[1:] >= indptr[:-1]).all()
    if not (whole and is_csr and rises):
        raise DataError(f"X is not a csr matrix of at most {MAX_FEATURES} columns, or is damaged")
    X = sparse.csr_matrix((N, D), dtype=data.dtype)
    # SciPy copies both where their dtypes differ
    X.data, X.indices, X.indptr = data, indices, indptr.astype(indices.dtype, copy=False)
    if not isinstance(indices, np.memmap):
        X.check_format(full_check=True)
    return X


def write(folder: Path, blocks: Iterable[Table], dtype: DTypeLike) -> tuple[int, int]:
    """Write rows with labels as a folder, of which nothing is left on failure. Returns N and D.
    Raises DataError for text, for missing labels, and for numbers that are missing or that dtype
    cannot hold; ConfigError where the folder is not empty."""
    with _new(folder), files.named(folder, "written"), contextlib.ExitStack() as opened:
        made: dict[str, Any] = {}  # files that grow
        rest, lengths, columns = [], [np.zeros(1, int)], dict[str, NDArray]()
        for block in blocks:
            for name in block.text:
                raise block.text_error(name)
            with np.errstate(over="ignore"):
                X = block.X.astype(dtype, copy=False)
            replace(block, X=X).check(not_finite, f"{FINITE} in {np.dtype(dtype)}")
            columns = {"X": X}
            if block.sparse:
                columns = {"X.data": X.data, "X.indices": X.indices.astype(np.int64)}
                lengths.append(np.diff(X.indptr))
            for name, rows in columns.items():
                if name not in made:
                    made[name] = opened.enter_context(files.writing(folder / f"{name}.npy"))
                    _write_header(made[name], rows, 0)
                made[name].write(np.ascontiguousarray(rows).data)
            rest.append(replace(block, X=None))
        table = below(rest)
        y, names, indptr = labels(table), np.array(table.names), np.cumsum(np.concatenate(lengths))
        whole = {"y": y.astype(str) if y.dtype == object else y, "names": names}
        if "X" not in made:
            whole |= {"X.indptr": indptr, "X.shape": np.array([len(y), len(names)])}
        for name, file in made.items():
            _write_header(file, columns[name], len(y) if name == "X" else int(indptr[-1]))
        for name, array in whole.items():
            files.write_array(folder / f"{name}.npy", array)
    return len(y), len(names)


def _write_header(file: Any, like: NDArray, n: int) -> None:
    """Write the start of a .npy of n rows, for which NumPy leaves the same room whatever n is."""
    file.seek(0)
    header = {"descr": like.dtype.str, "fortran_order": False, "shape": (n, *like.shape[1:])}
    np.lib.format.write_array_header_1_0(file, header)


@contextlib.contextmanager
def _new(folder: Path) -> Iterator[None]:
    """A new folder, or one that was empty, locked; it is so again if what is inside fails. What a
    killed process left in it, beside BEGUN, is removed."""
    with files.named(folder, "made"):
        if not (folder / BEGUN).exists():
            _check_empty(folder)
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder):
        if (folder / BEGUN).exists():
            _clear(folder)
        _check_empty(folder)  # another process may just have filled it
        try:
            files.write(folder / BEGUN, b"")
            yield
            (folder / BEGUN).unlink()
        except BaseException:
            with contextlib.suppress(OSError):
                _clear(folder)
                for path in made:
                    path.rmdir()
            raise


def _check_empty(folder: Path) -> None:
    if folder.is_file() or any(folder.glob("[!.]*")):
        raise ConfigError(f"{one_line(folder)}: is not an empty folder: choose another")


def _clear(folder: Path) -> None:
    """Remove what `write` has written, BEGUN last."""
    for file in (*folder.glob("[!.]*.npy"), folder / BEGUN):
        file.unlink(missing_ok=True)
