"""Runs that are trained by several processes for real, under the mpiexec that comes with the test extra."""

import os
import signal
import subprocess
import sys
from pathlib import Path

MPIEXEC = Path(sys.executable).parent / "mpiexec"


def command(n: int, *arguments: object) -> list[str]:
    """`minnet train` in n processes."""
    return [str(MPIEXEC), "-n", str(n), sys.executable, "-m", "minnet", "train", *map(str, arguments)]


def train(n: int, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """What n processes of `minnet train` say, and how they end."""
    return python(n, "-m", "minnet", "train", *arguments, **environment)


def python(n: int, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """The same of any program."""
    line = [str(MPIEXEC), "-n", str(n), sys.executable, *map(str, arguments)]
    env = {**os.environ, **environment}
    process = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:  # it hangs
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return subprocess.CompletedProcess(line, process.returncode, out, err)
