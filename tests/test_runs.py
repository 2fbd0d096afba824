"""Runs in their folders: whatever ends them early, they are resumed to the same end, and nothing of
the user's is lost."""

import errno
import functools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from faults import Killed, faults
from running import Answer, end, files, result, train, write_rows

from minnet import cli, config, runs, training
from minnet.errors import ConfigError, MinnetError
from minnet.files import load_sealed, locked, save_sealed
from minnet.runs import (
    REPEAT_FILE,
    REPORT,
    REPORT_FILES,
    REPORT_MARK,
    RUN_FILES,
    check_folder,
    claimed,
    clear,
    clear_report,
)

TEMPORARY = ".*.tmp"
# a checkpoint holds something else for each of these
RUNS = {
    "dropout and a schedule": "model.dropout=0.3 optimizer.schedule=cosine "
    "optimizer.warmup_epochs=1.5 train.label_smoothing=0.1",
    "early stopping": "train.epochs=100 train.patience=3 optimizer.learning_rate=0.1",
    "no validation": "optimizer.name=nesterov data.validation_size=0 optimizer.schedule=step",
    "float64": "model.dtype=float64 optimizer.name=sgd model.activation=tanh model.hidden=[8,5]",
    "adamw": "optimizer.name=adamw optimizer.weight_decay=0.1 train.class_weight=balanced",
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own, with rows of its own and a config for quick runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # slow, and no test sees what it does
    write_rows()


def at_step(number: int, strike: Callable[[], object]) -> Callable:
    """training.update, but something happens in the step of that number, counted from here."""
    real, left = training.update, number

    def update(*arguments, **options):
        nonlocal left
        left -= 1
        try:
            return real(*arguments, **options)
        finally:
            if left == 0:
                strike()

    return update


def kill() -> None:
    raise Killed


sigint = functools.partial(signal.raise_signal, signal.SIGINT)
sigterm = functools.partial(signal.raise_signal, signal.SIGTERM)


@pytest.fixture
def stop_at(monkeypatch) -> Callable:
    """`train`, struck in a step; its answer, or None if it was killed."""

    def stop_at(step: int, strike: Callable[[], object], *arguments: str) -> Answer | None:
        with monkeypatch.context() as patch:
            patch.setattr(training, "update", at_step(step, strike))
            try:
                return train(*arguments)
            except Killed:
                return None

    return stop_at


# The same end


@pytest.mark.parametrize("seconds", [0, 1e-9, 1000])  # saved after each epoch, each step, never
@pytest.mark.parametrize("settings", RUNS.values(), ids=RUNS)
def test_a_run_that_is_stopped_and_killed_ends_with_the_bits_of_one_that_never_was(
    settings, seconds, stop_at
):
    new = ("own.toml", *settings.split())
    assert train(*new, "--out", "whole").code == 0
    first = (*new, f"train.checkpoint_seconds={seconds}", "--out", "run")
    again = ("--resume", "run")
    assert stop_at(2, kill, *first) is None
    assert not Path("run/model.npz").exists()
    assert stop_at(3, sigint, *again).code == 130
    assert result("run")["interrupted"] is True
    assert stop_at(2, kill, *again) is None
    assert stop_at(5, sigterm, *again).code == 143
    assert stop_at(4, kill, *again) is None
    assert train(*again).code == 0
    assert result("run")["interrupted"] is False
    assert end("run") == end("whole")
    own = config.load(Path("run/config.toml"), ["train.checkpoint_seconds=5"])
    assert own == config.load(Path("whole/config.toml"))


def test_a_run_in_python_is_the_run_of_the_command():
    train("own.toml", "--out", "whole")
    figures = runs.train(config.load(Path("own.toml")))
    assert figures == result("runs/own")
    assert end("runs/own") == end("whole")
    runs.train(config.load(Path("own.toml")))
    assert end("runs/own-2") == end("whole")
    with pytest.raises(ConfigError):
        runs.train(config.load(Path("own.toml")), Path("whole"))


def test_an_interrupted_run_says_how_to_resume_it_and_that_works(stop_at):
    said = stop_at(6, sigint, "own.toml").line()
    assert said.startswith("interrupted; the best weights so far are in runs/own; ")
    assert said.endswith("minnet train --resume runs/own")
    answer = train("--resume", "runs/own")
    assert (answer.code, answer.err) == (0, "")
    assert "resumed after 1 of 4 epochs, " in answer.out
    assert answer.out.endswith("\nsaved in runs/own\n")


STRUCK = """
import os, sys
from minnet import cli, training
real, left = training.update, [3]
def update(*arguments, **options):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), int(sys.argv[1]))
    return real(*arguments, **options)
training.update = update
sys.exit(cli.main(sys.argv[2:]))
"""


def test_a_process_signalled_and_killed_without_a_terminal_leaves_no_lock_and_can_be_resumed():
    train("own.toml", "--out", "whole")
    nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    arguments = ["own.toml", "--out", "run", "train.checkpoint_seconds=1e-9"]
    for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 143)):
        struck = [sys.executable, "-c", STRUCK, str(int(number)), "train", *arguments]
        done = subprocess.run(struck, check=False, start_new_session=True, **nothing)
        assert done.returncode == code
        arguments = ["--resume", "run"]
    with locked(Path("run")):
        pass
    assert train("--resume", "run").code == 0
    assert end("run") == end("whole")


def test_more_epochs_are_what_a_run_of_so_many_gives():
    train("own.toml", "train.epochs=9", "--out", "whole")
    train("own.toml", "--out", "run")
    assert train("--resume", "run", "train.epochs=6", "--quiet") == Answer(0, "", "")
    path = Path("run/config.toml")
    path.write_text(path.read_text().replace("epochs = 6\n", "epochs = 9\n"))
    assert "resumed after 6 of 9 epochs, 24 steps" in train("--resume", "run").out
    assert end("run") == end("whole")
    assert files("run")["config.toml"] == files("whole")["config.toml"]


def test_a_finished_run_stays_as_it_is():
    patience = ["train.epochs=50", "train.patience=2", "optimizer.learning_rate=0.1"]
    for settings in (patience, ["model.hidden=[]"]):
        train("own.toml", *settings, "--out", "run", "--overwrite")
        before = files("run")
        assert train("--resume", "run").code == 0
        assert files("run") == before


def test_a_run_without_a_checkpoint_starts_at_its_start():
    train("own.toml", "--out", "run")
    whole = end("run")
    for name in set(RUN_FILES) - {"config.toml"}:
        Path(f"run/{name}").unlink()
    assert "resumed after 0 of 4 epochs, 0 steps" in train("--resume", "run").out
    assert end("run") == whole


def test_metrics_beyond_the_checkpoint_are_written_anew(stop_at):
    train("own.toml", "--out", "whole")
    stop_at(9, kill, "own.toml", "--out", "run", "train.checkpoint_seconds=1000")
    assert len(Path("run/metrics.csv").read_text().splitlines()) == 3
    assert train("--resume", "run").code == 0
    assert end("run") == end("whole")


def test_the_seconds_are_those_at_work_and_a_clock_that_is_set_back_changes_nothing(
    stop_at, monkeypatch
):
    train("own.toml", "--out", "whole")
    clock = iter(range(10**9, 0, -1000))
    for name in ("time", "time_ns"):
        monkeypatch.setattr(time, name, lambda: next(clock))
    stop_at(6, sigint, "own.toml", "--out", "run", "train.checkpoint_seconds=1e-9")
    time.sleep(0.6)
    assert train("--resume", "run").code == 0
    assert end("run") == end("whole")
    lines = [line.split(",") for line in Path("run/metrics.csv").read_text().splitlines()]
    seconds = [float(line[lines[0].index("seconds")]) for line in lines[1:]]
    assert seconds == sorted(seconds)
    assert result("run")["seconds"] == seconds[-1] < 0.6


def test_the_metrics_have_all_digits_and_the_result_is_that_of_the_last_row():
    train("own.toml", "--out", "run")
    head, *rows = [line.split(",") for line in Path("run/metrics.csv").read_text().splitlines()]
    assert head[-4:] == ["gradient_1", "gradient_2", "update_1", "update_2"]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    arrays, about = load_sealed(Path("run/checkpoint.npz"), "checkpoint")
    assert about.keys() == {"config", "digests", "machine"}
    last = dict(zip(head, map(float, rows[-1]), strict=True))
    assert set(last.values()) <= set(arrays["history"][-1].tolist())
    figures = result("run")
    assert (figures["epochs"], figures["seconds"]) == (4, last["seconds"])
    assert figures["rows"] == {"train": 76, "validation": 20, "test": 24}


# When a checkpoint is written


@pytest.fixture
def saves(monkeypatch) -> list[int]:
    """The steps of the checkpoints that are written."""
    steps = []

    def save(path, kind, arrays, about):
        if kind == "checkpoint":
            steps.append(int(arrays["t"]))
        save_sealed(path, kind, arrays, about)

    monkeypatch.setattr(runs.files, "save_sealed", save)
    return steps


def test_a_checkpoint_is_written_at_the_start_when_it_is_time_and_at_the_end(saves):
    # after each of 4 epochs of 4 steps; never; after each step
    for seconds, steps in ((0, range(4, 17, 4)), (1000, ()), (1e-9, range(1, 17))):
        saves.clear()
        assert train("own.toml", f"train.checkpoint_seconds={seconds}").code == 0
        assert saves == [0, *steps, 16]


def test_a_checkpoint_is_never_written_again_before_its_time(saves, monkeypatch):
    now, update = 0.0, training.update  # each step takes 0.7 seconds

    def slow(*arguments, **options):
        nonlocal now
        now += 0.7
        return update(*arguments, **options)

    for name in ("monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: now)
    monkeypatch.setattr(training, "update", slow)
    settings = ("train.epochs=30", "train.checkpoint_seconds=5")
    assert train("own.toml", *settings, "--out", "run").code == 0
    gaps = 0.7 * np.diff(saves[:-1])
    assert len(gaps) > 10
    assert 5 <= gaps.min() <= gaps.max() < 5 + 2 * 0.7
    saves.clear()
    assert train("--resume", "run", "train.epochs=60").code == 0
    assert 0.7 * np.diff([120, *saves[:-1]]).min() >= 5  # nor at once, although the run is old


# Another config, other data


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train.epochs=3", "train.epochs was 4, is 3"),
        ("train.seed=1", "train.seed was 0, is 1"),
        ("model.hidden=[9]", "model.hidden was [8], is [9]"),
        ('train.class_weight={"x" = 2}', "train.class_weight was 'none', is {'x': 2.0}"),
        ("data.split_seed=5", "data.split_seed was 0, is 5"),
    ],
)
@pytest.mark.parametrize("how", ["argument", "by hand", "without a checkpoint"])
def test_another_config_is_a_mistake_that_shows_what_differs(how, change, said):
    train("own.toml", "--out", "run")
    if how == "by hand":
        changed = config.load(Path("run/config.toml"), [change])
        Path("run/config.toml").write_text(config.dumps(changed))
    if how == "without a checkpoint":
        Path("run/checkpoint.npz").unlink()
    before = files("run")
    answer = train("--resume", "run", *([] if how == "by hand" else [change]))
    assert (answer.code, answer.out) == (2, "")
    what = "the config of a run cannot change, except for more epochs"
    assert answer.line() == f"run: {what}: {said}"
    assert files("run") == before


def test_all_that_differs_is_shown_and_so_is_what_was_spoilt_by_hand():
    train("own.toml", "--out", "run")
    said = train("--resume", "run", "train.seed=1", "train.epochs=2", "data.scale=none").line()
    for change in ("scale was 'standard', is 'none'; ", "epochs was 4, is 2", "seed was 0, is 1"):
        assert change in said
    for text, said in (
        ("[train]\nepochs = 0\n", "run/config.toml: train.epochs: must be at least 1"),
        ("[train\n", "run/config.toml: is not TOML"),
        ("", "except for more epochs: data.source was 'own.csv', is 'digits'"),
    ):
        Path("run/config.toml").write_text(text)
        before = files("run")
        answer = train("--resume", "run")
        assert (answer.code, answer.out) == (2, "")
        assert said in answer.line()
        assert files("run") == before


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_data_that_changed_in_one_part_are_a_problem_that_names_it(part):
    train("own.toml", "data.scale=none", "--out", "run")
    prepared = runs.prepare(config.load(Path("own.toml"), ["data.scale=none"]))
    write_rows(int(prepared.data.parts[part][0]), cell="0.5")
    before = files("run")
    answer = train("--resume", "run", "train.epochs=9")
    assert (answer.code, answer.out) == (1, "")
    assert answer.line() == f"own.csv: not the data that the run began with: other {part} rows"
    assert files("run") == before
    write_rows()
    assert train("--resume", "run", "train.epochs=9").code == 0


def in_other_units() -> None:
    table = np.genfromtxt("own.csv", delimiter=",", skip_header=1, dtype=None, encoding="utf-8")
    rows = "".join(f"{4 * a!r},{4 * b!r},{y}\n" for a, b, y in table.tolist())
    Path("own.csv").write_text(f"a,b,label\n{rows}")


OTHER_DATA: list[tuple[Callable[[], object], str]] = [
    (lambda: write_rows(heads="a,c,label"), "other columns"),
    (lambda: write_rows(heads="b,a,label"), "other columns"),
    (lambda: write_rows(5, cell="100"), "other columns, test rows, train rows, validation rows"),
    (lambda: write_rows(5, label="w"), "class w has 1 row"),
    (in_other_units, "other columns"),
    (lambda: write_rows(labels="wyz"), "other classes"),
    (lambda: Path("own.csv").unlink(), "own.csv: cannot be read"),
]


def test_other_columns_labels_or_units_are_other_data():
    train("own.toml", "--out", "run")
    before = files("run")
    for change, said in OTHER_DATA:
        write_rows()
        change()
        answer = train("--resume", "run")
        assert (answer.code, answer.out) == (1, "")
        assert said in answer.line()
        assert files("run") == before


def test_another_machine_is_told_once_as_the_last_bits_may_differ(monkeypatch):
    train("own.toml", "--out", "run")
    here = runs.machine()
    assert all(here.values())
    assert "differ" not in train("--resume", "run").out
    for name, was in here.items():
        monkeypatch.setattr(runs, "machine", lambda name=name: here | {name: "abacus"})
        (said,) = [line for line in train("--resume", "run").out.splitlines() if "differ" in line]
        assert said.startswith("the last bits may differ from those of a run in one go: ")
        assert f"{name} was {was!r}, is 'abacus'" in said
        assert "differ" not in train("--resume", "run").out


def test_what_is_said_of_the_machine_is_the_same_after_other_libraries_are_loaded():
    code = (
        "import numpy, sys; from minnet import runs; first = runs.machine()\n"
        "assert 'scipy' not in sys.modules\n"
        "import scipy.linalg; runs.machine.cache_clear(); assert first == runs.machine()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Mistakes in the arguments, damaged checkpoints


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--resume"], "--resume: expected one argument"),
        (["--resume", "run", "--out", "b"], "--out"),
        (["--resume", "run", "--overwrite"], "--overwrite"),
        (["own.toml", "--resume", "run"], "own.toml: --resume takes the config in the run's"),
        (["--resume", "run", "train.epochs=many"], "train.epochs: expected a whole number"),
        (["--resume", "no"], "no: no such folder"),
        (["--resume", "empty"], "empty: no run to resume: there is no config.toml"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_line_and_changes_nothing(arguments, said):
    train("own.toml", "--out", "run")
    Path("empty").mkdir()
    before = files()
    answer = train(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.line()
    assert files() == before


def test_a_checkpoint_that_is_damaged_or_is_none_is_a_problem_that_changes_nothing():
    train("own.toml", "--out", "run")
    model, whole = Path("run/model.npz").read_bytes(), Path("run/checkpoint.npz").read_bytes()
    for content, said in (
        (whole[:-1], "is damaged or was changed"),
        (whole + b"\n", "is damaged or was changed"),
        (b"", "is empty; name a run's checkpoint.npz"),
        (model, "is a model, not a checkpoint"),
    ):
        Path("run/checkpoint.npz").write_bytes(content)
        before = files("run")
        answer = train("--resume", "run", "train.epochs=9")
        assert (answer.code, answer.out) == (1, "")
        assert answer.line().startswith(f"run/checkpoint.npz: {said}")
        assert files("run") == before


def test_the_checkpoint_of_another_run_is_refused():
    train("own.toml", "--out", "run")
    train("own.toml", "--out", "other", "model.hidden=[3]")
    Path("other/checkpoint.npz").replace("run/checkpoint.npz")
    answer = train("--resume", "run")
    assert answer.code == 2
    assert "model.hidden was [3], is [8]" in answer.line()


# Two runs in one folder


def test_while_a_run_lives_no_other_is_let_into_its_folder_and_once_it_is_killed_one_is(stop_at):
    arguments = ["own.toml", "--out", "run", "train.epochs=1000000", "train.checkpoint_seconds=0"]
    command = [sys.executable, "-m", "minnet", "train", *arguments, "--quiet"]
    with subprocess.Popen(command) as running:
        try:
            # an epoch's row is written before its checkpoint
            while not (files("run").get("metrics.csv", b"").count(b"\n") > 4 or running.poll()):
                time.sleep(0.02)
            running.send_signal(signal.SIGSTOP)  # a run that hangs keeps its folder
            os.waitpid(running.pid, os.WUNTRACED)
            before = files("run")
            for other in (["--resume", "run"], ["own.toml", "--out", "run", "--overwrite"]):
                answer = train(*other)
                assert answer.code == 2
                assert answer.line().startswith("run: another run is at work there; ")
                assert files("run") == before
        finally:
            running.kill()
    assert stop_at(3, sigint, "--resume", "run").code == 130
    epochs = result("run")["epochs"]
    assert epochs > 2
    train("own.toml", "--out", "whole", f"train.epochs={epochs}")
    assert files("run")["model.npz"] == files("whole")["model.npz"]


def test_a_run_that_ended_while_another_was_loading_its_data_is_not_overwritten(monkeypatch):
    real = runs._claim

    def claim(*arguments):
        folder = real(*arguments)  # and at this moment another run takes it, and ends
        with monkeypatch.context() as patch:
            patch.setattr(runs, "_claim", real)
            assert cli.main(["train", "own.toml", "--out", "run", "--quiet"]) == 0
        return folder

    monkeypatch.setattr(runs, "_claim", claim)
    answer = train("own.toml", "--out", "run", "train.seed=1")
    assert answer.code == 2
    assert answer.line().startswith("run: exists; ")
    assert result("run")["seed"] == 0


# Signals and faults


def test_a_second_signal_stops_at_once_and_the_run_can_be_resumed(stop_at):
    train("own.toml", "--out", "whole")
    arguments = ("own.toml", "--out", "run", "train.checkpoint_seconds=0")
    answer = stop_at(7, lambda: (sigint(), sigint()), *arguments)
    assert answer.code == 130
    assert answer.line() == "interrupted before the model was saved"
    assert set(files("run")) == {"config.toml", "metrics.csv", "checkpoint.npz"}
    assert "resumed after 1 of 4 epochs, 4 steps" in train("--resume", "run").out
    assert end("run") == end("whole")


def test_a_second_signal_in_the_middle_of_the_last_save_leaves_whole_files(stop_at):
    train("own.toml", "--out", "whole")
    arguments = ("own.toml", "--out", "run", "train.checkpoint_seconds=1000", "--quiet")
    with faults() as counted:
        stop_at(6, sigint, *arguments)
    last = [at for at, name in enumerate(counted.names, 1) if name == "open"][4:]
    for at in [at + more for at in last for more in (0, 3, 20)]:
        with faults(at, sigint):
            answer = stop_at(6, sigint, *arguments, "--overwrite")
        assert answer.code == 130
        assert not list(Path("run").glob(TEMPORARY))
        assert train("--resume", "run").code == 0
        assert end("run") == end("whole")


def distinct(names: list[str]) -> list[int]:
    """The numbers of these steps, with one for writes and flushes that follow each other."""
    names = ["write" if name == "flush" else name for name in names]
    pairs = zip(names, ["", *names[:-1]], strict=True)
    return [at for at, (name, before) in enumerate(pairs, 1) if name != before]


HINT = "; resume with: minnet train --resume run"


def at_work(names: list[str], resumed: bool) -> bool:
    """Whether a run had begun: config and metrics, and a new one's checkpoint, come first."""
    return names.count("open") > (2 if resumed else 3)


def whole_run() -> tuple[str, ...]:
    """A run that saves after each epoch."""
    settings = ("train.epochs=2", "train.checkpoint_seconds=0")
    return ("own.toml", "--out", "run", *settings, "--quiet")


@pytest.mark.parametrize("how", ["full", "killed"])
@pytest.mark.parametrize("resumed", [False, True])
def test_a_fault_at_any_step_of_writing_leaves_whole_files_and_a_run_to_resume(how, resumed):
    before = {}
    if resumed:
        train(*whole_run())
        before = files("run")
    struck = ("--resume", "run", "train.epochs=3", "--quiet") if resumed else whole_run()
    with faults() as counted:
        assert train(*struck).code == 0
    expected = end("run")
    assert counted.names.count("rename") == 2 + (2 if resumed else 4) + 2
    for at in distinct(counted.names):
        for path in Path("run").iterdir():
            path.unlink()
        for name, content in before.items():
            Path(f"run/{name}").write_bytes(content)
        with faults(at, how):
            if how == "full":
                answer = train(*struck)
                assert answer.code == 1
                said = r"run/[a-z.]+: cannot be written: No space left on device"
                hint = HINT if at_work(counted.names[:at], resumed) else ""
                assert re.fullmatch(said + hint, answer.line())
                assert not list(Path("run").glob(TEMPORARY))
            else:
                with pytest.raises(Killed):
                    train(*struck)
        assert_whole("run")
        assert set(before) <= set(files("run"))  # none is lost
        if not Path("run/config.toml").exists():
            again = whole_run()
        else:
            again = struck if resumed else ("--resume", "run", "--quiet")
        assert train(*again) == Answer(0, "", "")
        assert end("run") == expected


def assert_whole(folder: Path | str) -> None:
    """Each file under its own name was written to its end."""
    for name in files(folder):
        path = Path(folder) / name
        if name == "config.toml":
            config.load(path)
        elif name == "metrics.csv":
            lines = path.read_text().splitlines(keepends=True)
            assert lines[-1].endswith("\n")
            assert len({line.count(",") for line in lines}) == 1
        elif name == "result.json":
            result(folder)
        elif name in ("model.npz", "checkpoint.npz"):
            load_sealed(path, path.stem)
        else:
            assert re.fullmatch(r"\..*\.tmp", name)


# Runs that diverge


@pytest.mark.parametrize("seconds", [0, 1e-9])
@pytest.mark.parametrize("rate", ["1e37", "1e12"])
def test_a_run_that_diverges_says_what_to_try_and_keeps_the_checkpoint_before(rate, seconds):
    settings = ["optimizer.name=sgd", f"optimizer.learning_rate={rate}", "data.scale=none"]
    settings += [f"train.checkpoint_seconds={seconds}"]
    answer = train("own.toml", *settings, "--out", "run")
    assert answer.code == 1
    assert answer.line().startswith("training diverged in epoch 1")
    advice = f"a smaller optimizer.learning_rate than {float(rate):g}, or train.max_grad_norm=1"
    assert answer.line().endswith(f"; try {advice}, or data.scale=standard")
    assert_whole("run")
    again = train("--resume", "run")
    assert (again.code, again.line()) == (1, answer.line())


def test_a_run_that_is_stopped_when_its_weights_are_lost_keeps_its_best_ones(monkeypatch, stop_at):
    lost, build = [], training.build

    def strike():
        sigint()
        lost[-1].theta[3] = np.inf

    monkeypatch.setattr(training, "build", lambda *a: lost.append(build(*a)) or lost[-1])
    arguments = ("own.toml", "--out", "run", "train.checkpoint_seconds=0")
    assert stop_at(6, strike, *arguments).code == 130
    arrays, _ = load_sealed(Path("run/checkpoint.npz"), "checkpoint")
    model, _ = load_sealed(Path("run/model.npz"), "model")
    np.testing.assert_array_equal(model["theta"], arrays["best"])
    assert arrays["t"] == 4


def test_a_net_that_memory_has_no_room_for_is_a_mistake_of_the_config():
    said = train("own.toml", "model.hidden=[1000000, 1000000, 1000000]").line()
    assert re.search(r"^model.hidden: a net of 2-1000000-.* needs [\d,]+ GB, more than this", said)


# Folders


def message(kind: type[MinnetError], function: Callable, *arguments: object) -> str:
    with pytest.raises(kind) as caught:
        function(*arguments)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def claim(out: Path | str | None, overwrite: bool = False) -> Path:
    with claimed(Path(out) if out else None, "iris", overwrite) as folder:
        return folder


def run_in(folder: Path, *more: str) -> Path:
    """A folder that holds a finished run, or more."""
    for name in (*RUN_FILES, *more):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"old {name} {REPORT_MARK}")
    return folder


def repeated_in(folder: Path) -> Path:
    """A folder that holds a repeated run, all with their reports."""
    for i in range(3):
        run_in(folder / f"seed-{i}", *REPORT_FILES)
    return run_in(folder, REPEAT_FILE, *REPORT_FILES)


def test_the_first_run_gets_the_name_and_later_ones_the_first_free_number():
    Path("runs").mkdir()
    Path("runs/iris-3").write_text("mine")
    assert [str(claim(None)) for _ in range(3)] == ["runs/iris", "runs/iris-2", "runs/iris-4"]
    Path("runs/iris-2").rmdir()
    assert claim(None) == Path("runs/iris-2")
    assert Path("runs/iris-3").read_text() == "mine"
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(claim, [None] * 40))) == 40  # each gets its own


def test_a_named_folder_is_made_with_its_parents_or_taken_if_it_is_empty():
    for _ in range(2):
        assert claim("a/b/c") == Path("a/b/c")
    Path("a/b/c/.config.toml.123.tmp").write_text("[da")  # of a killed run
    assert claim("a/b/c") == Path("a/b/c")
    assert list(Path("a/b/c").iterdir()) == []


def test_a_folder_with_anything_in_it_is_refused_and_overwrite_is_for_runs_alone():
    before = files(run_in(Path("mine")))
    assert message(ConfigError, claim, "mine").startswith("mine: exists; ")
    assert files("mine") == before
    run_in(Path("other"))
    Path("other/config.toml").unlink()
    before = files("other")
    assert "other files and no run" in message(ConfigError, claim, "other", True)
    assert files("other") == before
    Path("file").write_text("text")
    for overwrite in (False, True):
        assert message(ConfigError, claim, "file", overwrite).startswith("file: is a file; ")
    assert message(ConfigError, check_folder, Path("mine"), False).startswith("mine: exists; ")


@pytest.mark.parametrize("out", ["runs/iris", None])
def test_overwrite_removes_the_files_of_the_run_and_no_others(out):
    folder = run_in(Path("runs/iris"))
    mine = {"notes.txt": b"mine", "plots/model.npz": b"mine too"}
    (folder / "plots").mkdir()
    for name, content in mine.items():
        (folder / name).write_bytes(content)
    assert claim(out, overwrite=True) == folder
    assert files(folder) == mine
    assert claim("new", overwrite=True) == Path("new")


@pytest.mark.parametrize("out", ["file/run", "file/a/run", "x" * 300, "/proc/run"])
def test_a_folder_that_cannot_be_made_is_named(out):
    Path("file").write_text("text")
    Path("runs").write_text("text")
    assert message(MinnetError, claim, out).startswith(f"{out}: cannot be made: ")
    assert message(MinnetError, claim, None).startswith("runs/iris: cannot be made: ")


def test_clearing_a_repeated_run_removes_its_runs_and_their_reports_and_keeps_the_rest():
    folder = repeated_in(Path("mine"))
    mine = (
        "notes.txt",
        "seed-1/notes.txt",
        "pictures/me.svg",
        "plots/seed-0",
        "seed-old/model.npz",
    )
    for name in mine:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    (folder / "seed-0/.model.npz.77.tmp").write_text("half")
    clear(folder)
    assert files(folder) == dict.fromkeys(mine, b"mine")
    assert not (folder / "seed-0").exists()
    before = files(run_in(run_in(Path("single")) / "seed-0"))
    clear(Path("single"))  # was not repeated
    assert files("single/seed-0") == before


@pytest.mark.parametrize("left", [1, 2, 3, 4, 5, 10, 20, 40, 56])
def test_clearing_that_is_cut_short_can_be_taken_up_again(left, monkeypatch):
    folder, unlink = repeated_in(Path("mine")), Path.unlink
    assert len(files(folder)) == 4 * (len(RUN_FILES) + len(REPORT_FILES)) + 1 == 57

    def killed(path, missing_ok=False):
        if len(files(folder)) == left:
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", killed)
        clear(folder)
    claim(folder, overwrite=True)
    assert list(folder.iterdir()) == []


def test_clearing_a_report_leaves_the_run_and_what_is_not_of_minnet():
    folder = run_in(Path("mine"))
    before = files(folder)
    clear_report(run_in(folder, *REPORT_FILES))
    assert files(folder) == before
    train("own.toml", "--out", "run")
    Path("run/report.html").write_text(REPORT_MARK)
    train("--resume", "run", "train.epochs=5")  # which makes its report untrue
    assert set(files("run")) == {*RUN_FILES}
    assert not (folder / "pictures").exists()
    (run_in(folder, *REPORT_FILES) / "pictures/me.svg").write_text("mine")
    clear_report(folder)
    assert files(folder) == before | {"pictures/me.svg": b"mine"}
    run_in(folder, *REPORT_FILES)
    (folder / REPORT).write_text("a page of the user's")
    before = files(folder)
    clear_report(folder)
    assert files(folder) == before


def test_a_folder_that_cannot_be_cleared_is_named(monkeypatch):
    def refuse(path, missing_ok):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "unlink", refuse)
    folder, said = run_in(Path("mine"), *REPORT_FILES), "mine: cannot be cleared: Permission denied"
    for function in (clear, clear_report):
        assert message(MinnetError, function, folder) == said
