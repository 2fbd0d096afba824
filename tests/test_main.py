"""The command line starts and ends in one line, whatever happens around it."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import ROOT, write_rows

from minnet.__main__ import LEAST

ENV = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_rows()


def started(*arguments: str, **options) -> subprocess.Popen:
    """minnet in a process of its own."""
    command = [sys.executable, "-m", "minnet", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": ENV}
    return subprocess.Popen(command, text=True, **(pipes | options))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", [["shard", "in", "out"], ["train", "in", "--out", "out"]])
def test_a_signal_while_data_are_read_ends_in_a_line_and_leaves_nothing(number, command):
    os.mkfifo("in.csv")
    arguments = [command[0], "-", *command[2:]]
    with started(*arguments, stdin=subprocess.PIPE) as process:
        process.stdin.write("a,b,label\n1,2,x\n")
        process.stdin.flush()
        time.sleep(1.5)  # until it waits for more
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, out) == (128 + number, "")
    assert err == "minnet: interrupted\n" and not Path("out").exists()


@pytest.mark.parametrize("command", [["train", "iris"], ["check", "iris"], ["--version"]])
@pytest.mark.parametrize("most", [LEAST // 4, LEAST - 1])
def test_too_little_memory_for_the_libraries_is_said_at_once(command, most):
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most))  # noqa: E731
    with started(*command, preexec_fn=limit) as process:
        out, err = process.communicate()
    said = f"{most // 10**6} MB of memory are allowed (see ulimit -a), less than the 600 MB that"
    assert (process.returncode, out) == (1, "")
    assert err == f"minnet: {said} NumPy needs: allow more\n"
