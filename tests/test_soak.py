"""Kills, signals, damage and rivals at random, by hand: pytest -m soak -s prints what was done."""

import gzip
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import test_delimited
from running import ROOT, end, files, write_rows

from minnet import errors, model
from minnet import files as sealed
from minnet.__main__ import main

pytestmark = pytest.mark.soak

SEED = int(os.environ.get("SOAK_SEED", "0"))
KILLED = -signal.SIGKILL
NEW = ["train", "own.toml", "model.dropout=0.2", "optimizer.schedule=cosine", "train.epochs=60"]
NEW += ["train.checkpoint_seconds=0.002", "--quiet", "--out", "run"]
KILLS = {"shard": 100, "predict": 100, "evaluate": 30, "report": 40, "repeat": 40}
RESUME = ["train", "--quiet", "--resume", "run"]
REPEAT = ["train", "own.toml", "--repeat", "2", "train.epochs=20", "--quiet", "--out", "out"]
WRITERS = {  # what to kill, and how to go on after a kill
    "shard": (["shard", "large.csv", "out"],) * 2,
    "predict": (["predict", "run", "large.csv", "--proba", "--out", "out/p"],) * 2,
    "report": (["report", "run", "--out", "out"],) * 2,
    "evaluate": (["evaluate", "run", "own.csv"],) * 2,
    "repeat": (REPEAT, ["train", "--quiet", "--resume", "out"]),
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with rows, a config and a run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write_rows()
    head, *rows = Path("own.csv").read_text().splitlines()
    Path("large.csv").write_text("\n".join([head, *rows * 200, ""]))
    return tmp_path


@pytest.fixture
def chance(request):
    print(f"\n{request.node.name}: SOAK_SEED={SEED}", end=" ")
    return random.Random(SEED)


def started(arguments: list[str]) -> int:
    """The id of a process that runs the command. It is a fork of this one, so that a kill strikes
    the command and not the import of scikit-learn. It writes what it says to the file `said`."""
    process = os.fork()
    if not process:
        try:
            said = os.open(f"said-{os.getpid()}", os.O_CREAT | os.O_WRONLY)
            os.dup2(said, 1)
            os.dup2(said, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            code = main(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        finally:
            os._exit(99)
    return process


def ended(process: int) -> tuple[int, str]:
    """How it ended, its exit code or minus the number of the signal, and what it said."""
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    said = Path(f"said-{process}")
    text = said.read_text() if said.exists() else ""
    said.unlink(missing_ok=True)
    return code, text


def visible(folder: str) -> dict[str, bytes]:
    """The files in a folder that are not half written, but for seconds."""
    hidden = (".minnet", ".shard")
    found = {name: x for name, x in files(folder).items() if not name.endswith(hidden)}
    for name in list(found):
        if name.endswith(("result.json", "metrics.csv", "checkpoint.npz", "report.html")):
            del found[name]  # they hold seconds, or are in the making
    return found


def alone(command: list[str]) -> tuple[float, dict[str, bytes]]:
    """How long it takes after a run, and what it writes to out/."""
    assert ended(started(NEW))[0] == 0
    Path("out").mkdir()
    start = time.monotonic()
    assert ended(started(command))[0] == 0
    return time.monotonic() - start, visible("out")


def whole_step() -> int:
    """The step of the run's checkpoint, 0 before there is one. It and the model are whole."""
    if Path("run/model.npz").exists():
        model.load("run")
    if not Path("run/checkpoint.npz").exists():
        return 0
    arrays, _ = sealed.load_sealed(Path("run/checkpoint.npz"), "checkpoint")
    return json.loads(arrays["rest"].tobytes())["t"]


def test_a_run_killed_at_random_never_goes_back_and_ends_with_the_bits_of_one_never_killed(chance):
    start = time.monotonic()
    assert ended(started(NEW)) == (0, "")
    takes, expected, killed = time.monotonic() - start, end("run"), 0
    while killed < 100:
        shutil.rmtree("run")
        step, code, arguments = 0, KILLED, NEW
        while code == KILLED:
            process = started(arguments)
            if killed < 100:
                time.sleep(chance.uniform(0, takes / 2))
                os.kill(process, signal.SIGKILL)  # the id is its own, as it was not waited for
            code, _ = ended(process)
            if code == KILLED:
                killed += 1
                before, step = step, whole_step()
                assert step >= before
                arguments = RESUME if Path("run/config.toml").exists() else NEW
        assert (code, end("run")) == (0, expected)
    print(f"{killed} kills")


@pytest.mark.parametrize("name", WRITERS)
def test_a_command_killed_at_random_leaves_whole_files_and_its_next_run_ends_as_if_alone(
    name, chance
):
    first, again = WRITERS[name]
    takes, expected, killed = *alone(first), 0
    run = files("run")
    while killed < KILLS[name]:
        shutil.rmtree("out")
        Path("out").mkdir()
        process = started(first)
        time.sleep(chance.uniform(0, takes))
        os.kill(process, signal.SIGKILL)
        code, _ = ended(process)
        killed += code == KILLED
        if name == "repeat":
            time.sleep(0.05)  # its children end
            go_on = again if Path("out/repeat.json").exists() else [*first, "--overwrite"]
        else:
            assert visible("out").items() <= expected.items()
            go_on = again if code == KILLED else ["--version"]
        if name == "predict" and Path("out/p").exists():
            go_on = ["--version"]  # killed after its end
        if name == "shard" and visible("out") == expected and not Path("out/.shard").exists():
            go_on = ["--version"]
        code, said = ended(started(go_on))
        assert (code, "Traceback" in said) == (0, False), said
        assert visible("out") == expected and files("run") == run
        assert not list(Path("out").rglob("*.minnet"))
    print(f"{killed} kills")


PAIRS = {
    "predict": [["predict", "run", f, "--out", "out/p"] for f in ("own.csv", "large.csv")],
    "shard": [["shard", f, "out/s"] for f in ("own.csv", "large.csv")],
    "train": [["train", "own.toml", f"train.seed={s}", "--quiet", "--out", "out/r"] for s in "12"],
    "overwrite": [
        ["predict", "run", f, "--out", "out/p", "--overwrite"] for f in ("own.csv", "large.csv")
    ],
}


@pytest.mark.parametrize("name", PAIRS)
def test_of_two_writers_at_once_each_is_whole_or_is_told_why(name, chance):
    assert ended(started(NEW))[0] == 0
    each = []
    for arguments in PAIRS[name]:
        shutil.rmtree("out", ignore_errors=True)
        Path("out").mkdir()
        assert ended(started(arguments))[0] == 0
        each.append(visible("out"))
    counts = Counter()
    for _ in range(50):
        shutil.rmtree("out")
        Path("out").mkdir()
        processes = []
        for arguments in PAIRS[name]:
            processes.append(started(arguments))
            time.sleep(chance.choice([0, 0, 0.001, 0.01]))
        answers = [ended(process) for process in processes]
        done = [i for i, (code, _) in enumerate(answers) if code == 0]
        counts[len(done)] += 1
        assert done and (len(done) == 1 or name == "overwrite")
        assert visible("out") in [each[i] for i in done]
        for code, said in answers:
            assert code in (0, 1, 2)
            assert not code or len(said.splitlines()) == 1, said
    print(f"50 pairs: {dict(counts)} done")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("name", ["repeat", "shard", "predict", "report"])
def test_a_signal_at_any_time_ends_in_one_line_and_its_code(name, number, chance):
    first, again = WRITERS[name]
    takes, expected, struck = *alone(first), 0
    for _ in range(10):
        shutil.rmtree("out")
        Path("out").mkdir()
        process = started(first)
        time.sleep(chance.uniform(0.02, takes))  # once main has set what a signal does
        os.kill(process, number)
        code, said = ended(process)
        assert code in (0, 128 + number) and "Traceback" not in said, said
        assert not code or len(said.splitlines()) == 1, said
        assert not list(Path("out").rglob("*.minnet"))
        struck += code != 0
        if name == "repeat" and code:
            go_on = again if Path("out/repeat.json").exists() else [*first, "--overwrite"]
            assert ended(started(go_on))[0] == 0
            assert visible("out") == expected
    assert struck
    print(f"{struck} signals")


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The content with some bytes flipped, cut, put in, or doubled."""
    at, n = chance.randrange(len(content)), chance.choice([1, 2, 30, 1000])
    part = content[at : at + n]
    other = [
        chance.randbytes(n),
        b"",
        part + part,
        bytes(b ^ 1 << chance.randrange(8) for b in part),
    ]
    return content[:at] + chance.choice(other) + content[at + n :]


def test_a_damaged_file_is_refused_in_a_line(chance):
    assert ended(started(NEW))[0] == 0
    done = Counter()
    for name, kind in (("run/model.npz", "model"), ("run/checkpoint.npz", "checkpoint")):
        whole = Path(name).read_bytes()
        for _ in range(22_000):
            content = damaged(whole, chance)
            if content == whole:
                continue
            Path("damaged").write_bytes(content)
            with pytest.raises(errors.ModelFileError) as caught:
                sealed.load_sealed(Path("damaged"), kind)
            assert len(str(caught.value).splitlines()) == 1
            done[kind] += 1
    Path("own.csv.gz").write_bytes(gzip.compress(Path("own.csv").read_bytes()))
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 2
    np.savez_compressed("own.npz", X=X, y=y)
    trained = model.load("run")
    for name in ("own.csv.gz", "own.npz"):
        whole = Path(name).read_bytes()
        for _ in range(4_000):
            Path(f"damaged-{name}").write_bytes(damaged(whole, chance))
            try:
                model.read(trained, f"damaged-{name}", True)
            except errors.MinnetError as error:
                assert len(str(error).splitlines()) <= 5
            done[name] += 1
    print(dict(done))


@pytest.mark.parametrize("name", ["as it was", "any bytes"])
def test_random_tables_through_random_dialects(name, chance):
    tests = {
        "as it was": test_delimited.test_a_table_in_any_dialect_is_read_as_it_was,
        "any bytes": test_delimited.test_any_bytes_are_a_table_or_a_message_whatever_the_blocks,
    }
    count = 0
    while count < 10_000:
        count += tests[name].hypothesis.fuzz_one_input(chance.randbytes(600)) is not None
    print(f"{count} tables")


def test_any_limit_of_memory_ends_in_a_line(chance):
    codes = Counter()
    for _ in range(40):
        most = chance.randrange(200, 1500) * 2**20
        command = chance.choice([["train", "iris", "--quiet"], ["--version"], ["check", "iris"]])
        answer = subprocess.run(
            [sys.executable, "-m", "minnet", *command],
            capture_output=True,
            text=True,
            timeout=60,
            preexec_fn=lambda most=most: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
        )
        assert "Traceback" not in answer.stderr and answer.returncode in (0, 1), answer
        assert not answer.returncode or len(answer.stderr.splitlines()) == 1, answer
        codes[answer.returncode] += 1
    print(dict(codes))
