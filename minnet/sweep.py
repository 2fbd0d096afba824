"""Many runs side by side, of a grid of values, of several seeds, or of both; and what they come to.

The values are ranked by a figure of the validation part. Only of the best one are test figures
told: the best of many test figures would flatter.
"""

import contextlib
import csv
import io
import itertools
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import PIPE
from typing import Any, NamedTuple

import numpy as np

from minnet import config as configs
from minnet import files, runs
from minnet.config import Config
from minnet.errors import ConfigError, DataError, short

FIGURES = {"test_accuracy": 1.0, "test_loss": math.inf, "macro_f1": 1.0}  # and their upper bounds
RUNS = range(2, 10_001)
SEEDS = ("data.split_seed", "train.seed")
Children = list[subprocess.Popen[bytes]]
CHILD = """import os, sys, threading
sys.path.insert(0, sys.argv.pop(1))
from minnet.__main__ import main
def end():
    os.read(0, 1)  # until the parent has ended, in whatever way, and so closed its end
    os._exit(1)
threading.Thread(target=end, daemon=True).start()
sys.exit(main())"""


class Run(NamedTuple):
    """The name of a run's folder and its config; once it has ended, its result.json, or what it
    said when it failed."""

    name: str
    config: Config
    result: dict[str, Any] | None = None
    line: str = ""


@dataclass
class Plan:
    """A folder of runs: each combination of the grid's values, with `repeat` seeds. An empty grid
    has one. The best has the best mean of the validation `figure`."""

    folder: Path
    config: Config
    grid: dict[str, list[Any]]
    repeat: int
    figure: str
    runs: list[Run]


class Tried(NamedTuple):
    """A combination: its runs, and mean and sd of the figure over those that have ended."""

    runs: list[Run]
    mean: float
    sd: float

    @property
    def results(self) -> list[dict[str, Any]]:
        """The result.json of each run that has ended."""
        return [run.result for run in self.runs if run.result]


class Mean(NamedTuple):
    """The mean of a figure, its standard deviation (n - 1), and a 95% interval of the mean."""

    mean: float
    sd: float
    low: float
    high: float


def grid(texts: list[str]) -> dict[str, Any]:
    """The lists of values by key, from texts such as "model.hidden=[[64], [64, 32]]"."""
    lists = dict(map(configs.parse_override, texts))
    if len(lists) < len(texts):
        raise ConfigError("--sweep: the same key twice: give it one list")
    return lists


def plan(config: Config, grid: dict[str, Any], repeat: int = 1) -> Plan:
    """What to train, in a folder to be named. Raises ConfigError for what cannot be trained, or
    ranked."""
    if repeat not in RUNS and not (grid and repeat == 1):
        raise ConfigError(f"--repeat takes 2 to {RUNS[-1]} runs, got {repeat}")
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            like = f"""--sweep '{name}=[1, 2]' or '["a", "b"]'"""
            raise ConfigError(f"--sweep {name}: not a list of values, like {like}: {short(values)}")
        if name in SEEDS and repeat > 1:
            raise ConfigError(f"--sweep {name}: --repeat sets it; leave one of them out")
    number = repeat * math.prod(map(len, grid.values()))
    if number not in range(RUNS.stop):
        raise ConfigError(f"--sweep: {number} runs; at most {RUNS[-1]}")
    try:
        planned = list(_planned(config, grid, repeat))
    except ConfigError as error:
        raise ConfigError(f"{'--sweep' if grid else f'--repeat {repeat}'}: {error}") from None
    if len({repr(run.config) for run in planned}) < number:
        raise ConfigError("--sweep: the same value twice")
    parts = [run.config.data for run in planned if grid]
    if not all(data.validation_size or data.validation_source for data in parts):
        raise ConfigError("--sweep ranks in validation: data.validation_size cannot be 0")
    return Plan(Path(), config, grid, repeat, f"validation_{config.train.watch}", planned)


def _planned(config: Config, grid: dict[str, Any], repeat: int) -> Iterator[Run]:
    """The runs: seed s of a combination has the split_seed and seed of its config, plus s."""
    for c, combination in enumerate(itertools.product(*grid.values())):
        own = configs.changed(config, zip(grid, combination, strict=True))
        for s in range(repeat):
            seeds = [(name, configs.values(own)[name] + s) for name in SEEDS]
            yield Run(f"run-{c}-seed-{s}" if grid else f"seed-{s}", configs.changed(own, seeds))


def begin(folder: Path, plan: Plan) -> Plan:
    """Write down what to train, in an empty folder or one whose summary may become untrue."""
    (folder / runs.SWEEP_FILE).unlink(missing_ok=True)
    runs.write_config(folder, plan.config)
    about: dict[str, Any] = {"runs": plan.repeat} | ({"sweep": plan.grid} if plan.grid else {})
    files.write_json(folder / runs.REPEAT_FILE, about)
    return replace(plan, folder=folder)


def resume(folder: Path, overrides: list[str]) -> Plan:
    """The plan in a folder, perhaps with more epochs. Raises DataError and ConfigError."""
    old, config = read(folder), configs.load(folder / "config.toml", overrides)
    runs.check_config(folder, config, configs.values(old.config))
    runs.clear_report(folder)
    return begin(folder, plan(config, old.grid, old.repeat))


def read(folder: Path) -> Plan:
    """The plan in a folder. Raises DataError where there is none, ConfigError for its config."""
    path, config = folder / runs.REPEAT_FILE, configs.load(folder / "config.toml")
    with files.named(path, "read", DataError, Exception):
        about = files.read_json(path)
        grid = dict(about.get("sweep", {}))
        numbers = range(1 if grid else RUNS[0], RUNS.stop)
        repeat = numbers[numbers.index(about["runs"])]
        try:
            return replace(plan(config, grid, repeat), folder=folder)
        except ConfigError as error:
            raise DataError(f"{path}: is damaged: {error}") from None


def run(plan: Plan, stop: threading.Event) -> Iterator[Run]:
    """Train what is not trained yet, as many runs side by side as there are cores. Yields each as
    it ends. Once `stop` is set, no other run starts, and those at work end after their current
    step."""
    free, children = cores(), Children()
    threading.Thread(target=_interrupt, args=(stop, children), daemon=True).start()
    with ThreadPoolExecutor(len(free), initializer=_take_core, initargs=(free,)) as pool:
        futures = [pool.submit(_train, plan, run, children, stop) for run in plan.runs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:  # after an error or a second signal, leave no process behind
            for future in futures:
                future.cancel()
            while wait(futures, timeout=0.1).not_done:
                for child in children:
                    child.kill()


def _take_core(free: list[int]) -> None:
    """Give this thread and the processes that it starts one core, and so one thread of BLAS."""
    with contextlib.suppress(OSError, AttributeError):  # not every system can
        os.sched_setaffinity(0, {free.pop()})


def _interrupt(stop: threading.Event, children: Children) -> None:
    stop.wait()
    for child in children:
        child.send_signal(signal.SIGINT)


def _train(plan: Plan, run: Run, children: Children, stop: threading.Event) -> Run:
    """Train a run to its end, in a process of its own, unless it has ended or is not to start."""
    found = _with_result(plan, run)
    if found.result or stop.is_set():
        return found
    if not ((folder := plan.folder / run.name) / "config.toml").exists():
        files.make_folder(folder)
        runs.write_config(folder, run.config)
    # without a number of them, epochs follow from the rows
    epochs = [f"train.epochs={run.config.train.epochs}"] if run.config.train.epochs else []
    how = f"--resume={folder.absolute()}", *epochs, "--quiet"
    package = str(Path(__file__).parent.parent)
    command = [sys.executable, "-P", "-c", CHILD, package, "train", *how]
    pipes: Any = {"stdin": PIPE, "stdout": subprocess.DEVNULL, "stderr": PIPE}
    with files.named(Path(sys.executable), "started"):
        child = subprocess.Popen(command, **pipes, start_new_session=True)  # without Ctrl-C
    with child:
        children.append(child)
        if stop.is_set():
            child.send_signal(signal.SIGINT)
        said = b"".join(child.stderr or ()).decode(errors="backslashreplace").splitlines()
    if child.returncode:
        line = said[-1] if said else f"ended with exit code {child.returncode}"
        return run._replace(line=line.removeprefix("minnet: "))
    return _with_result(plan, run)


def ranking(plan: Plan) -> list[Tried]:
    """The combinations, the best one first; but last those that lack most results: a run that fails
    is a bad one, and a mean without it would flatter."""
    tried = []
    for i in range(0, len(plan.runs), plan.repeat):
        own = [_with_result(plan, run) for run in plan.runs[i : i + plan.repeat]]
        figures = [run.result[plan.figure] for run in own if run.result]
        x = np.array(figures or [0], float)  # NaN for the None of no validation part
        sd = float(x.std(ddof=1)) if len(x) > 1 else 0.0
        tried.append(Tried(own, float(x.mean()), sd))
    sign = 1 if plan.figure == "validation_loss" else -1
    return sorted(tried, key=lambda one: (-len(one.results), sign * one.mean))


def values(plan: Plan, run: Run) -> dict[str, Any]:
    """The values that the grid gave a run."""
    return {name: configs.values(run.config)[name] for name in plan.grid}


def table(plan: Plan, ranked: list[Tried]) -> list[list[str]]:
    """The ranking, below a head: values, the figure and its spread, how many runs ended, where."""
    rows = [["", *plan.grid, plan.figure.replace("_", " "), "ended", "folder"]]
    for place, one in enumerate(ranked, 1):
        (first, *_), n = one.runs, len(one.results)
        figure = f"{one.mean:.4f}{f' ± {one.sd:.4f}' * (n > 1)}" if n else ""
        cells = place, *values(plan, first).values(), figure, f"{n} of {plan.repeat}"
        rows.append([*map(str, cells), first.name.removesuffix("-seed-0")])
    return rows


def _with_result(plan: Plan, run: Run) -> Run:
    """The run with its result, if it needs no more training."""
    folder = plan.folder / run.name
    with contextlib.suppress(DataError):
        result = runs.read_result(folder / "result.json")
        epochs = configs.load(folder / "config.toml").train.epochs
        whole = run.config.train.epochs in (0, epochs) and not result["interrupted"]
        if whole and plan.figure in result:
            return run._replace(result=result)
    return run


def finish(plan: Plan, ranked: list[Tried]) -> dict[str, Mean]:
    """Write what the runs came to into the folder; returns the summary of the test figures of the
    best combination, empty if that is one run."""
    path, best = plan.folder / runs.REPEAT_FILE, ranked[0]
    figures = summary(plan.config, best.results) if plan.repeat > 1 else {}
    content = files.read_json(path) | {"ended": len(best.results)}
    if plan.grid:
        files.write(plan.folder / runs.SWEEP_FILE, _csv(plan, ranked).encode())
        content["chosen"] = values(plan, best.runs[0])
    files.write_json(path, content | {name: mean._asdict() for name, mean in figures.items()})
    return figures


def _csv(plan: Plan, ranked: list[Tried]) -> str:
    """A line for each run, those of the best combination first, alone with test figures."""
    lines, shown = [], [plan.figure, "best_epoch", "epochs", "seconds", *FIGURES]
    for one in ranked:
        for run in one.runs:
            found = configs.values(run.config) | (run.result or {}) | {"run": run.name}
            names = "run", *plan.grid, *SEEDS, *shown
            lines.append({name: found.get(name) for name in names})
        shown = shown[:4]
    writer = csv.DictWriter(text := io.StringIO(), lines[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def summary(config: Config, results: list[dict[str, Any]]) -> dict[str, Mean]:
    """Mean, standard deviation and interval of each figure over at least two results."""
    ratio = test_ratio(config, results[0])
    return {
        name: interval([result[name] for result in results], ratio, 0.0, top)
        for name, top in FIGURES.items()
    }


def test_ratio(config: Config, result: dict[str, Any]) -> float:
    """Rows of the test part for each of the others; 0 if it is a file, the same in each run."""
    rows = result["rows"]
    others = rows["train"] + rows.get("validation", 0)
    return 0.0 if config.data.test_source else rows["test"] / others


def interval(
    values: list[float], ratio: float, bottom: float = -math.inf, top: float = math.inf
) -> Mean:
    """A 95% interval, within `bottom` and `top`, of the mean of figures from splits of the same
    rows, with `ratio` test rows for each of the others. Splits share rows, so their figures vary
    less than those of new data would, and s^2 / n is too small. Nadeau and Bengio 2003 (section 3,
    "corrected resampled t-test") replace it by s^2 (1/n + n_test / n_train)."""
    from scipy.stats import t

    n, mean, sd = len(values), float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(t.ppf(0.975, n - 1)) * sd * math.sqrt(1 / n + ratio)
    return Mean(mean, sd, max(bottom, mean - half), min(top, mean + half))


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
