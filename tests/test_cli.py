"""The command: what it writes, what it says, and how it ends."""

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import shlex
import shutil
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
from running import ROOT, Answer, command, end, files, metrics, result, train, write_rows

import minnet
from minnet import cli, config, runs, training
from minnet.errors import SIGNALS
from minnet.study import step
from minnet.study.subject import choose

TRAIN = ROOT / "train.py"
RUN = {"config.toml", "metrics.csv", "result.json", "model.npz", "checkpoint.npz"}
COLUMNS = (
    "epoch,learning_rate,train_loss,train_accuracy,validation_loss,validation_accuracy,seconds"
)
LAYERS = "watched,gradient_1,gradient_2,update_1,update_2"
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

study = partial(command, "study")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own, in which there is a config for quick runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    own = "data.source=iris", "train.epochs=3", "model.hidden=[64]"
    Path("iris.toml").write_text(config.dumps(config.load(None, [*config.PLAIN, *own])))
    return tmp_path


def process(*arguments: str | Path, **options) -> Answer:
    """A Python process, where one is needed."""
    done = subprocess.run([sys.executable, *arguments], **PIPES | {"timeout": 300} | options)
    return Answer(done.returncode, done.stdout or "", done.stderr or "")


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


def test_the_files_of_a_run_are_those_of_the_contract():
    train("iris.toml", "train.epochs=4", "train.seed=3", "model.hidden=[5]")
    assert set(files("runs/iris")) == set(runs.RUN_FILES) == RUN
    assert Path("runs/iris/config.toml").read_text().count(" = ") == len(config.KEYS)
    assert Path("runs/iris/metrics.csv").read_text().startswith(f"{COLUMNS},{LAYERS}\n1,")
    assert np.isfinite(np.array([*metrics("runs/iris").values()], float)).all()
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
    train("iris.toml", "data.validation_size=0", "--out", "none")
    assert {*metrics("none")["validation_loss"]} == {""}
    assert result("none")["validation_loss"] is result("none")["validation_accuracy"] is None


def test_each_run_has_a_folder_of_its_own_named_for_its_config_or_its_file():
    write_rows()
    Path("mine.toml").write_text("[data]\nsource = 'own.csv'\n")
    for argument, name in (("data.source=own.csv", "own"), ("mine.toml", "mine"), ("wine", "wine")):
        assert train(argument, "train.epochs=1").out.endswith(f"\nsaved in runs/{name}\n")


def test_a_folder_that_would_be_refused_is_refused_before_any_data_are_loaded(monkeypatch):
    assert train("--quiet", "iris.toml", "--out", "a/b") == Answer(0, "", "")
    monkeypatch.setattr(runs, "prepare", None)
    assert train("iris.toml", "--out", "a/b").line().startswith("a/b: exists; ")


def test_print_config_loads_back_to_the_same_and_writes_nothing():
    before = files()
    overrides = ["train.seed=9", "model.hidden=[]", 'train.class_weight={"é" = 2}']
    answer = train("iris.toml", *overrides, "--print-config", "--quiet")
    assert (answer.code, answer.err, files()) == (0, "", before)
    Path("printed.toml").write_text(answer.out, encoding="utf-8")
    assert config.load(Path("printed.toml")) == config.load(Path("iris.toml"), overrides)
    assert 'source = "wine"' in train("wine", "--print-config").out


# BLAS left to itself would give other bits with two threads than with one
def test_the_written_config_gives_the_same_bits_whatever_the_hashes_and_threads():
    settings = ["model.hidden=[512, 256]", "train.batch_size=256", "train.epochs=2"]
    settings += ["model.dropout=0.2", "train.max_grad_norm=0.5", "--quiet", "--out"]
    assert train(*settings, "many") == Answer(0, "", "")
    env = os.environ | {"PYTHONHASHSEED": "1", "OPENBLAS_NUM_THREADS": "1"}
    arguments = ["-m", "minnet", "train", "many/config.toml", "--quiet", "--out", "one"]
    assert process(*arguments, env=env) == Answer(0, "", "")
    for name in ("model.npz", "config.toml"):
        assert files("one")[name] == files("many")[name]
    assert end("one") == end("many")


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
    assert command().line().startswith("no command; choose from train, predict")


MISTAKES = """
2 zebra                                         unknown command 'zebra'; choose from train, predict
2 trian                                         unknown command 'trian'; did you mean train?
2 train --ouput=x                               did you mean --out?
2 train --nothing-like-it                       see minnet train --help
2 train --out                                   --out: expected one argument
2 train --quiet=1                               --quiet: ignored explicit argument '1'
2 train --repeat two                            --repeat: invalid int value: 'two'
2 train digit.toml                              No such file or directory; did you mean digits?
2 train iris.toml train.epochs=-1               train.epochs: must be at least 0, got -1
2 train iris.toml train.class_weight={zebra=2}       'zebra'
2 train --resume . --out x                      --resume takes no --out, --overwrite, --repeat, --
2 train --resume . --overwrite                  --resume takes no --out, --overwrite, --repeat, --
2 train --resume no                             no: cannot be opened: No such file or directory
2 train --resume full                           full: no run to resume: there is no config.toml
2 report                                        the following arguments are required: RUN
2 report x --image 28                           '28' is not a size such as 28x28
2 report x --image 0x3                          '0x3' is not a size such as 28x28
2 predict --out x                               the following arguments are required: MODEL, DATA
2 shard x y --dtype float16                     invalid choice: 'float16'
2 shard iris new data.scale=none                data.scale=none: shard takes data.target
2 study --rows 3                                unrecognized arguments: --rows; did you mean --row?
2 study --mistake list --grade a.py             --mistake takes no --grade
2 study --mistake list iris.toml                --mistake takes no config
2 study --mistake list --row 0                  --mistake takes no --row
2 study --grade a.py --give-up                  --grade takes no --give-up
2 study --only relu                             --only belongs to --grade
2 study --at dx                                 --at 'dx': no line has this name
2 study --grade a.py --model run                --grade takes no --model
2 study --page wine                             --page wine: is not the name of a page
2 study --page a.html --json                    --page takes no --json
2 study --grade a.py --page                     --grade takes no --page
2 study --page own.toml --overwrite             --page own.toml: is not the name of a page
2 check --row 3                                 unrecognized arguments: --row
1 train data.source=digits data.test_size=1797  data.test_size
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


def test_an_odd_argument_is_quoted_on_one_line():
    for argument in ("--a\nb", "a\nb.toml", "a\nb=3", "x" * 300, "train.epochs=a\u2028b"):
        for answer in (train("iris.toml", argument), train(argument)):
            assert answer == Answer(2, "", f"minnet: {answer.line()}\n"), argument


# Problems with the machine or the run


ENDS = [
    (MemoryError, 1, "out of memory: allow this"),
    (KeyboardInterrupt, 130, "interrupted"),
]


@pytest.mark.parametrize(("error", "code", "said"), ENDS)
def test_an_end_before_training_is_one_line_and_writes_nothing(error, code, said, monkeypatch):
    def prepare(*arguments):
        raise error

    before = files()
    monkeypatch.setattr(runs, "prepare", prepare)
    answer = train("iris.toml")
    assert (answer.code, answer.out, files()) == (code, "", before)
    assert answer.line().startswith(said)


# Signals


def test_a_signal_that_an_import_turns_into_its_own_error_is_still_one(monkeypatch):
    def prepare(*arguments):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        raise ImportError("initialization failed")

    monkeypatch.setattr(runs, "prepare", prepare)
    answer = train("iris.toml")
    assert (answer.code, answer.line()) == (143, "interrupted")


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


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_run_with_its_best_weights_and_a_second_one_at_once(
    number, code, monkeypatch
):
    train("iris.toml", "train.epochs=5", "--out", "whole")
    monkeypatch.setattr(training, "train", signals_after(5, number))
    answer = train("iris.toml", "train.epochs=1000", "train.patience=0", "--out", "run")
    hint = "resume with: minnet train --resume run"
    assert answer.line() == f"interrupted; the best weights so far are in run; {hint}"
    assert (answer.code, answer.out.endswith("\nsaved in run\n")) == (code, True)
    assert (result("run")["interrupted"], result("run")["epochs"]) == (True, 5)
    assert files("run")["model.npz"] == files("whole")["model.npz"]  # a run of its length
    monkeypatch.setattr(training, "train", signals_after(2, signal.SIGINT, number))
    answer = train("iris.toml", "train.epochs=1000")
    said = "minnet: interrupted; resume with: minnet train --resume runs/iris\n"
    assert answer == Answer(code, answer.out, said)
    assert set(files("runs/iris")) == RUN - {"result.json", "model.npz"}


def test_a_signal_in_the_first_epoch_saves_the_weights_so_far(monkeypatch):
    monkeypatch.setattr(training, "train", signals_after(0, signal.SIGINT))
    answer = train("iris.toml")
    assert (answer.code, "stopped in the first epoch" in answer.out) == (130, True)
    assert (result("runs/iris")["epochs"], metrics("runs/iris")["epoch"]) == (0, [])
    assert set(files("runs/iris")) == RUN


@pytest.mark.parametrize("settings", [[], ["optimizer.name=sgd", "optimizer.learning_rate=1e10"]])
def test_after_a_run_signals_mean_what_they_did_before(settings):
    before = [signal.getsignal(number) for number in SIGNALS]
    train("iris.toml", *settings)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_folder_that_is_gone_is_not_one_to_resume(monkeypatch):
    def removes(*arguments):
        shutil.rmtree("runs/iris")
        yield from signals_after(0, signal.SIGINT, signal.SIGTERM)(*arguments)

    monkeypatch.setattr(training, "train", removes)
    assert train("iris.toml").line() == "interrupted"


def test_a_folder_to_resume_is_quoted_for_the_shell(monkeypatch):
    monkeypatch.setattr(training, "train", signals_after(2, signal.SIGTERM))
    line = train("iris.toml", "--out", "my runs/one").line()
    assert line.endswith("; resume with: minnet train --resume 'my runs/one'")


def test_a_signal_while_a_report_is_drawn_says_nothing_of_the_model_which_is_saved(monkeypatch):
    def write(*arguments):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("minnet.report.page.write", write)
    answer = train("iris.toml", "--report")
    assert (answer.code, answer.line()) == (143, "interrupted")
    assert answer.out.endswith("\nsaved in runs/iris\n")
    assert set(files("runs/iris")) == RUN
    assert command("report", "runs/iris").line() == "interrupted"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_predictions_are_written_leaves_the_older_file_and_no_other(
    number, monkeypatch
):
    write_rows()
    train("own.toml", "--out", "run")
    Path("answers.csv").write_text("older")
    before = files()

    def lines(*arguments):
        yield "prediction\n"
        signal.raise_signal(number)

    monkeypatch.setattr(cli.model, "csv_lines", lines)
    answer = command("predict", "run", "own.csv", "--out", "answers.csv", "--overwrite")
    assert (answer.code, answer.line(), files()) == (128 + number, "interrupted", before)


# a command that gets a signal, or comes to an end, as it begins to import a module
IMPORTING = """
import builtins, importlib.abc, os, sys
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {name!r}:
            {does}
sys.meta_path.insert(0, Finder())
from minnet.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *[("numpy", number) for number in SIGNALS],
        *[(name, signal.SIGTERM) for name in ("logging", "minnet.runs", "sklearn", "matplotlib")],
    ],
)
def test_a_signal_while_imports_run_ends_in_one_line(name, number):
    code = IMPORTING.format(name=name, does=f"os.kill(os.getpid(), {number})")
    arguments = "train", "iris.toml", "--report", "--quiet"
    assert process("-c", code, *arguments) == Answer(128 + number, "", "minnet: interrupted\n")


@pytest.mark.parametrize("name", ["numpy", "sklearn"])
@pytest.mark.parametrize("error", ["MemoryError()", "ImportError('cannot map\\nit')"])
def test_what_cannot_be_imported_is_one_line(name, error):
    code = IMPORTING.format(name=name, does=f"raise {error}")
    answer = process("-c", code, "train", "iris.toml")
    assert (answer.code, answer.out) == (1, "")
    assert answer.line()


DROPPED = """
import os, signal, sys, time
from minnet import __main__, cli
class Freed:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.001)
def study(options):
    Freed()
    time.sleep(60)
cli.COMMANDS["study"] = study
study.__doc__ = ""
sys.exit(__main__.main(["study"]))
"""


def test_a_signal_that_comes_where_python_drops_errors_is_not_lost():
    assert process("-c", DROPPED) == Answer(143, "", "minnet: interrupted\n")


def test_a_signal_that_is_ignored_as_under_nohup_stays_so():
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
    code += "from minnet import __main__, cli; "
    code += "cli.COMMANDS['study'] = lambda _: signal.raise_signal(signal.SIGHUP) or 0; "
    assert process("-c", f"{code} __main__.main(['study'])") == Answer(0, "", "")


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


FULL, CLOSED = "No space left on device", "Bad file descriptor"


def shell(line: str) -> Answer:
    """A command in a shell, which can close streams; minnet stands for it."""
    line = line.replace("minnet", f"{shlex.quote(sys.executable)} -m minnet")
    done = subprocess.run(line, shell=True, **PIPES, timeout=100)
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
@pytest.mark.parametrize(("where", "why"), [(">/dev/full", FULL), (">&-", CLOSED)])
@pytest.mark.parametrize("arguments", ["train --help", "train iris.toml"])
def test_output_that_cannot_be_written_is_exit_code_1_and_one_line(arguments, where, why):
    answer = shell(f"minnet {arguments} {where}")
    assert answer == Answer(1, "", f"minnet: cannot write to standard output: {why}\n")
    assert shell(f"minnet {arguments} {where} 2>&-") == Answer(1, "", "")


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-", "2>&- <&-"])
def test_notes_that_cannot_be_written_change_neither_the_output_nor_the_exit_code(where):
    rows = [f"{i % 7},{('red', 'blue')[i % 2]},{'xy'[i % 2]}\n" for i in range(60)]
    Path("own.csv").write_text("".join(["a,colour,label\n", *rows]))
    Path("new.csv").write_text("a,colour\n1,green\n2,red\n")
    train("own.csv", "train.epochs=1", "--out", "run")
    whole = shell("minnet predict run new.csv")
    assert whole.err.startswith("minnet: note: ")
    assert shell(f"minnet predict run new.csv {where}") == Answer(0, whole.out, "")
    assert shell(f"minnet predict run new.csv --out a.csv {where}") == Answer(0, "", "")
    assert Path("a.csv").read_text() == whole.out
    assert shell(f"minnet predict run none.csv {where}") == Answer(1, "", "")


@pytest.mark.parametrize("name", ["two 🦆.csv", "it's $HOME.csv"])
def test_a_file_of_any_name_is_converted_and_what_is_said_of_it_works(name):
    write_rows()
    Path("own.csv").rename(name)
    folder = Path(name).stem
    shell_line = command("shard", name, folder, "data.target=label").out.partition("; ")[2]
    assert shell(f"{shell_line.strip()} train.epochs=1 --quiet --out run") == Answer(0, "", "")


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_a_dash_is_standard_output(name):
    write_rows()
    train("own.toml", "--out", "run")
    before = files()
    whole = command("predict", "run", "own.csv")
    assert command("predict", "run", "own.csv", "--out", name) == whole
    assert files() == before


ODD = "x\x1b[31m", "y\x9b2J\b", "z\u202e"


def test_a_label_reaches_the_screen_as_escapes_and_predictions_as_it_is():
    write_rows(labels=ODD)
    for answer in (
        train("own.toml", "--out", "run"),
        command("evaluate", "run", "own.csv"),
        command("evaluate", "run", "own.csv", "--json"),
        study("own.toml"),
        command("check", "own.toml"),
        train("own.toml", "--out", "odd\x1b[2J\x85"),
        command("shard", "own.csv", "odd\x9b"),
        train("odd\x9b", "train.epochs=1"),
    ):
        assert answer.code == 0
        assert not {c for c in answer.out + answer.err if not c.isprintable()} - {"\n"}
    said = command("evaluate", "run", "own.csv").out
    assert all(ascii(label)[1:-1] in said for label in ODD)
    assert {*json.loads(command("evaluate", "run", "own.csv", "--json").out)["classes"]} == {*ODD}
    assert {*command("predict", "run", "own.csv").out.split("\n")[1:-1]} <= {*ODD}
    assert command("evaluate", "run", "a\x1bb\x9b.csv").line().startswith("a\\x1bb\\x9b.csv: ")


def test_what_libraries_would_print_is_not_printed():
    train("iris.toml", "--out", "run")
    env = os.environ | {"MPLBACKEND": "nope", "HOME": "/dev/null", "PYTHONWARNINGS": "always"}
    env.pop("MPLCONFIGDIR", None)
    answer = process("-m", "minnet", "report", "run", env=env)
    assert answer == Answer(0, "report in run/report.html\n", "")
    Path("rows").mkdir()
    np.save("rows/X.npy", np.full((20, 2), 1.7e18))
    np.save("rows/y.npy", np.arange(20) % 2)
    assert process("-m", "minnet", "train", "rows", "--quiet", "--out", "one").err == ""
    code = "import logging, sys, warnings; from minnet import __main__, cli; "
    code += "cli.COMMANDS['study'] = lambda options: (warnings.warn('a', DeprecationWarning), "
    code += "logging.error('b'), 0)[-1]; sys.exit(__main__.main(['study']))"
    assert process("-c", code) == Answer(0, "", "")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_with_little_memory_a_run_is_a_run():
    answer = shell("ulimit -v 700000; minnet train iris.toml --quiet --report")
    assert (answer.code, answer.err) == (0, "")
    assert files("runs/iris")["model.npz"]


def test_without_stderr_a_run_is_a_run_and_an_error_is_not_printed_elsewhere(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)  # as it is where file descriptor 2 is closed
    assert cli.main(["train", "iris.toml"]) == 0
    assert cli.main(["train", "--qiet"]) == 2
    assert capsys.readouterr().out.endswith("\nsaved in runs/iris\n")


def test_on_a_terminal_a_bar_shows_loss_and_validation_figures():
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    env = os.environ | {"TQDM_MININTERVAL": "0"}
    answer = process(TRAIN, "iris.toml", env=env, stderr=theirs)
    bar = rb"\riris: .* 3/3 .*loss \d\.\d{4}, validation \d\.\d{4} \(\d+\.\d% right\)"
    assert re.search(bar, os.read(ours, 100_000))
    assert answer.code == 0
    assert "\r" not in answer.out and answer.out.endswith("\nsaved in runs/iris\n")


def test_stdout_that_is_ascii_only_gets_escapes():
    out = io.TextIOWrapper(io.BytesIO(), "ascii")
    with contextlib.redirect_stdout(out):
        assert cli.main(["train", "iris.toml", "--out", "é🦆"]) == 0
    assert out.buffer.getvalue().endswith(b"saved in \\xe9\\U0001f986\n")
    assert set(files("é🦆")) == RUN


# Study


def test_a_model_is_studied_with_the_config_of_its_run_or_another():
    train("iris.toml", "model.hidden=[5]", "data.scale=minmax", "--out", "run")
    own = study("--model", "run", "--row", "7")
    file = study("--model", "run/model.npz", "--row", "7")
    assert own == study("run/config.toml", "--model", "run", "--row", "7")
    assert own.out.startswith("net 4-5-3, relu, float32, 43 parameters; from run; iris, row 7 of")
    assert file.out.partition("\n\n")[2] == own.out.partition("\n\n")[2]
    other = study("--model", "run", "model.hidden=[6]")
    said = "minnet: run: has layer_sizes [4, 5, 3], the config [4, 6, 3]\n"
    assert other == Answer(1, "", said)
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


def test_the_json_of_a_study_is_that_of_its_lines():
    answer = study("iris.toml", "model.hidden=[3]", "--row", "9", "--json")
    assert (answer.code, answer.err) == (0, "")
    subject = choose(["iris.toml", "model.hidden=[3]"], 9)
    assert json.loads(answer.out, parse_constant=pytest.fail) == step.as_data(step.trace(subject))


def test_on_a_terminal_a_study_has_colour_and_its_json_has_none(monkeypatch, capsys):
    plain = study().out
    assert "\x1b" not in plain
    monkeypatch.setattr(cli, "has_colour", lambda: True)
    shown = study().out
    assert "\x1b[" in shown and re.sub(r"\x1b\[\d+m", "", shown) == plain
    assert "\x1b" not in study("--json").out


# Anything at all

EXTREMES = {
    float: [0, 1e-300, 1e-8, 0.5, 0.999999999, 1, 100, 1e10, 1e38, 1e300, 1.7e308],
    int: [0, 1, 2, 3, 1000, 10**9, 2**32 - 1],
}
SETTINGS = [
    f"{name}={x}"
    for name, f in config.KEYS.items()
    for x in EXTREMES.get(f.type, f.metadata["choices"][:4])
]
SHAPES = ["model.hidden=[]", "model.hidden=[1]", "model.hidden=[9, 1, 9]", "data.validation_size=0"]


@settings(max_examples=50)
@given(st.lists(st.sampled_from(SETTINGS) | st.sampled_from(SHAPES), min_size=1, max_size=5))
def test_any_settings_end_in_a_saved_run_or_in_one_line(overrides):
    with tempfile.TemporaryDirectory() as folder:
        settings = ["train.epochs=2", "data.source=iris", "--quiet", "--out", f"{folder}/run"]
        answer = train("digits", *overrides, *settings)
        if answer == Answer(0, "", ""):
            assert set(files(f"{folder}/run")) == RUN
        else:
            assert (answer.code in (1, 2), answer.out) == (True, "")
            answer.line()
            assert "run/model.npz" not in files(folder)
