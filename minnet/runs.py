"""One run: its folder, its start, checkpoints, resuming, and its result."""

import contextlib
import hashlib
import itertools
import math
import platform
import re
import shlex
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from minnet import config as configs
from minnet import data, files, metrics, training
from minnet.config import Config
from minnet.core.network import MLP
from minnet.core.optimizers import OPTIMIZERS
from minnet.data import Data, Part
from minnet.data.delimited import Progress
from minnet.data.preprocess import Preprocessing
from minnet.distributed import ALONE, Team, blas_threads
from minnet.errors import VERSION, ConfigError, DataError, ModelFileError, TrainingError
from minnet.model import Model
from minnet.training import Epoch, State

MARK = "# a run of minnet: every key of its config\n"
MARKS = {  # what each file of a run begins with: a folder with other such files is not ours
    "config.toml": MARK,
    "metrics.csv": "epoch,learning_rate,",
    "result.json": '"test_accuracy": ',
    "model.npz": "about.npy",
    "checkpoint.npz": "about.npy",
}
RUN_FILES, REPEAT_FILE, SWEEP_FILE = tuple(MARKS), "repeat.json", "sweep.csv"
RUN_OF_MANY = re.compile(r"(run-\d+-)?seed-\d+")  # the folder of each
REPORT = "report.html"
REPORT_MARK = '<meta name="generator" content="minnet">'  # in each report of minnet
PICTURES = "curves confusion importance reliability mistakes weights regions sizes scores"
REPORT_FILES = (*(f"pictures/{name}.svg" for name in PICTURES.split()), REPORT)


# the types of the figures in result.json; those of the test part are null where there is none
OF_TEST: dict[str, Any] = {
    **dict.fromkeys(["test_accuracy", "test_loss", *metrics.SCORES], float),
    **dict.fromkeys(["auc", "baseline_accuracy", "baseline_loss"], float | None),
    "per_class": dict.fromkeys(["precision", "recall", "f1"], list[float]) | {"rows": list[int]},
    "confusion": list[list[int]],
}
RESULT: dict[str, Any] = {
    **dict.fromkeys(["train_accuracy", "train_loss", "seconds"], float),
    **dict.fromkeys(["validation_accuracy", "validation_loss"], float | None),
    **dict.fromkeys(["best_epoch", "epochs", "parameters", "seed", "split_seed"], int),
    "interrupted": bool,
    "rows": dict[str, int],
    "versions": dict[str, str],
    "classes": list[Any],
}


@dataclass
class Prepared:
    """A config's data, how they become inputs, the net with its initial weights, and the rows of
    each part: train and, if there are such, validation and test."""

    config: Config
    data: Data
    preprocessing: Preprocessing
    net: MLP
    parts: dict[str, Part]


class Run:
    """A run in its folder, and where it stands. `about` is what a checkpoint has to agree with,
    `saved` is when one was written, `notes` are what to say at first. Of a team, rank 0 writes."""

    def __init__(self, folder: Path, prepared: Prepared, team: Team) -> None:
        config = prepared.config
        self.folder, self.prepared, self.team = folder, prepared, team
        self.state = State.start(prepared.net, config.optimizer.name, config.train.seed)
        self.about = {"config": configs.values(config), "digests": digests(prepared)}
        self.about["machine"] = machine()
        self.notes, self.saved = list[str](), time.monotonic()


def train(config: Config, out: Path | None = None, overwrite: bool = False) -> dict[str, Any]:
    """Train as the config says, in the folder `out` or one below runs/; returns result.json."""
    check_folder(out, overwrite)
    prepared = prepare(config)
    with claimed(out, folder_name(config, config.data.source), overwrite) as folder:
        run = begin(folder, prepared)
        list(epochs(run))
        return finish(run)


def prepare(config: Config, progress: Progress = None, team: Team = ALONE) -> Prepared:
    """Load, split and preprocess the data, and build the net, in every process of a team. Raises
    ConfigError and DataError."""
    model, shared = config.model, configs.kind_of(config.data.source) != configs.FILE
    if shared and team.rank:
        team.add(np.zeros(1))  # waits for rank 0, which may have to download
    if model.members == 1 and config.data.validation_size == configs.FOLDS:
        config = replace(config, data=replace(config.data, validation_size=configs.SIZE))
    loaded = data.load(config.data, progress)
    config = replace(config, data=loaded.config)  # with what was decided
    if shared and not team.rank:
        team.add(np.zeros(1))
    fitted = data.fit(config.data, loaded, team)
    D, K = len(fitted.inputs), len(loaded.classes)
    P = sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise([D, *model.hidden, K]))
    P *= model.members
    vectors = 4 + OPTIMIZERS[config.optimizer.name].vectors  # theta now, before, at best; dtheta
    y = loaded.y[loaded.parts["train"]]
    n = min(config.train.batch_size or training.LARGEST_BATCH, len(y))
    tape = 5 * n * model.members * (D + sum(model.hidden) + K)  # h, a, slope, dh, da
    need, have = (vectors * P + tape) * np.dtype(model.dtype).itemsize, files.memory()
    if need > have:
        needs = f"{P:,} parameters and batches of {n:,} rows need {need / 1e9:,.0f} GB"
        raise ConfigError(f"model.hidden: {needs}; {have / 1e9:,.0f} GB of memory are free")
    if config.train.watch == "auc" and "validation" in loaded.parts:
        absent = np.setdiff1d(np.arange(K), loaded.y[loaded.parts["validation"]])
        if absent.size:
            where = f"the validation part has no row of class {loaded.classes[absent[0]]}"
            raise ConfigError(f"train.watch: no auc, as {where}: watch another figure")
    weights = training.class_weights(config.train.class_weight, y, loaded.classes)
    net = training.build(config, D, K, weights)
    parts = {n: data.part(loaded, rows, fitted, net.dtype) for n, rows in loaded.parts.items()}
    if config.data.validation_size == configs.FOLDS:
        parts["train"].fold = training.folds(y, model.members, config.data.split_seed)
    return Prepared(training.settled(config, parts["train"]), loaded, fitted, net, parts)


def begin(folder: Path, prepared: Prepared, team: Team = ALONE) -> Run:
    """Start a run in an empty folder. Raises FileError."""
    run = Run(folder, prepared, team)
    _write_texts(run)
    _save(run)
    return run


def resume(
    folder: Path, overrides: Iterable[str] = (), progress: Progress = None, team: Team = ALONE
) -> Run:
    """The run in a folder that the caller has locked, from its checkpoint, or else from its start.
    Raises ConfigError if there is no run or its config differs, DataError if its data do, and
    ModelFileError for a checkpoint that is damaged or not of this run."""
    path, checkpoint = folder / "config.toml", folder / "checkpoint.npz"
    if not path.exists():
        raise ConfigError(f"{folder}: no run to resume: there is no config.toml")
    config = configs.load(path, overrides)
    if not checkpoint.exists():
        check_config(folder, config, configs.values(configs.load(path)))
        return begin(folder, prepare(config, progress, team), team)
    arrays, about = files.load_sealed(checkpoint, "checkpoint")
    with files.named(checkpoint, "resumed (train again)", ModelFileError, Exception):
        then = {name: dict(about[name]) for name in ("config", "digests", "machine")}
        check_config(folder, config, then.pop("config"))
        if not files.fits([*then.values()], list[dict[str, str]]):
            raise ValueError("what it holds of data or machine is no text")
    run = Run(folder, prepare(config, progress, team), team)
    changed = then["digests"].items() ^ run.about["digests"].items()
    if differing := ", ".join(sorted({name for name, _ in changed})):
        what = f"not the data that the run began with: other {differing}"
        raise DataError(f"{config.data.source}: {what}")
    state, config, N = run.state, run.prepared.config, run.prepared.parts["train"].rows
    with files.named(checkpoint, "resumed (train again)", ModelFileError, Exception):
        state.restore(arrays, math.ceil(N / config.train.batch_size))
    rate = training.schedule(config, N).rate
    if state.t and rate(state.t - 1) != state.rate:
        jump = f"the learning rate was {state.rate:.3g}, is {rate(state.t):.3g}"
        ends = f"{config.optimizer.schedule} schedule now ends after {config.train.epochs} epochs"
        run.notes.append(f"{jump}: the {ends}")
    if changes := _changes(then["machine"], run.about["machine"]):
        run.notes.append(f"the last bits may differ from those of a run in one go: {changes}")
    _write_texts(run)
    return run


def epochs(run: Run, stop: threading.Event | None = None) -> Iterator[Epoch]:
    """Train to the end or until `stop` is set, and write metrics.csv and checkpoints on the way.
    Raises TrainingError where the run diverges, and FileError."""
    config, net, parts = run.prepared.config, run.prepared.net, run.prepared.parts
    recipe = training.recipe(config, net, parts["train"].rows)
    with _at_work(run):
        for epoch in training.train(net, parts, recipe, run.state, stop, run.team):
            if epoch and not run.team.rank:
                files.append(run.folder / "metrics.csv", ",".join(_cells(epoch).values()))
            if time.monotonic() - run.saved >= recipe.train.checkpoint_seconds:
                _save(run)
            if epoch:
                yield epoch


def finish(run: Run, interrupted: bool = False) -> dict[str, Any]:
    """Save the run, its model with the best weights, and its result, which is returned. Every
    process of a team calls this. Raises TrainingError and FileError."""
    fitted, loaded, parts = run.prepared.preprocessing, run.prepared.data, run.prepared.parts
    with _at_work(run):
        _save(run)
        run.state.use_best()
        folds = parts["train"] if parts["train"].fold is not None else None
        held_out = parts.get("validation", folds)
        if run.state.net.label_smoothing and held_out:
            training.calibrate(run.state.net, held_out)
        if not run.team.rank:  # the model first: figures may not fit into memory
            about = loaded.classes, loaded.reading, loaded.name, _counts(run.prepared)
            model = Model(run.state.net, fitted, *about)
            model.save(run.folder / "model.npz")
        result = _result(run, interrupted)
        if not run.team.rank:
            files.write_json(run.folder / "result.json", result)
    return result


@contextlib.contextmanager
def _at_work(run: Run) -> Iterator[None]:
    """Set what NumPy and BLAS do while a run trains, and let errors say what to do about them."""
    config = run.prepared.config
    work = config.train.batch_size * run.state.net.theta.shape[-1]
    try:
        # a run overflows before it diverges; the processes of a team have one core each
        with np.errstate(all="ignore"), blas_threads(work if run.team.size == 1 else 0):
            yield
    except files.FileError as error:
        how = f"; resume with: minnet train --resume {shlex.quote(str(run.folder))}"
        raise files.FileError(f"{error}{how * is_run(run.folder)}") from None
    except TrainingError as error:
        advice = f"a smaller optimizer.learning_rate than {config.optimizer.learning_rate:g}"
        advice += "" if config.train.max_grad_norm else ", or train.max_grad_norm=1"
        advice += ", or data.scale=standard" if config.data.scale == "none" else ""
        raise TrainingError(f"{error}; try {advice}") from None


def _save(run: Run) -> None:
    """Write checkpoint.npz: everything needed to resume and verify the run. Where it has come to
    numbers that are not finite, the checkpoint before them stays."""
    if not run.team.rank:
        path, arrays = run.folder / "checkpoint.npz", run.state.arrays()
        with contextlib.suppress(ValueError):
            files.save_sealed(path, "checkpoint", arrays, run.about)
    run.saved = time.monotonic()


def _write_texts(run: Run) -> None:
    """Write config.toml, and metrics.csv as the run's history has it; remove an older report."""
    if not run.team.rank:
        clear_report(run.folder)
        write_config(run.folder, run.prepared.config)
        layers = (0.0,) * len(run.state.net.layers)
        lines = [",".join(_cells(Epoch(0, 0, 0, 0, 0, 0, 0, 0, 0, layers, layers)))]
        lines += [",".join(_cells(epoch).values()) for epoch in run.state.history]
        files.write(run.folder / "metrics.csv", "\n".join([*lines, ""]).encode())


def _cells(epoch: Epoch) -> dict[str, str]:
    """A line of metrics.csv by column, with all digits; empty where there is no value."""
    figures = training.figures(epoch).items()
    return {name: "" if x is None else repr(x) for name, x in figures if name != "best_epoch"}


def _result(run: Run, interrupted: bool) -> dict[str, Any]:
    """The final figures, as result.json has them, without class weights; null those of a part that
    there is not. All in metrics.NAMES are of the test part."""
    config, net, parts = run.prepared.config, run.state.net, run.prepared.parts
    watch, plain = config.train.watch, ("accuracy", "loss")
    names = [f"test_{x}" for x in plain] + [f"validation_{x}" for x in (*plain, watch)]
    result: dict[str, Any] = dict.fromkeys([*names, *metrics.NAMES])
    folds = {"validation": parts["train"]} if parts["train"].fold is not None else {}
    for name, part in (parts | folds).items():
        watched = name == "validation" and watch in metrics.WATCHED
        how = {"keep": name == "test" or watched, "held_out": name in folds}
        found = training.evaluate(net, part, run.team, **how)
        if not math.isfinite(found.loss):
            raise TrainingError(f"the {name} loss is {found.loss}")
        result |= {f"{name}_accuracy": found.accuracy, f"{name}_loss": found.loss}
        outcome = part.y, found.predicted, found.p
        if watched:
            result[f"validation_{watch}"] = metrics.WATCHED[watch](*outcome)
        if name == "test":
            result |= metrics.figures(*outcome, _counts(run.prepared))
    history = run.state.history
    return {
        **result,
        "best_epoch": run.state.best_epoch,
        "epochs": len(history),
        "interrupted": interrupted,
        "parameters": net.theta.size,
        "rows": {name: len(part.y) for name, part in parts.items()},
        "seconds": history[-1].seconds if history else 0.0,
        "seed": config.train.seed,
        "split_seed": config.data.split_seed,
        "classes": run.prepared.data.classes.tolist(),
        "versions": {"minnet": VERSION, "python": platform.python_version()}
        | {name: version(name) for name in ("numpy", "scikit-learn")},
    }


def read_result(path: Path) -> dict[str, Any]:
    """A result.json. Raises DataError if it is damaged."""
    result = files.read_json(path)
    with files.named(path, "read as a run's result", DataError, Exception):
        rows, K = result["rows"], len(result["classes"])
        kinds = RESULT | (OF_TEST if "test" in rows else dict.fromkeys(OF_TEST))
        watched = {f"validation_{name}": float | None for name in metrics.WATCHED}
        kinds |= {name: watched[name] for name in watched.keys() & result}
        if not files.fits(result, kinds):
            raise ValueError("a figure is missing, or of another type")
        fit = [rows.get("train"), *rows.values()]
        if "test" in rows:
            *scores, n = result["per_class"].values()
            fit += [sum(n) == rows["test"], np.shape([*scores, n]) == (4, K), np.max(scores) <= 1]
            wrong, found = metrics.mistakes(result)
            fit += [wrong >= 0, *(max(i, j) < K for _, i, j in found)]
            fit += [K > metrics.MATRIX or np.shape(result["confusion"]) == (K, K)]
        if not all(fit):
            raise ValueError("its figures do not fit each other")
    return result


def _counts(prepared: Prepared) -> list[int]:
    """The rows of each class in the training part."""
    return np.bincount(prepared.parts["train"].y, minlength=prepared.net.K).tolist()


# What a resumed run must have in common with its checkpoint


def check_config(folder: Path, config: Config, then: dict[str, Any]) -> None:
    """Raise ConfigError for what differs from the config that a run began with, except for more
    epochs and the time between checkpoints."""
    now, seconds, epochs = configs.values(config), "train.checkpoint_seconds", "train.epochs"
    now |= {seconds: then[seconds], epochs: min(now[epochs], then[epochs])}
    if changes := _changes(then, now):
        what = "the config of a run cannot change, except for more epochs"
        raise ConfigError(f"{folder}: {what}: {changes}")


def _changes(then: dict[str, Any], now: dict[str, Any]) -> str:
    """ "data.scale was 'none', is 'standard'; ..."; empty if nothing differs."""
    pairs = ((name, then.get(name), new) for name, new in now.items())
    return "; ".join(f"{name} was {old!r}, is {new!r}" for name, old, new in pairs if old != new)


def digests(prepared: Prepared) -> dict[str, str]:
    """Digests of the classes, of how columns become inputs, and of the rows of each part."""
    fitted = prepared.preprocessing
    columns = fitted.about(), {name: array.tolist() for name, array in fitted.arrays().items()}
    described = {"classes": prepared.data.classes.tolist(), "columns": columns}
    found = {n: hashlib.sha256(repr(what).encode()).hexdigest() for n, what in described.items()}
    found["rows on the disk"] = data.digest_of_disk(prepared.data.table)
    return found | {f"{name} rows": part.digest() for name, part in prepared.parts.items()}


def machine() -> dict[str, str]:
    """What the last bits of a run depend on, besides its config and data."""
    from threadpoolctl import threadpool_info

    built: Any = np.show_config(mode="dicts")
    processor = [platform.machine(), *built["SIMD Extensions"].get("found", [])]
    libraries = [info for info in threadpool_info() if info["user_api"] == "blas"] or [{}]
    numpys = max(libraries, key=lambda info: "numpy" in info.get("filepath", ""))  # not SciPy's
    blas = (str(numpys.get(name)) for name in ("internal_api", "version", "architecture"))
    return {"NumPy": np.__version__, "BLAS": " ".join(blas), "processor": " ".join(processor)}


# Folders


def folder_name(config: Config, fallback: str) -> str:
    """The name of a run: that of a file of the user's own, without suffixes, or the fallback."""
    stem = Path(config.data.source).name.partition(".")[0].strip("-")
    return stem if stem and configs.kind_of(config.data.source) == configs.FILE else fallback


def write_config(folder: Path, config: Config) -> None:
    """Write config.toml, which makes the folder one of a run."""
    files.write(folder / "config.toml", f"{MARK}{configs.dumps(config)}".encode())


def is_run(folder: Path) -> bool:
    """Whether a run of minnet has begun in the folder. A config.toml among files of others may be
    the copy of a run's."""
    marks = MARKS | {REPEAT_FILE: '"runs": ', SWEEP_FILE: "run,"}
    found = [name for name in marks if (folder / name).exists()]
    ours = all(files.marked(folder / name, marks[name]) for name in found)
    alone = {*folder.glob("*")} <= {folder / "config.toml", *files.leftovers(folder)}
    return ours and "config.toml" in found and (len(found) > 1 or alone)


@contextlib.contextmanager
def claimed(out: Path | None, name: str, overwrite: bool) -> Iterator[Path]:
    """The folder of a new run, empty and locked while inside: `out`, or the first of runs/NAME,
    runs/NAME-2, ... that does not exist. With `overwrite`, it may be `out` or runs/NAME with a run,
    which is removed. Raises ConfigError for a folder in use, FileError where none can be made."""
    first = out or Path("runs") / name
    more = () if out or overwrite else (Path(f"{first}-{n}") for n in itertools.count(2))
    with files.named(first, "made"):
        first.parent.mkdir(parents=True, exist_ok=True)
        for folder in itertools.chain([first], more):
            with contextlib.suppress(FileExistsError):
                folder.mkdir()  # of two runs that start together, each gets its own
                break
    with files.locked(folder):
        check_folder(folder, overwrite)  # another run may just have ended there
        clear(folder)
        yield folder


def check_folder(out: Path | None, overwrite: bool) -> None:
    """Raise ConfigError where `claimed` would, so that nobody waits for data to hear it."""
    with files.named(out or Path(), "used", ConfigError):
        if not out or not out.exists() or {*out.iterdir()} <= {*files.leftovers(out)}:
            return
    if not overwrite:
        raise ConfigError(f"{out}: exists; choose another folder, or replace its run: --overwrite")
    if not is_run(out):
        raise ConfigError(f"{out}: holds other files and no run; choose another folder")


def clear(folder: Path) -> None:
    """Remove the files of a run, or of a repeated one or a sweep and its runs, and no others."""
    clear_report(folder)
    with files.named(folder, "cleared"):
        for run in folder.glob("*seed-*/") if (folder / REPEAT_FILE).exists() else ():
            if RUN_OF_MANY.fullmatch(run.name) and is_run(run):
                clear(run)
                with contextlib.suppress(OSError):  # the user's own files stay
                    run.rmdir()
        # config.toml last: if interrupted, it is still a run
        names = (folder / name for name in (SWEEP_FILE, REPEAT_FILE, *reversed(RUN_FILES)))
        for path in (*files.leftovers(folder), *names):
            path.unlink(missing_ok=True)


def clear_report(folder: Path, keep: Iterable[str] = ()) -> None:
    """Remove the report of a run, which more epochs or another run would make untrue, but for the
    files to keep."""
    if is_report(folder):
        with files.named(folder, "cleared"):
            for name in {*REPORT_FILES} - {*keep}:
                (folder / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not there, or with other files
                (folder / "pictures").rmdir()


def is_report(folder: Path) -> bool:
    """Whether the folder's report.html is by minnet."""
    return files.marked(folder / REPORT, REPORT_MARK)
