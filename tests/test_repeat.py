"""A run with several seeds: each is the run that one would start by hand, and what they come to is told with care."""

import contextlib
import dataclasses
import io
import json
import math
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from minnet import cli, config, repeat, storage, terminal

ROOT = Path(__file__).resolve().parent.parent
SEEDS = ("data.split_seed=5", "train.seed=7")
LONG = ("train.epochs=1500", "train.checkpoint_seconds=1000")  # only a run that ends in peace keeps its steps


@dataclasses.dataclass
class Answer:
    """How a command ended, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str

    def line(self) -> str:
        """All that it wrote to stderr: one line."""
        assert len(self.err.splitlines()) == 1
        assert self.err.startswith("minnet: ")
        return self.err.removeprefix("minnet: ").rstrip("\n")


def train(*arguments: str) -> Answer:
    """`minnet train` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(["train", *arguments])
    return Answer(code, out.getvalue(), err.getvalue())


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own, with rows of its own and a config for quick runs."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(os, "fsync", lambda file: None)  # no test could see what it does, and it takes long
    monkeypatch.chdir(tmp_path)
    write_rows()
    return tmp_path


def write_rows() -> None:
    rng = np.random.default_rng(0)
    rows = [f"{a + i % 3},{b - i % 3},{'xyz'[i % 3]}" for i, (a, b) in enumerate(rng.normal(size=(120, 2)).tolist())]
    Path("own.csv").write_text("\n".join(["a,b,label", *rows]) + "\n")
    Path("own.toml").write_text(
        "[data]\nsource = 'own.csv'\n[model]\nhidden = [8]\n[optimizer]\nlearning_rate = 0.01\n"
        "[train]\nepochs = 4\npatience = 0\nbatch_size = 20\n"
    )


@dataclasses.dataclass
class Child:
    """A process that was started: its arguments, environment and cores, and how many others were at work then."""

    arguments: list[str]
    env: dict[str, str]
    others: int
    cores: set[int] = dataclasses.field(default_factory=set)


def recorder(children: list[Child]) -> type[subprocess.Popen]:
    """Popen, but that it notes what it starts."""
    alive: list[subprocess.Popen] = []

    class Recorder(subprocess.Popen):
        def __init__(self, arguments, **options):
            others = sum(process.returncode is None for process in alive)
            self.noted = Child(arguments, options["env"], others)
            children.append(self.noted)
            super().__init__(arguments, **options)
            alive.append(self)

        def poll(self):
            if not self.noted.cores and self.returncode is None:
                with contextlib.suppress(OSError):
                    self.noted.cores = os.sched_getaffinity(self.pid)
            return super().poll()

    return Recorder


@pytest.fixture(scope="module")
def repeated(tmp_path_factory) -> tuple[Answer, Path, list[Child]]:
    """`train own.toml --repeat 3` with seeds of its own: what it said, its folder, and its processes."""
    folder, children = tmp_path_factory.mktemp("repeated"), []
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder):
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setattr(subprocess, "Popen", recorder(children))
        write_rows()
        answer = train("own.toml", *SEEDS, "--repeat", "3")
    return answer, folder / "runs/own", children


@pytest.fixture
def finished(repeated) -> Path:
    """A copy of its folder, to do with as one likes."""
    shutil.copytree(repeated[1], "mine")
    return Path("mine")


@pytest.fixture
def alone(monkeypatch):
    """No process can be started."""
    monkeypatch.setattr(subprocess, "Popen", None)


def script(commands: str, monkeypatch) -> None:
    """Each process that is started runs these commands of the shell, which start at once, and not Python."""
    Path("script").write_text(f"#!/bin/sh\n{commands}\n", encoding="utf-8")
    Path("script").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(Path("script").resolve()))


@pytest.fixture
def failing(monkeypatch):
    """Each process that is started ends with exit code 1 and no word, as one that the system has killed."""
    script("exit 1", monkeypatch)


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def end(folder: Path) -> tuple:
    """All that a run came to, but for its seconds."""
    lines = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    seconds = lines[0].index("seconds")
    figures = {name: figure for name, figure in result(folder).items() if name != "seconds"}
    assert set(files(folder)) == set(storage.RUN_FILES)
    return (folder / "model.npz").read_bytes(), [line[:seconds] + line[seconds + 1 :] for line in lines], figures


def by_hand(i: int, *arguments: str, first: tuple[int, int] = (0, 0)) -> tuple:
    """The end of run i, started alone and in this process."""
    seeds = (f"data.split_seed={first[0] + i}", f"train.seed={first[1] + i}")
    answer = train("own.toml", *arguments, *seeds, "--out", f"hand-{i}", "--overwrite")
    assert answer.code == 0
    return end(Path(f"hand-{i}"))


def begun(runs: int, *overrides: str, ended: tuple[int, ...] = ()) -> Path:
    """A repeated run of which these have ended, as if it had been stopped."""
    folder = Path("mine")
    folder.mkdir()
    repeat.begin(folder, config.load(Path("own.toml"), overrides), runs)
    for i in ended:
        seeds = (f"data.split_seed={i}", f"train.seed={i}")
        assert train("own.toml", *overrides, *seeds, "--out", str(folder / f"seed-{i}")).code == 0
    return folder


# The runs


def test_a_repeated_run_is_the_runs_that_one_would_start_by_hand(repeated):
    answer, folder, _ = repeated
    assert (answer.code, answer.err) == (0, "")
    assert {path.name for path in folder.iterdir()} == {"config.toml", "repeat.json", "seed-0", "seed-1", "seed-2"}
    ends = [end(folder / f"seed-{i}") for i in range(3)]
    assert ends == [by_hand(i, first=(5, 7)) for i in range(3)]
    assert len({model for model, _, _ in ends}) == 3


def test_seeds_start_from_those_of_the_config(repeated):
    folder = repeated[1]
    assert config.load(folder / "config.toml") == config.load(Path("own.toml"), SEEDS)
    for i in range(3):
        run = config.load(folder / f"seed-{i}/config.toml")
        assert (run.data.split_seed, run.train.seed) == (5 + i, 7 + i)
    assert "data.split_seed 5 to 7, train.seed 7 to 9" in repeated[0].out


def test_each_run_has_one_thread_and_a_core_of_its_own(repeated):
    children = repeated[2]
    assert len(children) == 3
    for child in children:
        assert {child.env[f"{library}_NUM_THREADS"] for library in ("OMP", "OPENBLAS")} == {"1"}
        assert len(child.cores) == 1
        assert child.cores <= os.sched_getaffinity(0)
        assert child.others < len(os.sched_getaffinity(0))
    if len(os.sched_getaffinity(0)) > 1:
        assert children[0].cores != children[1].cores


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_no_more_runs_are_at_work_than_there_are_cores(cores, monkeypatch):
    children = []
    monkeypatch.setattr(repeat, "cores", lambda: list(range(cores)))
    monkeypatch.setattr(subprocess, "Popen", recorder(children))
    script("exec sleep 0.1", monkeypatch)
    plan = repeat.read(begun(7))
    assert sorted(run.number for run in repeat.run(plan, threading.Event())) == list(range(7))
    assert max(child.others for child in children) == cores - 1


def test_without_a_way_to_ask_for_cores_all_are_counted(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    for count, cores in ((3, [0, 1, 2]), (None, [0])):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert repeat.cores() == cores


# What they come to

FIGURES = {"test_accuracy": 1, "test_loss": math.inf, "macro_f1": 1}  # and the most that each can be


def independent(values: list[float], factor: float, top: float) -> dict[str, float]:
    """Mean, sd and interval, with the standard library's mean and deviation and SciPy's interval."""
    mean, sd = statistics.mean(values), statistics.stdev(values)
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, mean, sd * factor)
    return {"mean": mean, "sd": sd, "low": max(0, low), "high": min(top, high)}


def test_the_summary_is_that_of_the_results(repeated):
    answer, folder, _ = repeated
    results = [result(folder / f"seed-{i}") for i in range(3)]
    summary = json.loads((folder / "repeat.json").read_text())
    assert (summary.pop("runs"), summary.pop("ended")) == (3, 3)
    assert summary.keys() == FIGURES.keys()
    factor = math.sqrt(1 / 3 + 24 / (76 + 20))  # Nadeau and Bengio's, for 24 test rows of 120
    for name, top in FIGURES.items():
        expected = independent([figures[name] for figures in results], factor, top)
        assert summary[name] == pytest.approx(expected, rel=1e-12)
        mean, sd, low, high = (f"{expected[key]:.4f}" for key in ("mean", "sd", "low", "high"))
        assert [*name.split("_"), mean, "±", sd, low, "to", high] in [line.split() for line in answer.out.splitlines()]
    assert "\n3 of 3 runs; the interval allows for splits that share rows (Nadeau and Bengio 2003)\n" in answer.out


def test_there_is_a_line_for_each_run_with_its_figures(repeated):
    answer, folder, _ = repeated
    lines = {line.split()[0]: line for line in answer.out.splitlines() if line.startswith("seed-")}
    assert sorted(lines) == ["seed-0", "seed-1", "seed-2"]
    for name, line in lines.items():
        figures = result(folder / name)
        shown = f"test accuracy {figures['test_accuracy']:.4f}, test loss {figures['test_loss']:.4f}, epoch "
        assert f"{shown}{figures['best_epoch']} of 4, " in line
    assert answer.out.endswith("\nsaved in runs/own\n")


# from a table of Student's t: by n, for n - 1 degrees of freedom
T_975 = {2: 12.706205, 3: 4.302653, 5: 2.776445, 10: 2.262157, 30: 2.045230}


@pytest.mark.parametrize("ratio", [0, 0.25, 3])
@pytest.mark.parametrize("n", T_975)
def test_an_interval_is_the_one_of_nadeau_and_bengio(n, ratio):
    rng = np.random.default_rng(n)
    for scale in (1e-6, 1, 1e6):
        values = (scale * rng.normal(size=n) + rng.normal()).tolist()
        found, mean, sd = repeat.interval(values, ratio), statistics.mean(values), statistics.stdev(values)
        half = T_975[n] * sd * math.sqrt(1 / n + ratio)
        assert (found.mean, found.sd) == pytest.approx((mean, sd), rel=1e-6)
        assert (found.high - found.low) / 2 == pytest.approx(half, rel=1e-4)
        assert (found.high + found.low) / 2 == pytest.approx(mean, rel=1e-6, abs=1e-9 * scale)


def test_an_interval_stays_within_its_bounds():
    values = [0.9, 0.95, 1.0]
    free, bound = repeat.interval(values, 0.25), repeat.interval(values, 0.25, 0, 1)
    assert free.high > 1 == bound.high
    assert (bound.low, bound.mean, bound.sd) == (free.low, free.mean, free.sd)
    assert repeat.interval([0.0, 0.5], 0.25, 0, 1).low == 0


def test_runs_that_agree_have_no_spread():
    assert repeat.interval([0.5, 0.5, 0.5], 0.25) == repeat.Mean(0.5, 0, 0.5, 0.5)


def test_of_independent_draws_95_percent_of_the_intervals_hold_the_mean():
    draws = np.random.default_rng(0).normal(3, 2, size=(2000, 5))
    found = [repeat.interval(row.tolist(), ratio=0) for row in draws]
    assert 0.93 < sum(one.low <= 3 <= one.high for one in found) / 2000 < 0.97


@pytest.mark.parametrize(
    ("rows", "ratio"),
    [
        ({"train": 60, "validation": 20, "test": 20}, 0.25),
        ({"train": 80, "test": 20}, 0.25),
        ({"train": 5, "test": 10}, 2),
    ],
)
def test_the_ratio_is_that_of_test_rows_to_all_others_and_0_with_a_test_file_of_its_own(rows, ratio):
    assert repeat.test_ratio(config.load(None), {"rows": rows}) == ratio
    assert repeat.test_ratio(config.load(None, ["data.source=a.csv", "data.test_source=b.csv"]), {"rows": rows}) == 0


def test_with_a_test_file_of_its_own_the_interval_is_of_its_rows_alone_and_says_so(alone):
    shutil.copy("own.csv", "test.csv")
    folder = begun(3, "data.test_source=test.csv", ended=(0, 1, 2))
    answer = train("--resume", "mine")
    assert (answer.code, answer.err) == (0, "")
    assert "3 of 3 runs; the interval is of these test rows alone: test.csv is the test part of each run" in answer.out
    values = [result(folder / f"seed-{i}")["test_loss"] for i in range(3)]
    summary = json.loads((folder / "repeat.json").read_text())
    assert summary["test_loss"] == pytest.approx(independent(values, math.sqrt(1 / 3), math.inf), rel=1e-12)


# Arguments


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--repeat", "1"], "--repeat: takes a number of runs from 2 to 10000, got 1"),
        (["--repeat", "0"], "--repeat: takes a number of runs from 2 to 10000, got 0"),
        (["--repeat=-3"], "--repeat: takes a number of runs from 2 to 10000, got -3"),
        (["--repeat", "-3"], "--repeat: takes a number of runs from 2 to 10000, got -3"),
        (["--repeat", "abc"], "argument --repeat: invalid int value: 'abc'"),
        (["--repeat", "2.5"], "argument --repeat: invalid int value: '2.5'"),
        (["--repeat"], "argument --repeat: expected one argument"),
        (["train.seed=4294967295", "--repeat", "2"], "--repeat 2: train.seed: must be below 4294967296"),
        (["data.split_seed=4294967290", "--repeat", "7"], "--repeat 7: data.split_seed: must be below 4294967296"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_line_and_makes_nothing(arguments, said, alone):
    before = files(Path())
    answer = train("own.toml", *arguments, "--out", "mine")
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.line()
    assert files(Path()) == before and not Path("mine").exists()


def test_seeds_may_run_up_to_the_last_one():
    repeat.check(2, config.load(None, ["train.seed=4294967294", "data.split_seed=4294967294"]))


@pytest.mark.parametrize("folder", ["mine", "mine/seed-0"])
def test_repeat_cannot_be_had_with_resume(folder, finished, alone):
    before = files(finished)
    answer = train("--resume", folder, "--repeat", "2")
    assert (answer.code, answer.out) == (2, "")
    assert "it takes no --out, --overwrite, --repeat or --print-config" in answer.line()
    assert files(finished) == before


def test_the_config_is_printed_and_nothing_trained(alone):
    answer = train("own.toml", *SEEDS, "--repeat", "3", "--print-config")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == config.dumps(config.load(Path("own.toml"), SEEDS)).rstrip() + "\n"
    assert not Path("runs").exists()


# Going on


def test_a_finished_one_is_summarised_again_and_quiet_says_nothing(repeated, finished, alone):
    before = files(finished)
    answer = train("--resume", "mine")
    assert (answer.code, answer.err) == (0, "")
    assert summary_of(answer) == summary_of(repeated[0])
    assert train("--resume", "mine", "--quiet") == Answer(0, "", "")
    assert files(finished) == before


def summary_of(answer: Answer) -> str:
    return answer.out.partition("\n\n ")[2].rpartition("\n\n")[0]


def test_only_what_is_missing_is_trained(finished):
    summary, kept = (finished / "repeat.json").read_bytes(), {i: times(finished / f"seed-{i}") for i in (0, 2)}
    (finished / "repeat.json").write_text('{"runs": 3}')
    shutil.rmtree(finished / "seed-1")
    assert train("--resume", "mine", "--quiet") == Answer(0, "", "")
    assert {i: times(finished / f"seed-{i}") for i in (0, 2)} == kept
    assert end(finished / "seed-1") == by_hand(1, first=(5, 7))
    assert (finished / "repeat.json").read_bytes() == summary


def test_more_epochs_are_for_all_runs_and_are_not_forgotten(failing, monkeypatch):
    children = []
    monkeypatch.setattr(subprocess, "Popen", recorder(children))
    begun(3, ended=(0, 1))
    for epochs in (["train.epochs=6"], []):  # and both times the runs fail
        children.clear()
        train("--resume", "mine", *epochs)
        assert sorted(child.arguments[4:] for child in children) == [
            [f"--resume={Path('mine').absolute()}/seed-{i}", "train.epochs=6", "--quiet"] for i in range(3)
        ]
    assert json.loads(Path("mine/repeat.json").read_text()) == {"runs": 3}


@pytest.mark.parametrize("override", ["train.seed=5", "model.hidden=[3]", "train.epochs=1", "data.split_seed=9"])
def test_other_changes_are_refused_and_change_nothing(override, alone):
    folder = begun(2)
    before = files(folder)
    answer = train("--resume", "mine", override)
    assert answer.code == 2
    assert answer.line().startswith("mine: the run goes on only with the config that it was begun with: ")
    assert files(folder) == before


def test_its_processes_are_of_the_same_minnet(failing, monkeypatch):
    children = []
    monkeypatch.setattr(subprocess, "Popen", recorder(children))
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    train("--resume", str(begun(2)))
    package = Path(repeat.__file__).parent.parent
    assert all(child.env["PYTHONPATH"] == f"{package}{os.pathsep}elsewhere" for child in children)
    assert len(children) == 2


@pytest.mark.parametrize("name", ["a=b", "-d", "with space"])
def test_a_folder_may_have_any_name(name):
    assert train("own.toml", "--repeat", "2", f"--out={name}", "--quiet") == Answer(0, "", "")
    assert json.loads(Path(name, "repeat.json").read_text())["ended"] == 2


def live(folder: Path) -> list[str]:
    """The processes that have this folder among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += [path.parent.name] if str(folder).encode() in path.read_bytes() else []
    return found


def stopped(number: signal.Signals, *arguments: str, meanwhile: Callable[[], object] = lambda: None) -> Answer:
    """A process of `minnet train` that gets a signal as soon as one of its runs is at work."""
    before = lengths()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-m", "minnet", "train", *arguments], **pipes) as process:
        try:
            while process.poll() is None and lengths() <= before + 2:  # beyond the two first lines of two runs
                time.sleep(0.01)
            meanwhile()
            process.send_signal(number)
            out, err = process.communicate(timeout=100)
        finally:
            process.kill()
    return Answer(process.returncode, out, err)


def lengths() -> int:
    return sum(path.read_text().count("\n") for path in Path("mine").glob("seed-*/metrics.csv"))


def test_one_that_is_stopped_and_goes_on_ends_with_the_bits_of_one_that_never_was(here):
    def others_are_refused():
        assert len(live(here)) > 1  # itself and a run
        for arguments in (["--resume", "mine"], ["own.toml", "--repeat", "2", "--out", "mine", "--overwrite"]):
            assert train(*arguments, "--quiet").line().startswith("mine: another run is at work there; ")

    folder, steps = str(here / "mine"), [0]
    for number, code, arguments in (
        (signal.SIGINT, 130, ["own.toml", *LONG, "--repeat", "2", "--out", folder]),
        (signal.SIGTERM, 143, ["--resume", folder]),
    ):
        answer = stopped(number, *arguments, meanwhile=others_are_refused)
        assert answer.code == code
        said = rf"interrupted after [01] of 2 runs; minnet train --resume {re.escape(folder)} goes on"
        assert re.fullmatch(said, answer.line())
        assert live(here) == []
        checkpoints = [storage.read_checkpoint(path)[1] for path in Path("mine").glob("seed-*/checkpoint.npz")]
        steps.append(sum(entries["t"] for entries in checkpoints))
        assert json.loads(Path("mine/repeat.json").read_text()) == {"runs": 2}
    assert steps[0] < steps[1] < steps[2]
    assert train("--resume", "mine", "--quiet") == Answer(0, "", "")
    assert [end(Path(f"mine/seed-{i}")) for i in range(2)] == [by_hand(i, *LONG) for i in range(2)]
    assert json.loads(Path("mine/repeat.json").read_text())["ended"] == 2


def test_an_error_or_a_second_signal_leaves_no_process_behind(monkeypatch):
    script("exec sleep 1000", monkeypatch)
    started, start = [], repeat._start

    monkeypatch.setattr(repeat, "_start", lambda *arguments: started.append(start(*arguments)) or started[-1])
    runs = repeat.run(repeat.read(begun(2)), threading.Event())
    monkeypatch.setattr(time, "sleep", lambda seconds: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        next(runs)
    assert started and all(work.process.returncode == -signal.SIGKILL for work in started)


# Runs that fail


def test_a_run_that_fails_is_named_with_its_reason_and_left_out_of_the_summary():
    folder = begun(3, ended=(0, 1, 2))
    (folder / "seed-1/result.json").unlink()
    (folder / "seed-1/checkpoint.npz").write_bytes(b"x")
    answer = train("--resume", "mine")
    assert answer.code == 1
    note, line = answer.err.splitlines()
    assert re.fullmatch(r"minnet: note: seed-1: \S+/mine/seed-1/checkpoint.npz: is .*", note)
    assert line == "minnet: 1 of 3 runs failed, and no figure has them in it"
    assert "\n2 of 3 runs; the interval " in answer.out
    summary = json.loads((folder / "repeat.json").read_text())
    assert (summary["runs"], summary["ended"]) == (3, 2)
    values = [result(folder / f"seed-{i}")["test_loss"] for i in (0, 2)]
    assert summary["test_loss"] == pytest.approx(independent(values, math.sqrt(1 / 2 + 1 / 4), math.inf), rel=1e-12)


def test_a_file_in_the_place_of_a_run_is_a_problem_on_one_line():
    folder = begun(2)
    (folder / "seed-0").write_text("mine")
    answer = train("--resume", "mine")
    assert (answer.code, answer.line()) == (1, "mine/seed-0: cannot be made: File exists")


@pytest.mark.parametrize("damaged", ["{}", "[]", "{", '{"interrupted": false}'])
def test_a_result_that_is_damaged_is_made_anew(damaged, finished):
    whole = files(finished)
    (finished / "seed-1/result.json").write_text(damaged)
    assert train("--resume", "mine", "--quiet") == Answer(0, "", "")
    assert end(finished / "seed-1") == by_hand(1, first=(5, 7))
    assert files(finished)["repeat.json"] == whole["repeat.json"]


@pytest.mark.parametrize("ended", [(), (0,)])
def test_fewer_than_two_results_give_no_summary(ended, failing):
    folder = begun(2, ended=ended)
    answer = train("--resume", "mine")
    assert answer.code == 1
    failed = [i for i in range(2) if i not in ended]
    assert answer.err.splitlines() == [
        *(f"minnet: note: seed-{i}: ended with exit code 1" for i in failed),
        f"minnet: {len(failed)} of 2 runs failed, and no figure has them in it",
    ]
    assert "interval" not in answer.out
    assert json.loads((folder / "repeat.json").read_text()) == {"runs": 2}


def test_the_line_of_a_run_that_fails_is_its_last(monkeypatch):
    script("echo 'minnet: note: first' >&2; echo 'minnet: é größer' >&2; exit 3", monkeypatch)
    runs = repeat.run(repeat.read(begun(2)), threading.Event())
    assert {(run.code, run.result, run.line) for run in runs} == {(3, None, "é größer")}


# The folder


NO_PLANS = {
    "empty": b"",
    "cut short": b'{"runs": ',
    "no UTF-8": b"\xff\xfe\xfd",
    "a list": b"[3]",
    "no number": b"{}",
    "a number of another kind": b'{"runs": 2.5}',
    "a truth": b'{"runs": true}',
    "a text": b'{"runs": "3"}',
    "too few": b'{"runs": 1}',
}


@pytest.mark.parametrize("content", NO_PLANS.values(), ids=NO_PLANS)
def test_a_plan_that_is_damaged_is_a_problem_that_changes_nothing(content, alone):
    folder = begun(2)
    (folder / "repeat.json").write_bytes(content)
    before = files(folder)
    answer = train("--resume", "mine")
    assert (answer.code, answer.out) == (1, "")
    assert answer.line().startswith("mine/repeat.json: cannot be read: ")
    assert files(folder) == before


def test_a_plan_without_its_config_is_a_problem(alone):
    folder = begun(2)
    (folder / "config.toml").unlink()
    answer = train("--resume", "mine")
    assert answer.code == 2
    assert answer.line().startswith("mine/config.toml: cannot read this config: ")


def test_a_folder_with_a_repeated_run_in_it_is_refused(finished, alone):
    before = files(finished)
    assert train("own.toml", "--repeat", "2", "--out", "mine").line().startswith("mine: exists; ")
    assert files(finished) == before


def test_overwrite_lets_all_its_runs_go_and_no_other_files(finished):
    (finished / "seed-1/notes.txt").write_text("mine")
    (finished / "seed-old").mkdir()
    (finished / "seed-old/model.npz").write_text("mine")
    (finished / "seed-2/.checkpoint.npz.77.tmp").write_text("of a child that was killed")
    assert train("own.toml", "--out", "mine", "--overwrite").code == 0
    assert files(finished).keys() == {*storage.RUN_FILES, "seed-1/notes.txt", "seed-old/model.npz"}
    assert not (finished / "seed-0").exists() and not (finished / "seed-2").exists()
    assert train("--resume", "mine", "train.epochs=5").code == 0  # it is now a plain run
    assert result(finished)["epochs"] == 5


def test_a_run_that_is_repeated_with_fewer_seeds_leaves_none_of_the_more(finished, failing):
    assert train("own.toml", "--repeat", "2", "--out", "mine", "--overwrite").code == 1
    assert files(finished).keys() == {"config.toml", "repeat.json", "seed-0/config.toml", "seed-1/config.toml"}


def test_each_of_its_runs_is_a_run_to_go_on_with_alone(finished, alone):
    assert train("--resume", "mine/seed-1", "train.epochs=6").code == 0
    assert end(finished / "seed-1") == by_hand(1, "train.epochs=6", first=(5, 7))


def test_what_is_said_at_the_start_names_the_runs_at_once():
    plan = repeat.Plan(Path("mine"), config.load(None, ["data.split_seed=3"]), 4)
    assert terminal.repeating(plan, 2) == "4 runs, 2 at a time: data.split_seed 3 to 6, train.seed 0 to 3\n"
