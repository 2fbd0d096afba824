"""Faults by the hundred, run by hand: python tests/soak.py [--kills 200]. Prints a table; exit code 1 if any is wrong.

Each process that is killed is a fork of this one, so that what it waits for is the run and not scikit-learn's import.
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

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import sklearn.datasets  # noqa: E402
import sklearn.metrics  # noqa: E402
import sklearn.model_selection  # noqa: E402
from faults import faults  # noqa: E402

from minnet import cli, prediction, storage  # noqa: E402
from minnet.errors import ModelFileError  # noqa: E402

SETTINGS = ["data.source=digits.npz", "model.hidden=[16]", "model.dropout=0.2", "optimizer.schedule=cosine"]
SETTINGS += ["train.epochs=60", "train.patience=0", "train.batch_size=64"]
NEW = ["train", *SETTINGS, "--quiet", "--out", "run"]
RESUME = ["train", "--quiet", "--resume", "run"]


def main() -> int:
    """Every soak, in a folder that is removed at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    X, y = sklearn.datasets.load_digits(return_X_y=True)
    wrong = 0
    with tempfile.TemporaryDirectory() as room:
        os.chdir(room)
        np.savez("digits.npz", X=X[:600], y=y[:600])
        soaks = {
            "random SIGKILLs": functools.partial(random_kills, options.kills, random.Random(options.seed)),
            "a kill at each step of a run's writing": functools.partial(at_each_step, kill=True),
            "a full disk at each step of a run's writing": functools.partial(at_each_step, kill=False),
            "each bit of a model turned, each cut": every_damage,
            "BLAS threads 1, 2 and hash seeds 0, 1": one_hash,
        }
        for name, soak in soaks.items():
            start = time.monotonic()
            told, mistakes = soak()
            wrong += len(mistakes)
            print(f"{name:44s} {told}; {len(mistakes)} wrong; {time.monotonic() - start:.0f} s", flush=True)
            for mistake in mistakes[:5]:
                print(f"    {mistake}")
        os.chdir(ROOT)
    return 1 if wrong else 0


# Processes


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
    """How it ended: its exit code, or the signal's number with a minus."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def new_run() -> None:
    shutil.rmtree("run", ignore_errors=True)


def end() -> dict[str, str]:
    """Digests of what a run has come to, but for its seconds."""
    result = (line for line in Path("run/result.json").read_text().splitlines() if '"seconds"' not in line)
    rows = [line.split(",") for line in Path("run/metrics.csv").read_text().splitlines()]
    place = rows[0].index("seconds")
    metrics = [row[:place] + row[place + 1 :] for row in rows]
    contents = {"model.npz": Path("run/model.npz").read_bytes(), "metrics.csv": repr(metrics).encode()}
    contents["result.json"] = "\n".join(result).encode()
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def losses(step: int) -> tuple[int, list[str]]:
    """The step of the checkpoint, which may not be before the one given, and what is damaged or missing."""
    mistakes = []
    try:
        at = storage.read_checkpoint(Path("run/checkpoint.npz"))[1]["t"]
    except ModelFileError as error:
        at = 0
        mistakes += [str(error)] if step or Path("run/checkpoint.npz").exists() else []
    if at < step:
        mistakes.append(f"the checkpoint went back from step {step} to {at}")
    if Path("run/model.npz").exists():
        try:
            prediction.load(Path("run/model.npz"))
        except ModelFileError as error:
            mistakes.append(str(error))
    return at, mistakes


# Soaks: what to tell, and all that went wrong


def random_kills(kills: int, chance: random.Random) -> tuple[str, list[str]]:
    """Runs that save all the time, killed after a random while, and gone on with until they end."""
    new_run()
    start = time.monotonic()
    if ended(forked([*NEW, "train.checkpoint_seconds=0.002"])):
        return "no run", [Path("said").read_text()]
    takes, expected = time.monotonic() - start, end()
    mistakes: list[str] = []
    killed = ends = within = 0
    while killed < kills:
        new_run()
        step, code, arguments = 0, -signal.SIGKILL, [*NEW, "train.checkpoint_seconds=0.002"]
        while code == -signal.SIGKILL:
            process = forked(arguments)
            if killed < kills:
                time.sleep(chance.uniform(0, takes / 2))
                os.kill(process, signal.SIGKILL)  # it may have ended, but was not waited for: the id is its own
            code = ended(process)
            if code == -signal.SIGKILL:
                killed += 1
                before, (step, found) = step, losses(step)
                within += step > before
                mistakes += found
                if Path("run/config.toml").exists():
                    arguments = RESUME
        if code:
            mistakes.append(f"exit code {code}: {Path('said').read_text()}")
        elif end() != expected:
            mistakes.append("a run had another end")
        else:
            ends += 1
    return f"{killed} kills, {within} after a new checkpoint; {ends} runs with the same end", mistakes


def at_each_step(kill: bool) -> tuple[str, list[str]]:
    """A run of two epochs, struck at each open, write, flush, fsync and rename, and then gone on with."""
    short = ["train.epochs=2", "train.checkpoint_seconds=0"]
    new_run()
    with faults() as counted:
        cli.main([*NEW, *short])
    expected = end()
    mistakes = []
    for at in range(1, len(counted.names) + 1):
        new_run()
        code = ended(forked([*NEW, *short], at, kill))
        said = Path("said").read_text()
        if code != (-signal.SIGKILL if kill else 1) or len(said.splitlines()) != (0 if kill else 1):
            mistakes.append(f"step {at}: exit code {code}, {said}")
        if not kill and list(Path("run").glob(".*")):
            mistakes.append(f"step {at}: a temporary file was left")
        mistakes += losses(0)[1]
        code = ended(forked(RESUME if Path("run/config.toml").exists() else [*NEW, *short]))
        if code or end() != expected or list(Path("run").glob(".*")):
            mistakes.append(f"step {at}: {counted.names[at - 1]}, no same end: {Path('said').read_text()}")
    counts = ", ".join(f"{n} {name}" for name, n in Counter(counted.names).items())
    return f"{len(counted.names)} steps ({counts})", mistakes


def every_damage() -> tuple[str, list[str]]:
    """Each single bit of a small model turned, each truncation: all have to be refused."""
    new_run()
    cli.main(["train", "data.source=moons", "model.hidden=[2]", "train.epochs=1", "--quiet", "--out", "run"])
    path = Path("run/model.npz")
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    mistakes = []

    def refused(what: str) -> None:
        try:
            prediction.load(path)
        except ModelFileError as error:
            if len(str(error).splitlines()) != 1:
                mistakes.append(f"{what}: {error}")
        else:
            mistakes.append(f"{what} was not seen")

    with path.open("r+b", buffering=0) as file:
        for bit in range(8 * content.size):
            content[bit // 8] ^= 1 << bit % 8
            file.seek(0)
            file.write(content)
            refused(f"bit {bit}")
            content[bit // 8] ^= 1 << bit % 8
        file.seek(0)
        file.write(content)
        prediction.load(path)
        for length in reversed(range(content.size)):
            file.truncate(length)
            refused(f"the cut at {length}")
    return f"{8 * content.size} bits, {content.size} cuts", mistakes


def one_hash() -> tuple[str, list[str]]:
    """One model from processes that differ in the threads of BLAS and the seed of hashes."""
    digests = set()
    for threads in ("1", "2"):
        for seed in ("0", "1"):
            new_run()
            env = {"OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
            large = ["model.hidden=[512, 256]", "train.batch_size=256", "train.epochs=3"]
            command = [sys.executable, "-m", "minnet", *NEW, *large]
            subprocess.run(command, env=os.environ | env, check=True, timeout=300)
            digests.add(end()["model.npz"])
    return f"model.npz {', '.join(sorted(digest[:16] for digest in digests))}", sorted(digests)[1:]


if __name__ == "__main__":
    sys.exit(main())
