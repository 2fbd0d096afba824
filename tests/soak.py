"""Faults by the hundred, run by hand: python tests/soak.py [--kills 200]. Prints a table; exit code
1 if anything is wrong.

Each process that is killed is a fork of this one, so that what it waits for is the run and not the
import of scikit-learn.
"""

import argparse
import contextlib
import functools
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import sklearn.datasets
import sklearn.metrics
import sklearn.model_selection
from faults import faults
from running import ROOT, end

from minnet import cli, files, model
from minnet.errors import ModelFileError

SETTINGS = ["data.source=digits.npz", "model.hidden=[16]", "model.dropout=0.2", "train.epochs=60"]
SETTINGS += ["optimizer.schedule=cosine", "train.patience=0", "train.batch_size=64"]
NEW = ["train", *SETTINGS, "--quiet", "--out", "run"]
OFTEN = [*NEW, "train.checkpoint_seconds=0.002"]
SHORT = [*NEW, "train.epochs=2", "train.checkpoint_seconds=0"]
RESUME = ["train", "--quiet", "--resume", "run"]
KILLED = -signal.SIGKILL


def main() -> int:
    """Every soak, in a folder that is removed at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    X, y = sklearn.datasets.load_digits(return_X_y=True)
    wrong = 0
    with tempfile.TemporaryDirectory() as room, contextlib.chdir(room):
        np.savez("digits.npz", X=X[:600], y=y[:600])
        soaks = {
            "random SIGKILLs": lambda: random_kills(options.kills, random.Random(options.seed)),
            "a kill at each step of a run's writing": lambda: at_each_step(kill=True),
            "a full disk at each step of a run's writing": lambda: at_each_step(kill=False),
            "BLAS threads 1, 2 and hash seeds 0, 1": one_hash,
        }
        for name, soak in soaks.items():
            start = time.monotonic()
            told, mistakes = soak()
            wrong += len(mistakes)
            seconds = time.monotonic() - start
            print(f"{name:44s} {told}; {len(mistakes)} wrong; {seconds:.0f} s", flush=True)
            print("".join(f"    {mistake}\n" for mistake in mistakes[:5]), end="")
    return 1 if wrong else 0


def forked(arguments: list[str], fault: int | None = None, kill: bool = True) -> int:
    """The id of a process that runs the command, and meets a fault at that step of its writing."""
    process = os.fork()
    if process:
        return process
    code = 99
    try:
        with Path("said").open("w") as said:
            os.dup2(said.fileno(), 2)
        die = functools.partial(os.kill, os.getpid(), signal.SIGKILL)
        with faults(fault, die if kill else "full") if fault else contextlib.nullcontext():
            code = cli.main(arguments)
    finally:
        os._exit(code)


def ended(process: int) -> int:
    """How it ended: its exit code, or minus the number of the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def checkpoint(step: int) -> tuple[int, list[str]]:
    """The step of the checkpoint, not before the one given, and what is damaged or missing."""
    mistakes, at = [], 0
    try:
        at = int(files.load_sealed(Path("run/checkpoint.npz"), "checkpoint")[0]["t"])
        if Path("run/model.npz").exists():
            model.load("run")
    except ModelFileError as error:
        mistakes += [str(error)] if step or Path("run/checkpoint.npz").exists() else []
    if at < step:
        mistakes.append(f"the checkpoint went back from step {step} to {at}")
    return at, mistakes


def random_kills(kills: int, chance: random.Random) -> tuple[str, list[str]]:
    """Runs that save all the time, killed after a random while, and resumed until they end."""
    start = time.monotonic()
    assert ended(forked(OFTEN)) == 0
    takes, expected = time.monotonic() - start, end("run")
    mistakes: list[str] = []
    killed = ends = within = 0
    while killed < kills:
        shutil.rmtree("run")
        step, code, arguments = 0, KILLED, OFTEN
        while code == KILLED:
            process = forked(arguments)
            if killed < kills:
                time.sleep(chance.uniform(0, takes / 2))
                os.kill(process, signal.SIGKILL)  # the id is its own, as it was not waited for
            code = ended(process)
            if code == KILLED:
                killed += 1
                before, (step, found) = step, checkpoint(step)
                within += step > before
                mistakes += found
                arguments = RESUME if Path("run/config.toml").exists() else OFTEN
        same = code == 0 and end("run") == expected
        ends += same
        mistakes += [] if same else [f"exit code {code}: {Path('said').read_text()}"]
    return f"{killed} kills, {within} after a new checkpoint; {ends} runs ended the same", mistakes


def at_each_step(kill: bool) -> tuple[str, list[str]]:
    """A run of two epochs, struck at each open, write, flush, fsync, rename, and resumed."""
    shutil.rmtree("run")
    with faults() as counted:
        cli.main(SHORT)
    expected, mistakes = end("run"), []
    for at, name in enumerate(counted.names, 1):
        shutil.rmtree("run")
        code = ended(forked(SHORT, at, kill))
        said = Path("said").read_text()
        if (code, len(said.splitlines())) != ((KILLED, 0) if kill else (1, 1)):
            mistakes.append(f"step {at}: exit code {code}, {said}")
        if not kill and list(Path("run").glob(".*")):
            mistakes.append(f"step {at}: a temporary file was left")
        mistakes += checkpoint(0)[1]
        code = ended(forked(RESUME if Path("run/config.toml").exists() else SHORT))
        if code or list(Path("run").glob(".*")) or end("run") != expected:
            mistakes.append(f"step {at}: {name}, another end: {Path('said').read_text()}")
    counts = ", ".join(f"{n} {name}" for name, n in Counter(counted.names).items())
    return f"{len(counted.names)} steps ({counts})", mistakes


def one_hash() -> tuple[str, list[str]]:
    """One model from processes that differ in the threads of BLAS and the seed of hashes."""
    digests = set()
    large = ["model.hidden=[512, 256]", "train.batch_size=256", "train.epochs=3", "--overwrite"]
    for threads, seed in (("1", "0"), ("1", "1"), ("2", "0"), ("2", "1")):
        env = {"OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "minnet", *NEW, *large]
        subprocess.run(command, env=os.environ | env, check=True, timeout=300)
        digests.add(hashlib.sha256(Path("run/model.npz").read_bytes()).hexdigest()[:16])
    return f"model.npz {', '.join(sorted(digests))}", sorted(digests)[1:]


if __name__ == "__main__":
    sys.exit(main())
