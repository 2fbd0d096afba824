"""From a source to the rows that the net takes: `sources` names a file, `delimited`, `svmlight` or
`arrays` reads it as a `table`, and `preprocess` makes inputs of its columns."""

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minnet.config import FILE, FOLDS, SIZE, DataConfig, kind_of
from minnet.data import arrays, kinds, preprocess, sources
from minnet.data.delimited import Progress
from minnet.data.preprocess import Preprocessing
from minnet.data.table import Table, labels, not_finite, target_place
from minnet.distributed import ALONE, Team
from minnet.errors import ConfigError, DataError, one_line

PARTS = ("train", "validation", "test")
SOURCES = ("", "validation_", "test_")
TABLE_KEYS = ("target", "header", "drop", "categorical", "numeric", "missing_values")
GENERATOR_KEYS = ("samples", "features", "classes", "noise", "generator_seed")
SHARD_KEYS = ("target", "header", "drop", "missing_values", *GENERATOR_KEYS)


@dataclass
class Rows:
    """Rows of a table that become inputs X (n, D') when they are taken: X[rows] is an array or csr
    of this dtype. It raises DataError for a number that the dtype cannot hold."""

    table: Table
    rows: NDArray
    fitted: Preprocessing
    dtype: DTypeLike

    @property
    def shape(self) -> tuple[int, int]:
        """(n, D')."""
        return len(self.rows), len(self.fitted.inputs)

    def __getitem__(self, which: Any) -> Any:
        with np.errstate(over="ignore"):
            X = self.fitted.transform(self.table.take(self.rows[which]))
            X = X.astype(self.dtype, copy=False)
        if place := Table("", self.fitted.inputs, X).first(not_finite):
            what = f"holds numbers too large for {np.dtype(self.dtype)}: scale it"
            raise DataError(f"column {place[1]!r} {what}")
        return X


@dataclass
class Part:
    """Rows as the net takes them: X (n, D'), an array, csr or, on the disk, Rows; labels y (n,) as
    indices of classes; weights w (n,), None if all are equal; and of members that each leave out a
    fold of the rows to validate on, which one that is, (n,)."""

    X: Any
    y: NDArray
    w: NDArray | None = None
    fold: NDArray | None = None

    @property
    def rows(self) -> int:
        """How many rows a net learns from."""
        return len(self.y) - (0 if self.fold is None else int(np.bincount(self.fold).max()))

    def digest(self) -> str:
        """SHA-256 of labels and inputs, or, on the disk, of which rows there are."""
        held = [self.X.rows] if isinstance(self.X, Rows) else arrays.held(self.X)
        return _digest([self.y, *held])


@dataclass
class Data:
    """The rows of a source: y (N,) are indices of `classes`, the labels as they were given; config
    is that of the source with what was decided; parts are row numbers, without empty ones; notes
    are for the user; reading: keywords of Reading."""

    name: str
    table: Table
    y: NDArray
    classes: NDArray
    config: DataConfig = field(default_factory=DataConfig)
    parts: dict[str, NDArray] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    reading: dict[str, Any] = field(default_factory=dict)


def digest_of_disk(table: Table) -> str:
    """SHA-256 of the rows of a table that stay on the disk; it reads all of them."""
    blocks = table.blocks() if isinstance(table.X, arrays.OnDisk) else ()
    return _digest(array for block in blocks for array in arrays.held(block.X))


def _digest(found: Iterable[NDArray]) -> str:
    digest = hashlib.sha256()
    for array in found:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def load(config: DataConfig, progress: Progress = None) -> Data:
    """The source that the config names, split. `progress` is told of each number of bytes read.
    Raises DataError where it cannot be loaded or used, ConfigError where it does not exist."""
    if kind_of(config.source) == FILE:
        data = _own_files(config, progress)
    else:
        table, names = sources.load_set(config)
        data = Data(config.source, table, *_classes(table, names), config)
    dense = isinstance(data.table.X, np.ndarray)
    if data.config.validation_size == FOLDS and (config.validation_source or not dense):
        data.config = replace(data.config, validation_size=SIZE)
    split(data, data.config)
    return data


def _own_files(config: DataConfig, progress: Progress) -> Data:
    reading, tables = kinds.reading(config), dict[str, Table]()
    for part, key in zip(PARTS, SOURCES, strict=True):
        if not (path := getattr(config, f"{key}source")):
            continue
        table = sources.read(path, reading, progress)
        if not tables:
            if table.order:
                table, config = kinds.decide(table, config)
            else:
                _check_keys(config, table)
            train = table
            text, D = (*reading.text, *train.text), len(train.names)
            reading = replace(reading, text=text, features=D, **train.reading)
        elif table.sparse != train.sparse:
            hint = f"only one of it and {train.path} is sparse: give both in the same format"
            raise DataError(f"{table.path}: {hint}")
        else:
            table = kinds.alike(table, train.names, list(train.text), reading)
        tables[part] = _usable(table, config)
    stacked = list(tables.values())
    if stacked[1:] and any(isinstance(table.X, arrays.OnDisk) for table in stacked):
        table = arrays.below(stacked, arrays.OnDisk(stacked))
    else:
        table = arrays.stack(stacked)
    y, classes = _classes(replace(table, y=labels(table)))
    ends = np.cumsum([len(table) for table in stacked])
    parts = dict(zip(tables, np.split(np.arange(len(y)), ends[:-1]), strict=True))
    for k in np.setdiff1d(y, y[parts.pop("train")]):
        hint = f"is not in {config.source}, only in the other files: it cannot be learned"
        raise DataError(f"class {classes[k]} {hint}")
    notes = [note for table in stacked for note in table.notes]
    given = {f"{key}source": getattr(config, f"{key}source") for key in SOURCES}
    whole: Any = {key: str(Path(path).absolute()) for key, path in given.items() if path.strip("-")}
    config, name = replace(config, **whole), Path(train.path).name
    return Data(name, table, y, classes, config, parts, notes, train.reading)


def _check_keys(config: DataConfig, table: Table) -> None:
    for name in TABLE_KEYS:
        if getattr(config, name) != getattr(DataConfig(), name):
            raise ConfigError(f"data.{name}: has no effect on {table.path}, only on a text file")


def _usable(table: Table, config: DataConfig) -> Table:
    """The rows to learn from, without those with missing cells if these are to be dropped; a note
    says what becomes of missing cells. Those of sparse rows and on the disk are refused later."""
    if config.missing == "error":
        table.check(np.isnan, "fill it in, or set data.missing to median, mean or drop")
    gaps = [cells == "" for cells in table.text.values()]
    if isinstance(table.X, np.ndarray):
        gaps += [*np.isnan(table.X).T]
    if count := sum(map(np.count_nonzero, gaps)):
        rows = np.any(gaps, axis=0)
        what = f"{count:,} cells in {rows.sum():,} of {len(rows):,} rows are missing"
        if config.missing == "drop":
            what, table = f"{what}: these rows are left out", table.take(~rows)
        else:
            fill = f"numbers become the training part's {config.missing}"
            what += f": {fill}, categories one of their own, and inputs say so"
        table = replace(table, notes=[*table.notes, f"{table.path}: {what}"])
    if not len(table):
        raise DataError(f"{table.path}: holds no rows with labels")
    return table


def _classes(table: Table, names: Any = None) -> tuple[NDArray, NDArray]:
    """y as indices of the sorted labels, and these, or the set's own names for them."""
    y: Any = table.y
    labels = y.tolist()
    classes = np.array(sorted({*labels}), str if y.dtype == object else y.dtype)
    if len(classes) < 2:
        raise DataError(f"{table.path}: has only one class, {classes[0]}")
    indices = {label: k for k, label in enumerate(classes.tolist())}
    if names is not None and len(names) == len(classes) and classes.dtype.kind in "iu":
        classes = np.asarray(names)
    return np.array([indices[label] for label in labels]), classes


def split(data: Data, config: DataConfig) -> None:
    """Fill data.parts, but for those that have a file of their own: the test part by scikit-learn's
    `train_test_split`, stratified, then the validation part of the rest in the same way. A class of
    one row is learned from; a part with fewer rows than classes is not stratified. Raises DataError
    where there are too few rows for the parts."""
    from sklearn.model_selection import train_test_split

    y, parts, counts = data.y, data.parts, np.bincount(data.y)
    rest = np.setdiff1d(np.arange(len(y)), np.concatenate([counts[:0], *parts.values()]))
    for part in ("test", "validation"):
        size = getattr(config, f"{part}_size")
        if part in parts or size in (0, FOLDS):
            continue
        # a class with one row left cannot be split: it stays in the training part
        alone = (np.bincount(y[rest], minlength=len(counts)) == 1)[y[rest]]
        rows = rest[~alone]
        if alone.any():
            names = ", ".join(map(str, data.classes[y[rest[alone]]][:8]))
            data.notes.append(f"too few rows for a {part} part: class {names}")
        K = len(np.unique(y[rows]))
        test = math.ceil(size * len(rows)) if size < 1 else size
        stratify = y[rows] if min(test, len(rows) - test) >= K else None
        if stratify is None:
            data.notes.append(f"{part} part: too small for {K} classes, so not in proportion")
        try:
            train, parts[part] = train_test_split(
                rows, test_size=size, stratify=stratify, random_state=config.split_seed
            )
        except ValueError as error:
            reason = f"does not split {len(rows)} rows: {one_line(error)}"
            raise DataError(f"data.{part}_size = {size} {reason}") from None
        rest = np.concatenate([train, rest[alone]])
    parts["train"] = rest
    data.parts = {part: parts[part] for part in PARTS if part in parts}


def fit(config: DataConfig, data: Data, team: Team = ALONE) -> Preprocessing:
    """What becomes of the columns, fitted on the training part. Raises DataError. Rows on the disk
    are read once, from first to last, by the first process of a team alone."""
    table, rows = data.table, data.parts["train"]
    if not isinstance(table.X, arrays.OnDisk):
        return preprocess.fit(config.scale, config.missing, [table.take(rows)], len(rows))
    D = len(table.names)
    clip = config.scale == "robust" and not table.sparse
    fitted = Preprocessing(table.names, None, np.zeros(D), np.zeros(D), clip=clip)
    if team.rank == 0:
        fitted = preprocess.fit(config.scale, "error", _chosen(table, rows), len(rows))
    return replace(fitted, center=team.add(fitted.center), scale=team.add(fitted.scale))


def _chosen(table: Table, rows: NDArray) -> Iterator[Table]:
    """These rows in blocks, in the order of the file. All others are read too, and so checked."""
    chosen, end = np.zeros(len(table), bool), 0
    chosen[rows] = True
    for block in table.blocks():
        start, end = end, end + len(block)
        yield block.take(chosen[start:end])


def part(data: Data, rows: NDArray, fitted: Preprocessing, dtype: DTypeLike) -> Part:
    """These rows as inputs; what is on the disk stays there. Raises DataError as Rows does."""
    X: Any = Rows(data.table, rows, fitted, dtype)
    if isinstance(data.table.X, np.ndarray):
        X = arrays.stack(Table("", [], X).blocks()).X
    elif not isinstance(data.table.X, arrays.OnDisk):
        X = X[:]
    return Part(X, data.y[rows])


def shard(
    config: DataConfig, folder: Path, dtype: DTypeLike, progress: Progress = None
) -> tuple[int, int]:
    """Write a source, block by block, as a folder that training reads from the disk. Returns N and
    D. Raises ConfigError for a folder that is not empty, and both errors of `load`."""
    return arrays.write(folder, _shard_blocks(config, progress), dtype)


def _shard_blocks(config: DataConfig, progress: Progress) -> Iterator[Table]:
    if kind_of(config.source) == FILE:
        reading = kinds.reading(config)
        for table in sources.blocks(config.source, reading, progress):
            if order := table.order:
                left_out = {*kinds.named(table, "drop", config.drop)}
                left_out.add(order[target_place(reading, order, table.named) or 0])
                names = [name for name in order if name not in left_out]
                how = replace(reading, columns=tuple(order), labels=False)
                table = kinds.alike(table, names, [], how)
                table.reading = {**table.reading, "columns": order}
            else:
                _check_keys(config, table)
            yield from table.blocks()
    else:
        table, names = sources.load_set(config)
        fitted, (y, classes) = preprocess.fit("none", "error", [table]), _classes(table, names)
        inputs = Table(table.path, fitted.inputs, fitted.transform(table), y=classes[y])
        yield from inputs.blocks()
