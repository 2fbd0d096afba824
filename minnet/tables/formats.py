"""Which format a file has; then it is read."""

import gzip
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from minnet.errors import DataError, MinnetError, one_line
from minnet.tables import arrays, svmlight, text
from minnet.tables.stream import check_start, opened
from minnet.tables.table import Table


def read(
    path: str | Path,
    *,
    target: str | int | None = -1,
    header: bool | None = None,
    categorical: Collection[str] = (),
    labels: bool = True,
    features: int | None = None,
    base: int | None = None,
    progress: Callable[[int], object] | None = None,
    sink: Callable[[Any], None] | None = None,
) -> Table:
    """The file (or folder) at `path`.

    A text file: `target` is the column of labels, by name or by place (None: there is none); `header` says whether
    line 1 holds names (None: see for yourself); `categorical` names columns that are text even if they look like
    numbers. For prediction, labels=False: y is None, the target may be missing, and the columns are all features
    where there are just `features` of them. svmlight: `features` is D, `base` the lowest index (None: 0 where there
    is a 0, else 1). `progress` is called with each number of bytes read, of path.stat().st_size in all. With a
    `sink`, the rows of a text or svmlight file go there, a block at a time, and the table's X is left without any.
    Raises ConfigError where the target is not a column of the file, DataError for everything else.
    """
    path, shown = Path(path), one_line(path)
    try:
        if path.is_dir():
            return arrays.read(path, shown, labels)
        if path.exists() and not path.is_file():
            raise DataError(f"{shown}: is no file: save the data in one, and name that")
        if path.suffix == ".npz" and path.exists():
            return arrays.read(path, shown, labels)
        with opened(path, None) as file:
            start = file.read(1 << 16)
        suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
        if suffix in svmlight.SUFFIXES or (suffix not in (".csv", ".tsv") and svmlight.START.match(start)):
            return svmlight.read(path, shown, labels, features, base, progress, sink)
        check_start(start, shown)
        with opened(path, progress) as file:
            size = 0 if isinstance(file, gzip.GzipFile) else path.stat().st_size
            return text.read(file, shown, target, header, categorical, labels, features, size, sink)
    except MinnetError:
        raise
    except MemoryError:
        raise DataError(f"{shown}: does not fit into memory") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{shown}: is damaged or cut short, gzip says: {one_line(error)}") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        raise DataError(f"{shown}: cannot be read: {one_line(getattr(error, 'strerror', '') or error)}") from None
