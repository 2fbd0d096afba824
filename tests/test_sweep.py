"""Runs with several seeds or values are those that one would start by hand; what they come to is
told with care, and no process outlives the one that started it."""

import contextlib
import csv
import itertools
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import running
from running import ROOT, Answer, end, files, result, train, write_rows

from minnet import config, metrics, runs, sweep
from minnet.runs import REPORT_MARK, RUN_FILES

SEEDS = ("data.split_seed=5", "train.seed=7")
LONG = ("train.epochs=1000", "train.checkpoint_seconds=0.1")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own, with rows of its own and a config for quick runs."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    write_rows()
    return tmp_path


class Recorder(subprocess.Popen):
    """Popen, which also notes its arguments and cores, and how many were at work."""

    started: ClassVar[list["Recorder"]] = []

    def __init__(self, arguments, **options):
        super().__init__(arguments, **options)
        self.arguments, self.session = arguments, os.getsid(self.pid)
        self.cores = os.sched_getaffinity(self.pid)
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
    sweep.begin(folder, sweep.plan(config.load(Path("own.toml"), overrides), {}, number))
    for i in ended:
        seeds = (f"data.split_seed={i}", f"train.seed={i}")
        assert train("own.toml", *overrides, *seeds, f"--out=mine/seed-{i}").code == 0
    return folder


def repeat_json(folder: Path = Path("mine")) -> dict:
    return json.loads((folder / "repeat.json").read_text())


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


def test_each_run_has_a_core_of_its_own(repeated):
    children, cores = repeated[2], os.sched_getaffinity(0)
    assert [child.session for child in children] == [child.pid for child in children]  # no Ctrl-C
    assert {len(child.cores) for child in children} == {1}
    assert len(set.union(*(child.cores for child in children))) == min(3, len(cores))
    assert max(child.others for child in children) < len(cores)


def test_no_more_runs_are_at_work_than_there_are_cores(monkeypatch):
    children, plan = script("exec sleep 0.1", monkeypatch), sweep.read(begun(4))
    for cores in (1, 3):
        children.clear()
        monkeypatch.setattr(sweep, "cores", lambda cores=cores: list(range(cores)))
        names = [run.name for run in sweep.run(plan, threading.Event())]
        assert sorted(names) == [f"seed-{i}" for i in range(4)]
        assert max(child.others for child in children) == cores - 1


def test_without_a_way_to_ask_for_cores_all_are_counted_and_runs_share_them(monkeypatch):
    script("exit 0", monkeypatch)
    monkeypatch.setattr(subprocess, "Popen", Recorder.__base__)
    for name in ("sched_getaffinity", "sched_setaffinity"):
        monkeypatch.delattr(os, name)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert sweep.cores() == [0, 1, 2]
    assert len([*sweep.run(sweep.read(begun(2)), threading.Event())]) == 2


FIGURES = {"test_accuracy": 1, "test_loss": math.inf, "macro_f1": 1}  # and their upper bounds


def test_the_summary_is_that_of_the_results_and_each_run_has_its_line(repeated):
    answer, folder, _ = repeated
    results, summary = [result(folder / f"seed-{i}") for i in range(3)], repeat_json(folder)
    assert (summary.pop("runs"), summary.pop("ended")) == (3, 3)
    assert summary.keys() == FIGURES.keys()
    lines = [line.split() for line in answer.out.splitlines()]
    for name, top in FIGURES.items():
        values = [figures[name] for figures in results]
        expected = sweep.interval(values, 24 / (76 + 20), 0, top)._asdict()
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


def test_an_interval_is_the_one_of_nadeau_and_bengio():
    for n, scale, ratio in itertools.product(T_975, (1e-6, 1, 1e6), (0, 0.25, 3)):
        rng = np.random.default_rng(n)
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
    with_validation = {"train": 60, "validation": 20, "test": 20}
    for rows, ratio in ((with_validation, 0.25), ({"train": 5, "test": 10}, 2)):
        assert sweep.test_ratio(config.load(None), {"rows": rows}) == ratio
    shutil.copy("own.csv", "test.csv")
    begun(3, "data.test_source=test.csv", "data.validation_size=0", ended=(0, 1, 2))
    answer = train("--resume", "mine")
    assert (answer.code, answer.err) == (0, "")
    meaning = "is for these test rows only: each run is tested on test.csv"
    assert f"3 of 3 runs; the interval {meaning}" in answer.out
    values = [result(f"mine/seed-{i}")["test_loss"] for i in range(3)]
    assert repeat_json()["test_loss"] == sweep.interval(values, 0, 0)._asdict()


def test_a_finished_one_is_summarised_again_and_quiet_says_nothing(repeated, finished, alone):
    before = files(finished)
    (finished / "report.html").write_text(REPORT_MARK)  # is removed, as it may be untrue
    answer = train("--resume", "mine")
    assert (answer.code, answer.err) == (0, "")
    summary = repeated[0].out.partition("\n\n ")[2]
    assert answer.out.endswith(summary.replace("runs/own", "mine"))
    assert train("--resume", "mine", "--quiet") == Answer(0, "", "")
    assert files(finished) == before


def test_only_what_is_missing_or_damaged_is_trained(finished):
    summary, kept = (finished / "repeat.json").read_bytes(), finished / "seed-0/model.npz"
    plan, whole = sweep.read(finished), finished / "seed-2/result.json"
    time, figures = kept.stat().st_mtime_ns, whole.read_text()
    for damaged in ("[]", "{}", "{"):
        whole.write_text(damaged)
        assert sweep._with_result(plan, plan.runs[2]).result is None
    whole.write_text(figures)
    (finished / "repeat.json").write_text('{"runs": 3}')
    shutil.rmtree(finished / "seed-1")
    assert train("--resume", "mine", "--quiet") == Answer(0, "", "")
    assert kept.stat().st_mtime_ns == time
    assert end(finished / "seed-1") == by_hand(1, first=(5, 7))
    assert (finished / "repeat.json").read_bytes() == summary


def test_more_epochs_are_for_all_runs_and_are_not_forgotten(monkeypatch):
    children, six = script("exit 1", monkeypatch), ["train.epochs=6", "--quiet"]
    begun(3, ended=(0, 1))
    for epochs in (["train.epochs=6"], []):  # and both times the runs fail
        children.clear()
        train("--resume", "mine", *epochs)
        assert sorted(child.arguments[4:] for child in children) == [
            [str(ROOT), "train", f"--resume={Path(f'mine/seed-{i}').absolute()}", *six]
            for i in range(3)
        ]
    assert repeat_json() == {"runs": 3}


NO_PLANS = [b"", b"[3]", b"{}", b'{"runs": 1, "sweep": 3}']
NO_PLANS += [b'{"runs": %b}' % number for number in (b"2.5", b'"3"', b"1")]


def test_other_changes_are_refused_and_a_damaged_plan_is_a_problem_that_changes_nothing(alone):
    folder = begun(2)
    before = files(folder)
    assert train("--resume", "mine", "train.seed=5").refusal(2).endswith("train.seed was 0, is 5")
    assert files(folder) == before
    for content in NO_PLANS:
        (folder / "repeat.json").write_bytes(content)
        before = files(folder)
        said = train("--resume", "mine").refusal()
        assert said.startswith("mine/repeat.json: cannot be read: ")
        assert files(folder) == before
    for grid in ('{"train.epochs": 3}', '{"a": [1]}'):
        (folder / "repeat.json").write_text(f'{{"runs": 1, "sweep": {grid}}}')
        assert "--sweep" in train("--resume", "mine").refusal()


def live(folder: Path) -> list[int]:
    """The processes that have this folder among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def at_work(here: Path) -> bool:
    """Whether two runs have finished an epoch each, or more."""
    paths = here.glob("mine/seed-*/metrics.csv")
    return sum(path.read_text().count("\n") for path in paths) > 3


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT])
def test_no_run_outlives_its_parent_and_one_resumed_at_once_has_the_bits_of_one_never_stopped(
    here, number
):
    arguments = ["own.toml", *LONG, "--repeat", "2", f"--out={here}/mine", "--quiet"]
    with subprocess.Popen([sys.executable, "-m", "minnet", "train", *arguments]) as process:
        while process.poll() is None and not at_work(here):
            time.sleep(0.01)
        assert len(live(here)) > 1  # itself and a run
        process.send_signal(number)
    assert not [*here.glob("mine/seed-*/result.json")]
    assert repeat_json() == {"runs": 2}
    assert train("--resume", "mine", "--quiet") == Answer(0, "", "")
    assert not live(here)
    assert end("mine/seed-1") == by_hand(1, *LONG)
    assert repeat_json()["ended"] == 2


def test_a_signal_is_passed_on_to_the_runs_and_ends_them(monkeypatch):
    children, main = script("exec sleep 1000", monkeypatch), threading.get_ident()

    def strike():
        while not children:
            time.sleep(0.01)
        signal.pthread_kill(main, signal.SIGTERM)

    begun(5)
    threading.Thread(target=strike).start()
    answer = train("--resume", "mine")
    assert answer.code == 143
    assert answer.line() == "interrupted after 0 of 5 runs; resume with: minnet train --resume mine"
    assert 0 < len(children) <= len(sweep.cores())
    assert {child.returncode for child in children} == {-signal.SIGINT}


def test_once_it_is_stopped_no_run_starts(monkeypatch):
    children, stop = script("exit 0", monkeypatch), threading.Event()
    stop.set()
    assert not any(run.result for run in sweep.run(sweep.read(begun(3)), stop))
    assert not children


def test_a_second_signal_leaves_no_process_behind(monkeypatch):
    children = script("exec sleep 1000", monkeypatch)
    main = threading.get_ident()
    timer = threading.Timer(0.5, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        next(sweep.run(sweep.read(begun(20)), threading.Event()))
    assert 0 < len(children) <= len(sweep.cores())
    assert {child.returncode for child in children} == {-signal.SIGKILL}


def test_a_run_that_fails_is_named_with_its_reason_and_left_out_of_the_summary():
    folder = begun(3, ended=(0, 1, 2))
    (folder / "seed-1/result.json").unlink()
    (folder / "seed-1/checkpoint.npz").write_bytes(b"x")
    answer = train("--resume", "mine")
    assert answer.code == 1
    note, line = answer.err.splitlines()
    assert re.fullmatch(
        r"minnet: note: seed-1: \S+/mine/seed-1/checkpoint.npz: not a file of .*", note
    )
    assert line.startswith("minnet: 1 of 3 runs failed")
    assert "\n2 of 3 runs; the interval " in answer.out
    assert (repeat_json()["runs"], repeat_json()["ended"]) == (3, 2)
    values = [result(folder / f"seed-{i}")["test_loss"] for i in (0, 2)]
    assert repeat_json()["test_loss"] == sweep.interval(values, 24 / 96, 0)._asdict()


def test_what_no_process_can_be_started_for_is_a_problem_on_one_line(monkeypatch):
    folder = begun(2)
    monkeypatch.setattr(sys, "executable", "no-python")
    said = "no-python: cannot be started: No such file or directory"
    assert train("--resume", "mine").line() == said
    script("exec sleep 1000", monkeypatch)  # of seed-1, until it is killed
    shutil.rmtree(folder / "seed-0")
    (folder / "seed-0").write_text("mine")
    assert train("--resume", "mine").line() == "mine/seed-0: cannot be made: File exists"


def test_fewer_than_two_results_give_no_summary_and_the_line_of_a_run_that_fails_is_its_last(
    monkeypatch,
):
    begun(2, ended=(0,))
    script("exit 1", monkeypatch)
    answer = train("--resume", "mine")
    assert answer.code == 1
    note, line = answer.err.splitlines()
    assert note == "minnet: note: seed-1: ended with exit code 1"
    assert line.startswith("minnet: 1 of 2 runs failed")
    assert "interval" not in answer.out
    assert repeat_json() == {"runs": 2}
    script("echo 'minnet: note: first' >&2; echo 'minnet: é größer' >&2; exit 3", monkeypatch)
    shutil.rmtree("mine")
    ended = sweep.run(sweep.read(begun(2)), threading.Event())
    assert {(run.result, run.line) for run in ended} == {(None, "é größer")}


def test_overwrite_removes_all_its_runs_and_no_other_files(finished, monkeypatch):
    before, new = files(finished), ("own.toml", "--repeat", "2", "--out", "mine")
    assert train(*new).line().startswith("mine: exists; ")
    assert files(finished) == before
    (finished / "seed-1/notes.txt").write_text("mine")
    assert train("own.toml", "--out", "mine", "--overwrite").code == 0
    assert files(finished).keys() == {*RUN_FILES, "seed-1/notes.txt"}
    assert train("--resume", "mine", "train.epochs=5").code == 0  # it is now a plain run
    assert result(finished)["epochs"] == 5
    script("exit 1", monkeypatch)
    assert train(*new, "--overwrite").code == 1
    of_two = {"config.toml", "repeat.json", "seed-0/config.toml", "seed-1/config.toml"}
    assert files(finished).keys() == of_two | {"seed-1/notes.txt"}


def test_each_of_its_runs_is_a_run_to_resume_alone(finished, alone):
    assert train("--resume", "mine/seed-1", "train.epochs=6").code == 0
    assert end(finished / "seed-1") == by_hand(1, "train.epochs=6", first=(5, 7))


# A grid of values


GRID = ["--sweep=optimizer.learning_rate=[1e-3,1e-2,3e-2]", "--sweep=model.hidden=[[],[8]]"]
RATES, HIDDEN = (0.001, 0.01, 0.03), ([], [8])


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> tuple[Answer, Path]:
    """`train own.toml` over GRID with two seeds each: its answer, and its folder."""
    folder = tmp_path_factory.mktemp("swept")
    with contextlib.chdir(folder):
        write_rows()
        answer = train("own.toml", "train.watch=accuracy", *GRID, "--repeat", "2")
    return answer, folder / "runs/own"


def ranked(folder: Path, figure: str) -> list[tuple[float, int]]:
    """The mean of a figure and the number of each combination, by what its runs wrote down."""
    runs = [[result(folder / f"run-{c}-seed-{s}")[figure] for s in (0, 1)] for c in range(6)]
    return [(float(np.mean(values)), c) for c, values in enumerate(runs)]


def lines_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(newline="") as file:
        return [*csv.DictReader(file)]


def test_a_sweep_trains_every_combination_with_every_seed(swept):
    answer, folder = swept
    assert (answer.code, answer.err) == (0, "")
    names = {f"run-{c}-seed-{s}" for c in range(6) for s in (0, 1)}
    others = {"config.toml", "repeat.json", "sweep.csv"}
    assert {path.name for path in folder.iterdir()} == names | others
    for c, (rate, hidden) in enumerate(itertools.product(RATES, HIDDEN)):
        own = config.load(folder / f"run-{c}-seed-1/config.toml")
        assert (own.optimizer.learning_rate, own.model.hidden) == (rate, hidden)
        assert (own.data.split_seed, own.train.seed) == (1, 1)
    settings = ("train.watch=accuracy", "optimizer.learning_rate=0.01", "model.hidden=[]")
    assert end(folder / "run-2-seed-1") == by_hand(1, *settings)


@pytest.mark.parametrize(
    ("watch", "size"),
    [
        *((watch, "data.validation_size=0.3") for watch in metrics.WATCHED),
        ("auc", "model.members=2"),
    ],
)
def test_any_figure_that_is_watched_is_one_to_rank_by(watch, size):
    grid = "--sweep=optimizer.learning_rate=[1e-3,1e-1]"
    folds = "data.validation_size=folds"
    answer = train("own.toml", folds, size, f"train.watch={watch}", grid, "--out", "many")
    assert (answer.code, answer.err) == (0, "")
    found = [result(f"many/run-{c}-seed-0")[f"validation_{watch}"] for c in (0, 1)]
    chosen = json.loads(Path("many/repeat.json").read_text())["chosen"]
    assert chosen == {"optimizer.learning_rate": (1e-3, 1e-1)[int(np.argmax(found))]}
    last = [float(x) for x in running.metrics("many/run-1-seed-0")["watched"]]
    assert found[1] == pytest.approx(max(last))


def test_epochs_may_follow_from_the_rows_in_each_run():
    own = "own.csv model.members=1 --sweep model.hidden=[[2],[3]] --out many"
    answer = train(*own.split())
    assert answer.code == 0 and "saved in many" in answer.out
    assert all(result(f"many/run-{c}-seed-0")["epochs"] > 9 for c in (0, 1))
    shutil.rmtree("many/run-1-seed-0")
    assert train("--resume", "many").code == 0 and Path("many/run-1-seed-0/model.npz").exists()


def test_combinations_are_ranked_in_validation_and_only_of_the_best_are_test_figures_told(swept):
    answer, folder = swept
    means = ranked(folder, "validation_accuracy")
    best = max(means, key=lambda pair: (pair[0], -pair[1]))[1]  # of equals the first
    places = [line.split()[-1] for line in answer.out.splitlines() if re.match(r"\d  ", line)]
    order = sorted(range(6), key=lambda c: -means[c][0])
    assert places == [f"run-{c}" for c in order] and order[0] == best
    rate, hidden = [*itertools.product(RATES, HIDDEN)][best]
    chosen = {"optimizer.learning_rate": rate, "model.hidden": hidden}
    said = f"chosen in validation: optimizer.learning_rate {rate}, model.hidden {hidden}\n"
    assert said in answer.out and repeat_json(folder)["chosen"] == chosen
    values = [result(folder / f"run-{best}-seed-{s}")["test_loss"] for s in (0, 1)]
    assert repeat_json(folder)["test_loss"] == sweep.interval(values, 24 / 96, 0)._asdict()
    assert answer.out.count("test ") == 3  # of the parts; accuracy and loss of the best
    for line, (c, s) in zip(lines_of(folder), itertools.product(order, (0, 1)), strict=True):
        found = result(folder / line["run"])
        assert line["run"] == f"run-{c}-seed-{s}"
        assert [line["data.split_seed"], line["train.seed"]] == [str(s)] * 2
        assert float(line["validation_accuracy"]) == found["validation_accuracy"]
        for name in FIGURES:
            assert line[name] == (str(found[name]) if c == best else "")


def test_a_lower_loss_is_better_and_a_single_best_run_is_told_in_full():
    answer = train("own.toml", "--sweep", "optimizer.learning_rate=[1e-5, 3e-2]", "--out", "mine")
    assert (answer.code, answer.err) == (0, "")
    assert [line["run"] for line in lines_of(Path("mine"))] == ["run-1-seed-0", "run-0-seed-0"]
    assert "learning_rate 0.03\n\n4 epochs in " in answer.out and "\nconfusion: " in answer.out


def test_a_combination_of_which_a_run_failed_is_last_however_good_the_others(swept):
    shutil.copytree(swept[1], "mine")
    best = lines_of(Path("mine"))[0]["run"]
    Path("mine", best, "result.json").unlink()
    Path("mine", best, "checkpoint.npz").write_bytes(b"x")
    answer = train("--resume", "mine")
    assert answer.code == 1 and f"note: {best}: " in answer.err
    assert [line["run"] for line in lines_of(Path("mine"))][-2] == best
    assert " 1 of 2 " in answer.out


def test_a_sweep_is_resumed_where_it_stopped_and_comes_to_the_same(swept, monkeypatch):
    shutil.copytree(swept[1], "mine")
    before = files("mine")
    for name in ("run-3-seed-0", "run-5-seed-1"):
        shutil.rmtree(Path("mine", name))
    monkeypatch.setattr(subprocess, "Popen", Recorder)
    Recorder.started.clear()
    assert train("--resume", "mine", "--quiet") == Answer(0, "", "")
    assert len(Recorder.started) == 2
    assert files("mine")["repeat.json"] == before["repeat.json"]
    assert end("mine/run-5-seed-1") == end(swept[1] / "run-5-seed-1")


WRONG_PLANS = """
--sweep train.epoch=[1]                        --sweep: unknown key 'train.epoch'; did you mean tra
--sweep zebra                                  'zebra' is not section.key=value; choose from data,
--sweep train.epochs=[1,-1]                    --sweep: train.epochs: must be at least 0, got -1
--sweep model.hidden=[64,32]                   --sweep: model.hidden: expected a list of whole numb
--sweep train.epochs=[]                        --sweep train.epochs: not a list of values, like --s
--sweep train.epochs=3                         --sweep train.epochs: not a list of values
--sweep model.activation=[tanh]                --sweep model.activation: not a list of values
--sweep train.epochs=[2,2]                     --sweep: the same value twice
--sweep optimizer.momentum=[0,0.0]             --sweep: the same value twice
--sweep train.seed=[0,1] --repeat 2            --sweep train.seed: --repeat sets it; leave one of t
--sweep train.epochs=[2] --repeat 0            --repeat takes 2 to 10000 runs, got 0
--sweep train.epochs=[2,3] --repeat 5001       --sweep: 10002 runs; at most 10000
--sweep data.validation_size=[0,0.1]           --sweep ranks in validation: data.validation_size ca
--sweep train.seed=[1] --sweep train.seed=[2]  --sweep: the same key twice: give it one list
--repeat 1                                     --repeat takes 2 to 10000 runs, got 1
--repeat 2 train.seed=4294967295               --repeat 2: train.seed: must be below 429
--repeat 7 data.split_seed=4294967290          --repeat 7: data.split_seed: must be
"""


@pytest.mark.parametrize("case", WRONG_PLANS.strip().splitlines())
def test_a_plan_that_cannot_be_is_one_line_before_anything_loads(case, alone, monkeypatch):
    monkeypatch.setattr(runs, "prepare", None)
    arguments, said = re.split(r"  +", case)
    assert said in train("own.toml", *arguments.split()).refusal(2)
    assert files().keys() == {"own.csv", "own.toml"}


def test_the_largest_seeds_can_be_repeated():
    sweep.plan(config.load(None, ["train.seed=4294967294", "data.split_seed=4294967294"]), {}, 2)
