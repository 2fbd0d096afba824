"""Several processes train as one. They are started for real, by mpiexec, more of them than there are cores."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from ranks import command, python, train

import minnet
from minnet import cli, parallel, storage

SETTINGS = ["model.dtype=float64", "train.batch_size=31", "train.epochs=4"]  # 40 steps an epoch and more
RUNS = {
    "plain": [],
    "dropout and weights of classes": ["model.dropout=0.3", "train.class_weight=balanced", "train.label_smoothing=0.1"],
    "early stopping and clipping": ["train.patience=1", "train.max_grad_norm=0.5", "train.watch=accuracy"],
    "l2 and momentum": ["optimizer.name=momentum", "optimizer.weight_decay=0.01", "optimizer.learning_rate=0.05"],
    "no validation, all rows at once": ["data.validation_size=0", "train.batch_size=100000", "train.epochs=30"],
    "fewer rows than processes in a batch": ["train.batch_size=2", "train.epochs=1", "data.test_size=0.9"],
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(minnet.__file__).parent.parent))


def alone(out, *settings):
    assert cli.main(["train", "digits", *SETTINGS, *settings, "--out", out, "--quiet"]) == 0


def together(n, out, *settings):
    ended = train(n, "digits", *SETTINGS, *settings, "--out", out)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def theta(folder):
    return storage.read_model(Path(folder))[0]["theta"]


def metrics(folder):
    with Path(folder, "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items() if v and k != "seconds"} for row in csv.DictReader(file)]


def result(folder):
    return json.loads(Path(folder, "result.json").read_text())


@pytest.mark.parametrize("settings", RUNS.values(), ids=RUNS)
def test_three_processes_end_where_one_does(settings):
    alone("one", *settings)
    said = together(3, "three", *settings)
    assert said.count("test part") == 1  # the first process alone speaks
    np.testing.assert_allclose(theta("three"), theta("one"), rtol=0, atol=1e-10)
    assert len(metrics("three")) == len(metrics("one"))
    for ours, theirs in zip(metrics("three"), metrics("one"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9)
    ours, theirs = result("three"), result("one")
    assert ours.pop("seconds") and theirs.pop("seconds")
    assert ours["confusion"] == theirs["confusion"]
    for name, figure in theirs.items():
        assert ours[name] == (pytest.approx(figure, rel=1e-9) if isinstance(figure, float) else figure)


def test_two_processes_end_where_one_does_with_sparse_rows():
    from sklearn.datasets import dump_svmlight_file, load_digits

    dump_svmlight_file(*load_digits(return_X_y=True), "digits.svm")
    for n, out in ((1, "one"), (2, "two")):
        assert train(n, "data.source=digits.svm", *SETTINGS, "train.epochs=2", "--out", out).returncode == 0
    np.testing.assert_allclose(theta("two"), theta("one"), rtol=0, atol=1e-10)


def test_float32_and_large_data_on_the_disk_follow_one_process_too(monkeypatch):
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    Path("rows").mkdir()
    np.save("rows/X.npy", X)
    np.save("rows/y.npy", y)
    code = (
        "import sys, minnet.tables.arrays as arrays; arrays.MAPPED_BYTES = 1\n"
        "from minnet import cli; sys.exit(cli.main(sys.argv[1:]))"
    )
    settings = ["train", "data.source=rows", "train.epochs=3", "--quiet"]
    for n in (1, 3):
        assert python(n, "-c", code, *settings, "--out", str(n)).returncode == 0
    np.testing.assert_allclose(theta("3"), theta("1"), atol=2e-3)
    assert result("3")["test_accuracy"] == pytest.approx(result("1")["test_accuracy"], abs=0.01)


LONG = ["train.epochs=60", "train.patience=0", "train.checkpoint_seconds=0", "model.dropout=0.2"]


@contextlib.contextmanager
def start(n, *arguments):
    pipes = {"stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command(n, *arguments), **pipes) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for_epochs(folder, epochs, process):
    for _ in range(6000):
        path = Path(folder, "metrics.csv")
        if path.exists() and path.read_text().count("\n") > epochs:
            return
        assert process.poll() is None
        time.sleep(0.01)
    pytest.fail("it did not come so far")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_after_the_step_and_another_number_of_processes_goes_on(number):
    alone("whole", *LONG)
    with start(2, "digits", *SETTINGS, *LONG, "--out", "run", "--quiet") as process:
        wait_for_epochs("run", 3, process)
        process.send_signal(number)
        err = process.communicate(timeout=100)[1]
    said = [line for line in err.splitlines() if line.startswith("minnet: ")]
    assert said == [
        "minnet: interrupted; the best weights so far are in run; minnet train --resume run goes on",
    ]
    assert 3 <= result("run")["epochs"] < 60
    assert train(3, "--resume", "run", "--quiet").returncode == 0
    np.testing.assert_allclose(theta("run"), theta("whole"), rtol=0, atol=1e-9)
    assert len(metrics("run")) == 60
    for ours, theirs in zip(metrics("run"), metrics("whole"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-8)


def test_a_process_that_is_killed_ends_all_at_once_and_the_checkpoint_is_good():
    with start(3, "digits", *SETTINGS, *LONG, "train.epochs=100000", "--out", "run", "--quiet") as process:
        wait_for_epochs("run", 3, process)
        ranks = [path for path in Path("/proc").glob("[0-9]*") if is_rank(path, 2)]
        for path in ranks:
            os.kill(int(path.name), signal.SIGKILL)
        assert ranks
        assert process.wait(timeout=60) != 0
    assert storage.read_checkpoint(Path("run/checkpoint.npz"))[1]["epoch"] >= 3
    before = len(metrics("run"))
    with start(2, "--resume", "run", "--quiet") as process:
        wait_for_epochs("run", before + 2, process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=100)
    assert len(metrics("run")) >= before + 2


def is_rank(path, rank):
    """Whether this folder of /proc is that process of the run that is at work here."""
    try:
        here = (path / "cwd").readlink() == Path.cwd()
        return here and f"PMI_RANK={rank}".encode() in (path / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


FAILING = """
import sys
from minnet import cli, parallel, training
step = training.take_step
def fails(net, blocks, config, constants, t, rate):
    if t == 5 and parallel.team().rank == {rank}:
        raise {error}
    step(net, blocks, config, constants, t, rate)
training.take_step = fails
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("rank", "error", "line"),
    [
        (2, 'ValueError("so it\\n goes")', "minnet: rank 2 of 3: ValueError: so it goes"),
        (1, "MemoryError()", "minnet: rank 1 of 3: out of memory: try a smaller model.hidden or train.batch_size"),
        (0, 'RuntimeError("first")', "minnet: RuntimeError: first"),
    ],
)
def test_a_process_that_raises_ends_all_with_one_line_that_says_which_and_why(rank, error, line):
    code = FAILING.format(rank=rank, error=error)
    ended = python(3, "-c", code, "train", "digits", *SETTINGS, "--out", "run", "--quiet")
    assert ended.returncode == 1
    assert ended.stderr == line + "\n"
    assert storage.read_checkpoint(Path("run/checkpoint.npz"))


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["train.epochz=3"], 2, "minnet: unknown key train.epochz; did you mean train.epochs?"),
        (["data.source=nothing.csv"], 1, "minnet: nothing.csv: cannot be read: No such file or directory"),
        (["digits", "--out", "there"], 2, "minnet: there: exists; choose another folder, or let the run in it go with"),
        (["digits", "--repeat", "3"], 2, "minnet: --repeat has its own processes: start it without mpiexec"),
        (["--resume", "none"], 2, "minnet: none: there is no such folder"),
        (["digits", "optimizer.learning_rate=1e37"], 1, "minnet: training diverged in epoch 1 at step"),
    ],
)
def test_a_mistake_that_all_meet_is_said_once(arguments, code, line):
    Path("there").mkdir()
    Path("there/config.toml").write_text("")
    ended = train(3, *arguments)
    assert ended.returncode == code
    assert ended.stderr.startswith(line)
    assert ended.stderr.count("\n") == 1


def test_help_and_the_config_are_printed_once():
    assert train(3, "--help").stdout.count("keys, with their defaults") == 1
    assert train(2, "digits", "--print-config").stdout.count("[train]") == 1


def test_a_launcher_without_mpi4py_or_of_another_mpi_is_a_problem_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv("PMI_SIZE", "2")
    assert cli.main(["train", "digits", "--print-config"]) == 1
    assert capsys.readouterr().err == (
        "minnet: mpiexec started 2 processes that mpi4py cannot see: they are of different MPIs\n"
    )
    monkeypatch.setitem(__import__("sys").modules, "mpi4py", None)
    assert cli.main(["train", "digits", "--print-config"]) == 1
    assert "pip install 'minnet[mpi]'" in capsys.readouterr().err


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [0, 1, 2, 5, 32])
def test_shares_are_even_and_together_are_all(n, size):
    class Comm:
        def __init__(self, rank):
            self.Get_rank, self.Get_size = (lambda: rank), (lambda: size)

    shares = [parallel.Ranks(Comm(rank)).share(n) for rank in range(size)]
    assert np.concatenate([np.arange(n)[share] for share in shares]).tolist() == list(range(n))
    lengths = [share.stop - share.start for share in shares]
    assert max(lengths) - min(lengths) <= 1
    assert parallel.Alone().share(n) == slice(0, n)


AVERAGE = """
import numpy as np
from minnet import parallel
team = parallel.team()
for dtype, tolerance in (("float32", 1e-6), ("float64", 1e-15)):
    gradients, losses, weights = np.arange(12.0).reshape(4, 3), np.array([1.0, 5, 2, 0]), np.array([2.0, 0, 6, 1])
    for scale in (1, 0):  # and where no row has weight, what there is stays
        w = weights * scale
        dtheta = gradients[team.rank].astype(dtype)
        loss, total, wishes = team.average(dtheta, losses[team.rank], w[team.rank], (team.rank == 1, False))
        assert wishes == (True, False)
        assert total == 9 * scale
        expected = (w @ gradients, w @ losses) if not scale else (w @ gradients / 9, w @ losses / 9)
        if scale:
            np.testing.assert_allclose(dtheta, expected[0], rtol=tolerance)
            assert abs(loss - expected[1]) < 10 * tolerance
        else:
            assert (dtheta == gradients[team.rank]).all() and loss == losses[team.rank]
assert team.add(np.array([team.rank, 1])).tolist() == [6, 4]
"""


def test_the_average_is_that_by_weight_and_a_wish_of_one_is_heard_by_all():
    ended = python(4, "-c", AVERAGE)
    assert (ended.returncode, ended.stderr) == (0, "")
