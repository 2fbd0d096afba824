"""X.npy and y.npy, in a folder or an .npz."""

import math
import reprlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.errors import DataError, MinnetError, one_line
from minnet.tables.table import Table, check_not_infinite, whole

MAPPED_BYTES = 1 << 28  # a larger X.npy of float64 stays on the disk


def read(path: Path, shown: str, labels: bool) -> Table:
    """X.npy and y.npy of a folder or an .npz. A large X of float64 in a folder stays on the disk."""
    arrays = []
    try:
        root: Any = path if path.is_dir() else zipfile.Path(path)
        for name in ("X", "y") if labels else ("X",):
            if not (root / f"{name}.npy").is_file():
                has = reprlib.repr(sorted(file.name.removesuffix(".npy") for file in root.iterdir()))
                raise DataError(f"{shown}: has no array {name} among {has}: save the features as X, the labels as y")
            arrays.append(_array(root / f"{name}.npy", f"{shown}: {name}"))
    except (MinnetError, OSError, MemoryError):
        raise
    except Exception as error:  # a damaged archive can raise anything
        raise DataError(f"{shown}: is damaged: {one_line(error) or type(error).__name__}") from None
    X = arrays[0]
    if X.ndim != 2 or X.dtype.kind not in "buif" or not X.size:
        raise DataError(f"{shown}: X has shape {X.shape} and dtype {X.dtype}: it must be a table of numbers (N, D)")
    with np.errstate(over="ignore"):
        table = Table(shown, [f"x{j}" for j in range(X.shape[1])], X.astype(np.float64, copy=False))
    check_not_infinite(table)
    if labels and arrays[1].shape != X.shape[:1]:
        raise DataError(
            f"{shown}: y has shape {arrays[1].shape}: it must hold one label for each row of X, {X.shape[:1]}"
        )
    table.y = whole(arrays[1], table) if labels else None
    return table


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
        if dtype == np.float64 and needed > MAPPED_BYTES and isinstance(file, Path):
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
