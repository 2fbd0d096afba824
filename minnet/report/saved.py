"""A run, finished or not, a repeated run or a sweep, as its folder has it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet import config as configs
from minnet import files, runs, sweep
from minnet.config import Config
from minnet.errors import ConfigError, DataError, one_line

Epochs = dict[str, NDArray]  # the columns (n,) of metrics.csv; NaN where a value is missing
COLUMNS = {"epoch", "learning_rate", "train_loss", "train_accuracy", "watched"}
COLUMNS |= {"validation_loss", "validation_accuracy", "gradient_1", "update_1"}


@dataclass
class Run:
    """One run; `result` is its result.json, or None until it has finished."""

    folder: Path
    config: Config
    epochs: Epochs
    result: dict[str, Any] | None

    @property
    def untested(self) -> bool:
        """Whether the run has finished without a test part."""
        return self.result is not None and "test" not in self.result["rows"]


@dataclass
class Group:
    """One run, or those of a repeated run that have begun, of the number planned. Those of a sweep
    are the chosen ones; `ranking` is its table."""

    name: str
    runs: list[Run]
    planned: int = 1
    ranking: list[list[str]] = field(default_factory=list)

    @property
    def results(self) -> list[dict[str, Any]]:
        """The result.json of each run that has finished."""
        return [run.result for run in self.runs if run.result]

    @property
    def figures(self) -> dict[str, sweep.Mean]:
        """The mean and interval of each figure if at least two runs have finished."""
        many = len(self.results) > 1
        return sweep.summary(self.runs[0].config, self.results) if many else {}

    def mean(self, figure: str) -> float:
        """The mean of a figure over the results; 0 if there is none."""
        return float(np.mean([result[figure] for result in self.results] or 0))


def read(folder: Path) -> Group:
    """What is in the folder of a run or a repeated run. Raises ConfigError if there is no run,
    DataError if one of its files is damaged."""
    with files.named(folder, "read"):  # such as a name that is too long
        if not (folder / "config.toml").is_file():
            raise ConfigError(f"{one_line(folder)}: no run here: config.toml is missing")
    folders, ranking = [folder], list[list[str]]()
    if (folder / runs.REPEAT_FILE).exists():
        plan = sweep.read(folder)
        if plan.grid and not (folder / runs.SWEEP_FILE).exists():
            how = f"minnet train --resume {folder}"
            raise ConfigError(f"{one_line(folder)}: a sweep without an end: {one_line(how)}")
        ranked = sweep.ranking(plan)
        ranking = sweep.table(plan, ranked) if plan.grid else []
        folders = [folder / run.name for run in ranked[0].runs]
    begun = [_read_run(path) for path in folders if (path / "config.toml").is_file()]
    return Group(one_line(folder.resolve().name), begun, len(folders), ranking)


def _read_run(folder: Path) -> Run:
    epochs, result = _epochs(folder / "metrics.csv"), folder / "result.json"
    config = configs.load(folder / "config.toml")
    return Run(folder, config, epochs, runs.read_result(result) if result.exists() else None)


def _epochs(path: Path) -> Epochs:
    with files.named(path, "read as a run's metrics", DataError, Exception):
        lines = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
        named = {name: cells for name, *cells in zip(*lines, strict=True)}
        columns = {name: np.array([float(x or "nan") for x in named[name]]) for name in named}
        if missing := COLUMNS - columns.keys():
            raise ValueError(f"no column {', '.join(sorted(missing))}")
    return columns
