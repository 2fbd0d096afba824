"""Any source as a folder that training reads from the disk: X.npy, or X.npz for sparse rows, y.npy and names.npy."""

import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minnet import data, storage
from minnet.config import DataConfig
from minnet.errors import ConfigError, DataError, one_line
from minnet.tables import formats

FILES = ("X.npy", "X.npz", "y.npy", "names.npy")
KEYS = ("target", "header", "samples", "features", "classes", "noise", "generator_seed")  # of data, that it takes
ROWS = 2**14  # written at a time, where they are in memory already


class Column:
    """A .npy in the making, to which numbers or rows are added; its header has room for any number of them."""

    def __init__(self, file: IO[bytes], dtype: DTypeLike, width: tuple[int, ...] = ()) -> None:
        self.file, self.dtype, self.width, self.count = file, np.dtype(dtype), width, 0
        self._write_header()
        self.end_of_header = file.tell()

    def add(self, rows: NDArray) -> None:
        """More of them, the same in width."""
        self.file.write(np.ascontiguousarray(rows, self.dtype).data)
        self.count += len(rows)

    def close(self) -> None:
        """No more: the header says how many there are."""
        self.file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        # NumPy leaves room in it for the digits of the first axis, so that its length stays
        shape = (self.count, *self.width)
        described = {"descr": self.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self.file, described)


class Sparse:
    """A csr in the making, as scipy.sparse.save_npz writes it, but never compressed, so that it can be mapped."""

    def __init__(self, path: Path, D: int, dtype: DTypeLike, stack: ExitStack) -> None:
        self.path, self.D = path, D
        files = [stack.enter_context(tempfile.TemporaryFile(dir=path.parent)) for _ in range(3)]  # noqa: SIM115
        kinds = (dtype, np.int32, np.int64)
        self.values, self.indices, self.indptr = (Column(file, kind) for file, kind in zip(files, kinds, strict=True))
        self.indptr.add(np.zeros(1))

    def add(self, X: Any) -> None:
        """More rows, (n, D) csr."""
        self.indptr.add(X.indptr[1:].astype(np.int64) + self.values.count)
        self.values.add(X.data)
        self.indices.add(X.indices)

    def close(self) -> None:
        """No more: write the file."""
        index = np.int32 if self.values.count < 2**31 else np.int64  # scipy wants both of one kind
        columns = {
            "data": (self.values, self.values.dtype),
            "indices": (self.indices, index),
            "indptr": (self.indptr, index),
        }
        described = {"shape": np.array([self.indptr.count - 1, self.D]), "format": np.array(b"csr")}
        with storage.writing(self.path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, (column, kind) in columns.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    _copy(column, member, kind)
            for name, array in described.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, array)


def shard(
    config: DataConfig, folder: Path, dtype: DTypeLike, progress: Callable[[int], object] | None = None
) -> tuple[int, int]:
    """Write the folder, a block of rows at a time; gives N and D. `progress` as in data.load.

    Raises ConfigError where the folder is not empty, DataError and ConfigError for a source that is no table of
    numbers with labels, or of numbers that are missing or beyond `dtype`; then nothing is left of it.
    """
    with storage.named(folder, "made"):
        if folder.is_file():
            raise ConfigError(f"{one_line(folder)}: is a file; name a folder")
    with _new(folder), storage.named(folder, "written"), ExitStack() as stack:
        made: list[Column | Sparse] = []
        rows = 0

        def sink(X: Any) -> None:
            nonlocal rows
            _check_numbers(X, dtype, config.source, rows)
            rows += X.shape[0]
            with storage.named(folder, "written"):
                if not made and hasattr(X, "tocsr"):
                    made.append(Sparse(folder / "X.npz", X.shape[1], dtype, stack))
                elif not made:
                    made.append(Column(stack.enter_context(storage.writing(folder / "X.npy")), dtype, X.shape[1:]))
                made[0].add(X)

        y, names = _rows(config, sink, progress)
        made[0].close()
        for name, array in (("names", np.array(names)), ("y", y)):
            with storage.writing(folder / f"{name}.npy") as file:
                np.save(file, array)
    return len(y), len(names)


@contextmanager
def _new(folder: Path) -> Iterator[None]:
    """A folder that is made for what comes inside, or was empty; where nothing comes of it, it is so again."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    storage.make_folder(folder)
    if any(path.name[0] != "." for path in folder.iterdir()):
        raise ConfigError(f"{one_line(folder)}: exists and is not empty: choose another folder")
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for name in FILES:
                (folder / name).unlink(missing_ok=True)
            for path in new:
                path.rmdir()
        raise


def _check_numbers(X: Any, dtype: DTypeLike, source: str, before: int) -> None:
    """Raises DataError for a number that is missing, or that the dtype cannot hold; `before` rows were before these."""
    values = X.data if hasattr(X, "tocsr") else X
    with np.errstate(over="ignore"):
        finite = np.isfinite(np.asarray(values).astype(dtype))
    if finite.all():
        return
    i = int(np.argmin(finite))
    row = int(np.searchsorted(X.indptr, i, side="right")) - 1 if hasattr(X, "tocsr") else i // X.shape[1]
    value = values.flat[i]
    what = "a number is missing" if np.isnan(value) else f"{value} is too large for {np.dtype(dtype)}"
    raise DataError(f"{one_line(source)}: in row {before + row}, counted from 0, {what}: put it right first")


def _rows(
    config: DataConfig, sink: Callable[[Any], None], progress: Callable[[int], object] | None
) -> tuple[NDArray, list[str]]:
    """The labels and the names of the columns of a source, whose rows go into `sink`."""
    if not data.is_file(config.source):
        dataset = data.load(config)
        _pass_on(dataset.X, sink)
        labels = dataset.classes[dataset.y]
        return labels.astype(str) if labels.dtype == object else labels, dataset.feature_names
    target = config.target if config.target != "" else -1
    header = config.header if isinstance(config.header, bool) else None
    table = formats.read(config.source, target=target, header=header, progress=progress, sink=sink)
    for name in ("target", "header"):
        if not data.is_text(table) and getattr(config, name) != getattr(DataConfig, name):
            raise ConfigError(f"data.{name}: has no effect on {table.path}, only on a text file")
    for name in table.text:
        raise table.text_error(name)
    if table.y is None or not len(table.y):
        raise DataError(f"{table.path}: holds no rows with labels")
    _pass_on(table.X, sink)
    return table.y, table.names


def _pass_on(X: Any, sink: Callable[[Any], None]) -> None:
    """Rows that are there at once, or none."""
    for start in range(0, X.shape[0], ROWS):
        sink(X[start : start + ROWS])


def _copy(column: Column, member: IO[bytes], dtype: DTypeLike) -> None:
    """The column as a whole .npy, of another dtype perhaps."""
    described = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (column.count,)}
    np.lib.format.write_array_header_1_0(member, described)
    column.file.seek(column.end_of_header)
    while chunk := column.file.read(2**20 * column.dtype.itemsize):
        member.write(np.frombuffer(chunk, column.dtype).astype(dtype, copy=False).data)
