"""A run in its folder: begun, saved on its way, gone on with, and finished."""

import functools
import hashlib
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minnet import config as configs
from minnet import experiment, storage, training
from minnet.batches import ALONE
from minnet.config import Config
from minnet.data import Inputs
from minnet.errors import ConfigError, DataError
from minnet.experiment import Experiment
from minnet.parallel import Alone
from minnet.training import Epoch, Progress

FITTED = ("fill", "center", "scale")
MAY_CHANGE = ("train.epochs", "train.checkpoint_seconds")  # between a run and its going on


@dataclass
class Run:
    """An experiment, how far it is, and its folder; digests of its data; when its checkpoint was written; what is to
    be said of its going on; and the processes that train it, of which the first writes its files."""

    folder: Path
    experiment: Experiment
    progress: Progress
    data: dict[str, str]
    saved: float = 0.0
    notes: list[str] = field(default_factory=list)
    team: Alone = ALONE

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes the run's files."""
        return self.team.rank == 0


def begin(folder: Path, experiment: Experiment, team: Alone = ALONE) -> Run:
    """A run at its start, in an empty folder."""
    progress = training.start(experiment.net, experiment.config)
    run = Run(folder, experiment, progress, fingerprints(experiment), team=team)
    if run.writes:
        storage.write(folder / "config.toml", configs.dumps(experiment.config).encode())
        _write_metrics(run)
        save(run)
    return run


def go_on(
    folder: Path, overrides: list[str], progress: Callable[[int], object] | None = None, team: Alone = ALONE
) -> Run:
    """The run in this folder as its checkpoint has it, or at its start where there is none yet; `progress` as in
    data.load.

    Raises ConfigError where there is no run, or its config is not the one that it was begun with; DataError or
    ModelFileError for other data or a damaged checkpoint.
    """
    path = folder / "checkpoint.npz"
    if not (folder / "config.toml").exists():
        raise ConfigError(f"{folder}: holds no run to go on with: there is no config.toml")
    config = configs.load(folder / "config.toml", overrides)
    if not path.exists():
        check_config(folder, config, configs.values(configs.load(folder / "config.toml")))
        return begin(folder, experiment.prepare(config, progress, team), team)
    arrays, entries = storage.read_checkpoint(path)
    check_config(folder, config, entries["config"])
    prepared = experiment.prepare(config, progress, team)
    data, then = fingerprints(prepared), entries["data"]
    changed = [name for name in {**then, **data} if data.get(name) != then.get(name)]
    if changed:
        raise DataError(f"{config.data.source}: not the data that the run was begun with: other {', '.join(changed)}")
    restored = training.restore(prepared.net, config, arrays, entries)
    run = Run(folder, prepared, restored, data, time.monotonic(), _other_machine(entries["machine"]), team)
    if run.writes:
        storage.clear_report(folder)
        storage.write(folder / "config.toml", configs.dumps(config).encode())
        _write_metrics(run)
    return run


def note(run: Run, epoch: Epoch | None) -> None:
    """Write the epoch down, and the checkpoint if it is time; None stands for the middle of a long epoch."""
    if not run.writes:
        return
    if epoch is not None:
        storage.append(run.folder / "metrics.csv", _row(run, epoch))
    if time.monotonic() - run.saved >= run.experiment.config.train.checkpoint_seconds:
        save(run)


def save(run: Run) -> None:
    """Write checkpoint.npz: all that going on takes, and what to compare then.

    No file holds numbers that are not finite: where a run has come to any, the checkpoint before them stays.
    """
    arrays, entries = training.snapshot(run.progress)
    entries |= {"config": configs.values(run.experiment.config), "data": run.data, "machine": machine()}
    if all(np.isfinite([array.min(initial=0), array.max(initial=0)]).all() for array in arrays.values()):
        storage.write_checkpoint(run.folder / "checkpoint.npz", arrays, entries)
    run.saved = time.monotonic()


def finish(run: Run, interrupted: bool) -> dict[str, Any]:
    """Save the run, its model and its figures, which come back."""
    if run.writes:
        save(run)
    last = run.progress.history[-1] if run.progress.history else None
    result = experiment.result(run.experiment, experiment.measure(run.experiment, run.team), last, interrupted)
    if run.writes:
        storage.write_model(run.folder / "model.npz", *experiment.model_file(run.experiment))
        storage.write_json(run.folder / "result.json", result)
    return result


@functools.cache
def machine() -> dict[str, str]:
    """What the last bits of a run hang on, beside its config and data."""
    from threadpoolctl import threadpool_info

    built: Any = np.show_config(mode="dicts")
    blas = built["Build Dependencies"]["blas"]
    told = [blas["name"], blas["version"]]
    for info in threadpool_info():  # scipy may bring a BLAS of its own, which is none of ours
        if info["filepath"].startswith(str(Path(np.__file__).parent)):  # in numpy or, as often, in numpy.libs
            told = [info["internal_api"], info["version"], info.get("architecture")]
    processor = [platform.machine(), *built["SIMD Extensions"].get("found", [])]
    return {"NumPy": np.__version__, "BLAS": " ".join(filter(None, told)), "processor": " ".join(processor)}


def _other_machine(then: dict[str, str]) -> list[str]:
    """A line that names what differs here from the machine of the checkpoint, if anything does."""
    differing = [f"{name} was {then.get(name)}, is {now}" for name, now in machine().items() if then.get(name) != now]
    return [f"the last bits may differ from those of a run without a stop: {'; '.join(differing)}"] if differing else []


def check_config(folder: Path, config: Config, then: dict[str, Any]) -> None:
    """Raises ConfigError for what differs from the config of the checkpoint, but for more epochs."""
    now = configs.values(config)
    differing = [name for name in now if name not in MAY_CHANGE and now[name] != then.get(name)]
    if now["train.epochs"] < then["train.epochs"]:
        differing.append("train.epochs")
    if differing:
        shown = "; ".join(f"{name} was {then.get(name)!r}, is {now[name]!r}" for name in differing)
        raise ConfigError(f"{folder}: the run goes on only with the config that it was begun with: {shown}")


def fingerprints(prepared: Experiment) -> dict[str, str]:
    """A digest of each part of the data, as the net takes it, of the classes, and of how columns become inputs. Of rows
    on the disk it is all labels and about a thousand rows."""
    features = prepared.features
    columns = [*features.names, features.categories, *(getattr(features, name).tolist() for name in FITTED)]
    described = {"classes": prepared.dataset.classes.tolist(), "columns": columns}
    digests = {name: hashlib.sha256(repr(content).encode()).hexdigest() for name, content in described.items()}
    for name, part in prepared.parts.items():
        digest = hashlib.sha256(np.ascontiguousarray(part.y).data)
        if isinstance(part.X1, Inputs):
            for array in part.X1.sample():
                digest.update(np.ascontiguousarray(array).data)
            digests[f"{name} rows"] = digest.hexdigest()
            continue
        sparse = hasattr(part.X1, "tocsr")
        for array in (part.X1.data, part.X1.indices, part.X1.indptr) if sparse else (part.X1,):
            digest.update(np.ascontiguousarray(array).data)
        digests[f"{name} rows"] = digest.hexdigest()
    return digests


def _write_metrics(run: Run) -> None:
    """metrics.csv as the run's history has it."""
    rows = [",".join(_columns(run)), *(_row(run, epoch) for epoch in run.progress.history)]
    storage.write(run.folder / "metrics.csv", "".join(f"{row}\n" for row in rows).encode())


def _columns(run: Run) -> list[str]:
    """The names in line 1 of metrics.csv."""
    layers = tuple(0.0 for _ in run.experiment.net.weights)
    return [name for name in training.figures(Epoch(0, 0, 0, 0, 0, 0, 0, 0, layers, layers)) if name != "best_epoch"]


def _row(run: Run, epoch: Epoch) -> str:
    """One line of metrics.csv, with all digits; empty where there is no value."""
    figures = training.figures(epoch)
    values = [figures.get(name) for name in _columns(run)]
    return ",".join("" if value is None else repr(value) for value in values)
