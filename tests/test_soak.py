"""Kills at random moments, by hand: pytest -m soak."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from running import end, write_rows

from minnet import cli, files, model

KILLS, KILLED = 100, -signal.SIGKILL
NEW = ["train", "own.toml", "model.dropout=0.2", "optimizer.schedule=cosine", "train.epochs=60"]
NEW += ["train.checkpoint_seconds=0.002", "--quiet", "--out", "run"]
RESUME = ["train", "--quiet", "--resume", "run"]


def started(arguments: list[str]) -> int:
    """The id of a process that runs the command. It is a fork of this one, so that a kill strikes
    the run and not the import of scikit-learn."""
    process = os.fork()
    if not process:
        try:
            os._exit(cli.main(arguments))
        finally:
            os._exit(99)
    return process


def ended(process: int) -> int:
    """How it ended: its exit code, or minus the number of the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def whole_step() -> int:
    """The step of the run's checkpoint, 0 before there is one. It and the model are whole."""
    if Path("run/model.npz").exists():
        model.load("run")
    if not Path("run/checkpoint.npz").exists():
        return 0
    arrays, _ = files.load_sealed(Path("run/checkpoint.npz"), "checkpoint")
    return json.loads(arrays["rest"].tobytes())["t"]


@pytest.mark.soak
def test_a_run_killed_at_random_never_goes_back_and_ends_with_the_bits_of_one_never_killed(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_rows()
    start = time.monotonic()
    assert ended(started(NEW)) == 0
    takes, expected = time.monotonic() - start, end("run")
    chance, killed = random.Random(0), 0
    while killed < KILLS:
        shutil.rmtree("run")
        step, code, arguments = 0, KILLED, NEW
        while code == KILLED:
            process = started(arguments)
            if killed < KILLS:
                time.sleep(chance.uniform(0, takes / 2))
                os.kill(process, signal.SIGKILL)  # the id is its own, as it was not waited for
            code = ended(process)
            if code == KILLED:
                killed += 1
                before, step = step, whole_step()
                assert step >= before
                arguments = RESUME if Path("run/config.toml").exists() else NEW
        assert (code, end("run")) == (0, expected)
