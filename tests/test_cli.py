"""The command: what it writes, what it says, and how it ends."""

import contextlib
import csv
import fcntl
import importlib.util
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
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import ROOT, Answer, command, files, result, train, write_rows

import minnet
from minnet import cli, config, runs, training

TRAIN = ROOT / "train.py"
RUN = {"config.toml", "metrics.csv", "result.json", "model.npz", "checkpoint.npz"}
UNFINISHED = RUN - {"result.json", "model.npz"}
COLUMNS = (
    "epoch,learning_rate,train_loss,train_accuracy,validation_loss,validation_accuracy,seconds"
)
LAYERS = "gradient_1,gradient_2,update_1,update_2"
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


study = partial(command, "study")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own, in which there is a config for quick runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    Path("iris.toml").write_text("[data]\nsource = 'iris'\n[train]\nepochs = 3\n")
    return tmp_path


def process(*arguments: str | Path, **options) -> Answer:
    """A Python process, where one is needed."""
    done = subprocess.run([sys.executable, *arguments], **PIPES | {"timeout": 300} | options)
    return Answer(done.returncode, done.stdout or "", done.stderr or "")


def metrics(folder: Path | str) -> list[dict[str, str]]:
    with (Path(folder) / "metrics.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    return [{name: row[name] for name in row if name != "seconds"} for row in rows]


# A run and its files


def test_train_py_alone_trains_digits_and_prints_the_figures_of_its_result():
    answer = process(TRAIN)
    assert (answer.code, answer.err) == (0, "")
    assert set(files()) == {"iris.toml", *(f"runs/digits/{name}" for name in RUN)}
    assert config.load(Path("runs/digits/config.toml")) == config.load(config.shipped()["digits"])
    figures = result("runs/digits")
    assert figures["test_accuracy"] >= 0.96
    shown = ["test", f"{figures['test_loss']:.4f}", f"{figures['test_accuracy']:.4f}"]
    assert shown in [line.split() for line in answer.out.splitlines()]
    assert f"{figures['macro_f1']:.4f}" in answer.out
    assert answer.out.startswith("digits: 1,797 rows, 64 features, 10 classes; train ")
    assert answer.out.endswith("\nsaved in runs/digits\n")


def test_the_files_of_a_run_are_those_of_the_contract():
    train("iris.toml", "train.epochs=4", "train.seed=3", "model.hidden=[5]")
    assert set(files("runs/iris")) == set(runs.RUN_FILES) == RUN
    assert Path("runs/iris/config.toml").read_text().count(" = ") == len(config.KEYS)
    assert Path("runs/iris/metrics.csv").read_text().startswith(f"{COLUMNS},{LAYERS}\n1,")
    assert all(np.isfinite(float(cell)) for row in metrics("runs/iris") for cell in row.values())
    figures = result("runs/iris")
    names = {"test_loss", "test_accuracy", "macro_f1", "best_epoch", "seconds", "versions"}
    assert names <= figures.keys()
    assert (figures["seed"], figures["epochs"], figures["parameters"]) == (3, 4, 5 * 5 + 6 * 3)
    assert figures["classes"] == ["setosa", "versicolor", "virginica"]
    assert figures["rows"] == {"train": 96, "validation": 24, "test": 30}
    matrix = np.array(figures["confusion"])
    assert matrix.sum() == 30 and matrix.trace() / 30 == figures["test_accuracy"]
    f1 = 2 * matrix.diagonal() / np.maximum(matrix.sum(axis=0) + matrix.sum(axis=1), 1)
    assert figures["per_class"]["f1"] == pytest.approx(f1)
    assert figures["macro_f1"] == pytest.approx(f1.mean())


def test_each_run_has_a_folder_of_its_own_named_for_its_config_or_its_file():
    assert train("iris.toml").out.endswith("\nsaved in runs/iris\n")
    first = files("runs/iris")
    assert train("iris.toml").out.endswith("\nsaved in runs/iris-2\n")
    assert train("iris.toml", "--out", "a/b").out.endswith("\nsaved in a/b\n")
    write_rows()
    Path("mine.toml").write_text("[data]\nsource = 'own.csv'\n")
    assert train("data.source=own.csv", "train.epochs=1").out.endswith("\nsaved in runs/own\n")
    assert train("mine.toml", "train.epochs=1").out.endswith("\nsaved in runs/mine\n")
    assert files("runs/iris") == first


def test_overwrite_replaces_the_run_and_keeps_other_files():
    train("iris.toml", "train.epochs=4")
    Path("runs/iris/notes.txt").write_text("mine")
    assert train("--overwrite", "iris.toml", "train.epochs=2").code == 0  # options stand anywhere
    assert [path.name for path in Path("runs").iterdir()] == ["iris"]
    assert len(metrics("runs/iris")) == 2
    assert Path("runs/iris/notes.txt").read_text() == "mine"


def test_a_folder_that_would_be_refused_is_refused_before_any_data_are_loaded(monkeypatch):
    assert train("iris.toml", "--out", "a").code == 0
    monkeypatch.setattr(runs, "prepare", None)
    assert train("iris.toml", "--out", "a").line().startswith("a: exists; ")


def test_quiet_prints_nothing_and_python_m_minnet_saves_the_same():
    assert train("iris.toml", "--quiet") == Answer(0, "", "")
    answer = process("-m", "minnet", "train", "iris.toml")
    assert (answer.code, answer.err) == (0, "")
    assert files("runs/iris")["model.npz"] == files("runs/iris-2")["model.npz"]


def test_print_config_loads_back_to_the_same_and_writes_nothing():
    before = files()
    overrides = ["train.seed=9", "model.hidden=[]", 'train.class_weight={"é" = 2}']
    answer = train("iris.toml", *overrides, "--print-config", "--quiet")
    assert (answer.code, answer.err, files()) == (0, "", before)
    Path("printed.toml").write_text(answer.out, encoding="utf-8")
    assert config.load(Path("printed.toml")) == config.load(Path("iris.toml"), overrides)
    assert 'source = "wine"' in train("wine", "--print-config").out


def test_training_from_the_written_config_gives_the_same_bits_and_another_seed_others():
    settings = ["model.dropout=0.2", "optimizer.schedule=cosine", "train.seed=5"]
    train("iris.toml", *settings, "--out", "one")
    train("one/config.toml", "--out", "two")
    train("one/config.toml", "--out", "other", "train.seed=6")
    one, two, other = files("one"), files("two"), files("other")
    assert one["model.npz"] == two["model.npz"] != other["model.npz"]
    assert one["config.toml"] == two["config.toml"]
    assert metrics("one") == metrics("two")


def test_without_a_validation_part_its_figures_are_empty():
    settings = ["data.validation_size=0", "model.hidden=[]", "optimizer.learning_rate=0.1"]
    assert "net 4-3, no hidden layer" in train("iris.toml", *settings).out  # softmax regression
    figures = result("runs/iris")
    assert {row["validation_loss"] for row in metrics("runs/iris")} == {""}
    assert (figures["validation_loss"], figures["validation_accuracy"]) == (None, None)
    assert (figures["best_epoch"], figures["epochs"], figures["parameters"]) == (3, 3, 15)
    assert figures["rows"] == {"train": 120, "test": 30}


def test_the_best_weights_are_kept_and_patience_ends_the_run():
    settings = ["train.epochs=200", "train.patience=4", "optimizer.learning_rate=0.1"]
    train("iris.toml", *settings)
    losses = [float(row["validation_loss"]) for row in metrics("runs/iris")]
    figures = result("runs/iris")
    assert figures["validation_loss"] == min(losses) < losses[-1]
    assert len(losses) == figures["epochs"] == figures["best_epoch"] + 4 < 200


# Help; wrong arguments (exit 2) and problems with data (exit 1)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_help_of_a_command_names_its_arguments_on_lines_that_fit(name):
    answer = command(name, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"usage: minnet {name} ")
    declared = set(re.findall(r"^  (--[a-z-]+)", answer.out, re.MULTILINE))
    assert set(re.findall(r"--[a-z-]+", answer.out.split("\n\n")[0])) <= declared
    keys = answer.out.partition("Keys")[2]
    assert (config.describe() in keys) is (name == "train")
    assert max(map(len, answer.out.removesuffix(keys).splitlines())) <= 100


def test_help_names_every_command_and_version_the_version():
    answer = command("--help")
    assert (answer.code, answer.err) == (0, "")
    assert all(f"  {name} " in answer.out for name in cli.COMMANDS)
    assert command("--version") == Answer(0, f"minnet {minnet.__version__}\n", "")
    assert command().line() == "no command: try minnet train, or minnet --help"


MISTAKES = """
2 zebra                                         unknown command 'zebra'; choose from train, predict
2 trian                                         unknown command 'trian'; did you mean train?
2 train --qiet                                  did you mean --quiet?
2 train --ouput=x                               did you mean --out?
2 train --nothing-like-it                       see minnet train --help
2 train --out                                   --out: expected one argument
2 train --quiet=1                               --quiet: ignored explicit argument '1'
2 train --repeat two                            --repeat: invalid int value: 'two'
2 train digit.toml                              no such config file; did you mean digits?
2 train zzz.toml                                zzz.toml: no such config file; shipped: blobs,
2 train .                                       .: cannot read this config: Is a directory
2 train iris.toml/x.toml                        cannot read this config: Not a directory
2 train iris.toml wine.toml                     'wine.toml' is not section.key=value
2 train iris.toml train.epoch=3                 ; did you mean train.epochs?
2 train iris.toml train.epochs=0                train.epochs: must be at least 1, got 0
2 train data.source=irsi                        did you mean iris?
2 train data.source=classification data.classes=50   classification
2 train iris.toml model.hidden=[1000000,1000000]     model.hidden: a net of 4-1000000-1000000-3
2 train iris.toml train.class_weight={zebra=2}       'zebra'
2 train iris.toml train.class_weight={setosa=0,versicolor=0,virginica=0}   needs a weight above 0
2 train iris.toml --out full                    full: exists; choose another folder
2 train iris.toml --out full --overwrite        full: holds other files and no run
2 train iris.toml --out iris.toml --overwrite   iris.toml: is a file; name a folder with --out
2 train iris.toml --out .                       .: exists
2 train --resume none                           none: no such folder
2 train --resume . --out x                      it takes no --out, --overwrite, --repeat or
2 train --resume . --repeat 3                   it takes no --out, --overwrite, --repeat or
2 train --resume . iris.toml                    --resume takes the config in the run's folder
2 report                                        the following arguments are required: RUN
2 report x --image 28                           '28' is not a size such as 28x28
2 report x --image 0x3                          '0x3' is not a size such as 28x28
2 predict --out x                               the following arguments are required: MODEL, DATA
2 predict x y --out iris.toml                   iris.toml: exists; choose another file, or use
2 shard x y --dtype float16                     invalid choice: 'float16'
2 shard iris new data.scale=none                data.scale=none: shard takes data.target
2 study --rows 3                                unrecognized arguments: --rows; did you mean --row?
2 study --row 1.5                               --row: invalid int value: '1.5'
2 study iris.toml --row 150                     --row 150: iris has the rows 0..149
2 study iris.toml --row -1                      --row -1: iris has the rows 0..149
2 study data.source=iris                        data.source=iris: needs a config
2 study model.hidden=[5]                        model.hidden=[5]: needs a config
2 study iris wine                               'wine' is not section.key=value
2 study --mistake list --grade a.py             --mistake takes no config and no other option
2 study --mistake list iris.toml                --mistake takes no config and no other option
2 study --mistake list --json                   --mistake takes no config and no other option
2 study --mistake list --row 0                  --mistake takes no config and no other option
2 study --grade a.py --model run                --grade takes no config and no other option
2 check --row 3                                 unrecognized arguments: --row
2 check zzz.toml                                zzz.toml: no such config file; shipped: blobs,
2 check iris.toml model.dtype=float16           model.dtype: "float16" is none of float32, float64
1 train data.source=digits data.test_size=1797  data.test_size
1 train data.source=iris data.validation_size=1000000000   data.validation_size
1 train data.source=moons data.samples=3        class
1 train data.source=moons data.noise=1e308      every value must be a finite number
1 study iris.toml data.test_size=150            data.test_size
1 check iris.toml data.test_size=150            data.test_size
"""


@pytest.mark.parametrize("case", MISTAKES.strip().splitlines(), ids=lambda case: case[:40].strip())
def test_a_mistake_or_a_problem_with_data_is_one_line_and_writes_nothing(case):
    arguments, said = re.split(r"  +", case)
    code, *words = arguments.split()
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    before = files()
    answer = command(*words)
    assert (answer.code, answer.out, files()) == (int(code), "", before)
    assert said in answer.line()
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "argument", ["--a\nb", "a\nb.toml", "a\nb=3", "x" * 300, "train.epochs=a\u2028b"]
)
def test_an_odd_argument_is_quoted_on_one_line(argument):
    assert train("iris.toml", argument).code == 2
    assert train(argument).code == 2
    train(argument).line()


# Problems with the machine or the run


@pytest.mark.parametrize("rate", ["1e10", "1e37"])  # 1e37 overflows in the only step of the epoch
def test_a_run_that_diverges_ends_with_advice_and_without_a_model(rate):
    settings = ["optimizer.name=sgd", f"optimizer.learning_rate={rate}", "train.batch_size=1000"]
    answer = train("iris.toml", *settings, f"train.epochs={100 if rate == '1e10' else 1}")
    assert answer.code == 1
    assert "try a smaller optimizer.learning_rate" in answer.line()
    assert set(files("runs/iris")) == UNFINISHED


def test_out_of_memory_is_one_line(monkeypatch):
    def prepare(*arguments):
        raise MemoryError

    monkeypatch.setattr(runs, "prepare", prepare)
    answer = train("iris.toml")
    assert answer.code == 1
    assert "out of memory: try a smaller" in answer.line()


@pytest.mark.parametrize("arguments", [["train", "iris.toml", "--report"], ["report", "run"]])
def test_without_matplotlib_a_report_is_refused_before_anything_is_done(arguments, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    before = files()
    answer = command(*arguments)
    assert (answer.code, answer.out, files()) == (1, "", before)
    assert answer.line() == "a report needs matplotlib: pip install 'minnet[plot]'"


# Signals


def signals_after(epoch: int, *numbers: int) -> Callable:
    """The training loop, but that signals arrive once that many epochs are done."""
    real = training.train

    def train(*arguments):
        epochs = real(*arguments)
        for _ in range(epoch):
            yield next(epochs)
        for number in numbers:
            signal.raise_signal(number)
        yield from epochs

    return train


CODES = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


@CODES
def test_a_signal_ends_the_run_and_the_best_weights_are_saved_and_reported(
    number, code, monkeypatch
):
    train("iris.toml", "train.epochs=5", "--out", "whole")
    monkeypatch.setattr(training, "train", signals_after(5, number))
    answer = train("iris.toml", "train.epochs=1000", "train.batch_size=32", "train.patience=0")
    assert answer.code == code
    saved = "interrupted; the best weights so far are in runs/iris"
    assert answer.line() == f"{saved}; resume with: minnet train --resume runs/iris"
    assert answer.out.endswith("\nsaved in runs/iris\n")
    assert (result("runs/iris")["interrupted"], result("runs/iris")["epochs"]) == (True, 5)
    assert set(files("runs/iris")) == RUN  # with the bits of a run of its length
    assert files("runs/iris")["model.npz"] == files("whole")["model.npz"]


def test_a_signal_in_the_first_epoch_saves_the_weights_so_far(monkeypatch):
    monkeypatch.setattr(training, "train", signals_after(0, signal.SIGINT))
    answer = train("iris.toml")
    assert answer.code == 130
    assert "stopped in the first epoch" in answer.out
    assert (result("runs/iris")["epochs"], metrics("runs/iris")) == (0, [])
    assert set(files("runs/iris")) == RUN


@CODES
def test_a_second_signal_stops_at_once(number, code, monkeypatch):
    monkeypatch.setattr(training, "train", signals_after(2, signal.SIGINT, number))
    answer = train("iris.toml", "train.epochs=1000")
    assert (answer.code, answer.line()) == (code, "interrupted before the model was saved")
    assert set(files("runs/iris")) == UNFINISHED


def test_an_interrupt_before_training_is_one_line_and_writes_nothing(monkeypatch):
    monkeypatch.setattr(runs, "prepare", lambda *_: signal.raise_signal(signal.SIGINT))
    before = files()
    answer = train("iris.toml")
    assert answer.code == 130
    answer.line()
    assert files() == before


@pytest.mark.parametrize("settings", [[], ["optimizer.name=sgd", "optimizer.learning_rate=1e10"]])
def test_after_a_run_signals_mean_what_they_did_before(settings):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    train("iris.toml", *settings)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


# Pipes and terminals


@pytest.mark.parametrize(
    ("arguments", "left"),
    [(["train", "data.source=iris", "train.epochs=200", "--out", "run"], RUN), (["study"], set())],
)
def test_a_reader_that_leaves_does_not_end_a_command(arguments, left):
    with subprocess.Popen([sys.executable, "-m", "minnet", *arguments], **PIPES) as running:
        assert running.stdout.read(3) in ("iri", "net")
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 0
    assert set(files("run")) == left


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
@pytest.mark.parametrize("option", ["--print-config", "--help"])
def test_a_full_disk_under_standard_output_is_one_line(option):
    with Path("/dev/full").open("w") as full:
        answer = process(TRAIN, option, stdout=full)
    assert answer.code == 1
    assert answer.line() == "standard output cannot be written: No space left on device"


def test_a_run_without_stderr_is_a_run_and_an_error_is_not_printed_elsewhere():
    options = {"stderr": None, "preexec_fn": lambda: os.close(2)}
    answer = process(TRAIN, "iris.toml", **options)
    assert answer.code == 0
    assert answer.out.endswith("\nsaved in runs/iris\n")
    assert process(TRAIN, "--qiet", **options) == Answer(2, "", "")


def test_on_a_terminal_a_bar_shows_loss_and_validation_figures():
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    pipes = {"stdout": subprocess.PIPE, "stderr": theirs}
    env = os.environ | {"TQDM_MININTERVAL": "0"}
    with subprocess.Popen([sys.executable, TRAIN, "iris.toml"], env=env, **pipes) as running:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # which Linux gives for an end
            while part := os.read(ours, 4096):
                shown += part
        os.close(ours)
        out = running.stdout.read().decode()
    assert running.returncode == 0
    bar = rb"\riris: .* 3/3 .*loss \d\.\d{4}, validation \d\.\d{4} \(\d+\.\d% right\)"
    assert re.search(bar, shown)
    assert "\r" not in out and out.endswith("\nsaved in runs/iris\n")


def test_stdout_that_is_ascii_only_gets_escapes():
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    answer = process(TRAIN, "iris.toml", "--out", "é🦆", env=env)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.endswith("saved in \\xe9\\U0001f986\n")
    assert set(files("é🦆")) == RUN


# Study and check


def test_a_model_is_studied_with_the_config_of_its_run_or_another():
    train("iris.toml", "model.hidden=[5]", "data.scale=minmax", "--out", "run")
    own = study("--model", "run", "--row", "7")
    file = study("--model", "run/model.npz", "--row", "7")
    assert own == study("run/config.toml", "--model", "run", "--row", "7")
    assert own.out.startswith("net 4-5-3, relu, float32, 43 parameters; from run; iris, row 7 of")
    assert "from run/model.npz; iris, row 7 of the " in file.out
    assert file.out.partition("\n\n")[2] == own.out.partition("\n\n")[2]
    with np.load("run/model.npz", allow_pickle=False) as model:
        assert all(f"{number:.4f}" in own.out for number in model["theta"][:5].tolist())
    other = study("--model", "run", "model.hidden=[6]")
    assert (other.code, other.out) == (1, "")
    assert other.line() == "run: has layer_sizes [4, 5, 3], the config [4, 6, 3]"
    assert study("iris.toml", "--model", "run").line().endswith("the config [4, 64, 3]")


def test_what_is_studied_follows_from_the_arguments_and_nothing_is_written():
    before = files()
    friendly = study()
    assert (friendly.code, friendly.err) == (0, "")
    first = "net 2-3-3, relu, float64, 21 parameters; one row, of class 2\n"
    assert friendly.out.startswith(first)
    small = "model.hidden=[4]"
    assert study(small, "--row", "3").out == study("digits", small, "--row", "3").out
    assert "digits, row 3 of the" in study(small, "--row", "3").out
    assert study("iris.toml", small) == study("iris.toml", small, "--row", "0")
    assert files() == before


def test_numbers_that_are_not_finite_do_not_end_the_study():
    settings = ["blobs", "data.noise=1e38", "data.scale=none", "model.hidden=[3]"]
    text, answer = study(*settings), study(*settings, "--json")
    assert (text.code, answer.code, text.err, answer.err) == (0, 0, "", "")
    assert "null" in answer.out
    json.loads(answer.out, parse_constant=pytest.fail)


@pytest.mark.parametrize("arguments", [[], ["iris.toml", "model.hidden=[3]", "--row", "9"]])
def test_the_json_of_a_study_holds_the_lines_of_its_text(arguments):
    text, answer = study(*arguments), study(*arguments, "--json")
    assert (text.code, answer.code, text.err, answer.err) == (0, 0, "", "")
    found = json.loads(answer.out)
    assert text.out.startswith(found["heading"][:80])
    place = 0
    for title, section in found["sections"].items():
        place = text.out.index(f"\n{title}\n", place)
        for line in section:
            step = f"({line['step']})" if line["step"] else ""
            place = text.out.index(f"{step:>5s} {line['name']:9s} {line['formula']}", place)
            for number in np.ravel(line["value"])[:2].tolist():
                if 0.1 < abs(number) < 1e4:
                    assert f"{number:.4f}" in text.out[place:]


@pytest.mark.parametrize(
    ("environment", "colour"),
    [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_on_a_terminal_a_study_has_colour_unless_the_environment_forbids_it(
    environment, colour, monkeypatch, capsys
):
    plain = study().out
    assert "\x1b" not in plain
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in ({"TERM": "xterm"} | environment).items():
        monkeypatch.setenv(name, value)
    assert cli.main(["study"]) == 0
    shown = capsys.readouterr().out
    assert ("\x1b[" in shown) is colour
    assert re.sub(r"\x1b\[\d+m", "", shown) == plain
    assert cli.main(["study", "--json"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_help_and_the_friendly_net_need_neither_scikit_learn_nor_scipy_nor_tqdm():
    code = "import sys; from minnet import cli; cli.main(['--help']); cli.main(['study'])\n"
    code += "print([n for n in ('sklearn', 'scipy', 'tqdm', 'matplotlib') if n in sys.modules])"
    answer = process("-c", code)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[-1] == "[]"


# The same bits


# in both, BLAS left to itself would give other bits with two threads than with one
@pytest.mark.parametrize(("hidden", "batch_size"), [([500, 50], 64), ([512, 256], 256)])
def test_the_same_config_gives_the_same_bits_whatever_the_hashes_and_threads(hidden, batch_size):
    settings = [f"model.hidden={hidden}", f"train.batch_size={batch_size}", "train.epochs=2"]
    settings += ["model.dropout=0.2", "train.max_grad_norm=0.5", "--out"]
    env = os.environ | {"PYTHONHASHSEED": "1", "OPENBLAS_NUM_THREADS": "1"}
    assert process(TRAIN, *settings, "one", env=env).code == train(*settings, "many").code == 0
    assert files("one")["model.npz"] == files("many")["model.npz"]
    assert metrics("one") == metrics("many")


# Anything at all

EXTREMES = {
    float: [0, 1e-300, 1e-8, 0.5, 0.999999999, 1, 100, 1e10, 1e38, 1e300, 1.7e308],
    int: [0, 1, 2, 3, 1000, 10**9, 2**32 - 1],
}
NAMES = [name for name, f in config.KEYS.items() if f.type in EXTREMES]
NUMBERS = st.sampled_from(
    [name for name in NAMES if name not in ("train.epochs", "data.samples")]
).flatmap(
    lambda name: st.sampled_from(EXTREMES[config.KEYS[name].type]).map(lambda x: f"{name}={x}")
)
CHOICES = [f"{name}={c}" for name, f in config.KEYS.items() for c in f.metadata["choices"][:4]]
SHAPES = ["model.hidden=[]", "model.hidden=[1]", "model.hidden=[9, 1, 9]", "data.validation_size=0"]


@settings(max_examples=60)
@given(st.lists(NUMBERS | st.sampled_from([*CHOICES, *SHAPES]), min_size=1, max_size=5))
def test_any_settings_end_in_a_saved_run_or_in_one_line(overrides):
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "run", Path(folder) / "err"
        with err.open("w") as file, contextlib.redirect_stderr(file):
            arguments = [*overrides, "train.epochs=2", "data.source=iris", "--quiet"]
            code = cli.main(["train", "digits", *arguments, "--out", str(out)])
        answer = Answer(code, "", err.read_text())
        if code == 0:
            assert answer.err == ""
            assert set(files(out)) == RUN
        else:
            assert code in (1, 2)
            answer.line()
            assert "model.npz" not in files(folder)
