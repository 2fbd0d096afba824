"""A run, finished or not, or a repeated run, as its folder has it."""

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
COLUMNS = {"epoch", "learning_rate", "train_loss", "train_accuracy"}
COLUMNS |= {"validation_loss", "validation_accuracy", "gradient_1", "update_1"}
# figures of result.json
OF_RUN = ("test_accuracy", "test_loss", "macro_f1", "seconds", "epochs", "best_epoch", "parameters")
OF_CLASS = ("precision", "recall", "f1", "rows")


@dataclass
class Run:
    """One run; `result` is its result.json, or None until it has finished."""

    folder: Path
    config: Config
    epochs: Epochs
    result: dict[str, Any] | None


@dataclass
class Group:
    """One run, or those of a repeated run that have begun, of the number planned.

    `figures` has the mean and interval of each figure if at least two runs have finished.
    """

    name: str
    runs: list[Run]
    planned: int = 1
    figures: dict[str, sweep.Mean] = field(default_factory=dict)

    @property
    def results(self) -> list[dict[str, Any]]:
        """The result.json of each run that has finished."""
        return [run.result for run in self.runs if run.result]

    def mean(self, figure: str) -> float:
        """The mean of a figure over the results; 0 if there is none."""
        return float(np.mean([result[figure] for result in self.results] or 0))


def read(folder: Path) -> Group:
    """What is in the folder of a run or a repeated run.

    Raises ConfigError if there is no run, DataError if one of its files is damaged.
    """
    name = one_line(folder.resolve().name)  # of ".", too
    with files.named(folder, "read"):  # such as a name that is too long
        repeated = (folder / runs.REPEAT_FILE).exists()
    if not repeated:
        return Group(name, [_read_run(folder)])
    plan = sweep.read(folder)
    begun = [_read_run(path) for path in plan.folders if (path / "config.toml").is_file()]
    group = Group(name, begun, len(plan.folders))
    if len(group.results) > 1:
        group.figures = sweep.summary(plan.config, group.results)
    return group


def _read_run(folder: Path) -> Run:
    path, result = folder / "config.toml", folder / "result.json"
    if not path.is_file():
        raise ConfigError(f"{one_line(folder)}: no run here: config.toml is missing")
    epochs = _epochs(folder / "metrics.csv")
    return Run(folder, configs.load(path), epochs, _result(result) if result.exists() else None)


def _epochs(path: Path) -> Epochs:
    """The columns of metrics.csv by name."""
    try:
        head, *lines = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
        rows = np.array([[float(cell or "nan") for cell in cells] for cells in lines])
        columns = dict(zip(head, rows.reshape(len(lines), len(head)).T, strict=True))
        if missing := COLUMNS - columns.keys():
            raise ValueError(f"columns are missing: {', '.join(sorted(missing))}")
    except (OSError, ValueError) as error:
        raise DataError(f"{one_line(path)}: not a run's metrics.csv: {one_line(error)}") from None
    return columns


def _result(path: Path) -> dict[str, Any]:
    """The result.json of a run, checked."""
    result = files.read_json(path)
    try:
        K, rows = len(result["classes"]), result["rows"]
        numbers = [*(result[name] for name in OF_RUN), rows["train"], rows["test"], *rows.values()]
        tables = [*(result["per_class"][name] for name in OF_CLASS), *result["confusion"]]
        # to add 0 is a TypeError unless all are numbers
        if np.add(numbers, 0).ndim > 1 or np.add(tables, 0).shape != (len(OF_CLASS) + K, K):
            raise ValueError
        result["versions"].items(), result["interrupted"]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise DataError(f"{one_line(path)}: not a run's result.json") from None
    return result
