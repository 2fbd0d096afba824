"""The command: what it writes, what it says, and how it ends."""

import contextlib
import csv
import fcntl
import functools
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import file_size_limit

import minnet
from minnet import cli, config, experiment, storage, training

ROOT = Path(__file__).resolve().parent.parent
TRAIN = ROOT / "train.py"
RUN = {"config.toml", "metrics.csv", "result.json", "model.npz", "checkpoint.npz"}
UNFINISHED = RUN - {"result.json", "model.npz"}
COLUMNS = [
    *("epoch", "learning_rate", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "seconds"),
    *("gradient_1", "gradient_2", "update_1", "update_2"),
]
LONG = ("data.source=digits", "train.epochs=100000", "train.patience=0")


@dataclass
class Answer:
    """How a command ended, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str

    def line(self) -> str:
        """All that it wrote to stderr: one line."""
        assert len(self.err.splitlines()) == 1
        assert self.err.endswith("\n")
        assert self.err.startswith("minnet: ")
        return self.err.removeprefix("minnet: ").rstrip("\n")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own, in which there is a config for quick runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    Path("iris.toml").write_text("[data]\nsource = 'iris'\n[train]\nepochs = 3\n")
    return tmp_path


@pytest.fixture
def command(capsys) -> Callable[..., Answer]:
    """A function that runs a command of minnet in this process."""

    def command(*arguments: str) -> Answer:
        capsys.readouterr()
        try:
            code = cli.main(arguments)
        except SystemExit as exit:
            code = exit.code
        return Answer(code, *capsys.readouterr())

    return command


@pytest.fixture
def train(command) -> Callable[..., Answer]:
    """A function that runs `minnet train` in this process."""
    return functools.partial(command, "train")


@pytest.fixture
def study(command) -> Callable[..., Answer]:
    """A function that runs `minnet study` in this process."""
    return functools.partial(command, "study")


def process(*arguments: str | Path, **options) -> Answer:
    """A Python process, where one is needed."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": 300}
    done = subprocess.run([sys.executable, *arguments], **pipes | options, check=False)
    return Answer(done.returncode, done.stdout or "", done.stderr or "")


def files(folder: Path | str = ".") -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def metrics(folder: Path | str) -> list[dict[str, str]]:
    with (Path(folder) / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def result(folder: Path | str) -> dict:
    return json.loads((Path(folder) / "result.json").read_text(encoding="utf-8"))


def without_seconds(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{name: cell for name, cell in row.items() if name != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def default_run(tmp_path_factory) -> tuple[Answer, Path]:
    """`python train.py` and the folder in which it was started."""
    folder = tmp_path_factory.mktemp("default")
    return process(TRAIN, cwd=folder), folder


# The default run


def test_a_shipped_config_goes_by_its_name_unless_there_is_a_file_of_that_name(train):
    assert config.load(ROOT / "configs" / "wine.toml") == printed(train("wine", "--print-config"))
    Path("wine").write_text("[train]\nseed = 7\n")
    assert printed(train("wine", "--print-config")).train.seed == 7


def printed(answer):
    Path("printed.toml").write_text(answer.out)
    return config.load(Path("printed.toml"))


def test_a_folder_that_would_be_refused_is_refused_before_any_data_are_loaded(train, monkeypatch):
    assert train("iris.toml", "--out", "a").code == 0
    monkeypatch.setattr(experiment, "prepare", None)
    assert train("iris.toml", "--out", "a").line().startswith("a: exists; ")


def test_without_arguments_the_shipped_digits_config_is_trained(default_run):
    answer, folder = default_run
    assert (answer.code, answer.err) == (0, "")
    assert set(files(folder)) == {f"runs/digits/{name}" for name in RUN}
    assert config.load(folder / "runs/digits/config.toml") == config.load(ROOT / "configs/digits.toml")
    assert result(folder / "runs/digits")["test_accuracy"] >= 0.96


def test_what_is_printed_are_the_figures_of_the_result(default_run):
    answer, folder = default_run
    figures = result(folder / "runs/digits")
    losses = [f"{figures['test_loss']:.4f}", f"{figures['test_accuracy']:.4f}"]
    assert ["test", *losses] in [line.split() for line in answer.out.splitlines()]
    assert f"{figures['macro_f1']:.4f}" in answer.out
    assert answer.out.startswith("digits: 1,797 rows, 64 features, 10 classes; train ")
    assert answer.out.endswith("\nsaved in runs/digits\n")


def test_the_saved_model_read_with_numpy_alone_gives_the_accuracy_of_the_result(default_run):
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    folder = default_run[1] / "runs/digits"
    with np.load(folder / "model.npz", allow_pickle=False) as file:
        model = {name: file[name] for name in file.files}
    manifest = json.loads(model["manifest"].tobytes())
    net = minnet.MLP(manifest["layer_sizes"], manifest["activation"], dtype=manifest["dtype"])
    net.theta[:] = model["theta"]

    X, y = load_digits(return_X_y=True)
    data = config.load(folder / "config.toml").data
    X, y = train_test_split(X, y, test_size=data.test_size, stratify=y, random_state=data.split_seed)[1::2]
    predicted = net.predict((X - model["center"]) / model["scale"])
    assert float((predicted == y).mean()) == result(folder)["test_accuracy"]
    assert [sum(row) for row in result(folder)["confusion"]] == np.bincount(y).tolist()


# Folders and options


def test_the_second_run_gets_a_number_and_the_first_is_unchanged(train):
    train("train.epochs=1")
    first = files("runs/digits")
    assert train("train.epochs=1").out.endswith("\nsaved in runs/digits-2\n")
    assert files("runs/digits") == first
    assert set(files("runs/digits-2")) == RUN


def test_the_folder_has_the_name_of_the_config_and_out_gives_another(train):
    assert train("iris.toml").code == 0
    assert train("iris.toml", "--out", "a/b").code == 0
    assert {path.parent for path in Path().rglob("model.npz")} == {Path("runs/iris"), Path("a/b")}


def test_options_may_stand_anywhere(train):
    assert train("--quiet", "iris.toml", "--out", "a", "train.epochs=1", "--overwrite", "train.seed=4").code == 0
    assert (result("a")["epochs"], result("a")["seed"]) == (1, 4)


def test_overwrite_replaces_the_run_and_keeps_other_files(train):
    train("iris.toml", "train.epochs=4")
    Path("runs/iris/notes.txt").write_text("mine")
    assert train("iris.toml", "--overwrite", "train.epochs=2").code == 0
    assert [path.name for path in Path("runs").iterdir()] == ["iris"]
    assert len(metrics("runs/iris")) == 2
    assert Path("runs/iris/notes.txt").read_text() == "mine"


def test_quiet_prints_nothing_and_saves_the_same(train):
    assert train("iris.toml", "--quiet") == Answer(0, "", "")
    train("iris.toml")
    assert files("runs/iris")["model.npz"] == files("runs/iris-2")["model.npz"]


def test_print_config_loads_back_to_the_same_and_writes_nothing(train, here):
    before = files()
    overrides = ["train.seed=9", "model.hidden=[]", 'train.class_weight={"é" = 2}']
    answer = train("iris.toml", *overrides, "--print-config")
    assert (answer.code, answer.err) == (0, "")
    assert files() == before
    Path("printed.toml").write_text(answer.out, encoding="utf-8")
    assert config.load(Path("printed.toml")) == config.load(Path("iris.toml"), overrides)


def test_help_lists_every_key_with_its_type_default_and_choices(train):
    answer = train("--help")
    assert (answer.code, answer.err) == (0, "")
    assert config.describe() in answer.out
    assert all(option in answer.out for option in ("CONFIG.toml", "--out", "--overwrite", "--quiet", "--print-config"))


def test_python_m_minnet_train_does_the_same_as_main(train):
    answer = process("-m", "minnet", "train", "iris.toml")
    again = train("iris.toml")

    def figures(out: str) -> str:
        return re.sub(r"in \d+\.\d+ s|saved in .*", "", out)

    assert (answer.code, answer.err) == (0, "")
    assert figures(answer.out) == figures(again.out)
    assert files("runs/iris")["model.npz"] == files("runs/iris-2")["model.npz"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "no command"),
        (["zebra"], 2, "unknown command 'zebra': choose from train, predict, evaluate, report, shard, study, check"),
        (["trian"], 2, "unknown command 'trian'; did you mean train?"),
        (["stduy"], 2, "unknown command 'stduy'; did you mean study?"),
        (["chekc", "iris"], 2, "unknown command 'chekc'; did you mean check?"),
        (["--help"], 0, "usage: minnet train"),
        (["--help"], 0, " minnet study [CONFIG.toml]"),
        (["--version"], 0, f"minnet {minnet.__version__}"),
    ],
)
def test_a_missing_or_unknown_command_is_a_mistake_and_help_is_none(arguments, code, said, capsys):
    answer = Answer(cli.main(arguments), *capsys.readouterr())
    assert answer.code == code
    assert said in (answer.line() if code else answer.out)


# What a run writes


def test_the_files_of_a_run_are_those_of_the_contract(train):
    train("iris.toml", "train.epochs=4")
    assert set(files("runs/iris")) == RUN
    assert Path("runs/iris/config.toml").read_text().count(" = ") == len(config.KEYS)
    rows = metrics("runs/iris")
    assert list(rows[0]) == COLUMNS
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert all(np.isfinite(float(cell)) for row in rows for cell in row.values())


def test_the_result_holds_the_final_figures(train):
    train("iris.toml", "train.seed=3", "model.hidden=[5]")
    figures = result("runs/iris")
    assert {"test_loss", "macro_f1", "best_epoch", "epochs", "seconds", "versions"} <= figures.keys()
    assert (figures["seed"], figures["epochs"], figures["parameters"]) == (3, 3, 5 * 5 + 6 * 3)
    assert figures["versions"]["numpy"] == np.__version__
    assert figures["classes"] == ["setosa", "versicolor", "virginica"]
    assert figures["rows"] == {"train": 96, "validation": 24, "test": 30}


def test_the_confusion_matrix_agrees_with_accuracy_f1_and_rows(train):
    train("iris.toml", "train.epochs=1")
    figures = result("runs/iris")
    matrix = np.array(figures["confusion"])
    assert matrix.sum() == figures["rows"]["test"]
    assert matrix.trace() / matrix.sum() == figures["test_accuracy"]
    f1 = 2 * matrix.diagonal() / (matrix.sum(axis=0) + matrix.sum(axis=1))
    assert figures["per_class"]["f1"] == pytest.approx(f1)
    assert figures["macro_f1"] == pytest.approx(f1.mean())


def test_training_from_the_written_config_gives_the_same_bits(train):
    settings = ["model.dropout=0.2", "train.label_smoothing=0.1", "optimizer.schedule=cosine", "train.seed=5"]
    train("iris.toml", *settings, "--out", "one")
    train("one/config.toml", "--out", "two")
    one, two = files("one"), files("two")
    assert one["model.npz"] == two["model.npz"]
    assert one["config.toml"] == two["config.toml"]
    assert without_seconds(metrics("one")) == without_seconds(metrics("two"))


def test_another_seed_gives_other_bits(train):
    train("iris.toml", "--out", "one")
    train("iris.toml", "--out", "two", "train.seed=1")
    assert files("one")["model.npz"] != files("two")["model.npz"]


def test_without_a_validation_part_its_figures_are_empty(train):
    assert train("iris.toml", "data.validation_size=0").code == 0
    assert {row["validation_loss"] + row["validation_accuracy"] for row in metrics("runs/iris")} == {""}
    figures = result("runs/iris")
    assert (figures["validation_loss"], figures["validation_accuracy"]) == (None, None)
    assert (figures["best_epoch"], figures["epochs"]) == (3, 3)
    assert figures["rows"] == {"train": 120, "test": 30}


def test_no_hidden_layer_is_softmax_regression(train):
    assert "net 4-3, no hidden layer" in train("iris.toml", "model.hidden=[]", "optimizer.learning_rate=0.1").out
    assert result("runs/iris")["parameters"] == 15
    assert result("runs/iris")["test_accuracy"] > 0.6


def test_patience_ends_the_run_early_and_the_best_weights_are_kept(train):
    train("iris.toml", "train.epochs=1000", "train.patience=4", "optimizer.learning_rate=0.05")
    losses = [float(row["validation_loss"]) for row in metrics("runs/iris")]
    figures = result("runs/iris")
    assert figures["validation_loss"] == min(losses)
    assert figures["best_epoch"] == losses.index(min(losses)) + 1
    assert figures["epochs"] == len(losses) == figures["best_epoch"] + 4


def test_without_patience_all_epochs_are_run_and_the_best_weights_kept(train):
    train("iris.toml", "train.epochs=60", "train.patience=0", "optimizer.learning_rate=0.1")
    losses = [float(row["validation_loss"]) for row in metrics("runs/iris")]
    assert len(losses) == 60
    assert result("runs/iris")["validation_loss"] == min(losses) < losses[-1]


# Mistakes in the arguments: exit 2, one line, nothing written


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--qiet"], "did you mean --quiet?"),
        (["iris.toml", "--overwrit"], "did you mean --overwrite?"),
        (["--ouput=x"], "did you mean --out?"),
        (["--nothing-like-it"], "see minnet train --help"),
        (["-x"], "see minnet train --help"),
        (["--a\nb"], "unrecognized arguments: --a b"),
        (["--out"], "--out: expected one argument"),
        (["--quiet=1"], "--quiet: ignored explicit argument '1'"),
        (["digit.toml"], "digit.toml: no such config file; did you mean "),
        (["configs/didgits.toml"], "/digits.toml?"),
        (["zzz.toml"], "zzz.toml: no such config file; shipped: "),
        (["."], ".: cannot read this config: Is a directory"),
        (["iris.toml/x.toml"], "cannot read this config: Not a directory"),
        (["x" * 300], "cannot read this config: File name too long"),
        (["a\nb.toml"], "a b.toml: no such config file"),
        (["iris.toml", "wine.toml"], "'wine.toml' is no section.key=value"),
        (["iris.toml", "epochs"], "'epochs' is no section.key=value; did you mean train.epochs?"),
        (["train.epochs"], "'train.epochs' is no section.key=value"),
        (["iris.toml", "train.epochs", "=", "5"], "is no section.key=value"),
        (["iris.toml", "train.epoch=3"], "unknown key train.epoch; did you mean train.epochs?"),
        (["iris.toml", "a\nb=3"], "unknown key a b; choose from "),
        (["iris.toml", "train.epochs=0"], "train.epochs: must be at least 1, got 0"),
        (["data.source=irsi"], "did you mean iris?"),
        (["data.source=zebra"], "is none of iris, wine, breast_cancer, digits, moons"),
        (["data.source=moons", "data.classes=5"], "data.classes: has no effect on 'moons'"),
        (["data.source=classification", "data.classes=50"], "classification cannot be made so"),
        (["iris.toml", "model.hidden=[1000000,1000000]"], "model.hidden: a net of 4-1000000-1000000-3"),
        (["iris.toml", "model.hidden=[1000000000000]"], "model.hidden: must be at most 1000000"),
        (["iris.toml", 'train.class_weight={"zebra" = 2}'], "no class 'zebra', only setosa, versicolor, virginica"),
        (["iris.toml", "train.class_weight={setosa=0,versicolor=0,virginica=0}"], "needs a weight above 0"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_line_and_writes_nothing(arguments, said, train):
    before = files()
    answer = train(*arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert said in answer.line()
    assert files() == before
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "full"], "full: exists; choose another folder"),
        (["--out", "full", "--overwrite"], "full: holds other files and no run"),
        (["--out", "iris.toml"], "iris.toml: is a file; name a folder with --out"),
        (["--out", "iris.toml", "--overwrite"], "iris.toml: is a file"),
        (["--out", "."], "exists"),
        (["--out", ""], "exists"),
    ],
)
def test_a_folder_that_holds_something_is_refused_and_left_alone(arguments, said, train):
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    before = files()
    answer = train("iris.toml", *arguments)
    assert answer.code == 2
    assert said in answer.line()
    assert files() == before


def test_the_exit_code_of_a_mistake_reaches_the_shell():
    answer = process(TRAIN, "--qiet")
    assert (answer.code, answer.out) == (2, "")
    assert answer.line() == "unrecognized arguments: --qiet; did you mean --quiet?"


# Problems of data, machine and run: exit 1, one line


@pytest.mark.parametrize(
    "arguments",
    [
        ("data.source=digits", "data.test_size=3"),
        ("data.source=digits", "data.test_size=1797"),
        ("data.source=iris", "data.validation_size=1000000000"),
        ("data.source=moons", "data.samples=3"),
        ("data.source=moons", "data.noise=1e308"),
    ],
)
def test_data_that_cannot_be_split_or_used_is_one_line_and_writes_nothing(arguments, train):
    before = files()
    answer = train(*arguments)
    assert (answer.code, answer.out) == (1, "")
    answer.line()
    assert files() == before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("source", ["iris", "digits"])
def test_a_run_that_diverges_ends_with_the_step_and_advice_and_no_model(dtype, source, train):
    settings = [f"data.source={source}", "optimizer.name=sgd", "optimizer.learning_rate=1e10", f"model.dtype={dtype}"]
    answer = train("iris.toml", *settings, "train.epochs=100")
    assert answer.code == 1
    assert re.match(r"training diverged in epoch \d+ at step \d+: .*try a smaller", answer.line())
    assert set(files("runs/iris")) == UNFINISHED


def test_a_net_that_overflows_in_its_last_step_is_not_saved(train):
    settings = ["optimizer.name=sgd", "optimizer.learning_rate=1e37", "train.batch_size=1000", "train.epochs=1"]
    answer = train("iris.toml", *settings)
    assert answer.code == 1
    assert "try a smaller optimizer.learning_rate" in answer.line()
    assert set(files("runs/iris")) == UNFINISHED


@pytest.mark.parametrize("out", ["iris.toml/run", "x" * 300])
def test_a_folder_that_cannot_be_made_is_a_problem_in_one_line(out, train):
    before = files()
    answer = train("iris.toml", "--out", out)
    assert answer.code == 1
    assert answer.line().startswith(f"{out}: cannot be made: ")
    assert files() == before


def test_out_of_memory_is_one_line(train, monkeypatch):
    def prepare(config, progress, team):
        raise MemoryError

    monkeypatch.setattr(experiment, "prepare", prepare)
    answer = train("iris.toml")
    assert answer.code == 1
    assert "out of memory: try a smaller" in answer.line()


@pytest.mark.parametrize(
    ("beyond_config", "settings", "name", "left"),
    [
        (-100, [], "config.toml", set()),
        (300, ["model.hidden=[500]"], "checkpoint.npz", {"config.toml", "metrics.csv"}),
        (8000, ["model.hidden=[2]", "train.checkpoint_seconds=1000", "train.epochs=200"], "metrics.csv", UNFINISHED),
    ],
)
def test_a_disk_that_fills_up_is_one_line_and_leaves_whole_files(beyond_config, settings, name, left, train):
    config_size = len(config.dumps(config.load(Path("iris.toml"), settings)))
    with file_size_limit(config_size + beyond_config):
        answer = train("iris.toml", *settings)
    assert answer.code == 1
    assert answer.line().startswith(f"runs/iris/{name}: cannot be written: ")
    assert set(files("runs/iris")) == left
    assert all(content.endswith(b"\n") for name, content in files("runs/iris").items() if name != "checkpoint.npz")
    assert "checkpoint.npz" not in left or storage.read_checkpoint(Path("runs/iris/checkpoint.npz"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_full_disk_under_stdout_is_one_line():
    with Path("/dev/full").open("w") as full:
        answer = process(TRAIN, "--print-config", stdout=full)
    assert answer.code == 1
    assert answer.line() == "standard output cannot be written: No space left on device"


# Signals


def signals_after(epoch: int, *numbers: int) -> Callable:
    """The training loop, but that signals arrive once that many epochs are done."""
    real = training.train

    def train(*arguments, team):
        epochs = real(*arguments, team=team)
        for _ in range(epoch):
            yield next(epochs)
        for number in numbers:
            signal.raise_signal(number)
        yield from epochs

    return train


@pytest.mark.parametrize("batch_size", [32, 1000])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_and_the_best_weights_are_saved_and_reported(
    number, code, batch_size, train, monkeypatch
):
    monkeypatch.setattr(training, "train", signals_after(5, number))
    answer = train("iris.toml", f"train.batch_size={batch_size}", "train.epochs=1000", "train.patience=0")
    assert answer.code == code
    assert answer.line() == (
        "interrupted; the best weights so far are in runs/iris; minnet train --resume runs/iris goes on"
    )
    assert answer.out.endswith("\nsaved in runs/iris\n")
    figures = result("runs/iris")
    assert figures["interrupted"] is True
    assert figures["epochs"] in (5, 6)
    assert figures["validation_loss"] == min(float(row["validation_loss"]) for row in metrics("runs/iris"))
    assert set(files("runs/iris")) == RUN


def test_an_interrupted_run_has_the_bits_that_a_run_of_its_length_has(train, monkeypatch):
    train("iris.toml", "train.epochs=5", "--out", "whole")
    monkeypatch.setattr(training, "train", signals_after(5, signal.SIGINT))
    train("iris.toml", "train.epochs=50", "--out", "interrupted")
    assert files("whole")["model.npz"] == files("interrupted")["model.npz"]


def test_a_signal_in_the_first_epoch_saves_the_weights_so_far(train, monkeypatch):
    monkeypatch.setattr(training, "train", signals_after(0, signal.SIGINT))
    answer = train("iris.toml")
    assert answer.code == 130
    assert "stopped within the first epoch" in answer.out
    assert (result("runs/iris")["epochs"], metrics("runs/iris")) == (0, [])
    assert set(files("runs/iris")) == RUN


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_stops_at_once(number, code, train, monkeypatch):
    monkeypatch.setattr(training, "train", signals_after(2, signal.SIGINT, number))
    answer = train("iris.toml", "train.epochs=1000")
    assert answer.code == code
    assert answer.line() == "interrupted before the model was saved"
    assert set(files("runs/iris")) == UNFINISHED


def test_an_interrupt_before_training_is_one_line_and_writes_nothing(train, monkeypatch):
    monkeypatch.setattr(experiment, "prepare", lambda *arguments: signal.raise_signal(signal.SIGINT))
    before = files()
    answer = train("iris.toml")
    assert answer.code == 130
    answer.line()
    assert files() == before


@pytest.mark.parametrize("settings", [[], ["optimizer.name=sgd", "optimizer.learning_rate=1e10"]])
def test_signals_mean_again_what_they_did_before(settings, train):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    train("iris.toml", *settings)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_process_that_is_signalled_ends_with_its_code_and_whole_files(number, code):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, TRAIN, *LONG, "--out", "run"], **pipes) as running:
        try:
            wait_for_an_epoch(Path("run/metrics.csv"), running)
            running.send_signal(number)
            answer = Answer(0, *running.communicate(timeout=100))
        finally:
            running.kill()
    assert running.returncode == code
    assert answer.line() == "interrupted; the best weights so far are in run; minnet train --resume run goes on"
    assert set(files("run")) == RUN
    rows = metrics("run")
    assert [int(row["epoch"]) for row in rows] == list(range(1, result("run")["epochs"] + 1))
    assert result("run")["validation_loss"] == min(float(row["validation_loss"]) for row in rows)
    with np.load("run/model.npz", allow_pickle=False) as file:
        assert np.isfinite(file["theta"]).all()


def wait_for_an_epoch(path: Path, running: subprocess.Popen) -> None:
    for _ in range(2000):
        if path.exists() and path.read_text().count("\n") > 1:
            return
        assert running.poll() is None
        time.sleep(0.05)
    pytest.fail("no epoch was finished")


# Pipes and terminals


def test_a_reader_that_leaves_does_not_end_the_run():
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    arguments = ["data.source=iris", "train.epochs=400", "train.patience=0", "--out", "run"]
    with subprocess.Popen([sys.executable, TRAIN, *arguments], **pipes) as running:
        assert running.stdout.readline().startswith("iris: 150 rows")
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 0
    assert set(files("run")) == RUN
    assert result("run")["epochs"] == 400


def test_a_run_without_stderr_is_a_run():
    answer = process(TRAIN, "iris.toml", stderr=None, preexec_fn=lambda: os.close(2))
    assert answer.code == 0
    assert answer.out.endswith("\nsaved in runs/iris\n")


def test_on_a_terminal_a_bar_shows_loss_and_validation_figures():
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    env = os.environ | {"TQDM_MININTERVAL": "0"}
    pipes = {"stdout": subprocess.PIPE, "stderr": theirs}
    with subprocess.Popen([sys.executable, TRAIN, "iris.toml"], env=env, **pipes) as running:
        os.close(theirs)
        shown = read_terminal(ours)
        out = running.stdout.read().decode()
    assert running.returncode == 0
    assert re.search(r"\riris: .* 3/3 .*loss \d\.\d{4}, validation \d\.\d{4} \(\d+\.\d% right\)", shown)
    assert "\r" not in out
    assert out.endswith("\nsaved in runs/iris\n")


def read_terminal(descriptor: int) -> str:
    """All that is written to a pseudo-terminal until its other end is closed."""
    shown = b""
    with contextlib.suppress(OSError):  # which Linux gives for an end
        while part := os.read(descriptor, 4096):
            shown += part
    os.close(descriptor)
    return shown.decode()


@pytest.mark.parametrize(("options", "bar"), [([], True), (["--quiet"], False)])
def test_the_bar_is_shown_unless_quiet(options, bar, train, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert ("iris:" in train("iris.toml", *options).err) is bar


def test_in_a_pipe_there_is_no_bar(train):
    assert train("iris.toml").err == ""


def test_stdout_that_is_ascii_only_gets_escapes():
    answer = process(TRAIN, "iris.toml", "--out", "é🦆", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.endswith("saved in \\xe9\\U0001f986\n")
    assert set(files("é🦆")) == RUN


# Study and check


MISTAKES_OF_STUDY = [
    (["--jsn"], "unrecognized arguments: --jsn; did you mean --json?"),
    (["--rows", "3"], "unrecognized arguments: --rows; did you mean --row?"),
    (["--mod", "x"], "did you mean --model?"),
    (["--out", "x"], "unrecognized arguments: --out"),
    (["--nothing-like-it"], "see minnet study --help"),
    (["--json=1"], "--json: ignored explicit argument '1'"),
    (["--row"], "--row: expected one argument"),
    (["--row", "1.5"], "--row: invalid int value: '1.5'"),
    (["--row", "two"], "--row: invalid int value: 'two'"),
    (["iris.toml", "--row", "150"], "--row 150: iris has the rows 0..149"),
    (["iris.toml", "--row", "-1"], "--row -1: iris has the rows 0..149"),
    (["--row", "1797"], "--row 1797: digits has the rows 0..1796"),
    (["data.source=iris"], "data.source=iris: needs a config, as in: minnet study digits data.source=iris"),
    (["model.dtype=float32", "model.hidden=[5]"], "model.hidden=[5]: needs a config"),
    (["--json", "data.scale=none"], "data.scale=none: needs a config"),
    (["model.hiden=[5]"], "unknown key model.hiden; did you mean model.hidden?"),
    (["model.activation=rleu"], "did you mean relu?"),
    (['model.activation=["relu", "tanh"]'], "model.activation"),
    (["zzz.toml"], "zzz.toml: no such config file; shipped: "),
    (["digit"], "digit: no such config file; did you mean "),
    (["iris", "wine"], "'wine' is no section.key=value"),
    (["iris.toml", "train.epochs"], "'train.epochs' is no section.key=value"),
    (["iris.toml", "train.epochs=0"], "train.epochs: must be at least 1, got 0"),
    (["--mistake"], "--mistake: expected one argument"),
    (["--grade"], "--grade: expected one argument"),
    (["--mistake", "list", "--grade", "a.py"], "--mistake takes no config and no other option"),
    (["--mistake", "list", "--json"], "--mistake takes no config and no other option"),
    (["--mistake", "list", "iris.toml"], "--mistake takes no config and no other option"),
    (["--mistake", "list", "model.dtype=float32"], "--mistake takes no config and no other option"),
    (["--mistake", "list", "--row", "0"], "--mistake takes no config and no other option"),
    (["--grade", "a.py", "--model", "run"], "--grade takes no config and no other option"),
    (["iris.toml", "--grade", "a.py"], "--grade takes no config and no other option"),
]
MISTAKES_OF_CHECK = [
    (["--row", "3"], "unrecognized arguments: --row"),
    (["--hepl"], "unrecognized arguments: --hepl; did you mean --help?"),
    (["-x"], "see minnet check --help"),
    (["zzz.toml"], "zzz.toml: no such config file; shipped: "),
    (["model.hiden=[5]"], "unknown key model.hiden; did you mean model.hidden?"),
    (["iris.toml", "wine.toml"], "'wine.toml' is no section.key=value"),
    (["iris.toml", "model.dtype=float16"], "model.dtype"),
]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["study", *arguments], said) for arguments, said in MISTAKES_OF_STUDY]
    + [(["check", *arguments], said) for arguments, said in MISTAKES_OF_CHECK],
)
def test_a_mistake_in_the_arguments_of_study_or_check_is_one_line(arguments, said, command):
    before = files()
    answer = command(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.line()
    assert files() == before


@pytest.mark.parametrize("name", ["study", "check"])
def test_data_that_cannot_be_used_are_a_problem_to_study_and_check_too(name, command):
    answer = command(name, "iris.toml", "data.test_size=1")
    assert (answer.code, answer.out) == (1, "")
    answer.line()


@pytest.mark.parametrize("arguments", [[], ["iris.toml"]])
@pytest.mark.parametrize("model", ["no", "no/model.npz", "iris.toml", "folder", "x" * 300])
def test_a_model_that_there_is_not_is_a_problem_that_names_it(model, arguments, study):
    Path("folder").mkdir()
    answer = study(*arguments, "--model", model)
    assert (answer.code, answer.out) == (1, "")
    assert answer.line().startswith(model)


def test_a_model_of_another_net_is_a_problem_that_names_it_and_the_difference(train, study):
    train("iris.toml", "--out", "run")
    answer = study("iris.toml", "model.hidden=[5]", "--model", "run")
    assert (answer.code, answer.out) == (1, "")
    assert answer.line() == "run: has layer_sizes [4, 64, 3], the config [4, 5, 3]"
    assert study("--model", "run", "model.hidden=[5]").line() == answer.line()


def test_a_model_is_studied_with_the_config_of_its_run_or_another(train, study):
    train("iris.toml", "model.hidden=[5]", "data.scale=minmax", "--out", "run")
    own, other = study("--model", "run", "--row", "7"), study("run/config.toml", "--model", "run", "--row", "7")
    file = study("--model", "run/model.npz", "--row", "7")
    assert [answer.code for answer in (own, other, file)] == [0, 0, 0]
    assert own == other
    assert own.out.startswith("net 4-5-3, relu, float32, 43 parameters; from run; iris, row 7 of the ")
    assert "from run/model.npz; iris, row 7 of the " in file.out
    assert file.out.partition("\n\n")[2] == own.out.partition("\n\n")[2]
    with np.load("run/model.npz", allow_pickle=False) as model:
        assert all(f"{number:.4f}" in own.out for number in model["theta"][:5].tolist())


def test_without_arguments_the_friendly_net_is_studied_and_nothing_is_written(study):
    before = files()
    answer = study()
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("net 2-3-3, relu, float64, 21 parameters; one row, of class 2\n")
    assert study() == answer
    assert files() == before


def test_a_row_alone_is_one_of_digits(study):
    settings = ["model.hidden=[4]", "--row", "3"]
    assert study(*settings).out == study("digits", *settings).out
    assert "digits, row 3 of the" in study(*settings).out


def test_with_a_config_its_first_row_is_studied(study):
    assert study("iris.toml", "model.hidden=[4]") == study("iris.toml", "model.hidden=[4]", "--row", "0")


def test_numbers_that_are_not_finite_do_not_end_the_study(study):
    settings = ["blobs", "data.noise=1e38", "data.scale=none", "model.hidden=[3]"]
    assert (study(*settings).code, study(*settings).err) == (0, "")
    data = study(*settings, "--json")
    assert data.code == 0
    assert "null" in data.out
    json.loads(data.out, parse_constant=pytest.fail)


@pytest.mark.parametrize("arguments", [[], ["iris.toml", "model.hidden=[3]", "model.dropout=0.5", "--row", "9"]])
def test_the_json_of_a_study_holds_the_numbers_of_its_text(arguments, study):
    text, answer = study(*arguments), study(*arguments, "--json")
    assert (text.code, answer.code, text.err, answer.err) == (0, 0, "", "")
    content = json.loads(answer.out)
    printed = text.out.splitlines()
    assert printed[0].startswith(content["heading"][:80])
    place = 0
    for title, section in content["sections"].items():
        place = printed.index(title, place) + 1
        for line in section:
            head, place = printed[place], place + 1
            step = f"({line['step']})" if line["step"] else ""
            assert head.startswith(f"{step:>5s} {line['name']:9s} {line['formula']} ")
            told = head.removeprefix(f"{step:>5s} {line['name']:9s} {line['formula']}")
            if line["shape"]:
                assert told.strip().startswith(str(tuple(line["shape"])))
                for row in line["value"] if len(line["shape"]) == 2 else [line["value"]]:
                    assert_told(row, printed[place].split())
                    place += 1
            else:
                assert_told([line["value"]], told.split()[:1])
            place += bool(line["note"])
        assert printed[place : place + 1] in ([], [""])


def assert_told(row: list[float], told: list[str]) -> None:
    """The row is the one that was printed, from both its ends to the dots if there are any."""
    if "…" in told:
        first, last = told[: told.index("…")], told[told.index("…") + 1 :]
        row = row[: len(first)] + row[-len(last) :]
        told = first + last
    assert len(row) == len(told)
    for number, text in zip(row, told, strict=True):
        assert float(text) == pytest.approx(number, rel=0.051, abs=0 if "e" in text else 5.01e-5)


def test_in_a_pipe_a_study_has_no_colour(study):
    assert "\x1b" not in study().out
    assert "\x1b" not in process("-m", "minnet", "study").out


@pytest.mark.parametrize(
    ("environment", "colour"),
    [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_on_a_terminal_a_study_has_colour_unless_the_environment_forbids_it(environment, colour, study, monkeypatch):
    plain = study().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in ({"TERM": "xterm"} | environment).items():
        monkeypatch.setenv(name, value)
    shown = study().out
    assert ("\x1b[" in shown) is colour
    assert re.sub(r"\x1b\[\d+m", "", shown) == plain
    assert "\x1b" not in study("--json").out


def test_the_friendly_net_is_studied_without_loading_scikit_learn_or_scipy():
    code = "import sys; from minnet import cli; cli.main(['study']); cli.main(['study', '--json'])\n"
    code += "print([name for name in ('sklearn', 'scipy', 'tqdm', 'matplotlib') if name in sys.modules])"
    answer = process("-c", code)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("name", "options"), [("study", ["--row", "--model", "--json", "--mistake", "--grade"]), ("check", [])]
)
def test_the_help_of_study_and_check_names_their_options(name, options, command):
    answer = command(name, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"usage: minnet {name} [CONFIG.toml] [section.key=value ...]")
    assert all(option in answer.out for option in options)


def test_a_reader_that_leaves_does_not_trouble_a_study():
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-m", "minnet", "study"], **pipes) as running:
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 0


# The same bits


# in both, BLAS left to itself would give other bits with two threads than with one
@pytest.mark.parametrize(("hidden", "batch_size", "large"), [([500, 50], 64, False), ([512, 256], 256, True)])
def test_the_same_config_and_seed_give_the_same_bits_whatever_the_hashes_and_threads(hidden, batch_size, large):
    settings = [f"model.hidden={hidden}", f"train.batch_size={batch_size}", "train.epochs=3"]
    settings += ["model.dropout=0.2", "train.max_grad_norm=0.5"]
    models = []
    for number, threads in ((0, 1), (1, 2)):
        env = os.environ | {"PYTHONHASHSEED": f"{number}", "OPENBLAS_NUM_THREADS": f"{threads}"}
        assert process(TRAIN, *settings, "--out", f"{threads}", env=env).code == 0
        models.append(files(f"{threads}")["model.npz"])
    assert models[0] == models[1]
    assert without_seconds(metrics("1")) == without_seconds(metrics("2"))
    assert (batch_size * result("1")["parameters"] >= training.LARGE) is large  # both ways to choose the threads


# Anything at all

EXTREMES = {
    float: [0, 1e-300, 1e-8, 0.5, 0.999999999, 1, 100, 1e10, 1e38, 1e300, 1.7e308],
    int: [0, 1, 2, 3, 1000, 10**9, 2**32 - 1],
}
NAMES = [name for name, f in config.KEYS.items() if f.type in EXTREMES and name not in ("train.epochs", "data.samples")]
NUMBERS = st.sampled_from(NAMES).flatmap(
    lambda name: st.sampled_from(EXTREMES[config.KEYS[name].type]).map(lambda value: f"{name}={value}")
)
CHOICES = st.sampled_from([f"{name}={c}" for name, f in config.KEYS.items() for c in f.metadata["choices"][:4]])
SHAPES = st.sampled_from(["model.hidden=[]", "model.hidden=[1]", "model.hidden=[9, 1, 9]", "data.validation_size=0"])


@settings(max_examples=100)
@given(st.lists(NUMBERS | CHOICES | SHAPES, min_size=1, max_size=5))
def test_any_settings_end_in_a_saved_run_or_in_one_line(overrides):
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "run", Path(folder) / "err"
        with err.open("w") as file, contextlib.redirect_stderr(file):
            arguments = [*overrides, "train.epochs=2", "data.source=iris", "--quiet", "--out", str(out)]
            code = cli.main(["train", str(ROOT / "configs/digits.toml"), *arguments])
        answer = Answer(code, "", err.read_text())
        if code == 0:
            assert answer.err == ""
            assert set(files(out)) == RUN
        else:
            assert code in (1, 2)
            answer.line()
            assert "model.npz" not in files(folder)


def test_a_folder_with_the_name_of_a_shipped_config_does_not_hide_it(train):
    Path("iris").mkdir()
    assert train("iris", "--print-config").code == 0


def test_the_files_of_storage_are_those_of_the_contract():
    assert set(storage.RUN_FILES) == RUN
