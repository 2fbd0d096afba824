"""Where rows come from, a data set or a user's own file; how they are split and scaled."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet import datasets, features
from minnet.batches import ALONE, CHUNK_BYTES, Part
from minnet.config import BUNDLED, FETCHED, GENERATORS, DataConfig
from minnet.core.network import MLP, ROWS
from minnet.errors import ConfigError, DataError, one_line
from minnet.features import Features
from minnet.parallel import Alone
from minnet.tables import formats, mapped
from minnet.tables.mapped import Rows, is_mapped
from minnet.tables.table import Table, arrange, keep, unknown_column


@dataclass
class Dataset:
    """X (N, D), dense or scipy sparse; y (N,) whole numbers that index `classes`, the labels as they were given.

    text: columns of text (N,), by name, which will be categories. parts: the rows of parts that have a file of their
    own. table: what a user's own file was like, as far as reading another one like it needs to know.
    """

    name: str
    X: Any
    y: NDArray
    classes: NDArray
    feature_names: list[str]
    text: dict[str, NDArray] = field(default_factory=dict)
    parts: dict[str, NDArray] = field(default_factory=dict)
    table: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def load(config: DataConfig, progress: Callable[[int], object] | None = None) -> Dataset:
    """The data set that `config.source` names, or the file, checked. `progress` is told of each number of bytes read.

    Raises DataError where it cannot be had or cannot be learned from, ConfigError where it does not exist.
    """
    if is_file(config.source):
        return _own(config, progress)
    X, names, target, target_names = datasets.load(config)
    _check_finite(X, names)
    y, classes = _encode(target, target_names)
    return Dataset(config.source, X, y, classes, names)


def is_file(source: str) -> bool:
    """Whether a source is a path, and not the name of a data set."""
    return not (source in (*BUNDLED, *GENERATORS, *FETCHED) or source.startswith("openml:"))


def _own(config: DataConfig, progress: Callable[[int], object] | None) -> Dataset:
    """A user's own file, with those for validation and test below it. Raises DataError and ConfigError."""
    sources = {"train": config.source, "validation": config.validation_source, "test": config.test_source}
    header = config.header if isinstance(config.header, bool) else None
    target = config.target if config.target != "" else -1
    read: dict[str, Table] = {}
    for part, source in sources.items():
        if source:
            first = read.get("train")
            table = formats.read(
                source,
                target=first.target if first and first.target is not None else target,
                header=header,
                categorical=config.categorical,
                features=len(first.names) if first else None,
                base=first.base if first else None,
                progress=progress,
            )
            read[part] = _like(first, table) if first else table
    _check_text(read.values(), config.categorical)
    notes = _without_missing(read, config.missing)
    first = read["train"]
    of_text = is_text(first)
    for name in ("target", "header"):
        if not of_text and getattr(config, name) != getattr(DataConfig, name):
            raise ConfigError(f"data.{name}: has no effect on {first.path}, only on a text file")
    sizes = {part: len(table.y) for part, table in read.items()}  # type: ignore[arg-type]
    y, classes = _encode(np.concatenate([_labels(table) for table in read.values()]), None)
    known = np.unique(y[: sizes["train"]])
    if len(known) < len(classes):
        unknown = classes[np.setdiff1d(np.arange(len(classes)), known)[0]]
        raise DataError(f"class {unknown} is not in {config.source}, only in the other files: it cannot be learned")
    ends = np.cumsum(list(sizes.values()))
    parts = {part: np.arange(end - sizes[part], end) for part, end in zip(read, ends, strict=True) if part != "train"}
    one = len(read) == 1
    X = first.X if one else _stack(list(read.values()))
    text = {name: np.concatenate([table.text[name] for table in read.values()]) for name in first.text}
    described = {  # without text there is nothing to know of a header
        "target": target if first.target is None and of_text else first.target,
        "header": first.header if of_text else None,
        "base": first.base,
    }
    return Dataset(config.source, X, y, classes, first.names, text, parts, described, notes)


def is_text(table: Table) -> bool:
    """Whether the table is from a text file: only its rows have lines, and no base."""
    return table.numbers is not None and table.base is None


def _like(first: Table, table: Table) -> Table:
    """The table with the columns of the training file's. Raises DataError."""
    if hasattr(table.X, "tocsr") != hasattr(first.X, "tocsr"):
        raise DataError(f"{table.path}: only one of it and {first.path} is svmlight: give both in the same format")
    return arrange(table, first.names, list(first.text))


def _check_text(read: Iterable[Table], categorical: list[str]) -> None:
    """Raises for a column of text that is not to be categories, and for a category that is no column."""
    for table in read:
        for name in categorical:
            if name not in table.text:
                raise unknown_column("data.categorical", name, table.path, [*table.names, *table.text])
        for name in table.text:
            if name not in categorical:
                raise table.text_error(name)


def _without_missing(read: dict[str, Table], missing: str) -> list[str]:
    """Leaves out rows with missing cells where that is asked for, and says how many. Raises DataError for them if
    nothing is."""
    notes = []
    for part, table in read.items():
        place = table.first_missing()
        if place and missing == "error":
            raise DataError(
                f"{table.place(*place)} is missing: fill it in, or set data.missing to mean, median or drop"
            )
        if place and missing == "drop":
            gaps = np.isnan(table.X).any(axis=1)
            for cells in table.text.values():
                gaps |= cells == ""
            read[part] = keep(table, ~gaps)
            notes.append(f"{table.path}: {gaps.sum():,} of {len(gaps):,} rows left out, as cells are missing")
    return notes


def _labels(table: Table) -> NDArray:
    if table.y is None or not len(table.y):
        raise DataError(f"{table.path}: holds no rows with labels")
    return table.y


def _stack(tables: list[Table]) -> Any:
    """The rows of the tables, one below the other; what is on the disk stays there."""
    blocks = [table.X for table in tables]
    if not hasattr(blocks[0], "tocsr"):
        paths = [table.path for table in tables]
        return mapped.Stacked(blocks, paths) if any(map(is_mapped, blocks)) else np.concatenate(blocks)
    from scipy import sparse

    return sparse.vstack(blocks, format="csr")


def _check_finite(X: Any, names: list[str]) -> None:
    """Raises DataError naming the first row and column that hold no finite number."""
    place = _not_finite(X)
    if place:
        row, column = place
        raise DataError(f"row {row}, column {names[column]!r} holds {X[place]}: every value must be a finite number")


def _not_finite(X: Any) -> tuple[int, int] | None:
    """Row and column of the first entry that is no finite number, if there is one."""
    sparse = hasattr(X, "tocsr")
    finite = np.isfinite(X.data if sparse else X)
    if finite.all():
        return None
    entry = int(np.argmin(finite))
    if sparse:
        return int(np.searchsorted(X.indptr, entry, side="right")) - 1, int(X.indices[entry])
    return divmod(entry, X.shape[1])


def _encode(target: Any, target_names: Any) -> tuple[NDArray, NDArray]:
    """y as indices into the classes, and the classes: the set's own names for them where it has any."""
    target = np.asarray(target)
    if target.ndim != 1:
        raise DataError(f"the target has shape {target.shape}; one label a row is needed")
    if target.dtype.kind == "f":
        if not np.isfinite(target).all():
            raise DataError(f"row {int(np.argmin(np.isfinite(target)))} has no label")
        no_label = (target != np.round(target)) | (np.abs(target) >= 2**63)
        if no_label.any():
            raise DataError(f"the target holds {target[no_label][0]}, which is no label of a class")
        target = target.astype(np.int64)
    if target.dtype.kind in "OS":
        missing = [i for i, label in enumerate(target) if label is None or label != label]
        if missing:
            raise DataError(f"row {missing[0]} has no label")
        target = np.array([label.decode() if isinstance(label, bytes) else str(label) for label in target])
    classes, y = np.unique(target, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"only one class, {classes[0]}: there is nothing to tell apart")
    if target_names is not None and len(target_names) == len(classes) and classes.dtype.kind in "iu":
        classes = np.asarray(target_names)
    return y, classes


def split(dataset: Dataset, config: DataConfig) -> tuple[NDArray, NDArray, NDArray]:
    """Row numbers of the training, validation and test part.

    The test part is the one of scikit-learn's `train_test_split(..., test_size, stratify=y, random_state)`; the
    validation part is split from the rest in the same way, and empty where `validation_size` is 0.
    Raises DataError where a class has too few rows for that.
    """
    y, rows = dataset.y, np.arange(len(dataset.y))
    if dataset.parts:
        return _split_around(dataset, config)
    counts = np.bincount(y)
    if counts.min() < 2:
        raise DataError(
            f"class {dataset.classes[counts.argmin()]} has 1 row: each needs at least 2, one to learn and one to test"
        )
    rest, test = _stratified(rows, y, config.test_size, config.split_seed, "data.test_size")
    if not config.validation_size:
        return rest, rest[:0], test
    # a class with one row left cannot be split; it stays in the training part
    alone = (np.bincount(y[rest], minlength=len(counts)) == 1)[y[rest]]
    train, validation = _stratified(rest[~alone], y, config.validation_size, config.split_seed, "data.validation_size")
    return np.concatenate([train, rest[alone]]), validation, test


def _split_around(dataset: Dataset, config: DataConfig) -> tuple[NDArray, NDArray, NDArray]:
    """The parts where validation or test rows come from a file of their own: the others are split from the rest."""
    y, none = dataset.y, np.arange(0)
    rest = np.setdiff1d(np.arange(len(y)), np.concatenate(list(dataset.parts.values())))
    test, validation = dataset.parts.get("test", none), dataset.parts.get("validation", none)
    if "test" not in dataset.parts:
        rest, test = _stratified(rest, y, config.test_size, config.split_seed, "data.test_size")
    elif "validation" not in dataset.parts and config.validation_size:
        rest, validation = _stratified(rest, y, config.validation_size, config.split_seed, "data.validation_size")
    return rest, validation, test


def _stratified(rows: NDArray, y: NDArray, size: float, seed: int, name: str) -> tuple[NDArray, NDArray]:
    from sklearn.model_selection import train_test_split

    try:
        return train_test_split(rows, test_size=size, stratify=y[rows], random_state=seed)
    except ValueError as error:
        raise DataError(f"{name} = {size} does not split {len(rows)} rows: {one_line(error)}") from None


def fit_features(config: DataConfig, dataset: Dataset, rows: NDArray, team: Alone = ALONE) -> Features:
    """What becomes of the columns, fitted on these rows. Raises DataError as features.fit does.

    An X on the disk is read once, from its start to its end, by the first process of a team alone.
    """
    text = {name: cells[rows] for name, cells in dataset.text.items()}
    names = dataset.feature_names
    if not is_mapped(dataset.X):
        return features.fit(config.scale, config.missing, names, dataset.X[rows], text)
    fitted = Features(names, np.full(len(names), np.nan), np.zeros(len(names)), np.zeros(len(names)))
    if team.rank == 0:
        chosen = np.zeros(len(dataset.y), bool)
        chosen[rows] = True
        blocks = (block[chosen[which]] for which, block in mapped.blocks(dataset.X, dataset.name, names))
        fitted = features.fit(config.scale, "error", names, blocks, text)
    fitted.center, fitted.scale = team.add(fitted.center), team.add(fitted.scale)
    return fitted


class Inputs(Rows):
    """X1 (n, D + 1) of rows that stay on the disk, or sparse (n, D): scaled, in the net's dtype and with its ones, when
    they are asked for."""

    def __init__(self, X: Any, rows: NDArray, fitted: Features, net: MLP) -> None:
        super().__init__(X, rows)
        self.fitted, self.net = fitted, net
        self.shape = (len(rows), net.layer_sizes[0] + (not hasattr(X, "tocsr")))

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, tuple):
            return self[which[0]][:, which[1]]
        with np.errstate(over="ignore"):
            X1 = self.net.with_ones(features.apply(self.fitted, super().__getitem__(which), {}))
        _check_inputs(X1, self.fitted, self.net)
        return X1

    def take(self, rows: NDArray, axis: int, out: NDArray, mode: str) -> NDArray:
        """What np.take asks for, a piece at a time."""
        for start in range(0, len(rows), ROWS):
            out[start : start + ROWS] = self[rows[start : start + ROWS]]
        return out

    def sample(self, n: int = 1024) -> list[NDArray]:
        """Which rows these are, and what up to n of them hold, for a digest."""
        found = super().__getitem__(np.linspace(0, len(self.rows) - 1, min(n, len(self.rows))).astype(np.intp))
        held = [found.data, found.indices, found.indptr] if hasattr(found, "tocsr") else [found]
        return [self.rows, *held]


class SparseInputs(Inputs):
    """The same where X is sparse."""

    def tocsr(self) -> Any:
        """All of them, in memory."""
        return self[:]

    @property
    def data(self) -> NDArray:
        """The numbers of all of X."""
        return self.X.data

    @property
    def indices(self) -> NDArray:
        """Their columns."""
        return self.X.indices


def prepare(dataset: Dataset, rows: NDArray, fitted: Features, net: MLP) -> Part:
    """These rows of the data set as the net takes them; a dense part is filled a block at a time, and one on the disk
    stays there.

    Raises DataError for a value that the net's dtype cannot hold.
    """
    if is_mapped(dataset.X):
        kind = SparseInputs if hasattr(dataset.X, "tocsr") else Inputs
        return Part(kind(dataset.X, rows, fitted, net), dataset.y[rows])
    X1: Any
    with np.errstate(over="ignore"):
        if hasattr(dataset.X, "tocsr"):
            X1 = net.with_ones(features.apply(fitted, dataset.X[rows], {}))
        else:
            n, D = len(rows), net.layer_sizes[0]
            X1 = np.ones((n, D + 1), net.dtype)
            block = max(1, CHUNK_BYTES // (8 * D))
            for start in range(0, n, block):
                part = slice(start, start + block)
                text = {name: cells[rows[part]] for name, cells in dataset.text.items()}
                X1[part, :-1] = features.apply(fitted, dataset.X[rows[part]], text)
    _check_inputs(X1, fitted, net)
    return Part(X1, dataset.y[rows])


def _check_inputs(X1: Any, fitted: Features, net: MLP) -> None:
    place = _not_finite(X1)
    if place:
        raise DataError(f"column {fitted.inputs[place[1]]!r} holds numbers too large for {net.dtype}: scale it")
