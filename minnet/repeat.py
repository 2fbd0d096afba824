"""The same run with several seeds, side by side, and what its figures come to: a mean and how sure it is."""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from minnet import config as configs
from minnet import runs, storage
from minnet.config import Config
from minnet.errors import ConfigError, DataError, MinnetError, one_line

FILE = storage.REPEAT_FILE
FIGURES = ("test_accuracy", "test_loss", "macro_f1")  # of result.json, which the summary has
MOST = 10_000  # runs
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM")}


@dataclass
class Plan:
    """A folder of runs, and the seed of each: run i has split_seed and seed of the config, plus i."""

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


@dataclass
class Mean:
    """The mean of a figure over n runs, its standard deviation (n - 1), and a 95% interval around the mean."""

    mean: float
    sd: float
    low: float
    high: float


@dataclass
class Ended:
    """One of the runs, over: its number, its exit code, its result.json, and its line on stderr if it failed."""

    number: int
    code: int
    result: dict[str, Any] | None
    line: str


def begin(folder: Path, config: Config, number: int) -> Plan:
    """Write down what is to be done."""
    plan = Plan(folder, config, number)
    storage.write(folder / "config.toml", configs.dumps(config).encode())
    storage.write_json(folder / FILE, {"runs": number})
    return plan


def go_on(folder: Path, overrides: list[str]) -> Plan:
    """The plan in a folder, to be taken up again, perhaps with more epochs. Raises DataError and ConfigError."""
    plan = read(folder)
    config = configs.load(folder / "config.toml", overrides)
    runs.check_config(folder, config, configs.values(plan.config))
    storage.clear_report(folder)
    return begin(folder, config, plan.runs)


def read(folder: Path) -> Plan:
    """The plan in a folder. Raises DataError where there is none that can be read."""
    try:
        number = json.loads((folder / FILE).read_bytes())["runs"]
        if type(number) is not int or not 2 <= number <= MOST:
            raise ValueError("it has no number of runs")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{one_line(folder / FILE)}: cannot be read: {one_line(error)}") from None
    return Plan(folder, configs.load(folder / "config.toml"), number)


def run(plan: Plan, stop: threading.Event) -> Iterator[Ended]:
    """Train what is not trained yet, as many runs side by side as there are cores, each a process of one thread; gives
    each as it ends, those that had ended before first.

    Once `stop` is set no other begins, and those at work are asked to end after the step at hand, as by Ctrl-C.
    """
    waiting, working, free = list(range(plan.runs)), list[_Work](), cores()
    asked = False
    try:
        while waiting or working:
            while waiting and free and not stop.is_set():
                i = waiting.pop(0)
                result = _whole_result(plan, i)
                if result is not None:
                    yield Ended(i, 0, result, "")
                else:
                    working.append(_start(plan, i, free.pop()))
            if stop.is_set() and not asked:
                waiting, asked = [], True
                for work in working:
                    work.process.send_signal(signal.SIGINT)
            for work in [work for work in working if work.process.poll() is not None]:
                working.remove(work)
                free.append(work.core)
                yield _ended(plan, work)
            time.sleep(0.01)
    finally:
        for work in working:
            work.process.kill()
            work.process.wait()
            work.errors.close()


@dataclass
class _Work:
    """A run at work: its number, its process, where that writes its errors, and the core that it has."""

    number: int
    process: subprocess.Popen
    errors: IO[bytes]
    core: int


def _start(plan: Plan, i: int, core: int) -> _Work:
    """Run i at work, or on its way again, on that core alone. Raises MinnetError where that fails."""
    folder = plan.folders[i]
    if not (folder / "config.toml").exists():
        storage.make_folder(folder)
        config = configs.load(plan.folder / "config.toml", plan.overrides(i))
        storage.write(folder / "config.toml", configs.dumps(config).encode())
    arguments = [f"--resume={folder.absolute()}", f"train.epochs={plan.config.train.epochs}", "--quiet"]
    package = str(Path(__file__).parent.parent)  # the children are of this minnet, wherever it lies
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the run has ended
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "minnet", "train", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C reaches it through `stop` alone, and so once
        )
    except OSError as error:
        raise MinnetError(f"{folder}: no process can be started: {error.strerror}") from None
    with contextlib.suppress(OSError, AttributeError):  # it may be over; and not every system can
        os.sched_setaffinity(process.pid, {core})
    return _Work(i, process, errors, core)


def _ended(plan: Plan, work: _Work) -> Ended:
    i, code = work.number, work.process.returncode
    with work.errors as errors:
        errors.seek(0)
        lines = errors.read().decode(errors="backslashreplace").splitlines()
    said = lines[-1].removeprefix("minnet: ") if lines else f"ended with exit code {code}"
    return Ended(i, code, _result(plan.folders[i]) if code == 0 else None, "" if code == 0 else said)


def _result(folder: Path) -> dict[str, Any] | None:
    try:
        result = json.loads((folder / "result.json").read_bytes())
    except (OSError, ValueError):
        return None
    return result if isinstance(result, dict) and {*FIGURES, "interrupted", "rows"} <= result.keys() else None


def _whole_result(plan: Plan, i: int) -> dict[str, Any] | None:
    """The result of a run that needs no more training."""
    result = _result(plan.folders[i])
    if result is None or result["interrupted"]:
        return None
    config = configs.load(plan.folders[i] / "config.toml")
    return result if config.train.epochs == plan.config.train.epochs else None


def summary(config: Config, results: list[dict[str, Any]]) -> dict[str, Mean]:
    """Mean, standard deviation and interval of each figure over at least two results."""
    ratio, tops = test_ratio(config, results[0]), {"test_loss": math.inf}
    return {name: interval([r[name] for r in results], ratio, 0.0, tops.get(name, 1.0)) for name in FIGURES}


def test_ratio(config: Config, result: dict[str, Any]) -> float:
    """Rows of the test part for each that was learned from, the validation part's among them; 0 where the test part
    is a file of its own, the same in each run."""
    rows = result["rows"]
    return 0.0 if config.data.test_source else rows["test"] / (rows["train"] + rows.get("validation", 0))


def interval(values: list[float], ratio: float, bottom: float = -math.inf, top: float = math.inf) -> Mean:
    """A 95% interval for the mean of figures that splits of the same rows gave, within `bottom` and `top`.

    Splits share rows, so that their figures vary less than those of fresh data would, and s^2 / n flatters.
    Nadeau and Bengio 2003 (section 3, "corrected resampled t-test") put s^2 (1/n + n_test / n_train) in its place.

    >>> found = interval([0.97, 0.98, 0.99], ratio=0.25)
    >>> round(found.mean, 4), round(found.sd, 4), round(found.low, 4), round(found.high, 4)
    (0.98, 0.01, 0.9471, 1.0129)
    """
    from scipy.stats import t

    n, mean, sd = len(values), float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(t.ppf(0.975, n - 1)) * sd * math.sqrt(1 / n + ratio)
    return Mean(mean, sd, max(bottom, mean - half), min(top, mean + half))


def finish(plan: Plan, results: list[dict[str, Any]]) -> dict[str, Mean]:
    """Write the summary of the results, at least two, into the folder; it comes back."""
    figures = summary(plan.config, results)
    content = {name: vars(mean) for name, mean in figures.items()}
    storage.write_json(plan.folder / FILE, {"runs": plan.runs, "ended": len(results), **content})
    return figures


def cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def check(number: int, config: Config) -> None:
    """Raises ConfigError for a number of runs that has no spread, or for which seeds run out."""
    if not 2 <= number <= MOST:
        raise ConfigError(f"--repeat: takes a number of runs from 2 to {MOST}, got {number}")
    try:
        configs.load(None, Plan(Path(), config, number).overrides(number - 1))
    except ConfigError as error:
        raise ConfigError(f"--repeat {number}: {error}") from None
