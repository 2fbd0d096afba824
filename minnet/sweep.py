"""The same run with several seeds, side by side, and what its figures come to: mean and spread."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from pathlib import Path
from subprocess import PIPE
from typing import Any, NamedTuple

import numpy as np

from minnet import config as configs
from minnet import files, runs
from minnet.config import Config
from minnet.errors import ConfigError, DataError

FIGURES = {"test_accuracy": 1.0, "test_loss": math.inf, "macro_f1": 1.0}  # and their upper bounds
RUNS = range(2, 10_001)
Children = list[subprocess.Popen[bytes]]
CHILD = """import sys, threading
sys.path.insert(0, sys.argv.pop(1))
from minnet import cli, sweep
threading.Thread(target=sweep.end_with_parent, daemon=True).start()
sys.exit(cli.main(sys.argv[1:]))"""


class Plan(NamedTuple):
    """A folder of runs: run i, in seed-i, has split_seed and seed of the config, plus i."""

    folder: Path
    config: Config
    runs: int

    @property
    def folders(self) -> list[Path]:
        """The folder of each run."""
        return [self.folder / f"seed-{i}" for i in range(self.runs)]

    def overrides(self, i: int) -> list[str]:
        """What sets run i apart."""
        data, train = self.config.data, self.config.train
        return [f"data.split_seed={data.split_seed + i}", f"train.seed={train.seed + i}"]


class Mean(NamedTuple):
    """The mean of a figure, its standard deviation (n - 1), and a 95% interval of the mean."""

    mean: float
    sd: float
    low: float
    high: float


class Ended(NamedTuple):
    """A run that has ended: its result.json, or what it said when it failed."""

    number: int
    result: dict[str, Any] | None
    line: str = ""


def check(number: int, config: Config) -> None:
    """Raise ConfigError for a number of runs without a spread, or for which seeds run out."""
    if number not in RUNS:
        raise ConfigError(f"--repeat takes 2 to {RUNS[-1]} runs, got {number}")
    try:
        configs.load(None, Plan(Path(), config, number).overrides(number - 1))
    except ConfigError as error:
        raise ConfigError(f"--repeat {number}: {error}") from None


def begin(folder: Path, config: Config, number: int) -> Plan:
    """Write down what to train, in an empty folder."""
    files.write(folder / "config.toml", configs.dumps(config).encode())
    files.write_json(folder / runs.REPEAT_FILE, {"runs": number})
    return Plan(folder, config, number)


def resume(folder: Path, overrides: list[str]) -> Plan:
    """The plan in a folder, perhaps with more epochs. Raises DataError and ConfigError."""
    plan = read(folder)
    config = configs.load(folder / "config.toml", overrides)
    runs.check_config(folder, config, configs.values(plan.config))
    runs.clear_report(folder)
    return begin(folder, config, plan.runs)


def read(folder: Path) -> Plan:
    """The plan in a folder. Raises DataError where there is none."""
    path = folder / runs.REPEAT_FILE
    with files.named(path, "read", DataError, Exception):
        number = RUNS[RUNS.index(files.read_json(path)["runs"])]
    return Plan(folder, configs.load(folder / "config.toml"), number)


def run(plan: Plan, stop: threading.Event) -> Iterator[Ended]:
    """Train what is not trained yet, as many runs side by side as there are cores. Yields each as
    it ends. Once `stop` is set, no other run starts, and those at work end after their current
    step."""
    free, children = cores(), Children()
    threading.Thread(target=_interrupt, args=(stop, children), daemon=True).start()
    with ThreadPoolExecutor(len(free), initializer=_take_core, initargs=(free,)) as pool:
        futures = [pool.submit(_train, plan, i, children, stop) for i in range(plan.runs)]
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


def _train(plan: Plan, i: int, children: Children, stop: threading.Event) -> Ended:
    """Train run i to its end, in a process of its own, unless it has ended or is not to start."""
    if (result := _whole_result(plan, i)) or stop.is_set():
        return Ended(i, result)
    folder, package = plan.folders[i], Path(__file__).parent.parent
    if not (folder / "config.toml").exists():
        files.make_folder(folder)
        config = configs.load(plan.folder / "config.toml", plan.overrides(i))
        files.write(folder / "config.toml", configs.dumps(config).encode())
    how = f"--resume={folder.absolute()}", f"train.epochs={plan.config.train.epochs}", "--quiet"
    command = [sys.executable, "-P", "-c", CHILD, str(package), "train", *how]
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
        return Ended(i, None, line.removeprefix("minnet: "))
    return Ended(i, _whole_result(plan, i))


def end_with_parent() -> None:
    """Wait until the process that started this one has ended, in whatever way, and so closed its
    end of standard input; then end, too."""
    os.read(0, 1)
    os._exit(1)


def results(plan: Plan) -> list[dict[str, Any]]:
    """The results of the runs that have ended."""
    return [result for i in range(plan.runs) if (result := _whole_result(plan, i))]


def _whole_result(plan: Plan, i: int) -> dict[str, Any] | None:
    """The result of a run that needs no more training."""
    with contextlib.suppress(DataError, TypeError, KeyError):
        result = files.read_json(plan.folders[i] / "result.json")
        epochs = configs.load(plan.folders[i] / "config.toml").train.epochs
        if epochs == plan.config.train.epochs and not result["interrupted"]:
            return result
    return None


def finish(plan: Plan, results: list[dict[str, Any]]) -> dict[str, Mean]:
    """Write the summary of at least two results into the folder, and return it."""
    figures = summary(plan.config, results)
    content: dict[str, Any] = {"runs": plan.runs, "ended": len(results)}
    content |= {name: mean._asdict() for name, mean in figures.items()}
    files.write_json(plan.folder / runs.REPEAT_FILE, content)
    return figures


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
