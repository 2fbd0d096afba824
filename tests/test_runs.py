"""Runs in their folders: whatever ends them early, they go on to the same end, and nothing is lost on the way."""

import dataclasses
import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from faults import Killed, faults

from minnet import cli, config, experiment, runs, storage, training

ROOT = Path(__file__).resolve().parent.parent
TEMPORARY = ".*.tmp"
# what a checkpoint has to hold differs with each of these
RUNS = {
    "dropout and a schedule": [
        "model.dropout=0.3", "optimizer.schedule=cosine", "optimizer.warmup_epochs=1.5", "train.label_smoothing=0.1"
    ],
    "early stopping": ["train.epochs=100", "train.patience=3", "optimizer.learning_rate=0.1", "train.batch_size=16"],
    "momentum, no validation": ["optimizer.name=nesterov", "data.validation_size=0", "optimizer.schedule=step"],
    "float64 and sgd": ["model.dtype=float64", "optimizer.name=sgd", "model.activation=tanh", "model.hidden=[8, 5]"],
    "adamw": ["optimizer.name=adamw", "optimizer.weight_decay=0.1", "train.class_weight=balanced"],
}  # fmt: skip


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


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own, with rows of its own and a config for quick runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(os, "fsync", lambda file: None)  # no test could see what it does, and it takes long
    write_rows()
    Path("own.toml").write_text(
        "[data]\nsource = 'own.csv'\n[model]\nhidden = [8]\n[train]\nepochs = 4\npatience = 0\nbatch_size = 20\n"
    )
    return tmp_path


def write_rows(row: int = -1, cell: str = "", heads: str = "a,b,label", label: str = "") -> None:
    """own.csv: 120 rows of two numbers and one of three labels, the same each time but for one row."""
    rng = np.random.default_rng(0)
    lines = [heads]
    for i, (a, b) in enumerate(rng.normal(size=(120, 2)).tolist()):
        own = i == row
        lines.append(f"{cell if own and cell else a + i % 3},{b - i % 3},{label if own and label else 'xyz'[i % 3]}")
    Path("own.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def train(capsys) -> Callable[..., Answer]:
    """A function that runs `minnet train` in this process."""

    def train(*arguments: str) -> Answer:
        capsys.readouterr()
        try:
            code = cli.main(["train", *arguments])
        except SystemExit as exit:
            code = exit.code
        return Answer(code, *capsys.readouterr())

    return train


def files(folder: Path | str = ".") -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def result(folder: Path | str) -> dict:
    return json.loads((Path(folder) / "result.json").read_text(encoding="utf-8"))


def end(folder: Path | str) -> tuple:
    """All that a run came to, but for its seconds, and whether it was interrupted in the end."""
    folder = Path(folder)
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    seconds = rows[0].index("seconds")
    figures = {name: figure for name, figure in result(folder).items() if name not in ("seconds", "interrupted")}
    assert set(files(folder)) == set(storage.RUN_FILES)
    return (folder / "model.npz").read_bytes(), [row[:seconds] + row[seconds + 1 :] for row in rows], figures


def at_step(number: int, strike: Callable[[], object]) -> Callable:
    """take_step, but that something happens in the step of that number, counted from here."""
    real, left = training.take_step, number

    def take_step(*arguments):
        nonlocal left
        left -= 1
        real(*arguments)
        if left == 0:
            strike()

    return take_step


def kill() -> None:
    raise Killed


def stop_at(step: int, strike: Callable[[], object], monkeypatch, function: Callable, *arguments: str) -> object:
    """What the function gives when the run is struck in that step; None if it was killed."""
    with monkeypatch.context() as patch:
        patch.setattr(training, "take_step", at_step(step, strike))
        try:
            return function(*arguments)
        except Killed:
            return None


# The same end


@pytest.mark.parametrize("checkpoint_seconds", [0, 1e-9, 1000])  # after each epoch, each step, never by itself
@pytest.mark.parametrize("settings", RUNS.values(), ids=RUNS)
def test_a_run_that_is_stopped_and_killed_ends_with_the_bits_of_one_that_never_was(
    settings, checkpoint_seconds, train, monkeypatch
):
    assert train("own.toml", *settings, "--out", "whole").code == 0
    first, again = ("own.toml", *settings, "--out", "run"), ("--resume", "run")
    first = (*first, f"train.checkpoint_seconds={checkpoint_seconds}")
    sigint, sigterm = (functools.partial(signal.raise_signal, number) for number in (signal.SIGINT, signal.SIGTERM))
    assert stop_at(2, kill, monkeypatch, train, *first) is None
    assert not Path("run/model.npz").exists()
    assert stop_at(3, sigint, monkeypatch, train, *again).code == 130
    assert result("run")["interrupted"] is True
    assert stop_at(2, kill, monkeypatch, train, *again) is None
    assert stop_at(5, sigterm, monkeypatch, train, *again).code == 143
    assert stop_at(4, kill, monkeypatch, train, *again) is None
    assert train(*again).code == 0
    assert result("run")["interrupted"] is False
    assert end("run") == end("whole")
    assert config.load(Path("run/config.toml"), ["train.checkpoint_seconds=5"]) == config.load(
        Path("whole/config.toml")
    )


def test_an_interrupted_run_says_how_it_goes_on_and_that_works(train, monkeypatch):
    stopped = stop_at(6, functools.partial(signal.raise_signal, signal.SIGINT), monkeypatch, train, "own.toml")
    assert stopped.line() == (
        "interrupted; the best weights so far are in runs/own; minnet train --resume runs/own goes on"
    )
    answer = train("--resume", "runs/own")
    assert (answer.code, answer.err) == (0, "")
    assert "\ngoing on after 1 of 4 epochs and 6 steps\n" in answer.out
    assert answer.out.endswith("\nsaved in runs/own\n")


STRUCK = """
import os, signal, sys
from minnet import cli, training
real, left = training.take_step, [int(sys.argv[1])]
def take_step(*arguments):
    real(*arguments)
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), int(sys.argv[2]))
training.take_step = take_step
sys.exit(cli.main(sys.argv[3:]))
"""


def test_a_process_that_is_signalled_and_killed_without_a_terminal_ends_as_one_that_never_was(train):
    assert train("own.toml", "--out", "whole").code == 0
    nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL) | {"start_new_session": True}
    arguments = ["own.toml", "--out", "run", "train.checkpoint_seconds=1e-9"]
    for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 143)):
        struck = [sys.executable, "-c", STRUCK, "3", str(int(number)), "train", *arguments]
        assert subprocess.run(struck, timeout=100, check=False, **nothing).returncode == code
        arguments = ["--resume", "run"]
    with storage.locked(Path("run")):  # a killed run has left no lock
        pass
    assert train("--resume", "run").code == 0
    assert end("run") == end("whole")


def test_more_epochs_are_what_a_run_of_so_many_gives(train):
    train("own.toml", "train.epochs=9", "--out", "whole")
    train("own.toml", "--out", "run")
    assert train("--resume", "run", "train.epochs=6", "--quiet") == Answer(0, "", "")
    path = Path("run/config.toml")
    path.write_text(path.read_text().replace("epochs = 6\n", "epochs = 9\n"))
    assert "going on after 6 of 9 epochs and 24 steps" in train("--resume", "run").out
    assert end("run") == end("whole")
    assert files("run")["config.toml"] == files("whole")["config.toml"]


def test_a_finished_run_stays_as_it_is(train):
    for settings in (["train.epochs=50", "train.patience=2", "optimizer.learning_rate=0.1"], ["model.hidden=[]"]):
        train("own.toml", *settings, "--out", "run", "--overwrite")
        before = files("run")
        assert train("--resume", "run").code == 0
        assert files("run") == before


def test_a_run_without_a_checkpoint_starts_at_its_start(train):
    train("own.toml", "--out", "run")
    whole = end("run")
    for name in set(storage.RUN_FILES) - {"config.toml"}:
        Path(f"run/{name}").unlink()
    assert "going on after 0 of 4 epochs and 0 steps" in train("--resume", "run").out
    assert end("run") == whole


def test_metrics_beyond_the_checkpoint_are_written_anew(train, monkeypatch):
    train("own.toml", "--out", "whole")
    arguments = ("own.toml", "--out", "run", "train.checkpoint_seconds=1000")
    stop_at(9, kill, monkeypatch, train, *arguments)
    assert len(Path("run/metrics.csv").read_text().splitlines()) == 3
    assert train("--resume", "run").code == 0
    assert end("run") == end("whole")


def test_the_seconds_of_a_run_are_those_in_which_it_was_at_work(train, monkeypatch):
    stop_at(6, functools.partial(signal.raise_signal, signal.SIGINT), monkeypatch, train, "own.toml", "--out", "run")
    time.sleep(0.6)
    train("--resume", "run")
    lines = Path("run/metrics.csv").read_text().splitlines()
    seconds = [float(line.split(",")[6]) for line in lines[1:]]
    assert seconds == sorted(seconds)
    assert result("run")["seconds"] == seconds[-1] < 0.6


def test_a_clock_that_is_set_back_changes_nothing(train, monkeypatch):
    train("own.toml", "--out", "whole")
    clock = iter(range(10**9, 0, -1000))
    for name in ("time", "time_ns"):
        monkeypatch.setattr(time, name, lambda: next(clock))
    stop_at(6, kill, monkeypatch, train, "own.toml", "--out", "run", "train.checkpoint_seconds=1e-9")
    assert train("--resume", "run").code == 0
    assert end("run") == end("whole")


# When a checkpoint is written


@pytest.mark.parametrize(
    ("seconds", "steps"),
    # begun; after each of 4 epochs of 4 steps; at the end
    [(0, [0, 4, 8, 12, 16, 16]), (1000, [0, 16]), (1e-9, [0, *range(1, 17), 16])],
)
def test_a_checkpoint_is_written_at_the_start_when_it_is_time_and_at_the_end(seconds, steps, train, monkeypatch):
    written, real = [], storage.write_checkpoint

    def write(path, arrays, manifest):
        written.append(manifest["t"])
        real(path, arrays, manifest)

    monkeypatch.setattr(storage, "write_checkpoint", write)
    assert train("own.toml", f"train.checkpoint_seconds={seconds}").code == 0
    assert written == steps


def test_a_checkpoint_is_never_written_again_before_its_time(train, monkeypatch):
    now, moments, real = 0.0, [], storage.write_checkpoint

    def clock():
        return now

    def slow_step(*arguments):
        nonlocal now
        now += 0.7
        take_step(*arguments)

    def write(path, arrays, manifest):
        moments.append(now)
        real(path, arrays, manifest)

    take_step = training.take_step
    monkeypatch.setattr(time, "monotonic", clock)
    monkeypatch.setattr(time, "perf_counter", clock)
    monkeypatch.setattr(training, "take_step", slow_step)
    monkeypatch.setattr(storage, "write_checkpoint", write)
    assert train("own.toml", "train.epochs=30", "train.checkpoint_seconds=5", "--out", "run").code == 0
    gaps = np.diff(moments[:-1])
    assert len(gaps) > 10
    assert gaps.min() >= 5
    assert gaps.max() < 5 + 2 * 0.7
    assert moments[-1] == now

    moments.clear()
    assert train("--resume", "run", "train.epochs=60").code == 0
    assert np.diff(moments[:-1]).min() >= 5
    assert moments[0] >= 30 * 4 * 0.7 + 5  # not at once, although the run is old


# Another config, other data


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train.epochs=3", "train.epochs was 4, is 3"),
        ("train.seed=1", "train.seed was 0, is 1"),
        ("model.hidden=[9]", "model.hidden was [8], is [9]"),
        ("model.dropout=0.5", "model.dropout was 0.0, is 0.5"),
        ("optimizer.schedule=cosine", "optimizer.schedule was 'constant', is 'cosine'"),
        ('train.class_weight={"x" = 2}', "train.class_weight was 'none', is {'x': 2.0}"),
        ("data.split_seed=5", "data.split_seed was 0, is 5"),
    ],
)
@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("checkpoint", [True, False])
def test_another_config_is_a_mistake_that_shows_what_differs(checkpoint, by_hand, change, said, train):
    train("own.toml", "--out", "run")
    if not checkpoint:
        if by_hand:
            return  # nothing tells what it was begun with
        Path("run/checkpoint.npz").unlink()
    if by_hand:
        changed = config.load(Path("run/config.toml"), [change])
        Path("run/config.toml").write_text(config.dumps(changed))
    before = files("run")
    answer = train("--resume", "run", *([] if by_hand else [change]))
    assert (answer.code, answer.out) == (2, "")
    assert answer.line() == f"run: the run goes on only with the config that it was begun with: {said}"
    assert files("run") == before


def test_all_that_differs_is_shown(train):
    train("own.toml", "--out", "run")
    said = train("--resume", "run", "train.seed=1", "train.epochs=2", "data.scale=none").line()
    assert said.endswith(": data.scale was 'standard', is 'none'; train.seed was 0, is 1; train.epochs was 4, is 2")


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("[train]\nepochs = 0\n", 2, "run/config.toml: train.epochs: must be at least 1"),
        ("[train]\nepoch = 5\n", 2, "unknown key train.epoch; did you mean train.epochs?"),
        ("[train\n", 2, "run/config.toml: is not TOML"),
        ("", 2, "the run goes on only with the config that it was begun with: data.source was 'own.csv', is 'digits'"),
    ],
)
def test_a_config_that_was_spoilt_by_hand_is_a_mistake(text, code, said, train):
    train("own.toml", "--out", "run")
    Path("run/config.toml").write_text(text)
    before = files("run")
    answer = train("--resume", "run")
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.line()
    assert files("run") == before


def rows_of(part: str) -> int:
    """The line of own.csv that is the first row of that part."""
    prepared = experiment.prepare(config.load(Path("own.toml"), ["data.scale=none"]))
    first = prepared.parts[part].X1[0, :2]
    return int(np.abs(prepared.dataset.X.astype("float32") - first).sum(axis=1).argmin())


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_data_that_changed_in_one_part_are_a_problem_that_names_it(part, train):
    train("own.toml", "data.scale=none", "--out", "run")
    row = rows_of(part)
    write_rows(row, cell="0.5")
    before = files("run")
    answer = train("--resume", "run", "train.epochs=9")
    assert (answer.code, answer.out) == (1, "")
    assert answer.line() == f"own.csv: not the data that the run was begun with: other {part} rows"
    assert files("run") == before
    write_rows()
    assert train("--resume", "run", "train.epochs=9").code == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"heads": "a,c,label"}, "other columns"),
        ({"heads": "b,a,label"}, "other columns"),
        ({"row": 5, "cell": "100"}, "other columns, test rows, train rows, validation rows"),  # scaled in another way
        ({"row": 5, "label": "w"}, "class w has 1 row"),
    ],
)
def test_other_columns_or_labels_are_other_data(change, said, train):
    train("own.toml", "--out", "run")
    write_rows(**change)
    before = files("run")
    answer = train("--resume", "run")
    assert (answer.code, answer.out) == (1, "")
    assert said in answer.line()
    assert files("run") == before


def test_the_same_rows_in_other_units_are_other_data(train):
    train("own.toml", "--out", "run")
    table = np.genfromtxt("own.csv", delimiter=",", skip_header=1, dtype=None, encoding="utf-8")
    Path("own.csv").write_text("a,b,label\n" + "".join(f"{4 * a!r},{4 * b!r},{y}\n" for a, b, y in table.tolist()))
    assert train("--resume", "run").line().endswith("other columns")


def test_other_labels_are_other_data(train):
    train("own.toml", "--out", "run")
    Path("own.csv").write_text(Path("own.csv").read_text().replace(",x\n", ",w\n"))
    assert train("--resume", "run").line().endswith("other classes")


def test_data_that_are_gone_are_a_problem(train):
    train("own.toml", "--out", "run")
    Path("own.csv").unlink()
    before = files("run")
    answer = train("--resume", "run")
    assert answer.code == 1
    assert "own.csv" in answer.line()
    assert files("run") == before


@pytest.mark.parametrize(("name", "now"), [("NumPy", "1.0"), ("BLAS", "mkl 1"), ("processor", "abacus")])
def test_another_machine_is_told_as_the_last_bits_may_differ(name, now, train, monkeypatch):
    train("own.toml", "--out", "run")
    here = runs.machine()
    assert all(here.values())
    assert "differ" not in train("--resume", "run").out
    monkeypatch.setattr(runs, "machine", lambda: here | {name: now})
    said = train("--resume", "run").out.splitlines()
    place = said.index("going on after 4 of 4 epochs and 16 steps")
    difference = f"{name} was {here[name]}, is {now}"
    assert said[place + 1] == f"the last bits may differ from those of a run without a stop: {difference}"
    assert "differ" not in train("--resume", "run").out  # told once: now it is the machine of the checkpoint


def test_what_is_said_of_the_machine_is_the_same_before_and_after_other_libraries_are_loaded():
    code = (
        "import numpy, sys; from minnet import runs; first = runs.machine()\n"
        "assert 'scipy' not in sys.modules\n"
        "import scipy.linalg; runs.machine.cache_clear(); assert first == runs.machine(), (first, runs.machine())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# Mistakes in the arguments


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--resume"], "--resume: expected one argument"),
        (["--resume", "run", "--out", "b"], "--resume goes on in the run's own folder: it takes no --out"),
        (["--resume", "run", "--overwrite"], "--resume goes on in the run's own folder"),
        (["--resume", "run", "--print-config"], "--resume goes on in the run's own folder"),
        (["own.toml", "--resume", "run"], "own.toml: --resume takes the config from the run's folder"),
        (["--resume", "run", "train.epoch=9"], "unknown key train.epoch; did you mean train.epochs?"),
        (["--resume", "run", "train.epochs=many"], "train.epochs: expected a whole number"),
        (["--resume", "no"], "no: there is no such folder"),
        (["--resume", "own.csv"], "own.csv: there is no such folder"),
        (["--resume", "run/model.npz"], "run/model.npz: there is no such folder"),
        (["--resume", "empty"], "empty: holds no run to go on with: there is no config.toml"),
        (["--resum", "run"], "did you mean --resume?"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_line_and_changes_nothing(arguments, said, train):
    train("own.toml", "--out", "run")
    Path("empty").mkdir()
    before = files()
    answer = train(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.line()
    assert files() == before


# Damaged checkpoints


def cut(content: bytes) -> bytes:
    return content[:-1]


def turned(content: bytes) -> bytes:
    return content[:-500] + bytes([content[-500] ^ 4]) + content[-499:]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "is damaged or was changed"),
        (turned, "is damaged or was changed"),
        (lambda content: content + b"\n", "is damaged or was changed (more follows its end); use a copy of it, or "),
        (lambda content: b"", "is empty; name a run's checkpoint.npz"),
        (lambda content: b"text", "is no file of minnet, or damaged; name a run's checkpoint.npz"),
        (lambda content: Path("run/model.npz").read_bytes(), "is a minnet model, not a minnet checkpoint"),
    ],
)
def test_a_checkpoint_that_is_damaged_or_is_none_is_a_problem_that_changes_nothing(damage, said, train):
    train("own.toml", "--out", "run")
    path = Path("run/checkpoint.npz")
    path.write_bytes(damage(path.read_bytes()))
    before = files("run")
    for changes in ([], ["train.epochs=9"]):
        answer = train("--resume", "run", *changes)
        assert (answer.code, answer.out) == (1, "")
        assert answer.line().startswith(f"run/checkpoint.npz: {said}")
        assert files("run") == before


def test_the_checkpoint_of_another_run_is_refused(train):
    train("own.toml", "--out", "run")
    train("own.toml", "--out", "other", "model.hidden=[3]")
    os.replace("other/checkpoint.npz", "run/checkpoint.npz")  # noqa: PTH105
    answer = train("--resume", "run")
    assert answer.code == 2
    assert "model.hidden was [3], is [8]" in answer.line()


# Two runs in one folder


def test_while_a_run_lives_no_other_is_let_into_its_folder_and_once_it_is_killed_one_is(train, monkeypatch):
    arguments = ["own.toml", "--out", "run", "train.epochs=1000000", "train.checkpoint_seconds=0", "--quiet"]
    with subprocess.Popen([sys.executable, "-m", "minnet", "train", *arguments]) as running:
        try:
            # four rows below the header: an epoch's row stands there before its checkpoint does
            wait_for(lambda: len(Path("run/metrics.csv").read_text().splitlines()) > 4, running)
            running.send_signal(signal.SIGSTOP)  # a run that hangs holds its folder, too
            os.waitpid(running.pid, os.WUNTRACED)
            before = files("run")
            for other in (["--resume", "run"], ["own.toml", "--out", "run", "--overwrite"]):
                with monkeypatch.context() as patch:
                    patch.setattr(cli, "_run", pytest.fail)
                    answer = train(*other)
                assert answer.code == 2
                assert answer.line() == "run: another run is at work there; wait for it, or choose another folder"
                assert files("run") == before
        finally:
            running.kill()
    sigint = functools.partial(signal.raise_signal, signal.SIGINT)
    stopped = stop_at(3, sigint, monkeypatch, train, "--resume", "run")
    assert stopped.code == 130
    epochs = result("run")["epochs"]
    assert epochs > 2
    train("own.toml", "--out", "whole", f"train.epochs={epochs}")
    assert files("run")["model.npz"] == files("whole")["model.npz"]


def wait_for(condition: Callable[[], bool], running: subprocess.Popen) -> None:
    for _ in range(3000):
        try:
            if condition():
                return
        except FileNotFoundError:
            pass
        assert running.poll() is None
        time.sleep(0.02)
    pytest.fail("it did not come")


def test_a_run_that_began_while_another_was_loading_its_data_is_not_overwritten(train, monkeypatch):
    real = storage.claim_folder

    def claim(*arguments):
        folder = real(*arguments)  # and at this moment another run takes it, and ends
        with monkeypatch.context() as patch:
            patch.setattr(storage, "claim_folder", real)
            assert cli.main(["train", "own.toml", "--out", "run", "--quiet"]) == 0
        return folder

    monkeypatch.setattr(storage, "claim_folder", claim)
    answer = train("own.toml", "--out", "run", "train.seed=1")
    assert answer.code == 2
    assert answer.line().startswith("run: exists; ")
    assert result("run")["seed"] == 0


@pytest.mark.parametrize("resume", [True, False])
def test_what_a_killed_run_has_left_half_written_is_removed(resume, train):
    train("own.toml", "--out", "run")
    for name in storage.RUN_FILES:
        Path(f"run/.{name}.77.tmp").write_bytes(b"half")
    Path("run/notes.tmp").write_text("mine")
    assert train(*(["--resume", "run"] if resume else ["own.toml", "--out", "run", "--overwrite"])).code == 0
    assert set(files("run")) == {*storage.RUN_FILES, "notes.tmp"}


# Signals


def test_a_second_signal_stops_at_once_and_the_run_can_go_on(train, monkeypatch):
    train("own.toml", "--out", "whole")

    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    arguments = ("own.toml", "--out", "run", "train.checkpoint_seconds=0")
    answer = stop_at(7, twice, monkeypatch, train, *arguments)
    assert answer.code == 130
    assert answer.line() == "interrupted before the model was saved"
    assert set(files("run")) == {"config.toml", "metrics.csv", "checkpoint.npz"}
    answer = train("--resume", "run")
    assert "going on after 1 of 4 epochs and 4 steps" in answer.out
    assert end("run") == end("whole")


def test_a_second_signal_in_the_middle_of_the_last_save_leaves_whole_files(train, monkeypatch):
    train("own.toml", "--out", "whole")
    sigint = functools.partial(signal.raise_signal, signal.SIGINT)
    arguments = ("own.toml", "--out", "run", "train.checkpoint_seconds=1000", "--quiet")
    with faults() as counted:
        stop_at(6, sigint, monkeypatch, train, *arguments)
    count = len(counted.names)
    for at in range(30, count + 1, 5):  # the files of the start take 24 steps or so
        with faults(at, sigint):
            answer = stop_at(6, sigint, monkeypatch, train, *arguments, "--overwrite")
        assert answer.code == 130
        assert not list(Path("run").glob(TEMPORARY))
        assert train("--resume", "run").code == 0
        assert end("run") == end("whole")


# Full disks and kills at each step of writing


def distinct(names: list[str]) -> list[int]:
    """The numbers of these steps, but of writes that follow each other only the first's."""
    return [at for at, (name, before) in enumerate(zip(names, ["", *names[:-1]], strict=True), 1) if name != before]


HINT = "; minnet train --resume run goes on from the last checkpoint"


def whole_run(*settings: str) -> tuple[str, ...]:
    """A run that saves after each epoch."""
    return ("own.toml", "--out", "run", "train.epochs=2", "train.checkpoint_seconds=0", "--quiet", *settings)


@pytest.mark.parametrize("how", ["full", "killed"])
def test_a_fault_at_any_step_of_writing_leaves_whole_files_and_a_run_that_goes_on_to_the_same_end(how, train):
    with faults() as counted:
        assert train(*whole_run()).code == 0
    expected = end("run")
    assert counted.names.count("rename") == 2 + 4 + 2  # config and metrics, checkpoints, model and result
    for at in distinct(counted.names):
        for path in Path("run").iterdir():
            path.unlink()
        with faults(at, how):
            if how == "full":
                answer = train(*whole_run())
                assert answer.code == 1
                assert re.fullmatch(rf"run/[a-z.]+: cannot be written: No space left on device({HINT})?", answer.line())
                assert not list(Path("run").glob(TEMPORARY))
            else:
                with pytest.raises(Killed):
                    train(*whole_run())
        assert_whole("run")
        begun = Path("run/config.toml").exists()
        assert train(*(["--resume", "run", "--quiet"] if begun else whole_run())) == Answer(0, "", "")
        assert end("run") == expected


@pytest.mark.parametrize("how", ["full", "killed"])
def test_a_fault_at_any_step_of_going_on_leaves_whole_files_too(how, train):
    train(*whole_run())
    begun = files("run")
    more = ("--resume", "run", "train.epochs=3", "--quiet")
    with faults() as counted:
        assert train(*more).code == 0
    expected = end("run")
    for at in distinct(counted.names):
        for name, content in begun.items():
            Path(f"run/{name}").write_bytes(content)
        with faults(at, how):
            if how == "full":
                assert train(*more).code == 1
                assert not list(Path("run").glob(TEMPORARY))
            else:
                with pytest.raises(Killed):
                    train(*more)
        assert_whole("run")
        assert {name for name in files("run") if not name.startswith(".")} == set(begun)  # none is lost
        assert train(*more) == Answer(0, "", "")
        assert end("run") == expected


def assert_whole(folder: Path | str) -> None:
    """Each file under its own name is one that was written to its end."""
    for name in files(folder):
        path = Path(folder) / name
        if name == "config.toml":
            config.load(path)
        elif name == "metrics.csv":
            assert path.read_text().endswith("\n")
            assert len({line.count(",") for line in path.read_text().splitlines()}) == 1
        elif name == "result.json":
            result(folder)
        elif name == "model.npz":
            storage.read_model(path)
        elif name == "checkpoint.npz":
            storage.read_checkpoint(path)
        else:
            assert re.fullmatch(r"\..*\.tmp", name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_a_problem(train):
    train("own.toml", "--out", "run")
    before = files("run")
    Path("run").chmod(0o555)
    answer = train("--resume", "run")
    Path("run").chmod(0o755)
    assert answer.code == 1
    assert answer.line().startswith("run/config.toml: cannot be written: Permission denied")
    assert files("run") == before


@pytest.mark.parametrize("name", ["config.toml", "metrics.csv", "checkpoint.npz", "model.npz", "result.json"])
def test_a_file_that_may_not_be_written_is_a_problem_that_names_it(name, train, monkeypatch):
    train("own.toml", "--out", "run")
    before, opened = files("run"), Path.open

    def refuse(path, mode="r", *arguments, **options):
        if path.name.startswith(f".{name}.") and "w" in mode:
            raise PermissionError(13, os.strerror(13))
        return opened(path, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    answer = train("--resume", "run")
    assert answer.code == 1
    at_work = name not in ("config.toml", "metrics.csv")  # these are written before it goes on
    assert answer.line() == f"run/{name}: cannot be written: Permission denied{HINT if at_work else ''}"
    assert files("run") == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="Linux only")
def test_a_folder_that_cannot_be_made_is_a_problem(train):
    answer = train("own.toml", "--out", "/proc/run")
    assert answer.code == 1
    assert answer.line().startswith("/proc/run: cannot be made: ")


# Runs that get lost


@pytest.mark.parametrize("checkpoint_seconds", [0, 1e-9])
@pytest.mark.parametrize("rate", ["1e37", "1e12"])
def test_a_run_that_diverges_keeps_the_checkpoint_before_and_diverges_again(rate, checkpoint_seconds, train):
    settings = [
        "optimizer.name=sgd",
        f"optimizer.learning_rate={rate}",
        f"train.checkpoint_seconds={checkpoint_seconds}",
    ]
    answer = train("own.toml", *settings, "--out", "run")
    assert answer.code == 1
    assert answer.line().startswith("training diverged in epoch 1")
    assert_whole("run")
    again = train("--resume", "run")
    assert (again.code, again.line()) == (1, answer.line())


def test_a_run_that_is_stopped_when_its_weights_are_lost_keeps_its_best_ones(train, monkeypatch):
    def strike():
        signal.raise_signal(signal.SIGINT)
        lost.theta[3] = np.inf

    build = training.build
    lost = None

    def built(*arguments):
        nonlocal lost
        lost = build(*arguments)
        return lost

    monkeypatch.setattr(training, "build", built)
    answer = stop_at(6, strike, monkeypatch, train, "own.toml", "--out", "run", "train.checkpoint_seconds=0")
    assert answer.code == 130
    arrays, entries = storage.read_checkpoint(Path("run/checkpoint.npz"))
    np.testing.assert_array_equal(storage.read_model(Path("run"))[0]["theta"], arrays["best_theta"])
    assert entries["t"] == 4
