"""Processes that train as one, started for real by mpiexec, more of them than there are cores; and
the number of threads of BLAS."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from running import result
from sklearn.datasets import dump_svmlight_file, load_iris
from threadpoolctl import threadpool_info, threadpool_limits

import minnet
from minnet import cli, distributed

MPIEXEC = Path(sys.executable).parent / "mpiexec"
ROOT = Path(minnet.__file__).parent.parent


@contextlib.contextmanager
def started(n, *arguments):
    """Python in n processes; none is left behind."""
    line = [MPIEXEC, "-n", str(n), sys.executable, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(line, **pipes, env=env, start_new_session=True) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def ranks(n, *arguments):
    """How n processes end: the exit code, and what they print."""
    with started(n, *arguments) as process:
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err


def train(n, *arguments):
    return ranks(n, "-m", "minnet", "train", *arguments)


def metrics(folder):
    """The rows of metrics.csv, without seconds."""
    rows = np.genfromtxt(Path(folder, "metrics.csv"), delimiter=",", names=True, ndmin=1)
    return np.array([rows[name] for name in rows.dtype.names if name != "seconds"]).T


def same_end(one, three, atol=1e-10):
    """Two runs ended alike, up to the order in which numbers were added."""
    assert len(metrics(three)) == len(metrics(one))
    thetas = (minnet.load(folder).net.theta for folder in (three, one))
    np.testing.assert_allclose(*thetas, rtol=0, atol=atol)
    if atol == 1e-10:
        np.testing.assert_allclose(metrics(three), metrics(one), rtol=1e-8)
        names = ("test_loss", "test_accuracy", "macro_f1", "best_epoch")
        ends = ([result(folder)[name] for name in names] for folder in (three, one))
        np.testing.assert_allclose(*ends, rtol=1e-8)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# The same as in one process

EXACT = ["iris", "model.dtype=float64", "train.batch_size=31", "train.epochs=4"]
RUNS = {
    "plain": [],
    "dropout": ["model.dropout=0.3", "train.class_weight=balanced", "train.label_smoothing=0.1"],
    "early": ["train.patience=1", "train.max_grad_norm=0.5", "train.watch=accuracy"],
    "l2": ["optimizer.name=momentum", "optimizer.weight_decay=0.01"],
    "one_batch": ["data.validation_size=0", "train.batch_size=100000"],
    "few_rows": ["train.batch_size=2", "train.epochs=1", "data.test_size=0.9"],
    "sparse": ["data.source=iris.svm"],
    "members": ["model.members=3", "model.dropout=0.3", "train.watch=auc"],
    "on_the_disk": ["data.source=rows", "model.dtype=float32"],
}
MANY = """
import json, sys
from minnet import cli
from minnet.data import arrays
arrays.MAPPED_BYTES = 1  # so that the rows of a folder stay on the disk
for name, settings in json.loads(sys.argv[1]).items():
    code = cli.main(["train", *settings, "--out", f"{sys.argv[2]}/{name}"])
    assert code == 0, name
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All RUNS, by one process and by three."""
    folder = tmp_path_factory.mktemp("runs")
    X, y = load_iris(return_X_y=True)
    with contextlib.chdir(folder):
        dump_svmlight_file(X, y, "iris.svm")
        Path("rows").mkdir()
        np.save("rows/X.npy", X)
        np.save("rows/y.npy", y)
        settings = json.dumps({name: EXACT + own for name, own in RUNS.items()})
        for n in (1, 3):
            code, out, err = ranks(n, "-c", MANY, settings, n)
            assert (code, err) == (0, "")
            assert out.count("test part") == len(RUNS)  # the first process alone speaks
    return folder


@pytest.mark.parametrize("name", RUNS)
def test_three_processes_end_where_one_does(folder, name):
    rough = [2e-3] if name == "on_the_disk" else []  # in float32
    same_end(folder / "1" / name, folder / "3" / name, *rough)


AVERAGE = """
import numpy as np
from minnet import distributed
team = distributed.team()
r, gradients, losses = team.rank, np.arange(12.0).reshape(4, 3), np.array([1.0, 5, 2, 0])
for dtype, tolerance in (("float32", 1e-6), ("float64", 1e-15)):
    w, dtheta = np.array([2.0, 0, 6, 1]), gradients[r].astype(dtype)
    loss, weight, right, wish, none = team.average(dtheta, losses[r], w[r], r, r == 1, False)
    assert (weight, right, wish, none) == (9, 6, 1, 0)
    np.testing.assert_allclose(dtheta, w @ gradients / 9, rtol=tolerance)
    assert abs(loss - w @ losses / 9) < 10 * tolerance
    dtheta = gradients[r].astype(dtype)  # where no row has weight, what there is stays
    assert team.average(dtheta, losses[r], 0.0) == [losses[r], 0]
    assert (dtheta == gradients[r]).all()
assert team.add(np.array([r, 1])).tolist() == [6, 4]
"""


def test_the_average_is_that_by_weight_and_counts_and_wishes_are_added():
    assert ranks(4, "-c", AVERAGE) == (0, "", "")


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_shares_are_even_and_together_are_all(size):
    for n in (0, 1, 2, 5, 32):
        shares = [range(n)[distributed.Team(rank, size).share(n)] for rank in range(size)]
        assert [i for share in shares for i in share] == list(range(n))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert distributed.ALONE.share(5) == slice(0, 5)


LONG = [*EXACT, "train.epochs=40", "train.patience=0", "model.dropout=0.2", "--quiet"]
LONG += ["train.checkpoint_seconds=0", "--out"]


@pytest.mark.usefixtures("here")
def test_a_signal_ends_all_after_the_step_and_another_number_of_processes_resumes():
    assert cli.main(["train", *LONG, "whole"]) == 0
    with started(2, "-m", "minnet", "train", *LONG, "run") as process:
        while not (Path("run/metrics.csv").exists() and len(metrics("run")) > 2):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        lines = process.communicate(timeout=100)[1].splitlines()
    hint = "the best weights so far are in run; resume with: minnet train --resume run"
    assert [line for line in lines if "minnet:" in line] == [f"minnet: interrupted; {hint}"]
    assert 3 <= result("run")["epochs"] < 40
    assert train(3, "--resume", "run", "--quiet")[0] == 0
    same_end("whole", "run")


FAILING = """
import os, sys
from minnet import cli, distributed, training
update = training.update
def fails(net, recipe, state, last=False):
    if state.t == 10 and distributed.team().rank == {rank}:
        {does}
    update(net, recipe, state, last)
training.update = fails
sys.exit(cli.main(sys.argv[1:]))
"""


FAILURES = [
    (1, 'raise ValueError("so it\\n goes")', "rank 1 of 2: ValueError: so it goes"),
    (0, 'raise RuntimeError("first")', "RuntimeError: first"),
    (1, "os.kill(os.getpid(), 9)", None),
]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("rank", "does", "line"), FAILURES)
def test_a_process_that_fails_ends_all_and_the_run_can_be_resumed(rank, does, line):
    code, _, err = ranks(2, "-c", FAILING.format(rank=rank, does=does), "train", *LONG, "run")
    if line:
        assert code == 1
        assert err.startswith(f"minnet: {line}") and err.count("\n") == 1
        return
    assert code and 0 < len(metrics("run")) < 40
    assert cli.main(["train", *LONG, "whole"]) == cli.main(["train", "--resume", "run"]) == 0
    same_end("whole", "run")


MISTAKES = [
    (["train.epochz=3"], 2, "unknown key 'train.epochz'; did you mean train.epochs?"),
    (["iris", "--out", "there"], 2, "there: exists; "),  # met by the first process alone
    (
        ["iris", "--repeat", "3"],
        2,
        "--repeat and --sweep start their own processes: leave out mpiexec",
    ),
    (["iris", "optimizer.learning_rate=1e37"], 1, "training diverged in epoch 1 at step"),
]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("arguments", "code", "line"), MISTAKES)
def test_a_mistake_that_all_meet_is_said_once(arguments, code, line):
    Path("there").mkdir()
    Path("there/config.toml").write_text("")
    ended, _, err = train(2, *arguments)
    assert ended == code
    assert err.startswith(f"minnet: {line}") and err.count("\n") == 1


DIFFERENT = [
    (["iris"], ["iris", "train.seed=5"], "config"),
    (["iris"], ["iris", "model.hidden=[3]", "train.batch_size=7"], "config"),
    (["iris"], ["digits"], "config"),  # where the first process alone would download
    (["--resume", "run"], ["iris"], "config"),
    (["--resume", "run"], ["--resume", "run", "train.epochs=90"], "config"),
    (["rows.csv"], ["rows.csv"], "data"),
]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("one", "other", "what"), DIFFERENT)
def test_processes_that_were_given_different_runs_end_in_one_line(one, other, what):
    assert cli.main(["train", "iris", "train.epochs=1", "--out", "run", "--quiet"]) == 0
    Path("b").mkdir()
    for folder, label in (("", "x"), ("b/", "z")):
        rows = [f"{i * 7 % 11},{(label, 'y')[i % 2]}\n" for i in range(60)]
        Path(f"{folder}rows.csv").write_text("".join(["a,label\n", *rows]))
    before, command = {*Path().iterdir()}, ["-m", "minnet", "train"]
    where = ["-wdir", "b"] if what == "data" else []
    other = ["-n", "1", *where, sys.executable, *command, *other]
    code, _, err = ranks(1, *command, *one, "--quiet", ":", *other, "--quiet")
    said = f"minnet: the processes differ in their {what}: give all of them the same\n"
    assert (code, err[-len(said) :]) == (2, said)
    assert err.count("differ") == 1
    if what == "config":
        assert (err, {*Path().iterdir()}) == (said, before)


def test_a_launcher_without_mpi4py_or_of_another_mpi_is_a_problem_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv("PMI_SIZE", "2")
    assert cli.main(["train", "digits", "--print-config"]) == 1
    said = "mpiexec started 2 processes, but mpi4py sees one: they are of different MPIs"
    assert capsys.readouterr().err == f"minnet: {said}\n"
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert cli.main(["train", "digits", "--print-config"]) == 1
    assert ": pip install mpi4py" in capsys.readouterr().err


def threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize("outside", [1, 3])
@pytest.mark.parametrize(("cores", "large"), [(None, 1), (1, 1), (2, 2), (64, 2)])
@pytest.mark.parametrize("told", [True, False])  # by the system, which cores may be used
def test_large_batches_get_two_threads_on_two_cores(monkeypatch, outside, cores, large, told):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores or 1), raising=False)
    if not told:
        monkeypatch.delattr(os, "sched_getaffinity")
    for work, expected in ((distributed.LARGE - 1, 1), (distributed.LARGE, large)):
        with threadpool_limits(outside, user_api="blas"):
            with contextlib.suppress(KeyError), distributed.blas_threads(work):
                assert threads() == {expected}
                raise KeyError  # the number comes back after an error too
            assert threads() == {outside}
            with distributed.blas_threads(work, at_most_now=True):
                assert threads() == {min(expected, outside)}


def test_nets_that_train_at_once_in_one_process_get_one_thread_each(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    meeting, before = threading.Barrier(3, timeout=30), threads()

    def work(_):
        with distributed.blas_threads(distributed.LARGE):
            meeting.wait()
            inside = threads()
            meeting.wait()
            return inside

    with ThreadPoolExecutor(3) as pool:
        assert [*pool.map(work, range(3))] == [{1}] * 3
    assert threads() == before
