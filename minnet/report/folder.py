"""A run as its folder has it, finished or on its way; and a repeated one."""

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet import config as configs
from minnet import repeat
from minnet.config import Config
from minnet.errors import ConfigError, DataError, one_line

COLUMNS = {"epoch", "learning_rate"} | {f"{part}_{f}" for part in ("train", "validation") for f in ("loss", "accuracy")}
# what a report takes from result.json, and the kind of each
ENTRIES: dict[str, Any] = dict.fromkeys(("test_accuracy", "test_loss", "macro_f1", "seconds"), int | float)
ENTRIES |= dict.fromkeys(("best_epoch", "epochs", "parameters"), int)
ENTRIES |= dict.fromkeys(("classes", "confusion"), list) | dict.fromkeys(("rows", "per_class", "versions"), dict)
ENTRIES |= {"interrupted": bool}


@dataclass
class Run:
    """The config of a run; its epochs, columns of metrics.csv (n,) by name, NaN where there is no value; and
    its result.json, None as long as it has not ended."""

    folder: Path
    config: Config
    epochs: dict[str, NDArray]
    result: dict[str, Any] | None

    @property
    def name(self) -> str:
        """The folder's own name, also where it was given as "."."""
        return one_line(self.folder.resolve().name)


@dataclass
class Group:
    """One run, or all of one that was repeated: `missing` of its runs have not ended yet."""

    name: str
    runs: list[Run]
    missing: int = 0
    figures: dict[str, repeat.Mean] = field(default_factory=dict)

    @property
    def repeated(self) -> bool:
        """Whether there is more than one run to it."""
        return len(self.runs) + self.missing > 1

    def mean(self, figure: str) -> float:
        """The mean of a figure of result.json over the runs; NaN where none has ended."""
        return statistics.fmean(run.result[figure] for run in self.runs if run.result) if self.ended else np.nan

    @property
    def ended(self) -> list[Run]:
        """The runs that have a result."""
        return [run for run in self.runs if run.result]


def read(folder: Path) -> Run:
    """The run in a folder. Raises ConfigError where there is none, DataError where one of its files is damaged."""
    if not (folder / "config.toml").is_file():
        raise ConfigError(f"{one_line(folder)}: holds no run: there is no config.toml")
    config = configs.load(folder / "config.toml")
    return Run(folder, config, _epochs(folder / "metrics.csv"), _result(folder / "result.json"))


def read_group(folder: Path) -> Group:
    """The run in a folder, or those of a repeated one. Raises as `read` does."""
    if not (folder / repeat.FILE).exists():
        run = read(folder)
        return Group(run.name, [run])
    plan = repeat.read(folder)
    there = [path for path in plan.folders if (path / "config.toml").is_file()]
    runs = [read(path) for path in there]
    ended = [run for run in runs if run.result]
    group = Group(one_line(folder.resolve().name), runs, len(plan.folders) - len(runs))
    if len(ended) > 1:
        group.figures = repeat.summary(plan.config, [run.result for run in ended if run.result])
    return group


def _epochs(path: Path) -> dict[str, NDArray]:
    """The columns of metrics.csv."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        names = lines[0].split(",")
        rows = [[float(cell) if cell else np.nan for cell in line.split(",")] for line in lines[1:]]
        columns = np.array(rows, np.float64).reshape(len(rows), len(names))
        for missing in sorted(COLUMNS - set(names)):
            raise ValueError(f"it has no column {missing}")
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{one_line(path)}: is no metrics.csv of a run: {one_line(error)}") from None
    return dict(zip(names, columns.T, strict=True))


def _result(path: Path) -> dict[str, Any] | None:
    try:
        result = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{one_line(path)}: cannot be read: {one_line(error)}") from None
    if not isinstance(result, dict) or not all(isinstance(result.get(name), kind) for name, kind in ENTRIES.items()):
        raise DataError(f"{one_line(path)}: is no result.json of a run")
    K = len(result["classes"])
    if np.shape(result["confusion"]) != (K, K) or any(len(figures) != K for figures in result["per_class"].values()):
        raise DataError(f"{one_line(path)}: is no result.json of a run: its figures are not those of {K} classes")
    return result
