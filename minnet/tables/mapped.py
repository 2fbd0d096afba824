"""Rows that stay on the disk: memory-mapped, read when they are asked for, and let go again."""

import mmap
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.errors import DataError

MAX_FEATURES = 10**7  # of sparse rows; more are a mistake, as weights for so many would not fit
PIECE = 16  # rows read before their pages are let go: with each row, Linux may map 2 MB of those around it


class Rows:
    """The rows `rows` (n,) of X (N, D), a memory map or a csr of maps, as an array or a csr when cut by a slice or by
    places."""

    def __init__(self, X: Any, rows: NDArray) -> None:
        self.X, self.rows = X, rows
        self.shape: tuple[int, int] = (len(rows), X.shape[1])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: Any) -> Any:
        rows = self.rows[which]
        order = np.argsort(rows, kind="stable")  # a disk is read from its start to its end
        pieces = []
        for start in range(0, len(rows), PIECE) or [0]:
            pieces.append(_checked(self.X[rows[order[start : start + PIECE]]]))
            release(self.X)
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return _stack(pieces)[back]


class Stacked:
    """The rows of several dense X (N, D), one below the other, without a copy of them."""

    def __init__(self, parts: list[Any], paths: list[str]) -> None:
        self.parts, self.paths = parts, paths
        self.ends = np.cumsum([len(part) for part in parts])
        self.shape = (int(self.ends[-1]), parts[0].shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: Any) -> NDArray:
        rows = np.arange(self.shape[0])[which] if isinstance(which, slice) else np.asarray(which)
        found = np.empty((len(rows), self.shape[1]))
        for part, end in zip(self.parts, self.ends.tolist(), strict=True):
            mine = (rows >= end - len(part)) & (rows < end)
            found[mine] = part[rows[mine] - (end - len(part))]
        return found

    def place(self, row: int) -> tuple[str, int]:
        """The path that a row is from, and its number there."""
        i = int(np.searchsorted(self.ends, row, side="right"))
        return self.paths[i], row - int(self.ends[i]) + len(self.parts[i])


def _stack(pieces: list[Any]) -> Any:
    if not hasattr(pieces[0], "tocsr"):
        return np.concatenate(pieces)
    from scipy import sparse

    return sparse.vstack(pieces, format="csr")


def is_mapped(X: Any) -> bool:
    """Whether the numbers of an array or a csr stay on the disk."""
    return bool(_maps(X))


def _checked(X: Any) -> Any:
    """The same rows. Raises DataError where a sparse one has a column that is not there."""
    if hasattr(X, "tocsr") and X.nnz and not 0 <= X.indices.min() <= X.indices.max() < X.shape[1]:
        raise DataError(f"X.npz is damaged: it has numbers beyond its {X.shape[1]} columns")
    return X


def block(X: Any, rows: slice, path: str, names: list[str]) -> Any:
    """These rows of an X on the disk, whose pages are let go. Raises DataError for a number that is missing or not
    finite."""
    found = _checked(X[rows])
    release(X)
    finite = np.isfinite(found.data if hasattr(X, "tocsr") else found)
    if not finite.all():
        i = int(np.argmin(finite))
        row, column = divmod(i, X.shape[1])
        if hasattr(X, "tocsr"):
            row, column = int(np.searchsorted(found.indptr, i, side="right")) - 1, int(found.indices[i])
        what = "is missing" if np.isnan(found[row, column]) else f"holds {found[row, column]}"
        hint = "as X is too large for memory, put every number in first"
        row += rows.start
        path, row = X.place(row) if isinstance(X, Stacked) else (path, row)
        raise DataError(f"{path}: row {row}, column {names[column]!r} {what}: {hint}")
    return found


def blocks(X: Any, path: str, names: list[str], numbers: int = 1 << 19) -> Iterator[tuple[slice, Any]]:
    """X in blocks of about so many numbers, from its first row to its last, and which rows each has. Raises DataError
    as `block` does."""
    N, D = X.shape
    step = max(1, numbers // max(1, X.nnz // N if hasattr(X, "tocsr") else D))
    for start in range(0, N, step):
        rows = slice(start, min(start + step, N))
        yield rows, block(X, rows, path, names)


def release(X: Any) -> None:
    """Let the pages go that were read of X; they come back from the disk when they are asked for again."""
    for mapped in _maps(X):
        if hasattr(mapped, "madvise"):
            mapped.madvise(mmap.MADV_DONTNEED)


def _maps(X: Any) -> list[mmap.mmap]:
    """The maps that an array, or the arrays of a csr or of a stack, are views of."""
    if isinstance(X, Stacked):
        return [mapped for part in X.parts for mapped in _maps(part)]
    found = []
    for array in (X.data, X.indices, X.indptr) if hasattr(X, "tocsr") else (X,):
        while array is not None and not isinstance(array, mmap.mmap):
            array = getattr(array, "base", None)
        found += [array] if array is not None else []
    return found


def read_csr(path: Path, shown: str, memory: int) -> Any:
    """The csr of a .npz by scipy.sparse.save_npz; if the file is larger than `memory` and not compressed, its arrays
    stay on the disk. Raises DataError for another kind of matrix, ValueError for one that is damaged."""
    from scipy import sparse

    with zipfile.ZipFile(path) as archive:
        names = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        kind = _read(archive, "format").item() if "format" in names else b""
        if kind != b"csr":
            hint = "write it by scipy.sparse.save_npz(..., X.tocsr(), compressed=False)"
            raise DataError(f"{shown}: X.npz is no csr: {hint}")
        members = [names[name] for name in ("data", "indices", "indptr")]
        small = path.stat().st_size <= memory or any(info.compress_type != zipfile.ZIP_STORED for info in members)
        data, indices, indptr = (
            _read(archive, info.filename.removesuffix(".npy")) if small else _member(path, archive, info)
            for info in members
        )
        N, D = _read(archive, "shape").tolist()
    if D > MAX_FEATURES:
        raise DataError(f"{shown}: X.npz has {D} columns: at most {MAX_FEATURES} are taken")
    follow = len(indptr) == N + 1 and indptr[0] == 0 and (np.diff(indptr) >= 0).all()
    if not follow or not indptr[-1] == len(data) == len(indices):
        raise ValueError("its rows do not follow each other")
    X = sparse.csr_matrix((N, D), dtype=data.dtype)
    X.data, X.indices, X.indptr = data, indices, indptr  # as they are: to be given them, it would copy some
    if small:
        X.check_format(full_check=True)
    return X


def _read(archive: zipfile.ZipFile, name: str) -> NDArray:
    with archive.open(f"{name}.npy") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray:
    """An array that lies in an archive as it is, as a memory map."""
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        file.seek(int.from_bytes(file.read(2), "little") + int.from_bytes(file.read(2), "little"), 1)
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = read_header[version](file)
        if dtype.hasobject:
            raise ValueError("it holds Python objects, which are never read")
        return np.memmap(path, dtype, "r", file.tell(), shape) if np.prod(shape) else np.empty(shape, dtype)
