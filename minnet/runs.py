"""One run: its folder, its start, checkpoints, resuming, and its result."""

import contextlib
import functools
import hashlib
import itertools
import math
import platform
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet import config as configs
from minnet import data, files, training
from minnet.config import Config
from minnet.core.network import MLP
from minnet.data import Data, Part
from minnet.data.delimited import Progress
from minnet.data.preprocess import Preprocessing
from minnet.distributed import ALONE, Alone, blas_threads
from minnet.errors import ConfigError, DataError, TrainingError
from minnet.model import Model
from minnet.training import Epoch, Recipe, State

RUN_FILES = ("config.toml", "metrics.csv", "result.json", "model.npz", "checkpoint.npz")
REPEAT_FILE = "repeat.json"
REPORT = "report.html"
REPORT_MARK = '<meta name="generator" content="minnet">'  # in each report of minnet
REPORT_FILES = (
    *("pictures/curves.svg", "pictures/confusion.svg", "pictures/reliability.svg"),
    *("pictures/mistakes.svg", "pictures/weights.svg", "pictures/regions.svg"),
    *("pictures/sizes.svg", "pictures/scores.svg", REPORT),
)


@dataclass
class Prepared:
    """A config's data, how they become inputs, the net with its initial weights, and the rows of
    each part: train, test and, if there is one, validation."""

    config: Config
    data: Data
    preprocessing: Preprocessing
    net: MLP
    parts: dict[str, Part]


@dataclass
class Run:
    """A run in its folder, and where it stands. `digests` are of its data, `saved` is when it wrote
    its checkpoint, `notes` are what to say of resuming it. Of a team, the first process writes."""

    folder: Path
    prepared: Prepared
    state: State
    recipe: Recipe
    digests: dict[str, str]
    team: Alone = ALONE
    notes: list[str] = field(default_factory=list)
    saved: float = 0.0

    @property
    def writes(self) -> bool:
        """Whether this process writes the run's files."""
        return self.team.rank == 0


def train(config: Config, out: Path | None = None, overwrite: bool = False) -> dict[str, Any]:
    """Train as the config says, in the folder `out` or one below runs/; returns result.json."""
    check_folder(out, overwrite)
    prepared = prepare(config)
    with claimed(out, folder_name(config, config.data.source), overwrite) as folder:
        run = begin(folder, prepared)
        for _ in epochs(run):
            pass
        return finish(run)


def prepare(config: Config, progress: Progress = None, team: Alone = ALONE) -> Prepared:
    """Load, split and preprocess the data, and build the net, in every process of a team.

    Raises ConfigError and DataError.
    """
    source = config.data.source
    download = source in configs.FETCHED or source.startswith("openml:")
    if download and team.rank:
        team.add(np.zeros(1))  # waits for the first process
    loaded = data.load(config.data, progress)
    if download and not team.rank:
        team.add(np.zeros(1))
    fitted = data.fit(config.data, loaded, team)
    D, K = len(fitted.inputs), len(loaded.classes)
    _check_size([D, *config.model.hidden, K], np.dtype(config.model.dtype).itemsize)
    y = loaded.y[loaded.parts["train"]]
    weights = training.class_weights(config.train.class_weight, y, loaded.classes)
    net = training.build(config, D, K, weights)
    parts = {n: data.part(loaded, rows, fitted, net.dtype) for n, rows in loaded.parts.items()}
    return Prepared(config, loaded, fitted, net, parts)


def _check_size(sizes: list[int], itemsize: int) -> None:
    """Raise ConfigError for a net whose parameters, gradient and optimizer state exceed memory."""
    P = sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise(sizes))
    need, have = 5 * P * itemsize, files.memory()
    if need > have:
        net = f"a net of {'-'.join(map(str, sizes))} has {P:,} parameters"
        needs = f"needs {need / 1e9:,.0f} GB, more than this machine's {have / 1e9:,.0f} GB"
        raise ConfigError(f"model.hidden: {net} and {needs}")


def begin(folder: Path, prepared: Prepared, team: Alone = ALONE) -> Run:
    """Start a run in an empty folder. Raises FileError."""
    run = _start(folder, prepared, team)
    if run.writes:
        _write_texts(run)
        _save(run)
    return run


def resume(
    folder: Path, overrides: Iterable[str] = (), progress: Progress = None, team: Alone = ALONE
) -> Run:
    """The run in a folder, locked by the caller, as its checkpoint has it, or else at its start.

    Raises ConfigError if there is no run or its config differs, DataError if its data do, and
    ModelFileError for a damaged checkpoint.
    """
    path, checkpoint = folder / "config.toml", folder / "checkpoint.npz"
    if not path.exists():
        raise ConfigError(f"{folder}: no run to resume: there is no config.toml")
    config = configs.load(path, overrides)
    if not checkpoint.exists():
        check_config(folder, config, configs.values(configs.load(path)))
        return begin(folder, prepare(config, progress, team), team)
    arrays, about = files.load_sealed(checkpoint, "checkpoint")
    check_config(folder, config, about["config"])
    run = _start(folder, prepare(config, progress, team), team)
    differing = {name for name, _ in about["digests"].items() ^ run.digests.items()}
    if differing:
        what = f"not the data that the run began with: other {', '.join(sorted(differing))}"
        raise DataError(f"{config.data.source}: {what}")
    run.state.restore(arrays)
    run.saved = time.monotonic()
    if changes := _changes(about["machine"], machine()):
        run.notes.append(f"the last bits may differ from those of a run in one go: {changes}")
    if run.writes:
        clear_report(folder)
        _write_texts(run)
    return run


def epochs(run: Run, stop: threading.Event | None = None) -> Iterator[Epoch]:
    """Train to the end or until `stop` is set, and write metrics.csv and checkpoints on the way.

    Raises TrainingError where the run diverges, and FileError.
    """
    net, parts = run.prepared.net, run.prepared.parts
    with _at_work(run):
        for epoch in training.train(net, parts, run.recipe, run.state, stop, run.team):
            if run.writes and epoch:
                files.append(run.folder / "metrics.csv", _row(epoch))
            if run.writes and time.monotonic() - run.saved >= run.recipe.checkpoint_seconds:
                _save(run)
            if epoch:
                yield epoch


def finish(run: Run, interrupted: bool = False) -> dict[str, Any]:
    """Save the run, its model with the best weights, and its result, which is returned.

    Every process of a team calls this. Raises TrainingError and FileError.
    """
    prepared, loaded = run.prepared, run.prepared.data
    with _at_work(run):
        if run.writes:
            _save(run)
        run.state.use_best()
        result = _result(run, interrupted)
        if run.writes:
            described = loaded.classes, loaded.reading, loaded.name
            model = Model(prepared.net, prepared.preprocessing, *described)
            model.save(run.folder / "model.npz")
            files.write_json(run.folder / "result.json", result)
    return result


@contextlib.contextmanager
def _at_work(run: Run) -> Iterator[None]:
    """Set what NumPy and BLAS do while a run trains, and let errors say what to do about them."""
    config = run.prepared.config
    work = config.train.batch_size * run.prepared.net.theta.size
    try:
        # a run overflows before it diverges; the processes of a team have one core each
        with np.errstate(all="ignore"), blas_threads(work if run.team.size == 1 else 0):
            yield
    except files.FileError as error:
        raise files.FileError(f"{error}; resume with: minnet train --resume {run.folder}") from None
    except TrainingError as error:
        advice = [f"a smaller optimizer.learning_rate than {config.optimizer.learning_rate:g}"]
        advice += [] if config.train.max_grad_norm else ["train.max_grad_norm=1"]
        advice += ["data.scale=standard"] if config.data.scale == "none" else []
        raise TrainingError(f"{error}; try {', or '.join(advice)}") from None


def _start(folder: Path, prepared: Prepared, team: Alone) -> Run:
    config, net = prepared.config, prepared.net
    state = State.start(net, config.optimizer.name, config.train.seed)
    recipe = training.recipe(config, net, len(prepared.parts["train"].y))
    return Run(folder, prepared, state, recipe, digests(prepared), team)


def _save(run: Run) -> None:
    """Write checkpoint.npz: everything needed to resume and verify the run. Where it has come to
    numbers that are not finite, the checkpoint before them stays."""
    arrays, config = run.state.arrays(), configs.values(run.prepared.config)
    if all(map(files.is_finite, arrays.values())):
        about = {"config": config, "digests": run.digests, "machine": machine()}
        files.save_sealed(run.folder / "checkpoint.npz", "checkpoint", arrays, about)
    run.saved = time.monotonic()


def _write_texts(run: Run) -> None:
    """Write config.toml, and metrics.csv as the run's history has it."""
    files.write(run.folder / "config.toml", configs.dumps(run.prepared.config).encode())
    layers = tuple(0.0 for _ in run.prepared.net.layers)
    columns = [*training.figures(Epoch(0, 0, 0, 0, 0, 0, 0, 0, layers, layers))]
    lines = [",".join(name for name in columns if name != "best_epoch")]
    lines += [_row(epoch) for epoch in run.state.history]
    files.write(run.folder / "metrics.csv", "".join(f"{line}\n" for line in lines).encode())


def _row(epoch: Epoch) -> str:
    """One line of metrics.csv, with all digits; empty where there is no value."""
    figures = training.figures(epoch)
    del figures["best_epoch"]
    return ",".join("" if value is None else repr(value) for value in figures.values())


def _result(run: Run, interrupted: bool) -> dict[str, Any]:
    """The final figures, as result.json has them; those by class are of the test part."""
    import sklearn

    import minnet

    net, parts, classes = run.prepared.net, run.prepared.parts, run.prepared.data.classes
    measured = {name: training.evaluate(net, part, run.team) for name, part in parts.items()}
    for name, part in measured.items():
        if not math.isfinite(part.loss):
            raise TrainingError(f"the {name} loss is {part.loss}")
    last = run.state.history[-1] if run.state.history else None
    result: dict[str, Any] = {
        f"{name}_{figure}": getattr(measured.get(name), figure, None)
        for name in ("test", "train", "validation")
        for figure in ("accuracy", "loss")
    }
    result |= figures_by_class(parts["test"].y, measured["test"].predicted, len(classes))
    return result | {
        "best_epoch": last.best_epoch if last else 0,
        "epochs": last.epoch if last else 0,
        "interrupted": interrupted,
        "parameters": net.theta.size,
        "rows": {name: len(part.y) for name, part in parts.items()},
        "seconds": last.seconds if last else 0.0,
        "seed": run.prepared.config.train.seed,
        "split_seed": run.prepared.config.data.split_seed,
        "classes": classes.tolist(),
        "versions": {
            "minnet": minnet.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
    }


def figures_by_class(y: NDArray, predicted: NDArray, K: int) -> dict[str, Any]:
    """Macro F1; precision, recall, F1 and rows of each class; and the confusion matrix, with a row
    for each true class and a column for each predicted one."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labels = np.arange(K)
    figures = precision_recall_fscore_support(y, predicted, labels=labels, zero_division=0.0)
    names = ("precision", "recall", "f1", "rows")
    per_class = {name: figure.tolist() for name, figure in zip(names, figures, strict=True)}
    per_class["rows"] = [int(n) for n in per_class["rows"]]
    confusion = confusion_matrix(y, predicted, labels=labels).tolist()
    return {"macro_f1": float(figures[2].mean()), "per_class": per_class, "confusion": confusion}


# What a resumed run must have in common with its checkpoint


def check_config(folder: Path, config: Config, then: dict[str, Any]) -> None:
    """Raise ConfigError for what differs from the config that a run began with, except for more
    epochs and the time between checkpoints."""
    now = configs.values(config)
    kept = {**now, "train.checkpoint_seconds": then["train.checkpoint_seconds"]}
    if now["train.epochs"] > then["train.epochs"]:
        kept["train.epochs"] = then["train.epochs"]
    if changes := _changes(then, kept):
        what = "the config of a run cannot change, except for more epochs"
        raise ConfigError(f"{folder}: {what}: {changes}")


def _changes(then: dict[str, Any], now: dict[str, Any]) -> str:
    """ "data.scale was 'none', is 'standard'; ..."; empty if nothing differs."""
    differing = [name for name in now if then.get(name) != now[name]]
    return "; ".join(f"{name} was {then.get(name)!r}, is {now[name]!r}" for name in differing)


def digests(prepared: Prepared) -> dict[str, str]:
    """Digests of the classes, of how columns become inputs, and of the rows of each part."""
    fitted = prepared.preprocessing
    arrays = {name: array.tolist() for name, array in fitted.arrays().items()}
    described = {"classes": prepared.data.classes.tolist(), "columns": (fitted.about(), arrays)}
    digests = {
        n: hashlib.sha256(repr(value).encode()).hexdigest() for n, value in described.items()
    }
    return digests | {f"{name} rows": part.digest() for name, part in prepared.parts.items()}


@functools.cache
def machine() -> dict[str, str]:
    """What the last bits of a run depend on, besides its config and data."""
    from threadpoolctl import threadpool_info

    built: Any = np.show_config(mode="dicts")
    blas = [built["Build Dependencies"]["blas"][name] for name in ("name", "version")]
    for info in threadpool_info():  # SciPy may bring a BLAS of its own
        if info["filepath"].startswith(str(Path(np.__file__).parent)):  # numpy or numpy.libs
            blas = [info["internal_api"], info["version"], info.get("architecture") or ""]
    processor = [platform.machine(), *built["SIMD Extensions"].get("found", [])]
    return {
        "NumPy": np.__version__,
        "BLAS": " ".join(blas).rstrip(),
        "processor": " ".join(processor),
    }


# Folders


def folder_name(config: Config, fallback: str) -> str:
    """The name of a run: that of a file of the user's own, without suffixes, or the fallback."""
    stem = Path(config.data.source).name.partition(".")[0]
    return stem if stem and configs.is_file_source(config.data.source) else fallback


@contextlib.contextmanager
def claimed(out: Path | None, name: str, overwrite: bool) -> Iterator[Path]:
    """The folder of a new run, empty and locked while inside: `out`, or the first of runs/NAME,
    runs/NAME-2, ... that does not exist. With `overwrite`, it may be `out` or runs/NAME with a run,
    which is removed.

    Raises ConfigError for a folder that is in use, FileError where none can be made.
    """
    folder = _claim(out, name, overwrite)
    with files.locked(folder):
        check_folder(folder, overwrite)  # under the lock: another run may just have ended there
        clear(folder)
        yield folder


def _claim(out: Path | None, name: str, overwrite: bool) -> Path:
    first = out or Path("runs") / name
    more = (Path(f"{first}-{number}") for number in itertools.count(2))
    with files.named(first, "made"):
        first.parent.mkdir(parents=True, exist_ok=True)
        for folder in [first] if out or overwrite else itertools.chain([first], more):
            with contextlib.suppress(FileExistsError):
                folder.mkdir()  # of two runs that start together, each gets its own
                return folder
    check_folder(first, overwrite)
    return first


def check_folder(out: Path | None, overwrite: bool) -> None:
    """Raise ConfigError where `claimed` would, so that nobody waits for data to hear it."""
    if out is None:
        return
    with files.named(out, "made"):
        if not out.exists():
            return
        if not out.is_dir():
            raise ConfigError(f"{out}: is a file; name a folder with --out")
        if {*out.iterdir()} <= {*files.leftovers(out)}:
            return
    if not overwrite:
        raise ConfigError(f"{out}: exists; choose another folder, or replace its run: --overwrite")
    if not (out / "config.toml").exists():
        raise ConfigError(f"{out}: holds other files and no run; choose another folder")


def clear(folder: Path) -> None:
    """Remove the files of a run, or of a repeated one and its runs, and no others."""
    clear_report(folder)
    with files.named(folder, "cleared"):
        if (folder / REPEAT_FILE).exists():
            for run in (path for path in folder.glob("seed-*/") if path.name[5:].isdecimal()):
                clear(run)
                for leftover in files.leftovers(run):
                    leftover.unlink()
                with contextlib.suppress(OSError):  # the user's own files stay
                    run.rmdir()
            (folder / REPEAT_FILE).unlink()
        for name in reversed(RUN_FILES):  # config.toml last: if interrupted, it is still a run
            (folder / name).unlink(missing_ok=True)


def clear_report(folder: Path) -> None:
    """Remove the report of a run, which more epochs or another run would make untrue."""
    if is_report(folder):
        with files.named(folder, "cleared"):
            for name in REPORT_FILES:
                (folder / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not there, or with the user's own files
                (folder / "pictures").rmdir()


def is_report(folder: Path) -> bool:
    """Whether the folder's report.html is by minnet."""
    path = folder / REPORT
    with files.named(path, "read"):
        return path.is_file() and REPORT_MARK.encode() in path.read_bytes()
