"""What the name of a source means: a data set of scikit-learn, a generator, a file, a folder."""

import bz2
import contextlib
import gzip
import importlib.util
import inspect
import io
import lzma
import re
import reprlib
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minnet.config import BUNDLED, GENERATORS, DataConfig
from minnet.data import arrays, delimited, frames, svmlight
from minnet.data.delimited import Progress
from minnet.data.table import FINITE, Reading, Table, as_label, labels, not_finite
from minnet.errors import ConfigError, DataError, MinnetError, one_line

LFW_MIN_FACES = 70  # people with fewer pictures are left out, as in scikit-learn's examples
SVMLIGHT, TEXT = (".svm", ".svmlight", ".libsvm"), (".csv", ".tsv")
# how files begin that are often taken for tables
FOREIGN = {
    rb"\x89PNG|\xff\xd8\xff|GIF8": "a picture",
    rb"%PDF": "a PDF",
    rb"(?i)\s*<(!doctype|html|\?xml|svg)": "HTML or XML",
    rb"\xd0\xcf\x11\xe0": "an old or locked Excel workbook: save it as .xlsx, without a password",
    rb"\x89HDF": "HDF5",
    rb"\x80\x04\x95": "a pickle",
    rb"\(\xb5/\xfd": "zstd",
    rb"\x93NUMPY": "a single .npy file: save X and y in one .npz",
}
PACKED: dict[bytes, tuple[str, Any]] = {
    b"\x1f\x8b": (".gz", gzip.open),
    b"BZh": (".bz2", bz2.open),
    b"\xfd7zXZ": (".xz", lzma.open),
}


Read = Callable[[Reading], Iterator[Table]]


def read(path: str | Path, reading: Reading, progress: Progress = None) -> Table:
    """The file or folder at `path`, checked but for rows on the disk; see `blocks`. A column of
    numbers in which text is found far below is text."""
    with _opened(path, progress) as tables:
        table = None
        while table is None:
            try:
                table = arrays.stack(tables(reading))
            except delimited.Again as again:
                reading = replace(reading, text=(*reading.text, *again.columns))
    if not table.order:
        table.check(np.isinf, FINITE)
    if table.y is not None:
        table.y = labels(table)
    return table


def blocks(path: str | Path, reading: Reading, progress: Progress = None) -> Iterator[Table]:
    """The rows of a file or folder, a block at a time, with labels and numbers not checked yet.
    `progress` is told how many more of the file's bytes were read, fewer where it begins again.
    Raises ConfigError where the target is not a column, and DataError for everything else."""
    with _opened(path, progress) as tables:
        yield from tables(reading)


@contextlib.contextmanager
def _opened(path: str | Path, progress: Progress) -> Iterator[Read]:
    """What reads the tables of the source, from its start each time; errors name it."""
    path, shown = Path(path), "stdin" if str(path) == "-" else one_line(path)
    try:
        if path.is_dir() or (path.suffix == ".npz" and path.exists()):
            yield lambda reading: iter([arrays.read(path, reading.labels)])
            return
        if path.exists() and not path.is_file():
            raise DataError("is not a file: save the data in one")
        with io.BytesIO(sys.stdin.buffer.read()) if shown == "stdin" else path.open("rb", 0) as raw:
            inner, file = _unpacked(path, raw)
            told = 0

            def tables(reading: Reading) -> Iterator[Table]:
                nonlocal told
                file.seek(0)
                for table in _reader(inner, file.peek(1))(file, reading):
                    if progress:
                        progress(raw.tell() - told)
                        told = raw.tell()
                    yield replace(table, path=shown)

            yield tables
    except MinnetError as error:
        kind = ConfigError if isinstance(error, ConfigError) else DataError
        lines = str(error).splitlines()
        raise kind("\n".join(f"{shown}: {line}" for line in lines)) from None
    except MemoryError:
        raise DataError(f"{shown}: does not fit into memory") from None
    except Exception as error:  # damaged archives can raise anything
        reason = getattr(error, "strerror", None) or one_line(error) or type(error).__name__
        raise DataError(f"{shown}: cannot be read: {reason}") from None


def _unpacked(path: Path, file: Any) -> tuple[Path, Any]:
    """The name of a file in all of its archives, and the file."""
    file = io.BufferedReader(file, 1 << 17)
    for magic, (suffix, unpack) in PACKED.items():
        if file.peek(8).startswith(magic):
            return _unpacked(path.with_suffix("") if path.suffix == suffix else path, unpack(file))
    if file.peek(8).startswith(b"PK") and path.suffix not in frames.WORKBOOKS:
        archive = zipfile.ZipFile(file)
        inside = [name for name in archive.namelist() if not re.search("/$|^__MACOSX/", name)]
        if "xl/workbook.xml" in inside:
            return path, file
        if len(inside) != 1:
            names = reprlib.repr(inside)[1:-1] or "none"
            raise DataError(f"is a zip of {len(inside)} files, not of one: {names}")
        return _unpacked(Path(inside[0]), archive.open(inside[0]))
    return path, file


def _reader(path: Path, start: bytes) -> frames.Reader:
    if path.suffix in SVMLIGHT or (path.suffix not in TEXT and svmlight.START.match(start)):
        return svmlight.blocks
    for pattern, what in FOREIGN.items():
        if re.match(pattern, start):
            raise DataError(f"is no table but {what}")
    return frames.reader(path.suffix, start) or delimited.blocks


def load_set(config: DataConfig) -> tuple[Table, Any]:
    """A set that comes with scikit-learn, or that it generates or downloads, and the names of its
    classes or None. Raises DataError and ConfigError."""
    from sklearn import datasets

    if config.source in BUNDLED:
        bunch = getattr(datasets, f"load_{config.source}")()
    else:
        bunch = _generate(config) if config.source in GENERATORS else _fetch(config)
    try:
        table = _table(config.source, bunch)
    except ValueError as error:
        raise DataError(f"{config.source}: has text in a column of numbers: {error}") from None
    table.y = labels(table)
    table.check(not_finite, FINITE)
    return table, bunch.get("target_names")


def _table(source: str, bunch: Any) -> Table:
    """The table of a set. A missing category is the category "nan"."""
    X, names, y = bunch["data"], bunch.get("feature_names"), np.asarray(bunch["target"])
    if names is None or len(names) != X.shape[1]:
        names = [f"x{j}" for j in range(X.shape[1])]
    if y.ndim != 1:
        raise DataError(f"{source}: has a target of shape {y.shape} instead of one label a row")
    table = Table(source, list(map(str, names)), X, y=y)
    if hasattr(X, "tocsr"):
        return replace(table, X=X.tocsr())
    for name, cells in zip(table.names, np.asarray(X).T, strict=True):
        categories = (bunch.get("categories") or {}).get(name)
        if categories and X.dtype != object:  # without pandas, these are indices
            cells = [categories[int(k)] if k == k else None for k in cells.tolist()]
        if categories or isinstance(cells[0], str | bytes):
            table.text[name] = np.array([as_label(cell) or "nan" for cell in cells], object)
    numbers = [name not in table.text for name in table.names]
    names = [name for name in table.names if name not in table.text]
    return replace(table, names=names, X=np.asarray(X[:, numbers] if table.text else X, np.float64))


def _generate(config: DataConfig) -> dict[str, Any]:
    from sklearn import datasets

    make = getattr(datasets, f"make_{config.source}")
    D, K, noise = config.features, config.classes, config.noise
    options: dict[str, Any] = {"n_samples": config.samples, "random_state": config.generator_seed}
    options |= {"n_features": D, "n_informative": max(2, D // 2), "n_redundant": 0}
    options |= {"n_classes": K, "centers": K, "n_clusters_per_class": 1}
    options |= {"noise": noise, "cluster_std": noise, "flip_y": noise, "factor": 0.5}
    known = inspect.signature(make).parameters.keys() & options
    try:
        X, y = make(**{name: options[name] for name in known})
    except (ValueError, MemoryError) as error:
        raise ConfigError(f"data: cannot generate {config.source}: {one_line(error)}") from None
    return {"data": X, "target": y}


def _fetch(config: DataConfig) -> Any:
    from sklearn.datasets._openml import OpenMLError

    source = config.source
    # fetchers print, log and warn; what matters is raised
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            return _fetched(source, config.target)
        except OpenMLError as error:
            raise ConfigError(f"data.source: there is no {source}: {one_line(error)}") from None
        except ImportError as error:
            raise DataError(f"{source}: needs another package: {one_line(error)}") from None
        except OSError as error:
            others = f"without a network there are {', '.join((*BUNDLED, *GENERATORS))}"
            what = f"cannot be downloaded ({one_line(error)}); {others}"
            raise DataError(f"{source}: {what}") from None
        except Exception as error:  # a damaged cache can raise anything
            if isinstance(error, KeyError) and config.target:
                raise ConfigError(f"{source}: has no target column {config.target!r}") from None
            reason = f"{type(error).__name__}: {one_line(error)}"
            raise DataError(f"{source}: cannot be loaded: {reason}") from None


def _fetched(source: str, target: str | int) -> Any:
    from sklearn import datasets

    options: dict[str, Any] = {"n_retries": 1, "delay": 1.0}
    if not source.startswith("openml:"):
        faces = {"min_faces_per_person": LFW_MIN_FACES} if source == "lfw_people" else {}
        return getattr(datasets, f"fetch_{source}")(**faces, **options)
    _, name, version, *_ = f"{source}:active".split(":")
    options["version"] = version if version == "active" else int(version)
    options["parser"] = "auto" if importlib.util.find_spec("pandas") else "liac-arff"
    target = target or "default-target"
    return datasets.fetch_openml(name, target_column=target, as_frame=False, **options)
