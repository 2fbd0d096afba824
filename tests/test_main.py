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
SLOW = "import sys, time; open('begun', 'w').close(); time.sleep(60)"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_rows()


def started(*arguments: str, **options) -> subprocess.Popen:
    """minnet in a process of its own."""
    command = [sys.executable, "-m", "minnet", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": ENV}
    return subprocess.Popen(command, text=True, **(pipes | options))


def until(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_libraries_are_imported_ends_in_a_line(number):
    Path("numpy").mkdir()
    Path("numpy/__init__.py").write_text(SLOW)
    with started("--version", env=ENV | {"PYTHONPATH": f"{ROOT}:{Path.cwd()}"}) as process:
        until("begun")
        process.send_signal(number)
        assert process.communicate() == ("", "minnet: interrupted\n")
    assert process.returncode == 128 + number


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


def test_a_signal_that_is_switched_off_stays_so():
    quick = ["train", "own.toml", "--out", "run", "train.epochs=400"]
    ignored = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731 - as nohup does
    with started(*quick, preexec_fn=ignored) as process:
        until("run/metrics.csv")
        process.send_signal(signal.SIGHUP)
        _, err = process.communicate()
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize("command", [["train", "iris"], ["check", "iris"], ["--version"]])
@pytest.mark.parametrize("most", [LEAST // 4, LEAST - 1])
def test_too_little_memory_for_the_libraries_is_said_at_once(command, most):
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most))  # noqa: E731
    with started(*command, preexec_fn=limit) as process:
        out, err = process.communicate()
    said = f"{most // 10**6} MB of memory are allowed (see ulimit -a), less than the 600 MB that"
    assert (process.returncode, out) == (1, "")
    assert err == f"minnet: {said} NumPy needs: allow more\n"


def test_nothing_that_is_opened_takes_the_place_of_a_closed_stream():
    code = f"{sys.executable} -m minnet"
    whole = f"{code} train own.toml --out run --quiet && {code} predict run own.csv"
    subprocess.run(f"{whole} > plain.csv 2>&-", shell=True, env=ENV, check=True)
    for closed in ("2>&-", "<&- 2>&-", "2>/dev/full", "<&-"):
        command = f"{code} predict run own.csv {closed} > out.csv"
        subprocess.run(command, shell=True, env=ENV, check=True)
        assert Path("out.csv").read_text() == Path("plain.csv").read_text()
    for command in ("train --help", "--version", "predict run own.csv", "evaluate run own.csv"):
        done = subprocess.run(
            f"{code} {command} > /dev/full", shell=True, env=ENV, capture_output=True, text=True
        )
        said = "minnet: cannot write to standard output: No space left on device\n"
        assert (done.returncode, done.stderr) == (1, said)
