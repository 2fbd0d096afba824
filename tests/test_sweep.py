"""A run with several seeds is the runs that one would start by hand; what they come to is told with
care, and no process outlives the one that started it."""

import contextlib
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
from typing import ClassVar

import numpy as np
import pytest
import scipy.stats
from running import ROOT, Answer, end, files, result, train, write_rows

from minnet import config, sweep
from minnet.files import load_sealed
from minnet.runs import REPORT_MARK, RUN_FILES

SEEDS = ("data.split_seed=5", "train.seed=7")
LONG = ("train.epochs=400", "train.checkpoint_seconds=0.2")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own, with rows of its own and a config for quick runs."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    write_rows()
    return tmp_path


class Recorder(subprocess.Popen):
    """Popen, which also notes its arguments, environment and cores, and how many were at work."""

    started: ClassVar[list["Recorder"]] = []

    def __init__(self, arguments, **options):
        super().__init__(arguments, **options)
        self.arguments, self.env = arguments, options["env"]
        self.cores, self.session = os.sched_getaffinity(self.pid), os.getsid(self.pid)
        self.others = sum(process.returncode is None for process in self.started)
        self.started.append(self)


@pytest.fixture(scope="module")
def repeated(tmp_path_factory) -> tuple[Answer, Path, list[Recorder]]:
    """`train own.toml --repeat 3`: its answer, its folder, and its processes."""
    folder = tmp_path_factory.mktemp("repeated")
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder):
        patch.setattr(subprocess, "Popen", Recorder)
        Recorder.started.clear()
        write_rows()
        Path("json.py").write_text("1 / 0")  # is not taken for Python's own
        answer = train("own.toml", *SEEDS, "--repeat", "3")
    return answer, folder / "runs/own", [*Recorder.started]


@pytest.fixture
def finished(repeated) -> Path:
    """A copy of its folder, to change."""
    shutil.copytree(repeated[1], "mine")
    return Path("mine")


@pytest.fixture
def alone(monkeypatch):
    """No process can be started."""
    monkeypatch.setattr(subprocess, "Popen", None)


def script(commands: str, monkeypatch) -> list[Recorder]:
    """Processes run these commands of the shell instead of Python; notes which are started."""
    Path("script").write_text(f"#!/bin/sh\n{commands}\n", encoding="utf-8")
    Path("script").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(Path("script").resolve()))
    monkeypatch.setattr(subprocess, "Popen", Recorder)
    Recorder.started.clear()
    return Recorder.started


def by_hand(i: int, *arguments: str, first: tuple[int, int] = (0, 0)) -> tuple:
    """The end of run i, started alone and in this process."""
    seeds = (f"data.split_seed={first[0] + i}", f"train.seed={first[1] + i}")
    hand = ("--out", f"hand-{i}", "--overwrite")
    assert train("own.toml", *arguments, *seeds, *hand).code == 0
    return end(f"hand-{i}")


def begun(number: int, *overrides: str, ended: tuple[int, ...] = ()) -> Path:
    """A repeated run of which these have ended, as if it had been stopped."""
    folder = Path("mine")
    folder.mkdir()
    sweep.begin(folder, config.load(Path("own.toml"), overrides), number)
    for i in ended:
        seeds = (f"data.split_seed={i}", f"train.seed={i}")
        assert train("own.toml", *overrides, *seeds, f"--out=mine/seed-{i}").code == 0
    return folder


def repeat_json(folder: Path = Path("mine")) -> dict:
    return json.loads((folder / "repeat.json").read_text())


# The runs


def test_a_repeated_run_is_the_runs_that_one_would_start_by_hand(repeated):
    answer, folder, _ = repeated
    assert (answer.code, answer.err) == (0, "")
    folders = [f"seed-{i}" for i in range(3)]
    assert {path.name for path in folder.iterdir()} == {"config.toml", "repeat.json", *folders}
    ends = [end(folder / name) for name in folders]
    assert ends == [by_hand(i, first=(5, 7)) for i in range(3)]
    assert len({model for model, _, _ in ends}) == 3
    assert config.load(folder / "config.toml") == config.load(Path("own.toml"), SEEDS)
    for i, name in enumerate(folders):
        own = config.load(folder / name / "config.toml")
        assert (own.data.split_seed, own.train.seed) == (5 + i, 7 + i)
    assert "data.split_seed 5 to 7, train.seed 7 to 9" in answer.out


def test_each_run_has_one_thread_and_a_core_of_its_own(repeated):
    children, cores = repeated[2], os.sched_getaffinity(0)
    assert len(children) == 3
    for child in children:
        assert {child.env[f"{name}_NUM_THREADS"] for name in ("OMP", "OPENBLAS")} == {"1"}
        assert child.session == child.pid  # Ctrl-C in a terminal does not reach it
        assert len(child.cores) == 1
        assert child.cores <= cores
        assert child.others < len(cores)
    if len(cores) > 1:
        assert children[0].cores != children[1].cores


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_no_more_runs_are_at_work_than_there_are_cores(cores, monkeypatch):
    children = script("exec sleep 0.1", monkeypatch)
    monkeypatch.setattr(sweep, "cores", lambda: list(range(cores)))
    plan = sweep.read(begun(7))
    assert sorted(run.number for run in sweep.run(plan, threading.Event())) == list(range(7))
    assert max(child.others for child in children) == cores - 1


def test_without_a_way_to_ask_for_cores_all_are_counted_and_runs_share_them(monkeypatch):
    script("exit 0", monkeypatch)
    monkeypatch.setattr(subprocess, "Popen", Recorder.__base__)
    for name in ("sched_getaffinity", "sched_setaffinity"):
        monkeypatch.delattr(os, name)
    for count, cores in ((None, [0]), (3, [0, 1, 2])):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert sweep.cores() == cores
    assert len([*sweep.run(sweep.read(begun(2)), threading.Event())]) == 2


# What they come to

FIGURES = {"test_accuracy": 1, "test_loss": math.inf, "macro_f1": 1}  # and their upper bounds


def independent(values: list[float], factor: float, top: float) -> dict[str, float]:
    """Mean, sd and interval, by the standard library and SciPy's interval."""
    mean, sd = statistics.mean(values), statistics.stdev(values)
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, mean, sd * factor)
    return {"mean": mean, "sd": sd, "low": max(0, low), "high": min(top, high)}


def test_the_summary_is_that_of_the_results_and_each_run_has_its_line(repeated):
    answer, folder, _ = repeated
    results, summary = [result(folder / f"seed-{i}") for i in range(3)], repeat_json(folder)
    assert (summary.pop("runs"), summary.pop("ended")) == (3, 3)
    assert summary.keys() == FIGURES.keys()
    lines = [line.split() for line in answer.out.splitlines()]
    for name, top in FIGURES.items():
        values = [figures[name] for figures in results]
        # Nadeau and Bengio's, for 24 test rows of 120
        expected = independent(values, math.sqrt(1 / 3 + 24 / (76 + 20)), top)
        assert summary[name] == pytest.approx(expected, rel=1e-12)
        mean, sd, low, high = (f"{expected[key]:.4f}" for key in ("mean", "sd", "low", "high"))
        assert [*name.split("_"), mean, "±", sd, low, "to", high] in lines
    assert "\n3 of 3 runs; the interval accounts for splits that share rows" in answer.out
    for i, figures in enumerate(results):
        (line,) = [line for line in answer.out.splitlines() if line.startswith(f"seed-{i} ")]
        accuracy, loss = f"{figures['test_accuracy']:.4f}", f"{figures['test_loss']:.4f}"
        assert f"test accuracy {accuracy}, test loss {loss}, epoch {figures['best_epoch']}" in line
    assert answer.out.endswith("\nsaved in runs/own\n")


# from a table of Student's t: by n, for n - 1 degrees of freedom
T_975 = {2: 12.706205, 3: 4.302653, 5: 2.776445, 10: 2.262157, 30: 2.045230}


@pytest.mark.parametrize("n", T_975)
def test_an_interval_is_the_one_of_nadeau_and_bengio(n):
    rng = np.random.default_rng(n)
    for scale, ratio in ((1e-6, 0), (1, 0.25), (1e6, 3)):
        values = (scale * rng.normal(size=n) + rng.normal()).tolist()
        found, mean, sd = sweep.interval(values, ratio), np.mean(values), np.std(values, ddof=1)
        half = T_975[n] * sd * math.sqrt(1 / n + ratio)
        assert (found.mean, found.sd) == pytest.approx((mean, sd), rel=1e-6)
        assert (found.high - found.low) / 2 == pytest.approx(half, rel=1e-4)
        assert (found.high + found.low) / 2 == pytest.approx(mean, rel=1e-6, abs=1e-9 * scale)


def test_an_interval_stays_within_its_bounds_and_holds_the_mean_as_often_as_it_says():
    values = [0.9, 0.95, 1.0]
    free, bound = sweep.interval(values, 0.25), sweep.interval(values, 0.25, 0, 1)
    assert free.high > 1 == bound.high
    assert (bound.low, bound.mean, bound.sd) == (free.low, free.mean, free.sd)
    assert sweep.interval([0.0, 0.5], 0.25, 0, 1).low == 0
    assert sweep.interval([0.5, 0.5, 0.5], 0.25) == sweep.Mean(0.5, 0, 0.5, 0.5)
    draws = np.random.default_rng(0).normal(3, 2, size=(2000, 5))  # independent
    found = [sweep.interval(row.tolist(), ratio=0) for row in draws]
    assert 0.93 < sum(one.low <= 3 <= one.high for one in found) / 2000 < 0.97


def test_the_ratio_is_that_of_test_rows_to_all_others_and_0_with_a_test_file(alone):
    for rows, ratio in (((60, 20, 20), 0.25), ((80, 0, 20), 0.25), ((5, 0, 10), 2)):
        parts = dict(zip(("train", "validation", "test"), rows, strict=True))
        given = {"rows": {name: n for name, n in parts.items() if n}}
        assert sweep.test_ratio(config.load(None), given) == ratio
    shutil.copy("own.csv", "test.csv")
    begun(3, "data.test_source=test.csv", ended=(0, 1, 2))
    answer = train("--resume", "mine")
    assert (answer.code, answer.err) == (0, "")
    assert (
        "3 of 3 runs; the interval is for these test rows only: each run is tested on test.csv"
        in answer.out
    )
    values = [result(f"mine/seed-{i}")["test_loss"] for i in range(3)]
    expected = independent(values, math.sqrt(1 / 3), math.inf)
    assert repeat_json()["test_loss"] == pytest.approx(expected, rel=1e-12)


# Arguments


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--repeat", "1"], "--repeat: takes a number of runs from 2 to 10000, got 1"),
        (["--repeat", "-3"], "--repeat: takes a number of runs from 2 to 10000, got -3"),
        (["--repeat", "abc"], "--repeat: invalid int value: 'abc'"),
        (["train.seed=4294967295", "--repeat", "2"], "--repeat 2: train.seed: must be below 429"),
        (["data.split_seed=4294967290", "--repeat", "7"], "--repeat 7: data.split_seed: must be"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_line_and_makes_nothing(arguments, said, alone):
    answer = train("own.toml", *arguments, "--out", "mine")
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.line()
    assert files().keys() == {"own.csv", "own.toml"}
    sweep.check(2, config.load(None, ["train.seed=4294967294", "data.split_seed=4294967294"]))


# Resuming


def summary_of(answer: Answer) -> str:
    return answer.out.partition("\n\n ")[2].rpartition("\n\n")[0]


def test_a_finished_one_is_summarised_again_and_quiet_says_nothing(repeated, finished, alone):
    before = files(finished)
    (finished / "report.html").write_text(REPORT_MARK)  # is removed, as it may be untrue
    answer = train("--resume", "mine")
    assert (answer.code, answer.err) == (0, "")
    assert summary_of(answer) == summary_of(repeated[0])
    assert train("--resume", "mine", "--quiet") == Answer(0, "", "")
    assert files(finished) == before


def test_only_what_is_missing_or_damaged_is_trained(finished):
    summary, kept = (finished / "repeat.json").read_bytes(), finished / "seed-0/model.npz"
    time = kept.stat().st_mtime_ns
    (finished / "repeat.json").write_text('{"runs": 3}')
    shutil.rmtree(finished / "seed-1")
    plan = sweep.read(finished)
    for damaged in ("[]", "{", '{"interrupted": false}'):
        (finished / "seed-2/result.json").write_text(damaged)
        assert sweep._whole_result(plan, 2) is None
    assert train("--resume", "mine", "--quiet") == Answer(0, "", "")
    assert kept.stat().st_mtime_ns == time
    for i in (1, 2):
        assert end(finished / f"seed-{i}") == by_hand(i, first=(5, 7))
    assert (finished / "repeat.json").read_bytes() == summary


def test_more_epochs_are_for_all_runs_and_are_not_forgotten(monkeypatch):
    children = script("exit 1", monkeypatch)
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    begun(3, ended=(0, 1))
    for epochs in (["train.epochs=6"], []):  # and both times the runs fail
        children.clear()
        train("--resume", "mine", *epochs)
        assert sorted(child.arguments[-3:] for child in children) == [
            [f"--resume={Path('mine').absolute()}/seed-{i}", "train.epochs=6", "--quiet"]
            for i in range(3)
        ]
        path = f"{Path(sweep.__file__).parent.parent}{os.pathsep}elsewhere"
        assert {child.env["PYTHONPATH"] for child in children} == {path}  # of the same minnet
    assert repeat_json() == {"runs": 3}


def test_other_changes_are_refused_and_change_nothing(alone):
    folder = begun(2)
    before = files(folder)
    answer = train("--resume", "mine", "train.seed=5")
    assert answer.code == 2
    assert answer.line().startswith("mine: the config of a run cannot change, except for more")
    assert files(folder) == before


# Processes


def live(folder: Path) -> list[int]:
    """The processes that have this folder among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def stopped(
    number: signal.Signals, *arguments: str, meanwhile: Callable[[], object] = lambda: None
) -> Answer:
    """A process of `minnet train` that gets a signal as soon as two of its runs are at work."""

    def lengths() -> int:
        paths = Path("mine").glob("seed-*/metrics.csv")
        return sum(path.read_text().count("\n") for path in paths)

    before = lengths()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-m", "minnet", "train", *arguments]
    with subprocess.Popen(command, **pipes) as process:
        try:
            while process.poll() is None and lengths() <= before + 2:  # two lines of heads
                time.sleep(0.01)
            meanwhile()
            process.send_signal(number)
            out, err = process.communicate(timeout=100)
        finally:
            process.kill()
    return Answer(process.returncode, out, err)


def steps() -> int:
    """The steps in the checkpoints of all runs."""
    paths = Path("mine").glob("seed-*/checkpoint.npz")
    return sum(int(load_sealed(path, "checkpoint")[0]["t"]) for path in paths)


def test_one_that_is_stopped_and_killed_and_resumed_ends_with_the_bits_of_one_that_never_was(here):
    def others_are_refused():
        assert len(live(here)) > 1  # itself and a run
        new = ["own.toml", "--repeat", "2", "--out", "mine", "--overwrite"]
        for arguments in (["--resume", "mine"], new):
            said = train(*arguments, "--quiet").line()
            assert said.startswith("mine: another run is at work there; ")

    arguments = ["own.toml", *LONG, "--repeat", "2", f"--out={here}/mine"]
    answer = stopped(signal.SIGTERM, *arguments, meanwhile=others_are_refused)
    assert answer.code == 143
    assert re.match(r"interrupted after [01] of 2 runs; .*--resume ", answer.line())
    assert live(here) == []
    assert (reached := steps()) > 0
    assert repeat_json() == {"runs": 2}
    assert stopped(signal.SIGKILL, "--resume", f"{here}/mine").code == -9
    assert train("--resume", "mine", "--quiet") == Answer(0, "", "")  # at once
    assert live(here) == []
    assert steps() > reached
    assert [end(f"mine/seed-{i}") for i in range(2)] == [by_hand(i, *LONG) for i in range(2)]
    assert repeat_json()["ended"] == 2


def test_no_run_outlives_the_process_that_started_it(here):
    arguments = ["own.toml", "train.epochs=1000000", "--repeat", "2", f"--out={here}/mine"]
    assert stopped(signal.SIGKILL, *arguments).code == -9
    while live(here):
        time.sleep(0.01)


def test_once_it_is_stopped_no_run_starts(monkeypatch):
    children, stop = script("exit 0", monkeypatch), threading.Event()
    stop.set()
    assert [*sweep.run(sweep.read(begun(3)), stop)] == children == []


def test_a_second_signal_leaves_no_process_behind(monkeypatch):
    children = script("exec sleep 1000", monkeypatch)
    main = threading.get_ident()
    timer = threading.Timer(0.5, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        next(sweep.run(sweep.read(begun(20)), threading.Event()))
    assert 0 < len(children) <= len(sweep.cores())
    assert {child.returncode for child in children} == {-signal.SIGKILL}


# Runs that fail


def test_a_run_that_fails_is_named_with_its_reason_and_left_out_of_the_summary():
    folder = begun(3, ended=(0, 1, 2))
    (folder / "seed-1/result.json").unlink()
    (folder / "seed-1/checkpoint.npz").write_bytes(b"x")
    answer = train("--resume", "mine")
    assert answer.code == 1
    note, line = answer.err.splitlines()
    assert re.fullmatch(r"minnet: note: seed-1: \S+/mine/seed-1/checkpoint.npz: is .*", note)
    assert line.startswith("minnet: 1 of 3 runs failed")
    assert "\n2 of 3 runs; the interval " in answer.out
    assert (repeat_json()["runs"], repeat_json()["ended"]) == (3, 2)
    values = [result(folder / f"seed-{i}")["test_loss"] for i in (0, 2)]
    expected = independent(values, math.sqrt(1 / 2 + 1 / 4), math.inf)
    assert repeat_json()["test_loss"] == pytest.approx(expected, rel=1e-12)


def test_what_no_process_can_be_started_for_is_a_problem_on_one_line(monkeypatch):
    folder = begun(2)
    monkeypatch.setattr(sys, "executable", "no-python")
    said = "no-python: cannot be started: No such file or directory"
    assert train("--resume", "mine").line() == said
    script("exit 0", monkeypatch)
    shutil.rmtree(folder / "seed-0")
    (folder / "seed-0").write_text("mine")
    answer = train("--resume", "mine")
    assert (answer.code, answer.line()) == (1, "mine/seed-0: cannot be made: File exists")


@pytest.mark.parametrize("ended", [(), (0,)])
def test_fewer_than_two_results_give_no_summary(ended, monkeypatch):
    begun(2, ended=ended)
    script("exit 1", monkeypatch)
    answer = train("--resume", "mine")
    assert answer.code == 1
    *notes, line = answer.err.splitlines()
    failed = [i for i in range(2) if i not in ended]
    assert notes == [f"minnet: note: seed-{i}: ended with exit code 1" for i in failed]
    assert line.startswith(f"minnet: {len(failed)} of 2 runs failed")
    assert "interval" not in answer.out
    assert repeat_json() == {"runs": 2}


def test_the_line_of_a_run_that_fails_is_its_last(monkeypatch):
    script("echo 'minnet: note: first' >&2; echo 'minnet: é größer' >&2; exit 3", monkeypatch)
    ended = sweep.run(sweep.read(begun(2)), threading.Event())
    assert {(run.code, run.result, run.line) for run in ended} == {(3, None, "é größer")}


# The folder


NUMBERS = [b"2.5", b"true", b'"3"', b"1", b"null"]
NO_PLANS = [b"", b'{"runs": ', b"\xff\xfe", b"[3]", b"{}", *(b'{"runs": %b}' % n for n in NUMBERS)]


@pytest.mark.parametrize("content", NO_PLANS)
def test_a_plan_that_is_damaged_is_a_problem_that_changes_nothing(content, alone):
    folder = begun(2)
    (folder / "repeat.json").write_bytes(content)
    before = files(folder)
    answer = train("--resume", "mine")
    assert (answer.code, answer.out) == (1, "")
    assert answer.line().startswith("mine/repeat.json: cannot be read: ")
    assert files(folder) == before


def test_overwrite_removes_all_its_runs_and_no_other_files(finished, monkeypatch):
    before = files(finished)
    new = ("own.toml", "--repeat", "2", "--out", "mine")
    assert train(*new).line().startswith("mine: exists; ")
    assert files(finished) == before
    for name in ("seed-1/notes.txt", "seed-old/model.npz", "seed-2/.checkpoint.npz.77.tmp"):
        (finished / name).parent.mkdir(exist_ok=True)
        (finished / name).write_text("mine")
    assert train("own.toml", "--out", "mine", "--overwrite").code == 0
    mine = {"seed-1/notes.txt", "seed-old/model.npz"}
    assert files(finished).keys() == {*RUN_FILES, *mine}
    assert not (finished / "seed-0").exists()
    assert train("--resume", "mine", "train.epochs=5").code == 0  # it is now a plain run
    assert result(finished)["epochs"] == 5
    script("exit 1", monkeypatch)
    assert train(*new, "--overwrite").code == 1
    of_two = {"config.toml", "repeat.json", "seed-0/config.toml", "seed-1/config.toml"}
    assert files(finished).keys() == of_two | mine


def test_each_of_its_runs_is_a_run_to_resume_alone(finished, alone):
    assert train("--resume", "mine/seed-1", "train.epochs=6").code == 0
    assert end(finished / "seed-1") == by_hand(1, "train.epochs=6", first=(5, 7))
