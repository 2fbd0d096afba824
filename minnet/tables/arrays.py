"""X.npy and y.npy, in a folder or an .npz; a folder may have its X as a csr in X.npz, and names in names.npy."""

import math
import reprlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.errors import DataError, MinnetError, one_line
from minnet.tables.mapped import is_mapped, read_csr
from minnet.tables.table import Table, check_not_infinite, whole

MAPPED_BYTES = 1 << 26  # a larger X.npy or X.npz of a folder stays on the disk


def read(path: Path, shown: str, labels: bool) -> Table:
    """X.npy and y.npy of a folder or an .npz. A large X in a folder stays on the disk, and is not looked through."""
    y = None
    try:
        root: Any = path if path.is_dir() else zipfile.Path(path)
        if path.is_dir() and (path / "X.npz").is_file():
            X = read_csr(path / "X.npz", shown, MAPPED_BYTES)
        else:
            X = _array(_file(root, "X", shown), f"{shown}: X")
        if labels:
            y = _array(_file(root, "y", shown), f"{shown}: y")
        named = path.is_dir() and (path / "names.npy").is_file()
        names = _array(path / "names.npy", f"{shown}: names") if named else None
    except (MinnetError, OSError, MemoryError):
        raise
    except Exception as error:  # a damaged archive can raise anything
        raise DataError(f"{shown}: is damaged: {one_line(error) or type(error).__name__}") from None
    if X.ndim != 2 or X.dtype.kind not in "buif" or not X.shape[0] * X.shape[1]:
        raise DataError(f"{shown}: X has shape {X.shape} and dtype {X.dtype}: it must be a table of numbers (N, D)")
    D = X.shape[1]
    if names is not None and not (names.shape == (D,) and names.dtype.kind == "U" and len(set(names.tolist())) == D):
        raise DataError(f"{shown}: names.npy must hold a name for each of X's {D} columns, each another")
    mapped = is_mapped(X)
    with np.errstate(over="ignore"):
        columns = [f"x{j}" for j in range(D)] if names is None else names.tolist()
        table = Table(shown, columns, X if mapped else X.astype(np.float64, copy=False), header=named)
    if not mapped:
        check_not_infinite(table)
    if y is not None and y.shape != X.shape[:1]:
        raise DataError(f"{shown}: y has shape {y.shape}: it must hold one label for each row of X, {X.shape[:1]}")
    table.y = None if y is None else whole(y, table)
    return table


def _file(root: Any, name: str, shown: str) -> Any:
    """The .npy of an array. Raises DataError where it is not there."""
    if not (root / f"{name}.npy").is_file():
        has = reprlib.repr(sorted(file.name.removesuffix(".npy") for file in root.iterdir()))
        raise DataError(f"{shown}: has no array {name} among {has}: save the features as X, the labels as y")
    return root / f"{name}.npy"


def _array(file: Any, what: str) -> NDArray:
    """An array, whose header is believed only where it fits the size of its file and the memory that is free."""
    size = file.stat().st_size if isinstance(file, Path) else file.root.getinfo(file.at).file_size
    read_header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    with file.open("rb") as stream:
        shape, _, dtype = read_header[np.lib.format.read_magic(stream)[0]](stream)
        if dtype.hasobject:
            raise DataError(f"{what} holds Python objects, which are never read: save it as numbers or as text")
        needed = math.prod(shape) * dtype.itemsize
        if stream.tell() + needed != size:
            raise DataError(f"{what} is damaged: of shape {shape}, it should be {needed} bytes")
        if len(shape) == 2 and needed > MAPPED_BYTES and isinstance(file, Path):
            return np.load(file, mmap_mode="r", allow_pickle=False)
        needed += math.prod(shape) * 8 * (dtype != np.float64)
        if needed > _free_memory():
            raise DataError(f"{what} needs {needed / 1e9:.1f} GB of memory, and {_free_memory() / 1e9:.1f} are free")
    with file.open("rb") as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _free_memory() -> float:
    """Bytes that can be had; infinity where the system does not tell."""
    try:
        return int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return math.inf
